//! Where all spans come in, from OTLP and from the server itself: through processors, stored, then counted into span
//! metrics.

use std::sync::Arc;

use model::span::Span;
use traces::{Appended, SpanMetrics, TraceError, TraceStore};

use crate::processors::Processors;

/// The way into the trace store.
pub(crate) struct SpanIntake {
    pub(crate) store: TraceStore,
    pub(crate) metrics: SpanMetrics,
    pub(crate) processors: Arc<Processors>,
}

impl SpanIntake {
    /// Takes spans; when it returns they are stored. Blocks on the file.
    pub(crate) fn take(&self, spans: &[Span]) -> Result<Appended, TraceError> {
        if spans.is_empty() {
            return Ok(Appended::default());
        }
        let processed = self.processors.spans(spans);
        let spans = processed.as_deref().unwrap_or(spans);
        if spans.is_empty() {
            return Ok(Appended::default());
        }
        let appended = self.store.append(spans)?;
        self.metrics.observe(spans);
        Ok(appended)
    }
}
