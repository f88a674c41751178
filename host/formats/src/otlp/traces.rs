//! OTLP traces: decoded to spans, and written again for trace queries.
//!
//! The spans of a batch share their resource and scope, and are grouped by them again when written. The
//! protobuf is the same for OTLP and for Tempo; their JSON differs, see [`JsonDialect`].

mod encode;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use model::span::{Resource, Scope, Span, SpanEvent, SpanId, SpanKind, SpanLink, StatusCode, TraceId};

use super::{Encoding, Limits, attributes, count, proto};
use crate::{DecodeError, Rejected};

pub use encode::{JsonDialect, encode_json, encode_protobuf, encode_trace_by_id_response};

/// Reads a request in either encoding. Spans without a valid id are left out and counted; links without one
/// are dropped, as they point nowhere.
///
/// # Errors
/// [`DecodeError::Malformed`] where it is none, [`DecodeError::TooLarge`] where it is over the limit.
pub fn decode(
    encoding: Encoding,
    bytes: &[u8],
    limits: &Limits,
) -> Result<(Vec<Span>, Rejected), DecodeError> {
    let request: proto::ExportTraceServiceRequest = super::decode(encoding, bytes, limits, &count::TRACES)?;
    let count = request.resource_spans.iter().flat_map(|r| &r.scope_spans).map(|s| s.spans.len()).sum();
    let mut spans = Vec::with_capacity(count);
    let mut rejected = Rejected::default();
    for batch in request.resource_spans {
        let attributes = attributes::from_proto(batch.resource.unwrap_or_default().attributes);
        let resource = Arc::new(Resource { attributes });
        for group in batch.scope_spans {
            let scope = group.scope.unwrap_or_default();
            let scope = Arc::new(Scope {
                name: scope.name,
                version: scope.version,
                attributes: attributes::from_proto(scope.attributes),
            });
            for span in group.spans {
                match to_span(span, &resource, &scope) {
                    Ok(span) => spans.push(span),
                    Err(what) => rejected.note(1, || what),
                }
            }
        }
    }
    Ok((spans, rejected))
}

fn to_span(from: proto::Span, resource: &Arc<Resource>, scope: &Arc<Scope>) -> Result<Span, String> {
    let trace_id = read_trace_id(&from.trace_id)
        .ok_or_else(|| format!("span {:?}: trace id must be 16 bytes and not all zero", from.name))?;
    let span_id = read_span_id(&from.span_id)
        .ok_or_else(|| format!("span {:?}: span id must be 8 bytes and not all zero", from.name))?;
    // A parent that cannot be found makes a root; the span itself is still worth keeping.
    let parent_span_id = read_span_id(&from.parent_span_id).unwrap_or_default();
    let status = from.status.unwrap_or_default();
    Ok(Span {
        trace_id,
        span_id,
        parent_span_id,
        trace_state: from.trace_state,
        flags: from.flags,
        name: from.name,
        kind: SpanKind::from_number(from.kind),
        start_unix_nanos: from.start_time_unix_nano,
        end_unix_nanos: from.end_time_unix_nano,
        attributes: attributes::from_proto(from.attributes),
        events: from.events.into_iter().map(to_event).collect(),
        links: from.links.into_iter().filter_map(to_link).collect(),
        status: StatusCode::from_number(status.code),
        status_message: status.message,
        resource: Arc::clone(resource),
        scope: Arc::clone(scope),
    })
}

fn to_event(from: proto::Event) -> SpanEvent {
    SpanEvent {
        time_unix_nanos: from.time_unix_nano,
        name: from.name,
        attributes: attributes::from_proto(from.attributes),
    }
}

fn to_link(from: proto::Link) -> Option<SpanLink> {
    Some(SpanLink {
        trace_id: read_trace_id(&from.trace_id)?,
        span_id: read_span_id(&from.span_id)?,
        trace_state: from.trace_state,
        attributes: attributes::from_proto(from.attributes),
    })
}

fn read_trace_id(bytes: &[u8]) -> Option<TraceId> {
    bytes.try_into().ok().map(TraceId).filter(|id| !id.is_zero())
}

fn read_span_id(bytes: &[u8]) -> Option<SpanId> {
    bytes.try_into().ok().map(SpanId).filter(|id| !id.is_zero())
}
