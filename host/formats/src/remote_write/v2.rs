//! From the bytes of an `io.prometheus.write.v2.Request`, the message of version 2.0: texts stand once, in a table of
//! symbols, and everything else refers to them by number.
//!
//! A series is known by the hashes of its symbols, each of which is computed once per request, and by those of its
//! metadata: new metadata therefore makes a series unknown, so that it is looked at.
//!
//! Starts stand with samples and histograms (fields 3 and 17); earlier senders give a series one for all (field 6), which
//! counts where a sample has none of its own.

use std::collections::HashSet;

use model::{Exemplar, Labels, Metadata, MetricKind, Timestamp, UNKNOWN_START};

use super::fields::{kind_from_number, read_sample};
use super::histogram;
use super::known::{Key, KnownSeries};
use super::reader::{Parts, Reader, Stop, to_labels};
use crate::pairs;
use crate::wire::{Field, Message, WireError, read_text};

/// The table of a request, and the request itself.
#[derive(Debug, Default)]
pub(super) struct Symbols<'a> {
    request: &'a [u8],
    texts: Vec<&'a [u8]>,
    keys: Vec<Key>,
}

impl<'a> Symbols<'a> {
    /// Symbols come before series from every known sender, but need not.
    fn read(request: &'a [u8], known: &KnownSeries, reader: &mut Reader<'_>) -> Result<Self, Stop> {
        let mut symbols = Self { request, ..Self::default() };
        let mut message = Message(request);
        while let Some(field) = message.next()? {
            if let (4, Field::Bytes(text)) = field {
                reader.count_item()?;
                symbols.texts.push(text);
                symbols.keys.push(known.key(text));
            }
        }
        Ok(symbols)
    }

    fn text(&self, reference: u64) -> Result<&'a str, String> {
        let text = usize::try_from(reference).ok().and_then(|at| self.texts.get(at));
        let text = text.ok_or_else(|| {
            format!("symbol {reference} is not among the request's {} symbols", self.texts.len())
        })?;
        read_text(text).map_err(str::to_owned)
    }

    fn key(&self, reference: u64) -> Option<Key> {
        usize::try_from(reference).ok().and_then(|at| self.keys.get(at)).copied()
    }

    /// The pairs that references stand for: a name, its value, a name, its value.
    fn pairs(&self, references: &[u64]) -> Result<Vec<(&'a str, &'a str)>, String> {
        let pairs = references.chunks(2).map(|pair| match pair {
            [name, value] => Ok((self.text(*name)?, self.text(*value)?)),
            _ => Err(format!("label references are {}, which is no even number", references.len())),
        });
        pairs.collect()
    }

    fn labels(&self, references: &[u64]) -> Result<Labels, String> {
        let mut pairs = self.pairs(references).map_err(|what| format!("series of unknown labels: {what}"))?;
        to_labels(&mut pairs)
    }
}

/// The fields of a series' metadata: a kind, and two symbols.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct MetadataReferences {
    kind: u64,
    help: u64,
    unit: u64,
}

impl MetadataReferences {
    fn read(bytes: &[u8]) -> Result<Self, WireError> {
        let mut references = Self::default();
        let mut message = Message(bytes);
        while let Some(field) = message.next()? {
            match field {
                (1, Field::Varint(kind)) => references.kind = kind,
                (3, Field::Varint(help)) => references.help = help,
                (4, Field::Varint(unit)) => references.unit = unit,
                _ => {}
            }
        }
        Ok(references)
    }
}

/// What is filled again for each series.
#[derive(Default)]
struct Scratch {
    labels: Vec<u64>,
    key: Vec<u8>,
    /// Families whose metadata this request has brought.
    families: HashSet<String>,
}

/// Reads a request that is no longer compressed.
pub(super) fn read<'a>(
    bytes: &'a [u8],
    known: &KnownSeries,
    reader: &mut Reader<'_>,
) -> Result<Symbols<'a>, Stop> {
    let symbols = Symbols::read(bytes, known, reader)?;
    let mut scratch = Scratch::default();
    let mut message = Message(bytes);
    loop {
        let place = bytes.len() - message.0.len();
        let Some(field) = message.next()? else { return Ok(symbols) };
        if let (5, Field::Bytes(series)) = field {
            reader.count_item()?;
            read_series(series, place, &symbols, known, reader, &mut scratch)?;
        }
    }
}

fn read_series(
    bytes: &[u8],
    place: usize,
    symbols: &Symbols<'_>,
    known: &KnownSeries,
    reader: &mut Reader<'_>,
    scratch: &mut Scratch,
) -> Result<(), Stop> {
    scratch.labels.clear();
    let mut parts = Parts::default();
    let mut metadata = MetadataReferences::default();
    let mut created = UNKNOWN_START;
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        match field {
            (1, field) => read_references(&mut scratch.labels, field)?,
            (2, Field::Bytes(bytes)) => {
                reader.count_item()?;
                let (sample, start) = read_sample(bytes)?;
                reader.columns.push(sample, start);
            }
            (3, Field::Bytes(bytes)) => {
                reader.count_item()?;
                parts.take_histogram(histogram::read(bytes)?);
            }
            (4, Field::Bytes(bytes)) => {
                reader.count_item()?;
                parts.exemplars.push(read_exemplar(bytes, symbols)?);
            }
            (5, Field::Bytes(bytes)) => metadata = MetadataReferences::read(bytes)?,
            (6, Field::Varint(millis)) => created = Timestamp::from_millis(millis as i64),
            _ => {}
        }
    }
    reader.columns.set_missing_starts(created);
    parts.set_missing_starts(created);
    scratch.key.clear();
    let mut all_known = !scratch.labels.is_empty();
    for reference in scratch.labels.iter().chain([&metadata.help, &metadata.unit]) {
        match symbols.key(*reference) {
            Some(key) => scratch.key.extend_from_slice(&key.to_le_bytes()),
            None => all_known = false,
        }
    }
    scratch.key.extend_from_slice(&metadata.kind.to_le_bytes());
    let key = all_known.then(|| known.key(&scratch.key));
    let before = reader.series.len();
    reader.take_series(place, key, parts, || symbols.labels(&scratch.labels));
    if metadata != MetadataReferences::default()
        && let Some(new) = reader.series.get(before)
    {
        let read = |reference| symbols.text(reference).unwrap_or_default().to_owned();
        let kind = kind_from_number(metadata.kind);
        let name = new.labels.metric_name().unwrap_or_default();
        let family = family_name(name, kind);
        if scratch.families.insert(family.to_owned()) {
            let metadata = Metadata { kind, help: read(metadata.help), unit: read(metadata.unit) };
            reader.metadata.push((family.to_owned(), metadata));
        }
    }
    Ok(())
}

/// The family of a classic histogram's or summary's series, which carry its metadata each.
fn family_name(name: &str, kind: MetricKind) -> &str {
    let suffixes: &[&str] = match kind {
        MetricKind::Histogram | MetricKind::GaugeHistogram => &["_bucket", "_count", "_sum"],
        MetricKind::Summary => &["_count", "_sum"],
        _ => &[],
    };
    suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

/// A packed list of references, or one that is not packed.
fn read_references(references: &mut Vec<u64>, field: Field<'_>) -> Result<(), WireError> {
    match field {
        Field::Varint(reference) => references.push(reference),
        Field::Bytes(bytes) => {
            let mut packed = Message(bytes);
            while !packed.0.is_empty() {
                references.push(packed.varint()?);
            }
        }
        _ => {}
    }
    Ok(())
}

/// The labels of the series that begins there in a request which was read before.
pub(super) fn labels_at(symbols: &Symbols<'_>, place: usize) -> Option<Labels> {
    let mut rest = Message(symbols.request.get(place..)?);
    let (5, Field::Bytes(series)) = rest.next().ok()?? else { return None };
    let mut references = Vec::new();
    let mut message = Message(series);
    while let Some((number, field)) = message.next().ok()? {
        if number == 1 {
            read_references(&mut references, field).ok()?;
        }
    }
    symbols.labels(&references).ok()
}

fn read_exemplar(bytes: &[u8], symbols: &Symbols<'_>) -> Result<Result<Exemplar, String>, WireError> {
    let mut references = Vec::new();
    let mut exemplar = Exemplar { labels: Labels::empty(), value: 0.0, timestamp: Timestamp::EPOCH };
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        match field {
            (1, field) => read_references(&mut references, field)?,
            (2, Field::Fixed64(bits)) => exemplar.value = f64::from_bits(bits),
            (3, Field::Varint(millis)) => exemplar.timestamp = Timestamp::from_millis(millis as i64),
            _ => {}
        }
    }
    let labels = symbols.pairs(&references).and_then(|mut pairs| pairs::to_labels(&mut pairs));
    Ok(labels.map(|labels| Exemplar { labels, ..exemplar }))
}
