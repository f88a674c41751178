//! Deletion: samples and exemplars by matcher and time range.
//!
//! A deletion is durable before it is acknowledged, and from then on no query sees what it took: of blocks it is
//! written beside them ([`crate::tombstones`]), of the head it is in the log. The bytes go when a block is written anew:
//! with the next merge, or by [`Tsdb::clean_tombstones`] at once. Where a deletion fails half way, part of it may be in
//! force; nothing else than what was asked for ever is.
//!
//! What comes later is not deleted: of the head, a deletion reaches as far as the newest sample of each series. A late
//! sample that falls into a deleted stretch is deleted with it. Of downsampled data a deletion takes every window that it
//! touches.

use std::sync::Arc;

use model::{Matcher, Timestamp};

use super::Shared;
use super::downsample::window_end;
use crate::Tsdb;
use crate::block::Block;
use crate::error::{Error, Result};
use crate::index::Query;
use crate::tombstones::Tombstones;
use crate::wal::{put_frame, record};

impl Tsdb {
    /// Deletes the samples and exemplars in `[start, end]` of all series that pass all matchers. Waits for maintenance
    /// that is under way. Says of how many series something was deleted; one in several blocks counts for each.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`] where a block's index is damaged, [`Error::Closed`].
    pub fn delete(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<u64> {
        self.shared.delete(matchers, start.millis(), end.millis())
    }

    /// Writes every block anew of which something has been deleted, without it, so that the bytes are gone from its
    /// file. Says how many blocks that were.
    ///
    /// # Errors
    /// As [`Tsdb::delete`]; blocks that have been done stay done.
    pub fn clean_tombstones(&self) -> Result<usize> {
        self.shared.clean_tombstones()
    }
}

impl Shared {
    fn delete(&self, matchers: &[Matcher], start: i64, end: i64) -> Result<u64> {
        let query = Query::new(matchers);
        // No block comes or goes meanwhile, and nothing leaves the head.
        let _alone = self.maintenance.lock();
        // A deletion of the head ends with the next cut: what belongs to blocks has to be there.
        self.settle_late()?;
        let (mut changed, mut count) = (Vec::new(), 0);
        let blocks = self.all_blocks();
        for block in &blocks {
            // A window is gone with any part of it: its summary cannot be told apart.
            let end = match block.resolution_ms() {
                0 => end,
                resolution_ms => window_end(end, resolution_ms),
            };
            if !block.meta().overlaps(start, end) {
                continue;
            }
            let (deleted, series) = delete_of_block(block, &query, start, end)?;
            if series > 0 {
                changed.push((block, Arc::new(deleted)));
                count += series;
            }
        }
        for (block, deleted) in &changed {
            deleted.write(&*self.fs, &block.tombstones_path())?;
        }

        // What is in the log is visible, while no batch is on its way.
        let _none_in_flight = self.flight.write();
        let mut wal = self.wal.lock();
        let wal = wal.as_mut().ok_or(Error::Closed)?;
        let deleted = self.delete_of_head(&query, start, end)?;
        if !deleted.is_empty() {
            let (mut section, mut frame) = (Vec::new(), Vec::new());
            record::put_deletions(&mut section, &deleted);
            put_frame(&mut frame, &[&section])?;
            let now = self.clock.now();
            wal.append(&frame, now)?;
            wal.sync(now)?;
            count += deleted.iter().count() as u64;
        }
        let mut view = self.view.write();
        if !deleted.is_empty() {
            let mut all = Tombstones::clone(&view.head_deleted);
            all.add_all(&deleted);
            view.head_deleted = Arc::new(all);
        }
        for (block, deleted) in changed {
            block.set_tombstones(deleted);
        }
        Ok(count)
    }

    /// What a deletion takes of the head: from the oldest to the newest sample of each series, as far as it reaches.
    fn delete_of_head(&self, query: &Query<'_>, start: i64, end: i64) -> Result<Tombstones> {
        let mut deleted = Tombstones::default();
        let ids = self.head.with_index(|index| query.resolve(index))?;
        self.head.visit(ids, |series| {
            if let Some((first, last)) = series.view(start, end).times() {
                deleted.add(series.id, start.max(first), end.min(last));
            }
        });
        Ok(deleted)
    }

    fn clean_tombstones(&self) -> Result<usize> {
        let _alone = self.maintenance.lock();
        let blocks = self.all_blocks();
        let mut cleaned = 0;
        for block in blocks.iter().filter(|block| !block.tombstones().is_empty() && !block.is_unreadable()) {
            let (start, end) = (block.meta().range_start, block.meta().range_end);
            let merged = self.merge(start, end, std::slice::from_ref(block));
            merged.map_err(|error| self.leave_alone(std::slice::from_ref(block), error))?;
            cleaned += 1;
        }
        Ok(cleaned)
    }
}

/// The tombstones of a block with those of a deletion, and of how many series it takes something.
fn delete_of_block(block: &Block, query: &Query<'_>, start: i64, end: i64) -> Result<(Tombstones, u64)> {
    let mut deleted = Tombstones::clone(&block.tombstones());
    let (mut count, mut series) = (0, block.series());
    for number in query.resolve(&block.index())? {
        let (first, last) = (start.max(block.meta().min_time), end.min(block.meta().max_time));
        let gone = deleted.of(number).is_some_and(|gone| gone.covers(first, last));
        if !gone && (series.overlaps(number, start, end)? || !block.exemplars(number)?.is_empty()) {
            deleted.add(number, first, last);
            count += 1;
        }
    }
    Ok((deleted, count))
}
