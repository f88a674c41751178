//! Queries: each on a thread of its own, so many at a time, stopped when nobody waits for them any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alerting::{QueryFailure, RuleVector};
use async_trait::async_trait;
use model::{Labels, Matcher, Sample, Timestamp};
use prometheus::{HistogramOpts, HistogramVec, Registry};
use promql::{Engine, EngineOptions, QueryControl, QueryError, QueryResult};
use storage::Storage;
use tokio::sync::Semaphore;

use crate::cli::ServerArgs;

/// What one query may ask for beyond its text.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct QueryOptions {
    /// Shorter than the server's own limit, or it does not count.
    pub(crate) timeout: Option<Duration>,
    pub(crate) lookback: Option<Duration>,
}

/// Runs queries.
pub(crate) struct Queries {
    engine: Engine,
    storage: Storage,
    permits: Arc<Semaphore>,
    timeout: Duration,
    duration: HistogramVec,
}

/// Ends a query when its caller goes away.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Queries {
    pub(crate) fn new(args: &ServerArgs, storage: Storage, registry: &Registry) -> prometheus::Result<Self> {
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "stormglass_query_duration_seconds",
                "Time to evaluate queries, waiting included.",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(duration.clone()))?;
        let options = EngineOptions {
            lookback: args.lookback.0,
            samples_max: args.query_samples,
            timeout: args.query_timeout.0,
            ..EngineOptions::prometheus_defaults()
        };
        Ok(Self {
            engine: Engine::new(options),
            storage,
            permits: Arc::new(Semaphore::new(args.query_concurrency)),
            timeout: args.query_timeout.0,
            duration,
        })
    }

    pub(crate) async fn instant(
        &self,
        query: &str,
        at: Timestamp,
        options: QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let query = query.to_owned();
        self.run(options, move |engine, storage, control| engine.instant(storage, &query, at, control)).await
    }

    pub(crate) async fn range(
        &self,
        query: &str,
        start: Timestamp,
        end: Timestamp,
        step_ms: i64,
        options: QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let query = query.to_owned();
        self.run(options, move |engine, storage, control| {
            engine.range(storage, &query, start, end, step_ms, control)
        })
        .await
    }

    async fn run(
        &self,
        options: QueryOptions,
        work: impl FnOnce(&Engine, &Storage, &QueryControl) -> Result<QueryResult, QueryError> + Send + 'static,
    ) -> Result<QueryResult, QueryError> {
        let started = Instant::now();
        let timeout = options.timeout.map_or(self.timeout, |timeout| timeout.min(self.timeout));
        let deadline = started.checked_add(timeout);
        let permit = tokio::time::timeout(timeout, Arc::clone(&self.permits).acquire_owned());
        // Waiting counts: a dashboard that gave up must not be served later.
        let Ok(Ok(permit)) = permit.await else { return Err(QueryError::Timeout) };
        let control = QueryControl { deadline, lookback: options.lookback, ..QueryControl::default() };
        let cancel = CancelOnDrop(Arc::clone(&control.canceled));
        let (engine, storage) = (self.engine.clone(), self.storage.clone());
        let span = tracing::info_span!(target: "stormglass", "evaluate");
        let result = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            span.in_scope(|| work(&engine, &storage, &control))
        })
        .await
        .unwrap_or_else(|error| {
            Err(QueryError::Execution(format!("the query failed inside the server: {error}")))
        });
        drop(cancel);
        let outcome = result.as_ref().map_or_else(|error| error.error_type(), |_| "success");
        self.duration.with_label_values(&[outcome]).observe(started.elapsed().as_secs_f64());
        result
    }
}

#[async_trait]
impl alerting::Query for Queries {
    async fn instant(&self, expr: &str, at: Timestamp) -> Result<RuleVector, QueryFailure> {
        let failed = |error: QueryError| QueryFailure::new(error.to_string());
        let result = Self::instant(self, expr, at, QueryOptions::default()).await.map_err(failed)?;
        alerting::rule_vector(result.value)
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
}
