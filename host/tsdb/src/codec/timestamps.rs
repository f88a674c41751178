//! A column of strictly increasing times.
//!
//! ```text
//! first    zigzag varint, milliseconds
//! form     u8, only with two or more: 0 = runs, 1 = plain
//! runs     until the count is reached: second difference (zigzag varint), how often (varint)
//! plain    second differences (zigzag varint)
//! ```
//! The first difference counts as a second difference from zero. A steady scrape is thus two runs whatever its
//! length; jitter costs one or two bytes a sample. The writer keeps the shorter form.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::bytes::{Malformed, Reader, put_varint, put_zigzag};

const RUNS: u8 = 0;
const PLAIN: u8 = 1;

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
    out.extend_from_slice(if runs.len() <= plain.len() { &runs } else { &plain });
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
        for _ in 0..run {
            delta = delta.wrapping_add(second);
            let next = previous.wrapping_add(delta);
            if next <= previous {
                return Err(reader.malformed("timestamps do not increase"));
            }
            out.push(next);
            previous = next;
        }
    }
    Ok(())
}
