//! Batches of samples: [`Samples`] writes one, [`Batch`] is what crosses, and its methods read and rewrite one.

use std::collections::{BTreeMap, HashMap};

pub use crate::bindings::base::stormglass::types::types::Batch;
use crate::bindings::base::stormglass::types::types::Family;
use crate::metrics::MetricKind;

/// The label that holds a series' metric name.
const METRIC_NAME: &str = "__name__";

/// Labels of a series, sorted by name; the metric's name is `__name__`.
pub type LabelSet = BTreeMap<String, String>;

/// A value and its time in milliseconds, none for now.
type TimedValue = (Option<i64>, f64);

/// Samples of any number of series and times, in any order.
#[derive(Debug, Default)]
pub struct Samples {
    /// Where each series is in `series`.
    known: HashMap<LabelSet, usize>,
    series: Vec<(LabelSet, Vec<TimedValue>)>,
    families: Vec<Family>,
}

impl Samples {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sample of now.
    pub fn add(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.add_at(name, labels, value, None);
    }

    /// Adds a sample of a time in milliseconds since the Unix epoch; of now where there is none.
    pub fn add_at(&mut self, name: &str, labels: &[(&str, &str)], value: f64, at_ms: Option<i64>) {
        let mut set: LabelSet =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        set.insert(METRIC_NAME.to_owned(), name.to_owned());
        self.add_labeled(set, value, at_ms);
    }

    /// Adds a sample of these labels, `__name__` among them.
    pub fn add_labeled(&mut self, labels: LabelSet, value: f64, at_ms: Option<i64>) {
        let at = *self.known.entry(labels).or_insert_with_key(|labels| {
            self.series.push((labels.clone(), Vec::new()));
            self.series.len() - 1
        });
        self.series[at].1.push((at_ms, value));
    }

    /// Says what a metric is.
    pub fn family(&mut self, name: &str, kind: MetricKind, help: &str) {
        self.families.push(Family { name: name.into(), kind, help: help.into(), unit: String::new() });
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.series.iter().map(|(_, samples)| samples.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// The batch. Where some samples have a time and others have none, the latter are of now.
    pub fn into_batch(self) -> Batch {
        let timed = self.series.iter().flat_map(|(_, samples)| samples).any(|(at, _)| at.is_some());
        let now = if timed { crate::clock::now_ms() } else { 0 };
        let mut batch = empty();
        let mut strings = Table::default();
        for (labels, samples) in self.series {
            for (name, value) in labels {
                batch.label_refs.extend([strings.intern(name), strings.intern(value)]);
            }
            batch.label_ends.push(index(batch.label_refs.len()));
            for (at, value) in samples {
                batch.values.push(value);
                if timed {
                    batch.timestamps_ms.push(at.unwrap_or(now));
                }
            }
            batch.sample_ends.push(index(batch.values.len()));
        }
        batch.strings = strings.texts;
        batch.families = self.families;
        batch
    }
}

impl Batch {
    /// How many series there are.
    pub fn series_count(&self) -> usize {
        self.label_ends.len()
    }

    /// The labels of a series.
    pub fn labels(&self, series: usize) -> impl Iterator<Item = (&str, &str)> {
        let text = |at: u32| self.strings[at as usize].as_str();
        self.label_refs[run(&self.label_ends, series)]
            .chunks_exact(2)
            .map(move |pair| (text(pair[0]), text(pair[1])))
    }

    /// The samples of a series: times in milliseconds, none for now, and values.
    pub fn samples(&self, series: usize) -> impl Iterator<Item = (Option<i64>, f64)> {
        let run =
            if self.sample_ends.is_empty() { series..series + 1 } else { run(&self.sample_ends, series) };
        run.map(|at| (self.timestamps_ms.get(at).copied(), self.values[at]))
    }

    /// Rewrites the labels of every series, and drops those for which `f` says no, with all that belongs to them.
    #[must_use]
    pub fn rewrite(self, mut f: impl FnMut(&mut LabelSet) -> bool) -> Self {
        let mut rewritten = empty();
        let mut strings = Table::default();
        // Where each series is now.
        let mut moved = Vec::with_capacity(self.series_count());
        for series in 0..self.series_count() {
            let mut labels: LabelSet =
                self.labels(series).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            if !f(&mut labels) {
                moved.push(None);
                continue;
            }
            moved.push(Some(index(rewritten.label_ends.len())));
            for (name, value) in labels {
                rewritten.label_refs.extend([strings.intern(name), strings.intern(value)]);
            }
            rewritten.label_ends.push(index(rewritten.label_refs.len()));
            if !self.values.is_empty() {
                for (at, value) in self.samples(series) {
                    rewritten.values.push(value);
                    rewritten.timestamps_ms.extend(at);
                }
            }
            rewritten.sample_ends.push(index(rewritten.values.len()));
        }
        let place = |series: u32| moved.get(series as usize).copied().flatten();
        rewritten.histograms = self
            .histograms
            .into_iter()
            .filter_map(|mut histogram| {
                histogram.series = place(histogram.series)?;
                Some(histogram)
            })
            .collect();
        rewritten.exemplars = self
            .exemplars
            .into_iter()
            .filter_map(|mut exemplar| {
                exemplar.series = place(exemplar.series)?;
                Some(exemplar)
            })
            .collect();
        rewritten.strings = strings.texts;
        rewritten.families = self.families;
        rewritten
    }
}

fn empty() -> Batch {
    Batch {
        strings: Vec::new(),
        label_refs: Vec::new(),
        label_ends: Vec::new(),
        sample_ends: Vec::new(),
        timestamps_ms: Vec::new(),
        values: Vec::new(),
        families: Vec::new(),
        histograms: Vec::new(),
        exemplars: Vec::new(),
    }
}

fn run(ends: &[u32], at: usize) -> std::ops::Range<usize> {
    let start = at.checked_sub(1).map_or(0, |before| ends[before] as usize);
    start..ends[at] as usize
}

/// A guest's memory is addressed with 32 bits, so none of its lists is longer than a `u32` counts.
fn index(length: usize) -> u32 {
    u32::try_from(length).expect("more than 2^32 entries in one batch")
}

/// Each text once.
#[derive(Default)]
struct Table {
    indices: HashMap<String, u32>,
    texts: Vec<String>,
}

impl Table {
    fn intern(&mut self, text: String) -> u32 {
        if let Some(found) = self.indices.get(&text) {
            return *found;
        }
        let next = index(self.texts.len());
        self.texts.push(text.clone());
        self.indices.insert(text, next);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(batch: &Batch) -> Vec<String> {
        let all = (0..batch.series_count()).map(|series| {
            let labels: Vec<_> =
                batch.labels(series).map(|(name, value)| format!("{name}={value}")).collect();
            let samples: Vec<_> = batch.samples(series).collect();
            format!("{} {samples:?}", labels.join(","))
        });
        all.collect()
    }

    #[test]
    fn samples_are_gathered_by_series() {
        let mut samples = Samples::new();
        samples.add_at("m", &[("a", "1")], 1.0, Some(10));
        samples.add_at("m", &[("a", "2")], 2.0, Some(20));
        samples.add_at("m", &[("a", "1")], 3.0, Some(30));
        assert_eq!((samples.len(), samples.is_empty()), (3, false));
        let batch = samples.into_batch();
        assert_eq!(
            shown(&batch),
            ["__name__=m,a=1 [(Some(10), 1.0), (Some(30), 3.0)]", "__name__=m,a=2 [(Some(20), 2.0)]"]
        );
        let rewritten = batch.rewrite(|labels| {
            labels.insert("b".to_owned(), "x".to_owned());
            labels.get("a").is_some_and(|a| a == "2")
        });
        assert_eq!(shown(&rewritten), ["__name__=m,a=2,b=x [(Some(20), 2.0)]"]);
    }

    #[test]
    fn samples_of_now_cross_without_times() {
        let mut samples = Samples::new();
        samples.add("m", &[], 1.0);
        let batch = samples.into_batch();
        assert!(batch.timestamps_ms.is_empty());
        assert_eq!(shown(&batch), ["__name__=m [(None, 1.0)]"]);
    }
}
