//! Prometheus' chunk encoding `XOR` (number 1), after Facebook's Gorilla paper (Pelkonen et al., VLDB 2015):
//! times as differences of differences, values as what changed of their bits.
//!
//! ```text
//! count of samples, 2 bytes big-endian; then bits, highest first:
//! first    time zigzag varint, value 64 bits
//! second   difference of times varint, value
//! others   difference of differences: 0 │ 10 + 14 bits │ 110 + 17 │ 1110 + 20 │ 1111 + 64; value
//! value    0 for the one before │ 10 + bits within the window before │ 11 + leading zeros 5 + length 6 + bits
//! ```

use model::Sample;

use crate::wire::unzigzag;

/// Leading zeros that five bits can say.
const LEADING_MAX: u32 = 31;

/// Bits, the highest of each byte first.
pub(super) struct Bits {
    pub(super) bytes: Vec<u8>,
    /// How many bits of the last byte are free.
    free: u32,
}

impl Bits {
    /// Behind whole bytes.
    pub(super) const fn after(bytes: Vec<u8>) -> Self {
        Self { bytes, free: 0 }
    }

    /// Appends the lowest `count` bits of `value`.
    pub(super) fn put(&mut self, value: u64, count: u32) {
        for bit in (0..count).rev() {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            self.free -= 1;
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> bit & 1) as u8) << self.free;
            }
        }
    }

    fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.put(value, 8);
    }

    fn put_time(&mut self, second_difference: i64) {
        // Ranges are those of Prometheus' decoder: the lowest number of a width stands for none.
        let fits = |bits: u32| {
            let half = 1i64 << (bits - 1);
            (1 - half..=half).contains(&second_difference)
        };
        let value = second_difference as u64;
        match second_difference {
            0 => self.put(0, 1),
            _ if fits(14) => {
                self.put(0b10, 2);
                self.put(value, 14);
            }
            _ if fits(17) => {
                self.put(0b110, 3);
                self.put(value, 17);
            }
            _ if fits(20) => {
                self.put(0b1110, 4);
                self.put(value, 20);
            }
            _ => {
                self.put(0b1111, 4);
                self.put(value, 64);
            }
        }
    }
}

/// Which bits of a value changed last.
pub(super) struct Window {
    leading: u32,
    trailing: u32,
}

/// Appends what changed of a value's bits.
pub(super) fn put_value(bits: &mut Bits, window: &mut Option<Window>, changed: u64) {
    if changed == 0 {
        return bits.put(0, 1);
    }
    bits.put(1, 1);
    let (leading, trailing) = (changed.leading_zeros().min(LEADING_MAX), changed.trailing_zeros());
    if let Some(before) = window.as_ref().filter(|w| leading >= w.leading && trailing >= w.trailing) {
        bits.put(0, 1);
        bits.put(changed >> before.trailing, 64 - before.leading - before.trailing);
        return;
    }
    let length = 64 - leading - trailing;
    bits.put(1, 1);
    bits.put(u64::from(leading), 5);
    // 64 does not fit six bits and is written as zero.
    bits.put(u64::from(length), 6);
    bits.put(changed >> trailing, length);
    *window = Some(Window { leading, trailing });
}

/// Encodes samples in time order; at most as many as two bytes can count.
pub(super) fn encode(samples: &[Sample]) -> Vec<u8> {
    let count = u16::try_from(samples.len()).unwrap_or(u16::MAX);
    let mut bits = Bits::after(count.to_be_bytes().to_vec());
    let mut window = None;
    let (mut time, mut difference, mut value) = (0i64, 0i64, 0u64);
    for (index, sample) in samples.iter().take(usize::from(count)).enumerate() {
        let (now, now_value) = (sample.timestamp.millis(), sample.value.to_bits());
        let now_difference = now.wrapping_sub(time);
        match index {
            0 => {
                bits.put_varint(unzigzag(now));
                bits.put(now_value, 64);
            }
            _ => {
                match index {
                    1 => bits.put_varint(now_difference as u64),
                    _ => bits.put_time(now_difference.wrapping_sub(difference)),
                }
                put_value(&mut bits, &mut window, now_value ^ value);
            }
        }
        (time, difference, value) = (now, now_difference, now_value);
    }
    bits.bytes
}
