//! What storage says of itself, as metrics, under Prometheus' names where it has one; brought up to date whenever
//! somebody looks.

use std::time::Duration;

use model::Timestamp;
use parking_lot::Mutex;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    exponential_buckets,
};
use traces::{SpanMetricsStats, StoreStats};
use tsdb::{MaintenanceReport, RefusedSeries, Retention, Stats};

/// See the module.
pub(crate) struct StorageGauges {
    head_series: IntGauge,
    head_chunks: IntGauge,
    head_min_time: IntGauge,
    head_max_time: IntGauge,
    head_min_time_secs: IntGauge,
    head_max_time_secs: IntGauge,
    samples_appended: IntCounterVec,
    samples_dropped: Mirror,
    exemplars_appended: Mirror,
    series_created: Mirror,
    series_removed: Mirror,
    series_refused: IntCounterVec,
    blocks: IntGauge,
    block_bytes: IntGauge,
    downsampled_blocks: IntGaugeVec,
    downsampled_bytes: IntGaugeVec,
    tombstoned_series: IntGauge,
    wal_bytes: IntGauge,
    wal_segment: IntGauge,
    samples_in: Mirror,
    wal_corruptions: Mirror,
    lowest_time: IntGauge,
    lowest_time_secs: IntGauge,
    retention_bytes: IntGauge,
    retention_secs: IntGauge,
    compactions: IntCounter,
    compactions_triggered: IntCounter,
    compactions_failed: IntCounter,
    compaction_duration: Histogram,
    blocks_removed: IntCounter,
    checkpoints: IntCounter,
    trace_segments: IntGauge,
    trace_bytes: IntGauge,
    trace_spans: IntGauge,
    trace_records_corrupt: Mirror,
    span_metrics_combinations: IntGauge,
    span_metrics_overflowed: Mirror,
    /// Held while they are set: two at once would add the same growth of a counter twice.
    setting: Mutex<()>,
}

/// The kinds of samples that appended ones are counted by, as in Prometheus.
const FLOAT: &str = "float";
const HISTOGRAM: &str = "histogram";

impl StorageGauges {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let events = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let counter = |name: &str, help: &str| events(name, help).map(Mirror);
        let by = |name: &str, help: &str, label: &str| {
            let counter = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let by_resolution = |name: &str, help: &str| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), &["resolution"])?;
            registry.register(Box::new(gauges.clone()))?;
            Ok::<_, prometheus::Error>(gauges)
        };
        let compaction_duration = Histogram::with_opts(
            HistogramOpts::new(
                "prometheus_tsdb_compaction_duration_seconds",
                "How long regular work on blocks took, where there was any.",
            )
            .buckets(exponential_buckets(1.0, 2.0, 14)?),
        )?;
        registry.register(Box::new(compaction_duration.clone()))?;
        // Blocks are opened when they are written, and never looked for again; what would fail fails the compaction.
        events("prometheus_tsdb_reloads_total", "Times that blocks were looked for on disk: at the start.")?
            .inc();
        events(
            "prometheus_tsdb_reloads_failures_total",
            "Times that this failed: none, or there is no server.",
        )?;
        Ok(Self {
            series_refused: by(
                "stormglass_tsdb_series_refused_total",
                "Samples refused because their series would have been new and over a limit, by the limit's name.",
                "limit",
            )?,
            head_series: gauge("prometheus_tsdb_head_series", "Series in the head.")?,
            head_chunks: gauge("prometheus_tsdb_head_chunks", "Chunks in the head.")?,
            head_min_time: gauge(
                "prometheus_tsdb_head_min_time",
                "Time of the head's oldest sample, in milliseconds.",
            )?,
            head_max_time: gauge(
                "prometheus_tsdb_head_max_time",
                "Time of the head's newest sample, in milliseconds.",
            )?,
            head_min_time_secs: gauge(
                "prometheus_tsdb_head_min_time_seconds",
                "Time of the head's oldest sample.",
            )?,
            head_max_time_secs: gauge(
                "prometheus_tsdb_head_max_time_seconds",
                "Time of the head's newest sample.",
            )?,
            samples_appended: by(
                "prometheus_tsdb_head_samples_appended_total",
                "Samples appended, by what they are.",
                "type",
            )?,
            samples_dropped: counter(
                "stormglass_tsdb_samples_dropped_total",
                "Samples dropped because a newer one of their series was committed first.",
            )?,
            exemplars_appended: counter(
                "prometheus_tsdb_exemplar_exemplars_appended_total",
                "Exemplars appended.",
            )?,
            series_created: counter("prometheus_tsdb_head_series_created_total", "Series that came.")?,
            series_removed: counter("prometheus_tsdb_head_series_removed_total", "Series that left.")?,
            blocks: gauge("prometheus_tsdb_blocks_loaded", "Blocks on disk.")?,
            block_bytes: gauge("prometheus_tsdb_storage_blocks_bytes", "Size of the blocks.")?,
            downsampled_blocks: by_resolution(
                "stormglass_tsdb_downsampled_blocks",
                "Blocks of downsampled data on disk.",
            )?,
            downsampled_bytes: by_resolution(
                "stormglass_tsdb_downsampled_block_bytes",
                "Size of the blocks of downsampled data.",
            )?,
            tombstoned_series: gauge(
                "stormglass_tsdb_tombstoned_series",
                "Series of blocks of which something is deleted that is still on disk.",
            )?,
            wal_bytes: gauge("prometheus_tsdb_wal_storage_size_bytes", "Size of the write-ahead log.")?,
            wal_segment: gauge(
                "prometheus_tsdb_wal_segment_current",
                "Segment of the write-ahead log that is being written to.",
            )?,
            samples_in: counter(
                "prometheus_remote_storage_samples_in_total",
                "Samples that the log holds for servers of remote_write: all that were appended.",
            )?,
            wal_corruptions: counter(
                "prometheus_tsdb_wal_corruptions_total",
                "Damaged stretches that the start has found and set aside.",
            )?,
            lowest_time: gauge(
                "prometheus_tsdb_lowest_timestamp",
                "Time of the oldest sample, in milliseconds.",
            )?,
            lowest_time_secs: gauge(
                "prometheus_tsdb_lowest_timestamp_seconds",
                "Time of the oldest sample; under Prometheus' name, since Thanos' sidecar reads it.",
            )?,
            retention_bytes: gauge(
                "prometheus_tsdb_retention_limit_bytes",
                "How large blocks may become; 0 where nothing is said.",
            )?,
            retention_secs: gauge(
                "prometheus_tsdb_retention_limit_seconds",
                "How long samples are kept that no rule matches; 0 where nothing is said.",
            )?,
            compactions: events("prometheus_tsdb_compactions_total", "Blocks cut, merged or written anew.")?,
            compactions_triggered: events(
                "prometheus_tsdb_compactions_triggered_total",
                "Times that it was looked for work on blocks.",
            )?,
            compactions_failed: events(
                "prometheus_tsdb_compactions_failed_total",
                "Times that this failed.",
            )?,
            compaction_duration,
            blocks_removed: events(
                "prometheus_tsdb_time_retentions_total",
                "Blocks removed for their age or for their size.",
            )?,
            checkpoints: events(
                "prometheus_tsdb_checkpoint_creations_total",
                "Times that the log was shortened.",
            )?,
            trace_segments: gauge("stormglass_traces_segments", "Segments of spans on disk.")?,
            trace_bytes: gauge("stormglass_traces_bytes", "Size of the span store.")?,
            trace_spans: gauge("stormglass_traces_spans", "Spans that are kept.")?,
            trace_records_corrupt: counter(
                "stormglass_traces_records_corrupt_total",
                "Damaged records of spans that were left out of answers.",
            )?,
            span_metrics_combinations: gauge(
                "stormglass_span_metrics_combinations",
                "Combinations of labels that span metrics count at the moment.",
            )?,
            span_metrics_overflowed: counter(
                "stormglass_span_metrics_overflowed_spans_total",
                "Spans that span metrics count as `overflow`, since there are too many combinations of labels.",
            )?,
            setting: Mutex::default(),
        })
    }

    pub(crate) fn set(&self, metrics: &Stats, traces: &StoreStats, span_metrics: &SpanMetricsStats) {
        let _one_at_a_time = self.setting.lock();
        let millis = |time: Option<Timestamp>| time.map_or(0, Timestamp::millis);
        self.head_series.set(whole(metrics.head_series));
        self.head_chunks.set(whole(metrics.head_chunks));
        self.head_min_time.set(millis(metrics.head_min_time));
        self.head_max_time.set(millis(metrics.head_max_time));
        self.head_min_time_secs.set(millis(metrics.head_min_time) / 1000);
        self.head_max_time_secs.set(millis(metrics.head_max_time) / 1000);
        let floats = metrics.samples_appended.saturating_sub(metrics.histograms_appended);
        raise(&self.samples_appended.with_label_values(&[FLOAT]), floats);
        raise(&self.samples_appended.with_label_values(&[HISTOGRAM]), metrics.histograms_appended);
        self.samples_in.raise(metrics.samples_appended);
        self.samples_dropped.raise(metrics.samples_dropped);
        self.exemplars_appended.raise(metrics.exemplars_appended);
        self.series_created.raise(metrics.series_created);
        self.series_removed.raise(metrics.series_removed);
        self.blocks.set(whole(metrics.blocks));
        self.block_bytes.set(whole(metrics.block_bytes));
        for (gauges, of_levels) in [
            (&self.downsampled_blocks, metrics.downsampled_blocks),
            (&self.downsampled_bytes, metrics.downsampled_bytes),
        ] {
            for (resolution, value) in ["5m", "1h"].into_iter().zip(of_levels) {
                gauges.with_label_values(&[resolution]).set(whole(value));
            }
        }
        self.tombstoned_series.set(whole(metrics.tombstoned_series));
        self.wal_bytes.set(whole(metrics.wal_bytes));
        self.lowest_time.set(millis(metrics.min_time));
        self.lowest_time_secs.set(millis(metrics.min_time) / 1000);
        self.trace_segments.set(whole(traces.segments as u64));
        self.trace_bytes.set(whole(traces.bytes));
        self.trace_spans.set(whole(traces.spans));
        self.trace_records_corrupt.raise(traces.records_corrupt);
        self.span_metrics_combinations.set(whole(span_metrics.combinations as u64));
        self.span_metrics_overflowed.raise(span_metrics.spans_overflowed);
    }

    /// Shows what each limit of series has refused.
    pub(crate) fn set_refused(&self, refused: &[RefusedSeries]) {
        let _one_at_a_time = self.setting.lock();
        for RefusedSeries { limit, count, .. } in refused {
            raise(&self.series_refused.with_label_values(&[limit]), *count);
        }
    }

    /// Shows what is kept, and what a start has found damaged.
    pub(crate) fn set_bounds(&self, retention: &Retention, corruptions: usize, wal_segment: u64) {
        let _one_at_a_time = self.setting.lock();
        self.wal_segment.set(whole(wal_segment));
        self.retention_bytes.set(whole(retention.bytes_max.unwrap_or(0)));
        self.retention_secs.set(whole(retention.time.map_or(0, |time| time.as_secs())));
        self.wal_corruptions.raise(corruptions as u64);
    }

    /// Regular work on blocks has ended.
    pub(crate) fn maintained(&self, outcome: &tsdb::Result<MaintenanceReport>, took: Duration) {
        self.compactions_triggered.inc();
        match outcome {
            Ok(report) => {
                let written = report.blocks_cut
                    + report.blocks_downsampled
                    + report.blocks_compacted
                    + report.blocks_rewritten;
                if written > 0 {
                    self.compactions.inc_by(written as u64);
                    self.compaction_duration.observe(took.as_secs_f64());
                }
                self.blocks_removed.inc_by(report.blocks_removed as u64);
                self.checkpoints.inc_by(u64::from(report.checkpointed));
            }
            Err(_) => self.compactions_failed.inc(),
        }
    }
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn raise(counter: &IntCounter, count: u64) {
    counter.inc_by(count.saturating_sub(counter.get()));
}

/// A counter that shows a count which is kept elsewhere and only grows.
struct Mirror(IntCounter);

impl Mirror {
    fn raise(&self, count: u64) {
        raise(&self.0, count);
    }
}
