//! Spans: one timed operation within a trace. The shape is OpenTelemetry's (trace data model 1.x), since that
//! is how spans arrive and how they are given back.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Names a trace. All zeros is invalid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TraceId(pub [u8; 16]);

/// Names a span within its trace. All zeros stands for "none".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SpanId(pub [u8; 8]);

/// A text that is no id of that length in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of at most {digits_max} hexadecimal digits: {text:?}")]
pub struct IdError {
    /// What was given.
    pub text: String,
    /// How many digits such an id has.
    pub digits_max: usize,
}

impl TraceId {
    /// Whether this is the invalid id.
    pub fn is_zero(self) -> bool {
        self.0 == [0; 16]
    }
}

impl SpanId {
    /// Whether this stands for "none".
    pub fn is_zero(self) -> bool {
        self.0 == [0; 8]
    }
}

/// Hexadecimal, either case; shorter texts are padded with zeros on the left, as Tempo and Jaeger do.
impl FromStr for TraceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        parse_hex(text).map(Self)
    }
}

/// As for [`TraceId`].
impl FromStr for SpanId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        parse_hex(text).map(Self)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], IdError> {
    let error = || IdError { text: text.to_owned(), digits_max: 2 * N };
    if text.is_empty() || text.len() > 2 * N {
        return Err(error());
    }
    let mut bytes = [0; N];
    for (position, digit) in text.bytes().rev().enumerate() {
        let nibble = char::from(digit).to_digit(16).ok_or_else(error)? as u8;
        bytes[N - 1 - position / 2] |= nibble << (4 * (position % 2));
    }
    Ok(bytes)
}

/// Who did the work, seen from the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum SpanKind {
    /// Nobody said.
    #[default]
    Unspecified,
    /// Within one process.
    Internal,
    /// Answers a remote caller.
    Server,
    /// Calls a remote server.
    Client,
    /// Sends a message.
    Producer,
    /// Takes a message.
    Consumer,
}

impl SpanKind {
    /// OpenTelemetry's enum name, as span metrics label it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "SPAN_KIND_UNSPECIFIED",
            Self::Internal => "SPAN_KIND_INTERNAL",
            Self::Server => "SPAN_KIND_SERVER",
            Self::Client => "SPAN_KIND_CLIENT",
            Self::Producer => "SPAN_KIND_PRODUCER",
            Self::Consumer => "SPAN_KIND_CONSUMER",
        }
    }

    /// OpenTelemetry's number; unknown numbers are unspecified.
    pub const fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Internal,
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Unspecified,
        }
    }

    /// OpenTelemetry's number.
    pub const fn number(self) -> i32 {
        match self {
            Self::Unspecified => 0,
            Self::Internal => 1,
            Self::Server => 2,
            Self::Client => 3,
            Self::Producer => 4,
            Self::Consumer => 5,
        }
    }
}

/// How the operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum StatusCode {
    /// Nobody said.
    #[default]
    Unset,
    /// Declared a success.
    Ok,
    /// Failed.
    Error,
}

impl StatusCode {
    /// OpenTelemetry's enum name, as span metrics label it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unset => "STATUS_CODE_UNSET",
            Self::Ok => "STATUS_CODE_OK",
            Self::Error => "STATUS_CODE_ERROR",
        }
    }

    /// OpenTelemetry's number; unknown numbers are unset.
    pub const fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Ok,
            2 => Self::Error,
            _ => Self::Unset,
        }
    }

    /// OpenTelemetry's number.
    pub const fn number(self) -> i32 {
        match self {
            Self::Unset => 0,
            Self::Ok => 1,
            Self::Error => 2,
        }
    }
}

/// An attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeValue {
    /// Text.
    String(String),
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Values, in order.
    Array(Vec<AttributeValue>),
    /// Named values, in order.
    Map(Vec<Attribute>),
    /// Nothing.
    Empty,
}

impl AttributeValue {
    /// As text, for labels and searches: strings as they are, numbers in decimal, lists and maps as JSON-like
    /// text.
    pub fn to_text(&self) -> String {
        match self {
            Self::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => write!(f, "{text:?}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Double(value) => write!(f, "{value}"),
            Self::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Array(values) => {
                f.write_str("[")?;
                for (i, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if i > 0 { "," } else { "" })?;
                }
                f.write_str("]")
            }
            Self::Map(entries) => {
                f.write_str("{")?;
                for (i, entry) in entries.iter().enumerate() {
                    write!(f, "{}{:?}:{}", if i > 0 { "," } else { "" }, entry.key, entry.value)?;
                }
                f.write_str("}")
            }
            Self::Empty => Ok(()),
        }
    }
}

/// A named value.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// The name, for example `http.route`.
    pub key: String,
    /// The value.
    pub value: AttributeValue,
}

/// What a batch of spans comes from: a process, most often.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Resource {
    /// Its attributes, `service.name` among them.
    pub attributes: Vec<Attribute>,
}

impl Resource {
    /// The service's name, or OpenTelemetry's fallback for a resource without one.
    pub fn service_name(&self) -> &str {
        self.attributes
            .iter()
            .find(|a| a.key == "service.name")
            .and_then(
                |a| if let AttributeValue::String(name) = &a.value { Some(name.as_str()) } else { None },
            )
            .unwrap_or("unknown_service")
    }
}

/// The instrumentation that made a span.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Scope {
    /// The library's name.
    pub name: String,
    /// The library's version.
    pub version: String,
    /// Further attributes.
    pub attributes: Vec<Attribute>,
}

/// Something that happened at one moment of a span.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SpanEvent {
    /// Nanoseconds since the Unix epoch.
    pub time_unix_nanos: u64,
    /// What happened.
    pub name: String,
    /// Details.
    pub attributes: Vec<Attribute>,
}

/// A pointer to a span elsewhere.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SpanLink {
    /// The other trace.
    pub trace_id: TraceId,
    /// The other span.
    pub span_id: SpanId,
    /// W3C trace state.
    pub trace_state: String,
    /// Details.
    pub attributes: Vec<Attribute>,
}

/// One timed operation.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Span {
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: SpanId,
    /// The span that caused it; all zeros for a root.
    pub parent_span_id: SpanId,
    /// W3C trace state.
    pub trace_state: String,
    /// W3C trace flags.
    pub flags: u32,
    /// What was done, for example `GET /users`.
    pub name: String,
    /// Who did it, seen from the other side.
    pub kind: SpanKind,
    /// Nanoseconds since the Unix epoch.
    pub start_unix_nanos: u64,
    /// Nanoseconds since the Unix epoch; not before the start in a well-made span.
    pub end_unix_nanos: u64,
    /// Details.
    pub attributes: Vec<Attribute>,
    /// What happened within, in order.
    pub events: Vec<SpanEvent>,
    /// Pointers to other spans.
    pub links: Vec<SpanLink>,
    /// How it ended.
    pub status: StatusCode,
    /// Why it failed, where somebody said.
    pub status_message: String,
    /// What it comes from; shared by the spans of a batch.
    pub resource: Arc<Resource>,
    /// The instrumentation; shared by the spans of a batch.
    pub scope: Arc<Scope>,
}

impl Span {
    /// How long it took, in nanoseconds; zero where the end is before the start.
    pub const fn duration_nanos(&self) -> u64 {
        self.end_unix_nanos.saturating_sub(self.start_unix_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hexadecimal_and_padded() {
        let id: TraceId = "5B8EFFF798038103D269B633813FC60C".parse().unwrap();
        assert_eq!(id.to_string(), "5b8efff798038103d269b633813fc60c");
        let short: SpanId = "abc".parse().unwrap();
        assert_eq!(short.to_string(), "0000000000000abc");
        assert!("".parse::<SpanId>().is_err());
        assert!("xyz".parse::<SpanId>().is_err());
        assert!("00112233445566778".parse::<SpanId>().is_err());
    }
}
