//! The storage of one test: the series that the test writes down, as far as time has come, and what rules record.

use std::sync::Arc;

use async_trait::async_trait;
use model::{
    Append, AppendError, Appender, CommitError, Exemplar, Histogram, Labels, Matcher, Metadata, Refused,
    Sample, SeriesRef, Timestamp, Value,
};
use parking_lot::RwLock;
use promql::script::MemoryStorage;
use promql::{Engine, QueryControl, QueryError, QueryResult};

use crate::query::{Query, QueryFailure, RuleGroupName, RuleVector, latest_samples, rule_vector};

/// A series as it is written down, with the times of its values.
pub(super) type Written = (Labels, Vec<(Timestamp, Value)>);

/// A series whose samples are still to come, the next one first.
struct Pending {
    labels: Labels,
    samples: std::iter::Peekable<std::vec::IntoIter<(Timestamp, Value)>>,
}

/// Storage and engine of one test.
pub(super) struct World {
    engine: Engine,
    storage: RwLock<MemoryStorage>,
    pending: RwLock<Vec<Pending>>,
}

impl World {
    /// A storage to which these series come as time goes on.
    pub(super) fn new(engine: Engine, series: Vec<Written>) -> Self {
        let pending = series
            .into_iter()
            .map(|(labels, samples)| Pending { labels, samples: samples.into_iter().peekable() })
            .collect();
        Self { engine, storage: RwLock::new(MemoryStorage::default()), pending: RwLock::new(pending) }
    }

    /// Brings in the samples up to a time.
    pub(super) fn advance(&self, to: Timestamp) {
        let mut storage = self.storage.write();
        let mut histograms = false;
        for series in self.pending.write().iter_mut() {
            while let Some((at, value)) = series.samples.next_if(|(at, _)| *at <= to) {
                histograms |= matches!(value, Value::Histogram(_));
                storage.put(&series.labels, at, value);
            }
        }
        if histograms {
            storage.find_resets();
        }
    }

    /// What an expression yields.
    pub(super) fn evaluate(&self, expr: &str, at: Timestamp) -> Result<QueryResult, QueryError> {
        self.engine.instant(&*self.storage.read(), expr, at, &QueryControl::default())
    }
}

#[async_trait]
impl Query for World {
    async fn instant(
        &self,
        expr: &str,
        at: Timestamp,
        _: RuleGroupName<'_>,
    ) -> Result<RuleVector, QueryFailure> {
        let result = self.evaluate(expr, at).map_err(|error| QueryFailure::new(error.to_string()))?;
        rule_vector(result.value)
    }

    async fn latest(
        &self,
        matchers: &[Matcher],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Labels, Sample)>, QueryFailure> {
        Ok(latest_samples(&*self.storage.read(), matchers, from, to)?)
    }
}

impl Append for World {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(Batch { world: self, samples: Vec::new() })
    }
}

/// Samples that rules record at one time.
struct Batch<'a> {
    world: &'a World,
    samples: Vec<(Labels, Timestamp, Value)>,
}

impl Batch<'_> {
    /// A series goes forward in time only, as in any storage without a window for what comes late.
    fn push(&mut self, labels: &Labels, at: Timestamp, value: Value) -> Result<SeriesRef, AppendError> {
        match self.world.storage.read().latest(labels) {
            Some(latest) if at < latest => return Err(AppendError::OutOfOrder),
            Some(latest) if at == latest => return Err(AppendError::DuplicateTimestamp),
            _ => {}
        }
        self.samples.push((labels.clone(), at, value));
        Ok(SeriesRef(0))
    }
}

impl Appender for Batch<'_> {
    fn append(
        &mut self,
        _: Option<SeriesRef>,
        labels: &Labels,
        sample: Sample,
    ) -> Result<SeriesRef, AppendError> {
        self.push(labels, sample.timestamp, Value::Float(sample.value))
    }

    fn append_histogram(
        &mut self,
        _: Option<SeriesRef>,
        labels: &Labels,
        timestamp: Timestamp,
        histogram: &Histogram,
    ) -> Result<SeriesRef, AppendError> {
        self.push(labels, timestamp, Value::Histogram(Arc::new(histogram.clone())))
    }

    fn append_exemplar(&mut self, _: SeriesRef, _: &Exemplar) -> Result<(), AppendError> {
        Ok(())
    }

    fn append_metadata(&mut self, _: &str, _: &Metadata) {}

    fn commit(self: Box<Self>) -> Result<Vec<Refused>, CommitError> {
        let mut storage = self.world.storage.write();
        for (labels, at, value) in self.samples {
            storage.put(&labels, at, value);
        }
        Ok(Vec::new())
    }
}
