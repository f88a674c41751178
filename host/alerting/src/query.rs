//! What rules need of the query engine and of storage.

use std::sync::Arc;

use async_trait::async_trait;
use model::{Exemplar, Labels, Matcher, Sample, Timestamp, Value};
use promql::QueryValue;
use promql::read::{Columns, ReadError, Select, Storage};

/// What an expression yields at one time: series and values. A scalar is one value without labels.
pub type RuleVector = Vec<(Labels, Value)>;

/// Which rules ask.
#[derive(Debug, Clone, Copy)]
pub struct RuleGroupName<'a> {
    /// The file that they are in.
    pub file: &'a str,
    /// The name of their group.
    pub name: &'a str,
}

/// Evaluates expressions for rules.
#[async_trait]
pub trait Query: Send + Sync {
    /// The value of `expr` at `at`, for a rule of `group`.
    ///
    /// # Errors
    /// [`QueryFailure`] where the expression is wrong, yields neither a vector nor a scalar, or storage fails.
    async fn instant(
        &self,
        expr: &str,
        at: Timestamp,
        group: RuleGroupName<'_>,
    ) -> Result<RuleVector, QueryFailure>;

    /// The last sample in `[from, to]`, stale markers included, of each series that passes all matchers.
    /// [`latest_samples`] does it over the engine's own storage.
    ///
    /// # Errors
    /// [`QueryFailure`] where storage fails.
    async fn latest(
        &self,
        matchers: &[Matcher],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Labels, Sample)>, QueryFailure>;

    /// The exemplars in `[from, to]` of the series that pass all matchers of any of the selectors, in order of time;
    /// none where storage keeps none.
    ///
    /// # Errors
    /// [`QueryFailure`] where storage fails.
    async fn exemplars(
        &self,
        selectors: &[Vec<Matcher>],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>, QueryFailure> {
        let _ = (selectors, from, to);
        Ok(Vec::new())
    }
}

/// Why an expression has no value. The text is shown to users as the rule's last error.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct QueryFailure(pub Arc<str>);

impl QueryFailure {
    /// A failure of that text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }
}

impl From<ReadError> for QueryFailure {
    fn from(error: ReadError) -> Self {
        Self::new(error.to_string())
    }
}

/// What a rule takes of a query's value.
///
/// # Errors
/// [`QueryFailure`] where the value is neither a vector nor a scalar.
pub fn rule_vector(value: QueryValue) -> Result<RuleVector, QueryFailure> {
    match value {
        QueryValue::Scalar { value, .. } => Ok(vec![(Labels::empty(), Value::Float(value))]),
        QueryValue::Vector(samples) => {
            Ok(samples.into_iter().map(|sample| (sample.labels, sample.value)).collect())
        }
        _ => Err(QueryFailure::new("rule result is not a vector or scalar")),
    }
}

/// [`Query::latest`] over a storage; decodes the selected range and blocks while it does.
///
/// # Errors
/// [`ReadError`] where storage fails.
pub fn latest_samples(
    storage: &dyn Storage,
    matchers: &[Matcher],
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<(Labels, Sample)>, ReadError> {
    let select = Select { matchers, start: from, end: to, step_ms: None };
    let mut columns = Columns::default();
    let mut found = Vec::new();
    for series in storage.select(&select)? {
        columns.clear();
        series.read(from, to, &mut columns)?;
        if let (Some(&timestamp), Some(&value)) = (columns.timestamps.last(), columns.values.last()) {
            found.push((series.labels().clone(), Sample { timestamp, value }));
        }
    }
    Ok(found)
}
