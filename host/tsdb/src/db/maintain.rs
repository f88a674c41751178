//! Maintenance: cutting the head to blocks, shortening the log, letting go of what is too old.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::Exemplar;

use super::Shared;
use super::late::merge_late;
use crate::Tsdb;
use crate::block::{Block, BlockSeries, BlockWriter};
use crate::chunk::{Chunk, ChunkMeta, Run};
use crate::error::{Error, IoContext, Result};
use crate::head::{LateTimes, SeriesView, TimedSample};
use crate::tombstones::{Intervals, Tombstones};
use crate::wal::CheckpointWriter;
use crate::wal::record;

/// Chunks of the head are joined up to this many samples: four hours at 15 s. Longer ones would save little, and cost
/// those who read only an edge of them.
const RUN_SAMPLES_MAX: usize = 1024;

/// The log is synced so often before appending stops for the last sync of a segment: each has to write what came during
/// the one before, so that the last one has little.
const SYNCS_AHEAD: usize = 3;

/// What one round of maintenance did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MaintenanceReport {
    /// Blocks cut from the head.
    pub blocks_cut: usize,
    /// Blocks of downsampled data that came.
    pub blocks_downsampled: usize,
    /// Blocks that others were merged to.
    pub blocks_compacted: usize,
    /// Blocks removed for their age or for their size.
    pub blocks_removed: usize,
    /// Blocks written anew, without series that are past or with late samples.
    pub blocks_rewritten: usize,
    /// Series that left the head.
    pub series_removed: usize,
    /// Whether the log was shortened.
    pub checkpointed: bool,
    /// Segments of the log that went before all of its readers had read them; see [`Tsdb::keep_log_for`].
    pub segments_unread: usize,
}

impl Tsdb {
    /// Does what is due: cuts full block ranges off the head, removes blocks past retention, shortens and syncs
    /// the log, merges blocks. To be called regularly, every minute or so, from any thread; appending and reading go on.
    ///
    /// # Errors
    /// [`Error`] of the step that failed. The data is as it was before that step, and the next call tries again.
    pub fn maintain(&self) -> Result<MaintenanceReport> {
        self.shared.maintain()
    }

    /// Whether a block range waits to be cut. Cheap: to be asked more often than [`Tsdb::maintain`] is called, so that
    /// the head stays small however fast samples come.
    pub fn is_cut_due(&self) -> bool {
        self.shared.due_range().is_some()
    }
}

impl Shared {
    fn maintain(&self) -> Result<MaintenanceReport> {
        let _alone = self.maintenance.lock();
        let mut report = MaintenanceReport::default();
        self.forget();
        while let Some((start, end)) = self.due_range() {
            if self.cut(start, end)? {
                report.blocks_cut += 1;
            }
        }
        let flushed = self.flush_late(false)?;
        let late_in_log = self.late_in_log.load(Ordering::Relaxed);
        report.blocks_downsampled = self.downsample()?;
        (report.blocks_removed, report.blocks_rewritten) = self.apply_retention()?;
        report.blocks_rewritten += flushed;
        report.series_removed = self.head.remove_empty();
        let due = self.wal.lock().as_ref().ok_or(Error::Closed)?.checkpoint_is_due(self.clock.now());
        if report.blocks_cut > 0 || late_in_log || due {
            self.checkpoint(&[])?;
            report.checkpointed = true;
        }
        report.segments_unread = self.log_readers.remove_unneeded(self.clock.now())?;
        self.sync_if_due()?;
        self.rewrite_lost()?;
        // Last, since it can wait: an error here leaves nothing else undone.
        report.blocks_compacted = self.compact()?;
        Ok(report)
    }

    /// The oldest block range of the head, once the head spans it and half a range more, and nobody sends any of it.
    /// Only time that has passed by the clock counts: one sample from the future must not close the present.
    fn due_range(&self) -> Option<(i64, i64)> {
        if self.options.log_only {
            return None;
        }
        let range = self.head.block_range_ms;
        let min = self.head.min_time()?;
        let now = self.clock.now().millis();
        let max = self.head.max_time().min(now);
        let start = min.div_euclid(range).checked_mul(range)?;
        let end = start.checked_add(range)?;
        let is_due = max >= end.checked_add(range / 2)?
            && (self.head.limits.sheds() || !self.arrivals.awaits(end, range, now));
        is_due.then_some((start, end))
    }

    /// Where there is a log alone, lets go of what the head has from before the range of the present, and half a range more.
    /// The bounds stay: a sender that is behind all others loses nothing, since nobody looks for its samples here.
    fn forget(&self) {
        if !self.options.log_only {
            return;
        }
        let range = self.head.block_range_ms;
        let max = self.head.max_time().min(self.clock.now().millis());
        let end = max.saturating_sub(range / 2).div_euclid(range).saturating_mul(range);
        if self.head.min_time().is_some_and(|oldest| oldest < end) {
            self.drop_head_before(end, None);
        }
    }

    /// Writes everything before `end` to a block and takes it out of the head. Says whether there was anything.
    fn cut(&self, start: i64, end: i64) -> Result<bool> {
        // From here on nothing older is taken, so that what the views show is all that there will ever be.
        {
            let _alone = self.flight.write();
            self.head.set_min_valid(end.max(self.head.min_valid()));
        }
        let mut views = Vec::new();
        self.head.for_each(|series| {
            let view = series.view(i64::MIN, end - 1);
            let exemplars = view.exemplars().iter().any(|exemplar| exemplar.timestamp.millis() < end);
            if exemplars || !view.is_empty() {
                views.push(view);
            }
        });
        views.sort_by(|a, b| a.labels.cmp(&b.labels));

        let mut writer = BlockWriter::create(&*self.fs, &self.next_block_path()?, start, end)?;
        let deleted = self.view.read().head_deleted.clone();
        let mut late = LateTimes::default();
        for view in &views {
            let written = add_to_block(&mut writer, view, (start, end), deleted.of(view.id))?;
            if !written.is_empty() {
                late.insert(view.id, written);
            }
        }
        drop(views);
        if writer.is_empty() {
            // All that there was may have been deleted, or the head's oldest sample is not as old as it thought.
            self.drop_head_before(end, Some(&late));
            return Ok(false);
        }
        let path = writer.finish(&self.head.metadata())?;
        let block = Arc::new(Block::open(&*self.fs, &path)?);

        {
            let mut view = self.view.write();
            let mut blocks = view.blocks.to_vec();
            blocks.push(block);
            blocks.sort_by_key(|block| block.meta().range_start);
            view.blocks = Arc::new(blocks);
            view.head_from = end.max(view.head_from);
        }
        // Nobody looks at these samples any more: the head lets go of them while appending and reading go on.
        self.drop_head_before(end, Some(&late));
        Ok(true)
    }

    /// Lets go of what the head has before `end`, of the late samples only those named, or all.
    pub(super) fn drop_head_before(&self, end: i64, late: Option<&LateTimes>) {
        self.head.drop_before(end, late);
        let mut view = self.view.write();
        if !view.head_deleted.is_empty() {
            let mut deleted = Tombstones::clone(&view.head_deleted);
            deleted.drop_before(end);
            view.head_deleted = Arc::new(deleted);
        }
    }

    /// Puts a block in place of others of its resolution; readers see either.
    pub(super) fn replace_blocks(&self, old: &[Arc<Block>], new: Arc<Block>) {
        let mut view = self.view.write();
        let list = view.list_mut(new.resolution_ms());
        let stays = |block: &&Arc<Block>| !old.iter().any(|gone| Arc::ptr_eq(gone, block));
        let mut blocks: Vec<Arc<Block>> = list.iter().filter(stays).cloned().collect();
        blocks.push(new);
        blocks.sort_by_key(|block| block.meta().range_start);
        *list = Arc::new(blocks);
    }

    /// The blocks of a resolution.
    pub(super) fn blocks_of(&self, resolution_ms: i64) -> Arc<Vec<Arc<Block>>> {
        self.view.write().list_mut(resolution_ms).clone()
    }

    /// All blocks, of samples and of downsampled data.
    pub(super) fn all_blocks(&self) -> Vec<Arc<Block>> {
        let view = self.view.read();
        view.coarse.iter().rev().chain([&view.blocks]).flat_map(|blocks| blocks.iter().cloned()).collect()
    }

    /// A name that no block of samples, not even one set aside, has had.
    pub(super) fn next_block_path(&self) -> Result<PathBuf> {
        self.next_block_path_in(&self.blocks_dir)
    }

    /// The same for the blocks of any folder.
    pub(super) fn next_block_path_in(&self, dir: &Path) -> Result<PathBuf> {
        let names = self.fs.list(dir).at("list", dir)?;
        let numbers = names.iter().filter_map(|name| name.split_once('.')?.0.parse::<u64>().ok());
        let next = numbers.max().unwrap_or(0) + 1;
        Ok(dir.join(format!("{next:08}.block")))
    }

    /// Begins a segment of the log. Gives its number, and how many bytes the segments before it have since the last
    /// checkpoint; all that they say is visible.
    pub(super) fn begin_segment(&self) -> Result<(u64, u64)> {
        for _ in 0..SYNCS_AHEAD {
            self.sync_ahead()?;
        }
        let _alone = self.flight.write();
        let mut wal = self.wal.lock();
        let wal = wal.as_mut().ok_or(Error::Closed)?;
        Ok((wal.rotate()?, wal.bytes_since_checkpoint()))
    }

    /// Writes what is in the head.
    pub(super) fn write_head(&self, writer: &mut CheckpointWriter<'_>) -> Result<()> {
        let metadata = self.head.metadata();
        if !metadata.is_empty() {
            let families = metadata.iter().map(|(family, m)| (family.as_str(), m));
            writer.sections(|out| record::put_metadata(out, families))?;
        }
        self.head.try_for_each_logged(|view| writer.sections(|out| put_view(out, &view)))?;
        let deleted = self.view.read().head_deleted.clone();
        if deleted.is_empty() {
            return Ok(());
        }
        writer.sections(|out| record::put_deletions(out, &deleted))
    }

    /// Writes the head to a checkpoint, which stands for the log before it; `corrupt` names files of it that are set
    /// aside. The others are removed by maintenance once nobody reads them.
    ///
    /// Appending goes on meanwhile: the checkpoint has all that the segments below its number say, and of each series
    /// perhaps something of what the ones from it on say, too. A replay passes over what it has seen.
    pub(super) fn checkpoint(&self, corrupt: &[PathBuf]) -> Result<()> {
        let (number, before) = self.begin_segment()?;
        let mut writer = CheckpointWriter::create(&*self.fs, &self.wal_dir, number)?;
        self.write_head(&mut writer)?;
        // No batch may become durable in part, by what the checkpoint has of it.
        self.wal.lock().as_mut().ok_or(Error::Closed)?.sync(self.clock.now())?;
        let bytes = writer.finish(corrupt)?;
        self.late_in_log.store(false, Ordering::Relaxed);
        if let Some(wal) = self.wal.lock().as_mut() {
            wal.checkpointed(number, bytes, before, self.clock.now());
        }
        Ok(())
    }
}

/// Adds what a series has in a block's range to it, and gives the times of its late samples that are among it.
fn add_to_block(
    writer: &mut BlockWriter<'_>,
    view: &SeriesView,
    (start, end): (i64, i64),
    deleted: Option<&Intervals>,
) -> Result<Vec<i64>> {
    let sealed = view.seal_open();
    let runs = Run::join(chunks_of(view, sealed.as_ref()), RUN_SAMPLES_MAX);
    let mut runs = runs.map_err(|malformed| view.corrupt(malformed))?;
    let late: Vec<TimedSample> =
        view.late().iter().filter(|late| (start..end).contains(&late.time)).cloned().collect();
    if !late.is_empty() {
        runs = merge_late(runs, &late, RUN_SAMPLES_MAX);
    }
    let mut exemplars: Vec<&Exemplar> =
        view.exemplars().iter().filter(|exemplar| exemplar.timestamp.millis() < end).collect();
    if let Some(deleted) = deleted {
        runs.iter_mut().for_each(|run| run.leave_out(0, deleted));
        runs.retain(|run| !run.times.is_empty());
        exemplars.retain(|exemplar| !deleted.contains(exemplar.timestamp.millis()));
    }
    if !runs.is_empty() || !exemplars.is_empty() {
        writer.add(&BlockSeries { labels: &view.labels, runs: &runs, exemplars: &exemplars })?;
    }
    Ok(late.into_iter().map(|late| late.time).collect())
}

/// The chunks of a series in time order, of which the open one has been sealed for it.
fn chunks_of<'a>(
    view: &'a SeriesView,
    sealed: Option<&'a Chunk>,
) -> impl Iterator<Item = (ChunkMeta, &'a [u8])> {
    let kept = view.chunks.iter().map(|chunk| (*chunk.meta(), chunk.data()));
    kept.chain(sealed.map(|chunk| (chunk.meta, &*chunk.data)))
}

fn put_view(out: &mut Vec<u8>, view: &SeriesView) {
    let id = view.id;
    record::put_series(out, std::iter::once((id, &view.labels)));
    let sealed = view.seal_open();
    let chunks: Vec<_> = chunks_of(view, sealed.as_ref()).collect();
    if !chunks.is_empty() {
        record::put_chunks(out, id, chunks.into_iter());
    }
    record::put_late(out, &vec![id; view.late().len()], view.late().iter().cloned());
    if !view.exemplars().is_empty() {
        let exemplars: Vec<&Exemplar> = view.exemplars().iter().collect();
        record::put_exemplars(out, &vec![id; exemplars.len()], &exemplars);
    }
}
