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
use crate::call::{Call, Failure, call};
use crate::component::Loaded;
use crate::config::PluginConfig;
use crate::error::{CallError, FailureKind, Operation};
use crate::host::FileStamp;
use crate::kinds::Kind;
use crate::kinds::collector::{Collect, Payload};
use crate::kinds::detector::{Detect, Job, Scores};
use crate::kinds::discoverer::{Poll, Snapshot};
use crate::kinds::lifecycle::{Describe, Info, Init, Instantiate};
use crate::kinds::receiver::{Notification, Notify};
use crate::limits::DESCRIBE_DEADLINE;
use crate::state::{State, Tenant};

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
    stamp: Option<FileStamp>,
    slot: Mutex<Slot>,
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
    let instance = call(&mut store, time, Instantiate(&loaded.pre)).await?;
    let meta = loaded
        .interfaces
        .meta
        .load(&mut store, &instance)
        .map_err(|error| abi(Operation::Describe, &error))?;
    call(&mut store, time, Describe(meta)).await
}

impl Guest {
    /// Makes a store, an instance in it, and starts that.
    pub(crate) async fn start(loaded: &Loaded, tenant: &Tenant, config: &str) -> Result<Self, Failure> {
        let time = tenant.limits.deadline.0;
        let mut store = new_store(loaded, tenant);
        let instance = call(&mut store, time, Instantiate(&loaded.pre)).await?;
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
        call(&mut guest.store, time, Init { guest: lifecycle, config }).await?;
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

    /// The guest, or the error for a plugin that is being left alone.
    fn take(&mut self, operation: Operation, now: Instant) -> Result<Option<Guest>, Failure> {
        let left = self.resting_until.map(|until| until.saturating_duration_since(now));
        match left {
            Some(retry_after) if self.guest.is_none() && !retry_after.is_zero() => Err(Failure {
                operation,
                kind: FailureKind::Suspended { retry_after },
                message: format!("failed {} times in a row, the last time: {}", self.losses, self.last_loss),
                stderr: String::new(),
                lost_guest: false,
            }),
            _ => Ok(self.guest.take()),
        }
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
        stamp: Option<FileStamp>,
    ) -> Self {
        let slot = Slot { guest: Some(guest), losses: 0, resting_until: None, last_loss: String::new() };
        let version = Arc::from(info.version.as_str());
        Self { config, config_json, info, version, loaded, tenant, stamp, slot: Mutex::new(slot) }
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

    /// The file it was started from, as it was then; none where it was in no file.
    pub(crate) fn stamp(&self) -> Option<&FileStamp> {
        self.stamp.as_ref()
    }

    /// The kinds it is of.
    pub fn kinds(&self) -> Vec<Kind> {
        self.loaded.interfaces.kinds()
    }

    /// Collects once.
    ///
    /// # Errors
    /// [`CallError`] of any kind; the next call starts afresh where it has to.
    pub async fn collect(&self) -> Result<Payload, CallError> {
        let deadline = self.config.limits.deadline.0;
        self.call(|guest| Some(Collect { guest: guest.collector.clone()?, deadline })).await
    }

    /// Looks for targets once.
    ///
    /// # Errors
    /// [`CallError`] of any kind; the caller keeps the targets it has.
    pub async fn poll(&self) -> Result<Snapshot, CallError> {
        self.call(|guest| guest.discoverer.clone().map(Poll)).await
    }

    /// Delivers one notification.
    ///
    /// # Errors
    /// [`CallError`] of any kind; [`FailureKind::is_retryable`] says whether another attempt makes sense.
    pub async fn notify(&self, notification: Notification) -> Result<(), CallError> {
        self.call(|guest| Some(Notify { guest: guest.receiver.clone()?, notification })).await
    }

    /// Scores series.
    ///
    /// # Errors
    /// [`CallError`] of any kind.
    pub async fn detect(&self, job: Job) -> Result<Scores, CallError> {
        self.call(|guest| Some(Detect { guest: guest.detector.clone()?, job })).await
    }

    /// Calls the guest when its turn comes, with a new guest where there is none.
    async fn call<C: Call>(
        &self,
        make: impl FnOnce(&Guest) -> Option<C> + Send,
    ) -> Result<C::Answer, CallError> {
        let mut slot = self.slot.lock().await;
        self.call_in(&mut slot, make).await.map_err(|failure| {
            let Failure { operation, kind, message, stderr, .. } = failure;
            let plugin = Arc::clone(&self.tenant.name);
            CallError { plugin, version: Arc::clone(&self.version), operation, kind, message, stderr }
        })
    }

    async fn call_in<C: Call>(
        &self,
        slot: &mut Slot,
        make: impl FnOnce(&Guest) -> Option<C> + Send,
    ) -> Result<C::Answer, Failure> {
        let taken = slot.take(C::OPERATION, Instant::now()).inspect_err(|failure| {
            self.tenant.metrics.observe_refused(&self.tenant.name, C::OPERATION, failure.kind.as_str());
        })?;
        let mut guest = match taken {
            Some(guest) => guest,
            None => {
                self.tenant.metrics.restarts.with_label_values(&[&*self.tenant.name]).inc();
                let started = Guest::start(&self.loaded, &self.tenant, &self.config_json).await;
                started.inspect_err(|failure| slot.lose(failure, Instant::now()))?
            }
        };
        let Some(prepared) = make(&guest) else {
            slot.guest = Some(guest);
            let message = format!("the plugin does not export what {} needs", C::OPERATION);
            let kind = FailureKind::Abi;
            return Err(Failure {
                operation: C::OPERATION,
                kind,
                message,
                stderr: String::new(),
                lost_guest: false,
            });
        };
        let answer = call(&mut guest.store, self.config.limits.deadline.0, prepared).await;
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
        assert!(slot.take(Operation::Collect, now).is_ok(), "the first loss may be an accident");
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            let pause = Duration::from_secs(pause);
            slot.lose(&failure(), now);
            let refused = slot.take(Operation::Poll, now).err().unwrap();
            assert_eq!(refused.kind, FailureKind::Suspended { retry_after: pause });
            now += pause;
            assert!(slot.take(Operation::Poll, now).is_ok());
        }
        slot.losses = u32::MAX;
        slot.lose(&failure(), now);
        let refused = slot.take(Operation::Poll, now).err().unwrap();
        assert_eq!(refused.kind, FailureKind::Suspended { retry_after: BACKOFF_MAX });
        assert_eq!(refused.message, "failed 4294967295 times in a row, the last time: boom (trap)");
    }
}
