//! Reading: the samples of a series that was found, decoded chunk by chunk and handed over column by column.
//!
//! A chunk is decoded into a [`Stretch`], and every stretch passes [`Reading::hand_over`]: what narrows an answer
//! belongs there, and what joins parts that overlap in time belongs before it.

use std::iter::Peekable;
use std::ops::{Deref, Range};
use std::sync::Arc;

use model::{Histogram, Labels, Summary, Timestamp, Windows};

use crate::block::{Block, BlockChunk};
use crate::chunk::{ChunkKind, SharedChunk};
use crate::codec::Malformed;
use crate::error::Result;
use crate::head::{OpenChunk, SampleValue, SeriesView, TimedSample};
use crate::starts::{Starts, UNKNOWN_START};
use crate::tombstones::Intervals;

/// Takes the samples of a series, in strictly increasing order of time, as columns.
///
/// Times are in milliseconds. `starts` says when the counters started that the samples are readings of: there are as
/// many as times, or none where that is not known of any; [`UNKNOWN_START`] where it is not known of one.
pub trait Sink {
    /// Floats, as many as times.
    fn floats(&mut self, times: &[i64], values: &[f64], starts: &[i64]);
    /// Native histograms, as many as times.
    fn histograms(&mut self, times: &[i64], values: &[Arc<Histogram>], starts: &[i64]);
}

/// A [`Sink`] that does without samples where what they come to is enough.
pub trait SummarySink: Sink {
    /// What floats come to that come after all that has been handed over and before all that will be.
    fn summary(&mut self, summary: &Summary);
}

/// A series that was selected. Keeps what it needs alive, and can be read any number of times from any thread.
pub struct SelectedSeries {
    labels: Labels,
    parts: Parts,
}

/// What a series is read from, in time order.
pub(super) enum Parts {
    /// Most have one, which is spared an allocation.
    One([Part; 1]),
    Many(Vec<Part>),
}

impl Deref for Parts {
    type Target = [Part];

    fn deref(&self) -> &[Part] {
        match self {
            Self::One(one) => one,
            Self::Many(many) => many,
        }
    }
}

/// Where samples of a series are, and which of them must not be seen. Chunks of which nothing may be seen are left out.
pub(super) enum Part {
    Block { block: Arc<Block>, chunks: Vec<BlockChunk>, deleted: Intervals },
    Head { view: SeriesView, deleted: Intervals },
}

impl SelectedSeries {
    pub(super) const fn new(labels: Labels, parts: Parts) -> Self {
        Self { labels, parts }
    }

    /// What it is read from, each with its labels.
    pub(super) fn into_parts(self) -> impl Iterator<Item = (Labels, Part)> {
        let Self { labels, parts } = self;
        let (one, many) = match parts {
            Parts::One([one]) => (Some(one), Vec::new()),
            Parts::Many(many) => (None, many),
        };
        one.into_iter().chain(many).map(move |part| (labels.clone(), part))
    }

    /// Its labels.
    pub const fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Hands over the samples in `[start, end]`, which must lie within the range that was selected, in strictly
    /// increasing order of time; of downsampled data, the last sample of each window.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) where a block is damaged; some samples may have been handed over by
    /// then.
    pub fn read(&self, start: Timestamp, end: Timestamp, sink: &mut impl Sink) -> Result<()> {
        self.pass(start, end, sink, |_, _, _| Ok(false), |_, _| false)
    }

    /// As [`SelectedSeries::read`] over all of `windows`, but for chunks of which every window holds all or nothing:
    /// where a block knows what the samples of such a chunk come to, it hands over that. Of downsampled data it hands over
    /// the summaries.
    ///
    /// # Errors
    /// As [`SelectedSeries::read`].
    pub fn read_windows<S: SummarySink>(&self, windows: &Windows, sink: &mut S) -> Result<()> {
        let (start, end) = (windows.start(), windows.end());
        let instead = |sink: &mut S, block: &Block, chunk: &BlockChunk| {
            if chunk.meta.kind == ChunkKind::Summaries {
                return Ok(false);
            }
            let (first, last) = (chunk.meta.min_time, chunk.meta.max_time);
            let within = first >= start.millis() && last <= end.millis();
            if !within || !windows.treat_alike(Timestamp::from_millis(first), Timestamp::from_millis(last)) {
                return Ok(false);
            }
            let summary = block.summary(chunk)?;
            summary.iter().for_each(|summary| sink.summary(summary));
            Ok(summary.is_some())
        };
        self.pass(start, end, sink, instead, |sink, summaries| {
            summaries.iter().for_each(|summary| sink.summary(summary));
            true
        })
    }

    /// How far apart its samples are where there are only downsampled data of it; zero where none are.
    pub fn resolution_ms(&self) -> i64 {
        let of = |part: &Part| match part {
            Part::Block { block, .. } => block.resolution_ms(),
            Part::Head { .. } => 0,
        };
        self.parts.iter().map(of).max().unwrap_or(0)
    }

    /// Hands over the samples of those chunks that `instead` has not dealt with, and the last ones of summaries that
    /// `coarse` has not.
    fn pass<S: Sink>(
        &self,
        start: Timestamp,
        end: Timestamp,
        sink: &mut S,
        instead: impl FnMut(&mut S, &Block, &BlockChunk) -> Result<bool>,
        coarse: fn(&mut S, &[Summary]) -> bool,
    ) -> Result<()> {
        let (start, end) = (start.millis(), end.millis());
        let late = self.late(start, end);
        if late.is_empty() {
            return self.pass_in_order(start, end, sink, instead, coarse);
        }
        // A late sample may lie within any chunk: all are read.
        let mut merging = Merging { late: late.into_iter().peekable(), sink };
        self.pass_in_order(
            start,
            end,
            &mut merging,
            |_, _, _| Ok(false),
            |merging, summaries| coarse(merging.sink, summaries),
        )?;
        merging.hand_over_before(i64::MAX);
        Ok(())
    }

    /// Late samples of the head, in order of time.
    fn late(&self, start: i64, end: i64) -> Vec<&TimedSample> {
        let mut late = Vec::new();
        for part in self.parts.iter() {
            if let Part::Head { view, deleted } = part {
                let shown = |time: i64| (start..=end).contains(&time) && !deleted.contains(time);
                late.extend(view.late().iter().filter(|late| shown(late.time)));
            }
        }
        late
    }

    /// As [`SelectedSeries::pass`], without late samples.
    fn pass_in_order<S: Sink>(
        &self,
        start: i64,
        end: i64,
        sink: &mut S,
        mut instead: impl FnMut(&mut S, &Block, &BlockChunk) -> Result<bool>,
        coarse: impl Fn(&mut S, &[Summary]) -> bool,
    ) -> Result<()> {
        let nothing = Intervals::default();
        let mut reading =
            Reading { start, end, deleted: &nothing, stretch: Stretch::default(), coarse, sink };
        for part in self.parts.iter() {
            match part {
                Part::Block { block, chunks, deleted } => {
                    reading.deleted = deleted;
                    for chunk in chunks.iter().filter(|chunk| chunk.meta.overlaps(start, end)) {
                        let whole = !deleted.overlaps(chunk.meta.min_time, chunk.meta.max_time);
                        if whole && instead(reading.sink, block, chunk)? {
                            continue;
                        }
                        reading.stretch.clear();
                        reading.stretch.decode_of_block(block, chunk)?;
                        reading.hand_over();
                    }
                }
                Part::Head { view, deleted } => {
                    reading.deleted = deleted;
                    for chunk in view.chunks.iter().filter(|chunk| chunk.meta().overlaps(start, end)) {
                        reading.stretch.clear();
                        let decoded = reading.stretch.decode_of_head(chunk);
                        decoded.map_err(|malformed| view.corrupt(malformed))?;
                        reading.hand_over();
                    }
                    if let Some(open) = &view.open {
                        reading.stretch.clear();
                        reading.stretch.copy_open(open, &view.open_starts);
                        reading.hand_over();
                    }
                }
            }
        }
        Ok(())
    }
}

/// Hands late samples over where their time has come, and everything else as it comes.
struct Merging<'a, I: Iterator<Item = &'a TimedSample>, S> {
    late: Peekable<I>,
    sink: &'a mut S,
}

impl<'a, I: Iterator<Item = &'a TimedSample>, S: Sink> Merging<'a, I, S> {
    fn hand_over_before(&mut self, time: i64) {
        while let Some(TimedSample { time, start, value }) = self.late.next_if(|late| late.time < time) {
            let start = [*start];
            let starts = if start == [UNKNOWN_START] { &[][..] } else { &start };
            match value {
                SampleValue::Float(float) => self.sink.floats(&[*time], &[*float], starts),
                SampleValue::Histogram(h) => self.sink.histograms(&[*time], std::slice::from_ref(h), starts),
            }
        }
    }

    /// Cuts a column of times where late samples go in between, and hands over both in turn.
    fn merge(&mut self, times: &[i64], mut hand_over: impl FnMut(&mut S, Range<usize>)) {
        let mut from = 0;
        while let Some(next) = times.get(from) {
            self.hand_over_before(*next);
            // A block may have got hold of a late sample meanwhile: it is the same one.
            self.late.next_if(|late| late.time == *next);
            let to = match self.late.peek() {
                Some(late) => times.partition_point(|time| *time < late.time).max(from + 1),
                None => times.len(),
            };
            hand_over(self.sink, from..to);
            from = to;
        }
    }
}

impl<'a, I: Iterator<Item = &'a TimedSample>, S: Sink> Sink for Merging<'a, I, S> {
    fn floats(&mut self, times: &[i64], values: &[f64], starts: &[i64]) {
        self.merge(times, |sink, range| {
            let starts = starts.get(range.clone()).unwrap_or_default();
            sink.floats(&times[range.clone()], &values[range], starts);
        });
    }

    fn histograms(&mut self, times: &[i64], values: &[Arc<Histogram>], starts: &[i64]) {
        self.merge(times, |sink, range| {
            let starts = starts.get(range.clone()).unwrap_or_default();
            sink.histograms(&times[range.clone()], &values[range], starts);
        });
    }
}

/// Decoded samples of one kind: there are floats or else histograms, as many as times. Floats of downsampled data have
/// summaries beside them.
#[derive(Default)]
struct Stretch {
    times: Vec<i64>,
    floats: Vec<f64>,
    summaries: Vec<Summary>,
    histograms: Vec<Arc<Histogram>>,
    starts: Vec<i64>,
}

impl Stretch {
    fn clear(&mut self) {
        self.times.clear();
        self.floats.clear();
        self.summaries.clear();
        self.histograms.clear();
        self.starts.clear();
    }

    fn decode_of_head(&mut self, chunk: &SharedChunk) -> std::result::Result<(), Malformed> {
        let Self { times, floats, histograms, summaries, starts } = self;
        let (meta, data) = (chunk.meta(), chunk.data());
        let known = match meta.kind {
            ChunkKind::Summaries => meta.decode_summaries(data, times, summaries).map(|()| Starts::Unknown),
            ChunkKind::Floats => meta.decode_floats(data, times, floats),
            ChunkKind::Histograms => meta.decode_histograms(data, |time, histogram| {
                times.push(time);
                histograms.push(histogram);
            }),
        };
        known?.expand(meta.count as usize, starts);
        Ok(())
    }

    fn decode_of_block(&mut self, block: &Block, chunk: &BlockChunk) -> Result<()> {
        let Self { times, floats, histograms, summaries, starts } = self;
        block.starts(chunk)?.expand(chunk.meta.count as usize, starts);
        match chunk.meta.kind {
            ChunkKind::Summaries => {
                block.decode_summaries(chunk, summaries)?;
                times.extend(summaries.iter().map(|summary| summary.last_time.millis()));
                floats.extend(summaries.iter().map(|summary| summary.last));
                Ok(())
            }
            ChunkKind::Floats => block.decode_floats(chunk, times, floats),
            ChunkKind::Histograms => block.decode_histograms(chunk, |time, histogram| {
                times.push(time);
                histograms.push(histogram);
            }),
        }
    }

    fn copy_open(&mut self, open: &OpenChunk, starts: &Starts) {
        starts.expand(open.count(), &mut self.starts);
        open.times(&mut self.times);
        open.floats(&mut self.floats);
        self.histograms.extend_from_slice(open.histograms());
    }
}

/// One pass over a series.
struct Reading<'a, S, C> {
    start: i64,
    end: i64,
    /// What is deleted of the part that is read.
    deleted: &'a Intervals,
    stretch: Stretch,
    /// Takes summaries, or says that it does not.
    coarse: C,
    sink: &'a mut S,
}

impl<S: Sink, C: Fn(&mut S, &[Summary]) -> bool> Reading<'_, S, C> {
    /// Hands over those decoded samples that are in the range and have not been deleted.
    fn hand_over(&mut self) {
        let times = &self.stretch.times;
        let from = times.partition_point(|time| *time < self.start);
        let to = times.partition_point(|time| *time <= self.end).max(from);
        if self.deleted.is_empty() {
            self.hand_over_range(from..to);
            return;
        }
        for kept in self.deleted.kept(&times[from..to]) {
            self.hand_over_range(from + kept.start..from + kept.end);
        }
    }

    fn hand_over_range(&mut self, range: Range<usize>) {
        let Stretch { times, floats, histograms, starts, summaries } = &self.stretch;
        let summaries = summaries.get(range.clone()).unwrap_or_default();
        if range.is_empty() || (!summaries.is_empty() && (self.coarse)(self.sink, summaries)) {
            return;
        }
        let (times, starts) = (&times[range.clone()], starts.get(range.clone()).unwrap_or_default());
        if histograms.is_empty() {
            self.sink.floats(times, &floats[range], starts);
        } else {
            self.sink.histograms(times, &histograms[range], starts);
        }
    }
}
