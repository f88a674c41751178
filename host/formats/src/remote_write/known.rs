//! References of series that were seen before, by what names them on the wire.
//!
//! A sender writes the same series again and again, and mostly in the same order. Each entry therefore remembers which
//! one came after it the last time: where that holds, a series is found without a look into the table, and in memory
//! that lies next to the last.
//!
//! Series are told apart by 128 bits of a hash with a seed of this process, not by their labels: those would take more
//! memory than all else, and a look at each would cost more than the rest of the way. Among a hundred million series,
//! two have the same key with a chance below one in 10^22.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as TableEntry;
use model::SeriesRef;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// A series that was not sent for this long is forgotten when room is needed: three times as long as the slowest
/// usual interval.
const FORGET_AFTER_MINUTES: u32 = 15;

/// With fewer than this, nothing is worth forgetting.
const SWEEP_MIN: usize = 1 << 16;

/// After so many series in a row that are not known, those that follow mostly are not known either, and only one in so
/// many is looked for: a look in vain is a cache miss or two. Whoever is taken for new is found by its labels.
const MISSES_MAX: u32 = 16;

/// No entry has this number.
const NONE: u32 = u32::MAX;

/// What stands for the labels of a series.
pub(super) type Key = u128;

/// See the module.
pub(super) struct KnownSeries {
    seed: u64,
    started: Instant,
    series_max: usize,
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    entries: Vec<Entry>,
    /// Places in `entries`.
    by_key: HashTable<u32>,
    /// At so many entries, those that have not been seen for long are dropped.
    sweep_at: usize,
    /// When that was done last.
    swept: u32,
}

struct Entry {
    /// In halves, so that an entry takes no more than its fields do.
    key: [u64; 2],
    series: SeriesRef,
    /// Which one came after this the last time.
    next: AtomicU32,
    /// The minute in which it came last.
    seen: AtomicU32,
}

/// Finds the series of one request, one after the other.
pub(super) struct Finder<'k> {
    table: RwLockReadGuard<'k, Table>,
    minute: u32,
    previous: u32,
    /// Series in a row that were not known.
    missed: u32,
}

/// The lower half is as good a hash as any.
fn table_hash(key: [u64; 2]) -> u64 {
    key[0]
}

fn halves(key: Key) -> [u64; 2] {
    [key as u64, (key >> 64) as u64]
}

impl Table {
    fn find(&self, key: [u64; 2]) -> Option<u32> {
        let is_key = |at: &u32| self.entries.get(*at as usize).is_some_and(|entry| entry.key == key);
        self.by_key.find(table_hash(key), is_key).copied()
    }

    /// Makes room for as many again, going through the entries as they lie: where the table makes room by itself, it looks
    /// at each of them from anywhere.
    fn grow(&mut self) {
        let Self { entries, by_key, .. } = self;
        let hash_of = |at: &u32| entries.get(*at as usize).map_or(0, |entry| table_hash(entry.key));
        *by_key = HashTable::with_capacity(entries.len() * 2);
        for (at, entry) in (0u32..).zip(entries.iter()) {
            by_key.insert_unique(table_hash(entry.key), at, hash_of);
        }
    }

    /// Where the entry of a key is, made where it is missing.
    fn insert(&mut self, key: [u64; 2], series: SeriesRef, minute: u32) -> Option<u32> {
        if self.by_key.len() == self.by_key.capacity() {
            self.grow();
        }
        let Self { entries, by_key, .. } = self;
        let is_key = |at: &u32| entries.get(*at as usize).is_some_and(|entry| entry.key == key);
        let hash_of = |at: &u32| entries.get(*at as usize).map_or(0, |entry| table_hash(entry.key));
        match by_key.entry(table_hash(key), is_key, hash_of) {
            TableEntry::Occupied(known) => Some(*known.get()),
            TableEntry::Vacant(new) => {
                let at = u32::try_from(entries.len()).ok().filter(|at| *at != NONE)?;
                let (next, seen) = (AtomicU32::new(NONE), AtomicU32::new(minute));
                entries.push(Entry { key, series, next, seen });
                new.insert(at);
                Some(at)
            }
        }
    }

    /// Drops what was not seen for long, and says when to look again.
    fn sweep(&mut self, minute: u32, series_max: usize) {
        let mut kept = Table::default();
        for entry in std::mem::take(&mut self.entries) {
            let seen = entry.seen.load(Ordering::Relaxed);
            if minute.saturating_sub(seen) <= FORGET_AFTER_MINUTES {
                kept.insert(entry.key, entry.series, seen);
            }
        }
        kept.sweep_at = (kept.entries.len() * 2).max(SWEEP_MIN).min(series_max);
        kept.swept = minute;
        *self = kept;
    }
}

impl KnownSeries {
    pub(super) fn new(series_max: usize) -> Self {
        let table = RwLock::new(Table { sweep_at: SWEEP_MIN.min(series_max), ..Table::default() });
        Self { seed: RandomState::new().hash_one(0), started: Instant::now(), series_max, table }
    }

    /// The key of these bytes.
    pub(super) fn key(&self, bytes: &[u8]) -> Key {
        xxh3_128_with_seed(bytes, self.seed)
    }

    fn minute(&self) -> u32 {
        u32::try_from(self.started.elapsed().as_secs() / 60).unwrap_or(u32::MAX)
    }

    /// Nothing is learned while a finder is held.
    pub(super) fn finder(&self) -> Finder<'_> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        Finder { table, minute: self.minute(), previous: NONE, missed: 0 }
    }

    /// Remembers series, in the order in which they came. Beyond the limit, those that come later are not remembered.
    pub(super) fn learn(&self, series: &[(Key, SeriesRef)]) {
        if series.is_empty() {
            return;
        }
        let minute = self.minute();
        // Whatever panicked while it held the lock: at worst entries are missing from the table, and are found no more.
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let mut previous = NONE;
        for (key, series) in series {
            let key = halves(*key);
            // Within one minute nobody grows older.
            if table.entries.len() >= table.sweep_at && table.swept != minute {
                table.sweep(minute, self.series_max);
                previous = NONE;
            }
            let at = if table.entries.len() < self.series_max {
                table.insert(key, *series, minute)
            } else {
                table.find(key)
            };
            let Some(at) = at else { continue };
            if let Some(entry) = table.entries.get_mut(at as usize) {
                entry.series = *series;
                *entry.seen.get_mut() = minute;
            }
            if let Some(entry) = table.entries.get_mut(previous as usize) {
                *entry.next.get_mut() = at;
            }
            previous = at;
        }
    }

    /// Puts references in the place of others that storage knows no more.
    pub(super) fn replace(&self, replaced: &[(SeriesRef, SeriesRef)]) {
        if replaced.is_empty() {
            return;
        }
        // Seldom, and then many at once: series that have been silent for hours come back together.
        let replaced: HashMap<SeriesRef, SeriesRef> = replaced.iter().copied().collect();
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        for entry in &mut table.entries {
            if let Some(series) = replaced.get(&entry.series) {
                entry.series = *series;
            }
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.table.read().unwrap().entries.len()
    }
}

impl Finder<'_> {
    /// The reference of a series, if it is known and not one of those that are taken for new among many that are.
    pub(super) fn find(&mut self, key: Key) -> Option<SeriesRef> {
        let key = halves(key);
        let before = self.table.entries.get(self.previous as usize);
        let expected = before.map_or(NONE, |entry| entry.next.load(Ordering::Relaxed));
        let (at, entry) = match self.table.entries.get(expected as usize).filter(|entry| entry.key == key) {
            Some(entry) => (expected, entry),
            None => {
                let looks = self.missed < MISSES_MAX || self.missed.is_multiple_of(MISSES_MAX);
                self.missed = self.missed.wrapping_add(1);
                let at = if looks { self.table.find(key)? } else { return None };
                if let Some(before) = before {
                    before.next.store(at, Ordering::Relaxed);
                }
                (at, self.table.entries.get(at as usize)?)
            }
        };
        (self.previous, self.missed) = (at, 0);
        if entry.seen.load(Ordering::Relaxed) != self.minute {
            entry.seen.store(self.minute, Ordering::Relaxed);
        }
        Some(entry.series)
    }
}

impl fmt::Debug for KnownSeries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownSeries").field("series_max", &self.series_max).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_found_in_any_order_and_no_more_than_the_limit_are_kept() {
        let known = KnownSeries::new(1_000);
        let series: Vec<(Key, SeriesRef)> =
            (0..1_500u64).map(|number| (known.key(&number.to_le_bytes()), SeriesRef(number))).collect();
        known.learn(&series);
        assert_eq!(known.count(), 1_000);
        let find = |order: &mut dyn Iterator<Item = usize>, missed_max: usize| {
            let mut finder = known.finder();
            let mut missed = 0;
            for at in order {
                let (key, expected) = series[at];
                let found = finder.find(key);
                assert!(found.is_none() || at < 1_000 && found == Some(expected), "{at}");
                missed += usize::from(found.is_none() && at < 1_000);
            }
            assert!(missed <= missed_max, "{missed}");
        };
        find(&mut (0..1_500), 0);
        // Behind many that are not known, some that are go unseen.
        find(&mut (0..1_500).rev(), MISSES_MAX as usize - 1);
        find(&mut (0..1_500).map(|at| at * 7 % 1_500), 7 * MISSES_MAX as usize);
        // A reference that is new takes the place of the old one.
        known.learn(&[(series[3].0, SeriesRef(77))]);
        assert_eq!(known.finder().find(series[3].0), Some(SeriesRef(77)));
        assert_eq!(known.count(), 1_000);
    }

    #[test]
    fn what_was_not_seen_for_long_makes_room() {
        let mut table = Table { sweep_at: 2, ..Table::default() };
        for number in 0..4 {
            table.insert([number, 0], SeriesRef(number), number as u32 * 10);
        }
        table.sweep(31, 100);
        assert_eq!((0..4).filter(|number| table.find([*number, 0]).is_some()).collect::<Vec<_>>(), [2, 3]);
        assert_eq!((table.sweep_at, table.swept), (100, 31));
    }
}
