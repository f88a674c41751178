//! `stormglass plugin`: what a plugin is, and what it yields when it is called once.

use std::path::Path;

use anyhow::{Context as _, bail};
use formats::exposition;
use model::{Columns, Labels, Timestamp};
use plugin::{
    Alert, AlertStatus, Host, HostOptions, Instance, Job, Kind, Label, Notification, Payload, PluginConfig,
};

fn host() -> anyhow::Result<std::sync::Arc<Host>> {
    let registry = prometheus::Registry::new();
    let options = HostOptions {
        plugins_dir: ".".into(),
        cache_dir: None,
        state_dir: None,
        query: None,
        registry: &registry,
    };
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
            Kind::Receiver => notify(&instance).await?,
            Kind::Detector => detect(&instance).await?,
            other => bail!("do not know how to call a {}", other.as_str()),
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

/// Delivers a notification of one alert that says what it is.
async fn notify(instance: &Instance) -> anyhow::Result<()> {
    let label = |name: &str, value: &str| Label { name: name.to_owned(), value: value.to_owned() };
    let labels = vec![label("alertname", "PluginRun"), label("severity", "none")];
    let annotations = vec![label("summary", "Sent by `stormglass plugin run`; nothing is wrong.")];
    let now = Timestamp::from_system(std::time::SystemTime::now());
    let notification = Notification {
        idempotency_key: format!("plugin-run-{}", now.millis()),
        attempt: 1,
        group_key: "{}:{alertname=\"PluginRun\"}".to_owned(),
        status: AlertStatus::Firing,
        receiver: instance.name().to_owned(),
        group_labels: vec![label("alertname", "PluginRun")],
        common_labels: labels.clone(),
        common_annotations: annotations.clone(),
        external_url: String::new(),
        truncated_alerts: 0,
        alerts: vec![Alert {
            status: AlertStatus::Firing,
            labels,
            annotations,
            starts_at: alerting::rfc3339_or_zero(Some(now)),
            ends_at: alerting::rfc3339_or_zero(None),
            generator_url: String::new(),
            fingerprint: "0000000000000000".to_owned(),
        }],
    };
    instance.notify(notification).await.map_err(with_stderr)?;
    println!("delivered a notification of one alert, PluginRun");
    Ok(())
}

/// Scores a wave of one minute that jumps at its last step.
async fn detect(instance: &Instance) -> anyhow::Result<()> {
    const STEPS: u32 = 60;
    let wave = |step: u32| 100.0 + (f64::from(step) / 5.0).sin();
    let mut values: Vec<f64> = (0..STEPS - 1).map(wave).collect();
    values.push(200.0);
    let job = Job { start_ms: 0, step_ms: 1000, steps: STEPS, series: 1, values: values.clone() };
    let scores = instance.detect(job).await.map_err(with_stderr)?;
    println!("step  value    score    lower    upper");
    for (step, value) in values.iter().enumerate().skip(STEPS as usize - 5) {
        let of =
            |column: &[f64]| column.get(step).map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        println!(
            "{step:4} {value:7.2} {:>8} {:>8} {:>8}",
            of(&scores.scores),
            of(&scores.lower),
            of(&scores.upper)
        );
    }
    Ok(())
}

fn with_stderr(error: plugin::CallError) -> anyhow::Error {
    let stderr = error.stderr.trim_end().to_owned();
    let error = anyhow::Error::new(error);
    if stderr.is_empty() { error } else { error.context(format!("the plugin wrote:\n{stderr}")) }
}
