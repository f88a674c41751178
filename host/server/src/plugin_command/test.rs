//! `stormglass plugin test`: cases in YAML, each a configuration and surroundings of its own, and what the plugin has to
//! yield on them. The same plugin file is tested that a server would run, so that cases fit any language.

mod case;
mod input;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use formats::exposition::{self, Entry, Format};
use model::Timestamp;
use plugin::{CallError, Fake, Host, Instance, Kind, Payload, PluginConfig};

use self::case::{Case, Expect};
use self::input::Yielded;
use super::run::{self, as_text};
use super::{as_path, component, host};
use crate::yaml;

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
    let fake = Arc::new(case.surroundings()?);
    let config = PluginConfig {
        config: case.config.clone(),
        grants: serde_json::from_value(case.grants()).context("grant what the case has")?,
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
        answer = match call(&instance, kind, case, &fake).await? {
            Ok(answer) => Ok(answer),
            Err(error) => return check_error(&case.expect, &error).and_then(|()| check_rest(case, &fake)),
        };
    }
    check_answer(&case.expect, kind, &answer?)?;
    check_rest(case, &fake)
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

/// Calls a kind with what the case gives it, or where it gives nothing, as `plugin run` does.
async fn call(
    instance: &Instance,
    kind: Kind,
    case: &Case,
    fake: &Fake,
) -> anyhow::Result<Result<Yielded, CallError>> {
    if let Some(input) = &case.input {
        return input::call(instance, kind, input).await;
    }
    if kind == Kind::Collector {
        let collected = instance.collect(instance.config().limits.deadline.0).await;
        return Ok(collected.map(|samples| Yielded { samples: Some(samples), rest: serde_json::Value::Null }));
    }
    let told = run::call(instance, kind, Timestamp::from_millis(fake.now_ms())).await;
    Ok(told.map(|text| Yielded { samples: None, rest: text.into() }))
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

fn check_answer(expect: &Expect, kind: Kind, answer: &Yielded) -> anyhow::Result<()> {
    if let Some(part) = &expect.error {
        bail!("the call succeeded, where an error with {part:?} was expected");
    }
    if let Some(payload) = &answer.samples {
        let yielded = Samples::of_payload(payload).context("read what the plugin yields")?;
        if let Some(count) = expect.count {
            ensure!(yielded.samples.len() == count, "{} samples, not {count}", yielded.samples.len());
        }
        if let Some(metrics) = &expect.metrics {
            let expected = Samples::of_text(metrics).context("read `metrics` of the case")?;
            compare(&expected, &yielded)?;
        }
    } else {
        ensure!(
            expect.metrics.is_none() && expect.count.is_none(),
            "a {kind} yields no samples; say `yields`"
        );
    }
    if let Some(output) = &expect.output {
        let text = answer.rest.as_str().unwrap_or_default();
        ensure!(text.trim_end() == output.trim_end(), "expected:\n{output}\nyielded:\n{text}");
    }
    if let Some(expected) = &expect.yields {
        let expected = input::normalized(kind, expected)?;
        ensure!(input::same(&expected, &answer.rest), "expected:\n{expected:#}\nyielded:\n{:#}", answer.rest);
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
    if let Some(expected) = &case.expect.kv {
        let text = |(key, value): (String, Vec<u8>)| (key, String::from_utf8_lossy(&value).into_owned());
        let kept = fake.kept().into_iter().map(text).collect();
        ensure!(*expected == kept, "expected in the store: {expected:?}\nit holds: {kept:?}");
    }
    if let Some(expected) = &case.expect.telemetry {
        let told = fake.telemetry();
        ensure!(*expected == told, "expected of the plugin about itself: {expected:?}\nit told: {told:?}");
    }
    if let Some(undone) = fake.undone().first() {
        bail!("the plugin did not {undone}, as the case says");
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
