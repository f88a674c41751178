//! The notification log: what each integration was last told about each group.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alert::{Fingerprint, Fnv, millis};

/// What one integration was last told about one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The group's key, receiver, plugin and the plugin's place in the receiver.
    pub(super) key: String,
    /// When.
    #[serde(with = "millis")]
    pub(super) at: Timestamp,
    /// When the entry may be forgotten: it matters for the repeat interval only.
    #[serde(with = "millis")]
    pub(super) expires_at: Timestamp,
    /// What fired.
    pub(super) firing: BTreeSet<Fingerprint>,
    /// What was over.
    pub(super) resolved: BTreeSet<Fingerprint>,
}

/// The log.
#[derive(Default)]
pub(super) struct NotificationLog {
    entries: HashMap<String, Entry>,
}

/// The alerts of a group as they stand when it is looked at.
pub(super) struct Standing {
    pub(super) firing: BTreeSet<Fingerprint>,
    pub(super) resolved: BTreeSet<Fingerprint>,
}

impl NotificationLog {
    pub(super) fn from_entries(entries: Vec<Entry>) -> Self {
        Self { entries: entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect() }
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.entries.values().cloned().collect()
    }

    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(super) fn put(&mut self, entry: Entry) {
        self.entries.insert(entry.key.clone(), entry);
    }

    pub(super) fn clear(&mut self, now: Timestamp) {
        self.entries.retain(|_, entry| entry.expires_at > now);
    }
}

impl Standing {
    /// Whether there is something to tell to an integration that was last told `entry`.
    pub(super) fn is_news(
        &self,
        entry: Option<&Entry>,
        send_resolved: bool,
        repeat: Duration,
        now: Timestamp,
    ) -> bool {
        let Some(entry) = entry else { return !self.firing.is_empty() };
        if !self.firing.is_subset(&entry.firing) {
            return true;
        }
        // That everything is over is logged even where it is not told, so that the next firing counts as new.
        if self.firing.is_empty() {
            return !entry.firing.is_empty();
        }
        if send_resolved && !self.resolved.is_subset(&entry.resolved) {
            return true;
        }
        entry.at < now - repeat
    }

    /// Names this piece of news: the same before and after a crash between delivery and logging.
    pub(super) fn idempotency_key(&self, key: &str, entry: Option<&Entry>) -> String {
        let mut hash = Fnv::new();
        hash.write(key.as_bytes());
        hash.write(&entry.map_or(0, |entry| entry.at.millis()).to_le_bytes());
        for set in [&self.firing, &self.resolved] {
            hash.write(&(set.len() as u64).to_le_bytes());
            for fingerprint in set {
                hash.write(&fingerprint.0.to_le_bytes());
            }
        }
        format!("{:016x}", hash.0)
    }
}
