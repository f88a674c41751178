//! Storage behind processors: a batch is gathered, goes through them when it is committed, and is stored as they leave it.
//!
//! Where there is no processor, storage is used as it is. Where there are some, series are known by their labels alone,
//! since a processor may give them others: references are given out that storage does not know, and every sample comes
//! with its labels.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use model::{
    Append, AppendError, Appender, CommitError, Exemplar, Histogram, Labels, Metadata, Refused, Sample,
    SeriesRef, Timestamp,
};

use super::Processors;
use crate::plugins::{ColumnsWriter, labels_of};

/// References from here on are given out here; no storage has so many series.
const REFERENCES_FROM: u64 = 1 << 63;

/// Storage behind processors.
pub(crate) struct ProcessedAppend {
    storage: Arc<dyn Append>,
    processors: Arc<Processors>,
    next: AtomicU64,
}

impl ProcessedAppend {
    pub(crate) fn new(storage: Arc<dyn Append>, processors: Arc<Processors>) -> Self {
        Self { storage, processors, next: AtomicU64::new(REFERENCES_FROM) }
    }
}

impl Append for ProcessedAppend {
    fn appender(&self) -> Box<dyn Appender + '_> {
        if self.processors.has_samples() {
            let batch =
                Batch { append: self, series: Vec::new(), known: HashMap::new(), families: Vec::new() };
            Box::new(batch)
        } else {
            self.storage.appender()
        }
    }

    fn resolve(&self, encoded: &[u8]) -> Option<SeriesRef> {
        if self.processors.has_samples() { None } else { self.storage.resolve(encoded) }
    }
}

/// What is gathered of one series.
struct Gathered {
    labels: Labels,
    samples: Vec<Sample>,
    histograms: Vec<(Timestamp, Histogram)>,
    exemplars: Vec<Exemplar>,
}

/// A batch before it goes through processors.
struct Batch<'a> {
    append: &'a ProcessedAppend,
    series: Vec<(SeriesRef, Gathered)>,
    known: HashMap<Labels, usize>,
    families: Vec<(String, Metadata)>,
}

impl Batch<'_> {
    fn series(&mut self, labels: &Labels) -> Result<&mut (SeriesRef, Gathered), AppendError> {
        let next = self.series.len();
        let at = *self.known.entry(labels.clone()).or_insert(next);
        if at == next {
            let reference = SeriesRef(self.append.next.fetch_add(1, Ordering::Relaxed));
            let gathered = Gathered {
                labels: labels.clone(),
                samples: Vec::new(),
                histograms: Vec::new(),
                exemplars: Vec::new(),
            };
            self.series.push((reference, gathered));
        }
        self.series.get_mut(at).ok_or(AppendError::UnknownSeries(at as u64))
    }
}

impl Appender for Batch<'_> {
    fn append(
        &mut self,
        _series: Option<SeriesRef>,
        labels: &Labels,
        sample: Sample,
    ) -> Result<SeriesRef, AppendError> {
        let (reference, gathered) = self.series(labels)?;
        gathered.samples.push(sample);
        Ok(*reference)
    }

    fn append_histogram(
        &mut self,
        _series: Option<SeriesRef>,
        labels: &Labels,
        timestamp: Timestamp,
        histogram: &Histogram,
    ) -> Result<SeriesRef, AppendError> {
        let (reference, gathered) = self.series(labels)?;
        gathered.histograms.push((timestamp, histogram.clone()));
        Ok(*reference)
    }

    fn append_exemplar(&mut self, series: SeriesRef, exemplar: &Exemplar) -> Result<(), AppendError> {
        // References are given out in order.
        let at = self.series.binary_search_by_key(&series.0, |(reference, _)| reference.0);
        let found = at.ok().and_then(|at| self.series.get_mut(at));
        let (_, gathered) = found.ok_or(AppendError::UnknownSeries(series.0))?;
        gathered.exemplars.push(exemplar.clone());
        Ok(())
    }

    fn append_metadata(&mut self, family: &str, metadata: &Metadata) {
        self.families.push((family.to_owned(), metadata.clone()));
    }

    fn commit(self: Box<Self>) -> Result<Vec<Refused>, CommitError> {
        let Self { append, series, families, .. } = *self;
        let mut writer = ColumnsWriter::default();
        for (_, gathered) in &series {
            writer.series(&gathered.labels);
            gathered.samples.iter().for_each(|sample| writer.sample(sample.timestamp, sample.value));
            gathered.histograms.iter().for_each(|(at, histogram)| writer.histogram(*at, histogram));
            gathered.exemplars.iter().for_each(|exemplar| writer.exemplar(exemplar));
        }
        families.iter().for_each(|(name, metadata)| writer.family(name, metadata));
        let count = writer.sample_count();
        let mut appender = append.storage.appender();
        let processed = match writer.finish() {
            Ok(columns) => append.processors.samples(columns, count),
            Err(error) => {
                tracing::error!(%error, "a batch is too large for processors and was lost");
                None
            }
        };
        let Some(columns) = processed else { return Ok(Vec::new()) };
        let now = Timestamp::from_system(SystemTime::now());
        let at = |ms: Option<i64>| ms.map_or(now, Timestamp::from_millis);
        let mut references = Vec::with_capacity(columns.series_count());
        let mut labels = Vec::with_capacity(columns.series_count());
        for index in 0..columns.series_count() {
            let mut reference = None;
            let found = labels_of(&columns, index);
            if let Ok(found) = &found {
                for (ms, value) in columns.samples(index) {
                    match appender.append(reference, found, Sample { timestamp: at(ms), value }) {
                        Ok(known) => reference = Some(known),
                        Err(error) => {
                            tracing::debug!(series = %found, %error, "storage refused a processed sample");
                        }
                    }
                }
            }
            references.push(reference);
            labels.push(
                found.inspect_err(|what| tracing::debug!("a processor answered no series: {what}")).ok(),
            );
        }
        for h in columns.histograms() {
            let at_index = h.series as usize;
            if let Some(Some(labels)) = labels.get(at_index) {
                let known = references.get(at_index).copied().flatten();
                match appender.append_histogram(known, labels, at(h.timestamp_ms), &h.histogram) {
                    Ok(known) => references[at_index] = Some(known),
                    Err(error) => {
                        tracing::debug!(series = %labels, %error, "storage refused a processed histogram");
                    }
                }
            }
        }
        for e in columns.exemplars() {
            if let Some(Some(reference)) = references.get(e.series as usize) {
                let labels = Labels::from_pairs(e.labels.iter().map(|(name, value)| (name, value)));
                let exemplar = Exemplar { labels, value: e.value, timestamp: at(e.timestamp_ms) };
                // One that is late or too long is no reason to refuse samples.
                let _ = appender.append_exemplar(*reference, &exemplar);
            }
        }
        for (family, metadata) in columns.families() {
            appender.append_metadata(family, metadata);
        }
        appender.commit()
    }
}
