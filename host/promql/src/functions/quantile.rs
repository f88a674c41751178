//! Quantiles: of values, and of classic buckets.

use std::cmp::Ordering;

use crate::annotations::Annotations;

/// Up to so many values, sorting them all is as fast as finding two of them; the more so where they rise.
const SORTED_COUNT_MAX: usize = 64;

/// The `q`-quantile of values, interpolated linearly; changes their order. Not a number comes first.
pub(crate) fn of_values(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    // What is not a number comes first.
    let order = |a: &f64, b: &f64| match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.total_cmp(b),
    };
    let last = values.len() - 1;
    let rank = q * last as f64;
    let at = (rank.floor().max(0.0) as usize).min(last);
    let (lower, upper) = if values.len() <= SORTED_COUNT_MAX {
        values.sort_unstable_by(order);
        (values[at], values[(at + 1).min(last)])
    } else {
        let (_, lower, above) = values.select_nth_unstable_by(at, order);
        let lower = *lower;
        (lower, above.iter().copied().min_by(order).unwrap_or(lower))
    };
    let weight = rank - rank.floor();
    lower * (1.0 - weight) + upper * weight
}

/// One cumulative bucket of a classic histogram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    pub(crate) upper: f64,
    pub(crate) count: f64,
}

/// What had to be mended in the buckets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mended {
    /// Counts went down by more than rounding explains.
    pub(crate) forced: bool,
}

/// Relative differences below this come from summing floats in different orders and are smoothed silently.
const SMALL_DELTA: f64 = 1e-12;

/// The `q`-quantile of cumulative buckets; sorts and mends them.
pub(crate) fn of_buckets(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Mended) {
    let none = Mended::default();
    if q.is_nan() {
        return (f64::NAN, none);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, none);
    }
    if q > 1.0 {
        return (f64::INFINITY, none);
    }
    let Some(mended) = prepare(buckets) else { return (f64::NAN, none) };
    let observations = buckets[buckets.len() - 1].count;
    if observations == 0.0 || observations.is_nan() {
        return (f64::NAN, mended);
    }
    let mut rank = q * observations;
    let at = buckets[..buckets.len() - 1].partition_point(|b| b.count < rank);
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

/// The share of observations between `lower` and `upper` in cumulative buckets; sorts and mends them.
pub(crate) fn fraction_of_buckets(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> (f64, Mended) {
    let Some(mended) = prepare(buckets) else { return (f64::NAN, Mended::default()) };
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || count.is_nan() || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, mended);
    }
    if lower >= upper {
        return (0.0, mended);
    }
    let mut rank = 0.0;
    let (mut lower_rank, mut upper_rank) = (None, None);
    for (index, bucket) in buckets.iter().enumerate() {
        let start = if index > 0 {
            buckets[index - 1].upper
        } else if bucket.upper <= 0.0 {
            f64::NEG_INFINITY
        } else {
            0.0
        };
        let within = |v: f64| rank + (bucket.count - rank) * (v - start) / (bucket.upper - start);
        if lower_rank.is_none() && start >= lower {
            lower_rank = Some(rank);
        }
        if upper_rank.is_none() && start >= upper {
            upper_rank = Some(rank);
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        if lower_rank.is_none() && start < lower && bucket.upper > lower {
            lower_rank = Some(within(lower));
        }
        if upper_rank.is_none() && start < upper && bucket.upper > upper {
            upper_rank = Some(within(upper));
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank = bucket.count;
    }
    let lower_rank = lower_rank.filter(|r| *r <= count).unwrap_or(count);
    let upper_rank = upper_rank.filter(|r| *r <= count).unwrap_or(count);
    ((upper_rank - lower_rank) / count, mended)
}

/// Sorts, merges equal bounds and makes counts monotonic. `None` without a `+Inf` bucket or with too few.
fn prepare(buckets: &mut Vec<Bucket>) -> Option<Mended> {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    if buckets.last()?.upper != f64::INFINITY {
        return None;
    }
    buckets.dedup_by(|later, earlier| {
        let same = later.upper == earlier.upper;
        if same {
            earlier.count += later.count;
        }
        same
    });
    let mut mended = Mended::default();
    let mut previous = buckets[0].count;
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
            mended.forced = true;
            continue;
        }
        previous = current;
    }
    (buckets.len() >= 2).then_some(mended)
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
        let got = crate::number::format_float(q);
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
