//! Since when the counters count that consecutive samples are readings of: their start timestamps, by runs.
//!
//! A counter is started once and read many times, so that what is kept is the position from which on each start holds.
//! Of samples without starts nothing is kept, neither in memory nor in bytes.
//!
//! ```text
//! starts    run count varint; per run:
//!             position of its first sample varint, after that of the run before; of the first run from zero
//!             start zigzag varint, after that of the run before; of the first run from zero
//! ```
//! A run goes on to the next one, or to the end. Before the first, and within a run of [`UNKNOWN_START`], no start is
//! known. Neighbouring runs differ, so that the same starts are always the same bytes, however many samples follow: that
//! is what lets chunks share them.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::sync::Arc;

use crate::codec::bytes::{put_varint, put_zigzag};
use crate::codec::{Malformed, Reader};

/// The start timestamp of a sample of which none is known: no counter is that old.
pub const UNKNOWN_START: i64 = model::UNKNOWN_START.millis();

/// The starts of consecutive samples. How many there are is kept beside it by whoever keeps the samples.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Starts {
    /// None is known of any.
    #[default]
    Unknown,
    /// One start of all.
    Same(i64),
    /// Several: since which position which one; positions increase, neighbours differ.
    Runs(Arc<Vec<(u32, i64)>>),
}

impl Starts {
    /// Those of a column that lacks what is unknown at its end.
    pub(crate) fn of_column(column: &[i64]) -> Self {
        let mut starts = Self::default();
        for (position, start) in (0u32..).zip(column) {
            starts.push(position, *start);
        }
        starts
    }

    /// Whether no start is known of any sample.
    pub(crate) const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }

    fn runs(&self) -> impl Iterator<Item = (u32, i64)> {
        let (same, runs) = match self {
            Self::Unknown => (None, &[][..]),
            Self::Same(start) => (Some((0, *start)), &[][..]),
            Self::Runs(runs) => (None, &runs[..]),
        };
        same.into_iter().chain(runs.iter().copied())
    }

    fn last(&self) -> i64 {
        match self {
            Self::Unknown => UNKNOWN_START,
            Self::Same(start) => *start,
            Self::Runs(runs) => runs.last().map_or(UNKNOWN_START, |(_, start)| *start),
        }
    }

    /// Whether none is of a sample beyond the first `count`.
    pub(crate) fn fits(&self, count: usize) -> bool {
        self.runs().last().is_none_or(|(first, _)| (first as usize) < count)
    }

    /// The start of one sample.
    pub(crate) fn get(&self, position: usize) -> i64 {
        let until = self.runs().take_while(|(first, _)| *first as usize <= position);
        until.last().map_or(UNKNOWN_START, |(_, start)| start)
    }

    /// Notes the start of the sample at `position`, which comes after all that were noted.
    pub(crate) fn push(&mut self, position: u32, start: i64) {
        if start == self.last() {
            return;
        }
        *self = match std::mem::take(self) {
            Self::Unknown if position == 0 => Self::Same(start),
            Self::Unknown => Self::Runs(Arc::new(vec![(position, start)])),
            Self::Same(before) => Self::Runs(Arc::new(vec![(0, before), (position, start)])),
            Self::Runs(mut runs) => {
                Arc::make_mut(&mut runs).push((position, start));
                Self::Runs(runs)
            }
        };
    }

    /// Notes the starts of samples that follow the first `count`.
    pub(crate) fn append(&mut self, count: usize, following: &Self) {
        let at = |position: u32| u32::try_from(count).unwrap_or(u32::MAX).saturating_add(position);
        let mut runs = following.runs().peekable();
        if runs.peek().is_none_or(|(first, _)| *first > 0) {
            self.push(at(0), UNKNOWN_START);
        }
        runs.for_each(|(first, start)| self.push(at(first), start));
    }

    /// Appends one start for each of `count` samples; nothing where none is known of any.
    pub(crate) fn expand(&self, count: usize, out: &mut Vec<i64>) {
        if self.is_unknown() {
            return;
        }
        let from = out.len();
        let mut start = UNKNOWN_START;
        for (first, next) in self.runs() {
            out.resize(from + (first as usize).min(count), start);
            start = next;
        }
        out.resize(from + count, start);
    }

    /// Those of the samples that a mask keeps.
    pub(crate) fn kept(&self, keep: &[bool]) -> Self {
        let mut column = Vec::new();
        self.expand(keep.len(), &mut column);
        let kept = column.iter().zip(keep).filter(|(_, keep)| **keep);
        Self::of_column(&kept.map(|(start, _)| *start).collect::<Vec<i64>>())
    }

    /// Writes them; not for those that are unknown.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.runs().count() as u64);
        let mut before = (0, 0);
        for (first, start) in self.runs() {
            put_varint(out, u64::from(first - before.0));
            put_zigzag(out, start.wrapping_sub(before.1));
            before = (first, start);
        }
    }

    /// Reads what [`Starts::encode`] wrote of `count` samples.
    pub(crate) fn decode(reader: &mut Reader<'_>, count: usize) -> Result<Self, Malformed> {
        let mut starts = Self::default();
        let mut before = (0u32, 0i64);
        // Each run takes at least two bytes.
        for number in 0..reader.count(2)? {
            let step = reader.varint_u32()?;
            let start = before.1.wrapping_add(reader.zigzag()?);
            let first = before.0.checked_add(step).filter(|first| (*first as usize) < count);
            let Some(first) = first.filter(|_| step > 0 || number == 0) else {
                return Err(reader.malformed("starts of samples that are not there"));
            };
            if start == starts.last() {
                return Err(reader.malformed("a run of starts goes on"));
            }
            starts.push(first, start);
            before = (first, start);
        }
        if starts.is_unknown() { Err(reader.malformed("starts without any")) } else { Ok(starts) }
    }

    /// Reads what is left: those of `count` samples, or nothing where they are unknown.
    pub(crate) fn decode_rest(reader: &mut Reader<'_>, count: usize) -> Result<Self, Malformed> {
        if reader.is_empty() { Ok(Self::Unknown) } else { Self::decode(reader, count) }
    }
}

#[cfg(test)]
mod tests;
