//! Runs the groups: one task each, started, kept, replaced and stopped as the configuration says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::{Append, Labels};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::alerting::AlertContext;
use super::file::RuleFile;
use super::group::{Group, GroupKey, Spec};
use super::snapshot::{AlertDiscovery, RuleDiscovery, RuleSnapshot};
use crate::alert::AlertSink;
use crate::clock::Clock;
use crate::error::Error;
use crate::metrics::RuleMetrics;
use crate::query::Query;

/// What applies to all rules.
#[derive(Debug, Clone)]
pub struct RuleManagerOptions {
    /// How long a firing alert waits before it is sent again; Prometheus' default is one minute.
    pub resend_delay: Duration,
    /// How long an outage may last for `for` to go on counting; Prometheus' default is one hour.
    pub for_outage_tolerance: Duration,
    /// What remains at least of `for` after an outage; Prometheus' default is ten minutes.
    pub for_grace_period: Duration,
    /// How many rules may be evaluated beside the first of their group, over all groups; with zero, the rules of a
    /// group are evaluated one after the other.
    pub concurrent_evals_max: usize,
    /// Where this server is reached, without a slash at the end.
    pub external_url: String,
}

impl RuleManagerOptions {
    /// Prometheus' defaults.
    pub fn new(external_url: impl Into<String>) -> Self {
        Self {
            resend_delay: Duration::from_secs(60),
            for_outage_tolerance: Duration::from_secs(3600),
            for_grace_period: Duration::from_secs(600),
            concurrent_evals_max: 0,
            external_url: external_url.into(),
        }
    }
}

/// What the configuration says about all rules; a reload may change it.
#[derive(Debug, Clone)]
pub struct RuleSettings {
    /// How often groups are evaluated that do not say so themselves.
    pub interval: Duration,
    /// How far back groups look that do not say so themselves.
    pub query_offset: Duration,
    /// Labels set on every alert that lacks them.
    pub external_labels: Labels,
}

/// What all groups use.
pub(super) struct Shared {
    pub(super) options: RuleManagerOptions,
    /// Replaced by a reload; an evaluation under way goes on with the one it began with.
    context: Mutex<Arc<AlertContext>>,
    pub(super) query: Arc<dyn Query>,
    pub(super) storage: Arc<dyn Append>,
    pub(super) sink: Arc<dyn AlertSink>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: RuleMetrics,
    /// Places for rules beside the first of their group.
    lanes: Arc<Semaphore>,
    pub(super) stopping: CancellationToken,
}

impl Shared {
    pub(super) fn new(
        options: RuleManagerOptions,
        query: Arc<dyn Query>,
        storage: Arc<dyn Append>,
        sink: Arc<dyn AlertSink>,
        clock: Arc<dyn Clock>,
        registry: &prometheus::Registry,
    ) -> Result<Self, Error> {
        let metrics = RuleMetrics::register(registry)?;
        let lanes = Arc::new(Semaphore::new(options.concurrent_evals_max));
        let external_url = options.external_url.clone();
        let context = AlertContext { external_labels: Labels::empty(), external_url };
        let context = Mutex::new(Arc::new(context));
        Ok(Self {
            options,
            context,
            query,
            storage,
            sink,
            clock,
            metrics,
            lanes,
            stopping: CancellationToken::new(),
        })
    }

    /// Sets the labels of all alerts.
    pub(super) fn set_labels(&self, external_labels: Labels) {
        let external_url = self.options.external_url.clone();
        *self.context.lock() = Arc::new(AlertContext { external_labels, external_url });
    }

    /// Takes as many places for further rules as are free, at most `count`.
    pub(super) fn lanes(&self, count: usize) -> Vec<OwnedSemaphorePermit> {
        let lane = || Arc::clone(&self.lanes).try_acquire_owned().ok();
        std::iter::from_fn(lane).take(count).collect()
    }

    pub(super) fn context(&self) -> Arc<AlertContext> {
        Arc::clone(&self.context.lock())
    }
}

/// Evaluates rules.
pub struct RuleManager {
    shared: Arc<Shared>,
    groups: Mutex<BTreeMap<GroupKey, Running>>,
    /// Held while groups are replaced, so that two reloads do not mix.
    applying: tokio::sync::Mutex<()>,
    /// Only the first configuration takes over what an earlier process knew.
    started: AtomicBool,
}

struct Running {
    group: Arc<Group>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl RuleManager {
    /// A manager without groups; [`RuleManager::apply`] brings them.
    ///
    /// # Errors
    /// [`Error::Metrics`] where the registry has metrics of these names.
    pub fn new(
        options: RuleManagerOptions,
        query: Arc<dyn Query>,
        storage: Arc<dyn Append>,
        sink: Arc<dyn AlertSink>,
        clock: Arc<dyn Clock>,
        registry: &prometheus::Registry,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared::new(options, query, storage, sink, clock, registry)?);
        Ok(Self {
            shared,
            groups: Mutex::new(BTreeMap::new()),
            applying: tokio::sync::Mutex::new(()),
            started: AtomicBool::new(false),
        })
    }

    /// Says whether [`RuleManager::apply`] would refuse these files, so that a reload can ask before it changes
    /// anything.
    ///
    /// # Errors
    /// [`Error::DuplicateGroup`] where a group is there twice, which it is where its file is given twice.
    pub fn check(files: &[(String, RuleFile)]) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        for (file, rules) in files {
            if let Some(group) = rules.groups.iter().find(|group| !seen.insert((file, &group.name))) {
                return Err(Error::DuplicateGroup { file: file.clone(), group: group.name.clone() });
            }
        }
        Ok(())
    }

    /// Runs exactly the groups of these files, given with their names. Groups that have not changed go on
    /// undisturbed, with the new labels; changed ones keep what is known of the rules that they still have. Waits
    /// for evaluations of changed groups to end.
    ///
    /// # Errors
    /// Those of [`RuleManager::check`]; nothing has changed then.
    pub async fn apply(&self, files: Vec<(String, RuleFile)>, settings: RuleSettings) -> Result<(), Error> {
        Self::check(&files)?;
        let mut wanted: BTreeMap<GroupKey, Spec> = BTreeMap::new();
        for (file, rules) in files {
            for group in rules.groups {
                let key = (file.clone(), group.name.clone());
                // Prometheus refuses an interval of zero when it reads the configuration; a timer cannot take it.
                let interval = group.interval.unwrap_or(settings.interval).max(Duration::from_millis(1));
                let query_offset = group.query_offset.unwrap_or(settings.query_offset);
                let spec = Spec { file: file.clone(), group, interval, query_offset };
                wanted.insert(key, spec);
            }
        }
        let _one_at_a_time = self.applying.lock().await;
        if self.shared.stopping.is_cancelled() {
            return Ok(());
        }
        self.shared.set_labels(settings.external_labels);
        let restore = !self.started.swap(true, Ordering::Relaxed);
        let replaced: Vec<_> = {
            let groups = self.groups.lock();
            let changed =
                groups.iter().filter(|(key, running)| wanted.get(*key) != Some(&running.group.spec));
            changed.map(|(key, running)| (key.clone(), running.stop.clone())).collect()
        };
        let mut old = BTreeMap::new();
        for (_, stop) in &replaced {
            stop.cancel();
        }
        for (key, _) in replaced {
            let running = self.groups.lock().remove(&key);
            if let Some(running) = running {
                finish(running.task).await;
                old.insert(key, running.group);
            }
        }
        for (key, spec) in wanted {
            if self.groups.lock().contains_key(&key) {
                continue;
            }
            let previous = old.remove(&key);
            let rules = spec.group.rules.len();
            self.shared.metrics.introduce(&format!("{};{}", key.0, key.1), spec.interval, rules);
            let grace = self.shared.options.for_grace_period;
            let group = Arc::new(Group::new(spec, previous.as_deref(), restore, grace));
            let stop = self.shared.stopping.child_token();
            let task = tokio::spawn(run(Arc::clone(&group), Arc::clone(&self.shared), stop.clone()));
            self.groups.lock().insert(key, Running { group, stop, task });
        }
        for group in old.into_values() {
            self.shared.metrics.forget(&group.metric_name());
            tokio::spawn(bury(group, Arc::clone(&self.shared)));
        }
        Ok(())
    }

    /// The `data` of `/api/v1/rules`.
    pub fn rules(&self) -> RuleDiscovery {
        let groups: Vec<_> = self.groups.lock().values().map(|running| Arc::clone(&running.group)).collect();
        RuleDiscovery { groups: groups.iter().map(|group| group.snapshot()).collect() }
    }

    /// The `data` of `/api/v1/alerts`.
    pub fn alerts(&self) -> AlertDiscovery {
        let rules = self.rules().groups.into_iter().flat_map(|group| group.rules);
        let alerts = rules.flat_map(|rule| match rule {
            RuleSnapshot::Alerting(rule) => rule.alerts,
            RuleSnapshot::Recording(_) => Vec::new(),
        });
        AlertDiscovery { alerts: alerts.collect() }
    }

    /// Stops all groups and waits for rules that are being evaluated. No stale markers are written, so that a
    /// restart leaves no gap.
    pub async fn stop(&self) {
        self.shared.stopping.cancel();
        let _one_at_a_time = self.applying.lock().await;
        let groups = std::mem::take(&mut *self.groups.lock());
        for running in groups.into_values() {
            finish(running.task).await;
        }
    }
}

/// Waits for a group's task; a panic in it must not take the others down.
async fn finish(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "rule group ended unexpectedly");
    }
}

/// Evaluates a group at its interval until `stop`.
async fn run(group: Arc<Group>, shared: Arc<Shared>, stop: CancellationToken) {
    let interval = group.spec.interval;
    let mut restore = group.needs_restore();
    let mut at = group.first_evaluation(shared.clock.now());
    'align: loop {
        // Within an alignment only the monotonic clock counts, so that small steps of the wall clock neither
        // repeat an evaluation nor leave one out.
        let first = at;
        let wait = Duration::from_millis(u64::try_from(first.since(shared.clock.now())).unwrap_or(0));
        let mut ticker = tokio::time::interval_at(Instant::now() + wait, interval);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut previous: Option<(Instant, u32)> = None;
        loop {
            let tick = tokio::select! {
                () = stop.cancelled() => return,
                tick = ticker.tick() => tick,
            };
            let start = previous.map_or(tick, |(start, _)| start);
            let count = u32::try_from((tick - start).as_nanos() / interval.as_nanos()).unwrap_or(u32::MAX);
            if let Some((_, last)) = previous {
                let missed = u64::from(count.saturating_sub(last + 1));
                if missed > 0 {
                    let (name, metrics) = (group.metric_name(), &shared.metrics);
                    metrics.missed_iterations.with_label_values(&[&name]).inc_by(missed);
                    metrics.iterations.with_label_values(&[&name]).inc_by(missed);
                }
            }
            let behind = previous.is_some();
            previous = Some((start, count));
            at = first + interval * count;
            // A suspended machine or a clock that was set: find the place in the interval anew.
            let off = shared.clock.now().since(at).unsigned_abs();
            if behind && u128::from(off) > 2 * interval.as_millis() + 1000 {
                at = group.first_evaluation(shared.clock.now());
                continue 'align;
            }
            let span =
                tracing::info_span!("evaluate rules", file = group.spec.file, group = group.spec.group.name);
            group.evaluate(&shared, at).instrument(span).await;
            if restore && behind {
                // The second evaluation has seen what recording rules and scrapes have brought back.
                group.restore(&shared, at).await;
                restore = false;
            }
        }
    }
}

/// Ends the series of a group that is gone, after two intervals: a group that was only renamed has taken them
/// over by then.
async fn bury(group: Arc<Group>, shared: Arc<Shared>) {
    let at = shared.clock.now();
    tokio::select! {
        () = shared.stopping.cancelled() => {}
        () = tokio::time::sleep(2 * group.spec.interval) => group.end_all(&shared, at).await,
    }
}
