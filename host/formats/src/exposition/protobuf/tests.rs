//! Families as clients write them, and as they should not.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::wire::MessageWriter;

type Fill<'f> = &'f dyn Fn(&mut MessageWriter<'_>);

/// A family behind its length; each of `metrics` fills one of its metrics.
fn family(name: &str, kind: u64, metrics: &[Fill<'_>]) -> Vec<u8> {
    let mut content = Vec::new();
    let mut family = MessageWriter(&mut content);
    for fill in metrics {
        family.message(4, fill);
    }
    family.bytes(1, name.as_bytes());
    family.bytes(2, b"Some help.");
    family.varint(3, kind);
    delimited(&content)
}

fn delimited(content: &[u8]) -> Vec<u8> {
    // The length is written as a field is, whose number and type are then cut off.
    let mut bytes = Vec::new();
    MessageWriter(&mut bytes).bytes(1, content);
    bytes.split_off(1)
}

fn pair(metric: &mut MessageWriter<'_>, name: &str, value: &str) {
    metric.message(1, |m| {
        m.bytes(1, name.as_bytes());
        m.bytes(2, value.as_bytes());
    });
}

fn exemplar(message: &mut MessageWriter<'_>, number: u64, trace: &str, value: f64, secs: Option<u64>) {
    message.message(number, |m| {
        pair(m, "trace_id", trace);
        m.double(2, value);
        if let Some(secs) = secs {
            m.message(3, |m| {
                m.varint(1, secs);
                m.varint(2, 7_000_000);
            });
        }
    });
}

fn span(message: &mut MessageWriter<'_>, number: u64, offset: i64, length: u64) {
    message.message(number, |m| {
        m.sint(1, offset);
        m.varint(2, length);
    });
}

/// Every entry on a line of its own, then the error.
fn render(histograms: Histograms, body: &[u8]) -> String {
    let mut out = String::new();
    let braces = |exemplars: &[ScrapedExemplar<'_>]| -> String {
        let one = |e: &ScrapedExemplar<'_>| format!(" # {} {} {:?}", e.braces, e.value, e.timestamp);
        exemplars.iter().map(one).collect()
    };
    let result = parse(body, histograms, &mut |entry| -> Result<(), ParseError> {
        out += &match entry {
            Entry::Help { family, text } => format!("help {family}: {text:?}\n"),
            Entry::Kind { family, kind } => format!("type {family}: {kind}\n"),
            Entry::Unit { family, unit } => format!("unit {family}: {unit}\n"),
            Entry::Sample(s) => {
                let labels = s.labels().map_or_else(|e| format!("!{e}"), |labels| labels.to_string());
                let at = s.timestamp.map(|t| format!(" @{}", t.millis())).unwrap_or_default();
                let start = s.start.map(|t| format!(" since {}", t.millis())).unwrap_or_default();
                let exemplar = s.exemplar.as_slice();
                format!("{} -> {labels} = {}{at}{start}{}\n", s.series, s.value, braces(exemplar))
            }
            Entry::Histogram(h) => {
                let d = h.histogram;
                let buckets = |b: &model::Buckets| b.iter().collect::<Vec<_>>();
                let start = h.start.map(|t| format!(" since {}", t.millis())).unwrap_or_default();
                format!(
                    "{} -> {} schema {} zero {} below {} count {} sum {} {:?} {:?} {:?} {:?}{start}{}\n",
                    h.series,
                    h.labels().unwrap(),
                    d.schema,
                    d.zero_count,
                    d.zero_threshold,
                    d.count,
                    d.sum,
                    buckets(&d.negative),
                    buckets(&d.positive),
                    d.reset_hint,
                    d.validate(),
                    braces(h.exemplars)
                )
            }
        };
        Ok(())
    });
    if let Err(e) = result {
        out += &format!("error: {e}\n");
    }
    out
}

fn check(body: &[u8], expected: &Expect) {
    expected.assert_eq(&render(Histograms::Native, body));
}

#[test]
fn simple_families_are_read() {
    let mut body = family(
        "requests_total",
        0,
        &[
            &|m| {
                pair(m, "code", "2\"\n");
                m.message(3, |m| {
                    m.double(1, 3.0);
                    exemplar(m, 2, "abc", 0.5, Some(1));
                });
            },
            &|m| {
                m.varint(6, 1500);
                m.message(3, |m| m.double(1, f64::from_bits(model::staleness::STALE_NAN_BITS)));
            },
        ],
    );
    body.extend(family("my.gauge", 1, &[&|m| m.message(2, |m| m.double(1, -2.5))]));
    body.extend(family("plain", 3, &[&|m| m.message(5, |m| m.double(1, 1.0))]));
    body.extend(family(
        "latency",
        2,
        &[&|m| {
            m.message(4, |m| {
                m.varint(1, 7);
                m.double(2, 1.5);
                for (quantile, value) in [(0.5, 0.1), (1.0, f64::NAN)] {
                    m.message(3, |m| {
                        m.double(1, quantile);
                        m.double(2, value);
                    });
                }
            });
        }],
    ));
    check(
        &body,
        &expect![[r#"
        help requests_total: "Some help."
        type requests_total: counter
        requests_total{code="2\"\n"} -> requests_total{code="2\"\n"} = 3 # {trace_id="abc"} 0.5 Some(1007ms)
        requests_total -> requests_total = NaN @1500
        help my.gauge: "Some help."
        type my.gauge: gauge
        {"my.gauge"} -> {"my.gauge"} = -2.5
        help plain: "Some help."
        type plain: unknown
        plain -> plain = 1
        help latency: "Some help."
        type latency: summary
        latency_count -> latency_count = 7
        latency_sum -> latency_sum = 1.5
        latency{quantile="0.5"} -> latency{quantile="0.5"} = 0.1
        latency{quantile="1.0"} -> latency{quantile="1.0"} = NaN
    "#]],
    );
}

/// A histogram that is both classic and native.
fn both(kind: u64) -> Vec<u8> {
    family(
        "size",
        kind,
        &[&|m| {
            pair(m, "a", "b");
            m.message(7, |m| {
                m.varint(1, 9);
                m.double(2, 12.5);
                for (bound, count) in [(1.0, 4), (10.0, 8)] {
                    m.message(3, |m| {
                        m.varint(1, count);
                        m.double(2, bound);
                        exemplar(m, 3, "old", bound, (bound > 1.0).then_some(5));
                    });
                }
                m.sint(5, 3);
                m.double(6, 1e-3);
                m.varint(7, 2);
                span(m, 9, -1, 1);
                m.bytes(10, &[2]);
                span(m, 12, 0, 2);
                span(m, 12, 4, 0);
                span(m, 12, 1, 1);
                // One more, one less, two more than the bucket before.
                m.bytes(13, &[2, 1, 4]);
            });
        }],
    )
}

#[test]
fn histograms_are_handed_out_as_asked() {
    let body = both(4);
    check(
        &body,
        &expect![[r#"
        help size: "Some help."
        type size: histogram
        size{a="b"} -> size{a="b"} schema 3 zero 2 below 0.001 count 9 sum 12.5 [(-1, 1.0)] [(0, 1.0), (1, 0.0), (7, 2.0)] Unknown Ok(()) # {trace_id="old"} 10 Some(5007ms)
    "#]],
    );
    expect![[r#"
        help size: "Some help."
        type size: histogram
        size_count{a="b"} -> size_count{a="b"} = 9
        size_sum{a="b"} -> size_sum{a="b"} = 12.5
        size_bucket{a="b",le="1.0"} -> size_bucket{a="b", le="1.0"} = 4 # {trace_id="old"} 1 None
        size_bucket{a="b",le="10.0"} -> size_bucket{a="b", le="10.0"} = 8 # {trace_id="old"} 10 Some(5007ms)
        size_bucket{a="b",le="+Inf"} -> size_bucket{a="b", le="+Inf"} = 9
    "#]]
    .assert_eq(&render(Histograms::Classic, &body));
    let (native, classic) = (render(Histograms::Native, &body), render(Histograms::Classic, &body));
    let samples = classic.lines().skip(2).fold(String::new(), |text, line| text + line + "\n");
    assert_eq!(render(Histograms::NativeAndClassic, &body), native + &samples);
}

#[test]
fn float_and_gauge_histograms_are_read() {
    let body = family(
        "size",
        5,
        &[&|m| {
            m.message(7, |m| {
                m.double(4, 2.5);
                m.double(2, f64::NAN);
                m.double(8, 0.5);
                span(m, 12, -4, 2);
                m.doubles(14, &[0.75, 1.25]);
                exemplar(m, 16, "late", 2.0, Some(9));
                exemplar(m, 16, "never", 2.0, None);
                exemplar(m, 16, "early", 3.0, Some(8));
            });
        }],
    );
    check(
        &body,
        &expect![[r#"
        help size: "Some help."
        type size: gaugehistogram
        size -> size schema 0 zero 0.5 below 0 count 2.5 sum NaN [] [(-4, 0.75), (-3, 1.25)] Gauge Ok(()) # {trace_id="early"} 3 Some(8007ms) # {trace_id="late"} 2 Some(9007ms)
    "#]],
    );
    let empty = family(
        "size",
        4,
        &[&|m| m.message(7, |m| span(m, 12, 0, 0)), &|m| {
            m.message(7, |m| {
                m.message(3, |m| {
                    m.double(4, 1.5);
                    m.double(2, f64::INFINITY);
                });
            });
        }],
    );
    check(
        &empty,
        &expect![[r#"
        help size: "Some help."
        type size: histogram
        size -> size schema 0 zero 0 below 0 count 0 sum 0 [] [] Unknown Ok(())
        size_count -> size_count = 0
        size_sum -> size_sum = 0
        size_bucket{le="+Inf"} -> size_bucket{le="+Inf"} = 1.5
    "#]],
    );
}

#[test]
fn what_cannot_be_read_is_named() {
    let mut body = family("a", 1, &[&|m| m.message(2, |m| m.double(1, 1.0))]);
    body.extend(family("a", 0, &[&|m| m.message(2, |m| m.double(1, 1.0))]));
    check(
        &body,
        &expect![[r#"
        help a: "Some help."
        type a: gauge
        a -> a = 1
        help a: "Some help."
        type a: counter
        error: metric family 2: a metric of "a" has no counter
    "#]],
    );
    check(
        &family("", 1, &[]),
        &expect![[r#"
        error: metric family 1: metric name is missing
    "#]],
    );
    check(
        &family("a", 6, &[]),
        &expect![[r#"
        error: metric family 1: unknown metric type
    "#]],
    );
    check(
        &family("a", 1, &[&|m| pair(m, "", "x")]),
        &expect![[r#"
        help a: "Some help."
        type a: gauge
        error: metric family 1: label name is empty
    "#]],
    );
    check(
        &body[..10],
        &expect![[r#"
        error: metric family 1: message runs past the end
    "#]],
    );
    let twice: Fill<'_> = &|m| {
        pair(m, "le", "x");
        pair(m, "le", "y");
        m.message(2, |m| m.double(1, 1.0));
    };
    check(
        &family("a", 1, &[twice]),
        &expect![[r#"
        help a: "Some help."
        type a: gauge
        a{le="x",le="y"} -> !label name "le" is not unique = 1
    "#]],
    );
    let long = vec![b'x'; METRIC_BYTES_MAX];
    check(
        &family("a", 1, &[&|m| m.bytes(1, &long)]),
        &expect![[r#"
        help a: "Some help."
        type a: gauge
        error: metric family 1: a metric has more than 4194304 bytes
    "#]],
    );
}

#[test]
fn names_that_buckets_repeat_are_bounded() {
    let value = "x".repeat(METRIC_BYTES_MAX / 2);
    let body = family(
        "a",
        4,
        &[&|m| {
            pair(m, "l", &value);
            m.message(7, |m| (0..2000).for_each(|_| m.bytes(3, &[])));
        }],
    );
    let mut seen = 0;
    let result = parse(&body, Histograms::Native, &mut |entry| -> Result<(), ParseError> {
        if let Entry::Sample(sample) = entry {
            seen += sample.series.len();
        }
        Ok(())
    });
    expect!["metric family 1: names of series add up to too much; send fewer buckets"]
        .assert_eq(&result.unwrap_err().to_string());
    assert!(seen <= SERIES_BYTES_MAX);
}

#[test]
fn the_header_names_messages_and_encoding() {
    for (text, expected) in [
        ("application/vnd.google.protobuf", true),
        (
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
            true,
        ),
        (
            "Application/vnd.google.protobuf;proto=\"io.prometheus.client.MetricFamily\";encoding=\"delimited\"",
            true,
        ),
        ("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text", false),
        ("application/vnd.google.protobuf; proto=other; encoding=delimited", false),
        ("application/json", false),
    ] {
        assert_eq!(is_content_type(text), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(content in prop::collection::vec(any::<u8>(), 0..200)) {
        render(Histograms::NativeAndClassic, &content);
        render(Histograms::NativeAndClassic, &delimited(&content));
    }

    #[test]
    fn damaged_families_never_panic(at in 0usize..200, byte in any::<u8>(), end in 0usize..200) {
        let mut body = both(4);
        if let Some(found) = body.get_mut(at) {
            *found = byte;
        }
        body.truncate(body.len().saturating_sub(end));
        render(Histograms::NativeAndClassic, &body);
    }

    #[test]
    fn a_series_is_named_as_text_names_it(
        name in ".{1,5}",
        pairs in prop::collection::btree_map(".{1,4}", ".{0,6}", 0..4),
        value in any::<f64>(),
    ) {
        let body = family(&name, 1, &[&|m| {
            pairs.iter().for_each(|(name, value)| pair(m, name, value));
            m.message(2, |m| m.double(1, value));
        }]);
        let labels = model::Labels::from_pairs(&pairs).with(model::METRIC_NAME, &name);
        let mut line = String::new();
        parse(&body, Histograms::Native, &mut |entry| -> Result<(), ParseError> {
            if let Entry::Sample(sample) = entry {
                assert_eq!(sample.labels().unwrap(), labels);
                line = format!("{} {}\n", sample.series, sample.value);
            }
            Ok(())
        }).unwrap();
        let mut read = Vec::new();
        crate::exposition::parse(crate::exposition::Format::PrometheusText, line.as_bytes(), &mut |entry| -> Result<(), ParseError> {
            if let Entry::Sample(sample) = entry {
                read.push((sample.labels().unwrap(), sample.value.to_bits()));
            }
            Ok(())
        }).unwrap();
        prop_assert_eq!(read, vec![(labels, observed(value).to_bits())]);
    }
}

#[test]
fn starts_come_with_what_only_grows() {
    let since = |m: &mut MessageWriter<'_>, number: u64, secs: u64| m.message(number, |m| m.varint(1, secs));
    let mut body = family(
        "c_total",
        0,
        &[&|m| {
            m.message(3, |m| {
                m.double(1, 7.0);
                since(m, 3, 2);
            });
        }],
    );
    for kind in [4, 5] {
        body.extend(family(
            "h",
            kind,
            &[&|m| {
                m.message(7, |m| {
                    m.varint(1, 2);
                    since(m, 15, 3);
                });
            }],
        ));
    }
    check(
        &body,
        &expect![[r#"
        help c_total: "Some help."
        type c_total: counter
        c_total -> c_total = 7 since 2000
        help h: "Some help."
        type h: histogram
        h_count -> h_count = 2 since 3000
        h_sum -> h_sum = 0 since 3000
        h_bucket{le="+Inf"} -> h_bucket{le="+Inf"} = 2 since 3000
        help h: "Some help."
        type h: gaugehistogram
        h_count -> h_count = 2
        h_sum -> h_sum = 0
        h_bucket{le="+Inf"} -> h_bucket{le="+Inf"} = 2
    "#]],
    );
}
