//! What targets and senders give us.

use formats::exposition::{self, Entry, Format, ParseError, protobuf};
use formats::otlp::{self, Encoding};
use formats::remote_write::{Compression, Version};
use formats::{TimeSeries, WriteRequest, decompress, openmetrics, remote_read, remote_write};
use model::{Exemplar, Labels, Matcher, Sample, SeriesRef, Timestamp};

use crate::Target;

/// What a server might allow, made small: a fuzzer runs a target thousands of times a second.
const BODY_BYTES_MAX: usize = 1 << 20;
const ITEMS_MAX: usize = 10_000;

const TEXT: &str = "# HELP up Whether it is \\\\ up.\n# TYPE up gauge\nup{job=\"a\",instance=\"b:1\"} 1 1700000000000\n\
    # TYPE h histogram\nh_bucket{le=\"0.5\"} 3\nh_bucket{le=\"+Inf\"} 4\nh_sum 2.5e-1\nh_count 4\n\
    {\"utf.8\",\"a b\"=\"c\\\"\\n\"} NaN\n";
const OPENMETRICS: &str = "# TYPE c counter\n# UNIT c_seconds seconds\n# HELP c Counts.\n\
    c_total{a=\"b\"} 17 1700000000.123 # {trace_id=\"ab\"} 0.5 1700000000.1\nc_created{a=\"b\"} 1600000000\n\
    # TYPE i info\ni_info{v=\"1\"} 1\n# TYPE s stateset\ns{s=\"on\"} 1\n# EOF\n";

/// Reads an exposition and everything that its entries offer.
fn read_exposition(format: Format, bytes: &[u8]) {
    let read = exposition::parse(format, bytes, &mut |entry: Entry<'_>| -> Result<(), ParseError> {
        if let Entry::Sample(sample) = entry {
            // Labels are made only on demand, from text that has been read by then.
            drop(sample.labels());
        }
        Ok(())
    });
    if let Err(error) = read {
        assert!(!error.to_string().is_empty());
    }
}

pub(crate) const EXPOSITION_TEXT: Target = Target {
    name: "exposition_text",
    run: |bytes| read_exposition(Format::PrometheusText, bytes),
    seeds: || vec![TEXT.into()],
};

pub(crate) const EXPOSITION_OPENMETRICS: Target = Target {
    name: "exposition_openmetrics",
    run: |bytes| read_exposition(Format::OpenMetricsText, bytes),
    seeds: || vec![OPENMETRICS.into()],
};

pub(crate) const EXPOSITION_PROTOBUF: Target = Target {
    name: "exposition_protobuf",
    run: |bytes| {
        read_exposition(Format::Protobuf, bytes);
        let mut sink = |_: Entry<'_>| -> Result<(), ParseError> { Ok(()) };
        let _ = protobuf::parse(bytes, protobuf::Histograms::NativeAndClassic, &mut sink);
    },
    seeds: || {
        // A counter `c` with a label, and a native histogram: delimited messages, field by field.
        let counter = [
            b"\x0a\x01c".as_slice(),
            b"\x18\x00",
            b"\x22\x15\x0a\x06\x0a\x01a\x12\x01b\x1a\x09\x09\0\0\0\0\0\0\xf0\x3f\x30\x01",
        ]
        .concat();
        let histogram = [
            b"\x0a\x01h".as_slice(),
            b"\x18\x04",
            b"\x22\x1d\x3a\x1b\x08\x03\x11\0\0\0\0\0\0\x14\x40\x28\x06\x31\0\0\0\0\0\0\x50\x3f\x62\x04\x08\x00\x10\x02\x6a\x02\x02\x02",
        ]
        .concat();
        let delimited = |message: &[u8]| [&[message.len() as u8], message].concat();
        vec![delimited(&counter), [delimited(&counter), delimited(&histogram)].concat()]
    },
};

pub(crate) const OPENMETRICS_LINT: Target = Target {
    name: "openmetrics_lint",
    run: |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if openmetrics::validate(text).is_ok() {
            // What keeps every rule must be read by the lenient reader.
            let mut sink = |_: Entry<'_>| -> Result<(), ParseError> { Ok(()) };
            exposition::parse(Format::OpenMetricsText, bytes, &mut sink)
                .unwrap_or_else(|error| panic!("a valid exposition is refused: {error}: {text:?}"));
        }
    },
    seeds: || vec![OPENMETRICS.into()],
};

pub(crate) const REMOTE_WRITE: Target = Target {
    name: "remote_write",
    run: |bytes| {
        let limits = remote_write::Limits { decompressed_bytes_max: BODY_BYTES_MAX, items_max: ITEMS_MAX };
        let Ok((request, _)) = remote_write::decode(bytes, &limits) else { return };
        let again = remote_write::decode(&remote_write::encode(&request), &limits);
        if let Ok((again, rejected)) = again {
            assert_eq!(rejected.count, 0, "what was taken once is refused the second time");
            assert_eq!(again.series.len(), request.series.len());
        }
        read_twice(bytes, &limits);
    },
    seeds: || {
        let time = Timestamp::from_millis(1_700_000_000_000);
        let series = (0..3).map(|number| TimeSeries {
            labels: Labels::from_pairs([("__name__", "m"), ("n", &number.to_string())]),
            samples: vec![Sample { timestamp: time, value: f64::from(number) }],
            exemplars: vec![Exemplar {
                labels: Labels::from_pairs([("trace_id", "ab")]),
                value: 0.5,
                timestamp: time,
            }],
            ..TimeSeries::default()
        });
        vec![remote_write::encode(&WriteRequest { series: series.collect(), ..WriteRequest::default() })]
    },
};

pub(crate) const REMOTE_READ: Target = Target {
    name: "remote_read",
    run: |bytes| {
        let limits = remote_read::Limits { decompressed_bytes_max: BODY_BYTES_MAX };
        if let Ok(request) = remote_read::ReadRequest::decode(bytes, &limits) {
            let again = remote_read::ReadRequest::decode(&request.encode(), &limits)
                .unwrap_or_else(|error| panic!("what was taken once is refused the second time: {error}"));
            assert_eq!(again.queries.len(), request.queries.len());
        }
        if let Ok(results) = remote_read::decode_samples(bytes, &limits) {
            for series in results.iter().flatten() {
                remote_read::put_frames(&mut Vec::new(), 0, series, 1 << 20);
            }
        }
        let mut frames = remote_read::FrameReader::new(1, &limits);
        for piece in bytes.chunks(100) {
            if frames.push(piece).is_err() {
                return;
            }
        }
        // A stream of whole frames comes again as it was.
        if let Ok(results) = frames.finish() {
            let mut again = Vec::new();
            results
                .iter()
                .flatten()
                .for_each(|series| remote_read::put_frames(&mut again, 0, series, 1 << 20));
            let mut frames = remote_read::FrameReader::new(1, &limits);
            assert!(frames.push(&again).is_ok() && frames.finish().is_ok());
        }
    },
    seeds: || {
        let query = remote_read::ReadQuery {
            start: Timestamp::from_millis(1_700_000_000_000),
            end: Timestamp::from_millis(1_700_000_060_000),
            matchers: vec![Matcher::equal("__name__", "m")],
            hints: Some(remote_read::ReadHints::default()),
        };
        let request =
            remote_read::ReadRequest { queries: vec![query], accepts_chunks: true, accepts_samples: true };
        let series = remote_read::ReadSeries {
            labels: Labels::from_pairs([("__name__", "m")]),
            samples: vec![Sample { timestamp: Timestamp::from_millis(1_700_000_000_000), value: 0.5 }],
            ..remote_read::ReadSeries::default()
        };
        let mut stream = Vec::new();
        remote_read::put_frames(&mut stream, 0, &series, 1 << 20);
        vec![request.encode(), remote_read::encode_samples(&[vec![series]]), stream]
    },
};

/// As every version and compression, with all series new and then with all of them known.
fn read_twice(bytes: &[u8], limits: &remote_write::Limits) {
    for version in [Version::V1, Version::V2] {
        for compression in [Compression::Snappy, Compression::Zstd] {
            let decoder = remote_write::Decoder::new(1_000);
            for _ in 0..2 {
                let read = decoder.read(bytes, (compression, version), limits, |batch| {
                    for index in 0..batch.series.len() {
                        batch.remember(index, SeriesRef(index as u64));
                    }
                    let floats = batch.floats().map_or(0, |floats| floats.series().len());
                    for index in 0..floats {
                        assert!(!batch.labels(index).is_empty(), "a known series has no labels");
                    }
                });
                if read.is_err() {
                    break;
                }
            }
        }
    }
}

const OTLP_LIMITS: otlp::Limits = otlp::Limits { messages_max: ITEMS_MAX };

/// The first byte says which encoding the others are in.
fn encoding(bytes: &[u8]) -> Option<(Encoding, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    Some((if *first == b'j' { Encoding::Json } else { Encoding::Protobuf }, rest))
}

pub(crate) const OTLP_METRICS: Target = Target {
    name: "otlp_metrics",
    run: |bytes| {
        let Some((encoding, body)) = encoding(bytes) else { return };
        if let Ok(request) = otlp::metrics::decode(encoding, body, &OTLP_LIMITS) {
            let options = otlp::metrics::TranslateOptions::prometheus();
            otlp::metrics::translate(&request, &options, &otlp::metrics::Deltas::default());
        }
    },
    seeds: || {
        let json = r#"j{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a"}}]},
            "scopeMetrics":[{"metrics":[{"name":"m","unit":"s","sum":{"aggregationTemporality":2,"isMonotonic":true,
            "dataPoints":[{"timeUnixNano":"1700000000000000000","asInt":"5"}]}},{"name":"h","histogram":
            {"aggregationTemporality":2,"dataPoints":[{"timeUnixNano":"1","count":"3","sum":2,"bucketCounts":["1","2"],
            "explicitBounds":[0.5]}]}}]}]}]}"#;
        // resource_metrics { scope_metrics { metrics { name: "m", gauge { point { time: 1, double: 1 } } } } }
        let protobuf = b"p\x0a\x1d\x12\x1b\x12\x19\x0a\x01m\x2a\x14\x0a\x12\x19\x01\0\0\0\0\0\0\0\x21\0\0\0\0\0\0\xf0\x3f";
        vec![json.into(), protobuf.to_vec()]
    },
};

pub(crate) const OTLP_TRACES: Target = Target {
    name: "otlp_traces",
    run: |bytes| {
        let Some((encoding, body)) = encoding(bytes) else { return };
        if let Ok((spans, _)) = otlp::traces::decode(encoding, body, &OTLP_LIMITS) {
            let sent = [b"p".as_slice(), &otlp::traces::encode_protobuf(&spans)].concat();
            let (again, rejected) = otlp::traces::decode(Encoding::Protobuf, &sent[1..], &OTLP_LIMITS)
                .unwrap_or_else(|error| panic!("spans that we wrote are refused: {error}"));
            assert_eq!((again.len(), rejected.count), (spans.len(), 0));
        }
    },
    seeds: || {
        let json = r#"j{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a"}}]},
            "scopeSpans":[{"scope":{"name":"s"},"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",
            "spanId":"eee19b7ec3c1b174","name":"n","kind":2,"startTimeUnixNano":"1700000000000000000",
            "endTimeUnixNano":"1700000000500000000","attributes":[{"key":"k","value":{"arrayValue":{"values":
            [{"intValue":"1"}]}}}],"events":[{"name":"e","timeUnixNano":"1"}],"status":{"code":2}}]}]}]}"#;
        vec![json.into()]
    },
};

pub(crate) const DECOMPRESS: Target = Target {
    name: "decompress",
    run: |bytes| {
        const LIMIT_BYTES: usize = 1 << 16;
        for encoding in [None, Some("gzip"), Some("zstd"), Some("snappy"), Some("deflate")] {
            if let Ok(body) = decompress(encoding, bytes, LIMIT_BYTES) {
                assert!(body.len() <= LIMIT_BYTES);
            }
        }
    },
    // `gzip` of "stormglass".
    seeds: || {
        let head = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x2b\x2e\xc9\x2f\xca\x4d\xcf\x49\x2c\x2e\x06\0".to_vec();
        vec![head, b"stormglass".to_vec()]
    },
};
