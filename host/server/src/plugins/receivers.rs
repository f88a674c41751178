//! Receivers are the last stage of the alert pipeline.

use std::sync::Arc;

use alerting::{Notification, NotifyError, Status};
use async_trait::async_trait;
use model::{Labels, Timestamp};
use plugin::{Alert, AlertStatus, CallError, Instance, Label};

/// Delivers notifications through a plugin.
pub(crate) struct PluginReceiver(pub(crate) Arc<Instance>);

#[async_trait]
impl alerting::Receiver for PluginReceiver {
    async fn notify(&self, notification: &Notification) -> Result<(), NotifyError> {
        self.0.notify(to_guest(notification)).await.map_err(|error| failure(&error))
    }
}

fn failure(error: &CallError) -> NotifyError {
    let message = error.to_string();
    if error.kind.is_retryable() {
        NotifyError::Retryable { message, after: error.kind.retry_after() }
    } else {
        NotifyError::Permanent { message }
    }
}

fn to_guest(notification: &Notification) -> plugin::Notification {
    plugin::Notification {
        idempotency_key: notification.idempotency_key.clone(),
        attempt: notification.attempt,
        group_key: notification.group_key.clone(),
        status: status(notification.status),
        receiver: notification.receiver.clone(),
        group_labels: labels(&notification.group_labels),
        common_labels: labels(&notification.common_labels),
        common_annotations: labels(&notification.common_annotations),
        external_url: notification.external_url.clone(),
        truncated_alerts: notification.truncated_alerts,
        alerts: notification
            .alerts
            .iter()
            .map(|alert| Alert {
                status: status(alert.status),
                labels: labels(&alert.labels),
                annotations: labels(&alert.annotations),
                starts_at: time(alert.starts_at),
                ends_at: time(alert.ends_at),
                generator_url: alert.generator_url.clone(),
                fingerprint: alert.fingerprint.to_string(),
            })
            .collect(),
    }
}

const fn status(status: Status) -> AlertStatus {
    match status {
        Status::Firing => AlertStatus::Firing,
        Status::Resolved => AlertStatus::Resolved,
    }
}

fn labels(labels: &Labels) -> Vec<Label> {
    labels.iter().map(|(name, value)| Label { name: name.to_owned(), value: value.to_owned() }).collect()
}

fn time(at: Option<Timestamp>) -> String {
    alerting::rfc3339_or_zero(at)
}
