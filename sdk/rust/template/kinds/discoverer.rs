//! Finds a target.

use stormglass_sdk::{
    Discoverer, Label, NoConfig, Plugin, Result, Snapshot, Target, TargetGroup, discoverer,
};

struct Hello;

impl Plugin for Hello {
    type Config = NoConfig;
    fn init(_config: NoConfig) -> Result<Self> {
        Ok(Hello)
    }
}

impl Discoverer for Hello {
    fn poll(&mut self) -> Result<Snapshot> {
        let labels = vec![Label::new("planet", "earth")];
        let targets = vec![Target { labels, ..Target::new("127.0.0.1:9100") }];
        Ok(Snapshot::new(vec![TargetGroup { source: "hello".to_owned(), targets, labels: Vec::new() }]))
    }
}

discoverer!(Hello);
