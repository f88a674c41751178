//! `scrape_failure_log_file`: a line of JSON for each scrape that fails.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use chrono::{SecondsFormat, Utc};
use parking_lot::Mutex;
use serde_json::json;

use crate::Error;

/// A file that failed scrapes of a job are written to. Opened with the first of them; jobs may share it.
pub(crate) struct FailureLog {
    path: PathBuf,
    job: String,
    file: Mutex<Option<File>>,
}

impl FailureLog {
    pub(crate) fn new(path: &str, job: &str) -> Self {
        Self { path: PathBuf::from(path), job: job.to_owned(), file: Mutex::new(None) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes that a scrape failed. A line that cannot be written is told in the server's own log.
    pub(crate) fn write(&self, url: &str, error: &Error) {
        let line = json!({
            "time": Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            "level": "ERROR",
            "msg": error.to_string(),
            "job_name": self.job,
            "target": url,
        });
        let mut file = self.file.lock();
        let written = match &mut *file {
            Some(file) => file.write_all(format!("{line}\n").as_bytes()),
            None => OpenOptions::new().create(true).append(true).open(&self.path).and_then(|mut opened| {
                opened.write_all(format!("{line}\n").as_bytes())?;
                *file = Some(opened);
                Ok(())
            }),
        };
        if let Err(error) = written {
            tracing::error!(path = %self.path.display(), %error, "scrape_failure_log_file was not written");
        }
    }
}
