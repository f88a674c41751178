//! The wasmtime engine that all plugins share, and the clock that interrupts them.
//!
//! Guests run on fibres and hand the thread back at every tick of the epoch, so that one that spins takes turns with
//! everything else and meets its deadline within a tick.

use std::time::Duration;

use wasmtime::component::Linker;
use wasmtime::{Config, Engine};

use crate::bindings::stormglass::host;
use crate::error::PluginError;
use crate::state::{Own, State};

/// How often running guests are interrupted to look at their deadline and let others run.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Stack of a guest: room for deep recursion in interpreters, little enough for hundreds of plugins.
const GUEST_STACK_BYTES: usize = 512 << 10;
/// Stack of the fibre: the guest's, and what host functions need below it.
const FIBRE_STACK_BYTES: usize = 2 << 20;

/// How code is made: the same where it is compiled and where it runs.
pub(crate) fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // All our interfaces are synchronous; without support for anything else each call is twice as fast.
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .async_stack_size(FIBRE_STACK_BYTES);
    config
}

/// Makes the engine and starts its clock, which stops when the engine is gone.
pub(crate) fn start() -> Result<Engine, PluginError> {
    let engine = Engine::new(&config()).map_err(|error| PluginError::Host(format!("{error:#}")))?;

    let clock = engine.weak();
    std::thread::Builder::new()
        .name("plugin-epoch".to_owned())
        .spawn(move || {
            while let Some(engine) = clock.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        })
        .map_err(|error| PluginError::Host(format!("starting the epoch clock: {error}")))?;
    Ok(engine)
}

/// Everything a guest can import: our own interfaces, which ask its grants, and an empty WASI for runtimes that
/// cannot start without one.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<State>, PluginError> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)
        .and_then(|()| host::log::add_to_linker::<_, Own>(&mut linker, |state| state))
        .and_then(|()| host::clock::add_to_linker::<_, Own>(&mut linker, |state| state))
        .and_then(|()| host::http::add_to_linker::<_, Own>(&mut linker, |state| state))
        .and_then(|()| host::files::add_to_linker::<_, Own>(&mut linker, |state| state))
        .and_then(|()| host::kv::add_to_linker::<_, Own>(&mut linker, |state| state))
        .and_then(|()| host::secrets::add_to_linker::<_, Own>(&mut linker, |state| state))
        .and_then(|()| host::telemetry::add_to_linker::<_, Own>(&mut linker, |state| state))
        .and_then(|()| host::query::add_to_linker::<_, Own>(&mut linker, |state| state))
        .and_then(|()| host::net::add_to_linker::<_, Own>(&mut linker, |state| state))
        .and_then(|()| host::dns::add_to_linker::<_, Own>(&mut linker, |state| state))
        .and_then(|()| host::http_trace::add_to_linker::<_, Own>(&mut linker, |state| state))
        .map_err(|error| PluginError::Host(format!("{error:#}")))?;
    Ok(linker)
}
