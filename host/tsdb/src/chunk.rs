//! A chunk: some consecutive samples of one series, encoded and from then on unchanged.
//!
//! A chunk never crosses the border of a block range and never mixes floats and histograms, so that cutting the
//! head to a block moves whole chunks. The bytes are a timestamp column ([`crate::codec::timestamps`]) followed
//! by a value column ([`crate::codec::values`]) or by histograms ([`crate::codec::histogram`]), and by the starts of the
//! samples ([`crate::starts`]) where any is known; kind, count and time range are kept beside them by whoever keeps the
//! chunk.
//!
//! In a block the chunks of a series are joined to longer [`Run`]s, whose times are kept apart: most series of a
//! scrape share them.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::sync::Arc;

use model::{Histogram, Summary};
use triomphe::ThinArc;

use crate::codec::bytes::{put_varint, put_zigzag};
use crate::codec::values::{self, Density};
use crate::codec::{Malformed, Reader, histogram, summaries, timestamps};
use crate::starts::Starts;
use crate::tombstones::Intervals;

/// The head seals a chunk at this many samples, if it takes memory for each: 30 minutes at 15 s, two kilobytes while it
/// is open.
pub(crate) const SAMPLES_MAX: usize = 120;

/// A decoder refuses chunks of more samples, so that a corrupt count cannot make it allocate without bound.
const DECODED_SAMPLES_MAX: u32 = 1 << 16;

/// What the samples of a chunk are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChunkKind {
    Floats,
    Histograms,
    /// What floats come to, in blocks of downsampled data; the times are those of the last float of each.
    Summaries,
}

impl ChunkKind {
    /// As it is written.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Floats => 1,
            Self::Histograms => 2,
            Self::Summaries => 3,
        }
    }

    pub(crate) const fn of_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Floats),
            2 => Some(Self::Histograms),
            3 => Some(Self::Summaries),
            _ => None,
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Self::of_number(reader.u8()?).ok_or(reader.malformed("unknown kind of chunk"))
    }
}

/// What is known of a chunk without decoding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkMeta {
    pub(crate) kind: ChunkKind,
    pub(crate) count: u32,
    /// Times of the first and of the last sample.
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
}

/// A chunk that was encoded or read just now.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) meta: ChunkMeta,
    pub(crate) data: Vec<u8>,
}

/// A chunk as the head keeps it, of which there are millions: a clone is the same chunk, and all of it is one
/// allocation.
#[derive(Debug, Clone)]
pub(crate) struct SharedChunk(ThinArc<ChunkMeta, u8>);

impl SharedChunk {
    pub(crate) fn meta(&self) -> &ChunkMeta {
        &self.0.header.header
    }

    pub(crate) fn data(&self) -> &[u8] {
        &self.0.slice
    }
}

impl From<Chunk> for SharedChunk {
    fn from(chunk: Chunk) -> Self {
        Self(ThinArc::from_header_and_slice(chunk.meta, &chunk.data))
    }
}

impl ChunkMeta {
    pub(crate) fn overlaps(&self, start: i64, end: i64) -> bool {
        self.min_time <= end && self.max_time >= start
    }

    pub(crate) fn decode_count(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
        let count = reader.varint_u32()?;
        if count == 0 || count > DECODED_SAMPLES_MAX {
            return Err(reader.malformed("chunk without samples or with too many"));
        }
        Ok(count)
    }

    /// kind u8, count varint, first time zigzag varint, last minus first varint.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.kind.number());
        put_varint(out, u64::from(self.count));
        put_zigzag(out, self.min_time);
        put_varint(out, self.max_time.wrapping_sub(self.min_time).cast_unsigned());
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let kind = ChunkKind::decode(reader)?;
        let count = Self::decode_count(reader)?;
        let min_time = reader.zigzag()?;
        let max_time = min_time.wrapping_add(reader.varint()?.cast_signed());
        if max_time < min_time {
            return Err(reader.malformed("chunk ends before it begins"));
        }
        Ok(Self { kind, count, min_time, max_time })
    }

    /// Decodes the timestamps and checks them against what is said of them here.
    pub(crate) fn decode_timestamps(
        &self,
        reader: &mut Reader<'_>,
        out: &mut Vec<i64>,
    ) -> Result<(), Malformed> {
        if self.count > DECODED_SAMPLES_MAX {
            return Err(reader.malformed("chunk with too many samples"));
        }
        let from = out.len();
        timestamps::decode(reader, self.count as usize, out)?;
        if out.get(from) != Some(&self.min_time) || out.last() != Some(&self.max_time) {
            return Err(reader.malformed("chunk's times differ from its description"));
        }
        Ok(())
    }

    /// Appends the samples of a float chunk, and gives their starts.
    pub(crate) fn decode_floats(
        &self,
        data: &[u8],
        times: &mut Vec<i64>,
        floats: &mut Vec<f64>,
    ) -> Result<Starts, Malformed> {
        let mut reader = Reader::new(data);
        self.decode_timestamps(&mut reader, times)?;
        values::decode(&mut reader, self.count as usize, floats)?;
        self.decode_starts(reader)
    }

    /// The starts at the end of a chunk.
    fn decode_starts(&self, mut reader: Reader<'_>) -> Result<Starts, Malformed> {
        let starts = Starts::decode_rest(&mut reader, self.count as usize)?;
        finished(&reader)?;
        Ok(starts)
    }

    /// Appends the values of a float chunk, whose times are elsewhere or have been read.
    pub(crate) fn decode_float_values(
        &self,
        mut reader: Reader<'_>,
        floats: &mut Vec<f64>,
    ) -> Result<(), Malformed> {
        values::decode(&mut reader, self.count as usize, floats)?;
        finished(&reader)
    }

    /// Appends the summaries of a chunk of them, and when the last sample of each was.
    pub(crate) fn decode_summaries(
        &self,
        data: &[u8],
        times: &mut Vec<i64>,
        out: &mut Vec<Summary>,
    ) -> Result<(), Malformed> {
        let mut reader = Reader::new(data);
        let from = times.len();
        self.decode_timestamps(&mut reader, times)?;
        decode_summary_values(reader, times.get(from..).unwrap_or_default(), out)
    }

    /// Hands over the samples of a histogram chunk one by one, and gives their starts.
    pub(crate) fn decode_histograms(
        &self,
        data: &[u8],
        each: impl FnMut(i64, Arc<Histogram>),
    ) -> Result<Starts, Malformed> {
        let mut reader = Reader::new(data);
        let mut times = Vec::new();
        self.decode_timestamps(&mut reader, &mut times)?;
        read_histograms(&mut reader, &times, each)?;
        self.decode_starts(reader)
    }
}

/// Hands over the histograms of those times, after which nothing follows.
pub(crate) fn decode_histogram_values(
    mut reader: Reader<'_>,
    times: &[i64],
    each: impl FnMut(i64, Arc<Histogram>),
) -> Result<(), Malformed> {
    read_histograms(&mut reader, times, each)?;
    finished(&reader)
}

fn read_histograms(
    reader: &mut Reader<'_>,
    times: &[i64],
    mut each: impl FnMut(i64, Arc<Histogram>),
) -> Result<(), Malformed> {
    let mut before: Option<Arc<Histogram>> = None;
    for time in times {
        let histogram = Arc::new(histogram::decode(reader, before.as_deref())?);
        each(*time, histogram.clone());
        before = Some(histogram);
    }
    Ok(())
}

/// Appends the summaries that end at those times.
pub(crate) fn decode_summary_values(
    mut reader: Reader<'_>,
    times: &[i64],
    out: &mut Vec<Summary>,
) -> Result<(), Malformed> {
    summaries::decode(&mut reader, times, out)?;
    finished(&reader)
}

fn finished(reader: &Reader<'_>) -> Result<(), Malformed> {
    if reader.is_empty() { Ok(()) } else { Err(reader.malformed("chunk goes on after its last sample")) }
}

impl Chunk {
    /// Encodes floats; `None` where there are none.
    pub(crate) fn from_floats(times: &[i64], floats: &[f64]) -> Option<Self> {
        let meta = describe(ChunkKind::Floats, times)?;
        let mut data = Vec::with_capacity(16 + times.len() * 2);
        timestamps::encode(times, &mut data);
        values::encode_series(floats, Density::Light, &mut data);
        Some(Self { meta, data })
    }

    /// Encodes histograms; `None` where there are none.
    pub(crate) fn from_histograms(times: &[i64], histograms: &[Arc<Histogram>]) -> Option<Self> {
        let meta = describe(ChunkKind::Histograms, times)?;
        let mut data = Vec::with_capacity(64 + times.len() * 16);
        timestamps::encode(times, &mut data);
        encode_histograms(histograms, &mut data);
        Some(Self { meta, data })
    }

    /// The same with the starts of its samples, which it has not got yet.
    pub(crate) fn with_starts(mut self, starts: &Starts) -> Self {
        if !starts.is_unknown() {
            starts.encode(&mut self.data);
        }
        self
    }
}

fn encode_histograms(histograms: &[Arc<Histogram>], out: &mut Vec<u8>) {
    let mut before = None;
    for histogram in histograms {
        histogram::encode(before, histogram, out);
        before = Some(histogram);
    }
}

/// Decoded samples of one kind, for a block.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) times: Vec<i64>,
    /// As many as times.
    pub(crate) values: RunValues,
    /// Of the samples at those times.
    pub(crate) starts: Starts,
}

#[derive(Debug)]
pub(crate) enum RunValues {
    Floats(Vec<f64>),
    Histograms(Vec<Arc<Histogram>>),
    Summaries(Vec<Summary>),
}

impl Run {
    /// Joins chunks that follow each other in time to as few runs of at most `samples_max` as may be.
    pub(crate) fn join<'a>(
        chunks: impl Iterator<Item = (ChunkMeta, &'a [u8])>,
        samples_max: usize,
    ) -> Result<Vec<Self>, Malformed> {
        let mut runs: Vec<Self> = Vec::new();
        for (meta, data) in chunks {
            let Self { times, values, starts } = Self::next(&mut runs, &meta, samples_max);
            let count = times.len();
            let following = match values {
                RunValues::Floats(floats) => meta.decode_floats(data, times, floats)?,
                RunValues::Histograms(histograms) => meta.decode_histograms(data, |time, histogram| {
                    times.push(time);
                    histograms.push(histogram);
                })?,
                RunValues::Summaries(summaries) => {
                    meta.decode_summaries(data, times, summaries)?;
                    Starts::Unknown
                }
            };
            starts.append(count, &following);
        }
        Ok(runs)
    }

    /// The run that takes the samples of a chunk: the last one where they fit, or else a new one.
    pub(crate) fn next<'a>(runs: &'a mut Vec<Self>, meta: &ChunkMeta, samples_max: usize) -> &'a mut Self {
        let joins =
            |run: &mut Self| run.kind() == meta.kind && run.times.len() + meta.count as usize <= samples_max;
        let last = runs.pop_if(joins).unwrap_or_else(|| Self {
            times: Vec::new(),
            values: match meta.kind {
                ChunkKind::Floats => RunValues::Floats(Vec::new()),
                ChunkKind::Histograms => RunValues::Histograms(Vec::new()),
                ChunkKind::Summaries => RunValues::Summaries(Vec::new()),
            },
            starts: Starts::Unknown,
        });
        runs.push_mut(last)
    }

    /// Takes those samples out that come from position `at` on and are gone.
    pub(crate) fn leave_out(&mut self, at: usize, gone: &Intervals) {
        let Some(times) = self.times.get(at..) else { return };
        let mut kept = gone.kept(times).into_iter().peekable();
        let mut position = 0;
        let keep: Vec<bool> = std::iter::repeat_n(true, at)
            .chain(times.iter().map(|_| {
                kept.next_if(|range| range.end <= position);
                position += 1;
                kept.peek().is_some_and(|range| range.start < position)
            }))
            .collect();
        retain(&mut self.times, &keep);
        if !self.starts.is_unknown() {
            self.starts = self.starts.kept(&keep);
        }
        match &mut self.values {
            RunValues::Floats(floats) => retain(floats, &keep),
            RunValues::Histograms(histograms) => retain(histograms, &keep),
            RunValues::Summaries(summaries) => retain(summaries, &keep),
        }
    }

    fn kind(&self) -> ChunkKind {
        match self.values {
            RunValues::Floats(_) => ChunkKind::Floats,
            RunValues::Histograms(_) => ChunkKind::Histograms,
            RunValues::Summaries(_) => ChunkKind::Summaries,
        }
    }

    /// `None` where there are no samples.
    pub(crate) fn meta(&self) -> Option<ChunkMeta> {
        describe(self.kind(), &self.times)
    }

    /// The values alone.
    pub(crate) fn encode_values(&self, density: Density, out: &mut Vec<u8>) {
        match &self.values {
            RunValues::Floats(floats) => values::encode_series(floats, density, out),
            RunValues::Histograms(histograms) => encode_histograms(histograms, out),
            RunValues::Summaries(all) => summaries::encode(all, out),
        }
    }
}

/// Keeps the values that a mask of the same length says yes to.
fn retain<T>(values: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    values.retain(|_| keep.next().copied().unwrap_or(true));
}

fn describe(kind: ChunkKind, times: &[i64]) -> Option<ChunkMeta> {
    let (min_time, max_time) = (*times.first()?, *times.last()?);
    Some(ChunkMeta { kind, count: u32::try_from(times.len()).ok()?, min_time, max_time })
}
