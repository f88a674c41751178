//! One series of the head: its sealed chunks, the buffer that takes new samples, its exemplars.
//!
//! Samples are strictly increasing in time over all of it. Whoever reads takes a [`SeriesView`]: shared pointers
//! to what was there at that moment. Appending afterwards copies the buffer if somebody still looks at it, so
//! that a view never changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use model::{AppendError, Exemplar, Histogram, Labels};
use parking_lot::Mutex;

use super::OpenChunk;
use crate::chunk::{Chunk, ChunkMeta};
use crate::codec::Malformed;
use crate::codec::histogram::bits_equal;
use crate::error::Error;
use crate::tombstones::Intervals;

/// A series of the head. Ids are never used twice while the head lives.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) id: u32,
    pub(crate) labels: Labels,
    /// Whether the log (or a checkpoint) says which labels the id stands for.
    logged: AtomicBool,
    data: Mutex<SeriesData>,
}

/// The value of one sample.
#[derive(Debug, Clone)]
pub(crate) enum SampleValue {
    Float(f64),
    Histogram(Arc<Histogram>),
}

/// What the next sample is compared with.
#[derive(Debug, Clone)]
pub(crate) struct LastSample {
    pub(crate) time: i64,
    pub(crate) value: SampleValue,
}

/// What becomes of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Newer than everything before.
    Add,
    /// Exactly the newest sample again: nothing to do.
    Repeat,
}

#[derive(Debug, Default)]
struct SeriesData {
    chunks: Vec<Arc<Chunk>>,
    open: Option<Arc<OpenChunk>>,
    last: Option<LastSample>,
    /// Apart, since few series have any.
    exemplars: Option<Box<Exemplars>>,
}

#[derive(Debug)]
struct Exemplars {
    kept: Arc<Vec<Exemplar>>,
    /// The newest one, which stays known when a block has taken all of them.
    last: Exemplar,
}

/// A series as it was at one moment.
#[derive(Debug, Clone)]
pub(crate) struct SeriesView {
    pub(crate) series: Arc<Series>,
    pub(crate) chunks: Vec<Arc<Chunk>>,
    pub(crate) open: Option<Arc<OpenChunk>>,
    exemplars: Option<Arc<Vec<Exemplar>>>,
}

impl SeriesView {
    /// Whether there are no samples.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.open.is_none()
    }

    /// Leaves out chunks of which all that lies in `[start, end]` is deleted.
    pub(crate) fn leave_out(&mut self, deleted: &Intervals, start: i64, end: i64) {
        let gone = |meta: &ChunkMeta| deleted.covers(meta.min_time.max(start), meta.max_time.min(end));
        self.chunks.retain(|chunk| !gone(&chunk.meta));
        self.open.take_if(|open| gone(&open.meta()));
    }

    /// When the oldest and the newest of its samples and exemplars are; `None` where there are none.
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        let chunks =
            self.chunks.iter().map(|chunk| chunk.meta).chain(self.open.as_ref().map(|open| open.meta()));
        let exemplars = self.exemplars().iter().map(|exemplar| exemplar.timestamp.millis());
        let times = chunks.flat_map(|meta| [meta.min_time, meta.max_time]).chain(exemplars);
        times.fold(None, |all, time| match all {
            None => Some((time, time)),
            Some((first, last)) => Some((first.min(time), last.max(time))),
        })
    }

    /// In time order.
    pub(crate) fn exemplars(&self) -> &[Exemplar] {
        self.exemplars.as_ref().map_or(&[], |kept| kept)
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
}

/// Whether a sample may follow `last`.
pub(crate) fn judge_sample(
    (last_time, last): (i64, &SampleValue),
    time: i64,
    value: &SampleValue,
) -> Result<Verdict, AppendError> {
    if time > last_time {
        Ok(Verdict::Add)
    } else if time < last_time {
        Err(AppendError::OutOfOrder)
    } else if last.bits_equal(value) {
        Ok(Verdict::Repeat)
    } else {
        Err(AppendError::DuplicateTimestamp)
    }
}

impl LastSample {
    /// Whether `value` may follow at `time`.
    fn judge(&self, time: i64, value: &SampleValue) -> Result<Verdict, AppendError> {
        judge_sample((self.time, &self.value), time, value)
    }
}

fn same_exemplar(a: &Exemplar, b: &Exemplar) -> bool {
    a.timestamp == b.timestamp && a.value.to_bits() == b.value.to_bits() && a.labels == b.labels
}

/// Whether `exemplar` may follow `last`.
pub(crate) fn judge_exemplar(last: Option<&Exemplar>, exemplar: &Exemplar) -> Result<Verdict, AppendError> {
    match last {
        Some(last) if exemplar.timestamp < last.timestamp => Err(AppendError::OutOfOrderExemplar),
        Some(last) if same_exemplar(last, exemplar) => Ok(Verdict::Repeat),
        _ => Ok(Verdict::Add),
    }
}

impl SeriesData {
    fn append(
        &mut self,
        time: i64,
        value: SampleValue,
        block_range_ms: i64,
        chunk_count: &AtomicU64,
    ) -> Result<Verdict, AppendError> {
        if let Some(last) = &self.last
            && last.judge(time, &value)? == Verdict::Repeat
        {
            return Ok(Verdict::Repeat);
        }
        self.last = Some(LastSample { time, value: value.clone() });
        match &mut self.open {
            Some(open) if open.takes(time, &value, block_range_ms) => Arc::make_mut(open).push(time, value),
            open => {
                chunk_count.fetch_add(1, Ordering::Relaxed);
                let full = open.replace(Arc::new(OpenChunk::new(time, value)));
                self.chunks.extend(full.and_then(|full| full.seal()).map(Arc::new));
            }
        }
        Ok(Verdict::Add)
    }

    fn min_time(&self) -> Option<i64> {
        let sealed = self.chunks.first().map(|chunk| chunk.meta.min_time);
        sealed.or_else(|| self.open.as_ref().map(|open| open.min_time()))
    }

    /// How many chunks there are, the open one included.
    fn chunk_count(&self) -> usize {
        self.chunks.len() + usize::from(self.open.is_some())
    }

    fn kept(&self) -> Option<&Arc<Vec<Exemplar>>> {
        self.exemplars.as_ref().map(|exemplars| &exemplars.kept).filter(|kept| !kept.is_empty())
    }

    fn keeps(&self, exemplar: &Exemplar) -> bool {
        let same_time = |kept: &&Exemplar| kept.timestamp == exemplar.timestamp;
        let mut latest = self.kept().into_iter().flat_map(|kept| kept.iter().rev()).take_while(same_time);
        latest.any(|kept| same_exemplar(kept, exemplar))
    }

    fn last_exemplar(&self) -> Option<&Exemplar> {
        self.exemplars.as_ref().map(|exemplars| &exemplars.last)
    }

    fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.open.is_none() && self.kept().is_none()
    }
}

impl Series {
    pub(crate) fn new(id: u32, labels: Labels, logged: bool) -> Self {
        Self { id, labels, logged: AtomicBool::new(logged), data: Mutex::default() }
    }

    /// What memory that went bad looks like: bytes that this process has encoded itself and cannot read.
    pub(crate) fn corrupt(&self, malformed: Malformed) -> Error {
        Error::Corrupt {
            path: "head".into(),
            offset: malformed.at as u64,
            what: format!("chunk of {}: {}", self.labels, malformed.what),
        }
    }

    pub(crate) fn is_logged(&self) -> bool {
        self.logged.load(Ordering::Acquire)
    }

    pub(crate) fn set_logged(&self) {
        self.logged.store(true, Ordering::Release);
    }

    pub(crate) fn judge(&self, time: i64, value: &SampleValue) -> Result<Verdict, AppendError> {
        self.data.lock().last.as_ref().map_or(Ok(Verdict::Add), |last| last.judge(time, value))
    }

    pub(crate) fn judge_exemplar(&self, exemplar: &Exemplar) -> Result<Verdict, AppendError> {
        judge_exemplar(self.data.lock().last_exemplar(), exemplar)
    }

    pub(crate) fn append(
        &self,
        time: i64,
        value: SampleValue,
        block_range_ms: i64,
        chunk_count: &AtomicU64,
    ) -> Result<Verdict, AppendError> {
        self.data.lock().append(time, value, block_range_ms, chunk_count)
    }

    pub(crate) fn append_exemplar(&self, exemplar: &Exemplar) -> Result<Verdict, AppendError> {
        let mut data = self.data.lock();
        let verdict = match judge_exemplar(data.last_exemplar(), exemplar)? {
            // A replay may bring what the checkpoint had already: among several of one time, too.
            Verdict::Add if data.keeps(exemplar) => Verdict::Repeat,
            verdict => verdict,
        };
        if verdict == Verdict::Add {
            let exemplars = data
                .exemplars
                .get_or_insert_with(|| Box::new(Exemplars { kept: Arc::default(), last: exemplar.clone() }));
            Arc::make_mut(&mut exemplars.kept).push(exemplar.clone());
            exemplars.last = exemplar.clone();
        }
        Ok(verdict)
    }

    /// Adds a sealed chunk that is newer than everything here; `last` is its last sample.
    pub(crate) fn restore_chunk(&self, chunk: Chunk, last: LastSample, chunk_count: &AtomicU64) {
        let mut data = self.data.lock();
        if data.last.as_ref().is_none_or(|known| known.time < chunk.meta.min_time) {
            let sealed = data.open.take().and_then(|open| open.seal()).map(Arc::new);
            data.chunks.extend(sealed);
            data.chunks.push(Arc::new(chunk));
            data.last = Some(last);
            chunk_count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether there are no samples and no exemplars.
    pub(crate) fn is_empty(&self) -> bool {
        self.data.lock().is_empty()
    }

    /// Whether any sample may lie in `[start, end]`.
    pub(crate) fn overlaps(&self, start: i64, end: i64) -> bool {
        let data = self.data.lock();
        data.open.as_ref().is_some_and(|open| open.meta().overlaps(start, end))
            || data.chunks.iter().rev().any(|chunk| chunk.meta.overlaps(start, end))
    }

    /// What there is in `[start, end]`, whole chunks at a time; exemplars are not narrowed.
    pub(crate) fn view(self: &Arc<Self>, start: i64, end: i64) -> SeriesView {
        let data = self.data.lock();
        let chunks = data.chunks.iter().filter(|chunk| chunk.meta.overlaps(start, end)).cloned().collect();
        let open = data.open.as_ref().filter(|open| open.meta().overlaps(start, end)).cloned();
        SeriesView { series: self.clone(), chunks, open, exemplars: data.kept().cloned() }
    }

    /// Forgets what is older than `end`, the border of a block range. Says how many chunks went and when the oldest
    /// sample is that stays.
    pub(crate) fn drop_before(&self, end: i64) -> (u64, Option<i64>) {
        let mut data = self.data.lock();
        let before = data.chunk_count();
        data.chunks.retain(|chunk| chunk.meta.max_time >= end);
        data.chunks.shrink_to_fit();
        if data.open.as_ref().is_some_and(|open| open.max_time() < end) {
            data.open = None;
        }
        if let Some(exemplars) = &mut data.exemplars
            && exemplars.kept.iter().any(|exemplar| exemplar.timestamp.millis() < end)
        {
            Arc::make_mut(&mut exemplars.kept).retain(|exemplar| exemplar.timestamp.millis() >= end);
        }
        ((before - data.chunk_count()) as u64, data.min_time())
    }
}
