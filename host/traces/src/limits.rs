//! How much of a trace is taken: what each limit is for, and how a span is weighed against it.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::fmt;

use model::span::{Attribute, AttributeValue, Span};

use crate::batch::ATTRIBUTE_DEPTH_MAX;

/// The largest span, its resource included. A request body is at most 64 MiB; a span of more than this is a dump
/// of something, and one record has to hold it.
pub const SPAN_BYTES_MAX: u64 = 4 << 20;

/// The largest trace. It is read into memory whole, by queries and by whoever draws it; Tempo's own bound is 5 MB.
/// What came before the segment before the current one is no longer counted.
pub const TRACE_BYTES_MAX: u64 = 32 << 20;

/// Records are cut at about this weight: large enough to compress well, small enough that looking up one trace
/// does not decode much else.
pub(crate) const RECORD_BYTES_TARGET: u64 = 1 << 20;

/// No record is larger than this before compression; a length beyond it is damage. A span's weight exceeds its
/// encoding, so that a target plus one span always fits.
pub(crate) const RECORD_BYTES_MAX: u32 = 16 << 20;

/// Memory and encoding that a span takes besides its texts.
const SPAN_OVERHEAD_BYTES: u64 = 128;
/// The same for an attribute, an event, a link or a list item.
const ITEM_OVERHEAD_BYTES: u64 = 16;

/// Why a span was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Its trace id or its span id is all zeros.
    ZeroId,
    /// It is larger than [`SPAN_BYTES_MAX`].
    SpanTooLarge,
    /// Its trace has reached [`TRACE_BYTES_MAX`].
    TraceTooLarge,
    /// An attribute nests lists or maps deeper than 16 levels.
    TooDeep,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroId => f.write_str("trace id or span id is all zeros"),
            Self::SpanTooLarge => write!(f, "span is larger than {SPAN_BYTES_MAX} bytes"),
            Self::TraceTooLarge => write!(f, "trace has reached {TRACE_BYTES_MAX} bytes"),
            Self::TooDeep => write!(f, "attribute is nested deeper than {ATTRIBUTE_DEPTH_MAX} levels"),
        }
    }
}

/// What a span weighs in bytes, about as much as it takes in memory and at least what it takes encoded.
pub(crate) fn weigh(span: &Span) -> Result<u64, Refusal> {
    if span.trace_id.is_zero() || span.span_id.is_zero() {
        return Err(Refusal::ZeroId);
    }
    let texts = span.name.len() + span.trace_state.len() + span.status_message.len();
    let mut bytes = SPAN_OVERHEAD_BYTES + texts as u64 + attributes(&span.attributes, ATTRIBUTE_DEPTH_MAX)?;
    for event in &span.events {
        let inner = attributes(&event.attributes, ATTRIBUTE_DEPTH_MAX)?;
        bytes += ITEM_OVERHEAD_BYTES + event.name.len() as u64 + inner;
    }
    for link in &span.links {
        let inner = attributes(&link.attributes, ATTRIBUTE_DEPTH_MAX)?;
        bytes += 2 * ITEM_OVERHEAD_BYTES + link.trace_state.len() as u64 + inner;
    }
    Ok(bytes)
}

/// What a span's resource and scope weigh; asked once per batch, since spans share them.
pub(crate) fn weigh_origin(span: &Span) -> Result<u64, Refusal> {
    let names = (span.scope.name.len() + span.scope.version.len()) as u64;
    let resource = attributes(&span.resource.attributes, ATTRIBUTE_DEPTH_MAX)?;
    Ok(names + resource + attributes(&span.scope.attributes, ATTRIBUTE_DEPTH_MAX)?)
}

fn attributes(attributes: &[Attribute], depth: usize) -> Result<u64, Refusal> {
    let mut bytes = 0;
    for attribute in attributes {
        bytes += ITEM_OVERHEAD_BYTES + attribute.key.len() as u64 + value(&attribute.value, depth)?;
    }
    Ok(bytes)
}

fn value(of: &AttributeValue, depth: usize) -> Result<u64, Refusal> {
    let below = || depth.checked_sub(1).ok_or(Refusal::TooDeep);
    Ok(match of {
        AttributeValue::String(text) => ITEM_OVERHEAD_BYTES + text.len() as u64,
        AttributeValue::Bytes(bytes) => ITEM_OVERHEAD_BYTES + bytes.len() as u64,
        AttributeValue::Array(values) => {
            let below = below()?;
            let mut bytes = ITEM_OVERHEAD_BYTES;
            for inner in values {
                bytes += value(inner, below)?;
            }
            bytes
        }
        AttributeValue::Map(entries) => ITEM_OVERHEAD_BYTES + attributes(entries, below()?)?,
        AttributeValue::Bool(_)
        | AttributeValue::Int(_)
        | AttributeValue::Double(_)
        | AttributeValue::Empty => ITEM_OVERHEAD_BYTES,
    })
}
