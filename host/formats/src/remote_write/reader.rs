//! What the reading of a request keeps, whatever its version.

use std::fmt::Write as _;

use model::{Exemplar, Histogram, Labels, METRIC_NAME, Metadata, SeriesRef, Timestamp, UNKNOWN_START};

use super::batch::{Columns, KnownExemplar, NewSeries};
use super::histogram;
use super::known::{Finder, Key};
use crate::wire::WireError;
use crate::write_request::set_start;
use crate::{Rejected, Starts, pairs};

/// Enough of a series' labels to find it at its sender.
const SERIES_TEXT_CHARS_MAX: usize = 512;

/// Why the reading of a request stopped.
pub(super) enum Stop {
    Wire(WireError),
    TooManyItems,
}

impl From<WireError> for Stop {
    fn from(e: WireError) -> Self {
        Self::Wire(e)
    }
}

/// See the module.
pub(super) struct Reader<'k> {
    pub(super) items_left: usize,
    pub(super) finder: Finder<'k>,
    pub(super) columns: Columns,
    pub(super) exemplars: Vec<KnownExemplar>,
    pub(super) series: Vec<NewSeries>,
    pub(super) metadata: Vec<(String, Metadata)>,
    pub(super) rejected: Rejected,
}

/// What a series has apart from its floats.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) histograms: Vec<(Timestamp, Histogram)>,
    pub(super) histogram_starts: Vec<Timestamp>,
    pub(super) exemplars: Vec<Result<Exemplar, String>>,
    /// Histograms that contradict themselves: how many, and what the last one was.
    pub(super) bad_histograms: u64,
    pub(super) bad_histogram: Option<String>,
}

impl Parts {
    /// Gives those histograms a start that have none.
    pub(super) fn set_missing_starts(&mut self, start: Timestamp) {
        for index in 0..self.histograms.len() {
            if self.histogram_starts.get(index).is_none_or(|own| *own == UNKNOWN_START) {
                set_start(&mut self.histogram_starts, index, start);
            }
        }
    }

    pub(super) fn take_histogram(&mut self, read: Result<histogram::Read, String>) {
        match read {
            Ok(histogram::Read { at, start, histogram }) => {
                set_start(&mut self.histogram_starts, self.histograms.len(), start);
                self.histograms.push((at, histogram));
            }
            Err(what) => {
                self.bad_histograms += 1;
                self.bad_histogram = Some(what);
            }
        }
    }
}

impl Reader<'_> {
    pub(super) fn count_item(&mut self) -> Result<(), Stop> {
        self.items_left = self.items_left.checked_sub(1).ok_or(Stop::TooManyItems)?;
        Ok(())
    }

    /// Takes in a series whose floats were pushed to the columns already: by reference where it is known by its `key`
    /// and has no histograms, else by `labels`.
    pub(super) fn take_series(
        &mut self,
        place: usize,
        key: Option<Key>,
        parts: Parts,
        labels: impl FnOnce() -> Result<Labels, String>,
    ) {
        if parts.histograms.is_empty()
            && parts.bad_histograms == 0
            && let Some(series) = key.and_then(|key| self.finder.find(key))
            && let Ok(place) = u32::try_from(place)
        {
            self.take_known(place, series, parts.exemplars, labels);
            return;
        }
        let (samples, starts) = self.columns.take_last();
        let labels = match labels() {
            Ok(labels) => labels,
            Err(what) => {
                self.rejected.note(1, || what);
                return;
            }
        };
        if let Some(what) = parts.bad_histogram {
            self.rejected.note(parts.bad_histograms, || format!("series {labels}: {what}"));
        }
        let mut exemplars = Vec::new();
        for exemplar in parts.exemplars {
            match exemplar {
                Ok(exemplar) => exemplars.push(exemplar),
                // Exemplars are best effort: their loss is told but does not count as lost data.
                Err(what) => self.rejected.note(0, || format!("exemplar of {labels}: {what}")),
            }
        }
        if !(samples.is_empty() && parts.histograms.is_empty() && exemplars.is_empty()) {
            let starts = Starts { samples: starts, histograms: parts.histogram_starts };
            let histograms = parts.histograms;
            self.series.push(NewSeries { labels, samples, histograms, exemplars, starts, key });
        }
    }

    fn take_known(
        &mut self,
        place: u32,
        series: SeriesRef,
        exemplars: Vec<Result<Exemplar, String>>,
        labels: impl FnOnce() -> Result<Labels, String>,
    ) {
        self.columns.belong_to(series, place);
        if exemplars.is_empty() {
            return;
        }
        let labels = labels().unwrap_or_default();
        for exemplar in exemplars {
            match exemplar {
                Ok(exemplar) => self.exemplars.push(KnownExemplar { series, exemplar, place }),
                Err(what) => self.rejected.note(0, || format!("exemplar of {labels}: {what}")),
            }
        }
    }
}

/// Labels of pairs, or why they cannot be, with what they are.
pub(super) fn to_labels(pairs: &mut [(&str, &str)]) -> Result<Labels, String> {
    let what = match pairs::to_labels(pairs) {
        Ok(labels) if labels.metric_name().is_some() => return Ok(labels),
        Ok(_) => format!("label {METRIC_NAME} is missing"),
        Err(what) => what,
    };
    Err(format!("series {}: {what}", series_text(pairs)))
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
