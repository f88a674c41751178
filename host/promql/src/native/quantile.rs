//! Quantiles, fractions and variance of native histograms.
//!
//! Within exponential buckets values are taken to be spread evenly on a logarithmic scale, within the zero
//! bucket and custom buckets evenly on a linear one.

use model::Histogram;

use super::{Bucket, all};
use crate::kahan::Kahan;

/// The `q`-quantile; `q` must lie in `[0, 1]`.
pub(crate) fn quantile(q: f64, h: &Histogram) -> f64 {
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if h.count == 0.0 || q.is_nan() {
        return f64::NAN;
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
    let Some(mut bucket) = found else { return f64::NAN };
    if !h.has_custom_bounds() && bucket.lower < 0.0 && bucket.upper > 0.0 {
        if h.negative.counts.is_empty() && !h.positive.counts.is_empty() {
            bucket.lower = 0.0;
        } else if h.positive.counts.is_empty() && !h.negative.counts.is_empty() {
            bucket.upper = 0.0;
        }
    } else if h.has_custom_bounds() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return bucket.upper;
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return bucket.lower;
        }
    }
    if count < rank {
        // The rank lies among observations that are no number.
        return if has_nan {
            f64::NAN
        } else if forwards {
            bucket.upper
        } else {
            bucket.lower
        };
    }
    // How far into the bucket, counted from its lower end.
    rank = if forwards { rank - (count - bucket.count) } else { count - rank };
    let share = rank / bucket.count;
    if h.has_custom_bounds() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return bucket.lower + (bucket.upper - bucket.lower) * share;
    }
    let (low, high) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    if bucket.lower > 0.0 {
        (low + (high - low) * share).exp2()
    } else {
        -(high + (low - high) * (1.0 - share)).exp2()
    }
}

/// The share of observations between `lower` and `upper`.
pub(crate) fn fraction(lower: f64, upper: f64, h: &Histogram) -> f64 {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let below = |bound: f64| -> f64 {
        let mut rank = 0.0;
        for mut bucket in all(h) {
            if bucket.count == 0.0 {
                continue;
            }
            let is_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0 && !h.has_custom_bounds();
            if is_zero {
                if h.negative.counts.is_empty() && !h.positive.counts.is_empty() {
                    bucket.lower = 0.0;
                } else if h.positive.counts.is_empty() && !h.negative.counts.is_empty() {
                    bucket.upper = 0.0;
                }
            }
            if h.has_custom_bounds() && bucket.lower == f64::NEG_INFINITY && bucket.upper > 0.0 {
                bucket.lower = 0.0;
            }
            if bound <= bucket.lower {
                return rank;
            }
            if bound < bucket.upper {
                return rank + bucket.count * share_below(bound, bucket, is_zero || h.has_custom_bounds());
            }
            rank += bucket.count;
        }
        rank
    };
    (below(upper) - below(lower)) / h.count
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
