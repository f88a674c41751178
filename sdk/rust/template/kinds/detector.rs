//! Finds what is above 100.

use stormglass_sdk::{Detector, Job, NoConfig, Plugin, Result, Scores, detector};

struct Hello;

impl Plugin for Hello {
    type Config = NoConfig;
    fn init(_config: NoConfig) -> Result<Self> {
        Ok(Hello)
    }
}

impl Detector for Hello {
    fn detect(&mut self, job: &Job) -> Result<Scores> {
        let scores = job.values.iter().map(|value| f64::from(u8::from(*value > 100.0)));
        Ok(Scores { scores: scores.collect(), lower: Vec::new(), upper: Vec::new() })
    }
}

detector!(Hello);
