//! The samples within one range at one step.

use std::sync::Arc;

use model::{Histogram, Timestamp};

use super::{Context, Grid};
use crate::functions::start::Starts;
use crate::parser::Span;
use crate::plan::Shift;
use crate::read::Columns;

/// The samples within one range at one step; none is a stale marker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    pub(crate) times: &'a [Timestamp],
    pub(crate) values: &'a [f64],
    pub(crate) histograms: &'a [(Timestamp, Arc<Histogram>)],
    pub(crate) starts: Starts<'a>,
    pub(crate) histogram_starts: Starts<'a>,
    /// Which of the series' floats these are.
    pub(crate) floats: (usize, usize),
    /// Where the range starts, exclusive, in milliseconds.
    pub(crate) start: i64,
    /// Where it ends, inclusive.
    pub(crate) end: i64,
    /// The time of the step.
    pub(crate) at: i64,
}

impl Window<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.histograms.is_empty()
    }

    /// For how many samples it counts: a histogram for as many floats as take its memory.
    pub(crate) fn weight(&self) -> u64 {
        let histograms = self.histograms.iter().map(|(_, h)| super::size::samples_of(h)).sum::<u64>();
        self.values.len() as u64 + histograms
    }

    pub(crate) fn is_mixed(&self) -> bool {
        !self.values.is_empty() && !self.histograms.is_empty()
    }
}

/// What a function over windows may say and knows of its series.
pub(crate) struct Scope<'c, 'q> {
    pub(crate) cx: &'c Context<'q>,
    /// Where the range or the vector stands.
    pub(crate) span: Span,
    /// Where the first argument stands.
    pub(crate) arg_span: Span,
    pub(crate) metric_name: &'c str,
}

impl Scope<'_, '_> {
    fn quoted(&self) -> String {
        crate::lexer::quote(self.metric_name.as_bytes())
    }

    pub(crate) fn warn_about_metric(&self, text: &str) {
        self.cx.notes.warn(self.span, format!("{text} {}", self.quoted()));
    }

    pub(crate) fn info_about_metric(&self, text: &str) {
        self.cx.notes.info(self.span, format!("{text} {}", self.quoted()));
    }

    /// `text for metric name "x"`, or the text alone where there is no name.
    pub(crate) fn maybe_named(&self, text: &str) -> String {
        if self.metric_name.is_empty() {
            text.to_owned()
        } else {
            format!("{text} for metric name {}", self.quoted())
        }
    }

    pub(crate) fn warn_maybe_named(&self, text: &str) {
        self.cx.notes.warn(self.span, self.maybe_named(text));
    }

    pub(crate) fn info_maybe_named(&self, text: &str) {
        self.cx.notes.info(self.span, self.maybe_named(text));
    }

    pub(crate) fn warn_mixed(&self) {
        self.warn_about_metric("encountered a mix of histograms and floats for metric name");
    }

    pub(crate) fn warn_mixed_schemas(&self) {
        self.warn_about_metric(
            "vector contains a mix of histograms with exponential and custom buckets schemas for metric name",
        );
    }

    pub(crate) fn info_reconciled(&self, word: &str) {
        self.cx.notes.info(self.span, format!("mismatched custom buckets were reconciled during {word}"));
    }

    pub(crate) fn info_ignored_histograms(&self) {
        let text = "ignored histograms in a range containing both floats and histograms for metric name";
        self.cx.notes.info(self.arg_span, format!("{text} {}", self.quoted()));
    }
}

/// Slides over the samples of one series: both ends of the window only move forward.
pub(crate) struct Sliding<'a> {
    columns: &'a Columns,
    range_ms: i64,
    shift: Shift,
    floats: (usize, usize),
    histograms: (usize, usize),
}

impl<'a> Sliding<'a> {
    pub(crate) fn new(columns: &'a Columns, range_ms: i64, shift: Shift) -> Self {
        Self { columns, range_ms, shift, floats: (0, 0), histograms: (0, 0) }
    }

    /// The window at `step`; steps must be asked for in order.
    pub(crate) fn at(&mut self, grid: Grid, step: usize) -> Window<'a> {
        let at = grid.time(step);
        let end = self.shift.apply(at);
        let start = end.saturating_sub(self.range_ms);
        let times = &self.columns.timestamps;
        let histograms = &self.columns.histograms;
        advance(&mut self.floats.0, times.len(), |i| times[i].millis() <= start);
        advance(&mut self.floats.1, times.len(), |i| times[i].millis() <= end);
        advance(&mut self.histograms.0, histograms.len(), |i| histograms[i].0.millis() <= start);
        advance(&mut self.histograms.1, histograms.len(), |i| histograms[i].0.millis() <= end);
        let floats = self.floats.0..self.floats.1;
        let of_histograms = self.histograms.0..self.histograms.1;
        Window {
            times: &times[floats.clone()],
            values: &self.columns.values[floats.clone()],
            histograms: &histograms[of_histograms.clone()],
            starts: Starts::new(&self.columns.start_timestamps, floats),
            histogram_starts: Starts::new(&self.columns.histogram_start_timestamps, of_histograms),
            floats: self.floats,
            start,
            end,
            at,
        }
    }
}

fn advance(at: &mut usize, count: usize, passed: impl Fn(usize) -> bool) {
    while *at < count && passed(*at) {
        *at += 1;
    }
}
