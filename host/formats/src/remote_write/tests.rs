//! Requests there and back, and requests as no sender should write them.

use expect_test::expect;
use model::staleness::{STALE_NAN, is_stale};
use model::{Buckets, Exemplar, Histogram, Labels, Metadata, MetricKind, ResetHint, Sample, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::TimeSeries;
use crate::wire::MessageWriter;

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
        TimeSeries { labels, samples, histograms, exemplars }
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
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes, &LIMITS);
        let _ = decode::decode_message(&bytes, &LIMITS, None);
    }

    #[test]
    fn damaged_requests_never_panic(
        series in any_series(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let request = WriteRequest { series: vec![series], metadata: Vec::new() };
        let mut bytes = encode::encode_message(&request);
        let known = KnownLabels::new(100);
        let whole = decode::decode_message(&bytes, &LIMITS, Some(&known)).unwrap();
        prop_assert_eq!(&whole.0, &request);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let plain = decode::decode_message(&bytes, &LIMITS, None).map_err(|e| e.to_string());
        let again = decode::decode_message(&bytes, &LIMITS, Some(&known)).map_err(|e| e.to_string());
        // Values may be NaN, which are equal to nothing.
        prop_assert_eq!(format!("{again:?}"), format!("{plain:?}"));
    }

    #[test]
    fn a_decoder_that_remembers_reads_the_same(
        requests in prop::collection::vec(prop::collection::vec((0u8..20, 0u8..20), 0..8), 0..8),
        series_max in 0usize..40,
    ) {
        let decoder = Decoder::new(series_max);
        for request in requests {
            let body = body(|m| {
                for (name, value) in request {
                    m.message(1, |m| {
                        // Sorted, unsorted, without a value and without a name, all of them again and again.
                        labels(m, &[(["__name__", "b", ""][usize::from(name) % 3], "x"), ("a", &"v".repeat(value.into()))]);
                        sample(m, 1.0, 1);
                    });
                }
            });
            prop_assert_eq!(decoder.decode(&body, &LIMITS), decode(&body, &LIMITS));
        }
    }
}

#[test]
fn labels_that_were_seen_are_not_built_again() {
    let names: Vec<String> = (0..200).map(|i| format!("m{i}")).collect();
    let body = body(|m| {
        for name in &names {
            m.message(1, |m| {
                labels(m, &[("__name__", name)]);
                sample(m, 1.0, 1);
            });
        }
    });
    let places = |request: WriteRequest| -> Vec<(Labels, *const u8)> {
        request.series.into_iter().map(|s| (s.labels.clone(), s.labels.as_encoded().as_ptr())).collect()
    };
    // Room for all, however unevenly they share it.
    let decoder = Decoder::new(200 * 16);
    let first = places(decoder.decode(&body, &LIMITS).unwrap().0);
    assert_eq!(places(decoder.decode(&body, &LIMITS).unwrap().0), first);
    assert_eq!(decoder.known.count(), 200);
    let small = Decoder::new(32);
    for _ in 0..3 {
        assert_eq!(small.decode(&body, &LIMITS), decode(&body, &LIMITS));
        assert!(small.known.count() <= 64, "{}", small.known.count());
    }
}
