//! The memory that the queries of a server share.
//!
//! A query draws memory in chunks as it goes and gives it back when its answer has been written. One that finds
//! the pool empty waits its turn, first come, first served, as long as there is anyone who could give memory
//! back: where all that hold some wait for more, the one that came last fails instead. Lowering the limit
//! stops queries, those that hold most first, until the others fit.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::QueryError;

/// Queries draw at least so much at a time, so that the pool's lock is taken rarely.
const CHUNK_BYTES: u64 = 1 << 20;

/// How often one that waits looks whether its caller has gone.
const WAIT_SLICE: Duration = Duration::from_millis(5);

/// Memory that queries share.
#[derive(Debug)]
pub struct MemoryPool {
    state: Mutex<State>,
    changed: Condvar,
    wait_max: Duration,
}

#[derive(Debug)]
struct State {
    limit: u64,
    used: u64,
    /// Every query that is under way.
    leases: Vec<Arc<Held>>,
    /// Those that wait, first come first.
    waiting: VecDeque<Waiting>,
    shed: u64,
}

/// One that waits, and for how many bytes.
#[derive(Debug)]
struct Waiting {
    held: Arc<Held>,
    missing: u64,
}

/// What one query holds.
#[derive(Debug, Default)]
struct Held {
    bytes: AtomicU64,
    stopped: AtomicBool,
}

/// What a pool holds, for those who watch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUsage {
    /// What all queries together may hold.
    pub limit_bytes: u64,
    /// What they hold.
    pub used_bytes: u64,
    /// How many hold memory or may ask for it.
    pub queries: usize,
    /// How many of them wait for memory.
    pub waiting: usize,
    /// How many have been stopped so that others fit, since the start.
    pub stopped: u64,
}

impl MemoryPool {
    /// A pool of `limit_bytes`, in which a query waits for memory no longer than `wait_max`.
    pub fn new(limit_bytes: u64, wait_max: Duration) -> Arc<Self> {
        let state =
            State { limit: limit_bytes, used: 0, leases: Vec::new(), waiting: VecDeque::new(), shed: 0 };
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new(), wait_max })
    }

    /// A pool without a limit.
    pub fn unlimited() -> Arc<Self> {
        Self::new(u64::MAX, Duration::ZERO)
    }

    /// Sets how much all queries together may hold. Where they hold more, those that hold most are stopped until
    /// the others fit.
    pub fn set_limit(&self, limit_bytes: u64) {
        let mut state = self.lock();
        state.limit = limit_bytes;
        let mut excess = state.used.saturating_sub(limit_bytes);
        let mut running: Vec<Arc<Held>> =
            state.leases.iter().filter(|held| !held.stopped.load(Ordering::Relaxed)).cloned().collect();
        // What is being stopped already gives its memory back too.
        for held in &state.leases {
            if held.stopped.load(Ordering::Relaxed) {
                excess = excess.saturating_sub(held.bytes.load(Ordering::Relaxed));
            }
        }
        running.sort_by_key(|held| std::cmp::Reverse(held.bytes.load(Ordering::Relaxed)));
        for held in running {
            if excess == 0 {
                break;
            }
            held.stopped.store(true, Ordering::Relaxed);
            state.shed += 1;
            excess = excess.saturating_sub(held.bytes.load(Ordering::Relaxed));
        }
        drop(state);
        self.changed.notify_all();
    }

    /// What it holds now.
    pub fn usage(&self) -> PoolUsage {
        let state = self.lock();
        PoolUsage {
            limit_bytes: state.limit,
            used_bytes: state.used,
            queries: state.leases.len(),
            waiting: state.waiting.len(),
            stopped: state.shed,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A query's account with the pool.
    pub(crate) fn lease(self: &Arc<Self>) -> Lease {
        let held = Arc::new(Held::default());
        self.lock().leases.push(Arc::clone(&held));
        Lease { pool: Arc::clone(self), held }
    }
}

/// A query's account with a pool; what it holds goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Arc<MemoryPool>,
    held: Arc<Held>,
}

impl Lease {
    /// Whether the query was chosen to be stopped so that others fit.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        if self.held.stopped.load(Ordering::Relaxed) {
            let limit_bytes = self.pool.lock().limit;
            return Err(QueryError::Shed { limit_bytes });
        }
        Ok(())
    }

    /// Draws until `total` bytes are held. `go_on` is asked while waiting.
    pub(crate) fn cover(
        &self,
        total: u64,
        go_on: &dyn Fn() -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        if total <= self.held.bytes.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut state = self.pool.lock();
        let mut waits_until = None;
        let outcome = loop {
            // Another thread of the query may have drawn meanwhile.
            let bytes = self.held.bytes.load(Ordering::Relaxed);
            let Some(missing) = total.checked_sub(bytes).filter(|missing| *missing > 0) else { break Ok(()) };
            let free = state.limit.saturating_sub(state.used);
            let is_next = state.waiting.front().is_none_or(|first| Arc::ptr_eq(&first.held, &self.held));
            if is_next && missing <= free {
                let drawn = missing.max(CHUNK_BYTES.min(free));
                state.used += drawn;
                self.held.bytes.fetch_add(drawn, Ordering::Relaxed);
                break Ok(());
            }
            let now = Instant::now();
            let until = *waits_until.get_or_insert_with(|| {
                state.waiting.push_back(Waiting { held: Arc::clone(&self.held), missing });
                now + self.pool.wait_max
            });
            if total > state.limit || now >= until || state.must_give_way(&self.held) {
                break Err(QueryError::PoolExhausted { limit_bytes: state.limit });
            }
            if let Err(error) = go_on().and_then(|()| self.stopped(&state)) {
                break Err(error);
            }
            state = self
                .pool
                .changed
                .wait_timeout(state, WAIT_SLICE)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        };
        if waits_until.is_some() {
            if let Some(at) = state.waiting.iter().position(|one| Arc::ptr_eq(&one.held, &self.held)) {
                state.waiting.remove(at);
            }
            drop(state);
            self.pool.changed.notify_all();
        }
        outcome
    }

    fn stopped(&self, state: &State) -> Result<(), QueryError> {
        if self.held.stopped.load(Ordering::Relaxed) {
            return Err(QueryError::Shed { limit_bytes: state.limit });
        }
        Ok(())
    }
}

impl State {
    /// Whether everyone who holds memory waits for more, there is not enough for the first of them, and `held` is
    /// that of the one who came last.
    fn must_give_way(&self, held: &Arc<Held>) -> bool {
        let waits = |held: &Arc<Held>| self.waiting.iter().any(|other| Arc::ptr_eq(&other.held, held));
        let anyone_runs =
            self.leases.iter().any(|held| held.bytes.load(Ordering::Relaxed) > 0 && !waits(held));
        let free = self.limit.saturating_sub(self.used);
        let served_next = self.waiting.front().is_some_and(|first| first.missing <= free);
        let is_last = self.waiting.back().is_some_and(|last| Arc::ptr_eq(&last.held, held));
        !anyone_runs && !served_next && is_last
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.used = state.used.saturating_sub(self.held.bytes.load(Ordering::Relaxed));
        state.leases.retain(|held| !Arc::ptr_eq(held, &self.held));
        // To wake nobody up is a call to the system all the same.
        let anyone_waits = !state.waiting.is_empty();
        drop(state);
        if anyone_waits {
            self.pool.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests;
