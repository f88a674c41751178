//! The label index of blocks before version 3: each value stands in the section "labels" with the place of its
//! posting, so that searching all values means collecting them first.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::{BlockIndex, Decoded, bitmap_of, lone};
use crate::codec::{Malformed, Reader};
use crate::error::Result;
use crate::index::{NameIndex, Pattern, Places, RoaringView, Union, Values};

/// Offsets of sorted entries.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    offsets: &'a [u8],
    pub(super) count: usize,
}

/// A name of the index.
pub(in crate::block) struct OldName<'a> {
    pub(super) name: &'a str,
    index: BlockIndex<'a>,
    having: (u64, u64),
    values: Table<'a>,
    collected: OnceCell<Collected>,
}

/// All values of a name behind one another.
#[derive(Default)]
struct Collected {
    text: Vec<u8>,
    /// Where each begins, and where the last one ends.
    starts: Vec<usize>,
}

impl Places for &Collected {
    fn count(&self) -> u32 {
        self.starts.len().saturating_sub(1) as u32
    }

    fn start(&self, number: u32) -> usize {
        self.starts.get(number as usize).or(self.starts.last()).copied().unwrap_or(0)
    }
}

impl<'a> Table<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Decoded<Self> {
        let count = reader.u32()? as usize;
        let offsets = reader.take(count.saturating_mul(4))?;
        Ok(Self { offsets, count })
    }

    pub(super) fn offset(&self, at: usize) -> Decoded<usize> {
        let mut reader = Reader::new(self.offsets);
        reader.take(at.saturating_mul(4))?;
        Ok(reader.u32()? as usize)
    }

    /// Binary search by what `look` says of the entry at an offset.
    pub(super) fn find<T>(
        &self,
        mut look: impl FnMut(usize) -> Decoded<(Ordering, T)>,
    ) -> Decoded<Option<(usize, T)>> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            match look(self.offset(middle)?)? {
                (Ordering::Less, _) => low = middle + 1,
                (Ordering::Greater, _) => high = middle,
                (Ordering::Equal, found) => return Ok(Some((middle, found))),
            }
        }
        Ok(None)
    }
}

impl<'a> OldName<'a> {
    pub(super) fn read(index: BlockIndex<'a>, offset: usize) -> Decoded<Self> {
        let mut reader = index.labels_at(offset)?;
        let name = reader.str()?;
        let having = (reader.varint()?, reader.varint()?);
        Ok(Self { name, index, having, values: Table::read(&mut reader)?, collected: OnceCell::new() })
    }

    /// A value and where its posting is.
    fn entry(&self, offset: usize) -> Decoded<(&'a str, (u64, u64))> {
        let mut reader = self.index.labels_at(offset)?;
        Ok((reader.str()?, (reader.varint()?, reader.varint()?)))
    }

    pub(super) fn value(&self, number: u32) -> Decoded<&'a str> {
        Ok(self.entry(self.values.offset(number as usize)?)?.0)
    }

    fn collected(&self) -> Result<Values<'_, &Collected>> {
        if self.collected.get().is_none() {
            let mut all = Collected { text: Vec::new(), starts: vec![0] };
            for at in 0..self.values.count {
                let entry = self.values.offset(at).and_then(|offset| self.entry(offset));
                all.text.extend_from_slice(self.index.labels_ok(entry)?.0.as_bytes());
                all.starts.push(all.text.len());
            }
            let _ = self.collected.set(all);
        }
        let Some(all) = self.collected.get() else {
            let malformed = Malformed { at: 0, what: "values cannot be collected" };
            return self.index.labels_ok(Err(malformed));
        };
        Ok(Values { text: &all.text, places: all, sorted: true })
    }

    /// The posting at a place of the section "postings"; with length 0 the offset is the only id.
    fn ids(&self, (offset, len): (u64, u64), among: Option<&RoaringBitmap>) -> Result<RoaringBitmap> {
        if len == 0 {
            return Ok(lone(self.index.postings_ok(only_id(offset))?, among));
        }
        self.index.view(offset, |view| bitmap_of(view, among))
    }
}

fn only_id(offset: u64) -> Decoded<u32> {
    u32::try_from(offset).map_err(|_| Malformed { at: 0, what: "id over 32 bits" })
}

impl NameIndex for OldName<'_> {
    fn value_count(&self) -> u32 {
        self.values.count as u32
    }

    fn find(&self, value: &str) -> Result<Option<u32>> {
        let found = self.values.find(|offset| Ok((self.entry(offset)?.0.cmp(value), ())));
        Ok(self.index.labels_ok(found)?.map(|(number, ())| number as u32))
    }

    fn having(&self, among: Option<&RoaringBitmap>) -> Result<RoaringBitmap> {
        self.ids(self.having, among)
    }

    fn posting(&self, number: u32, among: Option<&RoaringBitmap>) -> Result<RoaringBitmap> {
        let entry = self.values.offset(number as usize).and_then(|offset| self.entry(offset));
        self.ids(self.index.labels_ok(entry)?.1, among)
    }

    fn unite(&self, numbers: &mut dyn Iterator<Item = u32>, union: &mut Union) -> Result<()> {
        for number in numbers {
            let entry = self.values.offset(number as usize).and_then(|offset| self.entry(offset));
            match self.index.labels_ok(entry)?.1 {
                (id, 0) => union.add(self.index.postings_ok(only_id(id))?),
                (offset, _) => self.index.view(offset, |view: RoaringView<'_>| view.add_to(union))?,
            }
        }
        Ok(())
    }

    fn passing_ns(&self, _: &Pattern) -> u64 {
        // Collecting them, and testing most.
        u64::from(self.value_count()) * 100
    }

    fn passing(&self, pattern: &Pattern) -> Result<Arc<RoaringBitmap>> {
        let all: Range<u32> = 0..self.value_count();
        Ok(Arc::new(self.collected()?.passing(pattern, all).into_iter().collect()))
    }
}
