//! How a plugin's type becomes a component's exports: [`export!`](crate::export), and the functions that it calls.

use std::cell::RefCell;
use std::time::Duration;

use crate::bindings::base::exports::stormglass::plugin::meta;
use crate::bindings::base::stormglass::types::types::Payload as ProbePayload;
use crate::bindings::base::stormglass::types::types::PluginError;
use crate::bindings::collector::exports::stormglass::plugin::collector::Payload;
use crate::bindings::decoder::exports::stormglass::plugin::decoder::Decoded;
use crate::{
    Chunk, Collector, Consumed, Decoder, Error, Function, Label, Metrics, Plugin, Prober, Result, Samples,
    Signature,
};

/// Where an instance keeps its plugin from `init` on.
pub type Slot<P> = RefCell<Option<P>>;

/// Exports a type as a plugin of one kind or more: `export!(MyPlugin: Collector, Detector);`
///
/// The type implements [`Plugin`](crate::Plugin) and the traits that are named. Once in a crate.
#[macro_export]
macro_rules! export {
    ($plugin:ident: $($kind:ident),+ $(,)?) => {
        const _: () = {
            ::std::thread_local! {
                static SLOT: $crate::glue::Slot<$plugin> = const { ::std::cell::RefCell::new(None) };
            }

            struct Exports;

            impl $crate::bindings::base::exports::stormglass::plugin::meta::Guest for Exports {
                fn describe() -> $crate::bindings::base::exports::stormglass::plugin::meta::Info {
                    $crate::glue::describe::<$plugin>(
                        ::std::env!("CARGO_PKG_NAME"),
                        ::std::env!("CARGO_PKG_VERSION"),
                        ::std::env!("CARGO_PKG_DESCRIPTION"),
                    )
                }
            }

            impl $crate::bindings::base::exports::stormglass::plugin::lifecycle::Guest for Exports {
                fn init(
                    config: ::std::string::String,
                ) -> ::std::result::Result<(), $crate::glue::PluginError> {
                    SLOT.with(|slot| $crate::glue::init::<$plugin>(slot, &config))
                }
            }

            // The names of the exports are no symbols that a native linker takes, and natively there is nobody to
            // call them. There the impls are only type-checked, and the plugin counts as used.
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::base::export_base!(Exports with_types_in $crate::bindings::base);
            #[cfg(not(target_arch = "wasm32"))]
            const _: fn(::std::string::String) -> ::std::result::Result<(), $crate::glue::PluginError> =
                <Exports as $crate::bindings::base::exports::stormglass::plugin::lifecycle::Guest>::init;
            $($crate::__export_kind!($kind);)+
        };
    };
}

/// Exports one kind. The names `Exports` and `SLOT` are those of [`export!`](crate::export).
#[doc(hidden)]
#[macro_export]
macro_rules! __export_kind {
    (Collector) => {
        impl $crate::bindings::collector::exports::stormglass::plugin::collector::Guest for Exports {
            fn collect(
                deadline_ms: u64,
            ) -> ::std::result::Result<
                $crate::bindings::collector::exports::stormglass::plugin::collector::Payload,
                $crate::glue::PluginError,
            > {
                SLOT.with(|slot| $crate::glue::call(slot, |plugin| $crate::glue::collect(plugin, deadline_ms)))
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::collector::export_collector!(Exports with_types_in $crate::bindings::collector);
    };
    (Discoverer) => {
        impl $crate::bindings::discoverer::exports::stormglass::plugin::discoverer::Guest for Exports {
            fn poll() -> ::std::result::Result<$crate::Snapshot, $crate::glue::PluginError> {
                SLOT.with(|slot| $crate::glue::call(slot, $crate::Discoverer::poll))
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::discoverer::export_discoverer!(Exports with_types_in $crate::bindings::discoverer);
    };
    (Receiver) => {
        impl $crate::bindings::receiver::exports::stormglass::plugin::receiver::Guest for Exports {
            fn notify(
                notification: $crate::Notification,
            ) -> ::std::result::Result<(), $crate::glue::PluginError> {
                SLOT.with(|slot| {
                    $crate::glue::call(slot, |plugin| $crate::Receiver::notify(plugin, &notification))
                })
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::receiver::export_receiver!(Exports with_types_in $crate::bindings::receiver);
    };
    (Detector) => {
        impl $crate::bindings::detector::exports::stormglass::plugin::detector::Guest for Exports {
            fn detect(job: $crate::Job) -> ::std::result::Result<$crate::Scores, $crate::glue::PluginError> {
                SLOT.with(|slot| $crate::glue::call(slot, |plugin| $crate::Detector::detect(plugin, &job)))
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::detector::export_detector!(Exports with_types_in $crate::bindings::detector);
    };
    (Prober) => {
        impl $crate::bindings::prober::exports::stormglass::plugin::prober::Guest for Exports {
            fn probe(
                target: ::std::string::String,
                params: ::std::vec::Vec<$crate::Label>,
                deadline_ms: u64,
            ) -> ::std::result::Result<$crate::glue::ProbePayload, $crate::glue::PluginError> {
                SLOT.with(|slot| {
                    $crate::glue::call(slot, |plugin| {
                        $crate::glue::probe(plugin, &target, &params, deadline_ms)
                    })
                })
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::prober::export_prober!(Exports with_types_in $crate::bindings::prober);
    };
    (Trainer) => {
        impl $crate::bindings::trainer::exports::stormglass::plugin::trainer::Guest for Exports {
            fn train(
                history: $crate::History,
                prior: ::std::vec::Vec<u8>,
            ) -> ::std::result::Result<::std::vec::Vec<u8>, $crate::glue::PluginError> {
                SLOT.with(|slot| {
                    $crate::glue::call(slot, |plugin| $crate::Trainer::train(plugin, &history, &prior))
                })
            }

            fn load(
                model: ::std::vec::Vec<u8>,
            ) -> ::std::result::Result<(), $crate::glue::PluginError> {
                SLOT.with(|slot| $crate::glue::call(slot, |plugin| $crate::Trainer::load(plugin, &model)))
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::trainer::export_trainer!(Exports with_types_in $crate::bindings::trainer);
    };
    (Decoder) => {
        impl $crate::bindings::decoder::exports::stormglass::plugin::decoder::Guest for Exports {
            fn decode(
                chunk: $crate::Chunk,
            ) -> ::std::result::Result<
                $crate::bindings::decoder::exports::stormglass::plugin::decoder::Decoded,
                $crate::glue::PluginError,
            > {
                SLOT.with(|slot| $crate::glue::call(slot, |plugin| $crate::glue::decode(plugin, &chunk)))
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::decoder::export_decoder!(Exports with_types_in $crate::bindings::decoder);
    };
    (Function) => {
        impl $crate::bindings::function::exports::stormglass::plugin::function::Guest for Exports {
            fn signatures() -> ::std::vec::Vec<$crate::Signature> {
                SLOT.with($crate::glue::signatures)
            }

            fn eval(
                call: $crate::FunctionCall,
            ) -> ::std::result::Result<::std::vec::Vec<f64>, $crate::glue::PluginError> {
                SLOT.with(|slot| $crate::glue::call(slot, |plugin| $crate::Function::eval(plugin, &call)))
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::function::export_function!(Exports with_types_in $crate::bindings::function);
    };
    (SampleProcessor) => {
        impl $crate::bindings::sample_processor::exports::stormglass::plugin::sample_processor::Guest for Exports {
            fn process(
                batch: $crate::Batch,
            ) -> ::std::result::Result<$crate::Batch, $crate::glue::PluginError> {
                SLOT.with(|slot| {
                    $crate::glue::call(slot, |plugin| $crate::SampleProcessor::process(plugin, batch))
                })
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::sample_processor::export_sample_processor!(
            Exports with_types_in $crate::bindings::sample_processor
        );
    };
    (SpanProcessor) => {
        impl $crate::bindings::span_processor::exports::stormglass::plugin::span_processor::Guest for Exports {
            fn process(
                spans: $crate::Spans,
            ) -> ::std::result::Result<$crate::Spans, $crate::glue::PluginError> {
                SLOT.with(|slot| {
                    $crate::glue::call(slot, |plugin| $crate::SpanProcessor::process(plugin, spans))
                })
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::span_processor::export_span_processor!(
            Exports with_types_in $crate::bindings::span_processor
        );
    };
}

/// Exports a type that implements [`Collector`](crate::Collector). Once in a crate.
#[macro_export]
macro_rules! collector {
    ($plugin:ident) => {
        $crate::export!($plugin: Collector);
    };
}

/// Exports a type that implements [`Discoverer`](crate::Discoverer). Once in a crate.
#[macro_export]
macro_rules! discoverer {
    ($plugin:ident) => {
        $crate::export!($plugin: Discoverer);
    };
}

/// Exports a type that implements [`Receiver`](crate::Receiver). Once in a crate.
#[macro_export]
macro_rules! receiver {
    ($plugin:ident) => {
        $crate::export!($plugin: Receiver);
    };
}

/// Exports a type that implements [`Detector`](crate::Detector). Once in a crate.
#[macro_export]
macro_rules! detector {
    ($plugin:ident) => {
        $crate::export!($plugin: Detector);
    };
}

/// Exports a type that implements [`Prober`](crate::Prober). Once in a crate.
#[macro_export]
macro_rules! prober {
    ($plugin:ident) => {
        $crate::export!($plugin: Prober);
    };
}

/// Exports a type that implements [`Decoder`](crate::Decoder). Once in a crate.
#[macro_export]
macro_rules! decoder {
    ($plugin:ident) => {
        $crate::export!($plugin: Decoder);
    };
}

/// Exports a type that implements [`Function`](crate::Function). Once in a crate.
#[macro_export]
macro_rules! function {
    ($plugin:ident) => {
        $crate::export!($plugin: Function);
    };
}

/// Exports a type that implements [`SampleProcessor`](crate::SampleProcessor). Once in a crate.
#[macro_export]
macro_rules! sample_processor {
    ($plugin:ident) => {
        $crate::export!($plugin: SampleProcessor);
    };
}

/// Exports a type that implements [`SpanProcessor`](crate::SpanProcessor). Once in a crate.
#[macro_export]
macro_rules! span_processor {
    ($plugin:ident) => {
        $crate::export!($plugin: SpanProcessor);
    };
}

/// Answers `meta.describe`.
pub fn describe<P: Plugin>(name: &str, version: &str, description: &str) -> meta::Info {
    report_panics();
    let wish = |wish: &crate::Wish| meta::Wish {
        capability: wish.capability.into(),
        target: wish.target.into(),
        reason: wish.reason.into(),
    };
    meta::Info {
        name: name.into(),
        version: version.into(),
        description: description.into(),
        config_schema: P::CONFIG_SCHEMA.into(),
        wishes: P::WISHES.iter().map(wish).collect(),
    }
}

/// Answers `lifecycle.init`.
pub fn init<P: Plugin>(slot: &Slot<P>, config: &str) -> Result<(), PluginError> {
    report_panics();
    let plugin = parse_config(config).and_then(P::init)?;
    *slot.borrow_mut() = Some(plugin);
    Ok(())
}

/// Reads a configuration as `init` does.
pub(crate) fn parse_config<C: serde::de::DeserializeOwned>(config: &str) -> Result<C> {
    serde_json::from_str(config).map_err(|e| Error::permanent(format!("configuration does not fit: {e}")))
}

/// Answers a call of a kind.
pub fn call<P: Plugin, T>(slot: &Slot<P>, f: impl FnOnce(&mut P) -> Result<T>) -> Result<T, PluginError> {
    match &mut *slot.borrow_mut() {
        Some(plugin) => Ok(f(plugin)?),
        None => Err(Error::permanent("plugin was called before init").into()),
    }
}

/// Collects into columns or text.
pub fn collect<P: Collector>(plugin: &mut P, deadline_ms: u64) -> Result<Payload> {
    let mut metrics = Metrics::with_deadline(Duration::from_millis(deadline_ms));
    plugin.collect(&mut metrics)?;
    metrics.into_payload()
}

/// Probes into columns or text.
pub fn probe<P: Prober>(
    plugin: &mut P,
    target: &str,
    params: &[Label],
    deadline_ms: u64,
) -> Result<ProbePayload> {
    let mut metrics = Metrics::with_deadline(Duration::from_millis(deadline_ms));
    plugin.probe(target, params, &mut metrics)?;
    Ok(match metrics.into_payload()? {
        Payload::Text(text) => ProbePayload::Text(text),
        Payload::Protobuf(bytes) => ProbePayload::Protobuf(bytes),
        Payload::Columns(batch) => ProbePayload::Columns(batch),
    })
}

/// Decodes into columns.
pub fn decode<P: Decoder>(plugin: &mut P, chunk: &Chunk) -> Result<Decoded> {
    let mut samples = Samples::new();
    let Consumed { bytes, rejected, reason } = plugin.decode(chunk, &mut samples)?;
    let consumed = u32::try_from(bytes).unwrap_or(u32::MAX);
    Ok(Decoded { batch: samples.into_batch(), consumed, rejected, reason })
}

/// Answers `function.signatures`.
pub fn signatures<P: Function>(_slot: &Slot<P>) -> Vec<Signature> {
    P::signatures()
}

/// Hands the message and place of a panic to the server before the trap, which says neither.
fn report_panics() {
    if cfg!(target_arch = "wasm32") {
        std::panic::set_hook(Box::new(|panic| crate::host::log::stderr(&format!("{panic}\n"))));
    }
}

#[cfg(test)]
mod tests;
