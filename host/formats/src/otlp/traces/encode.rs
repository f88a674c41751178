//! Spans, as trace queries answer with them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::span::{Attribute, AttributeValue, Span, SpanEvent, SpanId, SpanLink, StatusCode};
use prost::Message as _;
use serde_json::{Map, Value, json};

use crate::otlp::{attributes, proto};
use crate::wire::MessageWriter;

/// How JSON writes the ids of traces and spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdEncoding {
    /// Hexadecimal: OTLP's own JSON.
    Hex,
    /// Base64: Tempo's, which is protobuf's standard JSON.
    Base64,
}

impl IdEncoding {
    fn id(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            Self::Base64 => BASE64.encode(bytes),
        }
    }

    /// What the list of a trace's batches is called where ids are written like this.
    const fn batches(self) -> &'static str {
        match self {
            Self::Hex => "resourceSpans",
            Self::Base64 => "batches",
        }
    }

    /// Enums are numbers in OTLP's JSON and names in protobuf's.
    fn enumeration(self, number: i32, name: &str) -> Value {
        match self {
            Self::Hex => number.into(),
            Self::Base64 => name.into(),
        }
    }
}

/// Spans of one resource, in groups of one scope each.
struct Batch<'a> {
    scopes: Vec<Vec<&'a Span>>,
}

/// Groups spans by resource and scope; groups and spans stay in the order in which they first came.
fn batches(spans: &[Span]) -> Vec<Batch<'_>> {
    let mut batches: Vec<Batch<'_>> = Vec::new();
    for span in spans {
        let same_resource =
            |batch: &&mut Batch<'_>| first(&batch.scopes).is_some_and(|s| same(&s.resource, &span.resource));
        // Spans of one batch come together, so that the newest group is the likeliest.
        let scopes = match batches.iter_mut().rev().find(same_resource) {
            Some(batch) => &mut batch.scopes,
            None => {
                batches.push(Batch { scopes: Vec::new() });
                match batches.last_mut() {
                    Some(batch) => &mut batch.scopes,
                    None => continue,
                }
            }
        };
        let same_scope = |group: &&mut Vec<&Span>| group.first().is_some_and(|s| same(&s.scope, &span.scope));
        match scopes.iter_mut().rev().find(same_scope) {
            Some(group) => group.push(span),
            None => scopes.push(vec![span]),
        }
    }
    batches
}

fn first<'a>(scopes: &[Vec<&'a Span>]) -> Option<&'a Span> {
    scopes.first().and_then(|group| group.first()).copied()
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
            resource: first(&batch.scopes)
                .map(|s| proto::Resource { attributes: attributes::to_proto(&s.resource.attributes) }),
            scope_spans: batch
                .scopes
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

/// Spans as JSON: OTLP's `TracesData` with [`IdEncoding::Hex`], Tempo's `Trace` with [`IdEncoding::Base64`].
/// Fields that would be empty are left out.
pub fn encode_json(spans: &[Span], ids: IdEncoding) -> Value {
    let batches: Vec<Value> = batches(spans)
        .iter()
        .map(|batch| {
            let resource = first(&batch.scopes).map_or(&[][..], |s| &s.resource.attributes);
            let scope_spans: Vec<Value> = batch.scopes.iter().map(|group| scope_json(group, ids)).collect();
            json!({"resource": {"attributes": attributes_json(resource)}, "scopeSpans": scope_spans})
        })
        .collect();
    json!({ ids.batches(): batches })
}

fn scope_json(group: &[&Span], ids: IdEncoding) -> Value {
    let mut scope = Fields::default();
    if let Some(span) = group.first() {
        scope.text("name", &span.scope.name);
        scope.text("version", &span.scope.version);
        scope.attributes(&span.scope.attributes);
    }
    let spans: Vec<Value> = group.iter().map(|span| span_json(span, ids)).collect();
    json!({"scope": scope.0, "spans": spans})
}

fn span_json(span: &Span, ids: IdEncoding) -> Value {
    let mut fields = Fields::default();
    fields.set("traceId", ids.id(&span.trace_id.0));
    fields.set("spanId", ids.id(&span.span_id.0));
    fields.text("traceState", &span.trace_state);
    if !span.parent_span_id.is_zero() {
        fields.set("parentSpanId", ids.id(&span.parent_span_id.0));
    }
    if span.flags != 0 {
        fields.set("flags", span.flags);
    }
    fields.set("name", span.name.as_str());
    fields.set("kind", ids.enumeration(span.kind.number(), span.kind.as_str()));
    fields.set("startTimeUnixNano", span.start_unix_nanos.to_string());
    fields.set("endTimeUnixNano", span.end_unix_nanos.to_string());
    fields.attributes(&span.attributes);
    fields.list("events", span.events.iter().map(event_json));
    fields.list("links", span.links.iter().map(|link| link_json(link, ids)));
    let mut status = Fields::default();
    status.text("message", &span.status_message);
    if span.status != StatusCode::Unset {
        status.set("code", ids.enumeration(span.status.number(), span.status.as_str()));
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

fn link_json(link: &SpanLink, ids: IdEncoding) -> Value {
    let mut fields = Fields::default();
    fields.set("traceId", ids.id(&link.trace_id.0));
    fields.set("spanId", ids.id(&link.span_id.0));
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
