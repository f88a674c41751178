//! Where all spans come in, from OTLP and from the server itself: stored first, then counted into span metrics.

use std::sync::Arc;

use model::span::Span;
use traces::{SpanMetrics, TraceError, TraceStore};

/// The way into the trace store.
pub(crate) struct SpanIntake {
    pub(crate) store: Arc<TraceStore>,
    pub(crate) metrics: Arc<SpanMetrics>,
}

impl SpanIntake {
    /// Takes spans; when it returns they are stored. Blocks on the file.
    pub(crate) fn take(&self, spans: &[Span]) -> Result<(), TraceError> {
        if spans.is_empty() {
            return Ok(());
        }
        self.store.append(spans)?;
        self.metrics.observe(spans);
        Ok(())
    }
}
