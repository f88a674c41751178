//! `cargo xtask test`: builds what the tests need, runs every test of the workspace, and counts.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::{Context as _, Result};

use crate::guests;
use crate::process::{Run, say};
use crate::services;
use crate::target_dir;
use crate::toolchains;

/// What a run of tests came to.
#[derive(Default)]
struct Count {
    passed: u64,
    failed: u64,
}

pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    guests::build(root, "plugins", "plugins")?;
    guests::build(root, "tests/guests", "test-plugins")?;
    let path = toolchains::install(root)?;
    services::install(root);
    say("building the server for the end-to-end tests");
    Run::cargo(root).args(["build", "--package", "server"]).check()?;
    let target = target_dir(root);
    let run = Run::cargo(root)
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(arguments)
        .env("STORMGLASS_SERVER", target.join("debug/stormglass"))
        .env("STORMGLASS_PLUGINS", target.join("plugins"))
        .env("STORMGLASS_TEST_PLUGINS", target.join("test-plugins"))
        .env("STORMGLASS_TOOLCHAINS", path);
    say(&run.line());
    let (success, count) = run_and_count(run)?;
    println!("{} passed, {} failed", count.passed, count.failed);
    Ok(if success && count.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the tests, passes on what they print, and adds up the closing line of each binary.
fn run_and_count(run: Run) -> Result<(bool, Count)> {
    let line = run.line();
    let mut child =
        run.into_command().stdout(Stdio::piped()).spawn().with_context(|| format!("start {line}"))?;
    let mut count = Count::default();
    let printed = child.stdout.take().context("read what the tests print")?;
    for text in BufReader::new(printed).lines() {
        let text = text.context("read what the tests print")?;
        if let Some((passed, failed)) = closing_line(&text) {
            count.passed += passed;
            count.failed += failed;
        }
        writeln!(std::io::stdout(), "{text}").context("print")?;
    }
    let status = child.wait().with_context(|| format!("wait for {line}"))?;
    Ok((status.success(), count))
}

/// `test result: ok. 3 passed; 0 failed; …` as (3, 0).
fn closing_line(text: &str) -> Option<(u64, u64)> {
    let (_, counts) = text.strip_prefix("test result: ")?.split_once(". ")?;
    let mut parts = counts.split("; ");
    let passed = parts.next()?.strip_suffix(" passed")?.parse().ok()?;
    let failed = parts.next()?.strip_suffix(" failed")?.parse().ok()?;
    Some((passed, failed))
}

#[cfg(test)]
mod unit {
    use super::closing_line;

    #[test]
    fn closing_lines_are_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(closing_line(line), Some((12, 3)));
        assert_eq!(closing_line("test result of something else"), None);
    }
}
