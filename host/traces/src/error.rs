//! What can go wrong with traces, by what the caller does next.

use std::io;
use std::path::{Path, PathBuf};

/// Why traces could not be kept, read or counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The operating system refused. Retrying may help once the disk has space or is back.
    #[error("access span store file {}: {source}", path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Bytes on disk are not what was written there.
    #[error("span store file {} is corrupt at byte {offset}: {what}", path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// Written by a version of this program that this one does not know.
    #[error("span store file {} has format version {version}; open it with a newer stormglass", path.display())]
    UnknownVersion {
        /// Which file.
        path: PathBuf,
        /// The version it names.
        version: u32,
    },
    /// Another process has the directory open.
    #[error("span store directory {} is in use by another process; stop it or choose another", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A query or tag filter that cannot be read.
    #[error("parse query at byte {position}: {what}")]
    InvalidQuery {
        /// Where reading stopped.
        position: usize,
        /// What is wrong there.
        what: String,
    },
    /// A query that is right, but needs what is not there yet.
    #[error("query at byte {position}: {what} not supported")]
    UnsupportedQuery {
        /// Where the construct stands.
        position: usize,
        /// The construct, as a noun phrase with its verb: "pipelines are".
        what: String,
    },
    /// A request parameter that cannot be read.
    #[error("invalid parameter {name}: {reason}")]
    InvalidParameter {
        /// The parameter, or the option.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Span metrics could not be made durable; the counters go on and the next flush writes them again.
    #[error("write span metrics: {0}")]
    Commit(#[from] model::CommitError),
}

impl TraceError {
    /// Wraps what the system said of `path`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
