//! How requests are made, wherever the configuration names a server to ask: credentials, certificates, proxies,
//! headers. One type for all of these sections, with Prometheus' keys.
//!
//! Nothing here shows a secret: [`Secret`] prints as a placeholder. Files of secrets are read when they are
//! needed, so that a rotated one is used without a reload.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Error as _, MapAccess};
use serde::{Deserialize, Deserializer};

use super::keys::{SplitConfig, TakeKeys};
use super::tls::TlsConfig;

/// Headers that a request has by other keys, or that the protocol sets. As in Prometheus.
const RESERVED_HEADERS: [&str; 18] = [
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-prometheus-scrape-timeout-seconds",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
];

/// A text that no log and no debug output shows.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// How requests are made: what Prometheus calls the HTTP client's configuration.
///
/// A section that has these keys among others of its own reads them through [`SplitConfig`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// User and password.
    pub basic_auth: Option<BasicAuth>,
    /// The header `Authorization`; `bearer_token` and `bearer_token_file` are older words for it.
    pub authorization: Option<Authorization>,
    /// A token that is asked for first.
    pub oauth2: Option<OAuth2>,
    /// How the other side's certificate is checked, and ours.
    pub tls_config: TlsConfig,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// Whether HTTP/2 is offered over TLS.
    pub enable_http2: bool,
    /// Whether nothing but HTTP/2 is spoken, as gRPC wants it. No key says so.
    pub http2_only: bool,
    /// Further headers.
    pub http_headers: BTreeMap<String, Header>,
    /// Through which proxy to go.
    pub proxy: ProxyConfig,
    bearer_token: Option<Secret>,
    bearer_token_file: Option<PathBuf>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            basic_auth: None,
            authorization: None,
            oauth2: None,
            tls_config: TlsConfig::default(),
            follow_redirects: true,
            enable_http2: true,
            http2_only: false,
            http_headers: BTreeMap::new(),
            proxy: ProxyConfig::default(),
            bearer_token: None,
            bearer_token_file: None,
        }
    }
}

/// User and password.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct BasicAuth {
    /// The user.
    #[serde(default)]
    pub username: String,
    /// A file that holds the user, read before each request.
    pub username_file: Option<PathBuf>,
    /// The password.
    pub password: Option<Secret>,
    /// A file that holds the password, read before each request.
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
    /// A file that holds what follows it, read before each request.
    pub credentials_file: Option<PathBuf>,
}

/// How a token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
pub enum GrantType {
    /// With a secret (RFC 6749, section 4.4).
    #[default]
    #[serde(rename = "client_credentials", alias = "")]
    ClientCredentials,
    /// With a signed assertion (RFC 7523, section 2.1).
    #[serde(rename = "urn:ietf:params:oauth:grant-type:jwt-bearer")]
    JwtBearer,
}

/// How an assertion is signed (RFC 7518, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SignatureAlgorithm {
    /// RSA with SHA-256.
    #[default]
    Rs256,
    /// RSA with SHA-384.
    Rs384,
    /// RSA with SHA-512.
    Rs512,
}

impl SignatureAlgorithm {
    /// The name in the assertion.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
        }
    }
}

/// A token by OAuth 2.0.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct OAuth2 {
    /// Who asks.
    pub client_id: String,
    /// The secret that proves it.
    pub client_secret: Option<Secret>,
    /// A file that holds the secret, read before each token is asked for.
    pub client_secret_file: Option<PathBuf>,
    /// How the token is asked for.
    #[serde(default)]
    pub grant_type: GrantType,
    /// By an assertion: the private key in PEM.
    pub client_certificate_key: Option<Secret>,
    /// A file that holds the key, read before each token is asked for.
    pub client_certificate_key_file: Option<PathBuf>,
    /// By an assertion: the name of the key.
    #[serde(default)]
    pub client_certificate_key_id: String,
    /// By an assertion: how it is signed.
    #[serde(default)]
    pub signature_algorithm: SignatureAlgorithm,
    /// By an assertion: who says so; the client where nobody is named.
    #[serde(default)]
    pub iss: String,
    /// By an assertion: to whom; the token's URL where nobody is named.
    #[serde(default)]
    pub audience: String,
    /// By an assertion: what else it says.
    #[serde(default)]
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// What the token is to allow.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Where tokens are.
    pub token_url: String,
    /// Further parameters of the request for a token.
    #[serde(default)]
    pub endpoint_params: BTreeMap<String, String>,
    /// How the token server's certificate is checked, and ours.
    #[serde(default)]
    pub tls_config: TlsConfig,
    /// As [`ProxyConfig::url`].
    pub proxy_url: Option<String>,
    /// As [`ProxyConfig::no_proxy`].
    #[serde(default)]
    pub no_proxy: String,
    /// As [`ProxyConfig::from_environment`].
    #[serde(default)]
    pub proxy_from_environment: bool,
    /// As [`ProxyConfig::connect_header`].
    #[serde(default)]
    pub proxy_connect_header: BTreeMap<String, Vec<Secret>>,
}

/// The values of one header.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Values that anybody may see.
    #[serde(default)]
    pub values: Vec<String>,
    /// Values that are not shown.
    #[serde(default)]
    pub secrets: Vec<Secret>,
    /// Files with one value each, read before each request.
    #[serde(default)]
    pub files: Vec<PathBuf>,
}

/// Through which proxy to go. By default through none, whatever the environment says.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ProxyConfig {
    /// `proxy_url`: `http://`, `https://`, `socks5://` or `socks5h://`.
    pub url: Option<String>,
    /// `no_proxy`: addresses, networks and domains that are reached without it, set apart by commas.
    pub no_proxy: String,
    /// `proxy_from_environment`: whether `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` count.
    pub from_environment: bool,
    /// `proxy_connect_header`: headers for the proxy itself.
    pub connect_header: BTreeMap<String, Vec<Secret>>,
}

impl HttpConfig {
    /// The files that are named, to be made absolute or read.
    pub fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let basic = self.basic_auth.as_mut();
        let basic = basic.into_iter().flat_map(|a| [a.username_file.as_mut(), a.password_file.as_mut()]);
        let credentials = self.authorization.as_mut().and_then(|auth| auth.credentials_file.as_mut());
        let oauth2 = self.oauth2.as_mut().into_iter().flat_map(|o| {
            let secrets = [o.client_secret_file.as_mut(), o.client_certificate_key_file.as_mut()];
            secrets.into_iter().flatten().chain(o.tls_config.files_mut())
        });
        let headers = self.http_headers.values_mut().flat_map(|header| header.files.iter_mut());
        basic.flatten().chain(credentials).chain(oauth2).chain(headers).chain(self.tls_config.files_mut())
    }

    /// Makes the names of files that are relative to `folder`, where the configuration's own file is, relative
    /// to where the process runs.
    pub fn resolve_paths(&mut self, folder: &Path) {
        for path in self.files_mut() {
            // An empty name would become the folder's.
            if !path.as_os_str().is_empty() {
                *path = folder.join(&path);
            }
        }
    }

    /// Files of secrets, which the server runs without and which a check of the configuration reads.
    pub(crate) fn secret_files(&self) -> impl Iterator<Item = &Path> {
        let basic =
            self.basic_auth.iter().flat_map(|a| [a.username_file.as_deref(), a.password_file.as_deref()]);
        let credentials = self.authorization.iter().map(|auth| auth.credentials_file.as_deref());
        let oauth2 = self
            .oauth2
            .iter()
            .flat_map(|o| [o.client_secret_file.as_deref(), o.client_certificate_key_file.as_deref()]);
        let headers = self.http_headers.values().flat_map(|header| &header.files);
        basic.chain(credentials).chain(oauth2).flatten().chain(headers.map(PathBuf::as_path))
    }

    /// Checks what concerns several keys, and brings older words to newer ones.
    ///
    /// # Errors
    /// What is wrong, in Prometheus' words where it has any.
    pub fn validated(mut self) -> Result<Self, String> {
        if self.bearer_token.is_some() && self.bearer_token_file.is_some() {
            return Err("at most one of bearer_token & bearer_token_file must be configured".to_owned());
        }
        let bearer_token = self.bearer_token.is_some() || self.bearer_token_file.is_some();
        if self.authorization.is_some() && bearer_token {
            return Err("authorization is not compatible with bearer_token & bearer_token_file".to_owned());
        }
        let ways =
            [self.basic_auth.is_some(), self.authorization.is_some() || bearer_token, self.oauth2.is_some()];
        if ways.iter().filter(|given| **given).count() > 1 {
            return Err(match bearer_token {
                true => {
                    "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured"
                }
                false => "at most one of basic_auth, oauth2 & authorization must be configured",
            }
            .to_owned());
        }
        if bearer_token {
            self.authorization = Some(Authorization {
                scheme: bearer(),
                credentials: self.bearer_token.take(),
                credentials_file: self.bearer_token_file.take(),
            });
        }
        self.proxy.validate()?;
        for name in self.http_headers.keys() {
            if RESERVED_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(format!("setting header {name:?} is not allowed"));
            }
            if reqwest::header::HeaderName::try_from(name).is_err() {
                return Err(format!("{name:?} is no name for a header"));
            }
        }
        Ok(self)
    }
}

impl TakeKeys for HttpConfig {
    fn wants(&self, key: &str) -> bool {
        matches!(
            key,
            "basic_auth"
                | "authorization"
                | "oauth2"
                | "bearer_token"
                | "bearer_token_file"
                | "tls_config"
                | "follow_redirects"
                | "enable_http2"
                | "http_headers"
                | "proxy_url"
                | "no_proxy"
                | "proxy_from_environment"
                | "proxy_connect_header"
        )
    }

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "basic_auth" => self.basic_auth = map.next_value()?,
            "authorization" => self.authorization = map.next_value()?,
            "oauth2" => self.oauth2 = map.next_value()?,
            "bearer_token" => self.bearer_token = map.next_value()?,
            "bearer_token_file" => self.bearer_token_file = map.next_value()?,
            "tls_config" => self.tls_config = map.next_value()?,
            "follow_redirects" => self.follow_redirects = map.next_value()?,
            "enable_http2" => self.enable_http2 = map.next_value()?,
            "http_headers" => self.http_headers = map.next_value()?,
            "proxy_url" => self.proxy.url = map.next_value()?,
            "no_proxy" => self.proxy.no_proxy = map.next_value()?,
            "proxy_from_environment" => self.proxy.from_environment = map.next_value()?,
            "proxy_connect_header" => self.proxy.connect_header = map.next_value()?,
            other => return Err(A::Error::unknown_field(other, &[])),
        }
        Ok(())
    }
}

/// A file of its own that has nothing but these keys, as tools take one.
impl<'de> Deserialize<'de> for HttpConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(super::keys::deserialize::<Alone, D>(deserializer)?.http)
    }
}

/// A section without keys of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alone {
    #[serde(skip)]
    http: HttpConfig,
}

impl<'de> SplitConfig<'de> for Alone {
    type Keys = HttpConfig;

    fn rest<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }

    fn join(&mut self, keys: HttpConfig) -> Result<(), String> {
        self.http = keys.validated()?;
        Ok(())
    }
}

impl ProxyConfig {
    fn validate(&self) -> Result<(), String> {
        if self.from_environment && self.url.is_some() {
            return Err(
                "if proxy_from_environment is configured, proxy_url must not be configured".to_owned()
            );
        }
        if self.from_environment && !self.no_proxy.is_empty() {
            return Err("if proxy_from_environment is configured, no_proxy must not be configured".to_owned());
        }
        if self.url.is_none() && !self.no_proxy.is_empty() {
            return Err("if no_proxy is configured, proxy_url must also be configured".to_owned());
        }
        if !self.connect_header.is_empty() && self.url.is_none() && !self.from_environment {
            return Err(
                "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured"
                    .to_owned(),
            );
        }
        match &self.url {
            Some(url) if url::Url::parse(url).is_err() => Err(format!("proxy_url {url:?} is no URL")),
            _ => Ok(()),
        }
    }
}

impl OAuth2 {
    /// How tokens themselves are asked for.
    pub(crate) fn http(&self) -> HttpConfig {
        HttpConfig {
            tls_config: self.tls_config.clone(),
            proxy: ProxyConfig {
                url: self.proxy_url.clone(),
                no_proxy: self.no_proxy.clone(),
                from_environment: self.proxy_from_environment,
                connect_header: self.proxy_connect_header.clone(),
            },
            ..HttpConfig::default()
        }
    }
}

impl OAuth2 {
    fn check_grant(&self) -> Result<(), &'static str> {
        let keys = [self.client_certificate_key.is_some(), self.client_certificate_key_file.is_some()];
        match (self.grant_type, keys) {
            (GrantType::JwtBearer, [false, false]) => Err(
                "either oauth2 client_certificate_key or client_certificate_key_file must be configured using grant-type=urn:ietf:params:oauth:grant-type:jwt-bearer",
            ),
            (_, [true, true]) => Err(
                "at most one of oauth2 client_certificate_key & client_certificate_key_file must be configured using grant-type=urn:ietf:params:oauth:grant-type:jwt-bearer",
            ),
            _ => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for OAuth2 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let oauth2 = Self::deserialize(deserializer)?;
        let what = if oauth2.client_id.is_empty() {
            "oauth2 client_id must be configured".to_owned()
        } else if oauth2.token_url.is_empty() {
            "oauth2 token_url must be configured".to_owned()
        } else if oauth2.client_secret.is_some() && oauth2.client_secret_file.is_some() {
            "at most one of oauth2 client_secret & client_secret_file must be configured".to_owned()
        } else if let Err(what) = oauth2.check_grant() {
            what.to_owned()
        } else if let Err(what) = oauth2.http().proxy.validate() {
            what
        } else {
            return Ok(oauth2);
        };
        Err(D::Error::custom(what))
    }
}

impl<'de> Deserialize<'de> for BasicAuth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let auth = Self::deserialize(deserializer)?;
        if !auth.username.is_empty() && auth.username_file.is_some() {
            let text = "at most one of basic_auth username & username_file must be configured";
            return Err(D::Error::custom(text));
        }
        if auth.password.is_some() && auth.password_file.is_some() {
            let text = "at most one of basic_auth password & password_file must be configured";
            return Err(D::Error::custom(text));
        }
        Ok(auth)
    }
}

impl<'de> Deserialize<'de> for Authorization {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let auth = Self::deserialize(deserializer)?;
        if auth.credentials.is_some() && auth.credentials_file.is_some() {
            let text = "at most one of authorization credentials & credentials_file must be configured";
            return Err(D::Error::custom(text));
        }
        if auth.scheme.eq_ignore_ascii_case("basic") {
            let text = "authorization type cannot be set to \"basic\", use \"basic_auth\" instead";
            return Err(D::Error::custom(text));
        }
        Ok(auth)
    }
}

fn bearer() -> String {
    "Bearer".to_owned()
}
