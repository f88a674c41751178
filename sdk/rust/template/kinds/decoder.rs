//! Reads lines of a name and a value.

use stormglass_sdk::{Chunk, Consumed, Decoder, NoConfig, Plugin, Result, Samples, decoder};

struct Hello;

impl Plugin for Hello {
    type Config = NoConfig;
    fn init(_config: NoConfig) -> Result<Self> {
        Ok(Hello)
    }
}

impl Decoder for Hello {
    fn decode(&mut self, chunk: &Chunk, out: &mut Samples) -> Result<Consumed> {
        let (lines, bytes) = chunk.lines();
        let mut consumed = Consumed { bytes, ..Consumed::default() };
        for line in lines {
            let line = String::from_utf8_lossy(line);
            match line.split_once(' ').and_then(|(name, value)| Some((name, value.parse().ok()?))) {
                Some((name, value)) => out.add_at(name, &[], value, None),
                None => consumed.reject(format!("no value: {line}")),
            }
        }
        Ok(consumed)
    }
}

decoder!(Hello);
