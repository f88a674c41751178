//! From a pushed request to storage: what can be kept is kept, what cannot is counted and named.

use formats::remote_write::Batch;
use formats::{Rejected, TimeSeries, WriteRequest};
use model::{Append, AppendError, Appender, CommitError, Refused, SeriesRef, Timestamp, UNKNOWN_START};
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

/// How much of a request was stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) samples: u64,
    pub(crate) histograms: u64,
    pub(crate) exemplars: u64,
}

/// Stores a request of remote write: floats of known series by reference, in columns, everything else by labels. As
/// [`store`] in all other respects.
pub(crate) fn store_batch(
    batch: &mut Batch<'_>,
    storage: &dyn Append,
    metrics: &IngestMetrics,
) -> Result<Written, CommitError> {
    let mut appender = storage.appender();
    let mut written = Written::default();
    append_floats(batch, appender.as_mut(), &mut written);
    let mut references = Vec::with_capacity(batch.series.len());
    for index in 0..batch.series.len() {
        let reference = append_new(batch, index, storage, appender.as_mut(), &mut written);
        references.extend(reference.map(|reference| (reference, index)));
    }
    append_exemplars(batch, storage, appender.as_mut(), &mut written);
    for (family, metadata) in &batch.metadata {
        appender.append_metadata(family, metadata);
    }
    for refused in appender.commit()? {
        note_refused(batch, &references, &refused, &mut written);
    }
    let stored = written.samples + written.histograms;
    metrics.samples.with_label_values(&["remote_write"]).inc_by(stored);
    metrics.rejected.with_label_values(&["remote_write"]).inc_by(batch.rejected.count);
    Ok(written)
}

fn append_floats(batch: &mut Batch<'_>, appender: &mut dyn Appender, written: &mut Written) {
    let mut refused = Vec::new();
    let Some(floats) = batch.floats() else { return };
    written.samples += floats.values().len() as u64;
    appender.append_columns(&floats, &mut refused);
    for (index, mut error) in refused {
        let labels = batch.labels(index);
        if matches!(error, AppendError::UnknownSeries(_))
            && let Some(sample) = batch.float(index)
        {
            // The series had gone and comes back.
            match appender.append(None, &labels, sample) {
                Ok(reference) => {
                    append_start(appender, reference, batch.start(index));
                    batch.replace(index, reference);
                    continue;
                }
                Err(other) => error = other,
            }
        }
        written.samples -= 1;
        batch.rejected.note(1, || format!("{labels}: {error}"));
    }
}

/// Appends one series by its labels; gives its reference where there is one.
fn append_new(
    batch: &mut Batch<'_>,
    index: usize,
    storage: &dyn Append,
    appender: &mut dyn Appender,
    written: &mut Written,
) -> Option<SeriesRef> {
    let series = batch.series.get(index)?;
    let rejected = &mut batch.rejected;
    let mut reference = None;
    for (sample, start) in series.samples.iter().zip(all_starts(&series.starts.samples)) {
        match appender.append(reference, &series.labels, *sample) {
            Ok(known) => {
                (reference, written.samples) = (Some(known), written.samples + 1);
                append_start(appender, known, start);
            }
            Err(error) => rejected.note(1, || format!("{}: {error}", series.labels)),
        }
    }
    for ((timestamp, histogram), start) in series.histograms.iter().zip(all_starts(&series.starts.histograms))
    {
        match appender.append_histogram(reference, &series.labels, *timestamp, histogram) {
            Ok(known) => {
                (reference, written.histograms) = (Some(known), written.histograms + 1);
                append_start(appender, known, start);
            }
            Err(error) => rejected.note(1, || format!("{}: {error}", series.labels)),
        }
    }
    // Senders may tell of exemplars apart from samples.
    if reference.is_none() && !series.exemplars.is_empty() {
        reference = storage.resolve(series.labels.as_encoded());
    }
    for exemplar in &series.exemplars {
        let Some(reference) = reference else {
            rejected.note(0, || format!("exemplar of {}: the series has no samples", series.labels));
            break;
        };
        // A late or over-long exemplar is no reason to refuse samples, so it is told but not counted.
        match appender.append_exemplar(reference, exemplar) {
            Ok(()) => written.exemplars += 1,
            Err(error) => rejected.note(0, || format!("exemplar of {}: {error}", series.labels)),
        }
    }
    if let Some(reference) = reference {
        batch.remember(index, reference);
    }
    reference
}

fn append_exemplars(
    batch: &mut Batch<'_>,
    storage: &dyn Append,
    appender: &mut dyn Appender,
    written: &mut Written,
) {
    for (index, known) in batch.exemplars.iter().enumerate() {
        let mut appended = appender.append_exemplar(known.series, &known.exemplar);
        if matches!(appended, Err(AppendError::UnknownSeries(_)))
            && let Some(reference) = storage.resolve(batch.labels_of_exemplar(index).as_encoded())
        {
            appended = appender.append_exemplar(reference, &known.exemplar);
        }
        match appended {
            Ok(()) => written.exemplars += 1,
            Err(error) => {
                let labels = batch.labels_of_exemplar(index);
                batch.rejected.note(0, || format!("exemplar of {labels}: {error}"));
            }
        }
    }
}

/// Names what was in the batch and had no place any more when it was committed.
fn note_refused(batch: &mut Batch<'_>, new: &[(SeriesRef, usize)], refused: &Refused, written: &mut Written) {
    written.samples = written.samples.saturating_sub(1);
    let of_new = || new.iter().find(|(reference, _)| *reference == refused.series);
    let labels = match batch.index_of(refused.series) {
        Some(index) => Some(batch.labels(index)),
        None => of_new().and_then(|(_, index)| batch.series.get(*index)).map(|series| series.labels.clone()),
    };
    batch.rejected.note(1, || match labels {
        Some(labels) => format!("{labels}: {}", refused.error),
        None => refused.error.to_string(),
    });
}

/// A start for every item of a list, which lacks what is not known at its end.
fn all_starts(starts: &[Timestamp]) -> impl Iterator<Item = Timestamp> {
    starts.iter().copied().chain(std::iter::repeat(UNKNOWN_START))
}

/// Says when the counter started that the sample is a reading of which was just appended, where that is known.
fn append_start(appender: &mut dyn Appender, series: SeriesRef, start: Timestamp) {
    if start != UNKNOWN_START {
        appender.append_start(series, start);
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
    for (sample, start) in series.samples.iter().zip(all_starts(&series.starts.samples)) {
        let appended = appender.append(reference, &series.labels, *sample);
        if let Ok(known) = appended {
            append_start(appender, known, start);
        }
        note(appended, &mut reference);
    }
    for ((timestamp, histogram), start) in series.histograms.iter().zip(all_starts(&series.starts.histograms))
    {
        let appended = appender.append_histogram(reference, &series.labels, *timestamp, histogram);
        if let Ok(known) = appended {
            append_start(appender, known, start);
        }
        note(appended, &mut reference);
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

#[cfg(test)]
mod tests;
