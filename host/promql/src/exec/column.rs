//! One series over all steps of an evaluation.
//!
//! Floats stand in a plain array in which the stale marker means "no sample at this step": that is what it
//! means in storage too, no computation yields it, and loops over floats need no second array. Histograms are
//! rare, so that their array exists only in series that have some.

use std::sync::Arc;

use model::staleness::{STALE_NAN, is_stale};
use model::{Histogram, Labels, Value};

/// The samples of one series, one slot per step.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) floats: Vec<f64>,
    /// Empty, or as long as `floats`. A slot with a histogram has no float.
    pub(crate) histograms: Vec<Option<Arc<Histogram>>>,
}

impl Column {
    /// A column without samples.
    pub(crate) fn empty(count: usize) -> Self {
        Self { floats: vec![STALE_NAN; count], histograms: Vec::new() }
    }

    pub(crate) fn of_floats(floats: Vec<f64>) -> Self {
        Self { floats, histograms: Vec::new() }
    }

    pub(crate) fn step_count(&self) -> usize {
        self.floats.len()
    }

    pub(crate) fn float(&self, step: usize) -> Option<f64> {
        let value = self.floats[step];
        (!is_stale(value)).then_some(value)
    }

    pub(crate) fn histogram(&self, step: usize) -> Option<&Arc<Histogram>> {
        self.histograms.get(step)?.as_ref()
    }

    pub(crate) fn get(&self, step: usize) -> Option<Value> {
        match self.histogram(step) {
            Some(histogram) => Some(Value::Histogram(Arc::clone(histogram))),
            None => self.float(step).map(Value::Float),
        }
    }

    /// Steps with a sample, and the samples.
    pub(crate) fn samples(&self) -> impl Iterator<Item = (usize, Value)> + '_ {
        (0..self.step_count()).filter_map(|step| Some((step, self.get(step)?)))
    }

    pub(crate) fn has(&self, step: usize) -> bool {
        !is_stale(self.floats[step]) || self.histogram(step).is_some()
    }

    pub(crate) fn set(&mut self, step: usize, value: Value) {
        match value {
            Value::Float(value) => self.floats[step] = value,
            Value::Histogram(histogram) => {
                if self.histograms.is_empty() {
                    self.histograms.resize(self.floats.len(), None);
                }
                self.histograms[step] = Some(histogram);
            }
        }
    }

    pub(crate) fn remove(&mut self, step: usize) {
        self.floats[step] = STALE_NAN;
        if let Some(slot) = self.histograms.get_mut(step) {
            *slot = None;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.floats.iter().all(|v| is_stale(*v)) && self.histograms.iter().all(Option::is_none)
    }

    pub(crate) fn sample_count(&self) -> usize {
        self.float_count() + self.histograms.iter().flatten().count()
    }

    pub(crate) fn float_count(&self) -> usize {
        self.floats.iter().filter(|v| !is_stale(**v)).count()
    }

    /// For how many samples all steps count: a histogram for as many floats as take its memory.
    pub(crate) fn weight(&self) -> u64 {
        let histograms = self.histograms.iter().flatten().map(|h| super::size::samples_of(h)).sum::<u64>();
        self.float_count() as u64 + histograms
    }

    /// For how many one step counts.
    pub(crate) fn weight_at(&self, step: usize) -> u64 {
        match self.histogram(step) {
            Some(histogram) => super::size::samples_of(histogram),
            None => u64::from(self.float(step).is_some()),
        }
    }

    /// The first step's sample at `count` steps.
    pub(crate) fn repeated(self, count: usize) -> Self {
        if count == 1 {
            return self;
        }
        let first = self.floats.first().copied().unwrap_or(STALE_NAN);
        let histogram = self.histogram(0).cloned();
        let histograms = if histogram.is_some() { vec![histogram; count] } else { Vec::new() };
        Self { floats: vec![first; count], histograms }
    }

    /// Takes over the samples of `other` where this column has none. `false` where both have one.
    pub(crate) fn merge(&mut self, other: &Self) -> bool {
        for step in 0..self.step_count() {
            if let Some(value) = other.get(step) {
                if self.has(step) {
                    return false;
                }
                self.set(step, value);
            }
        }
        true
    }
}

/// A series on its way through the operators.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    /// The metric's name no longer holds and goes away when the query is done, unless it is set anew before.
    pub(crate) drop_name: bool,
    pub(crate) column: Column,
}

/// Whether the label belongs to the metric rather than to the series: its name, type and unit.
pub(crate) fn is_metric_label(name: &str) -> bool {
    matches!(name, "__name__" | "__type__" | "__unit__")
}

/// The same of a name in bytes.
pub(crate) fn is_metric_label_bytes(name: &[u8]) -> bool {
    matches!(name, b"__name__" | b"__type__" | b"__unit__")
}

impl Series {
    pub(crate) fn metric_name(&self) -> &str {
        self.labels.metric_name().unwrap_or("")
    }

    /// The labels as the query's caller sees them.
    pub(crate) fn final_labels(&self) -> Labels {
        if self.drop_name { self.labels.without(is_metric_label) } else { self.labels.clone() }
    }
}
