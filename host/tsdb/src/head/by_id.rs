//! From ids to series.
//!
//! Ids are given out one after the other, and a sender's series come in the order in which they came first. Pages of
//! neighbouring ids therefore keep a batch within few cache lines and one lock. A page goes with its last series, so
//! that series which come and go leave nothing behind.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use parking_lot::RwLock;

use super::{SHARD_COUNT, Series};

/// Ids of one page: two kilobytes, of which a lone survivor keeps no more.
const PAGE_IDS: u32 = 256;

type Shard = HashMap<u32, Page, RandomState>;

struct Page {
    series: Box<[Option<Arc<Series>>]>,
    /// How many there are.
    count: u32,
}

/// The series of the head by id.
pub(super) struct SeriesById(Box<[RwLock<Shard>]>);

impl SeriesById {
    pub(super) fn new() -> Self {
        Self((0..SHARD_COUNT).map(|_| RwLock::default()).collect())
    }

    fn shard(&self, id: u32) -> &RwLock<Shard> {
        &self.0[(id / PAGE_IDS) as usize % SHARD_COUNT]
    }

    pub(super) fn get(&self, id: u32) -> Option<Arc<Series>> {
        let shard = self.shard(id).read();
        shard.get(&(id / PAGE_IDS))?.series[(id % PAGE_IDS) as usize].clone()
    }

    /// Adds a series, whose id is not here yet.
    pub(super) fn insert(&self, series: Arc<Series>) {
        let id = series.id;
        let mut shard = self.shard(id).write();
        let page = shard
            .entry(id / PAGE_IDS)
            .or_insert_with(|| Page { series: (0..PAGE_IDS).map(|_| None).collect(), count: 0 });
        page.count += u32::from(page.series[(id % PAGE_IDS) as usize].replace(series).is_none());
    }

    /// Takes a series out if nobody refers to it but `references` tables, this one among them. Says whether it did.
    pub(super) fn remove_unused(&self, series: &Arc<Series>, references: usize) -> bool {
        // Under this lock nobody comes by a new reference here.
        let mut shard = self.shard(series.id).write();
        if Arc::strong_count(series) > references {
            return false;
        }
        let number = series.id / PAGE_IDS;
        if let Some(page) = shard.get_mut(&number) {
            page.count -= u32::from(page.series[(series.id % PAGE_IDS) as usize].take().is_some());
            if page.count == 0 {
                shard.remove(&number);
            }
        }
        true
    }
}
