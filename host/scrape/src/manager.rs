//! The manager: one pool for each job and each collector, one task for each discoverer.
//!
//! A reload touches only what it changes. A target that stays (same labels, same URL) keeps its worker with all
//! that it remembers, whatever else of its job changes, so that no scrape is lost and no series breaks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use model::{Append, Timestamp};
use parking_lot::{Mutex, MutexGuard};
use reqwest::Client;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::Error;
use crate::config::{self, GlobalConfig, HttpConfig, ScrapeConfig};
use crate::discovery::{self, Discoverer};
use crate::http;
use crate::metrics::Metrics;
use crate::pool::{CollectorTarget, Context, Pool};
use crate::snapshot::Targets;
use crate::target::{ADDRESS, TargetGroup};
use crate::worker::{Clock, Shared};

/// Scrapes what it is told to, until it is stopped. Must be used within a Tokio runtime.
pub struct Manager(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Tells this server's scrape times from those of others with other external labels, so that a pair of
    /// servers does not hit a target at the same moment.
    seed: u64,
    jobs: BTreeMap<String, Job>,
    collectors: BTreeMap<String, Pool>,
    discoverers: HashMap<String, watch::Sender<Discoverer>>,
    /// The latest groups of each discoverer.
    groups: HashMap<String, Vec<TargetGroup>>,
    stopped: bool,
}

struct Job {
    /// With everything filled in that the global section decides.
    config: ScrapeConfig,
    http: HttpConfig,
    client: Client,
    static_groups: Vec<TargetGroup>,
    pool: Pool,
}

impl Manager {
    /// A manager that scrapes nothing yet. Its own metrics go to `registry`.
    ///
    /// # Errors
    /// [`Error::Metrics`] where `registry` has them already.
    pub fn new(storage: Arc<dyn Append>, registry: &prometheus::Registry) -> Result<Self, Error> {
        let clock: Clock = Arc::new(|| Timestamp::from_system(SystemTime::now()));
        Self::with_clock(storage, registry, clock)
    }

    /// The same, with a wall clock of one's own.
    ///
    /// # Errors
    /// As [`Manager::new`].
    pub fn with_clock(
        storage: Arc<dyn Append>,
        registry: &prometheus::Registry,
        clock: Clock,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared { storage, metrics: Metrics::register(registry)?, clock });
        let state = Mutex::new(State::default());
        Ok(Self(Arc::new(Inner { shared, tasks: TaskTracker::new(), state })))
    }

    /// Makes `jobs` the ones that are scraped, all of them or, after an error, those from before.
    ///
    /// # Errors
    /// [`Error::Job`]: what [`config::check`] finds, or [`Error::File`] and [`Error::Connections`] where
    /// something is not there that connections need.
    pub fn apply(&self, global: &GlobalConfig, jobs: &[ScrapeConfig]) -> Result<(), Error> {
        config::check(global, jobs)?;
        let mut state = self.0.state.lock();
        // Everything that can fail comes before the first change.
        let mut wanted = Vec::with_capacity(jobs.len());
        for job in jobs {
            let config = job.resolved(global);
            let http = config.http();
            let client = match state.jobs.get(&config.job_name) {
                // Files of certificates may have changed although their names have not.
                Some(old) if old.http == http && !http.tls_config.has_files() => old.client.clone(),
                _ => http::client(&http).map_err(|error| error.of_job(&config.job_name))?,
            };
            wanted.push((config, http, client));
        }
        if state.stopped {
            return Ok(());
        }
        state.seed = seed_of(global);
        let mut before = std::mem::take(&mut state.jobs);
        for (config, http, client) in wanted {
            let name = config.job_name.clone();
            let old = before.remove(&name);
            let same = old.as_ref().is_some_and(|old| old.config == config && old.http == http)
                && !http.tls_config.has_files();
            let static_groups = static_groups(&config);
            let pool = old.map_or_else(|| Pool::new(&name), |old| old.pool);
            let mut job = Job { config, http, client, static_groups, pool };
            if !same {
                self.0.sync(&mut job, &state);
            }
            state.jobs.insert(name, job);
        }
        before.into_values().for_each(|job| job.pool.remove());
        self.0.count(&state);
        Ok(())
    }

    /// Makes these the targets that the discoverer of that name has found.
    pub fn set_groups(&self, discoverer: &str, groups: Vec<TargetGroup>) {
        self.0.set_groups(discoverer, groups);
    }

    /// Makes these the collectors that are scraped. One that stays keeps its worker, even where its source is
    /// another one.
    ///
    /// # Errors
    /// [`Error::Config`] where one has no name, no interval, or another's name; nothing is changed then.
    pub fn set_collectors(&self, collectors: &[CollectorTarget]) -> Result<(), Error> {
        let mut names = HashSet::new();
        for collector in collectors {
            collector.validate()?;
            if !names.insert(collector.name.as_str()) {
                return Err(Error::Config(format!("found multiple collectors named {:?}", collector.name)));
            }
        }
        let mut state = self.0.state.lock();
        if state.stopped {
            return Ok(());
        }
        let mut before = std::mem::take(&mut state.collectors);
        for collector in collectors {
            let name = &collector.name;
            let mut pool = before.remove(name).unwrap_or_else(|| Pool::new(name));
            pool.sync_collector(&self.0.context(&state), collector);
            state.collectors.insert(name.clone(), pool);
        }
        before.into_values().for_each(Pool::remove);
        self.0.count(&state);
        Ok(())
    }

    /// Makes these the discoverers that are asked. The targets of one that is gone go with it.
    pub fn set_discoverers(&self, discoverers: Vec<Discoverer>) {
        let mut state = self.0.state.lock();
        if state.stopped {
            return;
        }
        let names: HashSet<String> = discoverers.iter().map(|d| d.name.clone()).collect();
        state.discoverers.retain(|name, _| names.contains(name));
        let gone: Vec<String> = state.groups.keys().filter(|name| !names.contains(*name)).cloned().collect();
        for discoverer in discoverers {
            match state.discoverers.get(&discoverer.name) {
                Some(running) => {
                    running.send_replace(discoverer);
                }
                None => {
                    let name = discoverer.name.clone();
                    let (sender, receiver) = watch::channel(discoverer);
                    let inner: Weak<Inner> = Arc::downgrade(&self.0);
                    let sink = Box::new(move |name: &str, groups: Vec<TargetGroup>| {
                        if let Some(inner) = inner.upgrade() {
                            inner.take_found(name, groups);
                        }
                    });
                    self.0.tasks.spawn(discovery::run(Arc::clone(&self.0.shared), receiver, sink));
                    state.discoverers.insert(name, sender);
                }
            }
        }
        drop(state);
        for name in gone {
            self.0.set_groups(&name, Vec::new());
        }
    }

    /// What is scraped right now.
    pub fn targets(&self) -> Targets {
        let state = self.0.state.lock();
        let jobs = state.jobs.iter().map(|(name, job)| (name, &job.pool));
        let pools: Vec<(&String, &Pool)> = jobs.chain(&state.collectors).collect();
        let mut active: Vec<_> = pools.iter().flat_map(|(_, pool)| pool.active()).collect();
        active.sort_by(|a, b| {
            (&a.scrape_pool, &a.labels, &a.scrape_url).cmp(&(&b.scrape_pool, &b.labels, &b.scrape_url))
        });
        Targets {
            active_targets: active,
            dropped_targets: pools.iter().flat_map(|(_, pool)| pool.dropped()).collect(),
            dropped_target_counts: pools
                .iter()
                .map(|(name, pool)| ((*name).clone(), pool.dropped_count()))
                .collect(),
        }
    }

    /// Stops scraping and discovering for good, and waits until nothing is under way. Series are not marked
    /// stale, so that a restart leaves no gap in them.
    pub async fn stop(&self) {
        {
            let mut state = self.0.state.lock();
            state.stopped = true;
            state.discoverers.clear();
            std::mem::take(&mut state.jobs).into_values().for_each(|job| job.pool.stop());
            std::mem::take(&mut state.collectors).into_values().for_each(Pool::stop);
        }
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Inner {
    fn context(&self, state: &State) -> Context<'_> {
        Context { shared: &self.shared, tasks: &self.tasks, seed: state.seed }
    }

    /// Takes what a discoverer's task has found, unless the discoverer has been removed meanwhile.
    fn take_found(&self, discoverer: &str, groups: Vec<TargetGroup>) {
        let state = self.state.lock();
        if state.discoverers.contains_key(discoverer) {
            self.replace_groups(state, discoverer, groups);
        }
    }

    fn set_groups(&self, discoverer: &str, groups: Vec<TargetGroup>) {
        self.replace_groups(self.state.lock(), discoverer, groups);
    }

    fn replace_groups(&self, mut state: MutexGuard<'_, State>, discoverer: &str, groups: Vec<TargetGroup>) {
        if state.stopped {
            return;
        }
        if groups.is_empty() {
            state.groups.remove(discoverer);
        } else {
            state.groups.insert(discoverer.to_owned(), groups);
        }
        let mut jobs = std::mem::take(&mut state.jobs);
        for job in jobs.values_mut() {
            if job.config.plugin_sd_configs.iter().any(|sd| sd.plugin == discoverer) {
                self.sync(job, &state);
            }
        }
        state.jobs = jobs;
        self.count(&state);
    }

    fn sync(&self, job: &mut Job, state: &State) {
        let found = job.config.plugin_sd_configs.iter().filter_map(|sd| state.groups.get(&sd.plugin));
        let groups = job.static_groups.iter().chain(found.flatten());
        job.pool.sync(&self.context(state), &job.config, &job.client, groups);
    }

    fn count(&self, state: &State) {
        let pools = state.jobs.values().map(|job| &job.pool).chain(state.collectors.values());
        let (mut pool_count, mut target_count) = (0, 0);
        for pool in pools {
            pool_count += 1;
            target_count += pool.target_count() as i64;
        }
        self.shared.metrics.pools.set(pool_count);
        self.shared.metrics.targets.set(target_count);
    }
}

fn static_groups(config: &ScrapeConfig) -> Vec<TargetGroup> {
    let groups = config.static_configs.iter().enumerate();
    groups
        .map(|(at, group)| TargetGroup {
            source: at.to_string(),
            targets: group
                .targets
                .iter()
                .map(|address| model::Labels::from_pairs([(ADDRESS, address.as_str())]))
                .collect(),
            labels: group.labels.clone(),
        })
        .collect()
}

fn seed_of(global: &GlobalConfig) -> u64 {
    let mut hasher = DefaultHasher::new();
    global.external_labels.as_encoded().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
