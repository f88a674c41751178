//! Prometheus' chunk encodings `FloatHistogram` (number 3) and `Histogram` (number 2): native histograms of one layout, each
//! number as what changed of its bits, or as a whole number. The latter is only read.
//!
//! ```text
//! count of samples, 2 bytes big-endian; flags, 1 byte (highest two bits set: gauges); then bits, highest first:
//! layout   zero threshold, schema, positive spans, negative spans, bounds where they are custom
//! floats   first: time, then count, zero count, sum and all buckets as 64 bits each
//!          others: difference of differences of times; the same numbers as what changed (see `bits`)
//! wholes   first: time, count, zero count, sum as 64 bits, each bucket as what it has more than the one before
//!          others: differences of differences of all of it over time, but for the sum, which is what changed of its bits
//! ```
//! Whole numbers are varbits: a prefix of ones says how many bits follow. A stale marker has no buckets.

use std::sync::Arc;

use model::{BucketSpan, Buckets, Histogram, ResetHint, Timestamp};

use super::bits::{BitReader, BitWriter, Window, fits};
use super::malformed;
use super::stream::Budget;
use crate::DecodeError;

/// The flags of a chunk of gauges.
const GAUGES: u8 = 0b1100_0000;

/// How many bits follow a prefix of one, two, ... ones and a zero. After seven ones there is no zero.
const WIDTHS: [u32; 7] = [3, 6, 9, 12, 18, 25, 56];

/// Exponents of thresholds that fit a byte, and what is added to them there.
const EXPONENTS: std::ops::RangeInclusive<i32> = -242..=11;
const EXPONENT_BIAS: i32 = 243;
const OTHER_THRESHOLD: u64 = 255;

/// Whether two histograms may stand in one chunk.
pub(super) fn share_layout(a: &Histogram, b: &Histogram) -> bool {
    !a.is_stale()
        && !b.is_stale()
        && a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && a.positive.spans == b.positive.spans
        && a.negative.spans == b.negative.spans
        && a.custom_values == b.custom_values
        && (a.reset_hint == ResetHint::Gauge) == (b.reset_hint == ResetHint::Gauge)
}

/// The bounds of custom buckets are thousandths where that is exact.
const BOUNDS_PER_UNIT: f64 = 1000.0;

impl BitWriter {
    pub(super) fn put_uint(&mut self, value: u64) {
        let width = WIDTHS.into_iter().position(|width| value < 1 << width);
        self.put_prefixed(value, width);
    }

    pub(super) fn put_int(&mut self, value: i64) {
        self.put_prefixed(value as u64, WIDTHS.into_iter().position(|width| fits(value, width)));
    }

    fn put_prefixed(&mut self, value: u64, width: Option<usize>) {
        if value == 0 {
            return self.put(0, 1);
        }
        match width.and_then(|at| Some((at, WIDTHS.get(at)?))) {
            Some((at, width)) => {
                let ones = at as u32 + 1;
                self.put((1 << (ones + 1)) - 2, ones + 1);
                self.put(value, *width);
            }
            None => {
                self.put(0xff, 8);
                self.put(value, 64);
            }
        }
    }

    fn put_threshold(&mut self, threshold: f64) {
        let bits = threshold.to_bits();
        // A power of two has no fraction; its exponent is that of a mantissa between a half and one.
        let exponent = (bits >> 52) as i32 - 1022;
        let power = threshold > 0.0 && bits & ((1 << 52) - 1) == 0;
        if threshold == 0.0 {
            self.put(0, 8);
        } else if power && EXPONENTS.contains(&exponent) {
            self.put((exponent + EXPONENT_BIAS) as u64, 8);
        } else {
            self.put(OTHER_THRESHOLD, 8);
            self.put(bits, 64);
        }
    }

    fn put_spans(&mut self, buckets: &Buckets) {
        self.put_uint(buckets.spans.len() as u64);
        for span in &buckets.spans {
            self.put_uint(u64::from(span.length));
            self.put_int(i64::from(span.offset));
        }
    }

    pub(super) fn put_layout(&mut self, histogram: &Histogram) {
        self.put_threshold(histogram.zero_threshold);
        self.put_int(i64::from(histogram.schema));
        self.put_spans(&histogram.positive);
        self.put_spans(&histogram.negative);
        if histogram.has_custom_bounds() {
            let bounds = histogram.custom_values.as_deref().unwrap_or_default();
            self.put_uint(bounds.len() as u64);
            // A bit says that a bound stands there as it is, which any can.
            for bound in bounds {
                self.put(0, 1);
                self.put(bound.to_bits(), 64);
            }
        }
    }
}

/// The numbers of a histogram, in the order in which they are written.
fn numbers(histogram: &Histogram) -> impl Iterator<Item = f64> {
    let summary = [histogram.count, histogram.zero_count, histogram.sum];
    summary.into_iter().chain(histogram.positive.counts.iter().chain(&histogram.negative.counts).copied())
}

/// Encodes histograms that share their layout, in time order; at most as many as two bytes can count.
pub(super) fn encode<H: AsRef<Histogram>>(samples: &[(Timestamp, H)]) -> Vec<u8> {
    let count = u16::try_from(samples.len()).unwrap_or(u16::MAX);
    let mut bits = BitWriter::after(count.to_be_bytes().to_vec());
    let (mut time, mut difference) = (0i64, 0i64);
    let mut before: Vec<(u64, Option<Window>)> = Vec::new();
    for (index, (at, histogram)) in samples.iter().take(usize::from(count)).enumerate() {
        let histogram = histogram.as_ref();
        let now_difference = at.millis().wrapping_sub(time);
        if index == 0 {
            bits.put(if histogram.reset_hint == ResetHint::Gauge { u64::from(GAUGES) } else { 0 }, 8);
            bits.put_layout(histogram);
            bits.put_int(at.millis());
            for number in numbers(histogram) {
                bits.put(number.to_bits(), 64);
                before.push((number.to_bits(), None));
            }
        } else {
            bits.put_int(now_difference.wrapping_sub(difference));
            for (number, (before, window)) in numbers(histogram).zip(&mut before) {
                bits.put_value(window, number.to_bits() ^ *before);
                *before = number.to_bits();
            }
        }
        // The second difference is counted from nothing.
        difference = if index == 0 { 0 } else { now_difference };
        time = at.millis();
    }
    bits.bytes
}

impl BitReader<'_> {
    /// How many bits a whole number has.
    fn width(&mut self) -> Result<u32, DecodeError> {
        Ok(match self.ones(WIDTHS.len() + 1)? {
            0 => 0,
            ones => WIDTHS.get(ones - 1).copied().unwrap_or(64),
        })
    }

    fn uint(&mut self) -> Result<u64, DecodeError> {
        let width = self.width()?;
        self.take(width)
    }

    fn int(&mut self) -> Result<i64, DecodeError> {
        match self.width()? {
            0 => Ok(0),
            width => self.signed(width),
        }
    }

    fn threshold(&mut self) -> Result<f64, DecodeError> {
        Ok(match self.take(8)? {
            0 => 0.0,
            OTHER_THRESHOLD => f64::from_bits(self.take(64)?),
            // What `put_threshold` takes apart.
            power => f64::from_bits(((power as i32 - EXPONENT_BIAS + 1022) as u64) << 52),
        })
    }

    /// The length of a list that follows.
    fn count(&mut self) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.uint()?).ok().filter(|count| *count <= self.left());
        count.ok_or_else(|| malformed("layout of a chunk is longer than the chunk"))
    }

    fn spans(&mut self) -> Result<Vec<BucketSpan>, DecodeError> {
        let mut spans = Vec::new();
        for _ in 0..self.count()? {
            let length = u32::try_from(self.uint()?).map_err(|_| malformed("span of a chunk is too long"))?;
            let offset = i32::try_from(self.int()?).map_err(|_| malformed("span of a chunk is too far"))?;
            spans.push(BucketSpan { offset, length });
        }
        Ok(spans)
    }

    fn bound(&mut self) -> Result<f64, DecodeError> {
        Ok(match self.uint()? {
            0 => f64::from_bits(self.take(64)?),
            thousandths => (thousandths - 1) as f64 / BOUNDS_PER_UNIT,
        })
    }

    /// What all histograms of a chunk share, and how many buckets there are below and above zero.
    fn layout(&mut self) -> Result<(Histogram, [usize; 2]), DecodeError> {
        let gauges = self.take(8)? & u64::from(GAUGES) == u64::from(GAUGES);
        let zero_threshold = self.threshold()?;
        let schema = i8::try_from(self.int()?).map_err(|_| malformed("schema of a chunk is unknown"))?;
        let positive = self.spans()?;
        let negative = self.spans()?;
        let mut layout = Histogram {
            schema,
            zero_threshold,
            // What went before in another chunk is not known here.
            reset_hint: if gauges { ResetHint::Gauge } else { ResetHint::Unknown },
            ..Histogram::stale()
        };
        if layout.has_custom_bounds() {
            let bounds: Result<Arc<[f64]>, DecodeError> = (0..self.count()?).map(|_| self.bound()).collect();
            layout.custom_values = Some(bounds?);
        }
        let counts: [u64; 2] =
            [&positive, &negative].map(|spans| spans.iter().map(|span| u64::from(span.length)).sum());
        (layout.positive.spans, layout.negative.spans) = (positive, negative);
        let left = self.left() as u64;
        match counts {
            [above, below] if above <= left && below <= left => {
                Ok((layout, [above as usize, below as usize]))
            }
            _ => Err(malformed("spans of a chunk are longer than the chunk")),
        }
    }
}

/// How a chunk says its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    /// As what changed of their bits: encoding 3.
    Floats,
    /// As whole numbers: encoding 2.
    Wholes,
}

/// A number and what is needed to read the next one.
#[derive(Debug, Clone, Default)]
struct Number {
    bits: u64,
    window: Window,
    whole: i64,
    difference: i64,
}

impl Number {
    fn float(&mut self, bits: &mut BitReader<'_>, is_first: bool) -> Result<f64, DecodeError> {
        self.bits = if is_first { bits.take(64)? } else { self.bits ^ bits.value(&mut self.window)? };
        Ok(f64::from_bits(self.bits))
    }

    /// A whole number whose first stands there as it is, and whose others as differences of differences.
    fn whole(&mut self, bits: &mut BitReader<'_>, is_first: bool) -> Result<i64, DecodeError> {
        if is_first {
            self.whole = bits.int()?;
        } else {
            self.difference = self.difference.wrapping_add(bits.int()?);
            self.whole = self.whole.wrapping_add(self.difference);
        }
        Ok(self.whole)
    }

    /// The same for numbers whose first is not signed.
    fn count(&mut self, bits: &mut BitReader<'_>, is_first: bool) -> Result<f64, DecodeError> {
        if is_first {
            self.whole = bits.uint()? as i64;
            return Ok(self.whole as u64 as f64);
        }
        Ok(self.whole(bits, false)? as u64 as f64)
    }
}

/// Appends what a chunk holds.
pub(super) fn decode(
    bytes: &[u8],
    numbers: Numbers,
    budget: &mut Budget,
    out: &mut Vec<(Timestamp, Arc<Histogram>)>,
) -> Result<(), DecodeError> {
    let mut bits = BitReader::new(bytes);
    let count = bits.take(16)?;
    if count == 0 {
        return Ok(());
    }
    let (layout, lengths) = bits.layout()?;
    let [mut time, mut total, mut zero, mut sum] = std::array::from_fn(|_| Number::default());
    budget.take(lengths.iter().sum::<usize>() * size_of::<Number>())?;
    let mut sides: [Vec<Number>; 2] = lengths.map(|length| vec![Number::default(); length]);
    for index in 0..count {
        let is_first = index == 0;
        budget.take(size_of::<Histogram>() + lengths.iter().sum::<usize>() * size_of::<f64>())?;
        let mut histogram = layout.clone();
        let at = time.whole(&mut bits, is_first)?;
        (histogram.count, histogram.zero_count) = match numbers {
            Numbers::Floats => (total.float(&mut bits, is_first)?, zero.float(&mut bits, is_first)?),
            Numbers::Wholes => (total.count(&mut bits, is_first)?, zero.count(&mut bits, is_first)?),
        };
        histogram.sum = sum.float(&mut bits, is_first)?;
        if histogram.is_stale() {
            // Nothing else is said of it, and nothing follows it.
            out.push((Timestamp::from_millis(at), Arc::new(Histogram::stale())));
            continue;
        }
        let [positive, negative] = &mut sides;
        for (side, buckets) in [(positive, &mut histogram.positive), (negative, &mut histogram.negative)] {
            read_counts(&mut bits, side, numbers, is_first, buckets)?;
        }
        histogram.validate().map_err(|error| malformed(format!("invalid histogram: {error}")))?;
        out.push((Timestamp::from_millis(at), Arc::new(histogram)));
    }
    Ok(())
}

fn read_counts(
    bits: &mut BitReader<'_>,
    side: &mut [Number],
    numbers: Numbers,
    is_first: bool,
    buckets: &mut Buckets,
) -> Result<(), DecodeError> {
    let mut count = 0i64;
    for number in side {
        buckets.counts.push(match numbers {
            Numbers::Floats => number.float(bits, is_first)?,
            Numbers::Wholes => {
                count = count.wrapping_add(number.whole(bits, is_first)?);
                count as f64
            }
        });
    }
    Ok(())
}
