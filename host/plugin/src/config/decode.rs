//! Where a decoder listens, and what it takes from whoever sends.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use model::ConfigDuration;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::limits::{ByteSize, Limits};

/// Where a decoder listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeConfig {
    /// The addresses.
    pub listen: Vec<Listen>,
    /// What senders that cannot say so send, such as `text/plain`.
    #[serde(default)]
    pub content_type: String,
    /// For how long datagrams are gathered before they are decoded together.
    #[serde(default = "default_gather")]
    pub gather: ConfigDuration,
    /// Bytes of one message, datagram or request body; what is longer is refused.
    #[serde(default = "default_message_bytes")]
    pub message_bytes: ByteSize,
    /// Connections at once, of all listeners together.
    #[serde(default = "default_connections")]
    pub connections: u32,
    /// How long a connection may say nothing.
    #[serde(default = "default_idle")]
    pub idle: ConfigDuration,
}

fn default_gather() -> ConfigDuration {
    ConfigDuration(Duration::from_millis(100))
}

fn default_message_bytes() -> ByteSize {
    ByteSize(1 << 20)
}

const fn default_connections() -> u32 {
    256
}

fn default_idle() -> ConfigDuration {
    ConfigDuration(Duration::from_secs(300))
}

impl DecodeConfig {
    /// Says which setting makes no sense, if one does not.
    pub(super) fn check(&self, limits: &Limits) -> Result<(), String> {
        if self.listen.is_empty() {
            return Err("decode.listen: must name an address".to_owned());
        }
        if self.message_bytes.0 == 0 || self.message_bytes > limits.payload {
            return Err("decode.message_bytes: must be 1B to limits.payload".to_owned());
        }
        if self.gather.0.is_zero() || self.idle.0.is_zero() || self.connections == 0 {
            return Err("decode: gather, idle and connections must be more than 0".to_owned());
        }
        Ok(())
    }
}

/// One address of a decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// Datagrams.
    Udp(SocketAddr),
    /// Connections, each a stream.
    Tcp(SocketAddr),
    /// Requests: the body of each POST or PUT to this path.
    Http(SocketAddr, String),
}

impl std::str::FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || {
            let examples = "udp://127.0.0.1:8125, tcp://[::]:2003 or http://0.0.0.0:8086/write";
            format!("not an address to listen at: {text:?}; write {examples}")
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(invalid)?;
        let (address, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let address: SocketAddr = address.parse().map_err(|_| invalid())?;
        match (scheme, path) {
            ("udp", "") => Ok(Self::Udp(address)),
            ("tcp", "") => Ok(Self::Tcp(address)),
            ("http", "") => Ok(Self::Http(address, "/".to_owned())),
            ("http", path) => Ok(Self::Http(address, path.to_owned())),
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(address) => write!(f, "udp://{address}"),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Http(address, path) => write!(f, "http://{address}{path}"),
        }
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_round_trip_and_mistakes_are_named() {
        for text in
            ["udp://127.0.0.1:8125", "tcp://[::]:2003", "http://0.0.0.0:8086/write", "http://1.2.3.4:5/"]
        {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        for text in
            ["127.0.0.1:8125", "udp://localhost:1", "udp://1.2.3.4:5/x", "ftp://1.2.3.4:5", "tcp://1.2.3.4"]
        {
            let error = text.parse::<Listen>().unwrap_err();
            assert!(error.starts_with("not an address to listen at"), "{error}");
        }
    }
}
