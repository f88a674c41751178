//! Answers as a stream of frames with encoded chunks, which neither end has to hold as a whole.
//!
//! ```text
//! frame   length varint │ CRC-32C of the data, 4 bytes big-endian │ data: a prometheus.ChunkedReadResponse
//! ```
//! A series that has more chunks than fit a frame goes on in the next one.

use std::sync::Arc;

use model::{Histogram, Labels, Sample, Timestamp};

use super::histograms::{self, Numbers};
use super::{Limits, ReadSeries, WireFailed, crc, malformed, xor};
use crate::remote_write::encode::write_labels;
use crate::wire::{Field, Message, MessageWriter, WireError};
use crate::{DecodeError, pairs};

/// Samples in one chunk of a stream, as Prometheus' own chunks have them.
const CHUNK_SAMPLES: usize = 120;

/// Of a varint that says how long a frame is.
const LENGTH_BYTES_MAX: usize = 10;

const CRC_BYTES: usize = 4;

/// Prometheus' numbers of the encodings.
const XOR: u64 = 1;
const HISTOGRAM: u64 = 2;
const FLOAT_HISTOGRAM: u64 = 3;

/// A chunk as it is sent.
pub(super) struct Chunk {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) encoding: u64,
    pub(super) data: Vec<u8>,
}

impl Chunk {
    fn floats(samples: &[Sample]) -> Option<Self> {
        let (first, last) = (samples.first()?.timestamp, samples.last()?.timestamp);
        Some(Self { first, last, encoding: XOR, data: xor::encode(samples) })
    }

    fn histograms(samples: &[(Timestamp, Arc<Histogram>)]) -> Option<Self> {
        let (first, last) = (samples.first()?.0, samples.last()?.0);
        Some(Self { first, last, encoding: FLOAT_HISTOGRAM, data: histograms::encode(samples) })
    }
}

/// The chunks of a series, by time. Where both kinds of samples take turns, each turn is a chunk of its own.
pub(super) fn chunks(series: &ReadSeries) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let (mut floats, mut histograms) = (series.samples.as_slice(), series.histograms.as_slice());
    loop {
        let next_histogram = histograms.first().map_or(Timestamp::MAX, |(time, _)| *time);
        let turn = floats.partition_point(|sample| sample.timestamp <= next_histogram).min(CHUNK_SAMPLES);
        let (samples, rest) = floats.split_at_checked(turn).unwrap_or((floats, &[]));
        floats = rest;
        if let Some(chunk) = Chunk::floats(samples) {
            chunks.push(chunk);
            continue;
        }
        let next_float = floats.first().map_or(Timestamp::MAX, |sample| sample.timestamp);
        let Some((_, layout)) = histograms.first() else { return chunks };
        let alike = histograms.iter().skip(1).take(CHUNK_SAMPLES - 1);
        let alike = alike.take_while(|(time, h)| *time < next_float && histograms::share_layout(layout, h));
        let (samples, rest) = histograms.split_at_checked(alike.count() + 1).unwrap_or((histograms, &[]));
        histograms = rest;
        chunks.extend(Chunk::histograms(samples));
    }
}

/// Appends the frames of one series to a stream; `query` is the number of the query that it answers. A frame ends with the
/// chunk that brings it to `frame_bytes` of chunks.
pub fn put_frames(out: &mut Vec<u8>, query: usize, series: &ReadSeries, frame_bytes: usize) {
    let mut chunks = chunks(series).into_iter().peekable();
    while chunks.peek().is_some() {
        let mut data = Vec::new();
        let mut root = MessageWriter(&mut data);
        root.message(1, |m| {
            write_labels(m, &series.labels);
            let mut bytes = 0;
            // One chunk at least, however few bytes there may be.
            while let Some(chunk) = chunks.next_if(|_| bytes < frame_bytes.max(1)) {
                bytes += chunk.data.len();
                m.message(2, |m| {
                    m.varint(1, chunk.first.millis() as u64);
                    m.varint(2, chunk.last.millis() as u64);
                    m.varint(3, chunk.encoding);
                    m.bytes(4, &chunk.data);
                });
            }
        });
        root.varint(2, query as u64);
        MessageWriter(out).raw_varint(data.len() as u64);
        out.extend_from_slice(&crc::crc32c(&data).to_be_bytes());
        out.append(&mut data);
    }
}

/// How much memory an answer may still take: a few bytes of a chunk may stand for many samples.
pub(super) struct Budget {
    left: usize,
    max: usize,
}

impl Budget {
    pub(super) const fn new(max: usize) -> Self {
        Self { left: max, max }
    }

    pub(super) fn take(&mut self, bytes: usize) -> Result<(), DecodeError> {
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or(DecodeError::TooLarge { max: self.max, unit: "bytes of samples" })?;
        Ok(())
    }
}

/// The data of a frame, and what follows the frame.
type Split<'a> = (&'a [u8], &'a [u8]);

/// Reads a stream as it comes, in pieces of any size.
pub struct FrameReader {
    /// What has come of a frame that is not complete.
    waiting: Vec<u8>,
    budget: Budget,
    frame_bytes_max: usize,
    results: Vec<Vec<ReadSeries>>,
}

impl FrameReader {
    /// Expects the answers to so many queries.
    pub fn new(queries: usize, limits: &Limits) -> Self {
        let bytes_max = limits.decompressed_bytes_max;
        Self {
            waiting: Vec::new(),
            budget: Budget::new(bytes_max),
            frame_bytes_max: bytes_max,
            results: vec![Vec::new(); queries],
        }
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// [`DecodeError`], after which nothing that follows is understood.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.waiting.extend_from_slice(bytes);
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut rest = waiting.as_slice();
        while let Some((data, after)) = self.split(rest)? {
            self.read_frame(data)?;
            rest = after;
        }
        let read = waiting.len() - rest.len();
        waiting.drain(..read);
        self.waiting = waiting;
        Ok(())
    }

    /// The series of each query, in the order in which they came.
    ///
    /// # Errors
    /// [`DecodeError`] where the stream ended within a frame.
    pub fn finish(self) -> Result<Vec<Vec<ReadSeries>>, DecodeError> {
        match self.waiting.is_empty() {
            true => Ok(self.results),
            false => Err(malformed("the stream ends within a frame")),
        }
    }

    /// The data of the first frame and what follows it; `None` where it is not complete.
    fn split<'a>(&self, bytes: &'a [u8]) -> Result<Option<Split<'a>>, DecodeError> {
        let mut message = Message(bytes);
        let length = match message.varint() {
            Ok(length) => usize::try_from(length).unwrap_or(usize::MAX),
            Err(_) if bytes.len() < LENGTH_BYTES_MAX => return Ok(None),
            Err(error) => return Err(malformed(error)),
        };
        if length > self.frame_bytes_max {
            return Err(DecodeError::TooLarge { max: self.frame_bytes_max, unit: "bytes of a frame" });
        }
        let Some((sum, rest)) = message.0.split_first_chunk::<CRC_BYTES>() else { return Ok(None) };
        let Some((data, rest)) = rest.split_at_checked(length) else { return Ok(None) };
        if crc::crc32c(data) != u32::from_be_bytes(*sum) {
            return Err(malformed("checksum of a frame is wrong"));
        }
        Ok(Some((data, rest)))
    }

    fn read_frame(&mut self, data: &[u8]) -> Result<(), DecodeError> {
        let (all, query) = read_chunked(data)?;
        let result = usize::try_from(query).ok().and_then(|query| self.results.get_mut(query));
        let result =
            result.ok_or_else(|| malformed(format!("answer to query {query}, which was not asked")))?;
        for (labels, chunks) in all {
            // One that goes on.
            if result.last().is_none_or(|last| last.labels != labels) {
                result.push(ReadSeries { labels, ..ReadSeries::default() });
            }
            let Some(series) = result.last_mut() else { continue };
            for (encoding, data) in chunks {
                let (budget, out) = (&mut self.budget, &mut series.histograms);
                match encoding {
                    XOR => xor::decode(data, budget, &mut series.samples)?,
                    HISTOGRAM => histograms::decode(data, Numbers::Wholes, budget, out)?,
                    FLOAT_HISTOGRAM => histograms::decode(data, Numbers::Floats, budget, out)?,
                    other => return Err(malformed(format!("unknown encoding {other} of a chunk"))),
                }
            }
        }
        Ok(())
    }
}

/// The labels of a series, and its chunks with their encodings.
type EncodedSeries<'a> = (Labels, Vec<(u64, &'a [u8])>);

/// The series of a frame, and the number of the query that they answer.
fn read_chunked(data: &[u8]) -> Result<(Vec<EncodedSeries<'_>>, u64), WireFailed> {
    let (mut all, mut query) = (Vec::new(), 0);
    let mut message = Message(data);
    while let Some(field) = message.next()? {
        match field {
            (1, Field::Bytes(series)) => all.push(read_chunked_series(series)?),
            (2, Field::Varint(number)) => query = number,
            _ => {}
        }
    }
    Ok((all, query))
}

fn read_chunked_series(bytes: &[u8]) -> Result<EncodedSeries<'_>, WireFailed> {
    let (mut labels, mut chunks) = (Vec::new(), Vec::new());
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        match field {
            (1, Field::Bytes(pair)) => labels.push(pairs::read_label_pair(pair)?),
            (2, Field::Bytes(chunk)) => chunks.push(read_chunk(chunk)?),
            _ => {}
        }
    }
    Ok((pairs::to_labels(&mut labels).map_err(WireFailed)?, chunks))
}

fn read_chunk(bytes: &[u8]) -> Result<(u64, &[u8]), WireError> {
    let (mut encoding, mut data) = (0, [].as_slice());
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        match field {
            (3, Field::Varint(number)) => encoding = number,
            (4, Field::Bytes(bytes)) => data = bytes,
            _ => {}
        }
    }
    Ok((encoding, data))
}
