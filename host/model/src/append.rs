//! The contract between what brings samples in (scrapes, remote write, OTLP, rules, plugins) and what keeps
//! them.

use crate::{Exemplar, Histogram, Labels, Metadata, Sample, Timestamp};

/// Names a series within one storage, for as long as the process runs. Handing it back with the next sample
/// saves the look-up by labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesRef(pub u64);

/// A storage that takes samples.
pub trait Append: Send + Sync {
    /// Begins a batch. Any number of batches may be open at once.
    fn appender(&self) -> Box<dyn Appender + '_>;
}

/// One batch of samples.
///
/// Each call stands alone: an error refuses that one item, names why, and leaves the rest of the batch as it
/// was. Nothing is visible to queries or durable before [`Appender::commit`] has returned `Ok`; a batch that
/// is dropped leaves no sample behind.
pub trait Appender {
    /// Adds a float. `series` is a reference that this storage gave out for the same `labels`; a wrong or
    /// outdated one is not an error, the labels decide. `labels` must not be empty.
    ///
    /// # Errors
    /// [`AppendError`], with nothing added.
    fn append(
        &mut self,
        series: Option<SeriesRef>,
        labels: &Labels,
        sample: Sample,
    ) -> Result<SeriesRef, AppendError>;

    /// Adds a native histogram; otherwise as [`Appender::append`].
    ///
    /// # Errors
    /// [`AppendError`], with nothing added.
    fn append_histogram(
        &mut self,
        series: Option<SeriesRef>,
        labels: &Labels,
        timestamp: Timestamp,
        histogram: &Histogram,
    ) -> Result<SeriesRef, AppendError>;

    /// Adds an exemplar to a series that this batch or an earlier one has created. One that repeats the
    /// series' latest is taken and dropped without a word.
    ///
    /// # Errors
    /// [`AppendError`], with nothing added.
    fn append_exemplar(&mut self, series: SeriesRef, exemplar: &Exemplar) -> Result<(), AppendError>;

    /// Says what is known of the metric family `family` (the name without `_total`, `_bucket`, ... only where
    /// the exposition's family name is without it). The latest word counts.
    fn append_metadata(&mut self, family: &str, metadata: &Metadata);

    /// Makes the batch durable and visible, in that order, all of it or none of it.
    ///
    /// # Errors
    /// [`CommitError`]; the batch is then lost to this process and must be sent again.
    fn commit(self: Box<Self>) -> Result<(), CommitError>;
}

/// Why one item was refused. The variants are what the sender can do about it; the texts are Prometheus' own,
/// since senders and people look for them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Older than the newest sample of its series.
    #[error("out of order sample")]
    OutOfOrder,
    /// Same time as an earlier sample, another value.
    #[error("duplicate sample for timestamp")]
    DuplicateTimestamp,
    /// Too old, or too far ahead, for what storage can still take.
    #[error("out of bounds")]
    OutOfBounds,
    /// An exemplar older than the newest one of its series.
    #[error("out of order exemplar")]
    OutOfOrderExemplar,
    /// An exemplar whose labels are too long.
    #[error("exemplar labels length exceeds the maximum of 128 characters")]
    ExemplarTooLong,
    /// An exemplar for a series that storage does not know.
    #[error("unknown series reference {0}")]
    UnknownSeries(u64),
    /// No labels, or no metric name where one is needed.
    #[error("invalid labels: {0}")]
    InvalidLabels(String),
    /// A native histogram that contradicts itself.
    #[error("invalid histogram: {0}")]
    InvalidHistogram(String),
    /// A new series over a limit; the limit's name says which. Existing series go on.
    #[error("new series refused by limit {limit}")]
    SeriesLimit {
        /// The configured limit that was met.
        limit: String,
    },
}

/// Why a batch could not be made durable.
#[derive(Debug, thiserror::Error)]
#[error("commit samples: {0}")]
pub struct CommitError(pub Box<dyn std::error::Error + Send + Sync>);
