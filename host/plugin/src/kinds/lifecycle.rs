//! What every plugin answers whatever its kind: who it is, and whether it can start.

use serde::Serialize;
use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use crate::bindings::exports::stormglass::plugin::{lifecycle, meta};
use crate::bindings::stormglass::types::types::PluginError as GuestError;
use crate::call::{Call, Refusal};
use crate::error::Operation;
use crate::limits::Limits;
use crate::state::State;

/// Who a plugin says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// Its version, semver.
    pub version: String,
    /// One sentence.
    pub description: String,
    /// JSON Schema of its configuration, as text.
    pub config_schema: String,
    /// What it would like to be granted. Grants nothing.
    pub wishes: Vec<Wish>,
}

/// Something a plugin would like to be granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wish {
    /// `files` or `http`.
    pub capability: String,
    /// What of it.
    pub target: String,
    /// Why.
    pub reason: String,
}

/// Makes an instance.
pub(crate) struct Instantiate<'a>(pub(crate) &'a InstancePre<State>);

impl Call for Instantiate<'_> {
    const OPERATION: Operation = Operation::Instantiate;
    type Raw = Instance;
    type Answer = Instance;

    async fn run(self, store: &mut Store<State>) -> wasmtime::Result<Instance> {
        self.0.instantiate_async(store).await
    }

    fn check(raw: Instance, _limits: &Limits) -> Result<Instance, Refusal> {
        Ok(raw)
    }
}

/// Asks who it is.
pub(crate) struct Describe(pub(crate) meta::Guest);

impl Call for Describe {
    const OPERATION: Operation = Operation::Describe;
    type Raw = meta::Info;
    type Answer = Info;

    async fn run(self, store: &mut Store<State>) -> wasmtime::Result<meta::Info> {
        self.0.call_describe(store).await
    }

    fn check(raw: meta::Info, _limits: &Limits) -> Result<Info, Refusal> {
        let meta::Info { name, version, description, config_schema, wishes } = raw;
        if name.is_empty() || version.is_empty() {
            return Err(Refusal::output("the description has no name or no version"));
        }
        let wishes = wishes
            .into_iter()
            .map(|meta::Wish { capability, target, reason }| Wish { capability, target, reason })
            .collect();
        Ok(Info { name, version, description, config_schema, wishes })
    }
}

/// Starts it.
pub(crate) struct Init<'a> {
    pub(crate) guest: lifecycle::Guest,
    pub(crate) config: &'a str,
}

impl Call for Init<'_> {
    const OPERATION: Operation = Operation::Init;
    type Raw = Result<(), GuestError>;
    type Answer = ();

    async fn run(self, store: &mut Store<State>) -> wasmtime::Result<Self::Raw> {
        self.guest.call_init(store, self.config).await
    }

    fn check(raw: Self::Raw, _limits: &Limits) -> Result<(), Refusal> {
        Ok(raw?)
    }
}
