//! What can go wrong with other servers' storage, by what the caller does next.

use std::path::PathBuf;
use std::time::Duration;

/// Why something was not configured, not sent or not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two entries have the same name, or are the same: each keeps its place in the log under it.
    #[error("found multiple {section} configs with job name {name:?}")]
    DuplicateName {
        /// `remote_write` or `remote_read`.
        section: &'static str,
        /// The name.
        name: String,
    },
    /// Certificates, credentials or a proxy that connections cannot be made with.
    #[error(transparent)]
    Connections(#[from] scrape::Error),
    /// The other server is away or overloaded: trying again helps.
    #[error("{what}")]
    Recoverable {
        /// What happened.
        what: String,
        /// When the other server would like to be asked again.
        after: Option<Duration>,
    },
    /// The other server does not want this: trying again does not help.
    #[error("{0}")]
    Permanent(String),
    /// The position in the log cannot be kept.
    #[error("keep the position in {path}: {source}")]
    Position {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] tsdb::Error),
    /// A metric of this crate's own that is registered already.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}
