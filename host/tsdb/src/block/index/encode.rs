//! Writing the sections "labels" and "postings".

use std::collections::HashMap;

use ahash::RandomState;
use hashbrown::HashTable;
use roaring::RoaringBitmap;

use super::{GROUP, INLINE_MAX};
use crate::codec::bytes::{put_span, put_varint};
use crate::error::{Error, Result};
use crate::index::MemoryIndex;

/// For each label name its number and the numbers of its values.
pub(in crate::block) type LabelNumbers<'a> =
    HashMap<&'a str, (u32, HashMap<&'a str, u32, RandomState>), RandomState>;

const LABELS_TOO_LARGE: Error = Error::SectionTooLarge { section: "labels" };

/// The section "postings" as it grows. Labels often come together, a pod with its address, say: a bitmap is written once
/// however many labels it is of.
#[derive(Default)]
struct Bitmaps {
    bytes: Vec<u8>,
    hasher: RandomState,
    /// Hash, start and end of each.
    places: HashTable<(u64, usize, usize)>,
}

impl Bitmaps {
    /// Where the bitmap is.
    fn place_of(&mut self, ids: &RoaringBitmap) -> Result<u64> {
        let at = self.bytes.len();
        // Writing to memory fails only where the bitmap is larger than its format allows.
        ids.serialize_into(&mut self.bytes).map_err(|_| Error::SectionTooLarge { section: "postings" })?;
        let end = self.bytes.len();
        let (known, new) = self.bytes.split_at(at);
        let hash = self.hasher.hash_one(new);
        let same = |(_, start, end): &(u64, usize, usize)| known.get(*start..*end) == Some(new);
        if let Some((_, start, _)) = self.places.find(hash, same) {
            self.bytes.truncate(at);
            return Ok(*start as u64);
        }
        self.places.insert_unique(hash, (hash, at, end), |(hash, ..)| *hash);
        Ok(at as u64)
    }
}

/// The sections "postings" and "labels", and the numbers that stand for labels elsewhere.
pub(in crate::block) fn encode(index: &MemoryIndex) -> Result<(Vec<u8>, Vec<u8>, LabelNumbers<'_>)> {
    let mut numbers = LabelNumbers::default();
    let mut bitmaps = Bitmaps::default();
    let mut names: Vec<_> = index.names().collect();
    names.sort_unstable_by_key(|(name, _)| *name);
    let (mut offsets, mut entries) = ((names.len() as u32).to_le_bytes().to_vec(), Vec::new());
    let table_bytes = offsets.len() + names.len() * 4;
    for ((name, entry), number) in names.into_iter().zip(0u32..) {
        let offset = u32::try_from(table_bytes + entries.len()).map_err(|_| LABELS_TOO_LARGE)?;
        offsets.extend_from_slice(&offset.to_le_bytes());
        put_span(&mut entries, name.as_bytes());
        put_posting(&mut bitmaps, &mut entries, entry.having().clone())?;
        let mut values: Vec<_> = entry.carried().collect();
        values.sort_unstable_by_key(|(value, _)| *value);
        put_varint(&mut entries, values.len() as u64);
        let (mut texts, mut postings) = (Vec::new(), Vec::new());
        let (mut text_starts, mut posting_starts) = (Vec::new(), Vec::new());
        for (value, carried) in &values {
            text_starts.push(texts.len());
            posting_starts.push(postings.len());
            texts.extend_from_slice(value.as_bytes());
            put_posting(&mut bitmaps, &mut postings, carried.to_bitmap())?;
        }
        put_places(&mut entries, &text_starts, texts.len())?;
        put_places(&mut entries, &posting_starts, postings.len())?;
        entries.extend_from_slice(&texts);
        entries.extend_from_slice(&postings);
        let value_numbers = values.into_iter().zip(0..).map(|((value, _), number)| (value, number)).collect();
        numbers.insert(name, (number, value_numbers));
    }
    offsets.extend_from_slice(&entries);
    Ok((bitmaps.bytes, offsets, numbers))
}

fn put_places(out: &mut Vec<u8>, starts: &[usize], total: usize) -> Result<()> {
    let total = u32::try_from(total).map_err(|_| LABELS_TOO_LARGE)?;
    let groups = || starts.chunks(GROUP as usize).filter_map(|group| Some((*group.first()?, group)));
    let widest = groups().filter_map(|(first, group)| Some(group.last()? - first)).max().unwrap_or(0);
    let width = match widest {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 4,
    };
    out.extend_from_slice(&total.to_le_bytes());
    out.push(width as u8);
    // All of them are less than the total, which fits.
    groups().for_each(|(first, _)| out.extend_from_slice(&(first as u32).to_le_bytes()));
    for (first, group) in groups() {
        let within = group.iter().map(|start| ((start - first) as u32).to_le_bytes());
        within.for_each(|bytes| out.extend(bytes.into_iter().take(width)));
    }
    Ok(())
}

/// A posting as it stands with its value; its bitmap goes to `bitmaps` where it has one.
fn put_posting(bitmaps: &mut Bitmaps, out: &mut Vec<u8>, mut ids: RoaringBitmap) -> Result<()> {
    if (1..=INLINE_MAX as u64).contains(&ids.len()) {
        out.push(ids.len() as u8);
        let mut before = 0;
        for id in ids {
            put_varint(out, u64::from(id - before));
            before = id;
        }
        return Ok(());
    }
    ids.optimize();
    out.push(0);
    put_varint(out, bitmaps.place_of(&ids)?);
    Ok(())
}
