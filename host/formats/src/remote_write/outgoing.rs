//! What is sent to a receiver of remote write: one item for each sample, of either version of the message.

use std::collections::HashMap;

use model::{Exemplar, Histogram, Labels, Metadata, Sample, Timestamp, UNKNOWN_START};

use super::encode::{write_exemplar, write_labels, write_metadata, write_sample};
use super::fields::kind_number;
use super::{Version, histogram};
use crate::wire::MessageWriter;

/// One thing to send.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// What names its series.
    pub labels: &'a Labels,
    /// What there is of it.
    pub value: OutgoingValue<'a>,
    /// What was declared of its family; only version 2.0 has a place for it beside samples.
    pub metadata: Option<&'a Metadata>,
    /// When the counter started that it is a reading of, or [`UNKNOWN_START`]; only version 2.0 has a place for it.
    pub start: Timestamp,
}

/// A sample of either kind, or an exemplar.
#[derive(Debug, Clone, Copy)]
pub enum OutgoingValue<'a> {
    /// A float.
    Float(Sample),
    /// A native histogram.
    Histogram(Timestamp, &'a Histogram),
    /// An exemplar.
    Exemplar(&'a Exemplar),
}

/// Writes the body of a request, compressed with snappy.
pub fn encode_items(version: Version, items: &[Outgoing<'_>]) -> Vec<u8> {
    let bytes = match version {
        Version::V1 => first(items),
        Version::V2 => second(items),
    };
    super::compress(&bytes)
}

/// Writes the body of a request of version 1.0 that tells of families alone, as Prometheus does at regular times.
pub fn encode_metadata<'a>(families: impl IntoIterator<Item = (&'a str, &'a Metadata)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut root = MessageWriter(&mut bytes);
    for (family, metadata) in families {
        write_metadata(&mut root, family, metadata);
    }
    super::compress(&bytes)
}

fn first(items: &[Outgoing<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut root = MessageWriter(&mut bytes);
    for item in items {
        root.message(1, |m| {
            write_labels(m, item.labels);
            match item.value {
                OutgoingValue::Float(sample) => m.message(2, |m| write_sample(m, sample)),
                OutgoingValue::Exemplar(exemplar) => m.message(3, |m| {
                    write_labels(m, &exemplar.labels);
                    write_exemplar(m, exemplar);
                }),
                OutgoingValue::Histogram(at, value) => m.message(4, |m| histogram::write(m, at, value)),
            }
        });
    }
    bytes
}

/// Texts, each written once. The empty one is always the first.
struct SymbolTable<'a> {
    numbers: HashMap<&'a str, u64>,
    texts: Vec<&'a str>,
}

impl<'a> SymbolTable<'a> {
    fn new() -> Self {
        Self { numbers: HashMap::from([("", 0)]), texts: vec![""] }
    }

    fn number(&mut self, text: &'a str) -> u64 {
        *self.numbers.entry(text).or_insert_with(|| {
            self.texts.push(text);
            self.texts.len() as u64 - 1
        })
    }

    fn references(&mut self, message: &mut MessageWriter<'_>, labels: &'a Labels) {
        let mut packed = Vec::new();
        let mut list = MessageWriter(&mut packed);
        for (name, value) in labels {
            list.raw_varint(self.number(name));
            list.raw_varint(self.number(value));
        }
        message.bytes(1, &packed);
    }
}

fn write_start(message: &mut MessageWriter<'_>, number: u64, start: Timestamp) {
    if start != UNKNOWN_START {
        message.varint(number, start.millis() as u64);
    }
}

fn second(items: &[Outgoing<'_>]) -> Vec<u8> {
    let mut symbols = SymbolTable::new();
    let mut series = Vec::new();
    let mut root = MessageWriter(&mut series);
    for item in items {
        root.message(5, |m| {
            symbols.references(m, item.labels);
            match item.value {
                OutgoingValue::Float(sample) => m.message(2, |m| {
                    write_sample(m, sample);
                    write_start(m, 3, item.start);
                }),
                OutgoingValue::Histogram(at, value) => m.message(3, |m| {
                    histogram::write(m, at, value);
                    write_start(m, 17, item.start);
                }),
                OutgoingValue::Exemplar(exemplar) => m.message(4, |m| {
                    symbols.references(m, &exemplar.labels);
                    write_exemplar(m, exemplar);
                }),
            }
            if let Some(metadata) = item.metadata {
                let (help, unit) = (symbols.number(&metadata.help), symbols.number(&metadata.unit));
                m.message(5, |m| {
                    m.varint(1, kind_number(metadata.kind));
                    m.varint(3, help);
                    m.varint(4, unit);
                });
            }
        });
    }
    let mut bytes = Vec::with_capacity(series.len() * 2);
    let mut root = MessageWriter(&mut bytes);
    // Symbols come first, so that a receiver can read a series at once.
    symbols.texts.iter().for_each(|text| root.bytes(4, text.as_bytes()));
    bytes.extend_from_slice(&series);
    bytes
}
