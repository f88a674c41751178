//! A collector that misbehaves in the way that its configuration names, so that one file serves every test of
//! what the server must survive. Each mode does its harm in `collect`; `describe` and `init` are in order.

use std::hint::black_box;

use serde::Deserialize;
use stormglass_sdk::{Collector, Error, Metrics, Plugin, Result, collector, kv, log};

/// Log lines of one flood: far over any sensible limit, and still quick to write.
const FLOOD_LINES: u32 = 100_000;

/// What one step of `allocate` takes: little enough that the limit, not the step, ends it.
const ALLOCATE_STEP_BYTES: usize = 1 << 20;

/// Bytes of the text that `oversize` yields: more than a collection may be, less than a guest's memory.
const OVERSIZE_BYTES: usize = 24 << 20;

/// How to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Yields one sample, as a plugin should.
    Ok,
    /// Never returns.
    Spin,
    /// Takes memory until there is none.
    Allocate,
    /// Panics, with a message.
    Trap,
    /// Calls itself until the stack ends.
    Recurse,
    /// Floods the log, then yields one sample.
    Flood,
    /// Yields a text of many megabytes.
    Oversize,
    /// Yields `series` series.
    Many,
    /// Asks the host for ever.
    Ask,
    /// Says that it failed.
    Fail,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    mode: Mode,
    #[serde(default)]
    series: u32,
}

struct Hostile {
    mode: Mode,
    series: u32,
}

impl Plugin for Hostile {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = r#"{
        "type": "object",
        "additionalProperties": false,
        "required": ["mode"],
        "properties": {
            "mode": {"enum": ["ok", "spin", "allocate", "trap", "recurse", "flood", "oversize", "many", "ask", "fail"]},
            "series": {"type": "integer", "minimum": 0}
        }
    }"#;

    fn init(config: Config) -> Result<Self> {
        Ok(Self { mode: config.mode, series: config.series })
    }
}

impl Collector for Hostile {
    fn collect(&mut self, out: &mut Metrics) -> Result<()> {
        match self.mode {
            Mode::Ok | Mode::Many => {}
            Mode::Ask => loop {
                black_box(kv::get("nothing")?);
            },
            Mode::Fail => return Err(Error::permanent("failing as configured")),
            Mode::Spin => loop {
                black_box(());
            },
            Mode::Allocate => {
                let mut held: Vec<Vec<u8>> = Vec::new();
                loop {
                    held.push(black_box(vec![1; ALLOCATE_STEP_BYTES]));
                }
            }
            Mode::Trap => panic!("trapping as configured"),
            Mode::Recurse => {
                black_box(recurse(0));
            }
            Mode::Flood => {
                for line in 0..FLOOD_LINES {
                    log::info!("flood line {line}");
                }
            }
            Mode::Oversize => {
                let line = "hostile_filler 1\n";
                out.text(line.repeat(OVERSIZE_BYTES / line.len()));
                return Ok(());
            }
        }
        if self.mode == Mode::Many {
            let mut many = out.gauge("many", "Many.");
            for index in 0..self.series {
                many.set(&[("i", &index.to_string())], 1.0);
            }
        }
        out.gauge("hostile_collected", "1 when a collection got to its end.").set(&[], 1.0);
        Ok(())
    }
}

/// Descends without end. The frame is looked at after the call, so that no compiler makes a loop of it.
#[expect(unconditional_recursion, reason = "ending the stack is its purpose")]
fn recurse(depth: u64) -> u64 {
    let frame = [depth; 16];
    let below = recurse(depth + 1);
    black_box(&frame)[0] ^ below
}

collector!(Hostile);
