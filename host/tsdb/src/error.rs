//! What can go wrong in storage, by what the caller does next.

use std::io;
use std::path::{Path, PathBuf};

/// Why storage could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused; trying again may help.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Bytes on disk are not what was written; trying again does not help.
    #[error("{path} is corrupt at byte {offset}: {what}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// A file of a version that this program does not read.
    #[error("{path} has format version {version}, this program reads {oldest} to {newest}")]
    UnsupportedVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
        /// The oldest version that is read.
        oldest: u32,
        /// The newest version that is read.
        newest: u32,
    },
    /// Another process has the directory.
    #[error("{path} is locked: stop the other process that uses this directory")]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A batch, or one item of it, that no log record can hold.
    #[error("batch of {bytes} bytes is over the limit of {bytes_max}: send smaller batches")]
    BatchTooLarge {
        /// Its encoded size.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// Storage has been closed.
    #[error("storage is closed")]
    Closed,
    /// A block outgrew what its 32-bit offsets can address.
    #[error("section {section} of a block is larger than its offsets can address")]
    SectionTooLarge {
        /// Which section.
        section: &'static str,
    },
}

/// Shorthand of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn corrupt(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), offset, what: what.into() }
    }
}

/// Names the file and the action in an error of the operating system.
pub(crate) trait IoContext<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io { action, path: path.to_owned(), source })
    }
}
