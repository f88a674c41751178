//! From a file's bytes to a component that is ready to be instantiated, and what can be read off it without running it.

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::bindings::exports::stormglass::plugin as exports;
use crate::cache::{self, Cache};
use crate::error::PluginError;
use crate::kinds::Kind;
use crate::limits::FUNCTION_BYTES_MAX;
use crate::state::State;
use crate::wrap::wrap;

/// A compiled component and what it is.
pub(crate) struct Loaded {
    /// SHA-256 of the file, in hexadecimal.
    pub(crate) digest: String,
    /// Size of the file in bytes.
    pub(crate) size: u64,
    /// Whether the file was a core module and was wrapped here.
    pub(crate) is_core_module: bool,
    /// The interfaces it imports: its capabilities.
    pub(crate) imports: Vec<String>,
    /// The interfaces it exports.
    pub(crate) exports: Vec<String>,
    pub(crate) pre: InstancePre<State>,
    pub(crate) interfaces: Interfaces,
}

/// Where the exports are that the host knows.
pub(crate) struct Interfaces {
    pub(crate) meta: exports::meta::GuestIndices,
    pub(crate) lifecycle: exports::lifecycle::GuestIndices,
    pub(crate) collector: Option<exports::collector::GuestIndices>,
    pub(crate) prober: Option<exports::prober::GuestIndices>,
    pub(crate) discoverer: Option<exports::discoverer::GuestIndices>,
    pub(crate) receiver: Option<exports::receiver::GuestIndices>,
    pub(crate) detector: Option<exports::detector::GuestIndices>,
    pub(crate) trainer: Option<exports::trainer::GuestIndices>,
    pub(crate) decoder: Option<exports::decoder::GuestIndices>,
    pub(crate) function: Option<exports::function::GuestIndices>,
    pub(crate) sample_processor: Option<exports::sample_processor::GuestIndices>,
    pub(crate) span_processor: Option<exports::span_processor::GuestIndices>,
}

impl Interfaces {
    /// The kinds that the component is of.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        [
            (Kind::Collector, self.collector.is_some()),
            (Kind::Prober, self.prober.is_some()),
            (Kind::Discoverer, self.discoverer.is_some()),
            (Kind::Receiver, self.receiver.is_some()),
            (Kind::Detector, self.detector.is_some()),
            (Kind::Trainer, self.trainer.is_some()),
            (Kind::Decoder, self.decoder.is_some()),
            (Kind::Function, self.function.is_some()),
            (Kind::SampleProcessor, self.sample_processor.is_some()),
            (Kind::SpanProcessor, self.span_processor.is_some()),
        ]
        .into_iter()
        .filter_map(|(kind, exported)| exported.then_some(kind))
        .collect()
    }
}

/// What loading needs.
pub(crate) struct Loader {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<State>,
    pub(crate) cache: Option<Cache>,
}

/// A file, on its way to a component.
pub(crate) enum Prepared {
    /// It was compiled before.
    Compiled(Component),
    /// What is to be compiled.
    Component(Vec<u8>),
}

impl Loader {
    /// Takes the compiled form of a file's bytes from the cache, or makes a component of them that can be compiled.
    pub(crate) fn prepare(&self, plugin: &str, bytes: &[u8], digest: &str) -> Result<Prepared, PluginError> {
        let form = Form::of_plugin(plugin, bytes)?;
        if let Some(component) = self.cache.as_ref().and_then(|cache| cache.load(&self.engine, digest)) {
            return Ok(Prepared::Compiled(component));
        }
        let invalid = |message: String| PluginError::Invalid { plugin: plugin.to_owned(), message };
        let component = match form {
            Form::Component => bytes.to_vec(),
            Form::CoreModule => wrap(bytes).map_err(invalid)?,
        };
        check_function_sizes(&component).map_err(invalid)?;
        Ok(Prepared::Component(component))
    }

    /// Takes what the compiler made, and keeps it for the next time.
    pub(crate) fn compiled(
        &self,
        plugin: &str,
        digest: &str,
        artifact: &[u8],
    ) -> Result<Component, PluginError> {
        let component = cache::fresh(&self.engine, artifact).map_err(|error| PluginError::Invalid {
            plugin: plugin.to_owned(),
            message: format!("{error:#}"),
        })?;
        if let Some(cache) = &self.cache {
            cache.store(digest, artifact);
        }
        Ok(component)
    }

    /// Reads off a compiled component what it is.
    pub(crate) fn load(
        &self,
        plugin: &str,
        bytes: &[u8],
        digest: String,
        component: &Component,
    ) -> Result<Loaded, PluginError> {
        let invalid = |message: String| PluginError::Invalid { plugin: plugin.to_owned(), message };
        let form = Form::of_plugin(plugin, bytes)?;
        let component_type = component.component_type();
        let sorted = |names: &mut dyn Iterator<Item = &str>| {
            let mut names: Vec<String> = names.map(str::to_owned).collect();
            names.sort_unstable();
            names
        };
        // Interfaces of types alone give no capability.
        let imports = sorted(
            &mut component_type
                .imports(&self.engine)
                .map(|(name, _)| name)
                .filter(|name| !is_types_only(name)),
        );
        let exports = sorted(&mut component_type.exports(&self.engine).map(|(name, _)| name));
        let pre = self.linker.instantiate_pre(component).map_err(|error| {
            let missing: Vec<String> = imports.iter().filter(|name| !is_offered(name)).cloned().collect();
            if missing.is_empty() {
                invalid(format!("{error:#}"))
            } else {
                PluginError::MissingImports { plugin: plugin.to_owned(), imports: missing }
            }
        })?;
        let interfaces = interfaces(plugin, &pre, &exports, form)?;
        if interfaces.function.is_some() {
            let is_impure = |name: &&String| {
                name.starts_with("stormglass:host/") && !is_ours(name, "stormglass:host", "log")
            };
            let impure: Vec<String> = imports.iter().filter(is_impure).cloned().collect();
            if !impure.is_empty() {
                return Err(PluginError::Impure { plugin: plugin.to_owned(), imports: impure });
            }
        }
        Ok(Loaded {
            digest,
            size: bytes.len() as u64,
            is_core_module: matches!(form, Form::CoreModule),
            imports,
            exports,
            pre,
            interfaces,
        })
    }
}

/// SHA-256 in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// What the eight bytes at a file's beginning say.
#[derive(Clone, Copy)]
enum Form {
    CoreModule,
    Component,
}

impl Form {
    fn of_plugin(plugin: &str, bytes: &[u8]) -> Result<Self, PluginError> {
        Self::of(bytes).ok_or_else(|| PluginError::Invalid {
            plugin: plugin.to_owned(),
            message: "the file does not begin as WebAssembly does".to_owned(),
        })
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        match bytes.get(..8)? {
            [0, b'a', b's', b'm', 1, 0, 0, 0] => Some(Self::CoreModule),
            [0, b'a', b's', b'm', 0x0d, 0, 1, 0] => Some(Self::Component),
            _ => None,
        }
    }
}

/// Refuses functions that compiling would take for ever over, before it is tried: it is not linear in their size.
fn check_function_sizes(component: &[u8]) -> Result<(), String> {
    for payload in wasmparser::Parser::new(0).parse_all(component) {
        let payload = payload.map_err(|error| error.to_string())?;
        if let wasmparser::Payload::CodeSectionEntry(body) = payload {
            let range = body.range();
            let bytes = range.end.saturating_sub(range.start);
            if bytes > FUNCTION_BYTES_MAX as u64 {
                return Err(format!(
                    "it has a function of {bytes} bytes, over the limit of {FUNCTION_BYTES_MAX}, which compilers choke on"
                ));
            }
        }
    }
    Ok(())
}

fn interfaces(
    plugin: &str,
    pre: &InstancePre<State>,
    exported: &[String],
    form: Form,
) -> Result<Interfaces, PluginError> {
    let has = |interface: &str| exported.iter().any(|name| is_ours(name, "stormglass:plugin", interface));
    let not_a_plugin = |missing| PluginError::NotAPlugin { plugin: plugin.to_owned(), missing };
    if !has("meta") {
        return Err(not_a_plugin(match form {
            Form::CoreModule => {
                "stormglass:plugin/meta@0.1 (a core module must carry component type information)"
            }
            Form::Component => "stormglass:plugin/meta@0.1",
        }));
    }
    if !has("lifecycle") {
        return Err(not_a_plugin("stormglass:plugin/lifecycle@0.1"));
    }
    // An interface of the right name and another shape is an error, not an absence.
    let abi = |error: wasmtime::Error| PluginError::Invalid {
        plugin: plugin.to_owned(),
        message: format!("its exports do not fit the interfaces: {error:#}"),
    };
    let interfaces = Interfaces {
        meta: exports::meta::GuestIndices::new(pre).map_err(abi)?,
        lifecycle: exports::lifecycle::GuestIndices::new(pre).map_err(abi)?,
        collector: found(has("collector"), || exports::collector::GuestIndices::new(pre)).map_err(abi)?,
        prober: found(has("prober"), || exports::prober::GuestIndices::new(pre)).map_err(abi)?,
        discoverer: found(has("discoverer"), || exports::discoverer::GuestIndices::new(pre)).map_err(abi)?,
        receiver: found(has("receiver"), || exports::receiver::GuestIndices::new(pre)).map_err(abi)?,
        detector: found(has("detector"), || exports::detector::GuestIndices::new(pre)).map_err(abi)?,
        trainer: found(has("trainer"), || exports::trainer::GuestIndices::new(pre)).map_err(abi)?,
        decoder: found(has("decoder"), || exports::decoder::GuestIndices::new(pre)).map_err(abi)?,
        function: found(has("function"), || exports::function::GuestIndices::new(pre)).map_err(abi)?,
        sample_processor: found(has("sample-processor"), || {
            exports::sample_processor::GuestIndices::new(pre)
        })
        .map_err(abi)?,
        span_processor: found(has("span-processor"), || exports::span_processor::GuestIndices::new(pre))
            .map_err(abi)?,
    };
    if interfaces.kinds().is_empty() {
        return Err(not_a_plugin(
            "any kind: collector, prober, discoverer, receiver, detector, decoder, function, sample-processor or \
             span-processor of stormglass:plugin@0.1",
        ));
    }
    Ok(interfaces)
}

/// What `make` gives, where it is exported.
fn found<T>(exported: bool, make: impl FnOnce() -> wasmtime::Result<T>) -> wasmtime::Result<Option<T>> {
    exported.then(make).transpose()
}

/// Whether `name` is `package/interface` in a version that this host speaks. Patch releases only add.
fn is_ours(name: &str, package: &str, interface: &str) -> bool {
    let Some((path, version)) = name.split_once('@') else { return false };
    version.starts_with("0.1.") && path.split_once('/') == Some((package, interface))
}

/// The interfaces of the host.
const IMPORTS: [&str; 11] =
    ["log", "clock", "http", "files", "kv", "secrets", "telemetry", "query", "net", "dns", "http-trace"];

/// Whether the linker has the interface; for telling which import is at fault.
fn is_offered(name: &str) -> bool {
    const WASI: [&str; 6] =
        ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
    let ours = IMPORTS.iter().any(|interface| is_ours(name, "stormglass:host", interface));
    ours || (WASI.iter().any(|prefix| name.starts_with(prefix)) && name.contains("@0.2."))
}

fn is_types_only(name: &str) -> bool {
    is_ours(name, "stormglass:types", "types") || is_ours(name, "stormglass:types", "net")
}
