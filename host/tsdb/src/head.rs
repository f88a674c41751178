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
mod limits;
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

use crate::chunk::Chunk;
use crate::index::{LabelIndex, MemoryIndex, SeriesIndex};
use crate::options::{HEAD_SERIES_MAX, Options};

use by_id::SeriesById;
pub use limits::RefusedSeries;
use limits::SeriesLimits;
pub(crate) use open::OpenChunk;
pub(crate) use series::{LastSample, SampleValue, Series, SeriesView, Verdict, judge_exemplar, judge_sample};

/// Shards of each table: enough that the cores of a large machine seldom meet, few enough to cost nothing.
const SHARD_COUNT: usize = 64;

/// Series that leave under one lock: appending and reading wait for a fraction of a millisecond.
const REMOVED_AT_ONCE: usize = 256;

/// The head.
pub(crate) struct Head {
    hasher: RandomState,
    by_labels: Box<[RwLock<HashTable<Arc<Series>>>]>,
    by_id: SeriesById,
    index: RwLock<MemoryIndex>,
    next_id: AtomicU32,
    /// How many series there are.
    series_count: AtomicU64,
    pub(crate) limits: SeriesLimits,
    metadata: RwLock<BTreeMap<String, Metadata>>,
    /// Everything before this time is in blocks.
    min_valid: AtomicI64,
    /// Not later than the oldest sample.
    min_time: AtomicI64,
    max_time: AtomicI64,
    pub(crate) block_range_ms: i64,
    pub(crate) counters: Counters,
}

/// What has happened since the start, and how many chunks there are.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Chunks that the series hold, open ones included.
    pub(crate) chunks: AtomicU64,
    pub(crate) samples_appended: AtomicU64,
    pub(crate) samples_dropped: AtomicU64,
    pub(crate) exemplars_appended: AtomicU64,
    pub(crate) series_created: AtomicU64,
    pub(crate) series_removed: AtomicU64,
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
            limits: SeriesLimits::new(options),
            metadata: RwLock::default(),
            min_valid: AtomicI64::new(min_valid),
            min_time: AtomicI64::new(i64::MAX),
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

    /// Notes that samples from `oldest` to `newest` are here.
    pub(crate) fn saw_times(&self, oldest: i64, newest: i64) {
        // Each is written by every committing thread: where nothing changes, reading is cheaper.
        if oldest < self.min_time.load(Ordering::Acquire) {
            self.min_time.fetch_min(oldest, Ordering::AcqRel);
        }
        self.max_time.fetch_max(newest, Ordering::AcqRel);
    }

    /// The oldest sample's time, or one before it; `None` where there are no samples.
    pub(crate) fn min_time(&self) -> Option<i64> {
        Some(self.min_time.load(Ordering::Acquire)).filter(|time| *time != i64::MAX)
    }

    /// Takes a sample into one of the series here.
    pub(crate) fn append(
        &self,
        series: &Series,
        time: i64,
        value: SampleValue,
    ) -> Result<Verdict, AppendError> {
        series.append(time, value, self.block_range_ms, &self.counters.chunks)
    }

    /// Puts a sealed chunk of the log back into one of the series here.
    pub(crate) fn restore_chunk(&self, series: &Series, chunk: Chunk, last: LastSample) {
        self.saw_times(chunk.meta.min_time, chunk.meta.max_time);
        Counters::add(&self.counters.samples_appended, u64::from(chunk.meta.count));
        series.restore_chunk(chunk, last, &self.counters.chunks);
    }

    /// Forgets what is older than `end`, the border of a block range, series by series: who must not see some of it
    /// gone and some of it there does not look before `end`.
    pub(crate) fn drop_before(&self, end: i64) {
        // What is appended meanwhile notes its own time.
        self.min_time.store(i64::MAX, Ordering::Release);
        self.for_each(|series| {
            let (gone, min_time) = series.drop_before(end);
            self.counters.chunks.fetch_sub(gone, Ordering::Relaxed);
            self.min_time.fetch_min(min_time.unwrap_or(i64::MAX), Ordering::AcqRel);
        });
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
                self.count_new_series(labels)?;
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
    fn count_new_series(&self, labels: &Labels) -> Result<(), AppendError> {
        self.limits.check(labels, &self.index)?;
        let next = |count: u64| (count < self.limits.head_max()).then_some(count + 1);
        if self.series_count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok() {
            return Ok(());
        }
        Err(self.limits.refuse(HEAD_SERIES_MAX, labels))
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

    /// Hands over every series that was there at the beginning. No lock is held meanwhile: appending goes on.
    /// Hands over the label index, which waits for no new series meanwhile.
    pub(crate) fn with_index<T>(&self, with: impl FnOnce(&dyn LabelIndex) -> T) -> T {
        let index = self.index.read();
        with(&SeriesIndex { index: &index, labels: |id| self.by_id(id).map(|series| series.labels.clone()) })
    }

    pub(crate) fn for_each(&self, mut each: impl FnMut(&Arc<Series>)) {
        // The answer of a walk that cannot fail.
        let _: Result<(), std::convert::Infallible> = self.try_for_each(|series| {
            each(series);
            Ok(())
        });
    }

    /// As [`Head::for_each`], up to the first error.
    pub(crate) fn try_for_each<E>(
        &self,
        mut each: impl FnMut(&Arc<Series>) -> Result<(), E>,
    ) -> Result<(), E> {
        for shard in &self.by_labels {
            let series: Vec<Arc<Series>> = shard.read().iter().cloned().collect();
            series.iter().try_for_each(&mut each)?;
        }
        Ok(())
    }

    pub(crate) fn series_count(&self) -> u64 {
        self.series_count.load(Ordering::Relaxed)
    }

    /// Lets go of series that hold nothing and that nobody refers to. Says how many.
    pub(crate) fn remove_empty(&self) -> usize {
        let mut removed = 0;
        for shard in &self.by_labels {
            let empty: Vec<(u64, u32)> = {
                let table = shard.read();
                let empty = table.iter().filter(|series| series.is_empty());
                empty.map(|series| (self.hash(&series.labels), series.id)).collect()
            };
            for some in empty.chunks(REMOVED_AT_ONCE) {
                removed += self.remove_some(shard, some);
            }
        }
        removed
    }

    /// Lets go of those series of a shard, by hash and id, that still hold nothing and that nobody refers to.
    fn remove_some(&self, shard: &RwLock<HashTable<Arc<Series>>>, some: &[(u64, u32)]) -> usize {
        let mut gone: Vec<Arc<Series>> = Vec::new();
        {
            let mut table = shard.write();
            for (hash, id) in some {
                let Ok(entry) = table.find_entry(*hash, |series| series.id == *id) else { continue };
                // Nobody comes by a new reference: this table is locked, and the other one while it decides.
                if entry.get().is_empty() && self.by_id.remove_unused(entry.get(), 2) {
                    gone.push(entry.remove().0);
                }
            }
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
