//! The sections of a log frame: columns of one kind each.
//!
//! ```text
//! section     kind u8, then
//! 1 series      count varint; per series: id varint, labels as a span
//! 2 floats      count varint; ids; times; a value column (crate::codec::values)
//! 3 histograms  count varint; ids; times; histograms (crate::codec::histogram), each without one before
//! 4 exemplars   count varint; ids; times; value f64 each; labels as a span each
//! 5 metadata    count varint; per family: name span, kind u8, help span, unit span
//! 6 chunks      count varint; per chunk: id varint, description (crate::chunk), data span. Checkpoints only.
//! 7 deletions   what stands between the checksums of tombstones (crate::tombstones), by id: of what came before
//! 8 late floats, 9 late histograms: as 2 and 3, of samples from before the time that has been cut to blocks
//! 10 starts     those of the samples of the section that follows, which is one of 2, 3, 8 and 9 (crate::starts); where
//!               none is known of any there is no such section
//!
//! ids           difference from the one before (zigzag varint), the first from zero
//! times         u8 = 0: one zigzag varint for all; u8 = 1: differences (zigzag varint), the first from zero
//! span          varint length, bytes
//! ```
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::sync::Arc;

use model::{Exemplar, Histogram, Labels, Metadata, MetricKind, Timestamp};

use crate::chunk::{Chunk, ChunkMeta};
use crate::codec::bytes::{put_f64, put_span, put_varint, put_zigzag};
use crate::codec::{Malformed, Reader, histogram, values};
use crate::head::{SampleValue, TimedSample};
use crate::starts::{Starts, UNKNOWN_START};
use crate::tombstones::Tombstones;

const SERIES: u8 = 1;
const FLOATS: u8 = 2;
const HISTOGRAMS: u8 = 3;
const EXEMPLARS: u8 = 4;
const METADATA: u8 = 5;
const CHUNKS: u8 = 6;
const DELETIONS: u8 = 7;
const LATE_FLOATS: u8 = 8;
const LATE_HISTOGRAMS: u8 = 9;
const STARTS: u8 = 10;

const TIMES_SHARED: u8 = 0;
const TIMES_EACH: u8 = 1;

/// A section as it is read.
#[derive(Debug)]
pub(crate) enum Section {
    Series(Vec<(u32, Labels)>),
    Floats(Samples<f64>),
    Histograms(Samples<Arc<Histogram>>),
    Exemplars(Vec<(u32, Exemplar)>),
    Metadata(Vec<(String, Metadata)>),
    Chunks(Vec<(u32, Chunk)>),
    Deletions(Tombstones),
    LateFloats(Samples<f64>),
    LateHistograms(Samples<Arc<Histogram>>),
}

/// Samples of one kind, in columns; each has as many items as the others.
#[derive(Debug)]
pub(crate) struct Samples<T> {
    pub(crate) ids: Vec<u32>,
    pub(crate) times: Vec<i64>,
    pub(crate) values: Vec<T>,
    /// Since when their counters count; empty where that is not known of any.
    pub(crate) starts: Vec<i64>,
}

/// The same, borrowed. Starts may be fewer: what is missing is unknown.
#[derive(Debug)]
pub(crate) struct SampleColumns<'a, T> {
    pub(crate) ids: &'a [u32],
    pub(crate) times: &'a [i64],
    pub(crate) values: &'a [T],
    pub(crate) starts: &'a [i64],
}

impl<T> Default for Samples<T> {
    fn default() -> Self {
        Self { ids: Vec::new(), times: Vec::new(), values: Vec::new(), starts: Vec::new() }
    }
}

impl<T> Samples<T> {
    fn columns(&self) -> SampleColumns<'_, T> {
        let Self { ids, times, values, starts } = self;
        SampleColumns { ids, times, values, starts }
    }

    fn push(&mut self, id: u32, time: i64, start: i64, value: T) {
        self.ids.push(id);
        self.times.push(time);
        self.values.push(value);
        self.starts.push(start);
    }

    /// The id of each, and what is said of it: time, start, value.
    pub(crate) fn into_items(self) -> impl Iterator<Item = (u32, i64, i64, T)> {
        let starts = self.starts.into_iter().chain(std::iter::repeat(UNKNOWN_START));
        let items = self.ids.into_iter().zip(self.times).zip(starts).zip(self.values);
        items.map(|(((id, time), start), value)| (id, time, start, value))
    }
}

pub(crate) fn put_series<'a>(out: &mut Vec<u8>, series: impl ExactSizeIterator<Item = (u32, &'a Labels)>) {
    begin_series(out, series.len());
    for (id, labels) in series {
        put_one_series(out, id, labels);
    }
}

/// Begins a section of so many series.
pub(crate) fn begin_series(out: &mut Vec<u8>, count: usize) {
    begin(out, SERIES, count);
}

/// One of the series of a section that was begun.
pub(crate) fn put_one_series(out: &mut Vec<u8>, id: u32, labels: &Labels) {
    put_varint(out, u64::from(id));
    put_span(out, labels.as_encoded());
}

pub(crate) fn put_floats(out: &mut Vec<u8>, samples: &SampleColumns<'_, f64>) {
    put_floats_as(out, FLOATS, samples);
}

fn put_floats_as(out: &mut Vec<u8>, kind: u8, samples: &SampleColumns<'_, f64>) {
    begin_samples(out, kind, samples);
    values::encode(samples.values, out);
}

pub(crate) fn put_histograms(out: &mut Vec<u8>, samples: &SampleColumns<'_, Arc<Histogram>>) {
    put_histograms_as(out, HISTOGRAMS, samples);
}

fn put_histograms_as(out: &mut Vec<u8>, kind: u8, samples: &SampleColumns<'_, Arc<Histogram>>) {
    begin_samples(out, kind, samples);
    samples.values.iter().for_each(|histogram| histogram::encode(None, histogram, out));
}

/// All of a section of samples but their values.
fn begin_samples<T>(out: &mut Vec<u8>, kind: u8, samples: &SampleColumns<'_, T>) {
    let starts = Starts::of_column(samples.starts);
    if !starts.is_unknown() {
        out.push(STARTS);
        starts.encode(out);
    }
    begin(out, kind, samples.ids.len());
    put_ids(out, samples.ids);
    put_times(out, samples.times);
}

pub(crate) fn put_exemplars(out: &mut Vec<u8>, ids: &[u32], exemplars: &[&Exemplar]) {
    begin(out, EXEMPLARS, ids.len());
    put_ids(out, ids);
    put_exemplar_columns(out, exemplars);
}

/// Times, values and labels of exemplars; blocks keep them in the same way.
pub(crate) fn put_exemplar_columns(out: &mut Vec<u8>, exemplars: &[&Exemplar]) {
    let times: Vec<i64> = exemplars.iter().map(|exemplar| exemplar.timestamp.millis()).collect();
    put_times(out, &times);
    exemplars.iter().for_each(|exemplar| put_f64(out, exemplar.value));
    exemplars.iter().for_each(|exemplar| put_span(out, exemplar.labels.as_encoded()));
}

pub(crate) fn put_metadata<'a>(
    out: &mut Vec<u8>,
    families: impl ExactSizeIterator<Item = (&'a str, &'a Metadata)>,
) {
    begin(out, METADATA, families.len());
    for (family, metadata) in families {
        put_span(out, family.as_bytes());
        out.push(kind_number(metadata.kind));
        put_span(out, metadata.help.as_bytes());
        put_span(out, metadata.unit.as_bytes());
    }
}

pub(crate) fn put_chunks<'a>(
    out: &mut Vec<u8>,
    id: u32,
    chunks: impl ExactSizeIterator<Item = (ChunkMeta, &'a [u8])>,
) {
    begin(out, CHUNKS, chunks.len());
    for (meta, data) in chunks {
        put_varint(out, u64::from(id));
        meta.encode(out);
        put_span(out, data);
    }
}

/// Late samples, in any order, those of each id sorted by time; nothing where there are none.
pub(crate) fn put_late(out: &mut Vec<u8>, ids: &[u32], samples: impl Iterator<Item = TimedSample>) {
    let (mut floats, mut histograms) = (Samples::default(), Samples::default());
    for (id, TimedSample { time, start, value }) in ids.iter().zip(samples) {
        match value {
            SampleValue::Float(float) => floats.push(*id, time, start, float),
            SampleValue::Histogram(histogram) => histograms.push(*id, time, start, histogram),
        }
    }
    if !floats.ids.is_empty() {
        put_floats_as(out, LATE_FLOATS, &floats.columns());
    }
    if !histograms.ids.is_empty() {
        put_histograms_as(out, LATE_HISTOGRAMS, &histograms.columns());
    }
}

/// What has been deleted, by id; not empty.
pub(crate) fn put_deletions(out: &mut Vec<u8>, deletions: &Tombstones) {
    out.push(DELETIONS);
    deletions.encode(out);
}

fn begin(out: &mut Vec<u8>, kind: u8, count: usize) {
    out.push(kind);
    put_varint(out, count as u64);
}

fn put_ids(out: &mut Vec<u8>, ids: &[u32]) {
    let mut before = 0i64;
    for id in ids {
        put_zigzag(out, i64::from(*id) - before);
        before = i64::from(*id);
    }
}

fn put_times(out: &mut Vec<u8>, times: &[i64]) {
    let Some(first) = times.first() else { return };
    if times.iter().all(|time| time == first) {
        out.push(TIMES_SHARED);
        put_zigzag(out, *first);
        return;
    }
    out.push(TIMES_EACH);
    let mut before = 0i64;
    for time in times {
        put_zigzag(out, time.wrapping_sub(before));
        before = *time;
    }
}

/// Reads all sections of a frame.
pub(crate) fn decode(payload: &[u8]) -> Result<Vec<Section>, Malformed> {
    let mut reader = Reader::new(payload);
    let mut sections = Vec::new();
    while !reader.is_empty() {
        sections.push(section(&mut reader)?);
    }
    Ok(sections)
}

fn section(reader: &mut Reader<'_>) -> Result<Section, Malformed> {
    let mut kind = reader.u8()?;
    let mut starts = Starts::Unknown;
    if kind == STARTS {
        // Whether they are of samples that are there is seen once the samples are.
        starts = Starts::decode(reader, usize::MAX)?;
        kind = reader.u8()?;
        if !matches!(kind, FLOATS | LATE_FLOATS | HISTOGRAMS | LATE_HISTOGRAMS) {
            return Err(reader.malformed("starts without samples"));
        }
    }
    // The smallest item of any kind takes a byte.
    let count = reader.count(1)?;
    if count == 0 {
        return Err(reader.malformed("section without items"));
    }
    Ok(match kind {
        SERIES => Section::Series(
            (0..count).map(|_| Ok((reader.varint_u32()?, labels(reader)?))).collect::<Result<_, _>>()?,
        ),
        FLOATS | LATE_FLOATS => {
            let (ids, times) = (ids(reader, count)?, times(reader, count)?);
            let mut floats = Vec::with_capacity(count);
            values::decode(reader, count, &mut floats)?;
            let samples = Samples { starts: starts_of(&starts, count, reader)?, ids, times, values: floats };
            if kind == FLOATS { Section::Floats(samples) } else { Section::LateFloats(samples) }
        }
        HISTOGRAMS | LATE_HISTOGRAMS => {
            let (ids, times) = (ids(reader, count)?, times(reader, count)?);
            let histograms = (0..count)
                .map(|_| histogram::decode(reader, None).map(Arc::new))
                .collect::<Result<_, _>>()?;
            let starts = starts_of(&starts, count, reader)?;
            let samples = Samples { ids, times, values: histograms, starts };
            if kind == HISTOGRAMS { Section::Histograms(samples) } else { Section::LateHistograms(samples) }
        }
        EXEMPLARS => {
            let ids = ids(reader, count)?;
            let exemplars = exemplar_columns(reader, count)?;
            Section::Exemplars(ids.into_iter().zip(exemplars).collect())
        }
        METADATA => Section::Metadata((0..count).map(|_| family(reader)).collect::<Result<_, _>>()?),
        CHUNKS => Section::Chunks((0..count).map(|_| chunk(reader)).collect::<Result<_, _>>()?),
        DELETIONS => Section::Deletions(Tombstones::decode_series(reader, count)?),
        _ => return Err(reader.malformed("unknown kind of section")),
    })
}

/// A start for each of so many samples, or nothing where none is known.
fn starts_of(starts: &Starts, count: usize, reader: &Reader<'_>) -> Result<Vec<i64>, Malformed> {
    if !starts.fits(count) {
        return Err(reader.malformed("starts of samples that are not there"));
    }
    let mut column = Vec::new();
    starts.expand(count, &mut column);
    Ok(column)
}

fn labels(reader: &mut Reader<'_>) -> Result<Labels, Malformed> {
    let span = reader.span()?;
    Labels::from_encoded(span).map_err(|_| reader.malformed("labels are not well-formed"))
}

fn ids(reader: &mut Reader<'_>, count: usize) -> Result<Vec<u32>, Malformed> {
    let mut before = 0i64;
    (0..count)
        .map(|_| {
            before = before.wrapping_add(reader.zigzag()?);
            u32::try_from(before).map_err(|_| reader.malformed("series id over 32 bits"))
        })
        .collect()
}

fn times(reader: &mut Reader<'_>, count: usize) -> Result<Vec<i64>, Malformed> {
    match reader.u8()? {
        TIMES_SHARED => Ok(vec![reader.zigzag()?; count]),
        TIMES_EACH => {
            let mut before = 0i64;
            (0..count)
                .map(|_| {
                    before = before.wrapping_add(reader.zigzag()?);
                    Ok(before)
                })
                .collect()
        }
        _ => Err(reader.malformed("unknown form of times")),
    }
}

/// Reads what [`put_exemplar_columns`] wrote. The caller has bounded `count`.
pub(crate) fn exemplar_columns(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Exemplar>, Malformed> {
    let times = times(reader, count)?;
    let floats = (0..count).map(|_| reader.f64()).collect::<Result<Vec<_>, _>>()?;
    times
        .into_iter()
        .zip(floats)
        .map(|(time, value)| {
            Ok(Exemplar { labels: labels(reader)?, value, timestamp: Timestamp::from_millis(time) })
        })
        .collect()
}

fn family(reader: &mut Reader<'_>) -> Result<(String, Metadata), Malformed> {
    let family = reader.str()?.to_owned();
    let kind = kind_of(reader.u8()?).ok_or(reader.malformed("unknown kind of metric"))?;
    Ok((family, Metadata { kind, help: reader.str()?.to_owned(), unit: reader.str()?.to_owned() }))
}

fn chunk(reader: &mut Reader<'_>) -> Result<(u32, Chunk), Malformed> {
    let id = reader.varint_u32()?;
    let meta = ChunkMeta::decode(reader)?;
    Ok((id, Chunk { meta, data: reader.span()?.into() }))
}

const fn kind_number(kind: MetricKind) -> u8 {
    match kind {
        MetricKind::Unknown => 0,
        MetricKind::Counter => 1,
        MetricKind::Gauge => 2,
        MetricKind::Histogram => 3,
        MetricKind::GaugeHistogram => 4,
        MetricKind::Summary => 5,
        MetricKind::Info => 6,
        MetricKind::StateSet => 7,
    }
}

const fn kind_of(number: u8) -> Option<MetricKind> {
    Some(match number {
        0 => MetricKind::Unknown,
        1 => MetricKind::Counter,
        2 => MetricKind::Gauge,
        3 => MetricKind::Histogram,
        4 => MetricKind::GaugeHistogram,
        5 => MetricKind::Summary,
        6 => MetricKind::Info,
        7 => MetricKind::StateSet,
        _ => return None,
    })
}
