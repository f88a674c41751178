//! Batches of samples, as they cross in both directions.
//!
//! What comes from a guest is checked once, when it arrives; [`Columns`] that exist have only indices that are in range.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::sync::Arc;

use model::{
    BucketSpan, Buckets, ColumnExemplar, ColumnHistogram, ColumnParts, Columns, Histogram, Metadata,
    MetricKind, ResetHint,
};

use crate::bindings::stormglass::types::types;
use crate::call::Refusal;
use crate::limits::Limits;

/// Refuses a batch of more series, or of far more samples, than the limit.
pub(crate) fn check_size(batch: &types::Batch, limits: &Limits) -> Result<(), Refusal> {
    check_count(batch.label_ends.len(), limits)
}

/// Refuses more series than the limit.
pub(crate) fn check_count(series: usize, limits: &Limits) -> Result<(), Refusal> {
    if series <= limits.series as usize {
        return Ok(());
    }
    let limit = limits.series;
    Err(Refusal::output(format!(
        "{series} series are over the limit of {limit}; raise limits.series to allow more"
    )))
}

pub(crate) fn batch_in(batch: types::Batch) -> Result<Columns, String> {
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

/// Columns as a guest is given them.
pub(crate) fn batch_out(columns: Columns) -> types::Batch {
    let ColumnParts {
        strings,
        label_refs,
        label_ends,
        sample_ends,
        timestamps_ms,
        values,
        families,
        histograms,
        exemplars,
    } = columns.into_parts();
    types::Batch {
        strings,
        label_refs,
        label_ends,
        sample_ends,
        timestamps_ms,
        values,
        families: families.into_iter().map(|(name, metadata)| family_out(name, metadata)).collect(),
        histograms: histograms.into_iter().map(histogram_out).collect(),
        exemplars: exemplars
            .into_iter()
            .map(|exemplar| types::Exemplar {
                series: exemplar.series,
                labels: exemplar
                    .labels
                    .into_iter()
                    .map(|(name, value)| types::Label { name, value })
                    .collect(),
                value: exemplar.value,
                timestamp_ms: exemplar.timestamp_ms,
            })
            .collect(),
    }
}

fn family_out(name: String, metadata: Metadata) -> types::Family {
    let kind = match metadata.kind {
        MetricKind::Counter => types::MetricKind::Counter,
        MetricKind::Gauge => types::MetricKind::Gauge,
        MetricKind::Histogram => types::MetricKind::Histogram,
        MetricKind::GaugeHistogram => types::MetricKind::GaugeHistogram,
        MetricKind::Summary => types::MetricKind::Summary,
        MetricKind::Info => types::MetricKind::Info,
        MetricKind::StateSet => types::MetricKind::StateSet,
        MetricKind::Unknown => types::MetricKind::Unknown,
    };
    types::Family { name, kind, help: metadata.help, unit: metadata.unit }
}

fn histogram_out(sample: ColumnHistogram) -> types::NativeHistogram {
    let ColumnHistogram { series, timestamp_ms, histogram } = sample;
    let spans = |buckets: &Buckets| -> Vec<types::BucketSpan> {
        let spans = buckets.spans.iter();
        spans.map(|span| types::BucketSpan { offset: span.offset, length: span.length }).collect()
    };
    types::NativeHistogram {
        series,
        timestamp_ms,
        schema: i32::from(histogram.schema),
        zero_threshold: histogram.zero_threshold,
        zero_count: histogram.zero_count,
        count: histogram.count,
        sum: histogram.sum,
        positive_spans: spans(&histogram.positive),
        positive_counts: histogram.positive.counts,
        negative_spans: spans(&histogram.negative),
        negative_counts: histogram.negative.counts,
        custom_bounds: histogram.custom_values.map(|bounds| bounds.to_vec()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
