//! Reading the log while it is written: for whoever sends on what is stored.
//!
//! A [`LogReader`] hands over frames in the order in which they were acknowledged, from a place that its owner remembers across
//! restarts. Whoever reads needs the labels of series by their ids; those that were defined before the place come
//! first, without samples, from the checkpoint and the segments before it.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::{Exemplar, Histogram, Labels, Metadata};

use super::readers::LogReaders;
use super::record::{self, Samples, Section};
use super::replay::{FIRST_SEGMENT, LogFiles, frame_at, next_frame};
use super::{
    FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FRAME_MARKER, KIND, LogPosition, checkpoint_path, segment_path,
};
use crate::codec::Reader;
use crate::error::{Error, IoContext, Result};
use crate::header::HEADER_BYTES;

/// So much is read at once; a longer frame is read as a whole.
const READ_BYTES: u64 = 1 << 20;

/// One batch, as the log has it.
#[derive(Debug, Default)]
pub struct LogFrame {
    /// What it holds. Series are defined before they are used.
    pub items: Vec<LogItems>,
    /// Where the next one begins: what to go on from once this one has been dealt with.
    pub end: LogPosition,
}

/// A part of a batch. Columns are equally long.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogItems {
    /// Ids that are used from here on, and what they stand for. An id may be defined again, with the same labels.
    Series(Vec<(u32, Labels)>),
    /// Floats.
    Floats(LogSamples<f64>),
    /// Native histograms.
    Histograms(LogSamples<Arc<Histogram>>),
    /// Exemplars, by the ids of their series.
    Exemplars(Vec<(u32, Exemplar)>),
    /// What was declared of metric families.
    Metadata(Vec<(String, Metadata)>),
}

/// Samples of one kind, in columns that are equally long.
#[derive(Debug)]
pub struct LogSamples<T> {
    /// Whose they are.
    pub ids: Vec<u32>,
    /// When they were observed, in milliseconds.
    pub times: Vec<i64>,
    /// The values.
    pub values: Vec<T>,
    /// Since when their counters count, in milliseconds; empty where that is not known of any.
    pub starts: Vec<i64>,
}

impl<T> From<Samples<T>> for LogSamples<T> {
    fn from(samples: Samples<T>) -> Self {
        let Samples { ids, times, values, starts } = samples;
        Self { ids, times, values, starts }
    }
}

/// Where the next read goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Checkpoint { number: u64, offset: u64 },
    Segment(LogPosition),
}

/// Reads the log from some place on. See the module.
pub struct LogReader {
    log: Arc<LogReaders>,
    number: u64,
    at: At,
    /// Samples before it are passed over.
    from: LogPosition,
    buffer: Vec<u8>,
    /// Where in its file the buffer begins.
    buffer_offset: u64,
    gaps: u64,
    damaged: u64,
}

impl LogReader {
    /// Reads from `from` on, or where there is none, what comes from now on.
    pub(crate) fn open(log: Arc<LogReaders>, from: Option<LogPosition>) -> Result<Self> {
        let end = log.end();
        // A place that is past the end belongs to a log that is not there any more.
        let from = from.filter(|from| *from <= end).unwrap_or(end);
        let (number, (at, start)) = log.enter(|files| {
            let (at, start) = begin(files, from);
            (start.segment, (at, start))
        })?;
        let gaps = u64::from(start != from);
        Ok(Self { log, number, at, from: start, buffer: Vec::new(), buffer_offset: 0, gaps, damaged: 0 })
    }

    /// The next batch that is acknowledged; `None` where there is none yet.
    ///
    /// # Errors
    /// [`Error::Io`]; the same batch is tried again with the next call.
    pub fn next_frame(&mut self) -> Result<Option<LogFrame>> {
        loop {
            let Some((path, offset, limit)) = self.file() else { return Ok(None) };
            let sections = match self.read_frame(&path, offset, limit) {
                Ok(sections) => sections,
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    self.jump()?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some((sections, end)) = sections else {
                self.next_file();
                continue;
            };
            let frame = self.take(sections, end);
            if !frame.items.is_empty() {
                return Ok(Some(frame));
            }
        }
    }

    /// Waits until there may be another batch, or for so long. Says whether there may be.
    pub fn wait(&self, timeout: Duration) -> bool {
        match self.at {
            At::Checkpoint { .. } => true,
            At::Segment(at) => self.log.wait(at, timeout),
        }
    }

    /// Says that nothing before `position` is needed any more, even after a restart.
    pub fn release(&self, position: LogPosition) {
        self.log.advance(self.number, position.segment);
    }

    /// Where it reads; while it reads what was defined before, the place that it begins at.
    pub fn position(&self) -> LogPosition {
        match self.at {
            At::Checkpoint { .. } => self.from,
            At::Segment(at) => at.max(self.from),
        }
    }

    /// Whether all that was acknowledged has been read.
    pub fn is_at_end(&self) -> bool {
        matches!(self.at, At::Segment(at) if at >= self.log.end())
    }

    /// How often part of the log was gone before it was read.
    pub const fn gaps(&self) -> u64 {
        self.gaps
    }

    /// How many damaged stretches were passed over.
    pub const fn damaged(&self) -> u64 {
        self.damaged
    }

    /// The file to read, from where, and up to where it counts; `None` at the end of the log.
    fn file(&self) -> Option<(PathBuf, u64, u64)> {
        let dir = &self.log.dir;
        match self.at {
            At::Checkpoint { number, offset } => Some((checkpoint_path(dir, number), offset, u64::MAX)),
            At::Segment(at) => {
                let end = self.log.end();
                let limit = if at.segment < end.segment { u64::MAX } else { end.offset };
                let more = at.segment < end.segment || (at.segment == end.segment && at.offset < end.offset);
                more.then(|| (segment_path(dir, at.segment), at.offset, limit))
            }
        }
    }

    /// Goes on with the file after the one whose end was reached.
    fn next_file(&mut self) {
        self.buffer.clear();
        let segment = match self.at {
            At::Checkpoint { number, .. } => number,
            At::Segment(at) => at.segment + 1,
        };
        self.at = At::Segment(LogPosition { segment, offset: HEADER_BYTES as u64 });
    }

    /// Goes on after files that are gone.
    fn jump(&mut self) -> Result<()> {
        let at = self.at;
        self.buffer.clear();
        self.log.leave(self.number);
        let (number, (at, start)) = self.log.enter(|files| {
            let next = match at {
                At::Checkpoint { .. } => None,
                At::Segment(at) => files.segments_in(at.segment + 1..u64::MAX).next(),
            };
            let next = next.map(|segment| LogPosition { segment, offset: HEADER_BYTES as u64 });
            let (at, start) = begin(files, next.unwrap_or(self.from).max(self.from));
            (start.segment, (at, start))
        })?;
        self.gaps += u64::from(start != self.from);
        (self.number, self.at, self.from) = (number, at, start);
        Ok(())
    }

    /// Reads the frame that begins at `offset`, or the next good one: its sections and where it ends. `None` where
    /// there is none before `limit`.
    fn read_frame(&mut self, path: &Path, offset: u64, limit: u64) -> Result<Option<(Vec<Section>, u64)>> {
        let mut wanted = FRAME_HEADER_BYTES as u64;
        loop {
            let whole = self.fill(path, offset, wanted, limit)?;
            let start = usize::try_from(offset.saturating_sub(self.buffer_offset)).unwrap_or(usize::MAX);
            let bytes = self.buffer.get(start..).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(None);
            }
            let found = frame_at(bytes, 0).map(|end| (0, end));
            let found = match found.or_else(|| whole.then(|| next_frame(bytes, 0)).flatten()) {
                Some(found) => found,
                None if !whole => {
                    // A frame that goes on behind the buffer, or damage, for which all that is left is needed.
                    wanted = frame_bytes(bytes).filter(|length| *length > wanted).unwrap_or(u64::MAX);
                    continue;
                }
                None => {
                    self.damaged += 1;
                    return Ok(None);
                }
            };
            let (begin, end) = found;
            self.damaged += u64::from(begin > 0);
            let payload = bytes.get(begin + FRAME_HEADER_BYTES..end).unwrap_or_default();
            let sections = record::decode(payload);
            self.damaged += u64::from(sections.is_err());
            return Ok(Some((sections.unwrap_or_default(), offset + end as u64)));
        }
    }

    /// Sees to it that the buffer has `wanted` bytes from `offset` on, as far as there are so many. Says whether it has
    /// all there are.
    fn fill(&mut self, path: &Path, offset: u64, wanted: u64, limit: u64) -> Result<bool> {
        let start = self.buffer_offset;
        let have = (start + self.buffer.len() as u64).saturating_sub(offset);
        if !self.buffer.is_empty() && offset >= start && have >= wanted {
            return Ok(false);
        }
        let count = wanted.max(READ_BYTES).min(limit.saturating_sub(offset));
        let first = self.log.fs.read(path, 0, HEADER_BYTES as u64).at("read log", path)?;
        // What has no header never had a frame that was acknowledged.
        if KIND.version_of(path, &first)?.is_none() && offset <= HEADER_BYTES as u64 {
            self.damaged += u64::from(first.len() >= HEADER_BYTES);
        }
        self.buffer = self.log.fs.read(path, offset, count).at("read log", path)?;
        self.buffer_offset = offset;
        Ok((self.buffer.len() as u64) < wanted.max(READ_BYTES))
    }

    /// What of a frame is handed over.
    fn take(&mut self, sections: Vec<Section>, end: u64) -> LogFrame {
        let passed = match &mut self.at {
            At::Checkpoint { offset, .. } => {
                *offset = end;
                true
            }
            At::Segment(at) => {
                at.offset = end;
                *at <= self.from
            }
        };
        let items = sections.into_iter().filter_map(|section| match section {
            Section::Series(all) => Some(LogItems::Series(all)),
            Section::Metadata(all) => Some(LogItems::Metadata(all)),
            _ if passed => None,
            Section::Floats(samples) | Section::LateFloats(samples) => Some(LogItems::Floats(samples.into())),
            Section::Histograms(samples) | Section::LateHistograms(samples) => {
                Some(LogItems::Histograms(samples.into()))
            }
            Section::Exemplars(all) => Some(LogItems::Exemplars(all)),
            Section::Chunks(_) | Section::Deletions(_) => None,
        });
        LogFrame { items: items.collect(), end: self.position() }
    }
}

impl Drop for LogReader {
    fn drop(&mut self) {
        self.log.leave(self.number);
    }
}

/// Where to begin reading so that all that comes from `from` on can be understood, and what that place is where part of the log
/// is gone.
fn begin(files: &LogFiles, from: LogPosition) -> (At, LogPosition) {
    let start = |segment| LogPosition { segment, offset: HEADER_BYTES as u64 };
    let checkpoint = |number| At::Checkpoint { number, offset: HEADER_BYTES as u64 };
    let known = files.checkpoints().iter().copied().filter(|number| *number <= from.segment).max();
    let first = files.segments_in(0..u64::MAX).next();
    match (known, files.checkpoints().first()) {
        (Some(number), _) => (checkpoint(number), from),
        // From the very first segment on, nothing was defined before.
        (None, _) if first == Some(FIRST_SEGMENT) => (At::Segment(start(FIRST_SEGMENT)), from),
        // What a checkpoint has of samples cannot be told from what comes after it: it goes on behind that.
        (None, Some(oldest)) => (checkpoint(*oldest), start(*oldest)),
        (None, None) => {
            let first = start(first.unwrap_or(from.segment));
            (At::Segment(first), from.max(first))
        }
    }
}

/// How long the frame is whose header these bytes begin with, the header included.
fn frame_bytes(bytes: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(bytes);
    if reader.take(FRAME_MARKER.len()).ok()? != FRAME_MARKER {
        return None;
    }
    let length = u64::from(reader.u32().ok()?);
    (length <= FRAME_BYTES_MAX).then_some(length + FRAME_HEADER_BYTES as u64)
}
