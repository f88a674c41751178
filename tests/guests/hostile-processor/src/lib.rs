//! A processor of samples and spans that misbehaves in the way that its configuration names.

use std::hint::black_box;

use serde::Deserialize;
use stormglass_sdk::{Batch, Plugin, Result, SampleProcessor, SpanProcessor, Spans, export};

/// How to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Never returns.
    Spin,
    /// Panics, with a message.
    Trap,
    /// Answers what contradicts itself.
    Nonsense,
    /// Panics before anything is asked of it.
    Start,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    mode: Mode,
}

struct Hostile(Mode);

impl Plugin for Hostile {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = "true";

    fn init(config: Config) -> Result<Self> {
        assert!(config.mode != Mode::Start, "trapping before anything is asked");
        Ok(Self(config.mode))
    }
}

impl Hostile {
    /// Returns where the answer is to be nonsense.
    fn misbehave(&self) {
        match self.0 {
            Mode::Spin => loop {
                black_box(());
            },
            Mode::Trap => panic!("trapping as configured"),
            Mode::Nonsense | Mode::Start => {}
        }
    }
}

impl SampleProcessor for Hostile {
    fn process(&mut self, mut batch: Batch) -> Result<Batch> {
        self.misbehave();
        batch.label_refs.fill(u32::MAX);
        Ok(batch)
    }
}

impl SpanProcessor for Hostile {
    fn process(&mut self, mut spans: Spans) -> Result<Spans> {
        self.misbehave();
        for span in &mut spans.spans {
            span.trace_id.truncate(3);
            span.resource_index = u32::MAX;
        }
        Ok(spans)
    }
}

export!(Hostile: SampleProcessor, SpanProcessor);
