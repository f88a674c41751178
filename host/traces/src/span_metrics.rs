//! Span metrics: how many spans there are and how long they take, by service, name, kind and status.
//!
//! Counters start at zero with the process. A combination of labels that is new is written as zero one millisecond
//! before its first values, so that `increase` and `rate` see its first spans too; after a restart the same zero is
//! an ordinary counter reset. A combination without spans for the idle time ends with stale markers, and begins
//! anew if it comes back.
//!
//! Each bucket keeps the latest span that fell into it since the last flush and writes it as an exemplar, labels
//! `trace_id` and `span_id`, never older than the one before.

mod combination;

use std::time::Duration;

use ahash::AHashMap;
use model::span::{Span, SpanKind, StatusCode};
use model::{Append, Metadata, MetricKind, Timestamp};
use parking_lot::Mutex;

use crate::error::TraceError;
use combination::Combination;

pub(crate) const CALLS: &str = "traces_spanmetrics_calls_total";
pub(crate) const LATENCY: &str = "traces_spanmetrics_latency";

/// Service and name of the spans that found no place of their own.
const OVERFLOW: &str = "overflow";
/// Longer names are cut: they carry statements or ids, and every bucket's series would carry them too.
const LABEL_BYTES_MAX: usize = 512;

/// How spans are counted.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanMetricsOptions {
    /// Upper bounds in seconds, increasing and finite; `+Inf` is added.
    pub buckets: Vec<f64>,
    /// How many combinations of labels may exist at once, each with a series per bucket and three more. The spans
    /// of further ones are counted under the service and name `overflow`.
    pub combinations_max: usize,
    /// How long a combination without spans is kept.
    pub idle: Duration,
}

impl SpanMetricsOptions {
    /// Tempo's buckets; at most 2000 combinations, which are 32,000 series; idle after 15 minutes.
    pub fn tempo() -> Self {
        Self {
            buckets: vec![0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.02, 2.05, 4.10],
            combinations_max: 2000,
            idle: Duration::from_secs(15 * 60),
        }
    }
}

/// What a flush has written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Samples taken by the storage, stale markers among them.
    pub samples: usize,
    /// Exemplars taken by the storage.
    pub exemplars: usize,
    /// Samples and exemplars that the storage refused; the first reason was logged.
    pub refused: usize,
    /// Combinations that ended.
    pub dropped: usize,
}

/// What is counted at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanMetricsStats {
    /// Combinations of labels.
    pub combinations: usize,
    /// Spans that were counted under `overflow`.
    pub spans_overflowed: u64,
}

/// Counts spans. Any thread may observe while another flushes.
pub struct SpanMetrics {
    options: SpanMetricsOptions,
    state: Mutex<State>,
    /// Held for a whole flush: two at once would write the same series at the same time.
    flushing: Mutex<()>,
}

#[derive(Default)]
struct State {
    /// By service, then by name: looking up allocates nothing.
    services: AHashMap<String, AHashMap<String, Operation>>,
    combinations: usize,
    spans_overflowed: u64,
    metadata_written: bool,
}

/// The combinations of one operation, by kind and status.
#[derive(Default)]
struct Operation([[Option<Box<Combination>>; STATUSES]; KINDS]);

const KINDS: usize = 6;
const STATUSES: usize = 3;

impl SpanMetrics {
    /// Counts from zero.
    ///
    /// # Errors
    /// [`TraceError::InvalidParameter`] where the buckets are not finite and increasing.
    pub fn new(options: SpanMetricsOptions) -> Result<Self, TraceError> {
        let increasing = options.buckets.is_sorted_by(|a, b| a < b);
        if !increasing || options.buckets.iter().any(|bound| !bound.is_finite()) {
            let reason = "bounds must be finite and increasing".to_owned();
            return Err(TraceError::InvalidParameter { name: "buckets", reason });
        }
        Ok(Self { options, state: Mutex::default(), flushing: Mutex::default() })
    }

    /// Counts spans.
    pub fn observe(&self, spans: &[Span]) {
        let mut state = self.state.lock();
        for span in spans {
            state.combination(&self.options, span).observe(span, &self.options.buckets);
        }
    }

    /// Writes every combination's series at `now`, as one batch. Calls must come with increasing times.
    ///
    /// # Errors
    /// [`TraceError::Commit`]: nothing was written. Counters go on; exemplars of the batch are lost.
    pub fn flush(&self, now: Timestamp, storage: &dyn Append) -> Result<Flushed, TraceError> {
        let _flushing = self.flushing.lock();
        let mut appender = storage.appender();
        let mut written = Flushed::default();
        let mut state = self.state.lock();
        if state.combinations > 0 && !state.metadata_written {
            for (family, metadata) in families() {
                appender.append_metadata(family, &metadata);
            }
        }
        state.retain(|combination| {
            let keep = combination.touch(now, self.options.idle);
            combination.write(now, keep, appender.as_mut(), &mut written);
            written.dropped += usize::from(!keep);
            keep
        });
        // The commit may wait for a disk; spans need not wait with it.
        drop(state);
        let committed = appender.commit();
        let mut state = self.state.lock();
        state.metadata_written |= committed.is_ok() && state.combinations > 0;
        state.retain(|combination| {
            combination.settle(committed.is_ok());
            true
        });
        written.refused += committed?.len();
        Ok(written)
    }

    /// What is counted at the moment.
    pub fn stats(&self) -> SpanMetricsStats {
        let state = self.state.lock();
        SpanMetricsStats { combinations: state.combinations, spans_overflowed: state.spans_overflowed }
    }
}

impl State {
    /// The combination of a span: its own, or where there is no room for it, the one for overflow.
    fn combination(&mut self, options: &SpanMetricsOptions, span: &Span) -> &mut Combination {
        let (kind, status) = (span.kind, span.status);
        let (mut service, mut name) = (cut(span.resource.service_name()), cut(&span.name));
        let full = self.combinations >= options.combinations_max;
        if full && self.slot(service, name, kind, status).is_none_or(|slot| slot.is_none()) {
            self.spans_overflowed += 1;
            (service, name) = (OVERFLOW, OVERFLOW);
        }
        if self.slot(service, name, kind, status).is_none() {
            let operations = self.services.entry(service.to_owned()).or_default();
            operations.insert(name.to_owned(), Operation::default());
        }
        // Looked up field by field, since the count changes while the slot is borrowed.
        let operation = self.services.get_mut(service).and_then(|operations| operations.get_mut(name));
        let slot = operation.map(|operation| operation.slot(kind, status)).expect("inserted above");
        slot.get_or_insert_with(|| {
            self.combinations += 1;
            Box::new(Combination::new(options, service, name, kind, status))
        })
    }

    fn slot(
        &mut self,
        service: &str,
        name: &str,
        kind: SpanKind,
        status: StatusCode,
    ) -> Option<&mut Option<Box<Combination>>> {
        Some(self.services.get_mut(service)?.get_mut(name)?.slot(kind, status))
    }

    /// Keeps the combinations that `keep` says yes to.
    fn retain(&mut self, mut keep: impl FnMut(&mut Combination) -> bool) {
        let mut left = 0;
        self.services.retain(|_, operations| {
            operations.retain(|_, operation| {
                let before = left;
                for slot in operation.0.iter_mut().flatten() {
                    if slot.as_mut().is_some_and(|combination| keep(combination)) {
                        left += 1;
                    } else {
                        *slot = None;
                    }
                }
                left > before
            });
            !operations.is_empty()
        });
        self.combinations = left;
    }
}

impl Operation {
    const fn slot(&mut self, kind: SpanKind, status: StatusCode) -> &mut Option<Box<Combination>> {
        &mut self.0[kind.number() as usize][status.number() as usize]
    }
}

/// At most the first [`LABEL_BYTES_MAX`] bytes, whole characters only.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LABEL_BYTES_MAX)]
}

fn families() -> [(&'static str, Metadata); 2] {
    let metadata =
        |kind, help: &str, unit: &str| Metadata { kind, help: help.to_owned(), unit: unit.to_owned() };
    [
        (CALLS, metadata(MetricKind::Counter, "Spans seen, by service, name, kind and status.", "")),
        (LATENCY, metadata(MetricKind::Histogram, "How long spans took, in seconds.", "seconds")),
    ]
}

#[cfg(test)]
mod tests;
