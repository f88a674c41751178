//! Decoders read what comes in at a listener of the host.

use model::Columns;
use wasmtime::Store;

use super::batch::{batch_in, check_size};
use crate::bindings::exports::stormglass::plugin::decoder as guest;
use crate::bindings::stormglass::types::types::PluginError as GuestError;
use crate::call::{Call, Refusal};
use crate::error::Operation;
use crate::imports::log::printable;
use crate::limits::Limits;
use crate::state::State;

/// A stretch of bytes that came in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The bytes.
    pub data: Vec<u8>,
    /// Exclusive ends of the datagrams in `data`; empty for a stream.
    pub datagram_ends: Vec<u32>,
    /// What it is said to be; or empty.
    pub content_type: String,
    /// Whether nothing follows.
    pub last: bool,
}

/// What a decoder made of a chunk.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The samples.
    pub columns: Columns,
    /// Bytes of the chunk that are done with; at most all of them.
    pub consumed: usize,
    /// Messages that were left out.
    pub rejected: u64,
    /// What was wrong with one of them, on one line.
    pub reason: Option<String>,
}

pub(crate) struct Decode {
    pub(crate) guest: guest::Guest,
    pub(crate) chunk: Chunk,
}

/// The guest's answer beside how much there was.
pub(crate) struct Answered {
    size: usize,
    answer: Result<guest::Decoded, GuestError>,
}

impl Call for Decode {
    const OPERATION: Operation = Operation::Decode;
    type Raw = Answered;
    type Answer = Decoded;

    async fn run(self, store: &mut Store<State>) -> wasmtime::Result<Answered> {
        let Chunk { data, datagram_ends, content_type, last } = self.chunk;
        let size = data.len();
        let chunk = guest::Chunk { data, datagram_ends, content_type, last };
        Ok(Answered { size, answer: self.guest.call_decode(store, &chunk).await? })
    }

    fn check(raw: Answered, limits: &Limits) -> Result<Decoded, Refusal> {
        let guest::Decoded { batch, consumed, rejected, reason } = raw.answer?;
        let consumed = usize::try_from(consumed).unwrap_or(usize::MAX);
        if consumed > raw.size {
            return Err(Refusal::output(format!("{consumed} bytes consumed of {}", raw.size)));
        }
        check_size(&batch, limits)?;
        let columns = batch_in(batch).map_err(Refusal::output)?;
        let reason = reason.map(|reason| printable(&reason));
        Ok(Decoded { columns, consumed, rejected, reason })
    }
}
