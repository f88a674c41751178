//! `h </ x` and `h >/ x`: the observations of a histogram below or above a bound.

use model::{Buckets, Histogram};

use super::Bucket;
use crate::kahan::Kahan;

/// The observations up to `bound` (`keep_below`) or from it on. Buckets that the bound cuts are split as
/// quantiles would split them; the sum is estimated from the buckets that are left.
pub(crate) fn trim(h: &Histogram, bound: f64, keep_below: bool) -> Histogram {
    let custom = h.has_custom_bounds();
    let share = |bucket: Bucket, linear: bool| -> f64 {
        let below = if bound >= bucket.upper {
            1.0
        } else if bound <= bucket.lower {
            0.0
        } else if linear {
            if bucket.lower == f64::NEG_INFINITY || bucket.upper == f64::INFINITY {
                // Nothing is known of where in an unbounded bucket its observations are; it counts as a whole
                // to its open side, and to neither where both are open.
                let keeps = if keep_below { bucket.upper } else { bucket.lower }.is_finite();
                return f64::from(u8::from(keeps));
            }
            (bound - bucket.lower) / (bucket.upper - bucket.lower)
        } else {
            let (low, high, at) = (bucket.lower.abs().log2(), bucket.upper.abs().log2(), bound.abs().log2());
            (at - low) / (high - low)
        };
        if keep_below { below } else { 1.0 - below }
    };
    let mut sum = Kahan::ZERO;
    let mut count = 0.0;
    let mut whole = true;
    let mut cut = |mut bucket: Bucket, linear: bool| -> f64 {
        if custom
            && bucket.lower == f64::NEG_INFINITY
            && bucket.upper > 0.0
            && bucket.upper.is_finite()
            && bound >= 0.0
        {
            bucket.lower = 0.0;
        }
        let share = share(bucket, linear);
        let kept = bucket.count * share;
        count += kept;
        whole &= share == 1.0 || bucket.count == 0.0;
        if kept != 0.0 {
            let lower = if keep_below { bucket.lower } else { bucket.lower.max(bound.min(bucket.upper)) };
            let upper = if keep_below { bucket.upper.min(bound.max(bucket.lower)) } else { bucket.upper };
            sum.add(kept * middle(lower, upper, linear));
        }
        kept
    };
    let sides = |buckets: &Buckets, kept: Vec<f64>| {
        Buckets::from_pairs(
            buckets.iter().zip(kept).map(|((index, _), kept)| (index, kept)).filter(|(_, kept)| *kept != 0.0),
        )
    };
    let below: Vec<f64> = super::negative(h).map(|b| cut(b, false)).collect();
    let mut zero = super::zero(h);
    if h.negative.counts.is_empty() && !h.positive.counts.is_empty() {
        zero.lower = 0.0;
    } else if h.positive.counts.is_empty() && !h.negative.counts.is_empty() {
        zero.upper = 0.0;
    }
    let zero_count = if h.zero_count == 0.0 { 0.0 } else { cut(zero, true) };
    let above: Vec<f64> = super::positive(h).map(|b| cut(b, custom)).collect();
    if whole {
        return h.clone();
    }
    Histogram {
        zero_count,
        count,
        sum: sum.total(),
        negative: sides(&h.negative, below),
        positive: sides(&h.positive, above),
        custom_values: h.custom_values.clone(),
        ..*h
    }
}

fn middle(lower: f64, upper: f64, linear: bool) -> f64 {
    if linear {
        return match (lower.is_finite(), upper.is_finite()) {
            (true, true) => (lower + upper) / 2.0,
            (true, false) => lower,
            (false, true) => upper,
            (false, false) => 0.0,
        };
    }
    let size = (lower * upper).sqrt();
    if upper < 0.0 || lower < 0.0 { -size } else { size }
}
