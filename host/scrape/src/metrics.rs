//! What the scraper says of itself: under Prometheus' names where Prometheus has one, so that its dashboards and
//! alerts work on this server, and under names of our own otherwise.

use std::time::Duration;

use instruments::SummaryVec;
use model::format_duration;
use prometheus::core::Collector;
use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::Error;
use crate::ingest::Outcome;

/// Quantiles of how long scrapes were apart.
const INTERVAL_QUANTILES: [f64; 5] = [0.01, 0.05, 0.5, 0.9, 0.99];

/// The scraper's own metrics; registered once.
pub(crate) struct Metrics {
    scrapes: IntCounterVec,
    appended: IntCounter,
    rejected: IntCounterVec,
    pub(crate) pools: IntGauge,
    pub(crate) targets: IntGauge,
    pools_made: IntCounter,
    pub(crate) reloads: IntCounter,
    pub(crate) reloads_failed: IntCounter,
    syncs: IntCounterVec,
    syncs_failed: IntCounterVec,
    pool_targets: IntGaugeVec,
    pool_target_limit: IntGaugeVec,
    pub(crate) exceeded_target_limit: IntCounter,
    exceeded_label_limits: IntCounter,
    exceeded_body_size: IntCounter,
    exceeded_samples: IntCounter,
    exceeded_buckets: IntCounter,
    duplicates: IntCounter,
    out_of_order: IntCounter,
    out_of_bounds: IntCounter,
    exemplars_refused: IntCounter,
    intervals: SummaryVec,
    sync_lengths: SummaryVec,
    pub(crate) discovery: DiscoveryMetrics,
}

/// What discovery says of itself.
pub(crate) struct DiscoveryMetrics {
    targets: IntGaugeVec,
    received: IntCounterVec,
    updates: IntCounterVec,
    failures: IntCounterVec,
    durations: SummaryVec,
    http_failures: IntCounter,
    file_errors: IntCounter,
    file_mtimes: GaugeVec,
    file_scans: SummaryVec,
}

/// Registers metrics as they are made.
struct Maker<'r>(&'r Registry);

impl Maker<'_> {
    fn add<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.add(IntCounter::new(name, help)?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.add(IntGauge::new(name, help)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn summaries(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        quantiles: &[f64],
    ) -> Result<SummaryVec, prometheus::Error> {
        self.add(SummaryVec::new(Opts::new(name, help), labels, quantiles)?)
    }
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let m = Maker(registry);
        let job = ["scrape_job"];
        Ok(Self {
            scrapes: m.counters(
                "stormglass_scrape_scrapes_total",
                "Scrapes of targets and collectors, by how they ended.",
                &["outcome"],
            )?,
            appended: m.counter(
                "stormglass_scrape_samples_appended_total",
                "Samples of targets and collectors that storage took.",
            )?,
            rejected: m.counters(
                "stormglass_scrape_samples_rejected_total",
                "Samples and exemplars of otherwise good scrapes that were refused.",
                &["reason"],
            )?,
            pools: m.gauge("stormglass_scrape_pools", "Jobs and collectors that are scraped.")?,
            targets: m.gauge("stormglass_scrape_targets", "Targets and collectors that are scraped.")?,
            pools_made: m.counter("prometheus_target_scrape_pools_total", "Jobs that were set up.")?,
            reloads: m
                .counter("prometheus_target_scrape_pool_reloads_total", "Jobs that were set up anew.")?,
            reloads_failed: m.counter(
                "prometheus_target_scrape_pool_reloads_failed_total",
                "Reloads that jobs could not be set up by.",
            )?,
            syncs: m.counters(
                "prometheus_target_scrape_pool_sync_total",
                "Times that a job's targets were worked out.",
                &job,
            )?,
            syncs_failed: m.counters(
                "prometheus_target_sync_failed_total",
                "Discovered label sets of a job that made no target.",
                &job,
            )?,
            pool_targets: m.gauges("prometheus_target_scrape_pool_targets", "Targets of a job.", &job)?,
            pool_target_limit: m.gauges(
                "prometheus_target_scrape_pool_target_limit",
                "Most targets that a job may have; 0 for no limit.",
                &job,
            )?,
            exceeded_target_limit: m.counter(
                "prometheus_target_scrape_pool_exceeded_target_limit_total",
                "Times that a job had more targets than it may.",
            )?,
            exceeded_label_limits: m.counter(
                "prometheus_target_scrape_pool_exceeded_label_limits_total",
                "Scrapes that failed by a limit for labels.",
            )?,
            exceeded_body_size: m.counter(
                "prometheus_target_scrapes_exceeded_body_size_limit_total",
                "Scrapes that failed by the limit for the size of answers.",
            )?,
            exceeded_samples: m.counter(
                "prometheus_target_scrapes_exceeded_sample_limit_total",
                "Scrapes that failed by the limit for samples.",
            )?,
            exceeded_buckets: m.counter(
                "prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total",
                "Scrapes that failed by the limit for buckets of native histograms.",
            )?,
            duplicates: m.counter(
                "prometheus_target_scrapes_sample_duplicate_timestamp_total",
                "Samples that were refused since their series has another one of the same time.",
            )?,
            out_of_order: m.counter(
                "prometheus_target_scrapes_sample_out_of_order_total",
                "Samples that were refused since their series has a newer one.",
            )?,
            out_of_bounds: m.counter(
                "prometheus_target_scrapes_sample_out_of_bounds_total",
                "Samples that were refused since they are too old or too far ahead.",
            )?,
            exemplars_refused: m.counter(
                "prometheus_target_scrapes_exemplar_out_of_order_total",
                "Exemplars that were refused.",
            )?,
            intervals: m.summaries(
                "prometheus_target_interval_length_seconds",
                "How long the scrapes of a target were apart.",
                &["interval"],
                &INTERVAL_QUANTILES,
            )?,
            sync_lengths: m.summaries(
                "prometheus_target_sync_length_seconds",
                "How long it took to work out a job's targets.",
                &job,
                &INTERVAL_QUANTILES,
            )?,
            discovery: DiscoveryMetrics::register(&m)?,
        })
    }

    pub(crate) fn count(&self, outcome: &Outcome) {
        let ended = outcome.error.as_ref().map_or("success", |e| e.outcome());
        self.scrapes.with_label_values(&[ended]).inc();
        self.appended.inc_by(outcome.tally.appended);
        let rejected = outcome.tally.rejected;
        for (reason, count) in rejected.by_reason() {
            if count > 0 {
                self.rejected.with_label_values(&[reason]).inc_by(count);
            }
        }
        self.duplicates.inc_by(rejected.duplicate);
        self.out_of_order.inc_by(rejected.out_of_order);
        self.out_of_bounds.inc_by(rejected.out_of_bounds);
        self.exemplars_refused.inc_by(rejected.exemplars);
        match &outcome.error {
            Some(Error::BodyTooLong) => self.exceeded_body_size.inc(),
            Some(Error::SampleLimit) => self.exceeded_samples.inc(),
            Some(Error::BucketLimit) => self.exceeded_buckets.inc(),
            Some(Error::LabelLimit(_)) => self.exceeded_label_limits.inc(),
            _ => {}
        }
    }

    /// Two scrapes of a target of that interval were so far apart.
    pub(crate) fn observe_interval(&self, interval: Duration, apart: Duration) {
        self.intervals.observe(&[&format_duration(interval)], apart.as_secs_f64());
    }

    pub(crate) fn pool_made(&self) {
        self.pools_made.inc();
    }

    pub(crate) fn sync_failed(&self, job: &str) {
        self.syncs_failed.with_label_values(&[job]).inc();
    }

    /// A job's targets were worked out.
    pub(crate) fn synced(&self, job: &str, took: Duration, targets: usize, limit: u64) {
        self.syncs.with_label_values(&[job]).inc();
        self.sync_lengths.observe(&[job], took.as_secs_f64());
        self.pool_targets.with_label_values(&[job]).set(targets as i64);
        self.pool_target_limit.with_label_values(&[job]).set(i64::try_from(limit).unwrap_or(i64::MAX));
        // So that it is there before anything goes wrong.
        self.syncs_failed.with_label_values(&[job]);
    }

    /// A job is gone.
    pub(crate) fn forget_job(&self, job: &str) {
        self.sync_lengths.remove(&[job]);
        for gauges in [&self.pool_targets, &self.pool_target_limit] {
            // One that was never synced has none.
            let _ = gauges.remove_label_values(&[job]);
        }
        for counters in [&self.syncs, &self.syncs_failed] {
            let _ = counters.remove_label_values(&[job]);
        }
    }
}

impl DiscoveryMetrics {
    fn register(m: &Maker<'_>) -> Result<Self, prometheus::Error> {
        // Targets to scrape, and not Alertmanagers, are what this discovery is for.
        let name = ["name"];
        Ok(Self {
            targets: m.gauges(
                "prometheus_sd_discovered_targets",
                "Targets that discovery has found.",
                &["config", "name"],
            )?,
            received: m.counters(
                "prometheus_sd_received_updates_total",
                "Answers of discovery that were not what was known.",
                &name,
            )?,
            updates: m.counters(
                "prometheus_sd_updates_total",
                "Changes of targets that reached jobs.",
                &name,
            )?,
            failures: m.counters(
                "prometheus_sd_refresh_failures_total",
                "Attempts of discovery that failed.",
                &["mechanism", "config"],
            )?,
            durations: m.summaries(
                "prometheus_sd_refresh_duration_seconds",
                "How long one attempt of discovery took.",
                &["mechanism", "config"],
                &[0.5, 0.9, 0.99],
            )?,
            http_failures: m
                .counter("prometheus_sd_http_failures_total", "Requests for targets that failed.")?,
            file_errors: m.counter(
                "prometheus_sd_file_read_errors_total",
                "Files of targets that could not be read.",
            )?,
            file_mtimes: m.add(GaugeVec::new(
                Opts::new("prometheus_sd_file_mtime_seconds", "When a file of targets was changed."),
                &["filename"],
            )?)?,
            file_scans: m.summaries(
                "prometheus_sd_file_scan_duration_seconds",
                "How long it took to read the files of targets.",
                &[],
                &[0.5, 0.9, 0.99],
            )?,
        })
    }

    /// A discoverer of that mechanism was asked.
    pub(crate) fn asked(&self, mechanism: &str, config: &str, took: Duration, succeeded: bool) {
        self.durations.observe(&[mechanism, config], took.as_secs_f64());
        self.failures.with_label_values(&[mechanism, config]).inc_by(u64::from(!succeeded));
        match mechanism {
            "http" if !succeeded => self.http_failures.inc(),
            "file" => self.file_scans.observe(&[], took.as_secs_f64()),
            _ => {}
        }
    }

    /// It found what was not known.
    pub(crate) fn found(&self) {
        self.received.with_label_values(&["scrape"]).inc();
        self.updates.with_label_values(&["scrape"]).inc();
    }

    /// So many targets are known for a job, before relabelling.
    pub(crate) fn discovered(&self, job: &str, targets: usize) {
        self.targets.with_label_values(&[job, "scrape"]).set(targets as i64);
    }

    /// A job is gone.
    pub(crate) fn forget_job(&self, job: &str) {
        // One that was never looked for has none.
        let _ = self.targets.remove_label_values(&[job, "scrape"]);
    }

    /// A discoverer is gone.
    pub(crate) fn forget(&self, mechanism: &str, config: &str) {
        self.durations.remove(&[mechanism, config]);
        // One that never answered has none.
        let _ = self.failures.remove_label_values(&[mechanism, config]);
    }

    pub(crate) fn file_read(&self, name: &str, mtime_secs: Option<f64>) {
        match mtime_secs {
            Some(secs) => self.file_mtimes.with_label_values(&[name]).set(secs),
            // It has been removed, or was never read.
            None => drop(self.file_mtimes.remove_label_values(&[name])),
        }
    }

    pub(crate) fn file_failed(&self) {
        self.file_errors.inc();
    }
}
