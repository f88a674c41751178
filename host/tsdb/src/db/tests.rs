//! The database against a plain model, under faults, crashes, cuts and reopening.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use model::{
    Append, AppendError, Exemplar, FloatColumns, Histogram, Labels, Matcher, Metadata, MetricKind, Refused,
    Sample, SeriesRef, Timestamp,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Latest, LatestBy, Sink, Tsdb};
use crate::clock::Clock;
use crate::codec::histogram::bits_equal;
use crate::codec::tests::{any_float, any_histogram};
use crate::error::{Error, Result};
use crate::fs::sim::{Fault, Loss, SimFileSystem};
use crate::fs::{FileSystem, RealFileSystem};
use crate::options::{Options, Retention, RetentionRule, WalSync};
use crate::starts::UNKNOWN_START;

mod behaviour;
mod behind;
mod cardinality;
mod compaction;
mod damage;
mod deletion;
mod downsampling;
mod faults;
mod fixtures;
mod histories;
mod late;
mod latest;
mod log_reader;
mod retention;
mod snapshots;
mod starts;
mod summaries;
mod syncs;

const DIR: &str = "/db";

/// A clock that stands still until it is set.
#[derive(Debug, Default)]
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    fn at(millis: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(millis)))
    }

    fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Small numbers, so that a few samples reach every border.
fn options(wal_sync: WalSync) -> Options {
    Options {
        wal_sync,
        log_only: false,
        wal_segment_bytes: 300,
        checkpoint_bytes: 2_000,
        checkpoint_interval: Duration::from_millis(1000),
        block_range: Duration::from_millis(1000),
        cut_after_quiet: Duration::ZERO,
        retention: Retention::ALL,
        out_of_order_window: Duration::ZERO,
        downsampling: None,
        head_series_max: None,
        metric_series_max: None,
        job_series_max: None,
    }
}

fn open(fs: &SimFileSystem, clock: &Arc<TestClock>) -> Tsdb {
    try_open(fs, clock, options(WalSync::Always)).unwrap()
}

fn try_open(fs: &SimFileSystem, clock: &Arc<TestClock>, options: Options) -> Result<Tsdb> {
    Tsdb::open(DIR, options, Arc::new(fs.clone()), clock.clone())
}

/// What a power cut takes.
fn any_loss() -> impl Strategy<Value = Loss> {
    prop::sample::select(vec![Loss::Nothing, Loss::Unsynced, Loss::HalfOfUnsynced, Loss::UnsyncedIsZeros])
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop::sample::select(vec![Fault::Error, Fault::Crash])
}

/// Starts as batches bring them: mostly none, else one of few, or any at all.
fn any_start() -> impl Strategy<Value = i64> {
    prop_oneof![4 => Just(UNKNOWN_START), 3 => prop::sample::select(vec![5, 900]), 1 => any::<i64>()]
}

fn far_clock() -> Arc<TestClock> {
    TestClock::at(i64::MAX / 2)
}

fn series(number: usize) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("n", &number.to_string())])
}

fn ms(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn append(db: &Tsdb, number: usize, time: i64, value: f64) -> SeriesRef {
    let mut batch = db.appender();
    let id = batch.append(None, &series(number), Sample::new(time, value)).unwrap();
    batch.commit().unwrap();
    id
}

/// A sample as it is compared: bits, or the histogram.
#[derive(Debug, Clone)]
enum Seen {
    Float(u64),
    Histogram(Arc<Histogram>),
    /// With a start.
    Started(i64, Box<Self>),
}

impl PartialEq for Seen {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::Histogram(a), Self::Histogram(b)) => bits_equal(a, b),
            (Self::Started(a, of_a), Self::Started(b, of_b)) => a == b && of_a == of_b,
            _ => false,
        }
    }
}

impl Seen {
    /// With a start, where that is known.
    fn started(self, start: i64) -> Self {
        if start == UNKNOWN_START { self } else { Self::Started(start, Box::new(self)) }
    }

    /// Without its start, which says nothing of whether a sample is there already.
    fn value(&self) -> &Self {
        if let Self::Started(_, value) = self { value } else { self }
    }
}

type Content = BTreeMap<Labels, BTreeMap<i64, Seen>>;

#[derive(Default)]
struct Collect(Vec<(i64, Seen)>);

impl Sink for Collect {
    fn floats(&mut self, times: &[i64], values: &[f64], starts: &[i64]) {
        let values = values.iter().map(|value| Seen::Float(value.to_bits()));
        self.take(times, values, starts);
    }

    fn histograms(&mut self, times: &[i64], values: &[Arc<Histogram>], starts: &[i64]) {
        self.take(times, values.iter().cloned().map(Seen::Histogram), starts);
    }
}

impl Collect {
    fn take(&mut self, times: &[i64], values: impl ExactSizeIterator<Item = Seen>, starts: &[i64]) {
        assert_eq!(times.len(), values.len());
        assert!(starts.is_empty() || starts.len() == times.len(), "{} starts", starts.len());
        let starts = starts.iter().copied().chain(std::iter::repeat(UNKNOWN_START));
        let values = times.iter().zip(values).zip(starts);
        self.0.extend(values.map(|((time, value), start)| (*time, value.started(start))));
    }
}

/// What the database, to which nobody appends meanwhile, holds in a range, with the promises of reading checked on the way.
fn content(db: &Tsdb, matchers: &[Matcher], start: i64, end: i64) -> Content {
    let found = db.select(matchers, ms(start), ms(end)).unwrap();
    let numbers: BTreeSet<&str> = found.iter().filter_map(|series| series.labels().get("n")).collect();
    let values = db.label_values("n", matchers, ms(start), ms(end)).unwrap();
    // Values of what has been deleted are named until a block is written anew without it.
    let are_named = numbers.iter().all(|number| values.iter().any(|value| value == number));
    assert!(are_named, "values {values:?} of series {numbers:?} in {start}..{end}");
    let content = selected(db, matchers, start, end);
    for middle in content.values().flat_map(BTreeMap::keys).copied().chain([end]).take(3) {
        check_latest(db, matchers, (start, middle), &content);
    }
    content
}

/// As [`content`], of one selection, so that others may append meanwhile.
fn selected(db: &Tsdb, matchers: &[Matcher], start: i64, end: i64) -> Content {
    let selected = db.select(matchers, ms(start), ms(end)).unwrap();
    assert!(selected.is_sorted_by(|a, b| a.labels() < b.labels()), "series are not in order of their labels");
    let mut content = Content::new();
    for series in selected {
        let mut collect = Collect::default();
        series.read(ms(start), ms(end), &mut collect).unwrap();
        assert!(collect.0.is_sorted_by(|a, b| a.0 < b.0), "times of {:?} do not increase", series.labels());
        if !collect.0.is_empty() {
            content.insert(series.labels().clone(), collect.0.into_iter().collect());
        }
    }
    content
}

/// Checks the latest samples of a range, with labels, by groups and without, against all samples from its start on.
fn check_latest(db: &Tsdb, matchers: &[Matcher], (start, end): (i64, i64), content: &Content) {
    let last = |(labels, samples): (&Labels, &BTreeMap<i64, Seen>)| {
        let (time, seen) = samples.range(..=end).next_back()?;
        let stale = match seen.value() {
            Seen::Float(bits) => model::staleness::is_stale(f64::from_bits(*bits)),
            Seen::Histogram(histogram) => histogram.is_stale(),
            Seen::Started(..) => false,
        };
        (!stale).then(|| (labels.clone(), (*time, seen.value().clone())))
    };
    let expected: BTreeMap<Labels, (i64, Seen)> = content.iter().filter_map(last).collect();
    let latest = |by| db.latest(matchers, ms(start), ms(end), by, 2).unwrap();
    let Some(parts) = latest(LatestBy::Series) else { return };
    let mut found = BTreeMap::new();
    for part in parts {
        let mut histograms = part.histograms.into_iter().peekable();
        for (at, labels) in part.labels.into_iter().enumerate() {
            let seen = match histograms.next_if(|(place, _)| *place == at) {
                Some((_, histogram)) => Seen::Histogram(histogram),
                None => Seen::Float(part.values[at].to_bits()),
            };
            assert!(found.insert(labels, (part.timestamps[at].millis(), seen)).is_none());
        }
    }
    assert_eq!(found, expected, "latest of {start} to {end}");
    let count =
        |parts: Option<Vec<Latest>>| parts.unwrap().iter().map(|part| part.values.len()).sum::<usize>();
    assert_eq!(count(latest(LatestBy::Nothing)), expected.len());
    let by_name = |labels: &Labels, span: &mut Vec<u8>| labels.project(|name| name == b"__name__", span);
    let parts = latest(LatestBy::Groups(&by_name)).unwrap();
    for part in &parts {
        assert!(part.labels.iter().all(|labels| labels.metric_name() == Some("m")));
        assert!(part.groups.iter().all(|group| (*group as usize) < part.labels.len()));
        assert_eq!(part.groups.len(), part.values.len());
    }
    assert_eq!(count(Some(parts)), expected.len());
}

fn everything(db: &Tsdb) -> Content {
    content(db, &[], i64::MIN, i64::MAX)
}

fn floats(pairs: &[(i64, f64)]) -> BTreeMap<i64, Seen> {
    pairs.iter().map(|(time, value)| (*time, Seen::Float(value.to_bits()))).collect()
}
