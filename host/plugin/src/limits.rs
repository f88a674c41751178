//! What one plugin may use. Every limit has a default that suits an ordinary plugin, and a reason.
//!
//! Limits hold whether or not they are written down: a configuration that names none gets [`Limits::STANDARD`].

use std::fmt;
use std::time::Duration;

use model::ConfigDuration;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bytes per KiB.
const KIB: u64 = 1 << 10;
/// Bytes per MiB.
const MIB: u64 = 1 << 20;

/// Core instances in one component. Python's runtime needs about a dozen; nothing known needs more than a few dozen.
pub(crate) const INSTANCES_MAX: usize = 64;
/// Linear memories in one component. Composed components have a few.
pub(crate) const MEMORIES_MAX: usize = 16;
/// Tables in one component.
pub(crate) const TABLES_MAX: usize = 64;
/// Elements in one table: large enough for the biggest language runtimes, 8 MiB of pointers.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 1 << 20;
/// Resource handles a guest may hold open. Only WASI has any.
pub(crate) const HANDLES_MAX: usize = 1_000;
/// Random bytes per request through WASI; seeds are a few dozen bytes.
pub(crate) const RANDOM_BYTES_MAX: u64 = 64 * KIB;
/// How long `describe` may take, where the plugin's deadline is not shorter. It only returns constants; a Python runtime takes a second to wake up.
pub(crate) const DESCRIBE_DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of one log line; longer ones are cut.
pub(crate) const LOG_LINE_BYTES_MAX: usize = 4 * 1024;
/// Redirects followed for one request.
pub(crate) const REDIRECTS_MAX: usize = 5;
/// The longest that one HTTP request may take, where neither the guest nor the deadline asks for less.
pub(crate) const HTTP_TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// Header fields a guest may send or is shown; more is an attack or a mistake.
pub(crate) const HTTP_HEADERS_MAX: usize = 128;
/// Entries of a directory; a larger listing would be all of the payload limit.
pub(crate) const DIRECTORY_ENTRIES_MAX: usize = 100_000;
/// Functions of one plugin.
pub(crate) const FUNCTIONS_MAX: usize = 100;
/// Parameters of one function.
pub(crate) const FUNCTION_PARAMETERS_MAX: usize = 16;
/// How deep an attribute of a span may be nested: deeper than anybody writes, and no danger to a stack.
pub(crate) const JSON_DEPTH_MAX: usize = 32;
/// Bytes of one function of a component. The interpreter loop of CPython, the largest function known in a guest, has
/// a fifth of it; compiling takes more than linear time in it.
pub(crate) const FUNCTION_BYTES_MAX: usize = 1 << 20;
/// File operations of one plugin that may hang at once, as on a network file system that is gone. Each holds a
/// thread of the host until the system lets go of it.
pub(crate) const FILE_OPERATIONS_MAX: usize = 4;

/// Bytes that one read of a connection gives at most.
pub(crate) const READ_BYTES_MAX: usize = 64 << 10;
/// Bytes of certificates and keys that a plugin may come with: the system's own are 200 KiB.
pub(crate) const PEM_BYTES_MAX: usize = 1 << 20;
/// The longest that one step of a connection may take, where neither the guest nor the deadline asks for less.
pub(crate) const NET_TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// What one plugin may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default = "Limits::standard")]
pub struct Limits {
    /// Linear memory of all of the plugin's modules together.
    pub memory: ByteSize,
    /// Time for one call, from the outside: time in host functions counts.
    pub deadline: ConfigDuration,
    /// Bytes that may cross from the guest in one answer or one request to the host.
    pub payload: ByteSize,
    /// Body of one HTTP response, after decompression.
    pub response: ByteSize,
    /// Connections that one call may make.
    pub connections: u32,
    /// Bytes that one call may read from connections.
    pub received: ByteSize,
    /// One file.
    pub file: ByteSize,
    /// Standard error kept per call; the end of it.
    pub stderr: ByteSize,
    /// Log lines per call; further ones are dropped and counted.
    pub log_lines: u32,
    /// Series in one collection.
    pub series: u32,
    /// Requests to the host per call, of all kinds but log lines together.
    pub host_calls: u32,
    /// The component's file.
    pub component: ByteSize,
    /// Time for compiling it.
    pub compile: ConfigDuration,
    /// Keys and values in its store together.
    pub kv: ByteSize,
    /// Series that it may have among the server's own metrics.
    pub telemetry_series: u32,
    /// What a detector has learnt.
    pub model: ByteSize,
    /// Instances of a function that may be called at once; plugins of other kinds have one.
    pub instances: u32,
}

impl Limits {
    /// The limits of a plugin whose configuration names none.
    pub const STANDARD: Self = Self {
        // Python starts with 12 MiB, JavaScript with 9: room to work, and a hundred plugins fit a small server.
        memory: ByteSize(64 * MIB),
        // Half of Prometheus' default scrape timeout.
        deadline: ConfigDuration(Duration::from_secs(5)),
        // About 100 000 series of text; beyond it, several instances do better.
        payload: ByteSize(16 * MIB),
        // An API that answers more to one question wants paging.
        response: ByteSize(8 * MIB),
        // A collector needs one, or one for each database of a server.
        connections: 64,
        // A server that tells more of itself at once has no end.
        received: ByteSize(16 * MIB),
        // Files of /proc and /sys are kilobytes; connection tables of a busy machine a few megabytes.
        file: ByteSize(4 * MIB),
        // A Python back trace fits.
        stderr: ByteSize(16 * KIB),
        // One line per target of a mid-sized collector.
        log_lines: 100,
        // Ten times what the largest common exporters yield.
        series: 100_000,
        // A collector reads a few hundred files of /sys on a large machine.
        host_calls: 10_000,
        // The largest known runtime, Python's, is 18 MiB; compiling takes about a second per MiB.
        component: ByteSize(32 * MIB),
        // Several times what Python's runtime takes on a small machine.
        compile: ConfigDuration(Duration::from_secs(120)),
        // Positions, tokens, the last page that was read: state, not data.
        kv: ByteSize(MIB),
        // A few metrics with a few label values each.
        telemetry_series: 100,
        // Quantiles of a week by the minute, for a hundred series.
        model: ByteSize(8 * MIB),
        // As many queries as a small server has cores; more only share them.
        instances: 2,
    };

    fn standard() -> Self {
        Self::STANDARD
    }

    /// Says which limit makes no sense, if one does not.
    pub(crate) fn check(&self) -> Result<(), String> {
        const PAGE: u64 = 64 * KIB;
        if self.memory.0 < PAGE || self.memory.0 > 4 << 30 {
            return Err(format!("limits.memory: {} is not between 64KiB and 4GiB", self.memory));
        }
        if self.deadline.0.is_zero() {
            return Err("limits.deadline: must be longer than 0s".to_owned());
        }
        if self.compile.0.is_zero() {
            return Err("limits.compile: must be longer than 0s".to_owned());
        }
        if self.instances == 0 || self.instances > 64 {
            return Err("limits.instances: must be 1 to 64".to_owned());
        }
        for (name, size) in [("payload", self.payload), ("component", self.component)] {
            if size.0 == 0 {
                return Err(format!("limits.{name}: must be larger than 0B"));
            }
        }
        Ok(())
    }
}

/// A number of bytes, written with a unit. As in Prometheus' configuration, all units are powers of 1024, with or
/// without the `i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// Units from large to small.
const UNITS: [(&str, &str, u64); 5] =
    [("TiB", "TB", 1 << 40), ("GiB", "GB", 1 << 30), ("MiB", "MB", MIB), ("KiB", "KB", KIB), ("B", "B", 1)];

impl ByteSize {
    /// The size for use as a length in memory.
    pub(crate) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl std::str::FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("not a size: {text:?}; write a number and a unit, such as 64MiB");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| invalid())?;
        let factor = match unit {
            "" => 1,
            _ => UNITS.iter().find(|(iec, short, _)| unit == *iec || unit == *short).ok_or_else(invalid)?.2,
        };
        number.checked_mul(factor).map(Self).ok_or_else(|| format!("{text:?} is too large a size"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, _, size) = UNITS
            .iter()
            .find(|(_, _, size)| self.0 >= *size && self.0.is_multiple_of(*size))
            .unwrap_or(&UNITS[4]);
        write!(f, "{}{unit}", self.0 / size)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 64MiB")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                u64::try_from(bytes).map(ByteSize).map_err(|_| E::custom("a size cannot be negative"))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_trip_and_both_spellings_are_powers_of_1024() {
        for text in ["64MiB", "1GiB", "16KiB", "0B", "1000B", "3TiB"] {
            assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
        }
        assert_eq!("64MB".parse::<ByteSize>(), Ok(ByteSize(64 * MIB)));
        assert_eq!("512".parse::<ByteSize>(), Ok(ByteSize(512)));
        for text in ["", "MiB", "-1B", "1.5MiB", "64 MiB", "1XB", "99999999999999999999B", "99999999TiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text:?} was accepted");
        }
    }
}
