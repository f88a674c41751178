//! `stormglass check`: what is wrong with a file or a text, without starting anything.

mod config;
mod rules;

use std::io::Read as _;
use std::process::ExitCode;

use anyhow::Context as _;

pub(crate) use self::config::check as config;
pub(crate) use self::rules::check as rules;

/// What promtool ends with where only its lint has found something, and that is to count.
const LINT_FAILED: u8 = 3;

/// What checks of several files come to.
#[derive(Debug, Clone, Copy, Default)]
struct Verdict {
    failed: bool,
    lint: bool,
}

impl Verdict {
    /// The exit status; `fatal` says whether what the lint has found counts.
    fn exit(self, fatal: bool) -> ExitCode {
        match self {
            Self { failed: true, .. } => ExitCode::FAILURE,
            Self { lint: true, .. } if fatal => ExitCode::from(LINT_FAILED),
            _ => ExitCode::SUCCESS,
        }
    }
}

/// Judges standard input by every rule of OpenMetrics 1.0.
pub(crate) fn openmetrics() -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).context("read standard input")?;
    let text = std::str::from_utf8(&bytes).context("read standard input")?;
    formats::openmetrics::validate(text)?;
    Ok(())
}
