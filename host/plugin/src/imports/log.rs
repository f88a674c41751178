//! `stormglass:host/log`: lines for the operator, and the guest's standard error.
//!
//! A guest cannot flood the log, nor does it fail for trying: lines over the limit of a call are dropped and counted, long ones are cut, and
//! control characters, which could forge lines or move a terminal's cursor, are shown escaped.

use std::fmt::Write as _;

use crate::bindings::stormglass::host::log::{Host, Level};
use crate::limits::LOG_LINE_BYTES_MAX;
use crate::state::State;

impl Host for State {
    async fn log(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        if self.call.log_lines >= self.tenant.limits.log_lines {
            self.call.log_lines_dropped += 1;
            return Ok(());
        }
        self.call.log_lines += 1;
        let plugin = &*self.tenant.name;
        let message = printable(&self.tenant.hidden.redact(message));
        if let Some(fake) = &self.tenant.fake {
            fake.log(name(level), &message);
            return Ok(());
        }
        match level {
            Level::Trace => tracing::trace!(plugin, "{message}"),
            Level::Debug => tracing::debug!(plugin, "{message}"),
            Level::Info => tracing::info!(plugin, "{message}"),
            Level::Warn => tracing::warn!(plugin, "{message}"),
            Level::Error => tracing::error!(plugin, "{message}"),
        }
        Ok(())
    }

    async fn stderr(&mut self, text: String) -> wasmtime::Result<()> {
        self.stderr.append(text.as_bytes());
        Ok(())
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}

/// The line without control characters, and not too long.
pub(crate) fn printable(message: &str) -> String {
    let cut = message.floor_char_boundary(LOG_LINE_BYTES_MAX);
    let (kept, rest) = message.split_at(cut);
    let mut line = String::with_capacity(kept.len());
    for c in kept.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    if !rest.is_empty() {
        let _ = write!(line, "... ({} bytes more)", rest.len());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_one_line_and_not_too_long() {
        assert_eq!(printable("ünïcode \u{1b}[2J\nlevel=error"), "ünïcode \\u{1b}[2J\\nlevel=error");
        let long = printable(&"é".repeat(LOG_LINE_BYTES_MAX));
        assert!(long.len() < LOG_LINE_BYTES_MAX + 64 && long.ends_with(" bytes more)"), "{}", long.len());
    }
}
