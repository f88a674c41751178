//! The wasmtime engine that all plugins share, and the clock that interrupts them.
//!
//! Guests run on fibres and hand the thread back at every tick of the epoch, so that one that spins takes turns with
//! everything else and meets its deadline within a tick.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use parking_lot::Mutex;

use wasmtime::component::Linker;
use wasmtime::{Config, Engine};

use crate::bindings::stormglass::host;
use crate::error::PluginError;
use crate::state::{Own, State};

/// How often running guests are interrupted to look at their deadline and let others run.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// So many ticks without a guest that runs, and the clock rests: short calls that follow one another do not wake it each
/// time, and a server whose plugins have nothing to do wakes for nothing.
const IDLE_TICKS_MAX: u32 = 10;
/// A clock that rests looks so often whether its engine is gone.
const REST: Duration = Duration::from_secs(1);

/// Stack of a guest: room for deep recursion in interpreters, little enough for hundreds of plugins.
const GUEST_STACK_BYTES: usize = 512 << 10;
/// Stack of the fibre: the guest's, and what host functions need below it.
const FIBRE_STACK_BYTES: usize = 2 << 20;

/// How many guests run, which is what the clock ticks for.
#[derive(Default)]
pub(crate) struct Running {
    guests: AtomicUsize,
    rests: AtomicBool,
    clock: Mutex<Option<Thread>>,
}

/// A guest runs for as long as this lives.
pub(crate) struct Runs(Arc<Running>);

impl Running {
    /// A guest begins to run.
    pub(crate) fn enter(self: &Arc<Self>) -> Runs {
        self.guests.fetch_add(1, Ordering::SeqCst);
        // Either this sees that the clock rests, or the clock, which says so first, sees the guest.
        if self.rests.load(Ordering::SeqCst)
            && let Some(clock) = &*self.clock.lock()
        {
            clock.unpark();
        }
        Runs(Arc::clone(self))
    }

    /// Waits until the next tick is due: for longer where nobody runs.
    fn wait(&self, idle_ticks: &mut u32) {
        match self.guests.load(Ordering::SeqCst) {
            0 => *idle_ticks += 1,
            _ => *idle_ticks = 0,
        }
        if *idle_ticks < IDLE_TICKS_MAX {
            return thread::sleep(TICK);
        }
        self.rests.store(true, Ordering::SeqCst);
        if self.guests.load(Ordering::SeqCst) == 0 {
            thread::park_timeout(REST);
        }
        self.rests.store(false, Ordering::SeqCst);
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.guests.fetch_sub(1, Ordering::SeqCst);
    }
}

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

/// Makes the engine and starts its clock, which ticks while guests run and stops when the engine is gone.
pub(crate) fn start() -> Result<(Engine, Arc<Running>), PluginError> {
    let engine = Engine::new(&config()).map_err(|error| PluginError::Host(format!("{error:#}")))?;

    let running = Arc::new(Running::default());
    let (weak, seen) = (engine.weak(), Arc::clone(&running));
    let clock = thread::Builder::new()
        .name("plugin-epoch".to_owned())
        .spawn(move || {
            let mut idle_ticks = 0;
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                seen.wait(&mut idle_ticks);
            }
        })
        .map_err(|error| PluginError::Host(format!("starting the epoch clock: {error}")))?;
    *running.clock.lock() = Some(clock.thread().clone());
    Ok((engine, running))
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
