//! Storage as the rest of the server sees it: what `promql` reads and what everything that brings samples appends to.
//!
//! `tsdb` and `promql` know nothing of each other; here, and only here, they meet. Samples pass as columns, without a
//! call for each.

use std::sync::Arc;

use model::{Append, Appender, Histogram, Labels, Metadata, Summary, Timestamp, Windows};
use promql::read::{
    Columns, Latest, LatestBy, LatestRequest, ReadError, Select, SeriesExemplars, SeriesReader, UNKNOWN_START,
};
use tsdb::{SelectedSeries, Sink, SummarySink, Tsdb};

/// The database, shared.
#[derive(Clone)]
pub struct Storage(Arc<Tsdb>);

impl Storage {
    /// Shares a database.
    pub const fn new(tsdb: Arc<Tsdb>) -> Self {
        Self(tsdb)
    }

    /// The database.
    pub fn tsdb(&self) -> &Tsdb {
        &self.0
    }

    /// The database, to share further.
    pub fn shared(&self) -> Arc<Tsdb> {
        Arc::clone(&self.0)
    }

    /// What is known of metric families, by name.
    pub fn metadata(&self) -> Vec<(String, Metadata)> {
        self.0.metadata()
    }

    /// The first `count_max` values of the label `name`, otherwise as [`promql::read::Storage::label_values`].
    ///
    /// # Errors
    /// As [`promql::read::Storage::select`].
    pub fn label_values_first(
        &self,
        name: &str,
        select: &Select<'_>,
        count_max: usize,
    ) -> Result<Vec<String>, ReadError> {
        let Select { matchers, start, end, .. } = *select;
        self.0.label_values_first(name, matchers, start, end, count_max).map_err(failed)
    }
}

impl Append for Storage {
    fn appender(&self) -> Box<dyn Appender + '_> {
        self.0.appender()
    }
}

impl promql::read::Storage for Storage {
    fn select(&self, select: &Select<'_>) -> Result<Vec<Box<dyn SeriesReader>>, ReadError> {
        let Select { matchers, start, end, step_ms } = *select;
        self.0.select_for_step(matchers, start, end, step_ms).map(readers).map_err(failed)
    }

    fn select_unordered(&self, select: &Select<'_>) -> Result<Vec<Box<dyn SeriesReader>>, ReadError> {
        let Select { matchers, start, end, step_ms } = *select;
        self.0.select_unordered(matchers, start, end, step_ms).map(readers).map_err(failed)
    }

    fn latest(&self, request: &LatestRequest<'_>) -> Result<Option<Vec<Latest>>, ReadError> {
        let LatestRequest { select: Select { matchers, start, end, .. }, by, threads } = *request;
        let by = match by {
            LatestBy::Nothing => tsdb::LatestBy::Nothing,
            LatestBy::Series => tsdb::LatestBy::Series,
            LatestBy::Groups(key) => tsdb::LatestBy::Groups(key),
        };
        let found = self.0.latest(matchers, start, end, by, threads).map_err(failed)?;
        Ok(found.map(|parts| parts.into_iter().map(latest).collect()))
    }

    fn label_names(&self, select: &Select<'_>) -> Result<Vec<String>, ReadError> {
        self.0.label_names(select.matchers, select.start, select.end).map_err(failed)
    }

    fn label_values(&self, name: &str, select: &Select<'_>) -> Result<Vec<String>, ReadError> {
        self.0.label_values(name, select.matchers, select.start, select.end).map_err(failed)
    }

    fn exemplars(&self, select: &Select<'_>) -> Result<Vec<SeriesExemplars>, ReadError> {
        let found = self.0.exemplars(select.matchers, select.start, select.end).map_err(failed)?;
        let series = |series: tsdb::SeriesExemplars| SeriesExemplars {
            labels: series.labels,
            exemplars: series.exemplars,
        };
        Ok(found.into_iter().map(series).collect())
    }
}

fn readers(series: Vec<SelectedSeries>) -> Vec<Box<dyn SeriesReader>> {
    series.into_iter().map(|series| Box::new(Reader(series)) as Box<dyn SeriesReader>).collect()
}

fn latest(found: tsdb::Latest) -> Latest {
    let tsdb::Latest { timestamps, values, histograms, labels, groups } = found;
    Latest { timestamps, values, histograms, labels, groups }
}

fn failed(error: tsdb::Error) -> ReadError {
    ReadError(Arc::new(error))
}

struct Reader(SelectedSeries);

impl SeriesReader for Reader {
    fn labels(&self) -> &Labels {
        self.0.labels()
    }

    fn read(&self, start: Timestamp, end: Timestamp, columns: &mut Columns) -> Result<(), ReadError> {
        self.0.read(start, end, &mut Filler(columns)).map_err(failed)
    }

    fn read_windows(&self, windows: &Windows, columns: &mut Columns) -> Result<(), ReadError> {
        self.0.read_windows(windows, &mut Filler(columns)).map_err(failed)
    }

    fn resolution_ms(&self) -> i64 {
        self.0.resolution_ms()
    }
}

/// Fills columns with what a series hands over.
struct Filler<'a>(&'a mut Columns);

impl Sink for Filler<'_> {
    fn floats(&mut self, times: &[i64], values: &[f64], starts: &[i64]) {
        let Columns { timestamps, start_timestamps, .. } = &mut *self.0;
        extend_starts(start_timestamps, timestamps.len(), starts);
        timestamps.extend(times.iter().copied().map(Timestamp::from_millis));
        self.0.values.extend_from_slice(values);
    }

    fn histograms(&mut self, times: &[i64], values: &[Arc<Histogram>], starts: &[i64]) {
        let Columns { histograms, histogram_start_timestamps, .. } = &mut *self.0;
        extend_starts(histogram_start_timestamps, histograms.len(), starts);
        let times = times.iter().copied().map(Timestamp::from_millis);
        histograms.extend(times.zip(values.iter().cloned()));
    }
}

impl SummarySink for Filler<'_> {
    fn summary(&mut self, summary: &Summary) {
        self.0.summaries.push(*summary);
    }
}

/// Appends start timestamps to a column that goes with one of `count` samples; the column stays short where there are
/// none.
fn extend_starts(column: &mut Vec<Timestamp>, count: usize, starts: &[i64]) {
    if !starts.is_empty() {
        column.resize(count, UNKNOWN_START);
        column.extend(starts.iter().copied().map(Timestamp::from_millis));
    }
}

#[cfg(test)]
mod tests;
