//! Bits of a chunk, the highest of each byte first, and how Prometheus' encodings write times and values with them.
//!
//! ```text
//! value    0 for the one before │ 10 + bits within the window before │ 11 + leading zeros 5 + length 6 + bits
//! ```
//! A signed number of some bits stands for `1 - half..=half`: the lowest number of a width stands for none.

use super::malformed;
use crate::DecodeError;
use crate::wire::{unzigzag, zigzag};

/// Leading zeros that five bits can say.
const LEADING_MAX: u32 = 31;

/// Groups of seven bits that a number of 64 has.
const VARINT_GROUPS_MAX: u32 = 10;

/// Bits that are written.
pub(super) struct BitWriter {
    pub(super) bytes: Vec<u8>,
    /// How many bits of the last byte are free.
    free: u32,
}

impl BitWriter {
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

    /// Appends groups of seven bits, the lowest first, each behind a bit that says whether more follow.
    pub(super) fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.put(value, 8);
    }

    /// The same of a signed number.
    pub(super) fn put_signed_varint(&mut self, value: i64) {
        self.put_varint(unzigzag(value));
    }

    /// Appends what changed of a value's bits.
    pub(super) fn put_value(&mut self, window: &mut Option<Window>, changed: u64) {
        if changed == 0 {
            return self.put(0, 1);
        }
        self.put(1, 1);
        let (leading, trailing) = (changed.leading_zeros().min(LEADING_MAX), changed.trailing_zeros());
        if let Some(before) = window.as_ref().filter(|w| leading >= w.leading && trailing >= w.trailing) {
            self.put(0, 1);
            self.put(changed >> before.trailing, 64 - before.leading - before.trailing);
            return;
        }
        let length = 64 - leading - trailing;
        self.put(1, 1);
        self.put(u64::from(leading), 5);
        // 64 does not fit six bits and is written as zero.
        self.put(u64::from(length), 6);
        self.put(changed >> trailing, length);
        *window = Some(Window { leading, trailing });
    }
}

/// Whether a signed number can be written with so many bits.
pub(super) fn fits(value: i64, width: u32) -> bool {
    let half = 1i64 << (width - 1);
    (1 - half..=half).contains(&value)
}

/// Which bits of a value changed last.
#[derive(Debug, Clone, Default)]
pub(super) struct Window {
    leading: u32,
    trailing: u32,
}

/// Bits that are read.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// How many bits of the first byte have been read.
    used: u32,
}

impl<'a> BitReader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, used: 0 }
    }

    /// Bits that are left: no list that is still to come has more items, as each takes one at least.
    pub(super) const fn left(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.used as usize)
    }

    /// The next `count` bits, 64 at most.
    pub(super) fn take(&mut self, mut count: u32) -> Result<u64, DecodeError> {
        let mut value = 0;
        while count > 0 {
            let byte = *self.bytes.first().ok_or_else(|| malformed("chunk breaks off"))?;
            let taken = (8 - self.used).min(count);
            value = value << taken | u64::from((byte << self.used) >> (8 - taken));
            self.used += taken;
            count -= taken;
            if self.used == 8 {
                self.bytes = self.bytes.get(1..).unwrap_or_default();
                self.used = 0;
            }
        }
        Ok(value)
    }

    /// The next bit.
    pub(super) fn bit(&mut self) -> Result<bool, DecodeError> {
        Ok(self.take(1)? == 1)
    }

    /// How many of the next bits are ones; `max` at most, of which the last is not followed by a zero.
    pub(super) fn ones(&mut self, max: usize) -> Result<usize, DecodeError> {
        let mut ones = 0;
        while ones < max && self.bit()? {
            ones += 1;
        }
        Ok(ones)
    }

    /// A signed number of so many bits.
    pub(super) fn signed(&mut self, width: u32) -> Result<i64, DecodeError> {
        let value = self.take(width)? as i64;
        Ok(if width < 64 && value > 1 << (width - 1) { value - (1 << width) } else { value })
    }

    /// See [`BitWriter::put_varint`].
    pub(super) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        for group in 0..VARINT_GROUPS_MAX {
            let byte = self.take(8)?;
            value |= (byte & 0x7f) << (7 * group);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(malformed("number of a chunk is too long"))
    }

    /// See [`BitWriter::put_signed_varint`].
    pub(super) fn signed_varint(&mut self) -> Result<i64, DecodeError> {
        Ok(zigzag(self.varint()?))
    }

    /// See [`BitWriter::put_value`].
    pub(super) fn value(&mut self, window: &mut Window) -> Result<u64, DecodeError> {
        if !self.bit()? {
            return Ok(0);
        }
        if self.bit()? {
            let leading = self.take(5)? as u32;
            let length = match self.take(6)? as u32 {
                0 => 64,
                length => length,
            };
            let trailing = 64u32.checked_sub(leading + length);
            let trailing = trailing.ok_or_else(|| malformed("value of a chunk has more than 64 bits"))?;
            *window = Window { leading, trailing };
        }
        Ok(self.take(64 - window.leading - window.trailing)? << window.trailing)
    }
}
