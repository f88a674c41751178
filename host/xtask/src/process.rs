//! Running other programs: what is run is printed first, and a failure names it.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Tells the person at the terminal what comes next.
pub(crate) fn say(what: &str) {
    eprintln!("xtask: {what}");
}

/// One program to run.
pub(crate) struct Run {
    command: Command,
}

impl Run {
    pub(crate) fn new(program: impl AsRef<OsStr>, directory: &Path) -> Self {
        let mut command = Command::new(program);
        command.current_dir(directory).stdin(Stdio::null());
        Self { command }
    }

    /// The cargo that started us.
    pub(crate) fn cargo(root: &Path) -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), root)
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Without a variable of our own environment.
    pub(crate) fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs it and fails where it fails.
    pub(crate) fn check(mut self) -> Result<()> {
        let line = self.line();
        say(&line);
        let status = self.command.status().with_context(|| format!("start {line}"))?;
        if status.success() { Ok(()) } else { bail!("{line}: {status}") }
    }

    /// Becomes it, so that signals reach it and nobody waits for a process that is gone. Returns only where it
    /// cannot be started.
    pub(crate) fn replace_self<T>(mut self) -> Result<T> {
        let line = self.line();
        say(&line);
        Err(self.command.exec()).with_context(|| format!("start {line}"))
    }

    /// Runs it quietly and gives what it printed; `None` where it cannot be started or fails.
    pub(crate) fn output(mut self) -> Option<String> {
        let output = self.command.stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The command itself, for a caller that wants to read what it prints.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }

    /// As a person would type it.
    pub(crate) fn line(&self) -> String {
        let words: Vec<OsString> = std::iter::once(self.command.get_program())
            .chain(self.command.get_args())
            .map(OsStr::to_owned)
            .collect();
        words.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }
}
