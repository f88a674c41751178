//! Where targets are found: in files, on servers, by plugins.

use std::time::Duration;

use model::ConfigDuration;
use serde::{Deserialize, Deserializer};
use url::Url;

use super::http::HttpConfig;
use super::keys::{self, SplitConfig};
use crate::Error;

/// How often files are read again where no change of theirs was seen.
const FILES_EVERY: ConfigDuration = ConfigDuration(Duration::from_secs(5 * 60));
/// How often a server is asked.
const SERVER_EVERY: ConfigDuration = ConfigDuration(Duration::from_secs(60));
/// The sections that are no plugin's.
const BUILT_IN: [&str; 3] = ["file_sd_configs", "http_sd_configs", "plugin_sd_configs"];
/// What the name of a section ends in that says where targets are found.
const SUFFIX: &str = "_sd_configs";

/// The mechanism that a key names, if it is a section for a plugin.
pub(super) fn mechanism(key: &str) -> Option<&str> {
    key.strip_suffix(SUFFIX).filter(|name| !name.is_empty() && !BUILT_IN.contains(&key))
}

/// Targets that a configured plugin of the kind discoverer finds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginSdConfig {
    /// The name it is configured under.
    pub plugin: String,
}

/// A `*_sd_configs` that the plugin of its name answers.
#[derive(Clone, Debug, PartialEq)]
pub struct SdBlock {
    /// The name before `_sd_configs`.
    pub mechanism: String,
    /// What the plugin is configured with, for each entry.
    pub configs: Vec<serde_json::Value>,
}

/// Targets in files, JSON or YAML by their names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct FileSdConfig {
    /// The files; the last part of a path may have `*`.
    #[serde(default)]
    pub files: Vec<String>,
    /// How often they are read again where no change of theirs was seen.
    #[serde(default = "files_every")]
    pub refresh_interval: ConfigDuration,
}

impl FileSdConfig {
    /// Reads the files that are there: one that comes later is no mistake, one that cannot be read is.
    pub(crate) fn check(&self) -> Result<(), Error> {
        crate::discovery::file::read_now(self).map(drop).map_err(Error::Config)
    }
}

impl<'de> Deserialize<'de> for FileSdConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let config = Self::deserialize(deserializer)?;
        if config.files.is_empty() {
            return Err(serde::de::Error::custom(
                "file service discovery config must contain at least one path name",
            ));
        }
        for pattern in &config.files {
            let name = pattern.rsplit('/').next().unwrap_or_default();
            let folder = &pattern[..pattern.len() - name.len()];
            let known = [".json", ".yml", ".yaml"].iter().any(|suffix| name.ends_with(suffix));
            if !known || folder.contains('*') || name.matches('*').count() > 1 {
                let what = format!(
                    "path name {pattern:?} is not valid for file discovery: it must end in .json, .yml or .yaml, with \
                     one * at most, and that in its last part"
                );
                return Err(serde::de::Error::custom(what));
            }
        }
        Ok(config)
    }
}

/// Targets that a server lists, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct HttpSdConfig {
    /// What is asked for.
    pub url: String,
    /// How often.
    #[serde(default = "server_every")]
    pub refresh_interval: ConfigDuration,
    /// How.
    #[serde(skip)]
    pub http: HttpConfig,
}

impl<'de> SplitConfig<'de> for HttpSdConfig {
    type Keys = HttpConfig;

    fn rest<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }

    fn join(&mut self, keys: HttpConfig) -> Result<(), String> {
        self.http = keys.validated()?;
        if self.url.is_empty() {
            return Err("URL is missing".to_owned());
        }
        let url = Url::parse(&self.url).map_err(|e| format!("url {:?} is no URL: {e}", self.url))?;
        match (url.scheme(), url.has_host()) {
            ("http" | "https", true) => Ok(()),
            ("http" | "https", false) => Err("host is missing in URL".to_owned()),
            _ => Err("URL scheme must be 'http' or 'https'".to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for HttpSdConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        keys::deserialize(deserializer)
    }
}

const fn files_every() -> ConfigDuration {
    FILES_EVERY
}

const fn server_every() -> ConfigDuration {
    SERVER_EVERY
}
