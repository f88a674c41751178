//! An alert on its way from a rule (or an API client) to the dispatcher.

use std::collections::BTreeMap;
use std::fmt;

use model::{Labels, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Takes alerts. The dispatcher is one; the server may put a switch before it.
pub trait AlertSink: Send + Sync {
    /// Takes alerts that are new, changed, still firing or resolved. Never blocks.
    fn put(&self, alerts: Vec<Alert>);
}

/// An alert, named by its labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What names it; two alerts with the same labels are the same alert.
    #[serde(with = "label_map")]
    pub labels: Labels,
    /// What is said about it; may change from one evaluation to the next.
    #[serde(with = "label_map")]
    pub annotations: Labels,
    /// Since when it fires.
    #[serde(with = "millis")]
    pub starts_at: Timestamp,
    /// From when on it counts as resolved, which may lie ahead: a sender that falls silent lets its alerts end.
    /// `None` leaves that to the dispatcher's resolve timeout.
    #[serde(with = "optional_millis")]
    pub ends_at: Option<Timestamp>,
    /// Where its expression can be looked at.
    pub generator_url: String,
}

impl Alert {
    /// Its fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.labels)
    }

    /// Whether it is over at `now`.
    pub fn resolved(&self, now: Timestamp) -> bool {
        self.ends_at.is_some_and(|ends_at| ends_at <= now)
    }
}

/// Names a label set in 64 bits, exactly as Prometheus and Alertmanager compute it, since users see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// FNV-1a over the sorted pairs, a 0xff after each name and each value.
    pub fn of(labels: &Labels) -> Self {
        let mut hash = Fnv::new();
        for (name, value) in labels {
            hash.write(name.as_bytes());
            hash.write(&[0xff]);
            hash.write(value.as_bytes());
            hash.write(&[0xff]);
        }
        Self(hash.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// FNV-1a, 64 bits. Its values are seen by users and stored, so that no hasher that may change will do.
#[derive(Clone, Copy)]
pub(crate) struct Fnv(pub(crate) u64);

impl Fnv {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// Label sets as JSON objects.
pub(crate) mod label_map {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(labels: &Labels, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(labels.iter())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
        BTreeMap::<String, String>::deserialize(deserializer).map(Labels::from_pairs)
    }
}

/// Timestamps as milliseconds.
pub(crate) mod millis {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        at.millis().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(deserializer).map(Timestamp::from_millis)
    }
}

/// As [`millis`], or nothing.
pub(crate) mod optional_millis {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(at: &Option<Timestamp>, s: S) -> Result<S::Ok, S::Error> {
        at.map(Timestamp::millis).serialize(s)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<i64>::deserialize(d)?.map(Timestamp::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_prometheus_own() {
        // The empty set's fingerprint is FNV's offset basis.
        assert_eq!(Fingerprint::of(&Labels::empty()).to_string(), "cbf29ce484222325");
        let labels = Labels::from_pairs([("alertname", "x")]);
        let mut expected: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in b"alertname\xffx\xff" {
            expected = (expected ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        assert_eq!(Fingerprint::of(&labels), Fingerprint(expected));
    }
}
