//! The server: its parts, how they start, how a configuration is applied, how they stop.
//!
//! Parts are started in the order in which they depend on each other and stopped in reverse: nothing that brings
//! samples outlives storage. A configuration is applied whole: whatever can fail comes before the first change.

mod tasks;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use alerting::{Dispatcher, DispatcherOptions, RuleManager, RuleManagerOptions};
use anyhow::Context as _;
use arc_swap::ArcSwap;
use model::{Append, Labels};
use parking_lot::Mutex;
use plugin::{Host, HostOptions, Kind};
use prometheus::{IntGauge, Registry};
use scrape::{CollectorTarget, Discoverer};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use traces::{SpanMetrics, SpanMetricsOptions, TraceOptions, TraceStore};
use tsdb::{Options, RealFileSystem, SystemClock, Tsdb};

use crate::api::HttpMetrics;
use crate::cli::{ServerArgs, WalSync};
use crate::config::{self, Loaded};
use crate::detectors::Detector;
use crate::ingest::IngestMetrics;
use crate::otlp;
use crate::plugins::{PluginCollector, PluginDiscoverer, Plugins, RunningSet};
use crate::queries::Queries;
use crate::self_metrics::StorageGauges;
use crate::spans::SpanIntake;
use crate::storage::Storage;

/// How long written data may stay with the operating system where every write is not synced.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// A segment of spans is closed at this size; replaying an open one takes well below a second.
const TRACE_SEGMENT_BYTES: u64 = 64 << 20;

/// The running server.
pub(crate) struct App {
    pub(crate) args: ServerArgs,
    pub(crate) started: SystemTime,
    pub(crate) registry: Registry,
    pub(crate) http_metrics: HttpMetrics,
    pub(crate) ingest: IngestMetrics,
    pub(crate) storage: Storage,
    pub(crate) queries: Arc<Queries>,
    pub(crate) spans: Arc<SpanIntake>,
    pub(crate) otlp: Arc<otlp::Receiver>,
    pub(crate) plugins: Plugins,
    pub(crate) scrape: scrape::Manager,
    pub(crate) rules: RuleManager,
    dispatcher: Arc<Dispatcher>,
    detectors: Mutex<Detectors>,
    config: ArcSwap<Loaded>,
    last_reload: ArcSwap<Reload>,
    /// Held while a configuration is applied.
    reloading: tokio::sync::Mutex<()>,
    gauges: StorageGauges,
    reload_success: IntGauge,
    ready: AtomicBool,
    /// Cancelled when the server is to stop.
    pub(crate) stopping: CancellationToken,
}

/// How the latest reload went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reload {
    pub(crate) success: bool,
    pub(crate) at: SystemTime,
}

/// The detectors that run, and what stops them.
#[derive(Default)]
struct Detectors {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// Reads the configuration that the command line names.
fn load(args: &ServerArgs) -> anyhow::Result<Loaded> {
    let loaded = match &args.config_file {
        Some(path) => config::load(path, &args.plugins_dir),
        None => config::embedded(&args.web_listen.to_string(), &args.plugins_dir),
    };
    Ok(loaded?)
}

impl App {
    /// Opens storage, starts every part and applies the configuration.
    pub(crate) async fn start(args: ServerArgs) -> anyhow::Result<Arc<Self>> {
        let loaded = load(&args).context("load the configuration")?;
        let registry = Registry::new();
        let reload_success = register_process(&registry)?;
        let http_metrics = HttpMetrics::register(&registry)?;
        let ingest = IngestMetrics::register(&registry)?;
        let gauges = StorageGauges::register(&registry)?;

        let (storage, store) = open_storage(&args).await?;
        let append: Arc<dyn Append> = Arc::new(storage.clone());
        let metrics = SpanMetrics::new(SpanMetricsOptions::tempo()).context("set up span metrics")?;
        let spans = Arc::new(SpanIntake { store, metrics });
        let queries = Arc::new(Queries::new(&args, storage.clone(), &registry)?);
        let receiver =
            otlp::Receiver::new(Arc::clone(&append), Arc::clone(&spans), ingest.clone(), &registry)?;
        let host = Host::new(HostOptions {
            plugins_dir: args.plugins_dir.clone(),
            cache_dir: Some(args.storage_path.join("plugin-cache")),
            registry: &registry,
        })
        .context("set up the plugin host")?;
        let external_url = args.external_url.clone().unwrap_or_else(|| format!("http://{}", args.web_listen));
        let external_url = external_url.trim_end_matches('/').to_owned();
        let dispatcher = Arc::new(Dispatcher::new(
            alerting::config::Config::blackhole(),
            std::collections::HashMap::new(),
            DispatcherOptions {
                external_url: external_url.clone(),
                state_file: Some(args.storage_path.join("alerts.json")),
                clock: Arc::new(alerting::SystemClock),
            },
            &registry,
        )?);
        let rules = RuleManager::new(
            RuleManagerOptions::new(external_url, loaded.global.external_labels.clone()),
            Arc::clone(&queries) as Arc<dyn alerting::Query>,
            Arc::clone(&append),
            Arc::clone(&dispatcher) as Arc<dyn alerting::AlertSink>,
            Arc::new(alerting::SystemClock),
            &registry,
        )?;
        let scrape = scrape::Manager::new(append, &registry)?;
        let now = SystemTime::now();
        let app = Arc::new(Self {
            args,
            started: now,
            registry,
            http_metrics,
            ingest,
            storage,
            queries,
            spans,
            otlp: Arc::new(receiver),
            plugins: Plugins::new(host),
            scrape,
            rules,
            dispatcher,
            detectors: Mutex::default(),
            config: ArcSwap::from_pointee(loaded.clone()),
            last_reload: ArcSwap::from_pointee(Reload { success: true, at: now }),
            reloading: tokio::sync::Mutex::default(),
            gauges,
            reload_success,
            ready: AtomicBool::new(false),
            stopping: CancellationToken::new(),
        });
        app.apply(loaded).await?;
        app.ready.store(true, Ordering::Release);
        Ok(app)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub(crate) fn config(&self) -> Arc<Loaded> {
        self.config.load_full()
    }

    pub(crate) fn last_reload(&self) -> Reload {
        **self.last_reload.load()
    }

    /// Asks the server to stop.
    pub(crate) fn stop(&self) {
        self.stopping.cancel();
    }

    /// Reads the configuration again and applies it; after an error everything is as it was.
    pub(crate) async fn reload(&self) -> anyhow::Result<()> {
        let result = match load(&self.args) {
            Ok(loaded) => self.apply(loaded).await,
            Err(error) => Err(error),
        };
        let success = result.is_ok();
        self.reload_success.set(i64::from(success));
        self.last_reload.store(Arc::new(Reload { success, at: SystemTime::now() }));
        match &result {
            Ok(()) => tracing::info!("configuration reloaded"),
            Err(error) => tracing::error!("reload the configuration: {error:#}"),
        }
        result
    }

    async fn apply(&self, loaded: Loaded) -> anyhow::Result<()> {
        let _one_at_a_time = self.reloading.lock().await;
        let running = self.plugins.prepare(&loaded.plugins).await.map_err(|errors| {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("start plugins: {}", lines.join("\n"))
        })?;
        check_kinds(&loaded, &running)?;
        // The first step that can still fail changes nothing where it does.
        self.scrape.apply(&loaded.global, &loaded.scrape_configs)?;
        self.plugins.install(running);
        self.scrape.set_collectors(&self.collectors())?;
        self.scrape.set_discoverers(self.discoverers());
        let routes = loaded.alertmanager.clone().unwrap_or_else(alerting::config::Config::blackhole);
        self.dispatcher.apply(routes, self.plugins.receivers())?;
        let interval = loaded.global.evaluation_interval.0;
        self.rules.apply(loaded.rules.clone(), interval, Duration::ZERO).await?;
        self.restart_detectors().await;
        self.config.store(Arc::new(loaded));
        Ok(())
    }

    fn collectors(&self) -> Vec<CollectorTarget> {
        self.plugins
            .of_kind(Kind::Collector)
            .into_iter()
            .map(|running| CollectorTarget {
                name: running.config.name.clone(),
                plugin: running.config.plugin.clone(),
                interval: running.config.interval.0,
                timeout: running.config.limits.deadline.0.min(running.config.interval.0),
                labels: Labels::empty(),
                // The host has already bounded what a plugin may yield.
                limits: scrape::config::Limits::NONE,
                source: Arc::new(PluginCollector(running.instance)),
            })
            .collect()
    }

    fn discoverers(&self) -> Vec<Discoverer> {
        self.plugins
            .of_kind(Kind::Discoverer)
            .into_iter()
            .map(|running| Discoverer {
                name: running.config.name.clone(),
                interval: running.config.interval.0,
                source: Arc::new(PluginDiscoverer(running.instance)),
            })
            .collect()
    }

    async fn restart_detectors(&self) {
        let previous = std::mem::take(&mut *self.detectors.lock());
        previous.end().await;
        let mut detectors = Detectors::default();
        for running in self.plugins.of_kind(Kind::Detector) {
            let Some(config) = running.config.detect.clone() else { continue };
            let detector = Detector {
                name: running.config.name.clone(),
                interval: running.config.interval.0,
                config,
                instance: running.instance,
                queries: Arc::clone(&self.queries),
                storage: Arc::new(self.storage.clone()),
            };
            detectors.tasks.push(tokio::spawn(detector.run(detectors.stop.clone())));
        }
        *self.detectors.lock() = detectors;
    }

    /// Brings the gauges that mirror storage up to date.
    pub(crate) fn refresh_gauges(&self) {
        self.gauges.set(&self.storage.tsdb().stats(), &self.spans.store.stats());
    }

    /// Stops every part, each after those that depend on it.
    pub(crate) async fn shut_down(&self) {
        self.ready.store(false, Ordering::Release);
        self.scrape.stop().await;
        let detectors = std::mem::take(&mut *self.detectors.lock());
        detectors.end().await;
        self.rules.stop().await;
        if let Err(error) = self.dispatcher.stop().await {
            tracing::error!(%error, "alert state was not saved");
        }
        let (storage, spans) = (self.storage.clone(), Arc::clone(&self.spans));
        let closed = tokio::task::spawn_blocking(move || tasks::close(&storage, &spans)).await;
        if let Err(error) = closed {
            tracing::error!(%error, "storage was not closed cleanly");
        }
    }
}

impl Detectors {
    async fn end(self) {
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a detector ended unexpectedly");
            }
        }
    }
}

/// Every plugin is of the kind that it is used as.
fn check_kinds(loaded: &Loaded, running: &RunningSet) -> anyhow::Result<()> {
    let of_kind =
        |name: &str, kind: Kind| running.get(name).is_some_and(|r| r.instance.kinds().contains(&kind));
    for config in &loaded.plugins {
        if config.detect.is_some() && !of_kind(&config.name, Kind::Detector) {
            anyhow::bail!("plugin {:?} has a section `detect` but is no detector", config.name);
        }
        if config.detect.is_none() && of_kind(&config.name, Kind::Detector) {
            anyhow::bail!(
                "plugin {:?} is a detector and needs a section `detect` with an `expr`",
                config.name
            );
        }
    }
    for job in &loaded.scrape_configs {
        for discovery in &job.plugin_sd_configs {
            if !of_kind(&discovery.plugin, Kind::Discoverer) {
                anyhow::bail!("job {:?}: plugin {:?} is no discoverer", job.job_name, discovery.plugin);
            }
        }
    }
    for (name, plugins) in loaded.alertmanager.iter().flat_map(|config| &config.receivers) {
        for plugin in plugins {
            if !of_kind(&plugin.plugin, Kind::Receiver) {
                anyhow::bail!("receiver {name:?}: plugin {:?} is no receiver", plugin.plugin);
            }
        }
    }
    Ok(())
}

/// The process' own metrics, and the one that says whether the latest reload went well.
fn register_process(registry: &Registry) -> prometheus::Result<IntGauge> {
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    let info = IntGauge::with_opts(
        prometheus::Opts::new("stormglass_build_info", "Constant 1, labelled with what was built.")
            .const_label("version", env!("CARGO_PKG_VERSION")),
    )?;
    info.set(1);
    registry.register(Box::new(info))?;
    let success = IntGauge::new(
        "stormglass_config_last_reload_successful",
        "Whether the latest attempt to apply a configuration went well.",
    )?;
    success.set(1);
    registry.register(Box::new(success.clone()))?;
    Ok(success)
}

async fn open_storage(args: &ServerArgs) -> anyhow::Result<(Storage, TraceStore)> {
    let path = args.storage_path.clone();
    let retention = args.retention.0;
    let always = args.wal_sync == WalSync::Always;
    tokio::task::spawn_blocking(move || {
        let wal_sync = if always { tsdb::WalSync::Always } else { tsdb::WalSync::Interval(SYNC_INTERVAL) };
        let options = Options { wal_sync, retention: Some(retention), ..Options::prometheus() };
        let tsdb = Tsdb::open(path.join("metrics"), options, Arc::new(RealFileSystem), Arc::new(SystemClock))
            .with_context(|| format!("open the metrics in {}", path.display()))?;
        report_recovery(&tsdb, &path);
        let sync = if always { traces::Sync::Always } else { traces::Sync::Interval(SYNC_INTERVAL) };
        let options = TraceOptions { retention, segment_bytes_max: TRACE_SEGMENT_BYTES, sync };
        let store = TraceStore::open(path.join("traces"), options)
            .with_context(|| format!("open the traces in {}", path.display()))?;
        Ok((Storage::new(Arc::new(tsdb)), store))
    })
    .await
    .context("open storage")?
}

/// Says what a start has found, loudly only where something was lost.
fn report_recovery(tsdb: &Tsdb, path: &Path) {
    let recovery = tsdb.recovery();
    for corruption in &recovery.corruptions {
        tracing::error!("{corruption}; the file was set aside");
    }
    tracing::info!(
        path = %path.display(),
        samples = recovery.samples,
        blocks = recovery.blocks,
        torn_bytes = recovery.torn_bytes,
        "opened storage"
    );
}

pub(crate) use tasks::spawn as spawn_tasks;
