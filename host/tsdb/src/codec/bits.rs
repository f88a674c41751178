//! Numbers of a few bits each, one after the other: lowest bit first, padded to whole bytes.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

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

/// Fills `out` with what `of` makes of numbers of `width` bits, which is at most [`WIDTH_MAX`].
///
/// Each number is a load, a shift and a mask that depend on no other, so that several are under way at a time. Kernels
/// unrolled for each width won a fifth of this pass and a twelfth of reading a column: not worth fifty of them.
pub(super) fn unpack<T>(bytes: &[u8], width: u32, out: &mut [T], of: impl Fn(u64) -> T) {
    let mask = (1u64 << width) - 1;
    for (at, number) in out.iter_mut().enumerate() {
        let bit = at * width as usize;
        let rest = bytes.get(bit / 8..).unwrap_or_default();
        let word = rest.first_chunk::<8>().copied().unwrap_or_else(|| {
            let mut last = [0; 8];
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            last
        });
        *number = of(u64::from_le_bytes(word) >> (bit % 8) & mask);
    }
}
