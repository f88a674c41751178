//! Queries: each on a thread of its own, so many at a time, stopped when nobody waits for them any more.
//!
//! Those that were quick the last time are evaluated where they are asked instead, since changing threads and back would
//! take as long again. One that turns out not to be quick begins anew on a thread of its own.
//!
//! Queries of clients go through a [fair queue](fair); rules and detectors have a lane of their own, so that neither
//! keeps the other waiting. All draw their memory from one pool, and an answer keeps its share until it is written.

pub(crate) mod active;
pub(crate) mod fair;
pub(crate) mod log;
mod metrics;
pub(crate) mod stats;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alerting::{QueryFailure, RuleGroupName, RuleVector};
use async_trait::async_trait;
use axum::extract::MatchedPath;
use axum::http::Method;
use model::{Exemplar, Labels, Matcher, Sample, Timestamp};
use prometheus::Registry;
use promql::read::{ReadError, Select, Storage as _};
use promql::{
    Answer, Engine, EngineOptions, ExternalFunctions, MemoryPool, QueryControl, QueryError, QueryResult,
    Times,
};
use remote::RemoteRead;
use storage::Storage;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Span;

use self::active::{ActiveQueries, ActiveQuery};
use self::fair::{Client, FairQueue, Full};
use self::log::QueryLog;
use self::metrics::QueryMetrics;
use crate::cli::ServerArgs;
use crate::features::Features;
use crate::memory;

/// Queries of rules and detectors that are evaluated at once. They are many and small, and come at the same moments.
const INSIDE_MAX: usize = 8;

/// How long a query may wait for memory that others hold. Longer, and dashboards ask again anyway.
const MEMORY_WAIT_MAX: Duration = Duration::from_secs(10);

/// What took no longer than this the last time is evaluated on the thread that serves its connection, whose other
/// connections wait for so long.
const QUICK_USUALLY: Duration = Duration::from_micros(500);

/// How long such a query may take at the most, until it begins anew.
const QUICK_MAX: Duration = Duration::from_millis(2);

/// What one query may ask for beyond its text.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct QueryOptions {
    /// Shorter than the server's own limit, or it does not count.
    pub(crate) timeout: Option<Duration>,
    pub(crate) lookback: Option<Duration>,
    /// Whether samples are counted by step.
    pub(crate) per_step_stats: bool,
    /// Whether the answer brings its plan.
    pub(crate) analyze: bool,
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Somebody outside, who shares the places with others.
    Client(Client, HttpRequest),
    /// A rule, by its file and its group.
    Rule(Arc<(String, String)>),
    /// A detector or a plugin.
    Inside,
}

/// The request that a query came with.
#[derive(Debug, Clone)]
pub(crate) struct HttpRequest {
    pub(crate) address: Option<IpAddr>,
    pub(crate) method: Method,
    /// The path with all prefixes.
    pub(crate) path: Option<MatchedPath>,
}

/// Why a query has no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum QueryFailed {
    /// Too many wait already.
    #[error("too many queries wait for their turn; try again later, or raise --query.queue-max")]
    Busy,
    /// Its time was over before its turn came.
    #[error("query timed out in query queue")]
    QueueTimeout,
    /// Our fault.
    #[error("the query failed inside the server: {0}")]
    Inside(String),
    /// The engine's word.
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl QueryFailed {
    const fn outcome(&self) -> &'static str {
        match self {
            Self::Busy => "unavailable",
            Self::QueueTimeout => "timeout",
            Self::Inside(_) => "internal",
            Self::Query(error) => error.error_type(),
        }
    }
}

/// Runs queries.
pub(crate) struct Queries {
    engine: Engine,
    storage: Storage,
    /// Other servers that are asked as well.
    remote: Arc<RemoteRead>,
    queue: FairQueue,
    inside: Arc<Semaphore>,
    active: ActiveQueries,
    timeout: Duration,
    metrics: QueryMetrics,
    log: Arc<QueryLog>,
}

/// A place among the queries that run, given back when it is dropped.
enum Place {
    Client { _place: fair::Place },
    Inside { _permit: OwnedSemaphorePermit },
}

/// Ends a query when its caller goes away.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Queries {
    pub(crate) fn new(
        args: &ServerArgs,
        storage: Storage,
        functions: Arc<dyn ExternalFunctions>,
        remote: Arc<RemoteRead>,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let options = EngineOptions {
            lookback: args.lookback.0,
            samples_max: args.query_samples,
            bytes_max: args.query_memory.map_or(u64::MAX, |size| size.0),
            timeout: args.query_timeout.0,
            ..EngineOptions::prometheus_defaults()
        };
        let features = Features::parse(&args.enable_feature);
        let pool_bytes = args.query_memory_total.map_or_else(default_memory_total, |size| size.0);
        let pool = MemoryPool::new(pool_bytes, MEMORY_WAIT_MAX);
        let engine = Engine::new(features.engine(options)).with_pool(pool).with_functions(functions);
        let queue = FairQueue::new(args.query_concurrency, args.query_queue_max);
        let metrics = QueryMetrics::register(registry, args.query_concurrency, &queue, &engine)?;
        let inside = Arc::new(Semaphore::new(INSIDE_MAX));
        let (active, timeout) = (ActiveQueries::default(), args.query_timeout.0);
        let log = Arc::new(QueryLog::register(registry)?);
        Ok(Self { engine, storage, remote, queue, inside, active, timeout, metrics, log })
    }

    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Where queries are written to.
    pub(crate) fn log(&self) -> &QueryLog {
        &self.log
    }

    /// The queries under way, the oldest first.
    pub(crate) fn active(&self) -> Vec<ActiveQuery> {
        self.active.list()
    }

    /// Evaluates a query when its turn comes. Stops it when nobody waits for the answer any more.
    pub(crate) async fn run(
        &self,
        text: &str,
        times: Times,
        options: QueryOptions,
        caller: &Caller,
    ) -> Result<Answer, QueryFailed> {
        let started = Instant::now();
        let answer = self.evaluate(text, times, options, caller, started).await;
        match &answer {
            Ok(answer) => self.metrics.answered(&answer.stats, started.elapsed()),
            Err(error) => self.metrics.failed(error.outcome(), started.elapsed()),
        }
        answer
    }

    async fn evaluate(
        &self,
        text: &str,
        times: Times,
        options: QueryOptions,
        caller: &Caller,
        started: Instant,
    ) -> Result<Answer, QueryFailed> {
        let timeout = options.timeout.map_or(self.timeout, |timeout| timeout.min(self.timeout));
        if let Some(answer) = self.evaluate_here(text, times, options, caller, started, timeout) {
            return answer;
        }
        let client = match caller {
            Caller::Client(client, _) => Some(Arc::clone(&client.0)),
            Caller::Rule(_) | Caller::Inside => None,
        };
        let listed = self.active.add(text, times, client);
        // Waiting counts: a dashboard that gave up must not be served later.
        let place = match tokio::time::timeout(timeout, self.enter(caller)).await {
            Ok(Ok(place)) => place,
            Ok(Err(Full)) => {
                self.metrics.refused("queue full");
                return Err(QueryFailed::Busy);
            }
            Err(_) => {
                self.metrics.refused("timeout in queue");
                return Err(QueryFailed::QueueTimeout);
            }
        };
        let control = QueryControl {
            deadline: started.checked_add(timeout),
            lookback: options.lookback,
            queued: started.elapsed(),
            per_step_stats: options.per_step_stats,
            analyze: options.analyze,
            ..QueryControl::default()
        };
        let cancel = CancelOnDrop(Arc::clone(&control.canceled));
        let (engine, storage, text) = (self.engine.clone(), self.storage.clone(), text.to_owned());
        let (log, remote) = (Arc::clone(&self.log), Arc::clone(&self.remote));
        let logged = log.is_enabled().then(|| caller.clone());
        let span = evaluation_span();
        let answer = tokio::task::spawn_blocking(move || {
            // Both go with the evaluation, which a caller who goes away leaves running for a moment.
            let (_place, listed) = (place, listed);
            listed.start();
            let answer =
                span.in_scope(|| match remote.merged(&storage, || storage.tsdb().stats().min_time) {
                    None => engine.run(&storage, &text, times, &control),
                    Some(merged) => engine.run(&merged, &text, times, &control).map(|mut answer| {
                        answer.warnings.extend(merged.warnings());
                        answer
                    }),
                });
            if let Some(caller) = logged {
                log.write(&text, times, &caller, &answer);
            }
            answer
        })
        .await
        .map_err(|error| QueryFailed::Inside(error.to_string()))?;
        drop(cancel);
        Ok(answer?)
    }

    /// Evaluates a query on this thread, where it was quick the last time and there is a place for it. `None` where it is
    /// to be evaluated elsewhere.
    fn evaluate_here(
        &self,
        text: &str,
        times: Times,
        options: QueryOptions,
        caller: &Caller,
        started: Instant,
        timeout: Duration,
    ) -> Option<Result<Answer, QueryFailed>> {
        // The log is a file, which may keep its writer waiting, and so may other servers.
        let may_wait = options.analyze || self.log.is_enabled() || !self.remote.is_empty();
        if may_wait || self.engine.expected(text, times)? > QUICK_USUALLY {
            return None;
        }
        let _place = self.try_enter(caller)?;
        let control = QueryControl {
            deadline: started.checked_add(timeout),
            lookback: options.lookback,
            per_step_stats: options.per_step_stats,
            quick: Some(QUICK_MAX),
            ..QueryControl::default()
        };
        let run = || evaluation_span().in_scope(|| self.engine.run(&self.storage, text, times, &control));
        // A panic costs its own query here as on a thread of its own. What it leaves behind are locks that it held,
        // which say so themselves.
        match std::panic::catch_unwind(AssertUnwindSafe(run)) {
            Ok(Err(QueryError::NotQuick)) => None,
            Ok(answer) => Some(answer.map_err(QueryFailed::from)),
            Err(_) => Some(Err(QueryFailed::Inside("its evaluation panicked".to_owned()))),
        }
    }

    /// A place, where there is one at once.
    fn try_enter(&self, caller: &Caller) -> Option<Place> {
        Some(match caller {
            Caller::Client(client, _) => Place::Client { _place: self.queue.try_enter(client)? },
            Caller::Rule(_) | Caller::Inside => {
                Place::Inside { _permit: Arc::clone(&self.inside).try_acquire_owned().ok()? }
            }
        })
    }

    /// Waits for a place.
    async fn enter(&self, caller: &Caller) -> Result<Place, Full> {
        Ok(match caller {
            Caller::Client(client, _) => Place::Client { _place: self.queue.enter(client).await? },
            Caller::Rule(_) | Caller::Inside => {
                Place::Inside { _permit: Arc::clone(&self.inside).acquire_owned().await.map_err(|_| Full)? }
            }
        })
    }

    /// A range query of the server itself, all of its answer at once.
    pub(crate) async fn inside_range(
        &self,
        query: &str,
        start: Timestamp,
        end: Timestamp,
        step_ms: i64,
    ) -> Result<QueryResult, QueryFailed> {
        let times = Times::Range { start, end, step_ms };
        Ok(self.run(query, times, QueryOptions::default(), &Caller::Inside).await?.into_result())
    }
}

/// The span of an evaluation, within a request that is traced; those of others are not.
fn evaluation_span() -> Span {
    if Span::current().is_none() {
        return Span::none();
    }
    tracing::info_span!(target: "stormglass", "evaluate")
}

/// Half of the memory that there is: the other half is for the head, for the page cache and for what no query owns.
fn default_memory_total() -> u64 {
    memory::machine_bytes().map_or(u64::MAX, |bytes| bytes / 2)
}

#[async_trait]
impl alerting::Query for Queries {
    async fn instant(
        &self,
        expr: &str,
        at: Timestamp,
        group: RuleGroupName<'_>,
    ) -> Result<RuleVector, QueryFailure> {
        let times = Times::Instant(at);
        let caller = Caller::Rule(Arc::new((group.file.to_owned(), group.name.to_owned())));
        let answer = self.run(expr, times, QueryOptions::default(), &caller).await;
        alerting::rule_vector(
            answer.map_err(|error| QueryFailure::new(error.to_string()))?.into_result().value,
        )
    }

    async fn latest(
        &self,
        matchers: &[Matcher],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Labels, Sample)>, QueryFailure> {
        let (storage, matchers) = (self.storage.clone(), matchers.to_vec());
        tokio::task::spawn_blocking(move || alerting::latest_samples(&storage, &matchers, from, to))
            .await
            .map_err(|error| QueryFailure::new(error.to_string()))?
            .map_err(QueryFailure::from)
    }

    async fn exemplars(
        &self,
        selectors: &[Vec<Matcher>],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>, QueryFailure> {
        let (storage, selectors) = (self.storage.clone(), selectors.to_vec());
        let found = tokio::task::spawn_blocking(move || {
            let mut found = Vec::new();
            for matchers in &selectors {
                let select = Select { matchers, start: from, end: to, step_ms: None };
                let series = storage.exemplars(&select)?;
                found.extend(series.into_iter().map(|series| (series.labels, series.exemplars)));
            }
            Ok::<_, ReadError>(found)
        });
        Ok(found.await.map_err(|error| QueryFailure::new(error.to_string()))??)
    }
}
