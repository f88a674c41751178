//! `stormglass test`: runs test scripts, as Prometheus' own engine is tested with, and unit tests of rules.

pub(crate) mod rules;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use promql::script::{self, Report};

/// How many failures of one file are told; the rest is only counted.
const FAILURES_SHOWN_MAX: usize = 10;

/// Runs PromQL scripts: files, and every `*.test` file below folders.
pub(crate) fn promql(paths: &[PathBuf]) -> anyhow::Result<()> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    let (mut passed, mut failed) = (0, 0);
    for file in &files {
        let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let report = script::run(&text);
        println!("{}: {} passed, {} failed", file.display(), report.passed, report.failures.len());
        show_failures(file, &report);
        passed += report.passed;
        failed += report.failures.len();
    }
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        bail!("{failed} evaluations did not come out as expected");
    }
    Ok(())
}

/// A file that is named is run whatever it is called.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let context = || format!("list {}", path.display());
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .with_context(context)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .with_context(context)?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() || entry.extension().is_some_and(|extension| extension == "test") {
            collect(&entry, files)?;
        }
    }
    Ok(())
}

fn show_failures(file: &Path, report: &Report) {
    for failure in report.failures.iter().take(FAILURES_SHOWN_MAX) {
        println!("  {}:{}: {}\n    {}", file.display(), failure.line, failure.query, failure.reason);
    }
    let more = report.failures.len().saturating_sub(FAILURES_SHOWN_MAX);
    if more > 0 {
        println!("  and {more} more");
    }
}
