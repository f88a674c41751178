//! One answer on its way into one batch.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use ahash::AHashMap;
use formats::exposition::protobuf::Histograms;
use formats::exposition::{self, Entry as Line, Format, ScrapedHistogram};
use model::{
    AppendError, Appender, Columns, Exemplar, FloatColumns, Histogram, Labels, LabelsBuilder, METRIC_NAME,
    Sample, SeriesRef, Timestamp, UNKNOWN_START,
};

use super::cache::{Cache, Entry, LatestExemplar};
use super::{Rules, Tally};
use crate::Error;
use crate::fetch::Fetched;
use crate::relabel;
use crate::target::HistogramChoice;

/// Samples further ahead than this are refused, so that a target with a broken clock cannot keep a series
/// from ever taking a sample again.
const AHEAD_MAX: Duration = Duration::from_secs(10 * 60);
/// Before the name of a label that a target's own label of the same name displaces.
const EXPORTED_PREFIX: &str = "exported_";
/// How much of a text a message quotes.
const QUOTED_CHARS_MAX: usize = 50;

pub(super) struct Batch<'a> {
    cache: &'a mut Cache,
    target: &'a Labels,
    sink: Sink<'a>,
}

/// Where samples go; apart from the cache, which lends the entry that a sample belongs to.
struct Sink<'a> {
    rules: &'a Rules,
    appender: &'a mut dyn Appender,
    at: Timestamp,
    tally: &'a mut Tally,
    /// Whether a native histogram has more buckets than are allowed, however they are merged.
    too_many_buckets: bool,
    known: Known,
}

/// Floats at the time of the scrape of series that storage had samples of in the last one, too: nearly all there are. They
/// go to storage together, by reference alone.
#[derive(Default)]
struct Known {
    series: Vec<SeriesRef>,
    values: Vec<f64>,
    /// As far as any is known.
    starts: Vec<Timestamp>,
}

/// When a sample was observed and since when its counter counts, each where the target says so.
type OwnTimes = (Option<Timestamp>, Option<Timestamp>);

#[derive(Clone, Copy)]
enum Point<'a> {
    Float(f64),
    Histogram(&'a Histogram),
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        cache: &'a mut Cache,
        target: &'a Labels,
        rules: &'a Rules,
        appender: &'a mut dyn Appender,
        at: Timestamp,
        tally: &'a mut Tally,
    ) -> Self {
        let (known, too_many_buckets) = (Known::default(), false);
        Self { cache, target, sink: Sink { rules, appender, at, tally, too_many_buckets, known } }
    }

    /// Appends everything. After an error the batch must be thrown away.
    pub(super) fn append(mut self, fetched: Fetched) -> Result<(), Error> {
        match fetched {
            Fetched::Exposition { format, body } => {
                let choice = self.sink.rules.histograms;
                match choice.convert {
                    true => exposition::nhcb::convert(
                        choice.classic,
                        |sink| read(format, &body, choice, sink),
                        &mut |line| self.append_line(line),
                    )?,
                    false => read(format, &body, choice, &mut |line| self.append_line(line))?,
                }
            }
            Fetched::Columns(columns) => self.append_columns(&columns)?,
        }
        self.append_known();
        // Counted to the end, so that the report says how many there were.
        let limit = self.sink.rules.limits.samples;
        if limit > 0 && self.sink.tally.kept > limit {
            return Err(Error::SampleLimit);
        }
        if self.sink.too_many_buckets {
            return Err(Error::BucketLimit);
        }
        self.cache.append_metadata(self.sink.appender);
        Ok(())
    }

    fn append_line(&mut self, line: Line<'_>) -> Result<(), Error> {
        match line {
            Line::Help { family, text } => self.cache.describe(&family, |m| replace(&mut m.help, &text)),
            Line::Unit { family, unit } => self.cache.describe(&family, |m| replace(&mut m.unit, unit)),
            Line::Kind { family, kind } => {
                self.cache.describe(&family, |m| std::mem::replace(&mut m.kind, kind) != kind);
            }
            Line::Sample(sample) => {
                let labels = || sample.labels().map_err(Error::Sample);
                let point = Point::Float(sample.value);
                let times = (sample.timestamp, sample.start);
                let series = self.append_point(sample.series, labels, times, point)?;
                if let (Some(series), Some(exemplar)) = (series, sample.exemplar) {
                    let when = exemplar.timestamp.is_some();
                    let otherwise = self.sink.time_of(sample.timestamp);
                    let exemplar = exemplar.to_exemplar(otherwise).map_err(Error::Sample)?;
                    self.append_exemplar(sample.series, series, exemplar, when);
                }
            }
            Line::Histogram(histogram) => self.append_histogram(&histogram)?,
        }
        Ok(())
    }

    fn append_histogram(&mut self, scraped: &ScrapedHistogram<'_>) -> Result<(), Error> {
        let labels = || scraped.labels().map_err(Error::Sample);
        let point = Point::Histogram(scraped.histogram);
        let times = (scraped.timestamp, scraped.start);
        let stored = self.append_point(scraped.series, labels, times, point)?;
        let Some(series) = stored.filter(|_| !scraped.exemplars.is_empty()) else { return Ok(()) };
        let Some(entry) = self.cache.get_mut(scraped.series) else { return Ok(()) };
        // An answer repeats what earlier ones had, oldest first; storage would refuse that as out of order.
        let newest = match entry.exemplar.as_deref() {
            Some(LatestExemplar::Timed(at)) => Some(*at),
            _ => None,
        };
        for exemplar in scraped.exemplars.iter().filter(|exemplar| exemplar.timestamp > newest) {
            let exemplar = exemplar.to_exemplar(self.sink.at).map_err(Error::Sample)?;
            match self.sink.appender.append_exemplar(series, &exemplar) {
                Ok(()) => {
                    entry.exemplar = Some(Box::new(LatestExemplar::Timed(exemplar.timestamp)));
                }
                Err(_) => self.sink.tally.rejected.exemplars += 1,
            }
        }
        Ok(())
    }

    fn append_columns(&mut self, columns: &Columns) -> Result<(), Error> {
        for (family, metadata) in columns.families() {
            self.cache.describe(family, |m| {
                let changed = m != metadata;
                m.clone_from(metadata);
                changed
            });
        }
        let mut key = String::new();
        for series in 0..columns.series_count() {
            write_key(&mut key, columns, series);
            for (timestamp_ms, value) in columns.samples(series) {
                let timestamp = timestamp_ms.map(Timestamp::from_millis);
                let times = (timestamp, None);
                self.append_point(&key, || labels_of(columns, series), times, Point::Float(value))?;
            }
        }
        for h in columns.histograms() {
            let series = h.series as usize;
            write_key(&mut key, columns, series);
            let timestamp = h.timestamp_ms.map(Timestamp::from_millis);
            let point = Point::Histogram(&h.histogram);
            self.append_point(&key, || labels_of(columns, series), (timestamp, None), point)?;
        }
        for e in columns.exemplars() {
            write_key(&mut key, columns, e.series as usize);
            let Some(series) = self.cache.get_mut(&key).filter(|e| e.live).and_then(|e| e.series) else {
                continue;
            };
            let timestamp = e.timestamp_ms.map_or(self.sink.at, Timestamp::from_millis);
            let labels = Labels::from_pairs(e.labels.iter().map(|(n, v)| (n, v)));
            let exemplar = Exemplar { labels, value: e.value, timestamp };
            self.append_exemplar(&key, series, exemplar, e.timestamp_ms.is_some());
        }
        Ok(())
    }

    /// Appends one sample of the series that the answer names with `key`. `None` where it is not stored.
    fn append_point(
        &mut self,
        key: &str,
        labels: impl FnOnce() -> Result<Labels, Error>,
        times: OwnTimes,
        point: Point<'_>,
    ) -> Result<Option<SeriesRef>, Error> {
        self.sink.tally.scraped += 1;
        let generation = self.cache.generation();
        if let Some((entry, first)) = self.cache.touch(key) {
            return Ok(self.sink.append(entry, first, generation, times, point));
        }
        let labels = self.finish(&labels()?)?;
        if labels.is_some() {
            self.sink.tally.series_added += 1;
        }
        let entry = self.cache.insert(key, labels);
        Ok(self.sink.append(entry, true, generation, times, point))
    }

    /// Appends what was kept for the end.
    fn append_known(&mut self) {
        let Known { series, values, starts } = std::mem::take(&mut self.sink.known);
        let Some(columns) = FloatColumns::at(self.sink.at, &series, &values) else { return };
        let columns = columns.started(&starts);
        let mut refused = Vec::new();
        self.sink.appender.append_columns(&columns, &mut refused);
        let mut forgotten = AHashMap::new();
        for (index, error) in refused {
            self.sink.tally.appended -= 1;
            if matches!(error, AppendError::UnknownSeries(_)) {
                forgotten.insert(series[index], (values[index], columns.start(index)));
            } else {
                self.sink.tally.rejected.count(&error);
            }
        }
        if forgotten.is_empty() {
            return;
        }
        // Storage has let go of them, and takes them as new ones.
        let generation = self.cache.generation();
        for entry in self.cache.seen_mut() {
            let Some((value, start)) = entry.series.and_then(|series| forgotten.remove(&series)) else {
                continue;
            };
            entry.series = None;
            self.sink.append_labelled(entry, generation, (self.sink.at, start), Point::Float(value));
        }
    }

    /// Appends an exemplar, unless it is the one that the last answer had: without a time of its own (`timed`)
    /// nothing tells storage that it is the same observation again.
    fn append_exemplar(&mut self, key: &str, series: SeriesRef, exemplar: Exemplar, timed: bool) {
        let Some(entry) = self.cache.get_mut(key) else { return };
        if timed {
            if self.sink.appender.append_exemplar(series, &exemplar).is_err() {
                self.sink.tally.rejected.exemplars += 1;
            }
            return;
        }
        if let Some(LatestExemplar::Untimed(labels, value)) = entry.exemplar.as_deref()
            && *labels == exemplar.labels
            && value.to_bits() == exemplar.value.to_bits()
        {
            return;
        }
        match self.sink.appender.append_exemplar(series, &exemplar) {
            Ok(()) => {
                let latest = LatestExemplar::Untimed(exemplar.labels, exemplar.value);
                entry.exemplar = Some(Box::new(latest));
            }
            Err(_) => self.sink.tally.rejected.exemplars += 1,
        }
    }

    /// The labels that a series gets in the end; `None` where relabelling drops it.
    fn finish(&self, scraped: &Labels) -> Result<Option<Labels>, Error> {
        let mut builder = scraped.to_builder();
        self.merge(&mut builder);
        if !relabel::process(&mut builder, &self.sink.rules.metric_relabel_configs) {
            return Ok(None);
        }
        let labels = builder.build();
        if labels.is_empty() {
            return Ok(None);
        }
        let Some(metric) = labels.metric_name() else {
            return Err(Error::Sample(format!("missing metric name in {labels}")));
        };
        if self.sink.rules.legacy_names {
            let classic = is_identifier(metric, true)
                && labels.iter().all(|(name, _)| name == METRIC_NAME || is_identifier(name, false));
            if !classic {
                return Err(Error::Sample(format!("invalid metric name or label names: {labels}")));
            }
        }
        self.check_limits(metric, &labels)?;
        Ok(Some(labels))
    }

    /// Adds the target's labels. Where the series has one of the same name, the series' wins if that is
    /// honoured, and is otherwise kept under a name that is free.
    fn merge(&self, builder: &mut LabelsBuilder) {
        let mut displaced: Vec<(&str, String)> = Vec::new();
        for (name, value) in self.target {
            let own = builder.get(name).map(str::to_owned);
            match own {
                Some(_) if self.sink.rules.honor_labels => continue,
                Some(own) => displaced.push((name, own)),
                None => {}
            }
            builder.set(name, value);
        }
        // Shorter names first, so that `a` takes `exported_a` before a displaced `exported_a` does.
        displaced.sort_by_key(|(name, _)| name.len());
        for (name, value) in displaced {
            let mut free = format!("{EXPORTED_PREFIX}{name}");
            while builder.get(&free).is_some() {
                free.insert_str(0, EXPORTED_PREFIX);
            }
            builder.set(&free, &value);
        }
    }

    fn check_limits(&self, metric: &str, labels: &Labels) -> Result<(), Error> {
        let limits = &self.sink.rules.limits;
        let metric = quoted(metric);
        let over = |length: usize, limit: u64| limit > 0 && length as u64 > limit;
        let count = labels.count();
        if over(count, limits.labels) {
            let limit = limits.labels;
            return Err(Error::LabelLimit(format!(
                "label_limit exceeded (metric: {metric}, number of labels: {count}, limit: {limit})"
            )));
        }
        for (name, value) in labels {
            if over(name.len(), limits.label_name_bytes) {
                return Err(Error::LabelLimit(format!(
                    "label_name_length_limit exceeded (metric: {metric}, label name: {}, length: {}, limit: {})",
                    quoted(name),
                    name.len(),
                    limits.label_name_bytes
                )));
            }
            if over(value.len(), limits.label_value_bytes) {
                return Err(Error::LabelLimit(format!(
                    "label_value_length_limit exceeded (metric: {metric}, label name: {}, value: {:?}, length: {}, limit: {})",
                    quoted(name),
                    quoted(value),
                    value.len(),
                    limits.label_value_bytes
                )));
            }
        }
        Ok(())
    }
}

impl Sink<'_> {
    /// Appends one sample of the series `entry`, which has one in this answer already unless it is the `first`.
    fn append(
        &mut self,
        entry: &mut Entry,
        first: bool,
        generation: u64,
        (timestamp, start): OwnTimes,
        point: Point<'_>,
    ) -> Option<SeriesRef> {
        entry.labels.as_ref()?;
        self.tally.kept += 1;
        let limit = self.rules.limits.samples;
        if limit > 0 && self.tally.kept > limit {
            return None;
        }
        let own_time = timestamp.filter(|_| self.rules.honor_timestamps);
        let at = own_time.unwrap_or(self.at);
        entry.tracked = own_time.is_none() || self.rules.track_timestamps_staleness;
        entry.histogram = matches!(point, Point::Histogram(_));
        if own_time.is_none()
            && first
            && entry.live
            && let (Some(series), Point::Float(value)) = (entry.series, point)
        {
            self.known.series.push(series);
            self.known.values.push(value);
            if let Some(start) = start {
                self.known.starts.resize(self.known.values.len() - 1, UNKNOWN_START);
                self.known.starts.push(start);
            }
            self.tally.appended += 1;
            return Some(series);
        }
        if own_time.is_none() && !first {
            self.tally.rejected.count(&AppendError::DuplicateTimestamp);
            return None;
        }
        self.append_labelled(entry, generation, (at, start.unwrap_or(UNKNOWN_START)), point)
    }

    fn append_labelled(
        &mut self,
        entry: &mut Entry,
        generation: u64,
        (at, start): (Timestamp, Timestamp),
        point: Point<'_>,
    ) -> Option<SeriesRef> {
        let labels = entry.labels.as_ref()?;
        let appended = if at > self.at + AHEAD_MAX {
            Err(AppendError::OutOfBounds)
        } else {
            match point {
                Point::Float(value) => {
                    self.appender.append(entry.series, labels, Sample { timestamp: at, value })
                }
                Point::Histogram(h) => {
                    let limit = self.rules.limits.buckets;
                    let reduced = fitted(h, self.rules.schema_max, limit);
                    self.too_many_buckets |= reduced.is_none();
                    let h = reduced?;
                    match h.validate() {
                        Ok(()) => self.appender.append_histogram(entry.series, labels, at, &h),
                        Err(e) => Err(AppendError::InvalidHistogram(e.to_string())),
                    }
                }
            }
        };
        match appended {
            Ok(series) => {
                if start != UNKNOWN_START {
                    self.appender.append_start(series, start);
                }
                entry.stored(series, generation);
                self.tally.appended += 1;
                Some(series)
            }
            Err(error) => {
                self.tally.rejected.count(&error);
                None
            }
        }
    }

    fn time_of(&self, timestamp: Option<Timestamp>) -> Timestamp {
        timestamp.filter(|_| self.rules.honor_timestamps).unwrap_or(self.at)
    }
}

/// Reads an answer; what histograms that are native come as depends on what is wanted.
fn read(
    format: Format,
    body: &[u8],
    choice: HistogramChoice,
    sink: &mut dyn FnMut(Line<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let histograms = match (choice.native, choice.classic) {
        (false, _) => Histograms::Classic,
        (true, false) => Histograms::Native,
        (true, true) => Histograms::NativeAndClassic,
    };
    match format {
        Format::Protobuf => exposition::protobuf::parse(body, histograms, sink),
        _ => exposition::parse(format, body, sink),
    }
}

/// The histogram as coarse as it has to be; none where it cannot be coarse enough. Zero is no limit.
fn fitted(histogram: &Histogram, schema_max: i8, buckets_max: u64) -> Option<Cow<'_, Histogram>> {
    let count = (histogram.positive.counts.len() + histogram.negative.counts.len()) as u64;
    let over = buckets_max > 0 && count > buckets_max;
    if histogram.schema <= schema_max && !over {
        return Some(Cow::Borrowed(histogram));
    }
    // Its counts have to be where its spans say before they can be added up.
    let spans: u64 = [&histogram.positive, &histogram.negative]
        .iter()
        .flat_map(|b| &b.spans)
        .map(|s| u64::from(s.length))
        .sum();
    if spans != count {
        return Some(Cow::Borrowed(histogram));
    }
    let mut histogram = histogram.clone();
    histogram.reduce_resolution(schema_max);
    if over && !histogram.limit_buckets(usize::try_from(buckets_max).unwrap_or(usize::MAX)) {
        return None;
    }
    Some(Cow::Owned(histogram))
}

/// Whether a name is a classic identifier; those of metrics may have colons.
fn is_identifier(name: &str, colons: bool) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || (colons && b == b':'))
}

/// The bytes that name a series of columns. They begin as no text exposition can, so that a collector may
/// change between the two.
fn write_key(key: &mut String, columns: &Columns, series: usize) {
    key.clear();
    for (name, value) in columns.labels(series) {
        for text in [name, value] {
            // Lengths, since a text may hold any character.
            let _ = write!(key, "\0{}\0{text}", text.len());
        }
    }
}

fn labels_of(columns: &Columns, series: usize) -> Result<Labels, Error> {
    let mut pairs: Vec<(&str, &str)> = columns.labels(series).collect();
    pairs.sort_unstable();
    Labels::from_sorted(&pairs)
        .map_err(|_| Error::Columns(format!("series {series} has a label without a name, or one twice")))
}

/// Replaces a text of metadata; whether it changed.
fn replace(text: &mut String, new: &str) -> bool {
    let changed = text != new;
    if changed {
        new.clone_into(text);
    }
    changed
}

fn quoted(text: &str) -> &str {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}
