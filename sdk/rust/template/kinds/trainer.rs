//! Finds what is above all there was.

use stormglass_sdk::{Detector, Error, History, Job, NoConfig, Plugin, Result, Scores, Trainer, export};

struct Hello {
    largest: f64,
}

impl Plugin for Hello {
    type Config = NoConfig;
    fn init(_config: NoConfig) -> Result<Self> {
        Ok(Hello { largest: f64::INFINITY })
    }
}

impl Trainer for Hello {
    fn train(&mut self, history: &History, _prior: &[u8]) -> Result<Vec<u8>> {
        let largest = history.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Ok(largest.to_string().into_bytes())
    }

    fn load(&mut self, model: &[u8]) -> Result<()> {
        let text = String::from_utf8_lossy(model);
        self.largest = text.parse().map_err(|_| Error::permanent("the model is no number"))?;
        Ok(())
    }
}

impl Detector for Hello {
    fn detect(&mut self, job: &Job) -> Result<Scores> {
        let scores = job.values.iter().map(|value| f64::from(u8::from(*value > self.largest)));
        Ok(Scores { scores: scores.collect(), lower: Vec::new(), upper: Vec::new() })
    }
}

export!(Hello: Detector, Trainer);
