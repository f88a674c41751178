//! One answer on its way into one batch.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use ahash::AHashSet;
use formats::exposition::protobuf::Histograms;
use formats::exposition::{self, Comments, Entry as Line, Format, ScrapedHistogram};
use model::{
    AppendError, Appender, Columns, Exemplar, FloatColumns, Histogram, Labels, LabelsBuilder, METRIC_NAME,
    Metadata, MetricKind, Sample, SeriesRef, Timestamp, UNKNOWN_START,
};

use super::cache::{Cache, LatestExemplar};
use super::{Rules, Tally};
use crate::Error;
use crate::families::{Families, Family};
use crate::fetch::Fetched;
use crate::relabel;

/// Samples further ahead than this are refused, so that a target with a broken clock cannot keep a series
/// from ever taking a sample again.
const AHEAD_MAX: Duration = Duration::from_secs(10 * 60);
/// Before the name of a label that a target's own label of the same name displaces.
const EXPORTED_PREFIX: &str = "exported_";
/// How much of a text a message quotes.
const QUOTED_CHARS_MAX: usize = 50;

pub(super) struct Batch<'a> {
    cache: &'a mut Cache,
    families: &'a Families,
    target: &'a Labels,
    sink: Sink<'a>,
    /// While an answer is read once more: the series that storage has let go of, and only those are appended.
    again: Option<AHashSet<usize>>,
}

/// Where samples go; apart from the cache, which knows the series that a sample belongs to.
struct Sink<'a> {
    rules: &'a Rules,
    appender: &'a mut dyn Appender,
    at: Timestamp,
    tally: &'a mut Tally,
    /// Whether a native histogram has more buckets than are allowed, however they are merged.
    too_many_buckets: bool,
    known: Known,
}

/// Floats of series that storage knows: nearly all there are. They go to storage together, by reference alone.
#[derive(Default)]
struct Known {
    /// Where each series is in the cache.
    entries: Vec<u32>,
    series: Vec<SeriesRef>,
    values: Vec<f64>,
    /// As far as any has a time of its own.
    times: Vec<Timestamp>,
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
        (cache, families): (&'a mut Cache, &'a Families),
        target: &'a Labels,
        rules: &'a Rules,
        appender: &'a mut dyn Appender,
        at: Timestamp,
        tally: &'a mut Tally,
    ) -> Self {
        let (known, too_many_buckets) = (Known::default(), false);
        let sink = Sink { rules, appender, at, tally, too_many_buckets, known };
        Self { cache, families, target, sink, again: None }
    }

    /// Appends everything. After an error the batch must be thrown away.
    pub(super) fn append(mut self, fetched: &Fetched) -> Result<(), Error> {
        self.append_all(fetched)?;
        let forgotten = self.append_known();
        if !forgotten.is_empty() {
            // Storage takes them as new ones, by their labels, which only the answer tells.
            self.again = Some(forgotten);
            self.cache.rewind();
            self.append_all(fetched)?;
        }
        // Counted to the end, so that the report says how many there were.
        let limit = self.sink.rules.limits.samples;
        if limit > 0 && self.sink.tally.kept > limit {
            return Err(Error::SampleLimit);
        }
        if self.sink.too_many_buckets {
            return Err(Error::BucketLimit);
        }
        if self.cache.declares_anew() {
            let declared = declared(fetched, self.sink.rules)?;
            let share = |(name, metadata)| self.families.share(Family { name, metadata });
            self.cache.set_families(declared.into_iter().map(share).collect(), self.sink.appender);
        }
        Ok(())
    }

    fn append_all(&mut self, fetched: &Fetched) -> Result<(), Error> {
        match fetched {
            Fetched::Exposition { format, body } => {
                let rules = self.sink.rules;
                let with_starts = rules.created_as_starts && *format == Format::OpenMetricsText;
                match (rules.histograms.convert, format) {
                    (true, _) => exposition::nhcb::convert(
                        rules.histograms.classic,
                        |sink| read(*format, body, rules, sink),
                        &mut |line| self.append_line(line),
                    ),
                    (false, format) if *format == Format::Protobuf || with_starts => {
                        read(*format, body, rules, &mut |line| self.append_line(line))
                    }
                    (false, _) => {
                        self.cache.expect(*format);
                        exposition::parse_text(*format, body, self)
                    }
                }
            }
            Fetched::Columns(columns) => self.append_columns(columns),
        }
    }

    fn append_line(&mut self, line: Line<'_>) -> Result<(), Error> {
        match line {
            // Said already where the answer is read once more.
            Line::Help { .. } | Line::Unit { .. } | Line::Kind { .. } if self.again.is_some() => {}
            Line::Help { family, text } => self.cache.declare("help", &family, &text),
            Line::Unit { family, unit } => self.cache.declare("unit", &family, unit),
            Line::Kind { family, kind } => self.cache.declare("kind", &family, kind.as_str()),
            Line::Sample(sample) => {
                let labels = || sample.labels().map_err(Error::Sample);
                let point = Point::Float(sample.value);
                let times = (sample.timestamp, sample.start);
                let stored = self.append_point(sample.series, labels, times, point)?;
                if let (Some((at, series)), Some(exemplar)) = (stored, sample.exemplar) {
                    let when = exemplar.timestamp.is_some();
                    let otherwise = self.sink.time_of(sample.timestamp);
                    let exemplar = exemplar.to_exemplar(otherwise).map_err(Error::Sample)?;
                    self.append_exemplar(at, series, exemplar, when);
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
        let Some((at, series)) = stored.filter(|_| !scraped.exemplars.is_empty()) else { return Ok(()) };
        // An answer repeats what earlier ones had, oldest first; storage would refuse that as out of order.
        let newest = match self.cache.extra(at).and_then(|extra| extra.exemplar.as_ref()) {
            Some(LatestExemplar::Timed(at)) => Some(*at),
            _ => None,
        };
        for exemplar in scraped.exemplars.iter().filter(|exemplar| exemplar.timestamp > newest) {
            let exemplar = exemplar.to_exemplar(self.sink.at).map_err(Error::Sample)?;
            match self.sink.appender.append_exemplar(series, &exemplar) {
                Ok(()) => {
                    let latest = LatestExemplar::Timed(exemplar.timestamp);
                    self.cache.extra_mut(at).exemplar = Some(latest);
                }
                Err(_) => self.sink.tally.rejected.exemplars += 1,
            }
        }
        Ok(())
    }

    fn append_columns(&mut self, columns: &Columns) -> Result<(), Error> {
        if self.again.is_none() {
            for (family, metadata) in columns.families() {
                self.cache.declare("help", family, &metadata.help);
                self.cache.declare("unit", family, &metadata.unit);
                self.cache.declare("kind", family, metadata.kind.as_str());
            }
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
        if self.again.is_some() {
            return Ok(());
        }
        for e in columns.exemplars() {
            write_key(&mut key, columns, e.series as usize);
            let Some(at) = self.cache.find(&key) else { continue };
            let entry = self.cache.entry(at);
            let Some(series) = entry.series().filter(|_| entry.is_live()) else { continue };
            let timestamp = e.timestamp_ms.map_or(self.sink.at, Timestamp::from_millis);
            let labels = Labels::from_pairs(e.labels.iter().map(|(n, v)| (n, v)));
            let exemplar = Exemplar { labels, value: e.value, timestamp };
            self.append_exemplar(at, series, exemplar, e.timestamp_ms.is_some());
        }
        Ok(())
    }

    /// Appends one sample of the series that the answer names so. `None` where it is not stored; else where the cache
    /// has the series, and its reference.
    fn append_point(
        &mut self,
        name: &str,
        labels: impl FnOnce() -> Result<Labels, Error>,
        times: OwnTimes,
        point: Point<'_>,
    ) -> Result<Option<(usize, SeriesRef)>, Error> {
        if let Some(forgotten) = &self.again {
            let Some(at) = self.cache.find(name).filter(|at| forgotten.contains(at)) else { return Ok(None) };
            let Some(labels) = self.finish(&labels()?)? else { return Ok(None) };
            return Ok(self.sink.append_labelled(self.cache, at, &labels, times, point));
        }
        self.sink.tally.scraped += 1;
        let Some((at, first)) = self.cache.touch(name) else {
            let labels = self.finish(&labels()?)?;
            let at = self.cache.insert(name, labels.is_some());
            let Some(labels) = labels else { return Ok(None) };
            self.sink.tally.series_added += 1;
            if !self.sink.admit(self.cache, at, true, times, point) {
                return Ok(None);
            }
            return Ok(self.sink.append_labelled(self.cache, at, &labels, times, point));
        };
        if self.cache.entry(at).is_dropped() || !self.sink.admit(self.cache, at, first, times, point) {
            return Ok(None);
        }
        if let (Some(series), Point::Float(value)) = (self.cache.entry(at).series(), point) {
            return Ok(self.sink.append_float(self.cache, at, series, times, value));
        }
        let remembered = self.cache.extra(at).and_then(|extra| extra.labels.clone());
        let labels = match remembered {
            Some(labels) => labels,
            None => match self.finish(&labels()?)? {
                Some(labels) => labels,
                None => return Ok(None),
            },
        };
        Ok(self.sink.append_labelled(self.cache, at, &labels, times, point))
    }

    /// Appends what goes to storage by reference. What comes back are the series that storage has let go of.
    fn append_known(&mut self) -> AHashSet<usize> {
        let Known { entries, series, values, times, starts } = std::mem::take(&mut self.sink.known);
        let columns = match times.is_empty() {
            true => FloatColumns::at(self.sink.at, &series, &values),
            false => FloatColumns::timed(&series, &times, &values),
        };
        let Some(columns) = columns else { return AHashSet::new() };
        let mut refused = Vec::new();
        self.sink.appender.append_columns(&columns.started(&starts), &mut refused);
        let mut forgotten = AHashSet::new();
        for (index, error) in refused {
            self.sink.tally.appended -= 1;
            let at = entries[index] as usize;
            let gone = matches!(error, AppendError::UnknownSeries(_));
            self.cache.refused(at, gone);
            match gone {
                true => drop(forgotten.insert(at)),
                false => self.sink.tally.rejected.count(&error),
            }
        }
        forgotten
    }

    /// Appends an exemplar, unless it is the one that the last answer had: without a time of its own (`timed`)
    /// nothing tells storage that it is the same observation again.
    fn append_exemplar(&mut self, at: usize, series: SeriesRef, exemplar: Exemplar, timed: bool) {
        if timed {
            if self.sink.appender.append_exemplar(series, &exemplar).is_err() {
                self.sink.tally.rejected.exemplars += 1;
            }
            return;
        }
        if let Some(LatestExemplar::Untimed(labels, value)) =
            self.cache.extra(at).and_then(|extra| extra.exemplar.as_ref())
            && *labels == exemplar.labels
            && value.to_bits() == exemplar.value.to_bits()
        {
            return;
        }
        match self.sink.appender.append_exemplar(series, &exemplar) {
            Ok(()) => {
                let latest = LatestExemplar::Untimed(exemplar.labels, exemplar.value);
                self.cache.extra_mut(at).exemplar = Some(latest);
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

impl exposition::Sink<Error> for Batch<'_> {
    fn recognise(&mut self, line: &str) -> usize {
        self.cache.recognise(line)
    }

    fn recognise_comments(&mut self, text: &str) -> Option<Comments> {
        self.cache.recognise_comments(text, self.again.is_some())
    }

    fn remember_comments(&mut self, lines: &str, kind: Option<MetricKind>) {
        // Where an answer is read once more, nothing in it is declared again.
        if self.again.is_none() {
            self.cache.remember_comments(lines, kind);
        }
    }

    fn take(&mut self, entry: Line<'_>) -> Result<(), Error> {
        self.append_line(entry)
    }
}

impl Sink<'_> {
    /// Whether a sample may be stored of a series that has one in this answer already, unless it is the `first`.
    fn admit(
        &mut self,
        cache: &mut Cache,
        at: usize,
        first: bool,
        (timestamp, _): OwnTimes,
        point: Point<'_>,
    ) -> bool {
        self.tally.kept += 1;
        let limit = self.rules.limits.samples;
        if limit > 0 && self.tally.kept > limit {
            return false;
        }
        let own_time = timestamp.is_some() && self.rules.honor_timestamps;
        let entry = cache.entry_mut(at);
        entry.tracked = !own_time || self.rules.track_timestamps_staleness;
        entry.histogram = matches!(point, Point::Histogram(_));
        if !own_time && !first {
            self.tally.rejected.count(&AppendError::DuplicateTimestamp);
            return false;
        }
        true
    }

    /// Keeps a sample for the end, when all of its kind are appended.
    fn append_float(
        &mut self,
        cache: &mut Cache,
        at: usize,
        series: SeriesRef,
        (timestamp, start): OwnTimes,
        value: f64,
    ) -> Option<(usize, SeriesRef)> {
        let time = self.time_of(timestamp);
        if time > self.at + AHEAD_MAX {
            self.tally.rejected.count(&AppendError::OutOfBounds);
            return None;
        }
        let known = &mut self.known;
        if time != self.at || !known.times.is_empty() {
            known.times.resize(known.values.len(), self.at);
            known.times.push(time);
        }
        if let Some(start) = start {
            known.starts.resize(known.values.len(), UNKNOWN_START);
            known.starts.push(start);
        }
        known.entries.push(at as u32);
        known.series.push(series);
        known.values.push(value);
        cache.stored(at, series);
        self.tally.appended += 1;
        Some((at, series))
    }

    fn append_labelled(
        &mut self,
        cache: &mut Cache,
        at: usize,
        labels: &Labels,
        (timestamp, start): OwnTimes,
        point: Point<'_>,
    ) -> Option<(usize, SeriesRef)> {
        let time = self.time_of(timestamp);
        let series = cache.entry(at).series();
        let appended = if time > self.at + AHEAD_MAX {
            Err(AppendError::OutOfBounds)
        } else {
            match point {
                Point::Float(value) => {
                    self.appender.append(series, labels, Sample { timestamp: time, value })
                }
                Point::Histogram(h) => {
                    let limit = self.rules.limits.buckets;
                    let reduced = fitted(h, self.rules.schema_max, limit);
                    self.too_many_buckets |= reduced.is_none();
                    let h = reduced?;
                    match h.validate() {
                        Ok(()) => self.appender.append_histogram(series, labels, time, &h),
                        Err(e) => Err(AppendError::InvalidHistogram(e.to_string())),
                    }
                }
            }
        };
        match appended {
            Ok(series) => {
                if let Some(start) = start {
                    self.appender.append_start(series, start);
                }
                if matches!(point, Point::Histogram(_)) {
                    cache.extra_mut(at).labels.get_or_insert_with(|| labels.clone());
                }
                cache.stored(at, series);
                self.tally.appended += 1;
                Some((at, series))
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
    rules: &Rules,
    sink: &mut dyn FnMut(Line<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let histograms = match (rules.histograms.native, rules.histograms.classic) {
        (false, _) => Histograms::Classic,
        (true, false) => Histograms::Native,
        (true, true) => Histograms::NativeAndClassic,
    };
    match format {
        Format::Protobuf => exposition::protobuf::parse(body, histograms, sink),
        Format::OpenMetricsText if rules.created_as_starts => exposition::parse_with_starts(body, sink),
        _ => exposition::parse(format, body, sink),
    }
}

/// What an answer says of its families.
fn declared(fetched: &Fetched, rules: &Rules) -> Result<BTreeMap<String, Metadata>, Error> {
    let mut declared: BTreeMap<String, Metadata> = BTreeMap::new();
    match fetched {
        Fetched::Exposition { format, body } => read(*format, body, rules, &mut |line| {
            match line {
                Line::Help { family, text } => {
                    text.as_ref().clone_into(&mut declared.entry(family.into_owned()).or_default().help);
                }
                Line::Unit { family, unit } => {
                    unit.clone_into(&mut declared.entry(family.into_owned()).or_default().unit);
                }
                Line::Kind { family, kind } => declared.entry(family.into_owned()).or_default().kind = kind,
                Line::Sample(_) | Line::Histogram(_) => {}
            }
            Ok(())
        })?,
        Fetched::Columns(columns) => {
            let families = columns.families().iter().cloned();
            declared.extend(families);
        }
    }
    Ok(declared)
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

fn quoted(text: &str) -> &str {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}
