//! How a plugin's type becomes a component's exports: [`export!`](crate::export), and the functions that it calls.

use std::cell::RefCell;
use std::time::Duration;

use crate::bindings::base::exports::stormglass::plugin::meta;
use crate::bindings::base::stormglass::types::types::PluginError;
use crate::bindings::collector::exports::stormglass::plugin::collector::Payload;
use crate::{Collector, Error, Metrics, Plugin, Result};

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

/// Hands the message and place of a panic to the server before the trap, which says neither.
fn report_panics() {
    if cfg!(target_arch = "wasm32") {
        std::panic::set_hook(Box::new(|panic| crate::host::log::stderr(&format!("{panic}\n"))));
    }
}

#[cfg(test)]
mod tests;
