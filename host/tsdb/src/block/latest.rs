//! The latest sample in a range of many series of a block, one series after the other.
//!
//! Series of a scrape share their times: where a range ends in a column is found once for all of them. Of a series only
//! the chunk is decoded that its sample is in, and of one that stays the same not even that.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::chunks::{BlockChunk, Description};
use super::{Block, SectionKind, SeriesReader};
use crate::chunk::{ChunkKind, ChunkMeta};
use crate::codec::{Malformed, Reader};
use crate::error::Result;

/// So many columns are remembered, each in place of one whose number has the same lowest bits: neighbouring series have
/// few, and where each series has its own, remembering gains nothing.
const COLUMNS_KNOWN: usize = 1024;

/// What is known of the latest sample of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum LatestOf {
    /// There is none.
    Nothing,
    Float(i64, f64),
    /// The series has to be read.
    Unknown,
}

/// See the module.
pub(crate) struct LatestReader<'a> {
    block: &'a Block,
    series: SeriesReader<'a>,
    columns: Columns,
    floats: Vec<f64>,
}

/// Where the range ends in columns of times.
struct Columns {
    start: i64,
    end: i64,
    known: Vec<Option<Column>>,
    times: Vec<i64>,
}

/// A column of times.
#[derive(Clone, Copy)]
struct Column {
    number: u32,
    times_at: u32,
    count: u32,
    min_time: i64,
    max_time: i64,
    latest: Option<Place>,
}

/// Which of the samples at those times is the latest one of the range.
#[derive(Clone, Copy)]
struct Place {
    position: usize,
    time: i64,
}

impl Columns {
    fn of(&mut self, block: &Block, description: &Description, rest: &Reader<'_>) -> Decoded<Column> {
        let number = description.column();
        let slot = number as usize % COLUMNS_KNOWN;
        if let Some(Some(known)) = self.known.get(slot)
            && known.number == number
        {
            return Ok(*known);
        }
        let (meta, times_at) = block.column_of(description, rest)?;
        let latest =
            if meta.overlaps(self.start, self.end) { self.find(block, &meta, times_at)? } else { None };
        let ChunkMeta { count, min_time, max_time, .. } = meta;
        let column = Column { number, times_at, count, min_time, max_time, latest };
        if self.known.len() <= slot {
            self.known.resize(slot + 1, None);
        }
        self.known.get_mut(slot).into_iter().for_each(|entry| *entry = Some(column));
        Ok(column)
    }

    fn find(&mut self, block: &Block, meta: &ChunkMeta, times_at: u32) -> Decoded<Option<Place>> {
        self.times.clear();
        block.column_times(meta, times_at, &mut self.times)?;
        let position = self.times.partition_point(|time| *time <= self.end).checked_sub(1);
        let place = position.and_then(|position| Some(Place { position, time: *self.times.get(position)? }));
        Ok(place.filter(|place| place.time >= self.start))
    }
}

type Decoded<T> = std::result::Result<T, Malformed>;

impl<'a> LatestReader<'a> {
    pub(super) fn new(block: &'a Block, start: i64, end: i64) -> Self {
        let columns = Columns { start, end, known: Vec::new(), times: Vec::new() };
        Self { block, series: block.series(), columns, floats: Vec::new() }
    }

    /// The latest sample of a series, deleted or not. Series are best asked for in order.
    pub(crate) fn of(&mut self, number: u32) -> Result<LatestOf> {
        if !self.series.is_grouped() {
            return Ok(LatestOf::Unknown);
        }
        let (block, columns) = (self.block, &mut self.columns);
        let mut found: Option<(BlockChunk, Place)> = None;
        let read = self.series.descriptions(number, |description, rest| {
            let Column { times_at, count, min_time, max_time, latest, .. } =
                columns.of(block, description, rest)?;
            if let Some(place) = latest {
                let meta = ChunkMeta { kind: description.kind(), count, min_time, max_time };
                // Chunks come in the order of time.
                found = Some((description.chunk(meta, times_at), place));
            }
            Ok(())
        });
        read.map_err(|malformed| block.corrupt(SectionKind::Series, malformed))?;
        let Some((chunk, Place { position, time })) = found else { return Ok(LatestOf::Nothing) };
        if chunk.meta.kind != ChunkKind::Floats {
            return Ok(LatestOf::Unknown);
        }
        let float = block.float_at(&chunk, position, &mut self.floats)?;
        Ok(float.map_or(LatestOf::Unknown, |float| LatestOf::Float(time, float)))
    }
}
