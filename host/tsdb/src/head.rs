//! The head: what has been committed and not yet been cut to a block, in memory.
//!
//! Series are found by the hash of their encoded labels, which also picks the shard; a hit is verified against
//! the labels themselves. A second table finds them by id. The label index covers all of them, those included
//! whose first batch is still open: a series without samples is never shown to a reader.
//!
//! What always holds:
//! * a series is in all three (by labels, by id, index) or on its way in or out; ids are never used twice;
//! * samples older than [`Head::min_valid`] are in blocks, and are never taken again;
//! * a series leaves only when it is empty and nobody but the tables refers to it, so that an open batch never
//!   writes to a series that is gone.

mod by_id;
mod open;
mod series;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use ahash::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use model::{AppendError, Labels, Metadata};
use parking_lot::{RwLock, RwLockReadGuard};
use roaring::RoaringBitmap;

use crate::index::MemoryIndex;
use crate::options::{HEAD_SERIES_MAX, Options};

use by_id::SeriesById;
pub(crate) use open::OpenChunk;
pub(crate) use series::{LastSample, SampleValue, Series, SeriesView, Verdict, judge_exemplar, judge_sample};

/// Shards of each table: enough that the cores of a large machine seldom meet, few enough to cost nothing.
const SHARD_COUNT: usize = 64;

/// The head.
pub(crate) struct Head {
    hasher: RandomState,
    by_labels: Box<[RwLock<HashTable<Arc<Series>>>]>,
    by_id: SeriesById,
    index: RwLock<MemoryIndex>,
    next_id: AtomicU32,
    /// How many series there are.
    series_count: AtomicU64,
    series_max: u64,
    metadata: RwLock<BTreeMap<String, Metadata>>,
    /// Everything before this time is in blocks.
    min_valid: AtomicI64,
    max_time: AtomicI64,
    pub(crate) block_range_ms: i64,
    pub(crate) counters: Counters,
}

/// What has happened since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) samples_appended: AtomicU64,
    pub(crate) samples_dropped: AtomicU64,
    pub(crate) exemplars_appended: AtomicU64,
    pub(crate) series_created: AtomicU64,
    pub(crate) series_removed: AtomicU64,
    pub(crate) series_refused: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

impl Head {
    pub(crate) fn new(options: &Options, min_valid: i64) -> Self {
        Self {
            hasher: RandomState::new(),
            by_labels: (0..SHARD_COUNT).map(|_| RwLock::default()).collect(),
            by_id: SeriesById::new(),
            index: RwLock::default(),
            next_id: AtomicU32::new(1),
            series_count: AtomicU64::new(0),
            series_max: options.head_series_max.unwrap_or(u64::MAX),
            metadata: RwLock::default(),
            min_valid: AtomicI64::new(min_valid),
            max_time: AtomicI64::new(i64::MIN),
            block_range_ms: options.block_range_ms(),
            counters: Counters::default(),
        }
    }

    pub(crate) fn min_valid(&self) -> i64 {
        self.min_valid.load(Ordering::Acquire)
    }

    pub(crate) fn set_min_valid(&self, time: i64) {
        self.min_valid.store(time, Ordering::Release);
    }

    /// The newest sample's time; the lowest number before the first sample.
    pub(crate) fn max_time(&self) -> i64 {
        self.max_time.load(Ordering::Acquire)
    }

    pub(crate) fn saw_time(&self, time: i64) {
        self.max_time.fetch_max(time, Ordering::AcqRel);
    }

    /// The oldest sample's time.
    pub(crate) fn min_time(&self) -> Option<i64> {
        let mut min = None;
        self.for_each(|series| min = [min, series.min_time()].into_iter().flatten().min());
        min
    }

    fn hash(&self, labels: &Labels) -> u64 {
        self.hasher.hash_one(labels.as_encoded())
    }

    pub(crate) fn by_id(&self, id: u32) -> Option<Arc<Series>> {
        self.by_id.get(id)
    }

    /// The series of these labels, made where it is missing.
    ///
    /// # Errors
    /// [`AppendError::SeriesLimit`] where there are as many as there may be.
    pub(crate) fn get_or_create(&self, labels: &Labels) -> Result<Arc<Series>, AppendError> {
        let hash = self.hash(labels);
        let shard = &self.by_labels[(hash >> 32) as usize % SHARD_COUNT];
        if let Some(series) = shard.read().find(hash, |series| series.labels == *labels) {
            return Ok(series.clone());
        }
        let mut table = shard.write();
        let entry = table.entry(hash, |series| series.labels == *labels, |series| self.hash(&series.labels));
        match entry {
            Entry::Occupied(entry) => Ok(entry.get().clone()),
            Entry::Vacant(entry) => {
                self.count_new_series()?;
                let id = self.next_id.fetch_add(1, Ordering::Relaxed);
                let series = Arc::new(Series::new(id, labels.clone(), false));
                self.by_id.insert(series.clone());
                self.index.write().insert(id, labels);
                entry.insert(series.clone());
                Counters::add(&self.counters.series_created, 1);
                Ok(series)
            }
        }
    }

    /// Counts a series that is about to be made, if there may be one more.
    fn count_new_series(&self) -> Result<(), AppendError> {
        let next = |count: u64| (count < self.series_max).then_some(count + 1);
        if self.series_count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok() {
            return Ok(());
        }
        Counters::add(&self.counters.series_refused, 1);
        Err(AppendError::SeriesLimit { limit: HEAD_SERIES_MAX.to_owned() })
    }

    /// Puts a series of the log back under its old id. Where the labels are here already under another id, that
    /// series is the answer and goes by both.
    pub(crate) fn restore(&self, id: u32, labels: Labels) -> Arc<Series> {
        self.next_id.fetch_max(id.saturating_add(1), Ordering::Relaxed);
        let hash = self.hash(&labels);
        let mut table = self.by_labels[(hash >> 32) as usize % SHARD_COUNT].write();
        let entry = table.entry(hash, |series| series.labels == labels, |series| self.hash(&series.labels));
        match entry {
            Entry::Occupied(entry) => entry.get().clone(),
            Entry::Vacant(entry) => {
                // The limit is for new series: those of the log go on, however many they are.
                self.series_count.fetch_add(1, Ordering::Relaxed);
                self.index.write().insert(id, &labels);
                let series = Arc::new(Series::new(id, labels, true));
                self.by_id.insert(series.clone());
                entry.insert(series.clone());
                series
            }
        }
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, MemoryIndex> {
        self.index.read()
    }

    pub(crate) fn for_each(&self, mut each: impl FnMut(&Arc<Series>)) {
        for shard in &self.by_labels {
            shard.read().iter().for_each(&mut each);
        }
    }

    pub(crate) fn series_count(&self) -> u64 {
        self.series_count.load(Ordering::Relaxed)
    }

    /// Lets go of series that hold nothing and that nobody refers to. Says how many.
    pub(crate) fn remove_empty(&self) -> usize {
        let mut gone: Vec<Arc<Series>> = Vec::new();
        for shard in &self.by_labels {
            shard.write().retain(|series| {
                // Nobody comes by a new reference: this table is locked, and the other one while it decides.
                if !series.is_empty() || !self.by_id.remove_unused(series, 2) {
                    return true;
                }
                gone.push(series.clone());
                false
            });
        }
        let ids: RoaringBitmap = gone.iter().map(|series| series.id).collect();
        self.index.write().remove_all(&ids, gone.iter().map(|series| &series.labels));
        self.series_count.fetch_sub(gone.len() as u64, Ordering::Relaxed);
        Counters::add(&self.counters.series_removed, gone.len() as u64);
        gone.len()
    }

    /// Whether this is what is known of the family already.
    pub(crate) fn knows_metadata(&self, family: &str, metadata: &Metadata) -> bool {
        self.metadata.read().get(family).is_some_and(|known| known == metadata)
    }

    pub(crate) fn set_metadata(&self, family: &str, metadata: &Metadata) {
        self.metadata.write().insert(family.to_owned(), metadata.clone());
    }

    pub(crate) fn metadata(&self) -> Vec<(String, Metadata)> {
        self.metadata.read().iter().map(|(family, metadata)| (family.clone(), metadata.clone())).collect()
    }
}
