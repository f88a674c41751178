//! Writing blocks anew: some of them as one, without what has been deleted and without what is past retention.

use std::sync::Arc;

use model::{Exemplar, Labels};

use super::Shared;
use super::cursor::Cursor;
use super::late::{LateOfBlock, merge_late};
use super::retention::Expiry;
use crate::block::{Block, BlockSeries, BlockWriter};
use crate::chunk::{Run, RunValues};
use crate::error::{Error, Result};

/// Chunks are joined up to this many samples: who reads blocks this old reads much of them.
const RUN_SAMPLES_MAX: usize = 4096;

/// Appends what stays of the series that is next in a block, if it has these labels.
fn take(
    cursor: &mut Cursor<'_>,
    labels: &Labels,
    past: i64,
    runs: &mut Vec<Run>,
    exemplars: &mut Vec<Exemplar>,
) -> Result<()> {
    let Some((number, chunks)) = cursor.take(labels)? else { return Ok(()) };
    let block = cursor.block;
    let mut gone = cursor.deleted.of(number).cloned().unwrap_or_default();
    if past > i64::MIN {
        gone.add(i64::MIN, past - 1);
    }
    for chunk in chunks.iter().filter(|chunk| !gone.covers(chunk.meta.min_time, chunk.meta.max_time)) {
        let from = Run::next(runs, &chunk.meta, RUN_SAMPLES_MAX);
        let at = from.times.len();
        from.starts.append(at, &block.starts(chunk)?);
        match &mut from.values {
            RunValues::Floats(floats) => block.decode_floats(chunk, &mut from.times, floats)?,
            RunValues::Summaries(summaries) => {
                let known = summaries.len();
                block.decode_summaries(chunk, summaries)?;
                let new = summaries.get(known..).unwrap_or_default();
                from.times.extend(new.iter().map(|summary| summary.last_time.millis()));
            }
            RunValues::Histograms(histograms) => {
                let times = &mut from.times;
                block.decode_histograms(chunk, |time, histogram| {
                    times.push(time);
                    histograms.push(histogram);
                })?;
            }
        }
        if gone.overlaps(chunk.meta.min_time, chunk.meta.max_time) {
            from.leave_out(at, &gone);
        }
    }
    let kept = block.exemplars(number)?.into_iter();
    exemplars.extend(kept.filter(|exemplar| !gone.contains(exemplar.timestamp.millis())));
    Ok(())
}

impl Shared {
    /// Puts one block that stands for `[start, end)` in place of some, which are in the order of their ranges. Says
    /// whether anything was left for it; where nothing was, they go without.
    pub(super) fn merge(&self, start: i64, end: i64, blocks: &[Arc<Block>]) -> Result<bool> {
        self.merge_with(start, end, blocks, &LateOfBlock::new(), || {})
    }

    /// As [`Shared::merge`], with late samples of the head, which it keeps: `merged` is told once readers find them in a block,
    /// whatever becomes of the files that are not needed any more.
    pub(super) fn merge_with(
        &self,
        start: i64,
        end: i64,
        blocks: &[Arc<Block>],
        late: &LateOfBlock,
        merged: impl FnOnce(),
    ) -> Result<bool> {
        let resolution_ms = blocks.first().map_or(0, |block| block.resolution_ms());
        let expiry = self.expiry_of(resolution_ms);
        let Some(new) = self.write_merged(start, end, blocks, late, &expiry)? else {
            merged();
            // The newest block says until when the head has been cut: it stays, and all of it stays deleted.
            let newest = self.blocks_of(resolution_ms).iter().map(|block| block.meta().range_end).max();
            let gone: Vec<Arc<Block>> =
                blocks.iter().filter(|block| Some(block.meta().range_end) != newest).cloned().collect();
            self.remove_blocks(&gone)?;
            return Ok(false);
        };
        self.replace_blocks(blocks, new);
        merged();
        self.remove_files(blocks)?;
        Ok(true)
    }

    fn write_merged(
        &self,
        start: i64,
        end: i64,
        blocks: &[Arc<Block>],
        late: &LateOfBlock,
        expiry: &Expiry,
    ) -> Result<Option<Arc<Block>>> {
        let dir = self.blocks_dir_of(blocks.first().map_or(0, |block| block.resolution_ms()));
        let mut writer = BlockWriter::create(&*self.fs, &self.next_block_path_in(&dir)?, start, end)?;
        let mut cursors = Cursor::all(blocks)?;
        let mut late = late.iter().peekable();
        loop {
            let of_blocks = cursors.iter().filter_map(Cursor::labels).min();
            let labels = of_blocks.into_iter().chain(late.peek().map(|(labels, _)| *labels)).min().cloned();
            let Some(labels) = labels else { break };
            let past = expiry.of_series(&labels);
            let (mut runs, mut exemplars) = (Vec::new(), Vec::<Exemplar>::new());
            for cursor in &mut cursors {
                take(cursor, &labels, past, &mut runs, &mut exemplars)?;
            }
            runs.retain(|run: &Run| !run.times.is_empty());
            if let Some((_, late)) = late.next_if(|(next, _)| **next == labels) {
                let from = late.samples.partition_point(|late| late.time < past);
                let kept = late.samples.get(from..).unwrap_or_default();
                if !kept.is_empty() {
                    runs = merge_late(runs, kept, RUN_SAMPLES_MAX);
                }
            }
            if runs.is_empty() && exemplars.is_empty() {
                continue;
            }
            let exemplars: Vec<&Exemplar> = exemplars.iter().collect();
            writer.add(&BlockSeries { labels: &labels, runs: &runs, exemplars: &exemplars })?;
        }
        if writer.is_empty() {
            return Ok(None);
        }
        let metadata = blocks.last().map(|newest| newest.metadata()).transpose()?.unwrap_or_default();
        let path = writer.finish(&metadata)?;
        Ok(Some(Arc::new(Block::open(&*self.fs, &path)?)))
    }

    /// Notes which of some blocks an error is about, so that it is said once: the block is left alone from now on, and
    /// everything readable of it stays so.
    pub(super) fn leave_alone(&self, blocks: &[Arc<Block>], error: Error) -> Error {
        if let Error::Corrupt { path, .. } = &error {
            blocks.iter().filter(|block| block.path() == path).for_each(|block| block.set_unreadable());
        }
        error
    }
}
