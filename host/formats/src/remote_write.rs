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

#[cfg(test)]
mod tests;

use crate::{DecodeError, Rejected, WriteRequest};

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

/// Reads the body of a request.
///
/// # Errors
/// [`DecodeError`] where the body as a whole cannot be read or is over a limit.
pub fn decode(body: &[u8], limits: &Limits) -> Result<(WriteRequest, Rejected), DecodeError> {
    let malformed = |what: String| DecodeError::Malformed { format: FORMAT, what };
    let max = limits.decompressed_bytes_max;
    let length = snap::raw::decompress_len(body).map_err(|e| malformed(e.to_string()))?;
    if length > max {
        return Err(DecodeError::TooLarge { max, unit: "bytes when decompressed" });
    }
    let bytes = snap::raw::Decoder::new().decompress_vec(body).map_err(|e| malformed(e.to_string()))?;
    decode::decode_message(&bytes, limits)
}

/// Writes the body of a request, as [`decode()`] reads it. Histograms are written with absolute float counts.
pub fn encode(request: &WriteRequest) -> Vec<u8> {
    let bytes = encode::encode_message(request);
    // Snappy refuses only inputs of 4 GiB and more, which no request can be.
    snap::raw::Encoder::new().compress_vec(&bytes).unwrap_or_default()
}
