//! A request as storage takes it: floats of known series in columns, and the rest by labels.

use model::{
    Exemplar, FloatColumns, Histogram, Labels, Metadata, Sample, SeriesRef, Timestamp, UNKNOWN_START,
};
use smallvec::SmallVec;

use super::known::Key;
use super::{v1, v2};
use crate::write_request::set_start;
use crate::{Rejected, Starts, TimeSeries};

/// What one request holds. Texts are borrowed from it until somebody asks for labels.
#[derive(Debug)]
pub struct Batch<'a> {
    pub(super) columns: Columns,
    pub(super) texts: Texts<'a>,
    /// Exemplars of known series. They often come apart from samples.
    pub exemplars: Vec<KnownExemplar>,
    /// Series that are not known yet, and those with histograms; in the sender's order.
    pub series: Vec<NewSeries>,
    /// Family names and what was declared of them.
    pub metadata: Vec<(String, Metadata)>,
    /// What was left out, and why.
    pub rejected: Rejected,
    pub(super) learned: Vec<(Key, SeriesRef)>,
    /// References that storage has forgotten, each with the one that took its place.
    pub(super) replaced: Vec<(SeriesRef, SeriesRef)>,
}

/// An exemplar of a known series.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownExemplar {
    /// What storage knows the series by, or did.
    pub series: SeriesRef,
    /// The exemplar.
    pub exemplar: Exemplar,
    /// Where the message of the series begins.
    pub(super) place: u32,
}

/// A series that storage is asked for by its labels.
#[derive(Debug, Clone)]
pub struct NewSeries {
    /// What names it; never empty, with a metric name.
    pub labels: Labels,
    /// Floats, in the sender's order; mostly one.
    pub samples: SmallVec<[Sample; 1]>,
    /// Native histograms, in the sender's order; each one [`Histogram::validate`]s or is a stale marker.
    pub histograms: Vec<(Timestamp, Histogram)>,
    /// Exemplars, in the sender's order.
    pub exemplars: Vec<Exemplar>,
    /// When the counters started that the samples are readings of.
    pub starts: Starts,
    pub(super) key: Option<Key>,
}

/// One entry per float. Kept between requests, so that their memory is not asked for again and again.
#[derive(Debug, Default)]
pub(super) struct Columns {
    pub(super) series: Vec<SeriesRef>,
    pub(super) times: Vec<Timestamp>,
    pub(super) values: Vec<f64>,
    /// As many as values, or fewer: what is missing is not known.
    pub(super) starts: Vec<Timestamp>,
    /// Where the message of their series begins.
    pub(super) places: Vec<u32>,
}

impl Columns {
    pub(super) fn clear(&mut self) {
        self.series.clear();
        self.times.clear();
        self.values.clear();
        self.starts.clear();
        self.places.clear();
    }

    pub(super) fn shrink_to(&mut self, count: usize) {
        self.series.shrink_to(count);
        self.times.shrink_to(count);
        self.values.shrink_to(count);
        self.starts.shrink_to(count);
        self.places.shrink_to(count);
    }

    pub(super) fn push(&mut self, sample: Sample, start: Timestamp) {
        set_start(&mut self.starts, self.times.len(), start);
        self.times.push(sample.timestamp);
        self.values.push(sample.value);
    }

    /// Says whose the samples are that were pushed last.
    pub(super) fn belong_to(&mut self, series: SeriesRef, place: u32) {
        self.series.resize(self.times.len(), series);
        self.places.resize(self.times.len(), place);
    }

    /// Gives those samples a start that have none and that nobody was said to own yet.
    pub(super) fn set_missing_starts(&mut self, start: Timestamp) {
        if start == UNKNOWN_START {
            return;
        }
        for index in self.series.len()..self.times.len() {
            if self.starts.get(index).is_none_or(|own| *own == UNKNOWN_START) {
                set_start(&mut self.starts, index, start);
            }
        }
    }

    /// Takes the samples back that nobody was said to own, and their starts.
    pub(super) fn take_last(&mut self) -> (SmallVec<[Sample; 1]>, Vec<Timestamp>) {
        let first = self.series.len().min(self.times.len());
        let starts = self.starts.drain(first.min(self.starts.len())..).collect();
        let times = self.times.drain(first..);
        let samples = times.zip(self.values.drain(first..));
        (samples.map(|(timestamp, value)| Sample { timestamp, value }).collect(), starts)
    }
}

/// Where labels are read from.
#[derive(Debug)]
pub(super) enum Texts<'a> {
    V1(&'a [u8]),
    V2(v2::Symbols<'a>),
}

impl Batch<'_> {
    /// The floats of known series. Storage may have forgotten some of them since.
    pub fn floats(&self) -> Option<FloatColumns<'_>> {
        let columns = &self.columns;
        let floats = FloatColumns::timed(&columns.series, &columns.times, &columns.values);
        floats.map(|floats| floats.started(&columns.starts))
    }

    /// One of the floats.
    pub fn float(&self, index: usize) -> Option<Sample> {
        let (timestamp, value) = (*self.columns.times.get(index)?, *self.columns.values.get(index)?);
        Some(Sample { timestamp, value })
    }

    /// When the counter started that one of the floats is a reading of, or [`UNKNOWN_START`].
    pub fn start(&self, index: usize) -> Timestamp {
        self.columns.starts.get(index).copied().unwrap_or(UNKNOWN_START)
    }

    /// The labels of one of the floats; empty where there is no such float.
    pub fn labels(&self, index: usize) -> Labels {
        self.columns.places.get(index).map(|place| self.labels_at(*place)).unwrap_or_default()
    }

    /// The labels of the series of one of the known exemplars; empty where there is none.
    pub fn labels_of_exemplar(&self, index: usize) -> Labels {
        self.exemplars.get(index).map(|known| self.labels_at(known.place)).unwrap_or_default()
    }

    fn labels_at(&self, place: u32) -> Labels {
        let labels = match &self.texts {
            Texts::V1(message) => v1::labels_at(message, place as usize),
            Texts::V2(symbols) => v2::labels_at(symbols, place as usize),
        };
        // What stands there was read before.
        labels.unwrap_or_default()
    }

    /// Where the floats of a reference begin: the answer to a commit names series by reference.
    pub fn index_of(&self, series: SeriesRef) -> Option<usize> {
        self.columns.series.iter().position(|known| *known == series)
    }

    /// Notes the reference that storage has given a new series.
    pub fn remember(&mut self, new_series: usize, series: SeriesRef) {
        if let Some(key) = self.series.get(new_series).and_then(|new| new.key) {
            self.learned.push((key, series));
        }
    }

    /// Notes that storage has given the series of one of the floats another reference.
    pub fn replace(&mut self, index: usize, series: SeriesRef) {
        if let Some(known) = self.columns.series.get(index) {
            self.replaced.push((*known, series));
        }
    }
}

impl From<NewSeries> for TimeSeries {
    fn from(series: NewSeries) -> Self {
        let NewSeries { labels, samples, histograms, exemplars, starts, key: _ } = series;
        Self { labels, samples: samples.into_vec(), histograms, exemplars, starts }
    }
}
