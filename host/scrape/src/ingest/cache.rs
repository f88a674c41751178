//! What the last answers of a target held: for each series its reference in storage, found by the bytes that name it in
//! an answer.
//!
//! * Neither those bytes nor labels are kept, but 128 bits of a hash with a seed of its own: of a fleet's million series
//!   that is less than half of what storage keeps of them, and labels are made again where they are needed.
//! * Series stand in the order in which they came. The next answer most often has them in the same order, so that each
//!   is expected where the one before it was found, and recognised without being read.

use std::sync::Arc;

use ahash::{AHashMap, AHashSet, RandomState};
use formats::exposition::{Comments, Format};
use hashbrown::HashTable;
use model::staleness::STALE_NAN;
use model::{Appender, FloatColumns, Histogram, Labels, MetricKind, SeriesRef, Timestamp};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use super::comments::KnownComments;
use crate::families::Family;

/// What stands for the bytes that name a series.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    low: u64,
    high: u64,
}

/// Counts answers; none has this number.
const NEVER: u32 = 0;

/// How storage knows a series.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not at all, since relabelling drops it.
    Dropped,
    /// Not yet, or not any more.
    Unknown,
    /// By the entry's reference, and it has ended.
    Ended,
    /// By the entry's reference, and no stale marker has followed its latest sample.
    Live,
}

/// One series, as an answer names it.
pub(super) struct Entry {
    key: Key,
    series: SeriesRef,
    key_bytes: u32,
    last_seen: u32,
    /// The answer that it became live in; it is not live yet where that answer is refused.
    born: u32,
    state: State,
    /// Whether its samples are native histograms.
    pub(super) histogram: bool,
    /// Whether its end is marked: not where the target gives the times of its samples.
    pub(super) tracked: bool,
}

/// What few series have.
#[derive(Default)]
pub(super) struct Extra {
    /// Of native histograms, which storage takes by their labels.
    pub(super) labels: Option<Labels>,
    /// The latest exemplar; the next answer most often repeats it.
    pub(super) exemplar: Option<LatestExemplar>,
}

/// What tells whether an exemplar has been stored already.
pub(super) enum LatestExemplar {
    /// Of a series that has one at most, and without a time: its labels and its value.
    Untimed(Labels, f64),
    /// Of a native histogram, which has several: the time of the newest.
    Timed(Timestamp),
}

/// A series that must be marked stale.
struct Ended {
    series: SeriesRef,
    /// Those of a native histogram.
    labels: Option<Labels>,
}

/// Which families an answer declares.
#[derive(Default)]
struct Declared {
    /// Of all declarations in storage, in any order; and of those of the current answer.
    stored: u64,
    current: u64,
    families: Arc<[Arc<Family>]>,
}

pub(super) struct Cache {
    seed: u64,
    entries: Vec<Entry>,
    by_key: HashTable<u32>,
    extras: AHashMap<u32, Extra>,
    /// Where the next series is expected.
    next: usize,
    /// The series that the current line was recognised as.
    recognised: Option<usize>,
    generation: u32,
    /// How many entries the current answer has touched.
    seen: usize,
    declared: Declared,
    /// The lines of comments of the current answer, as far as it is text.
    comments: KnownComments,
    /// Series that are to be marked stale; emptied once the markers are durable.
    ended: Vec<Ended>,
}

impl Cache {
    pub(super) fn new() -> Self {
        let seed = RandomState::new().hash_one(0);
        Self {
            seed,
            entries: Vec::new(),
            by_key: HashTable::new(),
            extras: AHashMap::new(),
            next: 0,
            recognised: None,
            generation: NEVER,
            seen: 0,
            declared: Declared::default(),
            comments: KnownComments::new(seed),
            ended: Vec::new(),
        }
    }

    /// Begins an answer, or what stands for one that never came.
    pub(super) fn begin(&mut self) {
        self.generation = self.generation.wrapping_add(1).max(NEVER + 1);
        self.seen = 0;
        self.declared.current = 0;
        self.rewind();
    }

    /// Begins to read the current answer again.
    pub(super) fn rewind(&mut self) {
        self.next = 0;
        self.recognised = None;
        self.comments.rewind();
    }

    /// How many bytes of a line name the series that is expected; 0 where they do not.
    pub(super) fn recognise(&mut self, line: &str) -> usize {
        self.recognised = None;
        let Some(expected) = self.entries.get(self.next) else { return 0 };
        let bytes = expected.key_bytes as usize;
        match line.get(..bytes) {
            Some(text) if self.key_of(text) == expected.key => {
                self.recognised = Some(self.next);
                bytes
            }
            _ => 0,
        }
    }

    /// Where the series is that an answer names so.
    pub(super) fn find(&mut self, name: &str) -> Option<usize> {
        let recognised = self.recognised.take();
        // The reader may have found that the name goes on behind what was recognised.
        if let Some(at) = recognised.filter(|at| self.entries[*at].key_bytes as usize == name.len()) {
            self.next = at + 1;
            return Some(at);
        }
        let key = self.key_of(name);
        let is = |at: &u32| self.entries[*at as usize].key == key;
        let at = *self.by_key.find(key.low, is)? as usize;
        self.next = at + 1;
        Some(at)
    }

    /// As [`Cache::find`], for a sample of the current answer, and whether it is the first one of the series there.
    pub(super) fn touch(&mut self, name: &str) -> Option<(usize, bool)> {
        let at = self.find(name)?;
        let entry = &mut self.entries[at];
        let first = entry.last_seen != self.generation;
        entry.last_seen = self.generation;
        self.seen += usize::from(first);
        Some((at, first))
    }

    /// Adds a series that [`Cache::touch`] did not find; `kept` says whether relabelling keeps it.
    pub(super) fn insert(&mut self, name: &str, kept: bool) -> usize {
        let key = self.key_of(name);
        let at = self.entries.len();
        self.entries.push(Entry {
            key,
            series: SeriesRef(0),
            // A name is part of an answer, whose length is limited to much less than what does not fit.
            key_bytes: u32::try_from(name.len()).unwrap_or(u32::MAX),
            last_seen: self.generation,
            born: NEVER,
            state: if kept { State::Unknown } else { State::Dropped },
            histogram: false,
            tracked: true,
        });
        let entries = &self.entries;
        self.by_key.insert_unique(key.low, at as u32, |at| entries[*at as usize].key.low);
        self.seen += 1;
        at
    }

    pub(super) fn entry(&self, at: usize) -> &Entry {
        &self.entries[at]
    }

    pub(super) fn entry_mut(&mut self, at: usize) -> &mut Entry {
        &mut self.entries[at]
    }

    /// What there is of this series besides.
    pub(super) fn extra(&self, at: usize) -> Option<&Extra> {
        self.extras.get(&(at as u32))
    }

    pub(super) fn extra_mut(&mut self, at: usize) -> &mut Extra {
        self.extras.entry(at as u32).or_default()
    }

    /// Storage took a sample of this series.
    pub(super) fn stored(&mut self, at: usize, series: SeriesRef) {
        let generation = self.generation;
        let entry = &mut self.entries[at];
        entry.series = series;
        if entry.state != State::Live {
            entry.state = State::Live;
            entry.born = generation;
        }
    }

    /// Storage refused the sample of this series that it was thought to have taken. Where it has let go of the series,
    /// the reference is of no use any more.
    pub(super) fn refused(&mut self, at: usize, gone: bool) {
        let generation = self.generation;
        let entry = &mut self.entries[at];
        if gone {
            entry.state = State::Unknown;
        } else if entry.state == State::Live && entry.born == generation {
            entry.state = State::Ended;
        }
    }

    /// The answer says this of a family.
    pub(super) fn declare(&mut self, what: &str, family: &str, text: &str) {
        let mut hash = self.seed;
        for part in [what, family, text] {
            hash = xxh3_64_with_seed(part.as_bytes(), hash);
        }
        // A sum, as the order of families means nothing.
        self.declared.current = self.declared.current.wrapping_add(hash);
    }

    /// The answer is text of this format.
    pub(super) fn expect(&mut self, format: Format) {
        self.comments.expect(format);
    }

    #[cfg(test)]
    pub(super) const fn comments(&self) -> &KnownComments {
        &self.comments
    }

    /// The comments that `text` begins with, if they are expected. What they declare is declared by that, unless
    /// the answer is read once more (`again`).
    pub(super) fn recognise_comments(&mut self, text: &str, again: bool) -> Option<Comments> {
        let Some((comments, declared)) = self.comments.recognise(text) else {
            self.comments.begin(self.declared.current);
            return None;
        };
        if !again {
            self.declared.current = self.declared.current.wrapping_add(declared);
        }
        Some(comments)
    }

    /// What was declared since [`Cache::recognise_comments`] found nothing was declared by these lines.
    pub(super) fn remember_comments(&mut self, lines: &str, kind: Option<MetricKind>) {
        self.comments.remember(lines, kind, self.declared.current);
    }

    /// Whether the answer declares other families than storage has been told of.
    pub(super) fn declares_anew(&self) -> bool {
        self.declared.current != self.declared.stored
    }

    /// Takes the families of the current answer, and tells storage of those that are new.
    pub(super) fn set_families(&mut self, families: Vec<Arc<Family>>, appender: &mut dyn Appender) {
        let known: AHashSet<*const Family> = match self.declared.stored {
            0 => AHashSet::new(),
            _ => self.declared.families.iter().map(Arc::as_ptr).collect(),
        };
        for family in families.iter().filter(|family| !known.contains(&Arc::as_ptr(family))) {
            appender.append_metadata(&family.name, &family.metadata);
        }
        // Until they are stored they are told again with every answer.
        self.declared.stored = 0;
        self.declared.families = families.into();
    }

    pub(super) fn families(&self) -> &Arc<[Arc<Family>]> {
        &self.declared.families
    }

    /// Ends a good answer: what it did not have has vanished.
    pub(super) fn take_vanished(&mut self) {
        self.comments.forget_unseen();
        if self.seen < self.entries.len() {
            self.forget_unseen();
        }
        if self.entries.capacity() > self.entries.len() + self.entries.len() / 4 {
            self.entries.shrink_to_fit();
        }
        if !self.ended.is_empty() {
            // A target that writes the labels of a series in another order has not ended it.
            let live: AHashSet<SeriesRef> =
                self.entries.iter().filter(|e| e.state == State::Live).map(|e| e.series).collect();
            self.ended.retain(|ended| !live.contains(&ended.series));
        }
    }

    fn forget_unseen(&mut self) {
        let generation = self.generation;
        let mut extras = std::mem::replace(&mut self.extras, AHashMap::new());
        let (mut from, mut to) = (0, 0);
        let ended = &mut self.ended;
        let kept = &mut self.extras;
        self.entries.retain_mut(|entry| {
            let extra = extras.remove(&from);
            from += 1;
            let seen = entry.last_seen == generation;
            if seen {
                if let Some(extra) = extra {
                    kept.insert(to, extra);
                }
                to += 1;
            } else {
                ended.extend(entry.end(extra.as_ref()));
            }
            seen
        });
        self.by_key.clear();
        let entries = &self.entries;
        for (at, entry) in entries.iter().enumerate() {
            let hash = |at: &u32| entries[*at as usize].key.low;
            self.by_key.insert_unique(entry.key.low, at as u32, hash);
        }
    }

    /// Ends an answer that is refused, or that never came: every series has vanished. Entries stay, since the
    /// next answer most likely has them.
    pub(super) fn take_all(&mut self) {
        self.comments.break_off();
        for (at, entry) in self.entries.iter_mut().enumerate() {
            if entry.state == State::Live && entry.born == self.generation {
                // The batch with its first sample was thrown away.
                entry.state = State::Ended;
            }
            self.ended.extend(entry.end(self.extras.get(&(at as u32))));
        }
    }

    /// Forgets everything, as other rules may make other labels of it. Series that no longer exist then are
    /// marked stale by the next answer.
    pub(super) fn forget(&mut self) {
        for (at, entry) in self.entries.iter_mut().enumerate() {
            self.ended.extend(entry.end(self.extras.get(&(at as u32))));
        }
        self.entries.clear();
        self.by_key.clear();
        self.extras.clear();
    }

    pub(super) fn mark_stale(&self, appender: &mut dyn Appender, at: Timestamp) {
        let (histograms, floats): (Vec<&Ended>, Vec<&Ended>) =
            self.ended.iter().partition(|ended| ended.labels.is_some());
        // A marker that storage refuses is one that is not needed: the series has a newer sample already, or is gone.
        for ended in histograms {
            let Some(labels) = &ended.labels else { continue };
            let _ = appender.append_histogram(Some(ended.series), labels, at, &Histogram::stale());
        }
        let series: Vec<SeriesRef> = floats.iter().map(|ended| ended.series).collect();
        let values = vec![STALE_NAN; series.len()];
        if let Some(columns) = FloatColumns::at(at, &series, &values) {
            appender.append_columns(&columns, &mut Vec::new());
        }
    }

    /// What was appended is durable.
    pub(super) fn committed(&mut self, good: bool) {
        self.ended.clear();
        self.ended.shrink_to_fit();
        if good {
            self.declared.stored = self.declared.current;
        }
    }

    fn key_of(&self, name: &str) -> Key {
        let hash = xxh3_128_with_seed(name.as_bytes(), self.seed);
        Key { low: hash as u64, high: (hash >> 64) as u64 }
    }
}

impl Entry {
    pub(super) fn is_dropped(&self) -> bool {
        self.state == State::Dropped
    }

    /// The reference, where storage knows the series.
    pub(super) fn series(&self) -> Option<SeriesRef> {
        matches!(self.state, State::Ended | State::Live).then_some(self.series)
    }

    pub(super) fn is_live(&self) -> bool {
        self.state == State::Live
    }

    /// Ends the series; what must be marked stale then.
    fn end(&mut self, extra: Option<&Extra>) -> Option<Ended> {
        if self.state != State::Live {
            return None;
        }
        self.state = State::Ended;
        let labels = extra.filter(|_| self.histogram).and_then(|extra| extra.labels.clone());
        self.tracked.then_some(Ended { series: self.series, labels })
    }
}
