//! A storage for tests: keeps what was committed, refuses as the contract says, and can fail commits.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use model::staleness::is_stale;
use model::{
    Append, AppendError, Appender, CommitError, Exemplar, FloatColumns, Histogram, Labels, Metadata, Refused,
    Sample, SeriesRef, Timestamp,
};
use parking_lot::Mutex;
use tokio::sync::watch;

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) labels: Labels,
    pub(crate) at: i64,
    pub(crate) value: f64,
    histogram: bool,
    pub(crate) start: Option<i64>,
}

#[derive(Default)]
struct State {
    rows: Vec<Row>,
    refs: HashMap<Labels, (SeriesRef, i64)>,
    last_ref: u64,
    exemplars: Vec<(SeriesRef, Exemplar)>,
    metadata: Vec<(String, Metadata)>,
    fail_commits: bool,
}

pub(crate) struct Recorder {
    state: Mutex<State>,
    commits: watch::Sender<u64>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), commits: watch::Sender::new(0) }
    }

    pub(crate) fn fail_commits(&self, fail: bool) {
        self.state.lock().fail_commits = fail;
    }

    /// Lets go of all series, as of a head whose series have gone to blocks.
    pub(crate) fn forget_series(&self) {
        self.state.lock().refs.clear();
    }

    fn labels_of(&self, series: SeriesRef) -> Option<Labels> {
        let state = self.state.lock();
        state.refs.iter().find(|(_, (known, _))| *known == series).map(|(labels, _)| labels.clone())
    }

    /// Takes out the rows so far, without those of the report but `up`, as text sorted by labels.
    pub(crate) fn take(&self) -> String {
        let mut rows = std::mem::take(&mut self.state.lock().rows);
        rows.retain(|row| !row.labels.metric_name().unwrap_or("").starts_with("scrape_"));
        rows.sort_by(|a, b| (&a.labels, a.at).cmp(&(&b.labels, b.at)));
        rows.iter().fold(String::new(), |mut text, row| {
            let kind = if row.histogram { " histogram" } else { "" };
            let value = if is_stale(row.value) { "stale".to_owned() } else { row.value.to_string() };
            let start = row.start.map(|start| format!(" since {start}")).unwrap_or_default();
            let _ = writeln!(text, "{} {value}{kind} @{}{start}", row.labels, row.at);
            text
        })
    }

    /// The metrics, other than the report's, of which some series has not ended.
    pub(crate) fn live(&self) -> BTreeSet<String> {
        let state = self.state.lock();
        let latest: HashMap<&Labels, f64> = state.rows.iter().map(|row| (&row.labels, row.value)).collect();
        let live = latest.into_iter().filter(|(_, value)| !is_stale(*value));
        let names = live.filter_map(|(labels, _)| labels.metric_name());
        names.filter(|name| *name != "up" && !name.starts_with("scrape_")).map(str::to_owned).collect()
    }

    /// The series that have not ended.
    pub(crate) fn live_series(&self) -> BTreeSet<String> {
        let state = self.state.lock();
        let latest: HashMap<&Labels, f64> = state.rows.iter().map(|row| (&row.labels, row.value)).collect();
        latest
            .into_iter()
            .filter(|(_, value)| !is_stale(*value))
            .map(|(labels, _)| labels.to_string())
            .collect()
    }

    pub(crate) fn take_metadata(&self) -> Vec<(String, Metadata)> {
        std::mem::take(&mut self.state.lock().metadata)
    }

    pub(crate) fn exemplar_count(&self) -> usize {
        self.state.lock().exemplars.len()
    }

    /// The samples of the one metric, in order.
    pub(crate) fn rows(&self, metric: &str) -> Vec<Row> {
        let state = self.state.lock();
        state.rows.iter().filter(|row| row.labels.metric_name() == Some(metric)).cloned().collect()
    }

    /// Waits until what was committed satisfies `enough`.
    pub(crate) async fn until(&self, enough: impl Fn(&Self) -> bool) {
        let mut commits = self.commits.subscribe();
        while !enough(self) {
            commits.changed().await.unwrap();
        }
    }
}

impl Append for Recorder {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(Batch { recorder: self, rows: Vec::new(), exemplars: Vec::new(), metadata: Vec::new() })
    }
}

struct Batch<'a> {
    recorder: &'a Recorder,
    rows: Vec<Row>,
    exemplars: Vec<(SeriesRef, Exemplar)>,
    metadata: Vec<(String, Metadata)>,
}

impl Batch<'_> {
    fn add(&mut self, series: Option<SeriesRef>, row: Row) -> Result<SeriesRef, AppendError> {
        let mut state = self.recorder.state.lock();
        let next = state.last_ref + 1;
        let (found, newest) = *state.refs.entry(row.labels.clone()).or_insert((SeriesRef(next), i64::MIN));
        state.last_ref = state.last_ref.max(found.0);
        assert!(
            series
                .is_none_or(|series| series == found || !state.refs.values().any(|known| known.0 == series)),
            "reference of another series for {}",
            row.labels
        );
        if row.at < newest {
            return Err(AppendError::OutOfOrder);
        }
        if row.at == newest {
            return Err(AppendError::DuplicateTimestamp);
        }
        self.rows.push(row);
        Ok(found)
    }
}

impl Appender for Batch<'_> {
    fn append(
        &mut self,
        series: Option<SeriesRef>,
        labels: &Labels,
        sample: Sample,
    ) -> Result<SeriesRef, AppendError> {
        let at = sample.timestamp.millis();
        self.add(
            series,
            Row { labels: labels.clone(), at, value: sample.value, histogram: false, start: None },
        )
    }

    fn append_columns(&mut self, columns: &FloatColumns<'_>, refused: &mut Vec<(usize, AppendError)>) {
        for (index, (series, value)) in columns.series().iter().zip(columns.values()).enumerate() {
            let known = self.recorder.labels_of(*series).ok_or(AppendError::UnknownSeries(series.0));
            let at = columns.time(index).millis();
            let start = Some(columns.start(index).millis()).filter(|start| *start != 0);
            let row = |labels| Row { labels, at, value: *value, histogram: false, start };
            if let Err(error) = known.and_then(|labels| self.add(Some(*series), row(labels))) {
                refused.push((index, error));
            }
        }
    }

    fn append_histogram(
        &mut self,
        series: Option<SeriesRef>,
        labels: &Labels,
        timestamp: Timestamp,
        histogram: &Histogram,
    ) -> Result<SeriesRef, AppendError> {
        let at = timestamp.millis();
        self.add(
            series,
            Row { labels: labels.clone(), at, value: histogram.sum, histogram: true, start: None },
        )
    }

    fn append_start(&mut self, series: SeriesRef, start: Timestamp) {
        let state = self.recorder.state.lock();
        let of_series =
            |row: &&mut Row| state.refs.get(&row.labels).is_some_and(|(found, _)| *found == series);
        if let Some(row) = self.rows.last_mut().filter(of_series) {
            row.start = Some(start.millis());
        }
    }

    fn append_exemplar(&mut self, series: SeriesRef, exemplar: &Exemplar) -> Result<(), AppendError> {
        self.exemplars.push((series, exemplar.clone()));
        Ok(())
    }

    fn append_metadata(&mut self, family: &str, metadata: &Metadata) {
        self.metadata.push((family.to_owned(), metadata.clone()));
    }

    fn commit(self: Box<Self>) -> Result<Vec<Refused>, CommitError> {
        let mut state = self.recorder.state.lock();
        if state.fail_commits {
            return Err(CommitError("disk is full".into()));
        }
        for row in &self.rows {
            if let Some((_, newest)) = state.refs.get_mut(&row.labels) {
                *newest = row.at.max(*newest);
            }
        }
        state.rows.extend(self.rows);
        state.exemplars.extend(self.exemplars);
        state.metadata.extend(self.metadata);
        drop(state);
        self.recorder.commits.send_modify(|count| *count += 1);
        Ok(Vec::new())
    }
}
