//! The open chunk of a series: the samples since the last sealed one, ready to be read and added to.
//!
//! Most series are scraped at a steady interval and most never change, so times are kept as an interval and values
//! as one number until a sample breaks the pattern: then, and only then, each sample takes memory.

use std::sync::Arc;

use model::Histogram;

use super::SampleValue;
use crate::chunk::{Chunk, ChunkKind, ChunkMeta, SAMPLES_MAX};

/// The samples since the last sealed chunk; never empty. All of one kind and of one block range.
#[derive(Debug, Clone)]
pub(crate) struct OpenChunk {
    times: OpenTimes,
    values: OpenValues,
}

#[derive(Debug, Clone)]
enum OpenTimes {
    /// `step` milliseconds apart; zero with a single one.
    Steady { first: i64, step: u32, count: u32 },
    /// Milliseconds since the first one, which is among them.
    Offsets { first: i64, offsets: Vec<u32> },
}

/// Their values, as many as times.
#[derive(Debug, Clone)]
enum OpenValues {
    /// The same one, bit for bit, at every time.
    Constant(f64),
    Floats(Vec<f64>),
    Histograms(Vec<Arc<Histogram>>),
}

impl OpenTimes {
    fn first(&self) -> i64 {
        match self {
            Self::Steady { first, .. } | Self::Offsets { first, .. } => *first,
        }
    }

    fn last(&self) -> i64 {
        match self {
            Self::Steady { first, step, count } => first + i64::from(*step) * i64::from(count - 1),
            Self::Offsets { first, offsets } => first + offsets.last().copied().map_or(0, i64::from),
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Steady { count, .. } => *count as usize,
            Self::Offsets { offsets, .. } => offsets.len(),
        }
    }

    /// Whether `time`, which is later than all, is close enough to be told as an offset.
    fn takes(&self, time: i64) -> bool {
        time.checked_sub(self.first()).is_some_and(|offset| u32::try_from(offset).is_ok())
    }

    /// Adds a time that [`OpenTimes::takes`] has said yes to.
    fn push(&mut self, time: i64) {
        let (offset, since_last) = ((time - self.first()) as u32, (time - self.last()) as u32);
        match self {
            Self::Steady { step, count, .. } if *count == 1 => (*step, *count) = (since_last, 2),
            Self::Steady { step, count, .. } if *step == since_last => *count += 1,
            Self::Steady { first, step, count } => {
                let mut offsets = Vec::with_capacity((*count as usize + 1).next_power_of_two());
                offsets.extend((0..*count).map(|at| at * *step));
                offsets.push(offset);
                *self = Self::Offsets { first: *first, offsets };
            }
            Self::Offsets { offsets, .. } => offsets.push(offset),
        }
    }

    fn copy_to(&self, out: &mut Vec<i64>) {
        match self {
            Self::Steady { first, step, count } => {
                out.extend((0..i64::from(*count)).map(|at| first + at * i64::from(*step)));
            }
            Self::Offsets { first, offsets } => {
                out.extend(offsets.iter().map(|offset| first + i64::from(*offset)));
            }
        }
    }
}

impl OpenChunk {
    pub(super) fn new(time: i64, value: SampleValue) -> Self {
        let values = match value {
            SampleValue::Float(float) => OpenValues::Constant(float),
            SampleValue::Histogram(histogram) => OpenValues::Histograms(vec![histogram]),
        };
        Self { times: OpenTimes::Steady { first: time, step: 0, count: 1 }, values }
    }

    fn kind(&self) -> ChunkKind {
        match self.values {
            OpenValues::Constant(_) | OpenValues::Floats(_) => ChunkKind::Floats,
            OpenValues::Histograms(_) => ChunkKind::Histograms,
        }
    }

    /// Whether a sample, later than all, can go in without breaking what holds of chunks.
    pub(super) fn takes(&self, time: i64, value: &SampleValue, block_range_ms: i64) -> bool {
        let kind = match value {
            SampleValue::Float(_) => ChunkKind::Floats,
            SampleValue::Histogram(_) => ChunkKind::Histograms,
        };
        let same_range = self.min_time().div_euclid(block_range_ms) == time.div_euclid(block_range_ms);
        kind == self.kind() && same_range && self.times.takes(time) && self.times.count() < SAMPLES_MAX
    }

    /// Adds a sample that [`OpenChunk::takes`] has said yes to.
    pub(super) fn push(&mut self, time: i64, value: SampleValue) {
        match (&mut self.values, value) {
            (OpenValues::Constant(known), SampleValue::Float(float)) => {
                if known.to_bits() != float.to_bits() {
                    let count = self.times.count();
                    let mut floats = Vec::with_capacity((count + 1).next_power_of_two());
                    floats.resize(count, *known);
                    floats.push(float);
                    self.values = OpenValues::Floats(floats);
                }
            }
            (OpenValues::Floats(floats), SampleValue::Float(float)) => floats.push(float),
            (OpenValues::Histograms(all), SampleValue::Histogram(histogram)) => all.push(histogram),
            // `takes` has said no.
            _ => return,
        }
        self.times.push(time);
    }

    pub(crate) fn seal(&self) -> Option<Chunk> {
        let mut times = Vec::with_capacity(self.times.count());
        self.times.copy_to(&mut times);
        match &self.values {
            OpenValues::Constant(float) => Chunk::from_floats(&times, &vec![*float; times.len()]),
            OpenValues::Floats(floats) => Chunk::from_floats(&times, floats),
            OpenValues::Histograms(histograms) => Chunk::from_histograms(&times, histograms),
        }
    }

    /// Appends the times.
    pub(crate) fn times(&self, out: &mut Vec<i64>) {
        self.times.copy_to(out);
    }

    /// Appends the floats, of which there are as many as times or none at all.
    pub(crate) fn floats(&self, out: &mut Vec<f64>) {
        match &self.values {
            OpenValues::Constant(float) => out.extend(std::iter::repeat_n(*float, self.times.count())),
            OpenValues::Floats(floats) => out.extend_from_slice(floats),
            OpenValues::Histograms(_) => {}
        }
    }

    /// The histograms, of which there are as many as times or none at all.
    pub(crate) fn histograms(&self) -> &[Arc<Histogram>] {
        match &self.values {
            OpenValues::Histograms(histograms) => histograms,
            OpenValues::Constant(_) | OpenValues::Floats(_) => &[],
        }
    }

    pub(crate) fn min_time(&self) -> i64 {
        self.times.first()
    }

    pub(crate) fn max_time(&self) -> i64 {
        self.times.last()
    }

    pub(crate) fn meta(&self) -> ChunkMeta {
        ChunkMeta {
            kind: self.kind(),
            count: self.times.count() as u32,
            min_time: self.min_time(),
            max_time: self.max_time(),
        }
    }
}
