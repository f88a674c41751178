//! The WebAssembly host: plugins are loaded, described, given what the configuration grants them, and called.
//!
//! * A **plugin** is a component, or a core module that carries component type information. Its [`Kind`]s are read off
//!   its exports; its imports are all that it could ever do. [`Host::inspect`] shows both.
//! * A [`PluginConfig`] is one use of a plugin, with its own configuration, [`Grants`] and [`Limits`].
//!   [`Host::start`] makes it an [`Instance`]: one store, entered by one call at a time.
//! * Every **call** goes through one function (`call::call`) that sets the deadline and the limits, and sorts what went
//!   wrong into a [`FailureKind`]. A guest that spins, allocates, recurses, traps, lies about lengths or floods the log
//!   costs its own call; the next one gets a new store.
//! * Every **import** asks one module (`grants`) before it touches anything outside.
//!
//! Answers come as this crate's own types: nothing of wasmtime is in its interface. Whoever asks maps them to its own.

mod bindings;
mod cache;
mod call;
mod compiler;
mod component;
mod config;
mod engine;
mod error;
mod fake;
mod grants;
mod hidden;
mod host;
mod imports;
mod instance;
mod kinds;
mod kv;
mod learnt;
mod limits;
mod losses;
mod metrics;
mod net;
mod state;
mod status;
mod telemetry;
mod watch;
mod wrap;

pub use compiler::{CompileIn, compile_stdin};
pub use config::{
    DecodeConfig, DetectConfig, Listen, OnFailure, PluginConfig, ProcessConfig, RecycleConfig, TrainConfig,
};
pub use error::{CallError, FailureKind, Operation, PluginError};
pub use fake::{
    Answer, Bytes, Conversation, Exchange, Fake, Lookup, Record, RecordData, RecordType, Surroundings, Turn,
};
pub use grants::{
    DnsGrant, FileGrant, FileMode, Grants, HttpGrant, NetGrant, SecretGrant, SecretHeader, SecretValue,
    TlsGrant,
};
pub use host::{Host, HostOptions, Inspection, resolve};
pub use imports::query::{Query, QueryFailure};
pub use instance::Instance;
pub use kinds::collector::Payload;
pub use kinds::decoder::{Chunk, Decoded};
pub use kinds::detector::{Job, Scores};
pub use kinds::discoverer::{Snapshot, Target, TargetGroup};
pub use kinds::function::{ParameterType, Signature};
pub use kinds::lifecycle::{Info, Wish};
pub use kinds::receiver::{Alert, AlertStatus, Notification};
pub use kinds::{Kind, Label};
pub use limits::{ByteSize, Limits};
pub use status::{InstanceState, InstanceStatus, LastError};
pub use wrap::componentize;
