//! The host: loads plugins, looks into them, and starts them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;
use serde::Serialize;

use crate::cache::Cache;
use crate::call::{Deadline, Failure};
use crate::compiler::{CompileIn, Compiler};
use crate::component::{Loaded, Loader, Prepared, digest};
use crate::config::PluginConfig;
use crate::engine::{self, Running};
use crate::error::{CallError, PluginError};
use crate::fake::Fake;
use crate::grants::Grants;
use crate::imports::http::Client;
use crate::imports::query::Query;
use crate::instance::{Guest, Instance, Parts, describe};
use crate::kinds::Kind;
use crate::kinds::lifecycle::Info;
use crate::kv::{Store, Stores};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::net::Network;
use crate::state::Tenant;
use crate::watch::{FileStamp, Watch};

/// What a [`Host`] is made with.
pub struct HostOptions<'a> {
    /// Where plugins are looked for by name. Need not exist.
    pub plugins_dir: PathBuf,
    /// Where compiled plugins are kept: a folder of its own, made with mode 0700. None keeps nothing.
    pub cache_dir: Option<PathBuf>,
    /// Where the state of plugins is kept: a folder of its own. None keeps it in memory alone.
    pub state_dir: Option<PathBuf>,
    /// What plugins may query, where it is granted.
    pub query: Option<Arc<dyn Query>>,
    /// Where plugins are compiled.
    pub compile_in: CompileIn,
    /// Where the host's metrics go.
    pub registry: &'a prometheus::Registry,
}

/// Loads, inspects and starts plugins.
pub struct Host {
    plugins_dir: PathBuf,
    loader: Arc<Loader>,
    client: Client,
    network: Arc<Network>,
    metrics: Arc<Metrics>,
    running: Arc<Running>,
    /// What is loaded, by digest: two uses of one plugin share its code.
    loaded: Mutex<HashMap<String, Weak<Loaded>>>,
    /// What is being loaded, by digest.
    loading: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
    compiler: Compiler,
    watch: Watch,
    kv: Arc<Stores>,
    models: Arc<Stores>,
    query: Option<Arc<dyn Query>>,
}

/// What can be known of a plugin without granting it anything.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// SHA-256 of the file, in hexadecimal.
    pub digest: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// Whether it is a core module, which the host made a component of.
    pub is_core_module: bool,
    /// The kinds it is of.
    pub kinds: Vec<Kind>,
    /// The interfaces it imports: all that it could ever do, each still subject to grants.
    pub imports: Vec<String>,
    /// The interfaces it exports.
    pub exports: Vec<String>,
    /// Who it says it is.
    pub info: Info,
}

impl Host {
    /// Makes a host. rustls needs a default crypto provider before this.
    ///
    /// # Errors
    /// Where the engine, the HTTP client or the cache folder cannot be set up, or the registry has our metrics already.
    pub fn new(options: HostOptions<'_>) -> Result<Arc<Self>, PluginError> {
        Self::on(options, Network::new())
    }

    /// Makes a host on a network.
    pub(crate) fn on(options: HostOptions<'_>, network: Network) -> Result<Arc<Self>, PluginError> {
        let HostOptions { plugins_dir, cache_dir, state_dir, query, compile_in, registry } = options;
        let (engine, running) = engine::start()?;
        let linker = engine::linker(&engine)?;
        let metrics = Arc::new(Metrics::register(registry)?);
        let cache = cache_dir.map(|folder| Cache::open(&folder, &engine)).transpose()?;
        Ok(Arc::new(Self {
            plugins_dir,
            loader: Arc::new(Loader { engine, linker, cache }),
            client: Client::new()?,
            network: Arc::new(network),
            metrics,
            running,
            loaded: Mutex::default(),
            loading: Mutex::default(),
            compiler: Compiler::new(compile_in),
            watch: Watch::default(),
            kv: Arc::new(Stores::new(state_dir.as_ref().map(|folder| folder.join("kv")))?),
            models: Arc::new(Stores::new(state_dir.map(|folder| folder.join("models")))?),
            query,
        }))
    }

    /// Says what a plugin is: a file stem in the plugin directory, or a path.
    ///
    /// # Errors
    /// Whatever keeps it from being loaded, or [`PluginError::Call`] where it cannot describe itself.
    pub async fn inspect(&self, plugin: &str) -> Result<Inspection, PluginError> {
        let bytes = self.read(plugin, Limits::STANDARD.component.0).await?;
        self.inspect_bytes(plugin, bytes).await
    }

    async fn inspect_bytes(&self, plugin: &str, bytes: Vec<u8>) -> Result<Inspection, PluginError> {
        let loaded = self.load(plugin, bytes, &Limits::STANDARD).await?;
        let tenant = self.tenant(plugin, Grants::default(), Limits::STANDARD);
        let info = described(&loaded, &tenant).await?;
        Ok(Inspection {
            digest: loaded.digest.clone(),
            size: loaded.size,
            is_core_module: loaded.is_core_module,
            kinds: loaded.interfaces.kinds(),
            imports: loaded.imports.clone(),
            exports: loaded.exports.clone(),
            info,
        })
    }

    /// Starts a configured plugin: loads its file, asks who it is, checks its configuration by its own schema, and
    /// initialises it.
    ///
    /// # Errors
    /// Whatever fails of that. [`PluginError::Config`] names each key at fault.
    pub async fn start(&self, config: PluginConfig) -> Result<Arc<Instance>, PluginError> {
        let file = resolve(&self.plugins_dir, &config.plugin);
        // Before it is read: a change meanwhile is then noticed.
        let stamp = FileStamp::of(&file);
        let bytes = self.read(&config.plugin, config.limits.component.0).await?;
        self.start_stamped(config, bytes, stamp).await
    }

    /// As [`start`](Self::start), but on surroundings of a test's own.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_on(
        &self,
        config: PluginConfig,
        fake: Arc<Fake>,
    ) -> Result<Arc<Instance>, PluginError> {
        let stamp = FileStamp::of(&resolve(&self.plugins_dir, &config.plugin));
        let bytes = self.read(&config.plugin, config.limits.component.0).await?;
        self.start_in(config, bytes, stamp, Some(fake)).await
    }

    /// Whether a configured plugin would start, short of initialising it, which may already reach outside; gives its
    /// kinds.
    ///
    /// # Errors
    /// As [`start`](Self::start), but for `init`.
    pub async fn check(&self, config: &PluginConfig) -> Result<Vec<Kind>, PluginError> {
        let bytes = self.read(&config.plugin, config.limits.component.0).await?;
        check_digest(config, &bytes)?;
        let loaded = self.load(&config.name, bytes, &config.limits).await?;
        let tenant = self.tenant(&config.name, Grants::default(), config.limits.clone());
        check_config(config, &described(&loaded, &tenant).await?)?;
        Ok(loaded.interfaces.kinds())
    }

    /// Whether the instance's file is still the one that it was started from.
    pub fn is_current(&self, instance: &Instance) -> bool {
        *instance.stamp() == FileStamp::of(&resolve(&self.plugins_dir, &instance.config().plugin))
    }

    /// Waits until the files of some of these instances have changed and settled; gives the instances' names. Each
    /// change is told once: where the new file cannot be used, the old instance is to run on. May be dropped at any
    /// moment, as when the instances have been replaced for another reason.
    pub async fn changed(&self, current: &[Arc<Instance>]) -> Vec<String> {
        let path = |instance: &Instance| resolve(&self.plugins_dir, &instance.config().plugin);
        let files: Vec<_> = current.iter().map(|instance| (path(instance), *instance.stamp())).collect();
        let changed = self.watch.changed(&files).await;
        let affected = current.iter().zip(files).filter(|(_, (path, _))| changed.contains(path));
        affected.map(|(instance, _)| instance.name().to_owned()).collect()
    }

    async fn start_stamped(
        &self,
        config: PluginConfig,
        bytes: Vec<u8>,
        stamp: FileStamp,
    ) -> Result<Arc<Instance>, PluginError> {
        self.start_in(config, bytes, stamp, None).await
    }

    async fn start_in(
        &self,
        config: PluginConfig,
        bytes: Vec<u8>,
        stamp: FileStamp,
        fake: Option<Arc<Fake>>,
    ) -> Result<Arc<Instance>, PluginError> {
        check_digest(&config, &bytes)?;
        let loaded = self.load(&config.name, bytes, &config.limits).await?;
        let mut tenant =
            Tenant { fake, ..self.tenant(&config.name, config.grants.clone(), config.limits.clone()) };
        let info = described(&loaded, &tenant).await?;
        check_config(&config, &info)?;
        let (kv, models, name) = (Arc::clone(&self.kv), Arc::clone(&self.models), config.name.clone());
        let trains = loaded.interfaces.trainer.is_some();
        let (kv, models) =
            blocking(move || Ok((kv.get(&name)?, if trains { Some(models.get(&name)?) } else { None })))
                .await?;
        // A test's own state begins and ends with it.
        let (kv, models) = match &tenant.fake {
            Some(fake) => (Arc::clone(&fake.kv), trains.then(|| Arc::new(Store::in_memory()))),
            None => (kv, models),
        };
        if let Some(fake) = tenant.fake.clone() {
            tenant.query = Some(fake);
        }
        tenant.kv = Some(kv);
        let config_json = config.config.to_string();
        let deadline = Deadline::after(config.limits.deadline.0);
        let failed = |failure| call_error(failure, &tenant, &info.version);
        let mut guest = Guest::start(&loaded, &tenant, &config_json, deadline).await.map_err(failed)?;
        let signatures = guest.signatures(deadline).await.map_err(failed)?;
        let parts = Parts { config, config_json, info, loaded, tenant, guest, signatures, stamp, models };
        Ok(Arc::new(Instance::new(parts)))
    }

    pub(crate) fn tenant(&self, name: &str, grants: Grants, limits: Limits) -> Tenant {
        Tenant {
            name: Arc::from(name),
            grants: Arc::new(grants),
            hidden: Arc::default(),
            limits: Arc::new(limits),
            client: self.client.clone(),
            network: Arc::clone(&self.network),
            metrics: Arc::clone(&self.metrics),
            running: Arc::clone(&self.running),
            kv: None,
            query: self.query.clone(),
            fake: None,
        }
    }

    /// Reads a plugin's file, unless it is over the limit.
    async fn read(&self, plugin: &str, max: u64) -> Result<Vec<u8>, PluginError> {
        let (path, by_name) = (resolve(&self.plugins_dir, plugin), !is_path(plugin));
        let (plugin, dir) = (plugin.to_owned(), self.plugins_dir.clone());
        blocking(move || {
            let io = |source: std::io::Error| match source.kind() {
                std::io::ErrorKind::NotFound if by_name => {
                    PluginError::NotFound { plugin: plugin.clone(), available: stems(&dir), dir: dir.clone() }
                }
                _ => PluginError::Io { path: path.clone(), source },
            };
            let size = std::fs::metadata(&path).map_err(io)?.len();
            if size > max {
                return Err(PluginError::TooLarge { plugin, size, max });
            }
            std::fs::read(&path).map_err(io)
        })
        .await
    }

    /// Compiles a plugin, unless it is there already.
    async fn load(&self, plugin: &str, bytes: Vec<u8>, limits: &Limits) -> Result<Arc<Loaded>, PluginError> {
        let bytes = Arc::new(bytes);
        let digest = {
            let bytes = Arc::clone(&bytes);
            blocking(move || Ok(digest(&bytes))).await?
        };
        // Two that use one file compile it once.
        let turn = {
            let mut loading = self.loading.lock();
            loading.retain(|_, turn| turn.strong_count() > 0);
            let turn = loading.get(&digest).and_then(Weak::upgrade).unwrap_or_default();
            loading.insert(digest.clone(), Arc::downgrade(&turn));
            turn
        };
        let _turn = turn.lock().await;
        if let Some(present) = self.loaded.lock().get(&digest).and_then(Weak::upgrade) {
            return Ok(present);
        }
        let (loader, file, name, key) =
            (Arc::clone(&self.loader), Arc::clone(&bytes), plugin.to_owned(), digest.clone());
        let component = match blocking(move || loader.prepare(&name, &file, &key)).await? {
            Prepared::Compiled(component) => component,
            Prepared::Component(component) => {
                let started = Instant::now();
                let limit = limits.compile.0;
                let artifact = self.compiler.compile(&self.loader.engine, plugin, component, limit).await?;
                self.metrics.compile.observe(started.elapsed().as_secs_f64());
                let (loader, name, key) = (Arc::clone(&self.loader), plugin.to_owned(), digest.clone());
                blocking(move || loader.compiled(&name, &key, &artifact)).await?
            }
        };
        let (loader, name, key) = (Arc::clone(&self.loader), plugin.to_owned(), digest.clone());
        let new = blocking(move || loader.load(&name, &bytes, key, &component)).await?;
        let new = Arc::new(new);
        let mut loaded = self.loaded.lock();
        loaded.retain(|_, entry| entry.strong_count() > 0);
        loaded.insert(digest, Arc::downgrade(&new));
        Ok(new)
    }
}

/// Where a plugin's file is: a name is a file stem in `plugins_dir`; what has a slash or ends in `.wasm` is a path.
pub fn resolve(plugins_dir: &Path, plugin: &str) -> PathBuf {
    if is_path(plugin) { PathBuf::from(plugin) } else { plugins_dir.join(format!("{plugin}.wasm")) }
}

fn is_path(plugin: &str) -> bool {
    plugin.contains('/') || plugin.ends_with(".wasm")
}

/// Runs on the blocking pool. A panic there, as of a library that a broken file surprised, is an error here.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PluginError> + Send + 'static,
) -> Result<T, PluginError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(PluginError::Host(format!("loading a plugin: {error}"))),
    }
}

/// The names of the plugins in a folder.
fn stems(dir: &Path) -> Vec<String> {
    let mut stems: Vec<String> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    stems.sort();
    stems
}

async fn described(loaded: &Loaded, tenant: &Tenant) -> Result<Info, PluginError> {
    describe(loaded, tenant).await.map_err(|failure| call_error(failure, tenant, "?").into())
}

fn call_error(failure: Failure, tenant: &Tenant, version: &str) -> Box<CallError> {
    let Failure { operation, kind, message, stderr, .. } = failure;
    let plugin = Arc::clone(&tenant.name);
    Box::new(CallError { plugin, version: Arc::from(version), operation, kind, message, stderr })
}

/// Whether the file is the one that the configuration pins, if it pins one.
fn check_digest(config: &PluginConfig, bytes: &[u8]) -> Result<(), PluginError> {
    let Some(expected) = &config.digest else { return Ok(()) };
    let found = digest(bytes);
    if found == *expected {
        return Ok(());
    }
    Err(PluginError::Digest { plugin: config.name.clone(), expected: expected.clone(), found })
}

/// Checks the configuration by the plugin's own schema.
fn check_config(config: &PluginConfig, info: &Info) -> Result<(), PluginError> {
    let schema_error = |message: String| PluginError::Schema { plugin: config.name.clone(), message };
    let schema: serde_json::Value =
        serde_json::from_str(&info.config_schema).map_err(|error| schema_error(error.to_string()))?;
    let validator = jsonschema::validator_for(&schema).map_err(|error| schema_error(error.to_string()))?;
    let problems: Vec<String> = validator
        .iter_errors(&config.config)
        .map(|error| format!("config{}: {error}", dotted(error.instance_path().as_str())))
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(PluginError::Config { plugin: config.name.clone(), problems })
    }
}

/// A JSON pointer as people write a path of keys: `/a/0/b` becomes `.a[0].b`.
fn dotted(pointer: &str) -> String {
    pointer
        .split('/')
        .skip(1)
        .map(|part| {
            let part = part.replace("~1", "/").replace("~0", "~");
            if part.bytes().all(|b| b.is_ascii_digit()) { format!("[{part}]") } else { format!(".{part}") }
        })
        .collect()
}

#[cfg(test)]
mod tests;
