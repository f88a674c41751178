//! Detectors at work: each one's expression is evaluated over its range at its interval, the plugin scores it, and
//! what it says of the latest step becomes series.
//!
//! For each series of the expression there are `anomaly_score` and, where the detector gives bounds,
//! `anomaly_lower` and `anomaly_upper`. They carry the labels of the series they are about, with `job` set to
//! the plugin's name; a `job` that was there before is kept as `exported_job`, as in a scrape.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::staleness::STALE_NAN;
use model::{Append, Labels, METRIC_NAME, Metadata, MetricKind, Sample, SeriesRef, Timestamp};
use plugin::{CallError, DetectConfig, Instance, Job, Scores, TrainConfig};
use promql::{MatrixSeries, QueryValue};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::queries::Queries;

/// What a detector says of one series, by name and help.
const FAMILIES: [(&str, &str); 3] = [
    ("anomaly_score", "How unusual the latest value of a series is; 0 is ordinary."),
    ("anomaly_lower", "The lower end of what a detector expects of a series."),
    ("anomaly_upper", "The upper end of what a detector expects of a series."),
];

/// One configured detector.
#[derive(Clone)]
pub(crate) struct Detector {
    pub(crate) name: String,
    pub(crate) interval: Duration,
    pub(crate) config: DetectConfig,
    pub(crate) instance: Arc<Instance>,
}

/// The detectors that run.
pub(crate) struct Detectors {
    queries: Arc<Queries>,
    storage: Arc<dyn Append>,
    running: tokio::sync::Mutex<HashMap<String, Running>>,
}

struct Running {
    detector: Detector,
    stop: CancellationToken,
    task: JoinHandle<Written>,
}

impl Detectors {
    pub(crate) fn new(queries: Arc<Queries>, storage: Arc<dyn Append>) -> Self {
        Self { queries, storage, running: tokio::sync::Mutex::default() }
    }

    /// Runs exactly these. What has not changed goes on undisturbed; what has changed goes on with the series it has
    /// written; the series of what is gone are marked stale.
    pub(crate) async fn apply(&self, wanted: Vec<Detector>) {
        let mut running = self.running.lock().await;
        let mut before = std::mem::take(&mut *running);
        for detector in wanted {
            let name = detector.name.clone();
            let written = match before.remove(&name) {
                Some(same) if same.detector.is_same(&detector) => {
                    running.insert(name, same);
                    continue;
                }
                Some(changed) => changed.end().await,
                None => Written::default(),
            };
            let stop = CancellationToken::new();
            let round = Round {
                detector: detector.clone(),
                queries: Arc::clone(&self.queries),
                storage: Arc::clone(&self.storage),
            };
            let task = tokio::spawn(round.run(written, stop.clone()));
            running.insert(name, Running { detector, stop, task });
        }
        for (name, gone) in before {
            let written = gone.end().await;
            if let Err(error) = written.replace(Arc::clone(&self.storage), now(), Vec::new()).await.1 {
                tracing::warn!(plugin = name, %error, "series of a detector were not marked stale");
            }
        }
    }

    /// Stops all. Series are not marked stale, so that a restart leaves no gap.
    pub(crate) async fn stop(&self) {
        for (_, running) in self.running.lock().await.drain() {
            running.end().await;
        }
    }
}

impl Running {
    /// Stops it; gives what it has written.
    async fn end(self) -> Written {
        self.stop.cancel();
        self.task.await.unwrap_or_else(|error| {
            tracing::error!(plugin = self.detector.name, %error, "a detector ended unexpectedly");
            Written::default()
        })
    }
}

impl Detector {
    fn is_same(&self, other: &Self) -> bool {
        self.interval == other.interval
            && self.config == other.config
            && Arc::ptr_eq(&self.instance, &other.instance)
    }
}

fn now() -> Timestamp {
    Timestamp::from_system(std::time::SystemTime::now())
}

/// What a running detector needs.
struct Round {
    detector: Detector,
    queries: Arc<Queries>,
    storage: Arc<dyn Append>,
}

impl Round {
    /// Scores, and learns beside that where it is to.
    async fn run(self, written: Written, stop: CancellationToken) -> Written {
        let round = Arc::new(self);
        let teacher = round.detector.config.train.clone().map(|train| {
            let (round, stop) = (Arc::clone(&round), stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = round.learn(&train) => {}
                }
            })
        });
        let written = round.repeat(written, stop).await;
        if let Some(teacher) = teacher {
            let _ = teacher.await;
        }
        written
    }

    /// Works until it is stopped. A round that fails is logged, and the next one comes at its time.
    async fn repeat(&self, mut written: Written, stop: CancellationToken) -> Written {
        let name = self.detector.name.as_str();
        let mut ticks = tokio::time::interval(self.detector.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = stop.cancelled() => return written,
                _ = ticks.tick() => {}
            }
            let span = tracing::info_span!("detect", plugin = name);
            let scored = tokio::select! {
                () = stop.cancelled() => return written,
                scored = self.score().instrument(span) => scored,
            };
            let stored = match scored {
                Ok((at, values)) => {
                    let (kept, stored) = written.replace(Arc::clone(&self.storage), at, values).await;
                    written = kept;
                    stored
                }
                Err(error) => Err(error),
            };
            match stored {
                Ok(()) => {}
                // The host has said so already, once.
                Err(error) if error.is::<CallError>() => {
                    tracing::debug!(plugin = name, %error, "detection failed");
                }
                Err(error) => tracing::warn!(plugin = name, %error, "detection failed"),
            }
        }
    }

    /// What the detector says of the latest step.
    async fn score(&self) -> anyhow::Result<(Timestamp, Vec<(Labels, f64)>)> {
        let config = &self.detector.config;
        let step_ms = i64::try_from(config.step.0.as_millis())?;
        let at = now();
        let start = at - config.range.0;
        let result = self.queries.inside_range(&config.expr, start, at, step_ms).await?;
        let QueryValue::Matrix(series) = result.value else {
            anyhow::bail!("the expression does not yield series");
        };
        if series.is_empty() {
            return Ok((at, Vec::new()));
        }
        let steps = usize::try_from(at.since(start) / step_ms)? + 1;
        let labels: Vec<Labels> = series.iter().map(|series| series.labels.clone()).collect();
        let order = self.detector.instance.row_order(&labels);
        let job = job(&series, &order, start, step_ms, steps)?;
        let scores = self.detector.instance.detect(job).await?;
        Ok((at, self.latest(&series, &order, &scores, steps)))
    }

    /// Teaches the detector, at once where it knows nothing yet, and then at its interval.
    async fn learn(&self, train: &TrainConfig) {
        let name = self.detector.name.as_str();
        let mut ticks = tokio::time::interval(train.interval.0);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        if self.detector.instance.has_model() {
            // The first tick comes at once.
            ticks.tick().await;
        }
        loop {
            ticks.tick().await;
            let span = tracing::info_span!("train", plugin = name);
            match self.train(train).instrument(span).await {
                Ok(series) => tracing::info!(plugin = name, series, "a detector has learnt"),
                // The host has said so already, once.
                Err(error) if error.is::<CallError>() => {
                    tracing::debug!(plugin = name, %error, "training failed");
                }
                Err(error) => tracing::warn!(plugin = name, %error, "training failed"),
            }
        }
    }

    /// Teaches the detector once; gives how many series there were to learn from.
    async fn train(&self, train: &TrainConfig) -> anyhow::Result<usize> {
        let step_ms = i64::try_from(train.step.0.as_millis())?;
        let at = now();
        let start = at - train.range.0;
        let result = self.queries.inside_range(&self.detector.config.expr, start, at, step_ms).await?;
        let QueryValue::Matrix(series) = result.value else {
            anyhow::bail!("the expression does not yield series");
        };
        if series.is_empty() {
            return Ok(0);
        }
        let steps = usize::try_from(at.since(start) / step_ms)? + 1;
        let labels: Vec<Labels> = series.iter().map(|series| series.labels.clone()).collect();
        let order: Vec<Option<usize>> = (0..series.len()).map(Some).collect();
        let history = job(&series, &order, start, step_ms, steps)?;
        self.detector.instance.train(history, &labels).await?;
        Ok(series.len())
    }

    /// What the scores say of each series at the last step.
    fn latest(
        &self,
        series: &[MatrixSeries],
        order: &[Option<usize>],
        scores: &Scores,
        steps: usize,
    ) -> Vec<(Labels, f64)> {
        let mut values = Vec::new();
        for ((name, _), column) in FAMILIES.iter().zip([&scores.scores, &scores.lower, &scores.upper]) {
            for (row, at) in order.iter().enumerate() {
                let Some(series) = at.and_then(|at| series.get(at)) else { continue };
                match column.get(row * steps + steps - 1) {
                    Some(value) if !value.is_nan() => {
                        values.push((self.labels(name, &series.labels), *value));
                    }
                    _ => {}
                }
            }
        }
        values
    }

    fn labels(&self, metric: &str, of: &Labels) -> Labels {
        let mut labels = of.to_builder();
        if let Some(job) = of.get("job") {
            labels.set("exported_job", job);
        }
        labels.set("job", &self.detector.name).set(METRIC_NAME, metric);
        labels.build()
    }
}

/// The series as rows of equal length in this order, NaN where a row has no series or that no value.
fn job(
    series: &[MatrixSeries],
    order: &[Option<usize>],
    start: Timestamp,
    step_ms: i64,
    steps: usize,
) -> anyhow::Result<Job> {
    Ok(Job {
        start_ms: start.millis(),
        step_ms: u64::try_from(step_ms)?,
        steps: u32::try_from(steps)?,
        series: u32::try_from(order.len())?,
        values: rows(series, order, start, step_ms, steps),
    })
}

fn rows(
    series: &[MatrixSeries],
    order: &[Option<usize>],
    start: Timestamp,
    step_ms: i64,
    steps: usize,
) -> Vec<f64> {
    let mut values = vec![f64::NAN; order.len() * steps];
    for (row, at) in values.chunks_exact_mut(steps).zip(order) {
        let Some(series) = at.and_then(|at| series.get(at)) else { continue };
        for sample in &series.floats {
            let step = usize::try_from(sample.timestamp.since(start) / step_ms);
            if let Some(slot) = step.ok().and_then(|step| row.get_mut(step)) {
                *slot = sample.value;
            }
        }
    }
    values
}

/// The series that the last round wrote, so that those that vanish are marked stale.
#[derive(Default)]
struct Written(HashMap<Labels, SeriesRef>);

impl Written {
    /// Writes these values and marks the other series stale. Waits for the log on a thread of its own. After an error
    /// the series are those from before.
    async fn replace(
        self,
        storage: Arc<dyn Append>,
        at: Timestamp,
        values: Vec<(Labels, f64)>,
    ) -> (Self, anyhow::Result<()>) {
        let work = move || match self.write(&*storage, at, &values) {
            Ok(current) => (current, Ok(())),
            Err(error) => (self, Err(error)),
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| (Self::default(), Err(error.into())))
    }

    fn write(&self, storage: &dyn Append, at: Timestamp, values: &[(Labels, f64)]) -> anyhow::Result<Self> {
        let mut appender = storage.appender();
        let mut current = HashMap::with_capacity(values.len());
        for (labels, value) in values {
            let known = self.0.get(labels).copied();
            match appender.append(known, labels, Sample { timestamp: at, value: *value }) {
                Ok(series) => drop(current.insert(labels.clone(), series)),
                Err(error) => tracing::warn!(series = %labels, %error, "storage refused a score"),
            }
        }
        for (labels, series) in self.0.iter().filter(|(labels, _)| !current.contains_key(*labels)) {
            // A series that storage has meanwhile taken something newer of needs no marker.
            let _ = appender.append(Some(*series), labels, Sample { timestamp: at, value: STALE_NAN });
        }
        for (family, help) in FAMILIES {
            let metadata = Metadata { kind: MetricKind::Gauge, help: help.to_owned(), unit: String::new() };
            appender.append_metadata(family, &metadata);
        }
        for refused in appender.commit()? {
            let labels =
                current.iter().find(|(_, series)| **series == refused.series).map(|(labels, _)| labels);
            let series = labels.map(ToString::to_string).unwrap_or_default();
            tracing::warn!(series, error = %refused.error, "storage refused a score");
        }
        Ok(Self(current))
    }
}
