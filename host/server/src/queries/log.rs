//! The query log: every query with what it took, a JSON object a line, in the file that `global.query_log_file` names.
//! Fields have Prometheus' names and places, so that what reads its log reads this one.
//!
//! The file is opened anew at every reload, so that one that was moved away is let go. A line that cannot be written is
//! counted and costs its query nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use chrono::{DateTime, SecondsFormat, Utc};
use model::Timestamp;
use parking_lot::Mutex;
use prometheus::{IntCounter, IntGauge, Registry};
use promql::{Answer, QueryError, Times};
use serde_json::{Value, json};

use super::{Caller, stats};

/// The log; silent until it is given a file.
pub(crate) struct QueryLog {
    file: Mutex<Option<File>>,
    enabled: IntGauge,
    failures: IntCounter,
}

impl QueryLog {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let enabled =
            IntGauge::new("prometheus_engine_query_log_enabled", "Whether queries are written to a log.")?;
        let failures = IntCounter::new(
            "prometheus_engine_query_log_failures_total",
            "Queries that could not be written to the log.",
        )?;
        registry.register(Box::new(enabled.clone()))?;
        registry.register(Box::new(failures.clone()))?;
        Ok(Self { file: Mutex::new(None), enabled, failures })
    }

    /// Opens a file to append to.
    pub(crate) fn open(path: &Path) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(path)
    }

    /// Writes to this file from now on, or nowhere.
    pub(crate) fn set(&self, file: Option<File>) {
        self.enabled.set(i64::from(file.is_some()));
        *self.file.lock() = file;
    }

    /// Whether queries are written to a file.
    pub(super) fn is_enabled(&self) -> bool {
        self.enabled.get() != 0
    }

    /// Writes a line; blocks for as long as the disk does.
    pub(super) fn write(
        &self,
        query: &str,
        times: Times,
        caller: &Caller,
        result: &Result<Answer, QueryError>,
    ) {
        let mut line = entry(query, times, caller, result).to_string();
        line.push('\n');
        let mut file = self.file.lock();
        if let Some(file) = &mut *file
            && file.write_all(line.as_bytes()).is_err()
        {
            self.failures.inc();
        }
    }
}

fn entry(query: &str, times: Times, caller: &Caller, result: &Result<Answer, QueryError>) -> Value {
    let (start, end, step_ms) = match times {
        Times::Instant(at) => (at, at, 0),
        Times::Range { start, end, step_ms } => (start, end, step_ms),
    };
    let mut entry = json!({
        "time": Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
        "level": "INFO",
        "msg": "promql query logged",
        "params": {
            "query": query,
            "start": time(start),
            "end": time(end),
            // Whole seconds, as in Prometheus, whose readers expect an integer.
            "step": step_ms / 1000,
        },
    });
    match caller {
        Caller::Client(client, request) => {
            entry["httpRequest"] = json!({
                "clientIP": request.address.map(|address| address.to_string()).unwrap_or_default(),
                "method": request.method.as_str(),
                "path": request.path.as_ref().map_or("", |path| path.as_str()),
            });
            entry["client"] = json!(client.0);
        }
        Caller::Rule(group) => {
            let (file, name) = &**group;
            entry["ruleGroup"] = json!({ "file": file, "name": name });
        }
        Caller::Inside => {}
    }
    match result {
        Ok(answer) => entry["stats"] = stats::to_json(&answer.stats),
        Err(error) => entry["error"] = json!(error.to_string()),
    }
    entry
}

/// Times beyond what a calendar holds are told as numbers.
fn time(at: Timestamp) -> Value {
    match DateTime::<Utc>::from_timestamp_millis(at.millis()) {
        Some(at) => json!(at.to_rfc3339_opts(SecondsFormat::Millis, true)),
        None => json!(at.millis() as f64 / 1000.0),
    }
}
