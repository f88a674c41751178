//! `cargo xtask fuzz`: looks for inputs that a decoder does not survive, with libFuzzer.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::process::{Run, say};
use crate::target_dir;

/// How long one target is fuzzed unless told otherwise.
const SECONDS: u64 = 60;
/// No decoder needs more: one that allocates beyond it is a finding.
const RSS_MB_MAX: u64 = 1024;

/// Fuzzes the targets that `arguments` names, or all of them, one after the other. Inputs that open new paths are
/// kept under `target/fuzz` and are where the next run begins.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let (mut names, mut seconds) = (Vec::new(), SECONDS);
    for argument in arguments {
        match argument.strip_prefix("--seconds=") {
            Some(text) => seconds = text.parse().with_context(|| format!("read {argument}"))?,
            None if argument.starts_with('-') => bail!("unknown option {argument}; there is --seconds=N"),
            None => names.push(argument.clone()),
        }
    }
    let target = target_dir(root);
    let corpus = target.join("fuzz/corpus");
    Run::cargo(root)
        .args(["run", "--quiet", "--package", "fuzz", "--bin", "seeds", "--"])
        .arg(&corpus)
        .check()?;
    if names.is_empty() {
        let seeded = std::fs::read_dir(&corpus).context("list the targets")?;
        names = seeded
            .map(|entry| Ok(entry.context("list the targets")?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_>>()?;
        names.sort();
    }
    let tools = target.join("tools");
    let cargo_fuzz = tools.join("bin/cargo-fuzz");
    if !cargo_fuzz.exists() {
        say("cargo-fuzz is not installed; building it into target/tools");
        Run::cargo(root).args(["install", "--quiet", "cargo-fuzz", "--root"]).arg(&tools).check()?;
    }
    for name in &names {
        let dir = corpus.join(name);
        if !dir.is_dir() {
            bail!("there is no target {name}; tests/fuzz/fuzz_targets has one file for each");
        }
        // Without a sanitizer it works with a released compiler; this code base's own unsafe code is small.
        Run::new(&cargo_fuzz, root)
            .args(["run", "--fuzz-dir", "tests/fuzz", "--features", "libfuzzer", "--sanitizer", "none"])
            .arg("--target-dir")
            .arg(target.join("fuzz/build"))
            .arg(name)
            .arg(&dir)
            .arg("--")
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-rss_limit_mb={RSS_MB_MAX}"))
            .arg(format!("-artifact_prefix={}/", target.join("fuzz").display()))
            .check()
            .with_context(|| {
                format!("an input in target/fuzz breaks {name}: mend it and move the input to tests/fuzz/found/{name}")
            })?;
    }
    Ok(())
}
