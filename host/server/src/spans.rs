//! Where all spans come in, from OTLP and from the server itself: stored first, then counted into span metrics.

use model::span::Span;
use traces::{Appended, SpanMetrics, TraceError, TraceStore};

/// The way into the trace store.
pub(crate) struct SpanIntake {
    pub(crate) store: TraceStore,
    pub(crate) metrics: SpanMetrics,
}

impl SpanIntake {
    /// Takes spans; when it returns they are stored. Blocks on the file.
    pub(crate) fn take(&self, spans: &[Span]) -> Result<Appended, TraceError> {
        if spans.is_empty() {
            return Ok(Appended::default());
        }
        let appended = self.store.append(spans)?;
        self.metrics.observe(spans);
        Ok(appended)
    }
}
