//! Storage in a temporary directory.

use std::io;
use std::path::Path;
use std::sync::Arc;

use model::{
    Append, FloatColumns, Histogram, Labels, Matcher, Sample, SeriesRef, Summary, Timestamp, Windows,
};
use storage::Storage;
use tempfile::TempDir;
use tsdb::{Analysis, Options, RealFileSystem, Retention, Sink, SummarySink, SystemClock, Tsdb};

use crate::{FIRST_TIME_MS, Fleet, STEP_MS};

/// A batch is about what one scrape brings.
const BATCH_SAMPLES: usize = 2_000;

/// A database that goes with its directory.
pub struct Database {
    storage: Storage,
    dir: TempDir,
}

impl Database {
    /// An empty database with the server's defaults: the log is on and synced once per second.
    ///
    /// # Errors
    /// Where the directory or the database cannot be made.
    pub fn create() -> io::Result<Self> {
        let dir = TempDir::new()?;
        let storage = open(dir.path())?;
        Ok(Self { storage, dir })
    }

    /// The same directory, opened again.
    ///
    /// # Errors
    /// Where it cannot be closed or opened.
    pub fn reopen(self) -> io::Result<Self> {
        let Self { storage, dir } = self;
        storage.tsdb().close().map_err(io::Error::other)?;
        drop(storage);
        let storage = open(dir.path())?;
        Ok(Self { storage, dir })
    }

    /// What takes its bytes, once it is closed.
    ///
    /// # Errors
    /// Where it cannot be closed or read.
    pub fn analyze(self) -> io::Result<Analysis> {
        let Self { storage, dir } = self;
        storage.tsdb().close().map_err(io::Error::other)?;
        drop(storage);
        tsdb::analyze(&RealFileSystem, dir.path(), None, 0).map_err(io::Error::other)
    }

    /// The database.
    pub fn tsdb(&self) -> &Tsdb {
        self.storage.tsdb()
    }

    /// The database as queries see it, the same way as in the server.
    pub const fn storage(&self) -> &Storage {
        &self.storage
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
            let mut appender = self.tsdb().appender();
            for (at, (labels, known)) in labels.iter().zip(refs).enumerate() {
                let sample = Sample::new(time, value(batch * BATCH_SAMPLES + at));
                *known = Some(appender.append(*known, labels, sample).map_err(io::Error::other)?);
            }
            appender.commit().map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Appends one sample to each of `series`, by reference alone.
    ///
    /// # Errors
    /// Where a sample or a batch is refused.
    pub fn append_columns(&self, series: &[SeriesRef], time: i64, values: &[f64]) -> io::Result<()> {
        for (series, values) in series.chunks(BATCH_SAMPLES).zip(values.chunks(BATCH_SAMPLES)) {
            let columns = FloatColumns::at(Timestamp::from_millis(time), series, values);
            let columns = columns.ok_or_else(|| io::Error::other("as many values as series needed"))?;
            let (mut appender, mut refused) = (self.tsdb().appender(), Vec::new());
            appender.append_columns(&columns, &mut refused);
            let late = appender.commit().map_err(io::Error::other)?;
            if !refused.is_empty() || !late.is_empty() {
                return Err(io::Error::other(format!(
                    "refused {} and {} samples",
                    refused.len(),
                    late.len()
                )));
            }
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
                self.tsdb().maintain().map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    /// Hands every float of the matching series over, column by column.
    ///
    /// # Errors
    /// Where storage cannot be read.
    pub fn scan(&self, matchers: &[Matcher], each: impl FnMut(&[f64])) -> io::Result<()> {
        self.scan_until(matchers, Timestamp::MAX, each)
    }

    /// As [`Database::scan`], without what is only in the head.
    ///
    /// # Errors
    /// Where storage cannot be read.
    pub fn scan_blocks(&self, matchers: &[Matcher], each: impl FnMut(&[f64])) -> io::Result<()> {
        let head_begins = self.tsdb().stats().head_min_time.unwrap_or(Timestamp::MAX);
        self.scan_until(matchers, Timestamp::from_millis(head_begins.millis() - 1), each)
    }

    fn scan_until(
        &self,
        matchers: &[Matcher],
        end: Timestamp,
        mut each: impl FnMut(&[f64]),
    ) -> io::Result<()> {
        for series in self.tsdb().select(matchers, Timestamp::MIN, end).map_err(io::Error::other)? {
            let mut sink = Each { floats: &mut each, summaries: &mut |_| {} };
            series.read(Timestamp::MIN, end, &mut sink).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// How many native histograms there are; each of them is decoded.
    ///
    /// # Errors
    /// Where storage cannot be read.
    pub fn count_histograms(&self) -> io::Result<usize> {
        let mut sink = Histograms(0);
        for series in self.tsdb().select(&[], Timestamp::MIN, Timestamp::MAX).map_err(io::Error::other)? {
            series.read(Timestamp::MIN, Timestamp::MAX, &mut sink).map_err(io::Error::other)?;
        }
        Ok(sink.0)
    }

    /// Hands over what one window over everything needs of the matching series: floats, or what they come to.
    ///
    /// # Errors
    /// Where storage cannot be read.
    pub fn window(
        &self,
        matchers: &[Matcher],
        mut floats: impl FnMut(&[f64]),
        mut summaries: impl FnMut(&Summary),
    ) -> io::Result<()> {
        let end = Timestamp::from_millis(i64::MAX / 2);
        let window = Windows { first_end: end, step_ms: 1, count: 1, range_ms: i64::MAX / 2 };
        for series in self.tsdb().select(matchers, window.start(), window.end()).map_err(io::Error::other)? {
            let mut sink = Each { floats: &mut floats, summaries: &mut summaries };
            series.read_windows(&window, &mut sink).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

fn open(dir: &Path) -> io::Result<Storage> {
    let (files, clock) = (Arc::new(RealFileSystem), Arc::new(SystemClock));
    Tsdb::open(dir, Options { retention: Retention::ALL, ..Options::prometheus() }, files, clock)
        .map(|tsdb| Storage::new(Arc::new(tsdb)))
        .map_err(io::Error::other)
}

/// Counts histograms.
struct Histograms(usize);

impl Sink for Histograms {
    fn floats(&mut self, _: &[i64], _: &[f64], _: &[i64]) {}

    fn histograms(&mut self, _: &[i64], values: &[Arc<Histogram>], _: &[i64]) {
        self.0 += values.len();
    }
}

/// Hands floats and summaries over.
struct Each<'a> {
    floats: &'a mut dyn FnMut(&[f64]),
    summaries: &'a mut dyn FnMut(&Summary),
}

impl Sink for Each<'_> {
    fn floats(&mut self, _: &[i64], values: &[f64], _: &[i64]) {
        (self.floats)(values);
    }

    fn histograms(&mut self, _: &[i64], _: &[Arc<Histogram>], _: &[i64]) {}
}

impl SummarySink for Each<'_> {
    fn summary(&mut self, summary: &Summary) {
        (self.summaries)(summary);
    }
}
