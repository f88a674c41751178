//! What the samples of a chunk come to, beside its description: a query whose windows hold all of a chunk need not
//! decode it.
//!
//! ```text
//! flags     u8: see below; its upper four bits are zero, or one more than the decimals that the values below have
//! count     varint, times of the first and of the last sample after those of the chunk, before those of the chunk,
//!           varints                  with 1, where stale markers are among the chunk's samples
//! first     number (crate::codec::decimal)
//! last      number
//! min       number                   unless 2: it is the first
//! max       number                   unless 4: it is the last
//! sum       number
//!           where there are decimals, of these the mantissas: of the first as it is, of last and min after the first,
//!           of max after the last, of sum after what as many samples halfway between min and max come to, zigzag
//!           varints (since block version 6)
//! squares   f64                      the squared differences from the mean
//! resets    varint, number: how many, and the sum of the values before each; with 8
//! changes   varint
//! ```
//! Times are the chunk's without 1. A counter's takes about twenty-five bytes, which is why chunks of fewer than
//! [`SAMPLES_MIN`] samples have none: they are decoded in the time that looking at a summary takes. Constant chunks
//! need none either, their value says everything.

use model::staleness::is_stale;
use model::{Summary, Timestamp};

use crate::chunk::ChunkMeta;
use crate::codec::bytes::{put_f64, put_varint, put_zigzag};
use crate::codec::{Malformed, Reader, decimal};

/// Chunks of fewer samples have no summary.
pub(super) const SAMPLES_MIN: u32 = 128;

const STALE: u8 = 1;
const MIN_IS_FIRST: u8 = 2;
const MAX_IS_LAST: u8 = 4;
const RESETS: u8 = 8;
/// Above the flags.
const DECIMALS_SHIFT: u8 = 4;
/// What fits there.
const DECIMALS_MAX: usize = 14;

/// Values as mantissas at one number of decimals.
struct Scaled {
    decimals: usize,
    first: i64,
    last: i64,
    min: i64,
    max: i64,
    sum: i64,
}

impl Scaled {
    /// At the fewest decimals that all values have; `None` where one is no decimal.
    fn of(summary: &Summary, sum: f64) -> Option<Self> {
        (0..=DECIMALS_MAX).find_map(|decimals| {
            let mantissa = |value| decimal::mantissa_of(value, decimals);
            Some(Self {
                decimals,
                first: mantissa(summary.first)?,
                last: mantissa(summary.last)?,
                min: mantissa(summary.min)?,
                max: mantissa(summary.max)?,
                sum: mantissa(sum)?,
            })
        })
    }

    /// What the sum is told after.
    const fn halfway(&self, count: u64) -> i64 {
        self.min.wrapping_add(self.max).wrapping_div(2).wrapping_mul(count.cast_signed())
    }

    fn put(&self, flags: u8, count: u64, out: &mut Vec<u8>) {
        put_zigzag(out, self.first);
        put_zigzag(out, self.last.wrapping_sub(self.first));
        if flags & MIN_IS_FIRST == 0 {
            put_zigzag(out, self.min.wrapping_sub(self.first));
        }
        if flags & MAX_IS_LAST == 0 {
            put_zigzag(out, self.max.wrapping_sub(self.last));
        }
        put_zigzag(out, self.sum.wrapping_sub(self.halfway(count)));
    }

    fn read(decimals: usize, flags: u8, count: u64, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let first = reader.zigzag()?;
        let last = first.wrapping_add(reader.zigzag()?);
        let min = if flags & MIN_IS_FIRST == 0 { first.wrapping_add(reader.zigzag()?) } else { first };
        let max = if flags & MAX_IS_LAST == 0 { last.wrapping_add(reader.zigzag()?) } else { last };
        let scaled = Self { decimals, first, last, min, max, sum: 0 };
        let sum = scaled.halfway(count).wrapping_add(reader.zigzag()?);
        Ok(Self { sum, ..scaled })
    }
}

/// The values of a chunk that has the same one throughout, but for a stale marker at its end where the series ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Constant {
    pub(super) value: f64,
    /// How long after the sample before it the stale marker is.
    pub(super) stale_after_ms: Option<u64>,
}

impl Constant {
    /// What these samples consist of, if it is one value; stale markers and NaNs are kept as they are.
    pub(super) fn of(times: &[i64], values: &[f64]) -> Option<Self> {
        let (first, rest) = values.split_first()?;
        let same = |rest: &[f64]| rest.iter().all(|value| value.to_bits() == first.to_bits());
        let last = rest.split_last().filter(|(last, before)| is_stale(**last) && same(before));
        let stale_after_ms = match (same(rest), last, times) {
            (true, _, _) => None,
            (false, Some(_), [.., before, at]) => Some(at.abs_diff(*before)),
            _ => return None,
        };
        Some(Self { value: *first, stale_after_ms })
    }

    pub(super) const fn is_ended(self) -> bool {
        self.stale_after_ms.is_some()
    }

    /// What a chunk of them comes to; `None` where the value is no number, which is read as it is.
    pub(super) fn summary(self, meta: &ChunkMeta) -> Option<Summary> {
        let Some(stale_after_ms) = self.stale_after_ms else { return of_constant(meta, self.value) };
        let last = meta.max_time.checked_sub_unsigned(stale_after_ms);
        let max_time = last.filter(|last| *last >= meta.min_time)?;
        of_constant(&ChunkMeta { count: meta.count.checked_sub(1)?, max_time, ..*meta }, self.value)
    }
}

/// The summary of a chunk that has the same value throughout; `None` where that is no number, which is read as it is.
fn of_constant(meta: &ChunkMeta, value: f64) -> Option<Summary> {
    let count = f64::from(meta.count);
    let sum = value * count;
    (sum.is_finite() && meta.count > 0).then(|| Summary {
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
    let sum = summary.sum + summary.sum_error;
    let scaled = Scaled::of(summary, sum);
    out.push(flags | scaled.as_ref().map_or(0, |scaled| (scaled.decimals as u8 + 1) << DECIMALS_SHIFT));
    if stale {
        put_varint(out, summary.count);
        put_varint(out, first_time.abs_diff(meta.min_time));
        put_varint(out, meta.max_time.abs_diff(last_time));
    }
    // Of the sum the float nearest to it: what is left of its error is less than half a unit in its last place.
    match scaled {
        Some(scaled) => scaled.put(flags, summary.count, out),
        None => {
            decimal::put_number(out, summary.first);
            decimal::put_number(out, summary.last);
            if flags & MIN_IS_FIRST == 0 {
                decimal::put_number(out, summary.min);
            }
            if flags & MAX_IS_LAST == 0 {
                decimal::put_number(out, summary.max);
            }
            decimal::put_number(out, sum);
        }
    }
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
    let decimals = flags >> DECIMALS_SHIFT;
    let (mut count, mut first_time, mut last_time) = (u64::from(meta.count), meta.min_time, meta.max_time);
    if flags & STALE != 0 {
        count = reader.varint()?;
        first_time = first_time.saturating_add_unsigned(reader.varint()?);
        last_time = last_time.saturating_sub_unsigned(reader.varint()?);
    }
    if count == 0 || count > u64::from(meta.count) || first_time > last_time {
        return Err(reader.malformed("summary of other samples than the chunk's"));
    }
    let (first, last, min, max, sum);
    if let Some(decimals) = decimals.checked_sub(1) {
        let scaled = Scaled::read(usize::from(decimals), flags, count, reader)?;
        let value = |mantissa| decimal::value(mantissa, scaled.decimals);
        (first, last) = (value(scaled.first), value(scaled.last));
        (min, max, sum) = (value(scaled.min), value(scaled.max), value(scaled.sum));
    } else {
        (first, last) = (decimal::number(reader)?, decimal::number(reader)?);
        min = if flags & MIN_IS_FIRST == 0 { decimal::number(reader)? } else { first };
        max = if flags & MAX_IS_LAST == 0 { decimal::number(reader)? } else { last };
        sum = decimal::number(reader)?;
    }
    let squares = reader.f64()?;
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
