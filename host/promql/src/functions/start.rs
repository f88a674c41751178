//! Start timestamps: when the counter started that a sample is a reading of.
//!
//! They tell of resets that values do not show, and of where a counter stood at zero. A start at the time of
//! the sample itself means that it is unknown by convention of OpenTelemetry; one later than that is wrong.

use std::ops::Range;

use model::Timestamp;

use crate::read::UNKNOWN_START;

/// The start timestamps of the samples in a window; without any, nothing is known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Starts<'a>(&'a [Timestamp]);

impl<'a> Starts<'a> {
    /// Those of the samples in `range`; `all` is empty or has one for every sample of the series.
    pub(crate) fn new(all: &'a [Timestamp], range: Range<usize>) -> Self {
        Self(all.get(range).unwrap_or(&[]))
    }

    /// The start of one sample.
    pub(crate) fn get(&self, index: usize) -> Timestamp {
        self.0.get(index).copied().unwrap_or(UNKNOWN_START)
    }

    /// Whether the counter was started anew between the sample before `index` and that one.
    pub(crate) fn restarted(&self, index: usize, time: impl Fn(usize) -> Timestamp) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let before = (time(index - 1), self.get(index - 1));
        restarted(before, (time(index), self.get(index)))
    }

    /// Where the counter of the first sample, which is at `time`, started, if that is within the range.
    pub(crate) fn first_within(&self, range_start: i64, time: Timestamp) -> Option<Timestamp> {
        let start = self.get(0);
        (start != UNKNOWN_START && start.millis() > range_start && start < time).then_some(start)
    }
}

/// Whether the counter was started anew between two samples, each a time and a start.
pub(crate) fn restarted(before: (Timestamp, Timestamp), after: (Timestamp, Timestamp)) -> bool {
    let (time, start) = after;
    if start == UNKNOWN_START || start > time {
        return false;
    }
    // A counter that starts at the very time of the sample before goes on from it where that one's own start is
    // not known; readings of deltas start there and are not known to go on.
    let touches = start == before.0 && before.1 != UNKNOWN_START && before.1 < before.0;
    start > before.0 || touches
}
