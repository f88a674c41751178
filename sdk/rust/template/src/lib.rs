//! Yields the answer.

use stormglass_sdk::{Collector, Metrics, NoConfig, Plugin, Result, collector};

struct Hello;

impl Plugin for Hello {
    type Config = NoConfig;
    fn init(_config: NoConfig) -> Result<Self> {
        Ok(Hello)
    }
}

impl Collector for Hello {
    fn collect(&mut self, out: &mut Metrics) -> Result<()> {
        out.gauge("hello_answer", "The answer.").set(&[("planet", "earth")], 42.0);
        Ok(())
    }
}

collector!(Hello);
