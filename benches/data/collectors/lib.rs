//! Yields as many series as it is told.

use serde::Deserialize;
use stormglass_sdk::{Collector, Metrics, Plugin, Result, collector};

#[derive(Deserialize)]
struct Many {
    series: u32,
}

impl Plugin for Many {
    type Config = Many;
    fn init(config: Many) -> Result<Self> {
        Ok(config)
    }
}

impl Collector for Many {
    fn collect(&mut self, out: &mut Metrics) -> Result<()> {
        for i in 0..self.series {
            out.gauge("many", "Many.").set(&[("i", &i.to_string())], f64::from(i));
        }
        Ok(())
    }
}

collector!(Many);
