//! `stormglass plugin test`: cases in YAML, each a configuration and surroundings of its own, and what the plugin has to
//! yield on them. The same plugin file is tested that a server would run, so that cases fit any language.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use formats::exposition::{self, Entry, Format};
use model::Timestamp;
use plugin::{Answer, CallError, Exchange, Fake, Host, Instance, Kind, Payload, PluginConfig};
use serde::Deserialize;

use super::run::{self, as_text};
use super::{as_path, component, host};
use crate::yaml;

/// The time of cases that name none: 2026-01-01T00:00:00Z.
const NOW_MS: i64 = 1_767_225_600_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// RFC 3339.
    #[serde(default)]
    now: Option<String>,
    #[serde(default = "no_config")]
    config: serde_json::Value,
    #[serde(default)]
    http: Vec<ExchangeCase>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// Calls on the same instance; the last one counts.
    #[serde(default = "one")]
    calls: u32,
    /// Which kind to call, where the plugin is of several.
    #[serde(default)]
    kind: Option<String>,
    expect: Expect,
}

fn no_config() -> serde_json::Value {
    serde_json::json!({})
}

fn one() -> u32 {
    1
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExchangeCase {
    request: RequestCase,
    #[serde(default)]
    response: Option<ResponseCase>,
    /// Instead of a response: why there is no connection.
    #[serde(default)]
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestCase {
    #[serde(default = "get")]
    method: String,
    url: String,
    /// What the body has to be; any where there is none.
    #[serde(default)]
    body: Option<String>,
}

fn get() -> String {
    "GET".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponseCase {
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// A text, or anything else, which is sent as JSON.
    #[serde(default)]
    body: serde_json::Value,
}

fn ok() -> u16 {
    200
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    /// Exposition text: all samples, in any order, and all metadata where there is any here.
    #[serde(default)]
    metrics: Option<String>,
    /// How many samples.
    #[serde(default)]
    count: Option<usize>,
    /// What `plugin run` would print, for kinds that yield no samples.
    #[serde(default)]
    output: Option<String>,
    /// All lines logged, as `level: message`.
    #[serde(default)]
    log: Option<Vec<String>>,
    /// Part of the message of the error that the call ends in.
    #[serde(default)]
    error: Option<String>,
    /// Whether that error asks for another attempt.
    #[serde(default)]
    retryable: Option<bool>,
}

/// Runs all cases on a plugin; fails where any fails.
pub(crate) async fn test(file: &Path, cases: &[PathBuf]) -> anyhow::Result<()> {
    let wasm = component(file)?;
    let files = if cases.is_empty() { cases_beside(file)? } else { cases.to_vec() };
    let host = host()?;
    let (mut passed, mut failed) = (0, 0);
    for path in &files {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let cases: Vec<Case> = yaml::parse(path, &text)?;
        for case in cases {
            match run_case(&host, &wasm, &case).await {
                Ok(()) => {
                    passed += 1;
                    println!("ok    {}", case.name);
                }
                Err(error) => {
                    failed += 1;
                    let text = format!("{error:#}");
                    println!(
                        "FAIL  {} ({})\n      {}",
                        case.name,
                        path.display(),
                        text.replace('\n', "\n      ")
                    );
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    ensure!(failed == 0, "{failed} of {} cases failed", passed + failed);
    ensure!(passed > 0, "no cases");
    Ok(())
}

/// The files of cases of the project that a component belongs to.
fn cases_beside(file: &Path) -> anyhow::Result<Vec<PathBuf>> {
    ensure!(
        file.is_dir(),
        "name files of cases with --cases, or the folder of a project, whose tests/ has them"
    );
    let dir = file.join("tests");
    let entries = std::fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"))
        .collect();
    files.sort();
    ensure!(!files.is_empty(), "no *.yaml in {}", dir.display());
    Ok(files)
}

async fn run_case(host: &Host, wasm: &Path, case: &Case) -> anyhow::Result<()> {
    let fake = Arc::new(surroundings(case)?);
    let config = PluginConfig {
        config: case.config.clone(),
        grants: serde_json::from_value(grants(case)).context("grant what the case has")?,
        ..PluginConfig::of(&as_path(wasm)?)
    };
    let instance = match host.start_on(config, Arc::clone(&fake)).await {
        Ok(instance) => instance,
        Err(plugin::PluginError::Call(error)) => return check_error(&case.expect, &error),
        Err(error) => return Err(error.into()),
    };
    let kind = kind_of(&instance, case)?;
    let mut answer = Err(anyhow::anyhow!("calls: must be at least 1"));
    for _ in 0..case.calls {
        answer = match call(&instance, kind, &fake).await {
            Ok(answer) => Ok(answer),
            Err(error) => return check_error(&case.expect, &error).and_then(|()| check_rest(case, &fake)),
        };
    }
    check_answer(&case.expect, &answer?)?;
    check_rest(case, &fake)
}

fn surroundings(case: &Case) -> anyhow::Result<Fake> {
    let mut http = Vec::new();
    for exchange in &case.http {
        let answer = match (&exchange.response, &exchange.error) {
            (Some(response), None) => Ok(Answer {
                status: response.status,
                headers: response.headers.clone().into_iter().collect(),
                body: match &response.body {
                    serde_json::Value::Null => Vec::new(),
                    serde_json::Value::String(text) => text.clone().into_bytes(),
                    json => json.to_string().into_bytes(),
                },
            }),
            (None, Some(error)) => Err(error.clone()),
            _ => bail!("http: {} has to have either a response or an error", exchange.request.url),
        };
        http.push(Exchange {
            method: exchange.request.method.clone(),
            url: exchange.request.url.clone(),
            body: exchange.request.body.clone().map(String::into_bytes),
            answer,
        });
    }
    let files = case.files.iter().map(|(path, text)| (path.clone(), text.clone().into_bytes())).collect();
    let now_ms = match &case.now {
        Some(now) => chrono::DateTime::parse_from_rfc3339(now)
            .with_context(|| format!("now: {now:?} is no time such as 2026-01-31T12:00:00Z"))?
            .timestamp_millis(),
        None => NOW_MS,
    };
    Ok(Fake::new(now_ms, http, files))
}

/// What a case has is granted; nothing else is.
fn grants(case: &Case) -> serde_json::Value {
    let servers: BTreeSet<String> = case
        .http
        .iter()
        .filter_map(|exchange| url::Url::parse(&exchange.request.url).ok())
        .map(|url| url.origin().ascii_serialization())
        .collect();
    serde_json::json!({"http": servers})
}

fn kind_of(instance: &Instance, case: &Case) -> anyhow::Result<Kind> {
    let kinds = instance.kinds();
    let named = match &case.kind {
        Some(name) => kinds.iter().find(|kind| kind.as_str() == name),
        None => kinds.first(),
    };
    named.copied().with_context(|| {
        let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        format!("kind: the plugin is of the kinds {}", names.join(", "))
    })
}

enum Yielded {
    Samples(Payload),
    Text(String),
}

async fn call(instance: &Instance, kind: Kind, fake: &Fake) -> Result<Yielded, CallError> {
    if kind == Kind::Collector {
        return Ok(Yielded::Samples(instance.collect(instance.config().limits.deadline.0).await?));
    }
    run::call(instance, kind, Timestamp::from_millis(fake.now_ms)).await.map(Yielded::Text)
}

fn check_error(expect: &Expect, error: &CallError) -> anyhow::Result<()> {
    let Some(part) = &expect.error else {
        let stderr = error.stderr.trim_end();
        let wrote = if stderr.is_empty() { String::new() } else { format!("\nthe plugin wrote:\n{stderr}") };
        bail!("the call failed: {error}{wrote}");
    };
    ensure!(error.message.contains(part.as_str()), "the error is {:?}, without {part:?}", error.message);
    if let Some(retryable) = expect.retryable {
        ensure!(
            error.kind.is_retryable() == retryable,
            "the error says retryable: {}, not {retryable}",
            !retryable
        );
    }
    Ok(())
}

fn check_answer(expect: &Expect, answer: &Yielded) -> anyhow::Result<()> {
    if let Some(part) = &expect.error {
        bail!("the call succeeded, where an error with {part:?} was expected");
    }
    match answer {
        Yielded::Samples(payload) => {
            let yielded = Samples::of_payload(payload).context("read what the plugin yields")?;
            if let Some(count) = expect.count {
                ensure!(yielded.samples.len() == count, "{} samples, not {count}", yielded.samples.len());
            }
            if let Some(metrics) = &expect.metrics {
                let expected = Samples::of_text(metrics).context("read `metrics` of the case")?;
                compare(&expected, &yielded)?;
            }
        }
        Yielded::Text(text) => {
            if let Some(output) = &expect.output {
                ensure!(text.trim_end() == output.trim_end(), "expected:\n{output}\nyielded:\n{text}");
            }
        }
    }
    Ok(())
}

/// What is checked of calls that succeed and of those that fail.
fn check_rest(case: &Case, fake: &Fake) -> anyhow::Result<()> {
    if let Some(lines) = &case.expect.log {
        ensure!(
            fake.lines() == *lines,
            "expected these lines in the log: {lines:?}\nlogged: {:?}",
            fake.lines()
        );
    }
    if let Some(exchange) = fake.unasked().first() {
        bail!("the plugin did not ask for {} {}, as http: says", exchange.method, exchange.url);
    }
    Ok(())
}

/// An exposition in one form, whatever it was written in.
#[derive(Default)]
struct Samples {
    samples: BTreeSet<String>,
    metadata: BTreeSet<String>,
}

impl Samples {
    fn of_payload(payload: &Payload) -> anyhow::Result<Self> {
        match payload {
            Payload::Text(text) => Self::of_text(text),
            Payload::Columns(columns) => Self::of_text(&as_text(columns)),
            Payload::Protobuf(bytes) => Self::read(Format::Protobuf, bytes),
        }
    }

    fn of_text(text: &str) -> anyhow::Result<Self> {
        let is_open_metrics = text.trim_end().ends_with("# EOF");
        let format = if is_open_metrics { Format::OpenMetricsText } else { Format::PrometheusText };
        Self::read(format, text.as_bytes())
    }

    fn read(format: Format, body: &[u8]) -> anyhow::Result<Self> {
        let mut read = Self::default();
        exposition::parse::<anyhow::Error>(format, body, &mut |entry| {
            match entry {
                Entry::Sample(sample) => {
                    let labels = sample.labels().map_err(anyhow::Error::msg)?;
                    let mut line = String::new();
                    exposition::write_sample(&mut line, &labels, sample.value, sample.timestamp);
                    read.samples.insert(line);
                }
                Entry::Histogram(histogram) => {
                    read.samples.insert(format!("{} {:?}\n", histogram.series, histogram.histogram));
                }
                Entry::Help { family, text } => {
                    read.metadata.insert(format!("# HELP {family} {text}\n"));
                }
                Entry::Kind { family, kind } => {
                    read.metadata.insert(format!("# TYPE {family} {kind:?}\n"));
                }
                Entry::Unit { family, unit } => {
                    read.metadata.insert(format!("# UNIT {family} {unit}\n"));
                }
            }
            Ok(())
        })?;
        Ok(read)
    }
}

/// Fails with the lines that are missing and those that are too many.
fn compare(expected: &Samples, yielded: &Samples) -> anyhow::Result<()> {
    let mut differences = String::new();
    let mut list = |expected: &BTreeSet<String>, yielded: &BTreeSet<String>| {
        for line in expected.difference(yielded) {
            let _ = write!(differences, "\n- {}", line.trim_end());
        }
        for line in yielded.difference(expected) {
            let _ = write!(differences, "\n+ {}", line.trim_end());
        }
    };
    list(&expected.samples, &yielded.samples);
    if !expected.metadata.is_empty() {
        list(&expected.metadata, &yielded.metadata);
    }
    ensure!(differences.is_empty(), "missing lines (-) and lines too many (+):{differences}");
    Ok(())
}
