//! Write Stormglass plugins in Rust.
//!
//! A plugin is a type that implements [`Plugin`] and the trait of at least one kind: [`Collector`],
//! [`Prober`], [`Discoverer`], [`Receiver`], [`Detector`] (with [`Trainer`]), [`Decoder`], [`Function`],
//! [`SampleProcessor`] or [`SpanProcessor`]. A macro exports it, and the crate, a `cdylib` built for
//! `wasm32-unknown-unknown`, is a file that the server loads:
//!
//! ```
//! use stormglass_sdk::{Collector, Metrics, NoConfig, Plugin, Result, collector};
//!
//! struct Hello;
//!
//! impl Plugin for Hello {
//!     type Config = NoConfig;
//!     fn init(_config: NoConfig) -> Result<Self> {
//!         Ok(Hello)
//!     }
//! }
//!
//! impl Collector for Hello {
//!     fn collect(&mut self, out: &mut Metrics) -> Result<()> {
//!         out.gauge("hello_answer", "The answer.").set(&[("planet", "earth")], 42.0);
//!         Ok(())
//!     }
//! }
//!
//! collector!(Hello);
//! ```
//!
//! What a plugin may ask of the server is in [`http`], [`http_trace`], [`net`], [`dns`], [`files`], [`secrets`], [`query`],
//! [`kv`], [`telemetry`], [`log`] and [`clock`]. The first seven work only as far as the plugin's entry in the server's configuration grants; a component imports only what it calls, so
//! that its imports say what it can do.
//!
//! A panic traps: the call fails, the server logs the message and starts a new instance. Nothing else suffers.

#[doc(hidden)]
pub mod bindings;
pub mod clock;
mod config;
pub mod dns;
mod error;
mod export;
pub mod files;
mod groups;
mod host;
pub mod http;
pub mod http_trace;
pub mod kv;
pub mod log;
mod metrics;
pub mod net;
mod plugin;
pub mod query;
mod samples;
pub mod secrets;
pub mod telemetry;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod texts;

pub use config::{ConfigDuration, NoConfig};
pub use error::{Context, Error, Result};
pub use groups::StaticGroup;
pub use metrics::{Family, MetricKind, Metrics};
pub use plugin::{
    Alert, AlertStatus, Attribute, AttributeValue, Chunk, Collector, Consumed, Decoder, Detector, Discoverer,
    Event, Function, FunctionCall, History, Job, Label, Link, Notification, Plugin, Prober, Receiver,
    SampleProcessor, Scope, Scores, Signature, Snapshot, Span, SpanKind, SpanProcessor, Spans, StatusCode,
    Target, TargetGroup, Trainer, ValueType, Wish,
};
pub use samples::{Batch, LabelSet, Samples};
pub use texts::{Templated, truncated};

/// What the macros call; no part of the interface.
#[doc(hidden)]
pub mod glue {
    pub use crate::bindings::base::stormglass::types::types::{Payload as ProbePayload, PluginError};
    pub use crate::export::{Slot, call, collect, decode, describe, init, probe, signatures};
}
