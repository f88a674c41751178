//! Processors stand between what brings samples or spans and storage: what they answer is stored in place of what they
//! were given.

use std::collections::HashMap;
use std::sync::Arc;

use model::Columns;
use model::span::{
    Attribute, AttributeValue, Resource, Scope, Span, SpanEvent, SpanId, SpanKind, SpanLink, StatusCode,
    TraceId,
};
use wasmtime::Store;

use super::batch::{batch_in, batch_out, check_size};
use super::rounded;
use crate::bindings::exports::stormglass::plugin::{sample_processor, span_processor as guest};
use crate::bindings::stormglass::types::types::{self, PluginError as GuestError};
use crate::call::{Call, Refusal};
use crate::error::Operation;
use crate::limits::{JSON_DEPTH_MAX, Limits};
use crate::state::State;

/// Processes samples.
pub(crate) struct ProcessSamples {
    pub(crate) guest: sample_processor::Guest,
    pub(crate) columns: Columns,
}

impl Call for ProcessSamples {
    const OPERATION: Operation = Operation::ProcessSamples;
    type Raw = Result<types::Batch, GuestError>;
    type Answer = Columns;

    async fn run(self, store: &mut Store<State>) -> wasmtime::Result<Self::Raw> {
        let batch = batch_out(self.columns);
        self.guest.call_process(store, &batch).await
    }

    fn check(raw: Self::Raw, limits: &Limits) -> Result<Columns, Refusal> {
        let batch = raw?;
        check_size(&batch, limits)?;
        batch_in(batch).map_err(Refusal::output)
    }
}

/// What a guest was given, and what it answered.
pub(crate) struct Answered {
    given: guest::Spans,
    answer: Result<guest::Spans, GuestError>,
}

/// Processes spans.
pub(crate) struct ProcessSpans<'a> {
    pub(crate) guest: guest::Guest,
    pub(crate) spans: &'a [Span],
}

impl Call for ProcessSpans<'_> {
    const OPERATION: Operation = Operation::ProcessSpans;
    type Raw = Answered;
    type Answer = Vec<Span>;

    async fn run(self, store: &mut Store<State>) -> wasmtime::Result<Answered> {
        let given = spans_out(self.spans);
        let answer = self.guest.call_process(store, &given).await?;
        Ok(Answered { given, answer })
    }

    fn check(raw: Answered, _limits: &Limits) -> Result<Vec<Span>, Refusal> {
        let mut spans = raw.answer?;
        rounded::restore(&raw.given, &mut spans);
        spans_in(spans).map_err(Refusal::output)
    }
}

/// Each thing once, by where it is in memory: spans of a batch share what they come from.
fn shared<T>(items: &mut Vec<Arc<T>>, known: &mut HashMap<*const T, u32>, item: &Arc<T>) -> u32 {
    *known.entry(Arc::as_ptr(item)).or_insert_with(|| {
        items.push(Arc::clone(item));
        // A batch is bounded by what a request may hold, far below what the index counts.
        u32::try_from(items.len() - 1).unwrap_or(u32::MAX)
    })
}

fn spans_out(spans: &[Span]) -> guest::Spans {
    let (mut resources, mut known_resources) = (Vec::new(), HashMap::new());
    let (mut scopes, mut known_scopes) = (Vec::new(), HashMap::new());
    let spans = spans
        .iter()
        .map(|span| guest::Span {
            trace_id: span.trace_id.0.to_vec(),
            span_id: span.span_id.0.to_vec(),
            parent_span_id: if span.parent_span_id.is_zero() {
                Vec::new()
            } else {
                span.parent_span_id.0.to_vec()
            },
            trace_state: span.trace_state.clone(),
            name: span.name.clone(),
            kind: kind_out(span.kind),
            start_ns: span.start_unix_nanos,
            end_ns: span.end_unix_nanos,
            status: match span.status {
                StatusCode::Unset => guest::StatusCode::Unset,
                StatusCode::Ok => guest::StatusCode::Ok,
                StatusCode::Error => guest::StatusCode::Error,
            },
            status_message: span.status_message.clone(),
            attributes: attributes_out(&span.attributes),
            events: span
                .events
                .iter()
                .map(|event| guest::Event {
                    time_ns: event.time_unix_nanos,
                    name: event.name.clone(),
                    attributes: attributes_out(&event.attributes),
                })
                .collect(),
            links: span
                .links
                .iter()
                .map(|link| guest::Link {
                    trace_id: link.trace_id.0.to_vec(),
                    span_id: link.span_id.0.to_vec(),
                    trace_state: link.trace_state.clone(),
                    attributes: attributes_out(&link.attributes),
                })
                .collect(),
            trace_flags: span.flags,
            resource_index: shared(&mut resources, &mut known_resources, &span.resource),
            scope_index: shared(&mut scopes, &mut known_scopes, &span.scope),
        })
        .collect();
    guest::Spans {
        resources: resources.iter().map(|resource| attributes_out(&resource.attributes)).collect(),
        scopes: scopes
            .iter()
            .map(|scope| guest::Scope {
                name: scope.name.clone(),
                version: scope.version.clone(),
                attributes: attributes_out(&scope.attributes),
            })
            .collect(),
        spans,
    }
}

fn kind_out(kind: SpanKind) -> guest::SpanKind {
    match kind {
        SpanKind::Unspecified => guest::SpanKind::Unspecified,
        SpanKind::Internal => guest::SpanKind::Internal,
        SpanKind::Server => guest::SpanKind::Server,
        SpanKind::Client => guest::SpanKind::Client,
        SpanKind::Producer => guest::SpanKind::Producer,
        SpanKind::Consumer => guest::SpanKind::Consumer,
    }
}

fn attributes_out(attributes: &[Attribute]) -> Vec<guest::Attribute> {
    let value = |value: &AttributeValue| match value {
        AttributeValue::String(text) => guest::AttributeValue::Text(text.clone()),
        AttributeValue::Bool(value) => guest::AttributeValue::Boolean(*value),
        AttributeValue::Int(value) => guest::AttributeValue::Int(*value),
        AttributeValue::Double(value) => guest::AttributeValue::Double(*value),
        AttributeValue::Bytes(bytes) => guest::AttributeValue::Bytes(bytes.clone()),
        AttributeValue::Empty => guest::AttributeValue::Empty,
        AttributeValue::Array(_) | AttributeValue::Map(_) => {
            guest::AttributeValue::Json(json_out(value).to_string())
        }
    };
    attributes
        .iter()
        .map(|attribute| guest::Attribute { key: attribute.key.clone(), value: value(&attribute.value) })
        .collect()
}

/// Lists and maps as JSON; bytes within them become hexadecimal text, and numbers that are none become null.
fn json_out(value: &AttributeValue) -> serde_json::Value {
    match value {
        AttributeValue::String(text) => text.as_str().into(),
        AttributeValue::Bool(value) => (*value).into(),
        AttributeValue::Int(value) => (*value).into(),
        AttributeValue::Double(value) => (*value).into(),
        AttributeValue::Bytes(bytes) => hex::encode(bytes).into(),
        AttributeValue::Array(values) => values.iter().map(json_out).collect(),
        AttributeValue::Map(entries) => {
            let entries = entries.iter().map(|entry| (entry.key.clone(), json_out(&entry.value)));
            serde_json::Value::Object(entries.collect())
        }
        AttributeValue::Empty => serde_json::Value::Null,
    }
}

fn spans_in(raw: guest::Spans) -> Result<Vec<Span>, String> {
    let resource = |attributes| Ok(Arc::new(Resource { attributes: attributes_in(attributes)? }));
    let resources: Vec<Arc<Resource>> =
        raw.resources.into_iter().map(resource).collect::<Result<_, String>>()?;
    let scope = |scope: guest::Scope| {
        let guest::Scope { name, version, attributes } = scope;
        Ok(Arc::new(Scope { name, version, attributes: attributes_in(attributes)? }))
    };
    let scopes: Vec<Arc<Scope>> = raw.scopes.into_iter().map(scope).collect::<Result<_, String>>()?;
    let find = |index: u32| usize::try_from(index).unwrap_or(usize::MAX);
    raw.spans
        .into_iter()
        .map(|span| {
            let out_of_range =
                |what: &str, index: u32| format!("a span names {what} {index}, which is not there");
            Ok(Span {
                trace_id: trace_id(&span.trace_id)?,
                span_id: span_id(&span.span_id)?,
                parent_span_id: match span.parent_span_id.as_slice() {
                    [] => SpanId::default(),
                    id => span_id(id)?,
                },
                trace_state: span.trace_state,
                flags: span.trace_flags,
                name: span.name,
                kind: kind_in(span.kind),
                start_unix_nanos: span.start_ns,
                end_unix_nanos: span.end_ns,
                attributes: attributes_in(span.attributes)?,
                events: span.events.into_iter().map(event_in).collect::<Result<_, String>>()?,
                links: span.links.into_iter().map(link_in).collect::<Result<_, String>>()?,
                status: match span.status {
                    guest::StatusCode::Unset => StatusCode::Unset,
                    guest::StatusCode::Ok => StatusCode::Ok,
                    guest::StatusCode::Error => StatusCode::Error,
                },
                status_message: span.status_message,
                resource: resources
                    .get(find(span.resource_index))
                    .cloned()
                    .ok_or_else(|| out_of_range("resource", span.resource_index))?,
                scope: scopes
                    .get(find(span.scope_index))
                    .cloned()
                    .ok_or_else(|| out_of_range("scope", span.scope_index))?,
            })
        })
        .collect()
}

fn trace_id(bytes: &[u8]) -> Result<TraceId, String> {
    bytes.try_into().map(TraceId).map_err(|_| format!("a trace id has {} bytes, not 16", bytes.len()))
}

fn span_id(bytes: &[u8]) -> Result<SpanId, String> {
    bytes.try_into().map(SpanId).map_err(|_| format!("a span id has {} bytes, not 8", bytes.len()))
}

fn kind_in(kind: guest::SpanKind) -> SpanKind {
    match kind {
        guest::SpanKind::Unspecified => SpanKind::Unspecified,
        guest::SpanKind::Internal => SpanKind::Internal,
        guest::SpanKind::Server => SpanKind::Server,
        guest::SpanKind::Client => SpanKind::Client,
        guest::SpanKind::Producer => SpanKind::Producer,
        guest::SpanKind::Consumer => SpanKind::Consumer,
    }
}

fn event_in(event: guest::Event) -> Result<SpanEvent, String> {
    let attributes = attributes_in(event.attributes)?;
    Ok(SpanEvent { time_unix_nanos: event.time_ns, name: event.name, attributes })
}

fn link_in(link: guest::Link) -> Result<SpanLink, String> {
    Ok(SpanLink {
        trace_id: trace_id(&link.trace_id)?,
        span_id: span_id(&link.span_id)?,
        trace_state: link.trace_state,
        attributes: attributes_in(link.attributes)?,
    })
}

fn attributes_in(attributes: Vec<guest::Attribute>) -> Result<Vec<Attribute>, String> {
    attributes
        .into_iter()
        .map(|guest::Attribute { key, value }| {
            let value = match value {
                guest::AttributeValue::Text(text) => AttributeValue::String(text),
                guest::AttributeValue::Boolean(value) => AttributeValue::Bool(value),
                guest::AttributeValue::Int(value) => AttributeValue::Int(value),
                guest::AttributeValue::Double(value) => AttributeValue::Double(value),
                guest::AttributeValue::Bytes(bytes) => AttributeValue::Bytes(bytes),
                guest::AttributeValue::Empty => AttributeValue::Empty,
                guest::AttributeValue::Json(text) => {
                    let json = serde_json::from_str(&text)
                        .map_err(|error| format!("attribute {key:?} is no JSON: {error}"))?;
                    json_in(json, JSON_DEPTH_MAX)
                        .ok_or_else(|| format!("attribute {key:?} is nested too deep"))?
                }
            };
            Ok(Attribute { key, value })
        })
        .collect()
}

fn json_in(value: serde_json::Value, depth_left: usize) -> Option<AttributeValue> {
    let below = depth_left.checked_sub(1)?;
    Some(match value {
        serde_json::Value::Null => AttributeValue::Empty,
        serde_json::Value::Bool(value) => AttributeValue::Bool(value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(value) => AttributeValue::Int(value),
            None => AttributeValue::Double(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => AttributeValue::String(text),
        serde_json::Value::Array(values) => AttributeValue::Array(
            values.into_iter().map(|value| json_in(value, below)).collect::<Option<_>>()?,
        ),
        serde_json::Value::Object(entries) => AttributeValue::Map(
            entries
                .into_iter()
                .map(|(key, value)| Some(Attribute { key, value: json_in(value, below)? }))
                .collect::<Option<_>>()?,
        ),
    })
}

#[cfg(test)]
mod tests;
