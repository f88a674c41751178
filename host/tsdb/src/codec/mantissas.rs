//! What the two dense forms have in common: a column as mantissas of one power of ten, before they are packed.
//!
//! ```text
//! decimals    u8: a value is its mantissa / 10^decimals
//! patches     count varint, per patch: places since the one before (varint), 8 bytes: a value that is no such decimal
//! ```
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::bytes::{Malformed, Reader, put_f64, put_varint};
use super::decimal::{self, POWERS, Patches};

/// A column that is mostly decimals.
pub(super) struct Mantissas {
    /// One for each value; in the place of a patch, the one before.
    pub(super) numbers: Vec<i64>,
    decimals: usize,
    patches: Patches,
}

impl Mantissas {
    /// `None` where few values are decimals.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let (numbers, decimals, patches) = decimal::split(values)?;
        Some(Self { numbers, decimals, patches })
    }

    /// Writes all but the numbers.
    pub(super) fn put_head(&self, out: &mut Vec<u8>) {
        out.push(self.decimals as u8);
        put_varint(out, self.patches.len() as u64);
        let mut before = 0;
        for (at, value) in &self.patches {
            put_varint(out, (at - before) as u64);
            put_f64(out, *value);
            before = *at;
        }
    }
}

/// What stands before the numbers.
pub(super) struct Head {
    power: f64,
    /// Places since the patch before, and values.
    patches: Vec<(usize, f64)>,
}

impl Head {
    /// Reads what follows the number of decimals.
    pub(super) fn read(decimals: u8, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let power = *POWERS.get(usize::from(decimals)).ok_or(reader.malformed("too many decimals"))?;
        let patches = (0..reader.count(9)?)
            .map(|_| Ok((usize::try_from(reader.varint()?).unwrap_or(usize::MAX), reader.f64()?)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { power, patches })
    }

    /// Appends the values; `None` where a patch is none of them.
    pub(super) fn restore(self, numbers: impl Iterator<Item = i64>, out: &mut Vec<f64>) -> Option<()> {
        let from = out.len();
        out.extend(numbers.map(decimal::bits));
        self.restore_bits(out.get_mut(from..).unwrap_or_default())
    }

    /// Makes values of numbers that stand in their places as bits; `None` where a patch is none of them.
    pub(super) fn restore_bits(self, column: &mut [f64]) -> Option<()> {
        // Plain loops, of which the compiler makes vectors.
        if self.power == 1.0 {
            column.iter_mut().for_each(|slot| *slot = decimal::held(*slot) as f64);
        } else {
            column.iter_mut().for_each(|slot| *slot = decimal::held(*slot) as f64 / self.power);
        }
        let mut at = 0usize;
        for (places, patch) in self.patches {
            at = at.saturating_add(places);
            *column.get_mut(at)? = patch;
        }
        Some(())
    }
}
