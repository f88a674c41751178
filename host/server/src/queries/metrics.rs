//! What queries tell of themselves, under Prometheus' names where it has one.

use std::time::Duration;

use instruments::SummaryVec;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};
use promql::{Engine, QueryStats};

use super::fair::FairQueue;

/// The stretches of a query's time, as Prometheus tells them apart.
const SLICES: [&str; 4] = ["queue_time", "prepare_time", "inner_eval", "result_sort"];

/// What is told of each.
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// The outcome of nearly all.
const SUCCESS: &str = "success";

/// Counters, histograms and summaries of queries.
pub(crate) struct QueryMetrics {
    /// From asked to answered, by outcome.
    duration: HistogramVec,
    succeeded: Histogram,
    slices: SummaryVec,
    samples: IntCounter,
    refused: IntCounterVec,
}

impl QueryMetrics {
    pub(crate) fn register(
        registry: &Registry,
        places: usize,
        queue: &FairQueue,
        engine: &Engine,
    ) -> prometheus::Result<Self> {
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "stormglass_query_duration_seconds",
                "Time to evaluate queries, waiting included.",
            ),
            &["outcome"],
        )?;
        let slices = SummaryVec::new(
            Opts::new("prometheus_engine_query_duration_seconds", "Query timings"),
            &["slice"],
            &QUANTILES,
        )?;
        for slice in SLICES {
            // Told before the first query, so that rates have something to start from.
            slices.touch(&[slice]);
        }
        let samples =
            IntCounter::new("prometheus_engine_query_samples_total", "Samples that queries have looked at.")?;
        let refused = IntCounterVec::new(
            Opts::new("stormglass_queries_refused_total", "Queries that were not evaluated, by reason."),
            &["reason"],
        )?;
        let concurrent_max = IntGauge::new(
            "prometheus_engine_queries_concurrent_max",
            "Most queries that are evaluated at once.",
        )?;
        concurrent_max.set(i64::try_from(places).unwrap_or(i64::MAX));
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(slices.clone()))?;
        registry.register(Box::new(samples.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        registry.register(Box::new(concurrent_max))?;
        registry.register(Box::new(LoadGauges::new(queue.clone(), engine.clone())?))?;
        let succeeded = duration.with_label_values(&[SUCCESS]);
        Ok(Self { duration, succeeded, slices, samples, refused })
    }

    /// A query has failed.
    pub(crate) fn failed(&self, outcome: &str, took: Duration) {
        self.duration.with_label_values(&[outcome]).observe(took.as_secs_f64());
    }

    /// A query has been answered.
    pub(crate) fn answered(&self, stats: &QueryStats, took: Duration) {
        self.succeeded.observe(took.as_secs_f64());
        let timings = &stats.timings;
        let times = [timings.exec_queue, timings.query_preparation, timings.inner_eval, timings.result_sort];
        for (slice, time) in SLICES.iter().zip(times) {
            self.slices.observe(&[slice], time.as_secs_f64());
        }
        self.samples.inc_by(stats.queryable_samples);
    }

    /// A query was not evaluated.
    pub(crate) fn refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }
}

/// Gauges that are read where the truth is, when somebody asks.
struct LoadGauges {
    queue: FairQueue,
    engine: Engine,
    queries: IntGauge,
    waiting: IntGauge,
    memory_used: IntGauge,
    memory_limit: IntGauge,
    stopped: IntGauge,
}

impl LoadGauges {
    fn new(queue: FairQueue, engine: Engine) -> prometheus::Result<Self> {
        Ok(Self {
            queue,
            engine,
            queries: IntGauge::new("prometheus_engine_queries", "Queries under way or waiting.")?,
            waiting: IntGauge::new("stormglass_queries_waiting", "Queries that wait for their turn.")?,
            memory_used: IntGauge::new(
                "stormglass_query_memory_bytes",
                "Memory that queries under way and answers being written hold.",
            )?,
            memory_limit: IntGauge::new(
                "stormglass_query_memory_max_bytes",
                "Memory that all queries together may hold; -1 for no limit.",
            )?,
            stopped: IntGauge::new(
                "stormglass_queries_stopped_for_memory",
                "Queries that were stopped so that others fit, since the start.",
            )?,
        })
    }

    fn all(&self) -> [&IntGauge; 5] {
        [&self.queries, &self.waiting, &self.memory_used, &self.memory_limit, &self.stopped]
    }
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(-1)
}

impl Collector for LoadGauges {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (load, usage) = (self.queue.load(), self.engine.pool().usage());
        self.queries.set(whole((load.running + load.waiting) as u64));
        self.waiting.set(whole(load.waiting as u64));
        self.memory_used.set(whole(usage.used_bytes));
        self.memory_limit.set(whole(usage.limit_bytes));
        self.stopped.set(whole(usage.stopped));
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}
