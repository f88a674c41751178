//! Test scripts in the promqltest language: `clear`, `load`, `eval`, and what must come out.
//!
//! A script is run by [`run`] against a storage in memory with the engine settings of Prometheus' own runner.
//! An instant `eval` also runs with `@` attached and as a range query, as there.
//! Each `eval` passes or fails by itself; a block that cannot be read counts as one failure.

mod again;
mod command;
mod compare;
mod nhcb;
mod notation;
mod series;
mod storage;

pub use notation::write_histogram;
pub use storage::MemoryStorage;

use std::time::Duration;

use model::{Labels, Timestamp, Value};

use crate::answer::QueryResult;
use crate::engine::{Engine, EngineOptions, QueryControl};
use crate::error::QueryError;
use crate::features::Features;
use command::{Command, Eval, Loaded, Times};

/// Prometheus' runner holds no more samples than this at once; some scripts rely on it.
const SAMPLES_MAX: u64 = 10_000;

/// How a script went.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many evaluations came out as expected.
    pub passed: usize,
    /// What did not.
    pub failures: Vec<Failure>,
}

/// Something in a script that did not come out as expected.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The line where its block starts.
    pub line: usize,
    /// The query, where it got that far.
    pub query: String,
    /// What is wrong.
    pub reason: String,
}

/// Reads a series in the notation of scripts: the metric, and a value, or none, for every step.
///
/// # Errors
/// What cannot be read, for people.
pub fn parse_series(metric: &str, values: &str) -> Result<(Labels, Vec<Option<Value>>), String> {
    let labels = series::labels(metric)?;
    let items = series::items(values)?;
    Ok((labels, items.into_iter().map(|item| item.value).collect()))
}

/// Reads a metric in the notation of scripts: its name and labels.
///
/// # Errors
/// What cannot be read, for people.
pub fn parse_metric(metric: &str) -> Result<Labels, String> {
    series::labels(metric)
}

/// Runs a script.
pub fn run(script: &str) -> Report {
    let engine = Engine::new(EngineOptions {
        samples_max: SAMPLES_MAX,
        timeout: Duration::from_secs(100),
        features: Features { delayed_name_removal: true, ..Features::LANGUAGE },
        ..EngineOptions::prometheus_defaults()
    });
    let mut storage = MemoryStorage::default();
    let mut report = Report::default();
    for command in command::parse(script) {
        let failed = match command {
            Err((line, reason)) => Some(Failure { line, query: String::new(), reason }),
            Ok(Command::Clear) => {
                storage = MemoryStorage::default();
                None
            }
            Ok(Command::Load { step_ms, series, with_nhcb }) => {
                load(&mut storage, step_ms, &series);
                let loaded: Vec<Labels> = series.into_iter().map(|loaded| loaded.labels).collect();
                let converted = if with_nhcb { nhcb::convert(&mut storage, &loaded) } else { Ok(()) };
                storage.find_resets();
                converted.err().map(|reason| Failure { line: 0, query: String::new(), reason })
            }
            Ok(Command::Eval(eval)) => {
                match check(&engine, &storage, &eval).and_then(|()| again::run(&engine, &storage, &eval)) {
                    Ok(()) => {
                        report.passed += 1;
                        None
                    }
                    Err(reason) => Some(Failure { line: eval.line, query: eval.query, reason }),
                }
            }
        };
        report.failures.extend(failed);
    }
    report
}

fn load(storage: &mut MemoryStorage, step_ms: i64, series: &[Loaded]) {
    for Loaded { labels, items, starts } in series {
        for (step, item) in items.iter().enumerate() {
            let Some(value) = &item.value else { continue };
            let time = Timestamp::from_millis(step_ms * step as i64);
            match starts.get(step) {
                Some(Some(offset_ms)) => {
                    storage.put_started(labels, time, value.clone(), time.offset(*offset_ms));
                }
                _ => storage.put(labels, time, value.clone()),
            }
        }
    }
}

fn evaluate(engine: &Engine, storage: &MemoryStorage, eval: &Eval) -> Result<QueryResult, QueryError> {
    let control = QueryControl::default();
    match eval.times {
        Times::Instant(at) => engine.instant(storage, &eval.query, at, &control),
        Times::Range { start, end, step_ms } => {
            engine.range(storage, &eval.query, start, end, step_ms, &control)
        }
    }
}

fn check(engine: &Engine, storage: &MemoryStorage, eval: &Eval) -> Result<(), String> {
    match (evaluate(engine, storage, eval), &eval.fail) {
        (Ok(result), None) => compare::compare(eval, &result),
        (Ok(result), Some(_)) => Err(format!("expected an error, got {:?}", result.value)),
        (Err(error), None) => Err(format!("failed: {error}")),
        (Err(error), Some(text)) => {
            let error = error.to_string();
            if text.matches(&error) { Ok(()) } else { Err(format!("expected error {text:?}, got {error}")) }
        }
    }
}
