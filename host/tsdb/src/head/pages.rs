//! From ids to pages of series.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use parking_lot::RwLock;

use super::page::{PAGE_SERIES, Page};
use super::{Labels, SHARD_COUNT};

type Shard = HashMap<u32, Arc<Page>, RandomState>;

/// The pages of the head by number.
pub(super) struct Pages(Box<[RwLock<Shard>]>);

impl Pages {
    pub(super) fn new() -> Self {
        Self((0..SHARD_COUNT).map(|_| RwLock::default()).collect())
    }

    fn shard(&self, number: u32) -> &RwLock<Shard> {
        &self.0[number as usize % SHARD_COUNT]
    }

    pub(super) fn get(&self, number: u32) -> Option<Arc<Page>> {
        self.shard(number).read().get(&number).cloned()
    }

    /// Puts a series at its id, where none is yet, and gives its page. `near` is a page that it may be on, of which the
    /// caller has a reference.
    pub(super) fn insert(
        &self,
        id: u32,
        labels: Labels,
        logged: bool,
        near: Option<&Arc<Page>>,
    ) -> Arc<Page> {
        let (number, slot) = (id / PAGE_SERIES as u32, id as usize % PAGE_SERIES);
        if let Some(page) = near.filter(|page| page.number == number) {
            page.lock().put(slot, labels, logged);
            return page.clone();
        }
        let mut shard = self.shard(number).write();
        let page = shard.entry(number).or_insert_with(|| Arc::new(Page::new(number))).clone();
        // Under the lock of the shard, so that nobody takes the page away in between.
        page.lock().put(slot, labels, logged);
        page
    }

    /// Takes a series out if it is empty and no batch refers to its page. Says whether it did. A page goes with its
    /// last series, so that series which come and go leave nothing behind.
    pub(super) fn remove_unused(&self, id: u32) -> bool {
        let (number, slot) = (id / PAGE_SERIES as u32, id as usize % PAGE_SERIES);
        // Under this lock nobody comes by a new reference.
        let mut shard = self.shard(number).write();
        let Some(page) = shard.get(&number).filter(|page| Arc::strong_count(page) == 1) else { return false };
        let mut data = page.lock();
        let unused = data.series(slot).is_some_and(|series| series.is_empty());
        if unused {
            data.remove(slot);
        }
        let last = data.is_unused();
        drop(data);
        if last {
            shard.remove(&number);
        }
        unused
    }

    /// All pages, in the order of their numbers.
    pub(super) fn all(&self) -> Vec<Arc<Page>> {
        let mut pages: Vec<Arc<Page>> = Vec::new();
        self.0.iter().for_each(|shard| pages.extend(shard.read().values().cloned()));
        pages.sort_unstable_by_key(|page| page.number);
        pages
    }
}
