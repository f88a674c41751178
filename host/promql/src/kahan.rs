//! Compensated summation after Kahan and Babuška: the rounding errors of a sum are summed apart.

/// A running sum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kahan {
    pub(crate) sum: f64,
    pub(crate) compensation: f64,
}

impl Kahan {
    pub(crate) const ZERO: Self = Self { sum: 0.0, compensation: 0.0 };

    /// Adds a term. An infinite sum stays what it is, since its error means nothing.
    pub(crate) fn add(&mut self, term: f64) {
        let total = self.sum + term;
        // What the addition lost, after Knuth, without asking which of the two is larger.
        let added = total - self.sum;
        let lost = (self.sum - (total - added)) + (term - added);
        self.compensation = if total.is_infinite() { 0.0 } else { self.compensation + lost };
        self.sum = total;
    }

    pub(crate) fn total(self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.compensation }
    }
}

/// A running mean. It sums while that fits a float, and moves the mean step by step after that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mean {
    sum: Kahan,
    count: f64,
    incremental: bool,
}

impl Mean {
    pub(crate) const EMPTY: Self = Self { sum: Kahan::ZERO, count: 0.0, incremental: false };

    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.incremental {
            let mut next = self.sum;
            next.add(value);
            if self.count == 1.0 || !next.sum.is_infinite() {
                self.sum = next;
                return;
            }
            // The sum no longer fits: go on with the mean of what came before.
            self.incremental = true;
            self.sum.sum /= self.count - 1.0;
            self.sum.compensation /= self.count - 1.0;
        }
        let mean = self.sum.sum;
        if mean.is_infinite() {
            if value.is_infinite() && (mean > 0.0) == (value > 0.0) {
                return;
            }
            if !value.is_infinite() && !value.is_nan() {
                return;
            }
        }
        let share = (self.count - 1.0) / self.count;
        let mut next = Kahan { sum: share * mean, compensation: share * self.sum.compensation };
        next.add(value / self.count);
        self.sum = next;
    }

    pub(crate) fn total(self) -> f64 {
        if self.incremental {
            self.sum.sum + self.sum.compensation
        } else {
            (self.sum.sum + self.sum.compensation) / self.count
        }
    }
}
