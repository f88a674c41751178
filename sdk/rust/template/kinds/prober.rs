//! Probes what it is told.

use stormglass_sdk::{Label, Metrics, NoConfig, Plugin, Prober, Result, prober};

struct Hello;

impl Plugin for Hello {
    type Config = NoConfig;
    fn init(_config: NoConfig) -> Result<Self> {
        Ok(Hello)
    }
}

impl Prober for Hello {
    fn probe(&mut self, target: &str, _params: &[Label], out: &mut Metrics) -> Result<()> {
        let bytes = target.len() as f64;
        out.gauge("hello_target_bytes", "How long the target's name is.").set(&[("target", target)], bytes);
        Ok(())
    }
}

prober!(Hello);
