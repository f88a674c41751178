//! Sends alerts to Alertmanagers elsewhere, as the section `alerting` says.
//!
//! Each Alertmanager has a queue and a task of its own ([`queue`]), so that one that is slow or away keeps nothing from
//! the others. What does not arrive is not sent again from here: rules send again what still fires. Queues are bounded,
//! and the oldest alerts go when there are too many.

mod metrics;
mod queue;
mod target;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alerting::{Alert, AlertSink};
use parking_lot::Mutex;
use scrape::Manager;
use scrape::client::HttpClient;
use scrape::config::{AlertingConfig, AlertmanagerConfig, ScrapeConfig};
use scrape::relabel::{self, RelabelConfig};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::metrics::NotifierMetrics;
use self::queue::Queue;
pub(crate) use self::queue::QueueOptions;
use self::queue::Way;
use self::target::Found;

/// How often it is looked whether discovery has found other Alertmanagers, as often as Prometheus looks.
pub(crate) const DISCOVERY_INTERVAL: Duration = Duration::from_secs(5);

/// See the module.
pub(crate) struct Notifier {
    options: QueueOptions,
    metrics: NotifierMetrics,
    state: Mutex<State>,
    tasks: TaskTracker,
}

#[derive(Default)]
struct State {
    /// Rules for all alerts.
    relabel: Vec<RelabelConfig>,
    sets: Vec<Set>,
}

/// Alertmanagers that are reached alike.
struct Set {
    /// What discovery knows it as.
    name: String,
    config: AlertmanagerConfig,
    client: Arc<HttpClient>,
    /// By URL.
    queues: BTreeMap<String, Running>,
    /// URLs of those that relabelling dropped.
    dropped: Vec<String>,
}

struct Running {
    queue: Arc<Queue>,
    stop: CancellationToken,
}

/// What a configuration needs that may fail, made before anything is changed.
pub(crate) struct Prepared {
    config: AlertingConfig,
    clients: Vec<Arc<HttpClient>>,
}

/// The URLs of all Alertmanagers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Alertmanagers {
    pub(crate) active: Vec<String>,
    pub(crate) dropped: Vec<String>,
}

impl Notifier {
    /// One that knows no Alertmanagers yet. Must be used within a tokio runtime.
    pub(crate) fn new(options: QueueOptions, registry: &prometheus::Registry) -> prometheus::Result<Self> {
        let metrics = NotifierMetrics::register(registry)?;
        Ok(Self { options, metrics, state: Mutex::default(), tasks: TaskTracker::new() })
    }

    /// What discovery has to find: each set as a job that nobody scrapes.
    pub(crate) fn sought(config: &AlertingConfig) -> Vec<ScrapeConfig> {
        let sets = config.alertmanagers.iter().enumerate();
        sets.map(|(at, set)| set.as_job(&set_name(at))).collect()
    }

    /// Makes the connections that a configuration asks for, without using them yet.
    pub(crate) fn prepare(config: &AlertingConfig) -> Result<Prepared, scrape::Error> {
        let client = |config: &AlertmanagerConfig| HttpClient::new(&config.http, true).map(Arc::new);
        let clients = config.alertmanagers.iter().map(client).collect::<Result<_, _>>()?;
        Ok(Prepared { config: config.clone(), clients })
    }

    /// Puts a configuration in force. Alertmanagers that stay keep their queues.
    pub(crate) fn apply(&self, prepared: Prepared, discovery: &Manager) {
        let Prepared { config, clients } = prepared;
        {
            let mut state = self.state.lock();
            state.relabel = config.alert_relabel_configs;
            let mut before = std::mem::take(&mut state.sets);
            for (at, (config, client)) in config.alertmanagers.into_iter().zip(clients).enumerate() {
                let same = before.iter().position(|set| set.config == config);
                let mut set = match same {
                    Some(at) => before.swap_remove(at),
                    None => Set {
                        name: String::new(),
                        config,
                        client,
                        queues: BTreeMap::new(),
                        dropped: Vec::new(),
                    },
                };
                set.name = set_name(at);
                state.sets.push(set);
            }
            for running in before.into_iter().flat_map(|set| set.queues.into_values()) {
                self.end(&running);
            }
        }
        self.discover(discovery);
    }

    /// Takes over what discovery has found since it was last looked.
    pub(crate) fn discover(&self, discovery: &Manager) {
        let mut state = self.state.lock();
        let mut count = 0;
        for set in &mut state.sets {
            let groups = discovery.groups_of(&set.name);
            let found = target::find(&set.config, &groups);
            self.take(set, found);
            count += set.queues.len();
        }
        self.metrics.discovered.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    fn take(&self, set: &mut Set, found: Found) {
        set.dropped = found.dropped;
        set.queues.retain(|url, running| {
            let stays = found.active.contains(url);
            if !stays {
                self.end(running);
            }
            stays
        });
        for url in found.active {
            if set.queues.contains_key(&url) {
                continue;
            }
            let queue = Arc::new(Queue::new(url.clone(), self.options, self.metrics.clone()));
            let stop = CancellationToken::new();
            let way = Way {
                client: Arc::clone(&set.client),
                sigv4: set.config.sigv4.clone(),
                timeout: set.config.timeout.0,
            };
            self.tasks.spawn(Arc::clone(&queue).run(way, stop.clone()));
            set.queues.insert(url, Running { queue, stop });
        }
    }

    fn end(&self, running: &Running) {
        running.stop.cancel();
        self.metrics.forget(running.queue.url());
    }

    /// Who is told of alerts.
    pub(crate) fn alertmanagers(&self) -> Alertmanagers {
        let state = self.state.lock();
        Alertmanagers {
            active: state.sets.iter().flat_map(|set| set.queues.keys().cloned()).collect(),
            dropped: state.sets.iter().flat_map(|set| set.dropped.iter().cloned()).collect(),
        }
    }

    /// Stops sending; what waits is sent before, where that is asked for.
    pub(crate) async fn stop(&self, drain: bool) {
        for running in self.state.lock().sets.iter().flat_map(|set| set.queues.values()) {
            running.queue.close(drain);
        }
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl AlertSink for Notifier {
    fn put(&self, alerts: Vec<Alert>) {
        let state = self.state.lock();
        if state.sets.is_empty() {
            return;
        }
        let alerts = relabelled(&alerts, &state.relabel);
        for set in &state.sets {
            let rules = &set.config.alert_relabel_configs;
            let own = if rules.is_empty() { alerts.clone() } else { relabelled(&alerts, rules) };
            for running in set.queues.values() {
                running.queue.push(&own);
            }
        }
    }
}

/// What discovery knows a set of Alertmanagers as, as in Prometheus; no job's name has such a place in the file.
fn set_name(at: usize) -> String {
    format!("alertmanagers/{at}")
}

/// The alerts that rules leave, with the labels that they leave.
fn relabelled(alerts: &[Alert], rules: &[RelabelConfig]) -> Vec<Alert> {
    let keep = |alert: &Alert| {
        let labels = relabel::relabel(&alert.labels, rules).filter(|labels| !labels.is_empty())?;
        Some(Alert { labels, ..alert.clone() })
    };
    alerts.iter().filter_map(keep).collect()
}

/// Hands alerts on to the pipeline inside and to Alertmanagers elsewhere.
pub(crate) struct Both {
    pub(crate) inside: Arc<dyn AlertSink>,
    pub(crate) elsewhere: Arc<Notifier>,
}

impl AlertSink for Both {
    fn put(&self, alerts: Vec<Alert>) {
        self.elsewhere.put(alerts.clone());
        self.inside.put(alerts);
    }
}

#[cfg(test)]
mod tests;
