//! Servers that a plugin may connect to over TCP, and names that it may look up.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use url::Host;

use super::{Denied, Grants, forbidden};

/// A server that does not speak HTTP, or not through the host: `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetGrant {
    /// As `url` normalises it: lower case, punycode, brackets around IPv6; without a dot at its end.
    host: Host<String>,
    port: u16,
}

impl std::str::FromStr for NetGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = |why: &str| format!("not a server: {text:?} {why}; write host:port or [address]:port");
        if text.contains('*') {
            return Err(invalid("has a wildcard, and each server must be named"));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| invalid("has no port"))?;
        let port = port.parse::<u16>().ok().filter(|port| *port != 0);
        let port = port.ok_or_else(|| invalid("has no port"))?;
        let host = parse_host(host).ok_or_else(|| invalid("has a broken host"))?;
        Ok(Self { host, port })
    }
}

impl fmt::Display for NetGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Serialize for NetGrant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NetGrant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A host as a grant has it. IPv6 addresses may come with or without brackets where no port follows them.
pub(crate) fn parse_host(text: &str) -> Option<Host<String>> {
    if let Ok(address) = text.parse::<std::net::Ipv6Addr>() {
        return Some(Host::Ipv6(address));
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() { None } else { Host::parse(text).ok() }
}

/// A name that may be looked up, or with `*.` before it all names below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct DnsGrant(String);

impl std::str::FromStr for DnsGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.strip_prefix("*.").unwrap_or(text);
        let plain = plain.strip_suffix('.').unwrap_or(plain);
        if plain.is_empty() || plain.contains(['*', '/', ':', ' ']) || plain.split('.').any(str::is_empty) {
            return Err(format!("not a name: {text:?}; write name.example or *.example"));
        }
        let star = if text.starts_with("*.") { "*." } else { "" };
        Ok(Self(format!("{star}{}", plain.to_ascii_lowercase())))
    }
}

impl<'de> Deserialize<'de> for DnsGrant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl DnsGrant {
    fn covers(&self, name: &str) -> bool {
        match self.0.strip_prefix('*') {
            // With its dot, so that no name ends in it by chance.
            Some(below) => name.len() > below.len() && name.ends_with(below),
            None => name == self.0,
        }
    }
}

impl Grants {
    /// Whether a connection may be asked for. The address that the name resolves to is checked by
    /// [`check_net_address`](Self::check_net_address) when it is known.
    pub(crate) fn check_net(&self, host: &Host<String>, port: u16) -> Result<(), Denied> {
        if self.has_net(host, port) {
            return Ok(());
        }
        Err(Denied(format!("net: {host}:{port} is not granted; add it to grants.net to allow it")))
    }

    /// Whether a connection to `host` may go to this address of its. Private ranges may, as for HTTP. The machine itself
    /// may where the grant says so: whoever serves a name can point it at `127.0.0.1`, and what listens there often asks
    /// for no password.
    pub(crate) fn check_net_address(
        &self,
        host: &Host<String>,
        port: u16,
        address: IpAddr,
    ) -> Result<(), Denied> {
        let address = address.to_canonical();
        if let Some(what) = forbidden(address) {
            return Err(Denied(format!("net: {address} is {what}, and cannot be granted")));
        }
        let Host::Domain(name) = host else { return Ok(()) };
        let literal = match address {
            IpAddr::V4(v4) => Host::Ipv4(v4),
            IpAddr::V6(v6) => Host::Ipv6(v6),
        };
        let is_local_name = name == "localhost" || name.ends_with(".localhost");
        if !address.is_loopback() || is_local_name || self.has_net(&literal, port) {
            return Ok(());
        }
        Err(Denied(format!(
            "net: {name} resolves to {address}, which is this machine; add {literal}:{port} to grants.net to allow it"
        )))
    }

    /// Whether a name may be looked up.
    pub(crate) fn check_dns(&self, name: &str) -> Result<(), Denied> {
        let plain = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if self.dns.iter().any(|grant| grant.covers(&plain)) {
            return Ok(());
        }
        Err(Denied(format!("dns: {plain} is not granted; add it to grants.dns to allow it")))
    }

    fn has_net(&self, host: &Host<String>, port: u16) -> bool {
        self.net.iter().any(|grant| grant.port == port && grant.host == *host)
    }
}
