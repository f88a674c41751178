//! A batch of spans as bytes: what one record of a segment holds, before compression.
//!
//! ```text
//! batch     = strings resources scopes spans
//! strings   = count { length bytes }              each distinct text once, UTF-8; others name it by position
//! resources = count { attributes }
//! scopes    = count { name version attributes }
//! spans     = count { trace_id(16) span_id(8) parent(8) resource scope name kind(1) status(1) flags
//!                     start duration trace_state status_message attributes events links }
//! attributes = count { key value }
//! value     = tag(1) then: 1 text | 2 false | 3 true | 4 signed | 5 f64 bits(8) | 6 length bytes
//!                        | 7 count { value } | 8 attributes | 0 nothing
//! events    = count { time name attributes }
//! links     = count { trace_id(16) span_id(8) trace_state attributes }
//! ```
//! Counts, lengths, positions and flags are varints. `start` is the signed difference from the span before
//! (from 0 in the first), `duration` the signed `end - start`, an event's `time` the signed difference from the
//! span's start, all modulo 2^64: every span comes back bit for bit.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::sync::Arc;

use ahash::AHashMap;
use model::span::{
    Attribute, AttributeValue, Resource, Scope, Span, SpanEvent, SpanId, SpanKind, SpanLink, StatusCode,
    TraceId,
};

use crate::encoding::{Cursor, Decoded, Malformed, put_signed, put_text, put_varint};

/// How deep lists and maps may nest in an attribute. OpenTelemetry's SDKs make one or two levels; the bound keeps
/// recursion, here and in whatever walks the value later, off the end of the stack.
pub(crate) const ATTRIBUTE_DEPTH_MAX: usize = 16;

const SPAN_BYTES_MIN: usize = 16 + 8 + 8 + 12;

/// Collects spans, then gives their bytes. Spans must nest no deeper than [`ATTRIBUTE_DEPTH_MAX`].
#[derive(Default)]
pub(crate) struct BatchWriter<'a> {
    strings: Vec<&'a str>,
    positions: AHashMap<&'a str, u64>,
    resources: Table<Resource>,
    scopes: Table<Scope>,
    spans: Vec<u8>,
    count: u64,
    previous_start: u64,
}

/// Encoded entries, known by the address of the shared value they come from.
struct Table<T> {
    bytes: Vec<u8>,
    positions: AHashMap<*const T, u64>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { bytes: Vec::new(), positions: AHashMap::new() }
    }
}

impl<'a> BatchWriter<'a> {
    pub(crate) fn push(&mut self, span: &'a Span) {
        let resource = self.resource(&span.resource);
        let scope = self.scope(&span.scope);
        let mut out = std::mem::take(&mut self.spans);
        out.extend_from_slice(&span.trace_id.0);
        out.extend_from_slice(&span.span_id.0);
        out.extend_from_slice(&span.parent_span_id.0);
        put_varint(&mut out, resource);
        put_varint(&mut out, scope);
        self.put_ref(&mut out, &span.name);
        out.push(span.kind.number() as u8);
        out.push(span.status.number() as u8);
        put_varint(&mut out, span.flags.into());
        put_signed(&mut out, span.start_unix_nanos.wrapping_sub(self.previous_start) as i64);
        put_signed(&mut out, span.end_unix_nanos.wrapping_sub(span.start_unix_nanos) as i64);
        self.put_ref(&mut out, &span.trace_state);
        self.put_ref(&mut out, &span.status_message);
        self.put_attributes(&mut out, &span.attributes);
        put_varint(&mut out, span.events.len() as u64);
        for event in &span.events {
            put_signed(&mut out, event.time_unix_nanos.wrapping_sub(span.start_unix_nanos) as i64);
            self.put_ref(&mut out, &event.name);
            self.put_attributes(&mut out, &event.attributes);
        }
        put_varint(&mut out, span.links.len() as u64);
        for link in &span.links {
            out.extend_from_slice(&link.trace_id.0);
            out.extend_from_slice(&link.span_id.0);
            self.put_ref(&mut out, &link.trace_state);
            self.put_attributes(&mut out, &link.attributes);
        }
        self.previous_start = span.start_unix_nanos;
        self.count += 1;
        self.spans = out;
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let text: usize = self.strings.iter().map(|s| s.len() + 5).sum();
        let mut out = Vec::with_capacity(
            text + self.resources.bytes.len() + self.scopes.bytes.len() + self.spans.len() + 40,
        );
        put_varint(&mut out, self.strings.len() as u64);
        for text in &self.strings {
            put_text(&mut out, text);
        }
        put_varint(&mut out, self.resources.positions.len() as u64);
        out.extend_from_slice(&self.resources.bytes);
        put_varint(&mut out, self.scopes.positions.len() as u64);
        out.extend_from_slice(&self.scopes.bytes);
        put_varint(&mut out, self.count);
        out.extend_from_slice(&self.spans);
        out
    }

    fn resource(&mut self, resource: &'a Arc<Resource>) -> u64 {
        let next = self.resources.positions.len() as u64;
        let position = *self.resources.positions.entry(Arc::as_ptr(resource)).or_insert(next);
        if position == next {
            let mut out = std::mem::take(&mut self.resources.bytes);
            self.put_attributes(&mut out, &resource.attributes);
            self.resources.bytes = out;
        }
        position
    }

    fn scope(&mut self, scope: &'a Arc<Scope>) -> u64 {
        let next = self.scopes.positions.len() as u64;
        let position = *self.scopes.positions.entry(Arc::as_ptr(scope)).or_insert(next);
        if position == next {
            let mut out = std::mem::take(&mut self.scopes.bytes);
            self.put_ref(&mut out, &scope.name);
            self.put_ref(&mut out, &scope.version);
            self.put_attributes(&mut out, &scope.attributes);
            self.scopes.bytes = out;
        }
        position
    }

    fn put_ref(&mut self, out: &mut Vec<u8>, text: &'a str) {
        let next = self.strings.len() as u64;
        let position = *self.positions.entry(text).or_insert(next);
        if position == next {
            self.strings.push(text);
        }
        put_varint(out, position);
    }

    fn put_attributes(&mut self, out: &mut Vec<u8>, attributes: &'a [Attribute]) {
        put_varint(out, attributes.len() as u64);
        for attribute in attributes {
            self.put_ref(out, &attribute.key);
            self.put_value(out, &attribute.value);
        }
    }

    fn put_value(&mut self, out: &mut Vec<u8>, value: &'a AttributeValue) {
        match value {
            AttributeValue::Empty => out.push(0),
            AttributeValue::String(text) => {
                out.push(1);
                self.put_ref(out, text);
            }
            AttributeValue::Bool(value) => out.push(2 + u8::from(*value)),
            AttributeValue::Int(value) => {
                out.push(4);
                put_signed(out, *value);
            }
            AttributeValue::Double(value) => {
                out.push(5);
                out.extend_from_slice(&value.to_bits().to_le_bytes());
            }
            AttributeValue::Bytes(bytes) => {
                out.push(6);
                put_varint(out, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
            AttributeValue::Array(values) => {
                out.push(7);
                put_varint(out, values.len() as u64);
                for value in values {
                    self.put_value(out, value);
                }
            }
            AttributeValue::Map(entries) => {
                out.push(8);
                self.put_attributes(out, entries);
            }
        }
    }
}

/// Reads a batch back; the spans are in the order in which they were pushed.
pub(crate) fn decode_batch(bytes: &[u8]) -> Decoded<Vec<Span>> {
    let mut cursor = Cursor::new(bytes);
    let reader = BatchReader { strings: read_list(&mut cursor, 1, Cursor::text)? };
    let resources = read_list(&mut cursor, 1, |c| {
        Ok(Arc::new(Resource { attributes: reader.attributes(c, ATTRIBUTE_DEPTH_MAX)? }))
    })?;
    let scopes = read_list(&mut cursor, 3, |c| {
        Ok(Arc::new(Scope {
            name: reader.owned(c)?,
            version: reader.owned(c)?,
            attributes: reader.attributes(c, ATTRIBUTE_DEPTH_MAX)?,
        }))
    })?;
    let mut previous_start = 0;
    let spans = read_list(&mut cursor, SPAN_BYTES_MIN, |c| {
        let span = reader.span(c, previous_start, &resources, &scopes)?;
        previous_start = span.start_unix_nanos;
        Ok(span)
    })?;
    cursor.finish()?;
    Ok(spans)
}

fn read_list<'a, T>(
    cursor: &mut Cursor<'a>,
    item_bytes_min: usize,
    mut read: impl FnMut(&mut Cursor<'a>) -> Decoded<T>,
) -> Decoded<Vec<T>> {
    let count = cursor.count(item_bytes_min)?;
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        items.push(read(cursor)?);
    }
    Ok(items)
}

struct BatchReader<'a> {
    strings: Vec<&'a str>,
}

impl<'a> BatchReader<'a> {
    fn owned(&self, cursor: &mut Cursor<'a>) -> Decoded<String> {
        let position = cursor.varint32()? as usize;
        self.strings.get(position).map(|s| (*s).to_owned()).ok_or(Malformed("text position past the table"))
    }

    fn span(
        &self,
        c: &mut Cursor<'a>,
        previous_start: u64,
        resources: &[Arc<Resource>],
        scopes: &[Arc<Scope>],
    ) -> Decoded<Span> {
        let trace_id = TraceId(c.array()?);
        let span_id = SpanId(c.array()?);
        let parent_span_id = SpanId(c.array()?);
        let resource = resources.get(c.varint32()? as usize).ok_or(Malformed("resource past the table"))?;
        let scope = scopes.get(c.varint32()? as usize).ok_or(Malformed("scope past the table"))?;
        let name = self.owned(c)?;
        let kind = SpanKind::from_number(c.byte()?.into());
        let status = StatusCode::from_number(c.byte()?.into());
        let flags = c.varint32()?;
        let start = previous_start.wrapping_add(c.signed()? as u64);
        let end = start.wrapping_add(c.signed()? as u64);
        let trace_state = self.owned(c)?;
        let status_message = self.owned(c)?;
        let attributes = self.attributes(c, ATTRIBUTE_DEPTH_MAX)?;
        let events = read_list(c, 3, |c| {
            Ok(SpanEvent {
                time_unix_nanos: start.wrapping_add(c.signed()? as u64),
                name: self.owned(c)?,
                attributes: self.attributes(c, ATTRIBUTE_DEPTH_MAX)?,
            })
        })?;
        let links = read_list(c, 26, |c| {
            Ok(SpanLink {
                trace_id: TraceId(c.array()?),
                span_id: SpanId(c.array()?),
                trace_state: self.owned(c)?,
                attributes: self.attributes(c, ATTRIBUTE_DEPTH_MAX)?,
            })
        })?;
        Ok(Span {
            trace_id,
            span_id,
            parent_span_id,
            trace_state,
            flags,
            name,
            kind,
            start_unix_nanos: start,
            end_unix_nanos: end,
            attributes,
            events,
            links,
            status,
            status_message,
            resource: Arc::clone(resource),
            scope: Arc::clone(scope),
        })
    }

    fn attributes(&self, cursor: &mut Cursor<'a>, depth: usize) -> Decoded<Vec<Attribute>> {
        read_list(cursor, 2, |c| Ok(Attribute { key: self.owned(c)?, value: self.value(c, depth)? }))
    }

    fn value(&self, c: &mut Cursor<'a>, depth: usize) -> Decoded<AttributeValue> {
        let below = || depth.checked_sub(1).ok_or(Malformed("attribute nested too deep"));
        Ok(match c.byte()? {
            0 => AttributeValue::Empty,
            1 => AttributeValue::String(self.owned(c)?),
            2 => AttributeValue::Bool(false),
            3 => AttributeValue::Bool(true),
            4 => AttributeValue::Int(c.signed()?),
            5 => AttributeValue::Double(f64::from_bits(u64::from_le_bytes(c.array()?))),
            6 => {
                let length = c.count(1)?;
                AttributeValue::Bytes(c.bytes(length)?.to_vec())
            }
            7 => {
                let below = below()?;
                AttributeValue::Array(read_list(c, 1, |c| self.value(c, below))?)
            }
            8 => AttributeValue::Map(self.attributes(c, below()?)?),
            _ => return Err(Malformed("unknown kind of attribute value")),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
