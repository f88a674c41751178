//! How connections to targets are made: credentials, certificates, redirects.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

/// A text that no log and no debug output shows.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// User and password.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct BasicAuth {
    /// The user.
    #[serde(default)]
    pub username: String,
    /// The password.
    pub password: Option<Secret>,
    /// A file that holds the password, read before each scrape.
    pub password_file: Option<PathBuf>,
}

/// The header `Authorization`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Authorization {
    /// The scheme.
    #[serde(rename = "type", default = "bearer")]
    pub scheme: String,
    /// What follows it.
    pub credentials: Option<Secret>,
    /// A file that holds what follows it, read before each scrape.
    pub credentials_file: Option<PathBuf>,
}

/// How the other side's certificate is checked, and ours.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct TlsConfig {
    /// Whether any certificate will do.
    #[serde(default)]
    pub insecure_skip_verify: bool,
    /// Certificates to trust instead of the system's, as PEM.
    pub ca_file: Option<PathBuf>,
    /// Our certificate, as PEM.
    pub cert_file: Option<PathBuf>,
    /// Its key, as PEM.
    pub key_file: Option<PathBuf>,
}

/// All of it, for one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// User and password.
    pub basic_auth: Option<BasicAuth>,
    /// The header `Authorization`.
    pub authorization: Option<Authorization>,
    /// Certificates.
    pub tls_config: TlsConfig,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// Whether answers may be compressed.
    pub enable_compression: bool,
    /// Through which proxy to go.
    pub proxy_url: Option<String>,
}

impl TlsConfig {
    /// Whether something is read from files.
    pub(crate) const fn has_files(&self) -> bool {
        self.ca_file.is_some() || self.cert_file.is_some()
    }
}

impl<'de> Deserialize<'de> for BasicAuth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let auth = Self::deserialize(deserializer)?;
        if auth.password.is_some() && auth.password_file.is_some() {
            let text = "at most one of basic_auth password & password_file must be configured";
            return Err(serde::de::Error::custom(text));
        }
        Ok(auth)
    }
}

impl<'de> Deserialize<'de> for Authorization {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let auth = Self::deserialize(deserializer)?;
        if auth.credentials.is_some() && auth.credentials_file.is_some() {
            let text = "at most one of authorization credentials & credentials_file must be configured";
            return Err(serde::de::Error::custom(text));
        }
        if auth.scheme.eq_ignore_ascii_case("basic") {
            let text = "authorization type cannot be set to \"basic\", use \"basic_auth\" instead";
            return Err(serde::de::Error::custom(text));
        }
        Ok(auth)
    }
}

impl<'de> Deserialize<'de> for TlsConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let config = Self::deserialize(deserializer)?;
        if config.cert_file.is_some() != config.key_file.is_some() {
            let text = "exactly one of cert_file and key_file is configured, both are needed";
            return Err(serde::de::Error::custom(text));
        }
        Ok(config)
    }
}

fn bearer() -> String {
    "Bearer".to_owned()
}
