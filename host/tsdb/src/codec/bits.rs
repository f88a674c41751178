//! Numbers of a few bits each, one after the other: lowest bit first, padded to whole bytes.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::array;

/// Eight bytes hold any number of this width, whichever bit it begins at.
pub(super) const WIDTH_MAX: u32 = 56;

/// How many bytes `count` numbers take.
pub(super) const fn packed_bytes(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

pub(super) fn pack(numbers: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    let (mut held, mut bits) = (0u128, 0);
    for number in numbers {
        held |= u128::from(number) << bits;
        bits += width;
        while bits >= 8 {
            out.push(held as u8);
            held >>= 8;
            bits -= 8;
        }
    }
    if bits > 0 {
        out.push(held as u8);
    }
}

/// Eight numbers are at most so many bytes, and the last of them is read as eight.
const WINDOW_BYTES: usize = 64;

/// Fills `out` with what `of` makes of numbers of `width` bits, which is at most [`WIDTH_MAX`].
///
/// Eight numbers begin at the same places and bits of every `width` bytes: each is a load, a shift and a mask that
/// depend on no other. Where less than a window is left, numbers are taken one by one.
pub(super) fn unpack<T>(bytes: &[u8], width: u32, out: &mut [T], of: impl Fn(u64) -> T) {
    let mask = (1u64 << width) - 1;
    let width = width as usize;
    // The bound, which no width that is allowed reaches, spares the loop a test for each number.
    let places: [usize; 8] = array::from_fn(|at| (at * width / 8).min(WINDOW_BYTES - 8));
    let shifts: [usize; 8] = array::from_fn(|at| at * width % 8);
    let (mut rest, mut done) = (bytes, 0);
    for eight in out.as_chunks_mut::<8>().0 {
        let Some(window) = rest.first_chunk::<WINDOW_BYTES>() else { break };
        for ((number, place), shift) in eight.iter_mut().zip(places).zip(shifts) {
            let word = window.get(place..).and_then(|word| word.first_chunk()).copied().unwrap_or_default();
            *number = of(u64::from_le_bytes(word) >> shift & mask);
        }
        rest = rest.get(width..).unwrap_or_default();
        done += 8;
    }
    for (at, number) in out.iter_mut().enumerate().skip(done) {
        let bit = at * width;
        let mut word = [0; 8];
        word.iter_mut().zip(bytes.get(bit / 8..).unwrap_or_default()).for_each(|(to, from)| *to = *from);
        *number = of(u64::from_le_bytes(word) >> (bit % 8) & mask);
    }
}
