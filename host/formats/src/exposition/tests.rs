//! Expositions as targets write them, and as they should not.

use expect_test::{Expect, expect};
use model::{Labels, METRIC_NAME, Metadata, Timestamp};
use proptest::prelude::*;

use super::*;

/// Every entry on a line of its own, then the error.
fn render(format: Format, body: &[u8]) -> String {
    let mut out = String::new();
    let result = parse(format, body, &mut |entry| -> Result<(), ParseError> {
        out += &match entry {
            Entry::Help { family, text } => format!("help {family}: {text:?}\n"),
            Entry::Kind { family, kind } => format!("kind {family}: {kind}\n"),
            Entry::Unit { family, unit } => format!("unit {family}: {unit}\n"),
            Entry::Histogram(histogram) => format!("{histogram:?}\n"),
            Entry::Sample(sample) => {
                let labels = sample.labels().map_or_else(|e| format!("!{e}"), |l| l.to_string());
                let at = sample.timestamp.map_or(String::new(), |t| format!(" @{t:?}"));
                let exemplar = sample.exemplar.map_or(String::new(), |e| {
                    let e = e.to_exemplar(Timestamp::EPOCH).unwrap();
                    format!(" # {} {} @{:?}", e.labels, e.value, e.timestamp)
                });
                format!("{labels} = {}{at}{exemplar}\n", sample.value)
            }
        };
        Ok(())
    });
    if let Err(e) = result {
        out += &format!("error: {e}\n");
    }
    out
}

#[expect(clippy::needless_pass_by_value, reason = "expectations are written in place")]
fn check(format: Format, body: &str, expected: Expect) {
    expected.assert_eq(&render(format, body.as_bytes()));
}

#[test]
fn prometheus_text_is_read_as_targets_write_it() {
    check(
        Format::PrometheusText,
        r#"# HELP http_requests_total Requests: a \\ and a\nnew line, \"so\".
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total {method = "post" , code="400",} 3 -5

# just a comment
#no directive
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot \"find\":\n\t"} 1.458255915e9
  metric_without_timestamp_and_labels	12.47
a{} NaN
b +Inf
c -inf
# TYPE rpc_seconds summary
rpc_seconds{quantile="1"} 2e-3
# TYPE lat histogram
lat_bucket{le="5"} 2
lat_bucket{le="+Inf"} 2
# TYPE other gauge
other{le="5"} 1
# HELP nothing
last:line 1"#,
        expect![[r#"
            help http_requests_total: "Requests: a \\ and a\nnew line, \\\"so\\\"."
            kind http_requests_total: counter
            http_requests_total{code="200", method="post"} = 1027 @1395066363000ms
            http_requests_total{code="400", method="post"} = 3 @-5ms
            msdos_file_access_time_seconds{error="Cannot \"find\":\n\\t", path="C:\\DIR\\FILE.TXT"} = 1458255915
            metric_without_timestamp_and_labels = 12.47
            a = NaN
            b = inf
            c = -inf
            kind rpc_seconds: summary
            rpc_seconds{quantile="1.0"} = 0.002
            kind lat: histogram
            lat_bucket{le="5.0"} = 2
            lat_bucket{le="+Inf"} = 2
            kind other: gauge
            other{le="5"} = 1
            help nothing: ""
            last:line = 1
        "#]],
    );
}

#[test]
fn open_metrics_adds_units_exemplars_and_an_end() {
    check(
        Format::OpenMetricsText,
        r#"# TYPE foo_seconds histogram
# UNIT foo_seconds seconds
# HELP foo_seconds Some \"quoted\" help.
foo_seconds_bucket{le="0.1"} 8 # {} 0.054
foo_seconds_bucket{le="1"} 11 123.456 # {trace_id="KOO5S4vxi0o",span_id="x"} 0.67 1520879607.789
foo_seconds_created 1520872607.123
# EOF
"#,
        expect![[r#"
            kind foo_seconds: histogram
            unit foo_seconds: seconds
            help foo_seconds: "Some \"quoted\" help."
            foo_seconds_bucket{le="0.1"} = 8 # {} 0.054 @0ms
            foo_seconds_bucket{le="1.0"} = 11 @123456ms # {span_id="x", trace_id="KOO5S4vxi0o"} 0.67 @1520879607789ms
            foo_seconds_created = 1520872607.123
        "#]],
    );
}

#[test]
fn names_beyond_ascii_are_quoted_in_the_braces() {
    check(
        Format::PrometheusText,
        r#"# HELP "my.metric" A dotted one.
# TYPE "my.metric" counter
{"my.metric","a label"="x",b="y"} 1
{"wörld"} 2
{a="b","name.last"} 3
"#,
        expect![[r#"
            help my.metric: "A dotted one."
            kind my.metric: counter
            {"my.metric", "a label"="x", b="y"} = 1
            {"wörld"} = 2
            {"name.last", a="b"} = 3
        "#]],
    );
}

#[test]
fn errors_name_the_line_and_what_is_wrong() {
    let errors: String = [
        "ok 1\nno_value\n",
        "a{b=\"c\" 1\n",
        "a{b=c} 1\n",
        "a{b} 1\n",
        "a{\"b} 1\n",
        "a{b=\"c\\\n",
        "a{,} 1\n",
        "{} 1\n",
        "{b=\"c\"} 1\n",
        "a{\"b\"} 1\n",
        "0a 1\n",
        "a 1x\n",
        "a 1 1.5\n",
        "a 1 2 3\n",
        "a 1 # {} 1\n",
        "ä 1\n",
        "# TYPE a banana\n",
        "# TYPE 0a gauge\n",
        "a{b=\"1\",b=\"2\"} 1\n",
    ]
    .iter()
    .map(|body| render(Format::PrometheusText, body.as_bytes()))
    .collect();
    expect![[r#"
        ok = 1
        error: line 2: value is missing
        error: line 1: expected , or }, got '1'
        error: line 1: expected a quoted label value, got 'c'
        error: line 1: expected = after the label name, got '}'
        error: line 1: quoted text does not end
        error: line 1: quoted text does not end
        error: line 1: expected a label name or }, got ','
        error: line 1: metric name is missing
        error: line 1: metric name is missing
        error: line 1: metric name is given twice
        error: line 1: metric name is missing
        error: line 1: invalid value "1x"
        error: line 1: invalid timestamp "1.5"
        error: line 1: expected the end of the line, got '3'
        error: line 1: expected the end of the line, got '#'
        error: line 1: metric name is missing
        error: line 1: invalid metric type "banana"
        error: line 1: metric name is missing
        !label name "b" is not unique = 1
    "#]]
    .assert_eq(&errors);
    let errors: String = ["a 1\n", "", "a 1\n# EOF\nb 2\n", "a 1 NaN\n# EOF\n", "a 1 # {\"b\"} 1\n# EOF"]
        .iter()
        .map(|body| render(Format::OpenMetricsText, body.as_bytes()))
        .collect();
    expect![[r#"
        a = 1
        error: line 1: data does not end with # EOF
        error: line 1: data does not end with # EOF
        a = 1
        error: line 3: unexpected data after # EOF
        error: line 1: invalid timestamp "NaN"
        error: line 1: exemplar label without a value
    "#]]
    .assert_eq(&errors);
    expect![[r#"
        error: line 2: not UTF-8
    "#]]
    .assert_eq(&render(Format::PrometheusText, b"a 1\nb{c=\"\xff\"} 2\n"));
}

#[test]
fn the_header_decides_the_format() {
    let format = |text| Format::from_content_type(text, None);
    assert_eq!(format(Some("text/plain; version=0.0.4; charset=utf-8")), Ok(Format::PrometheusText));
    assert_eq!(format(Some("application/openmetrics-text; version=1.0.0")), Ok(Format::OpenMetricsText));
    expect![[r#"unsupported Content-Type "text/html" and no fallback_scrape_protocol configured"#]]
        .assert_eq(&format(Some("text/html")).unwrap_err().to_string());
    let fallback = Some(Format::PrometheusText);
    assert_eq!(Format::from_content_type(None, fallback), Ok(Format::PrometheusText));
    assert_eq!(Format::from_content_type(Some("text/html"), fallback), Ok(Format::PrometheusText));
}

#[test]
fn a_sink_that_fails_stops_the_reading() {
    #[derive(Debug, PartialEq)]
    enum Stop {
        Enough,
        Broken(ParseError),
    }
    impl From<ParseError> for Stop {
        fn from(e: ParseError) -> Self {
            Self::Broken(e)
        }
    }
    let mut seen = 0;
    let result = parse(Format::PrometheusText, b"a 1\nb 2\nc", &mut |_| {
        seen += 1;
        if seen == 2 { Err(Stop::Enough) } else { Ok(()) }
    });
    assert_eq!(result, Err(Stop::Enough));
    assert_eq!(seen, 2);
}

#[test]
fn written_text_is_prometheus_own() {
    let mut out = String::new();
    let metadata = Metadata { kind: MetricKind::Unknown, help: "two\nlines".to_owned(), unit: String::new() };
    write_metadata(&mut out, "up", &metadata);
    write_sample(&mut out, &Labels::from_pairs([("__name__", "up"), ("job", "a\"b")]), 1.0, None);
    let at = Some(Timestamp::from_millis(1500));
    write_sample(&mut out, &Labels::from_pairs([("__name__", "my.metric")]), f64::INFINITY, at);
    expect![[r#"
        # HELP up two\nlines
        # TYPE up untyped
        up{job="a\"b"} 1
        {"my.metric"} +Inf 1500
    "#]]
    .assert_eq(&out);
}

/// Recognises the series of an earlier exposition, in their order.
struct Remembering {
    series: Vec<String>,
    next: usize,
    out: String,
}

impl Sink<ParseError> for Remembering {
    fn recognise(&mut self, line: &str) -> usize {
        match self.series.get(self.next) {
            Some(series) if line.starts_with(series) => series.len(),
            _ => 0,
        }
    }

    fn take(&mut self, entry: Entry<'_>) -> Result<(), ParseError> {
        self.next += usize::from(matches!(entry, Entry::Sample(_)));
        self.out += &format!("{entry:?}\n");
        Ok(())
    }
}

#[test]
fn a_series_that_is_recognised_may_go_on() {
    let mut sink = Remembering { series: vec!["a".to_owned(); 3], next: 0, out: String::new() };
    parse_text(Format::PrometheusText, b"a {x=\"1\"} 1\na 2\nab 3\n", &mut sink).unwrap();
    let named: Vec<&str> = sink.out.lines().filter_map(|line| line.split("series: ").nth(1)).collect();
    assert!(
        named[0].starts_with(r#""a {x=\"1\"}","#)
            && named[1].starts_with("\"a\",")
            && named[2].starts_with("\"ab\",")
    );
}

const LINES: &str = r#"([ab]{1,2}( ?\{(x="[12]",?)?\})? (1|2 3|x)|# TYPE a (counter|histogram)|#|)\n"#;

proptest! {
    /// What is recognised is read as it is without.
    #[test]
    fn recognising_changes_nothing(
        before in prop::collection::vec(LINES, 0..6),
        after in prop::collection::vec(LINES, 0..6),
    ) {
        let read = |series: Vec<String>, text: &str| {
            let mut sink = Remembering { series, next: 0, out: String::new() };
            let result = parse_text(Format::PrometheusText, text.as_bytes(), &mut sink);
            format!("{}{result:?}", sink.out)
        };
        let mut series = Vec::new();
        let _ = parse(Format::PrometheusText, before.concat().as_bytes(), &mut |entry| -> Result<(), ParseError> {
            if let Entry::Sample(sample) = entry {
                series.push(sample.series.to_owned());
            }
            Ok(())
        });
        prop_assert_eq!(read(series, &after.concat()), read(Vec::new(), &after.concat()));
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        render(Format::PrometheusText, &body);
        render(Format::OpenMetricsText, &body);
    }

    #[test]
    fn nearly_right_text_never_panics(body in r#"([a-c_:{}",=\\# \t0-9.ä-]|# HELP |# TYPE |# UNIT |# EOF|\n){0,60}"#) {
        render(Format::PrometheusText, body.as_bytes());
        render(Format::OpenMetricsText, body.as_bytes());
    }

    #[test]
    fn what_is_written_is_read_back(
        name in "[a-z.é\"\\\\]{1,5}",
        pairs in prop::collection::btree_map(".{1,4}", ".{0,6}", 0..4),
        value in any::<f64>(),
        at in prop::option::of(any::<i64>()),
    ) {
        let labels = Labels::from_pairs(pairs).with(METRIC_NAME, &name);
        let at = at.map(Timestamp::from_millis);
        let mut text = String::new();
        write_sample(&mut text, &labels, value, at);
        let mut read = Vec::new();
        parse(Format::PrometheusText, text.as_bytes(), &mut |entry| -> Result<(), ParseError> {
            if let Entry::Sample(sample) = entry {
                read.push((sample.labels().unwrap(), sample.value, sample.timestamp));
            }
            Ok(())
        }).unwrap();
        prop_assert_eq!(read.len(), 1);
        prop_assert_eq!(&read[0].0, &labels);
        prop_assert!(read[0].1 == value || (read[0].1.is_nan() && value.is_nan()));
        prop_assert_eq!(read[0].2, at);
    }
}
