//! Gauges that mirror what storage says of itself; brought up to date whenever somebody looks.

use prometheus::{IntGauge, Registry};
use traces::StoreStats;
use tsdb::Stats;

/// See the module.
pub(crate) struct StorageGauges {
    head_series: IntGauge,
    head_chunks: IntGauge,
    head_samples: IntGauge,
    samples_dropped: IntGauge,
    exemplars: IntGauge,
    blocks: IntGauge,
    block_bytes: IntGauge,
    wal_bytes: IntGauge,
    lowest_time: IntGauge,
    trace_segments: IntGauge,
    trace_bytes: IntGauge,
    trace_spans: IntGauge,
}

impl StorageGauges {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        Ok(Self {
            head_series: gauge("stormglass_tsdb_head_series", "Series in the head.")?,
            head_chunks: gauge("stormglass_tsdb_head_chunks", "Chunks in the head.")?,
            head_samples: gauge("stormglass_tsdb_samples_appended", "Samples appended since the start.")?,
            samples_dropped: gauge(
                "stormglass_tsdb_samples_dropped",
                "Samples dropped since the start because a newer one of their series was committed first.",
            )?,
            exemplars: gauge("stormglass_tsdb_exemplars_appended", "Exemplars appended since the start.")?,
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
        })
    }

    pub(crate) fn set(&self, metrics: &Stats, traces: &StoreStats) {
        let to = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.head_series.set(to(metrics.head_series));
        self.head_chunks.set(to(metrics.head_chunks));
        self.head_samples.set(to(metrics.samples_appended));
        self.samples_dropped.set(to(metrics.samples_dropped));
        self.exemplars.set(to(metrics.exemplars_appended));
        self.blocks.set(to(metrics.blocks));
        self.block_bytes.set(to(metrics.block_bytes));
        self.wal_bytes.set(to(metrics.wal_bytes));
        self.lowest_time.set(metrics.min_time.map_or(0, |time| time.millis() / 1000));
        self.trace_segments.set(to(traces.segments as u64));
        self.trace_bytes.set(to(traces.bytes));
        self.trace_spans.set(to(traces.spans));
    }
}
