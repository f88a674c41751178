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
    /// Its value is no series of floats or histograms, as a range query's has to be: `bad_data`.
    #[error("invalid expression type {found:?} for range query, must be Scalar or instant Vector")]
    NotForRanges {
        /// What its value is.
        found: String,
    },
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
    /// It asks for more steps than allowed: `execution`.
    #[error(
        "exceeded maximum resolution of {points_max} points per timeseries. Try decreasing the query resolution (?step=XX)"
    )]
    TooManyPoints {
        /// How many one query may have.
        points_max: u64,
    },
    /// It would take more memory at once than allowed: `execution`.
    #[error(
        "query processing would take too much memory: one query may take {limit_bytes} bytes; ask for fewer series or fewer steps"
    )]
    TooMuchMemory {
        /// What one query may take.
        limit_bytes: u64,
    },
    /// The server's queries together hold all the memory that they may, and waiting did not help: `execution`.
    #[error(
        "no memory for the query: all queries together may take {limit_bytes} bytes; ask for fewer series or fewer steps, or try again later"
    )]
    PoolExhausted {
        /// What they may hold.
        limit_bytes: u64,
    },
    /// The server had to free memory, and this query held most of it: `execution`.
    #[error(
        "the query was stopped to free memory: all queries together may take {limit_bytes} bytes and this one held the most"
    )]
    Shed {
        /// What they may hold.
        limit_bytes: u64,
    },
    /// It would take longer than its caller's thread can wait; it can be asked again on another one.
    #[error("the query takes longer than the thread that asks for it may wait")]
    NotQuick,
    /// Storage failed: `internal`.
    #[error(transparent)]
    Storage(#[from] ReadError),
}

impl QueryError {
    /// The error type of Prometheus' HTTP API.
    pub const fn error_type(&self) -> &'static str {
        match self {
            Self::Parse(_) | Self::NotForRanges { .. } => "bad_data",
            Self::Execution(_)
            | Self::TooManySamples
            | Self::TooManyPoints { .. }
            | Self::TooMuchMemory { .. }
            | Self::PoolExhausted { .. }
            | Self::Shed { .. } => "execution",
            Self::Timeout => "timeout",
            Self::Canceled => "canceled",
            Self::NotQuick | Self::Storage(_) => "internal",
        }
    }
}
