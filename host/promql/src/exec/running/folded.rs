//! Folds over sliding windows that take nothing back: samples come together in pairs of folds, never apart, so that
//! rounding errors do not outlive the samples that they came from.

use std::ops::Range;

use model::Timestamp;

/// What samples come to, and what two such things come to.
pub(crate) trait Merge: Copy {
    fn merge(self, later: Self) -> Self;
}

/// A fold in two parts: one that only loses samples, kept as the folds of all its ends, and one that only gains.
pub(crate) struct Folded<'a, T> {
    times: &'a [Timestamp],
    values: &'a [f64],
    of: fn(f64, f64) -> T,
    /// Folds of the samples from `base + i` to `middle`.
    ends: Vec<T>,
    base: usize,
    middle: usize,
    /// Fold of the samples from `middle` to `seen`.
    gained: Option<T>,
    seen: usize,
}

impl<'a, T: Merge> Folded<'a, T> {
    /// `of` makes one of a sample: its time, in seconds since the first one of the series, and its value.
    pub(crate) fn new(times: &'a [Timestamp], values: &'a [f64], of: fn(f64, f64) -> T) -> Self {
        Self { times, values, of, ends: Vec::new(), base: 0, middle: 0, gained: None, seen: 0 }
    }

    /// A time as folds know it.
    pub(crate) fn seconds(&self, millis: i64) -> f64 {
        let first = self.times.first().map_or(0, |first| first.millis());
        millis.saturating_sub(first) as f64 / 1000.0
    }

    fn one(&self, index: usize) -> T {
        (self.of)(self.seconds(self.times[index].millis()), self.values[index])
    }

    /// The fold over a range that is not empty.
    pub(crate) fn at(&mut self, range: &Range<usize>) -> Option<T> {
        if range.start >= self.middle {
            self.ends.clear();
            let mut fold: Option<T> = None;
            for index in range.clone().rev() {
                let one = self.one(index);
                let next = fold.map_or(one, |later| one.merge(later));
                self.ends.push(next);
                fold = Some(next);
            }
            self.ends.reverse();
            (self.base, self.middle) = (range.start, range.end);
            (self.gained, self.seen) = (None, range.end);
        }
        for index in self.seen..range.end {
            let one = self.one(index);
            self.gained = Some(self.gained.map_or(one, |before| before.merge(one)));
        }
        self.seen = self.seen.max(range.end);
        let end = *self.ends.get(range.start - self.base)?;
        Some(self.gained.map_or(end, |gained| end.merge(gained)))
    }
}

/// Mean and spread of values (Chan, Golub and LeVeque).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    pub(crate) fn of(_: f64, value: f64) -> Self {
        Self { count: 1.0, mean: value, squares: 0.0 }
    }

    pub(crate) fn variance(self) -> f64 {
        self.squares / self.count
    }
}

impl Merge for Spread {
    fn merge(self, later: Self) -> Self {
        let count = self.count + later.count;
        let apart = later.mean - self.mean;
        let share = later.count / count;
        Self {
            count,
            mean: self.mean + apart * share,
            squares: self.squares + later.squares + apart * apart * self.count * share,
        }
    }
}

/// What a straight line through samples needs: means, and how times and values go together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    count: f64,
    time: f64,
    value: f64,
    times: f64,
    both: f64,
    /// The value, where all are the same.
    constant: Option<f64>,
}

impl Line {
    pub(crate) fn of(time: f64, value: f64) -> Self {
        Self { count: 1.0, time, value, times: 0.0, both: 0.0, constant: Some(value) }
    }

    /// The slope and the value at `origin`; `None` with fewer than two samples.
    pub(crate) fn fit(self, origin: f64) -> Option<(f64, f64)> {
        if self.count < 2.0 {
            return None;
        }
        if let Some(constant) = self.constant {
            return Some((0.0, constant));
        }
        let slope = self.both / self.times;
        Some((slope, self.value + slope * (origin - self.time)))
    }
}

impl Merge for Line {
    fn merge(self, later: Self) -> Self {
        let count = self.count + later.count;
        let share = later.count / count;
        let (time, value) = (later.time - self.time, later.value - self.value);
        Self {
            count,
            time: self.time + time * share,
            value: self.value + value * share,
            times: self.times + later.times + time * time * self.count * share,
            both: self.both + later.both + time * value * self.count * share,
            constant: self.constant.filter(|constant| later.constant == Some(*constant)),
        }
    }
}
