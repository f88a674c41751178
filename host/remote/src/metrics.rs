//! What queues say of themselves, under Prometheus' names, so that its dashboards and alerts work here.

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

/// The labels that tell queues apart.
const QUEUE: [&str; 2] = ["remote_name", "url"];

/// Durations of requests, in seconds: Prometheus' own buckets, and its further ones.
const BUCKETS: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 120.0, 300.0, 600.0];

/// What is counted for each kind of item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sample,
    Histogram,
    Exemplar,
    Metadata,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Sample, Self::Histogram, Self::Exemplar, Self::Metadata];

    const fn plural(self) -> &'static str {
        match self {
            Self::Sample => "samples",
            Self::Histogram => "histograms",
            Self::Exemplar => "exemplars",
            Self::Metadata => "metadata",
        }
    }
}

/// One of each kind.
#[derive(Clone)]
pub(crate) struct ByKind<T>([T; 4]);

impl<T> ByKind<T> {
    fn new(make: impl FnMut(Kind) -> prometheus::Result<T>) -> prometheus::Result<Self> {
        let [a, b, c, d] = Kind::ALL.map(make);
        Ok(Self([a?, b?, c?, d?]))
    }

    pub(crate) const fn of(&self, kind: Kind) -> &T {
        let [samples, histograms, exemplars, metadata] = &self.0;
        match kind {
            Kind::Sample => samples,
            Kind::Histogram => histograms,
            Kind::Exemplar => exemplars,
            Kind::Metadata => metadata,
        }
    }
}

/// The metrics of all queues.
#[derive(Clone)]
pub(crate) struct Metrics {
    sent: ByKind<IntCounterVec>,
    failed: ByKind<IntCounterVec>,
    retried: ByKind<IntCounterVec>,
    dropped: ByKind<IntCounterVec>,
    pending: ByKind<IntGaugeVec>,
    enqueue_retries: IntCounterVec,
    duration: HistogramVec,
    highest_sent: GaugeVec,
    highest_queued: GaugeVec,
    shard_capacity: IntGaugeVec,
    shards: IntGaugeVec,
    shards_max: IntGaugeVec,
    shards_min: IntGaugeVec,
    shards_desired: GaugeVec,
    bytes: IntCounterVec,
    metadata_bytes: IntCounterVec,
    max_samples_per_send: IntGaugeVec,
    segment: IntGaugeVec,
    records: IntCounterVec,
    gaps: IntCounterVec,
    damaged: IntCounterVec,
    /// The newest sample of all, in seconds.
    pub(crate) highest: Gauge,
}

/// The metrics of one queue. Dropping it takes them away.
pub(crate) struct QueueMetrics {
    all: Metrics,
    name: String,
    url: String,
    pub(crate) sent: ByKind<IntCounter>,
    pub(crate) failed: ByKind<IntCounter>,
    pub(crate) retried: ByKind<IntCounter>,
    pub(crate) pending: ByKind<IntGauge>,
    pub(crate) enqueue_retries: IntCounter,
    pub(crate) duration: Histogram,
    pub(crate) highest_sent: Gauge,
    pub(crate) highest_queued: Gauge,
    pub(crate) shard_capacity: IntGauge,
    pub(crate) shards: IntGauge,
    pub(crate) shards_max: IntGauge,
    pub(crate) shards_min: IntGauge,
    pub(crate) shards_desired: Gauge,
    pub(crate) bytes: IntCounter,
    pub(crate) metadata_bytes: IntCounter,
    pub(crate) max_samples_per_send: IntGauge,
    pub(crate) segment: IntGauge,
    pub(crate) records: IntCounter,
    pub(crate) gaps: IntCounter,
    pub(crate) damaged: IntCounter,
}

/// Registers metrics of one kind after the other.
struct Registrar<'r>(&'r Registry);

impl Registrar<'_> {
    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn gauges(&self, name: &str, help: &str) -> prometheus::Result<IntGaugeVec> {
        let metric = IntGaugeVec::new(Opts::new(name, help), &QUEUE)?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn floats(&self, name: &str, help: &str) -> prometheus::Result<GaugeVec> {
        let metric = GaugeVec::new(Opts::new(name, help), &QUEUE)?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn by_kind(
        &self,
        suffix: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<ByKind<IntCounterVec>> {
        ByKind::new(|kind| {
            let kind = kind.plural();
            self.counters(&storage(&format!("{kind}_{suffix}")), &help.replace("{kind}", kind), labels)
        })
    }
}

fn storage(name: &str) -> String {
    format!("prometheus_remote_storage_{name}")
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let new = Registrar(registry);
        let with_reason = [QUEUE[0], QUEUE[1], "reason"];
        let consumer = ["consumer"];
        let duration = HistogramVec::new(
            HistogramOpts::new(
                storage("sent_batch_duration_seconds"),
                "Duration of send calls to the remote storage.",
            )
            .buckets(BUCKETS.to_vec()),
            &QUEUE,
        )?;
        registry.register(Box::new(duration.clone()))?;
        let highest = Gauge::new(
            storage("highest_timestamp_in_seconds"),
            "Highest timestamp that has come into the remote storage, in seconds since epoch.",
        )?;
        registry.register(Box::new(highest.clone()))?;
        Ok(Self {
            sent: new.by_kind("total", "Total number of {kind} sent to remote storage.", &QUEUE)?,
            failed: new.by_kind(
                "failed_total",
                "Total number of {kind} which failed on send to remote storage, non-recoverable errors.",
                &QUEUE,
            )?,
            retried: new.by_kind(
                "retried_total",
                "Total number of {kind} which failed on send to remote storage but were retried because the send error was recoverable.",
                &QUEUE,
            )?,
            dropped: new.by_kind(
                "dropped_total",
                "Total number of {kind} which were dropped after being read from the WAL before being sent via remote write.",
                &with_reason,
            )?,
            pending: ByKind::new(|kind| {
                let kind = kind.plural();
                let help = format!("The number of {kind} pending in the queues shards to be sent to the remote storage.");
                new.gauges(&storage(&format!("{kind}_pending")), &help)
            })?,
            enqueue_retries: new.counters(
                &storage("enqueue_retries_total"),
                "Total number of times enqueue has failed because a shards queue was full.",
                &QUEUE,
            )?,
            duration,
            highest_sent: new.floats(
                &storage("queue_highest_sent_timestamp_seconds"),
                "Timestamp from a WAL sample, the highest timestamp successfully sent by this queue, in seconds since epoch.",
            )?,
            highest_queued: new.floats(
                &storage("queue_highest_timestamp_seconds"),
                "Timestamp from a WAL sample, the highest timestamp read by this queue, in seconds since epoch.",
            )?,
            shard_capacity: new.gauges(&storage("shard_capacity"), "The capacity of each shard of the queue.")?,
            shards: new.gauges(&storage("shards"), "The number of shards used for parallel sending.")?,
            shards_max: new.gauges(&storage("shards_max"), "The maximum number of shards that the queue is allowed to run.")?,
            shards_min: new.gauges(&storage("shards_min"), "The minimum number of shards that the queue is allowed to run.")?,
            shards_desired: new.floats(
                &storage("shards_desired"),
                "The number of shards that the queues shard calculation wants to run based on the rate of samples in vs. samples out.",
            )?,
            bytes: new.counters(
                &storage("bytes_total"),
                "The total number of bytes of data (not metadata) sent by the queue after compression.",
                &QUEUE,
            )?,
            metadata_bytes: new.counters(
                &storage("metadata_bytes_total"),
                "The total number of bytes of metadata sent by the queue after compression.",
                &QUEUE,
            )?,
            max_samples_per_send: new.gauges(
                &storage("max_samples_per_send"),
                "The maximum number of samples to be sent, in a single request, to the remote storage.",
            )?,
            segment: {
                let help = "Current segment the WAL watcher is reading records from.";
                let metric = IntGaugeVec::new(Opts::new("prometheus_wal_watcher_current_segment", help), &consumer)?;
                registry.register(Box::new(metric.clone()))?;
                metric
            },
            records: new.counters(
                "prometheus_wal_watcher_records_read_total",
                "Number of records read by the WAL watcher from the WAL.",
                &consumer,
            )?,
            gaps: new.counters(
                "stormglass_remote_write_log_gaps_total",
                "How often part of the log was gone before it was sent, since the other server was away for too long.",
                &QUEUE,
            )?,
            damaged: new.counters(
                "stormglass_remote_write_log_damaged_total",
                "Damaged stretches of the log that were passed over.",
                &QUEUE,
            )?,
            highest,
        })
    }

    /// The metrics of a queue.
    pub(crate) fn queue(&self, name: &str, url: &str) -> prometheus::Result<QueueMetrics> {
        let labels = [name, url];
        let of = |all: &ByKind<IntCounterVec>| {
            ByKind::new(|kind| all.of(kind).get_metric_with_label_values(&labels))
        };
        Ok(QueueMetrics {
            sent: of(&self.sent)?,
            failed: of(&self.failed)?,
            retried: of(&self.retried)?,
            pending: ByKind::new(|kind| self.pending.of(kind).get_metric_with_label_values(&labels))?,
            enqueue_retries: self.enqueue_retries.get_metric_with_label_values(&labels)?,
            duration: self.duration.get_metric_with_label_values(&labels)?,
            highest_sent: self.highest_sent.get_metric_with_label_values(&labels)?,
            highest_queued: self.highest_queued.get_metric_with_label_values(&labels)?,
            shard_capacity: self.shard_capacity.get_metric_with_label_values(&labels)?,
            shards: self.shards.get_metric_with_label_values(&labels)?,
            shards_max: self.shards_max.get_metric_with_label_values(&labels)?,
            shards_min: self.shards_min.get_metric_with_label_values(&labels)?,
            shards_desired: self.shards_desired.get_metric_with_label_values(&labels)?,
            bytes: self.bytes.get_metric_with_label_values(&labels)?,
            metadata_bytes: self.metadata_bytes.get_metric_with_label_values(&labels)?,
            max_samples_per_send: self.max_samples_per_send.get_metric_with_label_values(&labels)?,
            segment: self.segment.get_metric_with_label_values(&[name])?,
            records: self.records.get_metric_with_label_values(&[name])?,
            gaps: self.gaps.get_metric_with_label_values(&labels)?,
            damaged: self.damaged.get_metric_with_label_values(&labels)?,
            all: self.clone(),
            name: name.to_owned(),
            url: url.to_owned(),
        })
    }
}

/// Why an item was not sent.
pub(crate) const TOO_OLD: &str = "too_old";
/// Relabelling said so.
pub(crate) const DROPPED_SERIES: &str = "dropped_series";
/// Its series is not known, which only damage of the log explains.
pub(crate) const UNKNOWN_SERIES: &str = "unintentionally_dropped_series";

impl QueueMetrics {
    pub(crate) fn dropped(&self, kind: Kind, reason: &str, count: usize) {
        let labels = [self.name.as_str(), &self.url, reason];
        self.all.dropped.of(kind).with_label_values(&labels).inc_by(count as u64);
    }

    /// Notes the time of a sample that was read.
    pub(crate) fn saw(&self, seconds: f64) {
        for gauge in [&self.all.highest, &self.highest_queued] {
            gauge.set(gauge.get().max(seconds));
        }
    }
}

impl Drop for QueueMetrics {
    fn drop(&mut self) {
        let labels = [self.name.as_str(), self.url.as_str()];
        let all = &self.all;
        for kind in Kind::ALL {
            for counters in [&all.sent, &all.failed, &all.retried] {
                let _ = counters.of(kind).remove_label_values(&labels);
            }
            let _ = all.pending.of(kind).remove_label_values(&labels);
            for reason in [TOO_OLD, DROPPED_SERIES, UNKNOWN_SERIES] {
                let _ = all.dropped.of(kind).remove_label_values(&[labels[0], labels[1], reason]);
            }
        }
        for gauges in
            [&all.shard_capacity, &all.shards, &all.shards_max, &all.shards_min, &all.max_samples_per_send]
        {
            let _ = gauges.remove_label_values(&labels);
        }
        for gauges in [&all.highest_sent, &all.highest_queued, &all.shards_desired] {
            let _ = gauges.remove_label_values(&labels);
        }
        for counters in [&all.enqueue_retries, &all.bytes, &all.metadata_bytes, &all.gaps, &all.damaged] {
            let _ = counters.remove_label_values(&labels);
        }
        let _ = all.duration.remove_label_values(&labels);
        let _ = all.segment.remove_label_values(&[&self.name]);
        let _ = all.records.remove_label_values(&[&self.name]);
    }
}
