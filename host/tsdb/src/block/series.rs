//! The series of a block: labels by number, and descriptions of chunks.
//!
//! # Format (version 6)
//!
//! ```text
//! series    groups of 16 series each, the last one of what is left; "offsets" says where each group begins
//!   group   length varint, labels of each series in so many bytes, place varint, chunks of each series. The place is
//!           where within "chunks" the data of the group's first chunk begin that has any; those of the others follow
//!   labels  changed varint, with 1: label count varint, and per label the number of its name and the number of its
//!           value among those of the name, varints; see "labels" for both. Else the names are those of the series
//!           before, and with 2, 4, 8 … the last, last but one, … label has another value: the difference of the
//!           numbers, zigzag varint, the first label's first
//!   chunks  one description, or as many as follow one another, see chunks.rs
//! ```
//! Neighbours differ in few labels, and share their times: such a series takes two bytes for its labels, and one to
//! three for a chunk of a constant.
//!
//! Before version 6 every series has an offset, its labels (label count varint, numbers as above; in version 1 a span
//! of text), a chunk count varint and its chunks.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use model::Labels;
use roaring::RoaringBitmap;

use super::chunks::{BlockChunk, Described, Description};
use super::index::AnyName;
use super::{Block, SectionKind};
use crate::codec::bytes::{put_varint, put_zigzag};
use crate::codec::{Malformed, Reader};
use crate::error::Result;

/// So many series share an offset. Who reads one reads those before it, which are a few bytes each.
pub(super) const GROUP: u32 = 16;
/// The first version with groups.
pub(super) const GROUPED_FROM: u32 = 6;

/// All labels stand there.
const ANEW: u64 = 1;
/// Series of more labels are always written anew.
const LABELS_MAX: usize = 62;

/// The number of a label's name, and that of its value among those of the name.
type NumberPair = (u32, u32);
type TextPair<'a> = (&'a str, &'a str);
type Decoded<T> = std::result::Result<T, Malformed>;

/// Reads series of a block. One after the other costs less than each for itself.
pub(crate) struct SeriesReader<'a> {
    block: &'a Block,
    labels: Option<LabelsOfGroup<'a>>,
    chunks: Option<ChunksOfGroup<'a>>,
    /// Label names that have been looked up, by number.
    names: Vec<(u32, AnyName<'a>)>,
    /// Labels that have been looked up last.
    texts: Vec<(NumberPair, TextPair<'a>)>,
}

/// What the section "series" consists of, in bytes; before version 6 it counts as descriptions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SeriesBytes {
    pub(crate) labels: u64,
    /// Where the data of chunks, their times and starts are.
    pub(crate) descriptions: u64,
    /// Values of chunks that have no other data.
    pub(crate) constants: u64,
    pub(crate) summaries: u64,
}

/// Where the labels of a group have been read up to.
struct LabelsOfGroup<'a> {
    /// The series that `pairs` are of.
    number: u32,
    pairs: Vec<NumberPair>,
    rest: Reader<'a>,
}

/// Where the chunks of a group have been read up to.
struct ChunksOfGroup<'a> {
    /// The series whose chunks come next.
    number: u32,
    described: Described,
    rest: Reader<'a>,
}

/// The offset of a group, or before version 6 of a series.
fn place_of(block: &Block, number: u32) -> Decoded<Reader<'_>> {
    let mut offsets = Reader::new(block.section(SectionKind::Offsets));
    let offset = match block.version {
        1 | 2 => {
            offsets.take((number as usize).saturating_mul(8))?;
            usize::try_from(offsets.u64()?).unwrap_or(usize::MAX)
        }
        _ => {
            offsets.take((number as usize).saturating_mul(4))?;
            offsets.u32()? as usize
        }
    };
    let mut series = Reader::new(block.section(SectionKind::Series));
    series.take(offset)?;
    Ok(series)
}

/// Numbers of names and values, each written out.
fn put_pairs(out: &mut Vec<u8>, pairs: &[NumberPair]) {
    put_varint(out, pairs.len() as u64);
    for (name, value) in pairs {
        put_varint(out, u64::from(*name));
        put_varint(out, u64::from(*value));
    }
}

fn read_pairs(reader: &mut Reader<'_>, pairs: &mut Vec<NumberPair>) -> Decoded<()> {
    pairs.clear();
    for _ in 0..reader.count(2)? {
        pairs.push((reader.varint_u32()?, reader.varint_u32()?));
    }
    Ok(())
}

/// Writes the labels of a series; `before` are those of the one before it in its group.
pub(super) fn put_labels(out: &mut Vec<u8>, before: Option<&[NumberPair]>, pairs: &[NumberPair]) {
    let names = |pairs: &[NumberPair]| pairs.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let Some(before) = before.filter(|before| before.len() <= LABELS_MAX && names(before) == names(pairs))
    else {
        put_varint(out, ANEW);
        return put_pairs(out, pairs);
    };
    let values = || before.iter().zip(pairs).map(|((_, before), (_, value))| (*before, *value));
    let changed = values().fold(0, |bits, (before, value)| bits << 1 | u64::from(before != value));
    put_varint(out, changed << 1);
    for (before, value) in values().filter(|(before, value)| before != value) {
        put_zigzag(out, i64::from(value) - i64::from(before));
    }
}

/// Reads what [`put_labels`] wrote over those of the series before.
fn read_labels(reader: &mut Reader<'_>, pairs: &mut Vec<NumberPair>) -> Decoded<()> {
    let changed = reader.varint()?;
    if changed & ANEW != 0 {
        return read_pairs(reader, pairs);
    }
    let wrong = reader.malformed("labels differ from other labels than those before");
    let count = pairs.len();
    if count > LABELS_MAX || changed >> (count + 1) != 0 {
        return Err(wrong);
    }
    for (at, (_, value)) in pairs.iter_mut().enumerate() {
        if changed >> (count - at) & 1 == 1 {
            let differs = reader.zigzag()?;
            let sum = i64::from(*value).checked_add(differs).and_then(|sum| u32::try_from(sum).ok());
            *value = sum.ok_or(wrong)?;
        }
    }
    Ok(())
}

impl<'a> SeriesReader<'a> {
    pub(super) const fn new(block: &'a Block) -> Self {
        Self { block, labels: None, chunks: None, names: Vec::new(), texts: Vec::new() }
    }

    /// Whether series are in groups, as [`SeriesReader::descriptions`] needs it.
    pub(super) const fn is_grouped(&self) -> bool {
        self.block.version >= GROUPED_FROM
    }

    fn ok<T>(&self, decoded: Decoded<T>) -> Result<T> {
        decoded.map_err(|malformed| self.block.corrupt(SectionKind::Series, malformed))
    }

    /// The labels of the series of that number.
    pub(crate) fn labels(&mut self, number: u32) -> Result<Labels> {
        let read = self.read_labels(number);
        self.ok(read)
    }

    /// Those of its chunks that overlap `[start, end]`.
    pub(crate) fn chunks(&mut self, number: u32, start: i64, end: i64) -> Result<Vec<BlockChunk>> {
        let read = self.read_chunks(number, start, end);
        self.ok(read)
    }

    /// Whether it may have samples in `[start, end]`, deleted ones among them.
    pub(crate) fn overlaps(&mut self, number: u32, start: i64, end: i64) -> Result<bool> {
        Ok(!self.chunks(number, start, end)?.is_empty())
    }

    /// The number of the value that it has under the label name of that number.
    pub(crate) fn value_number(&mut self, number: u32, name: u32) -> Result<Option<u32>> {
        if self.block.version == 1 {
            let labels = self.labels(number)?;
            let found = self.block.index().value_number(name, &labels);
            return self.ok(found);
        }
        let found = self
            .pairs(number)
            .map(|pairs| pairs.iter().find(|(of_name, _)| *of_name == name).map(|(_, value)| *value));
        self.ok(found)
    }

    fn read_labels(&mut self, number: u32) -> Decoded<Labels> {
        let unsound = |reader: &Reader<'_>| reader.malformed("labels are not well-formed");
        if self.block.version == 1 {
            let mut reader = place_of(self.block, number)?;
            let labels = Labels::from_encoded(reader.span()?);
            return labels.map_err(|_| unsound(&reader));
        }
        self.pairs(number)?;
        let Some(LabelsOfGroup { pairs, rest, .. }) = &self.labels else { return Ok(Labels::empty()) };
        let index = self.block.index();
        let missing = rest.malformed("label is not in the index");
        self.texts.truncate(pairs.len());
        for (at, pair) in pairs.iter().enumerate() {
            let known = self.texts.get(at).is_some_and(|(known, _)| known == pair);
            if !known {
                let name = match self.names.iter().position(|(number, _)| *number == pair.0) {
                    Some(at) => at,
                    None => {
                        self.names.push((pair.0, index.name_of(pair.0).map_err(|_| missing)?));
                        self.names.len() - 1
                    }
                };
                let name = self.names.get(name).ok_or(missing)?;
                let text = name.1.pair(pair.1).map_err(|_| missing)?;
                match self.texts.get_mut(at) {
                    Some(entry) => *entry = (*pair, text),
                    None => self.texts.push((*pair, text)),
                }
            }
        }
        let texts: Vec<_> = self.texts.iter().map(|(_, text)| *text).collect();
        Labels::from_sorted(&texts).map_err(|_| unsound(rest))
    }

    /// The numbers of the labels of a series; not in version 1.
    fn pairs(&mut self, number: u32) -> Decoded<&[NumberPair]> {
        let mut known = self.labels.take();
        if !self.is_grouped() {
            let mut pairs = known.map(|known| known.pairs).unwrap_or_default();
            let mut rest = place_of(self.block, number)?;
            read_pairs(&mut rest, &mut pairs)?;
            return Ok(&self.labels.insert(LabelsOfGroup { number, pairs, rest }).pairs);
        }
        let first = number - number % GROUP;
        if !known.as_ref().is_some_and(|known| (first..=number).contains(&known.number)) {
            let mut rest = place_of(self.block, number / GROUP)?;
            rest.count(1)?;
            let mut pairs = known.map(|known| known.pairs).unwrap_or_default();
            pairs.clear();
            read_labels(&mut rest, &mut pairs)?;
            known = Some(LabelsOfGroup { number: first, pairs, rest });
        }
        let Some(mut known) = known else { return Ok(&[]) };
        while known.number < number {
            read_labels(&mut known.rest, &mut known.pairs)?;
            known.number += 1;
        }
        Ok(&self.labels.insert(known).pairs)
    }

    fn read_chunks(&mut self, number: u32, start: i64, end: i64) -> Decoded<Vec<BlockChunk>> {
        if !self.is_grouped() {
            let mut reader = place_of(self.block, number)?;
            if self.block.version == 1 {
                reader.span()?;
            } else {
                for _ in 0..reader.count(2)? {
                    reader.varint()?;
                    reader.varint()?;
                }
            }
            return self.block.overlapping(&mut reader, start, end);
        }
        let mut chunks = Vec::new();
        let block = self.block;
        self.descriptions(number, |description, rest| {
            let chunk = block.chunk_of(description, rest)?;
            if chunk.meta.overlaps(start, end) {
                chunks.push(chunk);
            }
            Ok(())
        })?;
        Ok(chunks)
    }

    /// Hands over how the chunks of a series are described, and the reader behind each description.
    pub(super) fn descriptions(
        &mut self,
        number: u32,
        mut each: impl FnMut(&Description, &Reader<'a>) -> Decoded<()>,
    ) -> Decoded<()> {
        let first = number - number % GROUP;
        // One that has come to the end of its group does not go on in the next.
        let known = self.chunks.take().filter(|known| first < known.number && known.number <= number);
        let mut known = match known {
            Some(known) => known,
            None => {
                let mut rest = place_of(self.block, number / GROUP)?;
                let labels = rest.count(1)?;
                rest.take(labels)?;
                let described = Described::at(rest.varint()?);
                ChunksOfGroup { number: first, described, rest }
            }
        };
        while known.number < number {
            while let Some(description) = Description::read(&mut known.rest, &mut known.described)? {
                if !description.is_followed {
                    break;
                }
            }
            known.number += 1;
        }
        while let Some(description) = Description::read(&mut known.rest, &mut known.described)? {
            each(&description, &known.rest)?;
            if !description.is_followed {
                break;
            }
        }
        known.number += 1;
        self.chunks = Some(known);
        Ok(())
    }

    /// What the section consists of.
    pub(crate) fn bytes(&mut self) -> Result<SeriesBytes> {
        let read = self.count_bytes();
        self.ok(read)
    }

    fn count_bytes(&mut self) -> Decoded<SeriesBytes> {
        let mut bytes = SeriesBytes::default();
        if !self.is_grouped() {
            bytes.descriptions = self.block.section(SectionKind::Series).len() as u64;
            return Ok(bytes);
        }
        let count = u32::try_from(self.block.meta().series_count).unwrap_or(u32::MAX);
        for first in (0..count).step_by(GROUP as usize) {
            let mut rest = place_of(self.block, first / GROUP)?;
            let began = rest.at();
            let labels = rest.count(1)?;
            rest.take(labels)?;
            bytes.labels += (rest.at() - began) as u64;
            let began = rest.at();
            let mut described = Described::at(rest.varint()?);
            let (mut constants, mut summaries) = (0, 0);
            for _ in first..count.min(first + GROUP) {
                while let Some(description) = Description::read(&mut rest, &mut described)? {
                    constants += description.constant_bytes;
                    summaries += description.summary_bytes;
                    if !description.is_followed {
                        break;
                    }
                }
            }
            bytes.constants += constants as u64;
            bytes.summaries += summaries as u64;
            bytes.descriptions += (rest.at() - began - constants - summaries) as u64;
        }
        Ok(bytes)
    }

    /// Those of `numbers` that may have samples in `[start, end]`, deleted ones among them.
    pub(crate) fn overlapping(
        &mut self,
        numbers: &RoaringBitmap,
        start: i64,
        end: i64,
    ) -> Result<RoaringBitmap> {
        let mut found = Vec::new();
        // Series share columns of times: each column is asked for its range once.
        let mut columns = Vec::new();
        for number in numbers {
            let overlaps = if self.is_grouped() {
                let mut overlaps = false;
                let block = self.block;
                let read = self.descriptions(number, |description, rest| {
                    overlaps |= block.column_overlaps(description, rest, (start, end), &mut columns)?;
                    Ok(())
                });
                self.ok(read)?;
                overlaps
            } else {
                self.overlaps(number, start, end)?
            };
            if overlaps {
                found.push(number);
            }
        }
        Ok(found.into_iter().collect())
    }
}

/// Writes series group by group.
#[derive(Default)]
pub(super) struct GroupsWriter {
    /// The section.
    pub(super) series: Vec<u8>,
    /// Where each group begins.
    pub(super) starts: Vec<usize>,
    labels: Vec<u8>,
    chunks: Vec<u8>,
    before: Vec<NumberPair>,
    count: u32,
}

impl GroupsWriter {
    /// Adds a series; `chunks` is what its descriptions are, in the first of a group after the place of the group.
    pub(super) fn add(&mut self, pairs: &[NumberPair], chunks: &[u8]) {
        if self.count == GROUP {
            self.finish_group();
        }
        let before = (self.count > 0).then_some(&*self.before);
        put_labels(&mut self.labels, before, pairs);
        self.before.clear();
        self.before.extend_from_slice(pairs);
        self.chunks.extend_from_slice(chunks);
        self.count += 1;
    }

    /// Writes the group that is open, if any.
    pub(super) fn finish_group(&mut self) {
        if self.count > 0 {
            self.starts.push(self.series.len());
            put_varint(&mut self.series, self.labels.len() as u64);
            self.series.append(&mut self.labels);
            self.series.append(&mut self.chunks);
            self.count = 0;
        }
    }
}
