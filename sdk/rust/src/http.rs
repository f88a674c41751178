//! Outgoing HTTP. Needs a grant for the scheme, host and port of the URL and of every redirect.
//!
//! ```no_run
//! # fn example() -> stormglass_sdk::Result<()> {
//! use stormglass_sdk::http::Request;
//! let response = Request::get("https://api.example.com/v1/status").header("Accept", "application/json").send()?;
//! let status: serde_json::Value = response.error_for_status()?.json()?;
//! # Ok(()) }
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ConfigDuration;

pub use crate::bindings::base::stormglass::host::http::{Error, Header, Request, Response};

/// How much of an error's body its message repeats: enough for a reason, too little to flood a log.
const BODY_EXCERPT_CHARS: usize = 200;

/// Sends a GET request and waits for the whole response.
pub fn get(url: &str) -> Result<Response, Error> {
    Request::get(url).send()
}

/// Sends a POST request with this body and waits for the whole response.
pub fn post(url: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Result<Response, Error> {
    Request::post(url).header("Content-Type", content_type).body(body).send()
}

/// Scheme, host and port of a URL: as much of it as may stand in a message, since paths, queries and user parts
/// often hold secrets.
pub fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}")
}

/// The text as a part of a path or a query: all but unreserved characters are percent-encoded (RFC 3986, section 2.3).
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// The key `headers` of a configuration: headers of every request.
///
/// In a schema it is `{"type": "object", "additionalProperties": {"type": "string"}}`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Headers(BTreeMap<String, String>);

/// The key `timeout` of a configuration: how long a request may take; 10 s where it does not say.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
pub struct Timeout(ConfigDuration);

impl Default for Timeout {
    fn default() -> Self {
        Self(ConfigDuration(Duration::from_secs(10)))
    }
}

impl From<Timeout> for Duration {
    fn from(timeout: Timeout) -> Self {
        timeout.0.0
    }
}

impl Request {
    /// A request with this method and nothing else yet.
    pub fn new(method: &str, url: &str) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: None,
        }
    }

    /// A GET request.
    pub fn get(url: &str) -> Self {
        Self::new("GET", url)
    }

    /// A POST request.
    pub fn post(url: &str) -> Self {
        Self::new("POST", url)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(Header { name: name.into(), value: value.into() });
        self
    }

    /// Adds headers.
    #[must_use]
    pub fn headers(self, headers: &Headers) -> Self {
        headers.0.iter().fold(self, |request, (name, value)| request.header(name, value))
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to this value as JSON, and the content type with it.
    pub fn json(self, value: &impl Serialize) -> crate::Result<Self> {
        Ok(self.header("Content-Type", "application/json").body(serde_json::to_vec(value)?))
    }

    /// Gives up after this long; the server's own limit holds where it is shorter.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Duration>) -> Self {
        let timeout = timeout.into();
        self.timeout_ms = Some(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// Sends it and waits for the whole response. Any status is a response, not an error.
    pub fn send(&self) -> Result<Response, Error> {
        crate::host::http::fetch(self)
    }
}

impl Response {
    /// The value of the first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value.as_str())
    }

    /// Whether the status is one of success, 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as text; bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The body, read as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> crate::Result<T> {
        Ok(serde_json::from_slice(&self.body)?)
    }

    /// The response itself if its status is one of success. Otherwise an error with status and reason, retryable
    /// if the status is one that passes: 408, 425, 429 and 500 to 599, after the seconds that `Retry-After` asks.
    pub fn error_for_status(self) -> crate::Result<Self> {
        if self.is_success() {
            return Ok(self);
        }
        let excerpt: String = self.text().trim().chars().take(BODY_EXCERPT_CHARS).collect();
        let separator = if excerpt.is_empty() { "" } else { ": " };
        let message = format!("server answered status {}{separator}{excerpt}", self.status);
        if !matches!(self.status, 408 | 425 | 429 | 500..=599) {
            return Err(crate::Error::permanent(message));
        }
        let error = crate::Error::retryable(message);
        Err(match self.header("Retry-After").and_then(|seconds| seconds.trim().parse().ok()) {
            Some(seconds) => error.after(Duration::from_secs(seconds)),
            None => error,
        })
    }
}

#[cfg(test)]
mod tests;
