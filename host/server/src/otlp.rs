//! The OTLP receiver: metrics become series, spans go to the trace store and feed span metrics. One service for
//! all transports; `grpc` and `http` only carry its bytes.

pub(crate) mod grpc;
pub(crate) mod http;

use std::sync::Arc;

use bytes::Bytes;
use formats::otlp::{self, TranslateOptions};
use formats::{DecodeError, Rejected};
use model::Append;
use prometheus::{IntCounterVec, Opts, Registry};

use crate::ingest::{self, IngestMetrics};
use crate::spans::SpanIntake;

/// OTLP's recommendation for what a receiver should bound a body to, also after decompression.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 20;

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Metrics,
    Traces,
}

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Protobuf,
    Json,
}

/// Why a message was not taken. Only the last is worth another try.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error("{0}")]
    Malformed(String),
    #[error("{0}")]
    TooLarge(String),
    #[error("{0}")]
    Unavailable(String),
}

impl From<DecodeError> for ExportError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::TooLarge { .. } => Self::TooLarge(error.to_string()),
            _ => Self::Malformed(error.to_string()),
        }
    }
}

/// Takes messages of both signals.
pub(crate) struct Receiver {
    storage: Arc<dyn Append>,
    spans: Arc<SpanIntake>,
    ingest: IngestMetrics,
    rejected_spans: IntCounterVec,
}

impl Receiver {
    pub(crate) fn new(
        storage: Arc<dyn Append>,
        spans: Arc<SpanIntake>,
        ingest: IngestMetrics,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let rejected_spans = IntCounterVec::new(
            Opts::new("stormglass_otlp_rejected_spans_total", "Spans that could not be read."),
            &["encoding"],
        )?;
        registry.register(Box::new(rejected_spans.clone()))?;
        Ok(Self { storage, spans, ingest, rejected_spans })
    }

    /// Takes one message and gives the answer's body, in the message's encoding. What has been acknowledged is
    /// stored.
    pub(crate) async fn export(
        self: &Arc<Self>,
        signal: Signal,
        encoding: Encoding,
        body: Bytes,
    ) -> Result<Vec<u8>, ExportError> {
        let receiver = Arc::clone(self);
        let work = move || match signal {
            Signal::Metrics => receiver.metrics(encoding, &body),
            Signal::Traces => receiver.traces(encoding, &body),
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| ExportError::Unavailable(format!("store the message: {error}")))?
    }

    fn metrics(&self, encoding: Encoding, body: &[u8]) -> Result<Vec<u8>, ExportError> {
        let request = match encoding {
            Encoding::Protobuf => otlp::metrics::decode_protobuf(body)?,
            Encoding::Json => otlp::metrics::decode_json(body)?,
        };
        let translated = otlp::metrics::translate(&request, &TranslateOptions::prometheus());
        let mut rejected = translated.rejected;
        ingest::store(&translated.write, &mut rejected, &*self.storage, "otlp", &self.ingest)
            .map_err(|error| ExportError::Unavailable(error.to_string()))?;
        Ok(answer(Signal::Metrics, encoding, &rejected))
    }

    fn traces(&self, encoding: Encoding, body: &[u8]) -> Result<Vec<u8>, ExportError> {
        let (spans, rejected) = match encoding {
            Encoding::Protobuf => otlp::traces::decode_protobuf(body)?,
            Encoding::Json => otlp::traces::decode_json(body)?,
        };
        if rejected.count > 0 {
            let label = if encoding == Encoding::Json { "json" } else { "protobuf" };
            self.rejected_spans.with_label_values(&[label]).inc_by(rejected.count);
        }
        self.spans.take(&spans).map_err(|error| ExportError::Unavailable(error.to_string()))?;
        Ok(answer(Signal::Traces, encoding, &rejected))
    }
}

fn answer(signal: Signal, encoding: Encoding, rejected: &Rejected) -> Vec<u8> {
    let signal = match signal {
        Signal::Metrics => otlp::response::Signal::Metrics,
        Signal::Traces => otlp::response::Signal::Traces,
    };
    match encoding {
        Encoding::Protobuf => otlp::response::success_protobuf(signal, rejected),
        Encoding::Json => otlp::response::success_json(signal, rejected),
    }
}
