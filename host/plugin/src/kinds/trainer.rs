//! Trainers learn ahead of time what their detector uses. The model is theirs; the host keeps it.

use wasmtime::Store;

use super::detector::Job;
use crate::bindings::exports::stormglass::plugin::trainer as guest;
use crate::bindings::stormglass::types::types::PluginError as GuestError;
use crate::call::{Call, Refusal};
use crate::error::Operation;
use crate::limits::Limits;
use crate::state::State;

/// Learns from history.
pub(crate) struct Train {
    pub(crate) guest: guest::Guest,
    pub(crate) history: Job,
    pub(crate) prior: Vec<u8>,
}

impl Call for Train {
    const OPERATION: Operation = Operation::Train;
    type Raw = Result<Vec<u8>, GuestError>;
    type Answer = Vec<u8>;

    async fn run(self, store: &mut Store<State>) -> wasmtime::Result<Self::Raw> {
        let Job { start_ms, step_ms, steps, series, values } = self.history;
        let history = guest::History { start_ms, step_ms, steps, series, values };
        self.guest.call_train(store, &history, &self.prior).await
    }

    fn check(raw: Self::Raw, limits: &Limits) -> Result<Vec<u8>, Refusal> {
        let (model, limit) = (raw?, limits.model);
        if model.len() as u64 > limit.0 {
            let bytes = model.len();
            return Err(Refusal::output(format!(
                "a model of {bytes} bytes is over the limit of {limit}; raise limits.model to allow more"
            )));
        }
        Ok(model)
    }
}

/// Takes the model.
pub(crate) struct LoadModel<'a> {
    pub(crate) guest: guest::Guest,
    pub(crate) model: &'a [u8],
}

impl Call for LoadModel<'_> {
    const OPERATION: Operation = Operation::LoadModel;
    type Raw = Result<(), GuestError>;
    type Answer = ();

    async fn run(self, store: &mut Store<State>) -> wasmtime::Result<Self::Raw> {
        self.guest.call_load(store, self.model).await
    }

    fn check(raw: Self::Raw, _limits: &Limits) -> Result<(), Refusal> {
        Ok(raw?)
    }
}
