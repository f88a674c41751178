//! When series were seen, page by page, in one place.
//!
//! Who has found many series in the label index asks next which of them have samples in a range. Their pages know, but
//! those of a million series are 15,625, and each takes several waits for memory. So what is known of a page is noted here
//! as well, in 24 bytes: that each of some of its series has a sample between two times.
//!
//! Such a *sighting* stays true whatever comes after it, until its samples are cut to a block: who asks for nothing before
//! that may rely on it. What is not noted, or not of the range that is asked for, has to be asked of the page, whose
//! answer is then noted. Batches that have a sample of each series of a page note that by themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use roaring::RoaringBitmap;

use super::page::PAGE_SERIES;
use crate::index::Union;

/// Pages of one group, which has a lock of its own and is copied to be read: six kilobytes, for 16,384 series.
const GROUP_PAGES: usize = 256;
/// Looking at a page costs as much as reading so many sightings.
const SIGHTINGS_PER_LOOK: u64 = 64;

/// Each of these series of a page, one bit each, has a sample from `first` to `last`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighting {
    pub(super) slots: u64,
    pub(super) first: i64,
    pub(super) last: i64,
}

type Group = Mutex<[Sighting; GROUP_PAGES]>;

/// Sightings by the number of the page, in groups of neighbours.
///
/// Its locks are taken last, and nobody holds them while waiting for any other.
#[derive(Default)]
pub(super) struct Sightings(RwLock<BTreeMap<u32, Arc<Group>>>);

impl Sighting {
    const NONE: Self = Self { slots: 0, first: 0, last: 0 };
}

/// The group of a page, and the place in it.
const fn place_of(page: u32) -> (u32, usize) {
    (page / GROUP_PAGES as u32, page as usize % GROUP_PAGES)
}

impl Sightings {
    /// Notes what a page, which is locked, says of some of its series, instead of what was noted before.
    pub(super) fn note(&self, page: u32, sighting: Sighting) {
        let (number, at) = place_of(page);
        if let Some(group) = self.0.read().get(&number) {
            group.lock()[at] = sighting;
            return;
        }
        let mut groups = self.0.write();
        let group =
            groups.entry(number).or_insert_with(|| Arc::new(Mutex::new([Sighting::NONE; GROUP_PAGES])));
        group.lock()[at] = sighting;
    }

    /// Those of some series that have been seen in `[start, end]`; `None` where they are so few that their pages tell as
    /// quickly. `start` is not before what is in blocks.
    pub(super) fn seen_of(&self, ids: &RoaringBitmap, start: i64, end: i64) -> Option<RoaringBitmap> {
        let groups: Vec<(u32, Arc<Group>)> = {
            let groups = self.0.read();
            if ids.len() * SIGHTINGS_PER_LOOK < (groups.len() * GROUP_PAGES) as u64 {
                return None;
            }
            groups.iter().map(|(number, group)| (*number, Arc::clone(group))).collect()
        };
        let mut seen = Union::default();
        for (number, group) in groups {
            let first_page = number * GROUP_PAGES as u32;
            let sightings = *group.lock();
            for (page, sighting) in (first_page..).zip(&sightings) {
                if sighting.first >= start && sighting.last <= end {
                    seen.add_word(page * PAGE_SERIES as u32, sighting.slots);
                }
            }
        }
        Some(seen.into_bitmap() & ids)
    }

    /// Forgets everything: samples go.
    pub(super) fn clear(&self) {
        self.0.write().clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Only what was noted last of a page counts, and only where all of it lies in the range.
        #[test]
        fn what_was_noted_is_seen(
            notes in vec((0u32..1000, any::<u64>(), 0i64..40, 0i64..10), 0..60),
            (start, length) in (0i64..40, 0i64..40),
        ) {
            let sightings = Sightings::default();
            let mut expected = BTreeMap::new();
            for (page, slots, first, length) in notes {
                sightings.note(page, Sighting { slots, first, last: first + length });
                expected.insert(page, (slots, first, first + length));
            }
            let end = start + length;
            let mut ids = RoaringBitmap::new();
            ids.insert_range(7..60_000);
            let seen = expected.into_iter().filter(|(_, (_, first, last))| *first >= start && *last <= end);
            let seen = seen.flat_map(|(page, (slots, ..))| {
                (0..64).filter(move |slot| slots >> slot & 1 == 1).map(move |slot| page * 64 + slot)
            });
            let seen: RoaringBitmap = seen.filter(|id| ids.contains(*id)).collect();
            prop_assert_eq!(sightings.seen_of(&ids, start, end), Some(seen));
            sightings.clear();
            prop_assert_eq!(sightings.seen_of(&ids, start, end), Some(RoaringBitmap::new()));
        }
    }
}
