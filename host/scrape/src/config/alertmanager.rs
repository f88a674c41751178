//! The section `alerting`: Alertmanagers elsewhere, which are found and reached as targets are, and what is done with
//! alerts before they are sent there.

use std::time::Duration;

use model::ConfigDuration;
use serde::{Deserialize, Deserializer, de};

use super::keys::{self, SplitConfig};
use super::{
    FileSdConfig, HttpConfig, HttpSdConfig, JobKeys, PluginSdConfig, Scheme, ScrapeConfig, SdBlock,
    StaticConfig,
};
use crate::relabel::RelabelConfig;
use crate::sigv4::SigV4Config;

/// How long a request to an Alertmanager may take where nothing else is said.
const TIMEOUT: ConfigDuration = ConfigDuration(Duration::from_secs(10));
/// Where Alertmanager takes alerts.
const ALERTS_PATH: &str = "/api/v2/alerts";

/// The section `alerting`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertingConfig {
    /// Rules for all alerts.
    #[serde(default)]
    pub alert_relabel_configs: Vec<RelabelConfig>,
    /// Sets of Alertmanagers.
    #[serde(default)]
    pub alertmanagers: Vec<AlertmanagerConfig>,
}

/// One of `alertmanagers`: a set of them that are reached alike.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct AlertmanagerConfig {
    /// `http` or `https`.
    #[serde(default)]
    pub scheme: Scheme,
    /// What comes before the path of Alertmanager's API.
    #[serde(default)]
    pub path_prefix: String,
    /// How long a request may take.
    #[serde(default = "timeout")]
    pub timeout: ConfigDuration,
    #[serde(default, rename = "api_version")]
    _api_version: ApiVersion,
    /// Alertmanagers by name.
    #[serde(default)]
    pub static_configs: Vec<StaticConfig>,
    /// Those that plugins find.
    #[serde(default)]
    pub plugin_sd_configs: Vec<PluginSdConfig>,
    /// Those that files name.
    #[serde(default)]
    pub file_sd_configs: Vec<FileSdConfig>,
    /// Those that servers list.
    #[serde(default)]
    pub http_sd_configs: Vec<HttpSdConfig>,
    /// Other sections for plugins.
    #[serde(skip)]
    pub sd_blocks: Vec<SdBlock>,
    /// Rules for the Alertmanagers.
    #[serde(default)]
    pub relabel_configs: Vec<RelabelConfig>,
    /// Rules for what is sent to these Alertmanagers, after those for all alerts.
    #[serde(default)]
    pub alert_relabel_configs: Vec<RelabelConfig>,
    /// How requests are signed for Amazon.
    pub sigv4: Option<SigV4Config>,
    /// How they are reached; its keys stand beside the others.
    #[serde(skip)]
    pub http: HttpConfig,
}

/// Alertmanager's API; its first version is gone from Alertmanager.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct ApiVersion;

impl<'de> Deserialize<'de> for ApiVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "v2" => Ok(Self),
            other => {
                let text = format!("expected Alertmanager api version to be one of [v2] but got {other}");
                Err(de::Error::custom(text))
            }
        }
    }
}

impl AlertmanagerConfig {
    /// Where alerts are sent.
    pub fn path(&self) -> String {
        match self.path_prefix.trim_matches('/') {
            "" => ALERTS_PATH.to_owned(),
            prefix => format!("/{prefix}{ALERTS_PATH}"),
        }
    }

    /// As a job that nobody scrapes: what finds targets finds Alertmanagers.
    pub fn as_job(&self, name: &str) -> ScrapeConfig {
        ScrapeConfig {
            static_configs: self.static_configs.clone(),
            plugin_sd_configs: self.plugin_sd_configs.clone(),
            file_sd_configs: self.file_sd_configs.clone(),
            http_sd_configs: self.http_sd_configs.clone(),
            sd_blocks: self.sd_blocks.clone(),
            ..ScrapeConfig::new(name)
        }
    }

    /// Makes the names of files that are relative to `folder` relative to where the process runs.
    pub fn resolve_paths(&mut self, folder: &std::path::Path) {
        self.http.resolve_paths(folder);
        let mut job = self.as_job("");
        job.resolve_paths(folder);
        self.file_sd_configs = job.file_sd_configs;
        self.http_sd_configs = job.http_sd_configs;
    }
}

impl<'de> Deserialize<'de> for AlertmanagerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        keys::deserialize(deserializer)
    }
}

impl<'de> SplitConfig<'de> for AlertmanagerConfig {
    type Keys = JobKeys;

    fn rest<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }

    fn join(&mut self, keys: JobKeys) -> Result<(), String> {
        self.http = keys.http.validated()?;
        if let Some(sigv4) = &self.sigv4 {
            sigv4.validate()?;
            if self.http.basic_auth.is_some()
                || self.http.authorization.is_some()
                || self.http.oauth2.is_some()
            {
                return Err(
                    "at most one of basic_auth, authorization, oauth2, & sigv4 must be configured".to_owned()
                );
            }
        }
        self.sd_blocks = keys.sd_blocks;
        Ok(())
    }
}

const fn timeout() -> ConfigDuration {
    TIMEOUT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_finds_and_reaches_targets_is_taken() {
        let text = "alert_relabel_configs: [{action: labeldrop, regex: replica}]\n\
            alertmanagers:\n- scheme: https\n  path_prefix: /am/\n  timeout: 5s\n  api_version: v2\n  \
            basic_auth: {username: u, password: p}\n  tls_config: {insecure_skip_verify: true}\n  \
            static_configs: [{targets: ['a:1']}]\n  file_sd_configs: [{files: ['x/*.yml']}]\n  \
            consul_sd_configs: [{server: 'c:8500'}]\n  relabel_configs: [{action: drop, source_labels: [x], regex: y}]\n";
        let config: AlertingConfig = serde_saphyr::from_str(text).unwrap();
        let [one] = &config.alertmanagers[..] else { panic!("{config:?}") };
        assert_eq!(one.path(), "/am/api/v2/alerts");
        assert_eq!((one.sd_blocks.len(), one.http.basic_auth.is_some()), (1, true));
        assert_eq!(one.as_job("am-0").static_configs.len(), 1);
        for (wrong, says) in [
            ("{api_version: v1}", "expected Alertmanager api version to be one of [v2] but got v1"),
            ("{metrics_path: /x}", "unknown field `metrics_path`"),
            ("{sigv4: {region: r}, basic_auth: {username: u}}", "oauth2, & sigv4 must be configured"),
            ("{sigv4: {role_arn: r}}", "roles are not assumed here"),
            ("{basic_auth: {username: u}, authorization: {credentials: c}}", "at most one of"),
        ] {
            let error = serde_saphyr::from_str::<AlertmanagerConfig>(wrong).unwrap_err().to_string();
            assert!(error.contains(says), "{wrong}: {error}");
        }
    }
}
