//! Single values of a configuration, each checked as it is read.

use std::collections::BTreeMap;
use std::fmt;

use formats::exposition::Format;
use model::Labels;
use serde::{Deserialize, Deserializer};

/// How a target is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// In the clear.
    #[default]
    Http,
    /// Over TLS.
    Https,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// A format to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ScrapeProtocol {
    /// Prometheus' protobuf, the only one with native histograms.
    #[serde(rename = "PrometheusProto")]
    Protobuf,
    /// OpenMetrics 1.0.0 as text.
    #[serde(rename = "OpenMetricsText1.0.0")]
    OpenMetrics1_0,
    /// OpenMetrics 0.0.1 as text.
    #[serde(rename = "OpenMetricsText0.0.1")]
    OpenMetrics0_0_1,
    /// Prometheus' text format 1.0.0.
    #[serde(rename = "PrometheusText1.0.0")]
    Text1_0,
    /// Prometheus' text format 0.0.4.
    #[serde(rename = "PrometheusText0.0.4")]
    Text0_0_4,
}

impl ScrapeProtocol {
    /// Prometheus' order, where nothing else is said.
    pub const PREFERRED: [Self; 4] =
        [Self::OpenMetrics1_0, Self::OpenMetrics0_0_1, Self::Text1_0, Self::Text0_0_4];

    /// The order where native histograms are wanted and nothing else is said.
    pub const PROTOBUF_FIRST: [Self; 5] =
        [Self::Protobuf, Self::OpenMetrics1_0, Self::OpenMetrics0_0_1, Self::Text1_0, Self::Text0_0_4];

    /// As the configuration names it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Protobuf => "PrometheusProto",
            Self::OpenMetrics1_0 => "OpenMetricsText1.0.0",
            Self::OpenMetrics0_0_1 => "OpenMetricsText0.0.1",
            Self::Text1_0 => "PrometheusText1.0.0",
            Self::Text0_0_4 => "PrometheusText0.0.4",
        }
    }

    /// Whether the format says how names are escaped.
    pub(crate) const fn knows_escaping(self) -> bool {
        matches!(self, Self::OpenMetrics1_0 | Self::Text1_0)
    }

    /// As the header `Accept` names it.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Protobuf => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            Self::OpenMetrics1_0 => "application/openmetrics-text;version=1.0.0",
            Self::OpenMetrics0_0_1 => "application/openmetrics-text;version=0.0.1",
            Self::Text1_0 => "text/plain;version=1.0.0",
            Self::Text0_0_4 => "text/plain;version=0.0.4",
        }
    }
}

/// Checks a list of formats to ask for.
pub(super) fn check_protocols(protocols: Option<&[ScrapeProtocol]>) -> Result<(), String> {
    let Some(protocols) = protocols else { return Ok(()) };
    if protocols.is_empty() {
        return Err("scrape_protocols cannot be empty".to_owned());
    }
    for (at, protocol) in protocols.iter().enumerate() {
        if protocols.iter().take(at).any(|before| before == protocol) {
            return Err(format!("duplicated protocol in scrape_protocols, got {}", protocol.as_str()));
        }
    }
    Ok(())
}

/// Which names of metrics and labels are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValidationScheme {
    /// Any text.
    #[default]
    Utf8,
    /// Classic identifiers.
    Legacy,
}

/// How targets are asked to write names that are no classic identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EscapingScheme {
    /// As they are, in quotes.
    #[default]
    #[serde(rename = "allow-utf-8")]
    AllowUtf8,
    /// With an underscore for each character that is none of an identifier.
    Underscores,
    /// Reversibly, with dots as `_dot_`.
    Dots,
    /// Reversibly, with the code points of characters.
    Values,
}

impl EscapingScheme {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }
}

/// The scheme of escaping that goes with what is taken.
pub(super) fn escaping(
    validation: Option<ValidationScheme>,
    escaping: Option<EscapingScheme>,
) -> Result<EscapingScheme, String> {
    match (validation.unwrap_or_default(), escaping) {
        (ValidationScheme::Legacy, Some(EscapingScheme::AllowUtf8)) => {
            Err("utf8 metric names requested but validation scheme is not set to UTF8".to_owned())
        }
        (ValidationScheme::Legacy, None) => Ok(EscapingScheme::Underscores),
        (ValidationScheme::Utf8, None) => Ok(EscapingScheme::AllowUtf8),
        (_, Some(scheme)) => Ok(scheme),
    }
}

/// The format of answers that name none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct FallbackProtocol(pub ScrapeProtocol);

impl FallbackProtocol {
    pub(crate) const fn format(self) -> Format {
        match self.0 {
            ScrapeProtocol::Protobuf => Format::Protobuf,
            ScrapeProtocol::OpenMetrics1_0 | ScrapeProtocol::OpenMetrics0_0_1 => Format::OpenMetricsText,
            ScrapeProtocol::Text1_0 | ScrapeProtocol::Text0_0_4 => Format::PrometheusText,
        }
    }
}

/// The address of a target: a host and most often a port, and no path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Address(String);

impl Address {
    /// The address as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() {
            Err("target address is empty".to_owned())
        } else if text.contains('/') {
            Err(format!("{text:?} is not a valid hostname"))
        } else {
            Ok(Self(text))
        }
    }
}

/// Targets by name.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticConfig {
    /// Their addresses, `host:port`.
    #[serde(default)]
    pub targets: Vec<Address>,
    /// Labels of all of them.
    #[serde(default, deserialize_with = "labels")]
    pub labels: Labels,
}

/// A number of bytes, written `512KB`, `10MiB`, `0`. Zero stands for no limit; a kilobyte has 1024 bytes
/// whichever way it is written, as in Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct ByteSize(pub u64);

impl TryFrom<String> for ByteSize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let shift = match unit {
            "" if number == "0" => 0,
            "B" => 0,
            "KB" | "KiB" => 10,
            "MB" | "MiB" => 20,
            "GB" | "GiB" => 30,
            "TB" | "TiB" => 40,
            "PB" | "PiB" => 50,
            _ => return Err(format!("{text:?} is no size; write a whole number and a unit, as in 10MB")),
        };
        let count: Option<u64> = number.parse().ok();
        let bytes = count.and_then(|count| count.checked_mul(1 << shift));
        bytes.map(Self).ok_or_else(|| format!("{text:?} is no size that can be counted"))
    }
}

/// Reads a map of names and values as labels.
pub(super) fn labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
    let map = BTreeMap::<LabelName, String>::deserialize(deserializer)?;
    Ok(Labels::from_pairs(map.iter().map(|(name, value)| (&name.0, value))))
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
struct LabelName(String);

impl TryFrom<String> for LabelName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() { Err("\"\" is not a valid label name".to_owned()) } else { Ok(Self(text)) }
    }
}
