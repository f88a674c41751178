//! Native histograms, each told by its difference from the one before.
//!
//! ```text
//! flags          u8: bit 0 = same layout as the one before, bits 1-2 = reset hint
//! layout         unless the same: schema i8, zero threshold f64, custom bounds (varint count + 1, or 0 for none,
//!                then f64 each), spans of the positive and of the negative side (varint count, then per span
//!                offset zigzag varint and length varint)
//! sum            f64
//! numbers        count, zero count, positive counts, negative counts; each as below
//! number         varint zigzag(difference from the same number before) << 1, where both are whole;
//!                else varint 1, f64
//! ```
//! Without one before, and after a change of layout, each number counts from zero.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::sync::Arc;

use model::{BucketSpan, Buckets, Histogram, ResetHint};

use super::bytes::{Malformed, Reader, put_f64, put_varint, put_zigzag, zigzag};
use super::values::as_whole;

const SAME_LAYOUT: u8 = 1;
const HINT_SHIFT: u8 = 1;

/// Whether two histograms are the same, bit for bit; `==` would tell two equal NaN sums apart.
pub(crate) fn bits_equal(a: &Histogram, b: &Histogram) -> bool {
    let floats =
        |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
    same_layout(a, b)
        && a.reset_hint == b.reset_hint
        && floats(&[a.count, a.zero_count, a.sum], &[b.count, b.zero_count, b.sum])
        && floats(&a.positive.counts, &b.positive.counts)
        && floats(&a.negative.counts, &b.negative.counts)
}

fn same_layout(a: &Histogram, b: &Histogram) -> bool {
    let bounds = |h: &Histogram| h.custom_values.clone();
    let same_bounds = match (bounds(a), bounds(b)) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.to_bits() == b.to_bits())
        }
        _ => false,
    };
    a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && a.positive.spans == b.positive.spans
        && a.negative.spans == b.negative.spans
        && a.positive.counts.len() == b.positive.counts.len()
        && a.negative.counts.len() == b.negative.counts.len()
        && same_bounds
}

/// Writes one histogram. Its spans must cover its counts (see [`Histogram::validate`]).
pub(crate) fn encode(before: Option<&Histogram>, histogram: &Histogram, out: &mut Vec<u8>) {
    let before = before.filter(|before| same_layout(before, histogram));
    let hint = match histogram.reset_hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3u8,
    };
    out.push(hint << HINT_SHIFT | if before.is_some() { SAME_LAYOUT } else { 0 });
    if before.is_none() {
        out.push(histogram.schema.cast_unsigned());
        put_f64(out, histogram.zero_threshold);
        match histogram.custom_values.as_deref() {
            None => put_varint(out, 0),
            Some(bounds) => {
                put_varint(out, bounds.len() as u64 + 1);
                bounds.iter().for_each(|bound| put_f64(out, *bound));
            }
        }
        for side in [&histogram.positive, &histogram.negative] {
            put_varint(out, side.spans.len() as u64);
            for span in &side.spans {
                put_zigzag(out, i64::from(span.offset));
                put_varint(out, u64::from(span.length));
            }
        }
    }
    put_f64(out, histogram.sum);
    put_number(before.map_or(0.0, |h| h.count), histogram.count, out);
    put_number(before.map_or(0.0, |h| h.zero_count), histogram.zero_count, out);
    put_counts(before.map(|h| &h.positive), &histogram.positive, out);
    put_counts(before.map(|h| &h.negative), &histogram.negative, out);
}

fn put_counts(before: Option<&Buckets>, side: &Buckets, out: &mut Vec<u8>) {
    let before = before.map_or(&[][..], |side| &side.counts);
    for (i, count) in side.counts.iter().enumerate() {
        put_number(before.get(i).copied().unwrap_or(0.0), *count, out);
    }
}

fn put_number(before: f64, value: f64, out: &mut Vec<u8>) {
    match (as_whole(before), as_whole(value)) {
        (Some(before), Some(value)) => put_varint(out, zigzag(value - before) << 1),
        _ => {
            put_varint(out, 1);
            put_f64(out, value);
        }
    }
}

/// Reads one histogram.
pub(crate) fn decode(reader: &mut Reader<'_>, before: Option<&Histogram>) -> Result<Histogram, Malformed> {
    let flags = reader.u8()?;
    let reset_hint = match flags >> HINT_SHIFT {
        0 => ResetHint::Unknown,
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => return Err(reader.malformed("unknown flags of a histogram")),
    };
    let before = match (flags & SAME_LAYOUT != 0, before) {
        (true, None) => return Err(reader.malformed("first histogram without a layout")),
        (true, before) => before,
        (false, _) => None,
    };
    let mut histogram = match before {
        Some(before) => before.clone(),
        None => decode_layout(reader)?,
    };
    histogram.reset_hint = reset_hint;
    histogram.sum = reader.f64()?;
    histogram.count = number(reader, histogram.count)?;
    histogram.zero_count = number(reader, histogram.zero_count)?;
    for count in histogram.positive.counts.iter_mut().chain(&mut histogram.negative.counts) {
        *count = number(reader, *count)?;
    }
    Ok(histogram)
}

/// A histogram of the layout that follows, all numbers zero.
fn decode_layout(reader: &mut Reader<'_>) -> Result<Histogram, Malformed> {
    let mut histogram = Histogram::stale();
    histogram.schema = reader.u8()?.cast_signed();
    histogram.zero_threshold = reader.f64()?;
    if let Some(bounds) = reader.varint()?.checked_sub(1) {
        let fits = reader.remaining() / 8;
        let bounds = usize::try_from(bounds)
            .ok()
            .filter(|bounds| *bounds <= fits)
            .ok_or(reader.malformed("more custom bounds than what follows"))?;
        histogram.custom_values = Some((0..bounds).map(|_| reader.f64()).collect::<Result<Arc<[f64]>, _>>()?);
    }
    for side in [&mut histogram.positive, &mut histogram.negative] {
        let spans = reader.count(2)?;
        let mut buckets = 0u64;
        for _ in 0..spans {
            let offset =
                i32::try_from(reader.zigzag()?).map_err(|_| reader.malformed("span offset over 32 bits"))?;
            let length = reader.varint_u32()?;
            buckets += u64::from(length);
            side.spans.push(BucketSpan { offset, length });
        }
        // Each bucket takes at least one byte further on, which bounds what is allocated here.
        let buckets = usize::try_from(buckets)
            .ok()
            .filter(|buckets| *buckets <= reader.remaining())
            .ok_or(reader.malformed("more buckets than what follows"))?;
        side.counts = vec![0.0; buckets];
    }
    Ok(histogram)
}

fn number(reader: &mut Reader<'_>, before: f64) -> Result<f64, Malformed> {
    let word = reader.varint()?;
    if word == 1 {
        return reader.f64();
    }
    if word & 1 != 0 {
        return Err(reader.malformed("unknown form of a number"));
    }
    let before = as_whole(before).ok_or(reader.malformed("difference from a number that is not whole"))?;
    let difference = ((word >> 2).cast_signed()) ^ -(((word >> 1) & 1).cast_signed());
    Ok(before.wrapping_add(difference) as f64)
}
