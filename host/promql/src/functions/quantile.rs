//! Quantiles: of values, and of classic buckets.

use std::cmp::Ordering;

use crate::annotations::Annotations;

/// Up to so many values, sorting them all is as fast as finding two of them; the more so where they rise.
const SORTED_COUNT_MAX: usize = 64;

/// What is not a number comes first.
pub(crate) fn order(a: &f64, b: &f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.total_cmp(b),
    }
}

/// What a quantile is of any values; `None` where it depends on them.
fn of_any(q: f64, count: usize) -> Option<f64> {
    if count == 0 || q.is_nan() {
        Some(f64::NAN)
    } else if q < 0.0 {
        Some(f64::NEG_INFINITY)
    } else if q > 1.0 {
        Some(f64::INFINITY)
    } else {
        None
    }
}

/// Between which of `count` values in order the quantile lies: the place of the lower one, and how far to the next.
fn rank(q: f64, count: usize) -> (usize, f64) {
    let last = count - 1;
    let rank = q * last as f64;
    ((rank.floor().max(0.0) as usize).min(last), rank - rank.floor())
}

/// The `q`-quantile of values, interpolated linearly; changes their order. Not a number comes first.
pub(crate) fn of_values(q: f64, values: &mut [f64]) -> f64 {
    if let Some(value) = of_any(q, values.len()) {
        return value;
    }
    if values.len() <= SORTED_COUNT_MAX {
        values.sort_unstable_by(order);
        return of_sorted(q, values);
    }
    let (at, weight) = rank(q, values.len());
    let (_, lower, above) = values.select_nth_unstable_by(at, order);
    let lower = *lower;
    let upper = above.iter().copied().min_by(order).unwrap_or(lower);
    lower * (1.0 - weight) + upper * weight
}

/// The same of values that are in order.
pub(crate) fn of_sorted(q: f64, values: &[f64]) -> f64 {
    if let Some(value) = of_any(q, values.len()) {
        return value;
    }
    let (at, weight) = rank(q, values.len());
    let (lower, upper) = (values[at], values[(at + 1).min(values.len() - 1)]);
    lower * (1.0 - weight) + upper * weight
}

/// The median of how far values, which are in order and finite, are from their median.
pub(crate) fn median_deviation(values: &[f64]) -> f64 {
    let median = of_sorted(0.5, values);
    if values.is_empty() {
        return median;
    }
    // Distances rise from the median to either end: the two runs are merged up to the middle.
    let mut right = values.partition_point(|value| *value < median);
    let mut left = right;
    let mut next = || -> f64 {
        let below = left.checked_sub(1).map(|i| median - values[i]);
        let above = values.get(right).map(|value| value - median);
        match (below, above) {
            (Some(below), Some(above)) if above < below => {
                right += 1;
                above
            }
            (Some(below), _) => {
                left -= 1;
                below
            }
            (None, Some(above)) => {
                right += 1;
                above
            }
            (None, None) => f64::NAN,
        }
    };
    let (at, weight) = rank(0.5, values.len());
    let lower = (0..=at).fold(f64::NAN, |_, _| next());
    let upper = if at + 1 < values.len() { next() } else { lower };
    lower * (1.0 - weight) + upper * weight
}

/// One cumulative bucket of a classic histogram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    pub(crate) upper: f64,
    pub(crate) count: f64,
}

/// Where counts went down by more than rounding explains, and were mended: between which upper bounds, and by how
/// much at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Forced {
    pub(crate) bounds: (f64, f64),
    pub(crate) diff: f64,
}

/// Relative differences below this come from summing floats in different orders and are smoothed silently.
const SMALL_DELTA: f64 = 1e-12;

/// The `q`-quantile of cumulative buckets; sorts and mends them.
pub(crate) fn of_buckets(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Forced>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if !prepare(buckets) {
        return (f64::NAN, None);
    }
    let mended = make_monotonic(buckets);
    if buckets.len() < 2 {
        return (f64::NAN, mended);
    }
    let observations = buckets[buckets.len() - 1].count;
    if observations == 0.0 {
        return (f64::NAN, mended);
    }
    let mut rank = q * observations;
    let at = buckets[..buckets.len() - 1].partition_point(|b| !is_at_least(b.count, rank));
    if at == buckets.len() - 1 {
        return (buckets[buckets.len() - 2].upper, mended);
    }
    if at == 0 && buckets[0].upper <= 0.0 {
        return (buckets[0].upper, mended);
    }
    let end = buckets[at].upper;
    let mut start = 0.0;
    let mut count = buckets[at].count;
    if at > 0 {
        start = buckets[at - 1].upper;
        count -= buckets[at - 1].count;
        rank -= buckets[at - 1].count;
    }
    (start + (end - start) * (rank / count), mended)
}

/// Whether a count reaches the rank; what is no number reaches none.
fn is_at_least(count: f64, rank: f64) -> bool {
    count >= rank
}

/// Whether there are more than all; what is no number is not more, and stays.
fn exceeds(rank: f64, count: f64) -> bool {
    rank > count
}

/// The share of observations between `lower` and `upper` in cumulative buckets; sorts them.
pub(crate) fn fraction_of_buckets(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if !prepare(buckets) {
        return f64::NAN;
    }
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let below = |bound: f64| rank_of(bound, buckets).filter(|rank| !exceeds(*rank, count)).unwrap_or(count);
    (below(upper) - below(lower)) / count
}

/// How many observations lie below the bound; `None` where it is beyond all buckets.
fn rank_of(bound: f64, buckets: &[Bucket]) -> Option<f64> {
    let mut rank = 0.0;
    let mut start = if buckets[0].upper <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    for bucket in buckets {
        if start >= bound {
            return Some(rank);
        }
        if bucket.upper > bound {
            // Nothing is known of where in an unbounded bucket its observations are.
            let share = (bound - start) / (bucket.upper - start);
            let unbounded = start == f64::NEG_INFINITY;
            return Some(if unbounded { bucket.count } else { rank + (bucket.count - rank) * share });
        }
        (rank, start) = (bucket.count, bucket.upper);
    }
    None
}

/// Sorts and merges equal bounds. `false` without a `+Inf` bucket.
fn prepare(buckets: &mut Vec<Bucket>) -> bool {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    if buckets.last().is_none_or(|last| last.upper != f64::INFINITY) {
        return false;
    }
    buckets.dedup_by(|later, earlier| {
        let same = later.upper == earlier.upper;
        if same {
            earlier.count += later.count;
        }
        same
    });
    true
}

/// Makes counts rise from bucket to bucket.
fn make_monotonic(buckets: &mut [Bucket]) -> Option<Forced> {
    let mut forced: Option<Forced> = None;
    let mut previous = buckets.first()?.count;
    for bucket in buckets.iter_mut().skip(1) {
        let current = bucket.count;
        if current == previous {
            continue;
        }
        if nearly_equal(previous, current) {
            bucket.count = previous;
            continue;
        }
        if current < previous {
            bucket.count = previous;
            let step = Forced { bounds: (bucket.upper, bucket.upper), diff: previous - current };
            forced = Some(forced.map_or(step, |forced| Forced {
                bounds: (forced.bounds.0, bucket.upper),
                diff: forced.diff.max(step.diff),
            }));
            continue;
        }
        previous = current;
    }
    forced
}

fn nearly_equal(a: f64, b: f64) -> bool {
    if a == b {
        return true;
    }
    let sum = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SMALL_DELTA
}

/// Warns where `q` is no quantile.
pub(crate) fn check(q: f64, notes: &Annotations, span: crate::parser::Span) {
    if q.is_nan() || !(0.0..=1.0).contains(&q) {
        let got = crate::number::format_general(q);
        notes.warn(span, format!("quantile value should be between 0 and 1, got {got}"));
    }
}

#[cfg(test)]
mod tests {
    use super::of_values;

    #[test]
    fn selecting_finds_what_sorting_finds() {
        // Few are sorted and many are not; the same value over and over changes no quantile at its rank.
        let few: Vec<f64> = (0..41).map(|i| f64::from(i * 7919 % 41)).collect();
        let many: Vec<f64> = (0..401).map(|i| f64::from(i * 7919 % 401) / 10.0).collect();
        for step in 0..=40 {
            let q = f64::from(step) / 40.0;
            let (a, b) = (of_values(q, &mut few.clone()), of_values(q, &mut many.clone()));
            assert!((a - b).abs() < 1e-9, "{q}: {a} and {b}");
        }
        let mut odd = vec![f64::NAN; 100];
        odd.push(1.0);
        assert!(of_values(0.5, &mut odd).is_nan());
        assert_eq!(of_values(1.0, &mut odd), 1.0);
    }
}
