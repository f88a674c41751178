//! The OTLP receiver: metrics become series, spans go to the trace store and feed span metrics. One service for
//! all transports; `grpc` and `http` only carry its bytes.

pub(crate) mod grpc;
pub(crate) mod http;

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use formats::DecodeError;
use formats::otlp::metrics::{Deltas, TranslateOptions};
use formats::otlp::response::{self, Signal};
use formats::otlp::{self, Encoding, Limits};
use model::Append;
use prometheus::{IntCounter, Registry};

use crate::ingest::{self, IngestMetrics};
use crate::spans::SpanIntake;

/// OTLP's recommendation for what a receiver should bound a body to, also after decompression.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 20;

/// Two million messages are some hundred megabytes in memory, and forty times what an exporter's largest batch
/// holds.
const LIMITS: Limits = Limits { messages_max: 2_000_000 };

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
    rejected_spans: IntCounter,
    options: ArcSwap<TranslateOptions>,
    deltas: Deltas,
}

impl Receiver {
    pub(crate) fn new(
        storage: Arc<dyn Append>,
        spans: Arc<SpanIntake>,
        ingest: IngestMetrics,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let rejected_spans =
            IntCounter::new("stormglass_otlp_rejected_spans_total", "Spans that were not kept.")?;
        registry.register(Box::new(rejected_spans.clone()))?;
        let options = ArcSwap::from_pointee(TranslateOptions::prometheus());
        Ok(Self { storage, spans, ingest, rejected_spans, options, deltas: Deltas::default() })
    }

    /// Translates metrics in this way from now on.
    pub(crate) fn set_options(&self, options: TranslateOptions) {
        self.options.store(Arc::new(options));
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
        let request = otlp::metrics::decode(encoding, body, &LIMITS)?;
        let options = self.options.load();
        let (write, mut rejected) = otlp::metrics::translate(&request, &options, &self.deltas);
        ingest::store(&write, &mut rejected, &*self.storage, "otlp", &self.ingest)
            .map_err(|error| ExportError::Unavailable(error.to_string()))?;
        Ok(response::success(Signal::Metrics, &rejected, encoding))
    }

    fn traces(&self, encoding: Encoding, body: &[u8]) -> Result<Vec<u8>, ExportError> {
        let (spans, mut rejected) = otlp::traces::decode(encoding, body, &LIMITS)?;
        let appended =
            self.spans.take(&spans).map_err(|error| ExportError::Unavailable(error.to_string()))?;
        if let Some(reason) = appended.reason {
            rejected.note(appended.refused as u64, || reason.to_string());
        }
        self.rejected_spans.inc_by(rejected.count);
        Ok(response::success(Signal::Traces, &rejected, encoding))
    }
}
