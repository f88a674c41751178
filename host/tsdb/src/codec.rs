//! How columns become bytes: the shared pieces of the log, of chunks and of blocks.
//!
//! Everything is bit-exact: NaN payloads, the stale marker, -0.0 and infinities come back as they went in.
//! Decoders take arbitrary bytes and answer [`Malformed`] rather than panic or allocate without bound.

mod bits;
pub(crate) mod bytes;
pub(crate) mod decimal;
mod dense;
pub(crate) mod histogram;
mod mantissas;
mod steps;
pub(crate) mod summaries;
pub(crate) mod timestamps;
pub(crate) mod values;

pub(crate) use bytes::{Malformed, Reader};

#[cfg(test)]
pub(crate) mod tests;
