//! A query as it goes over HTTP, the same to every server that speaks Prometheus' API.

use std::fmt;
use std::io;
use std::time::Duration;

/// Longer than any server lets a query take, so that it is the server that gives up.
const PATIENCE: Duration = Duration::from_secs(300);

/// An expression and when it is evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// PromQL.
    pub text: String,
    /// Once or many times.
    pub times: Times,
}

/// When an expression is evaluated, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Once.
    Instant {
        /// Then.
        at_ms: i64,
    },
    /// From the start, step by step, until the end is passed.
    Range {
        /// First evaluation.
        start_ms: i64,
        /// Not beyond this.
        end_ms: i64,
        /// More than zero.
        step_ms: i64,
    },
}

/// What came back, as bytes: reading them is no part of what a server is measured by.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Of HTTP.
    pub status: u16,
    /// JSON, if all is well.
    pub body: Vec<u8>,
}

/// Asks servers, and keeps the connections to them.
#[derive(Debug, Clone)]
pub struct Asker(ureq::Agent);

impl Default for Asker {
    fn default() -> Self {
        let config = ureq::Agent::config_builder();
        Self(config.http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into())
    }
}

impl Asker {
    /// Asks the server at `base` and reads its answer to the end. VictoriaMetrics is told not to answer from its cache;
    /// the others have none, and do not know the parameter.
    ///
    /// # Errors
    /// Where there is no answer.
    pub fn ask(&self, base: &str, question: &Question) -> io::Result<Reply> {
        let mut form = vec![("query", question.text.clone()), ("nocache", "1".to_owned())];
        let path = match question.times {
            Times::Instant { at_ms } => {
                form.push(("time", seconds(at_ms)));
                "query"
            }
            Times::Range { start_ms, end_ms, step_ms } => {
                form.extend([
                    ("start", seconds(start_ms)),
                    ("end", seconds(end_ms)),
                    ("step", seconds(step_ms)),
                ]);
                "query_range"
            }
        };
        let form = form.iter().map(|(name, value)| (*name, value.as_str()));
        let sent = self.0.post(format!("{base}/api/v1/{path}")).send_form(form);
        read(sent.map_err(io::Error::other)?)
    }

    /// Pushes the body of a remote write request.
    ///
    /// # Errors
    /// Where there is no answer, or it is not that all was taken.
    pub fn write(&self, base: &str, body: &[u8]) -> io::Result<()> {
        let request = self.0.post(format!("{base}/api/v1/write"));
        let request = request
            .header("Content-Type", "application/x-protobuf")
            .header("Content-Encoding", "snappy")
            .header("X-Prometheus-Remote-Write-Version", "0.1.0");
        let reply = read(request.send(body).map_err(io::Error::other)?)?;
        if reply.status / 100 == 2 {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&reply.body);
        Err(io::Error::other(format!("a push was answered with {}: {said}", reply.status)))
    }
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> io::Result<Reply> {
    let status = response.status().as_u16();
    // The default limit is ten megabytes, which many a range query exceeds.
    let body = response.body_mut().with_config().limit(u64::MAX).read_to_vec().map_err(io::Error::other)?;
    Ok(Reply { status, body })
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000))
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.times {
            Times::Instant { at_ms } => write!(f, "{} at {}", self.text, seconds(at_ms)),
            Times::Range { start_ms, end_ms, step_ms } => {
                let [start, end, step] = [start_ms, end_ms, step_ms].map(seconds);
                write!(f, "{} from {start} to {end} step {step}", self.text)
            }
        }
    }
}
