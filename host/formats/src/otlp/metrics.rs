//! OTLP metrics, as series: names, labels and shapes as Prometheus' OTLP receiver makes them. The table has names as the
//! default [`Strategy`] makes them.
//!
//! | OTLP | becomes |
//! |---|---|
//! | gauge, sum that is not monotonic | one gauge |
//! | monotonic sum | one counter, `…_total` |
//! | histogram | a classic histogram: `…_bucket`, `…_sum`, `…_count` |
//! | exponential histogram | a native histogram |
//! | summary | `…{quantile="…"}`, `…_sum`, `…_count` |
//! | resource | labels `job` and `instance`; the other attributes on `target_info` |
//!
//! Only cumulative temporality fits this model; delta points are added up by [`Deltas`]. A point flagged
//! "no recorded value" becomes a stale marker. Start times of what only grows (monotonic sums, histograms, counts and sums
//! of summaries) are the starts of its samples; totals of deltas have none.

mod delta;
mod exponential;
mod labels;
mod names;
mod points;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use model::{Metadata, MetricKind};

use super::{Encoding, Limits, count, proto};
use crate::{DecodeError, Rejected, Starts, WriteRequest};
pub use delta::{Deltas, Recall, Total};
use labels::Source;
use names::Suffix;
use points::SeriesWriter;

/// Sent metrics, decoded and not yet translated.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsRequest(proto::ExportMetricsServiceRequest);

/// What becomes of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Other characters than letters, digits, underscores and colons become underscores; unit and type are appended.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// As above, without unit and type.
    UnderscoreEscapingWithoutSuffixes,
    /// Names stay as they are; unit and type are appended.
    NoUtf8EscapingWithSuffixes,
    /// Names stay as they are.
    NoTranslation,
}

impl Strategy {
    const fn escapes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes)
    }

    const fn has_suffixes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::NoUtf8EscapingWithSuffixes)
    }
}

/// What may differ from one installation to the next in how metrics are translated: settings of Prometheus' `otlp`
/// configuration, under these names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TranslateOptions {
    /// Resource attributes that become labels of every series, besides being on `target_info`.
    pub promote_resource_attributes: Vec<String>,
    /// All of them become labels, but for those of the next list.
    pub promote_all_resource_attributes: bool,
    /// Resource attributes that do not become labels where all others do.
    pub ignore_resource_attributes: Vec<String>,
    /// Whether `target_info` has the attributes that `job` and `instance` are made of, too.
    pub keep_identifying_resource_attributes: bool,
    /// Whether histograms with bounds of their own become native histograms with custom buckets.
    pub convert_histograms_to_nhcb: bool,
    /// What becomes of names.
    pub strategy: Strategy,
    /// Whether every series is labelled with the name, version, schema URL and attributes of its
    /// instrumentation scope (`otel_scope_name`, `otel_scope_version`, …). Without it, the same metric from two scopes
    /// of a process is one series.
    pub promote_scope_metadata: bool,
    /// Whether names of labels that are escaped may begin with a single underscore; `key` is put before it otherwise.
    pub bare_underscore: bool,
    /// Whether several underscores in names of labels that are escaped become one.
    pub merge_underscores: bool,
}

impl TranslateOptions {
    /// What Prometheus does where its configuration says nothing.
    pub fn prometheus() -> Self {
        Self::default()
    }
}

/// Reads a request in either encoding.
///
/// # Errors
/// [`DecodeError::Malformed`] where it is none, [`DecodeError::TooLarge`] where it is over the limit.
pub fn decode(encoding: Encoding, bytes: &[u8], limits: &Limits) -> Result<MetricsRequest, DecodeError> {
    super::decode(encoding, bytes, limits, &count::METRICS).map(MetricsRequest)
}

/// Turns metrics into series. What is rejected is counted in data points.
pub fn translate(
    request: &MetricsRequest,
    options: &TranslateOptions,
    deltas: &Deltas,
) -> (WriteRequest, Rejected) {
    let mut translator = Translator {
        options,
        deltas,
        families: HashSet::new(),
        write: WriteRequest::default(),
        rejected: Rejected::default(),
    };
    for resource in &request.0.resource_metrics {
        translator.resource(resource);
    }
    (translator.write, translator.rejected)
}

struct Translator<'a> {
    options: &'a TranslateOptions,
    deltas: &'a Deltas,
    /// The families whose metadata is written.
    families: HashSet<String>,
    write: WriteRequest,
    rejected: Rejected,
}

impl Translator<'_> {
    fn resource(&mut self, metrics: &proto::ResourceMetrics) {
        let attributes = metrics.resource.as_ref().map_or(&[][..], |r| &r.attributes);
        let mut source = Source::new(attributes, self.options);
        let mut latest_nanos = 0;
        for scope in &metrics.scope_metrics {
            source.set_scope(self.options.promote_scope_metadata.then_some(scope));
            for metric in &scope.metrics {
                latest_nanos = latest_nanos.max(self.metric(&source, metric));
            }
        }
        if latest_nanos > 0
            && let Some(series) = source.target_info(attributes, latest_nanos, self.options)
        {
            self.write.series.push(series);
            self.declare(labels::TARGET_INFO, MetricKind::Gauge, "Target metadata", "");
        }
    }

    /// Adds one metric's series and returns the time of its latest point, in nanoseconds.
    fn metric(&mut self, source: &Source, metric: &proto::Metric) -> u64 {
        let (kind, suffix, points_count, temporality) = shape(metric);
        if points_count == 0 {
            return 0;
        }
        if temporality.is_some_and(|t| t != CUMULATIVE && t != DELTA) {
            self.rejected.note(points_count as u64, || {
                format!(
                    "metric {:?}: its aggregation temporality is neither cumulative nor delta",
                    metric.name
                )
            });
            return 0;
        }
        let name = names::metric_name(&metric.name, &metric.unit, suffix, self.options.strategy);
        if name.is_empty() {
            self.rejected.note(points_count as u64, || {
                format!("metric {:?}: no character of its name can stand in a metric name", metric.name)
            });
            return 0;
        }
        self.declare(&name, kind, &metric.description, &names::unit_name(&metric.unit));
        let first = self.write.series.len();
        let series = &mut self.write.series;
        let nhcb = self.options.convert_histograms_to_nhcb;
        let rejected = &mut self.rejected;
        let mut writer = SeriesWriter { metric, name: &name, source, series, rejected, nhcb };
        let latest = writer.write();
        // A gauge has no totals: what it says is how things are.
        if temporality == Some(DELTA) {
            self.add_up(first, metric, latest);
        }
        latest
    }

    /// Puts totals in place of deltas, in the series from `first` on.
    fn add_up(&mut self, first: usize, metric: &proto::Metric, latest_nanos: u64) {
        let new = self.write.series.split_off(first.min(self.write.series.len()));
        for mut series in new {
            // Each report has a start of its own, which is not that of the total.
            series.starts = Starts::default();
            match self.deltas.add_up(&mut series) {
                Ok(()) => self.write.series.push(series),
                Err(what) => self.rejected.note(1, || format!("metric {:?}: {what}", metric.name)),
            }
        }
        self.deltas.reported(labels::timestamp(latest_nanos));
    }

    fn declare(&mut self, family: &str, kind: MetricKind, help: &str, unit: &str) {
        if self.families.insert(family.to_owned()) {
            let metadata = Metadata { kind, help: help.to_owned(), unit: unit.to_owned() };
            self.write.metadata.push((family.to_owned(), metadata));
        }
    }
}

/// `AggregationTemporality.DELTA`.
const DELTA: i32 = 1;
/// `AggregationTemporality.CUMULATIVE`.
const CUMULATIVE: i32 = 2;

/// What a metric is: its kind, how its name ends, how many points it has, and their temporality if any.
fn shape(metric: &proto::Metric) -> (MetricKind, Suffix, usize, Option<i32>) {
    if let Some(gauge) = &metric.gauge {
        (MetricKind::Gauge, Suffix::Gauge, gauge.data_points.len(), None)
    } else if let Some(sum) = &metric.sum {
        let (kind, suffix) = if sum.is_monotonic {
            (MetricKind::Counter, Suffix::Counter)
        } else {
            (MetricKind::Gauge, Suffix::Other)
        };
        (kind, suffix, sum.data_points.len(), Some(sum.aggregation_temporality))
    } else if let Some(h) = &metric.histogram {
        (MetricKind::Histogram, Suffix::Other, h.data_points.len(), Some(h.aggregation_temporality))
    } else if let Some(h) = &metric.exponential_histogram {
        (MetricKind::Histogram, Suffix::Other, h.data_points.len(), Some(h.aggregation_temporality))
    } else if let Some(summary) = &metric.summary {
        (MetricKind::Summary, Suffix::Other, summary.data_points.len(), None)
    } else {
        (MetricKind::Unknown, Suffix::Other, 0, None)
    }
}
