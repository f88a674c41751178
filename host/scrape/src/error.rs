//! What can go wrong between a target and storage.

use std::path::PathBuf;

use formats::exposition::ParseError;
use model::CommitError;

/// Why something was not configured, not found or not scraped. The texts of failed scrapes are Prometheus'
/// own where it has one, since people look for them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Sections of a configuration that contradict each other.
    #[error("{0}")]
    Config(String),
    /// A job that is wrong in itself, or beside the others.
    #[error("scrape config with job name {job:?}: {source}")]
    Job {
        /// The job's name.
        job: String,
        /// What is wrong.
        source: Box<Error>,
    },
    /// A file that the configuration names.
    #[error("read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Certificates, keys or a proxy that connections cannot be made with.
    #[error("set up connections: {0}")]
    Connections(String),
    /// Labels that make no target.
    #[error("{0}")]
    Target(String),
    /// No answer, or one that is no success.
    #[error("{0}")]
    Fetch(String),
    /// No answer in time.
    #[error("{what}: context deadline exceeded")]
    Timeout {
        /// What was waited for.
        what: String,
    },
    /// An answer that is too long.
    #[error("body size limit exceeded")]
    BodyTooLong,
    /// An answer that is not in its format.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// Columns that do not fit together.
    #[error("invalid columns: {0}")]
    Columns(String),
    /// A sample that names no series.
    #[error("invalid sample: {0}")]
    Sample(String),
    /// More samples than the configuration allows.
    #[error("sample limit exceeded")]
    SampleLimit,
    /// A native histogram with more buckets than the configuration allows.
    #[error("histogram bucket limit exceeded")]
    BucketLimit,
    /// More labels, or longer ones, than the configuration allows.
    #[error("{0}")]
    LabelLimit(String),
    /// More targets than the configuration allows.
    #[error("{0}")]
    TargetLimit(String),
    /// Storage did not take the samples.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The system has no threads left to scrape on.
    #[error("start threads to scrape on: {0}")]
    Threads(std::io::Error),
    /// A metric of this crate's own that is registered already.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}

impl Error {
    /// Says which job met this error.
    pub(crate) fn of_job(self, job: &str) -> Self {
        Self::Job { job: job.to_owned(), source: Box::new(self) }
    }

    /// What kind of failure this is, as a label's value.
    pub(crate) const fn outcome(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::BodyTooLong
            | Self::SampleLimit
            | Self::BucketLimit
            | Self::LabelLimit(_)
            | Self::TargetLimit(_) => "limit",
            Self::Parse(_) | Self::Columns(_) | Self::Sample(_) => "invalid",
            Self::Commit(_) => "storage",
            _ => "unreachable",
        }
    }
}
