//! How easily a moment is told from all others, over all series of one query together: an isolation forest.
//!
//! A step is a point whose coordinates are the values of the series. Trees split points at random places of random
//! coordinates; a point that few splits isolate is unusual, even where each of its coordinates is ordinary by itself,
//! such as traffic at its usual height with latency at its usual height that do not occur together. [`forest`] has the
//! arithmetic and its source. All series of a step have its score: it is the step that is unusual.
//!
//! One entry is one model: what belongs together is what the entry's expression selects. Training makes the forest from
//! history; without training it is grown from the job itself, of which outliers are a part then.

mod forest;

use serde::Deserialize;
use stormglass_sdk::{Detector, Error, History, Job, Plugin, Result, Scores, Trainer, export};

use self::forest::{Forest, Growth, Points};

/// The `config:` of the plugin's entry.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    trees: usize,
    /// How many points each tree sees.
    sample: usize,
    /// With fewer points than this there is no forest.
    min_points: usize,
    /// Where randomness begins: the same points then make the same forest.
    seed: u64,
}

impl Default for Config {
    /// Trees and sample are what the authors of the method found enough.
    fn default() -> Self {
        Self { trees: 100, sample: 256, min_points: 64, seed: 1 }
    }
}

impl Config {
    fn growth(&self) -> Growth {
        Growth { trees: self.trees, sample: self.sample, seed: self.seed }
    }
}

/// The plugin.
pub struct IsolationForest {
    config: Config,
    forest: Option<Forest>,
}

impl Plugin for IsolationForest {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "trees": {
                "type": "integer", "minimum": 1, "maximum": 1000, "default": 100,
                "description": "How many trees there are."
            },
            "sample": {
                "type": "integer", "minimum": 2, "maximum": 4096, "default": 256,
                "description": "How many points each tree sees."
            },
            "min_points": {
                "type": "integer", "minimum": 2, "default": 64,
                "description": "With fewer points than this there is no forest."
            },
            "seed": {
                "type": "integer", "minimum": 0, "default": 1,
                "description": "Where randomness begins: the same points then make the same forest."
            }
        }
    }"#;

    fn init(config: Config) -> Result<Self> {
        Ok(Self { config, forest: None })
    }
}

impl IsolationForest {
    fn grow(&self, points: &Points<'_>) -> Option<Forest> {
        (points.usable() >= self.config.min_points).then(|| Forest::grow(points, self.config.growth()))
    }
}

impl Detector for IsolationForest {
    fn detect(&mut self, job: &Job) -> Result<Scores> {
        let points = Points::new(&job.values, job.series as usize, job.steps as usize);
        let grown = if self.forest.is_none() { self.grow(&points) } else { None };
        let forest = self.forest.as_ref().or(grown.as_ref());
        let mut of_steps = vec![f64::NAN; job.steps as usize];
        if let Some(forest) = forest {
            for (step, score) in of_steps.iter_mut().enumerate() {
                *score = forest.score(&points, step);
            }
        }
        let known = forest.map_or(0, Forest::coordinates);
        let scores = job.rows().enumerate().flat_map(|(series, values)| {
            values.iter().zip(&of_steps).map(move |(value, score)| {
                // A series that is missing, or that the forest has never seen, has no part in the score.
                if value.is_nan() || series >= known { f64::NAN } else { *score }
            })
        });
        Ok(Scores { scores: scores.collect(), lower: Vec::new(), upper: Vec::new() })
    }
}

impl Trainer for IsolationForest {
    fn train(&mut self, history: &History, _prior: &[u8]) -> Result<Vec<u8>> {
        let points = Points::new(&history.values, history.series as usize, history.steps as usize);
        let forest = self.grow(&points).ok_or_else(|| {
            let what =
                format!("{} points are too few: min_points is {}", points.usable(), self.config.min_points);
            Error::permanent(what)
        })?;
        Ok(serde_json::to_vec(&forest)?)
    }

    fn load(&mut self, model: &[u8]) -> Result<()> {
        let forest: Forest = serde_json::from_slice(model)
            .map_err(|error| Error::permanent(format!("model of another version: {error}")))?;
        forest.check().map_err(Error::permanent)?;
        self.forest = Some(forest);
        Ok(())
    }
}

export!(IsolationForest: Detector, Trainer);

#[cfg(test)]
mod tests;
