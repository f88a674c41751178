//! The alerts that the dispatcher knows, by fingerprint.

use std::collections::HashMap;
use std::sync::Arc;

use model::Timestamp;

use crate::alert::{Alert, Fingerprint};

/// All alerts that are not over, and those of which it has not been told yet that they are.
#[derive(Default)]
pub(super) struct AlertStore {
    alerts: HashMap<Fingerprint, Arc<Alert>>,
}

impl AlertStore {
    /// Takes a new state of an alert and answers with what is then known of it: where the two overlap in time
    /// the alert began when either did, and the newer word on the rest counts.
    pub(super) fn merge(&mut self, mut alert: Alert) -> Arc<Alert> {
        let fingerprint = alert.fingerprint();
        if let Some(known) = self.alerts.get(&fingerprint) {
            let overlaps = known.ends_at.is_none_or(|end| end >= alert.starts_at)
                && alert.ends_at.is_none_or(|end| end >= known.starts_at);
            if overlaps {
                alert.starts_at = alert.starts_at.min(known.starts_at);
            }
        }
        let alert = Arc::new(alert);
        self.alerts.insert(fingerprint, Arc::clone(&alert));
        alert
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Alert> {
        self.alerts.values().map(|alert| Alert::clone(alert)).collect()
    }

    /// Forgets those that are over and that nobody else holds. A group holds an alert until it has told that it
    /// is over; forgotten before that, neither the groups of the next configuration nor those after a restart
    /// would tell it.
    pub(super) fn clear(&mut self, now: Timestamp) {
        self.alerts.retain(|_, alert| !alert.resolved(now) || Arc::strong_count(alert) > 1);
    }
}
