//! What a plugin is, and what each kind is asked: the traits that a plugin's type implements.

use std::time::Duration;

use serde::de::DeserializeOwned;

pub use crate::bindings::base::stormglass::types::types::Label;
pub use crate::bindings::detector::exports::stormglass::plugin::detector::{Job, Scores};
pub use crate::bindings::discoverer::exports::stormglass::plugin::discoverer::{
    Snapshot, Target, TargetGroup,
};
pub use crate::bindings::receiver::exports::stormglass::plugin::receiver::{
    Alert, AlertStatus, Notification,
};
use crate::{Metrics, Result};

/// How a plugin presents itself and starts; every kind builds on it.
///
/// Name, version and description are the crate's own, from its `Cargo.toml`. One value of the type lives as long
/// as the instance and is what all calls work on; there is one instance for each `plugins:` entry of the
/// server's configuration. When a call traps, the server starts a new one.
pub trait Plugin: Sized {
    /// The `config:` of the entry; [`NoConfig`](crate::NoConfig) where there is nothing to configure.
    type Config: DeserializeOwned;

    /// JSON Schema (2020-12) of `Config`. The server refuses a configuration that does not match before the
    /// plugin sees it. Accepts no keys at all unless it is set.
    const CONFIG_SCHEMA: &'static str = r#"{"type":"object","additionalProperties":false}"#;

    /// What the plugin would like to be granted, for the operator to read. Grants nothing.
    const WISHES: &'static [Wish] = &[];

    /// Called once, before anything else.
    fn init(config: Self::Config) -> Result<Self>;
}

/// Something the plugin would like to be granted, and why.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// `files` or `http`.
    pub capability: &'static str,
    /// What of it: a directory, a URL, or a pattern of either, for people to read.
    pub target: &'static str,
    /// What the plugin does with it.
    pub reason: &'static str,
}

/// Yields samples at an interval, like a scrape target: the server adds job and instance labels, `up` and the
/// `scrape_*` series, and ends the series that a collection no longer has.
pub trait Collector: Plugin {
    /// Collects once. On an error nothing of `out` is kept and `up` is 0.
    fn collect(&mut self, out: &mut Metrics) -> Result<()>;
}

/// Finds scrape targets, for the scrape jobs that name it.
pub trait Discoverer: Plugin {
    /// All there is now: a source that is missing is gone. On an error the server keeps the groups it has.
    fn poll(&mut self) -> Result<Snapshot>;
}

/// Delivers groups of alerts.
pub trait Receiver: Plugin {
    /// Delivers one notification. `Ok` says that it has arrived; a retryable error asks for another attempt.
    fn notify(&mut self, notification: &Notification) -> Result<()>;
}

/// Scores how unusual the latest values of series are.
pub trait Detector: Plugin {
    /// One score for each value of the job, and bounds where the detector has them.
    fn detect(&mut self, job: &Job) -> Result<Scores>;
}

impl Label {
    /// A label of this name and value.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

impl Target {
    /// A target at this `host:port`, with no labels of its own.
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), labels: Vec::new() }
    }
}

impl Snapshot {
    /// These groups; the server asks again at the configured interval.
    pub fn new(groups: Vec<TargetGroup>) -> Self {
        Self { groups, next_poll_ms: None }
    }

    /// Asks the server to poll again after this long rather than at the configured interval.
    #[must_use]
    pub fn poll_after(mut self, wait: Duration) -> Self {
        self.next_poll_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self
    }
}

impl AlertStatus {
    /// `firing` or `resolved`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

impl Job {
    /// The values of each series, in order: one slice of `steps` values each.
    pub fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact((self.steps as usize).max(1)).take(self.series as usize)
    }
}
