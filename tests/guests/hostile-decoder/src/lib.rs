//! A decoder that misbehaves in the way that its configuration names.

use std::hint::black_box;

use serde::Deserialize;
use stormglass_sdk::{Chunk, Consumed, Decoder, Plugin, Result, Samples, decoder, kv};

/// How to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Does what a plugin should.
    Ok,
    /// Never returns.
    Spin,
    /// Panics, with a message.
    Trap,
    /// Yields far too many series.
    Many,
    /// Yields what is no series.
    Nonsense,
    /// Says that it has done with more than it was given.
    Greedy,
    /// Asks the host for ever.
    Ask,
}

/// Series that `many` yields: more than any sensible limit.
const SERIES: u32 = 150_000;

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
        Ok(Self(config.mode))
    }
}

impl Decoder for Hostile {
    fn decode(&mut self, chunk: &Chunk, out: &mut Samples) -> Result<Consumed> {
        let mut bytes = chunk.data.len();
        match self.0 {
            Mode::Ok => out.add("hostile_decoded", &[], 1.0),
            Mode::Spin => loop {
                black_box(());
            },
            Mode::Trap => panic!("trapping as configured"),
            Mode::Many => {
                for index in 0..SERIES {
                    out.add("many", &[("i", &index.to_string())], 1.0);
                }
            }
            Mode::Nonsense => {
                out.add("nonsense", &[("", "empty")], 1.0);
                out.add("", &[], 1.0);
            }
            Mode::Greedy => bytes += 1,
            Mode::Ask => loop {
                black_box(kv::get("nothing")?);
            },
        }
        Ok(Consumed { bytes, ..Consumed::default() })
    }
}

decoder!(Hostile);
