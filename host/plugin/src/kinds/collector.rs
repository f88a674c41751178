//! Collectors yield samples at an interval.
//!
//! Columns are checked once, when they arrive; a [`Batch`] that exists has only indices that are in range.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::sync::Arc;
use std::time::Duration;

use model::{BucketSpan, Buckets, Histogram, Metadata, MetricKind, ResetHint};
use wasmtime::Store;

use crate::bindings::exports::stormglass::plugin::collector as guest;
use crate::bindings::stormglass::types::types::{self, PluginError as GuestError};
use crate::call::{Call, Refusal};
use crate::error::Operation;
use crate::kinds::{Label, labels_in};
use crate::limits::Limits;
use crate::state::State;

/// What one collection yields.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// Prometheus text exposition format, or OpenMetrics where it ends in `# EOF`.
    Text(String),
    /// Length-delimited `io.prometheus.client.MetricFamily` messages.
    Protobuf(Vec<u8>),
    /// Columns.
    Columns(Batch),
}

/// Samples, column by column.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    strings: Vec<String>,
    label_refs: Vec<u32>,
    label_ends: Vec<u32>,
    /// Empty where every series has exactly one sample.
    sample_ends: Vec<u32>,
    /// Empty where all samples are of now.
    timestamps_ms: Vec<i64>,
    values: Vec<f64>,
    /// What is known of metric families, by name.
    pub families: Vec<(String, Metadata)>,
    /// Native histograms, in no order.
    pub histograms: Vec<HistogramSample>,
    /// Exemplars, in no order.
    pub exemplars: Vec<BatchExemplar>,
}

/// A native histogram of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSample {
    /// Index of the series in the batch.
    pub series: usize,
    /// Milliseconds since the Unix epoch; none for now.
    pub timestamp_ms: Option<i64>,
    /// Consistent with itself.
    pub histogram: Histogram,
}

/// An exemplar of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchExemplar {
    /// Index of the series in the batch.
    pub series: usize,
    /// Its own labels.
    pub labels: Vec<Label>,
    /// The observed value.
    pub value: f64,
    /// Milliseconds since the Unix epoch; none for now.
    pub timestamp_ms: Option<i64>,
}

impl Batch {
    /// How many series there are.
    pub fn series_count(&self) -> usize {
        self.label_ends.len()
    }

    /// The labels of a series, as name and value, the metric's name among them; in the plugin's order and as it wrote
    /// them. Nothing where there is no such series.
    pub fn labels(&self, series: usize) -> impl Iterator<Item = (&str, &str)> {
        let refs = slice(&self.label_refs, &self.label_ends, series);
        refs.chunks_exact(2).filter_map(|pair| match pair {
            [name, value] => Some((self.string(*name)?, self.string(*value)?)),
            _ => None,
        })
    }

    /// The samples of a series: time in milliseconds, none for now, and value.
    pub fn samples(&self, series: usize) -> impl Iterator<Item = (Option<i64>, f64)> {
        let range = if self.sample_ends.is_empty() {
            let present = series < self.series_count();
            series..series + usize::from(present)
        } else {
            range(&self.sample_ends, series)
        };
        let times = self.timestamps_ms.get(range.clone()).unwrap_or(&[]);
        let values = self.values.get(range).unwrap_or(&[]);
        values.iter().enumerate().map(|(index, value)| (times.get(index).copied(), *value))
    }

    fn string(&self, index: u32) -> Option<&str> {
        self.strings.get(index as usize).map(String::as_str)
    }
}

/// The range that ends where `ends[index]` says and begins where the one before ends.
fn range(ends: &[u32], index: usize) -> std::ops::Range<usize> {
    let begin = index.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    let end = ends.get(index).copied().unwrap_or(begin);
    begin as usize..end as usize
}

fn slice<'a, T>(column: &'a [T], ends: &[u32], index: usize) -> &'a [T] {
    column.get(range(ends, index)).unwrap_or(&[])
}

pub(crate) struct Collect {
    pub(crate) guest: guest::Guest,
    pub(crate) deadline: Duration,
}

impl Call for Collect {
    const OPERATION: Operation = Operation::Collect;
    type Raw = Result<guest::Payload, GuestError>;
    type Answer = Payload;

    async fn run(self, store: &mut Store<State>) -> wasmtime::Result<Self::Raw> {
        let deadline_ms = u64::try_from(self.deadline.as_millis()).unwrap_or(u64::MAX);
        self.guest.call_collect(store, deadline_ms).await
    }

    fn check(raw: Self::Raw, limits: &Limits) -> Result<Payload, Refusal> {
        match raw? {
            guest::Payload::Text(text) => {
                let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
                check_count(samples, limits)?;
                Ok(Payload::Text(text))
            }
            guest::Payload::Protobuf(bytes) => Ok(Payload::Protobuf(bytes)),
            guest::Payload::Columns(batch) => {
                check_count(batch.label_ends.len(), limits)?;
                batch_in(batch).map(Payload::Columns).map_err(Refusal::output)
            }
        }
    }
}

fn check_count(series: usize, limits: &Limits) -> Result<(), Refusal> {
    if series <= limits.series as usize {
        return Ok(());
    }
    let limit = limits.series;
    Err(Refusal::output(format!(
        "{series} series are over the limit of {limit}; raise limits.series to allow more"
    )))
}

fn batch_in(batch: types::Batch) -> Result<Batch, String> {
    let series = batch.label_ends.len();
    check_ends("label-ends", &batch.label_ends, batch.label_refs.len())?;
    if let Some(odd) = (0..series).find(|index| !range(&batch.label_ends, *index).len().is_multiple_of(2)) {
        return Err(format!("series {odd} has a label without a value"));
    }
    let strings = batch.strings.len();
    if let Some(out) = batch.label_refs.iter().find(|index| **index as usize >= strings) {
        return Err(format!("label-refs names string {out} of {strings}"));
    }
    if batch.sample_ends.is_empty() {
        if batch.values.len() != series {
            return Err(format!("{} values for {series} series, and no sample-ends", batch.values.len()));
        }
    } else {
        if batch.sample_ends.len() != series {
            return Err(format!("{} sample-ends for {series} series", batch.sample_ends.len()));
        }
        check_ends("sample-ends", &batch.sample_ends, batch.values.len())?;
    }
    if !batch.timestamps_ms.is_empty() && batch.timestamps_ms.len() != batch.values.len() {
        return Err(format!("{} timestamps for {} values", batch.timestamps_ms.len(), batch.values.len()));
    }
    let in_range = |what: &str, index: u32| {
        let index = index as usize;
        if index < series { Ok(index) } else { Err(format!("{what} of series {index} of {series}")) }
    };
    let histograms = batch
        .histograms
        .into_iter()
        .map(|sample| {
            Ok(HistogramSample {
                series: in_range("histogram", sample.series)?,
                timestamp_ms: sample.timestamp_ms,
                histogram: histogram_in(sample)?,
            })
        })
        .collect::<Result<_, String>>()?;
    let exemplars = batch
        .exemplars
        .into_iter()
        .map(|exemplar| {
            Ok(BatchExemplar {
                series: in_range("exemplar", exemplar.series)?,
                labels: labels_in(exemplar.labels),
                value: exemplar.value,
                timestamp_ms: exemplar.timestamp_ms,
            })
        })
        .collect::<Result<_, String>>()?;
    let families = batch
        .families
        .into_iter()
        .map(|family| {
            let kind = kind_in(family.kind);
            (family.name, Metadata { kind, help: family.help, unit: family.unit })
        })
        .collect();
    Ok(Batch {
        strings: batch.strings,
        label_refs: batch.label_refs,
        label_ends: batch.label_ends,
        sample_ends: batch.sample_ends,
        timestamps_ms: batch.timestamps_ms,
        values: batch.values,
        families,
        histograms,
        exemplars,
    })
}

/// Ends must not go back, and the last must be the column's.
fn check_ends(name: &str, ends: &[u32], column: usize) -> Result<(), String> {
    if !ends.is_sorted() {
        return Err(format!("{name} goes back"));
    }
    let last = ends.last().copied().unwrap_or(0) as usize;
    if last == column { Ok(()) } else { Err(format!("{name} stops at {last} of {column}")) }
}

fn kind_in(kind: types::MetricKind) -> MetricKind {
    match kind {
        types::MetricKind::Counter => MetricKind::Counter,
        types::MetricKind::Gauge => MetricKind::Gauge,
        types::MetricKind::Histogram => MetricKind::Histogram,
        types::MetricKind::GaugeHistogram => MetricKind::GaugeHistogram,
        types::MetricKind::Summary => MetricKind::Summary,
        types::MetricKind::Info => MetricKind::Info,
        types::MetricKind::StateSet => MetricKind::StateSet,
        types::MetricKind::Unknown | types::MetricKind::Other => MetricKind::Unknown,
    }
}

fn histogram_in(sample: types::NativeHistogram) -> Result<Histogram, String> {
    let schema = i8::try_from(sample.schema)
        .map_err(|_| format!("histogram with unknown schema {}", sample.schema))?;
    let mut histogram = Histogram {
        schema,
        zero_threshold: sample.zero_threshold,
        zero_count: sample.zero_count,
        count: sample.count,
        sum: sample.sum,
        positive: buckets_in(&sample.positive_spans, sample.positive_counts),
        negative: buckets_in(&sample.negative_spans, sample.negative_counts),
        custom_values: None,
        reset_hint: ResetHint::Unknown,
    };
    if histogram.has_custom_bounds() || !sample.custom_bounds.is_empty() {
        histogram.custom_values = Some(Arc::from(sample.custom_bounds));
    }
    histogram.validate().map_err(|error| format!("histogram of series {}: {error}", sample.series))?;
    Ok(histogram)
}

fn buckets_in(spans: &[types::BucketSpan], counts: Vec<f64>) -> Buckets {
    let spans = spans.iter().map(|span| BucketSpan { offset: span.offset, length: span.length }).collect();
    Buckets { spans, counts }
}

#[cfg(test)]
mod tests;
