//! A roaring bitmap read where it lies, in the [portable format](https://github.com/RoaringBitmap/RoaringFormatSpec).
//!
//! Opening one looks at its first bytes only; each operation reads the containers it needs. Nothing that the bytes
//! say is believed: what lies outside of them is [`Malformed`], and containers in a wrong order give a wrong set, but
//! never a panic.
//!
//! ```text
//! cookie 12346 u32, containers u32        or  cookie 12347 u16, containers - 1 u16, a bit per container: is it runs?
//! per container: key u16, cardinality - 1 u16
//! per container: offset from the start u32    (missing with cookie 12347 and fewer than 4 containers)
//! containers: up to 4,096 ids as u16 each | 8,192 bytes of bits | number of runs u16, start and length - 1 u16 each
//! ```
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use roaring::RoaringBitmap;

use super::Union;
use crate::codec::Malformed;

const COOKIE: u32 = 12346;
const COOKIE_RUNS: u32 = 12347;
/// With this many containers, a bitmap that may have runs lists their offsets.
const OFFSETS_FROM: usize = 4;
/// Up to this many ids a container is a list of them.
const ARRAY_MAX: usize = 4096;
const BITMAP_BYTES: usize = 8192;
/// Below this many candidates per container, asking for each candidate is cheaper than reading the containers.
const CANDIDATES_PER_CONTAINER: u64 = 16;

/// A bitmap over bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RoaringView<'a> {
    bytes: &'a [u8],
    /// Key and cardinality of each container.
    keys: &'a [[u8; 4]],
    /// A bit for each container that is runs; empty where none is.
    runs: &'a [u8],
    /// Where each container begins; empty where that follows from the ones before.
    offsets: &'a [[u8; 4]],
    /// Where the first container begins.
    data_at: usize,
}

/// One container.
#[derive(Debug, Clone, Copy)]
enum Container<'a> {
    Array(&'a [[u8; 2]]),
    Bitmap(&'a [u8]),
    Runs(&'a [[u8; 4]]),
}

type Decoded<T> = Result<T, Malformed>;

const fn cut_short(at: usize) -> Malformed {
    Malformed { at, what: "roaring bitmap ends too early" }
}

fn low(bytes: [u8; 4]) -> u16 {
    u32::from_le_bytes(bytes) as u16
}

fn high(bytes: [u8; 4]) -> u16 {
    (u32::from_le_bytes(bytes) >> 16) as u16
}

impl<'a> RoaringView<'a> {
    /// Opens the bitmap at the start of `bytes`.
    pub(crate) fn open(bytes: &'a [u8]) -> Decoded<Self> {
        let mut at = 0;
        let mut take = |len: usize| {
            let taken = bytes.get(at..at + len).ok_or(cut_short(at))?;
            at += len;
            Ok::<_, Malformed>(taken)
        };
        let mut word = || Ok(take(4)?.first_chunk().map_or(0, |word| u32::from_le_bytes(*word)));
        let cookie = word()?;
        let (count, runs) = if cookie == COOKIE {
            (word()? as usize, [].as_slice())
        } else if cookie & 0xffff == COOKIE_RUNS {
            let count = (cookie >> 16) as usize + 1;
            (count, take(count.div_ceil(8))?)
        } else {
            return Err(Malformed { at: 0, what: "not a roaring bitmap" });
        };
        if count > 1 << 16 {
            return Err(Malformed { at: 4, what: "more containers than there are keys" });
        }
        let (keys, _) = take(count * 4)?.as_chunks();
        let offsets = if runs.is_empty() || count >= OFFSETS_FROM { take(count * 4)? } else { &[] };
        Ok(Self { bytes, keys, runs, offsets: offsets.as_chunks().0, data_at: at })
    }

    fn is_runs(&self, at: usize) -> bool {
        self.runs.get(at / 8).is_some_and(|bits| bits >> (at % 8) & 1 == 1)
    }

    /// A container and how many bytes it takes.
    fn container_at(&self, at: usize, offset: usize) -> Decoded<(Container<'a>, usize)> {
        let end = || cut_short(self.bytes.len());
        let rest = self.bytes.get(offset..).ok_or_else(end)?;
        if self.is_runs(at) {
            let (count, rest) = rest.split_first_chunk::<2>().ok_or_else(end)?;
            let bytes = usize::from(u16::from_le_bytes(*count)) * 4;
            let runs = rest.get(..bytes).ok_or_else(end)?;
            return Ok((Container::Runs(runs.as_chunks().0), bytes + 2));
        }
        let count = self.keys.get(at).map_or(0, |key| usize::from(high(*key)) + 1);
        if count <= ARRAY_MAX {
            let ids = rest.get(..count * 2).ok_or_else(end)?;
            Ok((Container::Array(ids.as_chunks().0), count * 2))
        } else {
            Ok((Container::Bitmap(rest.get(..BITMAP_BYTES).ok_or_else(end)?), BITMAP_BYTES))
        }
    }

    fn container(&self, at: usize) -> Decoded<Container<'a>> {
        if let Some(offset) = self.offsets.get(at) {
            return Ok(self.container_at(at, u32::from_le_bytes(*offset) as usize)?.0);
        }
        // At most three, one after the other.
        let mut offset = self.data_at;
        for before in 0..at {
            offset += self.container_at(before, offset)?.1;
        }
        Ok(self.container_at(at, offset)?.0)
    }

    fn keys(&self) -> impl Iterator<Item = (usize, u16)> {
        self.keys.iter().enumerate().map(|(at, key)| (at, low(*key)))
    }

    /// Whether `id` is one of them.
    pub(crate) fn contains(&self, id: u32) -> Decoded<bool> {
        let (key, wanted) = ((id >> 16) as u16, id as u16);
        let Ok(at) = self.keys.binary_search_by_key(&key, |entry| low(*entry)) else { return Ok(false) };
        Ok(match self.container(at)? {
            Container::Array(ids) => ids.binary_search_by_key(&wanted, |id| u16::from_le_bytes(*id)).is_ok(),
            Container::Bitmap(bits) => {
                bits.get(usize::from(wanted) / 8).is_some_and(|byte| byte >> (wanted % 8) & 1 == 1)
            }
            Container::Runs(runs) => {
                let after = runs.partition_point(|run| low(*run) <= wanted);
                let run = after.checked_sub(1).and_then(|at| runs.get(at));
                run.is_some_and(|run| wanted - low(*run) <= high(*run))
            }
        })
    }

    /// Adds all ids to a union.
    pub(crate) fn add_to(&self, union: &mut Union) -> Decoded<()> {
        self.add_pages(union, |_| true)
    }

    /// Adds the ids of those pages of which `wanted` says yes.
    fn add_pages(&self, union: &mut Union, mut wanted: impl FnMut(u16) -> bool) -> Decoded<()> {
        for (at, key) in self.keys() {
            if !wanted(key) {
                continue;
            }
            let base = u32::from(key) << 16;
            match self.container(at)? {
                Container::Array(ids) => {
                    ids.iter().for_each(|id| union.add(base | u32::from(u16::from_le_bytes(*id))));
                }
                Container::Bitmap(bits) => union.add_page(key, bits),
                Container::Runs(runs) => {
                    runs.iter().for_each(|run| {
                        union.add_run(key, low(*run), low(*run).saturating_add(high(*run)));
                    });
                }
            }
        }
        Ok(())
    }

    /// All ids, on the heap.
    pub(crate) fn to_bitmap(self) -> Decoded<RoaringBitmap> {
        let mut union = Union::default();
        self.add_to(&mut union)?;
        Ok(union.into_bitmap())
    }

    /// The ids that are among `ids`, too.
    pub(crate) fn intersection(&self, ids: &RoaringBitmap) -> Decoded<RoaringBitmap> {
        if ids.len() <= self.keys.len() as u64 * CANDIDATES_PER_CONTAINER {
            let mut both = Vec::new();
            for id in ids {
                if self.contains(id)? {
                    both.push(id);
                }
            }
            return Ok(both.into_iter().collect());
        }
        let mut union = Union::default();
        self.add_pages(&mut union, |key| {
            let base = u32::from(key) << 16;
            ids.range_cardinality(base..=base | 0xffff) > 0
        })?;
        Ok(union.into_bitmap() & ids)
    }

    /// Whether any id is among `ids`, too.
    pub(crate) fn meets(&self, ids: &RoaringBitmap) -> Decoded<bool> {
        for (at, key) in self.keys() {
            let base = u32::from(key) << 16;
            let page = base..=base | 0xffff;
            let meets = match self.container(at)? {
                Container::Array(own) => {
                    own.iter().any(|id| ids.contains(base | u32::from(u16::from_le_bytes(*id))))
                }
                Container::Runs(runs) => runs.iter().any(|run| {
                    let (first, last) = (low(*run), low(*run).saturating_add(high(*run)));
                    ids.range_cardinality(base | u32::from(first)..=base | u32::from(last)) > 0
                }),
                Container::Bitmap(bits) => ids.range(page).any(|id| {
                    bits.get((id & 0xffff) as usize / 8).is_some_and(|byte| byte >> (id % 8) & 1 == 1)
                }),
            };
            if meets {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
