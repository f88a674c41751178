//! The OTLP receiver: metrics become series, spans go to the trace store and feed span metrics. One service for
//! all transports; `grpc` and `http` only carry its bytes.

pub(crate) mod grpc;
pub(crate) mod http;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use formats::DecodeError;
use formats::otlp::metrics::{Deltas, Total, TranslateOptions};
use formats::otlp::response::{self, Signal};
use formats::otlp::{self, Encoding, Limits};
use model::staleness::is_stale;
use model::{Append, Histogram, Labels, Matcher, Timestamp};
use prometheus::{IntCounter, Registry};
use promql::read::{Columns, Select, Storage as _};
use storage::Storage;

use crate::ingest::{self, IngestMetrics};
use crate::spans::SpanIntake;

/// OTLP's recommendation for what a receiver should bound a body to, also after decompression.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 20;

/// Two million messages are some hundred megabytes in memory, and forty times what an exporter's largest batch
/// holds.
const LIMITS: Limits = Limits { messages_max: 2_000_000 };

/// So long after the start totals of deltas are those that were stored last, for as long as series are not forgotten.
const RECALL_WITHIN: Duration = Duration::from_secs(5 * 60);

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

/// The latest sample of a series in the time in which a sender that restarts nothing has reported again.
fn last_total(storage: &Storage, labels: &Labels, at: Timestamp) -> Option<(Timestamp, Total)> {
    let matchers: Vec<Matcher> = labels.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
    let start = at.offset(-i64::try_from(RECALL_WITHIN.as_millis()).unwrap_or(i64::MAX));
    let select = Select { matchers: &matchers, start, end: at, step_ms: None };
    let found = storage.select(&select).ok()?;
    let series = found.iter().find(|series| series.labels() == labels)?;
    let mut columns = Columns::default();
    series.read(start, at, &mut columns).ok()?;
    let float = columns.timestamps.last().copied().zip(columns.values.last().copied());
    let histogram = columns.histograms.last();
    match (float, histogram) {
        (float, Some((at, histogram))) if float.is_none_or(|(other, _)| other < *at) => {
            (!histogram.is_stale()).then(|| (*at, Total::Histogram(Histogram::clone(histogram))))
        }
        (Some((at, value)), _) => (!is_stale(value)).then_some((at, Total::Float(value))),
        (None, _) => None,
    }
}

impl Receiver {
    pub(crate) fn new(
        (storage, stored): (Arc<dyn Append>, Storage),
        spans: Arc<SpanIntake>,
        ingest: IngestMetrics,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let rejected_spans =
            IntCounter::new("stormglass_otlp_rejected_spans_total", "Spans that were not kept.")?;
        registry.register(Box::new(rejected_spans.clone()))?;
        let options = ArcSwap::from_pointee(TranslateOptions::prometheus());
        let began = Instant::now();
        let deltas = Deltas::recalling(Box::new(move |labels, at| {
            // Whoever comes later is new, and storage is spared the question.
            (began.elapsed() <= RECALL_WITHIN).then(|| last_total(&stored, labels, at)).flatten()
        }));
        Ok(Self { storage, spans, ingest, rejected_spans, options, deltas })
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
