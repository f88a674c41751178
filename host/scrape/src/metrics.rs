//! What the scraper says of itself.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::ingest::Outcome;

/// The scraper's own metrics; registered once.
pub(crate) struct Metrics {
    scrapes: IntCounterVec,
    appended: IntCounter,
    rejected: IntCounterVec,
    pub(crate) pools: IntGauge,
    pub(crate) targets: IntGauge,
    pub(crate) invalid_targets: IntCounter,
    polls: IntCounterVec,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, label: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let metric = IntCounterVec::new(Opts::new(name, help), label)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let metric = IntCounter::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let metric = IntGauge::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        Ok(Self {
            scrapes: counters(
                "stormglass_scrape_scrapes_total",
                "Scrapes of targets and collectors, by how they ended.",
                &["outcome"],
            )?,
            appended: counter(
                "stormglass_scrape_samples_appended_total",
                "Samples of targets and collectors that storage took.",
            )?,
            rejected: counters(
                "stormglass_scrape_samples_rejected_total",
                "Samples and exemplars of otherwise good scrapes that were refused.",
                &["reason"],
            )?,
            pools: gauge("stormglass_scrape_pools", "Jobs and collectors that are scraped.")?,
            targets: gauge("stormglass_scrape_targets", "Targets and collectors that are scraped.")?,
            invalid_targets: counter(
                "stormglass_scrape_targets_invalid_total",
                "Discovered label sets that made no target.",
            )?,
            polls: counters(
                "stormglass_scrape_discovery_polls_total",
                "Polls of discoverers, by how they ended.",
                &["discoverer", "outcome"],
            )?,
        })
    }

    pub(crate) fn count(&self, outcome: &Outcome) {
        let ended = outcome.error.as_ref().map_or("success", |e| e.outcome());
        self.scrapes.with_label_values(&[ended]).inc();
        self.appended.inc_by(outcome.tally.appended);
        for (reason, count) in outcome.tally.rejected.by_reason() {
            if count > 0 {
                self.rejected.with_label_values(&[reason]).inc_by(count);
            }
        }
    }

    pub(crate) fn count_poll(&self, discoverer: &str, succeeded: bool) {
        let outcome = if succeeded { "success" } else { "failure" };
        self.polls.with_label_values(&[discoverer, outcome]).inc();
    }
}
