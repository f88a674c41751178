//! A histogram as text, the way `count_values` names it.

use std::fmt::Write as _;

use model::Histogram;

use super::{Bucket, negative, positive, zero};
use crate::number::format_general;

/// The histogram as text: count, sum, and every bucket that holds anything, from the lowest up.
pub fn text(h: &Histogram) -> String {
    let mut out = format!("{{count:{}, sum:{}", format_general(h.count), format_general(h.sum));
    let mut put = |open: char, bucket: Bucket, close: char| {
        let (lower, upper) = (format_general(bucket.lower), format_general(bucket.upper));
        let _ = write!(out, ", {open}{lower},{upper}{close}:{}", format_general(bucket.count));
    };
    let mut below: Vec<Bucket> = negative(h).filter(|b| b.count != 0.0).collect();
    below.reverse();
    for bucket in below {
        put('[', bucket, ')');
    }
    if h.zero_count != 0.0 {
        put('[', zero(h), ']');
    }
    for bucket in positive(h).filter(|b| b.count != 0.0) {
        put(if bucket.lower == f64::NEG_INFINITY { '[' } else { '(' }, bucket, ']');
    }
    out.push('}');
    out
}
