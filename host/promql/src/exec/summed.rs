//! Functions over ranges of which storage tells what the samples come to, and not the samples.
//!
//! A summary stands for the samples between two times that every window holds all or none of. Answers are those
//! of the samples themselves, but for the order in which sums are rounded. Where storage has nothing finer than a
//! summary, that counts for the windows that hold its last time.

use std::ops::Range;

use model::{Summary, Timestamp};

use super::Grid;
use crate::functions::rate::{self, Kind, Observed};
use crate::kahan::Kahan;
use crate::plan::{Shift, WindowFunction};
use crate::read::Columns;

/// Whether summaries tell all that the function needs. Those of counters know nothing of start timestamps.
pub(crate) const fn suffices(function: WindowFunction, use_start_timestamps: bool) -> bool {
    use WindowFunction::{
        Avg, Changes, Count, Delta, First, Increase, Last, Max, Min, Present, Rate, Resets, Stddev, Stdvar,
        Sum, TimeOfFirst, TimeOfLast,
    };
    match function {
        Rate | Increase | Resets => !use_start_timestamps,
        Avg | Changes | Count | Delta | First | Last | Max | Min | Present | Stddev | Stdvar | Sum
        | TimeOfFirst | TimeOfLast => true,
        _ => false,
    }
}

/// Samples and summaries of a series in order of time, each sample as a summary of its own.
pub(crate) fn merged(columns: &Columns) -> Vec<Summary> {
    let mut all = Vec::with_capacity(columns.timestamps.len() + columns.summaries.len());
    let mut samples = columns.timestamps.iter().zip(&columns.values).peekable();
    for summary in &columns.summaries {
        while let Some((time, value)) = samples.next_if(|(time, _)| **time < summary.first_time) {
            all.push(Summary::of_sample(*time, *value));
        }
        all.push(*summary);
    }
    all.extend(samples.map(|(time, value)| Summary::of_sample(*time, *value)));
    all
}

/// Slides over the parts of one series: both ends of the window only move forward.
pub(crate) struct Parts<'a> {
    all: &'a [Summary],
    within: Range<usize>,
    range_ms: i64,
    shift: Shift,
}

/// What of a series one window holds.
pub(crate) struct Part<'a> {
    all: &'a [Summary],
    /// Where the range starts, exclusive, in milliseconds.
    start: i64,
    /// Where it ends, inclusive.
    end: i64,
}

impl<'a> Parts<'a> {
    pub(crate) fn new(all: &'a [Summary], range_ms: i64, shift: Shift) -> Self {
        Self { all, within: 0..0, range_ms, shift }
    }

    /// The window at `step`; steps must be asked for in order.
    pub(crate) fn at(&mut self, grid: Grid, step: usize) -> Part<'a> {
        let end = self.shift.apply(grid.time(step));
        let start = end.saturating_sub(self.range_ms);
        let passed =
            |at: usize, limit: i64| self.all.get(at).is_some_and(|part| part.last_time.millis() <= limit);
        let (mut from, mut to) = (self.within.start, self.within.end);
        while passed(from, start) {
            from += 1;
        }
        while passed(to, end) {
            to += 1;
        }
        self.within = from..to.max(from);
        Part { all: &self.all[self.within.clone()], start, end }
    }
}

impl Part<'_> {
    pub(crate) fn sample_count(&self) -> u64 {
        self.all.iter().map(|part| part.count).sum()
    }

    /// What the function makes of it.
    pub(crate) fn evaluate(&self, function: WindowFunction, range_ms: i64) -> Option<f64> {
        use WindowFunction as F;
        let (first, last) = (self.all.first()?, self.all.last()?);
        let counter = |per_second| Kind { counter: true, per_second };
        Some(match function {
            F::Rate => return self.rate(counter(true), range_ms),
            F::Increase => return self.rate(counter(false), range_ms),
            F::Delta => return self.rate(Kind { counter: false, per_second: false }, range_ms),
            F::Sum => self.sum(),
            F::Avg => self.sum() / self.sample_count() as f64,
            F::Min => self.all.iter().map(|part| part.min).fold(f64::NAN, f64::min),
            F::Max => self.all.iter().map(|part| part.max).fold(f64::NAN, f64::max),
            F::Count => self.sample_count() as f64,
            F::Present => 1.0,
            F::First => first.first,
            F::Last => last.last,
            F::TimeOfFirst => seconds(first.first_time),
            F::TimeOfLast => seconds(last.last_time),
            F::Stdvar => self.variance(),
            F::Stddev => self.variance().sqrt(),
            F::Changes => {
                let differs = |(a, b): (f64, f64)| a != b && !(a.is_nan() && b.is_nan());
                let between = self.borders().filter(|border| differs(*border)).count();
                self.all.iter().map(|part| part.changes).sum::<u64>() as f64 + between as f64
            }
            F::Resets => {
                let between = self.borders().filter(|(a, b)| b < a).count();
                self.all.iter().map(|part| part.resets).sum::<u64>() as f64 + between as f64
            }
            _ => return None,
        })
    }

    /// The last value of each part and the first of the next one.
    fn borders(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.all.windows(2).map(|pair| (pair[0].last, pair[1].first))
    }

    fn sum(&self) -> f64 {
        let mut sum = Kahan::ZERO;
        for part in self.all {
            sum.add(part.sum);
            sum.compensation += part.sum_error;
        }
        sum.total()
    }

    fn variance(&self) -> f64 {
        let mut parts = self.all.iter();
        let Some(mut whole) = parts.next().copied() else { return f64::NAN };
        parts.for_each(|part| whole.append(part));
        whole.squares / whole.count as f64
    }

    fn rate(&self, kind: Kind, range_ms: i64) -> Option<f64> {
        let (first, last) = (self.all.first()?, self.all.last()?);
        let intervals = usize::try_from(self.sample_count()).ok()?.checked_sub(1).filter(|n| *n > 0)?;
        let mut change = last.last - first.first;
        if kind.counter {
            for part in self.all {
                change += part.reset_sum;
            }
            change = self.borders().filter(|(a, b)| b < a).fold(change, |change, (lost, _)| change + lost);
        }
        let observed = Observed {
            first: first.first_time,
            last: last.last_time,
            intervals,
            started: None,
            value: first.first,
        };
        Some(change * rate::extrapolation((self.start, self.end), &observed, range_ms, kind, change))
    }
}

fn seconds(time: Timestamp) -> f64 {
    time.secs_f64()
}

#[cfg(test)]
mod tests;
