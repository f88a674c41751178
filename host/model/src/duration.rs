//! Durations as Prometheus writes them: `1h30m`, `15s`, `250ms`.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing was given.
    #[error("empty duration string")]
    Empty,
    /// Not numbers followed by units, each unit at most once, from large to small.
    #[error("not a valid duration string: {0:?}")]
    Invalid(String),
    /// A unit that nobody knows.
    #[error("unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit {
        /// The unit as written.
        unit: String,
        /// All of it.
        text: String,
    },
    /// More than about 292 years, which is what Prometheus counts nanoseconds for.
    #[error("duration out of range")]
    OutOfRange,
}

/// Units from large to small, in milliseconds. A year is 365 days and a week 7, as in Prometheus.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// As many milliseconds as nanoseconds fit into 63 bits.
const MILLIS_MAX: u64 = i64::MAX as u64 / 1_000_000;

/// Reads a duration. Units come from large to small, each at most once; a bare `0` needs no unit.
///
/// # Errors
/// [`DurationError`] where the text is empty, malformed or too long a time.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    match text {
        "" => return Err(DurationError::Empty),
        "0" => return Ok(Duration::ZERO),
        _ => {}
    }
    let invalid = || DurationError::Invalid(text.to_owned());
    let mut rest = text;
    let mut millis: u64 = 0;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let count: u64 = number.parse().map_err(|_| invalid())?;
        if unit.is_empty() {
            return Err(invalid());
        }
        let Some(position) = UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(DurationError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() });
        };
        if position < next_unit {
            return Err(invalid());
        }
        next_unit = position + 1;
        millis = count
            .checked_mul(UNITS[position].1)
            .and_then(|ms| millis.checked_add(ms))
            .filter(|ms| *ms <= MILLIS_MAX)
            .ok_or(DurationError::OutOfRange)?;
        rest = tail;
    }
    Ok(Duration::from_millis(millis))
}

/// Writes a duration the way [`parse_duration`] reads it, as Prometheus prints it in the API: weeks and years
/// only where nothing is left over.
pub fn format_duration(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, size) in UNITS {
        let whole_only = matches!(unit, "y" | "w");
        if whole_only && !millis.is_multiple_of(size) {
            continue;
        }
        let count = millis / size;
        if count > 0 {
            let _ = write!(text, "{count}{unit}");
            millis %= size;
        }
    }
    text
}

/// A duration in a configuration file, read and written in Prometheus' notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConfigDuration(pub Duration);

impl TryFrom<String> for ConfigDuration {
    type Error = DurationError;

    fn try_from(text: String) -> Result<Self, DurationError> {
        parse_duration(&text).map(Self)
    }
}

impl From<ConfigDuration> for String {
    fn from(duration: ConfigDuration) -> Self {
        format_duration(duration.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_trip() {
        for text in ["15s", "1h30m", "250ms", "1d", "2w", "1y", "1m30s", "1s500ms", "0s"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn malformed_durations_are_refused() {
        for text in ["", "s", "5", "1x", "1m1h", "1s1s", "-1s", "1.5s", " 1s", "99999999999999999999s"] {
            assert!(parse_duration(text).is_err(), "{text:?} was accepted");
        }
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
    }
}
