//! Tombstones: which samples of which series have been deleted, where the samples themselves are still there.
//!
//! A block never changes: what is deleted of it is written beside it, and reading passes over it, until a merge or
//! [`crate::Tsdb::clean_tombstones`] writes the block anew without. The head keeps its own among the view of readers,
//! and the log has them.
//!
//! # Format (version 1)
//!
//! The file `00000007.tombstones` belongs to `00000007.block`. Integers are little-endian.
//!
//! ```text
//! ┌───────────────────┬───────────┬────────────────┬──────────────────────┬───────────────┐
//! │ magic "SGLASSTS" 8│ version 4 │ CRC32 of those │ tombstones           │ CRC32 of them │
//! └───────────────────┴───────────┴────────────────┴──────────────────────┴───────────────┘
//!
//! tombstones  series count varint, then per series in order of their numbers:
//!   series    number minus the one before varint (the first from zero), interval count varint, intervals
//!   interval  first time minus the end of the one before (zigzag varint, the first from zero), last minus first
//!             varint: both times are deleted. In order of time; they neither overlap nor touch
//! ```
//!
//! The file is written under another name, synced and renamed: it is there as a whole, as before or as after a
//! deletion. It goes after its block. One that is damaged is named and set aside when the database is opened; what it
//! had deleted is then seen again.
//!
//! | version | change |
//! |---|---|
//! | 1 | first |
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use crate::codec::bytes::{put_varint, put_zigzag};
use crate::codec::{Malformed, Reader};
use crate::error::{Error, IoContext, Result};
use crate::fs::{self, FileSystem};
use crate::header::{FileKind, HEADER_BYTES};

/// The version that is written.
pub const FORMAT_VERSION: u32 = 1;
/// The oldest version that is read.
pub const OLDEST_READABLE: u32 = 1;

const KIND: FileKind = FileKind { magic: b"SGLASSTS", version: FORMAT_VERSION, oldest: OLDEST_READABLE };
const CRC_BYTES: usize = 4;

/// The extension of the file beside a block.
pub(crate) const EXTENSION: &str = "tombstones";

/// Times from first to last, both among them; in order, apart from each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Intervals(Vec<(i64, i64)>);

/// What is deleted, by the number (in a block) or id (in the head) of the series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tombstones(BTreeMap<u32, Intervals>);

impl Intervals {
    /// Adds the times from `first` to `last`.
    pub(crate) fn add(&mut self, first: i64, last: i64) {
        if first > last {
            return;
        }
        // Those that overlap the new one or touch it become one with it.
        let from = self.0.partition_point(|(_, end)| end.saturating_add(1) < first);
        let to = self.0.partition_point(|(start, _)| *start <= last.saturating_add(1));
        let joined = self.0.get(from..to).unwrap_or_default();
        let first = joined.first().map_or(first, |(start, _)| first.min(*start));
        let last = joined.last().map_or(last, |(_, end)| last.max(*end));
        self.0.splice(from..to.max(from), [(first, last)]);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, time: i64) -> bool {
        self.covers(time, time)
    }

    /// Whether all times from `first` to `last` are in here.
    pub(crate) fn covers(&self, first: i64, last: i64) -> bool {
        let at = self.0.partition_point(|(_, end)| *end < first);
        self.0.get(at).is_some_and(|(start, end)| *start <= first && *end >= last)
    }

    /// Whether any time from `first` to `last` is in here.
    pub(crate) fn overlaps(&self, first: i64, last: i64) -> bool {
        let at = self.0.partition_point(|(_, end)| *end < first);
        self.0.get(at).is_some_and(|(start, _)| *start <= last)
    }

    /// The positions of those of some increasing times that are not in here, as ranges.
    pub(crate) fn kept(&self, times: &[i64]) -> Vec<Range<usize>> {
        let (mut kept, mut at) = (Vec::new(), 0);
        for (first, last) in &self.0 {
            let from = times.partition_point(|time| time < first);
            if from > at {
                kept.push(at..from);
            }
            at = at.max(times.partition_point(|time| time <= last));
        }
        if at < times.len() {
            kept.push(at..times.len());
        }
        kept
    }

    /// Leaves out what lies before `time`.
    fn drop_before(&mut self, time: i64) {
        self.0.retain(|(_, last)| *last >= time);
    }
}

impl Tombstones {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the times from `first` to `last` of a series.
    pub(crate) fn add(&mut self, series: u32, first: i64, last: i64) {
        if first <= last {
            self.0.entry(series).or_default().add(first, last);
        }
    }

    /// Adds times of a series.
    pub(crate) fn add_to(&mut self, series: u32, Intervals(intervals): &Intervals) {
        intervals.iter().for_each(|(first, last)| self.add(series, *first, *last));
    }

    /// Adds all of another.
    pub(crate) fn add_all(&mut self, other: &Self) {
        other.iter().for_each(|(series, intervals)| self.add_to(series, intervals));
    }

    /// What is deleted of a series.
    pub(crate) fn of(&self, series: u32) -> Option<&Intervals> {
        self.0.get(&series)
    }

    /// Every series of which something is deleted.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Intervals)> {
        self.0.iter().map(|(series, intervals)| (*series, intervals))
    }

    /// Leaves out what lies before `time`.
    pub(crate) fn drop_before(&mut self, time: i64) {
        self.0.retain(|_, intervals| {
            intervals.drop_before(time);
            !intervals.is_empty()
        });
    }

    /// What stands between the two checksums of the file, and in a section of the log.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        let mut before = 0;
        for (series, Intervals(intervals)) in &self.0 {
            put_varint(out, u64::from(series - before));
            before = *series;
            put_varint(out, intervals.len() as u64);
            let mut end = 0i64;
            for (first, last) in intervals {
                put_zigzag(out, first.wrapping_sub(end));
                put_varint(out, last.wrapping_sub(*first).cast_unsigned());
                end = *last;
            }
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> std::result::Result<Self, Malformed> {
        // A series takes at least four bytes.
        let count = reader.count(4)?;
        Self::decode_series(reader, count)
    }

    /// As [`Tombstones::decode`], after the count has been read.
    pub(crate) fn decode_series(
        reader: &mut Reader<'_>,
        count: usize,
    ) -> std::result::Result<Self, Malformed> {
        let mut all = BTreeMap::new();
        let mut series = 0u32;
        for at in 0..count {
            let wrong = reader.malformed("series of tombstones are not in order");
            let apart = reader.varint_u32()?;
            series = series.checked_add(apart).filter(|_| at == 0 || apart > 0).ok_or(wrong)?;
            let mut intervals: Vec<(i64, i64)> = Vec::new();
            // An interval takes at least two bytes.
            for _ in 0..reader.count(2)? {
                let wrong = reader.malformed("intervals of tombstones are not in order");
                let before = intervals.last().map(|(_, last)| *last);
                let first = before.unwrap_or(0).wrapping_add(reader.zigzag()?);
                let last = first.wrapping_add(reader.varint()?.cast_signed());
                if last < first || before.is_some_and(|before| before.saturating_add(1) >= first) {
                    return Err(wrong);
                }
                intervals.push((first, last));
            }
            if intervals.is_empty() {
                return Err(reader.malformed("series without tombstones"));
            }
            all.insert(series, Intervals(intervals));
        }
        Ok(Self(all))
    }

    /// Makes them the tombstones in the file `path`, durably.
    pub(crate) fn write(&self, files: &dyn FileSystem, path: &Path) -> Result<()> {
        let mut bytes = KIND.header();
        let mut body = Vec::new();
        self.encode(&mut body);
        bytes.extend_from_slice(&body);
        bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        fs::replace(files, path, &bytes).at("write tombstones", path)
    }

    /// Those of the file `path`.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::UnsupportedVersion`], [`Error::Io`].
    pub(crate) fn read(files: &dyn FileSystem, path: &Path) -> Result<Self> {
        let bytes = files.map(path).at("read tombstones", path)?;
        let corrupt = |at: usize, what: &str| Error::corrupt(path, at as u64, what);
        if KIND.version_of(path, &bytes)?.is_none() {
            return Err(corrupt(0, "not the header of tombstones"));
        }
        let body_end = bytes.len().saturating_sub(CRC_BYTES);
        let body = bytes.get(HEADER_BYTES..body_end).unwrap_or_default();
        let crc = bytes.get(body_end..).and_then(|crc| Reader::new(crc).u32().ok());
        if body_end < HEADER_BYTES || crc != Some(crc32fast::hash(body)) {
            return Err(corrupt(HEADER_BYTES, "checksum of tombstones differs"));
        }
        let mut reader = Reader::new(body);
        let decoded = Self::decode(&mut reader).and_then(|tombstones| {
            if reader.is_empty() {
                Ok(tombstones)
            } else {
                Err(reader.malformed("tombstones go on after the last"))
            }
        });
        decoded.map_err(|malformed| corrupt(HEADER_BYTES + malformed.at, malformed.what))
    }
}

#[cfg(test)]
mod tests;
