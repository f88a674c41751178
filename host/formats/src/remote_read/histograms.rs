//! Prometheus' chunk encoding `FloatHistogram` (number 3): native histograms of one layout, each number as what changed of
//! its bits.
//!
//! ```text
//! count of samples, 2 bytes big-endian; flags, 1 byte (highest two bits set: gauges); then bits, highest first:
//! layout   zero threshold, schema, positive spans, negative spans, bounds where they are custom
//! first    time, then count, zero count, sum and all buckets as 64 bits each
//! others   difference of differences of times; the same numbers as what changed (see `xor`)
//! ```
//! Whole numbers are varbits: a prefix of ones says how many bits follow. A stale marker has no buckets.

use model::{Buckets, Histogram, ResetHint, Timestamp};

use super::xor::{Bits, Window, put_value};

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

impl Bits {
    fn put_uint(&mut self, value: u64) {
        let width = WIDTHS.into_iter().position(|width| value < 1 << width);
        self.put_prefixed(value, width);
    }

    fn put_int(&mut self, value: i64) {
        let fits = |width: &u32| {
            let half = 1i64 << (width - 1);
            (1 - half..=half).contains(&value)
        };
        self.put_prefixed(value as u64, WIDTHS.iter().position(fits));
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

    fn put_layout(&mut self, histogram: &Histogram) {
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
    let mut bits = Bits::after(count.to_be_bytes().to_vec());
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
                put_value(&mut bits, window, number.to_bits() ^ *before);
                *before = number.to_bits();
            }
        }
        // The second difference is counted from nothing.
        difference = if index == 0 { 0 } else { now_difference };
        time = at.millis();
    }
    bits.bytes
}
