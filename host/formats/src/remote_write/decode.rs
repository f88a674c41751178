//! From the bytes of a `prometheus.WriteRequest` to the model.

use std::fmt::Write as _;

use model::{Exemplar, Labels, METRIC_NAME, Metadata, MetricKind, Sample, Timestamp};

use super::known::{self, KnownLabels};
use super::{FORMAT, Limits, histogram};
use crate::wire::{Field, Message, WireError};
use crate::{DecodeError, Rejected, TimeSeries, WriteRequest, pairs};

/// Enough of a series' labels to find it at its sender.
const SERIES_TEXT_CHARS_MAX: usize = 512;

/// Why the decoding of a request stopped.
pub(super) enum Stop {
    Wire(WireError),
    TooManyItems,
}

impl From<WireError> for Stop {
    fn from(e: WireError) -> Self {
        Self::Wire(e)
    }
}

/// Reads a request that is no longer compressed.
pub(super) fn decode_message(
    bytes: &[u8],
    limits: &Limits,
    known: Option<&KnownLabels>,
) -> Result<(WriteRequest, Rejected), DecodeError> {
    let mut decoder = Decoder {
        items_left: limits.items_max,
        known,
        raw: Vec::new(),
        span: Vec::new(),
        pairs: Vec::new(),
        rejected: Rejected::default(),
    };
    match decoder.request(bytes) {
        Ok(request) => Ok((request, decoder.rejected)),
        Err(Stop::Wire(what)) => Err(DecodeError::Malformed { format: FORMAT, what: what.to_owned() }),
        Err(Stop::TooManyItems) => {
            Err(DecodeError::TooLarge { max: limits.items_max, unit: "series, samples and metadata" })
        }
    }
}

struct Decoder<'a> {
    items_left: usize,
    known: Option<&'a KnownLabels>,
    /// The labels of the series that is being read, as they are on the wire; all three are kept to be filled
    /// again.
    raw: Vec<&'a [u8]>,
    /// The same as [`Labels`] would hold them, unchecked.
    span: Vec<u8>,
    /// The same as texts.
    pairs: Vec<(&'a str, &'a str)>,
    rejected: Rejected,
}

impl<'a> Decoder<'a> {
    fn request(&mut self, bytes: &'a [u8]) -> Result<WriteRequest, Stop> {
        let mut request = WriteRequest::default();
        let mut message = Message(bytes);
        while let Some(field) = message.next()? {
            match field {
                (1, Field::Bytes(bytes)) => {
                    self.count_item()?;
                    request.series.extend(self.time_series(bytes)?);
                }
                (3, Field::Bytes(bytes)) => {
                    self.count_item()?;
                    request.metadata.push(read_metadata(bytes)?);
                }
                _ => {}
            }
        }
        Ok(request)
    }

    /// `None` for a series that was rejected.
    fn time_series(&mut self, bytes: &'a [u8]) -> Result<Option<TimeSeries>, Stop> {
        let mut series = TimeSeries::default();
        let mut bad_histogram = None;
        let mut bad_histograms = 0;
        self.raw.clear();
        let mut exemplars = Vec::new();
        let mut message = Message(bytes);
        while let Some(field) = message.next()? {
            match field {
                (1, Field::Bytes(bytes)) => self.raw.push(bytes),
                (2, Field::Bytes(bytes)) => {
                    self.count_item()?;
                    series.samples.push(read_sample(bytes)?);
                }
                (3, Field::Bytes(bytes)) => {
                    self.count_item()?;
                    exemplars.push(bytes);
                }
                (4, Field::Bytes(bytes)) => {
                    self.count_item()?;
                    match histogram::read(bytes)? {
                        Ok(sample) => series.histograms.push(sample),
                        Err(what) => {
                            bad_histograms += 1;
                            bad_histogram = Some(what);
                        }
                    }
                }
                _ => {}
            }
        }
        match self.labels()? {
            Ok(labels) => series.labels = labels,
            Err(what) => {
                let pairs = &self.pairs;
                self.rejected.note(1, || format!("series {}: {what}", series_text(pairs)));
                return Ok(None);
            }
        }
        if let Some(what) = bad_histogram {
            self.rejected.note(bad_histograms, || format!("series {}: {what}", series.labels));
        }
        for bytes in exemplars {
            match read_exemplar(bytes)? {
                Ok(exemplar) => series.exemplars.push(exemplar),
                // Exemplars are best effort: their loss is told but does not count as lost data.
                Err(what) => self.rejected.note(0, || format!("exemplar of {}: {what}", series.labels)),
            }
        }
        let empty = series.samples.is_empty() && series.histograms.is_empty() && series.exemplars.is_empty();
        Ok(if empty { None } else { Some(series) })
    }

    /// The labels of the series that is being read, or why they cannot be.
    fn labels(&mut self) -> Result<Result<Labels, String>, WireError> {
        let slot = match self.known {
            Some(known) if known::write_span(&mut self.span, &self.raw) => match known.find(&self.span) {
                Ok(labels) => return Ok(Ok(labels)),
                Err(slot) => Some(slot),
            },
            _ => None,
        };
        self.pairs.clear();
        for bytes in &self.raw {
            self.pairs.push(read_pair(bytes)?);
        }
        Ok(match pairs::to_labels(&mut self.pairs) {
            Ok(labels) if labels.metric_name().is_some() => {
                if let Some(slot) = slot.filter(|_| labels.as_encoded() == self.span) {
                    slot.remember(&labels);
                }
                Ok(labels)
            }
            Ok(_) => Err(format!("label {METRIC_NAME} is missing")),
            Err(what) => Err(what),
        })
    }

    fn count_item(&mut self) -> Result<(), Stop> {
        self.items_left = self.items_left.checked_sub(1).ok_or(Stop::TooManyItems)?;
        Ok(())
    }
}

fn read_pair(bytes: &[u8]) -> Result<(&str, &str), WireError> {
    let (mut name, mut value) = ("", "");
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        match field {
            (1, Field::Bytes(bytes)) => name = read_text(bytes)?,
            (2, Field::Bytes(bytes)) => value = read_text(bytes)?,
            _ => {}
        }
    }
    Ok((name, value))
}

fn read_sample(bytes: &[u8]) -> Result<Sample, WireError> {
    let mut sample = Sample::new(0, 0.0);
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        match field {
            (1, Field::Fixed64(bits)) => sample.value = f64::from_bits(bits),
            (2, Field::Varint(millis)) => sample.timestamp = Timestamp::from_millis(millis as i64),
            _ => {}
        }
    }
    Ok(sample)
}

fn read_exemplar(bytes: &[u8]) -> Result<Result<Exemplar, String>, WireError> {
    let mut pairs = Vec::new();
    let mut sample = Sample::new(0, 0.0);
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        match field {
            (1, Field::Bytes(bytes)) => pairs.push(read_pair(bytes)?),
            (2, Field::Fixed64(bits)) => sample.value = f64::from_bits(bits),
            (3, Field::Varint(millis)) => sample.timestamp = Timestamp::from_millis(millis as i64),
            _ => {}
        }
    }
    Ok(pairs::to_labels(&mut pairs).map(|labels| Exemplar {
        labels,
        value: sample.value,
        timestamp: sample.timestamp,
    }))
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

fn read_text(bytes: &[u8]) -> Result<&str, WireError> {
    std::str::from_utf8(bytes).map_err(|_| "text is not UTF-8")
}

/// `prometheus.MetricMetadata.MetricType`.
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

fn kind_from_number(number: u64) -> MetricKind {
    usize::try_from(number).ok().and_then(|n| KINDS.get(n)).copied().unwrap_or_default()
}

pub(super) fn kind_number(kind: MetricKind) -> u64 {
    KINDS.iter().position(|k| *k == kind).unwrap_or_default() as u64
}

/// Labels as they came, for a message about why they cannot be.
fn series_text(pairs: &[(&str, &str)]) -> String {
    let mut text = String::from("{");
    for (i, (name, value)) in pairs.iter().enumerate() {
        let _ = write!(text, "{}{name}={value:?}", if i > 0 { ", " } else { "" });
        if text.len() > SERIES_TEXT_CHARS_MAX {
            return text.chars().take(SERIES_TEXT_CHARS_MAX).chain("...".chars()).collect();
        }
    }
    text + "}"
}
