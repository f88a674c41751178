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
    Append, AppendError, Appender, Columns, CommitError, Exemplar, Histogram, Labels, Metadata, Refused,
    Sample, SeriesRef, Timestamp,
};

use super::Processors;
use super::starts::{Content, Origins, Starts};
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
    starts: Starts,
    /// The time of what was gathered last, which a start is of.
    latest: Option<Timestamp>,
}

impl Gathered {
    fn content(&self) -> Content {
        let samples = self.samples.iter().map(|sample| (sample.timestamp, sample.value.to_bits()));
        let histograms = self.histograms.iter().map(|(at, histogram)| (*at, histogram.sum.to_bits()));
        samples.chain(histograms).collect()
    }
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
                starts: Starts::new(),
                latest: None,
            };
            self.series.push((reference, gathered));
        }
        self.series.get_mut(at).ok_or(AppendError::UnknownSeries(at as u64))
    }
}

impl Batch<'_> {
    fn find(&mut self, series: SeriesRef) -> Option<&mut Gathered> {
        // References are given out in order.
        let at = self.series.binary_search_by_key(&series.0, |(reference, _)| reference.0).ok()?;
        self.series.get_mut(at).map(|(_, gathered)| gathered)
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
        gathered.latest = Some(sample.timestamp);
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
        gathered.latest = Some(timestamp);
        gathered.histograms.push((timestamp, histogram.clone()));
        Ok(*reference)
    }

    fn append_start(&mut self, series: SeriesRef, start: Timestamp) {
        if let Some(gathered) = self.find(series)
            && let Some(at) = gathered.latest
        {
            gathered.starts.push((at, start));
        }
    }

    fn append_exemplar(&mut self, series: SeriesRef, exemplar: &Exemplar) -> Result<(), AppendError> {
        let gathered = self.find(series).ok_or(AppendError::UnknownSeries(series.0))?;
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
        let starts = starts_of(&series, &columns, at);
        let start_at = |series: usize, timestamp: Timestamp| {
            let starts = starts.get(series).copied().flatten()?;
            starts.iter().find(|(at, _)| *at == timestamp).map(|(_, start)| *start)
        };
        let mut references = Vec::with_capacity(columns.series_count());
        let mut labels = Vec::with_capacity(columns.series_count());
        for index in 0..columns.series_count() {
            let mut reference = None;
            let found = labels_of(&columns, index);
            if let Ok(found) = &found {
                for (ms, value) in columns.samples(index) {
                    match appender.append(reference, found, Sample { timestamp: at(ms), value }) {
                        Ok(known) => {
                            reference = Some(known);
                            if let Some(start) = start_at(index, at(ms)) {
                                appender.append_start(known, start);
                            }
                        }
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
                    Ok(known) => {
                        references[at_index] = Some(known);
                        if let Some(start) = start_at(at_index, at(h.timestamp_ms)) {
                            appender.append_start(known, start);
                        }
                    }
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

/// For each series that processors answered, the starts that its samples came with; nothing where none came with any.
fn starts_of<'a>(
    series: &'a [(SeriesRef, Gathered)],
    columns: &Columns,
    at: impl Fn(Option<i64>) -> Timestamp,
) -> Vec<Option<&'a Starts>> {
    if series.iter().all(|(_, gathered)| gathered.starts.is_empty()) {
        return Vec::new();
    }
    let mut origins = Origins::default();
    for (_, gathered) in series {
        origins.add(&gathered.labels, gathered.content(), &gathered.starts);
    }
    let mut contents: Vec<Content> = (0..columns.series_count())
        .map(|index| columns.samples(index).map(|(ms, value)| (at(ms), value.to_bits())).collect())
        .collect();
    for h in columns.histograms() {
        if let Some(content) = contents.get_mut(h.series as usize) {
            content.push((at(h.timestamp_ms), h.histogram.sum.to_bits()));
        }
    }
    let labels = |index: usize| labels_of(columns, index).ok();
    contents.iter().enumerate().map(|(index, content)| origins.of(&labels(index)?, content)).collect()
}
