//! OTLP, OpenTelemetry's protocol: what its exporters send, and what a receiver answers.
//!
//! * [`metrics`] decodes an `ExportMetricsServiceRequest` and translates it to series as Prometheus does.
//! * [`traces`] decodes an `ExportTraceServiceRequest` to spans, and writes spans again for trace queries.
//! * [`response`] writes the bodies of answers, with partial success and errors.
//!
//! Both encodings of the protocol are understood; which one a body is in, its `Content-Type` says
//! ([`Encoding`]). Where a request is taken in part, what was left out is in [`Rejected`](crate::Rejected).
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod attributes;
mod count;
mod json;
pub mod metrics;
mod proto;
pub mod response;
pub mod traces;

use crate::DecodeError;

/// How a request, and the answer to it, is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Binary protobuf; the only one over gRPC.
    Protobuf,
    /// JSON, with OTLP's own rules.
    Json,
}

impl Encoding {
    /// The encoding that a `Content-Type` header names; `None` where it names another.
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case("application/x-protobuf") {
            Some(Self::Protobuf)
        } else if media_type.eq_ignore_ascii_case("application/json") {
            Some(Self::Json)
        } else {
            None
        }
    }

    /// The `Content-Type` of answers.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// How much one request may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Messages in all: resources, scopes, metrics, points, spans, events, links, exemplars, attributes and
    /// their values. Each may take some hundred bytes in memory for two on the wire, so that the limit on the
    /// body's size alone would not bound memory well. A typical span is about thirty messages, a typical data
    /// point about ten.
    pub messages_max: usize,
}

fn decode<T>(
    encoding: Encoding,
    bytes: &[u8],
    limits: &Limits,
    shape: &'static count::Shape,
) -> Result<T, DecodeError>
where
    T: prost::Message + serde::de::DeserializeOwned + Default,
{
    let max = limits.messages_max;
    let fits = match encoding {
        Encoding::Protobuf => count::protobuf_fits(bytes, shape, max),
        Encoding::Json => count::json_fits(bytes, max),
    };
    if !fits {
        return Err(DecodeError::TooLarge { max, unit: "messages within the request" });
    }
    match encoding {
        Encoding::Json => json::decode(bytes),
        Encoding::Protobuf => T::decode(bytes)
            .map_err(|e| DecodeError::Malformed { format: "OTLP protobuf", what: e.to_string() }),
    }
}
