//! What the samples of a chunk come to, beside its description: a query whose windows hold all of a chunk need not
//! decode it.
//!
//! ```text
//! flags     u8: see below
//! count     varint, times of the first and of the last sample after those of the chunk, before those of the chunk,
//!           varints                  with 1, where stale markers are among the chunk's samples
//! first     number (crate::codec::decimal)
//! last      number
//! min       number                   unless 2: it is the first
//! max       number                   unless 4: it is the last
//! sum       number
//! squares   f64                      the squared differences from the mean
//! resets    varint, number: how many, and the sum of the values before each; with 8
//! changes   varint
//! ```
//! Times are the chunk's without 1. A counter's takes about thirty bytes, which is why chunks of fewer than
//! [`SAMPLES_MIN`] samples have none: they are decoded in the time that looking at a summary takes. Constant chunks
//! need none either, their value says everything.

use model::staleness::is_stale;
use model::{Summary, Timestamp};

use crate::chunk::ChunkMeta;
use crate::codec::bytes::{put_f64, put_varint};
use crate::codec::{Malformed, Reader, decimal};

/// Chunks of fewer samples have no summary.
pub(super) const SAMPLES_MIN: u32 = 64;

const STALE: u8 = 1;
const MIN_IS_FIRST: u8 = 2;
const MAX_IS_LAST: u8 = 4;
const RESETS: u8 = 8;

/// The summary of a chunk that has the same value throughout; `None` where that is no number, which is read as it is.
pub(super) fn of_constant(meta: &ChunkMeta, value: f64) -> Option<Summary> {
    let count = f64::from(meta.count);
    let sum = value * count;
    sum.is_finite().then(|| Summary {
        first_time: Timestamp::from_millis(meta.min_time),
        last_time: Timestamp::from_millis(meta.max_time),
        count: u64::from(meta.count),
        sum,
        sum_error: value.mul_add(count, -sum),
        ..Summary::of_sample(Timestamp::from_millis(meta.min_time), value)
    })
}

/// Writes a summary of the samples of a chunk.
pub(crate) fn encode(summary: &Summary, meta: &ChunkMeta, out: &mut Vec<u8>) {
    let bits = |a: f64, b: f64| a.to_bits() == b.to_bits();
    let (first_time, last_time) = (summary.first_time.millis(), summary.last_time.millis());
    let stale =
        summary.count != u64::from(meta.count) || (first_time, last_time) != (meta.min_time, meta.max_time);
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    let flags = flag(stale, STALE)
        | flag(bits(summary.min, summary.first), MIN_IS_FIRST)
        | flag(bits(summary.max, summary.last), MAX_IS_LAST)
        | flag(summary.resets > 0, RESETS);
    out.push(flags);
    if stale {
        put_varint(out, summary.count);
        put_varint(out, first_time.abs_diff(meta.min_time));
        put_varint(out, meta.max_time.abs_diff(last_time));
    }
    decimal::put_number(out, summary.first);
    decimal::put_number(out, summary.last);
    if flags & MIN_IS_FIRST == 0 {
        decimal::put_number(out, summary.min);
    }
    if flags & MAX_IS_LAST == 0 {
        decimal::put_number(out, summary.max);
    }
    // The float nearest to the sum: what is left of its error is less than half a unit in its last place.
    decimal::put_number(out, summary.sum + summary.sum_error);
    put_f64(out, summary.squares);
    if flags & RESETS != 0 {
        put_varint(out, summary.resets);
        decimal::put_number(out, summary.reset_sum);
    }
    put_varint(out, summary.changes);
}

/// Reads what [`encode`] wrote for a chunk of that description.
pub(crate) fn decode(reader: &mut Reader<'_>, meta: &ChunkMeta) -> Result<Summary, Malformed> {
    let flags = reader.u8()?;
    if flags > STALE | MIN_IS_FIRST | MAX_IS_LAST | RESETS {
        return Err(reader.malformed("unknown flags of a summary"));
    }
    let (mut count, mut first_time, mut last_time) = (u64::from(meta.count), meta.min_time, meta.max_time);
    if flags & STALE != 0 {
        count = reader.varint()?;
        first_time = first_time.saturating_add_unsigned(reader.varint()?);
        last_time = last_time.saturating_sub_unsigned(reader.varint()?);
    }
    if count == 0 || count > u64::from(meta.count) || first_time > last_time {
        return Err(reader.malformed("summary of other samples than the chunk's"));
    }
    let (first, last) = (decimal::number(reader)?, decimal::number(reader)?);
    let min = if flags & MIN_IS_FIRST == 0 { decimal::number(reader)? } else { first };
    let max = if flags & MAX_IS_LAST == 0 { decimal::number(reader)? } else { last };
    let (sum, squares) = (decimal::number(reader)?, reader.f64()?);
    let (resets, reset_sum) =
        if flags & RESETS == 0 { (0, 0.0) } else { (reader.varint()?, decimal::number(reader)?) };
    let changes = reader.varint()?;
    if !reader.is_empty() {
        return Err(reader.malformed("summary goes on after its end"));
    }
    Ok(Summary {
        first_time: Timestamp::from_millis(first_time),
        last_time: Timestamp::from_millis(last_time),
        count,
        first,
        last,
        min,
        max,
        sum,
        sum_error: 0.0,
        squares,
        resets,
        reset_sum,
        changes,
    })
}

/// Whether a chunk of that value throughout is only described; its stale markers and NaNs are kept as they are.
pub(super) fn constant(values: &[f64]) -> Option<f64> {
    let (first, rest) = values.split_first()?;
    rest.iter().all(|value| value.to_bits() == first.to_bits()).then_some(*first)
}

/// The summary that a chunk of these samples is given, if any.
pub(crate) fn of_chunk(meta: &ChunkMeta, times: &[i64], values: &[f64]) -> Option<Summary> {
    if meta.count < SAMPLES_MIN {
        return None;
    }
    let mut samples = times.iter().zip(values).filter(|(_, value)| !is_stale(**value));
    let (time, value) = samples.next()?;
    let mut summary = Summary::of_sample(Timestamp::from_millis(*time), *value);
    samples.for_each(|(time, value)| summary.push(Timestamp::from_millis(*time), *value));
    Some(summary)
}
