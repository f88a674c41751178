//! From one answer of a target to storage: labels are merged and relabelled, limits hold, series that vanish
//! are marked stale, and the report series say how it went.
//!
//! * An answer is stored whole (except for samples that storage refuses one by one) or not at all, in one batch
//!   with its report. Where it is not, every series of the target is marked stale.
//! * A series that was seen before costs one look-up by the bytes that name it in the answer.
//! * What is remembered of a target is bounded by what its last good answer held.

mod batch;
mod cache;

use std::sync::Arc;
use std::time::Duration;

use formats::exposition::protobuf::Histograms;
use model::staleness::STALE_NAN;
use model::{Append, AppendError, Appender, Histogram, Labels, METRIC_NAME, Sample, SeriesRef, Timestamp};

use crate::Error;
use crate::config::Limits;
use crate::fetch::Fetched;
use crate::relabel::RelabelConfig;

use batch::Batch;
use cache::Cache;

/// How answers of a target are stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rules {
    pub(crate) honor_labels: bool,
    pub(crate) honor_timestamps: bool,
    pub(crate) track_timestamps_staleness: bool,
    pub(crate) metric_relabel_configs: Vec<RelabelConfig>,
    /// What native histograms of protobuf answers are stored as.
    pub(crate) histograms: Histograms,
    pub(crate) limits: Limits,
}

/// How many samples of one answer went where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// In the answer.
    pub(crate) scraped: u64,
    /// After relabelling.
    pub(crate) kept: u64,
    /// Series that were not there before.
    pub(crate) series_added: u64,
    pub(crate) appended: u64,
    pub(crate) rejected: Rejected,
}

/// Samples and exemplars that storage refused, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rejected {
    pub(crate) out_of_order: u64,
    pub(crate) duplicate: u64,
    pub(crate) out_of_bounds: u64,
    pub(crate) series_limit: u64,
    pub(crate) invalid: u64,
    pub(crate) exemplars: u64,
}

impl Rejected {
    fn count(&mut self, error: &AppendError) {
        *match error {
            AppendError::OutOfOrder => &mut self.out_of_order,
            AppendError::DuplicateTimestamp => &mut self.duplicate,
            AppendError::OutOfBounds | AppendError::TooOld => &mut self.out_of_bounds,
            AppendError::SeriesLimit { .. } => &mut self.series_limit,
            _ => &mut self.invalid,
        } += 1;
    }

    /// Reasons as the values of a label, with their counts.
    pub(crate) const fn by_reason(&self) -> [(&'static str, u64); 6] {
        [
            ("out_of_order", self.out_of_order),
            ("duplicate_timestamp", self.duplicate),
            ("out_of_bounds", self.out_of_bounds),
            ("series_limit", self.series_limit),
            ("invalid", self.invalid),
            ("exemplar", self.exemplars),
        ]
    }
}

/// How one scrape went.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    pub(crate) error: Option<Error>,
}

/// What is remembered of a target between its scrapes.
pub(crate) struct Ingest {
    target: Labels,
    rules: Arc<Rules>,
    cache: Cache,
    report: [(Labels, Option<SeriesRef>); 5],
}

impl Ingest {
    /// For a target with these labels.
    pub(crate) fn new(target: &Labels, rules: Arc<Rules>) -> Self {
        let report = |name| (target.with(METRIC_NAME, name), None);
        Self {
            target: target.clone(),
            rules,
            cache: Cache::new(),
            report: [
                report("up"),
                report("scrape_duration_seconds"),
                report("scrape_samples_scraped"),
                report("scrape_samples_post_metric_relabeling"),
                report("scrape_series_added"),
            ],
        }
    }

    /// Takes other rules. Series that no longer exist under them are marked stale by the next scrape.
    pub(crate) fn set_rules(&mut self, rules: &Arc<Rules>) {
        if *self.rules != **rules {
            self.cache.forget();
        }
        self.rules = Arc::clone(rules);
    }

    /// Stores what a scrape at `at` brought, or that it failed.
    pub(crate) fn store(
        &mut self,
        storage: &dyn Append,
        at: Timestamp,
        fetched: Result<Fetched, Error>,
        duration: Duration,
    ) -> Outcome {
        self.cache.begin();
        let mut tally = Tally::default();
        let mut appender = storage.appender();
        let stored = fetched.and_then(|fetched| {
            let batch =
                Batch::new(&mut self.cache, &self.target, &self.rules, &mut *appender, at, &mut tally);
            batch.append(fetched)
        });
        if stored.is_ok() {
            self.cache.take_vanished();
        } else {
            appender = storage.appender();
            (tally.appended, tally.series_added, tally.rejected) = (0, 0, Rejected::default());
            self.cache.take_all();
        }
        self.cache.mark_stale(&mut *appender, at);
        let up = if stored.is_ok() { 1.0 } else { 0.0 };
        let values =
            [up, duration.as_secs_f64(), tally.scraped as f64, tally.kept as f64, tally.series_added as f64];
        self.append_report(&mut *appender, at, values, &mut tally);
        match appender.commit() {
            Ok(refused) => {
                tally.appended = tally.appended.saturating_sub(refused.len() as u64);
                refused.iter().for_each(|item| tally.rejected.count(&item.error));
                self.cache.committed();
                Outcome { tally, error: stored.err() }
            }
            Err(error) => {
                tally.appended = 0;
                Outcome { tally, error: Some(stored.err().unwrap_or_else(|| error.into())) }
            }
        }
    }

    /// Marks every series of the target stale, the report's too: it is not scraped any more.
    ///
    /// # Errors
    /// [`Error::Commit`]; the series then end with the lookback of queries.
    pub(crate) fn end(&mut self, storage: &dyn Append, at: Timestamp) -> Result<(), Error> {
        let mut appender = storage.appender();
        self.cache.begin();
        self.cache.take_all();
        self.cache.mark_stale(&mut *appender, at);
        self.append_report(&mut *appender, at, [STALE_NAN; 5], &mut Tally::default());
        appender.commit()?;
        self.cache.committed();
        Ok(())
    }

    fn append_report(
        &mut self,
        appender: &mut dyn Appender,
        at: Timestamp,
        values: [f64; 5],
        tally: &mut Tally,
    ) {
        for ((labels, series), value) in self.report.iter_mut().zip(values) {
            match appender.append(*series, labels, Sample { timestamp: at, value }) {
                Ok(found) => *series = Some(found),
                Err(error) => tally.rejected.count(&error),
            }
        }
    }
}

/// A stale marker, of the kind that the series holds.
fn append_stale(appender: &mut dyn Appender, series: &cache::Ended, at: Timestamp) {
    // A marker that storage refuses is one that is not needed: the series has a newer sample already.
    let _ = match series.histogram {
        true => appender.append_histogram(series.series, &series.labels, at, &Histogram::stale()),
        false => appender.append(series.series, &series.labels, Sample { timestamp: at, value: STALE_NAN }),
    };
}

#[cfg(test)]
mod tests;
