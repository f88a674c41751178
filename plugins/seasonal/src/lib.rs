//! How far each value lies from what its series does at this hour of the week, in robust standard deviations.
//!
//! Training takes the median of each series for every hour of the week (in UTC) and how far values lie from it (the
//! median absolute deviation, over all hours). An hour that has been seen too rarely falls back on the hour of the day,
//! and that on the whole series. A series that was not there when the detector was trained has no score until it is
//! trained again. Bounds are the values at which the score would be the threshold.

mod profile;

use serde::Deserialize;
use stormglass_sdk::{Detector, Error, History, Job, Plugin, Result, Scores, Trainer, export};

use self::profile::Profile;

/// The `config:` of the plugin's entry.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The score at the bounds.
    threshold: f64,
    /// With fewer values than this an hour is not believed.
    min_points: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { threshold: 3.5, min_points: 8 }
    }
}

struct Seasonal {
    config: Config,
    profiles: Vec<Profile>,
}

impl Plugin for Seasonal {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "threshold": {
                "type": "number",
                "exclusiveMinimum": 0,
                "default": 3.5,
                "description": "The score at the bounds."
            },
            "min_points": {
                "type": "integer",
                "minimum": 1,
                "default": 8,
                "description": "With fewer values than this an hour of the week is not believed."
            }
        }
    }"#;

    fn init(config: Config) -> Result<Self> {
        Ok(Self { config, profiles: Vec::new() })
    }
}

impl Detector for Seasonal {
    fn detect(&mut self, job: &Job) -> Result<Scores> {
        let empty = || Vec::with_capacity(job.values.len());
        let mut scores = Scores { scores: empty(), lower: empty(), upper: empty() };
        for (row, values) in job.rows().enumerate() {
            for (step, value) in values.iter().enumerate() {
                let at_ms = time(job.start_ms, job.step_ms, step);
                let expected = self.profiles.get(row).and_then(|profile| profile.at(at_ms));
                let Some((median, deviation)) = expected else {
                    scores.scores.push(f64::NAN);
                    scores.lower.push(f64::NAN);
                    scores.upper.push(f64::NAN);
                    continue;
                };
                scores.scores.push((value - median).abs() / deviation);
                scores.lower.push(median - self.config.threshold * deviation);
                scores.upper.push(median + self.config.threshold * deviation);
            }
        }
        Ok(scores)
    }
}

impl Trainer for Seasonal {
    fn train(&mut self, history: &History, _prior: &[u8]) -> Result<Vec<u8>> {
        let steps = (history.steps as usize).max(1);
        let profiles: Vec<Profile> = history
            .values
            .chunks_exact(steps)
            .map(|values| {
                let times = (0..steps).map(|step| time(history.start_ms, history.step_ms, step));
                Profile::learn(times.zip(values.iter().copied()), self.config.min_points)
            })
            .collect();
        Ok(serde_json::to_vec(&profiles)?)
    }

    fn load(&mut self, model: &[u8]) -> Result<()> {
        self.profiles = serde_json::from_slice(model)
            .map_err(|error| Error::permanent(format!("model of another version: {error}")))?;
        Ok(())
    }
}

/// The time of a step in milliseconds.
fn time(start_ms: i64, step_ms: u64, step: usize) -> i64 {
    let past = step_ms.saturating_mul(step as u64);
    start_ms.saturating_add(i64::try_from(past).unwrap_or(i64::MAX))
}

export!(Seasonal: Detector, Trainer);

#[cfg(test)]
mod tests {
    use stormglass_sdk::testing;

    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    /// Two weeks of hours: high by day on weekdays, low otherwise.
    fn history() -> History {
        let steps = 24 * 14 * 4;
        let value = |step: i64| {
            let hour = step / 4;
            // The epoch was a Thursday.
            let (day, hour) = ((hour / 24 + 4) % 7, hour % 24);
            let noise = f64::from((step % 3) as i32 - 1);
            if (1..=5).contains(&day) && (8..18).contains(&hour) { 100.0 + noise } else { 10.0 + noise }
        };
        History {
            start_ms: 0,
            step_ms: (HOUR_MS / 4) as u64,
            steps: steps as u32,
            series: 1,
            values: (0..steps).map(value).collect(),
        }
    }

    fn scores(plugin: &mut Seasonal, at_ms: i64, value: f64) -> (f64, f64, f64) {
        let job = Job { start_ms: at_ms, step_ms: 1000, steps: 1, series: 1, values: vec![value] };
        let scores = plugin.detect(&job).unwrap();
        (scores.scores[0], scores.lower[0], scores.upper[0])
    }

    #[test]
    fn the_same_value_is_ordinary_by_day_and_unusual_by_night() {
        let mut plugin: Seasonal = testing::init("{}").unwrap();
        let model = plugin.train(&history(), &[]).unwrap();
        plugin.load(&model).unwrap();
        // Monday, four days after the epoch, at noon and at three in the night; Sunday at noon.
        let (noon, night, sunday) =
            ((4 * 24 + 12) * HOUR_MS, (4 * 24 + 3) * HOUR_MS, (3 * 24 + 12) * HOUR_MS);
        assert!(scores(&mut plugin, noon, 101.0).0 < 3.5);
        assert!(scores(&mut plugin, night, 101.0).0 > 20.0);
        assert!(scores(&mut plugin, sunday, 101.0).0 > 20.0);
        let (_, lower, upper) = scores(&mut plugin, noon, 100.0);
        assert!(lower < 100.0 && 100.0 < upper && upper < 120.0, "{lower} {upper}");
    }

    #[test]
    fn without_a_model_there_is_no_opinion() {
        let mut plugin: Seasonal = testing::init("{}").unwrap();
        assert!(scores(&mut plugin, 0, 1.0).0.is_nan());
        assert!(plugin.load(b"something else").is_err());
    }

    #[test]
    fn an_hour_that_was_never_seen_falls_back_on_the_day() {
        let mut plugin: Seasonal = testing::init("{}").unwrap();
        let mut history = history();
        // Thursday and Friday alone.
        history.steps = 24 * 2 * 4;
        history.values.truncate(history.steps as usize);
        let model = plugin.train(&history, &[]).unwrap();
        plugin.load(&model).unwrap();
        let monday_noon = (4 * 24 + 12) * HOUR_MS;
        assert!(scores(&mut plugin, monday_noon, 100.0).0 < 3.5);
    }
}
