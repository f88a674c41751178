//! The engine: a query's text in, its value out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ahash::AHashMap;
use model::staleness::is_stale;
use model::{Histogram, Labels, Sample, Timestamp, Value};

use crate::error::QueryError;
use crate::exec::{self, Context, Grid, Series, Size};
use crate::parser::{Expr, parse};
use crate::plan::{self, Params, Plan};
use crate::read::Storage;

/// How queries are run, and what one query may take.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// How old the latest sample may be for a series to still count.
    pub lookback: Duration,
    /// How many samples one query may hold at once. It is what keeps one query from taking all memory.
    pub samples_max: u64,
    /// How many bytes those samples, and what is computed of them, may take at once.
    pub bytes_max: u64,
    /// How long one query may run.
    pub timeout: Duration,
    /// The step of subqueries that name none.
    pub default_subquery_step: Duration,
    /// Whether names that no longer hold are dropped when the query is done rather than at once, so that
    /// `label_replace` and `by (__name__)` can still see them.
    pub delayed_name_removal: bool,
    /// Whether start timestamps tell where counters were reset, for `rate` and its like, and whether
    /// `start_timestamp` may ask for them: Prometheus' feature `use-start-timestamps`.
    pub use_start_timestamps: bool,
    /// How many threads may evaluate the series of one query; zero: as many as there are processors. Answers
    /// do not depend on it.
    pub threads: usize,
}

impl EngineOptions {
    /// What a Prometheus server uses where nothing is configured.
    pub const fn prometheus_defaults() -> Self {
        Self {
            lookback: Duration::from_secs(300),
            samples_max: 50_000_000,
            // Prometheus has no such limit: none by default.
            bytes_max: u64::MAX,
            timeout: Duration::from_secs(120),
            default_subquery_step: Duration::from_secs(60),
            delayed_name_removal: false,
            use_start_timestamps: false,
            threads: 0,
        }
    }
}

/// How a caller can end a query early.
#[derive(Clone, Debug, Default)]
pub struct QueryControl {
    /// Set to end the query with [`QueryError::Canceled`].
    pub canceled: Arc<AtomicBool>,
    /// When the query ends with [`QueryError::Timeout`], if before the engine's own limit.
    pub deadline: Option<Instant>,
    /// How old the latest sample may be, where the query says otherwise than the engine.
    pub lookback: Option<Duration>,
}

impl QueryControl {
    pub(crate) fn is_canceled(&self) -> bool {
        self.canceled.load(Ordering::Relaxed)
    }
}

/// What a query answers.
#[derive(Clone, Debug)]
pub struct QueryResult {
    /// The value.
    pub value: QueryValue,
    /// Why the value is doubtful.
    pub warnings: Vec<String>,
    /// What was left out or mended.
    pub infos: Vec<String>,
    /// What the query took.
    pub stats: QueryStats,
}

/// What a query took.
#[derive(Clone, Copy, Debug)]
pub struct QueryStats {
    /// Samples read from storage.
    pub samples_read: u64,
    /// Most samples held at once.
    pub peak_samples: u64,
    /// Most bytes held at once in samples and what is computed of them.
    pub peak_bytes: u64,
}

/// The value of a query.
#[derive(Clone, Debug)]
pub enum QueryValue {
    /// A number.
    Scalar {
        /// The time of evaluation.
        timestamp: Timestamp,
        /// The number.
        value: f64,
    },
    /// A text.
    String {
        /// The time of evaluation.
        timestamp: Timestamp,
        /// The text.
        value: String,
    },
    /// One sample of each series.
    Vector(Vec<VectorSample>),
    /// Samples of each series, sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

/// A series' sample in a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    /// The series.
    pub labels: Labels,
    /// The time of evaluation.
    pub timestamp: Timestamp,
    /// The sample.
    pub value: Value,
}

/// A series in a matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSeries {
    /// The series.
    pub labels: Labels,
    /// Its floats, by time.
    pub floats: Vec<Sample>,
    /// Its histograms, by time.
    pub histograms: Vec<(Timestamp, Arc<Histogram>)>,
}

/// Runs queries. Holds no state between them.
#[derive(Clone, Debug)]
pub struct Engine {
    options: EngineOptions,
}

impl Engine {
    /// An engine of these options.
    pub const fn new(options: EngineOptions) -> Self {
        Self { options }
    }

    /// Its options.
    pub const fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Evaluates a query at one time.
    ///
    /// # Errors
    /// [`QueryError`]; what storage says among them.
    pub fn instant(
        &self,
        storage: &dyn Storage,
        query: &str,
        at: Timestamp,
        control: &QueryControl,
    ) -> Result<QueryResult, QueryError> {
        let expr = parse(query)?;
        let times = (at.millis(), at.millis(), 0);
        let grid = Grid { start: at.millis(), step: 1, count: 1 };
        self.evaluate(storage, query, &expr, times, grid, true, control)
    }

    /// Evaluates a query at every `step_ms` from `start` to `end`, both included.
    ///
    /// # Errors
    /// [`QueryError`]; also where the step is not positive, `end` is before `start`, or the query is neither
    /// scalar nor instant vector.
    pub fn range(
        &self,
        storage: &dyn Storage,
        query: &str,
        start: Timestamp,
        end: Timestamp,
        step_ms: i64,
        control: &QueryControl,
    ) -> Result<QueryResult, QueryError> {
        let expr = parse(query)?;
        let found = expr.value_type();
        if matches!(found, crate::ValueType::String | crate::ValueType::Matrix) {
            return Err(QueryError::Execution(format!(
                "invalid expression type {:?} for range query, must be Scalar or instant Vector",
                found.to_string()
            )));
        }
        if step_ms <= 0 {
            return Err(QueryError::Execution(
                "zero or negative query resolution step widths are not accepted. Try a positive integer"
                    .to_owned(),
            ));
        }
        if end < start {
            return Err(QueryError::Execution("end timestamp must not be before start time".to_owned()));
        }
        let count = usize::try_from(end.since(start) / step_ms).unwrap_or(usize::MAX).saturating_add(1);
        if count as u64 > self.options.samples_max {
            return Err(QueryError::TooManySamples);
        }
        let times = (start.millis(), end.millis(), step_ms);
        let grid = Grid { start: start.millis(), step: step_ms, count };
        self.evaluate(storage, query, &expr, times, grid, false, control)
    }

    #[expect(clippy::too_many_arguments, reason = "both kinds of queries meet here with all they know")]
    fn evaluate(
        &self,
        storage: &dyn Storage,
        query: &str,
        expr: &Expr,
        (start_ms, end_ms, step_ms): (i64, i64, i64),
        grid: Grid,
        instant: bool,
        control: &QueryControl,
    ) -> Result<QueryResult, QueryError> {
        let subquery_step = self.options.default_subquery_step.as_millis();
        let params = Params {
            query,
            start_ms,
            end_ms,
            step_ms,
            subquery_step_ms: i64::try_from(subquery_step).unwrap_or(i64::MAX).max(1),
            use_start_timestamps: self.options.use_start_timestamps,
        };
        let mut expr = expr.clone();
        plan::narrow(&mut expr);
        let plan = plan::build(&expr, params)?;
        let mut options = self.options;
        options.lookback = control.lookback.unwrap_or(options.lookback);
        let cx = Context::new(storage, control, &options, instant, (!instant).then_some(step_ms));
        cx.check()?;
        let value = run(&plan, &cx, grid)?;
        let Size { samples: peak_samples, bytes: peak_bytes } = cx.peak();
        let stats = QueryStats { samples_read: cx.samples_read(), peak_samples, peak_bytes };
        let (warnings, infos) = cx.notes.finish(query);
        Ok(QueryResult { value, warnings, infos, stats })
    }
}

fn run(plan: &Plan, cx: &Context<'_>, grid: Grid) -> Result<QueryValue, QueryError> {
    let timestamp = Timestamp::from_millis(grid.start);
    match plan {
        Plan::String(content) => {
            Ok(QueryValue::String { timestamp, value: String::from_utf8_lossy(content).into_owned() })
        }
        Plan::Scalar(node) => {
            let values = exec::scalar(node, cx, grid)?;
            if cx.instant {
                return Ok(QueryValue::Scalar { timestamp, value: values[0] });
            }
            let at = |(step, value)| Sample { timestamp: Timestamp::from_millis(grid.time(step)), value };
            let floats = values.into_iter().enumerate().map(at).collect();
            Ok(QueryValue::Matrix(vec![MatrixSeries {
                labels: Labels::empty(),
                floats,
                histograms: Vec::new(),
            }]))
        }
        Plan::Vector(node) => {
            let all = exec::collect(node, cx, grid)?;
            let all = finish(all)?;
            Ok(if cx.instant { vector(all, timestamp) } else { matrix(all, grid) })
        }
        Plan::Range(node) => {
            let mut series = Vec::new();
            exec::raw_range(node, cx, grid, &mut |labels, drop_name, columns| {
                let labels = if drop_name { labels.without(exec::is_metric_label) } else { labels.clone() };
                let floats = columns.timestamps.iter().zip(&columns.values);
                series.push(MatrixSeries {
                    labels,
                    floats: floats.map(|(t, v)| Sample { timestamp: *t, value: *v }).collect(),
                    histograms: columns.histograms.clone(),
                });
                Ok(())
            })?;
            series.sort_by(|a, b| a.labels.cmp(&b.labels));
            Ok(QueryValue::Matrix(series))
        }
    }
}

/// Drops the names that no longer hold; series that become the same merge where no step has both.
fn finish(all: Vec<Series>) -> Result<Vec<Series>, QueryError> {
    let mut known: AHashMap<Labels, usize> = AHashMap::with_capacity(all.len());
    let mut out: Vec<Series> = Vec::with_capacity(all.len());
    for series in all {
        let labels = series.final_labels();
        match known.get(&labels) {
            Some(&at) => {
                if !out[at].column.merge(&series.column) {
                    return Err(exec::same_labelset());
                }
            }
            None => {
                known.insert(labels.clone(), out.len());
                out.push(Series { labels, drop_name: false, column: series.column });
            }
        }
    }
    Ok(out)
}

fn vector(all: Vec<Series>, timestamp: Timestamp) -> QueryValue {
    let sample = |series: Series| {
        let value = series.column.get(0)?;
        Some(VectorSample { labels: series.labels, timestamp, value })
    };
    QueryValue::Vector(all.into_iter().filter_map(sample).collect())
}

fn matrix(all: Vec<Series>, grid: Grid) -> QueryValue {
    let mut matrix = Vec::with_capacity(all.len());
    for series in all {
        let column = series.column;
        let time = |step| Timestamp::from_millis(grid.time(step));
        let mut floats = Vec::with_capacity(column.float_count());
        for (step, value) in column.floats.iter().enumerate() {
            if !is_stale(*value) {
                floats.push(Sample { timestamp: time(step), value: *value });
            }
        }
        let histograms = column.histograms.into_iter().enumerate();
        let histograms: Vec<_> = histograms.filter_map(|(step, h)| Some((time(step), h?))).collect();
        if !floats.is_empty() || !histograms.is_empty() {
            matrix.push(MatrixSeries { labels: series.labels, floats, histograms });
        }
    }
    matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
    QueryValue::Matrix(matrix)
}
