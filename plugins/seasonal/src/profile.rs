//! What one series does at each hour of the week.

use serde::{Deserialize, Serialize};

const HOUR_MS: i64 = 3_600_000;
const HOURS_OF_DAY: usize = 24;
const HOURS_OF_WEEK: usize = 7 * HOURS_OF_DAY;

/// Turns a median absolute deviation into a standard deviation, where values are normal.
const MAD_TO_DEVIATION: f64 = 1.4826;

/// The least deviation, as a share of the median: a series that never moves is not unusual for its first flutter.
const DEVIATION_SHARE_MIN: f64 = 0.01;

/// What one series does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Profile {
    /// Medians by the hour of the week, of which the first is that of the epoch; none where there were too few values.
    week: Vec<Option<f64>>,
    /// Medians by the hour of the day.
    day: Vec<Option<f64>>,
    /// The median of all; none for a series without values.
    all: Option<f64>,
    /// How far values lie from the median of their hour.
    deviation: f64,
}

fn hour(at_ms: i64, of: usize) -> usize {
    usize::try_from(at_ms.div_euclid(HOUR_MS).rem_euclid(of as i64)).unwrap_or(0)
}

impl Profile {
    pub(crate) fn learn(samples: impl Iterator<Item = (i64, f64)>, min_points: usize) -> Self {
        let samples: Vec<(i64, f64)> = samples.filter(|(_, value)| value.is_finite()).collect();
        let mut week = vec![Vec::new(); HOURS_OF_WEEK];
        let mut day = vec![Vec::new(); HOURS_OF_DAY];
        for (at_ms, value) in &samples {
            week[hour(*at_ms, HOURS_OF_WEEK)].push(*value);
            day[hour(*at_ms, HOURS_OF_DAY)].push(*value);
        }
        let medians = |hours: Vec<Vec<f64>>| -> Vec<Option<f64>> {
            hours
                .into_iter()
                .map(|mut values| median(&mut values).filter(|_| values.len() >= min_points))
                .collect()
        };
        let mut values: Vec<f64> = samples.iter().map(|(_, value)| *value).collect();
        let mut profile =
            Self { week: medians(week), day: medians(day), all: median(&mut values), deviation: 0.0 };
        let mut off: Vec<f64> = samples
            .iter()
            .filter_map(|(at_ms, value)| Some((value - profile.median(*at_ms)?).abs()))
            .collect();
        profile.deviation = median(&mut off).unwrap_or(0.0) * MAD_TO_DEVIATION;
        profile
    }

    /// What is expected at a time, and how far values lie from it; none for a series without values.
    pub(crate) fn at(&self, at_ms: i64) -> Option<(f64, f64)> {
        let median = self.median(at_ms)?;
        Some((median, self.deviation.max(median.abs() * DEVIATION_SHARE_MIN).max(f64::MIN_POSITIVE)))
    }

    fn median(&self, at_ms: i64) -> Option<f64> {
        let of = |medians: &[Option<f64>], hours| medians.get(hour(at_ms, hours)).copied().flatten();
        of(&self.week, HOURS_OF_WEEK).or_else(|| of(&self.day, HOURS_OF_DAY)).or(self.all)
    }
}

fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    let (_, median, _) =
        values.select_nth_unstable_by(middle.min(values.len().checked_sub(1)?), f64::total_cmp);
    Some(*median)
}
