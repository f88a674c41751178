//! The configuration: `prometheus.yml` and what Stormglass adds to it.
//!
//! A [`Loaded`] configuration is valid as a whole: every file it names was read, every name it refers to is there.
//! Whoever applies it need not check again. Errors name file, line and key; all that can be found are reported,
//! not only the first.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use alerting::config::Config as AlertmanagerConfig;
use alerting::rules::RuleFile;
use plugin::PluginConfig;
use scrape::config::{GlobalConfig, ScrapeConfig};
use serde::Deserialize;
use serde_saphyr::Spanned;

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
    plugins: Vec<Spanned<PluginConfig>>,
    #[serde(default)]
    alertmanager: Option<Spanned<AlertmanagerConfig>>,
}

/// A configuration that can be applied.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// The file's text, for `/api/v1/status/config`.
    pub(crate) text: String,
    pub(crate) global: GlobalConfig,
    pub(crate) scrape_configs: Vec<ScrapeConfig>,
    pub(crate) plugins: Vec<PluginConfig>,
    pub(crate) alertmanager: Option<AlertmanagerConfig>,
    /// Rule files by the name that the API shows.
    pub(crate) rules: Vec<(String, RuleFile)>,
}

/// Everything that is wrong with a configuration.
#[derive(Debug)]
pub(crate) struct ConfigErrors(Vec<FileError>);

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

/// Reads a file and all that it names.
pub(crate) fn load(path: &Path, plugins_dir: &Path) -> Result<Loaded, ConfigErrors> {
    let text = read(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    finish(path, folder, plugins_dir, text, Vec::new())
}

/// The embedded defaults; `listen` is the address the server scrapes itself at.
pub(crate) fn embedded(listen: &str, plugins_dir: &Path) -> Result<Loaded, ConfigErrors> {
    let text = include_str!("defaults.yml").replace("@SELF@", listen);
    let rules = yaml::parse(Path::new("embedded rules"), include_str!("default-rules.yml"))?;
    let rules = vec![("embedded rules".to_owned(), rules)];
    finish(Path::new(EMBEDDED), Path::new(""), plugins_dir, text, rules)
}

fn read(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(|error| FileError::whole(path, format!("read the file: {error}")))
}

fn finish(
    path: &Path,
    folder: &Path,
    plugins_dir: &Path,
    text: String,
    mut rules: Vec<(String, RuleFile)>,
) -> Result<Loaded, ConfigErrors> {
    let written: Written = yaml::parse(path, &text)?;
    let mut errors = Vec::new();
    check_names(path, &written, &mut errors);
    check_plugin_files(path, &written, plugins_dir, &mut errors);
    for pattern in &written.rule_files {
        read_rules(path, folder, pattern, &mut rules, &mut errors);
    }
    if !errors.is_empty() {
        return Err(ConfigErrors(errors));
    }
    Ok(Loaded {
        global: written.global,
        scrape_configs: written.scrape_configs.into_iter().map(|config| config.value).collect(),
        plugins: written.plugins.into_iter().map(|config| config.value).collect(),
        alertmanager: written.alertmanager.map(|config| config.value),
        rules,
        text,
    })
}

/// Names are unique where they must be, and whatever is referred to is there.
fn check_names(path: &Path, written: &Written, errors: &mut Vec<FileError>) {
    let mut jobs = BTreeSet::new();
    for config in &written.scrape_configs {
        let name = &config.value.job_name;
        if !jobs.insert(name.as_str()) {
            let what = format!("there is more than one job {name:?}; job names must be unique");
            errors.push(FileError::at(path, config.referenced, "scrape_configs.job_name", what));
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

fn check_plugin_files(path: &Path, written: &Written, plugins_dir: &Path, errors: &mut Vec<FileError>) {
    for config in &written.plugins {
        let file = plugin::resolve(plugins_dir, &config.value.plugin);
        if !file.is_file() {
            let what = format!("there is no plugin file {}", file.display());
            errors.push(FileError::at(path, config.referenced, "plugins.plugin", what));
        }
    }
}

/// Reads the rule files of one pattern; a pattern without wildcards must name a file that is there.
fn read_rules(
    path: &Path,
    folder: &Path,
    pattern: &Spanned<String>,
    rules: &mut Vec<(String, RuleFile)>,
    errors: &mut Vec<FileError>,
) {
    let mut complain =
        |what: String| errors.push(FileError::at(path, pattern.referenced, "rule_files", what));
    let full = folder.join(&pattern.value);
    let is_pattern = pattern.value.contains(['*', '?', '[']);
    let files: Vec<PathBuf> = if is_pattern {
        match glob::glob(&full.to_string_lossy()) {
            Ok(paths) => paths.filter_map(Result::ok).collect(),
            Err(error) => return complain(format!("not a pattern for files: {error}")),
        }
    } else if full.is_file() {
        vec![full]
    } else {
        return complain(format!("there is no file {}", full.display()));
    };
    for file in files {
        match read(&file).and_then(|text| yaml::parse(&file, &text)) {
            Ok(parsed) => rules.push((file.display().to_string(), parsed)),
            Err(error) => errors.push(error),
        }
    }
}

#[cfg(test)]
mod tests;
