//! The server: its parts, how they start, how a configuration is applied, how they stop.
//!
//! Parts are started in the order in which they depend on each other and stopped in reverse: nothing that brings
//! samples outlives storage. A configuration is applied whole: whatever can fail comes before the first change.

mod tasks;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use alerting::{Dispatcher, DispatcherOptions, RuleManager, RuleManagerOptions, RuleSettings};
use anyhow::Context as _;
use arc_swap::ArcSwap;
use formats::remote_write;
use model::{Append, Labels, Timestamp};
use plugin::{Host, HostOptions, Kind};
use prometheus::{Gauge, IntGauge, Registry};
use remote::{RemoteRead, RemoteWrite, RemoteWriteOptions};
use scrape::{CollectorTarget, Discoverer};
use storage::Storage;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use traces::{SpanMetrics, SpanMetricsOptions, TraceOptions, TraceStore};
use tsdb::{Options, RealFileSystem, Retention, SystemClock, Tsdb};
use url::Url;

use crate::api::admission::Admission;
use crate::api::{COMPATIBLE_VERSION, HttpMetrics, PUSHES_MAX};
use crate::cli::{ServerArgs, WalSync};
use crate::config::{self, ConfigErrors, Loaded, Reached};
use crate::decoders::{Decoder, Decoders};
use crate::detectors::{Detector, Detectors};
use crate::features::Features;
use crate::ingest::IngestMetrics;
use crate::memory::{self, MemoryGuard};
use crate::notices::{Notices, RELOAD_FAILED, SHUTTING_DOWN};
use crate::notifier::{Both, Notifier, QueueOptions};
use crate::otlp;
use crate::plugins::{PluginCollector, PluginDiscoverer, PluginFunctions, Plugins, RunningSet};
use crate::processors::{ProcessedAppend, Processors};
use crate::push::PushGateway;
use crate::queries::Queries;
use crate::queries::log::QueryLog;
use crate::self_metrics::StorageGauges;
use crate::spans::SpanIntake;
use crate::telemetry::forward::SpanForward;

/// How long written data may stay with the operating system where every write is not synced.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// For how long nobody may have sent a sample of a block range before it is cut: longer than Prometheus' senders wait
/// before they try again.
const CUT_AFTER_QUIET: Duration = Duration::from_secs(6);

/// Series of remote write whose references are remembered between requests, at some forty bytes each once they have
/// come; beyond it, each sample finds its series by labels.
const REMOTE_SERIES_MAX: usize = 8_000_000;

/// How much of a scrape's time the guest itself may take; the rest is for the host to say why it took longer.
const GUEST_TIME_SHARE: f64 = 0.95;

/// How long metrics and traces are kept where nothing else is said, as in Prometheus.
const RETENTION_DEFAULT: Duration = Duration::from_secs(15 * 24 * 3600);

/// What "for ever" means for traces: a hundred years.
const TRACES_RETENTION_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A segment of spans is closed at this size; replaying an open one takes well below a second.
const TRACE_SEGMENT_BYTES: u64 = 64 << 20;

/// The running server.
pub(crate) struct App {
    pub(crate) args: ServerArgs,
    /// Every flag of the command line by name, with its value.
    pub(crate) flags: BTreeMap<String, String>,
    own: Reached,
    /// The path under which everything is served, without a slash at the end.
    pub(crate) prefix: String,
    pub(crate) notices: Notices,
    pub(crate) started: SystemTime,
    pub(crate) registry: Registry,
    pub(crate) http_metrics: HttpMetrics,
    pub(crate) ingest: IngestMetrics,
    pub(crate) pushes: Admission,
    /// Remembers the series that remote write has sent.
    pub(crate) decoder: remote_write::Decoder,
    pub(crate) storage: Storage,
    pub(crate) queries: Arc<Queries>,
    pub(crate) memory: MemoryGuard,
    pub(crate) spans: Arc<SpanIntake>,
    /// Where else the server's own spans go.
    pub(crate) forward: Arc<SpanForward>,
    pub(crate) otlp: Arc<otlp::Receiver>,
    pub(crate) plugins: Plugins,
    functions: Arc<PluginFunctions>,
    processors: Arc<Processors>,
    /// Storage behind processors, for what comes from outside.
    pub(crate) incoming: Arc<dyn Append>,
    pub(crate) scrape: scrape::Manager,
    pub(crate) rules: RuleManager,
    pub(crate) notifier: Arc<Notifier>,
    dispatcher: Arc<Dispatcher>,
    detectors: Detectors,
    decoders: Decoders,
    remote_write: RemoteWrite,
    pub(crate) remote_read: Arc<RemoteRead>,
    pub(crate) push: PushGateway,
    /// Places for those who read all of their series here.
    pub(crate) reads: Arc<Semaphore>,
    config: ArcSwap<Loaded>,
    last_reload: ArcSwap<Reload>,
    /// Held while a configuration is applied.
    reloading: tokio::sync::Mutex<()>,
    pub(crate) gauges: StorageGauges,
    reloads: ReloadMetrics,
    /// Cancelled when the server is to stop.
    pub(crate) stopping: CancellationToken,
}

/// How the latest reload went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reload {
    pub(crate) success: bool,
    pub(crate) at: SystemTime,
}

/// Reads the configuration that the command line names; `own` is how this server reaches itself.
fn load(args: &ServerArgs, own: &Reached) -> Result<Loaded, ConfigErrors> {
    match &args.config_file {
        Some(path) if args.agent => config::load(path)?.for_agent(),
        Some(path) => config::load(path),
        None => config::embedded(own, &route_prefix(args)),
    }
}

/// Under which path everything is served: the one that is given, or that of the external URL. Begins with a slash and
/// does not end with one; empty for the root.
fn route_prefix(args: &ServerArgs) -> String {
    let external = || Url::parse(args.external_url.as_deref()?).ok().map(|url| url.path().to_owned());
    let path = args.route_prefix.clone().or_else(external).unwrap_or_default();
    match path.trim_matches('/') {
        "" => String::new(),
        path => format!("/{path}"),
    }
}

/// An address at which this machine reaches a listener of its own.
pub(crate) fn own_address(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn wanted_decoders(running: &RunningSet) -> Vec<Decoder> {
    running
        .values()
        .filter(|running| running.instance.kinds().contains(&Kind::Decoder))
        .filter_map(|running| {
            Some(Decoder {
                name: running.config.name.clone(),
                config: running.config.decode.clone()?,
                instance: Arc::clone(&running.instance),
            })
        })
        .collect()
}

impl App {
    /// Opens storage, starts every part and applies the configuration; `own` is how the API is reached.
    pub(crate) async fn start(
        args: ServerArgs,
        flags: BTreeMap<String, String>,
        own: Reached,
    ) -> anyhow::Result<Arc<Self>> {
        let loaded = load(&args, &own).context("load the configuration")?;
        let registry = Registry::new();
        register_process(&registry)?;
        let reloads = ReloadMetrics::register(&registry)?;
        let http_metrics = HttpMetrics::register(&registry)?;
        let ingest = IngestMetrics::register(&registry)?;
        let gauges = StorageGauges::register(&registry)?;

        let (storage, store) = open_storage(&args, &loaded).await?;
        let append: Arc<dyn Append> = Arc::new(storage.clone());
        let processors = Arc::new(Processors::new(&registry)?);
        // What rules and detectors write is ours, and goes to storage as it is.
        let incoming: Arc<dyn Append> =
            Arc::new(ProcessedAppend::new(Arc::clone(&append), Arc::clone(&processors)));
        let metrics = SpanMetrics::new(SpanMetricsOptions::tempo()).context("set up span metrics")?;
        let spans = Arc::new(SpanIntake { store, metrics, processors: Arc::clone(&processors) });
        let remote_read = Arc::new(RemoteRead::new(&registry)?);
        let remote_write = RemoteWrite::new(
            storage.shared(),
            RemoteWriteOptions {
                dir: args.storage_path.join("remote_write"),
                log_kept: args.remote_log_kept.0,
                flush_deadline: args.remote_flush_deadline.0,
            },
            &registry,
        )?;
        let push = PushGateway::open(args.storage_path.join("push"));
        let reads = match args.remote_read_concurrency {
            0 => Semaphore::MAX_PERMITS,
            limit => limit,
        };
        let functions = Arc::new(PluginFunctions::new());
        let queries = Arc::new(Queries::new(
            &args,
            storage.clone(),
            Arc::clone(&functions) as Arc<dyn promql::ExternalFunctions>,
            Arc::clone(&remote_read),
            &registry,
        )?);
        let budget = args.memory_budget.map_or_else(memory::default_budget, |size| Some(size.0));
        let budget = budget.filter(|bytes| *bytes > 0);
        let memory =
            MemoryGuard::new(budget, storage.clone(), Arc::clone(queries.engine().pool()), &registry)?;
        let receiver = otlp::Receiver::new(
            (Arc::clone(&incoming), storage.clone()),
            Arc::clone(&spans),
            ingest.clone(),
            &registry,
        )?;
        let host = Host::new(HostOptions {
            plugins_dir: args.plugins_dir.clone(),
            cache_dir: Some(args.storage_path.join("plugin-cache")),
            state_dir: Some(args.storage_path.join("plugin-state")),
            query: Some(Arc::clone(&queries) as Arc<dyn plugin::Query>),
            compile_in: crate::plugin_command::compile_in(),
            registry: &registry,
        })
        .context("set up the plugin host")?;
        let external_url =
            args.external_url.clone().unwrap_or_else(|| format!("{}://{}", own.scheme, own.address));
        let external_url = external_url.trim_end_matches('/').to_owned();
        let prefix = route_prefix(&args);
        let notices = Notices::new(args.notifications_subscribers_max);
        let dispatcher = Arc::new(Dispatcher::new(
            DispatcherOptions {
                external_url: external_url.clone(),
                state_file: Some(args.storage_path.join("alerts.json")),
                clock: Arc::new(alerting::SystemClock),
            },
            &registry,
        )?);
        let queue =
            QueueOptions { capacity: args.notification_queue_capacity, batch: args.notification_batch_size };
        let notifier = Arc::new(Notifier::new(queue, &registry)?);
        let inside = Arc::clone(&dispatcher) as Arc<dyn alerting::AlertSink>;
        let rules = RuleManager::new(
            RuleManagerOptions {
                resend_delay: args.resend_delay.0,
                for_outage_tolerance: args.for_outage_tolerance.0,
                for_grace_period: args.for_grace_period.0,
                concurrent_evals_max: match Features::parse(&args.enable_feature).concurrent_rules() {
                    true => args.max_concurrent_evals,
                    false => 0,
                },
                ..RuleManagerOptions::new(external_url)
            },
            Arc::clone(&queries) as Arc<dyn alerting::Query>,
            Arc::clone(&append),
            Arc::new(Both { inside, elsewhere: Arc::clone(&notifier) }),
            Arc::new(alerting::SystemClock),
            &registry,
        )?;
        let plugins = Plugins::new(host, &registry)?;
        let forward = Arc::new(SpanForward::new(&registry)?);
        let scrape = scrape::Manager::new(Arc::clone(&incoming), &registry)?;
        let decoders = Decoders::new(Arc::clone(&incoming), ingest.clone(), &registry)?;
        let detectors = Detectors::new(Arc::clone(&queries), append);
        let now = SystemTime::now();
        let app = Arc::new(Self {
            args,
            flags,
            own,
            prefix,
            notices,
            started: now,
            registry,
            http_metrics,
            ingest,
            pushes: Admission::new(PUSHES_MAX),
            decoder: remote_write::Decoder::new(REMOTE_SERIES_MAX),
            storage,
            queries,
            memory,
            spans,
            forward,
            otlp: Arc::new(receiver),
            plugins,
            functions,
            processors,
            incoming,
            scrape,
            rules,
            notifier,
            dispatcher,
            detectors,
            decoders,
            remote_write,
            remote_read,
            reads: Arc::new(Semaphore::new(reads)),
            push,
            config: ArcSwap::from_pointee(loaded.clone()),
            last_reload: ArcSwap::from_pointee(Reload { success: true, at: now }),
            reloading: tokio::sync::Mutex::default(),
            gauges,
            reloads,
            stopping: CancellationToken::new(),
        });
        app.apply(loaded, None).await?;
        Ok(app)
    }

    pub(crate) fn config(&self) -> Arc<Loaded> {
        self.config.load_full()
    }

    pub(crate) fn last_reload(&self) -> Reload {
        **self.last_reload.load()
    }

    /// Asks the server to stop.
    pub(crate) fn stop(&self) {
        self.notices.set(SHUTTING_DOWN, true);
        self.stopping.cancel();
    }

    /// Reads the configuration again and applies it; after an error everything is as it was. Goes on to its end even
    /// where the caller does not wait for it, since half a configuration is none.
    pub(crate) async fn reload(self: &Arc<Self>) -> anyhow::Result<()> {
        let app = Arc::clone(self);
        tokio::spawn(async move { app.reload_to_the_end().await })
            .await
            .context("reload the configuration")?
    }

    async fn reload_to_the_end(self: &Arc<Self>) -> anyhow::Result<()> {
        // The lock comes before the file is read, so that the latest file is what stays.
        let _one_at_a_time = self.reloading.lock().await;
        let app = Arc::clone(self);
        let result = match tokio::task::spawn_blocking(move || load(&app.args, &app.own)).await? {
            Ok(loaded) => self.apply(loaded, None).await,
            Err(errors) => Err(errors.into()),
        };
        let success = result.is_ok();
        let at = SystemTime::now();
        self.reloads.ended(success, at);
        self.last_reload.store(Arc::new(Reload { success, at }));
        self.notices.set(RELOAD_FAILED, !success);
        match &result {
            Ok(()) => tracing::info!("configuration reloaded"),
            Err(error) => tracing::error!("reload the configuration: {error:#}"),
        }
        result
    }

    /// Starts the plugins anew whose files have changed, under the configuration that is in force. One that cannot be
    /// used leaves all running as they are.
    async fn refresh_plugins(&self) -> anyhow::Result<()> {
        let _one_at_a_time = self.reloading.lock().await;
        let loaded = Loaded::clone(&self.config());
        self.apply(loaded, None).await
    }

    /// Starts one plugin anew, under the configuration that is in force; where it cannot be started, the old one runs on.
    /// Goes on to its end even where the caller does not wait for it. False where there is no such plugin.
    pub(crate) async fn renew_plugin(self: &Arc<Self>, name: &str) -> anyhow::Result<bool> {
        if self.plugins.get(name).is_none() {
            return Ok(false);
        }
        let (app, name) = (Arc::clone(self), name.to_owned());
        let renewed = tokio::spawn(async move {
            let _one_at_a_time = app.reloading.lock().await;
            let loaded = Loaded::clone(&app.config());
            app.apply(loaded, Some(&name)).await
        });
        renewed.await.context("start the plugin anew")?.map(|()| true)
    }

    /// `renew` names a plugin that is to start anew even if nothing about it has changed.
    async fn apply(&self, loaded: Loaded, renew: Option<&str>) -> anyhow::Result<()> {
        let running = self.plugins.prepare(&loaded.plugins, renew).await.map_err(|errors| {
            let at = |(name, error): &(String, _)| loaded.plugin_error(name, "plugins", error);
            ConfigErrors(errors.iter().map(at).collect())
        })?;
        let kinds = running.iter().map(|(name, running)| (name.clone(), running.instance.kinds())).collect();
        loaded.check_kinds(&kinds)?;
        let functions = self
            .functions
            .of(&running)
            .map_err(|(name, what)| ConfigErrors::from(loaded.plugin_error(&name, "plugins.plugin", what)))?;
        RuleManager::check(&loaded.rules)?;
        let decoders = self.decoders.bind(wanted_decoders(&running)).await.map_err(|(name, what)| {
            ConfigErrors::from(loaded.plugin_error(&name, "plugins.decode.listen", what))
        })?;
        let query_log = match loaded.global.query_log_file.as_str() {
            "" => None,
            path => {
                let file = QueryLog::open(Path::new(path));
                Some(file.with_context(|| format!("open global.query_log_file {path}"))?)
            }
        };
        let tracing = SpanForward::prepare(loaded.tracing.as_ref())?;
        let notifications = Notifier::prepare(&loaded.alerting).context("set up alerting.alertmanagers")?;
        // The first step that can still fail changes nothing where it does; those after it cannot, since what they
        // would refuse has been refused above.
        // Processors come first, so that nothing is stored that they have not seen.
        let order = loaded.plugins.iter().map(|config| config.name.as_str());
        let processors = self.processors.install(&running, order);
        let mut global = loaded.global.clone();
        let features = Features::parse(&self.args.enable_feature);
        global.extra_scrape_metrics |= features.extra_scrape_metrics();
        global.created_as_starts = features.created_as_starts();
        if let Err(error) = self.scrape.apply_with(&global, &loaded.scrape_configs, &loaded.sought) {
            self.processors.restore(processors);
            return Err(error.into());
        }
        self.queries.log().set(query_log);
        self.plugins.install(running);
        self.functions.install(functions);
        self.scrape.set_collectors(&self.collectors(&loaded))?;
        self.scrape.set_discoverers(self.discoverers());
        self.notifier.apply(notifications, &self.scrape);
        self.forward.apply(tracing);
        let routes = loaded.alertmanager.clone().unwrap_or_else(alerting::config::Config::blackhole);
        self.dispatcher.apply(routes, self.plugins.receivers(loaded.templates.as_ref()))?;
        let settings = RuleSettings {
            interval: loaded.global.evaluation_interval.0,
            query_offset: loaded.global.rule_query_offset.0,
            external_labels: loaded.global.external_labels.clone(),
        };
        self.rules.apply(loaded.rules.clone(), settings).await?;
        self.detectors.apply(self.wanted_detectors()).await;
        self.decoders.apply(decoders).await;
        let external_labels = &loaded.global.external_labels;
        self.otlp.set_options(loaded.otlp.resolve());
        self.remote_read.apply(&loaded.remote_read, external_labels)?;
        self.remote_write.apply(&loaded.remote_write, external_labels).await?;
        self.storage.tsdb().set_retention(retention(&self.args, &loaded));
        self.storage.tsdb().set_out_of_order_window(loaded.storage.tsdb.out_of_order_window());
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let groups = loaded.rules.iter().flat_map(|(_, file)| &file.groups);
        for rule in groups.flat_map(|group| &group.rules) {
            for function in self.functions.missing(&rule.expr) {
                tracing::warn!(rule = rule.name, function, "a rule calls a function that no plugin has");
            }
        }
        self.config.store(Arc::new(loaded));
        Ok(())
    }

    fn collectors(&self, loaded: &Loaded) -> Vec<CollectorTarget> {
        self.plugins
            .of_kind(Kind::Collector)
            .into_iter()
            // One that a job has to discover its targets is not there to be scraped itself.
            .filter(|running| !loaded.discovery.contains_key(&running.config.name))
            .map(|running| {
                let timeout = running.config.limits.deadline.0.min(running.config.interval.0);
                let source = PluginCollector {
                    instance: running.instance,
                    timeout: timeout.mul_f64(GUEST_TIME_SHARE),
                };
                CollectorTarget {
                    name: running.config.name,
                    plugin: running.config.plugin,
                    interval: running.config.interval.0,
                    timeout,
                    labels: Labels::empty(),
                    // The host has already bounded what a plugin may yield.
                    limits: scrape::config::Limits::NONE,
                    source: Arc::new(source),
                }
            })
            .collect()
    }

    fn discoverers(&self) -> Vec<Discoverer> {
        self.plugins
            .of_kind(Kind::Discoverer)
            .into_iter()
            .map(|running| Discoverer {
                name: running.config.name.clone(),
                mechanism: running.config.plugin.clone(),
                interval: running.config.interval.0,
                source: Arc::new(PluginDiscoverer(running.instance)),
            })
            .collect()
    }

    fn wanted_detectors(&self) -> Vec<Detector> {
        self.plugins
            .of_kind(Kind::Detector)
            .into_iter()
            .filter_map(|running| {
                Some(Detector {
                    name: running.config.name,
                    interval: running.config.interval.0,
                    config: running.config.detect?,
                    instance: running.instance,
                })
            })
            .collect()
    }

    /// What is kept of metrics, by the configuration in force and the command line.
    pub(crate) fn retention(&self) -> Retention {
        retention(&self.args, &self.config())
    }

    /// Brings the gauges that mirror storage up to date.
    pub(crate) fn refresh_gauges(&self) {
        let (traces, span_metrics) = (self.spans.store.stats(), self.spans.metrics.stats());
        let tsdb = self.storage.tsdb();
        self.gauges.set(&tsdb.stats(), &traces, &span_metrics);
        self.gauges.set_refused(&tsdb.refused_series());
        let corruptions = tsdb.recovery().corruptions.len();
        self.gauges.set_bounds(&self.retention(), corruptions, tsdb.log_end().segment);
    }

    /// Stops what brings samples by itself. Listeners are still open then, so that no target of ours, this server
    /// among them, is seen to go down.
    pub(crate) async fn stop_collecting(&self) {
        self.decoders.stop().await;
        self.scrape.stop().await;
        self.detectors.stop().await;
    }

    /// Stops the rest, once nothing comes in any more.
    pub(crate) async fn stop_alerting(&self) {
        // A reload that is under way would start what is being stopped.
        let _no_reload = self.reloading.lock().await;
        self.rules.stop().await;
        self.notifier.stop(self.args.drain_notifications).await;
        if let Err(error) = self.dispatcher.stop().await {
            tracing::error!(%error, "alert state was not saved");
        }
    }

    /// Sends what has been stored to other servers, as far as they take it.
    pub(crate) async fn stop_sending(&self) {
        self.remote_write.stop().await;
    }

    /// Writes what is still in memory and closes storage, last of all.
    pub(crate) async fn close(&self) {
        let (storage, spans) = (self.storage.clone(), Arc::clone(&self.spans));
        let closed = tokio::task::spawn_blocking(move || tasks::close(&storage, &spans)).await;
        if let Err(error) = closed {
            tracing::error!(%error, "storage was not closed cleanly");
        }
    }
}

/// The process' own metrics.
fn register_process(registry: &Registry) -> prometheus::Result<()> {
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    let built = |name: &str, help: &str, version: &str| {
        let opts = prometheus::Opts::new(name, help)
            .const_label("version", version)
            .const_label("revision", "")
            .const_label("branch", "")
            .const_label("goversion", "")
            .const_label("goos", std::env::consts::OS)
            .const_label("goarch", std::env::consts::ARCH);
        let info = IntGauge::with_opts(opts)?;
        info.set(1);
        registry.register(Box::new(info))
    };
    built("stormglass_build_info", "Constant 1, labelled with what was built.", env!("CARGO_PKG_VERSION"))?;
    built(
        "prometheus_build_info",
        "Constant 1, labelled with the Prometheus that this server answers like.",
        COMPATIBLE_VERSION,
    )?;
    let ready = IntGauge::new(
        "prometheus_ready",
        "Whether storage has been replayed: where this is served, it has.",
    )?;
    ready.set(1);
    registry.register(Box::new(ready))
}

/// How reloads of the configuration went.
struct ReloadMetrics {
    successful: IntGauge,
    success_time: Gauge,
}

impl ReloadMetrics {
    /// Registers them as they are after a start, which is a success.
    fn register(registry: &Registry) -> prometheus::Result<Self> {
        let successful = IntGauge::new(
            "prometheus_config_last_reload_successful",
            "Whether the latest attempt to apply a configuration went well.",
        )?;
        let success_time = Gauge::new(
            "prometheus_config_last_reload_success_timestamp_seconds",
            "When a configuration was applied last.",
        )?;
        registry.register(Box::new(successful.clone()))?;
        registry.register(Box::new(success_time.clone()))?;
        let metrics = Self { successful, success_time };
        metrics.ended(true, SystemTime::now());
        Ok(metrics)
    }

    fn ended(&self, success: bool, at: SystemTime) {
        self.successful.set(i64::from(success));
        if success {
            self.success_time.set(Timestamp::from_system(at).millis() as f64 / 1000.0);
        }
    }
}

/// How long and how much is kept of metrics.
fn retention(args: &ServerArgs, loaded: &Loaded) -> Retention {
    let config = &loaded.storage.tsdb.retention;
    config.resolve(args.retention.map(|time| time.0), args.retention_size, RETENTION_DEFAULT)
}

async fn open_storage(args: &ServerArgs, loaded: &Loaded) -> anyhow::Result<(Storage, TraceStore)> {
    let path = args.storage_path.clone();
    // The span store has to have an end; for ever is longer than it will last.
    let traces_retention = match args.retention.map(|time| time.0) {
        Some(Duration::ZERO) => TRACES_RETENTION_MAX,
        Some(time) => time,
        None => RETENTION_DEFAULT,
    };
    let always = args.wal_sync == WalSync::Always;
    let (head_series_max, metric_series_max, job_series_max) =
        (args.head_series_max, args.metric_series_max, args.job_series_max);
    let retention = retention(args, loaded);
    let downsampling = loaded.storage.tsdb.downsampling.as_ref().map(|config| config.resolve());
    let out_of_order_window = loaded.storage.tsdb.out_of_order_window();
    let usual = if args.agent { Options::prometheus_agent() } else { Options::prometheus() };
    tokio::task::spawn_blocking(move || {
        let wal_sync = if always { tsdb::WalSync::Always } else { tsdb::WalSync::Interval(SYNC_INTERVAL) };
        let options = Options {
            wal_sync,
            retention,
            downsampling,
            out_of_order_window,
            cut_after_quiet: CUT_AFTER_QUIET,
            head_series_max,
            metric_series_max,
            job_series_max,
            ..usual
        };
        let tsdb = Tsdb::open(path.join("metrics"), options, Arc::new(RealFileSystem), Arc::new(SystemClock))
            .with_context(|| format!("open the metrics in {}", path.display()))?;
        report_recovery(&tsdb, &path);
        let sync = if always { traces::Sync::Always } else { traces::Sync::Interval(SYNC_INTERVAL) };
        let options =
            TraceOptions { retention: traces_retention, segment_bytes_max: TRACE_SEGMENT_BYTES, sync };
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
