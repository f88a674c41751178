//! `stormglass plugin`: what a plugin is, and what it yields when it is called once.

use std::path::Path;

use anyhow::{Context as _, bail};
use formats::exposition;
use model::{Columns, Labels, Timestamp};
use plugin::{Host, HostOptions, Instance, Kind, Payload, PluginConfig};

fn host() -> anyhow::Result<std::sync::Arc<Host>> {
    let registry = prometheus::Registry::new();
    let options = HostOptions { plugins_dir: ".".into(), cache_dir: None, registry: &registry };
    Host::new(options).context("set up the plugin host")
}

/// A path that the host does not take for the name of a plugin.
fn as_path(file: &Path) -> anyhow::Result<String> {
    let absolute = std::path::absolute(file).with_context(|| format!("find {}", file.display()))?;
    absolute.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", file.display()))
}

/// Prints what a plugin is.
pub(crate) async fn inspect(file: &Path) -> anyhow::Result<()> {
    let found = host()?.inspect(&as_path(file)?).await?;
    let kinds: Vec<&str> = found.kinds.iter().map(|kind| kind.as_str()).collect();
    println!("{} {}: {}", found.info.name, found.info.version, found.info.description);
    println!("kinds:    {}", kinds.join(", "));
    println!(
        "file:     {} bytes, {}, sha256 {}",
        found.size,
        if found.is_core_module { "core module" } else { "component" },
        found.digest
    );
    println!("imports:  {}", or_none(&found.imports));
    println!("exports:  {}", or_none(&found.exports));
    for wish in &found.info.wishes {
        println!("wants:    {} {} ({})", wish.capability, wish.target, wish.reason);
    }
    println!("config:   {}", found.info.config_schema.split_whitespace().collect::<Vec<_>>().join(" "));
    Ok(())
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Starts a plugin with the given grants, calls it once and prints what it yields.
pub(crate) async fn run(
    file: &Path,
    config: &str,
    grant_files: &[String],
    grant_http: &[String],
) -> anyhow::Result<()> {
    let files: Vec<serde_json::Value> = grant_files
        .iter()
        .map(|grant| {
            let (path, mode) = grant.rsplit_once(':').unwrap_or((grant, "read"));
            serde_json::json!({"path": path, "mode": mode})
        })
        .collect();
    let grants = serde_json::json!({"files": files, "http": grant_http});
    let config = PluginConfig {
        config: serde_json::from_str(config).context("read --config as JSON")?,
        grants: serde_json::from_value(grants).context("read the grants")?,
        ..PluginConfig::of(&as_path(file)?)
    };
    let instance = host()?.start(config).await?;
    for kind in instance.kinds() {
        match kind {
            Kind::Collector => collect(&instance).await?,
            Kind::Discoverer => discover(&instance).await?,
            other => {
                bail!("a {} acts on what the server gives it; configure it to see it at work", other.as_str())
            }
        }
    }
    Ok(())
}

async fn collect(instance: &Instance) -> anyhow::Result<()> {
    match instance.collect(instance.config().limits.deadline.0).await.map_err(with_stderr)? {
        Payload::Text(text) => print!("{text}"),
        Payload::Protobuf(bytes) => println!("{} bytes of protobuf exposition", bytes.len()),
        Payload::Columns(columns) => print!("{}", as_text(&columns)),
    }
    Ok(())
}

/// Columns as exposition text.
fn as_text(columns: &Columns) -> String {
    let mut text = String::new();
    for (family, metadata) in columns.families() {
        exposition::write_metadata(&mut text, family, metadata);
    }
    for series in 0..columns.series_count() {
        let labels = Labels::from_pairs(columns.labels(series));
        for (timestamp_ms, value) in columns.samples(series) {
            exposition::write_sample(&mut text, &labels, value, timestamp_ms.map(Timestamp::from_millis));
        }
    }
    text
}

async fn discover(instance: &Instance) -> anyhow::Result<()> {
    let snapshot = instance.poll().await.map_err(with_stderr)?;
    for group in snapshot.groups {
        println!("{}: {} targets", group.source, group.targets.len());
        for target in group.targets {
            let labels: Vec<String> = group
                .labels
                .iter()
                .chain(&target.labels)
                .map(|label| format!("{}={:?}", label.name, label.value))
                .collect();
            println!("  {} {{{}}}", target.address, labels.join(", "));
        }
    }
    Ok(())
}

fn with_stderr(error: plugin::CallError) -> anyhow::Error {
    let stderr = error.stderr.trim_end().to_owned();
    let error = anyhow::Error::new(error);
    if stderr.is_empty() { error } else { error.context(format!("the plugin wrote:\n{stderr}")) }
}
