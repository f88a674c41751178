//! Prometheus' chunk encoding `XOR` (number 1), after Facebook's Gorilla paper (Pelkonen et al., VLDB 2015):
//! times as differences of differences, values as what changed of their bits (see [`super::bits`]).
//!
//! ```text
//! count of samples, 2 bytes big-endian; then bits, highest first:
//! first    time zigzag varint, value 64 bits
//! second   difference of times varint, value
//! others   difference of differences: 0 │ 10 + 14 bits │ 110 + 17 │ 1110 + 20 │ 1111 + 64; value
//! ```

use model::{Sample, Timestamp};

use super::bits::{BitReader, BitWriter, Window, fits};
use super::stream::Budget;
use crate::DecodeError;

/// How many bits a difference of differences may have, by how many ones precede it. After four ones there is no zero.
const WIDTHS: [u32; 3] = [14, 17, 20];

fn put_time(bits: &mut BitWriter, second_difference: i64) {
    let value = second_difference as u64;
    if value == 0 {
        return bits.put(0, 1);
    }
    match WIDTHS.into_iter().enumerate().find(|(_, width)| fits(second_difference, *width)) {
        Some((at, width)) => {
            let ones = at as u32 + 1;
            bits.put((1 << (ones + 1)) - 2, ones + 1);
            bits.put(value, width);
        }
        None => {
            bits.put(0b1111, 4);
            bits.put(value, 64);
        }
    }
}

fn read_time(bits: &mut BitReader<'_>) -> Result<i64, DecodeError> {
    match bits.ones(WIDTHS.len() + 1)? {
        0 => Ok(0),
        ones => bits.signed(WIDTHS.get(ones - 1).copied().unwrap_or(64)),
    }
}

/// Encodes samples in time order; at most as many as two bytes can count.
pub(super) fn encode(samples: &[Sample]) -> Vec<u8> {
    let count = u16::try_from(samples.len()).unwrap_or(u16::MAX);
    let mut bits = BitWriter::after(count.to_be_bytes().to_vec());
    let mut window = None;
    let (mut time, mut difference, mut value) = (0i64, 0i64, 0u64);
    for (index, sample) in samples.iter().take(usize::from(count)).enumerate() {
        let (now, now_value) = (sample.timestamp.millis(), sample.value.to_bits());
        let now_difference = now.wrapping_sub(time);
        match index {
            0 => {
                bits.put_signed_varint(now);
                bits.put(now_value, 64);
            }
            _ => {
                match index {
                    1 => bits.put_varint(now_difference as u64),
                    _ => put_time(&mut bits, now_difference.wrapping_sub(difference)),
                }
                bits.put_value(&mut window, now_value ^ value);
            }
        }
        (time, difference, value) = (now, now_difference, now_value);
    }
    bits.bytes
}

/// Appends what a chunk holds.
pub(super) fn decode(bytes: &[u8], budget: &mut Budget, out: &mut Vec<Sample>) -> Result<(), DecodeError> {
    let mut bits = BitReader::new(bytes);
    let count = bits.take(16)?;
    let mut window = Window::default();
    let (mut time, mut difference, mut value) = (0i64, 0i64, 0u64);
    for index in 0..count {
        budget.take(size_of::<Sample>())?;
        if index == 0 {
            time = bits.signed_varint()?;
            value = bits.take(64)?;
        } else {
            difference = match index {
                1 => bits.varint()? as i64,
                _ => difference.wrapping_add(read_time(&mut bits)?),
            };
            time = time.wrapping_add(difference);
            value ^= bits.value(&mut window)?;
        }
        out.push(Sample { timestamp: Timestamp::from_millis(time), value: f64::from_bits(value) });
    }
    Ok(())
}
