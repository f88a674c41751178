//! Series in memory, as scripts load them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Histogram, Labels, Matcher, ResetHint, Timestamp, Value};

use crate::read::{Columns, ReadError, Select, SeriesExemplars, SeriesReader, Storage, UNKNOWN_START};

/// The samples of a series with their start timestamps, by time.
type Samples = BTreeMap<Timestamp, (Value, Timestamp)>;

/// A storage that holds what it is given, for tests.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    series: BTreeMap<Labels, Arc<Samples>>,
}

impl MemoryStorage {
    /// Takes a sample; one of the same time is replaced.
    pub fn put(&mut self, labels: &Labels, timestamp: Timestamp, value: Value) {
        self.put_started(labels, timestamp, value, UNKNOWN_START);
    }

    /// Takes a sample of which it is known when its counter started.
    pub fn put_started(&mut self, labels: &Labels, timestamp: Timestamp, value: Value, start: Timestamp) {
        let samples = self.series.entry(labels.clone()).or_default();
        Arc::make_mut(samples).insert(timestamp, (value, start));
    }

    /// The time of the latest sample of a series.
    pub fn latest(&self, labels: &Labels) -> Option<Timestamp> {
        self.series.get(labels)?.keys().next_back().copied()
    }

    /// Says of every counter histogram what Prometheus' storage knows of resets when it is read: that there was none
    /// within a chunk, and nothing of the first of a chunk, even where a reset is why the chunk was begun.
    pub fn find_resets(&mut self) {
        for samples in self.series.values_mut() {
            let mut previous: Option<Arc<Histogram>> = None;
            for (value, _) in Arc::make_mut(samples).values_mut() {
                let Value::Histogram(current) = value else {
                    previous = None;
                    continue;
                };
                if current.is_stale() || current.reset_hint == ResetHint::Gauge {
                    previous = None;
                    continue;
                }
                let begins = current.reset_hint == ResetHint::Reset
                    || previous.as_ref().is_none_or(|previous| begins_chunk(current, previous));
                Arc::make_mut(current).reset_hint =
                    if begins { ResetHint::Unknown } else { ResetHint::NotReset };
                previous = Some(Arc::clone(current));
            }
        }
    }

    /// Its series with their samples, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Labels, &Samples)> {
        self.series.iter().map(|(labels, samples)| (labels, &**samples))
    }

    fn selected<'s>(&'s self, select: &Select<'s>) -> impl Iterator<Item = (&'s Labels, &'s Arc<Samples>)> {
        let (start, end, matchers) = (select.start, select.end, select.matchers);
        self.series.iter().filter(move |(labels, samples)| {
            matchers.iter().all(|m: &Matcher| m.matches_labels(labels))
                && start <= end
                && samples.range(start..=end).next().is_some()
        })
    }
}

/// Whether the two cannot stand in one chunk: a counter that was reset, or buckets that are others.
fn begins_chunk(current: &Histogram, previous: &Histogram) -> bool {
    current.schema != previous.schema
        || current.zero_threshold.to_bits() != previous.zero_threshold.to_bits()
        || current.custom_values != previous.custom_values
        || crate::native::has_shrunk(current, previous)
}

struct MemoryReader {
    labels: Labels,
    samples: Arc<Samples>,
}

impl SeriesReader for MemoryReader {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn read(&self, start: Timestamp, end: Timestamp, columns: &mut Columns) -> Result<(), ReadError> {
        for (time, (value, start)) in self.samples.range(start..=end) {
            match value {
                Value::Float(value) => columns.push_started(*time, *value, *start),
                Value::Histogram(histogram) => {
                    columns.push_started_histogram(*time, Arc::<Histogram>::clone(histogram), *start);
                }
            }
        }
        Ok(())
    }
}

impl Storage for MemoryStorage {
    fn select(&self, select: &Select<'_>) -> Result<Vec<Box<dyn SeriesReader>>, ReadError> {
        let reader = |(labels, samples): (&Labels, &Arc<Samples>)| {
            let reader = MemoryReader { labels: labels.clone(), samples: Arc::clone(samples) };
            Box::new(reader) as Box<dyn SeriesReader>
        };
        Ok(self.selected(select).map(reader).collect())
    }

    fn label_names(&self, select: &Select<'_>) -> Result<Vec<String>, ReadError> {
        let names: BTreeSet<&str> =
            self.selected(select).flat_map(|(labels, _)| labels.iter().map(|(name, _)| name)).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn label_values(&self, name: &str, select: &Select<'_>) -> Result<Vec<String>, ReadError> {
        let values: BTreeSet<&str> =
            self.selected(select).filter_map(|(labels, _)| labels.get(name)).collect();
        Ok(values.into_iter().map(str::to_owned).collect())
    }

    fn exemplars(&self, _: &Select<'_>) -> Result<Vec<SeriesExemplars>, ReadError> {
        Ok(Vec::new())
    }
}
