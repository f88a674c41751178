//! The contract between what brings samples in (scrapes, remote write, OTLP, rules, plugins) and what keeps
//! them.

use crate::{Exemplar, Histogram, Labels, Metadata, Sample, Timestamp, UNKNOWN_START};

/// Names a series within one storage, for as long as the process runs. Handing it back with the next sample
/// saves the look-up by labels. No two series have the same one, even where one is long gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesRef(pub u64);

/// A storage that takes samples.
pub trait Append: Send + Sync {
    /// Begins a batch. Any number of batches may be open at once.
    fn appender(&self) -> Box<dyn Appender + '_>;

    /// The series whose labels have this encoded span (see [`Labels::as_encoded`]), if storage knows it: for
    /// decoders, which have the span at hand and would build [`Labels`] only to ask. The series may go again at
    /// any time; whoever uses the reference is then told [`AppendError::UnknownSeries`].
    fn resolve(&self, _encoded: &[u8]) -> Option<SeriesRef> {
        None
    }
}

/// Floats of many series, side by side.
#[derive(Clone, Copy, Debug)]
pub struct FloatColumns<'a> {
    series: &'a [SeriesRef],
    times: Times<'a>,
    values: &'a [f64],
    starts: &'a [Timestamp],
}

#[derive(Clone, Copy, Debug)]
enum Times<'a> {
    Shared(Timestamp),
    Each(&'a [Timestamp]),
}

impl<'a> FloatColumns<'a> {
    /// One sample for each series, all at the same time. None where the columns differ in length.
    pub fn at(time: Timestamp, series: &'a [SeriesRef], values: &'a [f64]) -> Option<Self> {
        (series.len() == values.len()).then_some(Self {
            series,
            times: Times::Shared(time),
            values,
            starts: &[],
        })
    }

    /// Samples with a time each. None where the columns differ in length.
    pub fn timed(series: &'a [SeriesRef], times: &'a [Timestamp], values: &'a [f64]) -> Option<Self> {
        let fit = series.len() == values.len() && series.len() == times.len();
        fit.then_some(Self { series, times: Times::Each(times), values, starts: &[] })
    }

    /// The same, and when the counters started that the samples are readings of: as many as there are samples, or fewer
    /// where it is not known of the last ones; [`UNKNOWN_START`] where it is not known of one.
    #[must_use]
    pub const fn started(self, starts: &'a [Timestamp]) -> Self {
        Self { starts, ..self }
    }

    /// The series of each sample.
    pub const fn series(&self) -> &'a [SeriesRef] {
        self.series
    }

    /// The value of each sample.
    pub const fn values(&self) -> &'a [f64] {
        self.values
    }

    /// The time of the sample at `index`, which must be one of the columns.
    pub fn time(&self, index: usize) -> Timestamp {
        match self.times {
            Times::Shared(time) => time,
            Times::Each(times) => times[index],
        }
    }

    /// When the counter started that the sample at `index` is a reading of, or [`UNKNOWN_START`].
    pub fn start(&self, index: usize) -> Timestamp {
        self.starts.get(index).copied().unwrap_or(UNKNOWN_START)
    }
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

    /// Adds floats to series by reference alone: the way that costs least. References that this storage does not
    /// know (any more) are refused with [`AppendError::UnknownSeries`], and the caller adds those samples by
    /// labels. One that stands for *another* series cannot be noticed: a caller must keep its references to the
    /// labels that it got them for.
    ///
    /// Refused items are added to `refused` by their index, in order; all others are in the batch. A storage
    /// that keeps no references refuses all of them.
    fn append_columns(&mut self, columns: &FloatColumns<'_>, refused: &mut Vec<(usize, AppendError)>) {
        let unknown = |(index, series): (usize, &SeriesRef)| (index, AppendError::UnknownSeries(series.0));
        refused.extend(columns.series().iter().enumerate().map(unknown));
    }

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

    /// Says when the counter started that the latest sample of `series` is a reading of: the one that this batch was
    /// given last, just before. Where that one was refused, or is there already, this changes nothing; nor does it for a
    /// storage that keeps no starts. What a start is worth is for readers to judge, however it lies to the sample.
    fn append_start(&mut self, _series: SeriesRef, _start: Timestamp) {}

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
    /// Items that were fine when they were added may be so no longer, because another batch has been committed
    /// meanwhile. Those are left out, and the answer names each of them. Everything else is acknowledged by `Ok`.
    ///
    /// # Errors
    /// [`CommitError`]; the batch is then lost to this process and must be sent again.
    fn commit(self: Box<Self>) -> Result<Vec<Refused>, CommitError>;
}

/// A sample that a commit has left out, since another batch came first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its series.
    pub series: SeriesRef,
    /// Its time.
    pub timestamp: Timestamp,
    /// Why there was no place for it any more.
    pub error: AppendError,
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
    /// Older than the window within which samples are taken that are not the newest of their series.
    #[error("too old sample")]
    TooOld,
    /// Too old, or too far ahead, for what storage can still take.
    #[error("out of bounds")]
    OutOfBounds,
    /// An exemplar older than the newest one of its series.
    #[error("out of order exemplar")]
    OutOfOrderExemplar,
    /// An exemplar whose labels are too long.
    #[error("exemplar labels length exceeds the maximum of 128 characters")]
    ExemplarTooLong,
    /// A reference for which storage has no series (any more): add the item by its labels.
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
