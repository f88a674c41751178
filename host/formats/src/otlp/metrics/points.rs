//! From the points of one metric to samples.

use model::staleness::STALE_NAN;
use model::{Buckets, Exemplar, Histogram, LabelsBuilder, METRIC_NAME, Sample, Timestamp, UNKNOWN_START};

use super::exponential;
use super::labels::{Source, exemplar, timestamp};
use crate::float;
use crate::otlp::proto;
use crate::{Rejected, Starts, TimeSeries};

/// The bit of a point's flags that says "no recorded value".
const NO_RECORDED_VALUE: u32 = 1;

/// The schema of histograms whose bounds are listed.
const CUSTOM_BOUNDS: i8 = -53;

/// Writes the series of one metric.
pub(super) struct SeriesWriter<'a> {
    pub(super) metric: &'a proto::Metric,
    /// The metric's name in the store, without the suffixes of its parts.
    pub(super) name: &'a str,
    pub(super) source: &'a Source,
    pub(super) series: &'a mut Vec<TimeSeries>,
    pub(super) rejected: &'a mut Rejected,
    /// Whether histograms with bounds of their own become native ones.
    pub(super) nhcb: bool,
}

impl SeriesWriter<'_> {
    /// Writes all points and returns the time of the latest one that was taken, in nanoseconds.
    pub(super) fn write(&mut self) -> u64 {
        let metric = self.metric;
        let numbers = metric.gauge.as_ref().map(|gauge| &gauge.data_points);
        let numbers = numbers.or(metric.sum.as_ref().map(|sum| &sum.data_points));
        let mut latest = 0;
        let mut taken = |result: Result<(), String>, nanos: u64, rejected: &mut Rejected| match result {
            Ok(()) => latest = latest.max(nanos),
            Err(what) => rejected.note(1, || format!("metric {:?}: {what}", metric.name)),
        };
        for point in numbers.into_iter().flatten() {
            taken(self.number(point), point.time_unix_nano, self.rejected);
        }
        for point in metric.histogram.iter().flat_map(|h| &h.data_points) {
            taken(self.histogram(point), point.time_unix_nano, self.rejected);
        }
        for point in metric.exponential_histogram.iter().flat_map(|h| &h.data_points) {
            taken(self.exponential(point), point.time_unix_nano, self.rejected);
        }
        for point in metric.summary.iter().flat_map(|s| &s.data_points) {
            taken(self.summary(point), point.time_unix_nano, self.rejected);
        }
        latest
    }

    fn number(&mut self, point: &proto::NumberDataPoint) -> Result<(), String> {
        let stale = point.flags & NO_RECORDED_VALUE != 0;
        let value = point.as_double.or(point.as_int.map(|v| v as f64));
        let value = if stale { STALE_NAN } else { value.ok_or("a point without a value")? };
        let mut labels = self.source.labels(&point.attributes)?;
        let exemplars = point.exemplars.iter().filter_map(exemplar).collect();
        // Only what is a counter has started to count.
        let counts = self.metric.sum.as_ref().is_some_and(|sum| sum.is_monotonic);
        let start = if counts { timestamp(point.start_time_unix_nano) } else { UNKNOWN_START };
        self.push(&mut labels, "", (timestamp(point.time_unix_nano), start), value, exemplars);
        Ok(())
    }

    fn histogram(&mut self, point: &proto::HistogramDataPoint) -> Result<(), String> {
        let (counts, bounds) = (&point.bucket_counts, &point.explicit_bounds);
        if !counts.is_empty() && counts.len() != bounds.len() + 1 {
            return Err(format!("a point with {} buckets for {} bounds", counts.len(), bounds.len()));
        }
        let mut labels = self.source.labels(&point.attributes)?;
        let at = (timestamp(point.time_unix_nano), timestamp(point.start_time_unix_nano));
        let stale = point.flags & NO_RECORDED_VALUE != 0;
        if self.nhcb {
            return self.custom_buckets(point, labels, stale);
        }
        let or_stale = |value: f64| if stale { STALE_NAN } else { value };
        if let Some(sum) = point.sum {
            self.push(&mut labels, "_sum", at, or_stale(sum), Vec::new());
        }
        self.push(&mut labels, "_count", at, or_stale(point.count as f64), Vec::new());

        let mut exemplars: Vec<Exemplar> = point.exemplars.iter().filter_map(exemplar).collect();
        let mut below = 0u64;
        for (bound, count) in bounds.iter().zip(counts) {
            below = below.saturating_add(*count);
            // Each exemplar goes to the lowest bucket that holds its observation.
            let (here, above) = exemplars.into_iter().partition(|e| e.value <= *bound);
            exemplars = above;
            labels.set("le", &float::decimal(*bound));
            self.push(&mut labels, "_bucket", at, or_stale(below as f64), here);
        }
        labels.set("le", "+Inf");
        self.push(&mut labels, "_bucket", at, or_stale(point.count as f64), exemplars);
        Ok(())
    }

    fn custom_buckets(
        &mut self,
        point: &proto::HistogramDataPoint,
        mut labels: LabelsBuilder,
        stale: bool,
    ) -> Result<(), String> {
        let counts = (0..).zip(&point.bucket_counts).filter(|(_, count)| **count > 0);
        let histogram = match stale {
            true => Histogram::stale(),
            false => Histogram {
                schema: CUSTOM_BOUNDS,
                count: point.count as f64,
                sum: point.sum.unwrap_or(0.0),
                positive: Buckets::from_pairs(counts.map(|(index, count)| (index, *count as f64))),
                custom_values: Some(point.explicit_bounds.clone().into()),
                ..Histogram::stale()
            },
        };
        if !stale {
            histogram.validate().map_err(|error| error.to_string())?;
        }
        labels.set(METRIC_NAME, self.name);
        self.series.push(TimeSeries {
            labels: labels.build(),
            histograms: vec![(timestamp(point.time_unix_nano), histogram)],
            exemplars: point.exemplars.iter().filter_map(exemplar).collect(),
            starts: Starts { samples: Vec::new(), histograms: known(timestamp(point.start_time_unix_nano)) },
            ..TimeSeries::default()
        });
        Ok(())
    }

    fn exponential(&mut self, point: &proto::ExponentialHistogramDataPoint) -> Result<(), String> {
        let stale = point.flags & NO_RECORDED_VALUE != 0;
        let histogram = if stale { Histogram::stale() } else { exponential::to_histogram(point)? };
        let mut labels = self.source.labels(&point.attributes)?;
        labels.set(METRIC_NAME, self.name);
        self.series.push(TimeSeries {
            labels: labels.build(),
            histograms: vec![(timestamp(point.time_unix_nano), histogram)],
            exemplars: point.exemplars.iter().filter_map(exemplar).collect(),
            starts: Starts { samples: Vec::new(), histograms: known(timestamp(point.start_time_unix_nano)) },
            ..TimeSeries::default()
        });
        Ok(())
    }

    fn summary(&mut self, point: &proto::SummaryDataPoint) -> Result<(), String> {
        let mut labels = self.source.labels(&point.attributes)?;
        let at = (timestamp(point.time_unix_nano), timestamp(point.start_time_unix_nano));
        let stale = point.flags & NO_RECORDED_VALUE != 0;
        let or_stale = |value: f64| if stale { STALE_NAN } else { value };
        self.push(&mut labels, "_sum", at, or_stale(point.sum), Vec::new());
        self.push(&mut labels, "_count", at, or_stale(point.count as f64), Vec::new());
        for quantile in &point.quantile_values {
            labels.set("quantile", &float::decimal(quantile.quantile));
            self.push(&mut labels, "", (at.0, UNKNOWN_START), or_stale(quantile.value), Vec::new());
        }
        Ok(())
    }

    fn push(
        &mut self,
        labels: &mut LabelsBuilder,
        suffix: &str,
        (timestamp, start): (Timestamp, Timestamp),
        value: f64,
        exemplars: Vec<Exemplar>,
    ) {
        labels.set(METRIC_NAME, &format!("{}{suffix}", self.name));
        self.series.push(TimeSeries {
            labels: labels.build(),
            samples: vec![Sample { timestamp, value }],
            exemplars,
            starts: Starts { samples: known(start), histograms: Vec::new() },
            ..TimeSeries::default()
        });
    }
}

/// The start of a lone sample; nothing where it is not known.
fn known(start: Timestamp) -> Vec<Timestamp> {
    Some(start).filter(|start| *start != UNKNOWN_START).into_iter().collect()
}
