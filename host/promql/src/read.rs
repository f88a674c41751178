//! What the engine needs of a storage: the read trait.
//!
//! A storage answers a [`Select`] with one [`SeriesReader`] per series, in label order. Labels are known at
//! once; samples are decoded only when the engine asks, series by series and from any thread, so that it can
//! run series in parallel, account for the memory and stop early.
//!
//! Where a million series give one sample each, a reader for each costs more than the samples, and so does their order:
//! [`Storage::select_unordered`] is for those who do not need it, [`Storage::latest`] does without readers.

use std::sync::Arc;

use model::{Exemplar, Histogram, Labels, Matcher, Summary, Timestamp, Windows};

/// A storage that can be queried.
pub trait Storage: Send + Sync {
    /// The series that pass all matchers and may have samples in `[start, end]`, sorted by labels, each once.
    ///
    /// # Errors
    /// [`ReadError`] where storage cannot answer. Part of an answer is never passed off as a whole one.
    fn select(&self, select: &Select<'_>) -> Result<Vec<Box<dyn SeriesReader>>, ReadError>;

    /// As [`Storage::select`], the series in any order, which is the same as long as the data are.
    ///
    /// # Errors
    /// As [`Storage::select`].
    fn select_unordered(&self, select: &Select<'_>) -> Result<Vec<Box<dyn SeriesReader>>, ReadError> {
        self.select(select)
    }

    /// The latest sample in the range of each series that passes all matchers, as of one moment; series whose latest
    /// one is a stale marker are left out. `None` where storage has no shorter way to it than by readers.
    ///
    /// # Errors
    /// As [`Storage::select`].
    fn latest(&self, request: &LatestRequest<'_>) -> Result<Option<Vec<Latest>>, ReadError> {
        let _ = request;
        Ok(None)
    }

    /// Label names of the series that pass all matchers in the range; sorted, each once. No matchers: all.
    ///
    /// # Errors
    /// As [`Storage::select`].
    fn label_names(&self, select: &Select<'_>) -> Result<Vec<String>, ReadError>;

    /// Values of the label `name`, otherwise as [`Storage::label_names`].
    ///
    /// # Errors
    /// As [`Storage::select`].
    fn label_values(&self, name: &str, select: &Select<'_>) -> Result<Vec<String>, ReadError>;

    /// Exemplars in the range of the series that pass all matchers; series in label order, exemplars in time
    /// order.
    ///
    /// # Errors
    /// As [`Storage::select`].
    fn exemplars(&self, select: &Select<'_>) -> Result<Vec<SeriesExemplars>, ReadError>;
}

/// Which series, and which part of them.
#[derive(Debug, Clone, Copy)]
pub struct Select<'a> {
    /// All must pass.
    pub matchers: &'a [Matcher],
    /// First millisecond wanted, inclusive.
    pub start: Timestamp,
    /// Last millisecond wanted, inclusive.
    pub end: Timestamp,
    /// The query's step, where a coarser copy of the data would do; `None` for raw samples.
    pub step_ms: Option<i64>,
}

/// Whose latest samples, and what of their labels.
#[derive(Clone, Copy)]
pub struct LatestRequest<'a> {
    /// Which series, and from when to when.
    pub select: Select<'a>,
    /// What is wanted of the labels.
    pub by: LatestBy<'a>,
    /// How many threads may look; at least one.
    pub threads: usize,
}

/// What is wanted of the labels of series with their latest samples.
#[derive(Clone, Copy)]
pub enum LatestBy<'a> {
    /// Nothing: they are not looked at.
    Nothing,
    /// All of them, series by series.
    Series,
    /// The number of a group. Series are of one group where the function appends the same span, which is that of the
    /// group's labels. It is called while storage is locked and must not wait for anything.
    Groups(&'a (dyn Fn(&Labels, &mut Vec<u8>) + Sync)),
}

/// The latest samples of some series, column by column.
#[derive(Debug, Clone, Default)]
pub struct Latest {
    /// When each was taken.
    pub timestamps: Vec<Timestamp>,
    /// The floats, as many as `timestamps`; without meaning where there is a histogram.
    pub values: Vec<f64>,
    /// Native histograms, by their places among `timestamps`, which increase.
    pub histograms: Vec<(usize, Arc<Histogram>)>,
    /// With [`LatestBy::Series`], the labels of each; with [`LatestBy::Groups`], those of the groups by number. Groups
    /// of different parts of an answer may have the same labels.
    pub labels: Vec<Labels>,
    /// With [`LatestBy::Groups`], the number of the group of each; otherwise empty.
    pub groups: Vec<u32>,
}

/// One selected series.
pub trait SeriesReader: Send + Sync {
    /// Its labels.
    fn labels(&self) -> &Labels;

    /// Appends its samples in `[start, end]`, which lies within the range that was selected, to `columns`, in
    /// strictly increasing order of time, stale markers among them.
    ///
    /// # Errors
    /// [`ReadError`]; `columns` may then hold some of the samples.
    fn read(&self, start: Timestamp, end: Timestamp, columns: &mut Columns) -> Result<(), ReadError>;

    /// Appends what functions over `windows`, which lie within the range that was selected, need: samples as
    /// [`SeriesReader::read`] has them, and [`Columns::summaries`] in place of samples where
    ///
    /// * [`Windows::treat_alike`] holds of them, or
    /// * storage has nothing finer than the summary. It then counts for the windows that hold its last time.
    ///
    /// # Errors
    /// As [`SeriesReader::read`].
    fn read_windows(&self, windows: &Windows, columns: &mut Columns) -> Result<(), ReadError> {
        self.read(windows.start(), windows.end(), columns)
    }

    /// How far apart the samples are, in milliseconds, that [`SeriesReader::read`] makes of summaries where storage
    /// has nothing finer; zero where it has the samples that were observed. Looking back for a sample reaches at
    /// least as far.
    fn resolution_ms(&self) -> i64 {
        0
    }
}

/// The samples of one series, column by column.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    /// Times of the float samples, increasing.
    pub timestamps: Vec<Timestamp>,
    /// The float samples, as many as `timestamps`.
    pub values: Vec<f64>,
    /// What floats come to that are not in `values`, increasing in time; between the first and the last time of one
    /// there is no other sample. Only [`SeriesReader::read_windows`] gives any.
    pub summaries: Vec<Summary>,
    /// Native histogram samples, increasing in time. A time has a float or a histogram, never both.
    pub histograms: Vec<(Timestamp, Arc<Histogram>)>,
    /// When the counters started that the floats at the same places are readings of. May be shorter than
    /// `timestamps`, down to empty: what it lacks is unknown, and so is what [`UNKNOWN_START`] stands for.
    pub start_timestamps: Vec<Timestamp>,
    /// The same for `histograms`.
    pub histogram_start_timestamps: Vec<Timestamp>,
}

pub use model::UNKNOWN_START;

impl Columns {
    /// Empties the columns and keeps their memory.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.summaries.clear();
        self.histograms.clear();
        self.start_timestamps.clear();
        self.histogram_start_timestamps.clear();
    }

    /// Appends a float.
    pub fn push(&mut self, timestamp: Timestamp, value: f64) {
        self.timestamps.push(timestamp);
        self.values.push(value);
    }

    /// Appends a float of which it is known when its counter started.
    pub fn push_started(&mut self, timestamp: Timestamp, value: f64, start: Timestamp) {
        self.start_timestamps.resize(self.timestamps.len(), UNKNOWN_START);
        self.start_timestamps.push(start);
        self.push(timestamp, value);
    }

    /// Appends a histogram of which it is known when it started.
    pub fn push_started_histogram(&mut self, timestamp: Timestamp, value: Arc<Histogram>, start: Timestamp) {
        self.histogram_start_timestamps.resize(self.histograms.len(), UNKNOWN_START);
        self.histogram_start_timestamps.push(start);
        self.histograms.push((timestamp, value));
    }

    /// How many samples there are, of both kinds.
    pub fn sample_count(&self) -> usize {
        self.timestamps.len() + self.histograms.len()
    }
}

/// The exemplars of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesExemplars {
    /// The series.
    pub labels: Labels,
    /// Its exemplars in the range, in time order.
    pub exemplars: Vec<Exemplar>,
}

/// Why storage could not answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("read from storage: {0}")]
pub struct ReadError(pub Arc<dyn std::error::Error + Send + Sync>);
