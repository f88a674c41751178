//! Messages that both versions of the protocol have alike.

use model::{MetricKind, Sample, Timestamp, UNKNOWN_START};

use crate::wire::{Field, Message, WireError};

/// A sample's time and value, and its start, which only the second version has.
#[inline]
pub(crate) fn read_sample(bytes: &[u8]) -> Result<(Sample, Timestamp), WireError> {
    let (mut sample, mut start) = (Sample::new(0, 0.0), UNKNOWN_START);
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        match field {
            (1, Field::Fixed64(bits)) => sample.value = f64::from_bits(bits),
            (2, Field::Varint(millis)) => sample.timestamp = Timestamp::from_millis(millis as i64),
            (3, Field::Varint(millis)) => start = Timestamp::from_millis(millis as i64),
            _ => {}
        }
    }
    Ok((sample, start))
}

/// The enumeration of metric types, by number.
const KINDS: [MetricKind; 8] = [
    MetricKind::Unknown,
    MetricKind::Counter,
    MetricKind::Gauge,
    MetricKind::Histogram,
    MetricKind::GaugeHistogram,
    MetricKind::Summary,
    MetricKind::Info,
    MetricKind::StateSet,
];

pub(super) fn kind_from_number(number: u64) -> MetricKind {
    usize::try_from(number).ok().and_then(|n| KINDS.get(n)).copied().unwrap_or_default()
}

pub(super) fn kind_number(kind: MetricKind) -> u64 {
    KINDS.iter().position(|k| *k == kind).unwrap_or_default() as u64
}
