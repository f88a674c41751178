//! What storage says of itself, as metrics; brought up to date whenever somebody looks.

use parking_lot::Mutex;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use traces::{SpanMetricsStats, StoreStats};
use tsdb::{RefusedSeries, Stats};

/// See the module.
pub(crate) struct StorageGauges {
    head_series: IntGauge,
    head_chunks: IntGauge,
    samples_appended: Mirror,
    samples_dropped: Mirror,
    exemplars_appended: Mirror,
    series_created: Mirror,
    series_removed: Mirror,
    series_refused: IntCounterVec,
    blocks: IntGauge,
    block_bytes: IntGauge,
    wal_bytes: IntGauge,
    lowest_time: IntGauge,
    trace_segments: IntGauge,
    trace_bytes: IntGauge,
    trace_spans: IntGauge,
    trace_records_corrupt: Mirror,
    span_metrics_combinations: IntGauge,
    span_metrics_overflowed: Mirror,
    /// Held while they are set: two at once would add the same growth of a counter twice.
    setting: Mutex<()>,
}

impl StorageGauges {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(Mirror(counter))
        };
        let series_refused = IntCounterVec::new(
            Opts::new(
                "stormglass_tsdb_series_refused_total",
                "Samples refused because their series would have been new and over a limit, by the limit's name.",
            ),
            &["limit"],
        )?;
        registry.register(Box::new(series_refused.clone()))?;
        Ok(Self {
            series_refused,
            head_series: gauge("stormglass_tsdb_head_series", "Series in the head.")?,
            head_chunks: gauge("stormglass_tsdb_head_chunks", "Chunks in the head.")?,
            samples_appended: counter("stormglass_tsdb_samples_appended_total", "Samples appended.")?,
            samples_dropped: counter(
                "stormglass_tsdb_samples_dropped_total",
                "Samples dropped because a newer one of their series was committed first.",
            )?,
            exemplars_appended: counter("stormglass_tsdb_exemplars_appended_total", "Exemplars appended.")?,
            series_created: counter("stormglass_tsdb_head_series_created_total", "Series that came.")?,
            series_removed: counter("stormglass_tsdb_head_series_removed_total", "Series that left.")?,
            blocks: gauge("stormglass_tsdb_blocks", "Blocks on disk.")?,
            block_bytes: gauge("stormglass_tsdb_block_bytes", "Size of the blocks.")?,
            wal_bytes: gauge("stormglass_tsdb_wal_bytes", "Size of the write-ahead log.")?,
            lowest_time: gauge(
                "prometheus_tsdb_lowest_timestamp_seconds",
                "Time of the oldest sample; under Prometheus' name, since Thanos' sidecar reads it.",
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
        let to = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.head_series.set(to(metrics.head_series));
        self.head_chunks.set(to(metrics.head_chunks));
        self.samples_appended.raise(metrics.samples_appended);
        self.samples_dropped.raise(metrics.samples_dropped);
        self.exemplars_appended.raise(metrics.exemplars_appended);
        self.series_created.raise(metrics.series_created);
        self.series_removed.raise(metrics.series_removed);
        self.blocks.set(to(metrics.blocks));
        self.block_bytes.set(to(metrics.block_bytes));
        self.wal_bytes.set(to(metrics.wal_bytes));
        self.lowest_time.set(metrics.min_time.map_or(0, |time| time.millis() / 1000));
        self.trace_segments.set(to(traces.segments as u64));
        self.trace_bytes.set(to(traces.bytes));
        self.trace_spans.set(to(traces.spans));
        self.trace_records_corrupt.raise(traces.records_corrupt);
        self.span_metrics_combinations.set(to(span_metrics.combinations as u64));
        self.span_metrics_overflowed.raise(span_metrics.spans_overflowed);
    }
}

impl StorageGauges {
    /// Shows what each limit of series has refused.
    pub(crate) fn set_refused(&self, refused: &[RefusedSeries]) {
        let _one_at_a_time = self.setting.lock();
        for RefusedSeries { limit, count, .. } in refused {
            let counter = self.series_refused.with_label_values(&[limit]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }
}

/// A counter that shows a count which is kept elsewhere and only grows.
struct Mirror(IntCounter);

impl Mirror {
    fn raise(&self, count: u64) {
        self.0.inc_by(count.saturating_sub(self.0.get()));
    }
}
