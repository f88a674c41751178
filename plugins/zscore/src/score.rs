//! The arithmetic: `score = |value - median| / scale` over the window of values before.
//!
//! `scale` is 1.4826 times the median absolute deviation (MAD) from the median, which for normally distributed
//! values is their standard deviation, and of which up to half of the values may be outliers. Where more than half
//! equal the median, MAD is 0 though the others vary; then 1.2533 times the *mean* absolute deviation takes its
//! place, which measures the same in the normal case. Neither may be less than a floor of 0.1 % of the median plus
//! a billionth, so that the first flicker of a constant series is not an anomaly of infinite score.
//!
//! NaN and infinite values are no evidence: they never enter a window. A NaN has no score, though it has bounds.

use crate::Config;

/// Turns the median absolute deviation of a normal distribution into its standard deviation: 1 / Φ⁻¹(3/4).
const SIGMA_PER_MAD: f64 = 1.482_602_218_505_602;
/// Turns the mean absolute deviation of a normal distribution into its standard deviation: √(π/2).
const SIGMA_PER_MEAN_DEVIATION: f64 = 1.253_314_137_315_500_3;
/// Least scale as a part of the median: a tenth of a percent is noise in anything that is measured.
const FLOOR_RELATIVE: f64 = 1e-3;
/// Least scale where the median is 0.
const FLOOR_ABSOLUTE: f64 = 1e-9;

/// What there is to say of one value; NaN where there is nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged {
    pub(crate) score: f64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

/// Judges each value of one series, in order.
///
/// The window is kept sorted while it slides, so that a step costs time in proportion to the window and no sort.
pub(crate) fn score(values: &[f64], config: &Config, mut judge: impl FnMut(Judged)) {
    let mut sorted: Vec<f64> = Vec::new();
    for (step, value) in values.iter().enumerate() {
        if let Some(gone) = config.window.and_then(|window| step.checked_sub(window + 1)) {
            remove(&mut sorted, values[gone]);
        }
        judge(match centre_and_scale(&sorted) {
            Some((centre, scale)) if sorted.len() >= config.min_points => Judged {
                score: (value - centre).abs() / scale,
                lower: centre - config.threshold * scale,
                upper: centre + config.threshold * scale,
            },
            _ => Judged { score: f64::NAN, lower: f64::NAN, upper: f64::NAN },
        });
        insert(&mut sorted, *value);
    }
}

fn insert(sorted: &mut Vec<f64>, value: f64) {
    if value.is_finite() {
        let at = sorted.partition_point(|other| other.total_cmp(&value).is_lt());
        sorted.insert(at, value);
    }
}

fn remove(sorted: &mut Vec<f64>, value: f64) {
    if let Ok(at) = sorted.binary_search_by(|other| other.total_cmp(&value)) {
        sorted.remove(at);
    }
}

/// Median and scale of a window, unless it is empty.
fn centre_and_scale(sorted: &[f64]) -> Option<(f64, f64)> {
    let centre = median(sorted.len(), |index| sorted[index])?;
    let deviations = Deviations::new(sorted, centre);
    let mut mad = deviations.median() * SIGMA_PER_MAD;
    if mad == 0.0 {
        let sum: f64 = sorted.iter().map(|value| (value - centre).abs()).sum();
        mad = sum / sorted.len() as f64 * SIGMA_PER_MEAN_DEVIATION;
    }
    Some((centre, mad.max(FLOOR_RELATIVE * centre.abs() + FLOOR_ABSOLUTE)))
}

/// The median of `len` values, of which `at` yields those in the middle, the lower first.
fn median(len: usize, mut at: impl FnMut(usize) -> f64) -> Option<f64> {
    match (len, len % 2) {
        (0, _) => None,
        (_, 1) => Some(at(len / 2)),
        // Halved before they are added, since the sum of two large values may be infinite.
        _ => Some(at(len / 2 - 1) / 2.0 + at(len / 2) / 2.0),
    }
}

/// The absolute deviations of a sorted window from its centre, in rising order: those of the values below the
/// centre and those above it are each in order already, and are merged.
struct Deviations<'a> {
    /// Values below the centre, the nearest last.
    below: &'a [f64],
    /// The others, the nearest first.
    above: &'a [f64],
    centre: f64,
}

impl<'a> Deviations<'a> {
    fn new(sorted: &'a [f64], centre: f64) -> Self {
        let (below, above) = sorted.split_at(sorted.partition_point(|value| *value < centre));
        Self { below, above, centre }
    }

    fn median(mut self) -> f64 {
        let mut taken = 0;
        let mut latest = 0.0;
        median(self.below.len() + self.above.len(), |index| {
            while taken <= index {
                latest = self.next().unwrap_or(latest);
                taken += 1;
            }
            latest
        })
        .unwrap_or(0.0)
    }
}

impl Iterator for Deviations<'_> {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        let below = self.below.split_last().map(|(value, rest)| (self.centre - value, rest));
        let above = self.above.split_first().map(|(value, rest)| (value - self.centre, rest));
        match (below, above) {
            (Some((deviation, rest)), above) if above.is_none_or(|(other, _)| deviation <= other) => {
                self.below = rest;
                Some(deviation)
            }
            (_, Some((deviation, rest))) => {
                self.above = rest;
                Some(deviation)
            }
            _ => None,
        }
    }
}
