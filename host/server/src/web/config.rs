//! The web configuration file: Prometheus' keys, and `bearer_tokens`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use model::ConfigDuration;
use scrape::config::Secret;
use serde::Deserialize;

/// The headers that may be set. As in Prometheus.
const HEADERS: [&str; 5] = [
    "content-security-policy",
    "x-frame-options",
    "x-content-type-options",
    "x-xss-protection",
    "strict-transport-security",
];

/// The file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WebConfig {
    pub(super) tls_server_config: Option<TlsServerConfig>,
    pub(super) http_server_config: HttpServerConfig,
    pub(super) rate_limit: RateLimitConfig,
    /// Users with the bcrypt hashes of their passwords.
    pub(super) basic_auth_users: BTreeMap<String, Secret>,
    /// Tokens; not in Prometheus.
    pub(super) bearer_tokens: Vec<BearerToken>,
}

/// The section `tls_server_config`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsServerConfig {
    pub(super) cert: Option<String>,
    pub(super) cert_file: Option<PathBuf>,
    pub(super) key: Option<Secret>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) client_ca: Option<String>,
    pub(super) client_ca_file: Option<PathBuf>,
    pub(super) client_auth_type: ClientAuth,
    pub(super) client_allowed_sans: Vec<String>,
    pub(super) min_version: Version,
    pub(super) max_version: Option<Version>,
    pub(super) cipher_suites: Vec<String>,
    pub(super) curve_preferences: Vec<String>,
    /// Go ignores it too.
    #[serde(rename = "prefer_server_cipher_suites")]
    _prefer_server_cipher_suites: Option<bool>,
}

/// What is asked of clients. The names are Go's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(super) enum ClientAuth {
    /// Nothing.
    #[default]
    #[serde(alias = "")]
    NoClientCert,
    /// A certificate, which need not come and is not checked.
    RequestClientCert,
    /// A certificate, which is not checked.
    #[serde(alias = "RequireClientCert")]
    RequireAnyClientCert,
    /// A certificate, which need not come.
    VerifyClientCertIfGiven,
    /// A certificate.
    RequireAndVerifyClientCert,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
pub(super) enum Version {
    #[serde(rename = "TLS10")]
    V1_0,
    #[serde(rename = "TLS11")]
    V1_1,
    #[default]
    #[serde(rename = "TLS12")]
    V1_2,
    #[serde(rename = "TLS13")]
    V1_3,
}

/// The section `rate_limit`. Without an interval there is no limit.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RateLimitConfig {
    interval: ConfigDuration,
    pub(super) burst: u32,
}

impl RateLimitConfig {
    /// How far requests are apart on average, if that is limited.
    pub(super) fn interval(&self) -> Option<Duration> {
        (!self.interval.0.is_zero()).then_some(self.interval.0)
    }
}

/// The section `http_server_config`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpServerConfig {
    pub(super) http2: bool,
    headers: BTreeMap<String, String>,
}

impl Default for HttpServerConfig {
    fn default() -> Self {
        Self { http2: true, headers: BTreeMap::new() }
    }
}

/// A token and what it is good for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BearerToken {
    /// Whose it is, for the log.
    pub(super) name: String,
    /// Its SHA-256 sum, in hexadecimal digits, so that the file holds nothing that opens anything.
    pub(super) sha256: Option<String>,
    /// A file that holds the token itself.
    pub(super) token_file: Option<PathBuf>,
    #[serde(default = "read_only")]
    pub(super) scopes: Vec<Scope>,
}

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// Queries, and whatever else changes nothing.
    Read,
    /// Sending samples and spans, and all that changes something.
    Write,
}

fn read_only() -> Vec<Scope> {
    vec![Scope::Read]
}

impl WebConfig {
    /// The files that are named.
    pub(super) fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let tls = self
            .tls_server_config
            .iter_mut()
            .flat_map(|tls| [tls.cert_file.as_mut(), tls.key_file.as_mut(), tls.client_ca_file.as_mut()]);
        let tokens = self.bearer_tokens.iter_mut().map(|token| token.token_file.as_mut());
        tls.chain(tokens).flatten()
    }

    /// Checks what concerns several keys.
    pub(super) fn validate(&self) -> Result<(), String> {
        if let Some(tls) = &self.tls_server_config {
            tls.validate().map_err(|what| format!("tls_server_config: {what}"))?;
        }
        self.http_server_config.headers().map_err(|error| error.to_string())?;
        if self.rate_limit.interval().is_some() && self.rate_limit.burst == 0 {
            return Err("rate_limit: burst must be at least 1, or no request is ever let through".to_owned());
        }
        for token in &self.bearer_tokens {
            let name = &token.name;
            if token.sha256.is_some() == token.token_file.is_some() {
                return Err(format!("bearer_tokens: {name:?} needs either sha256 or token_file"));
            }
            if token.scopes.is_empty() {
                return Err(format!("bearer_tokens: {name:?} has no scopes; there are read and write"));
            }
        }
        Ok(())
    }
}

impl TlsServerConfig {
    fn validate(&self) -> Result<(), &'static str> {
        match (self.cert.is_some(), self.cert_file.is_some()) {
            (false, false) => return Err("missing one of cert or cert_file"),
            (true, true) => return Err("at most one of cert and cert_file may be given"),
            _ => {}
        }
        match (self.key.is_some(), self.key_file.is_some()) {
            (false, false) => return Err("missing one of key or key_file"),
            (true, true) => return Err("at most one of key and key_file may be given"),
            _ => {}
        }
        let verifies = matches!(
            self.client_auth_type,
            ClientAuth::VerifyClientCertIfGiven | ClientAuth::RequireAndVerifyClientCert
        );
        match (self.client_ca.is_some(), self.client_ca_file.is_some()) {
            (true, true) => return Err("at most one of client_ca and client_ca_file may be given"),
            (false, false) if verifies => {
                return Err("client certificates are verified, but no client_ca_file says by what");
            }
            (true, _) | (_, true) if self.client_auth_type == ClientAuth::NoClientCert => {
                return Err("client CA's have been configured without a Client Auth Policy");
            }
            _ => {}
        }
        if !self.client_allowed_sans.is_empty() && !verifies {
            return Err("client_allowed_sans needs a client_auth_type that verifies certificates");
        }
        match self.max_version {
            Some(max) if max < Version::V1_2 => {
                Err("max_version must be TLS12 or TLS13: older ones are not spoken")
            }
            Some(max) if max < self.min_version => Err("max_version must not be lower than min_version"),
            _ => Ok(()),
        }
    }
}

impl HttpServerConfig {
    /// The headers of every answer.
    pub(super) fn headers(&self) -> anyhow::Result<Vec<(HeaderName, HeaderValue)>> {
        let header = |(name, value): (&String, &String)| {
            let lower = name.to_ascii_lowercase();
            anyhow::ensure!(HEADERS.contains(&lower.as_str()), "HTTP header {name:?} can not be configured");
            Ok((HeaderName::try_from(lower)?, HeaderValue::try_from(value)?))
        };
        self.headers.iter().filter(|(_, value)| !value.is_empty()).map(header).collect()
    }
}
