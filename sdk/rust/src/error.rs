//! Why a plugin could not do what it was asked, and whether asking again may help.

use std::fmt;
use std::time::Duration;

use crate::bindings::base::stormglass::types::types::PluginError;
use crate::{dns, files, http, kv, net, query, secrets};

/// The result of everything that the server asks of a plugin.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A message for people, and whether the same call may succeed later: the server retries only then.
///
/// `?` makes one from the errors of [`http`], [`files`] and JSON. A connection that failed or took too long is
/// retryable; what is denied, missing or malformed is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    message: String,
    retryable: bool,
    retry_after: Option<Duration>,
}

impl Error {
    /// The same call may succeed later.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self { message: message.into(), retryable: true, retry_after: None }
    }

    /// The same call will fail again.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { message: message.into(), retryable: false, retry_after: None }
    }

    /// Asks the server to wait at least this long before it retries, and makes the error retryable.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.retryable = true;
        self.retry_after = Some(wait);
        self
    }

    /// Puts what was being done before the message.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// What failed.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// How long to wait before a retry, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Adds what was being done to an error, on its way out.
pub trait Context<T> {
    /// Puts `doing` before the error's message: `read(path).context("read the list of disks")?`.
    fn context(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|e| e.into().context(doing))
    }
}

impl From<http::Error> for Error {
    fn from(error: http::Error) -> Self {
        match error {
            http::Error::Denied(what) => Self::permanent(what),
            http::Error::Invalid(what) => Self::permanent(format!("invalid request: {what}")),
            http::Error::Connect(what) => Self::retryable(format!("cannot connect: {what}")),
            http::Error::Timeout => Self::retryable("no response in time"),
            http::Error::TooLarge(limit) => {
                Self::permanent(format!("response is over the limit of {limit} bytes"))
            }
            http::Error::Other(what) => Self::retryable(format!("request failed: {what}")),
        }
    }
}

impl From<kv::Error> for Error {
    fn from(error: kv::Error) -> Self {
        match error {
            kv::Error::InvalidKey(what) => Self::permanent(what),
            kv::Error::Full(limit) => Self::permanent(format!("the store is full at {limit} bytes")),
            kv::Error::Other(what) => Self::retryable(what),
        }
    }
}

impl From<secrets::Error> for Error {
    fn from(error: secrets::Error) -> Self {
        match error {
            secrets::Error::Denied(what) => Self::permanent(what),
            secrets::Error::Unavailable(what) => Self::retryable(what),
        }
    }
}

impl From<query::Error> for Error {
    fn from(error: query::Error) -> Self {
        match error {
            query::Error::Denied(what) => Self::permanent(what),
            query::Error::Invalid(what) => Self::permanent(format!("invalid query: {what}")),
            query::Error::Timeout => Self::retryable("no answer to the query in time"),
            query::Error::Other(what) => Self::retryable(format!("query failed: {what}")),
        }
    }
}

impl From<net::Error> for Error {
    fn from(error: net::Error) -> Self {
        match error {
            net::Error::Denied(what) | net::Error::Invalid(what) | net::Error::Limit(what) => {
                Self::permanent(what)
            }
            net::Error::Connect(what) => Self::retryable(format!("cannot connect: {what}")),
            net::Error::Tls(what) => Self::retryable(format!("TLS: {what}")),
            net::Error::Timeout => Self::retryable("no answer in time"),
            net::Error::Closed => Self::retryable("the connection was closed"),
            net::Error::Other(what) => Self::retryable(what),
        }
    }
}

impl From<dns::Error> for Error {
    fn from(error: dns::Error) -> Self {
        match error {
            dns::Error::Denied(what) | dns::Error::Invalid(what) => Self::permanent(what),
            dns::Error::NoSuchName => Self::permanent("there is no such name"),
            dns::Error::Timeout => Self::retryable("no answer in time"),
            dns::Error::Other(what) => Self::retryable(what),
        }
    }
}

impl From<std::io::Error> for Error {
    /// What a connection answered, where that is the cause; retryable where it is not known.
    fn from(error: std::io::Error) -> Self {
        match error.downcast::<net::Error>() {
            Ok(cause) => cause.into(),
            Err(error) => Self::retryable(error.to_string()),
        }
    }
}

impl From<files::Error> for Error {
    fn from(error: files::Error) -> Self {
        Self::permanent(match error {
            files::Error::Denied(what) | files::Error::NotFound(what) | files::Error::Other(what) => what,
            files::Error::TooLarge(limit) => format!("file is over the limit of {limit} bytes"),
        })
    }
}

macro_rules! permanent {
    ($($source:ty),+) => {$(
        impl From<$source> for Error {
            fn from(error: $source) -> Self {
                Self::permanent(error.to_string())
            }
        }
    )+};
}

permanent!(
    serde_json::Error,
    std::num::ParseIntError,
    std::num::ParseFloatError,
    std::str::Utf8Error,
    std::string::FromUtf8Error,
    fmt::Error
);

impl From<Error> for PluginError {
    fn from(error: Error) -> Self {
        let wait_ms = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Self {
            message: error.message,
            retryable: error.retryable,
            retry_after_ms: error.retry_after.map(wait_ms),
        }
    }
}
