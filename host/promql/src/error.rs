//! Why a query has no answer.

use crate::parser::ParseError;
use crate::read::ReadError;

/// Why a query has no answer; texts are Prometheus' own.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The text is no query: `bad_data`.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// It cannot be executed on this data: `execution`.
    #[error("{0}")]
    Execution(String),
    /// It took longer than allowed: `timeout`.
    #[error("query timed out in expression evaluation")]
    Timeout,
    /// The caller has gone: `canceled`.
    #[error("query was canceled in expression evaluation")]
    Canceled,
    /// It would hold more samples at once than allowed: `execution`.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// It would take more memory at once than allowed: `execution`.
    #[error("query processing would take too much memory; ask for fewer series or fewer steps")]
    TooMuchMemory,
    /// Storage failed: `internal`.
    #[error(transparent)]
    Storage(#[from] ReadError),
}

impl QueryError {
    /// The error type of Prometheus' HTTP API.
    pub const fn error_type(&self) -> &'static str {
        match self {
            Self::Parse(_) => "bad_data",
            Self::Execution(_) | Self::TooManySamples | Self::TooMuchMemory => "execution",
            Self::Timeout => "timeout",
            Self::Canceled => "canceled",
            Self::Storage(_) => "internal",
        }
    }
}
