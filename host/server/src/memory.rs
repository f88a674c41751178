//! The memory budget: what the server does without as memory becomes short, in a stated order.
//!
//! 1. **New series** are refused, under the limit's name `memory_budget`; those that are there go on.
//! 2. **Queries** get less: those that hold most are stopped, new ones find no memory, until the rest fits.
//!
//! What has been acknowledged is never given up. Each step is undone when memory is a little below where it began, so
//! that nothing flickers; each change is one line of the log, and the state is a metric.
//!
//! What counts is the process' own memory, as the kernel tells it: blocks that are mapped from files are not in it,
//! since the kernel takes their pages back by itself.

mod machine;
mod trim;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};
use promql::MemoryPool;
use serde::Serialize;
use storage::Storage;

pub(crate) use machine::{default_budget, machine_bytes};
pub(crate) use trim::give_back;

/// How often memory is looked at. A flood of new series takes some hundred megabytes per second.
pub(crate) const INTERVAL: Duration = Duration::from_millis(200);

/// From this part of the budget on new series are refused: what is left serves the samples of those that are there.
const SERIES_SHED_PERCENT: u64 = 85;
/// From this part on queries are stopped.
const QUERIES_SHED_PERCENT: u64 = 95;
/// So much lower each step is undone.
const RELIEF_PERCENT: u64 = 5;
/// While memory is short, the allocator is asked so often to give back what it keeps for later.
const TRIM_INTERVAL: Duration = Duration::from_secs(5);

/// How short memory is; each includes the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Shortage {
    /// Everything is served.
    None,
    /// New series are refused.
    ShedsSeries,
    /// Queries are stopped and refused, too.
    ShedsQueries,
}

/// What is told of memory.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MemoryUse {
    /// `None` where there is no budget.
    pub(crate) budget_bytes: Option<u64>,
    /// Of the process, files left out.
    pub(crate) used_bytes: u64,
    /// Of the label index of the head.
    pub(crate) index_bytes: u64,
    /// Of queries, as they account for it.
    pub(crate) queries_bytes: u64,
    pub(crate) shortage: Shortage,
}

/// Keeps the process within its budget.
pub(crate) struct MemoryGuard {
    budget: Option<u64>,
    storage: Storage,
    pool: Arc<MemoryPool>,
    /// What queries may hold together while there is enough.
    queries_max: u64,
    state: Mutex<State>,
    used: IntGauge,
    shedding: IntGaugeVec,
}

#[derive(Debug)]
struct State {
    shortage: Shortage,
    used_bytes: u64,
    trimmed: Option<Instant>,
}

/// What follows from `used` bytes of a budget.
fn next(shortage: Shortage, used: u64, budget: u64) -> Shortage {
    let reaches = |percent: u64| u128::from(used) * 100 >= u128::from(budget) * u128::from(percent);
    // Undone later than done.
    let holds = |step: Shortage, percent: u64| {
        reaches(if shortage >= step { percent - RELIEF_PERCENT } else { percent })
    };
    if holds(Shortage::ShedsQueries, QUERIES_SHED_PERCENT) {
        Shortage::ShedsQueries
    } else if holds(Shortage::ShedsSeries, SERIES_SHED_PERCENT) {
        Shortage::ShedsSeries
    } else {
        Shortage::None
    }
}

/// What queries that hold `held` bytes may hold together while too much is used for any more.
fn queries_max(used: u64, held: u64, budget: u64) -> u64 {
    let excess = used.saturating_sub(budget * (QUERIES_SHED_PERCENT - RELIEF_PERCENT) / 100);
    held.saturating_sub(excess)
}

impl MemoryGuard {
    /// A guard over a budget in bytes; without one it only tells what is used.
    pub(crate) fn new(
        budget: Option<u64>,
        storage: Storage,
        pool: Arc<MemoryPool>,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let used = gauge("stormglass_memory_used_bytes", "Memory of the process, mapped files left out.")?;
        let told = gauge("stormglass_memory_budget_bytes", "The memory budget; 0 where there is none.")?;
        told.set(gauge_value(budget.unwrap_or(0)));
        let shedding = IntGaugeVec::new(
            Opts::new(
                "stormglass_memory_shedding",
                "Whether memory is too short for new series or for queries.",
            ),
            &["what"],
        )?;
        registry.register(Box::new(shedding.clone()))?;
        let queries_max = pool.usage().limit_bytes;
        let state = Mutex::new(State { shortage: Shortage::None, used_bytes: 0, trimmed: None });
        let guard = Self { budget, storage, pool, queries_max, state, used, shedding };
        guard.show(Shortage::None);
        Ok(guard)
    }

    /// Looks at the process, and does what follows.
    pub(crate) fn watch(&self) {
        let Some(used) = machine::used_bytes() else { return };
        self.used.set(gauge_value(used));
        let mut state = self.state.lock();
        state.used_bytes = used;
        let Some(budget) = self.budget else { return };
        let before = state.shortage;
        let now = next(before, used, budget);
        state.shortage = now;
        if now > Shortage::None && state.trimmed.is_none_or(|at| at.elapsed() >= TRIM_INTERVAL) {
            state.trimmed = Some(Instant::now());
            give_back();
        }
        if now == Shortage::ShedsQueries {
            let held = self.pool.usage().used_bytes;
            self.pool.set_limit(queries_max(used, held, budget).min(self.queries_max));
        } else if before == Shortage::ShedsQueries {
            self.pool.set_limit(self.queries_max);
        }
        drop(state);
        if now != before {
            self.storage.tsdb().shed_new_series(now >= Shortage::ShedsSeries);
            self.show(now);
            log(now, used, budget);
        }
    }

    fn show(&self, shortage: Shortage) {
        for (what, step) in [("series", Shortage::ShedsSeries), ("queries", Shortage::ShedsQueries)] {
            self.shedding.with_label_values(&[what]).set(i64::from(shortage >= step));
        }
    }

    /// What is used, and how short it is.
    pub(crate) fn usage(&self) -> MemoryUse {
        let state = self.state.lock();
        MemoryUse {
            budget_bytes: self.budget,
            used_bytes: state.used_bytes,
            index_bytes: self.storage.tsdb().index_bytes(),
            queries_bytes: self.pool.usage().used_bytes,
            shortage: state.shortage,
        }
    }
}

fn gauge_value(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Says once what has changed.
fn log(now: Shortage, used_bytes: u64, budget_bytes: u64) {
    match now {
        Shortage::None => tracing::info!(used_bytes, budget_bytes, "memory is enough again for everything"),
        Shortage::ShedsSeries => {
            tracing::warn!(
                used_bytes,
                budget_bytes,
                "memory is short: new series are refused; see /api/v1/status/cardinality for what grows"
            );
        }
        Shortage::ShedsQueries => {
            tracing::warn!(
                used_bytes,
                budget_bytes,
                "memory is very short: queries are stopped and new series are refused"
            );
        }
    }
}

#[cfg(test)]
mod tests;
