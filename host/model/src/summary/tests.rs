//! Summaries and windows against what they are short for.

use proptest::prelude::*;

use super::{Summary, Windows};
use crate::Timestamp;
use crate::staleness::STALE_NAN;

fn times(count: usize) -> Vec<Timestamp> {
    (0..count as i64).map(|at| Timestamp::from_millis(at * 1000)).collect()
}

fn of(values: &[f64]) -> Summary {
    Summary::of(&times(values.len()), values).expect("samples")
}

#[test]
fn tells_what_samples_come_to() {
    let summary = of(&[4.0, 6.0, STALE_NAN, 6.0, 1.0, 3.0]);
    assert_eq!((summary.first_time.millis(), summary.last_time.millis()), (0, 5000));
    assert_eq!((summary.count, summary.sum, summary.mean()), (5, 20.0, 4.0));
    assert_eq!((summary.min, summary.max, summary.first, summary.last), (1.0, 6.0, 4.0, 3.0));
    assert_eq!((summary.resets, summary.reset_sum, summary.changes), (1, 6.0, 3));
    assert!((summary.squares - 18.0).abs() < 1e-9, "{}", summary.squares);
}

#[test]
fn keeps_what_a_sum_loses() {
    let summary = of(&[1e100, 1.0, -1e100]);
    assert_eq!(summary.sum + summary.sum_error, 1.0);
}

#[test]
fn lets_numbers_win_over_nan() {
    let summary = of(&[f64::NAN, 2.0, f64::NAN]);
    assert_eq!((summary.min, summary.max, summary.count), (2.0, 2.0, 3));
    assert!(summary.sum.is_nan() && summary.squares.is_nan());
    assert!(of(&[f64::NAN, f64::NAN]).min.is_nan());
    assert_eq!(of(&[f64::NAN, f64::NAN]).changes, 0);
}

#[test]
fn is_infinite_where_a_value_is() {
    let summary = of(&[1.0, f64::INFINITY, 2.0]);
    assert_eq!(summary.sum + summary.sum_error, f64::INFINITY);
    assert!(summary.squares.is_nan());
}

#[test]
fn is_none_of_stale_markers_alone() {
    assert_eq!(Summary::of(&times(2), &[STALE_NAN, STALE_NAN]), None);
    assert_eq!(Summary::of(&[], &[]), None);
}

proptest! {
    #[test]
    fn two_halves_make_the_whole(values in prop::collection::vec(-1e6..1e6f64, 2..40), cut in 1..39usize) {
        let cut = cut.min(values.len() - 1);
        let all = times(values.len());
        let mut joined = Summary::of(&all[..cut], &values[..cut]).expect("samples");
        joined.append(&Summary::of(&all[cut..], &values[cut..]).expect("samples"));
        let whole = of(&values);
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0);
        prop_assert!(close(joined.squares, whole.squares));
        prop_assert!(close(joined.sum + joined.sum_error, whole.sum + whole.sum_error));
        prop_assert!(close(joined.reset_sum, whole.reset_sum));
        let rest = |s: Summary| (s.count, s.first, s.last, s.min, s.max, s.resets, s.changes, s.last_time);
        prop_assert_eq!(rest(joined), rest(whole));
    }

    #[test]
    fn windows_treat_alike_what_none_tells_apart(
        (first_end, step_ms, count, range_ms) in (-20..20i64, 1..9i64, 0..5u64, 0..12i64),
        (first, length) in (-40..60i64, 0..10i64),
    ) {
        let windows = Windows { first_end: Timestamp::from_millis(first_end), step_ms, count, range_ms };
        let holds = |at: i64, time: i64| {
            let end = first_end + at * step_ms;
            time > end - range_ms && time <= end
        };
        let alike = (0..count as i64)
            .all(|at| (first..=first + length).all(|time| holds(at, time) == holds(at, first)));
        let (from, to) = (Timestamp::from_millis(first), Timestamp::from_millis(first + length));
        // An empty window has two borders at one place, which tell nothing apart.
        if range_ms > 0 {
            prop_assert_eq!(windows.treat_alike(from, to), alike);
        } else {
            prop_assert!(!windows.treat_alike(from, to) || alike);
        }
    }
}
