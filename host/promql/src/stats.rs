//! What a query took: time, samples, memory.

use std::time::Duration;

use model::Timestamp;

/// What a query took.
#[derive(Clone, Debug, Default)]
pub struct QueryStats {
    /// Samples read from storage, each once.
    pub samples_read: u64,
    /// Samples that the query looked at, as Prometheus counts them: of a selector one for each step that it
    /// answers, of a range all that are within at each step. A histogram counts for as many floats as take its
    /// memory.
    pub queryable_samples: u64,
    /// The same by step, where [`QueryControl::per_step_stats`](crate::QueryControl::per_step_stats) asks for it
    /// and the feature `promql-per-step-stats` is on; else empty.
    pub queryable_samples_per_step: Vec<(Timestamp, u64)>,
    /// Most samples held at once.
    pub peak_samples: u64,
    /// Most bytes held at once in samples, what is computed of them, and labels.
    pub peak_bytes: u64,
    /// Where the time went.
    pub timings: Timings,
}

/// Where the time of a query went; Prometheus' `stats` has the same names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// From when the query was asked.
    pub exec_total: Duration,
    /// Waiting for its turn.
    pub exec_queue: Duration,
    /// All but the waiting.
    pub eval_total: Duration,
    /// Reading and planning the query.
    pub query_preparation: Duration,
    /// Running the plan.
    pub inner_eval: Duration,
    /// Putting the result in order.
    pub result_sort: Duration,
}
