//! `stormglass plugin run`: calls a plugin once and prints what it yields; with `--watch`, again after each change.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use formats::exposition;
use model::{Columns, Labels, Timestamp};
use plugin::{
    Alert, AlertStatus, CallError, Instance, Job, Kind, Label, Notification, Payload, PluginConfig,
};

use super::project::Project;
use super::{as_path, component, host};

/// How often files are looked at for changes.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);

/// Calls a plugin once and prints what it yields.
pub(crate) async fn run(
    file: &Path,
    config: &str,
    grant_files: &[String],
    grant_http: &[String],
    watch: bool,
) -> anyhow::Result<()> {
    let config: serde_json::Value = serde_json::from_str(config).context("read --config as JSON")?;
    let once = async || -> anyhow::Result<()> {
        let wasm = component(file)?;
        run_once(&wasm, config.clone(), grant_files, grant_http).await
    };
    if !watch {
        return once().await;
    }
    loop {
        let seen = changed(file);
        if let Err(error) = once().await {
            eprintln!("stormglass: {error:#}");
        }
        eprintln!("stormglass: waiting for {} to change; Ctrl-C ends", file.display());
        while changed(file) == seen {
            tokio::time::sleep(WATCH_INTERVAL).await;
        }
        println!();
    }
}

/// When a file, or the sources of a project, were last changed.
fn changed(file: &Path) -> Option<SystemTime> {
    if file.is_dir() {
        return Project::changed_in(file);
    }
    std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}

/// Starts a plugin with the given grants, calls it once and prints what it yields.
async fn run_once(
    file: &Path,
    config: serde_json::Value,
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
        config,
        grants: serde_json::from_value(grants).context("read the grants")?,
        ..PluginConfig::of(&as_path(file)?)
    };
    let instance = host()?.start(config).await?;
    let now = Timestamp::from_system(SystemTime::now());
    for kind in instance.kinds() {
        print!("{}", call(&instance, kind, now).await.map_err(with_stderr)?);
    }
    Ok(())
}

/// Calls one kind of a plugin once; gives what it yields as people read it.
pub(super) async fn call(instance: &Instance, kind: Kind, now: Timestamp) -> Result<String, CallError> {
    match kind {
        Kind::Collector => collect(instance).await,
        Kind::Discoverer => discover(instance).await,
        Kind::Receiver => notify(instance, now).await,
        Kind::Detector => detect(instance).await,
        other => Ok(format!("{}: a server calls it, with what only a server has\n", other.as_str())),
    }
}

async fn collect(instance: &Instance) -> Result<String, CallError> {
    Ok(match instance.collect(instance.config().limits.deadline.0).await? {
        Payload::Text(text) => text,
        Payload::Protobuf(bytes) => format!("{} bytes of protobuf exposition\n", bytes.len()),
        Payload::Columns(columns) => as_text(&columns),
    })
}

/// Columns as exposition text.
pub(super) fn as_text(columns: &Columns) -> String {
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

async fn discover(instance: &Instance) -> Result<String, CallError> {
    let snapshot = instance.poll().await?;
    let mut text = String::new();
    for group in snapshot.groups {
        let _ = writeln!(text, "{}: {} targets", group.source, group.targets.len());
        for target in group.targets {
            let labels: Vec<String> = group
                .labels
                .iter()
                .chain(&target.labels)
                .map(|label| format!("{}={:?}", label.name, label.value))
                .collect();
            let _ = writeln!(text, "  {} {{{}}}", target.address, labels.join(", "));
        }
    }
    Ok(text)
}

/// Delivers a notification of one alert that says what it is.
async fn notify(instance: &Instance, now: Timestamp) -> Result<String, CallError> {
    let label = |name: &str, value: &str| Label { name: name.to_owned(), value: value.to_owned() };
    let labels = vec![label("alertname", "PluginRun"), label("severity", "none")];
    let annotations = vec![label("summary", "Sent by `stormglass plugin run`; nothing is wrong.")];
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
    instance.notify(notification).await?;
    Ok("delivered a notification of one alert, PluginRun\n".to_owned())
}

/// Scores a wave of one minute that jumps at its last step.
async fn detect(instance: &Instance) -> Result<String, CallError> {
    const STEPS: u32 = 60;
    let wave = |step: u32| 100.0 + (f64::from(step) / 5.0).sin();
    let mut values: Vec<f64> = (0..STEPS - 1).map(wave).collect();
    values.push(200.0);
    let job = Job { start_ms: 0, step_ms: 1000, steps: STEPS, series: 1, values: values.clone() };
    let scores = instance.detect(job).await?;
    let mut text = "step  value    score    lower    upper\n".to_owned();
    for (step, value) in values.iter().enumerate().skip(STEPS as usize - 5) {
        let of =
            |column: &[f64]| column.get(step).map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        let _ = writeln!(
            text,
            "{step:4} {value:7.2} {:>8} {:>8} {:>8}",
            of(&scores.scores),
            of(&scores.lower),
            of(&scores.upper)
        );
    }
    Ok(text)
}

fn with_stderr(error: CallError) -> anyhow::Error {
    let stderr = error.stderr.trim_end().to_owned();
    let error = anyhow::Error::new(error);
    if stderr.is_empty() { error } else { error.context(format!("the plugin wrote:\n{stderr}")) }
}
