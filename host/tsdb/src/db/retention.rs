//! Retention: what is too old, or too much, goes.
//!
//! * **By time**, as a block: one whose newest sample is past [`Retention::time`], and past every rule that one of its
//!   series goes by, is removed. So a block stays as a whole until the last of it is past; blocks cover at most a tenth
//!   of the retention.
//! * **By rule**: the first [`RetentionRule`] whose matchers a series passes says how long it is kept, for longer than
//!   the rest or for less long. Queries pass over what is past a rule's time, to the millisecond of the latest
//!   maintenance. From disk it goes whenever a block is written anew, and a block is written anew as soon as all that
//!   it has of some series is past: without them. Rules are for blocks: what the head holds of the last hours
//!   is there however short a rule's time.
//! * **By size**: the oldest blocks go until the rest and the log are within the bound. The log itself stays: it is
//!   what was acknowledged last.
//! * **Downsampled data** have their own times ([`crate::Downsampling`]) in place of [`Retention::time`]; rules and the bound
//!   on size reach them as well.
//! * **In the head**, chunks go that are past [`Retention::time`] and past all rules.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::{Labels, Matcher};
use roaring::RoaringBitmap;

use super::Shared;
use super::downsample::RESOLUTIONS_MS;
use crate::Tsdb;
use crate::block::Block;
use crate::error::{IoContext, Result};
use crate::index::Query;
use crate::options::{Retention, RetentionRule};

/// What is past at one moment: everything before these times.
#[derive(Debug, Clone)]
pub(super) struct Expiry {
    /// For series that no rule matches.
    default: i64,
    /// By rule, in their order.
    rules: Vec<(Vec<Matcher>, i64)>,
}

impl Expiry {
    /// Nothing is past.
    pub(super) const NEVER: Self = Self { default: i64::MIN, rules: Vec::new() };

    fn new(retention: &Retention, default: Option<Duration>, now: i64) -> Self {
        let before = |time: Duration| now.saturating_sub(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        let rule = |rule: &RetentionRule| (rule.matchers.clone(), before(rule.time));
        Self { default: default.map_or(i64::MIN, before), rules: retention.rules.iter().map(rule).collect() }
    }

    /// Before this time everything is past, whatever series it is of.
    pub(super) fn of_all(&self) -> i64 {
        self.rules.iter().map(|(_, before)| *before).fold(self.default, i64::min)
    }

    /// From this time on nothing is past, whatever series it is of.
    fn of_any(&self) -> i64 {
        self.rules.iter().map(|(_, before)| *before).fold(self.default, i64::max)
    }

    /// Before which time the samples of a series are past.
    pub(super) fn of_series(&self, labels: &Labels) -> i64 {
        let matches = |matchers: &[Matcher]| matchers.iter().all(|matcher| matcher.matches_labels(labels));
        let rule = self.rules.iter().find(|(matchers, _)| matches(matchers));
        rule.map_or(self.default, |(_, before)| *before)
    }

    /// The series of a block by what they go by, and before which time they are past; each series once. With
    /// `by_rule`, those that no rule matches are left out.
    fn classes(&self, block: &Block, by_rule: bool) -> Result<Vec<(RoaringBitmap, i64)>> {
        let index = block.index();
        let mut rest: RoaringBitmap =
            (0..u32::try_from(block.meta().series_count).unwrap_or(u32::MAX)).collect();
        let mut classes = Vec::with_capacity(self.rules.len() + 1);
        for (matchers, before) in &self.rules {
            let matching = Query::new(matchers).resolve(&index)? & &rest;
            rest -= &matching;
            classes.push((matching, *before));
        }
        if !by_rule {
            classes.push((rest, self.default));
        }
        classes.retain(|(series, _)| !series.is_empty());
        Ok(classes)
    }

    /// The series of a block of which a query must not see everything, with the time from which on it may.
    pub(super) fn hidden(&self, block: &Block) -> Result<Vec<(RoaringBitmap, i64)>> {
        let min_time = block.meta().min_time;
        if self.rules.iter().all(|(_, before)| *before <= min_time) {
            return Ok(Vec::new());
        }
        let mut classes = self.classes(block, true)?;
        classes.retain(|(_, before)| *before > min_time);
        Ok(classes)
    }
}

impl Tsdb {
    /// Changes how long and how much is kept, from the next maintenance on.
    pub fn set_retention(&self, retention: Retention) {
        *self.shared.retention.write() = Arc::new(retention);
    }
}

impl Shared {
    /// What of the samples is past by now.
    pub(super) fn expiry(&self) -> Expiry {
        self.expiry_of(0)
    }

    /// What is past by now of a resolution. By the data or by the clock, whichever is earlier: neither a clock that jumps
    /// nor one sample from the future may empty the storage.
    pub(super) fn expiry_of(&self, resolution_ms: i64) -> Expiry {
        let Some(newest) = self.max_time() else { return Expiry::NEVER };
        let retention = self.retention.read().clone();
        let default = match (resolution_ms, &self.options.downsampling) {
            (0, _) | (_, None) => retention.time,
            (known, Some(levels)) if RESOLUTIONS_MS.first() == Some(&known) => levels.five_minutes.retention,
            (_, Some(levels)) => levels.one_hour.retention,
        };
        Expiry::new(&retention, default, newest.min(self.clock.now().millis()))
    }

    /// Lets go of what is past or too much. Says how many blocks were removed and how many were written anew.
    pub(super) fn apply_retention(&self) -> Result<(usize, usize)> {
        let expiry = Arc::new(self.expiry());
        self.view.write().expiry = expiry.clone();
        let of_all = expiry.of_all();
        if self.head.min_time().is_some_and(|oldest| oldest < of_all) {
            self.trim_head(of_all);
        }
        let (mut removed, mut rewritten) = (0, 0);
        for resolution_ms in RESOLUTIONS_MS.into_iter().chain([0]) {
            let expiry = self.expiry_of(resolution_ms);
            removed += self.remove_blocks(&self.blocks_past(resolution_ms, &expiry)?)?;
            for block in self.blocks_past_in_part(resolution_ms, &expiry)? {
                match self.merge(
                    block.meta().range_start,
                    block.meta().range_end,
                    std::slice::from_ref(&block),
                ) {
                    Ok(_) => rewritten += 1,
                    Err(error) => return Err(self.leave_alone(&[block], error)),
                }
            }
        }
        removed += self.remove_blocks(&self.blocks_too_much()?)?;
        Ok((removed, rewritten))
    }

    /// Takes chunks out of the head that end before a time. Nothing that old is taken any more.
    fn trim_head(&self, before: i64) {
        {
            let _alone = self.flight.write();
            self.head.set_min_valid(before.max(self.head.min_valid()));
        }
        self.drop_head_before(before, None);
    }

    /// Blocks of which everything is past.
    fn blocks_past(&self, resolution_ms: i64, expiry: &Expiry) -> Result<Vec<Arc<Block>>> {
        let blocks = self.blocks_of(resolution_ms);
        let mut past = Vec::new();
        for block in blocks.iter() {
            let newest = block.meta().max_time;
            // Most blocks are newer than all that is past, the others mostly older.
            if newest < expiry.of_all()
                || (newest < expiry.of_any()
                    && expiry.classes(block, false)?.iter().all(|(_, before)| newest < *before))
            {
                past.push(block.clone());
            }
        }
        Ok(past)
    }

    /// Blocks that hold series of which everything is past, beside others.
    fn blocks_past_in_part(&self, resolution_ms: i64, expiry: &Expiry) -> Result<Vec<Arc<Block>>> {
        let blocks = self.blocks_of(resolution_ms);
        let mut past = Vec::new();
        for block in
            blocks.iter().filter(|block| block.meta().max_time < expiry.of_any() && !block.is_unreadable())
        {
            let newest = block.meta().max_time;
            if expiry.classes(block, false)?.iter().any(|(_, before)| newest < *before) {
                past.push(block.clone());
            }
        }
        Ok(past)
    }

    /// The oldest blocks, as many as are over the bound on size.
    fn blocks_too_much(&self) -> Result<Vec<Arc<Block>>> {
        let retention = self.retention.read().clone();
        let part = match retention.disk_part_max {
            Some(part) => {
                let disk = self
                    .fs
                    .disk_bytes(&self.blocks_dir)
                    .at("read the size of the disk of", &self.blocks_dir)?;
                Some((disk as f64 * part) as u64)
            }
            None => None,
        };
        let Some(bytes_max) = retention.bytes_max.into_iter().chain(part).min() else {
            return Ok(Vec::new());
        };
        let blocks = self.all_blocks();
        let mut bytes = blocks.iter().map(|block| block.bytes()).sum::<u64>() + self.log_bytes();
        let mut oldest: Vec<Arc<Block>> = blocks;
        oldest.sort_by_key(|block| block.meta().max_time);
        oldest.retain(|block| {
            let over = bytes > bytes_max;
            bytes -= if over { block.bytes() } else { 0 };
            over
        });
        Ok(oldest)
    }

    /// Takes blocks out of sight and then off the disk. Says how many.
    pub(super) fn remove_blocks(&self, gone: &[Arc<Block>]) -> Result<usize> {
        if gone.is_empty() {
            return Ok(0);
        }
        {
            let mut view = self.view.write();
            let stays = |block: &&Arc<Block>| !gone.iter().any(|other| Arc::ptr_eq(other, block));
            for resolution_ms in RESOLUTIONS_MS.into_iter().chain([0]) {
                let list = view.list_mut(resolution_ms);
                *list = Arc::new(list.iter().filter(stays).cloned().collect());
            }
        }
        self.remove_files(gone)?;
        Ok(gone.len())
    }

    /// Removes the files of blocks that nobody finds any more.
    pub(super) fn remove_files(&self, gone: &[Arc<Block>]) -> Result<()> {
        let sync = || {
            let mut dirs: Vec<&Path> = gone.iter().filter_map(|block| block.path().parent()).collect();
            dirs.dedup();
            dirs.into_iter().try_for_each(|dir| self.fs.sync_dir(dir).at("sync directory", dir))
        };
        for block in gone {
            self.fs.remove(block.path()).at("remove block", block.path())?;
        }
        sync()?;
        // Only now: what is deleted must not come back with a block that a crash leaves.
        let deleted: Vec<_> = gone.iter().filter(|block| !block.tombstones().is_empty()).collect();
        for block in &deleted {
            let path = block.tombstones_path();
            self.fs.remove(&path).at("remove tombstones", &path)?;
        }
        if deleted.is_empty() { Ok(()) } else { sync() }
    }
}
