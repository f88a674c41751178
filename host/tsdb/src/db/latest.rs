//! The latest sample of many series at one moment, column by column.
//!
//! What an instant query aggregates takes one sample of each series and hardly ever all of its labels. A view of each
//! series, its place in the order of labels and a reader cost far more than that sample, and are left out here: pages of
//! the head, or the series of a block, are gone through in the order of ids, by several threads, each of which fills columns of
//! its own. Where more than one place has samples of the range, labels would have to say which series are the same: that
//! is left to selecting them.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use model::staleness::is_stale;
use model::{Histogram, Labels, Matcher, Timestamp};
use roaring::RoaringBitmap;

use super::Shared;
use super::read::{Part, Parts, SelectedSeries, Sink};
use super::visible::{VisibleBlock, VisibleHead};
use crate::Tsdb;
use crate::block::LatestOf;
use crate::error::Result;
use crate::head::{Head, LatestIn, SampleValue, SeriesView, split};
use crate::index::Query;
use crate::side_by_side;

/// Appends to a span what tells the group of a series.
pub type GroupKey<'a> = dyn Fn(&Labels, &mut Vec<u8>) + Sync + 'a;

/// What is wanted of the labels of series with their latest samples.
#[derive(Clone, Copy)]
pub enum LatestBy<'a> {
    /// Nothing: they are not looked at.
    Nothing,
    /// All of them, series by series.
    Series,
    /// The number of a group: series are of one group where the function appends the same span, which is that of the
    /// group's labels. It is called under locks of the head.
    Groups(&'a GroupKey<'a>),
}

/// The latest samples of some series, column by column.
#[derive(Debug, Clone, Default)]
pub struct Latest {
    /// When each was taken.
    pub timestamps: Vec<Timestamp>,
    /// The floats, as many as `timestamps`; without meaning where there is a histogram.
    pub values: Vec<f64>,
    /// Native histograms, by their places among `timestamps`, which increase.
    pub histograms: Vec<(usize, Arc<Histogram>)>,
    /// The labels of each series, or of each group.
    pub labels: Vec<Labels>,
    /// The number of each one's group, where there are groups.
    pub groups: Vec<u32>,
}

impl Tsdb {
    /// The latest sample in `[start, end]` of each series that passes all matchers, as of one moment, in as many parts as
    /// threads looked for them, of which there are at most so many. Series whose latest sample is a stale marker are left
    /// out. `None` where several blocks have samples of the range, or a block and the head, or downsampled data: then
    /// [`Tsdb::select`] is the way.
    ///
    /// # Errors
    /// As [`Tsdb::select`].
    pub fn latest(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
        by: LatestBy<'_>,
        threads: usize,
    ) -> Result<Option<Vec<Latest>>> {
        self.shared.latest(matchers, (start.millis(), end.millis()), by, threads)
    }
}

impl Shared {
    fn latest(
        &self,
        matchers: &[Matcher],
        range: (i64, i64),
        by: LatestBy<'_>,
        threads: usize,
    ) -> Result<Option<Vec<Latest>>> {
        let query = Query::new(matchers);
        let pass = self.gate.read();
        let view = self.view.read();
        let mut blocks = view.blocks_for(range, None);
        let block = blocks.next();
        if blocks.next().is_some() {
            return Ok(None);
        }
        let head = VisibleHead { from: view.head_from, deleted: &view.head_deleted };
        let ids = self.head.with_index(|index| query.resolve(index))?;
        if let Some((block, asked, answers)) = block {
            let (start, end) = range;
            if block.resolution_ms() != 0 || !self.shown(&head, ids, start, end).is_empty() {
                return Ok(None);
            }
            let (block, expiry) = (Arc::clone(block), view.expiry.clone());
            let deleted = block.tombstones();
            drop(blocks);
            drop(view);
            drop(pass);
            let past = expiry.hidden(&block)?;
            let visible = VisibleBlock { block, range: asked, answers, deleted, past };
            return latest_of_block(&visible, &query, range, by, threads).map(Some);
        }
        drop(blocks);
        let look = |ids: &RoaringBitmap| {
            let mut collector = Collector::new(by);
            collector.look(&self.head, &head, ids, range);
            collector
        };
        let collected = side_by_side::each(&split(ids, threads), look);
        drop(view);
        drop(pass);
        // What has to be decoded is decoded outside of locks.
        let finished = collected.into_iter().map(|collector| collector.finish(range));
        finished.collect::<Result<_>>().map(Some)
    }
}

fn latest_of_block(
    visible: &VisibleBlock,
    query: &Query<'_>,
    range: (i64, i64),
    by: LatestBy<'_>,
    threads: usize,
) -> Result<Vec<Latest>> {
    let numbers = query.resolve(&visible.block.index())?;
    let look = |numbers: &RoaringBitmap| {
        let mut collector = Collector::new(by);
        collector.look_at_block(visible, numbers)?;
        collector.finish(range)
    };
    side_by_side::each(&split(numbers, threads), look).into_iter().collect()
}

/// Collects what one thread finds.
struct Collector<'a> {
    by: LatestBy<'a>,
    latest: Latest,
    /// Groups by their spans.
    known: HashMap<Box<[u8]>, u32, RandomState>,
    span: Vec<u8>,
    /// The group of the series before: neighbours often are of one.
    last: Option<(Vec<u8>, u32)>,
    /// Series that have to be read.
    unread: Vec<(Labels, Part)>,
}

impl<'a> Collector<'a> {
    fn new(by: LatestBy<'a>) -> Self {
        Self {
            by,
            latest: Latest::default(),
            known: HashMap::default(),
            span: Vec::new(),
            last: None,
            unread: Vec::new(),
        }
    }

    fn reserve(&mut self, ids: &RoaringBitmap) {
        let count = ids.len() as usize;
        self.latest.timestamps.reserve(count);
        self.latest.values.reserve(count);
        match self.by {
            LatestBy::Nothing => {}
            LatestBy::Series => self.latest.labels.reserve(count),
            LatestBy::Groups(_) => self.latest.groups.reserve(count),
        }
    }

    fn look(&mut self, head: &Head, visible: &VisibleHead<'_>, ids: &RoaringBitmap, range: (i64, i64)) {
        let (start, end) = range;
        self.reserve(ids);
        let part = |(view, deleted): (SeriesView, _)| (view.labels.clone(), Part::Head { view, deleted });
        head.visit(ids, |series| match visible.latest(series, start, end) {
            LatestIn::Nothing => {}
            LatestIn::Sample(time, value) => self.push(series.labels, time, value),
            LatestIn::Unknown => self.unread.extend(visible.view(series, start, end).map(part)),
        });
    }

    fn look_at_block(&mut self, visible: &VisibleBlock, numbers: &RoaringBitmap) -> Result<()> {
        self.reserve(numbers);
        let (start, end) = visible.range;
        let (mut latest, mut series) = (visible.block.latest(start, end), visible.block.series());
        let (mut labels, mut unread) = (Labels::empty(), Vec::new());
        for number in numbers {
            let found = if visible.hides_of(number) { LatestOf::Unknown } else { latest.of(number)? };
            match found {
                LatestOf::Nothing => {}
                LatestOf::Float(_, float) if is_stale(float) => {}
                LatestOf::Float(time, float) => {
                    if !matches!(self.by, LatestBy::Nothing) {
                        labels = series.labels(number)?;
                    }
                    self.push(&labels, time, SampleValue::Float(float));
                }
                LatestOf::Unknown => unread.push(number),
            }
        }
        self.unread = visible.parts(&unread.into_iter().collect())?;
        Ok(())
    }

    fn push(&mut self, labels: &Labels, time: i64, value: SampleValue) {
        let Latest { timestamps, values, histograms, .. } = &mut self.latest;
        match value {
            SampleValue::Float(float) if is_stale(float) => return,
            SampleValue::Float(float) => values.push(float),
            SampleValue::Histogram(histogram) if histogram.is_stale() => return,
            SampleValue::Histogram(histogram) => {
                histograms.push((timestamps.len(), histogram));
                values.push(f64::NAN);
            }
        }
        timestamps.push(Timestamp::from_millis(time));
        match self.by {
            LatestBy::Nothing => {}
            LatestBy::Series => self.latest.labels.push(labels.clone()),
            LatestBy::Groups(key) => {
                self.span.clear();
                key(labels, &mut self.span);
                let group = self.group();
                self.latest.groups.push(group);
            }
        }
    }

    /// The number of the group whose span was found.
    fn group(&mut self) -> u32 {
        if let Some((span, group)) = &self.last
            && *span == self.span
        {
            return *group;
        }
        let next = self.latest.labels.len() as u32;
        let group = match self.known.get(self.span.as_slice()) {
            Some(group) => *group,
            None => {
                self.known.insert(self.span.as_slice().into(), next);
                self.latest.labels.push(Labels::from_encoded(&self.span).unwrap_or_default());
                next
            }
        };
        let last = self.last.get_or_insert_default();
        last.0.clone_from(&self.span);
        last.1 = group;
        group
    }

    fn finish(mut self, (start, end): (i64, i64)) -> Result<Latest> {
        let (start, end) = (Timestamp::from_millis(start), Timestamp::from_millis(end));
        for (labels, part) in std::mem::take(&mut self.unread) {
            let series = SelectedSeries::new(labels, Parts::One([part]));
            let mut last = Last(None);
            series.read(start, end, &mut last)?;
            if let Last(Some((time, value))) = last {
                self.push(series.labels(), time, value);
            }
        }
        Ok(self.latest)
    }
}

/// Keeps the last sample of all that it is handed.
struct Last(Option<(i64, SampleValue)>);

impl Sink for Last {
    fn floats(&mut self, times: &[i64], values: &[f64], _: &[i64]) {
        if let (Some(time), Some(value)) = (times.last(), values.last()) {
            self.0 = Some((*time, SampleValue::Float(*value)));
        }
    }

    fn histograms(&mut self, times: &[i64], values: &[Arc<Histogram>], _: &[i64]) {
        if let (Some(time), Some(value)) = (times.last(), values.last()) {
            self.0 = Some((*time, SampleValue::Histogram(value.clone())));
        }
    }
}
