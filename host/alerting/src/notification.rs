//! What a receiver is told, in the shape of Alertmanager's webhook body, version 4.

use std::time::Duration;

use async_trait::async_trait;
use model::{Labels, Timestamp};
use serde::{Serialize, Serializer};

use crate::alert::{Alert, Fingerprint, label_map};
use crate::clock::rfc3339_or_zero;

/// Delivers notifications.
#[async_trait]
pub trait Receiver: Send + Sync {
    /// Delivers one notification. May be called again with the same idempotency key, after a failure or after
    /// a crash; the call is dropped when the group's deadline passes.
    ///
    /// # Errors
    /// [`NotifyError`], which says whether another attempt makes sense.
    async fn notify(&self, notification: &Notification) -> Result<(), NotifyError>;
}

/// Why a notification was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// May go well later.
    #[error("{message}")]
    Retryable {
        /// What happened.
        message: String,
        /// How long the other side asked to be left alone.
        after: Option<Duration>,
    },
    /// Will not go well however often it is tried.
    #[error("{message}")]
    Permanent {
        /// What happened.
        message: String,
    },
}

/// Whether something goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It goes on.
    Firing,
    /// It is over.
    Resolved,
}

/// One message about one group of alerts to one receiver. Serialises to the version 4 body.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// The receiver's name.
    pub receiver: String,
    /// Firing while any alert of the group fires.
    pub status: Status,
    /// The group's alerts, by job, instance, then all labels.
    pub alerts: Vec<NotificationAlert>,
    /// The labels that the group was made by.
    #[serde(with = "label_map")]
    pub group_labels: Labels,
    /// The labels that all alerts share.
    #[serde(with = "label_map")]
    pub common_labels: Labels,
    /// The annotations that all alerts share.
    #[serde(with = "label_map")]
    pub common_annotations: Labels,
    /// Where this server is reached.
    #[serde(rename = "externalURL")]
    pub external_url: String,
    /// The body's version, always `4`.
    pub version: &'static str,
    /// Names the group, and stays the same for as long as the configuration does.
    pub group_key: String,
    /// How many alerts were left out because of `max_alerts`.
    pub truncated_alerts: u64,
    /// The same for every attempt to deliver the same news, across restarts too.
    #[serde(skip)]
    pub idempotency_key: String,
    /// 1 for the first attempt.
    #[serde(skip)]
    pub attempt: u32,
}

/// One alert of a notification.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationAlert {
    /// Whether it still fires.
    pub status: Status,
    /// Its labels.
    #[serde(with = "label_map")]
    pub labels: Labels,
    /// Its annotations.
    #[serde(with = "label_map")]
    pub annotations: Labels,
    /// Since when it fires.
    #[serde(serialize_with = "time")]
    pub starts_at: Option<Timestamp>,
    /// When it ended; `None`, which prints as Go's zero time, while it fires.
    #[serde(serialize_with = "time")]
    pub ends_at: Option<Timestamp>,
    /// Where its expression can be looked at.
    #[serde(rename = "generatorURL")]
    pub generator_url: String,
    /// Its fingerprint, 16 hexadecimal digits.
    #[serde(serialize_with = "display")]
    pub fingerprint: Fingerprint,
}

impl NotificationAlert {
    /// The alert as it stands; one that fires has no end.
    pub(crate) fn new(alert: &Alert, resolved: bool) -> Self {
        Self {
            status: if resolved { Status::Resolved } else { Status::Firing },
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            starts_at: Some(alert.starts_at),
            ends_at: alert.ends_at.filter(|_| resolved),
            generator_url: alert.generator_url.clone(),
            fingerprint: alert.fingerprint(),
        }
    }
}

/// The pairs that all sets share.
pub(crate) fn common<'a>(mut sets: impl Iterator<Item = &'a Labels>) -> Labels {
    let Some(first) = sets.next() else { return Labels::empty() };
    let mut shared: Vec<_> = first.iter().collect();
    for set in sets {
        shared.retain(|(name, value)| set.get(name) == Some(value));
    }
    Labels::from_pairs(shared)
}

fn time<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339_or_zero(*at))
}

fn display<S: Serializer>(value: &Fingerprint, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
