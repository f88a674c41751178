//! What sending says of itself, under Prometheus' names.

use std::time::Duration;

use instruments::SummaryVec;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// By the URL of the Alertmanager.
#[derive(Clone)]
pub(super) struct NotifierMetrics {
    sent: IntCounterVec,
    errors: IntCounterVec,
    dropped: IntCounterVec,
    latency: SummaryVec,
    length: IntGaugeVec,
    capacity: IntGaugeVec,
    pub(super) discovered: IntGauge,
}

impl NotifierMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let by = &["alertmanager"];
        let counter = |name: &str, help: &str| {
            let counter = IntCounterVec::new(Opts::new(name, help), by)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), by)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let latency = SummaryVec::new(
            Opts::new(
                "prometheus_notifications_latency_seconds",
                "How long one request to an Alertmanager took.",
            ),
            by,
            &[0.5, 0.9, 0.99],
        )?;
        registry.register(Box::new(latency.clone()))?;
        let discovered = IntGauge::new(
            "prometheus_notifications_alertmanagers_discovered",
            "Alertmanagers elsewhere that are told of alerts.",
        )?;
        registry.register(Box::new(discovered.clone()))?;
        Ok(Self {
            sent: counter("prometheus_notifications_sent_total", "Alerts sent, those in vain among them.")?,
            errors: counter("prometheus_notifications_errors_total", "Alerts that were sent in vain.")?,
            dropped: counter(
                "prometheus_notifications_dropped_total",
                "Alerts that did not arrive: sent in vain, or too many to wait.",
            )?,
            latency,
            length: gauge("prometheus_notifications_queue_length", "Alerts that wait to be sent.")?,
            capacity: gauge(
                "prometheus_notifications_queue_capacity",
                "Most alerts that may wait to be sent.",
            )?,
            discovered,
        })
    }

    /// Shows an Alertmanager before anything is sent, so that rates have something to start from.
    pub(super) fn introduce(&self, url: &str, capacity: usize) {
        for counter in [&self.sent, &self.errors, &self.dropped] {
            counter.with_label_values(&[url]);
        }
        self.latency.touch(&[url]);
        self.waiting(url, 0);
        self.capacity.with_label_values(&[url]).set(i64::try_from(capacity).unwrap_or(i64::MAX));
    }

    /// Forgets one that is gone.
    pub(super) fn forget(&self, url: &str) {
        // All of them are there since the Alertmanager is.
        for counter in [&self.sent, &self.errors, &self.dropped] {
            let _ = counter.remove_label_values(&[url]);
        }
        self.latency.remove(&[url]);
        for gauge in [&self.length, &self.capacity] {
            let _ = gauge.remove_label_values(&[url]);
        }
    }

    pub(super) fn waiting(&self, url: &str, count: usize) {
        self.length.with_label_values(&[url]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Alerts were thrown away before they were sent.
    pub(super) fn overflowed(&self, url: &str, count: usize) {
        self.dropped.with_label_values(&[url]).inc_by(count as u64);
    }

    /// A request with so many alerts has ended.
    pub(super) fn sent(&self, url: &str, count: usize, arrived: bool, took: Duration) {
        self.latency.observe(&[url], took.as_secs_f64());
        self.sent.with_label_values(&[url]).inc_by(count as u64);
        if !arrived {
            self.errors.with_label_values(&[url]).inc_by(count as u64);
            self.dropped.with_label_values(&[url]).inc_by(count as u64);
        }
    }
}
