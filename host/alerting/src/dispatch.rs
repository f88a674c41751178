//! From alerts to notifications: routing, grouping, inhibition, the notification log and delivery.
//!
//! Every alert is kept by its fingerprint ([`store`]), offered to the routing tree ([`route`]), and put into one
//! group per matching route and per values of the labels that the route groups by ([`group`]). Each group is a
//! task with a timer: first `group_wait`, then every `group_interval`. When the timer rings, alerts that are
//! inhibited ([`inhibit`]) are left out, and each integration of the receiver is told ([`deliver`]) what the
//! notification log ([`log`]) says it does not know yet.
//!
//! Alerts and the log are written to one state file, so that a restart neither repeats notifications nor
//! forgets to tell that an alert is over.

mod deliver;
mod group;
mod inhibit;
mod log;
mod route;
mod state;
mod store;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{Labels, Timestamp};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::alert::{Alert, AlertSink};
use crate::clock::Clock;
use crate::config::Config;
use crate::error::Error;
use crate::metrics::NotificationMetrics;
use crate::notification::Receiver;
use group::Group;
use inhibit::Inhibitor;
use log::NotificationLog;
use route::Matched;
use store::AlertStore;

/// How often alerts that are over, empty groups and expired log entries are cleared away.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(30);
/// At most this often the state file is written.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// What a dispatcher needs besides its configuration.
pub struct DispatcherOptions {
    /// Where this server is reached; receivers show it.
    pub external_url: String,
    /// Where alerts and the notification log are kept across restarts; `None` keeps them in memory only.
    pub state_file: Option<PathBuf>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// Takes alerts and has receivers told about them. Must be made and used within a tokio runtime.
pub struct Dispatcher {
    shared: Arc<Shared>,
}

/// What the dispatcher, its groups and its maintenance share.
struct Shared {
    external_url: String,
    clock: Arc<dyn Clock>,
    metrics: NotificationMetrics,
    state_file: Option<PathBuf>,
    store: Mutex<AlertStore>,
    log: Mutex<NotificationLog>,
    /// None before the first configuration: alerts are then only kept.
    active: Mutex<Option<Active>>,
    /// Rung when there is something to save.
    dirty: tokio::sync::Notify,
    stopping: CancellationToken,
    /// Groups and maintenance, which a stop waits for, so that nothing is logged after the last save.
    tasks: TaskTracker,
}

/// The configuration in force, and the groups it has made.
struct Active {
    config: Arc<Config>,
    receivers: Arc<HashMap<String, Arc<dyn Receiver>>>,
    inhibitor: Inhibitor,
    /// By the route's place in the tree and the group's labels.
    groups: HashMap<(Vec<usize>, Labels), Arc<Group>>,
    /// Cancelled when another configuration takes over.
    generation: CancellationToken,
}

impl Active {
    fn new(
        config: Config,
        receivers: HashMap<String, Arc<dyn Receiver>>,
        generation: CancellationToken,
    ) -> Result<Self, Error> {
        for (name, plugins) in &config.receivers {
            if let Some(missing) = plugins.iter().find(|p| !receivers.contains_key(&p.plugin)) {
                return Err(Error::UnknownPlugin { receiver: name.clone(), plugin: missing.plugin.clone() });
            }
        }
        let inhibitor = Inhibitor::new(&config.inhibit_rules);
        Ok(Self {
            config: Arc::new(config),
            receivers: Arc::new(receivers),
            inhibitor,
            groups: HashMap::new(),
            generation,
        })
    }
}

impl Dispatcher {
    /// A dispatcher that knows what its state file says and keeps what it is given. It tells and forgets nothing
    /// before the first [`Dispatcher::apply`], so that what the file holds meets the real receivers.
    ///
    /// # Errors
    /// [`Error::State`] where the state file is there and cannot be read, and [`Error::Metrics`]. A state file
    /// that can be read but makes no sense is moved aside with a warning.
    pub fn new(options: DispatcherOptions, registry: &prometheus::Registry) -> Result<Self, Error> {
        let mut saved = match &options.state_file {
            Some(path) => state::load(path)?,
            None => state::State::default(),
        };
        saved.resume(options.clock.now());
        let mut store = AlertStore::default();
        for alert in saved.alerts {
            store.merge(alert);
        }
        let shared = Arc::new(Shared {
            external_url: options.external_url,
            metrics: NotificationMetrics::register(registry)?,
            log: Mutex::new(NotificationLog::from_entries(saved.notifications)),
            store: Mutex::new(store),
            state_file: options.state_file,
            clock: options.clock,
            active: Mutex::new(None),
            dirty: tokio::sync::Notify::new(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        Ok(Self { shared })
    }

    /// Puts a configuration in force; `receivers` are the configured receiver plugins, by name. Notifications
    /// under way are broken off and delivered by the new groups where the log does not have them yet.
    ///
    /// # Errors
    /// [`Error::UnknownPlugin`]; the old configuration, if there was one, is then still in force.
    pub fn apply(&self, config: Config, receivers: HashMap<String, Arc<dyn Receiver>>) -> Result<(), Error> {
        let next = Active::new(config, receivers, self.shared.stopping.child_token())?;
        let previous = self.shared.active.lock().replace(next);
        if let Some(previous) = &previous {
            previous.generation.cancel();
        }
        let known = self.shared.store.lock().all();
        self.shared.take(known);
        if previous.is_none() {
            // Only now that every alert is in its group may those that are over be cleared away.
            self.shared.tasks.spawn(maintain(Arc::clone(&self.shared)));
        }
        Ok(())
    }

    /// The alerts that are known and not over, in order of their labels.
    #[cfg(test)]
    fn alerts(&self) -> Vec<Alert> {
        let now = self.shared.clock.now();
        let mut alerts = self.shared.store.lock().all();
        alerts.retain(|alert| !alert.resolved(now));
        alerts.sort_by(|a, b| a.labels.cmp(&b.labels));
        alerts
    }

    /// Stops all groups, breaks off notifications under way, and saves the state.
    ///
    /// # Errors
    /// [`Error::State`] where the state cannot be saved.
    pub async fn stop(&self) -> Result<(), Error> {
        self.shared.stopping.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        self.shared.save().await
    }
}

impl AlertSink for Dispatcher {
    fn put(&self, alerts: Vec<Alert>) {
        let now = self.shared.clock.now();
        for alert in &alerts {
            let status = if alert.resolved(now) { "resolved" } else { "firing" };
            self.shared.metrics.alerts_received.with_label_values(&[status]).inc();
        }
        self.shared.take(alerts);
    }
}

impl Shared {
    /// Keeps alerts, and puts them into their groups once there is a configuration.
    fn take(self: &Arc<Self>, alerts: Vec<Alert>) {
        if alerts.is_empty() || self.stopping.is_cancelled() {
            return;
        }
        let now = self.clock.now();
        let mut active = self.active.lock();
        let Some(active) = active.as_mut() else {
            let mut store = self.store.lock();
            for alert in alerts {
                store.merge(alert);
            }
            return;
        };
        for mut alert in alerts {
            // An alert without an end is believed for a while; its sender is to repeat it.
            if alert.ends_at.is_none() {
                alert.ends_at = Some(now + active.config.resolve_timeout);
            }
            let alert = self.store.lock().merge(alert);
            active.inhibitor.put(&alert);
            let config = Arc::clone(&active.config);
            for matched in route::matching(&config.route, &alert.labels) {
                self.insert(active, &matched, &alert, now);
            }
        }
        self.dirty.notify_one();
    }

    /// Puts an alert into its group below a route, which is made where it is missing.
    fn insert(
        self: &Arc<Self>,
        active: &mut Active,
        matched: &Matched<'_>,
        alert: &Arc<Alert>,
        now: Timestamp,
    ) {
        let labels = route::group_labels(matched.route, &alert.labels);
        let id = (matched.path.clone(), labels);
        if let Some(group) = active.groups.get(&id) {
            group.insert(alert, now);
            return;
        }
        let key = route::group_key(&matched.key, &id.1);
        let integrations = deliver::integrations(active, matched.route);
        let stop = active.generation.child_token();
        let group = Arc::new(Group::new(matched.route, key, id.1.clone(), integrations, stop));
        group.insert(alert, now);
        self.tasks.spawn(group::run(Arc::clone(&group), Arc::clone(self)));
        active.groups.insert(id, group);
    }

    /// Clears away what is over.
    fn clear(&self) {
        let now = self.clock.now();
        let mut active = self.active.lock();
        if let Some(active) = active.as_mut() {
            active.groups.retain(|_, group| !group.close_if_empty());
            active.inhibitor.clear(now);
        }
        self.store.lock().clear(now);
        drop(active);
        self.log.lock().clear(now);
    }

    async fn save(&self) -> Result<(), Error> {
        let Some(path) = self.state_file.clone() else { return Ok(()) };
        let state = state::State {
            saved_at: Some(self.clock.now()),
            alerts: self.store.lock().all(),
            notifications: self.log.lock().entries(),
        };
        let written = tokio::task::spawn_blocking({
            let path = path.clone();
            move || state::save(&path, &state)
        });
        written.await.unwrap_or_else(|error| Err(Error::State { path, source: std::io::Error::other(error) }))
    }
}

/// Saves the state when it has changed, and clears away what is over.
async fn maintain(shared: Arc<Shared>) {
    let mut clearing = tokio::time::interval(MAINTENANCE_INTERVAL);
    loop {
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            _ = clearing.tick() => shared.clear(),
            () = shared.dirty.notified() => {
                if let Err(error) = shared.save().await {
                    tracing::error!(%error, "save alert state");
                }
                tokio::select! {
                    () = shared.stopping.cancelled() => return,
                    () = tokio::time::sleep(SAVE_INTERVAL) => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
