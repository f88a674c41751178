//! Writes what a server above this one scrapes: families without a type, in the format that it asks for.

use std::fmt::Write as _;

use model::{Histogram, Timestamp, Value};

use super::write::{SeriesWriter, is_metric_name, write_escaped, write_name};
use crate::buckets::{is_whole, write_buckets};
use crate::float::write_shortest;
use crate::wire::MessageWriter;

/// The formats that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScrapeFormat {
    /// Prometheus' text format 0.0.4.
    Text,
    /// The same, version 1.0.0, whose names may be any UTF-8.
    Text1,
    /// Prometheus' protobuf, the only one with native histograms.
    Protobuf,
}

/// The series of one metric name.
#[derive(Debug, Clone, Copy)]
pub struct ScrapedFamily<'a> {
    /// The name.
    pub name: &'a str,
    /// Its series.
    pub series: &'a [ScrapedValue],
}

/// One series with its sample.
#[derive(Debug, Clone)]
pub struct ScrapedValue {
    /// Names and values, without the metric's name. A value may be empty, which says that a scraper shall not set it.
    pub labels: Vec<(String, String)>,
    /// When it was observed.
    pub timestamp: Timestamp,
    /// What was observed.
    pub value: Value,
}

impl ScrapeFormat {
    /// The format with the highest weight in a header `Accept` that is written here; text where there is none.
    pub fn negotiate(accept: &str) -> Self {
        let mut best = (Self::Text, 0.0);
        for part in accept.split(',') {
            let mut parameters = part.split(';').map(str::trim);
            let media_type = parameters.next().unwrap_or_default();
            let (mut weight, mut version, mut delimited) = (1.0, "", false);
            for parameter in parameters {
                match parameter
                    .split_once('=')
                    .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
                {
                    Some(("q", value)) => weight = value.parse().unwrap_or(0.0),
                    Some(("version", value)) => version = value,
                    Some(("encoding", value)) => delimited = value == "delimited",
                    _ => {}
                }
            }
            let format = match media_type {
                "application/vnd.google.protobuf" if delimited => Self::Protobuf,
                "text/plain" if version == "1.0.0" => Self::Text1,
                "text/plain" | "*/*" | "text/*" => Self::Text,
                _ => continue,
            };
            if weight > best.1 {
                best = (format, weight);
            }
        }
        best.0
    }

    /// The header `Content-Type` of what is written.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::Text1 => "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// Appends a family.
    pub fn write(self, out: &mut Vec<u8>, family: &ScrapedFamily<'_>) {
        match self {
            Self::Text | Self::Text1 => {
                let mut text = String::new();
                write_text(&mut text, family);
                out.extend_from_slice(text.as_bytes());
            }
            Self::Protobuf => {
                // A family has one type: floats and histograms of a name are two.
                let (floats, histograms): (Vec<&ScrapedValue>, Vec<&ScrapedValue>) =
                    family.series.iter().partition(|series| matches!(series.value, Value::Float(_)));
                for (kind, series) in [(UNTYPED, floats), (HISTOGRAM, histograms)] {
                    if !series.is_empty() {
                        write_protobuf(out, family.name, kind, &series);
                    }
                }
            }
        }
    }
}

fn write_text(out: &mut String, family: &ScrapedFamily<'_>) {
    out.push_str("# TYPE ");
    write_name(out, family.name, is_metric_name(family.name));
    out.push_str(" untyped\n");
    for series in family.series {
        match &series.value {
            Value::Float(value) => write_line(out, family.name, "", series, None, *value),
            // Text has no native histograms: what is left is what it comes to.
            Value::Histogram(histogram) => {
                write_line(out, family.name, "_bucket", series, Some("+Inf"), histogram.count);
                write_line(out, family.name, "_sum", series, None, histogram.sum);
                write_line(out, family.name, "_count", series, None, histogram.count);
            }
        }
    }
}

fn write_line(
    out: &mut String,
    name: &str,
    suffix: &str,
    series: &ScrapedValue,
    bound: Option<&str>,
    value: f64,
) {
    let mut writer = SeriesWriter::begin(out, &format!("{name}{suffix}"));
    let bound = bound.map(|bound| ("le", bound));
    let labels = series.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (label, text) in labels.chain(bound) {
        writer.label(label, |out| write_escaped(out, text, true));
    }
    writer.finish();
    out.push(' ');
    write_shortest(out, value);
    let _ = writeln!(out, " {}", series.timestamp.millis());
}

/// `io.prometheus.client.MetricType`.
const UNTYPED: u64 = 3;
const HISTOGRAM: u64 = 4;

fn write_protobuf(out: &mut Vec<u8>, name: &str, kind: u64, series: &[&ScrapedValue]) {
    let mut bytes = Vec::new();
    let mut family = MessageWriter(&mut bytes);
    family.bytes(1, name.as_bytes());
    family.varint(3, kind);
    for series in series {
        family.message(4, |m| {
            for (name, value) in &series.labels {
                m.message(1, |m| {
                    m.bytes(1, name.as_bytes());
                    m.bytes(2, value.as_bytes());
                });
            }
            match &series.value {
                Value::Float(value) => m.message(5, |m| m.double(1, *value)),
                Value::Histogram(histogram) => m.message(7, |m| write_histogram(m, histogram)),
            }
            m.varint(6, series.timestamp.millis() as u64);
        });
    }
    MessageWriter(out).raw_varint(bytes.len() as u64);
    out.extend_from_slice(&bytes);
}

/// `io.prometheus.client.Histogram`.
fn write_histogram(message: &mut MessageWriter<'_>, histogram: &Histogram) {
    let whole = is_whole(histogram);
    if whole {
        message.varint(1, histogram.count as u64);
        message.varint(7, histogram.zero_count as u64);
    } else {
        message.double(4, histogram.count);
        message.double(8, histogram.zero_count);
    }
    message.double(2, histogram.sum);
    message.sint(5, i64::from(histogram.schema));
    message.double(6, histogram.zero_threshold);
    for (spans_number, side) in [(9, &histogram.negative), (12, &histogram.positive)] {
        write_buckets(message, spans_number, side, whole);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{Buckets, Labels};

    use super::*;
    use crate::exposition::{Entry, Format, ParseError, parse};

    fn value(labels: &[(&str, &str)], value: Value) -> ScrapedValue {
        let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        ScrapedValue { labels, timestamp: Timestamp::from_millis(1500), value }
    }

    fn histogram() -> Histogram {
        Histogram {
            count: 6.0,
            sum: 7.5,
            zero_count: 1.0,
            positive: Buckets::from_pairs([(1, 2.0), (4, 3.0)]),
            ..Histogram::stale()
        }
    }

    /// What a scraper makes of it.
    fn read(format: ScrapeFormat, series: &[ScrapedValue]) -> Vec<String> {
        let mut out = Vec::new();
        format.write(&mut out, &ScrapedFamily { name: "m", series });
        let mut read = Vec::new();
        let format = Format::from_content_type(Some(format.content_type()), None).unwrap();
        parse::<ParseError>(format, &out, &mut |entry| {
            match entry {
                Entry::Sample(sample) => read.push(format!(
                    "{} {} {:?}",
                    sample.labels().unwrap(),
                    sample.value,
                    sample.timestamp.map(Timestamp::millis)
                )),
                Entry::Histogram(sample) => {
                    assert_eq!(sample.histogram, &histogram());
                    read.push(format!("{} histogram", sample.labels().unwrap()));
                }
                _ => {}
            }
            Ok(())
        })
        .unwrap();
        read
    }

    #[test]
    fn what_is_written_is_read_again() {
        let series = [
            value(&[("a", "x\"\\\n"), ("instance", "")], Value::Float(1.5)),
            value(&[("b", "y")], Value::Histogram(Arc::new(histogram()))),
        ];
        let float = Labels::from_pairs([("__name__", "m"), ("a", "x\"\\\n")]);
        let text = [
            format!("{float} 1.5 Some(1500)"),
            "m_bucket{b=\"y\", le=\"+Inf\"} 6 Some(1500)".to_owned(),
            "m_sum{b=\"y\"} 7.5 Some(1500)".to_owned(),
            "m_count{b=\"y\"} 6 Some(1500)".to_owned(),
        ];
        assert_eq!(read(ScrapeFormat::Text, &series), text);
        let protobuf = [format!("{float} 1.5 Some(1500)"), "m{b=\"y\"} histogram".to_owned()];
        assert_eq!(read(ScrapeFormat::Protobuf, &series), protobuf);
    }

    #[test]
    fn the_best_format_that_both_know_is_chosen() {
        let check = |accept, expected| assert_eq!(ScrapeFormat::negotiate(accept), expected, "{accept}");
        check("", ScrapeFormat::Text);
        check("*/*", ScrapeFormat::Text);
        check(
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
            ScrapeFormat::Text,
        );
        check(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,text/plain;q=0.5",
            ScrapeFormat::Protobuf,
        );
        check("application/vnd.google.protobuf;encoding=text", ScrapeFormat::Text);
        check(
            "text/plain;version=0.0.4;q=0.2,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5",
            ScrapeFormat::Text1,
        );
    }
}
