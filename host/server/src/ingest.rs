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
    let mut references = Vec::with_capacity(request.series.len());
    for series in &request.series {
        let (reference, taken) = append_series(series, appender.as_mut(), rejected);
        references.push(reference);
        stored += taken;
    }
    for (family, metadata) in &request.metadata {
        appender.append_metadata(family, metadata);
    }
    let refused = appender.commit()?;
    stored -= stored.min(refused.len() as u64);
    for item in refused {
        let at = references.iter().position(|reference| *reference == Some(item.series));
        let labels = at.and_then(|at| request.series.get(at)).map(|series| &series.labels);
        rejected.note(1, || match labels {
            Some(labels) => format!("{labels}: {}", item.error),
            None => item.error.to_string(),
        });
    }
    metrics.samples.with_label_values(&[protocol]).inc_by(stored);
    metrics.rejected.with_label_values(&[protocol]).inc_by(rejected.count);
    Ok(())
}

/// Appends one series; gives its reference and how many samples were taken.
fn append_series(
    series: &TimeSeries,
    appender: &mut dyn Appender,
    rejected: &mut Rejected,
) -> (Option<SeriesRef>, u64) {
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
    let Some(reference) = reference else { return (None, stored) };
    for exemplar in &series.exemplars {
        // A late or over-long exemplar is no reason to refuse samples, so it is told but not counted.
        if let Err(error) = appender.append_exemplar(reference, exemplar) {
            rejected.note(0, || format!("exemplar of {}: {error}", series.labels));
        }
    }
    (Some(reference), stored)
}
