//! Conditions on spans: what a TraceQL span filter or a list of tags is parsed into, and how it is decided.
//!
//! A comparison holds only where the value is there and can be compared: `span.x != "a"` says no of a span
//! without `x`, as Tempo does. There is no negation, so that an answer that is too generous in one comparison can
//! only make the whole too generous; searches use this to look at spans before their trace is known.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::cmp::Ordering;

use model::span::{Attribute, AttributeValue, Span, SpanKind, StatusCode};
use regex::Regex;

/// The words that stand for parts of a span, as TraceQL writes them without a scope.
pub(crate) const INTRINSIC_NAMES: [&str; 8] =
    ["duration", "kind", "name", "rootName", "rootServiceName", "status", "statusMessage", "traceDuration"];

/// Stands for the root's names while the root has not arrived; Tempo's own words.
pub(crate) const ROOT_MISSING: &str = "<root span not yet received>";

/// What a comparison looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Name,
    Status,
    StatusMessage,
    Kind,
    Duration,
    TraceDuration,
    RootName,
    RootServiceName,
    TraceId,
    SpanId,
    Resource(String),
    Span(String),
    /// On the span or else on its resource.
    Either(String),
}

/// What a field is compared with.
#[derive(Clone, Debug)]
pub(crate) enum Literal {
    Text(String),
    Pattern(Regex),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// Nanoseconds.
    Duration(u64),
    Status(StatusCode),
    Kind(SpanKind),
    /// Absence.
    Nil,
    /// What a tag filter gives: the value's text, whatever its type.
    AnyText(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CompareOp {
    Equal,
    NotEqual,
    Matches,
    NotMatches,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
}

/// A condition on one span.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Constant(bool),
    Compare { field: Field, op: CompareOp, literal: Literal },
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

/// What is known of the trace that a span belongs to.
pub(crate) struct TraceFacts<'a> {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) root: Option<&'a Span>,
}

impl<'a> TraceFacts<'a> {
    /// Of the spans of one trace, which must not be empty.
    pub(crate) fn of(spans: &'a [Span]) -> Self {
        Self {
            start: spans.iter().map(|s| s.start_unix_nanos).min().unwrap_or(0),
            end: spans.iter().map(|s| s.end_unix_nanos.max(s.start_unix_nanos)).max().unwrap_or(0),
            root: spans.iter().find(|s| s.parent_span_id.is_zero()),
        }
    }

    pub(crate) const fn duration(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    pub(crate) fn root_name(&self) -> &'a str {
        self.root.map_or(ROOT_MISSING, |root| &root.name)
    }

    pub(crate) fn root_service(&self) -> &'a str {
        self.root.map_or(ROOT_MISSING, |root| root.resource.service_name())
    }
}

impl Condition {
    /// Whether a span meets the condition. Without facts of its trace, what depends on them counts as met.
    pub(crate) fn holds(&self, span: &Span, trace: Option<&TraceFacts<'_>>) -> bool {
        match self {
            Self::Constant(value) => *value,
            Self::All(inner) => inner.iter().all(|c| c.holds(span, trace)),
            Self::Any(inner) => inner.iter().any(|c| c.holds(span, trace)),
            Self::Compare { field, op, literal } => compare(field, *op, literal, span, trace),
        }
    }

    /// A service that every matching span comes from, where the condition names one.
    pub(crate) fn required_service(&self) -> Option<&str> {
        match self {
            Self::Compare {
                field: Field::Resource(key),
                op: CompareOp::Equal,
                literal: Literal::Text(text),
            } if key == "service.name" => Some(text),
            Self::All(inner) => inner.iter().find_map(Self::required_service),
            _ => None,
        }
    }

    /// The fields that the condition looks at, each once.
    pub(crate) fn fields<'a>(&'a self, into: &mut Vec<&'a Field>) {
        match self {
            Self::Constant(_) => {}
            Self::All(inner) | Self::Any(inner) => inner.iter().for_each(|c| c.fields(into)),
            Self::Compare { field, .. } => {
                if !into.contains(&field) {
                    into.push(field);
                }
            }
        }
    }
}

impl Field {
    /// The attribute that the field names on this span.
    pub(crate) fn attribute<'s>(&self, span: &'s Span) -> Option<&'s Attribute> {
        let find = |attributes: &'s [Attribute], key: &str| attributes.iter().find(|a| a.key == key);
        match self {
            Self::Span(key) => find(&span.attributes, key),
            Self::Resource(key) => find(&span.resource.attributes, key),
            Self::Either(key) => find(&span.attributes, key).or_else(|| find(&span.resource.attributes, key)),
            _ => None,
        }
    }
}

fn compare(
    field: &Field,
    op: CompareOp,
    literal: &Literal,
    span: &Span,
    trace: Option<&TraceFacts<'_>>,
) -> bool {
    match field {
        Field::Name => text(op, literal, &span.name),
        Field::StatusMessage => text(op, literal, &span.status_message),
        Field::TraceId => text(op, literal, &span.trace_id.to_string()),
        Field::SpanId => text(op, literal, &span.span_id.to_string()),
        Field::Status => match literal {
            Literal::Status(status) => equality(op, span.status == *status),
            _ => text(op, literal, status_word(span.status)),
        },
        Field::Kind => match literal {
            Literal::Kind(kind) => equality(op, span.kind == *kind),
            _ => text(op, literal, kind_word(span.kind)),
        },
        Field::Duration => duration(op, literal, span.duration_nanos()),
        Field::TraceDuration => trace.is_none_or(|t| duration(op, literal, t.duration())),
        Field::RootName => trace.is_none_or(|t| text(op, literal, t.root_name())),
        Field::RootServiceName => trace.is_none_or(|t| text(op, literal, t.root_service())),
        Field::Resource(_) | Field::Span(_) | Field::Either(_) => {
            let attribute = field.attribute(span);
            if let Literal::Nil = literal {
                return equality(op, attribute.is_none());
            }
            attribute.is_some_and(|a| value(op, literal, &a.value))
        }
    }
}

fn value(op: CompareOp, literal: &Literal, of: &AttributeValue) -> bool {
    match (of, literal) {
        (AttributeValue::Array(values), _) => values.iter().any(|inner| value(op, literal, inner)),
        (AttributeValue::String(found), _) => text(op, literal, found),
        (_, Literal::AnyText(wanted)) => equality(op, of.to_text() == *wanted),
        (AttributeValue::Bool(found), Literal::Bool(wanted)) => equality(op, found == wanted),
        (AttributeValue::Int(found), Literal::Int(wanted)) => ordering(op, Some(found.cmp(wanted))),
        (AttributeValue::Int(found), Literal::Float(wanted)) => {
            ordering(op, (*found as f64).partial_cmp(wanted))
        }
        (AttributeValue::Double(found), Literal::Int(wanted)) => {
            ordering(op, found.partial_cmp(&(*wanted as f64)))
        }
        (AttributeValue::Double(found), Literal::Float(wanted)) => ordering(op, found.partial_cmp(wanted)),
        _ => false,
    }
}

fn text(op: CompareOp, literal: &Literal, found: &str) -> bool {
    match literal {
        Literal::Text(wanted) | Literal::AnyText(wanted) => ordering(op, Some(found.cmp(wanted.as_str()))),
        Literal::Pattern(pattern) => match op {
            CompareOp::Matches => pattern.is_match(found),
            CompareOp::NotMatches => !pattern.is_match(found),
            _ => false,
        },
        _ => false,
    }
}

fn duration(op: CompareOp, literal: &Literal, found: u64) -> bool {
    match literal {
        Literal::Duration(wanted) => ordering(op, Some(found.cmp(wanted))),
        // A bare number is nanoseconds, as in TraceQL.
        Literal::Int(wanted) => ordering(op, Some(i128::from(found).cmp(&i128::from(*wanted)))),
        _ => false,
    }
}

const fn equality(op: CompareOp, equal: bool) -> bool {
    match op {
        CompareOp::Equal => equal,
        CompareOp::NotEqual => !equal,
        _ => false,
    }
}

fn ordering(op: CompareOp, found: Option<Ordering>) -> bool {
    let Some(found) = found else { return op == CompareOp::NotEqual };
    match op {
        CompareOp::Equal => found.is_eq(),
        CompareOp::NotEqual => found.is_ne(),
        CompareOp::Greater => found.is_gt(),
        CompareOp::GreaterEqual => found.is_ge(),
        CompareOp::Less => found.is_lt(),
        CompareOp::LessEqual => found.is_le(),
        CompareOp::Matches | CompareOp::NotMatches => false,
    }
}

/// TraceQL's word for a status.
pub(crate) const fn status_word(status: StatusCode) -> &'static str {
    match status {
        StatusCode::Unset => "unset",
        StatusCode::Ok => "ok",
        StatusCode::Error => "error",
    }
}

/// TraceQL's word for a kind.
pub(crate) const fn kind_word(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Unspecified => "unspecified",
        SpanKind::Internal => "internal",
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
    }
}

/// The statuses and kinds, by their words.
pub(crate) const STATUSES: [StatusCode; 3] = [StatusCode::Unset, StatusCode::Ok, StatusCode::Error];
pub(crate) const SPAN_KINDS: [SpanKind; 6] = [
    SpanKind::Unspecified,
    SpanKind::Internal,
    SpanKind::Server,
    SpanKind::Client,
    SpanKind::Producer,
    SpanKind::Consumer,
];
