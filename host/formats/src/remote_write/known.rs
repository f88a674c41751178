//! Labels of series that were seen before, by the bytes that name them.
//!
//! What is found was compared byte by byte: the bytes of checked labels need no second check. Labels that are
//! unsorted or empty on the wire are never found, and are built each time.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ahash::{AHashMap, RandomState};
use model::Labels;

use crate::wire::{Field, Message, MessageWriter};

/// So many requests can look series up at once without waiting for each other, mostly. Four bits of a hash choose.
const SHARDS: usize = 1 << 4;

pub(super) struct KnownLabels {
    hasher: RandomState,
    shards: [Mutex<Generations>; SHARDS],
    shard_series_max: usize,
}

/// Labels by the hash of their span. Where two share a hash, one of them is known.
struct Generations {
    young: AHashMap<u64, Labels>,
    /// What was young before that became full. Whoever is not asked for until that happens again is forgotten.
    old: AHashMap<u64, Labels>,
}

/// Where labels belong that were not found.
pub(super) struct Slot<'k> {
    known: &'k KnownLabels,
    hash: u64,
}

impl KnownLabels {
    pub(super) fn new(series_max: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::new(Generations::new())),
            shard_series_max: series_max.div_ceil(SHARDS),
        }
    }

    /// The labels that would be encoded as this span.
    pub(super) fn find(&self, span: &[u8]) -> Result<Labels, Slot<'_>> {
        let hash = self.hasher.hash_one(span);
        let slot = Slot { known: self, hash };
        let mut shard = self.shard(hash);
        if let Some(found) = shard.young.get(&hash) {
            return if found.as_encoded() == span { Ok(found.clone()) } else { Err(slot) };
        }
        match shard.old.remove(&hash) {
            Some(found) if found.as_encoded() == span => {
                shard.insert(hash, found.clone(), self.shard_series_max);
                Ok(found)
            }
            _ => Err(slot),
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        let counts = self.shards.iter().map(|shard| {
            let shard = shard.lock().unwrap();
            shard.young.len() + shard.old.len()
        });
        counts.sum()
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Generations> {
        // The maps take the low bits of what they make of the hash; any bits will do here.
        let [first, rest @ ..] = &self.shards;
        let shard = rest.get((hash >> 60) as usize).unwrap_or(first);
        // Whatever panicked while it held the lock: a map of labels is never half changed.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KnownLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownLabels")
            .field("shard_series_max", &self.shard_series_max)
            .finish_non_exhaustive()
    }
}

impl Slot<'_> {
    pub(super) fn remember(self, labels: &Labels) {
        self.known.shard(self.hash).insert(self.hash, labels.clone(), self.known.shard_series_max);
    }
}

impl Generations {
    fn new() -> Self {
        Self { young: AHashMap::new(), old: AHashMap::new() }
    }

    fn insert(&mut self, hash: u64, labels: Labels, max: usize) {
        if self.young.len() >= max {
            self.old = std::mem::replace(&mut self.young, AHashMap::new());
        }
        self.young.insert(hash, labels);
    }
}

/// Writes labels that are messages on the wire as [`Labels`] encodes them: each text after its length. Nothing
/// is checked; false where a label is not its name and then its value, and nothing else.
pub(super) fn write_span(span: &mut Vec<u8>, labels: &[&[u8]]) -> bool {
    span.clear();
    for label in labels {
        let mut message = Message(label);
        let (Ok(Some((1, Field::Bytes(name)))), Ok(Some((2, Field::Bytes(value))))) =
            (message.next(), message.next())
        else {
            return false;
        };
        if !message.0.is_empty() {
            return false;
        }
        for text in [name, value] {
            MessageWriter(span).raw_varint(text.len() as u64);
            span.extend_from_slice(text);
        }
    }
    true
}
