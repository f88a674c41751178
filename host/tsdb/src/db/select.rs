//! Finding: which series pass the matchers, in blocks and in the head. Their samples are read in [`super::read`].
//!
//! A selection is taken at one moment: it sees every batch that was committed by then as a whole and none that
//! came later, and it goes on to read the same samples while the head is cut and blocks are removed.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Exemplar, Labels, Matcher, Timestamp};
use roaring::RoaringBitmap;

use super::read::{Part, Parts, SelectedSeries};
use super::visible::{VisibleBlock, VisibleHead};
use super::{Shared, order};
use crate::Tsdb;
use crate::block::Block;
use crate::error::Result;
use crate::head::{SeriesIn, split};
use crate::index::{LabelIndex, Query, Texts, Union};
use crate::side_by_side;

/// The exemplars of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesExemplars {
    /// The series.
    pub labels: Labels,
    /// Its exemplars in the range, in time order.
    pub exemplars: Vec<Exemplar>,
}

impl Tsdb {
    /// The series that pass all matchers and have samples in `[start, end]` or close to it, sorted by labels, each
    /// once. Nothing is decoded yet.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the index of a block is damaged.
    pub fn select(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
    ) -> Result<Vec<SelectedSeries>> {
        self.select_for_step(matchers, start, end, None)
    }

    /// As [`Tsdb::select`] for a query of that step. Where samples are gone, and where the step is at least five times
    /// the resolution, downsampled data take their place; [`SelectedSeries::resolution_ms`] says so of a series, and what
    /// is selected of it begins so much earlier.
    ///
    /// # Errors
    /// As [`Tsdb::select`].
    pub fn select_for_step(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
        step_ms: Option<i64>,
    ) -> Result<Vec<SelectedSeries>> {
        let mut series = self.shared.select(matchers, start.millis(), end.millis(), step_ms)?;
        if !series.sorted {
            let order = order::order_of(series.all.iter().map(SelectedSeries::labels));
            order::arrange(&mut series.all, order);
        }
        Ok(series.all)
    }

    /// As [`Tsdb::select_for_step`], the series in any order, which is the same as long as the data are.
    ///
    /// # Errors
    /// As [`Tsdb::select`].
    pub fn select_unordered(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
        step_ms: Option<i64>,
    ) -> Result<Vec<SelectedSeries>> {
        Ok(self.shared.select(matchers, start.millis(), end.millis(), step_ms)?.all)
    }

    /// The label names of the series that [`Tsdb::select`] would give; sorted, each once.
    ///
    /// # Errors
    /// As [`Tsdb::select`].
    pub fn label_names(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<String>> {
        let mut names = BTreeSet::new();
        self.shared.visit(matchers, start.millis(), end.millis(), |index, ids| {
            index.names_of(ids, &mut |name| insert(&mut names, name))
        })?;
        Ok(names.into_iter().collect())
    }

    /// The values of the label `name` of the series that [`Tsdb::select`] would give; sorted, each once.
    ///
    /// # Errors
    /// As [`Tsdb::select`].
    pub fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
    ) -> Result<Vec<String>> {
        self.label_values_first(name, matchers, start, end, usize::MAX)
    }

    /// The first `count_max` of what [`Tsdb::label_values`] gives.
    ///
    /// # Errors
    /// As [`Tsdb::select`].
    pub fn label_values_first(
        &self,
        name: &str,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
        count_max: usize,
    ) -> Result<Vec<String>> {
        let mut values = Texts::default();
        self.shared.visit(matchers, start.millis(), end.millis(), |index, ids| {
            index.values_of(name, ids, &mut |value| values.push(value))
        })?;
        Ok(values.into_sorted(count_max))
    }

    /// The exemplars in `[start, end]` of the series that pass all matchers; series sorted by labels, exemplars by
    /// time. Series without any are left out.
    ///
    /// # Errors
    /// As [`Tsdb::select`].
    pub fn exemplars(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
    ) -> Result<Vec<SeriesExemplars>> {
        self.shared.exemplars(matchers, start.millis(), end.millis())
    }
}

/// What a query selects.
struct Selection {
    all: Vec<SelectedSeries>,
    /// Whether they are sorted by labels.
    sorted: bool,
}

fn insert(set: &mut BTreeSet<String>, text: &str) {
    if !set.contains(text) {
        set.insert(text.to_owned());
    }
}

impl Shared {
    /// Blocks that overlap the range, and what is seen of the matching series of the head, as of one moment.
    fn snapshot<T>(
        &self,
        query: &Query<'_>,
        (start, end): (i64, i64),
        step_ms: Option<i64>,
        look: impl FnOnce(&VisibleHead<'_>, RoaringBitmap) -> T,
    ) -> Result<(Vec<VisibleBlock>, T)> {
        let pass = self.gate.read();
        let view = self.view.read();
        let expiry = view.expiry.clone();
        let blocks: Vec<_> = view
            .blocks_for((start, end), step_ms)
            .map(|(block, range, answers)| (block.clone(), range, answers, block.tombstones()))
            .collect();
        let head = VisibleHead { from: view.head_from, deleted: &view.head_deleted };
        let ids = self.head.with_index(|index| query.resolve(index))?;
        let found = look(&head, ids);
        drop(view);
        drop(pass);
        let visible = |(block, range, answers, deleted): (Arc<Block>, _, _, _)| {
            let past = expiry.hidden(&block)?;
            Ok(VisibleBlock { block, range, answers, deleted, past })
        };
        Ok((blocks.into_iter().map(visible).collect::<Result<_>>()?, found))
    }

    /// As [`Shared::snapshot`], with what `keep` makes of each series of the head, in the order of ids.
    fn snapshot_of<T: Send>(
        &self,
        query: &Query<'_>,
        range: (i64, i64),
        step_ms: Option<i64>,
        keep: impl Fn(SeriesIn<'_>, &VisibleHead<'_>) -> Option<T> + Sync,
    ) -> Result<(Vec<VisibleBlock>, Vec<T>)> {
        let (blocks, found) = self.snapshot(query, range, step_ms, |head, ids| {
            side_by_side::each(&split(ids, side_by_side::threads()), |ids| {
                let mut kept = Vec::with_capacity(ids.len() as usize);
                self.head.visit(ids, |series| kept.extend(keep(series, head)));
                kept
            })
        })?;
        let count = found.iter().map(Vec::len).sum::<usize>();
        let mut found = found.into_iter();
        let mut kept = found.next().unwrap_or_default();
        kept.reserve_exact(count - kept.len());
        found.for_each(|mut more| kept.append(&mut more));
        Ok((blocks, kept))
    }

    fn select(&self, matchers: &[Matcher], start: i64, end: i64, step_ms: Option<i64>) -> Result<Selection> {
        let query = Query::new(matchers);
        let (blocks, of_head) = self.snapshot_of(&query, (start, end), step_ms, |series, head| {
            let (view, deleted) = head.view(series, start, end)?;
            Some(SelectedSeries::new(view.labels.clone(), Parts::One([Part::Head { view, deleted }])))
        })?;
        if blocks.is_empty() {
            // The head has each series once.
            return Ok(Selection { all: of_head, sorted: false });
        }
        let mut parts: Vec<(Labels, Part)> = Vec::new();
        let is_one_block = blocks.len() == 1 && of_head.is_empty();
        for visible in blocks {
            let numbers = query.resolve(&visible.block.index())?;
            let look = |numbers: &RoaringBitmap| visible.parts(numbers);
            for more in side_by_side::each(&split(numbers, side_by_side::threads()), look) {
                parts.append(&mut more?);
            }
        }
        if is_one_block {
            // A block has each series once, in the order of labels.
            let one = |(labels, part)| SelectedSeries::new(labels, Parts::One([part]));
            return Ok(Selection { all: parts.into_iter().map(one).collect(), sorted: true });
        }
        parts.extend(of_head.into_iter().flat_map(SelectedSeries::into_parts));
        let series = group(parts).map(|(labels, parts)| {
            let parts = <[Part; 1]>::try_from(parts).map_or_else(Parts::Many, Parts::One);
            SelectedSeries::new(labels, parts)
        });
        Ok(Selection { all: series.collect(), sorted: true })
    }

    /// Hands over each index with the ids of those series in it that match and have samples in the range.
    fn visit(
        &self,
        matchers: &[Matcher],
        start: i64,
        end: i64,
        mut each: impl FnMut(&dyn LabelIndex, &RoaringBitmap) -> Result<()>,
    ) -> Result<()> {
        let query = Query::new(matchers);
        let (blocks, ids) =
            self.snapshot(&query, (start, end), None, |head, ids| self.shown(head, ids, start, end))?;
        self.head.with_index(|index| each(index, &ids))?;
        for visible in blocks {
            let index = visible.block.index();
            each(&index, &visible.shown(query.resolve(&index)?)?)?;
        }
        Ok(())
    }

    /// Those of some series of the head that have samples in the range.
    pub(super) fn shown(
        &self,
        head: &VisibleHead<'_>,
        ids: RoaringBitmap,
        start: i64,
        end: i64,
    ) -> RoaringBitmap {
        let known = head.seen_of(&self.head, &ids, start, end);
        let notes = known.is_some();
        let seen = known.unwrap_or_default();
        let to_look = split(ids - &seen, side_by_side::threads());
        let looked = side_by_side::each(&to_look, |ids| {
            let mut shown = Union::default();
            self.head.visit_pages(ids, |page, slots| {
                shown.add_word(page.first_id(), head.shown(page, slots, start, end));
                if notes {
                    head.note_seen(&self.head, page, start, end);
                }
            });
            shown.into_bitmap()
        });
        looked.into_iter().fold(seen, |all, more| all | more)
    }

    fn exemplars(&self, matchers: &[Matcher], start: i64, end: i64) -> Result<Vec<SeriesExemplars>> {
        let wanted = |exemplar: &Exemplar| (start..=end).contains(&exemplar.timestamp.millis());
        let query = Query::new(matchers);
        let (blocks, head) = self.snapshot_of(&query, (start, end), None, |series, head| {
            let exemplars = head.exemplars(series, wanted);
            (!exemplars.is_empty()).then(|| (series.labels.clone(), exemplars))
        })?;
        let mut parts: Vec<(Labels, Vec<Exemplar>)> = Vec::new();
        for visible in blocks {
            let (block, (start, end)) = (&visible.block, visible.range);
            let wanted = |exemplar: &Exemplar| (start..=end).contains(&exemplar.timestamp.millis());
            let mut series = block.series();
            for number in query.resolve(&block.index())? {
                let mut exemplars = block.exemplars(number)?;
                let hidden = visible.hidden(number);
                exemplars
                    .retain(|exemplar| wanted(exemplar) && !hidden.contains(exemplar.timestamp.millis()));
                if !exemplars.is_empty() {
                    parts.push((series.labels(number)?, exemplars));
                }
            }
        }
        parts.extend(head);
        Ok(group(parts)
            .map(|(labels, parts)| SeriesExemplars { labels, exemplars: parts.concat() })
            .collect())
    }
}

/// Brings parts of the same series together, in the order in which they were; series sorted by labels.
fn group<T>(mut parts: Vec<(Labels, T)>) -> impl Iterator<Item = (Labels, Vec<T>)> {
    let order = order::order_of(parts.iter().map(|(labels, _)| labels));
    order::arrange(&mut parts, order);
    let mut parts = parts.into_iter().peekable();
    std::iter::from_fn(move || {
        let (labels, first) = parts.next()?;
        let mut all = vec![first];
        while let Some((_, more)) = parts.next_if(|(next, _)| *next == labels) {
            all.push(more);
        }
        Some((labels, all))
    })
}
