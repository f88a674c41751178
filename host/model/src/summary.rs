//! What a run of floats comes to, without its samples; and the windows of a query, which say where that is enough.
//!
//! A [`Summary`] stands for one or more consecutive samples of one series. Everything that a function over a range
//! needs of samples that lie wholly within its window is here, and two summaries that follow each other make one.
//! Blocks keep summaries beside their chunks, and downsampled data consist of nothing else.

use crate::Timestamp;
use crate::staleness::is_stale;

/// What consecutive floats of one series come to. Stale markers are no samples and count for nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// When the first sample was observed.
    pub first_time: Timestamp,
    /// When the last one was.
    pub last_time: Timestamp,
    /// How many there are, at least one.
    pub count: u64,
    /// The first value.
    pub first: f64,
    /// The last value.
    pub last: f64,
    /// The least value; NaN only where every value is.
    pub min: f64,
    /// The greatest value; NaN only where every value is.
    pub max: f64,
    /// The sum, as far as one float holds it.
    pub sum: f64,
    /// What the sum has lost to rounding: `sum + sum_error` is closer (Kahan and Babuška).
    pub sum_error: f64,
    /// The sum of the squared differences from the mean (Welford): `count` times the variance.
    pub squares: f64,
    /// How often a value is less than the one before it: as a counter, it was reset there.
    pub resets: u64,
    /// The sum of the values before each reset: as a counter, it grew by `last - first + reset_sum`.
    pub reset_sum: f64,
    /// How often a value differs from the one before it; two NaNs do not differ.
    pub changes: u64,
}

impl Summary {
    /// One sample's own.
    pub const fn of_sample(time: Timestamp, value: f64) -> Self {
        Self {
            first_time: time,
            last_time: time,
            count: 1,
            first: value,
            last: value,
            min: value,
            max: value,
            sum: value,
            sum_error: 0.0,
            squares: if value.is_finite() { 0.0 } else { f64::NAN },
            resets: 0,
            reset_sum: 0.0,
            changes: 0,
        }
    }

    /// That of samples in order of time; `None` where there are none but stale markers. The two slices are of one
    /// length; what one has beyond the other is left out.
    pub fn of(times: &[Timestamp], values: &[f64]) -> Option<Self> {
        let mut samples = times.iter().zip(values).filter(|(_, value)| !is_stale(**value));
        let (time, value) = samples.next()?;
        let mut summary = Self::of_sample(*time, *value);
        samples.for_each(|(time, value)| summary.push(*time, *value));
        Some(summary)
    }

    /// Takes one later sample, which is not a stale marker.
    pub fn push(&mut self, time: Timestamp, value: f64) {
        self.append(&Self::of_sample(time, value));
    }

    /// Takes the samples of a summary that follows this one in time.
    pub fn append(&mut self, next: &Self) {
        if next.first < self.last {
            self.resets += 1;
            self.reset_sum += self.last;
        }
        self.changes += u64::from(next.first != self.last && !(next.first.is_nan() && self.last.is_nan()));
        self.resets += next.resets;
        self.reset_sum += next.reset_sum;
        self.changes += next.changes;
        // Chan, Golub and LeVeque: variances of two sets make that of both.
        let (count, added) = (self.count as f64, next.count as f64);
        let apart = next.mean() - self.mean();
        self.squares += next.squares + apart * apart * (count * added / (count + added));
        let (sum, lost) = add_compensated(self.sum, next.sum);
        let error = self.sum_error + next.sum_error + lost;
        // An infinite sum stays what it is, since its error means nothing.
        (self.sum, self.sum_error) = (sum, if sum.is_infinite() { 0.0 } else { error });
        // Comparisons with NaN are false: a number wins over it from either side.
        if next.min < self.min || self.min.is_nan() {
            self.min = next.min;
        }
        if next.max > self.max || self.max.is_nan() {
            self.max = next.max;
        }
        self.count += next.count;
        self.last = next.last;
        self.last_time = next.last_time;
    }

    /// The arithmetic mean.
    pub fn mean(&self) -> f64 {
        (self.sum + self.sum_error) / self.count as f64
    }
}

/// The sum of two floats and what rounding took from it, after Knuth.
fn add_compensated(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let added = sum - a;
    (sum, (a - (sum - added)) + (b - added))
}

/// The windows of a query over ranges: of `count` windows, number `i` holds the times after
/// `first_end + i * step_ms - range_ms` up to `first_end + i * step_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Where the first window ends, inclusive.
    pub first_end: Timestamp,
    /// From one end to the next in milliseconds; without meaning where there is one window.
    pub step_ms: i64,
    /// How many windows there are.
    pub count: u64,
    /// How long each one is in milliseconds.
    pub range_ms: i64,
}

impl Windows {
    /// The earliest time in any window.
    pub const fn start(&self) -> Timestamp {
        self.first_end.offset(self.range_ms.saturating_neg()).offset(1)
    }

    /// The latest time in any window.
    pub fn end(&self) -> Timestamp {
        let steps = i64::try_from(self.count.saturating_sub(1)).unwrap_or(i64::MAX);
        self.first_end.offset(self.step_ms.saturating_mul(steps))
    }

    /// Whether each window holds either all or none of the times from `first` to `last`: where it is so, a
    /// summary of them tells as much as they do.
    pub fn treat_alike(&self, first: Timestamp, last: Timestamp) -> bool {
        // A time on a border belongs to the window that ends there, the next one to what begins there.
        let begin = self.first_end.offset(self.range_ms.saturating_neg());
        !self.has_border(begin, first, last) && !self.has_border(self.first_end, first, last)
    }

    /// Whether one of the borders, of which `border` is the first, is in `[first, last)`.
    fn has_border(&self, border: Timestamp, first: Timestamp, last: Timestamp) -> bool {
        if last <= border {
            return false;
        }
        if first <= border {
            return self.count > 0;
        }
        let since = first.since(border);
        let step = self.step_ms.max(1);
        let number = (since / step) + i64::from(since % step != 0);
        u64::try_from(number).is_ok_and(|number| number < self.count)
            && border.offset(step.saturating_mul(number)) < last
    }
}

#[cfg(test)]
mod tests;
