//! The label index of a block, read where it lies: nothing of it is on the heap but what a query is about.
//!
//! # Format (version 3)
//!
//! ```text
//! labels      name count u32, offset of each name u32 (within the section), names in order:
//!   name      name span, union posting, value count varint, places of texts, places of postings, texts, postings
//!   places    total u32, width u8 (1, 2 or 4), u32 for every 64th, width bytes for each: where an entry begins is
//!             the sum of both; total is where the last one ends
//!   texts     the values, sorted, one behind the other
//!   postings  a posting for each value
//!   posting   0 u8, offset within the section "postings" varint: a roaring bitmap begins there; or
//!             1 to 8 u8, and so many ids: the first varint, the others as differences varint
//! postings    portable roaring bitmaps, see crate::index; labels carried by the same series may share one
//! ```
//!
//! Before version 3:
//!
//! ```text
//! labels      name count u32, offset of each name u32 (within the section), names in order:
//!   name      name span, union posting (offset varint, length varint, within "postings"), value count u32,
//!             offset of each value u32 (within the section), values in order
//!   value     value span, posting (offset varint, length varint; with length 0 the offset is the only id)
//! ```
//!
//! There is no trie over the values: they are sorted, and an automaton leaps over those that it need not see as
//! quickly as along a trie's edges (see [`Values`]). A trie (FST) of a million values would take nine bytes for each.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod encode;
mod v2;

use std::ops::Range;
use std::sync::Arc;

use model::Labels;
use roaring::RoaringBitmap;

use super::{Block, SectionKind};
use crate::codec::{Malformed, Reader};
use crate::error::Result;
use crate::index::{Asked, LabelIndex, NameIndex, Pattern, Places, RoaringView, Union, Values};

pub(super) use encode::{LabelNumbers, encode};
use v2::{OldName, Table};

/// So many places share the four bytes of their group.
const GROUP: u32 = 64;
/// Postings of up to this many ids stand with their value.
const INLINE_MAX: usize = 8;

/// The label index of a block.
#[derive(Clone, Copy)]
pub(crate) struct BlockIndex<'a> {
    block: &'a Block,
    labels: &'a [u8],
    postings: &'a [u8],
}

/// Where entries begin.
#[derive(Clone, Copy)]
struct MappedPlaces<'a> {
    count: u32,
    total: u32,
    groups: &'a [[u8; 4]],
    width: usize,
    entries: &'a [u8],
}

/// A name of the index.
pub(super) struct Name<'a> {
    index: BlockIndex<'a>,
    name: &'a str,
    union: Reader<'a>,
    values: Values<'a, MappedPlaces<'a>>,
    posting_places: MappedPlaces<'a>,
    postings: &'a [u8],
}

/// A name of an index of any version.
pub(super) enum AnyName<'a> {
    Old(OldName<'a>),
    New(Name<'a>),
}

type Decoded<T> = std::result::Result<T, Malformed>;

impl<'a> MappedPlaces<'a> {
    fn read(reader: &mut Reader<'a>, count: u32) -> Decoded<Self> {
        let total = reader.u32()?;
        let width = usize::from(reader.u8()?);
        if !matches!(width, 1 | 2 | 4) {
            return Err(reader.malformed("places are 1, 2 or 4 bytes wide"));
        }
        let groups = reader.take(count.div_ceil(GROUP) as usize * 4)?.as_chunks().0;
        let entries = reader.take(count as usize * width)?;
        Ok(Self { count, total, groups, width, entries })
    }
}

impl Places for MappedPlaces<'_> {
    fn count(&self) -> u32 {
        self.count
    }

    fn start(&self, number: u32) -> usize {
        let group = self.groups.get((number / GROUP) as usize);
        let at = number as usize * self.width;
        let entry = self.entries.get(at..at + self.width);
        let (Some(group), Some(entry), true) = (group, entry, number < self.count) else {
            return self.total as usize;
        };
        let within = match *entry {
            [a] => u32::from(a),
            [a, b] => u32::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
            _ => 0,
        };
        u32::from_le_bytes(*group) as usize + within as usize
    }
}

/// The ids of a view; of `among` only, where that is given.
fn bitmap_of(view: RoaringView<'_>, among: Option<&RoaringBitmap>) -> Decoded<RoaringBitmap> {
    among.map_or_else(|| view.to_bitmap(), |among| view.intersection(among))
}

/// A set of one; empty where it is not among those that are asked for.
fn lone(id: u32, among: Option<&RoaringBitmap>) -> RoaringBitmap {
    Some(id).filter(|id| among.is_none_or(|among| among.contains(*id))).into_iter().collect()
}

impl<'a> BlockIndex<'a> {
    pub(super) fn new(block: &'a Block) -> Self {
        let (labels, postings) = (block.section(SectionKind::Labels), block.section(SectionKind::Postings));
        Self { block, labels, postings }
    }

    fn labels_at(&self, offset: usize) -> Decoded<Reader<'a>> {
        let mut reader = Reader::new(self.labels);
        reader.take(offset)?;
        Ok(reader)
    }

    fn table(&self) -> Decoded<Table<'a>> {
        Table::read(&mut Reader::new(self.labels))
    }

    fn name_at(&self, offset: usize) -> Decoded<AnyName<'a>> {
        if self.block.version < 3 {
            OldName::read(*self, offset).map(AnyName::Old)
        } else {
            Name::read(*self, offset).map(AnyName::New)
        }
    }

    fn find(&self, name: &str) -> Decoded<Option<(u32, AnyName<'a>)>> {
        let text_at = |offset: usize| self.labels_at(offset)?.str();
        let found = self.table()?.find(|offset| Ok((text_at(offset)?.cmp(name), offset)))?;
        found.map(|(number, offset)| Ok((number as u32, self.name_at(offset)?))).transpose()
    }

    /// The name of that number.
    pub(super) fn name_of(&self, name: u32) -> Decoded<AnyName<'a>> {
        self.name_at(self.table()?.offset(name as usize)?)
    }

    /// The number of the value that labels have under the name of that number.
    pub(super) fn value_number(&self, name: u32, labels: &Labels) -> Decoded<Option<u32>> {
        let name = self.name_of(name)?;
        let Some(value) = labels.get(name.text()) else { return Ok(None) };
        name.as_index().find(value).map_err(|_| Malformed { at: 0, what: "value is not in the index" })
    }

    /// What `read` makes of the bitmap at an offset of the section "postings".
    fn view<T>(&self, offset: u64, read: impl FnOnce(RoaringView<'a>) -> Decoded<T>) -> Result<T> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self.postings.get(offset..).ok_or(Malformed { at: 0, what: "no such posting" });
        let read = bytes.and_then(RoaringView::open).and_then(read);
        let at = offset.min(self.postings.len());
        self.postings_ok(read.map_err(|malformed| Malformed { at: at + malformed.at, ..malformed }))
    }

    fn labels_ok<T>(&self, decoded: Decoded<T>) -> Result<T> {
        decoded.map_err(|malformed| self.block.corrupt(SectionKind::Labels, malformed))
    }

    fn postings_ok<T>(&self, decoded: Decoded<T>) -> Result<T> {
        decoded.map_err(|malformed| self.block.corrupt(SectionKind::Postings, malformed))
    }
}

impl<'a> AnyName<'a> {
    /// The name, and the value of that number.
    pub(super) fn pair(&self, value: u32) -> Decoded<(&'a str, &'a str)> {
        match self {
            Self::Old(old) => Ok((old.name, old.value(value)?)),
            Self::New(new) => Ok((new.name, new.value(value)?)),
        }
    }

    fn text(&self) -> &'a str {
        match self {
            Self::Old(old) => old.name,
            Self::New(new) => new.name,
        }
    }

    fn as_index(&self) -> &(dyn NameIndex + 'a) {
        match self {
            Self::Old(old) => old,
            Self::New(new) => new,
        }
    }

    /// Whether any of `ids` carries the value.
    fn meets(&self, value: u32, ids: &RoaringBitmap) -> Result<bool> {
        match self {
            Self::Old(old) => Ok(!old.posting(value, Some(ids))?.is_empty()),
            Self::New(new) => new.meets(value, ids),
        }
    }

    fn boxed(self) -> Box<dyn NameIndex + 'a> {
        match self {
            Self::Old(old) => Box::new(old),
            Self::New(new) => Box::new(new),
        }
    }
}

impl<'a> Name<'a> {
    fn read(index: BlockIndex<'a>, offset: usize) -> Decoded<Self> {
        let mut reader = index.labels_at(offset)?;
        let name = reader.str()?;
        let union = reader.clone();
        skip_posting(&mut reader)?;
        let count = reader.varint_u32()?;
        let places = MappedPlaces::read(&mut reader, count)?;
        let posting_places = MappedPlaces::read(&mut reader, count)?;
        let text = reader.take(places.total as usize)?;
        let postings = reader.take(posting_places.total as usize)?;
        Ok(Self {
            index,
            name,
            union,
            values: Values { text, places, sorted: true },
            posting_places,
            postings,
        })
    }

    fn value(&self, number: u32) -> Decoded<&'a str> {
        let wrong = Malformed { at: 0, what: "no such value" };
        let value = Some(number).filter(|number| *number < self.values.places.count).ok_or(wrong)?;
        std::str::from_utf8(self.values.get(value))
            .map_err(|_| Malformed { at: 0, what: "value is not UTF-8" })
    }

    /// Where the posting of a value is told.
    fn posting_at(&self, number: u32) -> Decoded<Reader<'a>> {
        let mut reader = Reader::new(self.postings);
        if number >= self.posting_places.count {
            return Err(reader.malformed("no such value"));
        }
        reader.take(self.posting_places.start(number))?;
        Ok(reader)
    }

    fn meets(&self, value: u32, ids: &RoaringBitmap) -> Result<bool> {
        let mut meets = false;
        let place = self.posting_at(value);
        let place = place.and_then(|mut reader| read_posting(&mut reader, |id| meets |= ids.contains(id)));
        match self.index.labels_ok(place)? {
            Some(offset) => self.index.view(offset, |view| view.meets(ids)),
            None => Ok(meets),
        }
    }

    fn ids(&self, reader: Decoded<Reader<'a>>, among: Option<&RoaringBitmap>) -> Result<RoaringBitmap> {
        let mut few = Vec::new();
        let place = reader.and_then(|mut reader| read_posting(&mut reader, |id| few.push(id)));
        match self.index.labels_ok(place)? {
            Some(offset) => self.index.view(offset, |view| bitmap_of(view, among)),
            None => {
                few.retain(|id| among.is_none_or(|among| among.contains(*id)));
                Ok(few.into_iter().collect())
            }
        }
    }
}

/// Hands over the ids that stand there, or says where their bitmap is.
fn read_posting(reader: &mut Reader<'_>, mut each: impl FnMut(u32)) -> Decoded<Option<u64>> {
    let count = usize::from(reader.u8()?);
    if count == 0 {
        return reader.varint().map(Some);
    }
    if count > INLINE_MAX {
        return Err(reader.malformed("more ids than may stand with a value"));
    }
    let mut id = 0u32;
    for _ in 0..count {
        id = id.wrapping_add(reader.varint_u32()?);
        each(id);
    }
    Ok(None)
}

fn skip_posting(reader: &mut Reader<'_>) -> Decoded<()> {
    read_posting(reader, |_| {}).map(|_| ())
}

impl NameIndex for Name<'_> {
    fn value_count(&self) -> u32 {
        self.values.places.count
    }

    fn find(&self, value: &str) -> Result<Option<u32>> {
        let value = value.as_bytes();
        let number = self.values.partition_point(0..self.value_count(), |before| before < value);
        Ok(Some(number).filter(|number| *number < self.value_count() && self.values.get(*number) == value))
    }

    fn having(&self, among: Option<&RoaringBitmap>) -> Result<RoaringBitmap> {
        self.ids(Ok(self.union.clone()), among)
    }

    fn posting(&self, number: u32, among: Option<&RoaringBitmap>) -> Result<RoaringBitmap> {
        self.ids(self.posting_at(number), among)
    }

    fn unite(&self, numbers: &mut dyn Iterator<Item = u32>, union: &mut Union) -> Result<()> {
        for number in numbers {
            let place =
                self.posting_at(number).and_then(|mut reader| read_posting(&mut reader, |id| union.add(id)));
            if let Some(offset) = self.index.labels_ok(place)? {
                self.index.view(offset, |view| view.add_to(union))?;
            }
        }
        Ok(())
    }

    fn passing_ns(&self, pattern: &Pattern) -> u64 {
        let asked = Asked { name: self.name, epoch: 0, count: self.value_count() };
        if self.index.block.passing.seen(&asked, pattern) == asked.count {
            return 0;
        }
        self.values.cost_ns(pattern, self.value_count())
    }

    fn passing(&self, pattern: &Pattern) -> Result<Arc<RoaringBitmap>> {
        let asked = Asked { name: self.name, epoch: 0, count: self.value_count() };
        let cost_ns = self.values.cost_ns(pattern, self.value_count());
        let find = |numbers: Range<u32>| Ok(self.values.passing(pattern, numbers));
        self.index.block.passing.passing(&asked, pattern, cost_ns, find)
    }
}

impl LabelIndex for BlockIndex<'_> {
    fn all(&self) -> Result<RoaringBitmap> {
        let count = u32::try_from(self.block.meta().series_count).unwrap_or(u32::MAX);
        let mut all = RoaringBitmap::new();
        all.insert_range(0..count);
        Ok(all)
    }

    fn name(&self, name: &str) -> Result<Option<Box<dyn NameIndex + '_>>> {
        Ok(self.labels_ok(self.find(name))?.map(|(_, found)| found.boxed()))
    }

    fn value_of(&self, id: u32, name: &str, each: &mut dyn FnMut(&str)) -> Result<()> {
        let Some((number, found)) = self.labels_ok(self.find(name))? else {
            each("");
            return Ok(());
        };
        match self.block.series().value_number(id, number)? {
            Some(value) => each(self.labels_ok(found.pair(value))?.1),
            None => each(""),
        }
        Ok(())
    }

    fn value_of_ns(&self) -> u64 {
        // Finding the name, then the group of the series, then its label.
        1_000
    }

    fn names_of(&self, ids: &RoaringBitmap, each: &mut dyn FnMut(&str)) -> Result<()> {
        let table = self.labels_ok(self.table())?;
        for at in 0..table.count {
            let name = self.labels_ok(table.offset(at).and_then(|offset| self.name_at(offset)))?;
            if !name.as_index().having(Some(ids))?.is_empty() {
                each(name.text());
            }
        }
        Ok(())
    }

    fn values_of(&self, name: &str, ids: &RoaringBitmap, each: &mut dyn FnMut(&str)) -> Result<()> {
        let Some((number, found)) = self.labels_ok(self.find(name))? else { return Ok(()) };
        let index = found.as_index();
        let count = index.value_count();
        if ids.len() * 2 < u64::from(count) {
            let mut series = self.block.series();
            for id in ids {
                if let Some(value) = series.value_number(id, number)? {
                    each(self.labels_ok(found.pair(value))?.1);
                }
            }
            return Ok(());
        }
        let all = index.having(None)?.is_subset(ids);
        for value in 0..count {
            if all || found.meets(value, ids)? {
                each(self.labels_ok(found.pair(value))?.1);
            }
        }
        Ok(())
    }
}
