//! Which values a regular expression has passed, remembered.
//!
//! Dashboards and rules send the same expressions again and again. Where testing all values takes long, the numbers of
//! those that passed are kept. Values that come later have greater numbers, so that only they are left to be tested.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use roaring::RoaringBitmap;

use super::Pattern;
use crate::error::Result;

/// What takes less than this to find is found again: the lock and the memory are worth more.
const COST_NS_MIN: u64 = 200_000;
/// How many expressions an index remembers at most: those of some dashboards.
const ENTRIES_MAX: usize = 64;
/// How many bytes the numbers may take together.
const BYTES_MAX: usize = 2 << 20;

#[derive(Debug)]
struct Entry {
    name: Box<str>,
    pattern: Box<str>,
    /// Numbers are compared only within one.
    epoch: u64,
    /// How many values have been tested.
    seen: u32,
    passing: Arc<RoaringBitmap>,
}

/// Answers of one index; the latest used stands first.
#[derive(Debug, Default)]
pub(crate) struct PassingCache(Mutex<Vec<Entry>>);

/// The values that an answer is of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) name: &'a str,
    /// Changes when values get other numbers.
    pub(crate) epoch: u64,
    pub(crate) count: u32,
}

impl Entry {
    fn is(&self, asked: &Asked<'_>, pattern: &Pattern) -> bool {
        *self.name == *asked.name
            && *self.pattern == *pattern.text()
            && self.epoch == asked.epoch
            && self.seen <= asked.count
    }
}

impl PassingCache {
    /// How many of the values have been tested already.
    pub(crate) fn seen(&self, asked: &Asked<'_>, pattern: &Pattern) -> u32 {
        self.0.lock().iter().find(|entry| entry.is(asked, pattern)).map_or(0, |entry| entry.seen)
    }

    /// The numbers of the values that pass; `find` finds them among those that have not been tested.
    pub(crate) fn passing(
        &self,
        asked: &Asked<'_>,
        pattern: &Pattern,
        cost_ns: u64,
        find: impl FnOnce(Range<u32>) -> Result<Vec<u32>>,
    ) -> Result<Arc<RoaringBitmap>> {
        let known = {
            let mut entries = self.0.lock();
            let at = entries.iter().position(|entry| entry.is(asked, pattern));
            at.map(|at| entries.remove(at))
        };
        let is_new = known.is_none();
        let (seen, mut passing) =
            known.map_or_else(|| (0, Arc::default()), |entry| (entry.seen, entry.passing));
        if seen < asked.count {
            let more = find(seen..asked.count)?;
            if !more.is_empty() {
                // Numbers that were found come in order and after all that were known.
                let _ = Arc::<RoaringBitmap>::make_mut(&mut passing).append(more);
            }
        }
        if !is_new || cost_ns >= COST_NS_MIN {
            self.keep(Entry {
                name: asked.name.into(),
                pattern: pattern.text().into(),
                epoch: asked.epoch,
                seen: asked.count,
                passing: passing.clone(),
            });
        }
        Ok(passing)
    }

    fn keep(&self, entry: Entry) {
        let mut entries = self.0.lock();
        entries.insert(0, entry);
        let mut bytes = 0;
        let kept = entries.iter().take(ENTRIES_MAX).take_while(|entry| {
            bytes += entry.passing.serialized_size() + entry.pattern.len();
            bytes <= BYTES_MAX
        });
        let kept = kept.count();
        entries.truncate(kept);
    }
}
