//! Storage in a temporary directory.

use std::io;
use std::path::Path;
use std::sync::Arc;

use model::{Append, Histogram, Labels, Matcher, Sample, SeriesRef, Timestamp};
use promql::read::{Columns, ReadError, Select, SeriesExemplars, SeriesReader, Storage};
use tempfile::TempDir;
use tsdb::{Options, RealFileSystem, SelectedSeries, Sink, SystemClock, Tsdb};

use crate::{FIRST_TIME_MS, Fleet, STEP_MS};

/// A batch is about what one scrape brings.
const BATCH_SAMPLES: usize = 2_000;

/// A database that goes with its directory.
pub struct Database {
    tsdb: Tsdb,
    dir: TempDir,
}

impl Database {
    /// An empty database with the server's defaults: the log is on and synced once per second.
    ///
    /// # Errors
    /// Where the directory or the database cannot be made.
    pub fn create() -> io::Result<Self> {
        let dir = TempDir::new()?;
        let tsdb = open(dir.path())?;
        Ok(Self { tsdb, dir })
    }

    /// The same directory, opened again.
    ///
    /// # Errors
    /// Where it cannot be closed or opened.
    pub fn reopen(self) -> io::Result<Self> {
        let Self { tsdb, dir } = self;
        tsdb.close().map_err(io::Error::other)?;
        drop(tsdb);
        let tsdb = open(dir.path())?;
        Ok(Self { tsdb, dir })
    }

    /// The database.
    pub const fn tsdb(&self) -> &Tsdb {
        &self.tsdb
    }

    /// Appends one sample to each of `series`, by reference where there is one, and keeps the references.
    ///
    /// # Errors
    /// Where a sample or a batch is refused.
    pub fn append(
        &self,
        series: &[Labels],
        refs: &mut [Option<SeriesRef>],
        time: i64,
        mut value: impl FnMut(usize) -> f64,
    ) -> io::Result<()> {
        for (batch, (labels, refs)) in
            series.chunks(BATCH_SAMPLES).zip(refs.chunks_mut(BATCH_SAMPLES)).enumerate()
        {
            let mut appender = self.tsdb.appender();
            for (at, (labels, known)) in labels.iter().zip(refs).enumerate() {
                let sample = Sample::new(time, value(batch * BATCH_SAMPLES + at));
                *known = Some(appender.append(*known, labels, sample).map_err(io::Error::other)?);
            }
            appender.commit().map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Appends `steps` samples to each of the first `series_count` series of a fleet, and does the maintenance that
    /// falls due.
    ///
    /// # Errors
    /// As [`Database::append`].
    pub fn fill(&self, fleet: &Fleet, series_count: usize, steps: usize) -> io::Result<()> {
        let labels: Vec<Labels> = (0..series_count).map(|number| fleet.labels(number)).collect();
        let mut values: Vec<_> = (0..series_count).map(|number| fleet.values(number)).collect();
        let mut refs = vec![None; series_count];
        for step in 0..steps {
            let time = FIRST_TIME_MS + step as i64 * STEP_MS;
            self.append(&labels, &mut refs, time, |at| values[at].next_value())?;
            if step % 240 == 239 {
                self.tsdb.maintain().map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    /// Hands every sample of the matching series over.
    ///
    /// # Errors
    /// Where storage cannot be read.
    pub fn scan(&self, matchers: &[Matcher], mut each: impl FnMut(f64)) -> io::Result<()> {
        struct Each<'a>(&'a mut dyn FnMut(f64));
        impl Sink for Each<'_> {
            fn float(&mut self, _: Timestamp, value: f64) {
                (self.0)(value);
            }
            fn histogram(&mut self, _: Timestamp, _: Arc<Histogram>) {}
        }
        for series in self.tsdb.select(matchers, Timestamp::MIN, Timestamp::MAX).map_err(io::Error::other)? {
            let mut sink = Each(&mut each);
            series.read(Timestamp::MIN, Timestamp::MAX, &mut sink).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

fn open(dir: &Path) -> io::Result<Tsdb> {
    let (files, clock) = (Arc::new(RealFileSystem), Arc::new(SystemClock));
    Tsdb::open(dir, Options { retention: None, ..Options::prometheus() }, files, clock)
        .map_err(io::Error::other)
}

/// As the server connects storage and queries.
impl Storage for Database {
    fn select(&self, select: &Select<'_>) -> Result<Vec<Box<dyn SeriesReader>>, ReadError> {
        let series = self.tsdb.select(select.matchers, select.start, select.end).map_err(failed)?;
        Ok(series.into_iter().map(|series| Box::new(Reader(series)) as Box<dyn SeriesReader>).collect())
    }

    fn label_names(&self, select: &Select<'_>) -> Result<Vec<String>, ReadError> {
        self.tsdb.label_names(select.matchers, select.start, select.end).map_err(failed)
    }

    fn label_values(&self, name: &str, select: &Select<'_>) -> Result<Vec<String>, ReadError> {
        self.tsdb.label_values(name, select.matchers, select.start, select.end).map_err(failed)
    }

    fn exemplars(&self, select: &Select<'_>) -> Result<Vec<SeriesExemplars>, ReadError> {
        let found = self.tsdb.exemplars(select.matchers, select.start, select.end).map_err(failed)?;
        let series = |s: tsdb::SeriesExemplars| SeriesExemplars { labels: s.labels, exemplars: s.exemplars };
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

struct Filler<'a>(&'a mut Columns);

impl Sink for Filler<'_> {
    fn float(&mut self, timestamp: Timestamp, value: f64) {
        self.0.push(timestamp, value);
    }

    fn histogram(&mut self, timestamp: Timestamp, histogram: Arc<Histogram>) {
        self.0.histograms.push((timestamp, histogram));
    }
}
