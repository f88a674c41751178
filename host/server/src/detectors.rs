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
use plugin::{DetectConfig, Instance, Job, Scores};
use promql::{MatrixSeries, QueryValue};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::queries::{Queries, QueryOptions};

/// What a detector says of one series, by name and help.
const FAMILIES: [(&str, &str); 3] = [
    ("anomaly_score", "How unusual the latest value of a series is; 0 is ordinary."),
    ("anomaly_lower", "The lower end of what a detector expects of a series."),
    ("anomaly_upper", "The upper end of what a detector expects of a series."),
];

/// One configured detector.
pub(crate) struct Detector {
    pub(crate) name: String,
    pub(crate) interval: Duration,
    pub(crate) config: DetectConfig,
    pub(crate) instance: Arc<Instance>,
    pub(crate) queries: Arc<Queries>,
    pub(crate) storage: Arc<dyn Append>,
}

impl Detector {
    /// Runs until it is stopped. A round that fails is logged, and the next one comes at its time.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut written = Written::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            let span = tracing::info_span!(target: "stormglass", "detect", plugin = self.name);
            let round = self.round(&mut written).instrument(span);
            let result = tokio::select! {
                () = stop.cancelled() => break,
                result = round => result,
            };
            if let Err(error) = result {
                tracing::warn!(target: "stormglass", plugin = self.name, %error, "detection failed");
            }
        }
        if let Err(error) = written.end(&*self.storage, Timestamp::from_system(std::time::SystemTime::now()))
        {
            tracing::warn!(target: "stormglass", plugin = self.name, %error, "series were not marked stale");
        }
    }

    async fn round(&self, written: &mut Written) -> anyhow::Result<()> {
        let step_ms = i64::try_from(self.config.step.0.as_millis())?;
        let now = Timestamp::from_system(std::time::SystemTime::now());
        let start = now - self.config.range.0;
        let result =
            self.queries.range(&self.config.expr, start, now, step_ms, QueryOptions::default()).await?;
        let QueryValue::Matrix(series) = result.value else {
            anyhow::bail!("the expression does not yield series");
        };
        if series.is_empty() {
            return written.replace(&*self.storage, now, &[]);
        }
        let steps = usize::try_from(now.since(start) / step_ms)? + 1;
        let job = Job {
            start_ms: start.millis(),
            step_ms: u64::try_from(step_ms)?,
            steps: u32::try_from(steps)?,
            series: u32::try_from(series.len())?,
            values: rows(&series, start, step_ms, steps),
        };
        let scores = self.instance.detect(job).await?;
        written.replace(&*self.storage, now, &self.latest(&series, &scores, steps))
    }

    /// What the scores say of each series at the last step.
    fn latest(&self, series: &[MatrixSeries], scores: &Scores, steps: usize) -> Vec<(Labels, f64)> {
        let mut values = Vec::new();
        for ((name, _), column) in FAMILIES.iter().zip([&scores.scores, &scores.lower, &scores.upper]) {
            for (index, series) in series.iter().enumerate() {
                match column.get(index * steps + steps - 1) {
                    Some(value) if !value.is_nan() => {
                        values.push((self.labels(name, &series.labels), *value))
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
        labels.set("job", &self.name).set(METRIC_NAME, metric);
        labels.build()
    }
}

/// The series as rows of equal length, NaN where a series has no value.
fn rows(series: &[MatrixSeries], start: Timestamp, step_ms: i64, steps: usize) -> Vec<f64> {
    let mut values = vec![f64::NAN; series.len() * steps];
    for (row, series) in values.chunks_exact_mut(steps).zip(series) {
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
    fn replace(
        &mut self,
        storage: &dyn Append,
        now: Timestamp,
        values: &[(Labels, f64)],
    ) -> anyhow::Result<()> {
        let mut appender = storage.appender();
        let mut current = HashMap::with_capacity(values.len());
        for (labels, value) in values {
            let known = self.0.remove(labels);
            let series = appender.append(known, labels, Sample { timestamp: now, value: *value })?;
            current.insert(labels.clone(), series);
        }
        for (labels, series) in self.0.drain() {
            appender.append(Some(series), &labels, Sample { timestamp: now, value: STALE_NAN })?;
        }
        for (family, help) in FAMILIES {
            let metadata = Metadata { kind: MetricKind::Gauge, help: help.to_owned(), unit: String::new() };
            appender.append_metadata(family, &metadata);
        }
        appender.commit()?;
        self.0 = current;
        Ok(())
    }

    fn end(&mut self, storage: &dyn Append, now: Timestamp) -> anyhow::Result<()> {
        self.replace(storage, now, &[])
    }
}
