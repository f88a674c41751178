//! What a query may see of blocks and head: not what has been deleted, and not what is past retention.

use std::sync::Arc;

use model::Exemplar;
use roaring::RoaringBitmap;

use crate::block::{Block, SeriesReader};
use crate::error::Result;
use crate::head::{LatestIn, SeriesIn, SeriesView};
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
    pub(super) fn is_whole(&self) -> bool {
        self.deleted.is_empty() && self.past.is_empty()
    }

    /// Whether anything of a series may be seen in `[start, end]`; `series` are those of the block.
    pub(super) fn shows(
        &self,
        series: &mut SeriesReader<'_>,
        number: u32,
        start: i64,
        end: i64,
    ) -> Result<bool> {
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

    /// Whether there are any samples of a series in `[start, end]`.
    pub(super) fn shows(&self, series: SeriesIn<'_>, start: i64, end: i64) -> bool {
        match self.deleted.of(series.id) {
            None => series.overlaps(self.from, start, end),
            Some(_) => self.view(series, start, end).is_some(),
        }
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
