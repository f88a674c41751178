//! What an exposition says of a metric besides its samples.

use std::fmt;

/// The kind a metric declares; the names are those of Prometheus' `/api/v1/metadata`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum MetricKind {
    /// Goes up, or back to zero.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets, classic or native.
    Histogram,
    /// A histogram whose buckets are not cumulative over time.
    GaugeHistogram,
    /// Quantiles computed by the client.
    Summary,
    /// Constant 1 with information in its labels.
    Info,
    /// One series per state, 0 or 1.
    StateSet,
    /// Nothing was declared.
    #[default]
    Unknown,
}

impl MetricKind {
    /// The name in exposition formats and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
            Self::Unknown => "unknown",
        }
    }

    /// The kind of that name; `untyped`, the classic format's word, is unknown. `None` for anything else.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "counter" => Self::Counter,
            "gauge" => Self::Gauge,
            "histogram" => Self::Histogram,
            "gaugehistogram" => Self::GaugeHistogram,
            "summary" => Self::Summary,
            "info" => Self::Info,
            "stateset" => Self::StateSet,
            "unknown" | "untyped" => Self::Unknown,
            _ => return None,
        })
    }
}

impl fmt::Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What was declared of one metric family.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Metadata {
    /// Its kind.
    pub kind: MetricKind,
    /// Its help text, unescaped; empty where none was given.
    pub help: String,
    /// Its unit, a word such as `seconds`; empty where none was given.
    pub unit: String,
}
