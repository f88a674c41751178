//! What a plugin may reach, and the only place where that is decided.
//!
//! Nothing is granted that the configuration does not name. The modules under `imports/` translate between an
//! interface's version and the host; each of them asks here before it touches anything, so that no version of an
//! interface can have rules of its own. Some things nobody can grant: cloud metadata services and link-local
//! addresses, and those files of `/proc` that hold other processes' secrets.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub(crate) mod net;
pub(crate) mod secret;
pub(crate) mod tls;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use url::{Host, Url};

pub use self::net::{DnsGrant, NetGrant};
pub use self::secret::{SecretGrant, SecretHeader, SecretValue};
pub use self::tls::TlsGrant;

/// What a plugin may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// Directories and files of the host.
    pub files: Vec<FileGrant>,
    /// Servers.
    pub http: Vec<HttpGrant>,
    /// Servers to connect to over TCP.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub net: Vec<NetGrant>,
    /// Names to look up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<DnsGrant>,
    /// Whom to trust, and who to be, where connections are encrypted; the system's certificates where it does not say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tls: Vec<TlsGrant>,
    /// Secrets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretGrant>,
    /// Whether it may query the server's metrics.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub query: bool,
}

/// A directory with all below it, or one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileGrant {
    /// Absolute.
    #[serde(deserialize_with = "absolute")]
    pub path: PathBuf,
    /// What may be done there.
    pub mode: FileMode,
}

fn absolute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err(de::Error::custom(format!("{} is not an absolute path without `..`", path.display())));
    }
    Ok(path)
}

/// What may be done with files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileMode {
    /// Ask how much space the file system has; neither contents nor names.
    Stat,
    /// Read contents and names as well.
    Read,
}

/// A server: `https://host:port`, or `host:port` for both schemes. A scheme without a port means its default port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpGrant {
    /// None for both.
    scheme: Option<Scheme>,
    /// As `url` normalises it: lower case, punycode, brackets around IPv6.
    host: Host<String>,
    port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl std::str::FromStr for HttpGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = |why: &str| {
            format!("not a server: {text:?} {why}; write https://host, https://host:port or host:port")
        };
        let (scheme, url) = if text.starts_with("http://") {
            (Some(Scheme::Http), text.to_owned())
        } else if text.starts_with("https://") {
            (Some(Scheme::Https), text.to_owned())
        } else if text.contains("://") {
            return Err(invalid("has a scheme other than http and https"));
        } else {
            (None, format!("http://{text}"))
        };
        if text.contains('*') {
            return Err(invalid("has a wildcard, and each server must be named"));
        }
        let url = Url::parse(&url).map_err(|error| invalid(&format!("has a broken address ({error})")))?;
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("has more than a host and a port"));
        }
        // `Url` drops a scheme's default port, so whether one was written has to be read off the text.
        let port_written = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if scheme.is_none() && !port_written {
            return Err(invalid("has neither scheme nor port"));
        }
        let host = url.host().ok_or_else(|| invalid("has no host"))?.to_owned();
        let port = url.port_or_known_default().ok_or_else(|| invalid("has no port"))?;
        Ok(Self { scheme, host, port })
    }
}

impl HttpGrant {
    /// Whether the URL's server is this one.
    fn covers(&self, url: &Url) -> bool {
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return false,
        };
        let host = url.host().is_some_and(|host| self.host == host);
        host && url.port_or_known_default() == Some(self.port)
            && self.scheme.is_none_or(|granted| granted == scheme)
    }
}

impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = self.scheme {
            write!(f, "{}://", scheme.as_str())?;
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Serialize for HttpGrant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HttpGrant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// What no grant covers, in words for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Denied(pub(crate) String);

/// Why a path cannot be used.
#[derive(Debug)]
pub(crate) enum PathRefused {
    /// No grant covers it.
    Denied(Denied),
    /// Following its links failed.
    Io(std::io::Error),
}

impl Grants {
    /// Whether it may query the server's metrics.
    pub(crate) fn check_query(&self) -> Result<(), Denied> {
        let text = "query: is not granted; set grants.query to allow it";
        if self.query { Ok(()) } else { Err(Denied(text.to_owned())) }
    }

    /// Whether a request may go to the URL's server. The address its name resolves to is checked by
    /// [`check_address`] when it is known.
    pub(crate) fn check_url(&self, url: &Url) -> Result<(), Denied> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Denied(format!("http: no scheme {:?} can be granted", url.scheme())));
        }
        let origin = url.origin().ascii_serialization();
        let Some(host) = url.host() else {
            return Err(Denied(format!("http: {origin} names no server")));
        };
        if !self.http.iter().any(|grant| grant.covers(url)) {
            return Err(Denied(format!("http: {origin} is not granted; add it to grants.http to allow it")));
        }
        match host {
            Host::Ipv4(address) => check_address(address.into()),
            Host::Ipv6(address) => check_address(address.into()),
            Host::Domain(_) => Ok(()),
        }
    }

    /// The path without links, if grants cover both what was asked and what it leads to.
    ///
    /// Blocks on the file system. What is asked is checked before it is looked at, so that the answer tells nothing
    /// about files that are not granted.
    pub(crate) fn check_path(&self, path: &Path, mode: FileMode) -> Result<PathBuf, PathRefused> {
        self.check_written(path, mode)?;
        let real = path.canonicalize().map_err(PathRefused::Io)?;
        self.check_real(&real, mode)?;
        Ok(real)
    }

    /// As [`check_path`](Self::check_path), for the link itself rather than what it points to.
    pub(crate) fn check_link(&self, path: &Path, mode: FileMode) -> Result<PathBuf, PathRefused> {
        self.check_written(path, mode)?;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return self.check_path(path, mode);
        };
        let real = parent.canonicalize().map_err(PathRefused::Io)?.join(name);
        self.check_real(&real, mode)?;
        Ok(real)
    }

    fn check_written(&self, path: &Path, mode: FileMode) -> Result<(), PathRefused> {
        let plain = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
        if !plain {
            return Err(refused(path, "is not an absolute path without `..`"));
        }
        if self.files.iter().any(|grant| grant.mode >= mode && path.starts_with(&grant.path)) {
            Ok(())
        } else {
            Err(refused(path, "is not granted; add it to grants.files to allow it"))
        }
    }

    fn check_real(&self, real: &Path, mode: FileMode) -> Result<(), PathRefused> {
        if is_process_secret(real) {
            return Err(refused(real, "holds a process's secrets and cannot be granted"));
        }
        let mut grants = self.files.iter().filter(|grant| grant.mode >= mode);
        // A path without links below a grant as it is written needs no second look at the grant's own links.
        let granted = grants.clone().any(|grant| real.starts_with(&grant.path))
            || grants.any(|grant| grant.path.canonicalize().is_ok_and(|granted| real.starts_with(granted)));
        if granted { Ok(()) } else { Err(refused(real, "is where a link leads, and is not granted")) }
    }
}

fn refused(path: &Path, why: &str) -> PathRefused {
    PathRefused::Denied(Denied(format!("files: {} {why}", path.display())))
}

/// Whether a file of `/proc` shows what a process was told in confidence: a grant of `/proc` is given for counters.
fn is_process_secret(real: &Path) -> bool {
    const SECRETS: [&str; 4] = ["environ", "mem", "map_files", "kcore"];
    real.strip_prefix("/proc").is_ok_and(|rest| {
        rest.components().any(|part| part.as_os_str().to_str().is_some_and(|name| SECRETS.contains(&name)))
    })
}

/// Whether a connection may go to the address. Loopback and private ranges may: a grant names the server, and most of
/// what is monitored is there. Addresses that hand out credentials to whoever asks never may.
pub(crate) fn check_address(address: IpAddr) -> Result<(), Denied> {
    match forbidden(address) {
        Some(what) => Err(Denied(format!("http: {address} is {what}, and cannot be granted"))),
        None => Ok(()),
    }
}

/// What an address is that nobody may connect to.
fn forbidden(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => forbidden_v4(v4),
        IpAddr::V6(v6) => forbidden_v6(v6),
    }
}

/// Metadata services outside the link-local range: Alibaba, Oracle, Azure.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];
/// Metadata services of IPv6: Amazon, Google.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254),
    Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254),
];

fn forbidden_v4(address: Ipv4Addr) -> Option<&'static str> {
    if METADATA_V4.contains(&address) {
        Some("a cloud metadata address")
    } else if address.is_link_local() {
        Some("a link-local address, where cloud metadata is served")
    } else if address.is_multicast() || address.is_broadcast() {
        Some("no address of a single machine")
    } else if address.octets().first() == Some(&0) {
        Some("an unspecified address")
    } else {
        None
    }
}

fn forbidden_v6(address: Ipv6Addr) -> Option<&'static str> {
    if METADATA_V6.contains(&address) {
        Some("a cloud metadata address")
    } else if address.is_unicast_link_local() {
        Some("a link-local address")
    } else if address.is_multicast() {
        Some("no address of a single machine")
    } else if address.is_unspecified() {
        Some("an unspecified address")
    } else {
        embedded_v4(address).and_then(forbidden_v4)
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, NAT64 or 6to4.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        // `::1` is loopback, not an IPv4-compatible address.
        [0, 0, 0, 0, 0, 0, 0, 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
