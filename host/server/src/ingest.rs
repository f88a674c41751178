//! From a pushed request to storage: what can be kept is kept, what cannot is counted and named.

use formats::{Rejected, TimeSeries, WriteRequest};
use model::{Append, AppendError, Appender, CommitError, SeriesRef};
use prometheus::{IntCounterVec, Opts, Registry};

/// Counts what pushed requests brought.
#[derive(Debug, Clone)]
pub(crate) struct IngestMetrics {
    samples: IntCounterVec,
    rejected: IntCounterVec,
}

impl IngestMetrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let samples = IntCounterVec::new(
            Opts::new("stormglass_ingest_samples_total", "Samples stored from pushed requests."),
            &["protocol"],
        )?;
        let rejected = IntCounterVec::new(
            Opts::new("stormglass_ingest_rejected_total", "Items of pushed requests that were refused."),
            &["protocol"],
        )?;
        registry.register(Box::new(samples.clone()))?;
        registry.register(Box::new(rejected.clone()))?;
        Ok(Self { samples, rejected })
    }
}

/// Stores a request. Every item that storage refuses is noted in `rejected`; the rest is committed. Blocks on
/// the log, so that asynchronous callers give it a thread.
pub(crate) fn store(
    request: &WriteRequest,
    rejected: &mut Rejected,
    storage: &dyn Append,
    protocol: &str,
    metrics: &IngestMetrics,
) -> Result<(), CommitError> {
    let mut appender = storage.appender();
    let mut stored = 0u64;
    for series in &request.series {
        stored += append_series(series, appender.as_mut(), rejected);
    }
    for (family, metadata) in &request.metadata {
        appender.append_metadata(family, metadata);
    }
    appender.commit()?;
    metrics.samples.with_label_values(&[protocol]).inc_by(stored);
    metrics.rejected.with_label_values(&[protocol]).inc_by(rejected.count);
    Ok(())
}

/// Appends one series; gives how many samples were taken.
fn append_series(series: &TimeSeries, appender: &mut dyn Appender, rejected: &mut Rejected) -> u64 {
    let mut reference: Option<SeriesRef> = None;
    let mut stored = 0;
    let mut note = |result: Result<SeriesRef, AppendError>, reference: &mut Option<SeriesRef>| match result {
        Ok(series) => {
            *reference = Some(series);
            stored += 1;
        }
        Err(error) => rejected.note(1, || format!("{}: {error}", series.labels)),
    };
    for sample in &series.samples {
        note(appender.append(reference, &series.labels, *sample), &mut reference);
    }
    for (timestamp, histogram) in &series.histograms {
        note(appender.append_histogram(reference, &series.labels, *timestamp, histogram), &mut reference);
    }
    let Some(reference) = reference else { return stored };
    for exemplar in &series.exemplars {
        // A late or over-long exemplar is no reason to refuse samples, so it is told but not counted.
        if let Err(error) = appender.append_exemplar(reference, exemplar) {
            rejected.note(0, || format!("exemplar of {}: {error}", series.labels));
        }
    }
    stored
}
