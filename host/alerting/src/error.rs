//! What can go wrong when the pipeline is set up. Failures while it runs are logged, counted and shown instead.

use std::path::PathBuf;

/// Why a rule manager or a dispatcher could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A receiver names a plugin that is not configured.
    #[error("receiver {receiver:?} names plugin {plugin:?}, which is not configured: add it under plugins")]
    UnknownPlugin {
        /// The receiver's name.
        receiver: String,
        /// The plugin's name.
        plugin: String,
    },
    /// A group of that name is there twice in one file.
    #[error("{file}: group {group:?} is there more than once: give each group of a file its own name")]
    DuplicateGroup {
        /// The rule file.
        file: String,
        /// The group's name.
        group: String,
    },
    /// The state file cannot be read or written.
    #[error("access alert state in {path}: {source}")]
    State {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Metrics of the same name are registered already.
    #[error("register metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}
