//! The kinds of plugins. Each module has what is called, in plain Rust types, and checks what comes back.

pub(crate) mod batch;
pub(crate) mod collector;
pub(crate) mod decoder;
pub(crate) mod detector;
pub(crate) mod discoverer;
pub(crate) mod function;
pub(crate) mod lifecycle;
pub(crate) mod processor;
pub(crate) mod receiver;
mod rounded;
pub(crate) mod trainer;

use std::fmt;

use serde::Serialize;

use crate::bindings::stormglass::types::types;

/// A kind of plugin. One plugin can be of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// Yields samples at an interval.
    Collector,
    /// Finds scrape targets.
    Discoverer,
    /// Delivers groups of alerts.
    Receiver,
    /// Scores how unusual values are.
    Detector,
    /// Yields samples of a target that it is told.
    Prober,
    /// Learns ahead of time what a detector uses.
    Trainer,
    /// Reads what comes in at a listener.
    Decoder,
    /// Has functions of PromQL.
    Function,
    /// Stands between samples and storage.
    SampleProcessor,
    /// Stands between spans and storage.
    SpanProcessor,
}

impl Kind {
    /// The interface's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Collector => "collector",
            Self::Discoverer => "discoverer",
            Self::Receiver => "receiver",
            Self::Detector => "detector",
            Self::Prober => "prober",
            Self::Trainer => "trainer",
            Self::Decoder => "decoder",
            Self::Function => "function",
            Self::SampleProcessor => "sample-processor",
            Self::SpanProcessor => "span-processor",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name and a value, as a plugin wrote or will read them: neither sorted nor checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

fn labels_in(labels: Vec<types::Label>) -> Vec<Label> {
    labels.into_iter().map(|types::Label { name, value }| Label { name, value }).collect()
}

fn labels_out(labels: Vec<Label>) -> Vec<types::Label> {
    labels.into_iter().map(|Label { name, value }| types::Label { name, value }).collect()
}
