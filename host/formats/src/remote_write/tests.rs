//! Requests there and back, and requests as no sender should write them.

use std::collections::BTreeMap;

use expect_test::expect;
use model::staleness::{STALE_NAN, is_stale};
use model::{
    Buckets, Exemplar, Histogram, Labels, Metadata, MetricKind, ResetHint, Sample, SeriesRef, Timestamp,
    UNKNOWN_START,
};
use proptest::prelude::*;

use super::*;
use crate::wire::MessageWriter;
use crate::{Starts, TimeSeries};

const LIMITS: Limits = Limits { decompressed_bytes_max: 1 << 20, items_max: 1000 };

/// A compressed request whose content `fill` writes.
fn body(fill: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    fill(&mut MessageWriter(&mut bytes));
    snap::raw::Encoder::new().compress_vec(&bytes).unwrap()
}

fn labels(message: &mut MessageWriter<'_>, pairs: &[(&str, &str)]) {
    for (name, value) in pairs {
        message.message(1, |m| {
            m.bytes(1, name.as_bytes());
            m.bytes(2, value.as_bytes());
        });
    }
}

fn sample(message: &mut MessageWriter<'_>, value: f64, millis: i64) {
    message.message(2, |m| {
        m.double(1, value);
        m.varint(2, millis as u64);
    });
}

#[test]
fn integer_histograms_become_absolute_counts() {
    let body = body(|m| {
        m.message(1, |m| {
            labels(m, &[("job", "a"), ("__name__", "h")]);
            m.message(4, |m| {
                m.varint(1, 12);
                m.double(3, 18.4);
                m.sint(4, 1);
                m.double(5, 0.001);
                m.varint(6, 2);
                for (offset, length) in [(0, 2), (1, 2)] {
                    m.message(11, |m| {
                        m.sint(1, offset);
                        m.varint(2, length);
                    });
                }
                // Packed, then not packed: 1, 3, 2, 4.
                m.bytes(12, &[2, 4]);
                m.sint(12, -1);
                m.sint(12, 2);
                m.varint(14, 2);
                m.varint(15, 1234);
            });
        });
    });
    let (request, rejected) = decode(&body, &LIMITS).unwrap();
    assert!(rejected.is_empty());
    expect![[r#"
        [
            TimeSeries {
                labels: h{job="a"},
                samples: [],
                histograms: [
                    (
                        1234ms,
                        Histogram {
                            schema: 1,
                            zero_threshold: 0.001,
                            zero_count: 2.0,
                            count: 12.0,
                            sum: 18.4,
                            positive: Buckets {
                                spans: [
                                    BucketSpan {
                                        offset: 0,
                                        length: 2,
                                    },
                                    BucketSpan {
                                        offset: 1,
                                        length: 2,
                                    },
                                ],
                                counts: [
                                    1.0,
                                    3.0,
                                    2.0,
                                    4.0,
                                ],
                            },
                            negative: Buckets {
                                spans: [],
                                counts: [],
                            },
                            custom_values: None,
                            reset_hint: NotReset,
                        },
                    ),
                ],
                exemplars: [],
                starts: Starts {
                    samples: [],
                    histograms: [],
                },
            },
        ]
    "#]]
    .assert_debug_eq(&request.series);
}

#[test]
fn impossible_series_are_left_out_and_named() {
    let body = body(|m| {
        for pairs in [
            &[("__name__", "good"), ("b", "2"), ("a", "1"), ("empty", "")][..],
            &[("__name__", "twice"), ("a", "1"), ("a", "2")],
            &[("__name__", "noname"), ("", "1")],
            &[("job", "nameless")],
            &[],
        ] {
            m.message(1, |m| {
                labels(m, pairs);
                sample(m, 1.0, 1);
            });
        }
        m.message(1, |m| {
            labels(m, &[("__name__", "h")]);
            m.message(4, |m| m.sint(4, 77));
            m.message(4, |m| m.message(11, |m| m.varint(2, 3)));
            sample(m, 2.0, 2);
        });
    });
    let (request, rejected) = decode(&body, &LIMITS).unwrap();
    let kept: Vec<_> = request.series.iter().map(|s| s.labels.to_string()).collect();
    assert_eq!(kept, [r#"good{a="1", b="2"}"#, "h"]);
    assert_eq!(rejected.count, 6);
    expect![[r#"
        series {__name__="twice", a="1", a="2"}: label name "a" is not unique
        series {="1", __name__="noname"}: label name is empty
        series {job="nameless"}: label __name__ is missing
        series {}: label __name__ is missing
        series h: invalid histogram: spans cover 3 buckets but 0 counts are there"#]]
    .assert_eq(&rejected.messages.join("\n"));
}

#[test]
fn limits_hold_before_memory_is_spent() {
    let bomb = snap::raw::Encoder::new().compress_vec(&vec![0; 2 << 20]).unwrap();
    expect!["request is too large: more than 1048576 bytes when decompressed; send smaller batches"]
        .assert_eq(&decode(&bomb, &LIMITS).unwrap_err().to_string());
    let many = body(|m| (0..1001).for_each(|_| m.message(1, |_| {})));
    expect!["request is too large: more than 1000 series, samples and metadata; send smaller batches"]
        .assert_eq(&decode(&many, &LIMITS).unwrap_err().to_string());
    expect!["decode remote write request: snappy: corrupt input (empty)"]
        .assert_eq(&decode(b"", &LIMITS).unwrap_err().to_string());
    expect!["decode remote write request: snappy: corrupt input (expected valid offset but got offset 28271; dst position: 0)"].assert_eq(&decode(b"\x05nonsense", &LIMITS).unwrap_err().to_string());
    let cut = body(|m| m.0.extend([10, 200]));
    expect!["decode remote write request: number runs past the end"]
        .assert_eq(&decode(&cut, &LIMITS).unwrap_err().to_string());
}

#[test]
fn stale_markers_keep_their_bits() {
    let request = WriteRequest {
        series: vec![TimeSeries {
            labels: Labels::from_pairs([("__name__", "a")]),
            samples: vec![Sample::new(1, STALE_NAN)],
            histograms: vec![(Timestamp::from_millis(2), Histogram::stale())],
            exemplars: Vec::new(),
            starts: Starts::default(),
        }],
        metadata: Vec::new(),
    };
    let (read, _) = decode(&encode(&request), &LIMITS).unwrap();
    assert!(is_stale(read.series[0].samples[0].value));
    assert!(read.series[0].histograms[0].1.is_stale());
}

fn any_labels() -> impl Strategy<Value = Labels> {
    prop::collection::btree_map("[a-c_é]{1,3}", ".{1,4}", 0..4)
        .prop_map(|pairs| Labels::from_pairs(pairs).with("__name__", "metric"))
}

fn any_buckets() -> impl Strategy<Value = Buckets> {
    prop::collection::btree_map(-200..200, 0..1000u32, 0..8)
        .prop_map(|counts| Buckets::from_pairs(counts.into_iter().map(|(i, c)| (i, f64::from(c)))))
}

fn any_histogram() -> impl Strategy<Value = Histogram> {
    const HINTS: &[ResetHint] =
        &[ResetHint::Unknown, ResetHint::Reset, ResetHint::NotReset, ResetHint::Gauge];
    (any_buckets(), any_buckets(), -4..=8i8, 0.0..1e9, -1e9..1e9, prop::sample::select(HINTS)).prop_map(
        |(positive, negative, schema, count, sum, reset_hint)| Histogram {
            schema,
            zero_threshold: 1e-128,
            zero_count: 3.0,
            count,
            sum,
            positive,
            negative,
            custom_values: None,
            reset_hint,
        },
    )
}

fn any_series() -> impl Strategy<Value = TimeSeries> {
    let samples = prop::collection::vec((any::<i64>(), -1e300..1e300), 1..4)
        .prop_map(|pairs| pairs.into_iter().map(|(at, value)| Sample::new(at, value)).collect());
    let histograms =
        prop::collection::vec((any::<i64>().prop_map(Timestamp::from_millis), any_histogram()), 0..3);
    let exemplars = prop::collection::vec((any_labels(), any::<i64>(), -1e9..1e9), 0..3).prop_map(|list| {
        list.into_iter()
            .map(|(labels, at, value)| Exemplar { labels, value, timestamp: Timestamp::from_millis(at) })
            .collect()
    });
    (any_labels(), samples, histograms, exemplars).prop_map(|(labels, samples, histograms, exemplars)| {
        TimeSeries { labels, samples, histograms, exemplars, starts: Starts::default() }
    })
}

proptest! {
    #[test]
    fn requests_round_trip(series in prop::collection::vec(any_series(), 0..4), help in ".{0,9}") {
        let metadata = Metadata { kind: MetricKind::StateSet, help, unit: "seconds".to_owned() };
        let request = WriteRequest { series, metadata: vec![("family".to_owned(), metadata)] };
        let (read, rejected) = decode(&encode(&request), &LIMITS).unwrap();
        prop_assert_eq!(read, request);
        prop_assert!(rejected.is_empty());
    }

    #[test]
    fn items_arrive_in_both_versions(series in prop::collection::vec(any_series(), 0..4), help in ".{0,9}") {
        let metadata = Metadata { kind: MetricKind::Gauge, help, unit: "seconds".to_owned() };
        let request = WriteRequest { series, metadata: Vec::new() };
        let mut items = Vec::new();
        for series in &request.series {
            let values = series.samples.iter().map(|sample| OutgoingValue::Float(*sample));
            let histograms = series.histograms.iter().map(|(at, value)| OutgoingValue::Histogram(*at, value));
            let exemplars = series.exemplars.iter().map(OutgoingValue::Exemplar);
            let metadata = Some(&metadata);
            items.extend(
                values.chain(histograms).chain(exemplars).map(|value| Outgoing { labels: &series.labels, value, metadata, start: UNKNOWN_START }),
            );
        }
        let mut storage = Storage::default();
        let sent = flat(&request);
        for version in [Version::V1, Version::V2] {
            prop_assert_eq!(storage.take(version, &encode_items(version, &items)).unwrap(), sent.clone());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let decoder = Decoder::new(100);
        for compression in [Compression::Snappy, Compression::Zstd] {
            for version in [Version::V1, Version::V2] {
                let _ = decoder.read(&bytes, (compression, version), &LIMITS, |_| ());
                // As what is compressed, too.
                let body = compress(compression, &bytes);
                let _ = decoder.read(&body, (compression, version), &LIMITS, |_| ());
            }
        }
    }

    #[test]
    fn damaged_requests_never_panic(
        series in any_series(), at in any::<prop::sample::Index>(), byte in any::<u8>(), second in any::<bool>(),
    ) {
        let request = WriteRequest { series: vec![series], metadata: Vec::new() };
        let (version, mut bytes) = match second {
            true => (Version::V2, encode_v2(&request)),
            false => (Version::V1, encode::encode_message(&request)),
        };
        let mut storage = Storage::default();
        let whole = storage.take(version, &compress(Compression::Snappy, &bytes)).unwrap();
        prop_assert_eq!(&whole, &flat(&request));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let body = compress(Compression::Snappy, &bytes);
        let again = storage.take(version, &body);
        // Values may be NaN, which are equal to nothing.
        prop_assert_eq!(format!("{again:?}"), format!("{:?}", Storage::default().take(version, &body)));
    }

    #[test]
    fn a_decoder_that_remembers_reads_the_same(
        requests in prop::collection::vec(
            (any::<bool>(), any::<bool>(), prop::collection::vec((0u8..20, 0u8..20, 0u8..9, 0i64..4), 0..8)), 0..8
        ),
        series_max in 0usize..40,
    ) {
        let mut storage = Storage { decoder: Decoder::new(series_max), ..Storage::default() };
        for (second, forget, series) in requests {
            if forget {
                storage.forget();
            }
            let series = series.into_iter().map(|(name, value, exemplars, start)| TimeSeries {
                labels: Labels::from_pairs([("__name__", &*format!("m{name}")), ("a", &"v".repeat(value.into()))]),
                samples: vec![Sample::new(i64::from(value), 1.0); usize::from(exemplars % 3)],
                histograms: Vec::new(),
                exemplars: vec![exemplar(); usize::from(exemplars / 3)],
                // Only the second version has any.
                starts: match second {
                    true => Starts { samples: vec![Timestamp::from_millis(start); 2], histograms: Vec::new() },
                    false => Starts::default(),
                },
            });
            let request = WriteRequest { series: series.collect(), metadata: Vec::new() };
            let (version, bytes) = match second {
                true => (Version::V2, encode_v2(&request)),
                false => (Version::V1, encode::encode_message(&request)),
            };
            let body = compress(Compression::Snappy, &bytes);
            prop_assert_eq!(storage.take(version, &body).unwrap(), flat(&request));
        }
    }
}

fn exemplar() -> Exemplar {
    let labels = Labels::from_pairs([("trace_id", "7")]);
    Exemplar { labels, value: 2.0, timestamp: Timestamp::from_millis(3) }
}

fn compress(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    match compression {
        Compression::Snappy => snap::raw::Encoder::new().compress_vec(bytes).unwrap(),
        Compression::Zstd => zstd::encode_all(bytes, 0).unwrap(),
    }
}

/// What a storage keeps of a request: labels with what was added to them, in order.
type Flat = BTreeMap<String, Vec<String>>;

fn flat(request: &WriteRequest) -> Flat {
    let mut flat = Flat::new();
    for series in &request.series {
        note(&mut flat, series);
    }
    flat
}

fn note(flat: &mut Flat, series: &TimeSeries) {
    let TimeSeries { labels, samples, histograms, exemplars, starts } = series;
    let mut add = |item: String| flat.entry(labels.to_string()).or_default().push(item);
    for (at, sample) in samples.iter().enumerate() {
        add(format!("{sample:?} since {:?}", starts.samples.get(at).unwrap_or(&UNKNOWN_START)));
    }
    for (at, histogram) in histograms.iter().enumerate() {
        add(format!("{histogram:?} since {:?}", starts.histograms.get(at).unwrap_or(&UNKNOWN_START)));
    }
    exemplars.iter().for_each(|exemplar| add(format!("{exemplar:?}")));
    for items in flat.values_mut() {
        // Exemplars may come apart from samples.
        items.sort();
    }
}

/// A storage that gives references, and forgets all of them now and then.
struct Storage {
    decoder: Decoder,
    known: BTreeMap<SeriesRef, Labels>,
    next: u64,
}

impl Default for Storage {
    fn default() -> Self {
        Self { decoder: Decoder::new(100), known: BTreeMap::new(), next: 0 }
    }
}

impl Storage {
    fn forget(&mut self) {
        self.known.clear();
    }

    fn take(&mut self, version: Version, body: &[u8]) -> Result<Flat, DecodeError> {
        let Self { decoder, known, next } = self;
        decoder.read(body, (Compression::Snappy, version), &LIMITS, |batch| {
            let mut flat = Flat::new();
            let floats: Vec<(SeriesRef, Sample, Timestamp, Labels)> =
                (0..batch.floats().unwrap().series().len())
                    .map(|at| {
                        let floats = batch.floats().unwrap();
                        (floats.series()[at], batch.float(at).unwrap(), floats.start(at), batch.labels(at))
                    })
                    .collect();
            for (series, sample, start, labels) in &floats {
                // Storage has the labels that the message had when it was taken, or none.
                assert!(known.get(series).is_none_or(|known| known == labels));
                let samples = vec![*sample];
                let starts = Starts { samples: vec![*start], histograms: Vec::new() };
                note(
                    &mut flat,
                    &TimeSeries { labels: labels.clone(), samples, starts, ..TimeSeries::default() },
                );
            }
            for (at, known) in batch.exemplars.iter().enumerate() {
                let (exemplars, labels) = (vec![known.exemplar.clone()], batch.labels_of_exemplar(at));
                note(&mut flat, &TimeSeries { labels, exemplars, ..TimeSeries::default() });
            }
            for (at, series) in batch.series.clone().into_iter().enumerate() {
                let series = TimeSeries::from(series);
                *next += 1;
                known.insert(SeriesRef(*next), series.labels.clone());
                batch.remember(at, SeriesRef(*next));
                note(&mut flat, &series);
            }
            flat
        })
    }
}

/// A request of version 2.0.
fn encode_v2(request: &WriteRequest) -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let mut number = |text: &str| match symbols.iter().position(|symbol| symbol == text) {
        Some(at) => at as u64,
        None => {
            symbols.push(text.to_owned());
            symbols.len() as u64 - 1
        }
    };
    let mut refs = |labels: &Labels| -> Vec<u8> {
        let mut packed = Vec::new();
        for (name, value) in labels {
            MessageWriter(&mut packed).raw_varint(number(name));
            MessageWriter(&mut packed).raw_varint(number(value));
        }
        packed
    };
    let mut all = Vec::new();
    for series in &request.series {
        let mut bytes = Vec::new();
        let mut m = MessageWriter(&mut bytes);
        m.bytes(1, &refs(&series.labels));
        for (at, sample) in series.samples.iter().enumerate() {
            m.message(2, |m| {
                m.double(1, sample.value);
                m.varint(2, sample.timestamp.millis() as u64);
                let start = series.starts.samples.get(at).unwrap_or(&UNKNOWN_START);
                m.varint(3, start.millis() as u64);
            });
        }
        for (at, histogram) in &series.histograms {
            m.message(3, |m| histogram::write(m, *at, histogram));
        }
        for exemplar in &series.exemplars {
            let refs = refs(&exemplar.labels);
            m.message(4, |m| {
                m.bytes(1, &refs);
                m.double(2, exemplar.value);
                m.varint(3, exemplar.timestamp.millis() as u64);
            });
        }
        all.push(bytes);
    }
    let mut message = Vec::new();
    let mut root = MessageWriter(&mut message);
    symbols.iter().for_each(|symbol| root.bytes(4, symbol.as_bytes()));
    all.iter().for_each(|series| root.bytes(5, series));
    message
}

#[test]
fn version_2_brings_metadata_with_series() {
    let mut bytes = Vec::new();
    let mut root = MessageWriter(&mut bytes);
    for symbol in ["", "__name__", "wait_seconds_bucket", "le", "1.0", "How long.", "seconds", "odd"] {
        root.bytes(4, symbol.as_bytes());
    }
    for references in [&[1, 2, 3, 4][..], &[1, 2, 3], &[1, 99], &[7, 4]] {
        root.message(5, |m| {
            m.bytes(1, references);
            m.message(2, |m| m.double(1, 3.0));
            m.message(5, |m| {
                m.varint(1, 3);
                m.varint(3, 5);
                m.varint(4, 6);
            });
            // When the series began, as it was told before each sample told it.
            m.varint(6, 77);
        });
    }
    let body = compress(Compression::Zstd, &bytes);
    let decoder = Decoder::new(10);
    let how = (Compression::Zstd, Version::V2);
    let told = decoder.read(&body, how, &LIMITS, |batch| {
        batch.remember(0, SeriesRef(1));
        let series: Vec<TimeSeries> = batch.series.drain(..).map(TimeSeries::from).collect();
        format!("{series:#?}\n{:#?}\n{}", batch.metadata, batch.rejected.messages.join("\n"))
    });
    expect![[r#"
        [
            TimeSeries {
                labels: wait_seconds_bucket{le="1.0"},
                samples: [
                    Sample {
                        timestamp: 0ms,
                        value: 3.0,
                    },
                ],
                histograms: [],
                exemplars: [],
                starts: Starts {
                    samples: [
                        77ms,
                    ],
                    histograms: [],
                },
            },
        ]
        [
            (
                "wait_seconds",
                Metadata {
                    kind: Histogram,
                    help: "How long.",
                    unit: "seconds",
                },
            ),
        ]
        series of unknown labels: label references are 3, which is no even number
        series of unknown labels: symbol 99 is not among the request's 8 symbols
        series {odd="1.0"}: label __name__ is missing"#]]
    .assert_eq(&told.unwrap());
    // What is known already is not told again.
    decoder
        .read(&body, how, &LIMITS, |batch| {
            assert_eq!((batch.series.len(), batch.metadata.len()), (0, 0));
            assert_eq!(batch.floats().unwrap().series(), [SeriesRef(1)]);
        })
        .unwrap();
}

#[test]
fn what_is_too_much_is_not_unfolded() {
    let bomb = compress(Compression::Zstd, &vec![0; 2 << 20]);
    let error = Decoder::new(0).read(&bomb, (Compression::Zstd, Version::V1), &LIMITS, |_| ());
    expect!["request is too large: more than 1048576 bytes when decompressed; send smaller batches"]
        .assert_eq(&error.unwrap_err().to_string());
}

#[test]
fn starts_stand_with_samples_or_with_their_series() {
    let mut bytes = Vec::new();
    let mut root = MessageWriter(&mut bytes);
    for symbol in ["", "__name__", "a_total", "b"] {
        root.bytes(4, symbol.as_bytes());
    }
    for (references, created) in [(&[1, 2][..], 0), (&[1, 3], 50)] {
        root.message(5, |m| {
            m.bytes(1, references);
            for (at, start) in [(100, 0), (200, 150), (300, 0)] {
                m.message(2, |m| {
                    m.varint(2, at);
                    m.varint(3, start);
                });
            }
            for (at, start) in [(400, 77), (500, 0)] {
                m.message(3, |m| {
                    m.varint(15, at);
                    m.varint(17, start);
                });
            }
            m.varint(6, created);
        });
    }
    let body = compress(Compression::Snappy, &bytes);
    let how = (Compression::Snappy, Version::V2);
    let read = |batch: &mut Batch<'_>| batch.series.drain(..).map(|series| series.starts).collect::<Vec<_>>();
    let starts = Decoder::new(0).read(&body, how, &LIMITS, read).unwrap();
    let millis = |all: &[i64]| all.iter().copied().map(Timestamp::from_millis).collect();
    let expected = [
        Starts { samples: millis(&[0, 150]), histograms: millis(&[77]) },
        Starts { samples: millis(&[50, 150, 50]), histograms: millis(&[77, 50]) },
    ];
    assert_eq!(starts, expected);
}
