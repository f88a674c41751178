//! The configuration: `prometheus.yml` and what Stormglass adds to it.
//!
//! A [`Loaded`] configuration is valid as a whole: every file it names was read, every name it refers to is there.
//! Whoever applies it need not check again. Errors name file, line and key; all that can be found are reported,
//! not only the first.

mod connections;
mod discovery;
mod environment;
pub(crate) mod files;
pub(crate) mod otlp;
pub(crate) mod receivers;
pub(crate) mod rules;
pub(crate) mod secrets;
mod sections;
pub(crate) mod storage;
pub(crate) mod tracing;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use alerting::config::Config as AlertmanagerConfig;
use alerting::rules::RuleFile;
use alerting::template::Prelude;
use plugin::{Kind, PluginConfig};
use remote::{RemoteRead, RemoteReadConfig, RemoteWrite, RemoteWriteConfig};
use scrape::config::{AlertingConfig, GlobalConfig, ScrapeConfig};
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use self::otlp::OtlpConfig;
use self::sections::Runtime;
use self::storage::StorageConfig;
use self::tracing::TracingConfig;
use crate::notifier::Notifier;
use crate::yaml::{self, FileError};

/// The name that messages give the embedded defaults.
const EMBEDDED: &str = "embedded defaults";

/// The configuration file, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Config")]
struct Written {
    #[serde(default)]
    global: GlobalConfig,
    #[serde(default)]
    scrape_configs: Vec<Spanned<ScrapeConfig>>,
    #[serde(default)]
    rule_files: Vec<Spanned<String>>,
    #[serde(default)]
    scrape_config_files: Vec<Spanned<String>>,
    #[serde(default)]
    alerting: Option<Spanned<AlertingConfig>>,
    tracing: Option<Spanned<TracingConfig>>,
    runtime: Option<Spanned<Runtime>>,
    #[serde(default)]
    plugins: Vec<Spanned<PluginConfig>>,
    #[serde(default)]
    alertmanager: Option<Spanned<AlertmanagerConfig>>,
    #[serde(default)]
    storage: StorageConfig,
    #[serde(default)]
    otlp: OtlpConfig,
    #[serde(default)]
    remote_write: Vec<Spanned<RemoteWriteConfig>>,
    #[serde(default)]
    remote_read: Vec<Spanned<RemoteReadConfig>>,
}

/// A configuration that can be applied, as far as the file alone tells: whether each plugin is of the kind that it is
/// used as, [`Loaded::check_kinds`] says once they are loaded.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// The file, for messages.
    path: PathBuf,
    /// Where each plugin, each job and the section `alertmanager` stand in it.
    places: Places,
    /// The file's text without secrets, for `/api/v1/status/config`.
    pub(crate) text: String,
    /// What is accepted and changes nothing.
    pub(crate) warnings: Vec<FileError>,
    pub(crate) global: GlobalConfig,
    pub(crate) scrape_configs: Vec<ScrapeConfig>,
    pub(crate) plugins: Vec<PluginConfig>,
    /// Alertmanagers elsewhere.
    pub(crate) alerting: AlertingConfig,
    /// What discovery has to find besides targets: those Alertmanagers.
    pub(crate) sought: Vec<ScrapeConfig>,
    pub(crate) alertmanager: Option<AlertmanagerConfig>,
    pub(crate) storage: StorageConfig,
    /// The plugins that `*_sd_configs` stand for, by their names among `plugins`, with the mechanism of each.
    pub(crate) discovery: BTreeMap<String, String>,
    /// The plugins that sections of receivers stand for, by their names among `plugins`, with the section of each.
    pub(crate) paging: BTreeMap<String, String>,
    /// The templates that texts of notifications may call.
    pub(crate) templates: Option<Prelude>,
    pub(crate) otlp: OtlpConfig,
    /// Where else the spans of this server go.
    pub(crate) tracing: Option<TracingConfig>,
    pub(crate) remote_write: Vec<RemoteWriteConfig>,
    pub(crate) remote_read: Vec<RemoteReadConfig>,
    /// Rule files by the name that the API shows.
    pub(crate) rules: Vec<(String, RuleFile)>,
}

#[derive(Debug, Clone, Default)]
struct Places {
    plugins: BTreeMap<String, Location>,
    jobs: BTreeMap<String, Location>,
    alertmanager: Option<Location>,
}

/// Everything that is wrong with a configuration.
#[derive(Debug)]
pub(crate) struct ConfigErrors(pub(crate) Vec<FileError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if i > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl From<FileError> for ConfigErrors {
    fn from(error: FileError) -> Self {
        Self(vec![error])
    }
}

/// How this server reaches itself.
#[derive(Debug, Clone)]
pub(crate) struct Reached {
    pub(crate) address: SocketAddr,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// Good for reading, and made with each start.
    pub(crate) token: String,
}

/// Reads a file and all that it names.
pub(crate) fn load(path: &Path) -> Result<Loaded, ConfigErrors> {
    examine(path)?.whole()
}

/// The embedded defaults; `prefix` is the path that the server serves under.
pub(crate) fn embedded(own: &Reached, prefix: &str) -> Result<Loaded, ConfigErrors> {
    let text = include_str!("defaults.yml")
        .replace("@SELF@", &own.address.to_string())
        .replace("@PREFIX@", prefix)
        .replace("@SCHEME@", own.scheme)
        .replace("@TOKEN@", &own.token);
    let mut examined = Examined::of(Path::new(EMBEDDED), Path::new(""), &text)?;
    let rules = yaml::parse(Path::new("embedded rules"), include_str!("default-rules.yml"));
    examined.rule_files.push((PathBuf::from("embedded rules"), rules));
    examined.whole()
}

/// Reads a file and all that it names, and tells apart what is wrong with which of them.
///
/// # Errors
/// Where the file itself cannot be read or is no configuration.
pub(crate) fn examine(path: &Path) -> Result<Examined, FileError> {
    let text = read(path)?;
    Examined::of(path, path.parent().unwrap_or(Path::new("")), &text)
}

pub(crate) fn read(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(|error| FileError::whole(path, format!("read the file: {error}")))
}

/// A configuration that has been read, and what is wrong with it.
pub(crate) struct Examined {
    /// Without the rules.
    loaded: Loaded,
    /// What is wrong with all but the rule files.
    pub(crate) errors: Vec<FileError>,
    /// The rule files, each once, in the order in which they are named.
    pub(crate) rule_files: Vec<(PathBuf, Result<RuleFile, FileError>)>,
}

impl Examined {
    /// The configuration, if nothing is wrong with it.
    pub(crate) fn whole(self) -> Result<Loaded, ConfigErrors> {
        let Self { mut loaded, mut errors, rule_files } = self;
        for (file, rules) in rule_files {
            match rules {
                Ok(rules) => loaded.rules.push((file.display().to_string(), rules)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(loaded) } else { Err(ConfigErrors(errors)) }
    }

    fn of(path: &Path, folder: &Path, text: &str) -> Result<Self, FileError> {
        let mut written: Written = yaml::parse(path, text)?;
        let mut errors = Vec::new();
        for config in &mut written.scrape_configs {
            config.value.resolve_paths(folder);
        }
        for config in written.alerting.iter_mut().flat_map(|alerting| &mut alerting.value.alertmanagers) {
            config.resolve_paths(folder);
        }
        written.remote_write.iter_mut().for_each(|config| config.value.resolve_paths(folder));
        written.remote_read.iter_mut().for_each(|config| config.value.resolve_paths(folder));
        let included = read_scrape_configs(path, folder, &written.scrape_config_files, &mut errors);
        if !written.global.query_log_file.is_empty() {
            // A path that is absolute stays so.
            let file = folder.join(&written.global.query_log_file);
            written.global.query_log_file = file.display().to_string();
        }
        if !written.global.scrape_failure_log_file.is_empty() {
            let file = folder.join(&written.global.scrape_failure_log_file);
            written.global.scrape_failure_log_file = file.display().to_string();
        }
        let mut warnings = Vec::new();
        let missing = |name: &str| {
            let what = format!("global.external_labels: the environment has no variable {name}");
            warnings.push(FileError::whole(path, what));
        };
        let variable = |name: &str| std::env::var(name).ok();
        let labels = environment::expand(&written.global.external_labels, variable, missing);
        written.global.external_labels = labels;
        sections::warn(path, &written, &mut warnings);
        check_names(path, &written, &included, &mut errors);
        check_remote(path, &written, &mut errors);
        if let Some(tracing) = &mut written.tracing {
            tracing.value.resolve_paths(folder);
            if let Err(what) = tracing.value.validate() {
                errors.push(FileError::at(path, tracing.referenced, "tracing", what));
            }
        }
        let rule_files = read_rules(path, folder, &written.rule_files, &mut errors);
        let mut loaded = Loaded {
            path: path.to_owned(),
            places: Places {
                plugins: written.plugins.iter().map(|c| (c.value.name.clone(), c.referenced)).collect(),
                jobs: written
                    .scrape_configs
                    .iter()
                    .map(|c| (c.value.job_name.clone(), c.referenced))
                    .collect(),
                alertmanager: written.alertmanager.as_ref().map(|config| config.referenced),
            },
            global: written.global,
            scrape_configs: written
                .scrape_configs
                .into_iter()
                .map(|config| config.value)
                .chain(included.into_iter().map(|(_, config)| config))
                .collect(),
            plugins: written.plugins.into_iter().map(|config| config.value).collect(),
            sought: written
                .alerting
                .as_ref()
                .map(|config| Notifier::sought(&config.value))
                .unwrap_or_default(),
            alerting: written.alerting.map(|config| config.value).unwrap_or_default(),
            alertmanager: written.alertmanager.map(|config| config.value),
            storage: written.storage,
            discovery: BTreeMap::new(),
            paging: BTreeMap::new(),
            templates: None,
            otlp: written.otlp,
            tracing: written.tracing.map(|config| config.value),
            remote_write: written.remote_write.into_iter().map(|config| config.value).collect(),
            remote_read: written.remote_read.into_iter().map(|config| config.value).collect(),
            rules: Vec::new(),
            text: secrets::hide(text),
            warnings,
        };
        discovery::expand(&mut loaded, folder, &mut errors);
        receivers::expand(&mut loaded, folder, &mut errors);
        Ok(Self { loaded, errors, rule_files })
    }
}

impl Loaded {
    /// The same, if an agent can do all that it asks for.
    pub(crate) fn for_agent(self) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        let refused = [
            ("alerting", self.alerting != AlertingConfig::default()),
            ("rule_files", !self.rules.is_empty()),
            ("remote_read", !self.remote_read.is_empty()),
            ("alertmanager", self.alertmanager.is_some()),
            ("plugins.detect", self.plugins.iter().any(|plugin| plugin.detect.is_some())),
        ];
        for (section, _) in refused.iter().filter(|(_, there)| *there) {
            errors
                .push(FileError::whole(&self.path, format!("field {section} is not allowed in agent mode")));
        }
        if self.remote_write.is_empty() {
            let what = "at least one remote_write target must be specified in agent mode";
            errors.push(FileError::whole(&self.path, what.to_owned()));
        }
        if errors.is_empty() { Ok(self) } else { Err(ConfigErrors(errors)) }
    }

    /// A complaint about a setting of a configured plugin.
    pub(crate) fn plugin_error(&self, name: &str, setting: &str, what: impl fmt::Display) -> FileError {
        let place = self.places.plugins.get(name).copied();
        if let Some(section) = self.paging.get(name) {
            let setting = format!("alertmanager.receivers.{section}");
            let what = format!("alerts are sent by a plugin of the kind receiver: {what}");
            return self.at(place, &setting, what);
        }
        match self.discovery.get(name) {
            Some(mechanism) => {
                let setting = format!("scrape_configs.{mechanism}_sd_configs");
                let what =
                    format!("targets are found by a plugin of the kind discoverer, {mechanism:?}: {what}");
                self.at(place, &setting, what)
            }
            None => self.at(place, setting, what),
        }
    }

    fn at(&self, place: Option<Location>, setting: &str, what: impl fmt::Display) -> FileError {
        match place {
            Some(place) => FileError::at(&self.path, place, setting, what),
            None => FileError::whole(&self.path, format!("{setting}: {what}")),
        }
    }

    /// Checks that the files that jobs name can be read, which the server itself leaves to the jobs.
    pub(crate) fn check_files(&self) -> Result<(), ConfigErrors> {
        let checked = |job: &ScrapeConfig| {
            let error = job.check_files().err()?;
            Some(self.at(self.places.jobs.get(&job.job_name).copied(), "scrape_configs", error))
        };
        let errors: Vec<FileError> = self.scrape_configs.iter().filter_map(checked).collect();
        if errors.is_empty() { Ok(()) } else { Err(ConfigErrors(errors)) }
    }

    /// Checks that every plugin is of the kind that it is used as; `kinds` are those of each, by name.
    pub(crate) fn check_kinds(&self, kinds: &BTreeMap<String, Vec<Kind>>) -> Result<(), ConfigErrors> {
        let mut errors = Vec::new();
        let is = |name: &str, kind: Kind| kinds.get(name).is_some_and(|kinds| kinds.contains(&kind));
        for config in &self.plugins {
            let name = &config.name;
            let detect = match (&config.detect, is(name, Kind::Detector)) {
                (Some(_), false) => Some("there is something to detect, but the plugin is no detector"),
                (None, true) => Some("a detector needs a section `detect` with an `expr`"),
                (Some(detect), true) if detect.train.is_some() && !is(name, Kind::Trainer) => {
                    Some("there is something to learn, but the plugin is no trainer")
                }
                _ => None,
            };
            let decode = match (&config.decode, is(name, Kind::Decoder)) {
                (Some(_), false) => Some("there is something to decode, but the plugin is no decoder"),
                (None, true) => Some("a decoder needs a section `decode` with addresses to `listen` at"),
                _ => None,
            };
            let processes = is(name, Kind::SampleProcessor) || is(name, Kind::SpanProcessor);
            let process = match (&config.process, processes) {
                (Some(_), false) => Some("there is something to process, but the plugin is no processor"),
                (None, true) => Some("a processor needs a section `process` with `on_failure`: pass or drop"),
                _ => None,
            };
            let sections = [("detect", detect), ("decode", decode), ("process", process)];
            for (section, what) in sections {
                let Some(what) = what else { continue };
                errors.push(self.plugin_error(name, &format!("plugins.{section}"), what));
            }
        }
        for name in self.discovery.keys().filter(|name| !is(name, Kind::Discoverer)) {
            errors.push(self.plugin_error(name, "plugins", "it is none"));
        }
        for job in self.scrape_configs.iter().chain(&self.sought) {
            for discovery in job.plugin_sd_configs.iter().filter(|d| !is(&d.plugin, Kind::Discoverer)) {
                let what = format!("plugin {:?} is no discoverer", discovery.plugin);
                let place = self.places.jobs.get(&job.job_name).copied();
                errors.push(self.at(place, "scrape_configs.plugin_sd_configs", what));
            }
        }
        for receiver in self.alertmanager.iter().flat_map(|config| config.receivers.values()).flatten() {
            if !is(&receiver.plugin, Kind::Receiver) {
                let what = format!("plugin {:?} is no receiver", receiver.plugin);
                errors.push(self.at(self.places.alertmanager, "alertmanager.receivers.plugin_configs", what));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(ConfigErrors(errors)) }
    }
}

/// Names are unique where they must be, and whatever is referred to is there.
fn check_names(
    path: &Path,
    written: &Written,
    included: &[(PathBuf, ScrapeConfig)],
    errors: &mut Vec<FileError>,
) {
    let mut jobs = BTreeSet::new();
    for config in &written.scrape_configs {
        let name = &config.value.job_name;
        if !jobs.insert(name.as_str()) {
            let what = format!("there is more than one job {name:?}; job names must be unique");
            errors.push(FileError::at(path, config.referenced, "scrape_configs.job_name", what));
        }
        // One at a time, so that the complaint has a place.
        if let Err(error) = scrape::config::check(&written.global, std::slice::from_ref(&config.value)) {
            errors.push(FileError::at(path, config.referenced, "scrape_configs", error));
        }
    }
    for (file, config) in included {
        if !jobs.insert(config.job_name.as_str()) {
            let name = &config.job_name;
            let what = format!("there is more than one job {name:?}; job names must be unique");
            errors.push(FileError::whole(file, what));
        }
        if let Err(error) = scrape::config::check(&written.global, std::slice::from_ref(config)) {
            errors.push(FileError::whole(file, error));
        }
    }
    let mut plugins = BTreeSet::new();
    for config in &written.plugins {
        let name = config.value.name.as_str();
        if !plugins.insert(name) || jobs.contains(name) {
            let what = format!(
                "{name:?} already names a plugin or a job; it becomes a job label and must be unique"
            );
            errors.push(FileError::at(path, config.referenced, "plugins.name", what));
        }
        if let Some(detect) = &config.value.detect
            && let Err(error) = promql::parse(&detect.expr)
        {
            errors.push(FileError::at(path, config.referenced, "plugins.detect.expr", error));
        }
    }
    for config in &written.scrape_configs {
        for discovery in &config.value.plugin_sd_configs {
            if !plugins.contains(discovery.plugin.as_str()) {
                let what = format!("no plugin is configured under the name {:?}", discovery.plugin);
                errors.push(FileError::at(path, config.referenced, "scrape_configs.plugin_sd_configs", what));
            }
        }
    }
    for (file, config) in included {
        for discovery in config.plugin_sd_configs.iter().filter(|d| !plugins.contains(d.plugin.as_str())) {
            let what = format!("no plugin is configured under the name {:?}", discovery.plugin);
            errors.push(FileError::whole(file, what));
        }
    }
    if let Some(alerting) = &written.alerting {
        let named = alerting.value.alertmanagers.iter().flat_map(|config| &config.plugin_sd_configs);
        for discovery in named.filter(|discovery| !plugins.contains(discovery.plugin.as_str())) {
            let what = format!("no plugin is configured under the name {:?}", discovery.plugin);
            let key = "alerting.alertmanagers.plugin_sd_configs";
            errors.push(FileError::at(path, alerting.referenced, key, what));
        }
    }
    if let Some(alertmanager) = &written.alertmanager {
        for receiver in alertmanager.value.receivers.values().flatten() {
            let name = receiver.plugin.as_str();
            if !plugins.contains(name) {
                let what = format!("no plugin is configured under the name {name:?}");
                errors.push(FileError::at(
                    path,
                    alertmanager.referenced,
                    "alertmanager.receivers.plugin_configs",
                    what,
                ));
            }
        }
    }
}

/// Names of other servers are unique, and connections to them can be made.
fn check_remote(path: &Path, written: &Written, errors: &mut Vec<FileError>) {
    let writes: Vec<RemoteWriteConfig> =
        written.remote_write.iter().map(|config| config.value.clone()).collect();
    let reads: Vec<RemoteReadConfig> =
        written.remote_read.iter().map(|config| config.value.clone()).collect();
    // With one more each time, so that the complaint has a place.
    for (end, config) in (1..).zip(&written.remote_write) {
        if let Err(error) = RemoteWrite::check(writes.get(..end).unwrap_or_default()) {
            errors.push(FileError::at(path, config.referenced, "remote_write", error));
            break;
        }
    }
    for (end, config) in (1..).zip(&written.remote_read) {
        if let Err(error) = RemoteRead::check(reads.get(..end).unwrap_or_default()) {
            errors.push(FileError::at(path, config.referenced, "remote_read", error));
            break;
        }
    }
}

/// Reads the jobs of other files, each with the file it stands in.
fn read_scrape_configs(
    path: &Path,
    folder: &Path,
    patterns: &[Spanned<String>],
    errors: &mut Vec<FileError>,
) -> Vec<(PathBuf, ScrapeConfig)> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Included {
        #[serde(default)]
        scrape_configs: Vec<ScrapeConfig>,
    }
    let mut included = Vec::new();
    for pattern in patterns {
        let files = match files::named(folder, &pattern.value) {
            Ok(files) => files,
            Err(what) => {
                errors.push(FileError::at(path, pattern.referenced, "scrape_config_files", what));
                continue;
            }
        };
        for file in files {
            match read(&file).and_then(|text| yaml::parse::<Included>(&file, &text)) {
                Ok(parsed) => {
                    let folder = file.parent().unwrap_or(Path::new(""));
                    for mut config in parsed.scrape_configs {
                        config.resolve_paths(folder);
                        included.push((file.clone(), config));
                    }
                }
                Err(error) => errors.push(error),
            }
        }
    }
    included
}

/// Reads the rule files of all patterns. A file that an earlier pattern has named is read once.
fn read_rules(
    path: &Path,
    folder: &Path,
    patterns: &[Spanned<String>],
    errors: &mut Vec<FileError>,
) -> Vec<(PathBuf, Result<RuleFile, FileError>)> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for pattern in patterns {
        match files::named(folder, &pattern.value) {
            Ok(files) => found.extend(
                files
                    .into_iter()
                    .filter(|file| seen.insert(fs::canonicalize(file).unwrap_or_else(|_| file.clone()))),
            ),
            Err(what) => errors.push(FileError::at(path, pattern.referenced, "rule_files", what)),
        }
    }
    found
        .into_iter()
        .map(|file| {
            let rules = read(&file).and_then(|text| rules::parse(&file, &text));
            (file, rules)
        })
        .collect()
}

#[cfg(test)]
mod tests;
