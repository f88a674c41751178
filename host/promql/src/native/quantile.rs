//! Quantiles, fractions and variance of native histograms.
//!
//! Within exponential buckets values are taken to be spread evenly on a logarithmic scale, within the zero
//! bucket and custom buckets evenly on a linear one.

use model::Histogram;

use super::{Bucket, all};
use crate::kahan::Kahan;

/// What observations that are no number do to a quantile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NanEffect {
    None,
    /// The quantile falls among them.
    ResultIsNan,
    /// They count as above all buckets.
    SkewedHigher,
}

/// The `q`-quantile.
pub(crate) fn quantile(q: f64, h: &Histogram) -> (f64, NanEffect) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, NanEffect::None);
    }
    if q > 1.0 {
        return (f64::INFINITY, NanEffect::None);
    }
    if h.count == 0.0 || q.is_nan() {
        return (f64::NAN, NanEffect::None);
    }
    let buckets = all(h);
    // Observations that are no number are in the count but in no bucket; ranks are taken from the end that
    // does not have to pass them.
    let has_nan = h.sum.is_nan();
    let forwards = has_nan || q < 0.5;
    let mut rank = if forwards { q * h.count } else { (1.0 - q) * h.count };
    let order: Box<dyn Iterator<Item = &Bucket>> =
        if forwards { Box::new(buckets.iter()) } else { Box::new(buckets.iter().rev()) };
    let mut count = 0.0;
    let mut found = None;
    for bucket in order {
        if bucket.count == 0.0 {
            continue;
        }
        found = Some(*bucket);
        count += bucket.count;
        if count >= rank {
            break;
        }
    }
    let Some(mut bucket) = found else {
        return (f64::NAN, if has_nan { NanEffect::ResultIsNan } else { NanEffect::None });
    };
    if !h.has_custom_bounds() && bucket.lower < 0.0 && bucket.upper > 0.0 {
        if h.negative.counts.is_empty() && !h.positive.counts.is_empty() {
            bucket.lower = 0.0;
        } else if h.positive.counts.is_empty() && !h.negative.counts.is_empty() {
            bucket.upper = 0.0;
        }
    } else if h.has_custom_bounds() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, NanEffect::None);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, NanEffect::None);
        }
    }
    // Rounding may have made the sum of the buckets more than all of them.
    count = count.min(h.count);
    if count < rank {
        // The rank lies among observations that are no number; else the histogram contradicts itself.
        return if has_nan { (f64::NAN, NanEffect::ResultIsNan) } else { (bucket.upper, NanEffect::None) };
    }
    // A sum that is no number may also come from infinities of both signs, which are in buckets.
    let in_buckets: f64 = buckets.iter().map(|bucket| bucket.count).sum();
    let effect = if has_nan && in_buckets < h.count { NanEffect::SkewedHigher } else { NanEffect::None };
    // How far into the bucket, counted from its lower end.
    rank = if forwards { rank - (count - bucket.count) } else { count - rank };
    let share = rank / bucket.count;
    if h.has_custom_bounds() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return (bucket.lower + (bucket.upper - bucket.lower) * share, effect);
    }
    let (low, high) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    let value = if bucket.lower > 0.0 {
        (low + (high - low) * share).exp2()
    } else {
        -(high + (low - high) * (1.0 - share)).exp2()
    };
    (value, effect)
}

/// The share of observations between `lower` and `upper`, and whether some are no number and in none.
pub(crate) fn fraction(lower: f64, upper: f64, h: &Histogram) -> (f64, bool) {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, false);
    }
    if lower >= upper {
        return (0.0, false);
    }
    let buckets = all(h);
    let in_buckets: f64 = buckets.iter().map(|bucket| bucket.count).sum();
    let has_nan = h.sum.is_nan();
    let count = if has_nan { in_buckets } else { h.count };
    let below = |bound: f64| rank_of(bound, h, &buckets).filter(|rank| *rank <= count).unwrap_or(count);
    ((below(upper) - below(lower)) / h.count, has_nan && in_buckets < h.count)
}

/// How many observations lie below the bound; `None` where it is beyond all buckets.
fn rank_of(bound: f64, h: &Histogram, buckets: &[Bucket]) -> Option<f64> {
    let mut rank = 0.0;
    for mut bucket in buckets.iter().copied() {
        let is_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if is_zero {
            if h.negative.counts.is_empty() && !h.positive.counts.is_empty() {
                bucket.lower = 0.0;
            } else if h.positive.counts.is_empty() && !h.negative.counts.is_empty() {
                bucket.upper = 0.0;
            }
        }
        if bucket.lower >= bound {
            return Some(rank);
        }
        if bucket.upper > bound {
            return Some(rank + bucket.count * share_below(bound, bucket, is_zero || h.has_custom_bounds()));
        }
        rank += bucket.count;
    }
    None
}

fn share_below(bound: f64, bucket: Bucket, linear: bool) -> f64 {
    if linear {
        if bucket.lower == f64::NEG_INFINITY {
            // Nothing is known of where in an unbounded bucket its observations are.
            return 1.0;
        }
        if bucket.upper == f64::INFINITY {
            return 0.0;
        }
        return (bound - bucket.lower) / (bucket.upper - bucket.lower);
    }
    let (low, high, at) = (bucket.lower.abs().log2(), bucket.upper.abs().log2(), bound.abs().log2());
    if bound > 0.0 { (at - low) / (high - low) } else { 1.0 - (at - high) / (low - high) }
}

/// The estimated variance of the observations.
pub(crate) fn variance(h: &Histogram) -> f64 {
    let mean = h.sum / h.count;
    let mut sum = Kahan::ZERO;
    for bucket in all(h) {
        if bucket.count == 0.0 {
            continue;
        }
        let middle = if h.has_custom_bounds() {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            let size = (bucket.upper * bucket.lower).sqrt();
            if bucket.upper < 0.0 { -size } else { size }
        };
        let delta = middle - mean;
        sum.add(bucket.count * delta * delta);
    }
    sum.total() / h.count
}
