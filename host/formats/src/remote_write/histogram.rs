//! `prometheus.Histogram`: native histograms, whose counts are either whole numbers, given as differences
//! between neighbouring buckets, or absolute floats.

use model::{Histogram, ResetHint, Timestamp, UNKNOWN_START};

use crate::buckets::{BucketsReader, is_whole, read_doubles, write_buckets};
use crate::wire::{Field, Message, MessageWriter, WireError, zigzag};

/// A histogram as it was read.
pub(crate) struct Read {
    pub(crate) at: Timestamp,
    pub(crate) start: Timestamp,
    pub(crate) histogram: Histogram,
}

/// Reads one histogram; the inner error says why it contradicts itself.
pub(crate) fn read(bytes: &[u8]) -> Result<Result<Read, String>, WireError> {
    let (mut at, mut start) = (Timestamp::EPOCH, UNKNOWN_START);
    let mut schema = 0;
    let mut histogram = Histogram { sum: 0.0, ..Histogram::stale() };
    let (mut positive, mut negative) = (BucketsReader::default(), BucketsReader::default());
    let mut bounds = Vec::new();
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        match field {
            (1, Field::Varint(count)) => histogram.count = count as f64,
            (2, Field::Fixed64(bits)) => histogram.count = f64::from_bits(bits),
            (3, Field::Fixed64(bits)) => histogram.sum = f64::from_bits(bits),
            (4, Field::Varint(value)) => schema = zigzag(value & u64::from(u32::MAX)),
            (5, Field::Fixed64(bits)) => histogram.zero_threshold = f64::from_bits(bits),
            (6, Field::Varint(count)) => histogram.zero_count = count as f64,
            (7, Field::Fixed64(bits)) => histogram.zero_count = f64::from_bits(bits),
            (8, Field::Bytes(bytes)) => negative.read_span(bytes)?,
            (9, field) => negative.read_deltas(field)?,
            (10, field) => negative.read_counts(field)?,
            (11, Field::Bytes(bytes)) => positive.read_span(bytes)?,
            (12, field) => positive.read_deltas(field)?,
            (13, field) => positive.read_counts(field)?,
            (14, Field::Varint(number)) => histogram.reset_hint = hint_from_number(number),
            (15, Field::Varint(millis)) => at = Timestamp::from_millis(millis as i64),
            (16, field) => read_doubles(&mut bounds, field)?,
            (17, Field::Varint(millis)) => start = Timestamp::from_millis(millis as i64),
            _ => {}
        }
    }
    let Ok(schema) = i8::try_from(schema) else {
        return Ok(Err(format!("invalid histogram: unknown schema {schema}")));
    };
    histogram.schema = schema;
    histogram.positive = positive.finish();
    histogram.negative = negative.finish();
    if histogram.has_custom_bounds() || !bounds.is_empty() {
        histogram.custom_values = Some(bounds.into());
    }
    if histogram.is_stale() {
        return Ok(Ok(Read { at, start, histogram: Histogram::stale() }));
    }
    Ok(match histogram.validate() {
        Ok(()) => Ok(Read { at, start, histogram }),
        Err(e) => Err(format!("invalid histogram: {e}")),
    })
}

/// Writes one histogram: as whole numbers where it has no others, which is what a receiver keeps in least space, else with
/// absolute counts.
pub(crate) fn write(message: &mut MessageWriter<'_>, at: Timestamp, histogram: &Histogram) {
    let whole = is_whole(histogram);
    if whole {
        message.varint(1, histogram.count as u64);
    } else {
        message.double(2, histogram.count);
    }
    message.double(3, histogram.sum);
    message.sint(4, i64::from(histogram.schema));
    message.double(5, histogram.zero_threshold);
    if whole {
        message.varint(6, histogram.zero_count as u64);
    } else {
        message.double(7, histogram.zero_count);
    }
    for (spans_number, side) in [(8, &histogram.negative), (11, &histogram.positive)] {
        write_buckets(message, spans_number, side, whole);
    }
    message.varint(14, hint_number(histogram.reset_hint));
    message.varint(15, at.millis() as u64);
    message.doubles(16, histogram.custom_values.as_deref().unwrap_or_default());
}

/// `prometheus.Histogram.ResetHint`.
fn hint_from_number(number: u64) -> ResetHint {
    match number {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}

fn hint_number(hint: ResetHint) -> u64 {
    match hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    }
}
