//! Sums, differences and multiples of histograms.

use std::sync::Arc;

use model::{Buckets, Histogram, ResetHint};

use super::{negative, pairs, positive};

/// One histogram has exponential buckets and the other custom ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incompatible;

/// A result, and what had to be reconciled for it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) histogram: Histogram,
    /// One side was marked as reset and the other as not.
    pub(crate) reset_conflict: bool,
    /// Custom bounds differed; only those that both have were kept.
    pub(crate) bounds_reconciled: bool,
}

pub(crate) fn add(a: &Histogram, b: &Histogram) -> Result<Outcome, Incompatible> {
    combine(a, b, 1.0)
}

pub(crate) fn subtract(a: &Histogram, b: &Histogram) -> Result<Outcome, Incompatible> {
    combine(a, b, -1.0)
}

fn combine(a: &Histogram, b: &Histogram, sign: f64) -> Result<Outcome, Incompatible> {
    if a.has_custom_bounds() != b.has_custom_bounds() {
        return Err(Incompatible);
    }
    let (reset_hint, reset_conflict) = combined_hint(a.reset_hint, b.reset_hint);
    if a.has_custom_bounds() {
        let (histogram, bounds_reconciled) = combine_custom(a, b, sign, reset_hint);
        return Ok(Outcome { histogram, reset_conflict, bounds_reconciled });
    }
    let schema = a.schema.min(b.schema);
    let (mut a, mut b) = (at_schema(a, schema), at_schema(b, schema));
    reconcile_zero(&mut a, &mut b);
    let histogram = Histogram {
        schema,
        zero_threshold: a.zero_threshold,
        zero_count: a.zero_count + sign * b.zero_count,
        count: a.count + sign * b.count,
        sum: a.sum + sign * b.sum,
        positive: merge(&a.positive, &b.positive, sign),
        negative: merge(&a.negative, &b.negative, sign),
        custom_values: None,
        reset_hint,
    };
    Ok(Outcome { histogram, reset_conflict, bounds_reconciled: false })
}

/// What is known of resets in a sum, and whether both sides contradict each other.
pub(super) fn combined_hint(a: ResetHint, b: ResetHint) -> (ResetHint, bool) {
    match (a, b) {
        (a, b) if a == b => (a, false),
        (ResetHint::Gauge, _) | (_, ResetHint::Gauge) => (ResetHint::Gauge, false),
        (ResetHint::Unknown, _) | (_, ResetHint::Unknown) => (ResetHint::Unknown, false),
        _ => (ResetHint::Unknown, true),
    }
}

fn merge(a: &Buckets, b: &Buckets, sign: f64) -> Buckets {
    let mut merged = Vec::with_capacity(a.counts.len() + b.counts.len());
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    loop {
        let next = match (left.peek().copied(), right.peek().copied()) {
            (Some((i, x)), Some((j, y))) if i == j => {
                left.next();
                right.next();
                (i, x + sign * y)
            }
            (Some((i, x)), Some((j, _))) if i < j => {
                left.next();
                (i, x)
            }
            (Some((i, x)), None) => {
                left.next();
                (i, x)
            }
            (_, Some((j, y))) => {
                right.next();
                (j, sign * y)
            }
            (None, None) => return Buckets::from_pairs(merged),
        };
        merged.push(next);
    }
}

/// The histogram at a lower resolution: buckets that fall into one are added up.
pub(crate) fn at_schema(h: &Histogram, schema: i8) -> Histogram {
    if h.has_custom_bounds() || h.schema <= schema {
        return h.clone();
    }
    let shift = u32::from(h.schema.abs_diff(schema));
    let reduce = |buckets: &Buckets| {
        let mut reduced: Vec<(i32, f64)> = Vec::with_capacity(buckets.counts.len());
        for (index, count) in buckets.iter() {
            // Bounds are inclusive above, so that index i goes to ceil(i / 2^shift).
            let target = (index.wrapping_sub(1) >> shift).wrapping_add(1);
            match reduced.last_mut() {
                Some((last, sum)) if *last == target => *sum += count,
                _ => reduced.push((target, count)),
            }
        }
        Buckets::from_pairs(reduced)
    };
    Histogram { schema, positive: reduce(&h.positive), negative: reduce(&h.negative), ..h.clone() }
}

/// Widens the narrower zero bucket until both are the same.
pub(super) fn reconcile_zero(a: &mut Histogram, b: &mut Histogram) {
    while a.zero_threshold != b.zero_threshold {
        if a.zero_threshold < b.zero_threshold {
            widen_zero(a, b.zero_threshold);
        } else {
            widen_zero(b, a.zero_threshold);
        }
    }
}

/// Moves everything up to `threshold` into the zero bucket; where that falls into a bucket that is not empty,
/// the threshold moves on to the bucket's end.
pub(super) fn widen_zero(h: &mut Histogram, threshold: f64) {
    let (count, threshold) = zero_at(h, threshold);
    h.zero_count = count;
    h.zero_threshold = threshold;
    let keep = |buckets: &Buckets, h: &Histogram| {
        Buckets::from_pairs(
            buckets
                .iter()
                .filter(|(index, _)| h.upper_bound(index.wrapping_sub(1)) >= threshold)
                .collect::<Vec<_>>(),
        )
    };
    h.positive = keep(&h.positive, h);
    h.negative = keep(&h.negative, h);
}

/// The zero bucket's count for a larger threshold, and the threshold that this takes.
pub(super) fn zero_at(h: &Histogram, mut threshold: f64) -> (f64, f64) {
    'again: loop {
        let mut count = h.zero_count;
        for bucket in positive(h).take_while(|b| b.lower < threshold) {
            count += bucket.count;
            if bucket.upper > threshold {
                if bucket.count != 0.0 {
                    threshold = bucket.upper;
                }
                break;
            }
        }
        for bucket in negative(h).take_while(|b| b.upper > -threshold) {
            count += bucket.count;
            if bucket.lower < -threshold {
                if bucket.count != 0.0 {
                    threshold = -bucket.lower;
                    continue 'again;
                }
                break;
            }
        }
        return (count, threshold);
    }
}

fn combine_custom(a: &Histogram, b: &Histogram, sign: f64, reset_hint: ResetHint) -> (Histogram, bool) {
    let (left, right) = (bounds(a), bounds(b));
    let reconciled = left != right;
    let common: Arc<[f64]> = if reconciled {
        left.iter().copied().filter(|bound| right.contains(bound)).collect()
    } else {
        Arc::clone(a.custom_values.as_ref().unwrap_or(&Arc::from([])))
    };
    let (x, y) = if reconciled {
        (on_bounds(a, &common), on_bounds(b, &common))
    } else {
        (a.positive.clone(), b.positive.clone())
    };
    let histogram = Histogram {
        schema: a.schema,
        zero_threshold: 0.0,
        zero_count: 0.0,
        count: a.count + sign * b.count,
        sum: a.sum + sign * b.sum,
        positive: merge(&x, &y, sign),
        negative: Buckets::default(),
        custom_values: Some(common),
        reset_hint,
    };
    (histogram, reconciled)
}

pub(super) fn bounds(h: &Histogram) -> &[f64] {
    h.custom_values.as_deref().unwrap_or(&[])
}

/// The buckets over fewer bounds, all of which the histogram has.
pub(super) fn on_bounds(h: &Histogram, common: &[f64]) -> Buckets {
    let mut sums = vec![0.0; common.len() + 1];
    for (index, count) in h.positive.iter() {
        let upper = h.upper_bound(index);
        let target = common.partition_point(|bound| *bound < upper);
        sums[target] += count;
    }
    let counted = sums.into_iter().enumerate().filter(|(_, sum)| *sum != 0.0);
    Buckets::from_pairs(counted.filter_map(|(i, sum)| Some((i32::try_from(i).ok()?, sum))))
}

/// The histogram without empty buckets.
pub(crate) fn compact(h: &Histogram) -> Histogram {
    let without_empty = |buckets: &Buckets| {
        Buckets::from_pairs(pairs(buckets).into_iter().filter(|(_, count)| *count != 0.0))
    };
    Histogram { positive: without_empty(&h.positive), negative: without_empty(&h.negative), ..h.clone() }
}

/// Whether both say the same, whatever they know of resets and whichever empty buckets they keep. A sum that is no
/// number is like another one.
pub(crate) fn is_same(a: &Histogram, b: &Histogram) -> bool {
    let bare = |h: &Histogram| Histogram { sum: 0.0, reset_hint: ResetHint::Unknown, ..compact(h) };
    a.sum.to_bits() == b.sum.to_bits() && bare(a) == bare(b)
}

fn map(h: &Histogram, f: impl Fn(f64) -> f64) -> Histogram {
    let over = |buckets: &Buckets| Buckets {
        spans: buckets.spans.clone(),
        counts: buckets.counts.iter().map(|c| f(*c)).collect(),
    };
    Histogram {
        zero_count: f(h.zero_count),
        count: f(h.count),
        sum: f(h.sum),
        positive: over(&h.positive),
        negative: over(&h.negative),
        custom_values: h.custom_values.clone(),
        ..*h
    }
}

fn as_gauge_if(mut h: Histogram, gauge: bool) -> Histogram {
    if gauge {
        h.reset_hint = ResetHint::Gauge;
    }
    h
}

pub(crate) fn scaled(h: &Histogram, factor: f64) -> Histogram {
    as_gauge_if(map(h, |v| v * factor), factor < 0.0)
}

pub(crate) fn negated(h: &Histogram) -> Histogram {
    scaled(h, -1.0)
}

/// Divided by a number; by zero, no bucket has a meaning and none is kept.
pub(crate) fn divided(h: &Histogram, divisor: f64) -> Histogram {
    let mut result = as_gauge_if(map(h, |v| v / divisor), divisor < 0.0);
    if divisor == 0.0 {
        result.positive = Buckets::default();
        result.negative = Buckets::default();
    }
    if h.has_custom_bounds() {
        // There is no bucket around zero, and none comes of dividing nothing by zero.
        result.zero_count = 0.0;
    }
    result
}
