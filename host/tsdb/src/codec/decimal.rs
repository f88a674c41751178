//! A column of floats as decimal numbers: most of what is measured was a whole number of some decimal unit once.
//!
//! ```text
//! scale       u8: decimals << 2 | order. A value is its mantissa / 10^decimals; a column of order 0 holds the
//!             mantissas, of order 1 their differences, of order 2 the differences of those
//! start       zigzag varint per order: the first mantissa; the first difference
//! base        zigzag varint
//! shift       u8: numbers below are multiples of 2^shift and told without those zeros
//! width       u8: bits per number, at most 56; + 64 where there are exceptions, + 128 where there are patches
//! exceptions  count varint  ┐ where there are any
//! patches     count varint  ┘
//! packed      numbers - base of `width` bits each, lowest bit first, zero for exceptions; padded to bytes
//! exceptions  per exception: places since the one before (varint), number - base (zigzag varint)
//! patches     per patch: places since the one before (varint), 8 bytes: a value that is no such decimal
//! ```
//! This one form is all of a constant step (no bits at all), rare changes (no bits, an exception each), counters and
//! gauges. Every value is tried backwards before it is written: one that would not come back bit for bit (NaN, the
//! stale marker, -0.0, infinities, 0.1 + 0.2) is a patch, and its place repeats the mantissa before.
//!
//! The layout follows frame of reference with patches (Zukowski and others, "Super-Scalar RAM-CPU Cache
//! Compression", ICDE 2006) over the decimals of ALP (Afroozeh and others, SIGMOD 2024).
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::bits::{WIDTH_MAX, pack, unpack};
use super::bytes::{Malformed, Reader, put_f64, put_varint, put_zigzag, unzigzag, zigzag};

/// Powers of ten that floats hold exactly, as far as a mantissa has digits.
pub(super) const POWERS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Mantissas up to this are exact as floats.
const MANTISSA_MAX: i64 = 1 << 53;

const EXCEPTIONS: u8 = 64;
const PATCHES: u8 = 128;

/// After this many values, more patches than half are taken for a column of no decimals.
const TRIED: usize = 16;

/// The mantissa of `value` at a scale, where that loses no bit.
fn mantissa(value: f64, power: f64) -> Option<i64> {
    let mantissa = (value * power).round_ties_even() as i64;
    let exact = mantissa.unsigned_abs() <= MANTISSA_MAX.unsigned_abs()
        && (mantissa as f64 / power).to_bits() == value.to_bits();
    exact.then_some(mantissa)
}

/// The fewest decimals that most values need, and the most that any needs; `None` where few values are decimals.
fn decimals(values: &[f64]) -> Option<(usize, usize)> {
    let mut counts = [0usize; POWERS.len()];
    let (mut at, mut failed) = (0, 0);
    for (i, value) in values.iter().enumerate() {
        let exact = |decimals: &usize| POWERS.get(*decimals).is_some_and(|p| mantissa(*value, *p).is_some());
        // Neighbours have as many decimals as a rule.
        let found =
            if at > 0 && exact(&at) && !exact(&(at - 1)) { Some(at) } else { (0..POWERS.len()).find(exact) };
        match found {
            Some(decimals) => {
                at = decimals;
                counts.get_mut(decimals).into_iter().for_each(|count| *count += 1);
            }
            None => failed += 1,
        }
        if i + 1 == TRIED && failed > TRIED / 2 {
            return None;
        }
    }
    let most = counts.iter().rposition(|count| *count > 0)?;
    let common = counts.iter().enumerate().max_by_key(|(_, count)| **count).map_or(0, |(at, _)| at);
    Some((common, most))
}

/// A column; `None` where another form is likely shorter.
pub(super) fn encode(values: &[f64]) -> Option<Vec<u8>> {
    let (common, most) = decimals(values)?;
    let first = encode_at(values, common);
    let second = if most == common { None } else { encode_at(values, most) };
    [first, second].into_iter().flatten().min_by_key(Vec::len)
}

/// Values that are no decimals of their column, with their places in it.
pub(super) type Patches = Vec<(usize, f64)>;

/// Mantissas at a number of decimals, and the values that are no such decimals with their places, where the mantissa
/// before is repeated; `None` where those are more than a quarter.
fn mantissas(values: &[f64], decimals: usize) -> Option<(Vec<i64>, Patches)> {
    let power = *POWERS.get(decimals)?;
    let mut patches = Patches::new();
    let mut mantissas: Vec<i64> = Vec::with_capacity(values.len());
    for (at, value) in values.iter().enumerate() {
        mantissas.push(mantissa(*value, power).unwrap_or_else(|| {
            patches.push((at, *value));
            mantissas.last().copied().unwrap_or(0)
        }));
    }
    (patches.len() <= values.len() / 4).then_some((mantissas, patches))
}

/// A column as mantissas, their decimals and its patches; `None` where few values are decimals.
pub(super) fn split(values: &[f64]) -> Option<(Vec<i64>, usize, Patches)> {
    let (common, most) = decimals(values)?;
    let (found, patches) = mantissas(values, common)?;
    if patches.len() * 16 > values.len() && most > common {
        let (found, patches) = mantissas(values, most)?;
        return Some((found, most, patches));
    }
    Some((found, common, patches))
}

fn encode_at(values: &[f64], decimals: usize) -> Option<Vec<u8>> {
    let (mantissas, patches) = mantissas(values, decimals)?;
    let differences: Vec<i64> = pairs(&mantissas).collect();
    let second: Vec<i64> = pairs(&differences).collect();
    let start: Vec<i64> = mantissas.first().into_iter().chain(differences.first()).copied().collect();
    let orders = [&mantissas, &differences, &second];
    let plans = orders.iter().enumerate().filter_map(|(order, numbers)| Some((order, Plan::of(numbers)?)));
    let (order, plan) = plans.min_by_key(|(_, plan)| plan.bytes)?;
    let numbers = *orders.get(order)?;

    let mut out = Vec::with_capacity(plan.bytes + 24);
    out.push((decimals << 2 | order) as u8);
    start.iter().take(order).for_each(|number| put_zigzag(&mut out, *number));
    put_zigzag(&mut out, plan.base);
    out.push(plan.shift as u8);
    let has = |any: bool, flag: u8| if any { flag } else { 0 };
    out.push(plan.width as u8 | has(plan.exceptions > 0, EXCEPTIONS) | has(!patches.is_empty(), PATCHES));
    if plan.exceptions > 0 {
        put_varint(&mut out, plan.exceptions as u64);
    }
    if !patches.is_empty() {
        put_varint(&mut out, patches.len() as u64);
    }
    pack(numbers.iter().map(|number| plan.fits(*number).unwrap_or(0)), plan.width, &mut out);
    let mut before = 0;
    let exceptions = numbers.iter().enumerate().filter(|(_, number)| plan.fits(**number).is_none());
    for (at, number) in exceptions {
        put_varint(&mut out, (at - before) as u64);
        put_zigzag(&mut out, number - plan.base);
        before = at;
    }
    before = 0;
    for (at, value) in patches {
        put_varint(&mut out, (at - before) as u64);
        put_f64(&mut out, value);
        before = at;
    }
    Some(out)
}

fn pairs(numbers: &[i64]) -> impl Iterator<Item = i64> {
    numbers.iter().zip(numbers.iter().skip(1)).map(|(a, b)| b - a)
}

/// How numbers are packed.
#[derive(Debug, Clone, Copy)]
struct Plan {
    base: i64,
    shift: u32,
    width: u32,
    exceptions: usize,
    /// About how long it will be.
    bytes: usize,
}

impl Plan {
    /// The best of three bases: the least number, one that leaves a few low outliers out, and the middle one, which is
    /// the step of a steady counter and the zero of a series that seldom changes.
    fn of(numbers: &[i64]) -> Option<Self> {
        if numbers.is_empty() {
            return Some(Self { base: 0, shift: 0, width: 0, exceptions: 0, bytes: 0 });
        }
        let mut ordered = numbers.to_vec();
        let middle = numbers.len() / 2;
        let median = *ordered.select_nth_unstable(middle).1;
        let low = ordered.get_mut(..=middle)?;
        let low = *low.select_nth_unstable(numbers.len() / 16).1;
        let least = *numbers.iter().min()?;
        let mut bases = [least, low, median];
        bases.sort_unstable();
        let distinct =
            bases.iter().enumerate().filter(|(at, base)| *at == 0 || bases.get(at - 1) != Some(base));
        distinct.map(|(_, base)| Self::with_base(numbers, *base)).min_by_key(|plan| plan.bytes)
    }

    fn with_base(numbers: &[i64], base: i64) -> Self {
        // Mantissas and their differences of either order are far from the ends of 64 bits.
        let above = || numbers.iter().filter_map(|number| u64::try_from(number - base).ok());
        let shift = match above().fold(0, |all, number| all | number) {
            0 => 0,
            all => all.trailing_zeros(),
        };
        let mut widths = [0usize; 65];
        above().for_each(|number| {
            widths
                .get_mut((64 - (number >> shift).leading_zeros()) as usize)
                .into_iter()
                .for_each(|n| *n += 1);
        });
        let below = numbers.len() - widths.iter().sum::<usize>();
        let below_bytes: usize = numbers
            .iter()
            .filter(|number| **number < base)
            .map(|number| 1 + varint_bytes(number - base))
            .sum();
        let mut plan = Self { base, shift, width: 0, exceptions: usize::MAX, bytes: usize::MAX };
        // Going down, every width makes exceptions of the numbers that need more.
        let (mut exceptions, mut exception_bytes) = (below, below_bytes);
        for width in (0..=64u32).rev() {
            let bytes =
                (numbers.len() * width as usize).div_ceil(8) + exception_bytes + usize::from(exceptions > 0);
            if width <= WIDTH_MAX && bytes < plan.bytes {
                (plan.width, plan.exceptions, plan.bytes) = (width, exceptions, bytes);
            }
            let count = widths.get(width as usize).copied().unwrap_or(0);
            exceptions += count;
            exception_bytes += count * (2 + ((width + shift) as usize) / 7);
        }
        plan.bytes += varint_bytes(base);
        plan
    }

    /// The number as it is packed; `None` where it is an exception.
    fn fits(&self, number: i64) -> Option<u64> {
        let above = u64::try_from(number - self.base).ok()? >> self.shift;
        (above >> self.width == 0).then_some(above)
    }
}

fn varint_bytes(number: i64) -> usize {
    (64 - zigzag(number).leading_zeros()).div_ceil(7).max(1) as usize
}

/// Writes one float, short where it is a decimal: varint 0 and its 8 bytes, or else varint 1 + decimals + 16 * zigzag of
/// the mantissa.
pub(crate) fn put_number(out: &mut Vec<u8>, value: f64) {
    let found = POWERS.iter().zip(0u64..).find_map(|(power, at)| Some((mantissa(value, *power)?, at)));
    match found {
        Some((mantissa, decimals)) => put_varint(out, 1 + (zigzag(mantissa) << 4 | decimals)),
        None => {
            out.push(0);
            put_f64(out, value);
        }
    }
}

/// The mantissa of a float at so many decimals, where that loses no bit.
pub(crate) fn mantissa_of(value: f64, decimals: usize) -> Option<i64> {
    POWERS.get(decimals).and_then(|power| mantissa(value, *power))
}

/// The float that a mantissa at so many decimals stands for.
pub(crate) fn value(mantissa: i64, decimals: usize) -> f64 {
    mantissa as f64 / POWERS.get(decimals).copied().unwrap_or(1.0)
}

/// Reads one float.
pub(crate) fn number(reader: &mut Reader<'_>) -> Result<f64, Malformed> {
    let Some(word) = reader.varint()?.checked_sub(1) else { return reader.f64() };
    let power = POWERS.get((word & 15) as usize).copied().unwrap_or(1.0);
    Ok(unzigzag(word >> 4) as f64 / power)
}

/// The number that stands in the place of a float, as its bits: that spares columns a second buffer.
pub(super) const fn held(bits: f64) -> i64 {
    bits.to_bits().cast_signed()
}

/// A number in the place of a float.
pub(super) const fn bits(number: i64) -> f64 {
    f64::from_bits(number.cast_unsigned())
}

/// Reads a column of `count` values, at least one, and appends it to `out`. The caller has bounded `count`.
///
/// Every pass is a plain loop over one slice, so that the compiler makes vectors of those that have no carry:
/// unpacking, sums, and the conversion with its exact division.
pub(super) fn decode(reader: &mut Reader<'_>, count: usize, out: &mut Vec<f64>) -> Result<(), Malformed> {
    let scale = reader.u8()?;
    let (order, decimals) = (usize::from(scale & 3), usize::from(scale >> 2));
    let power = *POWERS.get(decimals).ok_or(reader.malformed("too many decimals"))?;
    if order > 2 || order > count {
        return Err(reader.malformed("unknown order of decimals"));
    }
    let mut start = [0i64; 2];
    for number in start.iter_mut().take(order) {
        *number = reader.zigzag()?;
    }
    let base = reader.zigzag()?;
    let shift = u32::from(reader.u8()?);
    let flags = reader.u8()?;
    let width = u32::from(flags & (EXCEPTIONS - 1));
    if shift > 63 || width > WIDTH_MAX {
        return Err(reader.malformed("decimals of more than 64 bits"));
    }
    let exceptions = if flags & EXCEPTIONS == 0 { 0 } else { reader.count(2)? };
    let patches = if flags & PATCHES == 0 { 0 } else { reader.count(9)? };
    let packed = reader.take(((count - order) * width as usize).div_ceil(8))?;

    let from = out.len();
    out.resize(from + count, bits(base));
    let column = out.get_mut(from..).unwrap_or_default();
    let (first, numbers) = column.split_at_mut_checked(order).unwrap_or_default();
    if width > 0 {
        // Numbers are kept as the bits of floats until they are floats: it spares every column a second buffer.
        unpack(packed, width, numbers, |above| bits(base.wrapping_add((above << shift).cast_signed())));
    }
    let mut at = 0usize;
    for _ in 0..exceptions {
        at = at.saturating_add(usize::try_from(reader.varint()?).unwrap_or(usize::MAX));
        let exception = base.wrapping_add(reader.zigzag()?);
        *numbers.get_mut(at).ok_or(reader.malformed("exception past the end"))? = bits(exception);
    }
    let [mut mantissa, mut difference] = start;
    match order {
        0 => {}
        1 => numbers.iter_mut().for_each(|slot| {
            mantissa = mantissa.wrapping_add(held(*slot));
            *slot = bits(mantissa);
        }),
        _ => {
            mantissa = mantissa.wrapping_add(difference);
            numbers.iter_mut().for_each(|slot| {
                difference = difference.wrapping_add(held(*slot));
                mantissa = mantissa.wrapping_add(difference);
                *slot = bits(mantissa);
            });
        }
    }
    let [mantissa, difference] = start;
    let begins = [mantissa, mantissa.wrapping_add(difference)];
    first.iter_mut().zip(begins).for_each(|(slot, mantissa)| *slot = bits(mantissa));
    if decimals == 0 {
        column.iter_mut().for_each(|slot| *slot = held(*slot) as f64);
    } else {
        column.iter_mut().for_each(|slot| *slot = held(*slot) as f64 / power);
    }
    at = 0;
    for _ in 0..patches {
        at = at.saturating_add(usize::try_from(reader.varint()?).unwrap_or(usize::MAX));
        let patch = reader.f64()?;
        *column.get_mut(at).ok_or(reader.malformed("patch past the end"))? = patch;
    }
    Ok(())
}
