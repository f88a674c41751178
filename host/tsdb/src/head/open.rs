//! The open chunk of a series: the samples since the last sealed one, ready to be read and added to.
//!
//! Most series are scraped at a steady interval and most never change, so times are kept as an interval and values
//! as one number until a sample breaks the pattern: then, and only then, each sample takes memory. A chunk that keeps to
//! the pattern in both is *steady* and takes no memory for more samples: it may have more of them than others.
//!
//! A clone is what a reader holds: it shares the buffers and has a count of its own. Buffers only grow at their end,
//! beyond every count that has been given out, so that a clone never changes. Only the original may be added to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use model::Histogram;

use super::SampleValue;
use crate::chunk::{Chunk, ChunkKind, ChunkMeta, SAMPLES_MAX};
use crate::starts::Starts;

/// Buffers begin with room for so many samples, double, and end at what a chunk can hold.
const BUFFER_SAMPLES_MIN: usize = 8;

/// A steady chunk has at most so many samples: as many as a run of a block, which would be cut anyway, and few enough for
/// those who read its end.
const STEADY_SAMPLES_MAX: usize = 1024;

/// The samples since the last sealed chunk; never empty. All of one kind and of one block range.
#[derive(Debug, Clone)]
pub(crate) struct OpenChunk {
    first: i64,
    /// Milliseconds between two samples; zero with a single one, and without meaning where there are offsets.
    step: u32,
    count: u32,
    /// Milliseconds since the first one, which is among them; none while the samples are `step` apart.
    offsets: Option<Arc<[AtomicU32]>>,
    values: OpenValues,
}

/// The values, as many as times.
#[derive(Debug, Clone)]
enum OpenValues {
    /// The same one, bit for bit, at every time.
    Constant(f64),
    /// Their bits.
    Floats(Arc<[AtomicU64]>),
    Histograms(Arc<Vec<Arc<Histogram>>>),
}

/// Puts `new` at the end of a buffer that holds `count`, in a larger copy where it is full.
fn put<A, T>(
    buffer: &mut Arc<[A]>,
    count: usize,
    new: T,
    load: impl Fn(&A) -> T,
    store: impl Fn(&A, T),
    make: impl Fn(T) -> A,
) where
    T: Default,
{
    if count == buffer.len() {
        let capacity = (count * 2).min(SAMPLES_MAX).max(count + 1);
        let old = buffer.iter().map(load).chain(std::iter::repeat_with(T::default));
        *buffer = old.take(capacity).map(make).collect();
    }
    if let Some(place) = buffer.get(count) {
        store(place, new);
    }
}

fn put_offset(buffer: &mut Arc<[AtomicU32]>, count: usize, new: u32) {
    let load = |place: &AtomicU32| place.load(Ordering::Relaxed);
    put(buffer, count, new, load, |place, new| place.store(new, Ordering::Relaxed), AtomicU32::new);
}

fn put_float(buffer: &mut Arc<[AtomicU64]>, count: usize, new: u64) {
    let load = |place: &AtomicU64| place.load(Ordering::Relaxed);
    put(buffer, count, new, load, |place, new| place.store(new, Ordering::Relaxed), AtomicU64::new);
}

/// Room for one more than `count`, of which there will be more.
fn capacity(count: usize) -> usize {
    (count + 1).next_power_of_two().clamp(BUFFER_SAMPLES_MIN, SAMPLES_MAX)
}

impl OpenChunk {
    pub(super) fn new(time: i64, value: SampleValue) -> Self {
        let values = match value {
            SampleValue::Float(float) => OpenValues::Constant(float),
            SampleValue::Histogram(histogram) => OpenValues::Histograms(Arc::new(vec![histogram])),
        };
        Self { first: time, step: 0, count: 1, offsets: None, values }
    }

    fn kind(&self) -> ChunkKind {
        match self.values {
            OpenValues::Constant(_) | OpenValues::Floats(_) => ChunkKind::Floats,
            OpenValues::Histograms(_) => ChunkKind::Histograms,
        }
    }

    pub(crate) const fn count(&self) -> usize {
        self.count as usize
    }

    /// Whether a sample, later than all, can go in without breaking what holds of chunks: this float, or else a
    /// histogram.
    pub(super) fn takes(&self, time: i64, float: Option<f64>, block_range_ms: i64) -> bool {
        let near = time.checked_sub(self.first).is_some_and(|offset| u32::try_from(offset).is_ok());
        let same_range = || self.first.div_euclid(block_range_ms) == time.div_euclid(block_range_ms);
        let same_kind = float.is_some() == (self.kind() == ChunkKind::Floats);
        same_kind && near && (self.count() < SAMPLES_MAX || self.is_steady_with(time, float)) && same_range()
    }

    /// Whether there is room for a sample that keeps to the pattern of all the others.
    fn is_steady_with(&self, time: i64, float: Option<f64>) -> bool {
        let OpenValues::Constant(known) = self.values else { return false };
        self.offsets.is_none()
            && self.count() < STEADY_SAMPLES_MAX
            && float.is_some_and(|float| float.to_bits() == known.to_bits())
            && time - self.first == i64::from(self.step) * i64::from(self.count)
    }

    /// Adds a sample that [`OpenChunk::takes`] has said yes to.
    pub(super) fn push(&mut self, time: i64, value: SampleValue) {
        match value {
            SampleValue::Float(float) => self.push_float(time, float),
            SampleValue::Histogram(histogram) => {
                if let OpenValues::Histograms(all) = &mut self.values {
                    Arc::make_mut(all).push(histogram);
                    self.push_time(time);
                }
            }
        }
    }

    /// As [`OpenChunk::push`], for a float.
    pub(super) fn push_float(&mut self, time: i64, float: f64) {
        let count = self.count();
        match &mut self.values {
            OpenValues::Constant(known) if known.to_bits() == float.to_bits() => {}
            OpenValues::Constant(known) => {
                let before = std::iter::repeat_n(known.to_bits(), count).chain([float.to_bits()]);
                let buffer = before.chain(std::iter::repeat(0)).take(capacity(count)).map(AtomicU64::new);
                self.values = OpenValues::Floats(buffer.collect());
            }
            OpenValues::Floats(floats) => put_float(floats, count, float.to_bits()),
            // `takes` has said no.
            OpenValues::Histograms(_) => return,
        }
        self.push_time(time);
    }

    fn push_time(&mut self, time: i64) {
        let (offset, count) = ((time - self.first) as u32, self.count());
        match &mut self.offsets {
            Some(offsets) => put_offset(offsets, count, offset),
            None if count == 1 => self.step = offset,
            // The last one was at `step * (count - 1)`.
            None if u64::from(self.step) * count as u64 == u64::from(offset) => {}
            None => {
                let before = (0..self.count).map(|at| at * self.step).chain([offset]);
                let buffer = before.chain(std::iter::repeat(0)).take(capacity(count)).map(AtomicU32::new);
                self.offsets = Some(buffer.collect());
            }
        }
        self.count += 1;
    }

    /// As a chunk, with the starts of its samples.
    pub(crate) fn seal(&self, starts: &Starts) -> Option<Chunk> {
        let (mut times, mut floats) = (Vec::with_capacity(self.count()), Vec::new());
        self.times(&mut times);
        let sealed = match &self.values {
            OpenValues::Histograms(histograms) => Chunk::from_histograms(&times, histograms),
            OpenValues::Constant(_) | OpenValues::Floats(_) => {
                self.floats(&mut floats);
                Chunk::from_floats(&times, &floats)
            }
        };
        Some(sealed?.with_starts(starts))
    }

    /// Appends the times.
    pub(crate) fn times(&self, out: &mut Vec<i64>) {
        match &self.offsets {
            None => out.extend((0..i64::from(self.count)).map(|at| self.first + at * i64::from(self.step))),
            Some(offsets) => {
                let offsets = offsets.iter().take(self.count());
                out.extend(offsets.map(|offset| self.first + i64::from(offset.load(Ordering::Relaxed))));
            }
        }
    }

    /// Appends the floats, of which there are as many as times or none at all.
    pub(crate) fn floats(&self, out: &mut Vec<f64>) {
        match &self.values {
            OpenValues::Constant(float) => out.extend(std::iter::repeat_n(*float, self.count())),
            OpenValues::Floats(floats) => {
                let floats = floats.iter().take(self.count());
                out.extend(floats.map(|bits| f64::from_bits(bits.load(Ordering::Relaxed))));
            }
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

    /// The value at a position among the samples.
    pub(super) fn value(&self, at: usize) -> Option<SampleValue> {
        if at >= self.count() {
            return None;
        }
        match &self.values {
            OpenValues::Constant(float) => Some(SampleValue::Float(*float)),
            OpenValues::Floats(floats) => {
                floats.get(at).map(|bits| SampleValue::Float(f64::from_bits(bits.load(Ordering::Relaxed))))
            }
            OpenValues::Histograms(histograms) => histograms.get(at).cloned().map(SampleValue::Histogram),
        }
    }

    /// The latest sample that is not after `end`.
    pub(super) fn latest(&self, end: i64) -> Option<(i64, SampleValue)> {
        let offset_of = |at: u32| match &self.offsets {
            Some(offsets) => {
                offsets.get(at as usize).map_or(0, |offset| i64::from(offset.load(Ordering::Relaxed)))
            }
            None => i64::from(self.step) * i64::from(at),
        };
        let (mut from, mut to) = (0, self.count);
        // Mostly it is the last one.
        if self.max_time() <= end {
            from = self.count;
        }
        while from < to {
            let middle = from.midpoint(to);
            if self.first + offset_of(middle) <= end { from = middle + 1 } else { to = middle }
        }
        let at = from.checked_sub(1)?;
        Some((self.first + offset_of(at), self.value(at as usize)?))
    }

    /// The value at a time.
    pub(super) fn find(&self, time: i64) -> Option<SampleValue> {
        if time == self.max_time() {
            return self.value(self.count() - 1);
        }
        let mut times = Vec::with_capacity(self.count());
        self.times(&mut times);
        self.value(times.binary_search(&time).ok()?)
    }

    pub(crate) const fn min_time(&self) -> i64 {
        self.first
    }

    pub(crate) fn max_time(&self) -> i64 {
        let last = self.count - 1;
        let offset = match &self.offsets {
            Some(offsets) => {
                offsets.get(last as usize).map_or(0, |offset| i64::from(offset.load(Ordering::Relaxed)))
            }
            None => i64::from(self.step) * i64::from(last),
        };
        self.first + offset
    }

    pub(crate) fn meta(&self) -> ChunkMeta {
        ChunkMeta {
            kind: self.kind(),
            count: self.count,
            min_time: self.min_time(),
            max_time: self.max_time(),
        }
    }
}
