//! What windows come to is the same from summaries as from samples.

use model::{Summary, Windows};

use super::*;
use crate::SummarySink;

/// Samples and summaries, in the order in which they come.
#[derive(Default)]
struct Pieces {
    pieces: Vec<Summary>,
    summaries: usize,
}

impl Sink for Pieces {
    fn floats(&mut self, times: &[i64], values: &[f64], _: &[i64]) {
        let samples = times.iter().zip(values).filter(|(_, value)| !model::staleness::is_stale(**value));
        self.pieces.extend(samples.map(|(time, value)| Summary::of_sample(ms(*time), *value)));
    }

    fn histograms(&mut self, _: &[i64], _: &[Arc<Histogram>], _: &[i64]) {}
}

impl SummarySink for Pieces {
    fn summary(&mut self, summary: &Summary) {
        self.pieces.push(*summary);
        self.summaries += 1;
    }
}

impl Pieces {
    /// What each window comes to.
    fn by_window(&self, windows: &Windows) -> Vec<Option<Summary>> {
        let window = |number: u64| {
            let end = windows.first_end.millis() + windows.step_ms * number as i64;
            let inside = |time: Timestamp| (end - windows.range_ms + 1..=end).contains(&time.millis());
            let mut pieces = self.pieces.iter().filter(|piece| {
                assert_eq!(inside(piece.first_time), inside(piece.last_time), "a border within a summary");
                inside(piece.first_time)
            });
            let mut all = *pieces.next()?;
            pieces.for_each(|piece| all.append(piece));
            Some(all)
        };
        (0..windows.count).map(window).collect()
    }
}

/// Up to rounding, which depends on the order in which sums are made.
fn close(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

fn check_alike(from_summaries: Option<&Summary>, from_samples: Option<&Summary>) {
    let (Some(a), Some(b)) = (from_summaries, from_samples) else {
        assert_eq!(from_summaries, from_samples);
        return;
    };
    let exact = |s: &Summary| (s.first_time, s.last_time, s.count, s.resets, s.changes);
    let bits = |s: &Summary| [s.first, s.last, s.min, s.max].map(f64::to_bits);
    assert_eq!((exact(a), bits(a)), (exact(b), bits(b)));
    assert!(close(a.sum + a.sum_error, b.sum + b.sum_error), "{a:?} {b:?}");
    assert!(close(a.squares, b.squares) && close(a.reset_sum, b.reset_sum), "{a:?} {b:?}");
}

/// Blocks of a hundred samples each: a counter that is reset, a gauge, a constant and one with stale markers.
fn filled() -> Tsdb {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = open(&fs, &clock);
    for time in (0..4000).step_by(10) {
        let mut batch = db.appender();
        let stale = if time % 700 < 30 { model::staleness::STALE_NAN } else { time as f64 / 8.0 };
        let values = [(time % 1230) as f64 / 10.0, ((time * 7919) % 1000) as f64 - 500.0, 3.5, stale];
        for (number, value) in (1..).zip(values) {
            batch.append(None, &series(number), Sample::new(time, value)).unwrap();
        }
        batch.commit().unwrap();
    }
    assert!(db.maintain().unwrap().blocks_cut > 1);
    db
}

fn check(db: &Tsdb, windows: Windows) -> usize {
    let mut summaries = 0;
    for series in db.select(&[], windows.start(), windows.end()).unwrap() {
        let (mut short, mut full) = (Pieces::default(), Pieces::default());
        series.read_windows(&windows, &mut short).unwrap();
        series.read(windows.start(), windows.end(), &mut full).unwrap();
        let (short_windows, full_windows) = (short.by_window(&windows), full.by_window(&windows));
        for (a, b) in short_windows.iter().zip(&full_windows) {
            check_alike(a.as_ref(), b.as_ref());
        }
        summaries += short.summaries;
    }
    summaries
}

#[test]
fn one_window_over_everything_decodes_only_the_head() {
    let db = filled();
    let all = Windows { first_end: ms(4000), step_ms: 1, count: 1, range_ms: 5000 };
    assert_eq!(check(&db, all) as u64, 4 * db.stats().blocks);
}

#[test]
fn what_is_deleted_is_in_no_summary() {
    let db = filled();
    let windows = Windows { first_end: ms(4000), step_ms: 1, count: 1, range_ms: 5000 };
    let before = check(&db, windows);
    assert_eq!(db.delete(&[], ms(500), ms(510)).unwrap(), 4);
    assert_eq!(check(&db, windows), before - 4);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    #[test]
    fn windows_come_to_the_same(
        ends in vec((0i64..6000, 1i64..3000, 1u64..5, 1i64..8000), 1..20)
    ) {
        let db = filled();
        for (first_end, step_ms, count, range_ms) in ends {
            check(&db, Windows { first_end: ms(first_end), step_ms, count, range_ms });
        }
    }
}
