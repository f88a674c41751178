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

use model::Exemplar;

use super::Shared;
use crate::block::{Block, BlockSeries, BlockWriter};
use crate::chunk::{Run, RunValues};
use crate::error::{Error, IoContext, Result};

/// How many blocks of one level make one of the next.
const FANOUT: i64 = 3;
/// How often blocks are merged.
const LEVELS: u32 = 3;
/// No merged block covers more than this part of the retention, since blocks go as a whole.
const RETENTION_PART: i64 = 10;
/// Chunks are joined up to this many samples: who reads blocks this old reads much of them.
const RUN_SAMPLES_MAX: usize = 4096;

/// The series of one block, in order.
struct Cursor<'a> {
    block: &'a Block,
    number: u32,
    next: Option<SeriesOfBlock>,
}

type SeriesOfBlock = (model::Labels, Vec<crate::block::BlockChunk>);

impl<'a> Cursor<'a> {
    fn new(block: &'a Block) -> Result<Self> {
        let mut cursor = Self { block, number: 0, next: None };
        cursor.read()?;
        Ok(cursor)
    }

    fn read(&mut self) -> Result<()> {
        let more = u64::from(self.number) < self.block.meta().series_count;
        self.next = more.then(|| self.block.series(self.number, i64::MIN, i64::MAX)).transpose()?;
        Ok(())
    }
}

impl Shared {
    /// Merges what is due and says how many blocks came of it.
    pub(super) fn compact(&self) -> Result<usize> {
        let mut compacted = 0;
        while let Some((start, end, blocks)) = self.due_compaction() {
            match self.merge(start, end, &blocks) {
                Ok(()) => compacted += 1,
                Err(error) => {
                    // Said once; the range is left alone from now on, and everything readable stays so.
                    if let Error::Corrupt { path, .. } = &error {
                        blocks.iter().filter(|block| block.path() == path).for_each(|b| b.set_unreadable());
                    }
                    return Err(error);
                }
            }
        }
        Ok(compacted)
    }

    /// The first range that two or more blocks share and that nothing new can fall into.
    fn due_compaction(&self) -> Option<(i64, i64, Vec<Arc<Block>>)> {
        let blocks = self.view.read().blocks.clone();
        let retention =
            self.options.retention.and_then(|retention| i64::try_from(retention.as_millis()).ok());
        let range_max = retention.map_or(i64::MAX, |retention| retention / RETENTION_PART);
        let ranges = (1..=LEVELS).filter_map(|level| self.head.block_range_ms.checked_mul(FANOUT.pow(level)));
        for range in ranges.take_while(|range| *range <= range_max) {
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

    /// Merges blocks, which are in the order of their ranges, to one that stands for `[start, end)`.
    fn merge(&self, start: i64, end: i64, blocks: &[Arc<Block>]) -> Result<()> {
        let mut writer = BlockWriter::create(&*self.fs, &self.next_block_path()?, start, end)?;
        let mut cursors = blocks.iter().map(|block| Cursor::new(block)).collect::<Result<Vec<_>>>()?;
        loop {
            let labels = cursors.iter().filter_map(|cursor| Some(&cursor.next.as_ref()?.0)).min().cloned();
            let Some(labels) = labels else { break };
            let (mut runs, mut exemplars) = (Vec::new(), Vec::<Exemplar>::new());
            for cursor in &mut cursors {
                let Some((_, chunks)) = cursor.next.take_if(|(next, _)| *next == labels) else { continue };
                for chunk in &chunks {
                    let run = Run::next(&mut runs, &chunk.meta, RUN_SAMPLES_MAX);
                    match &mut run.values {
                        RunValues::Floats(floats) => {
                            cursor.block.decode_floats(chunk, &mut run.times, floats)?;
                        }
                        RunValues::Histograms(histograms) => {
                            cursor.block.decode_histograms(chunk, |time, histogram| {
                                run.times.push(time);
                                histograms.push(histogram);
                            })?;
                        }
                    }
                }
                exemplars.extend(cursor.block.exemplars(cursor.number)?);
                cursor.number += 1;
                cursor.read()?;
            }
            let exemplars: Vec<&Exemplar> = exemplars.iter().collect();
            writer.add(&BlockSeries { labels: &labels, runs: &runs, exemplars: &exemplars })?;
        }
        let metadata = blocks.last().map(|newest| newest.metadata()).transpose()?.unwrap_or_default();
        let path = writer.finish(&metadata)?;
        self.replace_blocks(blocks, Arc::new(Block::open(&*self.fs, &path)?));
        for block in blocks {
            self.fs.remove(block.path()).at("remove merged block", block.path())?;
        }
        self.fs.sync_dir(&self.blocks_dir).at("sync directory", &self.blocks_dir)
    }
}
