//! Storage as the rest of the server sees it: what `promql` reads and what everything that brings samples appends to.

use std::sync::Arc;

use model::{Append, Appender, Histogram, Labels, Metadata, Timestamp};
use promql::read::{Columns, ReadError, Select, SeriesExemplars, SeriesReader};
use tsdb::{SelectedSeries, Sink, Tsdb};

/// The database, shared.
#[derive(Clone)]
pub(crate) struct Storage(Arc<Tsdb>);

impl Storage {
    pub(crate) const fn new(tsdb: Arc<Tsdb>) -> Self {
        Self(tsdb)
    }

    pub(crate) fn tsdb(&self) -> &Tsdb {
        &self.0
    }

    pub(crate) fn metadata(&self) -> Vec<(String, Metadata)> {
        self.0.metadata()
    }
}

impl Append for Storage {
    fn appender(&self) -> Box<dyn Appender + '_> {
        self.0.appender()
    }
}

impl promql::read::Storage for Storage {
    fn select(&self, select: &Select<'_>) -> Result<Vec<Box<dyn SeriesReader>>, ReadError> {
        let series = self.0.select(select.matchers, select.start, select.end).map_err(failed)?;
        Ok(series.into_iter().map(|series| Box::new(Reader(series)) as Box<dyn SeriesReader>).collect())
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
}

/// Fills columns with what a series hands over.
struct Filler<'a>(&'a mut Columns);

impl Sink for Filler<'_> {
    fn float(&mut self, timestamp: Timestamp, value: f64) {
        self.0.push(timestamp, value);
    }

    fn histogram(&mut self, timestamp: Timestamp, histogram: Arc<Histogram>) {
        self.0.histograms.push((timestamp, histogram));
    }
}
