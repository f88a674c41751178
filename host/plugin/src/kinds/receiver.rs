//! Receivers deliver groups of alerts.

use wasmtime::Store;

use crate::bindings::exports::stormglass::plugin::receiver as guest;
use crate::bindings::stormglass::types::types::PluginError as GuestError;
use crate::call::{Call, Refusal};
use crate::error::Operation;
use crate::kinds::{Label, labels_out};
use crate::limits::Limits;
use crate::state::State;

/// Whether an alert, or any alert of a group, still fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertStatus {
    /// It does.
    Firing,
    /// It is over.
    Resolved,
}

/// One alert. Names follow Alertmanager's webhook body, version 4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Whether it fires.
    pub status: AlertStatus,
    /// Its labels.
    pub labels: Vec<Label>,
    /// Its annotations.
    pub annotations: Vec<Label>,
    /// RFC 3339.
    pub starts_at: String,
    /// RFC 3339; `0001-01-01T00:00:00Z` while it fires.
    pub ends_at: String,
    /// Where it comes from.
    pub generator_url: String,
    /// Hash of the labels, hexadecimal.
    pub fingerprint: String,
}

/// One group of alerts to deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The same for every attempt to deliver the same thing.
    pub idempotency_key: String,
    /// 1 for the first.
    pub attempt: u32,
    /// Names the group.
    pub group_key: String,
    /// Firing as long as any alert is.
    pub status: AlertStatus,
    /// The receiver's name in the route.
    pub receiver: String,
    /// Labels that make the group.
    pub group_labels: Vec<Label>,
    /// Labels that all alerts share.
    pub common_labels: Vec<Label>,
    /// Annotations that all alerts share.
    pub common_annotations: Vec<Label>,
    /// Where the server is reached.
    pub external_url: String,
    /// Alerts left out because of a limit.
    pub truncated_alerts: u64,
    /// The alerts.
    pub alerts: Vec<Alert>,
}

pub(crate) struct Notify {
    pub(crate) guest: guest::Guest,
    pub(crate) notification: Notification,
}

impl Call for Notify {
    const OPERATION: Operation = Operation::Notify;
    type Raw = Result<(), GuestError>;
    type Answer = ();

    async fn run(self, store: &mut Store<State>) -> wasmtime::Result<Self::Raw> {
        let notification = self.notification.into();
        self.guest.call_notify(store, &notification).await
    }

    fn check(raw: Self::Raw, _limits: &Limits) -> Result<(), Refusal> {
        Ok(raw?)
    }
}

impl From<AlertStatus> for guest::AlertStatus {
    fn from(status: AlertStatus) -> Self {
        match status {
            AlertStatus::Firing => Self::Firing,
            AlertStatus::Resolved => Self::Resolved,
        }
    }
}

impl From<Alert> for guest::Alert {
    fn from(alert: Alert) -> Self {
        Self {
            status: alert.status.into(),
            labels: labels_out(alert.labels),
            annotations: labels_out(alert.annotations),
            starts_at: alert.starts_at,
            ends_at: alert.ends_at,
            generator_url: alert.generator_url,
            fingerprint: alert.fingerprint,
        }
    }
}

impl From<Notification> for guest::Notification {
    fn from(notification: Notification) -> Self {
        Self {
            idempotency_key: notification.idempotency_key,
            attempt: notification.attempt,
            group_key: notification.group_key,
            status: notification.status.into(),
            receiver: notification.receiver,
            group_labels: labels_out(notification.group_labels),
            common_labels: labels_out(notification.common_labels),
            common_annotations: labels_out(notification.common_annotations),
            external_url: notification.external_url,
            truncated_alerts: notification.truncated_alerts,
            alerts: notification.alerts.into_iter().map(Into::into).collect(),
        }
    }
}
