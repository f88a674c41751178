//! The loop that scrapes one target.
//!
//! Scrapes happen at moments of wall time that depend on the target and the interval alone: they do not drift,
//! survive reloads and restarts, and spread over the interval. A scrape that takes too long is cut off by its
//! timeout; moments that pass meanwhile are left out.

use std::sync::Arc;
use std::time::Duration;

use model::{Append, Timestamp};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::Error;
use crate::failure_log::FailureLog;
use crate::families::{Families, Family};
use crate::fetch::{Fetch, Fetched};
use crate::ingest::{Ingest, Outcome, Rules, Scrape};
use crate::loops::Loops;
use crate::metrics::Metrics;
use crate::snapshot::Health;
use crate::target::Target;

/// A scrape that begins this little after its moment gets the moment's time, which compresses better than
/// times that wobble. At most a hundredth of the interval, so that rates are not distorted.
const ALIGN_MAX: Duration = Duration::from_millis(2);

/// Shorter answers are read and stored where they arrive: in some milliseconds at the most, in which the other targets
/// of the thread wait.
const INLINE_BYTES_MAX: usize = 1 << 20;

/// Tells the wall time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) storage: Arc<dyn Append>,
    pub(crate) metrics: Metrics,
    pub(crate) families: Arc<Families>,
    pub(crate) clock: Clock,
    pub(crate) loops: Loops,
}

/// How a target is scraped; changes while its worker runs.
pub(crate) struct Plan {
    pub(crate) fetch: Arc<dyn Fetch>,
    pub(crate) rules: Arc<Rules>,
    /// Where it is written that a scrape failed.
    pub(crate) failure_log: Option<Arc<FailureLog>>,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    /// Why every scrape fails, where the job as a whole is refused.
    pub(crate) refusal: Option<String>,
}

/// What a worker is to do.
#[derive(Clone)]
pub(crate) enum Order {
    /// Scrape by this plan.
    Run(Arc<Plan>),
    /// End, and mark the target's series stale.
    Remove,
    /// End, and leave the series as they are: the process goes down, and most likely comes back.
    Stop,
}

/// How the latest scrape went.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status {
    pub(crate) health: Health,
    pub(crate) last_error: String,
    pub(crate) last_scrape: Option<Timestamp>,
    pub(crate) last_duration: Duration,
    /// What the latest good answer declared.
    pub(crate) families: Arc<[Arc<Family>]>,
}

pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) url: String,
    /// Decides when, within the interval, the target is scraped.
    pub(crate) hash: u64,
    pub(crate) orders: watch::Receiver<Order>,
    pub(crate) status: Arc<Mutex<Status>>,
    pub(crate) ingest: Ingest,
    /// The latest moment, and when its scrape really began.
    pub(crate) last_due: Option<Timestamp>,
    pub(crate) last_at: Option<Timestamp>,
}

impl Worker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        target: &Target,
        seed: u64,
        rules: Arc<Rules>,
        orders: watch::Receiver<Order>,
        status: Arc<Mutex<Status>>,
    ) -> Self {
        let families = Arc::clone(&shared.families);
        Self {
            shared,
            url: target.url.clone(),
            hash: target.hash(seed),
            orders,
            status,
            ingest: Ingest::new(&target.labels, rules, families),
            last_due: None,
            last_at: None,
        }
    }

    /// Scrapes until it is told to end.
    pub(crate) async fn run(mut self) {
        // The moment waited for, and its interval. An order that comes just as it passes must not skip it.
        let mut awaited: Option<(Timestamp, Duration)> = None;
        loop {
            let order = self.orders.borrow_and_update().clone();
            let plan = match order {
                Order::Run(plan) => plan,
                Order::Remove => return self.end().await,
                Order::Stop => return,
            };
            self.ingest.set_rules(&plan.rules);
            let now = (self.shared.clock)();
            let due = match awaited {
                Some((due, interval)) if interval == plan.interval => due,
                _ => next_due(now, self.last_due, plan.interval, self.hash),
            };
            awaited = Some((due, plan.interval));
            let wait = Duration::from_millis(u64::try_from(due.since(now)).unwrap_or_default());
            tokio::select! {
                changed = self.orders.changed() => if changed.is_err() { return } else { continue },
                () = sleep(wait) => {}
            }
            self.last_due = Some(due);
            awaited = None;
            match self.scrape(&plan, due).await {
                Some(worker) => self = worker,
                None => return,
            }
        }
    }

    /// Scrapes once. The worker moves through a thread that may block and comes back, unless that one died.
    async fn scrape(mut self, plan: &Plan, due: Timestamp) -> Option<Self> {
        let now = (self.shared.clock)();
        let late = now.since(due);
        let tolerance = ALIGN_MAX.min(plan.interval / 100).as_millis() as i64;
        let at = if (0..=tolerance).contains(&late) { due } else { now };
        if let Some(last) = self.last_at {
            let apart = Duration::from_millis(u64::try_from(at.since(last)).unwrap_or_default());
            self.shared.metrics.observe_interval(plan.interval, apart);
        }
        self.last_at = Some(at);
        let began = Instant::now();
        let mut orders = self.orders.clone();
        let fetched = tokio::select! {
            fetched = fetch(plan, &self.url) => fetched,
            // Whoever ends the worker does not wait for a slow target.
            _ = orders.wait_for(|order| !matches!(order, Order::Run(_))) => return Some(self),
        };
        let duration = began.elapsed();
        let is_short = fetched.as_ref().is_ok_and(|fetched| {
            matches!(fetched, Fetched::Exposition { .. }) && fetched.body_bytes() <= INLINE_BYTES_MAX
        });
        let scrape = Scrape { at, fetched, duration, timeout: plan.timeout };
        if is_short && self.shared.loops.are_apart() && plan.failure_log.is_none() {
            let outcome = self.ingest.store(&*self.shared.storage, scrape);
            self.conclude(at, duration, &outcome);
            return Some(self);
        }
        // Storage makes the batch durable before it returns, which may wait for a disk.
        let failure_log = plan.failure_log.clone();
        let stored = tokio::task::spawn_blocking(move || {
            let outcome = self.ingest.store(&*self.shared.storage, scrape);
            if let (Some(log), Some(error)) = (failure_log, &outcome.error) {
                log.write(&self.url, error);
            }
            (self, outcome)
        });
        match stored.await {
            Ok((worker, outcome)) => {
                worker.conclude(at, duration, &outcome);
                Some(worker)
            }
            Err(error) => {
                tracing::error!(%error, "a scrape loop met a defect and ended; the next change of its job starts it again");
                None
            }
        }
    }

    fn conclude(&self, at: Timestamp, duration: Duration, outcome: &Outcome) {
        self.shared.metrics.count(outcome);
        let rejected = outcome.tally.rejected;
        if rejected != crate::ingest::Rejected::default() {
            tracing::warn!(target = %self.url, ?rejected, "samples of a scrape were refused");
        }
        let mut status = self.status.lock();
        status.last_scrape = Some(at);
        status.last_duration = duration;
        status.families = Arc::clone(self.ingest.families());
        let error = outcome.error.as_ref().map(Error::to_string).unwrap_or_default();
        // A target that is down is data; a storage that is down is an incident.
        if error != status.last_error {
            match &outcome.error {
                Some(Error::Commit(_)) => tracing::error!(target = %self.url, error, "scrape was not stored"),
                Some(_) => tracing::debug!(target = %self.url, error, "scrape failed"),
                None => {}
            }
        }
        status.health = if error.is_empty() { Health::Up } else { Health::Down };
        status.last_error = error;
    }

    async fn end(mut self) {
        let Some(last) = self.last_at else { return };
        let at = (self.shared.clock)().max(last.offset(1));
        let url = self.url.clone();
        let ended = tokio::task::spawn_blocking(move || self.ingest.end(&*self.shared.storage, at)).await;
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(target = %url, %error, "series of a removed target were not marked stale");
            }
            Err(error) => tracing::error!(target = %url, %error, "ending a scrape loop met a defect"),
        }
    }
}

async fn fetch(plan: &Plan, url: &str) -> Result<Fetched, Error> {
    if let Some(refusal) = &plan.refusal {
        return Err(Error::TargetLimit(refusal.clone()));
    }
    match timeout(plan.timeout, plan.fetch.fetch(plan.timeout)).await {
        Ok(fetched) => fetched,
        Err(_) => Err(Error::Timeout { what: format!("Get {url:?}") }),
    }
}

/// The next moment for a target of this hash: not before `now`, and after the last one.
fn next_due(now: Timestamp, last: Option<Timestamp>, interval: Duration, hash: u64) -> Timestamp {
    let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
    let offset = (hash % interval_ms.unsigned_abs()) as i64;
    let earliest = match last {
        // Where the clock was set back by more than an interval, waiting for it to come round would leave a
        // gap as long as the step.
        Some(last) if last.since(now) <= interval_ms => now.max(last.offset(1)),
        _ => now,
    };
    earliest.offset(offset.saturating_sub(earliest.millis()).rem_euclid(interval_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_apart_by_the_interval_and_never_come_twice() {
        let due = |now, last: Option<i64>| {
            let last = last.map(Timestamp::from_millis);
            next_due(Timestamp::from_millis(now), last, Duration::from_secs(10), 123_456).millis()
        };
        assert_eq!(due(1_000_000, None), 1_003_456);
        assert_eq!(due(1_003_456, None), 1_003_456);
        assert_eq!(due(1_003_456, Some(1_003_456)), 1_013_456);
        // Woken a little early by the clock, and after a scrape that took longer than two intervals.
        assert_eq!(due(1_003_455, Some(1_003_456)), 1_013_456);
        assert_eq!(due(1_024_000, Some(1_003_456)), 1_033_456);
        // The clock was set back.
        assert_eq!(due(500_000, Some(1_003_456)), 503_456);
    }
}
