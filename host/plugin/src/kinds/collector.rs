//! Collectors yield samples at an interval; probers, of a target that they are told.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::time::Duration;

use model::Columns;
use wasmtime::Store;

use super::batch::{batch_in, check_count, check_size};
use super::{Label, labels_out};
use crate::bindings::exports::stormglass::plugin::{collector as guest, prober};
use crate::bindings::stormglass::types::types::{self, PluginError as GuestError};
use crate::call::{Call, Refusal};
use crate::error::Operation;
use crate::limits::Limits;
use crate::state::State;

/// What one collection yields.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// Prometheus text exposition format, or OpenMetrics where it ends in `# EOF`.
    Text(String),
    /// Length-delimited `io.prometheus.client.MetricFamily` messages.
    Protobuf(Vec<u8>),
    /// Columns.
    Columns(Columns),
}

pub(crate) struct Collect(pub(crate) guest::Guest);

impl Call for Collect {
    const OPERATION: Operation = Operation::Collect;
    type Raw = Result<guest::Payload, GuestError>;
    type Answer = Payload;

    async fn run(self, store: &mut Store<State>) -> wasmtime::Result<Self::Raw> {
        let deadline_ms = deadline_ms(store);
        self.0.call_collect(store, deadline_ms).await
    }

    fn check(raw: Self::Raw, limits: &Limits) -> Result<Payload, Refusal> {
        match raw? {
            guest::Payload::Text(text) => text_in(text, limits),
            guest::Payload::Protobuf(bytes) => Ok(Payload::Protobuf(bytes)),
            guest::Payload::Columns(batch) => columns_in(batch, limits),
        }
    }
}

/// Probes one target.
pub(crate) struct Probe {
    pub(crate) guest: prober::Guest,
    pub(crate) target: String,
    pub(crate) params: Vec<Label>,
}

impl Call for Probe {
    const OPERATION: Operation = Operation::Probe;
    type Raw = Result<types::Payload, GuestError>;
    type Answer = Payload;

    async fn run(self, store: &mut Store<State>) -> wasmtime::Result<Self::Raw> {
        let deadline_ms = deadline_ms(store);
        let params = labels_out(self.params);
        self.guest.call_probe(store, &self.target, &params, deadline_ms).await
    }

    fn check(raw: Self::Raw, limits: &Limits) -> Result<Payload, Refusal> {
        match raw? {
            types::Payload::Text(text) => text_in(text, limits),
            types::Payload::Protobuf(bytes) => Ok(Payload::Protobuf(bytes)),
            types::Payload::Columns(batch) => columns_in(batch, limits),
        }
    }
}

/// What the call has left, rounded up: a guest that takes its time seriously is told of all it has.
fn deadline_ms(store: &Store<State>) -> u64 {
    let left = store.data().time_left() + Duration::from_micros(999);
    u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
}

fn text_in(text: String, limits: &Limits) -> Result<Payload, Refusal> {
    let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
    check_count(samples, limits)?;
    Ok(Payload::Text(text))
}

fn columns_in(batch: types::Batch, limits: &Limits) -> Result<Payload, Refusal> {
    check_size(&batch, limits)?;
    batch_in(batch).map(Payload::Columns).map_err(Refusal::output)
}
