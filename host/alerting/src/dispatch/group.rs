//! One group of alerts: what is in it, and the task that has its receiver told.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::{Labels, Timestamp};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::deliver::{Integration, deliver};
use super::log::Standing;
use crate::alert::{Alert, Fingerprint};
use crate::config::Route;

/// A delivery has at least this long, however short the group's interval is.
const DEADLINE_MIN: Duration = Duration::from_secs(10);

/// A group.
pub(super) struct Group {
    /// Its key, as receivers see it.
    pub(super) key: String,
    /// What all its alerts agree in.
    pub(super) labels: Labels,
    /// Who is told.
    pub(super) receiver: String,
    /// After this time an unchanged group is told again.
    pub(super) repeat_interval: Duration,
    wait: Duration,
    interval: Duration,
    integrations: Vec<Integration>,
    state: Mutex<State>,
    /// Rung when an alert comes in that has waited long enough already.
    hurry: tokio::sync::Notify,
    /// Cancelled when the group is empty or its configuration is gone.
    stop: CancellationToken,
}

struct State {
    alerts: BTreeMap<Fingerprint, Arc<Alert>>,
    flushed: bool,
}

impl Group {
    pub(super) fn new(
        route: &Route,
        key: String,
        labels: Labels,
        integrations: Vec<Integration>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            key,
            labels,
            receiver: route.receiver.clone(),
            repeat_interval: route.repeat_interval,
            wait: route.group_wait,
            interval: route.group_interval,
            integrations,
            state: Mutex::new(State { alerts: BTreeMap::new(), flushed: false }),
            hurry: tokio::sync::Notify::new(),
            stop,
        }
    }

    /// Adds an alert, or its new state. One that began before the group's wait need not wait again: it was in
    /// the group before a restart or a reload.
    pub(super) fn insert(&self, alert: &Arc<Alert>, now: Timestamp) {
        let mut state = self.state.lock();
        state.alerts.insert(alert.fingerprint(), Arc::clone(alert));
        if !state.flushed && alert.starts_at + self.wait < now {
            self.hurry.notify_one();
        }
    }

    /// Ends the group if there is nothing in it, and says whether it did.
    pub(super) fn close_if_empty(&self) -> bool {
        let empty = self.state.lock().alerts.is_empty();
        if empty {
            self.stop.cancel();
        }
        empty
    }

    /// Has all integrations told what is new to them.
    async fn flush(&self, shared: &Shared, deadline: Instant) {
        let now = shared.clock.now();
        let all: Vec<Arc<Alert>> = {
            let mut state = self.state.lock();
            state.flushed = true;
            state.alerts.values().cloned().collect()
        };
        let mut alerts: Vec<(Arc<Alert>, bool)> = {
            let active = shared.active.lock();
            let told = all.iter().filter(|alert| {
                !active.as_ref().is_some_and(|active| active.inhibitor.inhibits(&alert.labels, now))
            });
            told.map(|alert| (Arc::clone(alert), alert.resolved(now))).collect()
        };
        let mut delivered = true;
        if !alerts.is_empty() {
            alerts.sort_by(|(a, _), (b, _)| {
                order(&a.labels).cmp(&order(&b.labels)).then(a.labels.cmp(&b.labels))
            });
            let fingerprints = |over: bool| -> BTreeSet<_> {
                alerts
                    .iter()
                    .filter(|(_, resolved)| *resolved == over)
                    .map(|(a, _)| a.fingerprint())
                    .collect()
            };
            let standing = Standing { firing: fingerprints(false), resolved: fingerprints(true) };
            let deliveries = self
                .integrations
                .iter()
                .map(|integration| deliver(shared, self, integration, &alerts, &standing, now, deadline));
            delivered = futures::future::join_all(deliveries).await.into_iter().all(|told| told);
        }
        if delivered {
            // Only what was told, and has not changed since, may go.
            let mut state = self.state.lock();
            for alert in all.iter().filter(|alert| alert.resolved(now)) {
                let fingerprint = alert.fingerprint();
                if state.alerts.get(&fingerprint).is_some_and(|current| Arc::ptr_eq(current, alert)) {
                    state.alerts.remove(&fingerprint);
                }
            }
        }
    }
}

/// Alerts are shown by job, then instance; those without come last.
fn order(labels: &Labels) -> impl Ord {
    let key = |name| labels.get(name).map_or((true, String::new()), |value| (false, value.to_owned()));
    (key("job"), key("instance"))
}

/// Flushes the group when its time has come, until it is stopped.
pub(super) async fn run(group: Arc<Group>, shared: Arc<Shared>) {
    let mut next = Instant::now() + group.wait;
    let mut flushed = false;
    loop {
        tokio::select! {
            () = group.stop.cancelled() => return,
            () = tokio::time::sleep_until(next) => {}
            () = group.hurry.notified(), if !flushed => {}
        }
        flushed = true;
        let started = Instant::now();
        next = started + group.interval;
        let deadline = started + group.interval.max(DEADLINE_MIN);
        tokio::select! {
            () = group.stop.cancelled() => return,
            () = group.flush(&shared, deadline) => {}
        }
    }
}
