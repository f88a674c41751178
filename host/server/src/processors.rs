//! Processors at work: what is pushed or scraped goes through them on its way to storage, in the order in which the
//! configuration names them, and spans likewise. What rules and detectors write does not.
//!
//! A processor that fails costs what its `process.on_failure` says: `pass` hands on what it was given, `drop` stores
//! nothing of it. Either way it is counted, and the sender is told that all went well: sending it again would not help.

mod append;
mod starts;

use std::sync::Arc;

use arc_swap::ArcSwap;
use model::Columns;
use model::span::Span;
use plugin::{CallError, Instance, Kind, OnFailure};
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::runtime::Handle;

pub(crate) use self::append::ProcessedAppend;
use crate::plugins::RunningSet;

/// One processor in the chain.
#[derive(Clone)]
struct Processor {
    name: String,
    instance: Arc<Instance>,
    on_failure: OnFailure,
}

/// The processors in force.
#[derive(Default)]
pub(crate) struct Chain {
    samples: Vec<Processor>,
    spans: Vec<Processor>,
}

/// All processors.
pub(crate) struct Processors {
    runtime: Handle,
    chain: ArcSwap<Chain>,
    items: IntCounterVec,
}

impl Processors {
    /// None yet. Must be made within the runtime that plugins run in, which must be of several threads: whoever stores
    /// samples waits for a processor where it stands.
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let items = IntCounterVec::new(
            Opts::new(
                "stormglass_processor_items_total",
                "Samples and spans that processors were given (in), gave back (out), and that were handed on (passed) or \
                 lost (dropped) because a processor failed.",
            ),
            &["plugin", "signal", "outcome"],
        )?;
        registry.register(Box::new(items.clone()))?;
        Ok(Self { runtime: Handle::current(), chain: ArcSwap::default(), items })
    }

    /// Makes the processors among these plugins the ones in force, and gives those before; `order` has all plugins' names as the configuration
    /// has them.
    pub(crate) fn install<'a>(
        &self,
        running: &RunningSet,
        order: impl Iterator<Item = &'a str>,
    ) -> Arc<Chain> {
        let mut chain = Chain::default();
        for running in order.filter_map(|name| running.get(name)) {
            let Some(process) = &running.config.process else { continue };
            let processor = Processor {
                name: running.config.name.clone(),
                instance: Arc::clone(&running.instance),
                on_failure: process.on_failure,
            };
            let kinds = running.instance.kinds();
            if kinds.contains(&Kind::SampleProcessor) {
                chain.samples.push(processor.clone());
            }
            if kinds.contains(&Kind::SpanProcessor) {
                chain.spans.push(processor);
            }
        }
        self.chain.swap(Arc::new(chain))
    }

    /// Puts those back in force that [`install`](Self::install) has replaced.
    pub(crate) fn restore(&self, chain: Arc<Chain>) {
        self.chain.store(chain);
    }

    /// Whether samples go through any processor.
    fn has_samples(&self) -> bool {
        !self.chain.load().samples.is_empty()
    }

    /// What is left of these samples, of which there are `count`; none where all were dropped because of a failure. Blocks.
    fn samples(&self, mut columns: Columns, mut count: usize) -> Option<Columns> {
        for processor in &self.chain.load().samples {
            self.count(processor, "samples", "in", count);
            let processed = self.wait(processor.instance.process_samples(columns.clone()));
            columns = match processed {
                Ok(processed) => {
                    count = sample_count(&processed);
                    self.count(processor, "samples", "out", count);
                    processed
                }
                Err(_) => match processor.on_failure {
                    OnFailure::Pass => {
                        self.count(processor, "samples", "passed", count);
                        columns
                    }
                    OnFailure::Drop => {
                        self.count(processor, "samples", "dropped", count);
                        return None;
                    }
                },
            };
        }
        Some(columns)
    }

    /// What is left of these spans; none where no processor looks at them. Blocks.
    pub(crate) fn spans(&self, spans: &[Span]) -> Option<Vec<Span>> {
        let chain = self.chain.load();
        let mut left: Option<Vec<Span>> = None;
        for processor in &chain.spans {
            let given = left.as_deref().unwrap_or(spans);
            let count = given.len();
            self.count(processor, "spans", "in", count);
            match self.wait(processor.instance.process_spans(given)) {
                Ok(processed) => {
                    self.count(processor, "spans", "out", processed.len());
                    left = Some(processed);
                }
                Err(_) => match processor.on_failure {
                    OnFailure::Pass => self.count(processor, "spans", "passed", count),
                    OnFailure::Drop => {
                        self.count(processor, "spans", "dropped", count);
                        return Some(Vec::new());
                    }
                },
            }
        }
        left
    }

    /// Waits where it stands, on a thread that may be one of the runtime's own.
    fn wait<T>(&self, call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
        tokio::task::block_in_place(|| self.runtime.block_on(call))
    }

    fn count(&self, processor: &Processor, signal: &str, outcome: &str, count: usize) {
        self.items.with_label_values(&[&*processor.name, signal, outcome]).inc_by(count as u64);
    }
}

fn sample_count(columns: &Columns) -> usize {
    let floats: usize = (0..columns.series_count()).map(|series| columns.samples(series).count()).sum();
    floats + columns.histograms().len()
}
