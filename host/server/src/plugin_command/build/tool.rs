//! Running the tools of a language's toolchain: what is run is printed first; one that is missing or fails is named, with
//! what to do about it.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, anyhow, bail};

/// One tool to run in a project's folder.
pub(super) struct Tool {
    command: Command,
    /// How to install it.
    install: &'static str,
}

impl Tool {
    pub(super) fn new(program: impl AsRef<OsStr>, dir: &Path, install: &'static str) -> Self {
        let mut command = Command::new(program);
        // What tools print is for people, and standard output is for results.
        command.current_dir(dir).stdin(Stdio::null());
        Self { command, install }
    }

    pub(super) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    pub(super) fn arg(self, argument: impl AsRef<OsStr>) -> Self {
        self.args([argument])
    }

    pub(super) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it and fails where it fails.
    pub(super) fn run(mut self) -> anyhow::Result<()> {
        let line = self.line();
        eprintln!("stormglass: {line}");
        let output = self.command.stdout(Stdio::piped()).output().map_err(|error| self.missing(error))?;
        let (printed, complaints) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        eprint!("{printed}{complaints}");
        if !output.status.success() {
            bail!("{line} failed ({})", output.status);
        }
        Ok(())
    }

    /// Runs it quietly and gives what it printed.
    pub(super) fn output(mut self) -> anyhow::Result<String> {
        let output = self.command.output().map_err(|error| self.missing(error))?;
        if !output.status.success() {
            bail!(
                "{} failed ({}): {}",
                self.line(),
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        String::from_utf8(output.stdout).with_context(|| format!("read what {} printed", self.line()))
    }

    fn missing(&self, error: std::io::Error) -> anyhow::Error {
        let program = self.command.get_program().to_string_lossy().into_owned();
        if error.kind() == std::io::ErrorKind::NotFound {
            anyhow!("{program} is not installed: {}", self.install)
        } else {
            anyhow::Error::new(error).context(format!("start {program}"))
        }
    }

    /// As a person would type it.
    fn line(&self) -> String {
        let words: Vec<OsString> = std::iter::once(self.command.get_program())
            .chain(self.command.get_args())
            .map(OsStr::to_owned)
            .collect();
        words.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }
}

/// Whether a program is on the path.
pub(super) fn is_on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
