//! The parts of `prometheus.yml` that say what is scraped, `global` and `scrape_configs`, and what is found alike:
//! `alerting`.
//!
//! Everything is checked while it is read, so that the reader of the file can say where a mistake stands;
//! what concerns several sections at once is checked by [`check`]. Keys that are not known are errors.

mod alertmanager;
mod http;
mod keys;
mod sd;
mod tls;
mod values;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::Duration;

use formats::exposition::Format;
use formats::exposition::protobuf::Histograms;
use model::{ConfigDuration, Labels};
use serde::de::MapAccess;
use serde::{Deserialize, Deserializer};

use crate::Error;
use crate::client;
use crate::relabel::RelabelConfig;

pub use alertmanager::{AlertingConfig, AlertmanagerConfig};
pub use http::{
    Authorization, BasicAuth, GrantType, Header, HttpConfig, OAuth2, ProxyConfig, Secret, SignatureAlgorithm,
};
pub use keys::{SplitConfig, TakeKeys, deserialize as split};
pub use sd::{FileSdConfig, HttpSdConfig, PluginSdConfig, SdBlock};
pub use tls::{TlsConfig, TlsVersion};
pub use values::{
    Address, ByteSize, EscapingScheme, FallbackProtocol, Scheme, ScrapeProtocol, StaticConfig,
    ValidationScheme,
};

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
    /// As in a job.
    #[serde(default)]
    pub convert_classic_histograms_to_nhcb: bool,
    /// As in a job.
    pub metric_name_validation_scheme: Option<ValidationScheme>,
    /// As in a job.
    pub metric_name_escaping_scheme: Option<EscapingScheme>,
    /// As in a job.
    #[serde(default)]
    pub scrape_failure_log_file: String,
    /// As in a job.
    #[serde(default)]
    pub extra_scrape_metrics: bool,
    /// Whether `_created` lines of OpenMetrics are the start timestamps of what they stand beside, rather than series. No
    /// key says so, but the command line.
    #[serde(skip)]
    pub created_as_starts: bool,
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
    /// Whether classic histograms are stored as native ones with the same bounds.
    pub convert_classic_histograms_to_nhcb: Option<bool>,
    /// Buckets of one native histogram; more are merged until they are fewer, and where that cannot be the scrape
    /// fails.
    #[serde(default)]
    pub native_histogram_bucket_limit: u64,
    /// How many times as high as its lower bound a bucket's upper bound is at least; finer buckets are merged.
    #[serde(default)]
    pub native_histogram_min_bucket_factor: f64,
    /// Which names of metrics and labels are taken.
    pub metric_name_validation_scheme: Option<ValidationScheme>,
    /// How targets are asked to write names that are no classic identifiers.
    pub metric_name_escaping_scheme: Option<EscapingScheme>,
    /// A file that each failed scrape is written to; empty for none.
    pub scrape_failure_log_file: Option<String>,
    /// Whether each scrape reports its timeout, its sample limit and the size of the answer as series.
    pub extra_scrape_metrics: Option<bool>,
    /// As `global` has it.
    #[serde(skip)]
    pub created_as_starts: bool,
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
    /// Targets in files.
    #[serde(default)]
    pub file_sd_configs: Vec<FileSdConfig>,
    /// Targets that a server lists.
    #[serde(default)]
    pub http_sd_configs: Vec<HttpSdConfig>,
    /// Targets that discoverer plugins find, which are configured elsewhere.
    #[serde(default)]
    pub plugin_sd_configs: Vec<PluginSdConfig>,
    /// Targets that the discoverer plugins find which these blocks are named after: `consul_sd_configs` is for
    /// the plugin `consul`.
    #[serde(skip)]
    pub sd_blocks: Vec<SdBlock>,
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
    /// How requests are made.
    #[serde(skip)]
    pub http: HttpConfig,
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
    /// Buckets of one native histogram.
    pub buckets: u64,
}

impl Limits {
    /// No limits at all.
    pub const NONE: Self =
        Self { samples: 0, labels: 0, label_name_bytes: 0, label_value_bytes: 0, buckets: 0 };
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
        values::check_protocols(self.scrape_protocols.as_deref())?;
        values::escaping(self.metric_name_validation_scheme, self.metric_name_escaping_scheme).map(drop)
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
            convert_classic_histograms_to_nhcb: false,
            metric_name_validation_scheme: None,
            metric_name_escaping_scheme: None,
            scrape_failure_log_file: String::new(),
            extra_scrape_metrics: false,
            created_as_starts: false,
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
            convert_classic_histograms_to_nhcb: None,
            native_histogram_bucket_limit: 0,
            native_histogram_min_bucket_factor: 0.0,
            metric_name_validation_scheme: None,
            metric_name_escaping_scheme: None,
            scrape_failure_log_file: None,
            extra_scrape_metrics: None,
            created_as_starts: false,
            metrics_path: metrics_path(),
            scheme: Scheme::Http,
            params: BTreeMap::new(),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            enable_compression: true,
            static_configs: Vec::new(),
            file_sd_configs: Vec::new(),
            http_sd_configs: Vec::new(),
            plugin_sd_configs: Vec::new(),
            sd_blocks: Vec::new(),
            relabel_configs: Vec::new(),
            metric_relabel_configs: Vec::new(),
            sample_limit: None,
            label_limit: None,
            label_name_length_limit: None,
            label_value_length_limit: None,
            target_limit: None,
            body_size_limit: None,
            keep_dropped_targets: None,
            http: HttpConfig::default(),
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
            buckets: self.native_histogram_bucket_limit,
        }
    }

    /// What histograms that are native are stored as.
    pub fn histograms(&self, global: &GlobalConfig) -> Histograms {
        let native = self.scrape_native_histograms.unwrap_or(global.scrape_native_histograms);
        match (native, self.always_classic(global)) {
            (false, _) => Histograms::Classic,
            (true, false) => Histograms::Native,
            (true, true) => Histograms::NativeAndClassic,
        }
    }

    /// Whether classic buckets are stored beside what they become.
    fn always_classic(&self, global: &GlobalConfig) -> bool {
        self.always_scrape_classic_histograms.unwrap_or(global.always_scrape_classic_histograms)
    }

    fn converts(&self, global: &GlobalConfig) -> bool {
        self.convert_classic_histograms_to_nhcb.unwrap_or(global.convert_classic_histograms_to_nhcb)
    }

    fn validation(&self, global: &GlobalConfig) -> ValidationScheme {
        let own = self.metric_name_validation_scheme.or(global.metric_name_validation_scheme);
        own.unwrap_or_default()
    }

    fn escaping(&self, global: &GlobalConfig) -> Result<EscapingScheme, String> {
        let own = self.metric_name_escaping_scheme.or_else(|| {
            // What is said for all jobs may not fit one that takes classic names only.
            let legacy = self.validation(global) == ValidationScheme::Legacy;
            global.metric_name_escaping_scheme.filter(|s| !(legacy && *s == EscapingScheme::AllowUtf8))
        });
        values::escaping(Some(self.validation(global)), own)
    }

    fn failure_log<'a>(&'a self, global: &'a GlobalConfig) -> &'a str {
        self.scrape_failure_log_file.as_deref().unwrap_or(&global.scrape_failure_log_file)
    }

    /// The names of the discoverers whose targets the job has.
    pub(crate) fn sources(&self) -> Vec<String> {
        let files = (0..self.file_sd_configs.len()).map(|at| self.source("file", at));
        let servers = (0..self.http_sd_configs.len()).map(|at| self.source("http", at));
        files.chain(servers).chain(self.plugins()).collect()
    }

    /// The names of those that are plugins.
    pub fn plugins(&self) -> Vec<String> {
        let named = self.plugin_sd_configs.iter().map(|sd| sd.plugin.clone());
        let of_block = |block: &SdBlock| -> Vec<String> {
            (0..block.configs.len()).map(|at| self.source(&block.mechanism, at)).collect()
        };
        named.chain(self.sd_blocks.iter().flat_map(of_block)).collect()
    }

    /// What the discoverer is called that finds the targets of one entry of a `*_sd_configs` of this job.
    pub fn source(&self, mechanism: &str, at: usize) -> String {
        format!("{}/{mechanism}_sd_configs/{at}", self.job_name)
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
            always_scrape_classic_histograms: Some(self.always_classic(global)),
            convert_classic_histograms_to_nhcb: Some(self.converts(global)),
            metric_name_validation_scheme: Some(self.validation(global)),
            metric_name_escaping_scheme: Some(self.escaping(global).unwrap_or_default()),
            scrape_failure_log_file: Some(self.failure_log(global).to_owned()),
            extra_scrape_metrics: Some(self.extra_scrape_metrics.unwrap_or(global.extra_scrape_metrics)),
            created_as_starts: global.created_as_starts,
            ..self.clone()
        }
    }

    /// Makes the names of files that are relative to `folder`, where the configuration's own file is, relative
    /// to where the process runs.
    pub fn resolve_paths(&mut self, folder: &Path) {
        self.http.resolve_paths(folder);
        for sd in &mut self.file_sd_configs {
            for pattern in &mut sd.files {
                *pattern = folder.join(&pattern).display().to_string();
            }
        }
        for sd in &mut self.http_sd_configs {
            sd.http.resolve_paths(folder);
        }
        if let Some(file) = self.scrape_failure_log_file.as_mut().filter(|file| !file.is_empty()) {
            *file = folder.join(&file).display().to_string();
        }
    }

    /// Checks that the files that the job names can be read and that connections can be made with what they
    /// hold. Passwords and credentials are read again before each scrape; the server runs without them.
    ///
    /// # Errors
    /// [`Error::Job`] for the first that is wrong.
    pub fn check_files(&self) -> Result<(), Error> {
        let servers = self.http_sd_configs.iter().map(|sd| &sd.http);
        for http in std::iter::once(&self.http).chain(servers) {
            client::check(http).map_err(|error| error.of_job(&self.job_name))?;
        }
        for sd in &self.file_sd_configs {
            sd.check().map_err(|error| error.of_job(&self.job_name))?;
        }
        Ok(())
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
        let factor = self.native_histogram_min_bucket_factor;
        if factor.is_nan() || factor < 0.0 {
            return Err("native_histogram_min_bucket_factor must not be negative".to_owned());
        }
        values::check_protocols(self.scrape_protocols.as_deref())
            .map_err(|what| format!("{what} for scrape config with job name {:?}", self.job_name))
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
        job.escaping(global).map_err(|what| Error::Config(what).of_job(&job.job_name))?;
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
        split(deserializer)
    }
}

/// What a job has beside its own keys.
#[derive(Default)]
pub struct JobKeys {
    http: HttpConfig,
    sd_blocks: Vec<SdBlock>,
}

impl TakeKeys for JobKeys {
    fn wants(&self, key: &str) -> bool {
        self.http.wants(key) || sd::mechanism(key).is_some()
    }

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match sd::mechanism(key) {
            Some(mechanism) => {
                self.sd_blocks.push(SdBlock { mechanism: mechanism.to_owned(), configs: map.next_value()? });
                Ok(())
            }
            None => self.http.take(key, map),
        }
    }
}

impl<'de> SplitConfig<'de> for ScrapeConfig {
    type Keys = JobKeys;

    fn rest<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }

    fn join(&mut self, keys: JobKeys) -> Result<(), String> {
        self.http = keys.http.validated()?;
        self.sd_blocks = keys.sd_blocks;
        self.validate()
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
