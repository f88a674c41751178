//! How far each value lies from what its series did just before, in robust standard deviations.
//!
//! Every value is compared with the window of values that precede it, itself left out, so that an outlier cannot
//! hide behind its own weight and a score never changes once its step has passed. [`score`] has the arithmetic.
//! Bounds are the values at which the score would be the threshold. After a lasting change of level the scores
//! fall back as soon as half of the window has seen the new level.

mod score;

use serde::Deserialize;
use stormglass_sdk::{Detector, Error, Job, Plugin, Result, Scores, detector};

/// The `config:` of the plugin's entry.
#[derive(Debug, Clone, Copy, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The score at the bounds.
    threshold: f64,
    /// How many steps before a value it is compared with; all there are where it is not set.
    window: Option<usize>,
    /// With fewer values than this in the window there is neither score nor bounds.
    min_points: usize,
}

impl Default for Config {
    /// 3.5 is what Iglewicz and Hoaglin recommend for modified z-scores ("How to Detect and Handle Outliers", 1993).
    fn default() -> Self {
        Self { threshold: 3.5, window: None, min_points: 10 }
    }
}

/// The plugin.
pub struct ZScore {
    config: Config,
}

impl Plugin for ZScore {
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
            "window": {
                "type": ["integer", "null"],
                "minimum": 2,
                "maximum": 1000000,
                "default": null,
                "description": "How many steps before a value it is compared with; all there are if absent."
            },
            "min_points": {
                "type": "integer",
                "minimum": 2,
                "maximum": 1000000,
                "default": 10,
                "description": "With fewer values than this in the window there is no score."
            }
        }
    }"#;

    fn init(config: Config) -> Result<Self> {
        match config.window {
            Some(window) if window < config.min_points => Err(Error::permanent(format!(
                "window of {window} steps never holds min_points = {} values; raise one or lower the other",
                config.min_points
            ))),
            _ => Ok(Self { config }),
        }
    }
}

impl Detector for ZScore {
    fn detect(&mut self, job: &Job) -> Result<Scores> {
        let expected = (job.series as usize).checked_mul(job.steps as usize);
        if expected != Some(job.values.len()) {
            return Err(Error::permanent(format!(
                "job has {} values for {} series of {} steps",
                job.values.len(),
                job.series,
                job.steps
            )));
        }
        let empty = || Vec::with_capacity(job.values.len());
        let mut scores = Scores { scores: empty(), lower: empty(), upper: empty() };
        for row in job.rows() {
            score::score(row, &self.config, |judged| {
                scores.scores.push(judged.score);
                scores.lower.push(judged.lower);
                scores.upper.push(judged.upper);
            });
        }
        Ok(scores)
    }
}

detector!(ZScore);

#[cfg(test)]
mod tests;
