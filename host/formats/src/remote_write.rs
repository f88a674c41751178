//! Prometheus' remote write protocol: version 1.0, a compressed `prometheus.WriteRequest`, and version 2.0, a
//! compressed `io.prometheus.write.v2.Request`.
//! (<https://prometheus.io/docs/specs/prw/remote_write_spec/>,
//! <https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>; the messages are in Prometheus' `prompb`.)
//!
//! ```text
//! body ─▶ decompress ─▶ v1 or v2 ─▶ series known? ─yes─▶ columns: reference, time, value
//!                                        └─────────no──▶ labels and samples
//! ```
//!
//! Nothing is built for the floats of a series that was seen before: its labels stay where they are in the message, and
//! what storage needs is its reference. A request fails as a whole only where its bytes make no sense; a series with
//! impossible labels, or one impossible histogram, is left out and told of in [`Rejected`], since a sender drops
//! whatever was refused and the rest would be lost with it.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod batch;
pub(crate) mod encode;
pub(crate) mod fields;
pub(crate) mod histogram;
mod known;
mod outgoing;
mod reader;
mod v1;
mod v2;

#[cfg(test)]
mod tests;

use std::io::Read as _;
use std::sync::{Mutex, PoisonError};

use crate::{DecodeError, Rejected, TimeSeries, WriteRequest};

pub use batch::{Batch, KnownExemplar, NewSeries};
use batch::{Columns, Texts};
use known::KnownSeries;
pub use outgoing::{Outgoing, OutgoingValue, encode_items, encode_metadata};
use reader::{Reader, Stop};

const FORMAT: &str = "remote write request";

/// Buffers that wait for the next request; more than are read at once by the cores of most machines.
const BUFFERS_MAX: usize = 16;
/// What one of them keeps of a larger request: enough for what senders send, nothing for what they could.
const BUFFER_BYTES_MAX: usize = 4 << 20;

/// How much one request may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after decompression. Snappy shrinks metrics about tenfold, and at worst twentyfold.
    pub decompressed_bytes_max: usize,
    /// Series, samples, histograms, exemplars, symbols and metadata in all. Two bytes on the wire can ask for a
    /// hundred in memory, which a limit on bytes alone would not bound well.
    pub items_max: usize,
}

/// Which message a request holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

/// How it is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// A snappy block: what the specification asks for.
    Snappy,
    /// Zstandard: what VictoriaMetrics' agent sends if it may.
    Zstd,
}

/// Reads requests, and remembers the series that they name. May be shared by threads.
#[derive(Debug)]
pub struct Decoder {
    known: KnownSeries,
    buffers: Mutex<Vec<Buffers>>,
}

/// What a request needs, kept for the next one.
#[derive(Debug, Default)]
struct Buffers {
    message: Vec<u8>,
    columns: Columns,
    series: Vec<NewSeries>,
}

impl Decoder {
    /// Remembers so many series at most, at some forty bytes each.
    pub fn new(series_max: usize) -> Self {
        Self { known: KnownSeries::new(series_max), buffers: Mutex::default() }
    }

    /// Reads the body of a request and hands it to `store`, which says with [`Batch::remember`] what storage knows the
    /// new series by.
    ///
    /// # Errors
    /// [`DecodeError`] where the body as a whole cannot be read or is over a limit; `store` is not called then.
    pub fn read<R>(
        &self,
        body: &[u8],
        (compression, version): (Compression, Version),
        limits: &Limits,
        store: impl FnOnce(&mut Batch<'_>) -> R,
    ) -> Result<R, DecodeError> {
        let mut buffers = self.buffers().pop().unwrap_or_default();
        decompress(compression, body, limits.decompressed_bytes_max, &mut buffers.message)?;
        let mut batch = self.batch(version, limits, &buffers.message, buffers.columns, buffers.series)?;
        let answer = store(&mut batch);
        self.known.learn(&batch.learned);
        self.known.replace(&batch.replaced);
        (buffers.columns, buffers.series) = (batch.columns, batch.series);
        buffers.series.clear();
        buffers.series.shrink_to(BUFFER_BYTES_MAX / size_of::<NewSeries>());
        buffers.columns.clear();
        buffers.columns.shrink_to(BUFFER_BYTES_MAX / size_of::<u64>());
        buffers.message.truncate(BUFFER_BYTES_MAX);
        buffers.message.shrink_to(BUFFER_BYTES_MAX);
        let mut kept = self.buffers();
        if kept.len() < BUFFERS_MAX {
            kept.push(buffers);
        }
        drop(kept);
        Ok(answer)
    }

    fn buffers(&self) -> std::sync::MutexGuard<'_, Vec<Buffers>> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn batch<'a>(
        &self,
        version: Version,
        limits: &Limits,
        message: &'a [u8],
        columns: Columns,
        series: Vec<NewSeries>,
    ) -> Result<Batch<'a>, DecodeError> {
        let mut reader = Reader {
            items_left: limits.items_max,
            finder: self.known.finder(),
            columns,
            exemplars: Vec::new(),
            series,
            metadata: Vec::new(),
            rejected: Rejected::default(),
        };
        let read = match version {
            Version::V1 => v1::read(message, &self.known, &mut reader).map(|()| Texts::V1(message)),
            Version::V2 => v2::read(message, &self.known, &mut reader).map(Texts::V2),
        };
        let texts = read.map_err(|stop| match stop {
            Stop::Wire(what) => DecodeError::Malformed { format: FORMAT, what: what.to_owned() },
            Stop::TooManyItems => {
                DecodeError::TooLarge { max: limits.items_max, unit: "series, samples and metadata" }
            }
        })?;
        let Reader { columns, exemplars, series, metadata, rejected, .. } = reader;
        Ok(Batch {
            columns,
            texts,
            exemplars,
            series,
            metadata,
            rejected,
            learned: Vec::new(),
            replaced: Vec::new(),
        })
    }
}

/// Undoes the compression; what was in `message` is gone afterwards.
pub(crate) fn decompress(
    compression: Compression,
    body: &[u8],
    max: usize,
    message: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let malformed = |what: String| DecodeError::Malformed { format: FORMAT, what };
    let too_large = DecodeError::TooLarge { max, unit: "bytes when decompressed" };
    match compression {
        Compression::Snappy => {
            let length = snap::raw::decompress_len(body).map_err(|e| malformed(e.to_string()))?;
            if length > max {
                return Err(too_large);
            }
            // Only what is new in the buffer is filled with zeros, and all of it is written over.
            message.resize(length, 0);
            let written = snap::raw::Decoder::new().decompress(body, message);
            message.truncate(written.map_err(|e| malformed(e.to_string()))?);
        }
        Compression::Zstd => {
            message.clear();
            let decoder =
                zstd::stream::read::Decoder::new(body).map_err(|e| malformed(format!("zstd: {e}")))?;
            // One byte more than allowed tells "exactly the limit" from "cut off at the limit".
            let take = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
            decoder.take(take).read_to_end(message).map_err(|e| malformed(format!("zstd: {e}")))?;
            if message.len() > max {
                return Err(too_large);
            }
        }
    }
    Ok(())
}

/// Writes the body of a request of version 1.0, compressed with snappy.
pub fn encode(request: &WriteRequest) -> Vec<u8> {
    compress(&encode::encode_message(request))
}

pub(crate) fn compress(bytes: &[u8]) -> Vec<u8> {
    // Snappy refuses only inputs of 4 GiB and more, which no message of ours can be.
    snap::raw::Encoder::new().compress_vec(bytes).unwrap_or_default()
}

/// Reads the body of a request of version 1.0, compressed with snappy, into the model, for those who keep no
/// references.
///
/// # Errors
/// As [`Decoder::read`].
pub fn decode(body: &[u8], limits: &Limits) -> Result<(WriteRequest, Rejected), DecodeError> {
    Decoder::new(0).read(body, (Compression::Snappy, Version::V1), limits, |batch| {
        let series = std::mem::take(&mut batch.series).into_iter().map(TimeSeries::from);
        let request =
            WriteRequest { series: series.collect(), metadata: std::mem::take(&mut batch.metadata) };
        (request, std::mem::take(&mut batch.rejected))
    })
}
