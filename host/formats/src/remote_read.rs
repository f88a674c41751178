//! Prometheus' remote read protocol, both ends of it: a compressed `prometheus.ReadRequest` is answered by a compressed
//! `prometheus.ReadResponse` of samples, or by a stream of frames with encoded chunks.
//! (<https://prometheus.io/docs/prometheus/latest/querying/remote_read_api/>; the messages are in Prometheus' `prompb`.)
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod bits;
mod crc;
mod histograms;
mod stream;
mod xor;

#[cfg(test)]
mod tests;

pub use stream::{FrameReader, put_frames};

use std::sync::Arc;

use model::{Histogram, Labels, MatchOp, Matcher, Sample, Timestamp};

use crate::remote_write::encode::{write_labels, write_sample};
use crate::remote_write::{self, Compression, histogram};
use crate::wire::{Field, Message, MessageWriter, WireError, read_text};
use crate::{DecodeError, pairs};

const FORMAT: &str = "remote read message";

/// A question: several queries, each of which is answered for itself.
#[derive(Debug, Clone, Default)]
pub struct ReadRequest {
    /// The queries, in the order of the answers.
    pub queries: Vec<ReadQuery>,
    /// Whether the asker would rather have chunks in a stream.
    pub accepts_chunks: bool,
    /// Whether the asker takes samples in one message.
    pub accepts_samples: bool,
}

/// Which series, and when.
#[derive(Debug, Clone)]
pub struct ReadQuery {
    /// First millisecond wanted, inclusive.
    pub start: Timestamp,
    /// Last millisecond wanted, inclusive.
    pub end: Timestamp,
    /// All must pass.
    pub matchers: Vec<Matcher>,
    /// What the asker will do with it.
    pub hints: Option<ReadHints>,
}

/// What an asker will do with an answer, which may then leave out what that does not need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadHints {
    /// The query's step, in milliseconds.
    pub step_ms: i64,
    /// The function or aggregation around the selector.
    pub func: String,
    /// First millisecond that will be looked at.
    pub start_ms: i64,
    /// Last millisecond that will be looked at.
    pub end_ms: i64,
    /// Range of the selector, in milliseconds; zero for none.
    pub range_ms: i64,
}

/// The samples of one series, both kinds in time order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReadSeries {
    /// What names it.
    pub labels: Labels,
    /// Floats.
    pub samples: Vec<Sample>,
    /// Native histograms.
    pub histograms: Vec<(Timestamp, Arc<Histogram>)>,
}

/// How much one message may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after decompression; of chunks, those that their samples take in memory.
    pub decompressed_bytes_max: usize,
}

fn malformed(what: impl Into<String>) -> DecodeError {
    DecodeError::Malformed { format: FORMAT, what: what.into() }
}

impl From<WireFailed> for DecodeError {
    fn from(error: WireFailed) -> Self {
        malformed(error.0)
    }
}

/// A message that breaks off, or says what cannot be.
struct WireFailed(String);

impl From<WireError> for WireFailed {
    fn from(error: WireError) -> Self {
        Self(error.to_owned())
    }
}

fn unpack(body: &[u8], limits: &Limits) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = Vec::new();
    remote_write::decompress(Compression::Snappy, body, limits.decompressed_bytes_max, &mut bytes).map_err(
        |error| match error {
            DecodeError::Malformed { what, .. } => malformed(what),
            other => other,
        },
    )?;
    Ok(bytes)
}

impl ReadRequest {
    /// Reads the body of a question.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(body: &[u8], limits: &Limits) -> Result<Self, DecodeError> {
        Ok(read_request(&unpack(body, limits)?)?)
    }

    /// Writes the body of a question.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut root = MessageWriter(&mut bytes);
        self.queries.iter().for_each(|query| root.message(1, |m| write_query(m, query)));
        if self.accepts_chunks {
            root.varint(2, 1);
        }
        if self.accepts_samples {
            root.varint(2, 0);
        }
        remote_write::compress(&bytes)
    }
}

fn read_request(bytes: &[u8]) -> Result<ReadRequest, WireFailed> {
    let mut request = ReadRequest::default();
    let mut message = Message(bytes);
    let mut kinds = Vec::new();
    while let Some(field) = message.next()? {
        match field {
            (1, Field::Bytes(query)) => request.queries.push(read_query(query)?),
            (2, Field::Varint(kind)) => kinds.push(kind),
            (2, Field::Bytes(packed)) => {
                let mut list = Message(packed);
                while !list.0.is_empty() {
                    kinds.push(list.varint()?);
                }
            }
            _ => {}
        }
    }
    request.accepts_chunks = kinds.contains(&1);
    // Who says nothing is from before there was a choice.
    request.accepts_samples = kinds.is_empty() || kinds.contains(&0);
    // The first that both know counts.
    if kinds.first() == Some(&0) {
        request.accepts_chunks = false;
    }
    Ok(request)
}

fn read_query(bytes: &[u8]) -> Result<ReadQuery, WireFailed> {
    let (mut start, mut end, mut matchers, mut hints) = (0, 0, Vec::new(), None);
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        match field {
            (1, Field::Varint(millis)) => start = millis as i64,
            (2, Field::Varint(millis)) => end = millis as i64,
            (3, Field::Bytes(matcher)) => matchers.push(read_matcher(matcher)?),
            (4, Field::Bytes(bytes)) => hints = Some(read_hints(bytes)?),
            _ => {}
        }
    }
    Ok(ReadQuery { start: Timestamp::from_millis(start), end: Timestamp::from_millis(end), matchers, hints })
}

fn read_matcher(bytes: &[u8]) -> Result<Matcher, WireFailed> {
    let (mut op, mut name, mut value) = (0, "", "");
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        match field {
            (1, Field::Varint(number)) => op = number,
            (2, Field::Bytes(text)) => name = read_text(text)?,
            (3, Field::Bytes(text)) => value = read_text(text)?,
            _ => {}
        }
    }
    let op = match op {
        0 => MatchOp::Equal,
        1 => MatchOp::NotEqual,
        2 => MatchOp::Regex,
        3 => MatchOp::NotRegex,
        other => return Err(WireFailed(format!("unknown kind of matcher {other}"))),
    };
    Matcher::new(op, name, value).map_err(|error| WireFailed(error.to_string()))
}

fn read_hints(bytes: &[u8]) -> Result<ReadHints, WireFailed> {
    let mut hints = ReadHints::default();
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        match field {
            (1, Field::Varint(millis)) => hints.step_ms = millis as i64,
            (2, Field::Bytes(text)) => hints.func = read_text(text)?.to_owned(),
            (3, Field::Varint(millis)) => hints.start_ms = millis as i64,
            (4, Field::Varint(millis)) => hints.end_ms = millis as i64,
            (7, Field::Varint(millis)) => hints.range_ms = millis as i64,
            _ => {}
        }
    }
    Ok(hints)
}

fn write_query(message: &mut MessageWriter<'_>, query: &ReadQuery) {
    message.varint(1, query.start.millis() as u64);
    message.varint(2, query.end.millis() as u64);
    for matcher in &query.matchers {
        let op = match matcher.op() {
            MatchOp::Equal => 0,
            MatchOp::NotEqual => 1,
            MatchOp::Regex => 2,
            MatchOp::NotRegex => 3,
        };
        message.message(3, |m| {
            m.varint(1, op);
            m.bytes(2, matcher.name().as_bytes());
            m.bytes(3, matcher.value().as_bytes());
        });
    }
    if let Some(hints) = &query.hints {
        message.message(4, |m| {
            m.varint(1, hints.step_ms as u64);
            m.bytes(2, hints.func.as_bytes());
            m.varint(3, hints.start_ms as u64);
            m.varint(4, hints.end_ms as u64);
            m.varint(7, hints.range_ms as u64);
        });
    }
}

/// Writes the body of an answer of samples: the series of each query.
pub fn encode_samples(results: &[Vec<ReadSeries>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut root = MessageWriter(&mut bytes);
    for result in results {
        root.message(1, |m| result.iter().for_each(|series| m.message(1, |m| write_series(m, series))));
    }
    remote_write::compress(&bytes)
}

fn write_series(message: &mut MessageWriter<'_>, series: &ReadSeries) {
    write_labels(message, &series.labels);
    series.samples.iter().for_each(|sample| message.message(2, |m| write_sample(m, *sample)));
    for (at, value) in &series.histograms {
        message.message(4, |m| histogram::write(m, *at, value));
    }
}

/// Reads the body of an answer of samples.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_samples(body: &[u8], limits: &Limits) -> Result<Vec<Vec<ReadSeries>>, DecodeError> {
    Ok(read_samples(&unpack(body, limits)?)?)
}

fn read_samples(bytes: &[u8]) -> Result<Vec<Vec<ReadSeries>>, WireFailed> {
    let mut results = Vec::new();
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        let (1, Field::Bytes(result)) = field else { continue };
        let mut all = Vec::new();
        let mut result = Message(result);
        while let Some(field) = result.next()? {
            if let (1, Field::Bytes(series)) = field {
                all.push(read_series(series)?);
            }
        }
        results.push(all);
    }
    Ok(results)
}

fn read_series(bytes: &[u8]) -> Result<ReadSeries, WireFailed> {
    let mut series = ReadSeries::default();
    let mut labels = Vec::new();
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        match field {
            (1, Field::Bytes(pair)) => labels.push(pairs::read_label_pair(pair)?),
            (2, Field::Bytes(sample)) => {
                series.samples.push(remote_write::fields::read_sample(sample)?.0);
            }
            (4, Field::Bytes(bytes)) => {
                let histogram::Read { at, histogram: value, .. } =
                    histogram::read(bytes)?.map_err(WireFailed)?;
                series.histograms.push((at, Arc::new(value)));
            }
            _ => {}
        }
    }
    series.labels = pairs::to_labels(&mut labels).map_err(WireFailed)?;
    Ok(series)
}
