//! Exemplars: single observations with labels of their own, the link from a series to a trace.

use crate::{Labels, Timestamp};

/// One observation behind a series, most often naming the trace it was made in.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// The exemplar's own labels, `trace_id` and `span_id` by custom; at most
    /// [`Exemplar::LABELS_CHARS_MAX`] characters in all.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// When it was observed.
    pub timestamp: Timestamp,
}

impl Exemplar {
    /// OpenMetrics 1.0 allows 128 UTF-8 characters over all names and values of an exemplar's labels.
    pub const LABELS_CHARS_MAX: usize = 128;

    /// Whether the labels are short enough to be kept.
    pub fn fits(&self) -> bool {
        let chars: usize = self.labels.iter().map(|(n, v)| n.chars().count() + v.chars().count()).sum();
        chars <= Self::LABELS_CHARS_MAX
    }
}
