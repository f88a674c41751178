//! Compaction: blocks of neighbouring ranges become one.
//!
//! Three blocks of a range become one of three times that range, up to [`LEVELS`] times: two hours, six, eighteen,
//! fifty-four. Labels and postings are then written once where they were written three times, and longer chunks take
//! less. Appending and reading go on meanwhile: blocks are immutable, and the new one takes the place of the others at
//! one moment.
//!
//! What always holds: the new block has a greater number than those that it stands for and its range covers theirs.
//! After a crash between its naming and their removal, the next start removes them.

use std::sync::Arc;

use super::Shared;
use crate::block::Block;
use crate::error::Result;

/// How many blocks of one level make one of the next.
const FANOUT: i64 = 3;
/// How often blocks are merged.
const LEVELS: u32 = 3;
/// No merged block covers more than this part of the retention, since blocks go as a whole.
const RETENTION_PART: i64 = 10;

impl Shared {
    /// Merges what is due and says how many blocks came of it.
    pub(super) fn compact(&self) -> Result<usize> {
        let mut compacted = 0;
        while let Some((start, end, blocks)) = self.due_compaction() {
            match self.merge(start, end, &blocks) {
                Ok(_) => compacted += 1,
                Err(error) => return Err(self.leave_alone(&blocks, error)),
            }
        }
        Ok(compacted)
    }

    /// The ranges of merged blocks, the shortest first.
    fn merged_ranges_ms(&self) -> Vec<i64> {
        let retention = self.retention.read().time.and_then(|time| i64::try_from(time.as_millis()).ok());
        let range_max = retention.map_or(i64::MAX, |retention| retention / RETENTION_PART);
        let ranges = (1..=LEVELS).filter_map(|level| self.head.block_range_ms.checked_mul(FANOUT.pow(level)));
        ranges.take_while(|range| *range <= range_max).collect()
    }

    /// The range of the longest block that there will be.
    pub(super) fn merged_range_ms(&self) -> i64 {
        self.merged_ranges_ms().last().copied().unwrap_or(self.head.block_range_ms)
    }

    /// The first range that two or more blocks share and that nothing new can fall into.
    fn due_compaction(&self) -> Option<(i64, i64, Vec<Arc<Block>>)> {
        let blocks = self.view.read().blocks.clone();
        for range in self.merged_ranges_ms() {
            for first in blocks.iter() {
                let Some(start) = first.meta().range_start.div_euclid(range).checked_mul(range) else {
                    continue;
                };
                let Some(end) = start.checked_add(range) else { continue };
                let among = |block: &&Arc<Block>| block.meta().lies_in(start, end);
                let group: Vec<Arc<Block>> = blocks.iter().filter(among).cloned().collect();
                let alone = blocks.iter().all(|block| {
                    let meta = block.meta();
                    meta.lies_in(start, end) || meta.range_end <= start || meta.range_start >= end
                });
                let readable = !group.iter().any(|block| block.is_unreadable());
                if group.len() > 1 && alone && readable && end <= self.head.min_valid() {
                    return Some((start, end, group));
                }
            }
        }
        None
    }
}
