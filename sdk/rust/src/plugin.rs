//! What a plugin is, and what each kind is asked: the traits that a plugin's type implements.

use std::time::Duration;

use serde::de::DeserializeOwned;

pub use crate::bindings::base::stormglass::types::types::Label;
pub use crate::bindings::decoder::exports::stormglass::plugin::decoder::Chunk;
pub use crate::bindings::detector::exports::stormglass::plugin::detector::{Job, Scores};
pub use crate::bindings::discoverer::exports::stormglass::plugin::discoverer::{
    Snapshot, Target, TargetGroup,
};
pub use crate::bindings::function::exports::stormglass::plugin::function::{
    Call as FunctionCall, Signature, ValueType,
};
pub use crate::bindings::receiver::exports::stormglass::plugin::receiver::{
    Alert, AlertStatus, Notification,
};
pub use crate::bindings::span_processor::exports::stormglass::plugin::span_processor::{
    Attribute, AttributeValue, Event, Link, Scope, Span, SpanKind, Spans, StatusCode,
};
pub use crate::bindings::trainer::exports::stormglass::plugin::trainer::History;
use crate::{Batch, Metrics, Result, Samples};

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
    /// `files`, `http`, `secrets` or `query`.
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

/// Yields samples of a target that it is told, for the scrape jobs that name it.
pub trait Prober: Plugin {
    /// Probes a target once. A target that does not answer is told by a sample, such as `probe_success 0`; an error
    /// says that the plugin could not do its work, and `up` is 0.
    fn probe(&mut self, target: &str, params: &[Label], out: &mut Metrics) -> Result<()>;
}

/// Learns ahead of time what its [`Detector`] uses. The server keeps the model.
pub trait Trainer: Detector {
    /// Learns from history and answers a model; `prior` is the one there is, empty before the first.
    fn train(&mut self, history: &History, prior: &[u8]) -> Result<Vec<u8>>;

    /// Takes the model that `detect` is to use. A permanent error makes the server forget it.
    fn load(&mut self, model: &[u8]) -> Result<()>;
}

/// Reads what comes in at a listener of the server.
pub trait Decoder: Plugin {
    /// Decodes a chunk into `out`, and says how much of it is done with.
    fn decode(&mut self, chunk: &Chunk, out: &mut Samples) -> Result<Consumed>;
}

/// How much of a chunk a decoder has done with, and what it left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Consumed {
    /// Bytes; the rest comes again with the next chunk.
    pub bytes: usize,
    /// Messages that made no sense.
    pub rejected: u64,
    /// What was wrong with one of them.
    pub reason: Option<String>,
}

impl Consumed {
    /// Notes a message that made no sense.
    pub fn reject(&mut self, reason: impl Into<String>) {
        self.rejected += 1;
        if self.reason.is_none() {
            self.reason = Some(reason.into());
        }
    }
}

impl Chunk {
    /// The lines of the chunk, without their ends, and how many bytes they take: in a stream that goes on, the last is
    /// left for the next chunk unless it has ended; a datagram's end is the end of a line.
    pub fn lines(&self) -> (Vec<&[u8]>, usize) {
        let mut lines = Vec::new();
        let whole = if self.last {
            self.data.len()
        } else {
            self.data.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
        };
        let mut start = 0;
        let ends = self.datagram_ends.iter().map(|end| (*end as usize).min(whole)).chain([whole]);
        for end in ends {
            let stretch = self.data.get(start..end).unwrap_or_default();
            let of_stretch = stretch.split(|byte| *byte == b'\n');
            lines.extend(
                of_stretch.map(|line| line.strip_suffix(b"\r").unwrap_or(line)).filter(|l| !l.is_empty()),
            );
            start = end;
        }
        (lines, whole)
    }
}

/// Has functions of PromQL, called as `wasm_<name>(...)`. Functions are pure: a plugin with functions calls nothing of
/// the server but [`log`](crate::log), and keeps nothing between calls.
pub trait Function: Plugin {
    /// What functions there are.
    fn signatures() -> Vec<Signature>;

    /// One value for each series and step of the call.
    fn eval(&mut self, call: &FunctionCall) -> Result<Vec<f64>>;
}

impl Signature {
    /// A function of this name, and what it takes: a vector or a range first, then scalars and texts.
    pub fn new(name: &str, help: &str, parameters: &[ValueType]) -> Self {
        Self { name: name.into(), help: help.into(), parameters: parameters.to_vec(), optional: 0 }
    }

    /// Lets so many of the last parameters be left out.
    #[must_use]
    pub fn optional(mut self, count: u32) -> Self {
        self.optional = count;
        self
    }
}

impl FunctionCall {
    /// The values of each series of a vector: one slice of `steps` values each.
    pub fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact((self.steps as usize).max(1)).take(self.series as usize)
    }

    /// The windows of a range, series by series and step by step: times in milliseconds and values.
    pub fn windows(&self) -> impl Iterator<Item = (&[i64], &[f64])> {
        self.window_starts.iter().zip(&self.window_ends).map(|(start, end)| {
            let window = *start as usize..*end as usize;
            (&self.timestamps_ms[window.clone()], &self.values[window])
        })
    }

    /// A scalar argument at a step; none where it was left out.
    pub fn scalar(&self, argument: usize, step: usize) -> Option<f64> {
        self.scalars.get(argument * self.steps as usize + step).copied()
    }
}

/// Stands between what brings samples and storage.
pub trait SampleProcessor: Plugin {
    /// Answers the samples to store in place of these; see [`Batch::rewrite`](crate::Batch::rewrite).
    fn process(&mut self, batch: Batch) -> Result<Batch>;
}

/// Stands between what brings spans and the trace store.
pub trait SpanProcessor: Plugin {
    /// Answers the spans to store in place of these.
    fn process(&mut self, spans: Spans) -> Result<Spans>;
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
