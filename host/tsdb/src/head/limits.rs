//! Which new series are taken, and what is known of those that were not.
//!
//! Each limit has a name, which the refusal tells, the counter bears and the operator configures. Series that are
//! there go on whatever the limits say, and so do those that a log brings back.
//!
//! Limits of one metric or one job are looked at before a series is counted among its like: series that come at the
//! same moment through other threads may pass together, one for each thread.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use model::{AppendError, Labels, METRIC_NAME};
use parking_lot::Mutex;

use crate::options::{JOB_SERIES_MAX, MEMORY_BUDGET, METRIC_SERIES_MAX, Options};

/// The label by which scrapes and pushes tell whose a series is.
const JOB: &str = "job";
/// So many label sets show what a limit has refused lately.
const EXAMPLES: usize = 10;
/// One of them is replaced no sooner than this after the one before: a flood is thousands of refusals in a
/// millisecond, whose labels would all look alike.
const EXAMPLE_INTERVAL: Duration = Duration::from_millis(100);

/// What one limit has refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedSeries {
    /// The limit's name.
    pub limit: String,
    /// How often, since the start: a series that is sent again is refused again.
    pub count: u64,
    /// Labels of some, the latest last.
    pub examples: Vec<Labels>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct SeriesLimits {
    head_max: u64,
    metric_max: Option<u64>,
    job_max: Option<u64>,
    /// Whether memory is too short for any.
    shedding: AtomicBool,
    refused: Mutex<BTreeMap<&'static str, Refused>>,
}

#[derive(Debug, Default)]
struct Refused {
    count: u64,
    examples: VecDeque<Labels>,
    last_example: Option<Instant>,
}

impl SeriesLimits {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            head_max: options.head_series_max.unwrap_or(u64::MAX),
            metric_max: options.metric_series_max,
            job_max: options.job_series_max,
            shedding: AtomicBool::new(false),
            refused: Mutex::default(),
        }
    }

    /// Refuses every new series from now on, or no longer.
    pub(crate) fn shed(&self, shedding: bool) {
        self.shedding.store(shedding, Ordering::Relaxed);
    }

    /// Whether every new series is refused for the memory that is left.
    pub(crate) fn sheds(&self) -> bool {
        self.shedding.load(Ordering::Relaxed)
    }

    /// How many series the head may hold.
    pub(crate) const fn head_max(&self) -> u64 {
        self.head_max
    }

    /// Whether there is a limit on series of one metric or of one job.
    pub(crate) const fn counts_alike(&self) -> bool {
        self.metric_max.is_some() || self.job_max.is_some()
    }

    /// Whether a new series may come for the limits of its metric and its job; `count` tells how many series carry a
    /// label.
    ///
    /// # Errors
    /// [`AppendError::SeriesLimit`], counted.
    pub(crate) fn check_alike(
        &self,
        labels: &Labels,
        count: impl Fn(&str, &str) -> u64,
    ) -> Result<(), AppendError> {
        for (limit, name, max) in
            [(METRIC_SERIES_MAX, METRIC_NAME, self.metric_max), (JOB_SERIES_MAX, JOB, self.job_max)]
        {
            if let (Some(max), Some(value)) = (max, labels.get(name))
                && count(name, value) >= max
            {
                return Err(self.refuse(limit, labels));
            }
        }
        Ok(())
    }

    /// Whether a new series may come for the memory that is left.
    ///
    /// # Errors
    /// [`AppendError::SeriesLimit`], counted.
    pub(crate) fn check_memory(&self, labels: &Labels) -> Result<(), AppendError> {
        if self.sheds() {
            return Err(self.refuse(MEMORY_BUDGET, labels));
        }
        Ok(())
    }

    /// Counts a refusal under the limit's name, and gives the error that tells it.
    pub(crate) fn refuse(&self, limit: &'static str, labels: &Labels) -> AppendError {
        let mut refused = self.refused.lock();
        let refused = refused.entry(limit).or_default();
        refused.count += 1;
        if refused.last_example.is_none_or(|last| last.elapsed() >= EXAMPLE_INTERVAL) {
            refused.last_example = Some(Instant::now());
            if refused.examples.len() == EXAMPLES {
                refused.examples.pop_front();
            }
            refused.examples.push_back(labels.clone());
        }
        AppendError::SeriesLimit { limit: limit.to_owned() }
    }

    /// What each limit has refused, by its name.
    pub(crate) fn refused(&self) -> Vec<RefusedSeries> {
        let refused = self.refused.lock();
        let told = |(limit, refused): (&&'static str, &Refused)| RefusedSeries {
            limit: (*limit).to_owned(),
            count: refused.count,
            examples: refused.examples.iter().cloned().collect(),
        };
        refused.iter().map(told).collect()
    }
}
