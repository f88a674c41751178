//! The configured plugins, running, and what connects each kind to the part of the server that uses it.

mod collectors;
mod columns;
mod discoverers;
mod functions;
mod metrics;
mod query;
mod receivers;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use alerting::template::Prelude;
use arc_swap::ArcSwap;
use futures::StreamExt as _;
use model::Timestamp;
use plugin::{Host, Instance, Kind, PluginConfig, PluginError};
use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

pub(crate) use self::collectors::PluginCollector;
pub(crate) use self::columns::{ColumnsWriter, exposition, labels_of};
pub(crate) use self::discoverers::PluginDiscoverer;
pub(crate) use self::functions::{PluginFunctions, called};
use self::metrics::PluginGauges;
pub(crate) use self::receivers::PluginReceiver;

/// Plugins that start at one time, however many processors there are: each may hold a file of 32 MiB.
const STARTS_MAX: usize = 8;

/// One plugin that runs as it is configured.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) config: PluginConfig,
    pub(crate) instance: Arc<Instance>,
}

/// All plugins that run, by name.
pub(crate) type RunningSet = BTreeMap<String, Running>;

/// The plugins of the server.
pub(crate) struct Plugins {
    host: Arc<Host>,
    running: Arc<ArcSwap<RunningSet>>,
    /// Rung when another set is installed.
    installed: Notify,
}

impl Plugins {
    /// None run yet; `registry` gets what operators see of those that do.
    pub(crate) fn new(host: Arc<Host>, registry: &prometheus::Registry) -> prometheus::Result<Self> {
        let running = Arc::<ArcSwap<RunningSet>>::default();
        registry.register(Box::new(PluginGauges::new(Arc::clone(&running))?))?;
        Ok(Self { host, running, installed: Notify::new() })
    }

    /// Starts what is new or changed, and what is named to be renewed, and keeps all else; changes nothing yet. Several
    /// start at one time.
    ///
    /// # Errors
    /// Every plugin that cannot be started, by name, with the reason, in the order of the configuration.
    pub(crate) async fn prepare(
        &self,
        configs: &[PluginConfig],
        renew: Option<&str>,
    ) -> Result<RunningSet, Vec<(String, PluginError)>> {
        let current = self.running.load();
        let starts: Vec<_> = configs
            .iter()
            .map(|config| {
                let unchanged = current
                    .get(&config.name)
                    .filter(|running| running.config == *config && self.host.is_current(&running.instance))
                    .filter(|_| renew != Some(config.name.as_str()))
                    .map(|running| Arc::clone(&running.instance));
                start(Arc::clone(&self.host), config.clone(), unchanged)
            })
            .collect();
        let mut set = RunningSet::new();
        let mut errors = Vec::new();
        let mut started = futures::stream::iter(starts).buffered(starts_at_once());
        while let Some((config, instance)) = started.next().await {
            match instance {
                Ok(instance) => drop(set.insert(config.name.clone(), Running { config, instance })),
                Err(error) => errors.push((config.name, error)),
            }
        }
        if errors.is_empty() { Ok(set) } else { Err(errors) }
    }

    /// The plugin that runs under this name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Instance>> {
        Some(Arc::clone(&self.running.load().get(name)?.instance))
    }

    /// Makes a prepared set the current one.
    pub(crate) fn install(&self, set: RunningSet) {
        self.running.store(Arc::new(set));
        self.installed.notify_waiters();
    }

    /// Waits until files of running plugins have changed; gives the plugins' names.
    pub(crate) async fn changed(&self) -> Vec<String> {
        loop {
            let installed = self.installed.notified();
            let instances: Vec<_> =
                self.running.load().values().map(|running| Arc::clone(&running.instance)).collect();
            tokio::select! {
                changed = self.host.changed(&instances) => return changed,
                () = installed => {}
            }
        }
    }

    /// The current plugins of one kind.
    pub(crate) fn of_kind(&self, kind: Kind) -> Vec<Running> {
        self.running
            .load()
            .values()
            .filter(|running| running.instance.kinds().contains(&kind))
            .cloned()
            .collect()
    }

    /// The current receivers by name, for the dispatcher.
    /// `prelude` is what their texts may call.
    pub(crate) fn receivers(
        &self,
        prelude: Option<&Prelude>,
    ) -> HashMap<String, Arc<dyn alerting::Receiver>> {
        self.of_kind(Kind::Receiver)
            .into_iter()
            .map(|running| {
                let receiver: Arc<dyn alerting::Receiver> =
                    { Arc::new(PluginReceiver::new(running.instance, &running.config.config, prelude)) };
                (running.config.name, receiver)
            })
            .collect()
    }

    /// What operators see.
    pub(crate) fn describe(&self) -> PluginList {
        let plugins = self
            .running
            .load()
            .values()
            .map(|running| (running, running.instance.status()))
            .map(|(running, status)| PluginView {
                name: running.config.name.clone(),
                plugin: running.config.plugin.clone(),
                version: running.instance.info().version.clone(),
                description: running.instance.info().description.clone(),
                kinds: running.instance.kinds().iter().map(|kind| kind.as_str()).collect(),
                digest: running.instance.digest().to_owned(),
                grants: running.config.grants.clone(),
                limits: running.config.limits.clone(),
                state: status.state.as_str(),
                functions: running.instance.signatures().to_vec(),
                memory_bytes: status.memory_bytes,
                calls: status.calls,
                failures: status.failures,
                last_error: status.last_error.map(|error| ErrorView {
                    at: rfc3339(error.at),
                    operation: error.operation.as_str(),
                    kind: error.kind.as_str(),
                    message: error.message,
                    stderr: error.stderr,
                }),
            })
            .collect();
        PluginList { plugins }
    }
}

/// Starts a plugin, unless there is an instance to go on with.
async fn start(
    host: Arc<Host>,
    config: PluginConfig,
    unchanged: Option<Arc<Instance>>,
) -> (PluginConfig, Result<Arc<Instance>, PluginError>) {
    if let Some(instance) = unchanged {
        return (config, Ok(instance));
    }
    // A task of its own, so that guests of several plugins start on several processors.
    let wanted = config.clone();
    let task = AbortOnDropHandle::new(tokio::spawn(async move { host.start(wanted).await }));
    let instance = task.await.unwrap_or_else(|error| Err(PluginError::Host(format!("starting it: {error}"))));
    (config, instance)
}

/// How many plugins start at one time: one for each processor, and at least two, so that one that waits for a server as it
/// starts, or for its compiler, does not keep the next from going ahead. More would hold more files in memory and be no faster.
pub(crate) fn starts_at_once() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).clamp(2, STARTS_MAX)
}

/// The answer of `/api/v1/plugins`.
#[derive(Serialize)]
pub(crate) struct PluginList {
    plugins: Vec<PluginView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PluginView {
    name: String,
    plugin: String,
    version: String,
    description: String,
    kinds: Vec<&'static str>,
    digest: String,
    grants: plugin::Grants,
    limits: plugin::Limits,
    state: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    functions: Vec<plugin::Signature>,
    memory_bytes: u64,
    calls: u64,
    failures: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<ErrorView>,
}

#[derive(Serialize)]
struct ErrorView {
    at: String,
    operation: &'static str,
    kind: &'static str,
    message: String,
    stderr: String,
}

fn rfc3339(at: SystemTime) -> String {
    alerting::rfc3339_or_zero(Some(Timestamp::from_system(at)))
}
