//! Exponential histograms, as native ones.
//!
//! Both have buckets whose bounds are powers of `2^(2^-scale)`. OTLP's bucket `i` is `(base^i, base^(i+1)]`
//! and a native histogram's is `(base^(i-1), base^i]`, so that indices are shifted by one. A scale that is finer
//! than the finest schema is made coarser, which merges `2^n` neighbours; one that is coarser than the coarsest
//! has no counterpart.

use model::{Buckets, Histogram, ResetHint};

use crate::otlp::proto;

/// The finest and the coarsest schema of native histograms.
const SCHEMA_MAX: i32 = 8;
const SCHEMA_MIN: i32 = -4;

/// Where a sender does not say which values count as zero: Prometheus' default.
const ZERO_THRESHOLD: f64 = 1e-128;

/// Translates one point.
pub(super) fn to_histogram(point: &proto::ExponentialHistogramDataPoint) -> Result<Histogram, String> {
    if point.scale < SCHEMA_MIN {
        return Err(format!("an exponential histogram of scale {}, below {SCHEMA_MIN}", point.scale));
    }
    let schema = point.scale.min(SCHEMA_MAX);
    let coarser = point.scale.abs_diff(schema);
    let histogram = Histogram {
        schema: schema as i8,
        zero_threshold: if point.zero_threshold > 0.0 { point.zero_threshold } else { ZERO_THRESHOLD },
        zero_count: point.zero_count as f64,
        count: point.count as f64,
        sum: point.sum.unwrap_or(0.0),
        positive: to_buckets(point.positive.as_ref(), coarser)?,
        negative: to_buckets(point.negative.as_ref(), coarser)?,
        custom_values: None,
        reset_hint: ResetHint::Unknown,
    };
    histogram.validate().map_err(|e| e.to_string())?;
    Ok(histogram)
}

fn to_buckets(from: Option<&proto::ExponentialBuckets>, coarser: u32) -> Result<Buckets, String> {
    let Some(from) = from else { return Ok(Buckets::default()) };
    let mut pairs: Vec<(i32, f64)> = Vec::new();
    // An index has 32 bits, so that shifting by more leaves only its sign.
    let shift = coarser.min(32);
    for (position, count) in from.bucket_counts.iter().enumerate() {
        if *count == 0 {
            continue;
        }
        let index = ((i64::from(from.offset) + position as i64) >> shift) + 1;
        let index = i32::try_from(index).map_err(|_| "a bucket index out of range")?;
        match pairs.last_mut() {
            Some((last, sum)) if *last == index => *sum += *count as f64,
            _ => pairs.push((index, *count as f64)),
        }
    }
    Ok(Buckets::from_pairs(pairs))
}
