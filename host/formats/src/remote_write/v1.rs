//! From the bytes of a `prometheus.WriteRequest`, the message of version 1.0.

use model::{Exemplar, Labels, Metadata, Timestamp, UNKNOWN_START};

use super::fields::{kind_from_number, read_sample};
use super::histogram;
use super::known::KnownSeries;
use super::reader::{Parts, Reader, Stop, to_labels};
use crate::pairs::{self, read_label_pair};
use crate::wire::{Field, Message, MessageWriter, WireError, read_text};

/// The byte with which a label begins in the message of its series: field 1, with a length.
const LABEL: u8 = 1 << 3 | 2;

/// Reads a request that is no longer compressed.
pub(super) fn read(bytes: &[u8], known: &KnownSeries, reader: &mut Reader<'_>) -> Result<(), Stop> {
    let mut span = Vec::new();
    let mut message = Message(bytes);
    loop {
        let place = bytes.len() - message.0.len();
        let Some(field) = message.next()? else { return Ok(()) };
        match field {
            (1, Field::Bytes(series)) => {
                reader.count_item()?;
                read_series(series, place, known, reader, &mut span)?;
            }
            (3, Field::Bytes(bytes)) => {
                reader.count_item()?;
                reader.metadata.push(read_metadata(bytes)?);
            }
            _ => {}
        }
    }
}

fn read_series(
    bytes: &[u8],
    place: usize,
    known: &KnownSeries,
    reader: &mut Reader<'_>,
    span: &mut Vec<u8>,
) -> Result<(), Stop> {
    let mut message = Message(bytes);
    while let Some((&LABEL, rest)) = message.0.split_first() {
        message.0 = rest;
        message.delimited()?;
    }
    let labels = bytes.get(..bytes.len() - message.0.len()).unwrap_or_default();
    let mut labels_lead = !labels.is_empty();
    let mut parts = Parts::default();
    while let Some(field) = message.next()? {
        match field {
            // No sender is known that writes labels elsewhere, but one may.
            (1, Field::Bytes(_)) => labels_lead = false,
            (2, Field::Bytes(bytes)) => {
                reader.count_item()?;
                let (sample, _) = read_sample(bytes)?;
                reader.columns.push(sample, UNKNOWN_START);
            }
            (3, Field::Bytes(bytes)) => {
                reader.count_item()?;
                parts.exemplars.push(read_exemplar(bytes)?);
            }
            (4, Field::Bytes(bytes)) => {
                reader.count_item()?;
                parts.take_histogram(histogram::read(bytes)?);
            }
            _ => {}
        }
    }
    let key = labels_lead.then(|| known.key(labels));
    let mut wire = Ok(());
    reader.take_series(place, key, parts, || {
        read_labels(bytes, span).unwrap_or_else(|error| {
            wire = Err(error);
            Err(String::new())
        })
    });
    Ok(wire?)
}

/// The labels of a series, or why they cannot be.
fn read_labels(series: &[u8], span: &mut Vec<u8>) -> Result<Result<Labels, String>, WireError> {
    if write_span(span, series).is_some()
        && let Ok(labels) = Labels::from_encoded(span)
        && labels.metric_name().is_some()
    {
        return Ok(Ok(labels));
    }
    let mut pairs = Vec::new();
    let mut message = Message(series);
    while let Some(field) = message.next()? {
        if let (1, Field::Bytes(bytes)) = field {
            pairs.push(read_label_pair(bytes)?);
        }
    }
    Ok(to_labels(&mut pairs))
}

/// Writes the labels of a series as [`Labels`] encodes them: each text after its length. Nothing is checked; `None` where
/// a label is not its name and then its value, and nothing else.
fn write_span(span: &mut Vec<u8>, series: &[u8]) -> Option<()> {
    span.clear();
    let mut message = Message(series);
    while let Some(field) = message.next().ok()? {
        let (1, Field::Bytes(label)) = field else { continue };
        let mut label = Message(label);
        let (1, Field::Bytes(name)) = label.next().ok()?? else { return None };
        let (2, Field::Bytes(value)) = label.next().ok()?? else { return None };
        if !label.0.is_empty() {
            return None;
        }
        for text in [name, value] {
            MessageWriter(span).raw_varint(text.len() as u64);
            span.extend_from_slice(text);
        }
    }
    Some(())
}

/// The labels of the series that begins there in a message which was read before.
pub(super) fn labels_at(message: &[u8], place: usize) -> Option<Labels> {
    let mut rest = Message(message.get(place..)?);
    let (1, Field::Bytes(series)) = rest.next().ok()?? else { return None };
    read_labels(series, &mut Vec::new()).ok()?.ok()
}

fn read_exemplar(bytes: &[u8]) -> Result<Result<Exemplar, String>, WireError> {
    let mut pairs = Vec::new();
    let mut exemplar = Exemplar { labels: Labels::empty(), value: 0.0, timestamp: Timestamp::EPOCH };
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        match field {
            (1, Field::Bytes(bytes)) => pairs.push(read_label_pair(bytes)?),
            (2, Field::Fixed64(bits)) => exemplar.value = f64::from_bits(bits),
            (3, Field::Varint(millis)) => exemplar.timestamp = Timestamp::from_millis(millis as i64),
            _ => {}
        }
    }
    Ok(pairs::to_labels(&mut pairs).map(|labels| Exemplar { labels, ..exemplar }))
}

fn read_metadata(bytes: &[u8]) -> Result<(String, Metadata), WireError> {
    let mut family = String::new();
    let mut metadata = Metadata::default();
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        match field {
            (1, Field::Varint(number)) => metadata.kind = kind_from_number(number),
            (2, Field::Bytes(bytes)) => read_text(bytes)?.clone_into(&mut family),
            (4, Field::Bytes(bytes)) => read_text(bytes)?.clone_into(&mut metadata.help),
            (5, Field::Bytes(bytes)) => read_text(bytes)?.clone_into(&mut metadata.unit),
            _ => {}
        }
    }
    Ok((family, metadata))
}
