//! A configured plugin that runs: one store, calls one after another, and a new store after each loss. Functions, which
//! keep nothing between calls, have several.
//!
//! A guest that fails costs its own call and nothing else. Where a failure may have left it half way through
//! something, its store is dropped and the next call begins with a new one. One that keeps failing is left alone for
//! a time that doubles, so that it cannot keep the server busy with restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::span::Span;
use model::{Columns, FunctionCall, Labels};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use wasmtime::Store as WasmStore;

use crate::bindings::exports::stormglass::plugin as exports;
use crate::call::{Abandonment, Call, Deadline, Failure, call};
use crate::component::Loaded;
use crate::config::{PluginConfig, RecycleConfig};
use crate::error::{CallError, FailureKind, Operation};
use crate::imports::log::printable;
use crate::kinds::collector::{Collect, Payload, Probe};
use crate::kinds::decoder::{Chunk, Decode, Decoded};
use crate::kinds::detector::{Detect, Job, Scores};
use crate::kinds::discoverer::{Poll, Snapshot};
use crate::kinds::function::{Eval, Signature, Signatures};
use crate::kinds::lifecycle::{Describe, Info, Init, Instantiate};
use crate::kinds::processor::{ProcessSamples, ProcessSpans};
use crate::kinds::receiver::{Notification, Notify};
use crate::kinds::trainer::{LoadModel, Train};
use crate::kinds::{Kind, Label};
use crate::kv::Store;
use crate::learnt::Model;
use crate::limits::{DESCRIBE_DEADLINE, LOG_LINE_BYTES_MAX};
use crate::losses::{Admission, Losses, Rest};
use crate::state::{State, Tenant};
use crate::status::{Health, InstanceState, InstanceStatus};
use crate::watch::FileStamp;

/// Under which key a model is kept.
const MODEL_KEY: &str = "model";

/// What an instance is made of.
pub(crate) struct Parts {
    pub(crate) config: PluginConfig,
    /// `config.config` as JSON text.
    pub(crate) config_json: String,
    pub(crate) info: Info,
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) tenant: Tenant,
    /// A guest that has been started.
    pub(crate) guest: Guest,
    pub(crate) signatures: Vec<Signature>,
    pub(crate) stamp: FileStamp,
    /// Where a model is kept.
    pub(crate) models: Option<Arc<Store>>,
}

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
    /// Guests that are not being called. One that fails is dropped, and so is one whose caller gave up half way.
    idle: parking_lot::Mutex<Vec<Guest>>,
    /// A turn for each guest that there may be at once.
    turns: Semaphore,
    /// Apart from the guests, as is all that follows, so that nobody waits for a call to look at it.
    losses: Losses,
    health: parking_lot::Mutex<Health>,
    paused: AtomicBool,
    /// What the functions of a plugin are.
    signatures: Vec<Signature>,
    /// What a detector has learnt.
    model: parking_lot::Mutex<Option<Arc<Model>>>,
    /// Where that is kept.
    models: Option<Arc<Store>>,
}

/// An instance in its store.
pub(crate) struct Guest {
    store: WasmStore<State>,
    started: Instant,
    calls: u64,
    /// The model that it has loaded, told apart by where it is.
    model: Option<Arc<Model>>,
    collector: Option<exports::collector::Guest>,
    prober: Option<exports::prober::Guest>,
    discoverer: Option<exports::discoverer::Guest>,
    receiver: Option<exports::receiver::Guest>,
    detector: Option<exports::detector::Guest>,
    trainer: Option<exports::trainer::Guest>,
    decoder: Option<exports::decoder::Guest>,
    function: Option<exports::function::Guest>,
    sample_processor: Option<exports::sample_processor::Guest>,
    span_processor: Option<exports::span_processor::Guest>,
}

fn new_store(loaded: &Loaded, tenant: &Tenant) -> WasmStore<State> {
    let mut store = WasmStore::new(loaded.pre.engine(), State::new(tenant.clone()));
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
    let tenant = Tenant { grants: Arc::default(), kv: None, ..tenant.clone() };
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
        let mut guest = Self {
            started: Instant::now(),
            calls: 0,
            model: None,
            collector: found(&interfaces.collector, |i| i.load(&mut store, &instance)).map_err(load)?,
            prober: found(&interfaces.prober, |i| i.load(&mut store, &instance)).map_err(load)?,
            discoverer: found(&interfaces.discoverer, |i| i.load(&mut store, &instance)).map_err(load)?,
            receiver: found(&interfaces.receiver, |i| i.load(&mut store, &instance)).map_err(load)?,
            detector: found(&interfaces.detector, |i| i.load(&mut store, &instance)).map_err(load)?,
            trainer: found(&interfaces.trainer, |i| i.load(&mut store, &instance)).map_err(load)?,
            decoder: found(&interfaces.decoder, |i| i.load(&mut store, &instance)).map_err(load)?,
            function: found(&interfaces.function, |i| i.load(&mut store, &instance)).map_err(load)?,
            sample_processor: found(&interfaces.sample_processor, |i| i.load(&mut store, &instance))
                .map_err(load)?,
            span_processor: found(&interfaces.span_processor, |i| i.load(&mut store, &instance))
                .map_err(load)?,
            store,
        };
        call(&mut guest.store, deadline, Init { guest: lifecycle, config }).await?;
        Ok(guest)
    }

    /// Asks which functions there are; none where the plugin is of another kind.
    pub(crate) async fn signatures(&mut self, deadline: Deadline) -> Result<Vec<Signature>, Failure> {
        match self.function.clone() {
            Some(guest) => call(&mut self.store, deadline, Signatures(guest)).await,
            None => Ok(Vec::new()),
        }
    }

    /// Why it is to be replaced although nothing is wrong with it, if it is.
    fn worn(&self, recycle: &RecycleConfig) -> Option<&'static str> {
        if recycle.calls.is_some_and(|calls| self.calls >= calls) {
            Some("calls")
        } else if recycle.age.is_some_and(|age| self.started.elapsed() >= age.0) {
            Some("age")
        } else if recycle.memory.is_some_and(|memory| self.store.data().memory.used as u64 >= memory.0) {
            Some("memory")
        } else {
            None
        }
    }
}

/// What `load` gives, where the component has the interface.
fn found<I, T>(
    interface: &Option<I>,
    load: impl FnOnce(&I) -> wasmtime::Result<T>,
) -> wasmtime::Result<Option<T>> {
    interface.as_ref().map(load).transpose()
}

impl Instance {
    /// An instance around a guest that has been started.
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { config, config_json, info, loaded, tenant, guest, signatures, stamp, models } = parts;
        let version = Arc::from(info.version.as_str());
        // Functions keep nothing between calls; what others keep is in their one instance.
        let is_function = loaded.interfaces.kinds() == [Kind::Function];
        let turns = Semaphore::new(if is_function { config.limits.instances as usize } else { 1 });
        let kept = models.as_ref().and_then(|models| models.get(MODEL_KEY, 0));
        let model = kept.and_then(|kept| Model::decode(&kept)).map(Arc::new);
        Self {
            config,
            config_json,
            info,
            version,
            loaded,
            tenant,
            stamp,
            idle: parking_lot::Mutex::new(vec![guest]),
            turns,
            losses: Losses::none(),
            health: parking_lot::Mutex::default(),
            paused: AtomicBool::new(false),
            signatures,
            model: parking_lot::Mutex::new(model),
            models,
        }
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
        let mut status = self.health.lock().status(Instant::now());
        if self.paused.load(Ordering::Relaxed) {
            status.state = InstanceState::Paused;
        }
        let memory = self.tenant.metrics.memory.with_label_values(&[self.name()]).get();
        status.memory_bytes = u64::try_from(memory).unwrap_or(0);
        status
    }

    /// Its functions of PromQL.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Stops calling it, until it is [resumed](Self::resume); a call that is under way ends first.
    pub fn pause(&self) {
        self.paused.store(true, Ordering::Relaxed);
    }

    /// Calls it again, at once even where it was being left alone.
    pub fn resume(&self) {
        self.paused.store(false, Ordering::Relaxed);
        self.losses.forget();
    }

    /// Whether an operator has paused it.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
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

    /// Probes one target, within `timeout` or the plugin's own limit, whichever is shorter.
    ///
    /// # Errors
    /// [`CallError`] of any kind.
    pub async fn probe(
        &self,
        target: String,
        params: Vec<Label>,
        timeout: Duration,
    ) -> Result<Payload, CallError> {
        let time = timeout.min(self.config.limits.deadline.0);
        self.call(time, |guest| Some(Probe { guest: guest.prober.clone()?, target, params })).await
    }

    /// Decodes what came in.
    ///
    /// # Errors
    /// [`CallError`] of any kind; the chunk is lost to the decoder.
    pub async fn decode(&self, chunk: Chunk) -> Result<Decoded, CallError> {
        self.call(self.config.limits.deadline.0, |guest| {
            Some(Decode { guest: guest.decoder.clone()?, chunk })
        })
        .await
    }

    /// Evaluates the function of that name, without its prefix, within `timeout` or the plugin's own limit, whichever is shorter.
    ///
    /// # Errors
    /// [`CallError`] of any kind.
    pub async fn eval(
        &self,
        name: String,
        call: FunctionCall,
        timeout: Duration,
    ) -> Result<Vec<f64>, CallError> {
        let time = timeout.min(self.config.limits.deadline.0);
        self.call(time, |guest| Some(Eval { guest: guest.function.clone()?, name, call })).await
    }

    /// Processes samples.
    ///
    /// # Errors
    /// [`CallError`] of any kind.
    pub async fn process_samples(&self, columns: Columns) -> Result<Columns, CallError> {
        self.call(self.config.limits.deadline.0, |guest| {
            Some(ProcessSamples { guest: guest.sample_processor.clone()?, columns })
        })
        .await
    }

    /// Processes spans.
    ///
    /// # Errors
    /// [`CallError`] of any kind.
    pub async fn process_spans(&self, spans: &[Span]) -> Result<Vec<Span>, CallError> {
        self.call(self.config.limits.deadline.0, |guest| {
            Some(ProcessSpans { guest: guest.span_processor.clone()?, spans })
        })
        .await
    }

    /// Teaches a detector with the history of these series, row by row, and keeps what it has learnt: every guest is given
    /// it from now on.
    ///
    /// # Errors
    /// [`CallError`] of any kind; the detector goes on with what it had.
    pub async fn train(&self, history: Job, series: &[Labels]) -> Result<(), CallError> {
        let prior = self.model.lock().clone();
        let prior = prior.map(|model| model.bytes.clone()).unwrap_or_default();
        let learnt = self
            .call(self.config.limits.deadline.0, |guest| {
                Some(Train { guest: guest.trainer.clone()?, history, prior })
            })
            .await?;
        let model = Arc::new(Model::new(series, learnt));
        if let Some(models) = self.models.clone() {
            let encoded = model.encode();
            let limit = (encoded.len() + MODEL_KEY.len()) as u64;
            let kept = tokio::task::spawn_blocking(move || models.set(MODEL_KEY, encoded, 0, limit, 0)).await;
            if let Ok(Err(error)) = kept {
                tracing::warn!(plugin = self.name(), "the model is used and could not be kept: {error}");
            }
        }
        *self.model.lock() = Some(model);
        Ok(())
    }

    /// What a detector that learns has learnt, in its own form.
    pub fn model(&self) -> Option<Vec<u8>> {
        self.model.lock().as_ref().map(|model| model.bytes.clone())
    }

    /// Which of these series is to stand in each row of a job: in the order of the history that was learnt, with none in a
    /// row whose series is gone; new ones follow.
    pub fn row_order(&self, series: &[Labels]) -> Vec<Option<usize>> {
        match self.model.lock().as_ref() {
            Some(model) => model.order(series),
            None => (0..series.len()).map(Some).collect(),
        }
    }

    /// Whether a detector that learns has a model.
    pub fn has_model(&self) -> bool {
        self.model.lock().is_some()
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
        let turn = tokio::time::timeout_at(deadline.at, self.turns.acquire()).await;
        waiting.end();
        let answer = match turn {
            Ok(_turn) => self.call_one(deadline, make).await,
            Err(_) => Err(self.refuse::<C>(FailureKind::Deadline, "another call did not end in time")),
        };
        let resting_until = self.losses.resting_until();
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

    /// Calls a guest; the caller has a turn.
    async fn call_one<C: Call>(
        &self,
        deadline: Deadline,
        make: impl FnOnce(&Guest) -> Option<C> + Send,
    ) -> Result<C::Answer, Failure> {
        if self.is_paused() {
            return Err(self.refuse::<C>(FailureKind::Paused, "an operator has paused the plugin"));
        }
        let idle = self.idle.lock().pop();
        // Held until the call has ended, since that decides.
        let (mut guest, _admission) = match idle {
            Some(guest) => (guest, None),
            None => {
                let admission = self.admit::<C>()?;
                (self.new_guest(deadline).await?, Some(admission))
            }
        };
        if let Err(failure) = self.load_model(&mut guest, deadline).await {
            return Err(self.lost(guest, failure));
        }
        let Some(prepared) = make(&guest) else {
            self.idle.lock().push(guest);
            let message = format!("the plugin does not export what {} needs", C::OPERATION);
            return Err(self.refuse::<C>(FailureKind::Abi, message));
        };
        // A guest that took all of the time to start is there for the next call.
        if deadline.at <= Instant::now() {
            self.idle.lock().push(guest);
            return Err(self.refuse::<C>(FailureKind::Deadline, deadline.missed()));
        }
        guest.calls += 1;
        let answer = call(&mut guest.store, deadline, prepared).await;
        match answer {
            Err(failure) => Err(self.lost(guest, failure)),
            Ok(answer) => {
                self.give_back(guest);
                Ok(answer)
            }
        }
    }

    /// Lets a call through to a new guest, unless the plugin is being left alone.
    fn admit<C: Call>(&self) -> Result<Admission<'_>, Failure> {
        self.losses.admit(Instant::now()).map_err(|rest| {
            let Rest { retry_after, message } = rest;
            self.refuse::<C>(FailureKind::Suspended { retry_after }, message)
        })
    }

    /// Starts a guest.
    async fn new_guest(&self, deadline: Deadline) -> Result<Guest, Failure> {
        self.tenant.metrics.restarts.with_label_values(&[&*self.tenant.name]).inc();
        let started = Guest::start(&self.loaded, &self.tenant, &self.config_json, deadline).await;
        started.inspect_err(|failure| self.losses.lose(failure, Instant::now()))
    }

    /// Gives a detector what it has learnt, unless it has it already. A model that it refuses is forgotten.
    async fn load_model(&self, guest: &mut Guest, deadline: Deadline) -> Result<(), Failure> {
        let (Some(trainer), Some(model)) = (guest.trainer.clone(), self.model.lock().clone()) else {
            return Ok(());
        };
        if guest.model.as_ref().is_some_and(|loaded| Arc::ptr_eq(loaded, &model)) {
            return Ok(());
        }
        match call(&mut guest.store, deadline, LoadModel { guest: trainer, model: &model.bytes }).await {
            Ok(()) => guest.model = Some(model),
            Err(failure) if matches!(failure.kind, FailureKind::Plugin { retryable: false, .. }) => {
                tracing::warn!(plugin = self.name(), error = failure.message, "the plugin refuses its model");
                *self.model.lock() = None;
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// Keeps a guest that has failed, or drops it where it may have been left half way through something.
    fn lost(&self, guest: Guest, failure: Failure) -> Failure {
        if failure.lost_guest {
            drop(guest);
            self.losses.lose(&failure, Instant::now());
        } else {
            self.give_back(guest);
        }
        failure
    }

    /// Keeps a guest for the next call, unless it is worn.
    fn give_back(&self, guest: Guest) {
        self.losses.forget();
        match guest.worn(&self.config.recycle) {
            Some(reason) => {
                self.tenant.metrics.recycled.with_label_values(&[self.name(), reason]).inc();
            }
            None => self.idle.lock().push(guest),
        }
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
