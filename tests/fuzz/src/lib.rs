//! What is fuzzed: every decoder of bytes that come from a disk, the network or a person.
//!
//! A [`Target`] takes any bytes, panics where a promise is broken, and brings some good inputs to begin with. The
//! same targets run in two ways:
//!
//! * under a fuzzer that looks for new paths through the code, as long as one likes: `cargo xtask fuzz TARGET`, or where
//!   there is no libFuzzer without looking, `cargo run --release -p fuzz --bin mutate -- SECONDS TARGET`;
//! * as ordinary tests, each over its seeds, over inputs that once broke something (`found/`), and over a fixed
//!   number of damaged copies of both.
//!
//! A new decoder gets a target here; a bug that a fuzzer finds leaves its input in `found/TARGET/`.

mod alerting;
pub mod damage;
mod formats;
mod model;
mod promql;
mod storage;
mod traces;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Something that takes any bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which is also that of its fuzzer.
    pub name: &'static str,
    /// Panics where the bytes break a promise.
    pub run: fn(&[u8]),
    /// Inputs that are read whole.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    formats::EXPOSITION_TEXT,
    formats::EXPOSITION_OPENMETRICS,
    formats::EXPOSITION_PROTOBUF,
    formats::OPENMETRICS_LINT,
    formats::REMOTE_WRITE,
    formats::REMOTE_READ,
    formats::OTLP_METRICS,
    formats::OTLP_TRACES,
    formats::DECOMPRESS,
    model::LABELS,
    promql::PROMQL,
    promql::PROMQL_SCRIPT,
    traces::TRACEQL,
    alerting::TEMPLATE,
    alerting::MATCHERS,
    storage::LOG,
    storage::LOG_RECORD,
    storage::BLOCK,
    storage::BLOCK_SECTION,
    storage::TOMBSTONES,
    storage::COLUMN,
];

/// Gives `bytes` to the target of that name.
///
/// # Panics
/// Where the target does, and where there is none of that name.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("there is no target {name}"));
    (target.run)(bytes);
}

impl Target {
    /// Its seeds, and what once broke it.
    ///
    /// # Errors
    /// The file system's.
    pub fn inputs(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut inputs = (self.seeds)();
        inputs.extend(self.found()?);
        Ok(inputs)
    }

    /// Inputs that once broke it, in the order of their names.
    fn found(&self) -> io::Result<Vec<Vec<u8>>> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("found").join(self.name);
        if !dir.is_dir() {
            return Ok(Vec::new());
        }
        let paths = fs::read_dir(&dir)?.map(|entry| Ok(entry?.path()));
        let mut paths = paths.collect::<io::Result<Vec<PathBuf>>>()?;
        paths.sort();
        paths.iter().map(fs::read).collect()
    }
}

/// Writes where each target's fuzzer begins to `dir/NAME/`.
///
/// # Errors
/// The file system's.
pub fn write_seeds(dir: &Path) -> io::Result<()> {
    for target in TARGETS {
        let dir = dir.join(target.name);
        fs::create_dir_all(&dir)?;
        for (number, bytes) in target.inputs()?.into_iter().enumerate() {
            fs::write(dir.join(format!("seed-{number}")), bytes)?;
        }
    }
    Ok(())
}
