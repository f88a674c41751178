//! The engine: a query's text in, its answer out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use model::Timestamp;

use crate::answer::{Answer, Content, QueryResult};
use crate::error::QueryError;
use crate::exec::{self, Context, Grid};
use crate::explain::{Operator, Profile};
use crate::external::{ExternalFunctions, NoFunctions};
use crate::features::Features;
use crate::memory::MemoryPool;
use crate::parser::{Expr, ParseError, ValueType, parse_with};
use crate::plan::{self, Params, Plan};
use crate::read::Storage;
use crate::recent::{Known, Recent};
use crate::stats::Timings;

/// How queries are run, and what one query may take.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// How old the latest sample may be for a series to still count.
    pub lookback: Duration,
    /// How many samples one query may hold at once. It is what keeps one query from taking all memory.
    pub samples_max: u64,
    /// How many bytes those samples, and what is computed of them, may take at once.
    pub bytes_max: u64,
    /// How many steps one range query may have.
    pub points_max: u64,
    /// How long one query may run.
    pub timeout: Duration,
    /// The step of subqueries that name none.
    pub default_subquery_step: Duration,
    /// What is enabled of the language.
    pub features: Features,
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
            // Prometheus' HTTP API has one, its engine has not.
            points_max: u64::MAX,
            timeout: Duration::from_secs(120),
            default_subquery_step: Duration::from_secs(60),
            features: Features::NONE,
            threads: 0,
        }
    }
}

/// How a caller can end a query early, and what it wants to know beyond the answer.
#[derive(Clone, Debug, Default)]
pub struct QueryControl {
    /// Set to end the query with [`QueryError::Canceled`].
    pub canceled: Arc<AtomicBool>,
    /// When the query ends with [`QueryError::Timeout`], if before the engine's own limit.
    pub deadline: Option<Instant>,
    /// How old the latest sample may be, where the query says otherwise than the engine.
    pub lookback: Option<Duration>,
    /// How long the query has waited for its turn before the engine got it; for [`Timings`] alone.
    pub queued: Duration,
    /// Whether samples are counted by step, where the feature `promql-per-step-stats` is on.
    pub per_step_stats: bool,
    /// Whether the answer brings its plan, with what every operator took. It costs a little time.
    pub analyze: bool,
    /// Set where the caller's thread has more to do: the query takes no other one, and ends with
    /// [`QueryError::NotQuick`] after so long or where it would have to wait for memory. It is then to be asked again
    /// on a thread that may wait. [`Engine::expected`] tells whether it is worth to try.
    pub quick: Option<Duration>,
}

impl QueryControl {
    pub(crate) fn is_canceled(&self) -> bool {
        self.canceled.load(Ordering::Relaxed)
    }
}

/// The times at which a query is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// One time.
    Instant(Timestamp),
    /// Every `step_ms` from `start` to `end`, both included.
    Range {
        /// The first time.
        start: Timestamp,
        /// The last time, if it falls on a step.
        end: Timestamp,
        /// From one time to the next, in milliseconds.
        step_ms: i64,
    },
}

/// Runs queries. Holds no state between them but the memory that they share, and what it knows of those that were
/// asked lately; clones share both.
#[derive(Clone, Debug)]
pub struct Engine {
    options: EngineOptions,
    pool: Arc<MemoryPool>,
    recent: Arc<Recent>,
    functions: Arc<dyn ExternalFunctions>,
}

impl Engine {
    /// An engine of these options, whose queries share no limit.
    pub fn new(options: EngineOptions) -> Self {
        let functions = Arc::new(NoFunctions);
        Self { options, pool: MemoryPool::unlimited(), recent: Arc::default(), functions }
    }

    /// The same engine, with queries that draw their memory from `pool`.
    #[must_use]
    pub fn with_pool(self, pool: Arc<MemoryPool>) -> Self {
        Self { pool, ..self }
    }

    /// The same engine, with functions that are not of the language.
    #[must_use]
    pub fn with_functions(self, functions: Arc<dyn ExternalFunctions>) -> Self {
        Self { functions, ..self }
    }

    /// Its options.
    pub const fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// What its queries draw memory from.
    pub const fn pool(&self) -> &Arc<MemoryPool> {
        &self.pool
    }

    /// Reads a query in the language that is enabled.
    ///
    /// # Errors
    /// [`ParseError`] with the place of the first fault.
    pub fn parse(&self, query: &str) -> Result<Expr, ParseError> {
        parse_with(query, &self.options.features)
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
        Ok(self.run(storage, query, Times::Instant(at), control)?.into_result())
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
        Ok(self.run(storage, query, Times::Range { start, end, step_ms }, control)?.into_result())
    }

    /// Evaluates a query and leaves its answer as compact as it was computed, to be written series by series.
    ///
    /// # Errors
    /// As [`Engine::instant`] and [`Engine::range`].
    pub fn run(
        &self,
        storage: &dyn Storage,
        query: &str,
        times: Times,
        control: &QueryControl,
    ) -> Result<Answer, QueryError> {
        let started = Instant::now();
        let Prepared { plan, grid, instant, known } = self.prepare(query, times)?;
        let profile = control.analyze.then(|| Profile::of(&plan));
        let step_ms = match times {
            Times::Instant(_) => None,
            Times::Range { step_ms, .. } => Some(step_ms),
        };
        let lookback = control.lookback.unwrap_or(self.options.lookback);
        let options = EngineOptions { lookback, ..self.options };
        let mut cx = Context::new(storage, control, &options, self.pool.lease(), instant, step_ms);
        cx.profile = profile;
        if control.per_step_stats && self.options.features.per_step_stats {
            cx.count_by_step(grid.count);
        }
        cx.check()?;
        let prepared_at = Instant::now();
        let (content, sorting) = run(&plan, &cx, grid)?;
        cx.check()?;
        let ended = Instant::now();
        let total = ended - started;
        known.took(times, total);
        let timings = Timings {
            exec_total: total + control.queued,
            exec_queue: control.queued,
            eval_total: total,
            query_preparation: prepared_at - started,
            inner_eval: (ended - prepared_at).saturating_sub(sorting),
            result_sort: sorting,
        };
        let plan = cx.profile.take().map(|profile| Operator::of(&plan, query, Some(&profile)));
        let (stats, notes, lease) = cx.finish(grid, timings);
        let (warnings, infos) = notes.finish(query);
        Ok(Answer { content, grid, warnings, infos, stats, plan, lease })
    }

    /// How a query would be run, without running it.
    ///
    /// # Errors
    /// [`QueryError`] where it cannot be run at these times.
    pub fn explain(&self, query: &str, times: Times) -> Result<Operator, QueryError> {
        Ok(Operator::of(&self.prepare(query, times)?.plan, query, None))
    }

    /// How long a query will take, as far as the last time tells; `None` where it was not asked lately.
    pub fn expected(&self, query: &str, times: Times) -> Option<Duration> {
        self.recent.get(query)?.expected(times)
    }

    fn known(&self, query: &str) -> Result<Arc<Known>, ParseError> {
        if let Some(known) = self.recent.get(query) {
            return Ok(known);
        }
        let mut expr = self.parse(query)?;
        plan::narrow(&mut expr);
        Ok(self.recent.put(query, expr))
    }

    fn prepare(&self, query: &str, times: Times) -> Result<Prepared, QueryError> {
        let known = self.known(query)?;
        let expr = &known.expr;
        let (grid, start, end, step_ms) = match times {
            Times::Instant(at) => (Grid::at(at.millis(), 1, 1), at, at, 0),
            Times::Range { start, end, step_ms } => {
                (self.grid(expr, start, end, step_ms)?, start, end, step_ms)
            }
        };
        let subquery_step = self.options.default_subquery_step.as_millis();
        let params = Params {
            query,
            start_ms: start.millis(),
            end_ms: end.millis(),
            step_ms,
            subquery_step_ms: i64::try_from(subquery_step).unwrap_or(i64::MAX).max(1),
            use_start_timestamps: self.options.features.use_start_timestamps,
            repeats: &known.repeats,
            functions: &*self.functions,
        };
        let plan = plan::build(expr, params)?;
        Ok(Prepared { plan, grid, instant: matches!(times, Times::Instant(_)), known })
    }

    fn grid(&self, expr: &Expr, start: Timestamp, end: Timestamp, step_ms: i64) -> Result<Grid, QueryError> {
        let found = expr.value_type();
        if matches!(found, ValueType::String | ValueType::Matrix) {
            return Err(QueryError::NotForRanges { found: found.to_string() });
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
        if count as u64 > self.options.points_max {
            return Err(QueryError::TooManyPoints { points_max: self.options.points_max });
        }
        if count as u64 > self.options.samples_max {
            return Err(QueryError::TooManySamples);
        }
        Ok(Grid::at(start.millis(), step_ms, count))
    }
}

struct Prepared {
    plan: Plan,
    grid: Grid,
    instant: bool,
    known: Arc<Known>,
}

/// The content of the answer, and how long it took to put it in order.
fn run(plan: &Plan, cx: &Context<'_>, grid: Grid) -> Result<(Content, Duration), QueryError> {
    let content = match plan {
        Plan::String(content) => Content::String(String::from_utf8_lossy(content).into_owned()),
        Plan::Scalar(node) => {
            let values = exec::scalar(node, cx, grid)?;
            if cx.instant { Content::Scalar(values[0]) } else { Content::Scalars(values) }
        }
        Plan::Vector(node) => {
            let all = exec::collect(node, cx, grid)?;
            let sorting = Instant::now();
            let all = exec::final_series(all, cx)?;
            if cx.instant {
                return Ok((Content::Vector(all), sorting.elapsed()));
            }
            let all = exec::sorted(all, cx, |series| &series.labels)?;
            return Ok((Content::Matrix(all), sorting.elapsed()));
        }
        Plan::Range(node) => {
            let all = exec::collect_ranges(node, cx, grid)?;
            let sorting = Instant::now();
            let all = exec::sorted(all, cx, |(labels, _)| labels)?;
            return Ok((Content::Ranges(all), sorting.elapsed()));
        }
    };
    Ok((content, Duration::ZERO))
}
