//! Classic histograms as native ones with the same bounds (schema -53): the series `_bucket`, `_count` and `_sum`
//! of one set of labels become one [`ScrapedHistogram`].
//!
//! A histogram is put together from lines that stand together, as every target writes them; it is handed out when
//! the next line is none of its own. One whose counts contradict each other is left out.

use std::collections::VecDeque;

use model::{Buckets, Histogram, MetricKind, ResetHint, Timestamp};

use super::series::{Part, scan_series, unescape};
use super::write::{SeriesWriter, write_escaped};
use super::{Cursor, Entry, ParseError, ScrapedExemplar, ScrapedHistogram, ScrapedSample};

/// The schema of histograms whose bounds are listed.
const CUSTOM_SCHEMA: i8 = -53;

/// Hands what `read` reads on to `sink`, with classic histograms as native ones; as classic ones as well where
/// `keep_classic` says so. A histogram that is native already stays as it is.
///
/// # Errors
/// Those of `read` and of `sink`.
pub fn convert<E: From<ParseError>>(
    keep_classic: bool,
    read: impl FnOnce(&mut dyn FnMut(Entry<'_>) -> Result<(), E>) -> Result<(), E>,
    sink: &mut dyn FnMut(Entry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut converter = Converter { keep_classic, ..Converter::default() };
    read(&mut |entry| converter.take(entry, sink))?;
    converter.flush(sink)
}

#[derive(Default)]
struct Converter {
    keep_classic: bool,
    /// The family of type histogram that is being read.
    family: Option<String>,
    /// The text that names the series of the current histogram; empty where there is none.
    series: String,
    /// The same of the latest histogram that was native already.
    native: String,
    /// The series of the line that is being read, without its suffix and `le`.
    line: String,
    timestamp: Option<Timestamp>,
    start: Option<Timestamp>,
    /// Bounds with the counts up to them.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    exemplars: VecDeque<KeptExemplar>,
}

struct KeptExemplar {
    braces: String,
    value: f64,
    timestamp: Option<Timestamp>,
}

/// What a line of a histogram says.
enum Role {
    Bucket(f64),
    Count,
    Sum,
}

impl Converter {
    fn take<E>(
        &mut self,
        entry: Entry<'_>,
        sink: &mut dyn FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match &entry {
            Entry::Kind { family, kind } => {
                self.flush(sink)?;
                self.native.clear();
                self.family = (*kind == MetricKind::Histogram).then(|| family.to_string());
            }
            Entry::Histogram(histogram) => {
                self.flush(sink)?;
                histogram.series.clone_into(&mut self.native);
            }
            Entry::Sample(sample) => {
                let Some(role) = self.role(sample) else {
                    self.flush(sink)?;
                    return sink(entry);
                };
                if self.line == self.native {
                    return sink(entry);
                }
                if self.line != self.series {
                    self.flush(sink)?;
                    std::mem::swap(&mut self.series, &mut self.line);
                }
                self.add(&role, sample);
                if !self.keep_classic {
                    return Ok(());
                }
            }
            Entry::Help { .. } | Entry::Unit { .. } => {}
        }
        sink(entry)
    }

    /// What the sample is of a histogram, if it is of one; [`Converter::line`] says of which.
    fn role(&mut self, sample: &ScrapedSample<'_>) -> Option<Role> {
        let family = self.family.as_deref()?;
        let (mut suffix, mut bound) = (None, None);
        let mut labels: Vec<(&str, &str)> = Vec::new();
        scan_series(&mut Cursor::new(sample.series), |part| match part {
            Part::Name(name) => suffix = unescape(name).strip_prefix(family).map(str::to_owned),
            Part::Label { name: "le", value } => bound = unescape(value).parse::<f64>().ok(),
            Part::Label { name, value } => labels.push((name, value)),
        })
        .ok()?;
        let role = match (suffix?.as_str(), bound) {
            ("_bucket", Some(bound)) if !bound.is_nan() => Role::Bucket(bound),
            ("_count", None) => Role::Count,
            ("_sum", None) => Role::Sum,
            _ => return None,
        };
        self.line.clear();
        let mut series = SeriesWriter::begin(&mut self.line, family);
        for (name, value) in labels {
            series.label(&unescape(name), |out| write_escaped(out, &unescape(value), true));
        }
        series.finish();
        Some(role)
    }

    fn add(&mut self, role: &Role, sample: &ScrapedSample<'_>) {
        self.timestamp = sample.timestamp;
        self.start = sample.start;
        match role {
            Role::Bucket(bound) => self.buckets.push((*bound, sample.value)),
            Role::Count => self.count = Some(sample.value),
            Role::Sum => self.sum = sample.value,
        }
        if let Some(exemplar) = sample.exemplar {
            self.exemplars.push_back(KeptExemplar {
                braces: exemplar.braces.to_owned(),
                value: exemplar.value,
                timestamp: exemplar.timestamp,
            });
        }
    }

    /// Hands out the histogram that has been put together, if there is one.
    fn flush<E>(&mut self, sink: &mut dyn FnMut(Entry<'_>) -> Result<(), E>) -> Result<(), E> {
        let series = std::mem::take(&mut self.series);
        let mut buckets = std::mem::take(&mut self.buckets);
        let (count, sum) = (self.count.take(), std::mem::take(&mut self.sum));
        let mut exemplars = std::mem::take(&mut self.exemplars);
        if series.is_empty() {
            return Ok(());
        }
        let Some(histogram) = build(&mut buckets, count, sum) else { return Ok(()) };
        // Without a time nothing tells that the next answer has the same one again.
        exemplars.retain(|exemplar| exemplar.timestamp.is_some());
        exemplars.make_contiguous().sort_by_key(|exemplar| exemplar.timestamp);
        let exemplars: Vec<ScrapedExemplar<'_>> = exemplars
            .iter()
            .map(|e| ScrapedExemplar { braces: &e.braces, value: e.value, timestamp: e.timestamp })
            .collect();
        sink(Entry::Histogram(ScrapedHistogram {
            series: &series,
            histogram: &histogram,
            timestamp: self.timestamp,
            start: self.start,
            exemplars: &exemplars,
        }))
    }
}

/// A histogram of bounds with the counts up to them; none where these go down.
fn build(buckets: &mut Vec<(f64, f64)>, count: Option<f64>, sum: f64) -> Option<Histogram> {
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    buckets.dedup_by(|later, earlier| later.0 == earlier.0);
    let last = buckets.last().copied();
    let total = count.or(last.map(|(_, count)| count))?;
    if last.is_none_or(|(bound, _)| bound < f64::INFINITY) {
        buckets.push((f64::INFINITY, total));
    }
    let (mut before, mut pairs) = (0.0, Vec::new());
    for (index, (_, up_to)) in buckets.iter().enumerate() {
        let own = up_to - before;
        if own.is_nan() || own < 0.0 {
            return None;
        }
        if own > 0.0 {
            pairs.push((i32::try_from(index).ok()?, own));
        }
        before = *up_to;
    }
    if before != total {
        return None;
    }
    let bounds = buckets.iter().map(|(bound, _)| *bound).filter(|bound| *bound < f64::INFINITY);
    Some(Histogram {
        schema: CUSTOM_SCHEMA,
        zero_threshold: 0.0,
        zero_count: 0.0,
        count: total,
        sum,
        positive: Buckets::from_pairs(pairs),
        negative: Buckets::default(),
        custom_values: Some(bounds.collect()),
        reset_hint: ResetHint::Unknown,
    })
}

#[cfg(test)]
mod tests;
