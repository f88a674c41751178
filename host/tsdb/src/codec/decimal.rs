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

use super::bytes::{Malformed, Reader, put_f64, put_varint, put_zigzag, zigzag};

/// Powers of ten that floats hold exactly, as far as a mantissa has digits.
const POWERS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Mantissas up to this are exact as floats.
const MANTISSA_MAX: i64 = 1 << 53;

/// Eight bytes hold any number of this width, whichever bit it begins at.
const WIDTH_MAX: u32 = 56;

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

fn encode_at(values: &[f64], decimals: usize) -> Option<Vec<u8>> {
    let power = *POWERS.get(decimals)?;
    let mut patches: Vec<(usize, f64)> = Vec::new();
    let mut mantissas: Vec<i64> = Vec::with_capacity(values.len());
    for (at, value) in values.iter().enumerate() {
        mantissas.push(mantissa(*value, power).unwrap_or_else(|| {
            patches.push((at, *value));
            mantissas.last().copied().unwrap_or(0)
        }));
    }
    if patches.len() > values.len() / 4 {
        return None;
    }
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

fn pack(numbers: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
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

/// Hands over `count` numbers of `width` bits, which is at most [`WIDTH_MAX`].
fn unpack(bytes: &[u8], width: u32, count: usize, mut each: impl FnMut(u64)) {
    let mask = (1u64 << width) - 1;
    for at in 0..count {
        let bit = at * width as usize;
        let rest = bytes.get(bit / 8..).unwrap_or_default();
        let word = rest.first_chunk::<8>().copied().unwrap_or_else(|| {
            let mut last = [0; 8];
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            last
        });
        each(u64::from_le_bytes(word) >> (bit % 8) & mask);
    }
}

/// Reads a column of `count` values, at least one, and appends it to `out`. The caller has bounded `count`.
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
    let numbers_count = count - order;
    let packed = reader.take((numbers_count * width as usize).div_ceil(8))?;

    let mut numbers: Vec<i64> = Vec::with_capacity(numbers_count);
    if width == 0 {
        numbers.resize(numbers_count, base);
    } else {
        unpack(packed, width, numbers_count, |number| {
            numbers.push(base.wrapping_add((number << shift).cast_signed()));
        });
    }
    let mut at = 0usize;
    for _ in 0..exceptions {
        at = at.saturating_add(usize::try_from(reader.varint()?).unwrap_or(usize::MAX));
        let number = base.wrapping_add(reader.zigzag()?);
        *numbers.get_mut(at).ok_or(reader.malformed("exception past the end"))? = number;
    }

    let from = out.len();
    out.reserve(count);
    let value = |mantissa: i64| mantissa as f64 / power;
    match order {
        0 => out.extend(numbers.iter().map(|number| value(*number))),
        _ => {
            let [mut mantissa, mut difference] = start;
            out.push(value(mantissa));
            if order == 2 && count > 1 {
                mantissa = mantissa.wrapping_add(difference);
                out.push(value(mantissa));
            }
            out.extend(numbers.iter().map(|number| {
                difference = if order == 1 { *number } else { difference.wrapping_add(*number) };
                mantissa = mantissa.wrapping_add(difference);
                value(mantissa)
            }));
        }
    }
    let decoded = out.get_mut(from..).unwrap_or_default();
    at = 0;
    for _ in 0..patches {
        at = at.saturating_add(usize::try_from(reader.varint()?).unwrap_or(usize::MAX));
        let patch = reader.f64()?;
        *decoded.get_mut(at).ok_or(reader.malformed("patch past the end"))? = patch;
    }
    Ok(())
}
