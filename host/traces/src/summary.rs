//! What a search gives back, in the JSON of Tempo's `/api/search`.
//!
//! Numbers of nanoseconds are strings there, since JavaScript cannot hold them; `spanSet` repeats the first of
//! `spanSets` for older clients.

use model::span::{AttributeValue, Span};
use serde::{Serialize, Serializer};

use crate::query::{Field, TraceFacts, kind_word, status_word};

/// One trace that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceSummary {
    /// The id, 32 hexadecimal digits.
    #[serde(rename = "traceID")]
    pub trace_id: String,
    /// The service of the root span; a phrase of Tempo's where the root is missing.
    pub root_service_name: String,
    /// The name of the root span; likewise.
    pub root_trace_name: String,
    /// Start of the first span.
    #[serde(serialize_with = "as_text")]
    pub start_time_unix_nano: u64,
    /// From the first start to the last end.
    pub duration_ms: u32,
    /// The first of `span_sets`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_set: Option<SpanSet>,
    /// The spans that matched: exactly one set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub span_sets: Vec<SpanSet>,
}

/// Spans of one trace that matched.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpanSet {
    /// The first few, by start.
    pub spans: Vec<MatchedSpan>,
    /// How many there are in all.
    pub matched: u32,
}

/// One span that matched.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MatchedSpan {
    /// The id, 16 hexadecimal digits.
    #[serde(rename = "spanID")]
    pub span_id: String,
    /// Its name.
    pub name: String,
    /// Its start.
    #[serde(serialize_with = "as_text")]
    pub start_time_unix_nano: u64,
    /// How long it took.
    #[serde(serialize_with = "as_text")]
    pub duration_nanos: u64,
    /// The attributes that the query looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<MatchedAttribute>,
}

/// An attribute of a span that matched.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MatchedAttribute {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: MatchedValue,
}

/// A value in OTLP's JSON; bytes, lists and maps are given as text.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MatchedValue {
    /// Text.
    StringValue(String),
    /// A whole number, a string in JSON.
    #[serde(serialize_with = "as_text")]
    IntValue(i64),
    /// A number.
    DoubleValue(f64),
    /// True or false.
    BoolValue(bool),
}

impl From<&AttributeValue> for MatchedValue {
    fn from(value: &AttributeValue) -> Self {
        match value {
            AttributeValue::Int(value) => Self::IntValue(*value),
            AttributeValue::Double(value) => Self::DoubleValue(*value),
            AttributeValue::Bool(value) => Self::BoolValue(*value),
            other => Self::StringValue(other.to_text()),
        }
    }
}

impl TraceSummary {
    /// Of a trace and those of its spans that matched.
    pub(crate) fn new(
        facts: &TraceFacts<'_>,
        matched: &[&Span],
        fields: &[&Field],
        spans_per_span_set: usize,
    ) -> Option<Self> {
        let trace_id = matched.first()?.trace_id.to_string();
        let spans =
            matched.iter().take(spans_per_span_set).map(|span| MatchedSpan::new(span, fields)).collect();
        let set = SpanSet { spans, matched: u32::try_from(matched.len()).unwrap_or(u32::MAX) };
        Some(Self {
            trace_id,
            root_service_name: facts.root_service().to_owned(),
            root_trace_name: facts.root_name().to_owned(),
            start_time_unix_nano: facts.start,
            duration_ms: u32::try_from(facts.duration() / 1_000_000).unwrap_or(u32::MAX),
            span_set: Some(set.clone()),
            span_sets: vec![set],
        })
    }
}

impl MatchedSpan {
    fn new(span: &Span, fields: &[&Field]) -> Self {
        let text = |key: &str, word: &str| {
            Some(MatchedAttribute { key: key.to_owned(), value: MatchedValue::StringValue(word.to_owned()) })
        };
        let attributes = fields.iter().filter_map(|field| match field {
            Field::Status => text("status", status_word(span.status)),
            Field::Kind => text("kind", kind_word(span.kind)),
            _ => field
                .attribute(span)
                .map(|a| MatchedAttribute { key: a.key.clone(), value: MatchedValue::from(&a.value) }),
        });
        Self {
            span_id: span.span_id.to_string(),
            name: span.name.clone(),
            start_time_unix_nano: span.start_unix_nanos,
            duration_nanos: span.duration_nanos(),
            attributes: attributes.collect(),
        }
    }
}

fn as_text<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
