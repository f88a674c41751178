//! The buckets of native histograms as Prometheus' messages have them: counts are either whole numbers, given
//! as differences between neighbouring buckets, or absolute floats. Both the packed and the unpacked form of a
//! repeated field are legal.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use model::{BucketSpan, Buckets};

use crate::wire::{Field, Message, WireError, zigzag};

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
