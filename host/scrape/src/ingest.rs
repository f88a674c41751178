//! From one answer of a target to storage: labels are merged and relabelled, limits hold, series that vanish
//! are marked stale, and the report series say how it went.
//!
//! * An answer is stored whole (except for samples that storage refuses one by one) or not at all, in one batch
//!   with its report. Where it is not, every series of the target is marked stale.
//! * Lines of comments that the last answer had are recognised as a whole, and not read.
//! * A series that was seen before costs one hash of the bytes that name it in the answer, and no labels are made.
//! * What is remembered of a target is bounded by what its last good answer held.

mod batch;
mod cache;
mod comments;

use std::sync::Arc;
use std::time::Duration;

use model::staleness::STALE_NAN;
use model::{Append, AppendError, Appender, Labels, METRIC_NAME, SCHEMA_MAX, Sample, SeriesRef, Timestamp};

use crate::Error;
use crate::config::Limits;
use crate::families::{Families, Family};
use crate::fetch::Fetched;
use crate::relabel::RelabelConfig;
use crate::target::HistogramChoice;

use batch::Batch;
use cache::Cache;

/// How answers of a target are stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rules {
    pub(crate) honor_labels: bool,
    pub(crate) honor_timestamps: bool,
    pub(crate) track_timestamps_staleness: bool,
    pub(crate) metric_relabel_configs: Vec<RelabelConfig>,
    /// What histograms are stored as.
    pub(crate) histograms: HistogramChoice,
    /// Finer native histograms are made as coarse as this.
    pub(crate) schema_max: i8,
    /// Whether names that are no classic identifiers fail the scrape.
    pub(crate) legacy_names: bool,
    /// Whether timeout, sample limit and size of the answer are reported as well.
    pub(crate) extra_metrics: bool,
    /// Whether `_created` lines of OpenMetrics are start timestamps.
    pub(crate) created_as_starts: bool,
    pub(crate) limits: Limits,
}

impl Rules {
    /// What is done without a configuration that says otherwise.
    pub(crate) const fn standard() -> Self {
        Self {
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            metric_relabel_configs: Vec::new(),
            histograms: HistogramChoice { native: false, classic: false, convert: false },
            schema_max: SCHEMA_MAX,
            legacy_names: false,
            extra_metrics: false,
            created_as_starts: false,
            limits: Limits::NONE,
        }
    }
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

/// One scrape, as it ends.
pub(crate) struct Scrape {
    pub(crate) at: Timestamp,
    pub(crate) fetched: Result<Fetched, Error>,
    pub(crate) duration: Duration,
    /// How long it might have taken.
    pub(crate) timeout: Duration,
}

/// Series of the report that are always there, and those that are there on demand.
const REPORT: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];
const REPORT_ALWAYS: usize = 5;

/// What is remembered of a target between its scrapes.
pub(crate) struct Ingest {
    target: Labels,
    rules: Arc<Rules>,
    families: Arc<Families>,
    cache: Cache,
    report: [(Labels, Option<SeriesRef>); REPORT.len()],
    /// How many of them were written last.
    reported: usize,
}

impl Ingest {
    /// For a target with these labels; `families` are what all targets declare.
    pub(crate) fn new(target: &Labels, rules: Arc<Rules>, families: Arc<Families>) -> Self {
        Self {
            target: target.clone(),
            rules,
            families,
            cache: Cache::new(),
            report: REPORT.map(|name| (target.with(METRIC_NAME, name), None)),
            reported: REPORT_ALWAYS,
        }
    }

    /// Takes other rules. Series that no longer exist under them are marked stale by the next scrape.
    pub(crate) fn set_rules(&mut self, rules: &Arc<Rules>) {
        if *self.rules != **rules {
            self.cache.forget();
        }
        self.rules = Arc::clone(rules);
    }

    /// Stores what a scrape brought, or that it failed.
    pub(crate) fn store(&mut self, storage: &dyn Append, scrape: Scrape) -> Outcome {
        let Scrape { at, fetched, duration, timeout } = scrape;
        let body_bytes = match &fetched {
            Ok(fetched) => fetched.body_bytes() as f64,
            Err(Error::BodyTooLong) => -1.0,
            Err(_) => 0.0,
        };
        self.cache.begin();
        let mut tally = Tally::default();
        let mut appender = storage.appender();
        let stored = fetched.and_then(|fetched| {
            let known = (&mut self.cache, &*self.families);
            let batch = Batch::new(known, &self.target, &self.rules, &mut *appender, at, &mut tally);
            batch.append(&fetched)
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
        let values = [
            up,
            duration.as_secs_f64(),
            tally.scraped as f64,
            tally.kept as f64,
            tally.series_added as f64,
            timeout.as_secs_f64(),
            self.rules.limits.samples as f64,
            body_bytes,
        ];
        let reported = if self.rules.extra_metrics { REPORT.len() } else { REPORT_ALWAYS };
        // What is no longer reported ends here.
        let values: [f64; REPORT.len()] =
            std::array::from_fn(|at| if at < reported { values[at] } else { STALE_NAN });
        let count = std::mem::replace(&mut self.reported, reported).max(reported);
        self.append_report(&mut *appender, at, &values[..count], &mut tally);
        match appender.commit() {
            Ok(refused) => {
                tally.appended = tally.appended.saturating_sub(refused.len() as u64);
                refused.iter().for_each(|item| tally.rejected.count(&item.error));
                self.cache.committed(stored.is_ok());
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
        self.append_report(
            &mut *appender,
            at,
            &[STALE_NAN; REPORT.len()][..self.reported],
            &mut Tally::default(),
        );
        appender.commit()?;
        self.cache.committed(false);
        Ok(())
    }

    /// What the target's latest good answer declared.
    pub(crate) fn families(&self) -> &Arc<[Arc<Family>]> {
        self.cache.families()
    }

    fn append_report(
        &mut self,
        appender: &mut dyn Appender,
        at: Timestamp,
        values: &[f64],
        tally: &mut Tally,
    ) {
        for ((labels, series), value) in self.report.iter_mut().zip(values) {
            match appender.append(*series, labels, Sample { timestamp: at, value: *value }) {
                Ok(found) => *series = Some(found),
                Err(error) => tally.rejected.count(&error),
            }
        }
    }
}

#[cfg(test)]
mod tests;
