//! Sums and means of many histograms, compensated for rounding in every bucket.

use std::sync::Arc;

use model::{Buckets, Histogram, ResetHint};

use super::arithmetic::{
    Incompatible, at_schema, bounds, combined_hint, compact, divided, on_bounds, reconcile_zero, scaled,
};
use crate::kahan::Kahan;

/// A running sum or mean. Rounding errors are kept as a histogram of their own.
pub(crate) struct HistogramSum {
    mean: bool,
    sum: Histogram,
    lost: Histogram,
    count: f64,
    /// The sum would not fit floats, so that the mean is moved step by step.
    incremental: bool,
    /// Whether some were marked as reset, and some as not.
    hints: (bool, bool),
    reconciled: bool,
}

/// A finished sum, and what came up on the way.
pub(crate) struct Summed {
    pub(crate) histogram: Histogram,
    pub(crate) reset_conflict: bool,
    pub(crate) bounds_reconciled: bool,
}

impl HistogramSum {
    pub(crate) fn new(first: &Histogram, mean: bool) -> Self {
        let lost = Histogram {
            zero_count: 0.0,
            count: 0.0,
            sum: 0.0,
            positive: Buckets::default(),
            negative: Buckets::default(),
            custom_values: first.custom_values.clone(),
            ..*first
        };
        let mut sum = Self {
            mean,
            sum: first.clone(),
            lost,
            count: 1.0,
            incremental: false,
            hints: (false, false),
            reconciled: false,
        };
        sum.note_hint(first);
        sum
    }

    fn note_hint(&mut self, h: &Histogram) {
        self.hints.0 |= h.reset_hint == ResetHint::Reset;
        self.hints.1 |= h.reset_hint == ResetHint::NotReset;
    }

    pub(crate) fn add(&mut self, h: &Histogram) -> Result<(), Incompatible> {
        if self.sum.has_custom_bounds() != h.has_custom_bounds() {
            return Err(Incompatible);
        }
        self.note_hint(h);
        self.count += 1.0;
        if self.mean && !self.incremental {
            let before = (self.sum.clone(), self.lost.clone());
            self.plain_add(h);
            if !overflows(&self.sum) {
                return Ok(());
            }
            self.incremental = true;
            let count = self.count - 1.0;
            (self.sum, self.lost) = (divided(&before.0, count), divided(&before.1, count));
        }
        if self.mean {
            let share = (self.count - 1.0) / self.count;
            (self.sum, self.lost) = (scaled(&self.sum, share), scaled(&self.lost, share));
            self.plain_add(&divided(h, self.count));
        } else {
            self.plain_add(h);
        }
        Ok(())
    }

    fn plain_add(&mut self, h: &Histogram) {
        let (reset_hint, _) = combined_hint(self.sum.reset_hint, h.reset_hint);
        let mut other = h.clone();
        if self.sum.has_custom_bounds() {
            if bounds(&self.sum) != bounds(h) {
                self.reconciled = true;
                let common: Arc<[f64]> =
                    bounds(&self.sum).iter().copied().filter(|b| bounds(h).contains(b)).collect();
                for side in [&mut self.sum, &mut self.lost, &mut other] {
                    side.positive = on_bounds(side, &common);
                    side.custom_values = Some(Arc::clone(&common));
                }
            }
        } else {
            let schema = self.sum.schema.min(h.schema);
            self.sum = at_schema(&self.sum, schema);
            self.lost = at_schema(&self.lost, schema);
            other = at_schema(&other, schema);
            reconcile_zero(&mut self.sum, &mut other);
            move_into_zero(&mut self.lost, self.sum.zero_threshold);
        }
        let add = |sum: &mut f64, lost: &mut f64, term: f64| {
            let mut kahan = Kahan { sum: *sum, compensation: *lost };
            kahan.add(term);
            (*sum, *lost) = (kahan.sum, kahan.compensation);
        };
        add(&mut self.sum.zero_count, &mut self.lost.zero_count, other.zero_count);
        add(&mut self.sum.count, &mut self.lost.count, other.count);
        add(&mut self.sum.sum, &mut self.lost.sum, other.sum);
        (self.sum.positive, self.lost.positive) =
            add_buckets(&self.sum.positive, &self.lost.positive, &other.positive);
        (self.sum.negative, self.lost.negative) =
            add_buckets(&self.sum.negative, &self.lost.negative, &other.negative);
        self.sum.reset_hint = reset_hint;
    }

    pub(crate) fn finish(mut self) -> Summed {
        if self.mean && !self.incremental {
            (self.sum, self.lost) = (divided(&self.sum, self.count), divided(&self.lost, self.count));
        }
        let total = |sum: f64, lost: f64| if sum.is_infinite() { sum } else { sum + lost };
        let buckets = |sum: &Buckets, lost: &Buckets| {
            let joined = outer_join(sum.iter(), lost.iter());
            Buckets::from_pairs(joined.into_iter().map(|(i, sum, lost)| (i, total(sum, lost))))
        };
        let (sum, lost) = (&self.sum, &self.lost);
        let histogram = Histogram {
            zero_count: total(sum.zero_count, lost.zero_count),
            count: total(sum.count, lost.count),
            sum: total(sum.sum, lost.sum),
            positive: buckets(&sum.positive, &lost.positive),
            negative: buckets(&sum.negative, &lost.negative),
            custom_values: sum.custom_values.clone(),
            ..*sum
        };
        Summed {
            histogram: compact(&histogram),
            reset_conflict: self.hints == (true, true),
            bounds_reconciled: self.reconciled,
        }
    }
}

fn overflows(h: &Histogram) -> bool {
    let buckets = h.positive.counts.iter().chain(&h.negative.counts);
    [h.zero_count, h.count, h.sum].iter().chain(buckets).any(|v| v.is_infinite())
}

/// Moves the buckets below a threshold that falls on a bound into the zero bucket.
fn move_into_zero(h: &mut Histogram, threshold: f64) {
    if h.zero_threshold == threshold {
        return;
    }
    h.zero_threshold = threshold;
    let mut moved = 0.0;
    let split = |buckets: &Buckets, moved: &mut f64, h: &Histogram| {
        let mut kept = Vec::with_capacity(buckets.counts.len());
        for (index, count) in buckets.iter() {
            if h.upper_bound(index.wrapping_sub(1)) >= threshold {
                kept.push((index, count));
            } else {
                *moved += count;
            }
        }
        Buckets::from_pairs(kept)
    };
    h.positive = split(&h.positive, &mut moved, h);
    h.negative = split(&h.negative, &mut moved, h);
    h.zero_count += moved;
}

fn add_buckets(sum: &Buckets, lost: &Buckets, other: &Buckets) -> (Buckets, Buckets) {
    let mut left = outer_join(sum.iter(), lost.iter()).into_iter().peekable();
    let mut right = other.iter().peekable();
    let (mut sums, mut losses) = (Vec::new(), Vec::new());
    loop {
        let index = match (left.peek(), right.peek()) {
            (Some((i, _, _)), Some((j, _))) => *i.min(j),
            (Some((i, _, _)), None) => *i,
            (None, Some((j, _))) => *j,
            (None, None) => return (Buckets::from_pairs(sums), Buckets::from_pairs(losses)),
        };
        let (_, sum, compensation) = left.next_if(|(i, _, _)| *i == index).unwrap_or((index, 0.0, 0.0));
        let term = right.next_if(|(j, _)| *j == index).map_or(0.0, |(_, count)| count);
        let mut kahan = Kahan { sum, compensation };
        kahan.add(term);
        sums.push((index, kahan.sum));
        losses.push((index, kahan.compensation));
    }
}

/// Both sides by index; what one side lacks is zero.
fn outer_join(
    a: impl Iterator<Item = (i32, f64)>,
    b: impl Iterator<Item = (i32, f64)>,
) -> Vec<(i32, f64, f64)> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    let mut joined = Vec::new();
    loop {
        let index = match (a.peek(), b.peek()) {
            (Some((i, _)), Some((j, _))) => *i.min(j),
            (Some((i, _)), None) => *i,
            (None, Some((j, _))) => *j,
            (None, None) => return joined,
        };
        let x = a.next_if(|(i, _)| *i == index).map_or(0.0, |(_, v)| v);
        let y = b.next_if(|(j, _)| *j == index).map_or(0.0, |(_, v)| v);
        joined.push((index, x, y));
    }
}
