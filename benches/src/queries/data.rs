//! The data that is asked: the same bytes to every server.
//!
//! Samples lie beside the steps at which queries are evaluated and beside the ends of their windows, never on them:
//! whether a window includes its left end has changed in Prometheus 3.

use std::io;

use formats::{TimeSeries, WriteRequest, remote_write};
use model::{Buckets, Histogram, Labels, Sample, Timestamp};

use super::SIZES;
use crate::{Kind, STEP_MS, Values};

/// How many steps are pushed for all series before the next ones are: servers take samples of different series out of
/// order only within limits.
const STEPS_PER_PASS: usize = 20;
/// How many series one request holds.
const SERIES_PER_REQUEST: usize = 500;
/// How many steps those series reach back that are many.
const RECENT_STEPS: usize = 10;
/// Samples are this much later than the steps.
const SHIFT_MS: i64 = 3_200;
/// A sparse series has a sample every so many steps.
const SPARSE_STEPS: usize = 20;
/// Upper bounds of the classic histograms.
const BOUNDS: [&str; 11] = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "+Inf"];

/// Which kind of series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// `a`: a counter that starts anew once in a while.
    Counter,
    /// `b`: a gauge.
    Gauge,
    /// `sparse`: a counter with few samples.
    Sparse,
    /// `h`: one bucket of a classic histogram.
    Bucket(usize),
    /// `n`: a native histogram.
    Native,
}

/// Some series, with the values that they have reached.
#[derive(Debug)]
pub struct Data {
    series: Vec<State>,
    steps: usize,
    end_ms: i64,
}

/// What a request is part of, for those who measure how fast requests are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// How many samples it holds.
    pub samples: usize,
}

#[derive(Debug)]
struct State {
    labels: Labels,
    shape: Shape,
    values: Values,
    counts: Vec<f64>,
    total: f64,
    /// The first step that it has a sample at.
    from: usize,
}

impl Data {
    /// The data of the templates: series of every size up to `size_max`, `steps` steps long until `end_ms`, which should be
    /// now: servers add series of their own, and take nothing that is much older than what they have.
    pub fn of_templates(size_max: usize, steps: usize, end_ms: i64) -> Self {
        let mut series = Vec::new();
        for (size, word) in SIZES.iter().filter(|(size, _)| *size <= size_max) {
            for number in 0..*size {
                series.push(State::new("a", word, number, Shape::Counter));
                series.push(State::new("b", word, number, Shape::Gauge));
                series.push(State::new("sparse", word, number, Shape::Sparse));
                series.push(State::new("n", word, number, Shape::Native));
                series.extend(
                    (0..BOUNDS.len()).map(|bucket| State::new("h", word, number, Shape::Bucket(bucket))),
                );
            }
        }
        Self { series, steps, end_ms }
    }

    /// Very many series: of `series` ones two in four are counters named `m`, one is a gauge named `k` that each second
    /// one of them can be joined with, and the rest stand by; all have samples at the last ten steps only. Beside them are
    /// `raw` gauges with samples at each of `steps` steps.
    pub fn of_many(series: usize, raw: usize, steps: usize, end_ms: i64) -> Self {
        let from = steps.saturating_sub(RECENT_STEPS);
        let many = (0..series).map(|number| {
            let (name, shape) =
                [("m", Shape::Counter), ("k", Shape::Gauge), ("m", Shape::Counter), ("o", Shape::Gauge)]
                    [number % 4];
            // Numbers of `m` and `k` meet where both are a multiple of two.
            State { from, ..State::new(name, "many", number / 4 * 2 + number % 4 / 2, shape) }
        });
        let raw = (0..raw).map(|number| State::new("raw", "many", number, Shape::Gauge));
        Self { series: many.chain(raw).collect(), steps, end_ms }
    }

    /// How many series there are.
    pub fn series_count(&self) -> usize {
        self.series.len()
    }

    /// Hands over the data, request by request, in the order in which servers take it.
    ///
    /// # Errors
    /// What `push` fails with.
    pub fn push(mut self, mut push: impl FnMut(Part, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let start_ms = self.end_ms - self.steps as i64 * STEP_MS;
        let mut from = 0;
        while from < self.steps {
            let to = (from + STEPS_PER_PASS).min(self.steps);
            for states in self.series.chunks_mut(SERIES_PER_REQUEST) {
                let series: Vec<TimeSeries> =
                    states.iter_mut().map(|state| state.advance(start_ms, from..to)).collect();
                let samples: usize = series.iter().map(|s| s.samples.len() + s.histograms.len()).sum();
                if samples == 0 {
                    continue;
                }
                let body = remote_write::encode(&WriteRequest { series, metadata: Vec::new() });
                push(Part { samples }, &body)?;
            }
            from = to;
        }
        Ok(())
    }
}

impl State {
    fn new(name: &str, size: &str, number: usize, shape: Shape) -> Self {
        let (l, g) = (number.to_string(), format!("g{}", number % 10));
        let bucket = if let Shape::Bucket(_) = shape { "_bucket" } else { "" };
        let name = format!("{name}_{size}{bucket}");
        let mut pairs = vec![("__name__", name.as_str()), ("g", &g), ("l", &l)];
        if let Shape::Bucket(bucket) = shape {
            pairs.push(("le", BOUNDS[bucket]));
        }
        let kind = match shape {
            Shape::Counter | Shape::Sparse => Kind::CpuSeconds,
            Shape::Gauge => Kind::Load,
            Shape::Bucket(_) | Shape::Native => Kind::Events,
        };
        let buckets = if shape == Shape::Native { 12 } else { 0 };
        Self {
            labels: Labels::from_pairs(pairs),
            shape,
            values: Values::new(kind, number as u64),
            counts: vec![0.0; buckets],
            total: 0.0,
            from: 0,
        }
    }

    /// The samples of some steps.
    fn advance(&mut self, start_ms: i64, steps: std::ops::Range<usize>) -> TimeSeries {
        let mut series = TimeSeries { labels: self.labels.clone(), ..TimeSeries::default() };
        for step in steps.start.max(self.from)..steps.end {
            let at = start_ms + step as i64 * STEP_MS + SHIFT_MS;
            let value = self.values.next_value();
            match self.shape {
                Shape::Counter => {
                    // Numbers without a common factor: resets of different series do not fall together.
                    let since = (step + self.labels.as_encoded().len()) % 397;
                    self.total = if since == 0 { 0.0 } else { self.total + value / 1000.0 % 10.0 };
                    series.samples.push(Sample::new(at, self.total));
                }
                Shape::Gauge => series.samples.push(Sample::new(at, value)),
                Shape::Sparse if step % SPARSE_STEPS == 0 => series.samples.push(Sample::new(at, value)),
                Shape::Sparse => {}
                Shape::Bucket(bucket) => {
                    // The same random numbers for all buckets of a histogram, so that they are cumulative.
                    let share = (bucket + 1) as f64 / BOUNDS.len() as f64;
                    series.samples.push(Sample::new(at, (value * share).floor()));
                }
                Shape::Native => series.histograms.push((Timestamp::from_millis(at), self.histogram(value))),
            }
        }
        series
    }

    /// The next native histogram: a few observations are added, most of them in the middle.
    fn histogram(&mut self, value: f64) -> Histogram {
        let middle = self.counts.len() / 2;
        for (bucket, count) in self.counts.iter_mut().enumerate() {
            let distance = bucket.abs_diff(middle);
            *count += ((value as usize >> distance) % (8 >> distance.min(3))) as f64;
        }
        let pairs = self.counts.iter().enumerate().map(|(bucket, count)| (bucket as i32 - 6, *count));
        let count = self.counts.iter().sum();
        self.total += 1.5;
        Histogram {
            schema: 3,
            zero_threshold: 1e-128,
            count,
            sum: self.total,
            positive: Buckets::from_pairs(pairs.filter(|(_, count)| *count > 0.0)),
            ..Histogram::stale()
        }
    }
}
