//! The one way into a guest. Every call, `describe` and `init` included, goes through [`call`].
//!
//! It sets the deadline and the limits, starts the call's counters anew, and sorts what went wrong into a
//! [`FailureKind`]. After a failure that [loses the guest](Failure::lost_guest), the store must not be entered again,
//! and neither must it be after a call whose future was dropped: that, too, may have left the guest half way.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::{Store, Trap};

use crate::bindings::stormglass::types::types::PluginError as GuestError;
use crate::error::{FailureKind, Operation};
use crate::limits::{LOG_LINE_BYTES_MAX, Limits};
use crate::metrics::Metrics;
use crate::state::{CallState, State, Tenant, TooManyHostCalls};

/// Something to do in a guest.
pub(crate) trait Call: Send {
    /// What it is called.
    const OPERATION: Operation;
    /// What the guest answers.
    type Raw: Send;
    /// What is left of it when it has been checked.
    type Answer;

    /// Enters the guest.
    fn run(self, store: &mut Store<State>) -> impl Future<Output = wasmtime::Result<Self::Raw>> + Send;

    /// Checks the guest's answer.
    fn check(raw: Self::Raw, limits: &Limits) -> Result<Self::Answer, Refusal>;
}

/// An answer that is none.
pub(crate) struct Refusal {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
}

impl Refusal {
    /// An answer that contradicts itself or is too large.
    pub(crate) fn output(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Output, message: message.into() }
    }
}

impl From<GuestError> for Refusal {
    fn from(error: GuestError) -> Self {
        let retry_after = error.retry_after_ms.map(Duration::from_millis);
        Self { kind: FailureKind::Plugin { retryable: error.retryable, retry_after }, message: error.message }
    }
}

/// A call that did not succeed.
pub(crate) struct Failure {
    pub(crate) operation: Operation,
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
    pub(crate) stderr: String,
    /// Whether the guest may have been left half way through something, so that its store must not be entered again.
    pub(crate) lost_guest: bool,
}

/// Until when a caller waits.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    /// How long that was when the wait began, for messages.
    pub(crate) time: Duration,
}

impl Deadline {
    /// A deadline that much time from now.
    pub(crate) fn after(time: Duration) -> Self {
        Self { at: Instant::now() + time, time }
    }

    /// How a failure to meet it reads.
    pub(crate) fn missed(&self) -> String {
        format!("took longer than {}", model::format_duration(self.time))
    }
}

/// Counts a call that its caller has given up, which drops it wherever it is.
pub(crate) struct Abandonment {
    metrics: Arc<Metrics>,
    plugin: Arc<str>,
    operation: Operation,
    /// Since when the guest has been in it; none while the call waits for its turn.
    entered: Option<Instant>,
    /// Whether the call has an outcome of its own.
    ended: bool,
}

impl Abandonment {
    /// Counts the call as canceled if it is dropped before [`Abandonment::end`].
    pub(crate) fn watch(tenant: &Tenant, operation: Operation, entered: Option<Instant>) -> Self {
        let (metrics, plugin) = (Arc::clone(&tenant.metrics), Arc::clone(&tenant.name));
        Self { metrics, plugin, operation, entered, ended: false }
    }

    /// The call has an outcome of its own.
    pub(crate) fn end(mut self) {
        self.ended = true;
    }
}

impl Drop for Abandonment {
    fn drop(&mut self) {
        match self.entered {
            _ if self.ended => {}
            Some(entered) => {
                self.metrics.observe(&self.plugin, self.operation, "canceled", entered.elapsed());
            }
            None => self.metrics.observe_refused(&self.plugin, self.operation, "canceled"),
        }
    }
}

/// Calls the guest, at most until the deadline.
pub(crate) async fn call<C: Call>(
    store: &mut Store<State>,
    deadline: Deadline,
    call: C,
) -> Result<C::Answer, Failure> {
    let started = Instant::now();
    let payload_bytes_max = store.data().tenant.limits.payload.bytes();
    store.data_mut().call = CallState::until(deadline.at);
    store.data_mut().memory.refused = false;
    store.data().stderr.clear();
    let _runs = store.data().tenant.running.enter();
    store.set_epoch_deadline(1);
    store.set_hostcall_fuel(payload_bytes_max);

    // The epoch stops a guest that computes, the timeout one that waits for the host.
    let mut lost_guest = true;
    let abandonment = Abandonment::watch(&store.data().tenant, C::OPERATION, Some(started));
    let answer = match tokio::time::timeout_at(deadline.at, call.run(store)).await {
        Ok(Ok(raw)) => {
            lost_guest = false;
            C::check(raw, &store.data().tenant.limits)
        }
        Ok(Err(error)) => Err(classify(&error, store.data())),
        Err(_) => Err(Refusal { kind: FailureKind::Deadline, message: String::new() }),
    };

    abandonment.end();
    // No connection outlives its call: a guest that forgets one would keep a server's place taken.
    store.data_mut().connections.close();

    let state = store.data();
    let tenant = &state.tenant;
    let answer = answer.map_err(|refusal| {
        let Refusal { kind, message } = refusal;
        let mut message = tenant.hidden.redact(message);
        message.truncate(message.floor_char_boundary(LOG_LINE_BYTES_MAX));
        if kind == FailureKind::Deadline {
            message = deadline.missed();
        }
        let kind = match &state.call.denied {
            Some(denied) => {
                if !message.contains(denied) {
                    message = format!("{message} ({denied})");
                }
                // What may succeed later was not the denial's fault.
                if matches!(kind, FailureKind::Plugin { retryable: false, .. }) {
                    FailureKind::Denied
                } else {
                    kind
                }
            }
            None => kind,
        };
        let stderr = tenant.hidden.redact_end(state.stderr.take());
        Failure { operation: C::OPERATION, kind, message, stderr, lost_guest }
    });

    let outcome = answer.as_ref().map_or_else(|failure| failure.kind.as_str(), |_| "ok");
    tenant.metrics.observe(&tenant.name, C::OPERATION, outcome, started.elapsed());
    let dropped = state.call.log_lines_dropped;
    if dropped > 0 {
        tenant.metrics.log_lines_dropped.with_label_values(&[&*tenant.name]).inc_by(dropped);
    }
    answer
}

/// Of which kind an error out of wasmtime is.
fn classify(error: &wasmtime::Error, state: &State) -> Refusal {
    let refusal = |kind, message: String| Refusal { kind, message };
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return match trap {
            Trap::Interrupt => refusal(FailureKind::Deadline, String::new()),
            _ if state.memory.refused => refusal(
                FailureKind::Memory,
                format!(
                    "needs more than {} of memory ({trap}); raise limits.memory to allow more",
                    state.tenant.limits.memory
                ),
            ),
            Trap::StringOutOfBounds
            | Trap::ListOutOfBounds
            | Trap::InvalidDiscriminant
            | Trap::InvalidChar
            | Trap::UnalignedPointer
            | Trap::CannotEnterComponent
            | Trap::CannotLeaveComponent => refusal(FailureKind::Abi, trap.to_string()),
            _ => refusal(FailureKind::Trap, innermost(error)),
        };
    }
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        return refusal(FailureKind::Trap, format!("exited with status {}", exit.0));
    }
    if let Some(too_many) = error.downcast_ref::<TooManyHostCalls>() {
        return refusal(FailureKind::Denied, too_many.to_string());
    }
    if state.memory.refused {
        return refusal(FailureKind::Memory, format!("{error:#}"));
    }
    let text = format!("{error:#}");
    // wasmtime keeps the type of this error to itself.
    if text.contains("fuel allocated for hostcalls has been exhausted") {
        let limit = state.tenant.limits.payload;
        return refusal(
            FailureKind::Output,
            format!("more than {limit} at once; raise limits.payload to allow more"),
        );
    }
    // What is left comes from reading the guest's answer: lengths that lie, text that is no UTF-8.
    refusal(FailureKind::Abi, text)
}

/// The trap and the functions it happened in, on one line.
fn innermost(error: &wasmtime::Error) -> String {
    let mut text = error.root_cause().to_string();
    if let Some(trace) = error.downcast_ref::<wasmtime::WasmBacktrace>() {
        let names: Vec<&str> = trace.frames().iter().filter_map(|frame| frame.func_name()).take(3).collect();
        if !names.is_empty() {
            text.push_str(" in ");
            text.push_str(&names.join(" < "));
        }
    }
    text
}
