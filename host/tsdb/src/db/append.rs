//! Appending: what one appender collects, item by item.
//!
//! Each item is judged twice: here, by what is visible and by what the batch holds already, so that the sender is told
//! at once; and by [`super::commit`], where other batches may have come first.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use ahash::RandomState;
use model::{
    Append, AppendError, Appender, CommitError, Exemplar, FloatColumns, Histogram, Labels, Metadata, Refused,
    Sample, SeriesRef, Timestamp,
};

use super::Shared;
use crate::Tsdb;
use crate::head::page::{PAGE_SERIES, Page, PageData, Rules};
use crate::head::{IdRow, SampleValue, Verdict, judge_exemplar};
use crate::starts::UNKNOWN_START;
use crate::wal::record::SampleColumns;

type Outcome<T> = Result<T, AppendError>;

impl Append for Tsdb {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(BatchAppender { db: &self.shared, batch: Batch::default(), row: IdRow::default() })
    }

    fn resolve(&self, encoded: &[u8]) -> Option<SeriesRef> {
        self.shared.head.resolve(encoded).map(|id| SeriesRef(u64::from(id)))
    }
}

/// The items of a batch, in columns.
#[derive(Default)]
pub(super) struct Batch {
    /// The pages that items are on. Holding them keeps their series from going.
    pub(super) pages: Vec<BatchPage>,
    /// Where in `pages` the page of a number is.
    by_number: HashMap<u32, u32, RandomState>,
    pub(super) floats: Column<f64>,
    pub(super) histograms: Column<Arc<Histogram>>,
    /// How many floats came before each histogram: of two samples of one time the first one stays.
    pub(super) floats_before: Vec<usize>,
    /// Whether there is any item that is not the newest of its series.
    pub(super) late: bool,
    pub(super) exemplars: Vec<(At, Exemplar)>,
    /// What was asked for last, if it was a sample that was added.
    last: Option<Newest>,
    newest_exemplars: HashMap<At, usize, RandomState>,
    pub(super) metadata: Vec<(String, Metadata)>,
}

/// Where in a batch a series is: which of the batch's pages, and where on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct At(u32);

/// Samples of one kind, in the order in which they came.
#[derive(Debug, Clone)]
pub(super) struct Column<T> {
    pub(super) at: Vec<At>,
    pub(super) times: Vec<i64>,
    pub(super) values: Vec<T>,
    /// Since when their counters count; what it lacks at its end is not known.
    pub(super) starts: Vec<i64>,
}

/// A page that items of a batch are on.
pub(super) struct BatchPage {
    pub(super) page: Arc<Page>,
    /// One bit for each series with items.
    pub(super) used: u64,
    /// The newest sample of each series.
    newest: [Newest; PAGE_SERIES],
}

/// Where in the columns a sample is, in four bytes, since a batch of scattered series has many of these: 0 for none, or
/// else a position plus one, moved up by [`HISTOGRAM`]. That is room for more samples than a frame of the log has bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Newest(u32);

/// This bit of [`Newest`] is set for histograms.
const HISTOGRAM: u32 = 1;

impl At {
    const fn new(page: usize, slot: usize) -> Self {
        Self((page * PAGE_SERIES + slot) as u32)
    }

    pub(super) const fn page(self) -> usize {
        self.0 as usize / PAGE_SERIES
    }

    pub(super) const fn slot(self) -> usize {
        self.0 as usize % PAGE_SERIES
    }
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self { at: Vec::new(), times: Vec::new(), values: Vec::new(), starts: Vec::new() }
    }
}

impl<T> Column<T> {
    fn push(&mut self, at: At, time: i64, value: T) {
        self.at.push(at);
        self.times.push(time);
        self.values.push(value);
    }

    fn reserve(&mut self, count: usize) {
        self.at.reserve(count);
        self.times.reserve(count);
        self.values.reserve(count);
    }

    /// Those items that are not before a time, and those that are. Nothing is copied where none is.
    pub(super) fn split_before(&self, time: i64) -> (Cow<'_, Self>, Self)
    where
        T: Clone,
    {
        if self.times.iter().all(|own| *own >= time) {
            return (Cow::Borrowed(self), Self::default());
        }
        let (mut from, mut before) = (self.clone(), self.clone());
        let is_from: Vec<bool> = self.times.iter().map(|own| *own >= time).collect();
        from.retain(&is_from);
        before.retain(&is_from.iter().map(|is| !is).collect::<Vec<bool>>());
        (Cow::Owned(from), before)
    }

    /// As the log takes them.
    pub(super) fn columns<'a>(&'a self, ids: &'a [u32]) -> SampleColumns<'a, T> {
        SampleColumns { ids, times: &self.times, values: &self.values, starts: &self.starts }
    }

    /// Times, starts and values.
    pub(super) fn items(&self) -> impl Iterator<Item = (i64, i64, &T)> {
        let items = self.times.iter().zip(&self.values).enumerate();
        items.map(|(index, (time, value))| (*time, self.start(index), value))
    }

    /// Since when the counter of one item counts.
    pub(super) fn start(&self, index: usize) -> i64 {
        self.starts.get(index).copied().unwrap_or(UNKNOWN_START)
    }

    fn set_start(&mut self, index: usize, start: i64) {
        if self.starts.len() <= index {
            self.starts.resize(index + 1, UNKNOWN_START);
        }
        self.starts[index] = start;
    }

    /// Keeps those items for which `keep` is true.
    pub(super) fn retain(&mut self, keep: &[bool]) {
        fn retain<V>(all: &mut Vec<V>, keep: &[bool]) {
            let mut keep = keep.iter();
            all.retain(|_| keep.next().copied().unwrap_or(true));
        }
        retain(&mut self.at, keep);
        retain(&mut self.times, keep);
        retain(&mut self.values, keep);
        retain(&mut self.starts, keep);
    }
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.floats.at.is_empty()
            && self.histograms.at.is_empty()
            && self.exemplars.is_empty()
            && self.metadata.is_empty()
    }

    /// The id of the series at a place.
    pub(super) fn id(&self, at: At) -> u32 {
        self.pages[at.page()].page.id(at.slot())
    }

    /// Where among the pages of the batch a page is, which the head may look up.
    fn page(&mut self, number: u32, find: impl FnOnce() -> Option<Arc<Page>>) -> Option<usize> {
        // Neighbours mostly come one after the other.
        if let Some(last) = self.pages.len().checked_sub(1)
            && self.pages[last].page.number == number
        {
            return Some(last);
        }
        match self.by_number.entry(number) {
            Entry::Occupied(entry) => Some(*entry.get() as usize),
            Entry::Vacant(entry) => {
                let page = find()?;
                entry.insert(self.pages.len() as u32);
                self.pages.push(BatchPage { page, used: 0, newest: [Newest::default(); PAGE_SERIES] });
                Some(self.pages.len() - 1)
            }
        }
    }

    /// Notes the start of the sample that the batch took last, if that is one of the series at a place.
    fn start(&mut self, at: At, start: i64) {
        let Some(Newest(position)) = self.last else { return };
        let index = (position >> 1) as usize - 1;
        if position & HISTOGRAM != 0 {
            if self.histograms.at[index] == at {
                self.histograms.set_start(index, start);
            }
        } else if self.floats.at[index] == at {
            self.floats.set_start(index, start);
        }
    }

    /// The newest sample of a series in this batch.
    fn newest(&self, at: At) -> Option<(i64, SampleValue)> {
        let Newest(position) = self.pages[at.page()].newest[at.slot()];
        let (index, kind) = ((position >> 1).checked_sub(1)? as usize, position & 1);
        Some(if kind == HISTOGRAM {
            let value = self.histograms.values[index].clone();
            (self.histograms.times[index], SampleValue::Histogram(value))
        } else {
            (self.floats.times[index], SampleValue::Float(self.floats.values[index]))
        })
    }

    /// What becomes of a sample, by its own page and by what the batch holds.
    fn judge(
        &self,
        data: &PageData,
        at: At,
        time: i64,
        value: &SampleValue,
        rules: Rules,
    ) -> Outcome<Verdict> {
        let verdict = data.judge(at.slot(), time, value, rules)?;
        let Some((newest, known)) = self.newest(at).filter(|_| verdict != Verdict::Repeat) else {
            return Ok(verdict);
        };
        if time > newest {
            Ok(verdict)
        } else if time == newest {
            if known.bits_equal(value) { Ok(Verdict::Repeat) } else { Err(AppendError::DuplicateTimestamp) }
        } else if rules.late_from.is_some() {
            // Whether the batch has another one of that time is looked at when it is committed.
            Ok(Verdict::Late)
        } else {
            Err(AppendError::OutOfOrder)
        }
    }

    /// Adds a sample that was judged.
    fn add(&mut self, at: At, time: i64, value: SampleValue, verdict: Verdict) -> Newest {
        let newest = match value {
            SampleValue::Float(float) => {
                self.floats.push(at, time, float);
                (self.floats.at.len() as u32) << 1
            }
            SampleValue::Histogram(histogram) => {
                self.histograms.push(at, time, histogram);
                self.floats_before.push(self.floats.at.len());
                (self.histograms.at.len() as u32) << 1 | HISTOGRAM
            }
        };
        let older = verdict == Verdict::Late && self.newest(at).is_some_and(|(known, _)| known > time);
        let page = &mut self.pages[at.page()];
        page.used |= 1 << at.slot();
        if !older {
            page.newest[at.slot()] = Newest(newest);
        }
        self.late |= verdict == Verdict::Late;
        Newest(newest)
    }
}

struct BatchAppender<'a> {
    db: &'a Shared,
    batch: Batch,
    /// Ids for the series that the batch makes.
    row: IdRow,
}

impl Drop for BatchAppender<'_> {
    fn drop(&mut self) {
        self.db.head.give_back(std::mem::take(&mut self.row));
    }
}

const fn slot_of(id: u32) -> usize {
    id as usize % PAGE_SERIES
}

const fn page_of(id: u32) -> u32 {
    id / PAGE_SERIES as u32
}

impl BatchAppender<'_> {
    /// Where the series of a reference is, if there is one.
    fn known(&mut self, series: SeriesRef) -> Option<(At, u32)> {
        let id = u32::try_from(series.0).ok()?;
        let page = self.batch.page(page_of(id), || self.db.head.page(page_of(id)))?;
        Some((At::new(page, slot_of(id)), id))
    }

    /// Where the series of these labels is, made where it is missing, which is told; never a series of others.
    fn place(&mut self, series: Option<SeriesRef>, labels: &Labels) -> Outcome<(At, u32, bool)> {
        if labels.is_empty() {
            return Err(AppendError::InvalidLabels("a series needs at least one label".to_owned()));
        }
        if let Some((at, id)) = series.and_then(|series| self.known(series)) {
            let data = self.batch.pages[at.page()].page.lock();
            if data.series(at.slot()).is_some_and(|series| series.labels == labels) {
                return Ok((at, id, false));
            }
        }
        let near = self.batch.pages.last().map(|last| &last.page);
        let (page, id, is_new) = self.db.head.get_or_create(labels, &mut self.row, near)?;
        let page =
            self.batch.page(page_of(id), || Some(page)).ok_or(AppendError::UnknownSeries(u64::from(id)))?;
        Ok((At::new(page, slot_of(id)), id, is_new))
    }

    fn add(
        &mut self,
        series: Option<SeriesRef>,
        labels: &Labels,
        time: Timestamp,
        value: SampleValue,
    ) -> Outcome<SeriesRef> {
        let (time, rules) = (time.millis(), self.db.rules());
        self.batch.last = None;
        // Before a series is made for it.
        self.db.check_bounds(time, rules)?;
        let (at, id, is_new) = self.place(series, labels)?;
        // What others have added to it since is looked at when the batch is committed.
        let verdict = if is_new && time >= rules.min_valid {
            Verdict::Add
        } else {
            let data = self.batch.pages[at.page()].page.lock();
            self.batch.judge(&data, at, time, &value, rules)?
        };
        if verdict != Verdict::Repeat {
            let added = self.batch.add(at, time, value, verdict);
            self.batch.last = Some(added);
        }
        Ok(SeriesRef(u64::from(id)))
    }
}

impl Appender for BatchAppender<'_> {
    fn append(&mut self, series: Option<SeriesRef>, labels: &Labels, sample: Sample) -> Outcome<SeriesRef> {
        self.add(series, labels, sample.timestamp, SampleValue::Float(sample.value))
    }

    fn append_columns(&mut self, columns: &FloatColumns<'_>, refused: &mut Vec<(usize, AppendError)>) {
        self.batch.last = None;
        let rules = self.db.rules();
        let (series, values) = (columns.series(), columns.values());
        self.batch.floats.reserve(series.len());
        let mut index = 0;
        while index < series.len() {
            let Some((first, id)) = self.known(series[index]) else {
                refused.push((index, AppendError::UnknownSeries(series[index].0)));
                index += 1;
                continue;
            };
            // All neighbours under one lock.
            let page = self.batch.pages[first.page()].page.clone();
            let data = page.lock();
            let number = u64::from(page_of(id));
            while index < series.len() && series[index].0 / PAGE_SERIES as u64 == number {
                let slot = (series[index].0 % PAGE_SERIES as u64) as usize;
                let (at, time) = (At::new(first.page(), slot), columns.time(index).millis());
                let value = SampleValue::Float(values[index]);
                let judged = if data.has(slot) {
                    self.batch.judge(&data, at, time, &value, rules)
                } else {
                    Err(AppendError::UnknownSeries(series[index].0))
                };
                match judged {
                    Ok(Verdict::Repeat) => {}
                    Ok(verdict) => {
                        self.batch.add(at, time, value, verdict);
                        let start = columns.start(index).millis();
                        if start != UNKNOWN_START {
                            self.batch.floats.set_start(self.batch.floats.at.len() - 1, start);
                        }
                    }
                    Err(error) => refused.push((index, error)),
                }
                index += 1;
            }
        }
    }

    fn append_histogram(
        &mut self,
        series: Option<SeriesRef>,
        labels: &Labels,
        timestamp: Timestamp,
        histogram: &Histogram,
    ) -> Outcome<SeriesRef> {
        self.batch.last = None;
        histogram.validate().map_err(|error| AppendError::InvalidHistogram(error.to_string()))?;
        self.add(series, labels, timestamp, SampleValue::Histogram(Arc::new(histogram.clone())))
    }

    fn append_start(&mut self, series: SeriesRef, start: Timestamp) {
        if let Some((at, _)) = self.known(series) {
            self.batch.start(at, start.millis());
        }
    }

    fn append_exemplar(&mut self, series: SeriesRef, exemplar: &Exemplar) -> Outcome<()> {
        if !exemplar.fits() {
            return Err(AppendError::ExemplarTooLong);
        }
        if exemplar.timestamp.millis() < self.db.head.min_valid() {
            return Err(AppendError::OutOfBounds);
        }
        let unknown = AppendError::UnknownSeries(series.0);
        let Some((at, _)) = self.known(series) else { return Err(unknown) };
        let newest = self.batch.newest_exemplars.entry(at);
        let verdict = {
            let data = self.batch.pages[at.page()].page.lock();
            if !data.has(at.slot()) {
                return Err(unknown);
            }
            match &newest {
                Entry::Occupied(index) => {
                    judge_exemplar(Some(&self.batch.exemplars[*index.get()].1), exemplar)?
                }
                Entry::Vacant(_) => data.judge_exemplar(at.slot(), exemplar)?,
            }
        };
        if verdict != Verdict::Repeat {
            newest.insert_entry(self.batch.exemplars.len());
            self.batch.pages[at.page()].used |= 1 << at.slot();
            self.batch.exemplars.push((at, exemplar.clone()));
        }
        Ok(())
    }

    fn append_metadata(&mut self, family: &str, metadata: &Metadata) {
        if !self.db.head.knows_metadata(family, metadata) {
            self.batch.metadata.push((family.to_owned(), metadata.clone()));
        }
    }

    fn commit(mut self: Box<Self>) -> Result<Vec<Refused>, CommitError> {
        let committed = self.db.commit(std::mem::take(&mut self.batch));
        self.db.head.index_fresh();
        committed.map_err(|error| CommitError(Box::new(error)))
    }
}
