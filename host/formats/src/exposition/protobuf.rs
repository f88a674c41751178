//! Prometheus' protobuf exposition: `io.prometheus.client.MetricFamily` messages, each after its length as a
//! varint (<https://github.com/prometheus/client_model>). The only format that has native histograms.
//!
//! What is handed out is what the text formats would say: a family's histogram becomes series of `_count`,
//! `_sum` and `_bucket`, and each series is named by the text that would stand for it, so that a target may
//! change between formats. A histogram is native where it has a span or a zero bucket.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod histogram;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;

use model::{MetricKind, Timestamp};

use super::sample::observed;
use super::write::{SeriesWriter, write_escaped};
use super::{Entry, ParseError, ScrapedExemplar, ScrapedHistogram, ScrapedSample};
use crate::pairs::read_label_pair;
use crate::wire::{Field, Message, WireError, read_text};

/// The longest message of one metric: many times what a histogram over all floats takes, and what is kept of
/// one metric is at most twenty times as long as it.
const METRIC_BYTES_MAX: usize = 4 << 20;
/// The longest text that one exposition may stand for, in names of series alone. The labels of a histogram
/// stand in its message once, and are repeated for each bucket.
const SERIES_BYTES_MAX: usize = 1 << 30;

/// What histograms that are native are handed out as. Those that are not are always series of buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Histograms {
    /// As series of classic buckets.
    Classic,
    /// As native histograms.
    Native,
    /// As native histograms, and where they have classic buckets as series of those as well.
    NativeAndClassic,
}

/// Whether an answer's header names this format.
pub(super) fn is_content_type(text: &str) -> bool {
    let mut parts = text.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    media_type.eq_ignore_ascii_case("application/vnd.google.protobuf")
        && parts.filter_map(|part| part.split_once('=')).all(|(name, value)| match name.trim() {
            "proto" => value.trim().trim_matches('"') == "io.prometheus.client.MetricFamily",
            "encoding" => value.trim().trim_matches('"') == "delimited",
            _ => true,
        })
}

/// Reads an exposition and hands its entries to `sink`, which stops the reading by failing. Nothing that was
/// handed out is taken back when a later family is wrong.
///
/// # Errors
/// The first [`ParseError::Family`], or whatever `sink` failed with.
pub fn parse<E: From<ParseError>>(
    body: &[u8],
    histograms: Histograms,
    sink: &mut dyn FnMut(Entry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = Reader {
        histograms,
        labels: Vec::new(),
        name: String::new(),
        series: String::new(),
        braces: String::new(),
        series_bytes_left: SERIES_BYTES_MAX,
    };
    let mut families = Message(body);
    let mut family = 0;
    while !families.0.is_empty() {
        family += 1;
        let read = families.delimited().map_err(Stop::from).and_then(|bytes| reader.family(bytes, sink));
        match read {
            Ok(()) => {}
            Err(Stop::What(what)) => return Err(ParseError::Family { family, what }.into()),
            Err(Stop::Sink(error)) => return Err(error),
        }
    }
    Ok(())
}

/// Why the reading stopped.
enum Stop<E> {
    What(String),
    Sink(E),
}

impl<E> From<WireError> for Stop<E> {
    fn from(what: WireError) -> Self {
        Self::What(what.to_owned())
    }
}

type Sink<'s, E> = &'s mut dyn FnMut(Entry<'_>) -> Result<(), E>;

/// What is kept from metric to metric, most of it to be filled again.
struct Reader<'a> {
    histograms: Histograms,
    /// Of the current metric.
    labels: Vec<(&'a str, &'a str)>,
    /// The current family's name, with what the kind of its current series adds to it.
    name: String,
    /// The text of the current series.
    series: String,
    /// The texts of its exemplars' labels.
    braces: String,
    series_bytes_left: usize,
}

/// An exemplar whose labels stand in [`Reader::braces`].
struct ReadExemplar {
    braces: Range<usize>,
    value: f64,
    timestamp: Option<Timestamp>,
}

impl ReadExemplar {
    fn borrow<'b>(&self, braces: &'b str) -> ScrapedExemplar<'b> {
        ScrapedExemplar {
            braces: braces.get(self.braces.clone()).unwrap_or_default(),
            value: self.value,
            timestamp: self.timestamp,
        }
    }
}

impl<'a> Reader<'a> {
    fn family<E>(&mut self, bytes: &'a [u8], sink: Sink<'_, E>) -> Result<(), Stop<E>> {
        let (mut name, mut help, mut unit, mut kind) = ("", None, "", MetricKind::Counter);
        let mut message = Message(bytes);
        while let Some(field) = message.next()? {
            match field {
                (1, Field::Bytes(bytes)) => name = read_text(bytes)?,
                (2, Field::Bytes(bytes)) => help = Some(read_text(bytes)?),
                (3, Field::Varint(number)) => kind = kind_from_number(number)?,
                (5, Field::Bytes(bytes)) => unit = read_text(bytes)?,
                _ => {}
            }
        }
        if name.is_empty() {
            return Err(Stop::What("metric name is missing".to_owned()));
        }
        let family = Cow::Borrowed(name);
        if let Some(help) = help {
            let text = Cow::Borrowed(help);
            sink(Entry::Help { family: family.clone(), text }).map_err(Stop::Sink)?;
        }
        sink(Entry::Kind { family: family.clone(), kind }).map_err(Stop::Sink)?;
        if !unit.is_empty() {
            sink(Entry::Unit { family, unit }).map_err(Stop::Sink)?;
        }
        // Metrics may stand before what says how to read them.
        let mut message = Message(bytes);
        while let Some(field) = message.next()? {
            if let (4, Field::Bytes(bytes)) = field {
                self.metric(name, kind, bytes, sink)?;
            }
        }
        Ok(())
    }

    fn metric<E>(
        &mut self,
        name: &str,
        kind: MetricKind,
        bytes: &'a [u8],
        sink: Sink<'_, E>,
    ) -> Result<(), Stop<E>> {
        if bytes.len() > METRIC_BYTES_MAX {
            return Err(Stop::What(format!("a metric has more than {METRIC_BYTES_MAX} bytes")));
        }
        let wanted = value_number(kind);
        let (mut value, mut timestamp) = (None, None);
        self.labels.clear();
        let mut message = Message(bytes);
        while let Some(field) = message.next()? {
            match field {
                (1, Field::Bytes(bytes)) => self.labels.push(named(read_label_pair(bytes)?)?),
                (6, Field::Varint(millis)) => timestamp = Some(millis as i64).filter(|millis| *millis != 0),
                (number, Field::Bytes(bytes)) if number == wanted => value = Some(bytes),
                _ => {}
            }
        }
        let timestamp = timestamp.map(Timestamp::from_millis);
        let Some(value) = value else {
            return Err(Stop::What(format!("a metric of {name:?} has no {kind}")));
        };
        match kind {
            MetricKind::Summary => self.summary(name, value, timestamp, sink),
            MetricKind::Histogram | MetricKind::GaugeHistogram => {
                self.histogram(name, kind, value, timestamp, sink)
            }
            _ => self.single(name, value, timestamp, sink),
        }
    }

    /// A counter, a gauge, or something untyped; only counters have exemplars.
    fn single<E>(
        &mut self,
        name: &str,
        bytes: &'a [u8],
        timestamp: Option<Timestamp>,
        sink: Sink<'_, E>,
    ) -> Result<(), Stop<E>> {
        let (mut value, mut exemplar, mut start) = (0.0, None, None);
        let mut message = Message(bytes);
        while let Some(field) = message.next()? {
            match field {
                (1, Field::Fixed64(bits)) => value = f64::from_bits(bits),
                (2, Field::Bytes(bytes)) => exemplar = Some(bytes),
                // Of counters alone; the others have no such field.
                (3, Field::Bytes(bytes)) => start = Some(read_timestamp(bytes)?),
                _ => {}
            }
        }
        self.name_series(name, "");
        self.emit(value, (timestamp, start), exemplar, sink)
    }

    fn summary<E>(
        &mut self,
        name: &str,
        bytes: &'a [u8],
        timestamp: Option<Timestamp>,
        sink: Sink<'_, E>,
    ) -> Result<(), Stop<E>> {
        let (mut count, mut sum, mut start) = (0.0, 0.0, None);
        let mut message = Message(bytes);
        while let Some(field) = message.next()? {
            match field {
                (1, Field::Varint(value)) => count = value as f64,
                (2, Field::Fixed64(bits)) => sum = f64::from_bits(bits),
                (4, Field::Bytes(bytes)) => start = Some(read_timestamp(bytes)?),
                _ => {}
            }
        }
        self.name_series(name, "_count");
        self.emit(count, (timestamp, start), None, sink)?;
        self.name_series(name, "_sum");
        self.emit(sum, (timestamp, start), None, sink)?;
        let begun = self.begin_series(name, "");
        let mut message = Message(bytes);
        while let Some(field) = message.next()? {
            let (3, Field::Bytes(bytes)) = field else { continue };
            let (mut quantile, mut value) = (0.0, 0.0);
            let mut message = Message(bytes);
            while let Some(field) = message.next()? {
                match field {
                    (1, Field::Fixed64(bits)) => quantile = f64::from_bits(bits),
                    (2, Field::Fixed64(bits)) => value = f64::from_bits(bits),
                    _ => {}
                }
            }
            self.end_series(begun, "quantile", quantile);
            self.emit(value, (timestamp, None), None, sink)?;
        }
        Ok(())
    }

    fn histogram<E>(
        &mut self,
        name: &str,
        kind: MetricKind,
        bytes: &'a [u8],
        timestamp: Option<Timestamp>,
        sink: Sink<'_, E>,
    ) -> Result<(), Stop<E>> {
        let summary = histogram::Summary::read(bytes)?;
        // A gauge's buckets do not only grow.
        let created = summary.created.filter(|_| kind != MetricKind::GaugeHistogram);
        let times = (timestamp, created.map(read_timestamp).transpose()?);
        let native = summary.native && self.histograms != Histograms::Classic;
        if native {
            self.native(name, kind, bytes, times, sink)?;
        }
        if native && !(self.histograms == Histograms::NativeAndClassic && summary.classic) {
            return Ok(());
        }
        self.name_series(name, "_count");
        self.emit(summary.count, times, None, sink)?;
        self.name_series(name, "_sum");
        self.emit(summary.sum, times, None, sink)?;
        let begun = self.begin_series(name, "_bucket");
        let mut last = 0.0;
        let mut message = Message(bytes);
        while let Some(field) = message.next()? {
            let (3, Field::Bytes(bytes)) = field else { continue };
            let bucket = histogram::Bucket::read(bytes)?;
            last = bucket.upper_bound;
            self.end_series(begun, "le", last);
            self.emit(bucket.count, times, bucket.exemplar, sink)?;
        }
        if last < f64::INFINITY {
            // The last bucket may be left out, since it holds what the count says.
            self.end_series(begun, "le", f64::INFINITY);
            self.emit(summary.count, times, None, sink)?;
        }
        Ok(())
    }

    fn native<E>(
        &mut self,
        name: &str,
        kind: MetricKind,
        bytes: &'a [u8],
        (timestamp, start): (Option<Timestamp>, Option<Timestamp>),
        sink: Sink<'_, E>,
    ) -> Result<(), Stop<E>> {
        let histogram = &histogram::read_native(bytes, kind == MetricKind::GaugeHistogram)?;
        self.name_series(name, "");
        self.count_series()?;
        self.braces.clear();
        let mut read = Vec::new();
        for bytes in histogram::exemplars(bytes)? {
            read.push(read_exemplar(bytes, &mut self.braces)?);
        }
        // Without a time nothing tells that the next answer has the same one again.
        read.retain(|exemplar| exemplar.timestamp.is_some());
        read.sort_by_key(|exemplar| exemplar.timestamp);
        let exemplars: Vec<_> = read.iter().map(|exemplar| exemplar.borrow(&self.braces)).collect();
        let (series, exemplars) = (self.series.as_str(), exemplars.as_slice());
        sink(Entry::Histogram(ScrapedHistogram { series, histogram, timestamp, start, exemplars }))
            .map_err(Stop::Sink)
    }

    /// Names a series by the current labels alone.
    fn name_series(&mut self, name: &str, suffix: &str) {
        let begun = self.begin_series(name, suffix);
        SeriesWriter::resume(&mut self.series, begun.open).finish();
    }

    /// Begins the name of a series that [`Reader::end_series`] ends, as often as it is called.
    fn begin_series(&mut self, name: &str, suffix: &str) -> Begun {
        self.name.clear();
        self.name.push_str(name);
        self.name.push_str(suffix);
        self.series.clear();
        let mut series = SeriesWriter::begin(&mut self.series, &self.name);
        for (label, value) in &self.labels {
            series.label(label, |out| write_escaped(out, value, true));
        }
        let open = series.is_open();
        Begun { bytes: self.series.len(), open }
    }

    fn end_series(&mut self, begun: Begun, label: &str, number: f64) {
        self.series.truncate(begun.bytes);
        let mut series = SeriesWriter::resume(&mut self.series, begun.open);
        series.label(label, |out| crate::float::write_open_metrics(out, number));
        series.finish();
    }

    /// Hands out a sample of the series that has been named, with its time and its start.
    fn emit<E>(
        &mut self,
        value: f64,
        times: (Option<Timestamp>, Option<Timestamp>),
        exemplar: Option<&'a [u8]>,
        sink: Sink<'_, E>,
    ) -> Result<(), Stop<E>> {
        self.count_series()?;
        self.braces.clear();
        let read = exemplar.map(|bytes| read_exemplar(bytes, &mut self.braces)).transpose()?;
        let exemplar = read.map(|exemplar| exemplar.borrow(&self.braces));
        let sample = ScrapedSample::new(&self.series, observed(value), times, exemplar);
        sink(Entry::Sample(sample)).map_err(Stop::Sink)
    }

    fn count_series<E>(&mut self) -> Result<(), Stop<E>> {
        let left = self.series_bytes_left.checked_sub(self.series.len());
        self.series_bytes_left = left.ok_or("names of series add up to too much; send fewer buckets")?;
        Ok(())
    }
}

/// The beginning of a series' text.
#[derive(Clone, Copy)]
struct Begun {
    bytes: usize,
    /// Whether its brace is open.
    open: bool,
}

/// `io.prometheus.client.MetricType`.
fn kind_from_number(number: u64) -> Result<MetricKind, WireError> {
    Ok(match number {
        0 => MetricKind::Counter,
        1 => MetricKind::Gauge,
        2 => MetricKind::Summary,
        3 => MetricKind::Unknown,
        4 => MetricKind::Histogram,
        5 => MetricKind::GaugeHistogram,
        _ => return Err("unknown metric type"),
    })
}

/// The field of `io.prometheus.client.Metric` that holds what a metric of this kind says.
const fn value_number(kind: MetricKind) -> u64 {
    match kind {
        MetricKind::Gauge => 2,
        MetricKind::Counter => 3,
        MetricKind::Summary => 4,
        MetricKind::Histogram | MetricKind::GaugeHistogram => 7,
        _ => 5,
    }
}

/// Reads an exemplar; the text of its labels is added to `braces`.
fn read_exemplar(bytes: &[u8], braces: &mut String) -> Result<ReadExemplar, WireError> {
    let start = braces.len();
    let (mut value, mut timestamp) = (0.0, None);
    let mut labels = SeriesWriter::begin(braces, "");
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        match field {
            (1, Field::Bytes(bytes)) => {
                let (name, value) = named(read_label_pair(bytes)?)?;
                labels.label(name, |out| write_escaped(out, value, true));
            }
            (2, Field::Fixed64(bits)) => value = f64::from_bits(bits),
            (3, Field::Bytes(bytes)) => timestamp = Some(read_timestamp(bytes)?),
            _ => {}
        }
    }
    labels.finish();
    Ok(ReadExemplar { braces: start..braces.len(), value: observed(value), timestamp })
}

/// `google.protobuf.Timestamp`.
fn read_timestamp(bytes: &[u8]) -> Result<Timestamp, WireError> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        match field {
            (1, Field::Varint(value)) => seconds = value as i64,
            (2, Field::Varint(value)) => nanos = value as i64,
            _ => {}
        }
    }
    Ok(Timestamp::from_millis(seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000)))
}

/// What a label of an exposition must have.
fn named<'a>((name, value): (&'a str, &'a str)) -> Result<(&'a str, &'a str), WireError> {
    if name.is_empty() { Err("label name is empty") } else { Ok((name, value)) }
}
