//! `stormglass check`: what is wrong with a file or a text, without starting anything.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use plugin::{Host, HostOptions};

use crate::config::{self, ConfigErrors};

/// Reads a configuration and all that it names; loads each plugin and asks it whether its configuration is right.
pub(crate) async fn config(file: &Path, plugins_dir: &Path) -> anyhow::Result<()> {
    let loaded = config::load(file)?;
    let registry = prometheus::Registry::new();
    let host =
        Host::new(HostOptions { plugins_dir: plugins_dir.to_owned(), cache_dir: None, registry: &registry })
            .context("set up the plugin host")?;
    let mut kinds = BTreeMap::new();
    let mut errors = Vec::new();
    for config in &loaded.plugins {
        match host.check(config).await {
            Ok(found) => drop(kinds.insert(config.name.clone(), found)),
            Err(error) => errors.push(loaded.plugin_error(&config.name, "plugins", error)),
        }
    }
    if !errors.is_empty() {
        return Err(ConfigErrors(errors).into());
    }
    loaded.check_kinds(&kinds)?;
    let rules: usize =
        loaded.rules.iter().flat_map(|(_, file)| &file.groups).map(|group| group.rules.len()).sum();
    println!(
        "{} is valid: {} scrape jobs, {} plugins, {rules} rules",
        file.display(),
        loaded.scrape_configs.len(),
        loaded.plugins.len()
    );
    Ok(())
}

/// Judges standard input by every rule of OpenMetrics 1.0.
pub(crate) fn openmetrics() -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).context("read standard input")?;
    let text = std::str::from_utf8(&bytes).context("read standard input")?;
    formats::openmetrics::validate(text)?;
    Ok(())
}
