//! The head: what has been committed and not yet been cut to a block, in memory.
//!
//! Series live in [`page`]s of neighbouring ids. Two tables lead there: by id, and by the hash of the encoded labels; a
//! hit of the latter is verified against the labels themselves. The label index covers all series, those included
//! whose first batch is still open: a series without samples is never shown to a reader. It takes new series in many at
//! a time, when a batch has become visible or when somebody looks into it: see [`Head::index`].
//!
//! What always holds:
//! * a series is in all three (by labels, by id, index) or on its way in or out; ids are never used twice;
//! * what the index lacks is *fresh*: noted where the series is found by its labels;
//! * samples older than [`Head::min_valid`] are in blocks, and are never taken again but as late ones;
//! * a series leaves only when it is empty and no batch refers to its page, so that an open batch never writes to a
//!   series that is gone.
//!
//! Locks are taken in this order: the index, a shard by labels, a shard of pages, a page, the sightings.

mod ids;
mod limits;
mod open;
pub(crate) mod page;
mod pages;
mod rare;
mod series;
mod sightings;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use ahash::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use model::{AppendError, Labels, Metadata};
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use roaring::RoaringBitmap;

use crate::index::{LabelIndex, MemoryIndex, Runs, SeriesIndex};
use crate::options::{HEAD_SERIES_MAX, Options};

pub(crate) use ids::IdRow;
use ids::Ids;
pub use limits::RefusedSeries;
use limits::SeriesLimits;
pub(crate) use open::OpenChunk;
pub(crate) use page::PageData;
use page::{PAGE_SERIES, Page};
use pages::Pages;
pub(crate) use series::{LatestIn, SampleValue, SeriesIn, SeriesView, TimedSample, Verdict, judge_exemplar};
use sightings::Sightings;

/// Shards of each table: enough that the cores of a large machine seldom meet, few enough to cost nothing and to have a
/// bit each in a word.
const SHARD_COUNT: usize = 64;

/// The name of the limit that refuses series once every id has been given out: four billion series since the directory
/// was made.
const SERIES_IDS: &str = "series_ids";

/// A thread costs as much as looking at some thousands of series.
const SERIES_PER_THREAD_MIN: u64 = 16_384;

/// So many series leave the index before others may look into it.
const LEAVING_AT_ONCE: usize = 16_384;

/// Times of late samples, sorted, by the id of their series.
pub(crate) type LateTimes = HashMap<u32, Vec<i64>, RandomState>;

/// Where a series is, by its labels: their hash in part, to look at no more labels than needed.
#[derive(Debug, Clone, Copy)]
struct Place {
    hash: u32,
    id: u32,
}

/// Series by their labels.
#[derive(Debug, Default)]
struct Shard {
    places: HashTable<Place>,
    /// Ids that the index does not know yet.
    fresh: Vec<u32>,
}

/// The hash of a span, taken apart.
#[derive(Debug, Clone, Copy)]
struct SpanHash {
    shard: usize,
    hash: u32,
}

impl Place {
    /// What the table wants, whose buckets go by the lowest bits and whose tags by the highest.
    const fn spread(hash: u32) -> u64 {
        (hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Divides series among at most so many threads; pages stay whole.
pub(crate) fn split(mut ids: RoaringBitmap, threads: usize) -> Vec<RoaringBitmap> {
    let parts = (ids.len() / SERIES_PER_THREAD_MIN).clamp(1, threads.max(1) as u64);
    let part_count = ids.len() / parts;
    let mut split = Vec::new();
    for _ in 1..parts {
        let Some(border) = ids.select(part_count as u32) else { break };
        let border = border / PAGE_SERIES as u32 * PAGE_SERIES as u32;
        let mut part = ids.clone();
        part.remove_range(border..);
        ids.remove_range(..border);
        split.push(part);
    }
    split.push(ids);
    split
}

/// The head.
pub(crate) struct Head {
    hasher: RandomState,
    by_labels: Box<[RwLock<Shard>]>,
    /// One bit for each shard that may have fresh series.
    fresh: AtomicU64,
    pages: Pages,
    sightings: Sightings,
    index: RwLock<MemoryIndex>,
    ids: Ids,
    /// How many series there are.
    series_count: AtomicU64,
    pub(crate) limits: SeriesLimits,
    metadata: RwLock<BTreeMap<String, Metadata>>,
    /// Everything before this time is in blocks.
    min_valid: AtomicI64,
    /// Not later than the oldest sample that no block has room for yet.
    min_time: AtomicI64,
    max_time: AtomicI64,
    pub(crate) block_range_ms: i64,
    pub(crate) counters: Counters,
}

/// What has happened since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) samples_appended: AtomicU64,
    /// Those of them that are histograms. Replaying a log does not count them.
    pub(crate) histograms_appended: AtomicU64,
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
            fresh: AtomicU64::new(0),
            pages: Pages::new(),
            sightings: Sightings::default(),
            index: RwLock::default(),
            ids: Ids::new(),
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
        if newest > self.max_time.load(Ordering::Acquire) {
            self.max_time.fetch_max(newest, Ordering::AcqRel);
        }
    }

    /// The oldest sample's time, or one before it, late samples left out that a block has room for; `None` where there
    /// are no samples.
    pub(crate) fn min_time(&self) -> Option<i64> {
        Some(self.min_time.load(Ordering::Acquire)).filter(|time| *time != i64::MAX)
    }

    /// How many chunks there are, open ones included.
    pub(crate) fn chunk_count(&self) -> u64 {
        self.pages.all().iter().map(|page| page.lock().chunk_count()).sum()
    }

    fn hash(&self, encoded: &[u8]) -> SpanHash {
        let hash = self.hasher.hash_one(encoded);
        SpanHash { shard: (hash >> 32) as usize % SHARD_COUNT, hash: hash as u32 }
    }

    /// The page of those ids.
    pub(crate) fn page(&self, number: u32) -> Option<Arc<Page>> {
        self.pages.get(number)
    }

    /// Whether the series at a place has labels of this span, and the page that it is on.
    fn page_if(&self, place: Place, hash: u32, encoded: &[u8]) -> Option<Arc<Page>> {
        if place.hash != hash {
            return None;
        }
        let page = self.pages.get(place.id / PAGE_SERIES as u32)?;
        let same = page.lock().series(place.id as usize % PAGE_SERIES)?.labels.as_encoded() == encoded;
        same.then_some(page)
    }

    /// The id of the series whose labels have this span.
    pub(crate) fn resolve(&self, encoded: &[u8]) -> Option<u32> {
        let SpanHash { shard, hash } = self.hash(encoded);
        let same = |place: &Place| self.page_if(*place, hash, encoded).is_some();
        Some(self.by_labels[shard].read().places.find(Place::spread(hash), same)?.id)
    }

    /// The series of these labels, made where it is missing, with an id of `row`: its page, which keeps it from going,
    /// its id, and whether it is new. `near` is a page that it may be on, and that does not go.
    ///
    /// # Errors
    /// [`AppendError::SeriesLimit`] where there are as many as there may be.
    pub(crate) fn get_or_create(
        &self,
        labels: &Labels,
        row: &mut IdRow,
        near: Option<&Arc<Page>>,
    ) -> Result<(Arc<Page>, u32, bool), AppendError> {
        let encoded = labels.as_encoded();
        let SpanHash { shard, hash } = self.hash(encoded);
        let mut page = None;
        let mut same = |place: &Place| {
            page = self.page_if(*place, hash, encoded);
            page.is_some()
        };
        // Where one series of a batch was new, the next one mostly is, and the look in vain is spared.
        if !row.is_begun() || self.limits.counts_alike() {
            if let Some(place) = self.by_labels[shard].read().places.find(Place::spread(hash), &mut same)
                && let Some(page) = page.take()
            {
                return Ok((page, place.id, false));
            }
            // Before the shard is locked for good, since it looks into the index.
            self.limits.check_alike(labels, |name, value| self.index().series_count(name, value))?;
        }
        let mut page = None;
        let same = |place: &Place| {
            page = self.page_if(*place, hash, encoded);
            page.is_some()
        };
        let mut table = self.by_labels[shard].write();
        let Shard { places, fresh } = &mut *table;
        match places.entry(Place::spread(hash), same, |place| Place::spread(place.hash)) {
            Entry::Occupied(entry) => {
                let id = entry.get().id;
                // Found just now, under the same lock.
                page.map(|page| (page, id, false)).ok_or(AppendError::UnknownSeries(u64::from(id)))
            }
            Entry::Vacant(entry) => {
                self.count_new_series(labels)?;
                let Some(id) = self.ids.next(row) else {
                    self.series_count.fetch_sub(1, Ordering::Relaxed);
                    return Err(self.limits.refuse(SERIES_IDS, labels));
                };
                let page = self.pages.insert(id, labels.clone(), false, near);
                entry.insert(Place { hash, id });
                self.is_fresh(shard, fresh, id);
                Counters::add(&self.counters.series_created, 1);
                Ok((page, id, true))
            }
        }
    }

    /// Notes that the index lacks a series of a shard, which is locked.
    fn is_fresh(&self, shard: usize, fresh: &mut Vec<u32>, id: u32) {
        fresh.push(id);
        if fresh.len() == 1 {
            self.fresh.fetch_or(1 << shard, Ordering::Release);
        }
    }

    /// Takes back the ids that a batch has not used.
    pub(crate) fn give_back(&self, row: IdRow) {
        self.ids.give_back(row);
    }

    /// Counts a series that is about to be made, if there may be one more.
    fn count_new_series(&self, labels: &Labels) -> Result<(), AppendError> {
        self.limits.check_memory(labels)?;
        let next = |count: u64| (count < self.limits.head_max()).then_some(count + 1);
        let counted = self.series_count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        counted.map(drop).map_err(|_| self.limits.refuse(HEAD_SERIES_MAX, labels))
    }

    /// Puts a series of the log back under its old id. Where the labels are here already under another id, that
    /// series is the answer and goes by both.
    pub(crate) fn restore(&self, id: u32, labels: Labels) -> u32 {
        self.ids.is_used(id);
        let encoded = labels.as_encoded();
        let SpanHash { shard, hash } = self.hash(encoded);
        let same = |place: &Place| self.page_if(*place, hash, encoded).is_some();
        let mut table = self.by_labels[shard].write();
        let Shard { places, fresh } = &mut *table;
        match places.entry(Place::spread(hash), same, |place| Place::spread(place.hash)) {
            Entry::Occupied(entry) => entry.get().id,
            Entry::Vacant(entry) => {
                // The limit is for new series: those of the log go on, however many they are.
                self.series_count.fetch_add(1, Ordering::Relaxed);
                entry.insert(Place { hash, id });
                self.pages.insert(id, labels, true, None);
                self.is_fresh(shard, fresh, id);
                id
            }
        }
    }

    /// Lets the index take fresh series in, unless somebody else is at it. For who has made series: the next one to look
    /// into the index need not wait for them then.
    pub(crate) fn index_fresh(&self) {
        if self.fresh.load(Ordering::Acquire) != 0
            && let Some(mut index) = self.index.try_write()
        {
            self.take_in(&mut index);
        }
    }

    /// Adds all fresh series to the index.
    fn take_in(&self, index: &mut MemoryIndex) {
        let mut shards = self.fresh.swap(0, Ordering::AcqRel);
        let mut ids = Vec::new();
        while shards != 0 {
            ids.append(&mut self.by_labels[shards.trailing_zeros() as usize].write().fresh);
            shards &= shards - 1;
        }
        ids.sort_unstable();
        let mut runs = Runs::default();
        // Who has gone meanwhile is not visited.
        self.visit(ids, |series| runs.add(index, series.id, series.labels));
        runs.finish(index);
    }

    /// Hands over the label index, which takes no new series in meanwhile.
    pub(crate) fn with_index<T>(&self, with: impl FnOnce(&dyn LabelIndex) -> T) -> T {
        let index = self.index();
        with(&SeriesIndex { index: &index, labels: |id| self.labels(id) })
    }

    /// The labels of the series of that id.
    fn labels(&self, id: u32) -> Option<Labels> {
        let page = self.page(id / PAGE_SERIES as u32)?;
        let data = page.lock();
        data.series(id as usize % PAGE_SERIES).map(|series| series.labels.clone())
    }

    /// The label index, with all series that were made by now.
    pub(crate) fn index(&self) -> RwLockReadGuard<'_, MemoryIndex> {
        if self.fresh.load(Ordering::Acquire) == 0 {
            return self.index.read();
        }
        let mut index = self.index.write();
        self.take_in(&mut index);
        RwLockWriteGuard::downgrade(index)
    }

    /// Goes through all series, in the order of their ids.
    pub(crate) fn for_each(&self, mut each: impl FnMut(SeriesIn<'_>)) {
        self.pages.all().iter().for_each(|page| page.lock().all().for_each(&mut each));
    }

    /// Goes through the series of those ids, which come in order, as far as they are there.
    pub(crate) fn visit(&self, ids: impl IntoIterator<Item = u32>, mut each: impl FnMut(SeriesIn<'_>)) {
        let mut ids = ids.into_iter().peekable();
        while let Some(first) = ids.next() {
            let number = first / PAGE_SERIES as u32;
            let page = self.page(number);
            let data = page.as_ref().map(|page| page.lock());
            let mut next = Some(first);
            while let Some(id) = next {
                data.as_ref()
                    .and_then(|data| data.series(id as usize % PAGE_SERIES))
                    .into_iter()
                    .for_each(&mut each);
                next = ids.next_if(|id| id / PAGE_SERIES as u32 == number);
            }
        }
    }

    /// Goes through the pages of the series of those ids, each with the slots of these series, one bit each.
    pub(crate) fn visit_pages(&self, ids: &RoaringBitmap, mut each: impl FnMut(&PageData, u64)) {
        let mut ids = ids.iter().peekable();
        while let Some(first) = ids.next() {
            let number = first / PAGE_SERIES as u32;
            let mut slots = 1u64 << (first as usize % PAGE_SERIES);
            while let Some(id) = ids.next_if(|id| id / PAGE_SERIES as u32 == number) {
                slots |= 1 << (id as usize % PAGE_SERIES);
            }
            if let Some(page) = self.page(number) {
                each(&page.lock(), slots);
            }
        }
    }

    /// Those of some series that are known to have samples in `[start, end]` without a look at their pages; `None` where
    /// there are too few of them for that. `start` is not before what is in blocks.
    pub(crate) fn seen_of(&self, ids: &RoaringBitmap, start: i64, end: i64) -> Option<RoaringBitmap> {
        self.sightings.seen_of(ids, start, end)
    }

    /// Notes of those slots of a page, which is locked, when their newest samples are.
    pub(crate) fn note_seen(&self, page: &PageData, slots: u64) {
        self.sightings.note(page.first_id() / PAGE_SERIES as u32, page.sighting(slots));
    }

    /// Hands over a view of every series that the log knows, page by page and without a lock, up to the first error.
    pub(crate) fn try_for_each_logged<E>(
        &self,
        mut each: impl FnMut(SeriesView) -> Result<(), E>,
    ) -> Result<(), E> {
        for page in self.pages.all() {
            let logged = |series: &SeriesIn<'_>| series.is_logged();
            let views: Vec<SeriesView> =
                page.lock().all().filter(logged).map(|series| series.view(i64::MIN, i64::MAX)).collect();
            views.into_iter().try_for_each(&mut each)?;
        }
        Ok(())
    }

    /// Forgets what is older than `end`, the border of a block range; of the late samples only those named, since others
    /// may have come after a block was written, or all. Page by page: who must not see some of it gone and some of it there does not look before `end`.
    pub(crate) fn drop_before(&self, end: i64, late: Option<&LateTimes>) {
        // What is appended meanwhile notes its own time.
        self.min_time.store(i64::MAX, Ordering::Release);
        self.sightings.clear();
        for page in self.pages.all() {
            let mut data = page.lock();
            for slot in 0..PAGE_SERIES {
                let late = late.map(|late| late.get(&page.id(slot)).map_or(&[][..], |times| times));
                data.drop_before(slot, end, late);
            }
            let oldest = data.all().filter_map(|series| series.min_time_from(end)).min();
            self.min_time.fetch_min(oldest.unwrap_or(i64::MAX), Ordering::AcqRel);
        }
    }

    /// Forgets late samples.
    pub(crate) fn drop_late(&self, late: &LateTimes) {
        for (id, times) in late {
            if let Some(page) = self.page(id / PAGE_SERIES as u32) {
                page.lock().drop_before(*id as usize % PAGE_SERIES, i64::MIN, Some(times));
            }
        }
    }

    pub(crate) fn series_count(&self) -> u64 {
        self.series_count.load(Ordering::Relaxed)
    }

    /// Lets go of series that hold nothing and whose pages no batch refers to. Says how many.
    pub(crate) fn remove_empty(&self) -> usize {
        let mut empty: Vec<(u32, Labels)> = Vec::new();
        self.for_each(|series| {
            if series.is_empty() {
                empty.push((series.id, series.labels.clone()));
            }
        });
        empty.retain(|(id, labels)| {
            let SpanHash { shard, hash } = self.hash(labels.as_encoded());
            let mut table = self.by_labels[shard].write();
            let place = table.places.find_entry(Place::spread(hash), |place| place.id == *id);
            // Nobody comes by a new reference: this table is locked, and the other one while it decides.
            place.is_ok_and(|place| self.pages.remove_unused(*id).then(|| place.remove()).is_some())
        });
        for leaving in empty.chunks(LEAVING_AT_ONCE) {
            let ids: RoaringBitmap = leaving.iter().map(|(id, _)| *id).collect();
            let mut index = self.index.write();
            // Those that have gone are not taken in any more; what is, is taken out.
            self.take_in(&mut index);
            index.remove_all(&ids, leaving.iter().map(|(_, labels)| labels));
        }
        self.series_count.fetch_sub(empty.len() as u64, Ordering::Relaxed);
        Counters::add(&self.counters.series_removed, empty.len() as u64);
        empty.len()
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
