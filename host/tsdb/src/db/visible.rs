//! What a query may see of blocks and head: not what has been deleted, and not what is past retention.

use std::sync::Arc;

use model::{Exemplar, Labels};
use roaring::RoaringBitmap;

use super::read::Part;
use crate::block::{Block, SeriesReader};
use crate::error::Result;
use crate::head::page::slots_of;
use crate::head::{Head, LatestIn, PageData, SeriesIn, SeriesView, split};
use crate::side_by_side;
use crate::tombstones::{Intervals, Tombstones};

/// A block, and what must not be seen of it.
pub(super) struct VisibleBlock {
    pub(super) block: Arc<Block>,
    /// What is asked of it.
    pub(super) range: (i64, i64),
    /// From when to when it is its resolution that answers.
    pub(super) answers: (i64, i64),
    pub(super) deleted: Arc<Tombstones>,
    /// Series that are past retention before a time.
    pub(super) past: Vec<(RoaringBitmap, i64)>,
}

/// What must not be seen of the head.
pub(super) struct VisibleHead<'a> {
    /// Samples before this time are in blocks.
    pub(super) from: i64,
    pub(super) deleted: &'a Tombstones,
}

impl VisibleBlock {
    /// What must not be seen of a series.
    pub(super) fn hidden(&self, number: u32) -> Intervals {
        let mut hidden = self.deleted.of(number).cloned().unwrap_or_default();
        for (_, before) in self.past.iter().filter(|(series, _)| series.contains(number)) {
            hidden.add(i64::MIN, before - 1);
        }
        // What another resolution answers.
        let (first, last) = self.answers;
        if self.block.meta().min_time < first {
            hidden.add(i64::MIN, first - 1);
        }
        if self.block.meta().max_time > last {
            hidden.add(last + 1, i64::MAX);
        }
        hidden
    }

    /// Whether everything may be seen.
    fn is_whole(&self) -> bool {
        self.deleted.is_empty() && self.past.is_empty()
    }

    /// Those of some series of which anything may be seen in the range that is asked of it.
    pub(super) fn shown(&self, numbers: RoaringBitmap) -> Result<RoaringBitmap> {
        let (meta, (start, end)) = (self.block.meta(), self.range);
        let mut shown = if meta.min_time >= start && meta.max_time <= end {
            // Only a series with exemplars may be without samples.
            let with_exemplars = self.block.with_exemplars()? & &numbers;
            let with_samples = self.block.series().overlapping(&with_exemplars, start, end)?;
            numbers - (with_exemplars - with_samples)
        } else {
            let overlapping = |numbers: &RoaringBitmap| self.block.series().overlapping(numbers, start, end);
            let parts = side_by_side::each(&split(numbers, side_by_side::threads()), overlapping);
            parts.into_iter().try_fold(RoaringBitmap::new(), |all, part| Result::Ok(all | part?))?
        };
        if !self.is_whole() {
            let mut series = self.block.series();
            let mut hidden = Vec::new();
            for number in shown.iter().filter(|number| self.hides_of(*number)) {
                if !self.shows(&mut series, number, start, end)? {
                    hidden.push(number);
                }
            }
            shown -= hidden.into_iter().collect::<RoaringBitmap>();
        }
        Ok(shown)
    }

    /// What may be read of some series in the range that is asked for, by their labels; those without any left out.
    pub(super) fn parts(&self, numbers: &RoaringBitmap) -> Result<Vec<(Labels, Part)>> {
        let (block, (start, end)) = (&self.block, self.range);
        let mut series = block.series();
        let mut parts = Vec::new();
        for number in numbers {
            let mut chunks = series.chunks(number, start, end)?;
            let deleted = self.hidden(number);
            chunks.retain(|chunk| {
                !deleted.covers(chunk.meta.min_time.max(start), chunk.meta.max_time.min(end))
            });
            if !chunks.is_empty() {
                let part = Part::Block { block: block.clone(), chunks, deleted };
                parts.push((series.labels(number)?, part));
            }
        }
        Ok(parts)
    }

    /// Whether anything of a series is deleted or past retention.
    pub(super) fn hides_of(&self, number: u32) -> bool {
        self.deleted.of(number).is_some() || self.past.iter().any(|(series, _)| series.contains(number))
    }

    /// Whether anything of a series may be seen in `[start, end]`; `series` are those of the block.
    fn shows(&self, series: &mut SeriesReader<'_>, number: u32, start: i64, end: i64) -> Result<bool> {
        let hidden = self.hidden(number);
        let chunks = series.chunks(number, start, end)?;
        Ok(chunks
            .iter()
            .any(|chunk| !hidden.covers(chunk.meta.min_time.max(start), chunk.meta.max_time.min(end))))
    }
}

impl VisibleHead<'_> {
    /// The samples of a series in `[start, end]`, if there are any.
    pub(super) fn view(&self, series: SeriesIn<'_>, start: i64, end: i64) -> Option<(SeriesView, Intervals)> {
        let mut view = series.view_from(self.from, start, end);
        let deleted = self.deleted.of(series.id).cloned().unwrap_or_default();
        view.leave_out(&deleted, start, end);
        (!view.is_empty()).then_some((view, deleted))
    }

    /// The latest sample of a series in `[start, end]`, as far as a look at what is open tells.
    pub(super) fn latest(&self, series: SeriesIn<'_>, start: i64, end: i64) -> LatestIn {
        match self.deleted.of(series.id) {
            None => series.latest(self.from, start, end),
            Some(_) => LatestIn::Unknown,
        }
    }

    /// Those of some series of which it is known without a look at them that they have samples in `[start, end]`; `None`
    /// where they have to be looked at anyway.
    pub(super) fn seen_of(
        &self,
        head: &Head,
        ids: &RoaringBitmap,
        start: i64,
        end: i64,
    ) -> Option<RoaringBitmap> {
        if self.deleted.is_empty() { head.seen_of(ids, start.max(self.from), end) } else { None }
    }

    /// Has it known of the series of a page that they have samples in `[start, end]`, if the newest of each is there.
    pub(super) fn note_seen(&self, head: &Head, page: &PageData, start: i64, end: i64) {
        let (seen, _) = page.seen_in(u64::MAX, start.max(self.from), end);
        if page.are_all(seen) {
            head.note_seen(page, seen);
        }
    }

    /// Those of `slots` of a page whose series have samples in `[start, end]`, one bit each.
    pub(super) fn shown(&self, page: &PageData, slots: u64, start: i64, end: i64) -> u64 {
        let (mut shown, to_ask) = page.seen_in(slots, start.max(self.from), end);
        for slot in slots_of(to_ask) {
            let overlaps = page.series(slot).is_some_and(|series| series.overlaps(self.from, start, end));
            shown |= u64::from(overlaps) << slot;
        }
        if !self.deleted.is_empty() {
            for slot in slots_of(shown) {
                let hidden = page.series(slot).is_none_or(|series| {
                    self.deleted.of(series.id).is_some() && self.view(series, start, end).is_none()
                });
                shown &= !(u64::from(hidden) << slot);
            }
        }
        shown
    }

    /// The exemplars of a series for which `wanted` says yes.
    pub(super) fn exemplars(
        &self,
        series: SeriesIn<'_>,
        wanted: impl Fn(&Exemplar) -> bool,
    ) -> Vec<Exemplar> {
        // No sample is older than the lowest time: the view is of the exemplars only.
        let view = series.view(i64::MAX, i64::MIN);
        let deleted = self.deleted.of(series.id);
        let visible = |exemplar: &&Exemplar| {
            let time = exemplar.timestamp.millis();
            time >= self.from && wanted(exemplar) && !deleted.is_some_and(|deleted| deleted.contains(time))
        };
        view.exemplars().iter().filter(visible).cloned().collect()
    }
}
