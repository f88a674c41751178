//! The parts of `prometheus.yml` that say what is scraped: `global` and `scrape_configs`.
//!
//! Everything is checked while it is read, so that the reader of the file can say where a mistake stands;
//! what concerns several sections at once is checked by [`check`]. Keys that are not known are errors.

mod http;
mod values;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use formats::exposition::Format;
use formats::exposition::protobuf::Histograms;
use model::{ConfigDuration, Labels};
use serde::{Deserialize, Deserializer};

use crate::Error;
use crate::http as connections;
use crate::relabel::RelabelConfig;

pub use http::{Authorization, BasicAuth, HttpConfig, Secret, TlsConfig};
pub use values::{Address, ByteSize, FallbackProtocol, Scheme, ScrapeProtocol};

/// How often targets are scraped where nothing else is said.
const SCRAPE_INTERVAL: ConfigDuration = ConfigDuration(Duration::from_secs(60));
/// How long a scrape may take where nothing else is said.
const SCRAPE_TIMEOUT: ConfigDuration = ConfigDuration(Duration::from_secs(10));
/// How often rules are evaluated where nothing else is said.
const EVALUATION_INTERVAL: ConfigDuration = ConfigDuration(Duration::from_secs(60));

const TIMEOUT_OVER_INTERVAL: &str = "scrape timeout greater than scrape interval";

/// The section `global`. What rules and remote storage need of it stands here as well, since the file has it
/// in one place.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct GlobalConfig {
    /// How often targets are scraped.
    #[serde(default = "scrape_interval")]
    pub scrape_interval: ConfigDuration,
    /// How long a scrape may take; at most the interval.
    pub scrape_timeout: Option<ConfigDuration>,
    /// How often rules are evaluated.
    #[serde(default = "evaluation_interval")]
    pub evaluation_interval: ConfigDuration,
    /// How far back rule groups look that do not say so themselves, so that late samples are there.
    #[serde(default)]
    pub rule_query_offset: ConfigDuration,
    /// Where queries are written to, with what they took; empty for nowhere.
    #[serde(default)]
    pub query_log_file: String,
    /// Labels of this server, for what leaves it.
    #[serde(default, deserialize_with = "values::labels")]
    pub external_labels: Labels,
    /// What each job's own settings of these names replace.
    #[serde(default)]
    pub sample_limit: u64,
    /// As in a job.
    #[serde(default)]
    pub label_limit: u64,
    /// As in a job.
    #[serde(default)]
    pub label_name_length_limit: u64,
    /// As in a job.
    #[serde(default)]
    pub label_value_length_limit: u64,
    /// As in a job.
    #[serde(default)]
    pub target_limit: u64,
    /// As in a job.
    #[serde(default)]
    pub body_size_limit: ByteSize,
    /// As in a job.
    #[serde(default)]
    pub keep_dropped_targets: u64,
    /// As in a job.
    pub scrape_protocols: Option<Vec<ScrapeProtocol>>,
    /// As in a job.
    #[serde(default)]
    pub scrape_native_histograms: bool,
    /// As in a job.
    #[serde(default)]
    pub always_scrape_classic_histograms: bool,
}

/// One of `scrape_configs`: a job, the targets it has and how they are scraped.
///
/// `None` means "as `global` says". A limit of zero is no limit.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct ScrapeConfig {
    /// The job's name, unique among the jobs; targets get it as their label `job`.
    pub job_name: String,
    /// How often targets are scraped.
    pub scrape_interval: Option<ConfigDuration>,
    /// How long a scrape may take; at most the interval.
    pub scrape_timeout: Option<ConfigDuration>,
    /// The formats to ask for, the preferred one first.
    pub scrape_protocols: Option<Vec<ScrapeProtocol>>,
    /// The format of answers that name none.
    pub fallback_scrape_protocol: Option<FallbackProtocol>,
    /// Whether native histograms are asked for and stored, rather than the classic buckets of the same
    /// histograms.
    pub scrape_native_histograms: Option<bool>,
    /// Whether the classic buckets of native histograms are stored as well.
    pub always_scrape_classic_histograms: Option<bool>,
    /// The path that is asked for.
    #[serde(default = "metrics_path")]
    pub metrics_path: String,
    /// `http` or `https`.
    #[serde(default)]
    pub scheme: Scheme,
    /// URL parameters.
    #[serde(default)]
    pub params: BTreeMap<String, Vec<String>>,
    /// Whether a sample's own labels win over the target's of the same name, rather than being kept as
    /// `exported_<name>`.
    #[serde(default)]
    pub honor_labels: bool,
    /// Whether a sample's own timestamp counts.
    #[serde(default = "yes")]
    pub honor_timestamps: bool,
    /// Whether series that bring their own timestamps are marked stale when they vanish.
    #[serde(default)]
    pub track_timestamps_staleness: bool,
    /// Whether answers may be compressed.
    #[serde(default = "yes")]
    pub enable_compression: bool,
    /// Targets by name.
    #[serde(default)]
    pub static_configs: Vec<StaticConfig>,
    /// Targets that discoverer plugins find.
    #[serde(default)]
    pub plugin_sd_configs: Vec<PluginSdConfig>,
    /// Rules for targets.
    #[serde(default)]
    pub relabel_configs: Vec<RelabelConfig>,
    /// Rules for samples.
    #[serde(default)]
    pub metric_relabel_configs: Vec<RelabelConfig>,
    /// Samples in one answer, after relabelling; more fail the scrape.
    pub sample_limit: Option<u64>,
    /// Labels of one sample; more fail the scrape.
    pub label_limit: Option<u64>,
    /// Bytes in a label's name; more fail the scrape.
    pub label_name_length_limit: Option<u64>,
    /// Bytes in a label's value; more fail the scrape.
    pub label_value_length_limit: Option<u64>,
    /// Targets of the job; with more, all its scrapes fail.
    pub target_limit: Option<u64>,
    /// Bytes of an answer, decompressed; more fail the scrape.
    pub body_size_limit: Option<ByteSize>,
    /// How many dropped targets are kept for the API.
    pub keep_dropped_targets: Option<u64>,
    /// User and password.
    pub basic_auth: Option<BasicAuth>,
    /// The header `Authorization`.
    pub authorization: Option<Authorization>,
    /// How the other side's certificate is checked, and ours.
    #[serde(default)]
    pub tls_config: TlsConfig,
    /// Whether redirects are followed.
    #[serde(default = "yes")]
    pub follow_redirects: bool,
    /// Through which proxy to go.
    pub proxy_url: Option<String>,
}

/// Targets by name.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticConfig {
    /// Their addresses, `host:port`.
    #[serde(default)]
    pub targets: Vec<Address>,
    /// Labels of all of them.
    #[serde(default, deserialize_with = "values::labels")]
    pub labels: Labels,
}

/// Targets that a configured plugin of the kind discoverer finds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginSdConfig {
    /// The name it is configured under.
    pub plugin: String,
}

/// What is done with one answer. Zero is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Samples after relabelling.
    pub samples: u64,
    /// Labels of one sample.
    pub labels: u64,
    /// Bytes in a label's name.
    pub label_name_bytes: u64,
    /// Bytes in a label's value.
    pub label_value_bytes: u64,
}

impl Limits {
    /// No limits at all.
    pub const NONE: Self = Self { samples: 0, labels: 0, label_name_bytes: 0, label_value_bytes: 0 };
}

impl GlobalConfig {
    /// How long a scrape may take where the job does not say.
    pub fn scrape_timeout(&self) -> Duration {
        self.scrape_timeout.unwrap_or(SCRAPE_TIMEOUT).0.min(self.scrape_interval.0)
    }

    fn validate(&self) -> Result<(), String> {
        if self.scrape_interval.0.is_zero() {
            return Err("scrape_interval must not be zero".to_owned());
        }
        if self.evaluation_interval.0.is_zero() {
            return Err("evaluation_interval must not be zero".to_owned());
        }
        if self.scrape_timeout.is_some_and(|timeout| timeout > self.scrape_interval) {
            return Err("global scrape timeout greater than scrape interval".to_owned());
        }
        Ok(())
    }
}

impl Default for GlobalConfig {
    fn default() -> Self {
        Self {
            scrape_interval: SCRAPE_INTERVAL,
            scrape_timeout: None,
            evaluation_interval: EVALUATION_INTERVAL,
            rule_query_offset: ConfigDuration::default(),
            query_log_file: String::new(),
            external_labels: Labels::empty(),
            sample_limit: 0,
            label_limit: 0,
            label_name_length_limit: 0,
            label_value_length_limit: 0,
            target_limit: 0,
            body_size_limit: ByteSize::default(),
            keep_dropped_targets: 0,
            scrape_protocols: None,
            scrape_native_histograms: false,
            always_scrape_classic_histograms: false,
        }
    }
}

impl ScrapeConfig {
    /// A job of this name, without targets and with everything else as it is by default.
    pub fn new(job_name: impl Into<String>) -> Self {
        Self {
            job_name: job_name.into(),
            scrape_interval: None,
            scrape_timeout: None,
            scrape_protocols: None,
            fallback_scrape_protocol: None,
            scrape_native_histograms: None,
            always_scrape_classic_histograms: None,
            metrics_path: metrics_path(),
            scheme: Scheme::Http,
            params: BTreeMap::new(),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            enable_compression: true,
            static_configs: Vec::new(),
            plugin_sd_configs: Vec::new(),
            relabel_configs: Vec::new(),
            metric_relabel_configs: Vec::new(),
            sample_limit: None,
            label_limit: None,
            label_name_length_limit: None,
            label_value_length_limit: None,
            target_limit: None,
            body_size_limit: None,
            keep_dropped_targets: None,
            basic_auth: None,
            authorization: None,
            tls_config: TlsConfig::default(),
            follow_redirects: true,
            proxy_url: None,
        }
    }

    /// How often targets are scraped.
    pub fn interval(&self, global: &GlobalConfig) -> Duration {
        self.scrape_interval.unwrap_or(global.scrape_interval).0
    }

    /// How long a scrape may take. What `global` says is cut to the job's interval.
    pub fn timeout(&self, global: &GlobalConfig) -> Duration {
        self.scrape_timeout.map_or_else(|| global.scrape_timeout().min(self.interval(global)), |t| t.0)
    }

    /// What is done with one answer.
    pub fn limits(&self, global: &GlobalConfig) -> Limits {
        Limits {
            samples: self.sample_limit.unwrap_or(global.sample_limit),
            labels: self.label_limit.unwrap_or(global.label_limit),
            label_name_bytes: self.label_name_length_limit.unwrap_or(global.label_name_length_limit),
            label_value_bytes: self.label_value_length_limit.unwrap_or(global.label_value_length_limit),
        }
    }

    /// What histograms that are native are stored as.
    pub fn histograms(&self, global: &GlobalConfig) -> Histograms {
        let native = self.scrape_native_histograms.unwrap_or(global.scrape_native_histograms);
        let classic =
            self.always_scrape_classic_histograms.unwrap_or(global.always_scrape_classic_histograms);
        match (native, classic) {
            (false, _) => Histograms::Classic,
            (true, false) => Histograms::Native,
            (true, true) => Histograms::NativeAndClassic,
        }
    }

    /// The format of answers that name none.
    pub fn fallback_format(&self) -> Option<Format> {
        self.fallback_scrape_protocol.map(FallbackProtocol::format)
    }

    /// This job with everything that `global` decides written out, so that equal jobs are scraped equally.
    pub(crate) fn resolved(&self, global: &GlobalConfig) -> Self {
        let limits = self.limits(global);
        Self {
            scrape_interval: Some(ConfigDuration(self.interval(global))),
            scrape_timeout: Some(ConfigDuration(self.timeout(global))),
            sample_limit: Some(limits.samples),
            label_limit: Some(limits.labels),
            label_name_length_limit: Some(limits.label_name_bytes),
            label_value_length_limit: Some(limits.label_value_bytes),
            target_limit: Some(self.target_limit.unwrap_or(global.target_limit)),
            body_size_limit: Some(self.body_size_limit.unwrap_or(global.body_size_limit)),
            keep_dropped_targets: Some(self.keep_dropped_targets.unwrap_or(global.keep_dropped_targets)),
            scrape_protocols: Some(self.protocols(global).to_vec()),
            scrape_native_histograms: Some(self.histograms(global) != Histograms::Classic),
            always_scrape_classic_histograms: Some(self.histograms(global) == Histograms::NativeAndClassic),
            ..self.clone()
        }
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

    /// Checks that the files that the job names can be read and that connections can be made with what they
    /// hold. Passwords and credentials are read again before each scrape; the server runs without them.
    ///
    /// # Errors
    /// [`Error::Job`] for the first that is wrong.
    pub fn check_files(&self) -> Result<(), Error> {
        connections::check(&self.http()).map_err(|error| error.of_job(&self.job_name))
    }

    fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let basic = self.basic_auth.as_mut().and_then(|auth| auth.password_file.as_mut());
        let credentials = self.authorization.as_mut().and_then(|auth| auth.credentials_file.as_mut());
        let tls = &mut self.tls_config;
        let files = [basic, credentials, tls.ca_file.as_mut(), tls.cert_file.as_mut(), tls.key_file.as_mut()];
        files.into_iter().flatten()
    }

    /// What the connections to the targets need.
    pub fn http(&self) -> HttpConfig {
        HttpConfig {
            basic_auth: self.basic_auth.clone(),
            authorization: self.authorization.clone(),
            tls_config: self.tls_config.clone(),
            follow_redirects: self.follow_redirects,
            enable_compression: self.enable_compression,
            proxy_url: self.proxy_url.clone(),
        }
    }

    fn protocols<'a>(&'a self, global: &'a GlobalConfig) -> &'a [ScrapeProtocol] {
        let configured = self.scrape_protocols.as_deref().or(global.scrape_protocols.as_deref());
        configured.unwrap_or(match self.histograms(global) {
            Histograms::Classic => &ScrapeProtocol::PREFERRED,
            Histograms::Native | Histograms::NativeAndClassic => &ScrapeProtocol::PROTOBUF_FIRST,
        })
    }

    fn validate(&self) -> Result<(), String> {
        if self.job_name.is_empty() {
            return Err("job_name is empty".to_owned());
        }
        if self.scrape_interval.is_some_and(|i| i.0.is_zero()) {
            return Err("scrape_interval must not be zero".to_owned());
        }
        if self.scrape_timeout.is_some_and(|t| t.0.is_zero()) {
            return Err("scrape_timeout must not be zero".to_owned());
        }
        if let (Some(interval), Some(timeout)) = (self.scrape_interval, self.scrape_timeout)
            && timeout > interval
        {
            return Err(format!(
                "{TIMEOUT_OVER_INTERVAL} for scrape config with job name {:?}",
                self.job_name
            ));
        }
        if self.basic_auth.is_some() && self.authorization.is_some() {
            return Err("at most one of basic_auth and authorization must be configured".to_owned());
        }
        Ok(())
    }
}

/// Checks what concerns several sections: that job names are unique, and that no timeout is longer than its
/// interval where one of them comes from `global`.
///
/// # Errors
/// [`Error::Job`] for the first job that is wrong.
pub fn check(global: &GlobalConfig, jobs: &[ScrapeConfig]) -> Result<(), Error> {
    let mut names = HashSet::new();
    for job in jobs {
        if !names.insert(job.job_name.as_str()) {
            let what = "found multiple scrape configs with this job name".to_owned();
            return Err(Error::Config(what).of_job(&job.job_name));
        }
        if job.timeout(global) > job.interval(global) {
            return Err(Error::Config(TIMEOUT_OVER_INTERVAL.to_owned()).of_job(&job.job_name));
        }
    }
    Ok(())
}

impl<'de> Deserialize<'de> for GlobalConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let config = Self::deserialize(deserializer)?;
        config.validate().map_err(serde::de::Error::custom)?;
        Ok(config)
    }
}

impl<'de> Deserialize<'de> for ScrapeConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let config = Self::deserialize(deserializer)?;
        config.validate().map_err(serde::de::Error::custom)?;
        Ok(config)
    }
}

const fn scrape_interval() -> ConfigDuration {
    SCRAPE_INTERVAL
}

const fn evaluation_interval() -> ConfigDuration {
    EVALUATION_INTERVAL
}

fn metrics_path() -> String {
    "/metrics".to_owned()
}

const fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests;
