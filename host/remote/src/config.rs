//! The sections `remote_write` and `remote_read`, with Prometheus' keys and defaults.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use formats::remote_write::Version;
use md5::{Digest as _, Md5};
use model::{ConfigDuration, Labels};
use scrape::config::{HttpConfig, SplitConfig, split};
use scrape::relabel::RelabelConfig;
use scrape::sigv4::SigV4Config;
use serde::{Deserialize, Deserializer};
use url::Url;

/// Characters of a name that nobody has given.
const NAME_CHARS: usize = 6;

/// Headers that requests have already, or that other keys set.
const RESERVED: [&str; 10] = [
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
];

/// One of `remote_write`: where samples are sent, and how.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct RemoteWriteConfig {
    /// Where to.
    #[serde(deserialize_with = "url")]
    pub url: Url,
    /// What metrics and the log call it; unique. By default, what its settings hash to.
    #[serde(default)]
    pub name: String,
    /// How long one request may take.
    #[serde(default = "thirty_seconds")]
    pub remote_timeout: ConfigDuration,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Rules for what is sent, after the external labels.
    #[serde(default)]
    pub write_relabel_configs: Vec<RelabelConfig>,
    /// Whether exemplars are sent.
    #[serde(default)]
    pub send_exemplars: bool,
    /// Whether native histograms are sent.
    #[serde(default)]
    pub send_native_histograms: bool,
    /// The message that requests hold.
    #[serde(default)]
    pub protobuf_message: ProtobufMessage,
    /// Whether connections go to the addresses of a name in turn. The operating system decides here; taken, so that a
    /// configuration of Prometheus loads.
    #[serde(default)]
    pub round_robin_dns: bool,
    /// How samples are batched, and how often they are tried.
    #[serde(default)]
    pub queue_config: QueueConfig,
    /// Whether, and how often, it is told what is known of metric families.
    #[serde(default)]
    pub metadata_config: MetadataConfig,
    /// How requests are signed for Amazon's managed Prometheus.
    pub sigv4: Option<SigV4Config>,
    #[serde(default, rename = "azuread", deserialize_with = "no_azuread")]
    _azuread: (),
    #[serde(default, rename = "google_iam", deserialize_with = "no_google_iam")]
    _google_iam: (),
    /// How connections are made.
    #[serde(skip)]
    pub http: HttpConfig,
}

/// The message of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
pub enum ProtobufMessage {
    /// Version 1.0.
    #[default]
    #[serde(rename = "prometheus.WriteRequest")]
    V1,
    /// Version 2.0.
    #[serde(rename = "io.prometheus.write.v2.Request")]
    V2,
}

/// `queue_config`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueConfig {
    /// Samples that wait in each shard.
    pub capacity: usize,
    /// Most shards.
    pub max_shards: usize,
    /// Fewest shards, with which a queue begins.
    pub min_shards: usize,
    /// Samples in one request.
    pub max_samples_per_send: usize,
    /// How long samples wait for a request to fill.
    pub batch_send_deadline: ConfigDuration,
    /// How long to wait before the second try.
    pub min_backoff: ConfigDuration,
    /// How long to wait between later ones; each time it is twice as long as before up to here.
    pub max_backoff: ConfigDuration,
    /// Whether `429 Too Many Requests` is a reason to try again, rather than to give up.
    pub retry_on_http_429: bool,
    /// Older samples are given up; zero for none.
    pub sample_age_limit: ConfigDuration,
}

/// `metadata_config`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetadataConfig {
    /// Whether it is sent.
    pub send: bool,
    /// How often.
    pub send_interval: ConfigDuration,
    /// Families in one request.
    pub max_samples_per_send: usize,
}

/// One of `remote_read`: who is asked for samples.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct RemoteReadConfig {
    /// Where.
    #[serde(deserialize_with = "url")]
    pub url: Url,
    /// What metrics and the log call it; unique. By default, what its settings hash to.
    #[serde(default)]
    pub name: String,
    /// Labels that a selector must name, with exactly these values, for the server to be asked.
    #[serde(default, deserialize_with = "labels")]
    pub required_matchers: Labels,
    /// How long one question may take.
    #[serde(default = "one_minute")]
    pub remote_timeout: ConfigDuration,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Whether it is asked even for times of which everything is here.
    #[serde(default)]
    pub read_recent: bool,
    /// Whether external labels are added to selectors and taken off answers.
    #[serde(default = "yes")]
    pub filter_external_labels: bool,
    /// Whether answers are taken in chunks or as samples. Samples are asked for here; taken, so that a configuration of
    /// Prometheus loads.
    #[serde(default)]
    pub chunked_read_limit: Option<u64>,
    /// How connections are made.
    #[serde(skip)]
    pub http: HttpConfig,
}

impl ProtobufMessage {
    /// The version of the protocol that it belongs to.
    pub const fn version(self) -> Version {
        match self {
            Self::V1 => Version::V1,
            Self::V2 => Version::V2,
        }
    }
}

impl Default for QueueConfig {
    /// Prometheus' numbers: fifty shards of two thousand samples take a million samples a second at 100 ms.
    fn default() -> Self {
        Self {
            capacity: 10_000,
            max_shards: 50,
            min_shards: 1,
            max_samples_per_send: 2000,
            batch_send_deadline: ConfigDuration(Duration::from_secs(5)),
            min_backoff: ConfigDuration(Duration::from_millis(30)),
            max_backoff: ConfigDuration(Duration::from_secs(5)),
            retry_on_http_429: false,
            sample_age_limit: ConfigDuration(Duration::ZERO),
        }
    }
}

impl Default for MetadataConfig {
    fn default() -> Self {
        Self {
            send: true,
            send_interval: ConfigDuration(Duration::from_secs(60)),
            max_samples_per_send: 2000,
        }
    }
}

impl RemoteWriteConfig {
    /// What metrics call it.
    pub fn display_name(&self) -> String {
        name_of(&self.name, self.url.as_str())
    }

    /// The URL as metrics and the log tell it.
    pub(crate) fn shown_url(&self) -> String {
        without_password(&self.url)
    }

    /// What its place in the log is kept under: the name, or the URL where there is none, so that other settings may change.
    pub(crate) fn key(&self) -> String {
        key_of(&self.name, self.url.as_str())
    }

    /// Makes the names of files relative to where the process runs rather than to the configuration's folder.
    pub fn resolve_paths(&mut self, folder: &Path) {
        self.http.resolve_paths(folder);
    }

    fn validate(&self) -> Result<(), String> {
        check_headers(&self.headers)?;
        check_url(&self.url)?;
        if let Some(sigv4) = &self.sigv4 {
            sigv4.validate()?;
            let http = &self.http;
            if http.basic_auth.is_some() || http.authorization.is_some() || http.oauth2.is_some() {
                return Err(
                    "at most one of basic_auth, authorization, oauth2 & sigv4 must be configured".to_owned()
                );
            }
        }
        let queue = &self.queue_config;
        let counts = [
            ("capacity", queue.capacity),
            ("max_shards", queue.max_shards),
            ("min_shards", queue.min_shards),
            ("max_samples_per_send", queue.max_samples_per_send),
            ("metadata_config.max_samples_per_send", self.metadata_config.max_samples_per_send),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(format!("{name} must be greater than zero"));
        }
        if queue.max_shards < queue.min_shards {
            return Err("max_shards must not be less than min_shards".to_owned());
        }
        if self.metadata_config.send_interval.0.is_zero() {
            return Err("metadata_config.send_interval must be greater than zero".to_owned());
        }
        Ok(())
    }
}

impl RemoteReadConfig {
    /// What metrics call it.
    pub fn display_name(&self) -> String {
        name_of(&self.name, self.url.as_str())
    }

    /// As [`RemoteWriteConfig::shown_url`].
    pub(crate) fn shown_url(&self) -> String {
        without_password(&self.url)
    }

    /// As [`RemoteWriteConfig::resolve_paths`].
    pub fn resolve_paths(&mut self, folder: &Path) {
        self.http.resolve_paths(folder);
    }
}

/// A password within a URL is shown as Prometheus shows it.
fn without_password(url: &Url) -> String {
    let mut shown = url.clone();
    // Only a URL that can have no password refuses one.
    if shown.password().is_some() && shown.set_password(Some("xxxxx")).is_err() {
        return String::new();
    }
    shown.into()
}

/// The hash of a text, as a name of a file.
fn key_of(name: &str, url: &str) -> String {
    hex::encode(Md5::digest(if name.is_empty() { url } else { name }))
}

fn name_of(name: &str, url: &str) -> String {
    if name.is_empty() { key_of(name, url).chars().take(NAME_CHARS).collect() } else { name.to_owned() }
}

fn check_headers(headers: &BTreeMap<String, String>) -> Result<(), String> {
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("authorization") {
            return Err("authorization header must be changed via the basic_auth, authorization, oauth2, \
                        or tls_config parameter"
                .to_owned());
        }
        if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
            return Err(format!("{name} is a reserved header. It must not be changed"));
        }
        if reqwest::header::HeaderName::try_from(name).is_err()
            || reqwest::header::HeaderValue::try_from(value).is_err()
        {
            return Err(format!("{name:?} with its value is no header"));
        }
    }
    Ok(())
}

fn check_url(url: &Url) -> Result<(), String> {
    match url.scheme() {
        "http" | "https" => Ok(()),
        other => Err(format!("unsupported scheme {other:?} of the URL; http and https are supported")),
    }
}

impl<'de> SplitConfig<'de> for RemoteWriteConfig {
    type Keys = HttpConfig;

    fn rest<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }

    fn join(&mut self, keys: HttpConfig) -> Result<(), String> {
        self.http = keys.validated()?;
        self.validate()
    }
}

impl<'de> Deserialize<'de> for RemoteWriteConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        split::<Self, D>(deserializer)
    }
}

impl<'de> SplitConfig<'de> for RemoteReadConfig {
    type Keys = HttpConfig;

    fn rest<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }

    fn join(&mut self, keys: HttpConfig) -> Result<(), String> {
        self.http = keys.validated()?;
        check_headers(&self.headers)?;
        check_url(&self.url)
    }
}

impl<'de> Deserialize<'de> for RemoteReadConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        split::<Self, D>(deserializer)
    }
}

fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let text = String::deserialize(deserializer)?;
    Url::parse(&text).map_err(|error| serde::de::Error::custom(format!("{text:?} is no URL: {error}")))
}

fn no_azuread<'de, D: Deserializer<'de>>(_: D) -> Result<(), D::Error> {
    Err(serde::de::Error::custom(
        "tokens of Microsoft Entra are not asked for here; use oauth2 with a client secret, or a proxy that adds them",
    ))
}

fn no_google_iam<'de, D: Deserializer<'de>>(_: D) -> Result<(), D::Error> {
    Err(serde::de::Error::custom(
        "tokens of Google Cloud are not asked for here; use authorization.credentials_file with a token that another \
         program keeps up to date, or a proxy that adds them",
    ))
}

fn labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
    let map = BTreeMap::<String, String>::deserialize(deserializer)?;
    if map.contains_key("") {
        return Err(serde::de::Error::custom("\"\" is not a valid label name"));
    }
    Ok(Labels::from_pairs(map))
}

const fn thirty_seconds() -> ConfigDuration {
    ConfigDuration(Duration::from_secs(30))
}

const fn one_minute() -> ConfigDuration {
    ConfigDuration(Duration::from_secs(60))
}

const fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests;
