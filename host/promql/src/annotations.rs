//! Annotations: what a query's author should know although the query has an answer.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::parser::Span;

/// Collects annotations during one query; each text is kept once, with the place where it came up first.
#[derive(Default)]
pub(crate) struct Annotations {
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    seen: BTreeSet<(bool, String)>,
    notes: Vec<(bool, String, Span)>,
}

impl Annotations {
    /// The result is doubtful.
    pub(crate) fn warn(&self, span: Span, mut text: String) {
        text.insert_str(0, "PromQL warning: ");
        self.add(true, text, span);
    }

    /// Something was left out or mended.
    pub(crate) fn info(&self, span: Span, mut text: String) {
        text.insert_str(0, "PromQL info: ");
        self.add(false, text, span);
    }

    fn add(&self, warning: bool, text: String, span: Span) {
        let mut found = self.found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if found.seen.insert((warning, text.clone())) {
            found.notes.push((warning, text, span));
        }
    }

    /// Warnings and infos, each with its place in `query`.
    pub(crate) fn finish(self, query: &str) -> (Vec<String>, Vec<String>) {
        let mut found = self.found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Threads come upon them in any order.
        found.notes.sort_by(|(_, a, at), (_, b, other)| (at.start, a).cmp(&(other.start, b)));
        let (mut warnings, mut infos) = (Vec::new(), Vec::new());
        for (warning, text, span) in found.notes {
            let (line, column) = span.line_column(query);
            let text = format!("{text} ({line}:{column})");
            if warning { &mut warnings } else { &mut infos }.push(text);
        }
        (warnings, infos)
    }
}
