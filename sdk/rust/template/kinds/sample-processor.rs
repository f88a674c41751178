//! Labels samples.

use stormglass_sdk::{Batch, NoConfig, Plugin, Result, SampleProcessor, sample_processor};

struct Hello;

impl Plugin for Hello {
    type Config = NoConfig;
    fn init(_config: NoConfig) -> Result<Self> {
        Ok(Hello)
    }
}

impl SampleProcessor for Hello {
    fn process(&mut self, batch: Batch) -> Result<Batch> {
        Ok(batch.rewrite(|labels| {
            labels.insert("planet".to_owned(), "earth".to_owned());
            true
        }))
    }
}

sample_processor!(Hello);
