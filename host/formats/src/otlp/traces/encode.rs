//! Spans, as trace queries answer with them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::span::{Attribute, AttributeValue, Span, SpanEvent, SpanId, SpanLink, StatusCode};
use prost::Message as _;
use serde_json::{Map, Value, json};

use crate::otlp::{attributes, proto};
use crate::wire::MessageWriter;

/// Who reads the JSON of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JsonDialect {
    /// OTLP: ids in hexadecimal, enums as numbers.
    Otlp,
    /// Tempo's `/api/traces`: protobuf's own JSON, with ids in base64 and enums by name, and the list of batches
    /// under its old name `batches`.
    TempoV1,
    /// The trace within the answer of Tempo's `/api/v2/traces`: as the first version, with `resourceSpans`.
    TempoV2,
}

impl JsonDialect {
    fn id(self, bytes: &[u8]) -> String {
        match self {
            Self::Otlp => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            Self::TempoV1 | Self::TempoV2 => BASE64.encode(bytes),
        }
    }

    const fn batches(self) -> &'static str {
        match self {
            Self::Otlp | Self::TempoV2 => "resourceSpans",
            Self::TempoV1 => "batches",
        }
    }

    fn enumeration(self, number: i32, name: &str) -> Value {
        match self {
            Self::Otlp => number.into(),
            Self::TempoV1 | Self::TempoV2 => name.into(),
        }
    }
}

/// Spans of one scope; never empty.
type Group<'a> = Vec<&'a Span>;

/// Groups spans by resource, and each of those by scope; groups and spans stay in the order in which they
/// first came.
fn batches(spans: &[Span]) -> Vec<Vec<Group<'_>>> {
    let mut batches: Vec<Vec<Group<'_>>> = Vec::new();
    for span in spans {
        // Spans of one batch come together, so that the newest group is the likeliest.
        let batch = batches
            .iter_mut()
            .rev()
            .find(|batch| first(batch).is_some_and(|s| same(&s.resource, &span.resource)));
        let Some(batch) = batch else {
            batches.push(vec![vec![span]]);
            continue;
        };
        let group =
            batch.iter_mut().rev().find(|group| group.first().is_some_and(|s| same(&s.scope, &span.scope)));
        match group {
            Some(group) => group.push(span),
            None => batch.push(vec![span]),
        }
    }
    batches
}

fn first<'a>(batch: &[Group<'a>]) -> Option<&'a Span> {
    batch.first().and_then(|group| group.first()).copied()
}

/// Spans that came together share by pointer; those that came in several requests may still be equal.
fn same<T: PartialEq>(a: &Arc<T>, b: &Arc<T>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

/// Spans as a `TracesData` message, which is also Tempo's `Trace`.
pub fn encode_protobuf(spans: &[Span]) -> Vec<u8> {
    let resource_spans = batches(spans)
        .iter()
        .map(|batch| proto::ResourceSpans {
            resource: first(batch)
                .map(|s| proto::Resource { attributes: attributes::to_proto(&s.resource.attributes) }),
            scope_spans: batch
                .iter()
                .map(|group| proto::ScopeSpans {
                    scope: group.first().map(|s| proto::InstrumentationScope {
                        name: s.scope.name.clone(),
                        version: s.scope.version.clone(),
                        attributes: attributes::to_proto(&s.scope.attributes),
                    }),
                    spans: group.iter().map(|span| span_to_proto(span)).collect(),
                })
                .collect(),
        })
        .collect();
    proto::ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// Spans as Tempo's `TraceByIDResponse`, in which its second API version wraps a trace.
pub fn encode_trace_by_id_response(spans: &[Span]) -> Vec<u8> {
    let mut bytes = Vec::new();
    MessageWriter(&mut bytes).bytes(1, &encode_protobuf(spans));
    bytes
}

fn span_to_proto(span: &Span) -> proto::Span {
    let status = (span.status != StatusCode::Unset || !span.status_message.is_empty())
        .then(|| proto::Status { message: span.status_message.clone(), code: span.status.number() });
    proto::Span {
        trace_id: span.trace_id.0.to_vec(),
        span_id: span.span_id.0.to_vec(),
        trace_state: span.trace_state.clone(),
        parent_span_id: parent(span.parent_span_id),
        name: span.name.clone(),
        kind: span.kind.number(),
        start_time_unix_nano: span.start_unix_nanos,
        end_time_unix_nano: span.end_unix_nanos,
        attributes: attributes::to_proto(&span.attributes),
        events: span
            .events
            .iter()
            .map(|e| proto::Event {
                time_unix_nano: e.time_unix_nanos,
                name: e.name.clone(),
                attributes: attributes::to_proto(&e.attributes),
            })
            .collect(),
        links: span
            .links
            .iter()
            .map(|l| proto::Link {
                trace_id: l.trace_id.0.to_vec(),
                span_id: l.span_id.0.to_vec(),
                trace_state: l.trace_state.clone(),
                attributes: attributes::to_proto(&l.attributes),
            })
            .collect(),
        status,
        flags: span.flags,
    }
}

/// A root has no parent, rather than one of zeros.
fn parent(id: SpanId) -> Vec<u8> {
    if id.is_zero() { Vec::new() } else { id.0.to_vec() }
}

/// Spans as JSON, in the shape of a `TracesData` message. Fields that would be empty are left out.
pub fn encode_json(spans: &[Span], dialect: JsonDialect) -> Value {
    let batches: Vec<Value> = batches(spans)
        .iter()
        .map(|batch| {
            let resource = first(batch).map_or(&[][..], |s| &s.resource.attributes);
            let scope_spans: Vec<Value> = batch.iter().map(|group| scope_json(group, dialect)).collect();
            json!({"resource": {"attributes": attributes_json(resource)}, "scopeSpans": scope_spans})
        })
        .collect();
    json!({ dialect.batches(): batches })
}

fn scope_json(group: &[&Span], dialect: JsonDialect) -> Value {
    let mut scope = Fields::default();
    if let Some(span) = group.first() {
        scope.text("name", &span.scope.name);
        scope.text("version", &span.scope.version);
        scope.attributes(&span.scope.attributes);
    }
    let spans: Vec<Value> = group.iter().map(|span| span_json(span, dialect)).collect();
    json!({"scope": scope.0, "spans": spans})
}

fn span_json(span: &Span, dialect: JsonDialect) -> Value {
    let mut fields = Fields::default();
    fields.set("traceId", dialect.id(&span.trace_id.0));
    fields.set("spanId", dialect.id(&span.span_id.0));
    fields.text("traceState", &span.trace_state);
    if !span.parent_span_id.is_zero() {
        fields.set("parentSpanId", dialect.id(&span.parent_span_id.0));
    }
    if span.flags != 0 {
        fields.set("flags", span.flags);
    }
    fields.set("name", span.name.as_str());
    fields.set("kind", dialect.enumeration(span.kind.number(), span.kind.as_str()));
    fields.set("startTimeUnixNano", span.start_unix_nanos.to_string());
    fields.set("endTimeUnixNano", span.end_unix_nanos.to_string());
    fields.attributes(&span.attributes);
    fields.list("events", span.events.iter().map(event_json));
    fields.list("links", span.links.iter().map(|link| link_json(link, dialect)));
    let mut status = Fields::default();
    status.text("message", &span.status_message);
    if span.status != StatusCode::Unset {
        status.set("code", dialect.enumeration(span.status.number(), span.status.as_str()));
    }
    fields.set("status", status.0);
    Value::Object(fields.0)
}

fn event_json(event: &SpanEvent) -> Value {
    let mut fields = Fields::default();
    fields.set("timeUnixNano", event.time_unix_nanos.to_string());
    fields.set("name", event.name.as_str());
    fields.attributes(&event.attributes);
    Value::Object(fields.0)
}

fn link_json(link: &SpanLink, dialect: JsonDialect) -> Value {
    let mut fields = Fields::default();
    fields.set("traceId", dialect.id(&link.trace_id.0));
    fields.set("spanId", dialect.id(&link.span_id.0));
    fields.text("traceState", &link.trace_state);
    fields.attributes(&link.attributes);
    Value::Object(fields.0)
}

/// An object whose empty fields are left out.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.set(name, text);
        }
    }

    fn list(&mut self, name: &str, items: impl ExactSizeIterator<Item = Value>) {
        if items.len() > 0 {
            self.set(name, items.collect::<Vec<_>>());
        }
    }

    fn attributes(&mut self, attributes: &[Attribute]) {
        if !attributes.is_empty() {
            self.set("attributes", attributes_json(attributes));
        }
    }
}

fn attributes_json(attributes: &[Attribute]) -> Vec<Value> {
    attributes.iter().map(|a| json!({"key": a.key, "value": value_json(&a.value)})).collect()
}

fn value_json(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::String(text) => json!({ "stringValue": text }),
        AttributeValue::Bool(flag) => json!({ "boolValue": flag }),
        AttributeValue::Int(number) => json!({ "intValue": number.to_string() }),
        AttributeValue::Double(number) if number.is_finite() => json!({ "doubleValue": number }),
        AttributeValue::Double(number) => {
            let text = if number.is_nan() {
                "NaN"
            } else if *number > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            };
            json!({ "doubleValue": text })
        }
        AttributeValue::Bytes(bytes) => json!({ "bytesValue": BASE64.encode(bytes) }),
        AttributeValue::Array(values) => {
            let values: Vec<Value> = values.iter().map(value_json).collect();
            json!({"arrayValue": {"values": values}})
        }
        AttributeValue::Map(entries) => json!({"kvlistValue": {"values": attributes_json(entries)}}),
        AttributeValue::Empty => json!({}),
    }
}
