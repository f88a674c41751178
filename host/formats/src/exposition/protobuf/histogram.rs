//! `io.prometheus.client.Histogram`: classic buckets, native ones, or both in one message. Whatever is counted
//! comes as a whole number or, where that is zero or missing, as a float.

use model::{Buckets, Histogram, ResetHint};

use super::observed;
use crate::buckets::BucketsReader;
use crate::wire::{Field, Message, WireError, zigzag};

/// What is said of all buckets together.
pub(super) struct Summary<'a> {
    pub(super) count: f64,
    pub(super) sum: f64,
    /// Whether there is a native histogram.
    pub(super) native: bool,
    /// Whether there are classic buckets.
    pub(super) classic: bool,
    /// When it started to count.
    pub(super) created: Option<&'a [u8]>,
}

impl<'a> Summary<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut count = Count::default();
        let mut summary = Self { count: 0.0, sum: 0.0, native: false, classic: false, created: None };
        let mut message = Message(bytes);
        while let Some(field) = message.next()? {
            match field {
                (1, Field::Varint(value)) => count.whole = value as f64,
                (4, Field::Fixed64(bits)) => count.float = f64::from_bits(bits),
                (2, Field::Fixed64(bits)) => summary.sum = f64::from_bits(bits),
                (3, Field::Bytes(_)) => summary.classic = true,
                (6 | 8, Field::Fixed64(bits)) => summary.native |= f64::from_bits(bits) > 0.0,
                (7, Field::Varint(value)) => summary.native |= value > 0,
                (9 | 12, Field::Bytes(_)) => summary.native = true,
                (15, Field::Bytes(created)) => summary.created = Some(created),
                _ => {}
            }
        }
        summary.count = count.get();
        Ok(summary)
    }
}

/// One classic bucket.
pub(super) struct Bucket<'a> {
    /// Cumulative.
    pub(super) count: f64,
    pub(super) upper_bound: f64,
    pub(super) exemplar: Option<&'a [u8]>,
}

impl<'a> Bucket<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut count = Count::default();
        let mut bucket = Self { count: 0.0, upper_bound: 0.0, exemplar: None };
        let mut message = Message(bytes);
        while let Some(field) = message.next()? {
            match field {
                (1, Field::Varint(value)) => count.whole = value as f64,
                (4, Field::Fixed64(bits)) => count.float = f64::from_bits(bits),
                (2, Field::Fixed64(bits)) => bucket.upper_bound = f64::from_bits(bits),
                (3, Field::Bytes(bytes)) => bucket.exemplar = Some(bytes),
                _ => {}
            }
        }
        bucket.count = count.get();
        Ok(bucket)
    }
}

/// Reads the native histogram.
pub(super) fn read_native(bytes: &[u8], gauge: bool) -> Result<Histogram, WireError> {
    let (mut count, mut zero_count) = (Count::default(), Count::default());
    let (mut positive, mut negative) = (BucketsReader::default(), BucketsReader::default());
    let (mut schema, mut sum, mut zero_threshold) = (0, 0.0, 0.0);
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        match field {
            (1, Field::Varint(value)) => count.whole = value as f64,
            (2, Field::Fixed64(bits)) => sum = f64::from_bits(bits),
            (4, Field::Fixed64(bits)) => count.float = f64::from_bits(bits),
            (5, Field::Varint(value)) => schema = zigzag(value & u64::from(u32::MAX)),
            (6, Field::Fixed64(bits)) => zero_threshold = f64::from_bits(bits),
            (7, Field::Varint(value)) => zero_count.whole = value as f64,
            (8, Field::Fixed64(bits)) => zero_count.float = f64::from_bits(bits),
            (9, Field::Bytes(bytes)) => negative.read_span(bytes)?,
            (10, field) => negative.read_deltas(field)?,
            (11, field) => negative.read_counts(field)?,
            (12, Field::Bytes(bytes)) => positive.read_span(bytes)?,
            (13, field) => positive.read_deltas(field)?,
            (14, field) => positive.read_counts(field)?,
            _ => {}
        }
    }
    Ok(Histogram {
        schema: i8::try_from(schema).map_err(|_| "unknown schema of a native histogram")?,
        zero_threshold,
        zero_count: zero_count.get(),
        count: count.get(),
        sum: observed(sum),
        positive: without_empty_spans(positive.finish()),
        negative: without_empty_spans(negative.finish()),
        custom_values: None,
        reset_hint: if gauge { ResetHint::Gauge } else { ResetHint::Unknown },
    })
}

/// The exemplars of a native histogram: its own, or those of its classic buckets.
pub(super) fn exemplars(bytes: &[u8]) -> Result<Vec<&[u8]>, WireError> {
    let (mut own, mut classic) = (Vec::new(), Vec::new());
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        match field {
            (3, Field::Bytes(bytes)) => classic.extend(Bucket::read(bytes)?.exemplar),
            (16, Field::Bytes(bytes)) => own.push(bytes),
            _ => {}
        }
    }
    Ok(if own.is_empty() { classic } else { own })
}

/// An empty span tells that a histogram without observations is native; nobody needs it afterwards.
fn without_empty_spans(mut buckets: Buckets) -> Buckets {
    let mut skipped = 0i32;
    buckets.spans.retain_mut(|span| {
        span.offset = span.offset.wrapping_add(std::mem::take(&mut skipped));
        if span.length == 0 {
            skipped = span.offset;
        }
        span.length > 0
    });
    buckets
}

/// One number in the two fields that may hold it.
#[derive(Default)]
struct Count {
    whole: f64,
    float: f64,
}

impl Count {
    fn get(self) -> f64 {
        if self.float > 0.0 { self.float } else { self.whole }
    }
}
