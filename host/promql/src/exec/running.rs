//! What a function over ranges keeps from step to step, so that long ranges cost the samples that come and go
//! and not all that are in them.
//!
//! Only series of floats alone are treated so. Answers are those of a scan of each range: bit by bit for
//! extremes, quantiles and counters, within rounding for sums, spreads and lines, which are never subtracted
//! from, so that no error and no infinity outlives the sample that it came from.

mod folded;

use std::collections::VecDeque;
use std::ops::Range;

pub(crate) use folded::{Folded, Line, Spread};

use crate::functions::quantile;
use crate::functions::start::Starts;
use crate::kahan::Kahan;
use crate::plan::WindowFunction;
use crate::read::Columns;

/// Shorter ranges are scanned as fast.
const RANGE_SAMPLES_MIN: f64 = 16.0;

/// Larger values are scanned: whether a sum of them overflows depends on the order of additions.
const SUMMED_MAX: f64 = 1e280;

/// The same where values are squared.
const SQUARED_MAX: f64 = 1e140;

/// What is kept; ranges of samples must be asked for in order, both ends only moving forward.
pub(crate) enum Running<'a> {
    Extreme(Extreme<'a>),
    Sum { sum: Sum<'a>, mean: bool },
    Resets(Resets),
    Sorted(Sorted<'a>),
    Changes(Resets),
    Spread(Folded<'a, Spread>),
    Line(Folded<'a, Line>),
}

impl<'a> Running<'a> {
    /// What is kept for the function over this series, if anything is worth it.
    pub(crate) fn new(
        function: WindowFunction,
        columns: &'a Columns,
        range_ms: i64,
        step_ms: i64,
    ) -> Option<Self> {
        let values = &columns.values;
        let (first, last) = (columns.timestamps.first()?, columns.timestamps.last()?);
        let in_range = range_ms as f64 * values.len() as f64 / (last.since(*first).max(1) as f64);
        if !columns.histograms.is_empty() || range_ms <= step_ms || in_range < RANGE_SAMPLES_MIN {
            return None;
        }
        Some(match function {
            WindowFunction::Max | WindowFunction::TimeOfMax => Self::Extreme(Extreme::new(values, true)),
            WindowFunction::Min | WindowFunction::TimeOfMin => Self::Extreme(Extreme::new(values, false)),
            WindowFunction::Sum | WindowFunction::Avg => {
                if !values.iter().all(|value| value.abs() <= SUMMED_MAX) {
                    return None;
                }
                Self::Sum { sum: Sum::new(values), mean: function == WindowFunction::Avg }
            }
            WindowFunction::Rate | WindowFunction::Increase | WindowFunction::Resets => {
                Self::Resets(Resets::find(columns))
            }
            WindowFunction::Quantile => Self::Sorted(Sorted::new(values)),
            WindowFunction::Changes => Self::Changes(Resets::find_changes(columns)),
            WindowFunction::Stddev | WindowFunction::Stdvar
                if values.iter().all(|value| value.abs() <= SQUARED_MAX) =>
            {
                Self::Spread(Folded::new(&columns.timestamps, values, Spread::of))
            }
            WindowFunction::Deriv | WindowFunction::PredictLinear
                if values.iter().all(|value| value.abs() <= SQUARED_MAX) =>
            {
                Self::Line(Folded::new(&columns.timestamps, values, Line::of))
            }
            // The distance of infinities from each other is none.
            WindowFunction::Mad if values.iter().all(|value| value.is_finite()) => {
                Self::Sorted(Sorted::new(values))
            }
            _ => return None,
        })
    }
}

/// The largest or smallest value: what could still become it, in order, the best first.
pub(crate) struct Extreme<'a> {
    values: &'a [f64],
    max: bool,
    candidates: VecDeque<usize>,
    seen: usize,
}

impl<'a> Extreme<'a> {
    fn new(values: &'a [f64], max: bool) -> Self {
        Self { values, max, candidates: VecDeque::new(), seen: 0 }
    }

    /// Where it is; for equal ones the last. What is not a number counts only where nothing else is.
    pub(crate) fn at(&mut self, range: &Range<usize>) -> usize {
        for index in self.seen.max(range.start)..range.end {
            let value = self.values[index];
            if value.is_nan() {
                continue;
            }
            while let Some(last) = self.candidates.back().map(|i| self.values[*i]) {
                if if self.max { last > value } else { last < value } {
                    break;
                }
                self.candidates.pop_back();
            }
            self.candidates.push_back(index);
        }
        self.seen = self.seen.max(range.end);
        while self.candidates.front().is_some_and(|index| *index < range.start) {
            self.candidates.pop_front();
        }
        self.candidates.front().copied().unwrap_or(range.end - 1)
    }
}

/// A sum in two parts: one that only loses samples, kept as the sums of all its ends, and one that only gains.
pub(crate) struct Sum<'a> {
    values: &'a [f64],
    /// Sums of the samples from `base + i` to `middle`.
    ends: Vec<Kahan>,
    base: usize,
    middle: usize,
    /// Sum of the samples from `middle` to `seen`.
    gained: Kahan,
    seen: usize,
}

impl<'a> Sum<'a> {
    fn new(values: &'a [f64]) -> Self {
        Self { values, ends: Vec::new(), base: 0, middle: 0, gained: Kahan::ZERO, seen: 0 }
    }

    /// The sum over a range that is not empty.
    pub(crate) fn at(&mut self, range: &Range<usize>) -> f64 {
        if range.start >= self.middle {
            self.ends.clear();
            let mut sum = Kahan::ZERO;
            for value in self.values[range.clone()].iter().rev() {
                sum.add(*value);
                self.ends.push(sum);
            }
            self.ends.reverse();
            (self.base, self.middle) = (range.start, range.end);
            (self.gained, self.seen) = (Kahan::ZERO, range.end);
        }
        for value in &self.values[self.seen..range.end] {
            self.gained.add(*value);
        }
        self.seen = range.end;
        let mut sum = self.ends[range.start - self.base];
        sum.add(self.gained.sum);
        sum.compensation += self.gained.compensation;
        sum.total()
    }
}

/// Where a counter was reset, found once for all ranges.
pub(crate) struct Resets {
    /// The first samples after resets.
    at: Vec<usize>,
    /// What the counter had reached before each.
    lost: Vec<f64>,
    within: Range<usize>,
}

impl Resets {
    fn find(columns: &Columns) -> Self {
        let starts = Starts::new(&columns.start_timestamps, 0..columns.timestamps.len());
        let mut resets = Self { at: Vec::new(), lost: Vec::new(), within: 0..0 };
        for (index, pair) in columns.values.windows(2).enumerate() {
            if pair[1] < pair[0] || starts.restarted(index + 1, |i| columns.timestamps[i]) {
                resets.at.push(index + 1);
                resets.lost.push(pair[0]);
            }
        }
        resets
    }

    /// The same of changes, of which any makes a mark.
    fn find_changes(columns: &Columns) -> Self {
        let mut changes = Self { at: Vec::new(), lost: Vec::new(), within: 0..0 };
        for (index, pair) in columns.values.windows(2).enumerate() {
            if pair[0] != pair[1] && !(pair[0].is_nan() && pair[1].is_nan()) {
                changes.at.push(index + 1);
                changes.lost.push(pair[0]);
            }
        }
        changes
    }

    /// What was lost by the resets between samples of the range, in order.
    pub(crate) fn lost(&mut self, range: &Range<usize>) -> &[f64] {
        // The first sample of the range has none before it.
        while self.at.get(self.within.start).is_some_and(|at| *at <= range.start) {
            self.within.start += 1;
        }
        self.within.end = self.within.end.max(self.within.start);
        while self.at.get(self.within.end).is_some_and(|at| *at < range.end) {
            self.within.end += 1;
        }
        &self.lost[self.within.clone()]
    }
}

/// The values of a range in order, what is not a number first.
pub(crate) struct Sorted<'a> {
    values: &'a [f64],
    within: Range<usize>,
    sorted: Vec<f64>,
}

impl<'a> Sorted<'a> {
    fn new(values: &'a [f64]) -> Self {
        Self { values, within: 0..0, sorted: Vec::new() }
    }

    /// The values of a range.
    pub(crate) fn at(&mut self, range: &Range<usize>) -> &[f64] {
        let less = |a: &f64, b: &f64| quantile::order(a, b).is_lt();
        if range.start >= self.within.end {
            self.sorted.clear();
            self.sorted.extend_from_slice(&self.values[range.clone()]);
            self.sorted.sort_unstable_by(quantile::order);
        } else {
            for gone in &self.values[self.within.start..range.start] {
                let at = self.sorted.partition_point(|value| less(value, gone));
                self.sorted.remove(at);
            }
            for come in &self.values[self.within.end..range.end] {
                let at = self.sorted.partition_point(|value| less(value, come));
                self.sorted.insert(at, *come);
            }
        }
        self.within = range.clone();
        &self.sorted
    }
}

#[cfg(test)]
mod tests;
