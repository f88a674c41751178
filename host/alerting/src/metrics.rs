//! What the pipeline counts about itself.

use std::time::Duration;

use instruments::SummaryVec;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, exponential_buckets,
};

/// Metrics of rule evaluation, under Prometheus' names. Those of a group are by its file and name.
#[derive(Clone)]
pub(crate) struct RuleMetrics {
    pub(crate) evaluations: IntCounterVec,
    pub(crate) failures: IntCounterVec,
    pub(crate) evaluation_duration: SummaryVec,
    pub(crate) iterations: IntCounterVec,
    pub(crate) missed_iterations: IntCounterVec,
    pub(crate) group_duration: SummaryVec,
    pub(crate) group_interval: GaugeVec,
    pub(crate) group_rules: IntGaugeVec,
    pub(crate) group_last_time: GaugeVec,
    pub(crate) group_last_duration: GaugeVec,
    pub(crate) group_last_rule_duration_sum: GaugeVec,
    pub(crate) group_last_restore_duration: GaugeVec,
    pub(crate) group_last_samples: IntGaugeVec,
}

impl RuleMetrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let group = &["rule_group"];
        let counter = |name, help| counter(registry, name, help, group);
        let summary = |name: &str, help: &str, quantiles: &[f64]| {
            let summary = SummaryVec::new(Opts::new(name, help), &[], quantiles)?;
            registry.register(Box::new(summary.clone()))?;
            Ok::<_, prometheus::Error>(summary)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = GaugeVec::new(Opts::new(name, help), group)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let whole = |name: &str, help: &str| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), group)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        Ok(Self {
            evaluations: counter("prometheus_rule_evaluations_total", "Rules evaluated.")?,
            failures: counter("prometheus_rule_evaluation_failures_total", "Rules that failed.")?,
            evaluation_duration: summary(
                "prometheus_rule_evaluation_duration_seconds",
                "How long a rule's evaluation took.",
                &[0.5, 0.9, 0.99],
            )?,
            iterations: counter(
                "prometheus_rule_group_iterations_total",
                "Group evaluations that were due, those left out among them.",
            )?,
            missed_iterations: counter(
                "prometheus_rule_group_iterations_missed_total",
                "Group evaluations left out because an earlier one took too long.",
            )?,
            group_duration: summary(
                "prometheus_rule_group_duration_seconds",
                "How long a group's evaluation took.",
                &[0.01, 0.05, 0.5, 0.9, 0.99],
            )?,
            group_interval: gauge("prometheus_rule_group_interval_seconds", "A group's interval.")?,
            group_rules: whole("prometheus_rule_group_rules", "Rules of a group.")?,
            group_last_time: gauge(
                "prometheus_rule_group_last_evaluation_timestamp_seconds",
                "When a group was evaluated last.",
            )?,
            group_last_duration: gauge(
                "prometheus_rule_group_last_duration_seconds",
                "How long a group's last evaluation took.",
            )?,
            group_last_rule_duration_sum: gauge(
                "prometheus_rule_group_last_rule_duration_sum_seconds",
                "How long the rules of a group's last evaluation took, added up.",
            )?,
            group_last_restore_duration: gauge(
                "prometheus_rule_group_last_restore_duration_seconds",
                "How long it took to take over alerts of an earlier process.",
            )?,
            group_last_samples: whole(
                "prometheus_rule_group_last_evaluation_samples",
                "Samples of a group's last evaluation.",
            )?,
        })
    }

    /// Shows a group before its first evaluation, so that rates have something to start from.
    pub(crate) fn introduce(&self, group: &str, interval: Duration, rules: usize) {
        for counter in [&self.evaluations, &self.failures, &self.iterations, &self.missed_iterations] {
            counter.with_label_values(&[group]);
        }
        self.group_interval.with_label_values(&[group]).set(interval.as_secs_f64());
        self.group_rules.with_label_values(&[group]).set(i64::try_from(rules).unwrap_or(i64::MAX));
        self.group_last_samples.with_label_values(&[group]);
        for gauge in [&self.group_last_time, &self.group_last_duration] {
            gauge.with_label_values(&[group]);
        }
    }

    /// Forgets a group that is gone.
    pub(crate) fn forget(&self, group: &str) {
        // What a group does not have yet cannot be removed; that is no error.
        for counter in [&self.evaluations, &self.failures, &self.iterations, &self.missed_iterations] {
            let _ = counter.remove_label_values(&[group]);
        }
        for gauge in [
            &self.group_interval,
            &self.group_last_time,
            &self.group_last_duration,
            &self.group_last_rule_duration_sum,
            &self.group_last_restore_duration,
        ] {
            let _ = gauge.remove_label_values(&[group]);
        }
        for gauge in [&self.group_rules, &self.group_last_samples] {
            let _ = gauge.remove_label_values(&[group]);
        }
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
