//! A column of floats, bit for bit.
//!
//! ```text
//! form       u8
//! 0 constant 8 bytes, the bits of every value
//! 1 integers differences (zigzag varint), the first one from zero; only where each value is a whole number
//!            below 2^53 that turns back into the same bits
//! 2 xor      per value: u8 = trailing zero bytes << 4 | kept bytes, then the kept bytes of the exclusive or
//!            with the bits before it (the first one with zero), lowest byte first
//! 3 decimal  see [`super::decimal`]; only in chunks, whose values are of one series
//! 4 dense    see [`super::dense`]; only in chunks of long blocks, takes all that follows
//! 5 steps    see [`super::steps`]; as 4, from version 6 of blocks on
//! ```
//! The writer keeps the shortest, except that values of one series stay decimals, which are read several times
//! faster, until another form saves an eighth, and that dense and steps have to save 15 %.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::bytes::{Malformed, Reader, put_f64, put_zigzag};
use super::mantissas::Mantissas;
use super::{decimal, dense, steps};

const CONSTANT: u8 = 0;
const INTEGERS: u8 = 1;
const XOR: u8 = 2;
const DECIMAL: u8 = 3;
const DENSE: u8 = 4;
const STEPS: u8 = 5;

/// What a column of one series is packed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Density {
    /// To be read often.
    Light,
    /// To be small.
    Dense,
}

/// A light column of fewer bytes is left as it is: constant steps and rare changes cannot be had for less.
const DENSE_BYTES_MIN: usize = 96;

/// Whole numbers below this have neighbours one apart, so that sums of differences stay exact.
const WHOLE_MAX: i64 = 1 << 53;

/// The value as a whole number, where that loses no bit.
pub(crate) fn as_whole(value: f64) -> Option<i64> {
    let whole = value as i64;
    ((-WHOLE_MAX..=WHOLE_MAX).contains(&whole) && (whole as f64).to_bits() == value.to_bits())
        .then_some(whole)
}

/// Writes a column that is not empty.
pub(crate) fn encode(values: &[f64], out: &mut Vec<u8>) {
    let Some((first, rest)) = values.split_first() else { return };
    if rest.iter().all(|value| value.to_bits() == first.to_bits()) {
        out.push(CONSTANT);
        put_f64(out, *first);
        return;
    }
    let xor = encode_xor(values);
    match encode_integers(values).filter(|integers| integers.len() <= xor.len()) {
        Some(integers) => out.extend_from_slice(&integers),
        None => out.extend_from_slice(&xor),
    }
}

/// As [`encode`], for values of one series.
pub(crate) fn encode_series(values: &[f64], density: Density, out: &mut Vec<u8>) {
    let from = out.len();
    encode(values, out);
    // A constant is as short as anything can be.
    let others = out.len() - from;
    if out.get(from) != Some(&CONSTANT)
        && let Some(decimal) = decimal::encode(values).filter(|decimal| decimal.len() < others + others / 8)
    {
        out.truncate(from);
        out.push(DECIMAL);
        out.extend_from_slice(&decimal);
    }
    let light = out.len() - from;
    if density == Density::Dense
        && light >= DENSE_BYTES_MIN
        && let Some((form, dense)) = smallest_dense(values)
        && (dense.len() + 1) * 100 <= light * 85
    {
        out.truncate(from);
        out.push(form);
        out.extend_from_slice(&dense);
    }
}

fn smallest_dense(values: &[f64]) -> Option<(u8, Vec<u8>)> {
    let mantissas = Mantissas::of(values);
    let dense = dense::encode(values, mantissas.as_ref()).map(|dense| (DENSE, dense));
    let steps = mantissas.as_ref().and_then(steps::encode).map(|steps| (STEPS, steps));
    dense.into_iter().chain(steps).min_by_key(|(_, bytes)| bytes.len())
}

fn encode_integers(values: &[f64]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(1 + values.len() * 3);
    out.push(INTEGERS);
    let mut previous = 0;
    for value in values {
        let whole = as_whole(*value)?;
        put_zigzag(&mut out, whole - previous);
        previous = whole;
    }
    Some(out)
}

fn encode_xor(values: &[f64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + values.len() * 6);
    out.push(XOR);
    let mut previous = 0u64;
    for value in values {
        let xor = value.to_bits() ^ previous;
        previous = value.to_bits();
        if xor == 0 {
            out.push(0);
            continue;
        }
        let low = xor.trailing_zeros() / 8;
        let kept = 8 - low - xor.leading_zeros() / 8;
        out.push((low << 4 | kept) as u8);
        let bytes = (xor >> (low * 8)).to_le_bytes();
        out.extend(bytes.iter().take(kept as usize));
    }
    out
}

/// Reads a column of `count` values and appends it to `out`. The caller has bounded `count`.
pub(crate) fn decode(reader: &mut Reader<'_>, count: usize, out: &mut Vec<f64>) -> Result<(), Malformed> {
    if count == 0 {
        return Ok(());
    }
    match reader.u8()? {
        CONSTANT => {
            let value = reader.f64()?;
            out.extend(std::iter::repeat_n(value, count));
        }
        INTEGERS => {
            let mut whole = 0i64;
            for _ in 0..count {
                whole = whole.wrapping_add(reader.zigzag()?);
                out.push(whole as f64);
            }
        }
        XOR => {
            let mut bits = 0u64;
            for _ in 0..count {
                let control = reader.u8()?;
                let (low, kept) = (usize::from(control >> 4), usize::from(control & 0xf));
                if low + kept > 8 {
                    return Err(reader.malformed("exclusive or over 8 bytes"));
                }
                let mut xor = [0u8; 8];
                for (to, from) in xor.iter_mut().skip(low).zip(reader.take(kept)?) {
                    *to = *from;
                }
                bits ^= u64::from_le_bytes(xor);
                out.push(f64::from_bits(bits));
            }
        }
        DECIMAL => decimal::decode(reader, count, out)?,
        DENSE => dense::decode(reader, count, out)?,
        STEPS => steps::decode(reader, count, out)?,
        _ => return Err(reader.malformed("unknown form of values")),
    }
    Ok(())
}
