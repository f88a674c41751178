//! Requests to other servers: what is sent, and what their answers mean.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use chrono::Utc;
use formats::remote_write::Version;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use scrape::client::HttpClient;
use scrape::sigv4::SigV4Config;
use url::Url;

use crate::Error;
use crate::config::RemoteWriteConfig;

/// So much of an answer's text is shown, as in Prometheus.
const MESSAGE_BYTES_MAX: usize = 512;

/// Says how many samples a receiver of version 2.0 has taken; who does not say it has not understood.
const SAMPLES_WRITTEN: &str = "x-prometheus-remote-write-samples-written";

/// Takes batches.
#[async_trait]
pub(crate) trait Send: std::marker::Send + Sync {
    /// Sends the body of a request; `attempt` counts from zero.
    ///
    /// # Errors
    /// [`Error::Recoverable`] where the same should be sent again, [`Error::Permanent`] where not.
    async fn send(&self, body: Vec<u8>, version: Version, attempt: u32) -> Result<(), Error>;
}

/// A receiver over HTTP.
pub(crate) struct Receiver {
    client: HttpClient,
    url: Url,
    headers: BTreeMap<String, String>,
    timeout: Duration,
    retry_on_429: bool,
    sigv4: Option<SigV4Config>,
}

impl Receiver {
    pub(crate) fn new(config: &RemoteWriteConfig) -> Result<Self, Error> {
        Ok(Self {
            client: HttpClient::new(&config.http, true)?,
            url: config.url.clone(),
            headers: config.headers.clone(),
            timeout: config.remote_timeout.0,
            retry_on_429: config.queue_config.retry_on_http_429,
            sigv4: config.sigv4.clone(),
        })
    }
}

#[async_trait]
impl Send for Receiver {
    async fn send(&self, body: Vec<u8>, version: Version, attempt: u32) -> Result<(), Error> {
        let (content_type, protocol) = match version {
            Version::V1 => ("application/x-protobuf", "0.1.0"),
            Version::V2 => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
        };
        let request = self
            .client
            .request(Method::POST, self.url.as_str())
            .await
            .map_err(|error| unreachable(&error))?;
        let mut request = with_headers(request, &self.headers)
            .timeout(self.timeout)
            .header(CONTENT_ENCODING, "snappy")
            .header(CONTENT_TYPE, content_type)
            .header("X-Prometheus-Remote-Write-Version", protocol);
        if attempt > 0 {
            request = request.header("Retry-Attempt", attempt.to_string());
        }
        if let Some(sigv4) = &self.sigv4 {
            // Keys may be there with the next try.
            let signed = sigv4.sign(&self.url, &body, Utc::now());
            let signed = signed.map_err(|what| Error::Recoverable { what, after: None })?;
            request = signed.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        }
        let response = request.body(body).send().await.map_err(|error| failed(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_success() {
            if version == Version::V2 && !headers.contains_key(SAMPLES_WRITTEN) {
                return Err(Error::Permanent(format!(
                    "sent a request of remote write 2.0 and got {status} without {SAMPLES_WRITTEN}: the \
                     receiver seems to know version 1.0 alone; set protobuf_message: prometheus.WriteRequest"
                )));
            }
            return Ok(());
        }
        Err(refused(status, &headers, &text(response).await, self.retry_on_429))
    }
}

/// A request with the headers of an entry.
pub(crate) fn with_headers(request: RequestBuilder, headers: &BTreeMap<String, String>) -> RequestBuilder {
    headers.iter().fold(request, |request, (name, value)| request.header(name, value))
}

/// Credentials that cannot be read may be there with the next try.
pub(crate) fn unreachable(error: &scrape::Error) -> Error {
    Error::Recoverable { what: error.to_string(), after: None }
}

/// A request without an answer.
pub(crate) fn failed(error: &reqwest::Error) -> Error {
    let mut what = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        what.push_str(": ");
        what.push_str(&cause.to_string());
        source = cause.source();
    }
    Error::Recoverable { what, after: None }
}

/// The beginning of an answer's first line.
pub(crate) async fn text(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < MESSAGE_BYTES_MAX
        && let Ok(Some(chunk)) = response.chunk().await
    {
        bytes.extend_from_slice(&chunk);
    }
    bytes.truncate(MESSAGE_BYTES_MAX);
    String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned()
}

/// What an answer means that is no success.
fn refused(status: StatusCode, headers: &HeaderMap, text: &str, retry_on_429: bool) -> Error {
    let what = format!("server returned HTTP status {status}: {text}");
    let busy = status == StatusCode::TOO_MANY_REQUESTS && retry_on_429;
    if status.is_server_error() || busy {
        let after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        return Error::Recoverable {
            what,
            after: after.and_then(|text| retry_after(text, SystemTime::now())),
        };
    }
    Error::Permanent(what)
}

/// `Retry-After`: seconds, or a time.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = chrono::DateTime::parse_from_rfc2822(text.trim()).ok()?;
    SystemTime::from(at).duration_since(now).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_say_whether_to_try_again() {
        let check =
            |status: u16, retry_on_429, header: Option<&'static str>, expected: Option<Option<u64>>| {
                let mut headers = HeaderMap::new();
                if let Some(header) = header {
                    headers.insert(RETRY_AFTER, header.parse().unwrap());
                }
                let status = StatusCode::from_u16(status).unwrap();
                let after = match refused(status, &headers, "why", retry_on_429) {
                    Error::Recoverable { after, .. } => Some(after.map(|after| after.as_secs())),
                    _ => None,
                };
                assert_eq!(after, expected, "{status}");
            };
        check(500, false, None, Some(None));
        check(503, false, Some("7"), Some(Some(7)));
        check(503, false, Some("never"), Some(None));
        check(429, false, Some("7"), None);
        check(429, true, Some("7"), Some(Some(7)));
        check(400, true, None, None);
        check(415, true, None, None);
    }

    #[test]
    fn a_time_to_come_back_is_read() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        let after = |text| retry_after(text, at);
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:00 GMT"), None);
        assert_eq!(after(" 120 "), Some(Duration::from_secs(120)));
    }
}
