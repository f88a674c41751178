//! The chunks of a block: how they are described with their series, and how they are read.
//!
//! ```text
//! chunk     flags u8: bits 0-1 kind (0 no chunk, 1 floats, 2 histograms, 3 summaries), 4 constant, 8 summary,
//!           16 starts, 32 the column follows that of the description before it in the group, 64 it differs from that
//!           (neither: it is the same; the first of a group stands after column 0), 128 another chunk of the series
//!           follows
//!           column zigzag varint: the number of its times less the one before         with 64
//!           value number (crate::codec::decimal)        where it is constant: it has no data then
//!           time varint                                 where it has constant and summary: its last sample is a stale
//!                                                       marker, so long after the one before it in ms
//!           length varint                               else; data of a group's chunks follow one another: the CRC32
//!                                                       first, the length is that of the data
//!           length varint, summary (see summary.rs)     where it has one
//!           starts varint: the number of its starts     where any of its samples has one
//! ```
//! Most series never change: a chunk of such a series takes two bytes, whatever its length, and four where the series
//! ends in it. Everything here is covered
//! by the checksum of the section, data by their own. A series without any chunk (it has exemplars) has one description
//! that is a zero.
//!
//! In versions 3 to 5: flags without 32, 64 and 128, the number of the column varint, and before the first length of a
//! series the place varint where within "chunks" its data begin.
//!
//! Before version 3: kind u8, number of its column of times varint (in version 1 a description, see crate::chunk),
//! offset within "chunks" varint, length varint.

use std::sync::Arc;

use model::staleness::STALE_NAN;
use model::{Histogram, Summary};

use super::summary::Constant;
use super::{Block, SectionKind};
use crate::chunk::{ChunkKind, ChunkMeta, decode_histogram_values, decode_summary_values};
use crate::codec::bytes::{put_span, put_varint, put_zigzag};
use crate::codec::{Malformed, Reader, decimal};
use crate::error::{Error, Result};
use crate::starts::Starts;

const CONSTANT: u8 = 4;
const SUMMARY: u8 = 8;
const STARTS: u8 = 16;
const KIND_MASK: u8 = 3;
const NEXT_COLUMN: u8 = 32;
const OTHER_COLUMN: u8 = 64;
const FOLLOWED: u8 = 128;

/// The description of a series that has no chunks.
pub(super) const NO_CHUNKS: u8 = 0;

/// The CRC32 before the data of a chunk.
pub(super) const CHECKSUM_BYTES: u64 = 4;

/// A chunk of a block: its description and where its data is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockChunk {
    pub(crate) meta: ChunkMeta,
    /// Where its times are in the section; in version 1 they come before the values.
    times_at: Option<u32>,
    values: Values,
    /// Where its summary is in the section "series".
    summary: Option<(usize, usize)>,
    /// The number of its starts.
    starts: Option<u32>,
}

/// Where the values of a chunk are.
#[derive(Debug, Clone, Copy)]
enum Values {
    Constant(Constant),
    Stored { offset: u64, len: u64 },
}

type Decoded<T> = std::result::Result<T, Malformed>;

/// What a group's descriptions are told after.
#[derive(Debug, Clone, Copy)]
pub(super) struct Described {
    column: u32,
    /// Where the data of the next chunk begin.
    place: u64,
}

/// A chunk as it is described, without a look at its times.
#[derive(Debug)]
pub(super) struct Description {
    kind: ChunkKind,
    column: u32,
    values: Values,
    summary: Option<(usize, usize)>,
    starts: Option<u32>,
    /// Whether another of the same series comes next.
    pub(super) is_followed: bool,
    /// How many bytes of it are a constant's value, with the time of its end.
    pub(super) constant_bytes: usize,
    /// How many are its summary.
    pub(super) summary_bytes: usize,
}

impl Described {
    /// At the beginning of a group whose data begin there.
    pub(super) const fn at(place: u64) -> Self {
        Self { column: 0, place }
    }
}

impl Description {
    /// The number of its times.
    pub(super) const fn column(&self) -> u32 {
        self.column
    }

    pub(super) const fn kind(&self) -> ChunkKind {
        self.kind
    }

    /// The chunk, whose times are there.
    pub(super) const fn chunk(&self, meta: ChunkMeta, times_at: u32) -> BlockChunk {
        let Self { values, summary, starts, .. } = *self;
        BlockChunk { meta, times_at: Some(times_at), values, summary, starts }
    }

    /// The next description; `None` where it says that there is no chunk.
    pub(super) fn read(reader: &mut Reader<'_>, before: &mut Described) -> Decoded<Option<Self>> {
        let flags = reader.u8()?;
        if flags == NO_CHUNKS {
            return Ok(None);
        }
        let kind =
            ChunkKind::of_number(flags & KIND_MASK).ok_or(reader.malformed("unknown kind of chunk"))?;
        let step = match flags & (NEXT_COLUMN | OTHER_COLUMN) {
            0 => 0,
            NEXT_COLUMN => 1,
            OTHER_COLUMN => reader.zigzag()?,
            _ => return Err(reader.malformed("unknown flags of a chunk")),
        };
        let column = i64::from(before.column).checked_add(step).and_then(|column| u32::try_from(column).ok());
        before.column = column.ok_or(reader.malformed("times of a chunk are not there"))?;
        let values_at = reader.at();
        let values = if flags & CONSTANT == 0 {
            let (offset, len) = (before.place, reader.varint()?);
            before.place = offset.saturating_add(CHECKSUM_BYTES).saturating_add(len);
            Values::Stored { offset, len }
        } else {
            let value = decimal::number(reader)?;
            let stale_after_ms = if flags & SUMMARY == 0 { None } else { Some(reader.varint()?) };
            Values::Constant(Constant { value, stale_after_ms })
        };
        let constant_bytes = if flags & CONSTANT == 0 { 0 } else { reader.at() - values_at };
        let has_summary = flags & (SUMMARY | CONSTANT) == SUMMARY;
        let summary_at = reader.at();
        let summary = if has_summary { Some(read_summary(reader)?) } else { None };
        let summary_bytes = reader.at() - summary_at;
        let starts = if flags & STARTS == 0 { None } else { Some(reader.varint_u32()?) };
        let is_followed = flags & FOLLOWED != 0;
        Ok(Some(Self {
            kind,
            column: before.column,
            values,
            summary,
            starts,
            is_followed,
            constant_bytes,
            summary_bytes,
        }))
    }
}

/// A chunk as it is written.
pub(super) struct DescribedChunk<'a> {
    pub(super) kind: ChunkKind,
    /// The number of its times.
    pub(super) column: u32,
    /// Its values, where it has no data.
    pub(super) constant: Option<Constant>,
    pub(super) data_bytes: usize,
    pub(super) summary: Option<&'a [u8]>,
    pub(super) starts: Option<u32>,
    pub(super) is_followed: bool,
}

impl DescribedChunk<'_> {
    /// Writes it; `column` is that of the description before it in its group.
    pub(super) fn put(&self, out: &mut Vec<u8>, column: &mut u32) {
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        let step = i64::from(self.column) - i64::from(*column);
        *column = self.column;
        let flags = self.kind.number()
            | flag(self.constant.is_some(), CONSTANT)
            | flag(self.summary.is_some() || self.constant.is_some_and(Constant::is_ended), SUMMARY)
            | flag(self.starts.is_some(), STARTS)
            | flag(step == 1, NEXT_COLUMN)
            | flag(step != 0 && step != 1, OTHER_COLUMN)
            | flag(self.is_followed, FOLLOWED);
        out.push(flags);
        if flags & OTHER_COLUMN != 0 {
            put_zigzag(out, step);
        }
        match self.constant {
            Some(Constant { value, stale_after_ms }) => {
                decimal::put_number(out, value);
                stale_after_ms.into_iter().for_each(|after| put_varint(out, after));
            }
            None => put_varint(out, self.data_bytes as u64),
        }
        if let Some(summary) = self.summary {
            put_span(out, summary);
        }
        if let Some(starts) = self.starts {
            put_varint(out, u64::from(starts));
        }
    }
}

/// Where the summary is that comes next.
fn read_summary(reader: &mut Reader<'_>) -> Decoded<(usize, usize)> {
    let len = reader.count(1)?;
    let at = reader.at();
    reader.take(len)?;
    Ok((at, len))
}

impl Block {
    /// A chunk of a group; `reader` stands behind its description.
    pub(super) fn chunk_of(&self, description: &Description, reader: &Reader<'_>) -> Decoded<BlockChunk> {
        let (meta, times_at) = self.column_of(description, reader)?;
        Ok(description.chunk(meta, times_at))
    }

    /// What a chunk's column of times says of it, and where the column is.
    pub(super) fn column_of(
        &self,
        description: &Description,
        reader: &Reader<'_>,
    ) -> Decoded<(ChunkMeta, u32)> {
        let wrong = reader.malformed("times of a chunk are not there");
        self.times_of(description.kind, description.column).map_err(|_| wrong)
    }

    /// Appends the times of a column.
    pub(super) fn column_times(&self, meta: &ChunkMeta, at: u32, times: &mut Vec<i64>) -> Decoded<()> {
        let mut reader = Reader::new(self.section(SectionKind::Times));
        reader.take(at as usize)?;
        meta.decode_timestamps(&mut reader, times)
    }

    /// Whether the samples of a chunk of a group reach into a range. `columns` is what is known of that already, by the
    /// numbers of columns.
    pub(super) fn column_overlaps(
        &self,
        description: &Description,
        reader: &Reader<'_>,
        (start, end): (i64, i64),
        columns: &mut Vec<Option<bool>>,
    ) -> Decoded<bool> {
        let column = description.column as usize;
        if let Some(Some(known)) = columns.get(column) {
            return Ok(*known);
        }
        let overlaps = self.chunk_of(description, reader)?.meta.overlaps(start, end);
        if columns.len() <= column {
            columns.resize(column + 1, None);
        }
        if let Some(entry) = columns.get_mut(column) {
            *entry = Some(overlaps);
        }
        Ok(overlaps)
    }

    /// Those chunks of a series that overlap `[start, end]`, before version 6.
    pub(super) fn overlapping(
        &self,
        reader: &mut Reader<'_>,
        start: i64,
        end: i64,
    ) -> Decoded<Vec<BlockChunk>> {
        // Each chunk takes at least three bytes here.
        let count = reader.count(3)?;
        let mut chunks = Vec::new();
        let mut next = None;
        for _ in 0..count {
            let chunk = match self.version {
                1 | 2 => self.old_chunk(reader)?,
                _ => self.chunk(reader, &mut next)?,
            };
            if chunk.meta.overlaps(start, end) {
                chunks.push(chunk);
            }
        }
        Ok(chunks)
    }

    /// A description. `next` is where data follow that of the chunks before it, once one had any.
    fn chunk(&self, reader: &mut Reader<'_>, next: &mut Option<u64>) -> Decoded<BlockChunk> {
        let flags = reader.u8()?;
        let kind =
            ChunkKind::of_number(flags & KIND_MASK).ok_or(reader.malformed("unknown kind of chunk"))?;
        if flags & !(KIND_MASK | CONSTANT | SUMMARY | STARTS) != 0 {
            return Err(reader.malformed("unknown flags of a chunk"));
        }
        let (meta, times_at) = self.described(kind, reader)?;
        let values = if flags & CONSTANT == 0 {
            let offset = match *next {
                Some(offset) => offset,
                None => reader.varint()?,
            };
            let len = reader.varint()?;
            *next = Some(offset.saturating_add(CHECKSUM_BYTES).saturating_add(len));
            Values::Stored { offset, len }
        } else {
            Values::Constant(Constant { value: decimal::number(reader)?, stale_after_ms: None })
        };
        let summary = if flags & SUMMARY == 0 { None } else { Some(read_summary(reader)?) };
        let starts = if flags & STARTS == 0 { None } else { Some(reader.varint_u32()?) };
        Ok(BlockChunk { meta, times_at: Some(times_at), values, summary, starts })
    }

    fn old_chunk(&self, reader: &mut Reader<'_>) -> Decoded<BlockChunk> {
        let (meta, times_at) = if self.version == 1 {
            (ChunkMeta::decode(reader)?, None)
        } else {
            let kind = ChunkKind::decode(reader)?;
            let (meta, at) = self.described(kind, reader)?;
            (meta, Some(at))
        };
        let (offset, len) = (reader.varint()?, reader.varint()?);
        Ok(BlockChunk { meta, times_at, values: Values::Stored { offset, len }, summary: None, starts: None })
    }

    /// What the column of times that is named next says of a chunk, and where the column is.
    fn described(&self, kind: ChunkKind, reader: &mut Reader<'_>) -> Decoded<(ChunkMeta, u32)> {
        let column = reader.varint_u32()?;
        let wrong = reader.malformed("times of a chunk are not there");
        self.times_of(kind, column).map_err(|_| wrong)
    }

    fn times_of(&self, kind: ChunkKind, column: u32) -> Decoded<(ChunkMeta, u32)> {
        let section = self.section(SectionKind::Times);
        let mut table = Reader::new(section);
        if column >= table.u32()? {
            return Err(table.malformed("no such column"));
        }
        table.take((column as usize).saturating_mul(4))?;
        let mut reader = Reader::new(section);
        reader.take(table.u32()? as usize)?;
        let (count, range) = (ChunkMeta::decode_count(&mut reader)?, reader.varint()?);
        let at = reader.at() as u32;
        let min_time = reader.zigzag()?;
        let max_time = min_time.wrapping_add(range.cast_signed());
        if max_time < min_time {
            return Err(reader.malformed("column ends before it begins"));
        }
        Ok((ChunkMeta { kind, count, min_time, max_time }, at))
    }

    /// Appends the times of a chunk whose data follow in `data`.
    fn decode_times(&self, chunk: &BlockChunk, data: &mut Reader<'_>, times: &mut Vec<i64>) -> Result<()> {
        let Some(at) = chunk.times_at else {
            let decoded = chunk.meta.decode_timestamps(data, times);
            return decoded.map_err(|malformed| self.corrupt_chunk(chunk, malformed));
        };
        self.column_times(&chunk.meta, at, times)
            .map_err(|malformed| self.corrupt(SectionKind::Times, malformed))
    }

    /// The value at a position among the samples of a chunk of floats of a group; `floats` is room for those before it.
    pub(super) fn float_at(
        &self,
        chunk: &BlockChunk,
        position: usize,
        floats: &mut Vec<f64>,
    ) -> Result<Option<f64>> {
        if let Values::Constant(constant) = chunk.values {
            let ends = constant.is_ended() && position + 1 == chunk.meta.count as usize;
            return Ok(Some(if ends { STALE_NAN } else { constant.value }));
        }
        floats.clear();
        let decoded = chunk.meta.decode_float_values(Reader::new(self.chunk_data(chunk)?), floats);
        decoded.map_err(|malformed| self.corrupt_chunk(chunk, malformed))?;
        Ok(floats.get(position).copied())
    }

    /// Appends the samples of a chunk of floats.
    pub(crate) fn decode_floats(
        &self,
        chunk: &BlockChunk,
        times: &mut Vec<i64>,
        floats: &mut Vec<f64>,
    ) -> Result<()> {
        let mut data = Reader::new(self.chunk_data(chunk)?);
        self.decode_times(chunk, &mut data, times)?;
        if let Values::Constant(constant) = chunk.values {
            floats.resize(floats.len() + chunk.meta.count as usize, constant.value);
            if let (Some(_), Some(last)) = (constant.stale_after_ms, floats.last_mut()) {
                *last = STALE_NAN;
            }
            return Ok(());
        }
        let decoded = chunk.meta.decode_float_values(data, floats);
        decoded.map_err(|malformed| self.corrupt_chunk(chunk, malformed))
    }

    /// Hands over the samples of a chunk of histograms.
    pub(crate) fn decode_histograms(
        &self,
        chunk: &BlockChunk,
        each: impl FnMut(i64, Arc<Histogram>),
    ) -> Result<()> {
        let mut times = Vec::with_capacity(chunk.meta.count as usize);
        let mut data = Reader::new(self.chunk_data(chunk)?);
        self.decode_times(chunk, &mut data, &mut times)?;
        let decoded = decode_histogram_values(data, &times, each);
        decoded.map_err(|malformed| self.corrupt_chunk(chunk, malformed))
    }

    /// Appends the summaries of a chunk of downsampled data.
    pub(crate) fn decode_summaries(&self, chunk: &BlockChunk, out: &mut Vec<Summary>) -> Result<()> {
        let mut times = Vec::with_capacity(chunk.meta.count as usize);
        let mut data = Reader::new(self.chunk_data(chunk)?);
        self.decode_times(chunk, &mut data, &mut times)?;
        let decoded = decode_summary_values(data, &times, out);
        decoded.map_err(|malformed| self.corrupt_chunk(chunk, malformed))
    }

    /// The starts of the samples of a chunk.
    pub(crate) fn starts(&self, chunk: &BlockChunk) -> Result<Starts> {
        let Some(number) = chunk.starts else { return Ok(Starts::Unknown) };
        let read = || {
            let section = self.section(SectionKind::Starts);
            let mut table = Reader::new(section);
            if number >= table.u32()? {
                return Err(table.malformed("no such starts"));
            }
            table.take((number as usize).saturating_mul(4))?;
            let mut reader = Reader::new(section);
            reader.take(table.u32()? as usize)?;
            Starts::decode(&mut reader, chunk.meta.count as usize)
        };
        read().map_err(|malformed| self.corrupt(SectionKind::Starts, malformed))
    }

    /// What the samples of a chunk come to, where that is known without decoding them.
    pub(crate) fn summary(&self, chunk: &BlockChunk) -> Result<Option<Summary>> {
        if let (Values::Constant(constant), ChunkKind::Floats) = (chunk.values, chunk.meta.kind) {
            return Ok(constant.summary(&chunk.meta));
        }
        let Some((at, len)) = chunk.summary else { return Ok(None) };
        let read = || {
            let mut reader = Reader::new(self.section(SectionKind::Series));
            reader.take(at)?;
            let decoded = super::summary::decode(&mut Reader::new(reader.take(len)?), &chunk.meta);
            decoded.map_err(|malformed| Malformed { at: at + malformed.at, ..malformed })
        };
        read().map(Some).map_err(|malformed| self.corrupt(SectionKind::Series, malformed))
    }

    /// The data of a chunk, checked; none of a constant one.
    fn chunk_data(&self, chunk: &BlockChunk) -> Result<&[u8]> {
        let Values::Stored { offset, len } = chunk.values else { return Ok(&[]) };
        let read = || {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            let mut reader = Reader::new(self.section(SectionKind::Chunks));
            reader.take(offset)?;
            let crc = reader.u32()?;
            let data = reader.take(usize::try_from(len).unwrap_or(usize::MAX))?;
            if !self.verified.contains(offset) {
                if crc32fast::hash(data) != crc {
                    return Err(reader.malformed("checksum of a chunk differs"));
                }
                self.verified.insert(offset);
            }
            Ok(data)
        };
        read().map_err(|malformed| self.corrupt(SectionKind::Chunks, malformed))
    }

    /// Says where in the file a chunk could not be decoded.
    fn corrupt_chunk(&self, chunk: &BlockChunk, malformed: Malformed) -> Error {
        let offset = match chunk.values {
            Values::Stored { offset, .. } => offset.saturating_add(CHECKSUM_BYTES),
            Values::Constant(_) => 0,
        };
        let at = usize::try_from(offset).unwrap_or(usize::MAX).saturating_add(malformed.at);
        self.corrupt(SectionKind::Chunks, Malformed { at, what: malformed.what })
    }
}
