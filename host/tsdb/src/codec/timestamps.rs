//! A column of strictly increasing times.
//!
//! ```text
//! first    zigzag varint, milliseconds
//! form     u8, only with two or more
//! 0 runs   until the count is reached: second difference (zigzag varint), how often (varint)
//! 1 plain  second differences (zigzag varint)
//! 2 steps  step (varint), base (zigzag varint), width u8, then of every time but the first: time - first - base -
//!          step * place in `width` bits, lowest bit first, padded to bytes
//! ```
//! The first difference counts as a second difference from zero. A steady scrape is thus two runs whatever its
//! length. Jitter around a steady step costs as many bits a sample as it is wide. The writer keeps the shortest form.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::bits::{WIDTH_MAX, pack, packed_bytes, unpack};
use super::bytes::{Malformed, Reader, put_varint, put_zigzag};

const RUNS: u8 = 0;
const PLAIN: u8 = 1;
const STEPS: u8 = 2;

/// Writes a column that is not empty.
pub(crate) fn encode(timestamps: &[i64], out: &mut Vec<u8>) {
    let Some((first, rest)) = timestamps.split_first() else { return };
    put_zigzag(out, *first);
    if rest.is_empty() {
        return;
    }
    let (mut runs, mut plain) = (vec![RUNS], vec![PLAIN]);
    let (mut previous, mut delta) = (*first, 0i64);
    let mut run: Option<(i64, u64)> = None;
    for timestamp in rest {
        let next = timestamp.wrapping_sub(previous);
        let second = next.wrapping_sub(delta);
        (previous, delta) = (*timestamp, next);
        put_zigzag(&mut plain, second);
        run = match run {
            Some((value, count)) if value == second => Some((value, count + 1)),
            done => {
                put_run(&mut runs, done);
                Some((second, 1))
            }
        };
    }
    put_run(&mut runs, run);
    let differences = if runs.len() <= plain.len() { runs } else { plain };
    match encode_steps(*first, rest).filter(|steps| steps.len() < differences.len()) {
        Some(steps) => out.extend_from_slice(&steps),
        None => out.extend_from_slice(&differences),
    }
}

/// Times around a steady step; `None` where they are too far from one.
fn encode_steps(first: i64, rest: &[i64]) -> Option<Vec<u8>> {
    let span = rest.last()?.checked_sub(first)?;
    let step = span / i64::try_from(rest.len()).ok()?;
    let place = |at: usize| (at as i64 + 1) * step;
    let offsets = || rest.iter().enumerate().map(|(at, time)| time - first - place(at));
    let (base, most) = (offsets().min()?, offsets().max()?);
    let width = 64 - most.abs_diff(base).leading_zeros();
    if width > WIDTH_MAX {
        return None;
    }
    let mut out = vec![STEPS];
    put_varint(&mut out, step.cast_unsigned());
    put_zigzag(&mut out, base);
    out.push(width as u8);
    pack(offsets().map(|offset| offset.abs_diff(base)), width, &mut out);
    Some(out)
}

fn put_run(out: &mut Vec<u8>, run: Option<(i64, u64)>) {
    if let Some((value, count)) = run {
        put_zigzag(out, value);
        put_varint(out, count);
    }
}

/// Reads a column of `count` times and appends it to `out`.
pub(crate) fn decode(reader: &mut Reader<'_>, count: usize, out: &mut Vec<i64>) -> Result<(), Malformed> {
    if count == 0 {
        return Ok(());
    }
    let mut previous = reader.zigzag()?;
    out.push(previous);
    let mut left = count - 1;
    if left == 0 {
        return Ok(());
    }
    let form = reader.u8()?;
    if form == STEPS {
        return decode_steps(reader, previous, left, out);
    }
    let mut delta = 0i64;
    while left > 0 {
        let second = reader.zigzag()?;
        let run = match form {
            RUNS => usize::try_from(reader.varint()?).unwrap_or(usize::MAX),
            PLAIN => 1,
            _ => return Err(reader.malformed("unknown form of timestamps")),
        };
        if run == 0 || run > left {
            return Err(reader.malformed("run of timestamps longer than the column"));
        }
        left -= run;
        let disordered = reader.malformed("timestamps do not increase");
        if second == 0 && delta > 0 {
            // A steady step, the usual case: no sum depends on the one before.
            let last = delta.checked_mul(run as i64).and_then(|span| previous.checked_add(span));
            let last = last.ok_or(disordered)?;
            out.extend((1..=run as i64).map(|place| previous + place * delta));
            previous = last;
            continue;
        }
        for _ in 0..run {
            delta = delta.wrapping_add(second);
            let next = previous.wrapping_add(delta);
            if next <= previous {
                return Err(disordered);
            }
            out.push(next);
            previous = next;
        }
    }
    Ok(())
}

fn decode_steps(
    reader: &mut Reader<'_>,
    first: i64,
    count: usize,
    out: &mut Vec<i64>,
) -> Result<(), Malformed> {
    let (step, base) = (reader.varint()?.cast_signed(), reader.zigzag()?);
    let width = u32::from(reader.u8()?);
    if width > WIDTH_MAX {
        return Err(reader.malformed("times of more than 64 bits"));
    }
    let packed = reader.take(packed_bytes(count, width))?;
    let disordered = reader.malformed("timestamps do not increase");
    let from = out.len();
    if width == 0 {
        // A steady step, the usual case: no time is the sum of the one before and something.
        let later = |start: &i64| start.checked_add(step).is_some_and(|second| step > 0 && second > first);
        let start = first.checked_add(base).filter(later).ok_or(disordered)?;
        step.checked_mul(count as i64).and_then(|span| start.checked_add(span)).ok_or(disordered)?;
        out.extend((1..=count as i64).map(|place| start + place * step));
        return Ok(());
    }
    out.resize(from + count, 0);
    let times = out.get_mut(from..).unwrap_or_default();
    unpack(packed, width, times, |offset| offset.cast_signed());
    let (mut at, mut previous, mut increase) = (first.wrapping_add(base), first, true);
    for time in times {
        at = at.wrapping_add(step);
        *time = time.wrapping_add(at);
        increase &= *time > previous;
        previous = *time;
    }
    if increase { Ok(()) } else { Err(disordered) }
}
