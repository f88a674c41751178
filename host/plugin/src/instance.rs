//! A configured plugin that runs: one store, calls one after another, and a new store after each loss.
//!
//! A guest that fails costs its own call and nothing else. Where a failure may have left it half way through
//! something, its store is dropped and the next call begins with a new one. One that keeps failing is left alone for
//! a time that doubles, so that it cannot keep the server busy with restarts.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use wasmtime::Store;

use crate::bindings::exports::stormglass::plugin as exports;
use crate::call::{Abandonment, Call, Deadline, Failure, call};
use crate::component::Loaded;
use crate::config::PluginConfig;
use crate::error::{CallError, FailureKind, Operation};
use crate::imports::log::printable;
use crate::kinds::Kind;
use crate::kinds::collector::{Collect, Payload};
use crate::kinds::detector::{Detect, Job, Scores};
use crate::kinds::discoverer::{Poll, Snapshot};
use crate::kinds::lifecycle::{Describe, Info, Init, Instantiate};
use crate::kinds::receiver::{Notification, Notify};
use crate::limits::{DESCRIBE_DEADLINE, LOG_LINE_BYTES_MAX};
use crate::state::{State, Tenant};
use crate::status::{Health, InstanceStatus};
use crate::watch::FileStamp;

/// The first pause of a plugin that failed twice in a row.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// A configured plugin that runs.
pub struct Instance {
    config: PluginConfig,
    /// `config.config` as JSON text, for `init`.
    config_json: String,
    info: Info,
    version: Arc<str>,
    loaded: Arc<Loaded>,
    tenant: Tenant,
    stamp: FileStamp,
    slot: Mutex<Slot>,
    /// Apart from the slot, so that a status never waits for a call.
    health: parking_lot::Mutex<Health>,
}

/// Where the guest is, while it is not being called.
struct Slot {
    /// None after a failure, and while a call is under way: a call that is abandoned half way takes its store along.
    guest: Option<Guest>,
    /// Losses in a row.
    losses: u32,
    /// Not before this moment may there be a new guest.
    resting_until: Option<Instant>,
    /// What was lost last, for those who are turned away.
    last_loss: String,
}

/// An instance in its store.
pub(crate) struct Guest {
    store: Store<State>,
    collector: Option<exports::collector::Guest>,
    discoverer: Option<exports::discoverer::Guest>,
    receiver: Option<exports::receiver::Guest>,
    detector: Option<exports::detector::Guest>,
}

fn new_store(loaded: &Loaded, tenant: &Tenant) -> Store<State> {
    let mut store = Store::new(loaded.pre.engine(), State::new(tenant.clone()));
    store.limiter(|state| &mut state.memory);
    store.epoch_deadline_callback(|context| {
        if context.data().call.deadline <= Instant::now() {
            Ok(wasmtime::UpdateDeadline::Interrupt)
        } else {
            Ok(wasmtime::UpdateDeadline::Yield(1))
        }
    });
    store
}

/// The error for the shape of a component that changed between compiling and looking; never seen.
fn abi(operation: Operation, error: &wasmtime::Error) -> Failure {
    Failure {
        operation,
        kind: FailureKind::Abi,
        message: format!("{error:#}"),
        stderr: String::new(),
        lost_guest: true,
    }
}

/// Asks a plugin who it is, in an instance of its own that is granted nothing.
pub(crate) async fn describe(loaded: &Loaded, tenant: &Tenant) -> Result<Info, Failure> {
    let tenant = Tenant { grants: Arc::default(), ..tenant.clone() };
    let mut store = new_store(loaded, &tenant);
    let time = DESCRIBE_DEADLINE.min(tenant.limits.deadline.0);
    let instance = call(&mut store, Deadline::after(time), Instantiate(&loaded.pre)).await?;
    let meta = loaded
        .interfaces
        .meta
        .load(&mut store, &instance)
        .map_err(|error| abi(Operation::Describe, &error))?;
    call(&mut store, Deadline::after(time), Describe(meta)).await
}

impl Guest {
    /// Makes a store, an instance in it, and starts that, all before the deadline.
    pub(crate) async fn start(
        loaded: &Loaded,
        tenant: &Tenant,
        config: &str,
        deadline: Deadline,
    ) -> Result<Self, Failure> {
        let mut store = new_store(loaded, tenant);
        let instance = call(&mut store, deadline, Instantiate(&loaded.pre)).await?;
        let interfaces = &loaded.interfaces;
        let load = |error: wasmtime::Error| abi(Operation::Init, &error);
        let lifecycle = interfaces.lifecycle.load(&mut store, &instance).map_err(load)?;
        let guest = Self {
            collector: interfaces
                .collector
                .as_ref()
                .map(|i| i.load(&mut store, &instance))
                .transpose()
                .map_err(load)?,
            discoverer: interfaces
                .discoverer
                .as_ref()
                .map(|i| i.load(&mut store, &instance))
                .transpose()
                .map_err(load)?,
            receiver: interfaces
                .receiver
                .as_ref()
                .map(|i| i.load(&mut store, &instance))
                .transpose()
                .map_err(load)?,
            detector: interfaces
                .detector
                .as_ref()
                .map(|i| i.load(&mut store, &instance))
                .transpose()
                .map_err(load)?,
            store,
        };
        let mut guest = guest;
        call(&mut guest.store, deadline, Init { guest: lifecycle, config }).await?;
        Ok(guest)
    }
}

impl Slot {
    /// Notes that a guest was lost and how long to leave the plugin alone. The first loss may be an accident.
    fn lose(&mut self, failure: &Failure, now: Instant) {
        self.losses = self.losses.saturating_add(1);
        self.last_loss = format!("{} ({})", failure.message, failure.kind);
        self.resting_until = match self.losses {
            0 | 1 => None,
            n => {
                let pause = BACKOFF_FIRST.saturating_mul(1 << (n - 2).min(16)).min(BACKOFF_MAX);
                Some(now + pause)
            }
        };
    }

    /// How long the plugin is still being left alone, where it is.
    fn rest(&self, now: Instant) -> Option<Duration> {
        let left = self.resting_until?.saturating_duration_since(now);
        (self.guest.is_none() && !left.is_zero()).then_some(left)
    }
}

impl Instance {
    /// An instance around a guest that has been started.
    pub(crate) fn new(
        config: PluginConfig,
        config_json: String,
        info: Info,
        loaded: Arc<Loaded>,
        tenant: Tenant,
        guest: Guest,
        stamp: FileStamp,
    ) -> Self {
        let slot = Slot { guest: Some(guest), losses: 0, resting_until: None, last_loss: String::new() };
        let version = Arc::from(info.version.as_str());
        let (slot, health) = (Mutex::new(slot), parking_lot::Mutex::default());
        Self { config, config_json, info, version, loaded, tenant, stamp, slot, health }
    }

    /// The configured name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The configuration it was started with.
    pub fn config(&self) -> &PluginConfig {
        &self.config
    }

    /// Who the plugin says it is.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// SHA-256 of the plugin's file, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.loaded.digest
    }

    /// The file it was started from, as it was then.
    pub(crate) fn stamp(&self) -> &FileStamp {
        &self.stamp
    }

    /// The kinds it is of.
    pub fn kinds(&self) -> Vec<Kind> {
        self.loaded.interfaces.kinds()
    }

    /// How it has been doing.
    pub fn status(&self) -> InstanceStatus {
        self.health.lock().status(Instant::now())
    }

    /// Collects once, within `timeout` or the plugin's own limit, whichever is shorter.
    ///
    /// # Errors
    /// [`CallError`] of any kind; the next call starts afresh where it has to.
    pub async fn collect(&self, timeout: Duration) -> Result<Payload, CallError> {
        let time = timeout.min(self.config.limits.deadline.0);
        self.call(time, |guest| guest.collector.clone().map(Collect)).await
    }

    /// Looks for targets once.
    ///
    /// # Errors
    /// [`CallError`] of any kind; the caller keeps the targets it has.
    pub async fn poll(&self) -> Result<Snapshot, CallError> {
        self.call(self.config.limits.deadline.0, |guest| guest.discoverer.clone().map(Poll)).await
    }

    /// Delivers one notification.
    ///
    /// # Errors
    /// [`CallError`] of any kind; [`FailureKind::is_retryable`] says whether another attempt makes sense.
    pub async fn notify(&self, notification: Notification) -> Result<(), CallError> {
        self.call(self.config.limits.deadline.0, |guest| {
            Some(Notify { guest: guest.receiver.clone()?, notification })
        })
        .await
    }

    /// Scores series.
    ///
    /// # Errors
    /// [`CallError`] of any kind.
    pub async fn detect(&self, job: Job) -> Result<Scores, CallError> {
        self.call(self.config.limits.deadline.0, |guest| Some(Detect { guest: guest.detector.clone()?, job }))
            .await
    }

    /// Calls the guest when its turn comes, with a new guest where there is none. All of that together, the wait for
    /// the turn included, takes at most `time`.
    ///
    /// A caller may drop the call at any moment. It is counted then, and the guest goes with it if it was entered.
    async fn call<C: Call>(
        &self,
        time: Duration,
        make: impl FnOnce(&Guest) -> Option<C> + Send,
    ) -> Result<C::Answer, CallError> {
        self.health.lock().called();
        let deadline = Deadline::after(time);
        let waiting = Abandonment::watch(&self.tenant, C::OPERATION, None);
        let slot = tokio::time::timeout_at(deadline.at, self.slot.lock()).await;
        waiting.end();
        let (answer, resting_until) = match slot {
            Ok(mut slot) => (self.call_in(&mut slot, deadline, make).await, slot.resting_until),
            Err(_) => {
                (Err(self.refuse::<C>(FailureKind::Deadline, "another call did not end in time")), None)
            }
        };
        let answer = answer.map_err(|failure| {
            let Failure { operation, kind, message, stderr, .. } = failure;
            let plugin = Arc::clone(&self.tenant.name);
            CallError { plugin, version: Arc::clone(&self.version), operation, kind, message, stderr }
        });
        match &answer {
            Ok(_) => {
                if self.health.lock().succeeded(C::OPERATION) {
                    let (plugin, version) = (self.name(), &*self.version);
                    tracing::info!(plugin, version, operation = %C::OPERATION, "the plugin answers again");
                }
            }
            Err(error) => {
                if self.health.lock().failed(C::OPERATION, error, resting_until) {
                    log_failure(error);
                }
            }
        }
        answer
    }

    /// A failure that the guest has no part in and survives.
    fn refuse<C: Call>(&self, kind: FailureKind, message: impl Into<String>) -> Failure {
        self.tenant.metrics.observe_refused(&self.tenant.name, C::OPERATION, kind.as_str());
        let (operation, message) = (C::OPERATION, message.into());
        Failure { operation, kind, message, stderr: String::new(), lost_guest: false }
    }

    async fn call_in<C: Call>(
        &self,
        slot: &mut Slot,
        deadline: Deadline,
        make: impl FnOnce(&Guest) -> Option<C> + Send,
    ) -> Result<C::Answer, Failure> {
        if let Some(retry_after) = slot.rest(Instant::now()) {
            let message = format!("failed {} times in a row, the last time: {}", slot.losses, slot.last_loss);
            return Err(self.refuse::<C>(FailureKind::Suspended { retry_after }, message));
        }
        let mut guest = match slot.guest.take() {
            Some(guest) => guest,
            None => {
                self.tenant.metrics.restarts.with_label_values(&[&*self.tenant.name]).inc();
                let started = Guest::start(&self.loaded, &self.tenant, &self.config_json, deadline).await;
                started.inspect_err(|failure| slot.lose(failure, Instant::now()))?
            }
        };
        let Some(prepared) = make(&guest) else {
            slot.guest = Some(guest);
            let message = format!("the plugin does not export what {} needs", C::OPERATION);
            return Err(self.refuse::<C>(FailureKind::Abi, message));
        };
        // A guest that took all of the time to start is there for the next call.
        if deadline.at <= Instant::now() {
            slot.guest = Some(guest);
            return Err(self.refuse::<C>(FailureKind::Deadline, deadline.missed()));
        }
        let answer = call(&mut guest.store, deadline, prepared).await;
        match &answer {
            Err(failure) if failure.lost_guest => {
                drop(guest);
                self.tenant.metrics.memory.with_label_values(&[&*self.tenant.name]).set(0);
                slot.lose(failure, Instant::now());
            }
            _ => {
                slot.guest = Some(guest);
                slot.losses = 0;
                slot.resting_until = None;
            }
        }
        answer
    }
}

/// Tells the operator of a failure, with the end of what the guest wrote: the cause stands last.
fn log_failure(error: &CallError) {
    let CallError { plugin, version, operation, kind, message, stderr } = error;
    let stderr = stderr.trim_end();
    let from = stderr.ceil_char_boundary(stderr.len().saturating_sub(LOG_LINE_BYTES_MAX));
    let stderr = printable(stderr.split_at(from).1);
    let message = printable(message);
    let (plugin, version) = (&**plugin, &**version);
    tracing::warn!(plugin, version, %operation, %kind, error = message, stderr, "a plugin fails");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_that_keeps_failing_is_left_alone_for_longer_and_longer() {
        let failure = || Failure {
            operation: Operation::Collect,
            kind: FailureKind::Trap,
            message: "boom".to_owned(),
            stderr: String::new(),
            lost_guest: true,
        };
        let mut slot = Slot { guest: None, losses: 0, resting_until: None, last_loss: String::new() };
        let mut now = Instant::now();
        slot.lose(&failure(), now);
        assert_eq!(slot.rest(now), None, "the first loss may be an accident");
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            let pause = Duration::from_secs(pause);
            slot.lose(&failure(), now);
            assert_eq!(slot.rest(now), Some(pause));
            now += pause;
            assert_eq!(slot.rest(now), None);
        }
        slot.losses = u32::MAX;
        slot.lose(&failure(), now);
        assert_eq!(slot.rest(now), Some(BACKOFF_MAX));
        assert_eq!((slot.losses, slot.last_loss.as_str()), (u32::MAX, "boom (trap)"));
    }
}
