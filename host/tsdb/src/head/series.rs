//! One series of the head, as whoever holds its page sees it, and as a reader takes it along.

use std::sync::Arc;

use model::staleness::is_stale;
use model::{AppendError, Exemplar, Histogram, Labels};

use super::OpenChunk;
use super::page::PageData;
use super::rare::LateSamples;
use crate::chunk::{Chunk, ChunkKind, ChunkMeta, SharedChunk};
use crate::codec::Malformed;
use crate::codec::histogram::bits_equal;
use crate::error::Error;
use crate::starts::Starts;
use crate::tombstones::Intervals;

/// The value of one sample.
#[derive(Debug, Clone)]
pub(crate) enum SampleValue {
    Float(f64),
    Histogram(Arc<Histogram>),
}

/// A sample by itself.
#[derive(Debug, Clone)]
pub(crate) struct TimedSample {
    pub(crate) time: i64,
    /// Since when its counter counts, or [`crate::UNKNOWN_START`].
    pub(crate) start: i64,
    pub(crate) value: SampleValue,
}

/// What becomes of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Newer than everything before.
    Add,
    /// Older than the newest, and taken all the same.
    Late,
    /// Exactly a sample that is there: nothing to do.
    Repeat,
}

/// What a look at the open chunk tells of the latest sample of a range.
pub(crate) enum LatestIn {
    /// There is none.
    Nothing,
    Sample(i64, SampleValue),
    /// A [`SeriesView`] has to be read.
    Unknown,
}

/// A series of a page that is locked.
#[derive(Clone, Copy)]
pub(crate) struct SeriesIn<'a> {
    pub(crate) id: u32,
    pub(crate) labels: &'a Labels,
    pub(super) page: &'a PageData,
    pub(super) slot: usize,
}

/// A series as it was at one moment: shared pointers to what was there, which never changes.
#[derive(Debug, Clone)]
pub(crate) struct SeriesView {
    pub(crate) id: u32,
    pub(crate) labels: Labels,
    /// In time order.
    pub(crate) chunks: Vec<SharedChunk>,
    /// Newer than the chunks.
    pub(crate) open: Option<OpenChunk>,
    /// Of the samples of the open chunk.
    pub(crate) open_starts: Starts,
    late: Option<Arc<LateSamples>>,
    exemplars: Option<Arc<Vec<Exemplar>>>,
}

impl SeriesView {
    /// In time order.
    pub(crate) fn exemplars(&self) -> &[Exemplar] {
        self.exemplars.as_ref().map_or(&[], |kept| kept)
    }

    /// Samples that came when newer ones were there, by time; no other sample has any of these times. Not narrowed.
    pub(crate) fn late(&self) -> &[TimedSample] {
        self.late.as_ref().map_or(&[], |late| late)
    }

    /// Leaves out chunks of which all that lies in `[start, end]` is deleted.
    pub(crate) fn leave_out(&mut self, deleted: &Intervals, start: i64, end: i64) {
        let gone = |meta: &ChunkMeta| deleted.covers(meta.min_time.max(start), meta.max_time.min(end));
        self.chunks.retain(|chunk| !gone(chunk.meta()));
        self.open.take_if(|open| gone(&open.meta()));
        self.late.take_if(|late| {
            let (first, last) = (late.first().map_or(start, |l| l.time), late.last().map_or(end, |l| l.time));
            deleted.covers(first.max(start), last.min(end))
        });
    }

    /// When the oldest and the newest of its samples and exemplars are; `None` where there are none.
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        let chunks =
            self.chunks.iter().map(|chunk| *chunk.meta()).chain(self.open.as_ref().map(|open| open.meta()));
        let exemplars = self.exemplars().iter().map(|exemplar| exemplar.timestamp.millis());
        let late = self.late().iter().map(|late| late.time);
        let times = chunks.flat_map(|meta| [meta.min_time, meta.max_time]).chain(exemplars).chain(late);
        times.fold(None, |all, time| match all {
            None => Some((time, time)),
            Some((first, last)) => Some((first.min(time), last.max(time))),
        })
    }

    /// The open chunk as a sealed one.
    pub(crate) fn seal_open(&self) -> Option<Chunk> {
        self.open.as_ref().and_then(|open| open.seal(&self.open_starts))
    }

    /// Whether there is no sample.
    pub(crate) const fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.open.is_none() && self.late.is_none()
    }

    /// What memory that went bad looks like: bytes that this process has encoded itself and cannot read.
    pub(crate) fn corrupt(&self, malformed: Malformed) -> Error {
        Error::Corrupt {
            path: "head".into(),
            offset: malformed.at as u64,
            what: format!("chunk of {}: {}", self.labels, malformed.what),
        }
    }
}

impl SampleValue {
    pub(crate) fn bits_equal(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Histogram(a), Self::Histogram(b)) => bits_equal(a, b),
            _ => false,
        }
    }

    /// Whether it says that the series has ended.
    pub(crate) fn is_stale(&self) -> bool {
        match self {
            Self::Float(float) => is_stale(*float),
            Self::Histogram(histogram) => histogram.is_stale(),
        }
    }

    /// The float, where it is one.
    pub(crate) const fn float(&self) -> Option<f64> {
        match self {
            Self::Float(float) => Some(*float),
            Self::Histogram(_) => None,
        }
    }

    pub(crate) const fn kind(&self) -> ChunkKind {
        match self {
            Self::Float(_) => ChunkKind::Floats,
            Self::Histogram(_) => ChunkKind::Histograms,
        }
    }
}

/// Whether `exemplar` may follow `last`.
pub(crate) fn judge_exemplar(last: Option<&Exemplar>, exemplar: &Exemplar) -> Result<Verdict, AppendError> {
    match last {
        Some(last) if exemplar.timestamp < last.timestamp => Err(AppendError::OutOfOrderExemplar),
        Some(last)
            if exemplar.timestamp == last.timestamp
                && exemplar.value.to_bits() == last.value.to_bits()
                && exemplar.labels == last.labels =>
        {
            Ok(Verdict::Repeat)
        }
        _ => Ok(Verdict::Add),
    }
}

impl SeriesIn<'_> {
    fn open(&self) -> Option<&OpenChunk> {
        self.page.open[self.slot].as_ref()
    }

    fn chunks(&self) -> &[SharedChunk] {
        self.page.rare[self.slot].as_ref().map_or(&[], |rare| &rare.chunks)
    }

    /// Samples that came when newer ones were there, by time.
    pub(crate) fn late(&self) -> Option<&Arc<LateSamples>> {
        self.page.rare[self.slot].as_ref()?.late()
    }

    pub(crate) fn is_logged(&self) -> bool {
        self.page.is_logged(self.slot)
    }

    /// The oldest sample that is not before `from`.
    pub(crate) fn min_time_from(&self, from: i64) -> Option<i64> {
        let sealed = self.chunks().first().map(|chunk| chunk.meta().min_time);
        let in_order = sealed.or_else(|| self.open().map(OpenChunk::min_time));
        let late = self
            .late()
            .and_then(|late| late.get(late.partition_point(|late| late.time < from)).map(|late| late.time));
        in_order.into_iter().chain(late).filter(|time| *time >= from).min()
    }

    /// Whether there are no samples and no exemplars.
    pub(crate) fn is_empty(&self) -> bool {
        self.open().is_none() && self.page.rare[self.slot].as_ref().is_none_or(|rare| rare.is_empty())
    }

    fn late_overlaps(late: &LateSamples, start: i64, end: i64) -> bool {
        late.get(late.partition_point(|late| late.time < start)).is_some_and(|late| late.time <= end)
    }

    /// Whether any sample may lie in `[start, end]`. Of the samples before `from`, only late ones count.
    pub(crate) fn overlaps(&self, from: i64, start: i64, end: i64) -> bool {
        let after = start.max(from);
        self.open().is_some_and(|open| open.meta().overlaps(after, end))
            || self.chunks().iter().rev().any(|chunk| chunk.meta().overlaps(after, end))
            || self.late().is_some_and(|late| Self::late_overlaps(late, start, end))
    }

    /// The latest sample in `[start, end]`. Of the samples before `from`, only late ones count.
    pub(crate) fn latest(&self, from: i64, start: i64, end: i64) -> LatestIn {
        let after = start.max(from);
        // What is older than all that the head takes in order is late even where it is the newest of its series.
        if self.late().is_some_and(|late| Self::late_overlaps(late, start, end)) {
            return LatestIn::Unknown;
        }
        if self.page.newest(self.slot) < after {
            return LatestIn::Nothing;
        }
        match self.open().and_then(|open| open.latest(end)) {
            Some((time, value)) if time >= after => LatestIn::Sample(time, value),
            Some(_) => LatestIn::Nothing,
            None => LatestIn::Unknown,
        }
    }

    /// What there is in `[start, end]`, whole chunks at a time; exemplars are not narrowed.
    pub(crate) fn view(&self, start: i64, end: i64) -> SeriesView {
        self.view_from(i64::MIN, start, end)
    }

    /// As [`SeriesIn::view`]; of the samples before `from`, only late ones count.
    pub(crate) fn view_from(&self, from: i64, start: i64, end: i64) -> SeriesView {
        let (rare, after) = (self.page.rare[self.slot].as_ref(), start.max(from));
        // They are in order of time, and the latest are what is asked for most.
        let chunks = self.chunks();
        let before =
            chunks.iter().rposition(|chunk| chunk.meta().max_time < after).map_or(0, |last| last + 1);
        let within = chunks.get(before..).unwrap_or_default().iter();
        let chunks = within.take_while(|chunk| chunk.meta().min_time <= end).cloned().collect();
        SeriesView {
            id: self.id,
            labels: self.labels.clone(),
            chunks,
            open: self.open().filter(|open| open.meta().overlaps(after, end)).cloned(),
            open_starts: self.page.open_starts(self.slot),
            late: self.late().filter(|late| Self::late_overlaps(late, start, end)).cloned(),
            exemplars: rare.and_then(|rare| rare.kept_exemplars()).cloned(),
        }
    }
}
