//! The query log: every query with what it took, a JSON object a line, in the file that `global.query_log_file` names.
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

use super::stats;

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
        client: Option<&str>,
        result: &Result<Answer, QueryError>,
    ) {
        if !self.is_enabled() {
            return;
        }
        let mut line = entry(query, times, client, result).to_string();
        line.push('\n');
        let mut file = self.file.lock();
        if let Some(file) = &mut *file
            && file.write_all(line.as_bytes()).is_err()
        {
            self.failures.inc();
        }
    }
}

fn entry(query: &str, times: Times, client: Option<&str>, result: &Result<Answer, QueryError>) -> Value {
    let (start, end, step_ms) = match times {
        Times::Instant(at) => (at, at, 0),
        Times::Range { start, end, step_ms } => (start, end, step_ms),
    };
    let mut entry = json!({
        "ts": Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
        "params": {
            "query": query,
            "start": time(start),
            "end": time(end),
            "step": step_ms as f64 / 1000.0,
        },
        // Queries of rules and detectors have no client.
        "client": client,
    });
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
