//! What a new project of each kind begins with, beside its program: how its manifest describes it, how a server's
//! configuration names it, and the cases that it passes.

use clap::ValueEnum;
use plugin::Kind;

/// A kind that a project can begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Start {
    /// Yields samples at an interval.
    Collector,
    /// Yields samples of a target that it is told.
    Prober,
    /// Finds scrape targets.
    Discoverer,
    /// Delivers alerts.
    Receiver,
    /// Scores how unusual values are.
    Detector,
    /// A detector that learns from history first.
    Trainer,
    /// Reads what comes in at a listener.
    Decoder,
    /// Functions of PromQL.
    Function,
    /// Changes samples before they are stored.
    SampleProcessor,
    /// Changes spans before they are stored.
    SpanProcessor,
}

impl Start {
    /// The kind, by the name of its interface.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Collector => Kind::Collector,
            Self::Prober => Kind::Prober,
            Self::Discoverer => Kind::Discoverer,
            Self::Receiver => Kind::Receiver,
            Self::Detector => Kind::Detector,
            Self::Trainer => Kind::Trainer,
            Self::Decoder => Kind::Decoder,
            Self::Function => Kind::Function,
            Self::SampleProcessor => Kind::SampleProcessor,
            Self::SpanProcessor => Kind::SpanProcessor,
        }
        .as_str()
    }

    /// What the manifest's `kinds` names.
    pub(super) fn kinds(self) -> &'static str {
        match self {
            // What is learnt is of use to a detector alone.
            Self::Trainer => "detector, trainer",
            other => other.as_str(),
        }
    }

    /// One sentence for the manifest.
    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Collector => "Yields the answer.",
            Self::Prober => "Probes what it is told.",
            Self::Discoverer => "Finds a target.",
            Self::Receiver => "Logs what it is told.",
            Self::Detector => "Finds what is above 100.",
            Self::Trainer => "Finds what is above all there was.",
            Self::Decoder => "Reads lines of a name and a value.",
            Self::Function => "Doubles.",
            Self::SampleProcessor => "Labels samples.",
            Self::SpanProcessor => "Adds to spans.",
        }
    }

    /// What its entry in a server's configuration needs beside its name and file; and where else it is named, in words.
    pub(super) fn entry(self) -> (&'static str, &'static str) {
        match self {
            Self::Collector => ("interval: 15s", ""),
            Self::Prober => ("grants: {}", "A scrape job then asks it, at `/api/v1/plugins/{{name}}/probe`."),
            Self::Discoverer => (
                "interval: 1m",
                "A scrape job then takes its targets: `plugin_sd_configs: [{plugin: {{name}} }]`.",
            ),
            Self::Receiver => {
                ("grants: {}", "A receiver then tells it: `plugin_configs: [{plugin: {{name}} }]`.")
            }
            Self::Detector => ("detect: {expr: \"sum by (job) (up)\", range: 1h, step: 15s}", ""),
            Self::Trainer => (
                "detect: {expr: \"sum by (job) (up)\", range: 1h, step: 15s, train: {interval: 1d, range: 7d, step: 5m}}",
                "",
            ),
            Self::Decoder => ("decode: {listen: [\"udp://127.0.0.1:8125\"]}", ""),
            Self::Function => ("grants: {}", "Queries then call `wasm_double(up)`."),
            Self::SampleProcessor | Self::SpanProcessor => ("process: {on_failure: pass}", ""),
        }
    }
}
