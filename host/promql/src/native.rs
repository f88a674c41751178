//! Arithmetic and statistics of native histograms, as Prometheus' specification of them defines.
//!
//! Buckets are worked on as `(index, count)` pairs in order; spans are an encoding that [`Buckets`] hides.

mod arithmetic;
mod quantile;
mod reset;
mod sum;
mod text;
mod trim;

pub(crate) use arithmetic::{
    Incompatible, Outcome, add, at_schema, compact, divided, is_same, negated, scaled, subtract,
};
pub(crate) use quantile::{NanEffect, fraction, quantile, variance};
pub(crate) use reset::{find_resets, has_shrunk, is_reset};
pub(crate) use sum::HistogramSum;
pub use text::text;
pub(crate) use trim::trim;

use model::{Buckets, Histogram};

/// One bucket with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    pub(crate) count: f64,
}

/// Buckets above zero, upwards; with custom bounds, all of them.
pub(crate) fn positive(h: &Histogram) -> impl Iterator<Item = Bucket> + '_ {
    h.positive.iter().map(|(index, count)| Bucket {
        lower: if h.has_custom_bounds() && index == 0 {
            f64::NEG_INFINITY
        } else {
            h.upper_bound(index.wrapping_sub(1))
        },
        upper: h.upper_bound(index),
        count,
    })
}

/// Buckets below zero, starting at those next to it.
pub(crate) fn negative(h: &Histogram) -> impl Iterator<Item = Bucket> + '_ {
    h.negative.iter().map(|(index, count)| Bucket {
        lower: -h.upper_bound(index),
        upper: -h.upper_bound(index.wrapping_sub(1)),
        count,
    })
}

/// The bucket around zero.
pub(crate) fn zero(h: &Histogram) -> Bucket {
    Bucket { lower: -h.zero_threshold, upper: h.zero_threshold, count: h.zero_count }
}

/// All buckets upwards, empty ones included where spans cover them.
pub(crate) fn all(h: &Histogram) -> Vec<Bucket> {
    let mut buckets: Vec<Bucket> = negative(h).collect();
    buckets.reverse();
    if h.zero_count != 0.0 {
        buckets.push(zero(h));
    }
    buckets.extend(positive(h));
    buckets
}

pub(crate) fn pairs(buckets: &Buckets) -> Vec<(i32, f64)> {
    buckets.iter().collect()
}
