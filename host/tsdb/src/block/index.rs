//! The label index of a block, read where it lies: names and values are found by binary search over their
//! offsets, postings are unpacked when they are needed.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::cmp::Ordering;

use roaring::RoaringBitmap;

use super::{Block, SectionKind};
use crate::codec::{Malformed, Reader};
use crate::error::Result;
use crate::index::LabelIndex;

/// The label index of a block.
pub(crate) struct BlockIndex<'a> {
    block: &'a Block,
    labels: &'a [u8],
    postings: &'a [u8],
}

/// A name of the index.
struct Name<'a> {
    name: &'a str,
    having: (u64, u64),
    values: Table<'a>,
}

/// Offsets of sorted entries.
struct Table<'a> {
    offsets: &'a [u8],
    count: usize,
}

type Decoded<T> = std::result::Result<T, Malformed>;

impl<'a> Table<'a> {
    fn read(reader: &mut Reader<'a>) -> Decoded<Self> {
        let count = reader.u32()? as usize;
        let offsets = reader.take(count.saturating_mul(4))?;
        Ok(Self { offsets, count })
    }

    fn offset(&self, at: usize) -> Decoded<usize> {
        let mut reader = Reader::new(self.offsets);
        reader.take(at.saturating_mul(4))?;
        Ok(reader.u32()? as usize)
    }
}

impl<'a> BlockIndex<'a> {
    pub(super) fn new(block: &'a Block) -> Self {
        let (labels, postings) = (block.section(SectionKind::Labels), block.section(SectionKind::Postings));
        Self { block, labels, postings }
    }

    fn reader_at(&self, offset: usize) -> Decoded<Reader<'a>> {
        let mut reader = Reader::new(self.labels);
        reader.take(offset)?;
        Ok(reader)
    }

    fn names(&self) -> Decoded<Table<'a>> {
        Table::read(&mut Reader::new(self.labels))
    }

    fn name_at(&self, offset: usize) -> Decoded<Name<'a>> {
        let mut reader = self.reader_at(offset)?;
        let name = reader.str()?;
        let having = (reader.varint()?, reader.varint()?);
        Ok(Name { name, having, values: Table::read(&mut reader)? })
    }

    /// A value and where its posting is.
    fn value_at(&self, offset: usize) -> Decoded<(&'a str, (u64, u64))> {
        let mut reader = self.reader_at(offset)?;
        Ok((reader.str()?, (reader.varint()?, reader.varint()?)))
    }

    fn find<T>(
        &self,
        table: &Table<'a>,
        mut look: impl FnMut(usize) -> Decoded<(Ordering, T)>,
    ) -> Decoded<Option<T>> {
        let (mut low, mut high) = (0, table.count);
        while low < high {
            let middle = low.midpoint(high);
            match look(table.offset(middle)?)? {
                (Ordering::Less, _) => low = middle + 1,
                (Ordering::Greater, _) => high = middle,
                (Ordering::Equal, found) => return Ok(Some(found)),
            }
        }
        Ok(None)
    }

    fn name(&self, name: &str) -> Decoded<Option<Name<'a>>> {
        self.find(&self.names()?, |offset| {
            let found = self.name_at(offset)?;
            Ok((found.name.cmp(name), found))
        })
    }

    /// The name and the value of those numbers.
    pub(super) fn pair(&self, name: u32, value: u32) -> Decoded<(&'a str, &'a str)> {
        let name = self.name_at(self.names()?.offset(name as usize)?)?;
        Ok((name.name, self.value_at(name.values.offset(value as usize)?)?.0))
    }

    fn posting(&self, (offset, len): (u64, u64)) -> Result<RoaringBitmap> {
        let read = || {
            if len == 0 {
                let id = u32::try_from(offset).map_err(|_| Malformed { at: 0, what: "id over 32 bits" })?;
                return Ok(RoaringBitmap::from([id]));
            }
            let mut reader = Reader::new(self.postings);
            reader.take(usize::try_from(offset).unwrap_or(usize::MAX))?;
            let at = reader.at();
            let bytes = reader.take(usize::try_from(len).unwrap_or(usize::MAX))?;
            RoaringBitmap::deserialize_from(bytes).map_err(|_| Malformed { at, what: "not a roaring bitmap" })
        };
        read().map_err(|malformed| self.block.corrupt(SectionKind::Postings, malformed))
    }

    fn labels_ok<T>(&self, decoded: Decoded<T>) -> Result<T> {
        decoded.map_err(|malformed| self.block.corrupt(SectionKind::Labels, malformed))
    }
}

impl LabelIndex for BlockIndex<'_> {
    fn all(&self) -> Result<RoaringBitmap> {
        let count = u32::try_from(self.block.meta().series_count).unwrap_or(u32::MAX);
        Ok((0..count).collect())
    }

    fn having(&self, name: &str) -> Result<RoaringBitmap> {
        match self.labels_ok(self.name(name))? {
            Some(name) => self.posting(name.having),
            None => Ok(RoaringBitmap::new()),
        }
    }

    fn postings(&self, name: &str, value: &str) -> Result<RoaringBitmap> {
        let Some(name) = self.labels_ok(self.name(name))? else { return Ok(RoaringBitmap::new()) };
        let found = self.find(&name.values, |offset| {
            let (found, posting) = self.value_at(offset)?;
            Ok((found.cmp(value), posting))
        });
        match self.labels_ok(found)? {
            Some(posting) => self.posting(posting),
            None => Ok(RoaringBitmap::new()),
        }
    }

    fn postings_where(&self, name: &str, wanted: &mut dyn FnMut(&str) -> bool) -> Result<RoaringBitmap> {
        let mut union = RoaringBitmap::new();
        let Some(name) = self.labels_ok(self.name(name))? else { return Ok(union) };
        for at in 0..name.values.count {
            let (value, posting) = self.labels_ok(name.values.offset(at).and_then(|o| self.value_at(o)))?;
            if wanted(value) {
                union |= self.posting(posting)?;
            }
        }
        Ok(union)
    }

    fn names_of(&self, ids: &RoaringBitmap, each: &mut dyn FnMut(&str)) -> Result<()> {
        let names = self.labels_ok(self.names())?;
        for at in 0..names.count {
            let name = self.labels_ok(names.offset(at).and_then(|offset| self.name_at(offset)))?;
            if !self.posting(name.having)?.is_disjoint(ids) {
                each(name.name);
            }
        }
        Ok(())
    }

    fn values_of(&self, name: &str, ids: &RoaringBitmap, each: &mut dyn FnMut(&str)) -> Result<()> {
        let Some(name) = self.labels_ok(self.name(name))? else { return Ok(()) };
        for at in 0..name.values.count {
            let (value, posting) = self.labels_ok(name.values.offset(at).and_then(|o| self.value_at(o)))?;
            if !self.posting(posting)?.is_disjoint(ids) {
                each(value);
            }
        }
        Ok(())
    }
}
