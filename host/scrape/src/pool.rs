//! The targets of one job, or the one target of a collector, each with its worker.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{ConfigDuration, Labels, SCHEMA_MAX, SCHEMA_MIN, format_duration};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::Error;
use crate::client::HttpClient;
use crate::config::{GlobalConfig, Limits, ScrapeConfig, ValidationScheme};
use crate::failure_log::FailureLog;
use crate::families::Family;
use crate::fetch::{Collect, CollectorFetch, Fetch};
use crate::http::{BODY_BYTES_MAX, HttpFetch, accept};
use crate::ingest::Rules;
use crate::snapshot::{ActiveTarget, DroppedTarget};
use crate::target::{ADDRESS, HistogramChoice, Resolved, Target, TargetGroup, TargetKey};
use crate::worker::{Order, Plan, Shared, Status, Worker};

/// A plugin of the kind collector, scraped like a target.
#[derive(Clone)]
pub struct CollectorTarget {
    /// The name it is configured under; its job.
    pub name: String,
    /// The plugin's name; the instance, where `labels` has none.
    pub plugin: String,
    /// How often it is asked.
    pub interval: Duration,
    /// How long an answer may take; at most the interval.
    pub timeout: Duration,
    /// Further labels of its samples.
    pub labels: Labels,
    /// What an answer may hold.
    pub limits: Limits,
    /// Whom to ask.
    pub source: Arc<dyn Collect>,
}

/// What starting a worker takes.
pub(crate) struct Context<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) tasks: &'a TaskTracker,
    /// What tells this server's scrape times from others'.
    pub(crate) seed: u64,
}

struct Scraped {
    target: Target,
    orders: watch::Sender<Order>,
    status: Arc<Mutex<Status>>,
}

/// See the module.
pub(crate) struct Pool {
    name: String,
    rules: Arc<Rules>,
    /// Where failed scrapes are written to.
    failure_log: Option<Arc<FailureLog>>,
    scraped: HashMap<TargetKey, Scraped>,
    dropped: Vec<Labels>,
    dropped_count: u64,
}

impl Pool {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            rules: Arc::new(Rules::standard()),
            failure_log: None,
            scraped: HashMap::new(),
            dropped: Vec::new(),
            dropped_count: 0,
        }
    }

    /// Makes the pool scrape what `job` makes of `groups`. `job` has everything filled in that the global
    /// section decides.
    pub(crate) fn sync<'g>(
        &mut self,
        context: &Context<'_>,
        job: &ScrapeConfig,
        client: &Arc<HttpClient>,
        groups: impl Iterator<Item = &'g TargetGroup>,
    ) {
        let began = Instant::now();
        let mut targets = HashMap::new();
        self.dropped.clear();
        self.dropped_count = 0;
        let keep_dropped = job.keep_dropped_targets.unwrap_or_default();
        for (group, own) in groups.flat_map(|group| group.targets.iter().map(move |own| (group, own))) {
            match Target::resolve(job, group, own) {
                Ok(Resolved::Active(target)) => {
                    targets.entry(target.key()).or_insert(target);
                }
                Ok(Resolved::Dropped(labels)) => {
                    self.dropped_count += 1;
                    if keep_dropped == 0 || self.dropped_count <= keep_dropped {
                        self.dropped.push(labels);
                    }
                }
                Err(error) => {
                    context.shared.metrics.sync_failed(&self.name);
                    tracing::error!(job = self.name, group = group.source, %error, "labels make no target");
                }
            }
        }
        let limit = job.target_limit.unwrap_or_default();
        let count = targets.len();
        let refusal = (limit > 0 && count as u64 > limit)
            .then(|| format!("target_limit exceeded (number of targets: {count}, limit: {limit})"));
        if refusal.is_some() {
            context.shared.metrics.exceeded_target_limit.inc();
        }
        let log = job.scrape_failure_log_file.as_deref().filter(|path| !path.is_empty());
        if self.failure_log.as_ref().map(|log| log.path()) != log.map(Path::new) {
            self.failure_log = log.map(|path| Arc::new(FailureLog::new(path, &self.name)));
        }
        self.set_rules(Rules {
            honor_labels: job.honor_labels,
            honor_timestamps: job.honor_timestamps,
            track_timestamps_staleness: job.track_timestamps_staleness,
            metric_relabel_configs: job.metric_relabel_configs.clone(),
            histograms: HistogramChoice {
                native: job.scrape_native_histograms.unwrap_or_default(),
                classic: job.always_scrape_classic_histograms.unwrap_or_default(),
                convert: job.convert_classic_histograms_to_nhcb.unwrap_or_default(),
            },
            schema_max: schema_of(job.native_histogram_min_bucket_factor),
            legacy_names: job.metric_name_validation_scheme == Some(ValidationScheme::Legacy),
            extra_metrics: job.extra_scrape_metrics.unwrap_or_default(),
            created_as_starts: job.created_as_starts,
            limits: job.limits(&GlobalConfig::default()),
        });
        let accept = accept(job);
        self.run(
            context,
            targets,
            |target| (Arc::new(HttpFetch::new(client, job, &accept, target)), refusal.clone()),
            |worker| {
                let handle = context.shared.loops.of(worker.hash);
                drop(context.tasks.spawn_on(worker.run(), &handle));
            },
        );
        context.shared.metrics.synced(&self.name, began.elapsed(), count, limit);
    }

    /// Makes the pool scrape a collector.
    pub(crate) fn sync_collector(&mut self, context: &Context<'_>, collector: &CollectorTarget) {
        let mut discovered = collector.labels.to_builder();
        discovered.set("job", &collector.name);
        if discovered.get("instance").is_none() {
            discovered.set("instance", &collector.plugin);
        }
        let labels = discovered.build();
        let target = Target {
            discovered: labels.with(ADDRESS, &collector.plugin),
            labels,
            url: format!("plugin://{}/{}", collector.plugin, collector.name),
            interval: collector.interval,
            timeout: collector.timeout.min(collector.interval),
            unix_socket: None,
            // Whoever writes a plugin decides what it yields.
            histograms: HistogramChoice { native: true, classic: false, convert: false },
        };
        self.set_rules(Rules {
            histograms: target.histograms,
            limits: collector.limits,
            ..Rules::standard()
        });
        let fetch = Arc::new(CollectorFetch {
            name: collector.name.clone(),
            source: Arc::clone(&collector.source),
            body_bytes_max: BODY_BYTES_MAX,
        });
        self.run(
            context,
            HashMap::from([(target.key(), target)]),
            |_| (fetch.clone(), None),
            |worker| drop(context.tasks.spawn(worker.run())),
        );
    }

    /// Ends all workers and marks their series stale.
    pub(crate) fn remove(self) {
        self.end(&Order::Remove);
    }

    /// Ends all workers and leaves their series as they are.
    pub(crate) fn stop(self) {
        self.end(&Order::Stop);
    }

    pub(crate) fn target_count(&self) -> usize {
        self.scraped.len()
    }

    pub(crate) const fn dropped_count(&self) -> u64 {
        self.dropped_count
    }

    pub(crate) fn active(&self) -> impl Iterator<Item = ActiveTarget> {
        self.scraped.values().map(|scraped| {
            let target = &scraped.target;
            let status = scraped.status.lock().clone();
            ActiveTarget {
                discovered_labels: target.discovered.clone(),
                labels: target.labels.clone(),
                scrape_pool: self.name.clone(),
                scrape_url: target.url.clone(),
                global_url: target.url.clone(),
                last_error: status.last_error,
                last_scrape: status.last_scrape,
                last_scrape_duration: status.last_duration.as_secs_f64(),
                health: status.health,
                scrape_interval: format_duration(target.interval),
                scrape_timeout: format_duration(target.timeout),
            }
        })
    }

    pub(crate) fn families(&self) -> impl Iterator<Item = (Labels, Arc<[Arc<Family>]>)> {
        self.scraped
            .values()
            .map(|scraped| (scraped.target.labels.clone(), Arc::clone(&scraped.status.lock().families)))
    }

    pub(crate) fn dropped(&self) -> impl Iterator<Item = DroppedTarget> {
        self.dropped
            .iter()
            .map(|labels| DroppedTarget { discovered_labels: labels.clone(), scrape_pool: self.name.clone() })
    }

    fn set_rules(&mut self, rules: Rules) {
        if *self.rules != rules {
            self.rules = Arc::new(rules);
        }
    }

    /// What is done with a target's answers: what is done with the job's, unless its labels say otherwise.
    fn rules_of(&self, target: &Target, others: &mut HashMap<HistogramChoice, Arc<Rules>>) -> Arc<Rules> {
        if target.histograms == self.rules.histograms {
            return Arc::clone(&self.rules);
        }
        let other = others.entry(target.histograms);
        let rules = || Arc::new(Rules { histograms: target.histograms, ..Rules::clone(&self.rules) });
        Arc::clone(other.or_insert_with(rules))
    }

    /// Starts workers for new targets, gives a new plan to those that stay, ends the rest.
    fn run(
        &mut self,
        context: &Context<'_>,
        targets: HashMap<TargetKey, Target>,
        plan_of: impl Fn(&Target) -> (Arc<dyn Fetch>, Option<String>),
        start: impl Fn(Worker),
    ) {
        let gone = self.scraped.extract_if(|key, _| !targets.contains_key(key));
        for (_, scraped) in gone {
            scraped.orders.send_replace(Order::Remove);
        }
        let mut others = HashMap::new();
        for (key, target) in targets {
            let (fetch, refusal) = plan_of(&target);
            let rules = self.rules_of(&target, &mut others);
            let plan = Arc::new(Plan {
                fetch,
                rules: Arc::clone(&rules),
                failure_log: self.failure_log.clone(),
                interval: target.interval,
                timeout: target.timeout,
                refusal,
            });
            let running = self.scraped.get_mut(&key).filter(|scraped| !scraped.orders.is_closed());
            if let Some(scraped) = running {
                scraped.orders.send_replace(Order::Run(plan));
                scraped.target = target;
                continue;
            }
            let (orders, received) = watch::channel(Order::Run(plan));
            let status = Arc::new(Mutex::new(Status::default()));
            let shared = Arc::clone(context.shared);
            let worker = Worker::new(shared, &target, context.seed, rules, received, Arc::clone(&status));
            start(worker);
            self.scraped.insert(key, Scraped { target, orders, status });
        }
    }

    fn end(self, order: &Order) {
        for scraped in self.scraped.into_values() {
            scraped.orders.send_replace(order.clone());
        }
    }
}

/// The finest schema whose buckets' upper bounds are at least `factor` times their lower ones.
fn schema_of(factor: f64) -> i8 {
    if factor <= 1.0 {
        return SCHEMA_MAX;
    }
    let schema = (-factor.log2().log2()).floor();
    schema.clamp(f64::from(SCHEMA_MIN), f64::from(SCHEMA_MAX)) as i8
}

impl CollectorTarget {
    /// Checks what a target of a job is checked for as well.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        if self.name.is_empty() || self.interval.is_zero() || self.timeout.is_zero() {
            let interval = String::from(ConfigDuration(self.interval));
            return Err(Error::Config(format!(
                "collector {:?} needs a name, an interval and a timeout above zero (interval: {interval})",
                self.name
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_factor_between_bounds_chooses_the_schema() {
        for (factor, schema) in
            [(0.0, 8), (1.0, 8), (1.002, 8), (1.1, 2), (1.5, 0), (2.0, 0), (4.0, -1), (1e9, -4)]
        {
            assert_eq!(schema_of(factor), schema, "{factor}");
        }
    }
}
