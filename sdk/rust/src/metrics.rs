//! What a collection yields: [`Metrics`], which collects samples into the columns that cross to the server.
//!
//! Every text crosses once, as an entry of a string table; series are runs of indices into it. A thousand samples
//! so cost the server a handful of allocations rather than thousands.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

pub use crate::bindings::base::stormglass::types::types::MetricKind;
use crate::bindings::base::stormglass::types::types::{Batch, Family as FamilyRecord};
use crate::bindings::collector::exports::stormglass::plugin::collector::Payload;
use crate::{Error, Result};

/// The label that holds a series' metric name.
const METRIC_NAME: &str = "__name__";

/// The samples of one collection.
///
/// ```
/// # let mut out = stormglass_sdk::Metrics::new();
/// out.gauge("queue_length", "Jobs that wait.").set(&[("queue", "mail")], 3.0).set(&[("queue", "fax")], 0.0);
/// out.counter("jobs_total", "Jobs done since the start.").set(&[], 1027.0);
/// ```
#[derive(Debug, Default)]
pub struct Metrics {
    strings: Strings,
    label_refs: Vec<u32>,
    label_ends: Vec<u32>,
    values: Vec<f64>,
    families: Vec<FamilyRecord>,
    /// The names of `families`, as indices into `strings`.
    family_names: BTreeSet<u32>,
    text: Option<String>,
    deadline: Option<Duration>,
}

impl Metrics {
    /// Nothing collected yet.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn with_deadline(deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..Self::default() }
    }

    /// How long this collection may take before the server interrupts it, counted from its start; `None` in
    /// tests.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// A family of values that go up and down.
    pub fn gauge(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, MetricKind::Gauge, help)
    }

    /// A family of values that only rise, except back to 0 at a restart. Its name ends in `_total`.
    pub fn counter(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, MetricKind::Counter, help)
    }

    /// A classic histogram, whose series have names of their own: see [`Family::set_named`].
    pub fn histogram(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, MetricKind::Histogram, help)
    }

    /// A family of any kind. Asking for the same name again adds to the same family, with the kind and help text
    /// that it had first.
    pub fn family(&mut self, name: &str, kind: MetricKind, help: &str) -> Family<'_> {
        let name_ref = self.strings.intern(name);
        if self.family_names.insert(name_ref) {
            self.families.push(FamilyRecord {
                name: name.into(),
                kind,
                help: help.into(),
                unit: String::new(),
            });
        }
        Family { name_ref, metrics: self }
    }

    /// Yields this text, in the Prometheus exposition format (or OpenMetrics if it ends in `# EOF`), rather than
    /// samples: for what already speaks it, and for histograms. A collection yields either text or samples.
    pub fn text(&mut self, text: impl Into<String>) {
        self.text = Some(text.into());
    }

    /// How many samples there are, those of a text not counted.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The labels of each series, the metric's name first, and its value.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn samples(&self) -> impl Iterator<Item = (Vec<(&str, &str)>, f64)> {
        let mut table = vec![""; self.strings.indices.len()];
        for (text, &index) in &self.strings.indices {
            table[index as usize] = text;
        }
        let mut start = 0;
        self.label_ends.iter().zip(&self.values).map(move |(&end, &value)| {
            let refs = &self.label_refs[start..end as usize];
            start = end as usize;
            (
                refs.chunks_exact(2).map(|pair| (table[pair[0] as usize], table[pair[1] as usize])).collect(),
                value,
            )
        })
    }

    pub(crate) fn into_payload(self) -> Result<Payload> {
        match self.text {
            None => Ok(Payload::Columns(Batch {
                strings: self.strings.into_table(),
                label_refs: self.label_refs,
                label_ends: self.label_ends,
                sample_ends: Vec::new(),
                timestamps_ms: Vec::new(),
                values: self.values,
                families: self.families,
                histograms: Vec::new(),
                exemplars: Vec::new(),
            })),
            Some(text) if self.values.is_empty() => Ok(Payload::Text(text)),
            Some(_) => Err(Error::permanent(
                "collection holds both text and samples; yield one of them, or split the plugin",
            )),
        }
    }
}

/// One metric family, open for samples.
#[derive(Debug)]
pub struct Family<'a> {
    metrics: &'a mut Metrics,
    name_ref: u32,
}

impl Family<'_> {
    /// Adds the sample of one series, named by its labels. A series may have only one sample in a collection.
    pub fn set(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        let name_ref = self.name_ref;
        self.add(name_ref, labels, value)
    }

    /// Adds the sample of a series of the family that has another name, as a histogram's `_bucket`, `_sum` and `_count`
    /// have.
    pub fn set_named(&mut self, name: &str, labels: &[(&str, &str)], value: f64) -> &mut Self {
        let name_ref = self.metrics.strings.intern(name);
        self.add(name_ref, labels, value)
    }

    fn add(&mut self, name_ref: u32, labels: &[(&str, &str)], value: f64) -> &mut Self {
        let Metrics { strings, label_refs, label_ends, values, .. } = &mut *self.metrics;
        label_refs.extend([strings.intern(METRIC_NAME), name_ref]);
        for (name, value) in labels {
            label_refs.extend([strings.intern(name), strings.intern(value)]);
        }
        label_ends.push(index(label_refs.len()));
        values.push(value);
        self
    }
}

/// Each text once, under the index at which it was first seen.
#[derive(Debug, Default)]
struct Strings {
    indices: HashMap<Box<str>, u32>,
}

impl Strings {
    fn intern(&mut self, text: &str) -> u32 {
        if let Some(&found) = self.indices.get(text) {
            return found;
        }
        let next = index(self.indices.len());
        self.indices.insert(text.into(), next);
        next
    }

    fn into_table(self) -> Vec<String> {
        let mut table = vec![String::new(); self.indices.len()];
        for (text, index) in self.indices {
            table[index as usize] = text.into();
        }
        table
    }
}

/// A guest's memory is addressed with 32 bits, so none of its lists is longer than a `u32` counts.
fn index(length: usize) -> u32 {
    u32::try_from(length).expect("more than 2^32 entries in one collection")
}

#[cfg(test)]
mod tests;
