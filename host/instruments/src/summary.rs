//! Summaries: count and sum of all that was observed, and quantiles of the last ten minutes, as Prometheus' client for
//! Go has them by default.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::Opts;
use prometheus::core::{Collector, Desc, Describer as _};
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType, Quantile, Summary};

use crate::Sketch;

/// How far back quantiles look.
const WINDOW: Duration = Duration::from_secs(600);
/// In how many steps the window slides.
const AGES: usize = 5;

/// One summary for each combination of label values.
#[derive(Clone)]
pub struct SummaryVec(Arc<Inner>);

struct Inner {
    opts: Opts,
    desc: Desc,
    labels: Vec<String>,
    quantiles: Vec<f64>,
    started: Instant,
    children: Mutex<BTreeMap<Vec<String>, Child>>,
}

#[derive(Default)]
struct Child {
    count: u64,
    sum: f64,
    /// Which step of time the newest age belongs to.
    step: u64,
    ages: [Sketch; AGES],
}

impl Child {
    /// Forgets ages that have passed.
    fn advance(&mut self, step: u64) {
        let passed = step.saturating_sub(self.step).min(AGES as u64);
        for next in 0..passed {
            let at = (self.step + 1 + next) as usize % AGES;
            if let Some(age) = self.ages.get_mut(at) {
                *age = Sketch::default();
            }
        }
        // All ages are empty where more steps have passed than there are ages, wherever the newest then is.
        self.step = self.step.max(step);
    }
}

impl SummaryVec {
    /// Summaries that tell these quantiles, by these labels. Without labels there is one from the start.
    ///
    /// # Errors
    /// Where name or labels are none.
    pub fn new(opts: Opts, labels: &[&str], quantiles: &[f64]) -> prometheus::Result<Self> {
        let labels: Vec<String> = labels.iter().map(|&name| name.to_owned()).collect();
        let opts = opts.variable_labels(labels.clone());
        let desc = opts.describe()?;
        let mut children = BTreeMap::new();
        if labels.is_empty() {
            children.insert(Vec::new(), Child::default());
        }
        Ok(Self(Arc::new(Inner {
            desc,
            opts,
            labels,
            quantiles: quantiles.to_vec(),
            started: Instant::now(),
            children: Mutex::new(children),
        })))
    }

    /// Adds a value to the summary of these label values, which come in the order of the labels.
    pub fn observe(&self, values: &[&str], value: f64) {
        self.observe_at(values, value, Instant::now());
    }

    /// Makes sure that there is a summary of these label values.
    pub fn touch(&self, values: &[&str]) {
        self.child(values, |_| ());
    }

    /// Forgets the summary of these label values.
    pub fn remove(&self, values: &[&str]) {
        let key: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
        self.0.children.lock().remove(&key);
    }

    fn observe_at(&self, values: &[&str], value: f64, now: Instant) {
        let step = self.step(now);
        self.child(values, |child| {
            child.advance(step);
            child.count += 1;
            child.sum += value;
            let at = child.step as usize % AGES;
            if let Some(age) = child.ages.get_mut(at) {
                age.observe(value);
            }
        });
    }

    fn child<T>(&self, values: &[&str], with: impl FnOnce(&mut Child) -> T) -> T {
        debug_assert_eq!(values.len(), self.0.labels.len(), "as many values as labels");
        let key: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
        with(self.0.children.lock().entry(key).or_default())
    }

    fn step(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.0.started);
        (since.as_nanos() / (WINDOW.as_nanos() / AGES as u128)) as u64
    }

    fn collect_at(&self, now: Instant) -> MetricFamily {
        let step = self.step(now);
        let mut metrics = Vec::new();
        for (values, child) in &mut *self.0.children.lock() {
            child.advance(step);
            let mut window = Sketch::default();
            for age in &child.ages {
                window.merge(age);
            }
            let quantile = |q: &f64| {
                let mut quantile = Quantile::default();
                quantile.set_quantile(*q);
                quantile.set_value(window.quantile(*q).unwrap_or(f64::NAN));
                quantile
            };
            let mut summary = Summary::default();
            summary.set_sample_count(child.count);
            summary.set_sample_sum(child.sum);
            summary.set_quantile(self.0.quantiles.iter().map(quantile).collect());
            let pair = |(name, value): (&String, &String)| {
                let mut pair = LabelPair::default();
                pair.set_name(name.clone());
                pair.set_value(value.clone());
                pair
            };
            let mut metric = Metric::default();
            metric.set_label(self.0.labels.iter().zip(values).map(pair).collect());
            metric.set_summary(summary);
            metrics.push(metric);
        }
        let mut family = MetricFamily::default();
        family.set_name(self.0.desc.fq_name.clone());
        family.set_help(self.0.opts.help.clone());
        family.set_field_type(MetricType::SUMMARY);
        family.set_metric(metrics);
        family
    }
}

impl Collector for SummaryVec {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let family = self.collect_at(Instant::now());
        // A family without metrics is no exposition.
        if family.get_metric().is_empty() { Vec::new() } else { vec![family] }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{Encoder as _, Registry, TextEncoder};

    use super::*;

    #[test]
    fn quantiles_are_of_the_window_and_counts_of_all_times() {
        let summary = SummaryVec::new(Opts::new("took_seconds", "Time."), &[], &[0.5]).unwrap();
        let at = |seconds| summary.0.started + Duration::from_secs(seconds);
        let read = |seconds| {
            let family = summary.collect_at(at(seconds));
            let told = family.get_metric()[0].get_summary().clone();
            (told.sample_count(), told.sample_sum(), told.get_quantile()[0].value())
        };
        assert!(read(0).2.is_nan());
        for _ in 0..3 {
            summary.observe_at(&[], 10.0, at(1));
        }
        summary.observe_at(&[], 1.0, at(500));
        let (count, sum, median) = read(500);
        assert_eq!((count, sum), (4, 31.0));
        assert!((median - 10.0).abs() < 0.2, "{median}");
        let (count, _, median) = read(700);
        assert!(count == 4 && (median - 1.0).abs() < 0.02, "{median}");
        assert!(read(100_000).2.is_nan());
        summary.observe_at(&[], 2.0, at(100_000));
        assert!((read(100_001).2 - 2.0).abs() < 0.04);
    }

    #[test]
    fn it_is_written_as_a_summary() {
        let registry = Registry::new();
        let summary = SummaryVec::new(Opts::new("took_seconds", "Time."), &["slice"], &[0.5]).unwrap();
        registry.register(Box::new(summary.clone())).unwrap();
        assert!(registry.gather().is_empty());
        summary.observe(&["a"], 0.0);
        summary.touch(&["b"]);
        summary.touch(&["c"]);
        summary.remove(&["c"]);
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        let expected = "# HELP took_seconds Time.\n# TYPE took_seconds summary\n\
            took_seconds{slice=\"a\",quantile=\"0.5\"} 0\ntook_seconds_sum{slice=\"a\"} 0\n\
            took_seconds_count{slice=\"a\"} 1\ntook_seconds{slice=\"b\",quantile=\"0.5\"} NaN\n\
            took_seconds_sum{slice=\"b\"} 0\ntook_seconds_count{slice=\"b\"} 0\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
