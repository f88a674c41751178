//! Where procfs and sysfs are, and how their files are read.

use stormglass_sdk::{Context, Result, files};

/// The two directories.
pub(crate) struct Paths {
    pub(crate) procfs: String,
    pub(crate) sysfs: String,
}

impl Paths {
    /// The text of a file below procfs.
    pub(crate) fn proc(&self, name: &str) -> Result<String> {
        Ok(files::read_to_string(&format!("{}/{name}", self.procfs))?)
    }

    /// The text of a file below procfs, or nothing where this kernel has no such file.
    pub(crate) fn proc_if_any(&self, name: &str) -> Result<Option<String>> {
        if_any(&format!("{}/{name}", self.procfs))
    }

    /// The text of a file below sysfs, or nothing where this device has no such file.
    pub(crate) fn sys_if_any(&self, name: &str) -> Result<Option<String>> {
        if_any(&format!("{}/{name}", self.sysfs))
    }
}

fn if_any(path: &str) -> Result<Option<String>> {
    match files::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(files::Error::NotFound(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Reads one number. The kernel's counters are integers of 64 bits; a float holds them exactly up to 2^53.
pub(crate) fn number(text: &str) -> Result<f64> {
    text.parse().context(format!("read the number {text:?}"))
}
