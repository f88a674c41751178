//! The manager: one pool for each job and each collector, one task for each discoverer.
//!
//! A reload touches only what it changes. A target that stays (same labels, same URL) keeps its worker with all
//! that it remembers, whatever else of its job changes, so that no scrape is lost and no series breaks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use model::{Append, Labels, Timestamp};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::Error;
use crate::client::HttpClient;
use crate::config::{self, FileSdConfig, GlobalConfig, HttpSdConfig, ScrapeConfig};
use crate::discovery::file::FileDiscovery;
use crate::discovery::http::HttpDiscovery;
use crate::discovery::{self, Discover, Discoverer};
use crate::families::{Families, Family};
use crate::loops::Loops;
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
    /// Jobs whose targets are found and not scraped.
    sought: BTreeMap<String, ScrapeConfig>,
    collectors: BTreeMap<String, Pool>,
    discoverers: HashMap<String, Discovering>,
    /// The latest groups of each discoverer.
    groups: HashMap<String, Vec<TargetGroup>>,
    stopped: bool,
}

/// A discoverer's task.
struct Discovering {
    orders: watch::Sender<Discoverer>,
    /// What it is configured with, if it is one of our own.
    own: Option<OwnConfig>,
}

/// The configuration of a discoverer that needs no plugin.
#[derive(Clone, PartialEq)]
enum OwnConfig {
    File(FileSdConfig),
    Http(Box<HttpSdConfig>),
}

struct Job {
    /// With everything filled in that the global section decides.
    config: ScrapeConfig,
    /// The names of the discoverers that find its targets.
    sources: Vec<String>,
    client: Arc<HttpClient>,
    static_groups: Vec<TargetGroup>,
    pool: Pool,
}

impl Manager {
    /// A manager that scrapes nothing yet, on threads of its own. Its metrics go to `registry`.
    ///
    /// # Errors
    /// [`Error::Metrics`] where `registry` has them already, [`Error::Threads`] where the system gives no threads.
    pub fn new(storage: Arc<dyn Append>, registry: &prometheus::Registry) -> Result<Self, Error> {
        let clock: Clock = Arc::new(|| Timestamp::from_system(SystemTime::now()));
        Self::start(storage, registry, clock, Loops::start().map_err(Error::Threads)?)
    }

    /// The same with a wall clock of one's own, on the threads of the runtime that it is used in.
    ///
    /// # Errors
    /// As [`Manager::new`].
    pub fn with_clock(
        storage: Arc<dyn Append>,
        registry: &prometheus::Registry,
        clock: Clock,
    ) -> Result<Self, Error> {
        Self::start(storage, registry, clock, Loops::default())
    }

    fn start(
        storage: Arc<dyn Append>,
        registry: &prometheus::Registry,
        clock: Clock,
        loops: Loops,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            storage,
            metrics: Metrics::register(registry)?,
            families: Arc::new(Families::new()),
            clock,
            loops,
        });
        let state = Mutex::new(State::default());
        Ok(Self(Arc::new(Inner { shared, tasks: TaskTracker::new(), state })))
    }

    /// Makes `jobs` the ones that are scraped, all of them or, after an error, those from before.
    ///
    /// # Errors
    /// [`Error::Job`]: what [`config::check`] finds, or [`Error::File`] and [`Error::Connections`] where
    /// something is not there that connections need.
    pub fn apply(&self, global: &GlobalConfig, jobs: &[ScrapeConfig]) -> Result<(), Error> {
        self.apply_with(global, jobs, &[])
    }

    /// The same, and finds the targets of `sought`, which nobody scrapes: [`Manager::groups_of`] tells them.
    ///
    /// # Errors
    /// As [`Manager::apply`].
    pub fn apply_with(
        &self,
        global: &GlobalConfig,
        jobs: &[ScrapeConfig],
        sought: &[ScrapeConfig],
    ) -> Result<(), Error> {
        let applied = self.try_apply(global, jobs, sought);
        if applied.is_err() {
            self.0.shared.metrics.reloads_failed.inc();
        }
        applied
    }

    fn try_apply(
        &self,
        global: &GlobalConfig,
        jobs: &[ScrapeConfig],
        sought: &[ScrapeConfig],
    ) -> Result<(), Error> {
        config::check(global, jobs)?;
        let mut state = self.0.state.lock();
        // Everything that can fail comes before the first change.
        let mut wanted = Vec::with_capacity(jobs.len());
        let mut own = Vec::new();
        for job in jobs {
            let config = job.resolved(global);
            let of_job = |error: Error| error.of_job(&config.job_name);
            let same = |old: &&Job| {
                old.config.http == config.http && old.config.enable_compression == config.enable_compression
            };
            let client = match state.jobs.get(&config.job_name).filter(same) {
                Some(old) => Arc::clone(&old.client),
                None => Arc::new(HttpClient::new(&config.http, config.enable_compression).map_err(of_job)?),
            };
            self.own_discoverers(&config, &state, &mut own).map_err(of_job)?;
            wanted.push((config, client));
        }
        for job in sought {
            let of_job = |error: Error| error.of_job(&job.job_name);
            self.own_discoverers(job, &state, &mut own).map_err(of_job)?;
        }
        if state.stopped {
            return Ok(());
        }
        state.seed = seed_of(global);
        state.sought = sought.iter().map(|job| (job.job_name.clone(), job.clone())).collect();
        let mut before = std::mem::take(&mut state.jobs);
        for (config, client) in wanted {
            let name = config.job_name.clone();
            let old = before.remove(&name);
            let same = old.as_ref().is_some_and(|old| old.config == config);
            match old {
                Some(_) if same => {}
                Some(_) => self.0.shared.metrics.reloads.inc(),
                None => self.0.shared.metrics.pool_made(),
            }
            let static_groups = static_groups(&config);
            let sources = config.sources();
            let pool = old.map_or_else(|| Pool::new(&name), |old| old.pool);
            let mut job = Job { config, sources, client, static_groups, pool };
            if !same {
                self.0.sync(&mut job, &state);
            }
            state.jobs.insert(name, job);
        }
        for (name, job) in before {
            job.pool.remove();
            self.0.shared.metrics.forget_job(&name);
            self.0.shared.metrics.discovery.forget_job(&name);
        }
        let names: HashSet<&str> = own.iter().map(|(discoverer, _)| discoverer.name.as_str()).collect();
        let is_gone = |(name, running): (&String, &Discovering)| {
            (running.own.is_some() && !names.contains(name.as_str())).then(|| name.clone())
        };
        let gone: Vec<String> = state.discoverers.iter().filter_map(is_gone).collect();
        gone.iter().for_each(|name| self.0.forget_discoverer(&mut state, name));
        for (discoverer, config) in own {
            self.0.discover(&mut state, discoverer, Some(config));
        }
        self.0.count(&state);
        Ok(())
    }

    /// The discoverers of a job that need no plugin. One that is configured as before is left as it is.
    fn own_discoverers(
        &self,
        job: &ScrapeConfig,
        state: &State,
        own: &mut Vec<(Discoverer, OwnConfig)>,
    ) -> Result<(), Error> {
        let running = |name: &str, config: &OwnConfig| {
            let found = state.discoverers.get(name).filter(|running| running.own.as_ref() == Some(config));
            found.map(|running| Arc::clone(&running.orders.borrow().source))
        };
        for (at, sd) in job.file_sd_configs.iter().enumerate() {
            let (name, config) = (job.source("file", at), OwnConfig::File(sd.clone()));
            let source = running(&name, &config)
                .unwrap_or_else(|| Arc::new(FileDiscovery::new(sd, &self.0.shared)) as Arc<dyn Discover>);
            let interval = sd.refresh_interval.0;
            own.push((Discoverer { name, mechanism: "file".to_owned(), interval, source }, config));
        }
        for (at, sd) in job.http_sd_configs.iter().enumerate() {
            let (name, config) = (job.source("http", at), OwnConfig::Http(Box::new(sd.clone())));
            let source = match running(&name, &config) {
                Some(source) => source,
                None => Arc::new(HttpDiscovery::new(sd)?),
            };
            let interval = sd.refresh_interval.0;
            own.push((Discoverer { name, mechanism: "http".to_owned(), interval, source }, config));
        }
        Ok(())
    }

    /// What has been found for a job that is only sought, before relabelling; nothing where there is none of that name.
    pub fn groups_of(&self, sought: &str) -> Vec<TargetGroup> {
        let state = self.0.state.lock();
        let Some(job) = state.sought.get(sought) else { return Vec::new() };
        let mut groups = static_groups(job);
        for source in job.sources() {
            groups.extend(state.groups.get(&source).into_iter().flatten().cloned());
        }
        groups
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
        let is_gone = |(name, running): (&String, &Discovering)| {
            (running.own.is_none() && !names.contains(name)).then(|| name.clone())
        };
        let mut gone: Vec<String> = state.discoverers.iter().filter_map(is_gone).collect();
        // Groups may have been set by a name that no task has.
        let set = state
            .groups
            .keys()
            .filter(|name| !names.contains(*name) && !state.discoverers.contains_key(*name));
        gone.extend(set.cloned().collect::<Vec<_>>());
        for discoverer in discoverers {
            self.0.discover(&mut state, discoverer, None);
        }
        for name in gone {
            self.0.forget_discoverer(&mut state, &name);
        }
        self.0.count(&state);
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

    /// What each target has declared of its metrics, by the target's labels.
    pub fn families(&self) -> Vec<(Labels, Arc<[Arc<Family>]>)> {
        let state = self.0.state.lock();
        let jobs = state.jobs.values().map(|job| &job.pool);
        let mut families: Vec<_> = jobs.chain(state.collectors.values()).flat_map(Pool::families).collect();
        families.sort_by(|a, b| a.0.cmp(&b.0));
        families
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

    /// Starts a discoverer, or lets its task go on with what is configured now.
    fn discover(self: &Arc<Self>, state: &mut State, discoverer: Discoverer, own: Option<OwnConfig>) {
        if let Some(running) = state.discoverers.get_mut(&discoverer.name) {
            let same = running.own.is_some() && running.own == own;
            running.own = own;
            if !same {
                running.orders.send_replace(discoverer);
            }
            return;
        }
        let name = discoverer.name.clone();
        let (orders, receiver) = watch::channel(discoverer);
        let inner: Weak<Self> = Arc::downgrade(self);
        let sink = Box::new(move |name: &str, groups: Vec<TargetGroup>| {
            if let Some(inner) = inner.upgrade() {
                inner.take_found(name, groups);
            }
        });
        self.tasks.spawn(discovery::run(Arc::clone(&self.shared), receiver, sink));
        state.discoverers.insert(name, Discovering { orders, own });
    }

    /// Ends a discoverer; its targets go with it.
    fn forget_discoverer(&self, state: &mut State, name: &str) {
        if let Some(gone) = state.discoverers.remove(name) {
            self.shared.metrics.discovery.forget(&gone.orders.borrow().mechanism, name);
        }
        if state.groups.remove(name).is_some() {
            self.sync_jobs_of(state, name);
        }
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
        self.sync_jobs_of(&mut state, discoverer);
        self.count(&state);
    }

    fn sync_jobs_of(&self, state: &mut State, discoverer: &str) {
        let mut jobs = std::mem::take(&mut state.jobs);
        for job in jobs.values_mut().filter(|job| job.sources.iter().any(|source| source == discoverer)) {
            self.sync(job, state);
        }
        state.jobs = jobs;
    }

    fn sync(&self, job: &mut Job, state: &State) {
        let found = job.sources.iter().filter_map(|source| state.groups.get(source));
        let groups: Vec<&TargetGroup> = job.static_groups.iter().chain(found.flatten()).collect();
        let count = groups.iter().map(|group| group.targets.len()).sum();
        self.shared.metrics.discovery.discovered(&job.config.job_name, count);
        job.pool.sync(&self.context(state), &job.config, &job.client, groups.into_iter());
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

pub(crate) fn static_groups(config: &ScrapeConfig) -> Vec<TargetGroup> {
    let groups = config.static_configs.iter().enumerate();
    groups
        .map(|(at, group)| TargetGroup {
            source: at.to_string(),
            targets: group
                .targets
                .iter()
                .map(|address| Labels::from_pairs([(ADDRESS, address.as_str())]))
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
