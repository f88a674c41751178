//! `stormglass check service-discovery`: the targets of one job, as the server would find them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use model::Labels;
use plugin::{Host, HostOptions};
use scrape::{Discover as _, Found};
use serde::{Serialize, Serializer};

use crate::config;
use crate::plugins::PluginDiscoverer;

/// One target, as promtool prints it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(serialize_with = "as_map")]
    discovered_labels: Labels,
    #[serde(serialize_with = "as_map")]
    labels: Labels,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

fn as_map<S: Serializer>(labels: &Labels, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels)
}

/// Asks every discoverer of the job once, and prints what relabelling makes of the answers.
pub(crate) async fn check(
    file: &Path,
    job: &str,
    timeout: Duration,
    plugins_dir: &Path,
) -> anyhow::Result<()> {
    let loaded = config::load(file)?;
    let Some(job) = loaded.scrape_configs.iter().find(|config| config.job_name == job) else {
        let names: Vec<&str> = loaded.scrape_configs.iter().map(|config| config.job_name.as_str()).collect();
        bail!("there is no job {job:?}; there are {}", names.join(", "));
    };
    let registry = prometheus::Registry::new();
    let host = Host::new(HostOptions {
        plugins_dir: plugins_dir.to_owned(),
        cache_dir: None,
        state_dir: None,
        query: None,
        compile_in: crate::plugin_command::compile_in(),
        registry: &registry,
    })
    .context("set up the plugin host")?;
    let look = async {
        let mut groups = scrape::look_once(job).await.map_err(anyhow::Error::msg)?;
        for name in job.plugins() {
            let Some(config) = loaded.plugins.iter().find(|config| config.name == name) else { continue };
            let at = |error| anyhow::Error::new(loaded.plugin_error(&name, "plugins", error));
            let instance = host.start(config.clone()).await.map_err(at)?;
            let found = PluginDiscoverer(Arc::clone(&instance)).poll().await.map_err(anyhow::Error::msg)?;
            groups.extend(found.groups);
        }
        anyhow::Ok(groups)
    };
    let groups =
        tokio::time::timeout(timeout, look).await.context("look for targets: it takes too long")??;
    let line = |found: Found| Line {
        discovered_labels: found.discovered,
        labels: found.labels.unwrap_or_else(Labels::empty),
        error: found.error,
    };
    let lines: Vec<Line> = scrape::resolve_all(&loaded.global, job, &groups).into_iter().map(line).collect();
    println!("{}", serde_json::to_string_pretty(&lines)?);
    Ok(())
}
