//! One family: its metadata, and what its type asks of its samples.

use std::collections::HashSet;

use model::MetricKind;

use super::histogram::HistogramRules;
use super::line::{Line, Metadata, Sample, number};

/// Labels by name, kept.
pub(super) type Key = Vec<(String, String)>;

pub(super) struct Family {
    name: String,
    kind: Option<MetricKind>,
    has_help: bool,
    unit: Option<String>,
    has_samples: bool,
    /// The metrics so far, by the labels that tell them apart.
    metrics: HashSet<Key>,
    current: Option<Metric>,
    histogram: HistogramRules,
}

/// The metric whose samples are being read.
struct Metric {
    key: Key,
    timestamp: Option<f64>,
    /// Its series that have a sample at that time.
    series: HashSet<(String, Key)>,
}

impl Family {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: None,
            has_help: false,
            unit: None,
            has_samples: false,
            metrics: HashSet::new(),
            current: None,
            histogram: HistogramRules::default(),
        }
    }

    /// Whether the line belongs to this family.
    pub(super) fn holds(&self, line: &Line<'_>) -> bool {
        match line {
            Line::Metadata { family, .. } => *family == self.name,
            Line::Sample(sample) => {
                self.suffix(sample).is_some_and(|suffix| suffixes(self.kind()).contains(&suffix))
            }
            Line::Eof => false,
        }
    }

    /// The names that no other family may have, nor its samples.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let suffixes = suffixes(self.kind()).iter().filter(|suffix| !suffix.is_empty());
        std::iter::once(self.name.clone()).chain(suffixes.map(|suffix| format!("{}{suffix}", self.name)))
    }

    /// Takes a line that belongs to this family.
    pub(super) fn take(&mut self, line: &Line<'_>) -> Result<(), String> {
        match line {
            Line::Metadata { metadata, .. } => self.describe(metadata),
            Line::Sample(sample) => self.sample(sample),
            Line::Eof => Ok(()),
        }
    }

    /// Checks what only the end of a family can show.
    pub(super) fn end(mut self) -> Result<(), String> {
        self.histogram.end()
    }

    fn kind(&self) -> MetricKind {
        self.kind.unwrap_or_default()
    }

    fn suffix<'s>(&self, sample: &Sample<'s>) -> Option<&'s str> {
        sample.name.strip_prefix(self.name.as_str())
    }

    fn describe(&mut self, metadata: &Metadata<'_>) -> Result<(), String> {
        if self.has_samples {
            return Err(format!("metadata of {:?} after its samples", self.name));
        }
        let again = match metadata {
            Metadata::Help => std::mem::replace(&mut self.has_help, true),
            Metadata::Type(kind) => self.kind.replace(*kind).is_some(),
            Metadata::Unit(unit) => self.unit.replace((*unit).to_owned()).is_some(),
        };
        if again {
            return Err(format!("the same kind of metadata of {:?} again", self.name));
        }
        let unit = self.unit.as_deref().filter(|unit| !unit.is_empty());
        let Some(unit) = unit else { return Ok(()) };
        if !self.name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')) {
            return Err(format!("the name {:?} does not end in _ and the unit {unit:?}", self.name));
        }
        if matches!(self.kind, Some(MetricKind::Info | MetricKind::StateSet)) {
            return Err(format!("a family of type {} has no unit", self.kind()));
        }
        Ok(())
    }

    fn sample(&mut self, sample: &Sample<'_>) -> Result<(), String> {
        self.has_samples = true;
        let kind = self.kind();
        let suffix = self.suffix(sample).unwrap_or_default();
        self.check_labels(kind, suffix, sample)?;
        check_value(kind, suffix, sample.value)?;
        let may_have_exemplar = matches!(
            (kind, suffix),
            (MetricKind::Counter, "_total") | (MetricKind::Histogram | MetricKind::GaugeHistogram, "_bucket")
        );
        if sample.has_exemplar && !may_have_exemplar {
            return Err("only _total of counters and _bucket of histograms have exemplars".to_owned());
        }
        let key = self.key(kind, suffix, sample);
        let repeated = self.order(kind, &key, sample)?;
        if matches!(kind, MetricKind::Histogram | MetricKind::GaugeHistogram) && !repeated {
            self.histogram.take(key, suffix, sample)?;
        }
        Ok(())
    }

    fn check_labels(&self, kind: MetricKind, suffix: &str, sample: &Sample<'_>) -> Result<(), String> {
        match (kind, suffix) {
            (MetricKind::StateSet, _) if sample.label(&self.name).is_none() => {
                Err(format!("a sample of a stateset has no label {:?}", self.name))
            }
            (MetricKind::Summary, "") => match sample.label("quantile").map(number) {
                Some(Some(quantile)) if (0.0..=1.0).contains(&quantile) => Ok(()),
                Some(_) => Err("the label quantile is no number from 0 to 1".to_owned()),
                None => Err("a quantile has no label quantile".to_owned()),
            },
            (MetricKind::Histogram | MetricKind::GaugeHistogram, "_bucket") => {
                match sample.label("le").map(number) {
                    Some(Some(bound)) if !bound.is_nan() => Ok(()),
                    Some(_) => Err("the label le is no number".to_owned()),
                    None => Err("a bucket has no label le".to_owned()),
                }
            }
            _ => Ok(()),
        }
    }

    /// What tells the sample's metric from the others.
    fn key(&self, kind: MetricKind, suffix: &str, sample: &Sample<'_>) -> Key {
        let within = match (kind, suffix) {
            // All labels may differ within an info.
            (MetricKind::Info, _) => return Key::new(),
            (MetricKind::Summary, "") => "quantile",
            (MetricKind::StateSet, _) => self.name.as_str(),
            (MetricKind::Histogram | MetricKind::GaugeHistogram, "_bucket") => "le",
            _ => "",
        };
        owned(sample, within)
    }

    /// Checks that the sample stands where it may; whether its series has one at this time already.
    fn order(&mut self, kind: MetricKind, key: &Key, sample: &Sample<'_>) -> Result<bool, String> {
        let series = (sample.name.to_owned(), owned(sample, ""));
        let timestamp = sample.timestamp;
        match &mut self.current {
            Some(metric) if metric.key == *key => {
                match (metric.timestamp, timestamp) {
                    (None, None) => {}
                    (Some(before), Some(now)) if before > now && kind != MetricKind::Info => {
                        return Err("timestamps of a metric go back".to_owned());
                    }
                    (Some(_), Some(_)) => {}
                    _ => return Err("some samples of a metric have timestamps and some have none".to_owned()),
                }
                if metric.timestamp != timestamp {
                    metric.series.clear();
                    metric.timestamp = timestamp;
                }
                let repeated = !metric.series.insert(series);
                // Where times are given, they may be the same because they were cut off.
                if repeated && timestamp.is_none() {
                    return Err("a second sample of the same series, without timestamps".to_owned());
                }
                Ok(repeated)
            }
            current => {
                if !self.metrics.insert(key.clone()) {
                    return Err("samples of one metric do not stand together".to_owned());
                }
                let series = HashSet::from([series]);
                *current = Some(Metric { key: key.clone(), timestamp, series });
                Ok(false)
            }
        }
    }
}

/// What the names of a family's samples may add to its own name.
const fn suffixes(kind: MetricKind) -> &'static [&'static str] {
    match kind {
        MetricKind::Counter => &["_total", "_created"],
        MetricKind::Summary => &["", "_count", "_sum", "_created"],
        MetricKind::Histogram => &["_bucket", "_count", "_sum", "_created"],
        MetricKind::GaugeHistogram => &["_bucket", "_gcount", "_gsum"],
        MetricKind::Info => &["_info"],
        MetricKind::Gauge | MetricKind::StateSet | MetricKind::Unknown => &[""],
    }
}

fn check_value(kind: MetricKind, suffix: &str, value: f64) -> Result<(), String> {
    match (kind, suffix) {
        (MetricKind::StateSet, _) if value != 0.0 && value != 1.0 => {
            return Err("a state is neither 0 nor 1".to_owned());
        }
        (MetricKind::Info, _) if value != 1.0 => return Err("an info is not 1".to_owned()),
        (MetricKind::Summary, "") if value < 0.0 => return Err("a quantile is negative".to_owned()),
        _ => {}
    }
    if suffix.is_empty() || matches!(suffix, "_info" | "_created") {
        return Ok(());
    }
    if value.is_nan() {
        return Err(format!("{suffix} is NaN"));
    }
    if value < 0.0 && suffix != "_gsum" {
        return Err(format!("{suffix} is negative"));
    }
    if matches!(suffix, "_bucket" | "_count" | "_gcount") && (value.is_infinite() || value.fract() != 0.0) {
        return Err(format!("{suffix} is no whole number"));
    }
    Ok(())
}

/// The sample's labels without one.
fn owned(sample: &Sample<'_>, without: &str) -> Key {
    let labels = sample.labels.iter().filter(|(name, _)| *name != without);
    labels.map(|(name, value)| ((*name).to_owned(), value.clone().into_owned())).collect()
}
