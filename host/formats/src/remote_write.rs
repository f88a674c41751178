//! Prometheus' remote write protocol, version 1.0: a snappy block that holds a `prometheus.WriteRequest`.
//! (<https://prometheus.io/docs/specs/prw/remote_write_spec/>; the messages are in Prometheus' `prompb`.)
//!
//! The decoder borrows from the decompressed body until labels are built. A request fails as a whole only where
//! its bytes make no sense; a series with impossible labels, or one impossible histogram, is left out and told
//! of in [`Rejected`], since a sender drops whatever was refused and the rest would be lost with it.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod decode;
mod encode;
mod histogram;
mod known;

#[cfg(test)]
mod tests;

use crate::{DecodeError, Rejected, WriteRequest};

use known::KnownLabels;

const FORMAT: &str = "remote write request";

/// How much one request may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after decompression. Snappy shrinks metrics about tenfold, and at worst twentyfold.
    pub decompressed_bytes_max: usize,
    /// Series, samples, histograms, exemplars and metadata in all. Two bytes on the wire can ask for a
    /// hundred in memory, which a limit on bytes alone would not bound well.
    pub items_max: usize,
}

/// Reads requests, and remembers the series that they name. Senders write the same ones again and again, and
/// most of what a request costs is to check and build their labels. May be shared by threads.
#[derive(Debug)]
pub struct Decoder {
    known: KnownLabels,
}

impl Decoder {
    /// Remembers about as many series: at least the `series_max` that were seen last, and at most twice as
    /// many. One costs some forty bytes, and its labels while nobody else has them.
    pub fn new(series_max: usize) -> Self {
        Self { known: KnownLabels::new(series_max) }
    }

    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`DecodeError`] where the body as a whole cannot be read or is over a limit.
    pub fn decode(&self, body: &[u8], limits: &Limits) -> Result<(WriteRequest, Rejected), DecodeError> {
        decode_body(body, limits, Some(&self.known))
    }
}

/// Reads the body of one request.
///
/// # Errors
/// [`DecodeError`] where the body as a whole cannot be read or is over a limit.
pub fn decode(body: &[u8], limits: &Limits) -> Result<(WriteRequest, Rejected), DecodeError> {
    decode_body(body, limits, None)
}

fn decode_body(
    body: &[u8],
    limits: &Limits,
    known: Option<&KnownLabels>,
) -> Result<(WriteRequest, Rejected), DecodeError> {
    let malformed = |what: String| DecodeError::Malformed { format: FORMAT, what };
    let max = limits.decompressed_bytes_max;
    let length = snap::raw::decompress_len(body).map_err(|e| malformed(e.to_string()))?;
    if length > max {
        return Err(DecodeError::TooLarge { max, unit: "bytes when decompressed" });
    }
    let bytes = snap::raw::Decoder::new().decompress_vec(body).map_err(|e| malformed(e.to_string()))?;
    decode::decode_message(&bytes, limits, known)
}

/// Writes the body of a request, as [`decode()`] reads it. Histograms are written with absolute float counts.
pub fn encode(request: &WriteRequest) -> Vec<u8> {
    let bytes = encode::encode_message(request);
    // Snappy refuses only inputs of 4 GiB and more, which no request can be.
    snap::raw::Encoder::new().compress_vec(&bytes).unwrap_or_default()
}
