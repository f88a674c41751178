//! Downsampled data say of whole windows what the samples say, and are found where they are to be.

use model::{Summary, Windows};

use super::*;
use crate::db::SummarySink;
use crate::db::downsample::{DIRS, RESOLUTIONS_MS};
use crate::options::{Downsampling, DownsamplingLevel};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// Blocks of two hours, merged to six; samples are downsampled after a day, and those after two days.
fn downsampling(retention: Retention) -> Options {
    let level = |hours: u64| DownsamplingLevel { after: Duration::from_secs(hours * 3600), retention: None };
    Options {
        block_range: Duration::from_secs(2 * 3600),
        wal_segment_bytes: 1 << 30,
        checkpoint_bytes: 1 << 30,
        retention,
        downsampling: Some(Downsampling { five_minutes: level(24), one_hour: level(48) }),
        ..options(WalSync::Always)
    }
}

/// Value of the series 1 to 3 at a minute: a counter that is reset, a gauge, a constant.
fn value(number: usize, minute: i64) -> f64 {
    match number {
        1 => (minute % 500 * 3) as f64,
        2 => ((minute * 7919) % 1000) as f64 / 10.0,
        _ => 4.0,
    }
}

/// Four days of a sample per minute, at ten seconds past it.
fn filled(fs: &SimFileSystem, retention: Retention) -> Tsdb {
    let db = try_open(fs, &far_clock(), downsampling(retention)).unwrap();
    for hour in 0..96 {
        let mut batch = db.appender();
        for minute in hour * 60..(hour + 1) * 60 {
            for number in 1..4 {
                let sample = Sample::new(minute * MINUTE + 10_000, value(number, minute));
                let id = batch.append(None, &series(number), sample).unwrap();
                if number == 1 {
                    batch.append_start(id, start(minute));
                }
            }
            batch.append_histogram(None, &series(4), ms(minute * MINUTE), &histogram(minute % 100)).unwrap();
        }
        batch.commit().unwrap();
    }
    db
}

/// When the counter of a minute has been started: at its reset, which is at ten seconds past the minute.
fn start(minute: i64) -> Timestamp {
    ms(minute / 500 * 500 * MINUTE + 9_000)
}

fn histogram(count: i64) -> Histogram {
    Histogram { count: count as f64, sum: count as f64, ..Histogram::stale() }
}

/// Takes everything as what it comes to.
#[derive(Default)]
struct Sum {
    parts: Vec<Summary>,
    coarse: usize,
}

impl Sink for Sum {
    fn floats(&mut self, times: &[i64], values: &[f64], _: &[i64]) {
        let times: Vec<Timestamp> = times.iter().map(|time| ms(*time)).collect();
        self.parts.extend(Summary::of(&times, values));
    }
    fn histograms(&mut self, _: &[i64], _: &[Arc<Histogram>], _: &[i64]) {}
}

impl SummarySink for Sum {
    fn summary(&mut self, summary: &Summary) {
        self.parts.push(*summary);
        self.coarse += 1;
    }
}

fn sum(db: &Tsdb, number: usize, (start, end): (i64, i64), step_ms: Option<i64>) -> (Option<Summary>, usize) {
    let matchers = [Matcher::equal("n", number.to_string())];
    let windows = Windows { first_end: ms(end), step_ms: 1, count: 1, range_ms: end - start };
    let mut sink = Sum::default();
    for series in db.select_for_step(&matchers, windows.start(), windows.end(), step_ms).unwrap() {
        series.read_windows(&windows, &mut sink).unwrap();
    }
    sink.parts.sort_by_key(|summary| summary.first_time);
    let all = sink.parts.into_iter().reduce(|mut all, next| {
        all.append(&next);
        all
    });
    (all, sink.coarse)
}

/// Everything that functions over ranges use, with room for the rounding of sums.
fn assert_alike(found: Option<Summary>, number: usize, (start, end): (i64, i64)) {
    let minutes = (start - 10_000).div_euclid(MINUTE) + 1..=(end - 10_000).div_euclid(MINUTE);
    let times: Vec<Timestamp> = minutes.clone().map(|minute| ms(minute * MINUTE + 10_000)).collect();
    let values: Vec<f64> = minutes.map(|minute| value(number, minute)).collect();
    let (found, expected) = (found.unwrap(), Summary::of(&times, &values).unwrap());
    let exact = |s: &Summary| {
        (s.count, s.first_time, s.last_time, s.first, s.last, s.min, s.max, s.resets, s.changes)
    };
    assert_eq!(exact(&found), exact(&expected), "series {number} in {start}..{end}");
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs().max(1.0);
    assert!(near(found.sum + found.sum_error, expected.sum + expected.sum_error));
    assert!(near(found.reset_sum, expected.reset_sum));
    assert!(near(found.squares, expected.squares), "{} {}", found.squares, expected.squares);
}

#[test]
fn whole_windows_are_answered_as_from_the_samples() {
    let fs = SimFileSystem::default();
    // Longer than there are samples, and short enough for blocks of eighteen hours.
    let retention = || Retention::of_time(Duration::from_secs(200 * 3600));
    let db = filled(&fs, retention());
    let report = db.maintain().unwrap();
    assert!(report.blocks_downsampled > 0, "{report:?}");
    // The first maintenance merges after it has downsampled.
    db.maintain().unwrap();
    let names = |dir: &str| fs.list(&Path::new(DIR).join(dir)).unwrap();
    assert!(DIRS.iter().all(|dir| !names(dir).is_empty()));
    for number in 1..4 {
        for (range, step, coarse) in [
            ((0, HOUR), None, false),
            ((10 * HOUR, 14 * HOUR), Some(MINUTE), false),
            ((10 * HOUR, 14 * HOUR), Some(5 * RESOLUTIONS_MS[0]), true),
            ((10 * HOUR + 5 * MINUTE, 14 * HOUR + 35 * MINUTE), Some(5 * RESOLUTIONS_MS[0]), true),
            ((10 * HOUR, 40 * HOUR), Some(5 * RESOLUTIONS_MS[1]), true),
            // Over all borders, from hours to the head.
            ((0, 95 * HOUR), Some(5 * RESOLUTIONS_MS[1]), true),
        ] {
            let (found, used) = sum(&db, number, range, step);
            assert_alike(found, number, range);
            // Blocks have summaries of their own samples, too: less is told by them.
            let least = if coarse { 24 } else { 0 };
            assert!(used >= least, "{used} summaries for {range:?}");
        }
    }
    let expected = everything(&db);
    drop(db);
    assert_eq!(everything(&try_open(&fs, &far_clock(), downsampling(retention())).unwrap()), expected);
}

/// A counter that is started anew without a smaller value: what it counted up to then stays, as far as starts are few.
#[test]
fn starts_within_a_window_are_kept_apart() {
    let fs = SimFileSystem::default();
    let db = try_open(&fs, &far_clock(), downsampling(Retention::of_time(Duration::from_secs(200 * 3600))))
        .unwrap();
    // One restart at every seventh minute, in the first hours; another start with every sample later on.
    let start_of = |minute: i64| if minute < 600 { minute / 7 * 7 } else { minute };
    for minute in 0..48 * 60 {
        let mut batch = db.appender();
        for second in (0..60).step_by(20) {
            let sample = Sample::new(minute * MINUTE + second * 1_000 + 1, (minute * 3 + second / 20) as f64);
            let id = batch.append(None, &series(1), sample).unwrap();
            batch.append_start(id, ms(start_of(minute) * MINUTE + if minute < 600 { 0 } else { second }));
        }
        batch.commit().unwrap();
    }
    while db.maintain().unwrap() != Default::default() {}
    let read = |from: i64, to: i64| {
        let mut kept = BTreeMap::new();
        let step = Some(5 * RESOLUTIONS_MS[0]);
        for series in db.select_for_step(&[Matcher::equal("n", "1")], ms(from), ms(to), step).unwrap() {
            let mut collect = Collect::default();
            series.read(ms(from), ms(to), &mut collect).unwrap();
            kept.extend(collect.0);
        }
        kept
    };
    let kept = read(HOUR + 1, 9 * HOUR);
    // The last of every window and the last before every start.
    let lasts = (60..540).filter(|minute| minute % 5 == 4 || minute % 7 == 6);
    let expected: BTreeMap<i64, Seen> = lasts
        .map(|minute| {
            let value = Seen::Float(((minute * 3 + 2) as f64).to_bits());
            (minute * MINUTE + 40_001, value.started(start_of(minute) * MINUTE))
        })
        .collect();
    assert_eq!(kept, expected);
    let many = read(11 * HOUR + 1, 12 * HOUR);
    assert_eq!(many.len(), 12 * 8, "eight at most of fifteen in a window");
}

#[test]
fn a_series_of_both_kinds_is_found_in_order_of_time() {
    let retention = Retention::of_time(Duration::from_secs(200 * 3600));
    let db = try_open(&SimFileSystem::default(), &far_clock(), downsampling(retention)).unwrap();
    let mut batch = db.appender();
    for minute in 0..72 * 60 {
        if minute / 10 % 2 == 0 {
            batch.append(None, &series(1), Sample::new(minute * MINUTE, 1.0)).unwrap();
        } else {
            batch.append_histogram(None, &series(1), ms(minute * MINUTE), &histogram(minute)).unwrap();
        }
    }
    batch.commit().unwrap();
    assert!(db.maintain().unwrap().blocks_downsampled > 0);
    let found = &five_minutes(&db)[&series(1)];
    let are_histograms: BTreeSet<bool> =
        found.values().map(|seen| matches!(seen.value(), Seen::Histogram(_))).collect();
    assert_eq!(are_histograms.len(), 2, "{found:?}");
}

#[test]
fn downsampled_data_stay_when_samples_are_gone() {
    let fs = SimFileSystem::default();
    let db = filled(&fs, Retention::of_time(Duration::from_secs(60 * 3600)));
    while db.maintain().unwrap() != Default::default() {}
    let oldest = db.select(&[Matcher::equal("n", "1")], ms(0), ms(96 * HOUR)).unwrap();
    assert!(oldest[0].resolution_ms() > 0);
    for number in 1..4 {
        assert_alike(sum(&db, number, (HOUR, 30 * HOUR), None).0, number, (HOUR, 30 * HOUR));
        assert_alike(sum(&db, number, (HOUR, 95 * HOUR), None).0, number, (HOUR, 95 * HOUR));
    }
    // Plain reading sees the last sample of each window, and what came before the range.
    let hour = content(&db, &[Matcher::equal("n", "2")], 10 * HOUR + 1, 11 * HOUR);
    let last = |end: i64| (end * MINUTE - 50_000, value(2, end - 1));
    let minutes: Vec<(i64, f64)> = (601..=660).filter(|minute| minute % 5 == 0).map(last).collect();
    assert_eq!(hour[&series(2)], floats(&minutes));
    let hours = content(&db, &[Matcher::equal("n", "1")], 8 * HOUR, 10 * HOUR);
    for (time, seen) in &hours[&series(1)] {
        let minute = (time - 10_000) / MINUTE;
        let expected = Seen::Float(value(1, minute).to_bits()).started(start(minute).millis());
        assert_eq!(*seen, expected, "the start of the last sample is kept, at minute {minute}");
    }
    let labels = db.label_values("n", &[], ms(0), ms(HOUR)).unwrap();
    assert_eq!(labels, ["1", "2", "3", "4"]);
    // Of counters of histograms, no reset is lost.
    let histograms = &content(&db, &[Matcher::equal("n", "4")], 0, 5 * HOUR)[&series(4)];
    let counts: Vec<f64> = histograms
        .values()
        .map(|seen| if let Seen::Histogram(h) = seen { h.count } else { panic!("a float") })
        .collect();
    assert!(counts.contains(&99.0) && counts.len() < 100, "{counts:?}");
}

#[test]
fn deletion_snapshots_and_verification_reach_downsampled_data() {
    let fs = SimFileSystem::default();
    let db = filled(&fs, Retention::of_time(Duration::from_secs(60 * 3600)));
    while db.maintain().unwrap() != Default::default() {}
    db.delete(&[Matcher::equal("n", "1")], ms(HOUR + 1), ms(2 * HOUR - 7 * MINUTE)).unwrap();
    for _ in 0..2 {
        let left = content(&db, &[Matcher::equal("n", "1")], 0, 3 * HOUR);
        let gone = |time: &i64| (HOUR + 1..=2 * HOUR - 5 * MINUTE).contains(time);
        assert!(!left[&series(1)].keys().any(gone), "{left:?}");
        assert!(left[&series(1)].keys().any(|time| *time > 2 * HOUR));
        assert!(db.clean_tombstones().is_ok());
    }
    db.delete(&[Matcher::equal("n", "3")], Timestamp::MIN, Timestamp::MAX).unwrap();
    assert_eq!(db.label_values("n", &[], ms(0), ms(HOUR)).unwrap(), ["1", "2", "4"]);
    let expected = everything(&db);
    db.snapshot("/copy", false).unwrap();
    drop(db);
    let found = crate::verify(&fs, Path::new(DIR)).unwrap();
    assert!(found.is_sound(), "{:?}", found.problems);
    let options = downsampling(Retention::of_time(Duration::from_secs(60 * 3600)));
    let copy = Tsdb::open("/copy", options, Arc::new(fs), far_clock()).unwrap();
    assert_eq!(everything(&copy), expected);
}

/// A day and a half, downsampled.
fn fixture_history(fs: &SimFileSystem) -> Tsdb {
    let retention = Retention::of_time(Duration::from_secs(200 * 3600));
    let db = try_open(fs, &far_clock(), downsampling(retention)).unwrap();
    for minute in (0..36 * 60).step_by(20) {
        let mut batch = db.appender();
        for number in 1..3 {
            let sample = Sample::new(minute * MINUTE, value(number, minute));
            batch.append(None, &series(number), sample).unwrap();
        }
        batch.append_histogram(None, &series(4), ms(minute * MINUTE), &histogram(minute % 100)).unwrap();
        batch.commit().unwrap();
    }
    append(&db, 1, 48 * HOUR, 0.0);
    while db.maintain().unwrap() != Default::default() {}
    db
}

/// All that the five minutes say.
fn five_minutes(db: &Tsdb) -> Content {
    let mut content = Content::new();
    for series in db.select_for_step(&[], ms(0), ms(18 * HOUR - 1), Some(5 * RESOLUTIONS_MS[0])).unwrap() {
        assert_eq!(series.resolution_ms(), RESOLUTIONS_MS[0]);
        let mut collect = Collect::default();
        series.read(ms(0), ms(18 * HOUR - 1), &mut collect).unwrap();
        content.insert(series.labels().clone(), collect.0.into_iter().collect());
    }
    content
}

#[test]
fn the_fixture_of_downsampled_data_is_read() {
    let (fs, fresh) = (SimFileSystem::default(), SimFileSystem::default());
    let bytes = include_bytes!("../../../fixtures/v4.block");
    fs.set_bytes(&Path::new(DIR).join("blocks-5m/00000001.block"), bytes);
    let db = try_open(&fs, &far_clock(), downsampling(Retention::ALL)).unwrap();
    assert!(db.recovery().corruptions.is_empty(), "{:?}", db.recovery());
    let expected = five_minutes(&fixture_history(&fresh));
    assert_eq!(expected.len(), 3);
    assert_eq!(five_minutes(&db), expected);
}
