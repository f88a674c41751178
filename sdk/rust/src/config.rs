//! What configurations are made of: durations as Prometheus writes them, and the absence of everything.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// The configuration of a plugin that has none: an object without keys.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// A duration as Prometheus' configuration writes it: `10s`, `1m30s`, `500ms`.
///
/// In a schema it is `{"type": "string", "pattern": "^([0-9]+(ms|[ywdhms]))+$"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigDuration(pub Duration);

/// The units, the largest first, in milliseconds.
const UNITS_MS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl<'de> Deserialize<'de> for ConfigDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let duration = parse(&text);
        duration
            .map(ConfigDuration)
            .ok_or_else(|| D::Error::custom(format!("{text:?} is no duration such as 10s or 1m30s")))
    }
}

/// Sums a run of numbers with units, each unit smaller than the one before.
fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut units = UNITS_MS.iter();
    let mut total_ms = 0u64;
    while !rest.is_empty() {
        let (count, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let unit = &tail[..tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len())];
        let (_, unit_ms) = units.find(|(name, _)| *name == unit)?;
        total_ms = total_ms.checked_add(count.parse::<u64>().ok()?.checked_mul(*unit_ms)?)?;
        rest = &tail[unit.len()..];
    }
    (!text.is_empty()).then_some(Duration::from_millis(total_ms))
}

#[cfg(test)]
mod tests;
