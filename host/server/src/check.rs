//! `stormglass check`: what is wrong with a file or a text, without starting anything.

mod config;
mod discovery;
mod metrics;
mod rules;
mod web;

use std::process::ExitCode;

pub(crate) use self::config::check as config;
pub(crate) use self::discovery::check as service_discovery;
pub(crate) use self::metrics::{lint, openmetrics};
pub(crate) use self::rules::check as rules;
pub(crate) use self::web::check as web_config;

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
