//! What the last answers of a target held: by the bytes that name a series there, its labels and its reference
//! in storage.

use ahash::{AHashMap, AHashSet};
use model::{Appender, Labels, Metadata, SeriesRef, Timestamp};

/// One series, as an answer names it.
pub(super) struct Entry {
    /// Its final labels; none where relabelling drops it.
    pub(super) labels: Option<Labels>,
    pub(super) series: Option<SeriesRef>,
    /// Whether its samples are native histograms.
    pub(super) histogram: bool,
    /// Whether storage has a sample of it that no stale marker has followed.
    pub(super) live: bool,
    /// Whether its end is marked: not where the target gives the times of its samples.
    pub(super) tracked: bool,
    /// The generation that it became live in; it is not live yet where that generation's answer is refused.
    born: u64,
    last_seen: u64,
    /// The latest exemplar; the next answer most often repeats it.
    pub(super) exemplar: Option<Box<LatestExemplar>>,
}

/// What tells whether an exemplar has been stored already.
pub(super) enum LatestExemplar {
    /// Of a series that has one at most, and without a time: its labels and its value.
    Untimed(Labels, f64),
    /// Of a native histogram, which has several: the time of the newest.
    Timed(Timestamp),
}

/// A series that must be marked stale.
pub(super) struct Ended {
    pub(super) labels: Labels,
    pub(super) series: Option<SeriesRef>,
    pub(super) histogram: bool,
}

struct Family {
    metadata: Metadata,
    /// Whether storage has not been told yet.
    new: bool,
    last_seen: u64,
}

pub(super) struct Cache {
    entries: AHashMap<Box<str>, Entry>,
    families: AHashMap<Box<str>, Family>,
    /// Counts answers.
    generation: u64,
    /// How many entries, and families, the current answer has touched.
    entries_seen: usize,
    families_seen: usize,
    /// Series that are to be marked stale; emptied once the markers are durable.
    ended: Vec<Ended>,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self {
            entries: AHashMap::new(),
            families: AHashMap::new(),
            generation: 0,
            entries_seen: 0,
            families_seen: 0,
            ended: Vec::new(),
        }
    }

    /// Begins an answer, or what stands for one that never came.
    pub(super) fn begin(&mut self) {
        self.generation += 1;
        self.entries_seen = 0;
        self.families_seen = 0;
    }

    /// The entry under `key`, and whether this answer has it for the first time.
    pub(super) fn touch(&mut self, key: &str) -> Option<(&mut Entry, bool)> {
        let entry = self.entries.get_mut(key)?;
        let first = entry.last_seen != self.generation;
        entry.last_seen = self.generation;
        self.entries_seen += usize::from(first);
        Some((entry, first))
    }

    /// Adds an entry that [`Cache::touch`] did not find.
    pub(super) fn insert(&mut self, key: &str, labels: Option<Labels>) -> &mut Entry {
        self.entries_seen += 1;
        self.entries.entry(key.into()).or_insert(Entry {
            labels,
            series: None,
            histogram: false,
            live: false,
            tracked: true,
            born: 0,
            last_seen: self.generation,
            exemplar: None,
        })
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.entries.get_mut(key)
    }

    /// The entries that the current answer has touched.
    pub(super) fn seen_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        let generation = self.generation;
        self.entries.values_mut().filter(move |entry| entry.last_seen == generation)
    }

    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Changes what is known of a family.
    pub(super) fn describe(&mut self, family: &str, change: impl FnOnce(&mut Metadata) -> bool) {
        if !self.families.contains_key(family) {
            let metadata = Metadata::default();
            self.families.insert(family.into(), Family { metadata, new: true, last_seen: 0 });
        }
        if let Some(found) = self.families.get_mut(family) {
            found.new |= change(&mut found.metadata);
            self.families_seen += usize::from(found.last_seen != self.generation);
            found.last_seen = self.generation;
        }
    }

    /// Tells storage of the families that it does not know yet.
    pub(super) fn append_metadata(&mut self, appender: &mut dyn Appender) {
        for (name, family) in self.families.iter().filter(|(_, family)| family.new) {
            appender.append_metadata(name, &family.metadata);
        }
    }

    /// Ends a good answer: what it did not have has vanished.
    pub(super) fn take_vanished(&mut self) {
        let generation = self.generation;
        if self.entries_seen < self.entries.len() {
            let ended = &mut self.ended;
            self.entries.retain(|_, entry| {
                let seen = entry.last_seen == generation;
                if !seen {
                    ended.extend(entry.end());
                }
                seen
            });
        }
        if self.families_seen < self.families.len() {
            self.families.retain(|_, family| family.last_seen == generation);
        }
        if !self.ended.is_empty() {
            // A target that writes the labels of a series in another order has not ended it.
            let live: AHashSet<&Labels> =
                self.entries.values().filter(|e| e.live).filter_map(|e| e.labels.as_ref()).collect();
            self.ended.retain(|ended| !live.contains(&ended.labels));
        }
    }

    /// Ends an answer that is refused, or that never came: every series has vanished. Entries stay, since the
    /// next answer most likely has them.
    pub(super) fn take_all(&mut self) {
        for entry in self.entries.values_mut() {
            if entry.born == self.generation {
                // The batch with its first sample was thrown away.
                entry.live = false;
            }
            self.ended.extend(entry.end());
        }
    }

    /// Forgets everything, as other rules may make other labels of it. Series that no longer exist then are
    /// marked stale by the next answer.
    pub(super) fn forget(&mut self) {
        for (_, mut entry) in self.entries.drain() {
            self.ended.extend(entry.end());
        }
    }

    pub(super) fn mark_stale(&self, appender: &mut dyn Appender, at: Timestamp) {
        for ended in &self.ended {
            super::append_stale(appender, ended, at);
        }
    }

    /// What was appended is durable.
    pub(super) fn committed(&mut self) {
        self.ended.clear();
        for family in self.families.values_mut() {
            family.new = false;
        }
    }
}

impl Entry {
    /// Storage took a sample.
    pub(super) fn stored(&mut self, series: SeriesRef, generation: u64) {
        self.series = Some(series);
        if !self.live {
            self.live = true;
            self.born = generation;
        }
    }

    /// Ends the series; what must be marked stale then.
    fn end(&mut self) -> Option<Ended> {
        if !std::mem::take(&mut self.live) || !self.tracked {
            return None;
        }
        Some(Ended { labels: self.labels.clone()?, series: self.series, histogram: self.histogram })
    }
}
