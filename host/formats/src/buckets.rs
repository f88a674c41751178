//! The buckets of native histograms as Prometheus' messages have them: counts are either whole numbers, given
//! as differences between neighbouring buckets, or absolute floats. Both the packed and the unpacked form of a
//! repeated field are legal.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use model::{BucketSpan, Buckets, Histogram};

use crate::wire::{Field, Message, MessageWriter, WireError, unzigzag, zigzag};

/// One side as it is on the wire.
#[derive(Default)]
pub(crate) struct BucketsReader {
    pub(crate) spans: Vec<BucketSpan>,
    /// Absolute counts, or the running sums of the differences.
    counts: Vec<f64>,
    last: i64,
}

impl BucketsReader {
    pub(crate) fn read_span(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        let mut span = BucketSpan { offset: 0, length: 0 };
        let mut message = Message(bytes);
        while let Some(field) = message.next()? {
            match field {
                (1, Field::Varint(value)) => span.offset = zigzag(value & u64::from(u32::MAX)) as i32,
                (2, Field::Varint(value)) => span.length = value as u32,
                _ => {}
            }
        }
        self.spans.push(span);
        Ok(())
    }

    pub(crate) fn read_deltas(&mut self, field: Field<'_>) -> Result<(), WireError> {
        match field {
            Field::Varint(value) => self.push_delta(value),
            Field::Bytes(bytes) => {
                let mut list = Message(bytes);
                while !list.0.is_empty() {
                    let value = list.varint()?;
                    self.push_delta(value);
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn read_counts(&mut self, field: Field<'_>) -> Result<(), WireError> {
        read_doubles(&mut self.counts, field)
    }

    pub(crate) fn finish(self) -> Buckets {
        Buckets { spans: self.spans, counts: self.counts }
    }

    fn push_delta(&mut self, value: u64) {
        self.last = self.last.wrapping_add(zigzag(value));
        self.counts.push(self.last as f64);
    }
}

/// Reads a repeated field of doubles.
pub(crate) fn read_doubles(into: &mut Vec<f64>, field: Field<'_>) -> Result<(), WireError> {
    match field {
        Field::Fixed64(bits) => into.push(f64::from_bits(bits)),
        Field::Bytes(bytes) => {
            let mut list = Message(bytes);
            into.reserve(bytes.len() / 8);
            while !list.0.is_empty() {
                into.push(f64::from_bits(list.fixed64()?));
            }
        }
        _ => {}
    }
    Ok(())
}

/// Up to here, every whole number is a float.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Whether all counts are whole numbers, as those of a histogram that was observed are.
pub(crate) fn is_whole(histogram: &Histogram) -> bool {
    let sides = [&histogram.negative, &histogram.positive];
    let buckets = sides.into_iter().flat_map(|side| &side.counts);
    [&histogram.count, &histogram.zero_count]
        .into_iter()
        .chain(buckets)
        .all(|count| count.fract() == 0.0 && (0.0..WHOLE_MAX).contains(count))
}

/// Writes one side: its spans as the field `spans_number`, and its counts as differences in the next field where they are
/// `whole`, else as they are in the one after that.
pub(crate) fn write_buckets(message: &mut MessageWriter<'_>, spans_number: u64, side: &Buckets, whole: bool) {
    for span in &side.spans {
        message.message(spans_number, |m| {
            m.sint(1, i64::from(span.offset));
            m.varint(2, u64::from(span.length));
        });
    }
    if !whole {
        message.doubles(spans_number + 2, &side.counts);
    } else if !side.counts.is_empty() {
        message.message(spans_number + 1, |m| {
            let mut before = 0;
            for count in &side.counts {
                let count = *count as i64;
                m.raw_varint(unzigzag(count - before));
                before = count;
            }
        });
    }
}
