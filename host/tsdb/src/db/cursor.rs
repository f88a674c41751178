//! Going through several blocks side by side, series by series, in the order of labels.

use std::sync::Arc;

use model::Labels;

use crate::block::{Block, BlockChunk, SeriesReader};
use crate::error::Result;
use crate::tombstones::Tombstones;

/// The series of one block, in order.
pub(super) struct Cursor<'a> {
    pub(super) block: &'a Block,
    pub(super) deleted: Arc<Tombstones>,
    series: SeriesReader<'a>,
    number: u32,
    next: Option<(Labels, Vec<BlockChunk>)>,
}

impl<'a> Cursor<'a> {
    /// At the first series of a block.
    pub(super) fn new(block: &'a Block) -> Result<Self> {
        let mut cursor =
            Self { block, deleted: block.tombstones(), series: block.series(), number: 0, next: None };
        cursor.read()?;
        Ok(cursor)
    }

    /// At the first series of each block.
    pub(super) fn all(blocks: &'a [Arc<Block>]) -> Result<Vec<Self>> {
        blocks.iter().map(|block| Self::new(block)).collect()
    }

    /// The labels of the next series.
    pub(super) fn labels(&self) -> Option<&Labels> {
        self.next.as_ref().map(|(labels, _)| labels)
    }

    /// Number and chunks of the next series if it has these labels; the one after it is then the next.
    pub(super) fn take(&mut self, labels: &Labels) -> Result<Option<(u32, Vec<BlockChunk>)>> {
        let Some((_, chunks)) = self.next.take_if(|(next, _)| next == labels) else { return Ok(None) };
        let number = self.number;
        self.number += 1;
        self.read()?;
        Ok(Some((number, chunks)))
    }

    fn read(&mut self) -> Result<()> {
        let more = u64::from(self.number) < self.block.meta().series_count;
        self.next = if more {
            let labels = self.series.labels(self.number)?;
            Some((labels, self.series.chunks(self.number, i64::MIN, i64::MAX)?))
        } else {
            None
        };
        Ok(())
    }
}
