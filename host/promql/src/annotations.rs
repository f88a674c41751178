//! Annotations: what a query's author should know although the query has an answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::functions::date;
use crate::number::{format_general, format_two_digits};
use crate::parser::Span;

/// Collects annotations during one query; each text is kept once, with the place where it came up first.
#[derive(Default)]
pub(crate) struct Annotations {
    found: Mutex<BTreeMap<(bool, String), Note>>,
}

struct Note {
    span: Span,
    mended: Option<Mended>,
}

/// Where the counts of classic buckets went down and were mended, over all samples of a metric.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mended {
    /// From the first time that it happened to the last, in milliseconds.
    pub(crate) times: (i64, i64),
    /// Upper bounds of the lowest and of the highest bucket.
    pub(crate) bounds: (f64, f64),
    /// The largest step down.
    pub(crate) diff: f64,
    pub(crate) samples: u64,
}

impl Mended {
    fn merge(&mut self, other: &Self) {
        self.times = (self.times.0.min(other.times.0), self.times.1.max(other.times.1));
        self.bounds = (self.bounds.0.min(other.bounds.0), self.bounds.1.max(other.bounds.1));
        self.diff = self.diff.max(other.diff);
        self.samples += other.samples;
    }

    fn text(&self) -> String {
        format!(
            "{MENDED_DETAIL}{} to {}, with a max diff of {}, over {} samples from {} to {}",
            format_general(self.bounds.0),
            format_general(self.bounds.1),
            format_two_digits(self.diff),
            self.samples,
            date::rfc3339(self.times.0 / 1000),
            date::rfc3339(self.times.1 / 1000)
        )
    }
}

/// What comes before the detail of a mended histogram; test scripts know the text without it.
pub(crate) const MENDED_DETAIL: &str = ", from buckets ";

impl Annotations {
    /// The result is doubtful.
    pub(crate) fn warn(&self, span: Span, mut text: String) {
        text.insert_str(0, "PromQL warning: ");
        self.add(true, text, span, None);
    }

    /// Something was left out or mended.
    pub(crate) fn info(&self, span: Span, mut text: String) {
        text.insert_str(0, "PromQL info: ");
        self.add(false, text, span, None);
    }

    /// The buckets of a classic histogram were mended.
    pub(crate) fn info_mended(&self, span: Span, mut text: String, mended: Mended) {
        text.insert_str(0, "PromQL info: ");
        self.add(false, text, span, Some(mended));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(bool, String), Note>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, warning: bool, text: String, span: Span, mended: Option<Mended>) {
        let mut found = self.lock();
        let note = found.entry((warning, text)).or_insert(Note { span, mended: None });
        // Threads come upon them in any order.
        if span.start < note.span.start {
            note.span = span;
        }
        match (&mut note.mended, mended) {
            (Some(known), Some(mended)) => known.merge(&mended),
            (known, mended) => *known = known.or(mended),
        }
    }

    /// Warnings and infos, each with its place in `query`.
    pub(crate) fn finish(self, query: &str) -> (Vec<String>, Vec<String>) {
        let found = self.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut notes: Vec<_> = found.into_iter().collect();
        notes.sort_by(|((_, a), note), ((_, b), other)| (note.span.start, a).cmp(&(other.span.start, b)));
        let (mut warnings, mut infos) = (Vec::new(), Vec::new());
        for ((warning, text), note) in notes {
            let (line, column) = note.span.line_column(query);
            let detail = note.mended.map(|mended| mended.text()).unwrap_or_default();
            let text = format!("{text}{detail} ({line}:{column})");
            if warning { &mut warnings } else { &mut infos }.push(text);
        }
        (warnings, infos)
    }
}
