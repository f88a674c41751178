//! What the pipeline counts about itself.

use std::time::Duration;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, exponential_buckets,
};

/// Metrics of rule evaluation.
#[derive(Clone)]
pub(crate) struct RuleMetrics {
    pub(crate) evaluations: IntCounterVec,
    pub(crate) failures: IntCounterVec,
    pub(crate) missed_iterations: IntCounterVec,
    pub(crate) group_duration: HistogramVec,
    pub(crate) group_last_samples: IntGaugeVec,
}

impl RuleMetrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let group = &["rule_group"];
        let counter = |name, help| counter(registry, name, help, group);
        let metrics = Self {
            evaluations: counter("stormglass_rule_evaluations_total", "Rules evaluated.")?,
            failures: counter("stormglass_rule_evaluation_failures_total", "Rules that failed.")?,
            missed_iterations: counter(
                "stormglass_rule_group_iterations_missed_total",
                "Group evaluations left out because an earlier one took too long.",
            )?,
            group_duration: histogram(
                registry,
                "stormglass_rule_group_duration_seconds",
                "How long a group's evaluation took.",
                &[],
            )?,
            group_last_samples: IntGaugeVec::new(
                Opts::new("stormglass_rule_group_last_samples", "Samples of a group's last evaluation."),
                group,
            )?,
        };
        registry.register(Box::new(metrics.group_last_samples.clone()))?;
        Ok(metrics)
    }

    /// Forgets a group that is gone.
    pub(crate) fn forget(&self, group: &str) {
        // A group that was never evaluated has no series yet; that is no error.
        for counter in [&self.evaluations, &self.failures, &self.missed_iterations] {
            let _ = counter.remove_label_values(&[group]);
        }
        let _ = self.group_last_samples.remove_label_values(&[group]);
    }
}

/// Metrics of notification.
#[derive(Clone)]
pub(crate) struct NotificationMetrics {
    pub(crate) alerts_received: IntCounterVec,
    pub(crate) sent: IntCounterVec,
    pub(crate) attempts: IntCounterVec,
    pub(crate) failures: IntCounterVec,
    pub(crate) duration: HistogramVec,
}

impl NotificationMetrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let by = &["receiver", "plugin"];
        Ok(Self {
            alerts_received: counter(
                registry,
                "stormglass_notifications_alerts_received_total",
                "Alerts that reached the dispatcher.",
                &["status"],
            )?,
            sent: counter(registry, "stormglass_notifications_total", "Notifications delivered.", by)?,
            attempts: counter(
                registry,
                "stormglass_notifications_attempts_total",
                "Attempts to deliver, failed ones among them.",
                by,
            )?,
            failures: counter(
                registry,
                "stormglass_notifications_failed_total",
                "Notifications given up, by reason.",
                &["receiver", "plugin", "reason"],
            )?,
            duration: histogram(
                registry,
                "stormglass_notifications_duration_seconds",
                "How long one attempt to deliver took.",
                by,
            )?,
        })
    }

    pub(crate) fn observe_attempt(&self, receiver: &str, plugin: &str, took: Duration) {
        self.attempts.with_label_values(&[receiver, plugin]).inc();
        self.duration.with_label_values(&[receiver, plugin]).observe(took.as_secs_f64());
    }
}

fn counter(registry: &Registry, name: &str, help: &str, by: &[&str]) -> prometheus::Result<IntCounterVec> {
    let counter = IntCounterVec::new(Opts::new(name, help), by)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn histogram(registry: &Registry, name: &str, help: &str, by: &[&str]) -> prometheus::Result<HistogramVec> {
    let buckets = exponential_buckets(0.001, 4.0, 9)?;
    let histogram = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), by)?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}
