//! One target: a recorded exporter that goes on.

use super::Recording;
use super::recording::RecordedSeries;

/// One time in four the next step is one of any place in the recording rather than the one that followed, so that
/// nothing repeats itself for long.
const JUMP_ONE_IN: u64 = 4;

/// An exporter's values at one moment. Each target takes the recorded steps in an order of its own; all series of one
/// target take the same, as they did when they were recorded.
#[derive(Debug, Clone)]
pub struct Target {
    random: u64,
    step: usize,
    /// Of the series that move, in their units.
    counts: Vec<i64>,
}

impl Target {
    /// The target of that number, at its first scrape.
    pub fn new(recording: &Recording, number: usize, seed: u64) -> Self {
        let random = (seed ^ 0x6c6f_6164).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number as u64;
        let counts = recording.moving.iter().map(|series| recording.series[*series].first).collect();
        let mut target = Self { random, step: 0, counts };
        target.step = (target.next_random() % recording.steps as u64) as usize;
        // Targets did not all start at once.
        for _ in 0..number % recording.steps {
            target.advance(recording);
        }
        target
    }

    /// One interval passes.
    pub fn advance(&mut self, recording: &Recording) {
        let random = self.next_random();
        self.step = match random % JUMP_ONE_IN {
            0 => (random / JUMP_ONE_IN) as usize % recording.steps,
            _ => (self.step + 1) % recording.steps,
        };
        for (count, series) in self.counts.iter_mut().zip(&recording.moving) {
            *count = moved(*count, &recording.series[*series], self.step);
        }
    }

    /// The value of every series, in the recording's order.
    pub fn values(&self, recording: &Recording, values: &mut Vec<f64>) {
        values.clear();
        values.extend(recording.series.iter().map(|series| series.unit.value(series.first)));
        for (count, series) in self.counts.iter().zip(&recording.moving) {
            values[*series] = recording.series[*series].unit.value(*count);
        }
    }

    /// splitmix64.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The count after a step. Where that leaves the recorded bounds, the step goes the other way, or stays out.
fn moved(count: i64, series: &RecordedSeries, step: usize) -> i64 {
    let step = series.steps[step];
    let Some((min, max)) = series.bounds else { return count + step };
    [count + step, count - step, count].into_iter().find(|next| (min..=max).contains(next)).unwrap_or(count)
}
