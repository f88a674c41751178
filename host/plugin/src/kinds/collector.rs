//! Collectors yield samples at an interval.
//!
//! Columns are checked once, when they arrive; [`Columns`] that exist have only indices that are in range.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::sync::Arc;
use std::time::Duration;

use model::{
    BucketSpan, Buckets, ColumnExemplar, ColumnHistogram, ColumnParts, Columns, Histogram, Metadata,
    MetricKind, ResetHint,
};
use wasmtime::Store;

use crate::bindings::exports::stormglass::plugin::collector as guest;
use crate::bindings::stormglass::types::types::{self, PluginError as GuestError};
use crate::call::{Call, Refusal};
use crate::error::Operation;
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
    Columns(Columns),
}

pub(crate) struct Collect(pub(crate) guest::Guest);

impl Call for Collect {
    const OPERATION: Operation = Operation::Collect;
    type Raw = Result<guest::Payload, GuestError>;
    type Answer = Payload;

    async fn run(self, store: &mut Store<State>) -> wasmtime::Result<Self::Raw> {
        // Rounded up: a guest that takes its time seriously is told of all it has.
        let left = store.data().time_left() + Duration::from_micros(999);
        let deadline_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        self.0.call_collect(store, deadline_ms).await
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

fn batch_in(batch: types::Batch) -> Result<Columns, String> {
    let histograms = batch
        .histograms
        .into_iter()
        .map(|sample| {
            let (series, timestamp_ms) = (sample.series, sample.timestamp_ms);
            Ok(ColumnHistogram { series, timestamp_ms, histogram: histogram_in(sample)? })
        })
        .collect::<Result<_, String>>()?;
    let exemplars = batch
        .exemplars
        .into_iter()
        .map(|exemplar| ColumnExemplar {
            series: exemplar.series,
            labels: exemplar.labels.into_iter().map(|label| (label.name, label.value)).collect(),
            value: exemplar.value,
            timestamp_ms: exemplar.timestamp_ms,
        })
        .collect();
    let families = batch
        .families
        .into_iter()
        .map(|family| {
            let kind = kind_in(family.kind);
            (family.name, Metadata { kind, help: family.help, unit: family.unit })
        })
        .collect();
    let parts = ColumnParts {
        strings: batch.strings,
        label_refs: batch.label_refs,
        label_ends: batch.label_ends,
        sample_ends: batch.sample_ends,
        timestamps_ms: batch.timestamps_ms,
        values: batch.values,
        families,
        histograms,
        exemplars,
    };
    Columns::try_from(parts).map_err(|error| error.to_string())
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
