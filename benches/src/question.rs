//! A query as it goes over HTTP, the same to every server that speaks Prometheus' API.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::connection::Connection;

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

/// Asks servers, and keeps the connections to them; clones share those.
#[derive(Debug, Clone)]
pub struct Asker {
    /// For what is pushed.
    agent: ureq::Agent,
    /// For what is asked, by the address of the server.
    connections: Arc<Mutex<BTreeMap<String, Connection>>>,
}

impl Default for Asker {
    fn default() -> Self {
        let config = ureq::Agent::config_builder();
        let agent = config.http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into();
        Self { agent, connections: Arc::default() }
    }
}

impl Asker {
    /// Asks the server at `base` and reads its answer to the end. VictoriaMetrics is told not to answer from its cache;
    /// the others have none, and do not know the parameter.
    ///
    /// # Errors
    /// Where there is no answer.
    pub fn ask(&self, base: &str, question: &Question) -> io::Result<Reply> {
        let mut body = Vec::new();
        let (status, _) = self.send(base, question, |some| body.extend_from_slice(some))?;
        Ok(Reply { status, body })
    }

    /// The same, for the status and the time until all of the answer was there, which is not kept.
    ///
    /// # Errors
    /// Where there is no answer.
    pub fn time(&self, base: &str, question: &Question) -> io::Result<(u16, Duration)> {
        self.send(base, question, |_| ())
    }

    fn send(
        &self,
        base: &str,
        question: &Question,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<(u16, Duration)> {
        let (path, form) = question.as_form();
        let host = base.trim_start_matches("http://");
        // A connection that failed is not used again; servers close those that were idle for long.
        let known = self.connections().remove(host);
        for known in [known, None] {
            let is_new = known.is_none();
            let mut connection = match known {
                Some(connection) => connection,
                None => Connection::open(host, PATIENCE)?,
            };
            let mut taken = false;
            let started = Instant::now();
            let answered = connection.post(path, &form, |some| {
                taken = true;
                take(some);
            });
            match answered {
                Ok(status) => {
                    let elapsed = started.elapsed();
                    self.connections().insert(host.to_owned(), connection);
                    return Ok((status, elapsed));
                }
                Err(error) if is_new || taken => return Err(error),
                Err(_) => {}
            }
        }
        Err(io::ErrorKind::NotConnected.into())
    }

    fn connections(&self) -> MutexGuard<'_, BTreeMap<String, Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pushes the body of a remote write request.
    ///
    /// # Errors
    /// Where there is no answer, or it is not that all was taken.
    pub fn write(&self, base: &str, body: &[u8]) -> io::Result<()> {
        let request = self.agent.post(format!("{base}/api/v1/write"));
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

impl Question {
    /// Where it is posted to, and as what.
    fn as_form(&self) -> (&'static str, String) {
        // Writing to a text cannot fail.
        let mut form = String::from("nocache=1&query=");
        for byte in self.text.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => form.push(char::from(byte)),
                _ => {
                    let _ = write!(form, "%{byte:02X}");
                }
            }
        }
        let path = match self.times {
            Times::Instant { at_ms } => {
                let _ = write!(form, "&time={}", seconds(at_ms));
                "/api/v1/query"
            }
            Times::Range { start_ms, end_ms, step_ms } => {
                let [start, end, step] = [start_ms, end_ms, step_ms].map(seconds);
                let _ = write!(form, "&start={start}&end={end}&step={step}");
                "/api/v1/query_range"
            }
        };
        (path, form)
    }
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
