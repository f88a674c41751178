//! Prometheus' answer envelope: `{"status": …, "data": …}` with its error types and status codes
//! (`docs/querying/api.md` of Prometheus 3.14).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use promql::read::ReadError;
use serde::Serialize;
use tokio::task::JoinError;

use super::admission::RETRY_AFTER_SECS;

/// Why a request failed, in Prometheus' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// The request makes no sense; sending it again will not help.
    BadData,
    /// The query cannot be computed.
    Execution,
    /// Somebody stopped it.
    Canceled,
    /// It took too long.
    Timeout,
    /// Our fault.
    Internal,
    /// No such thing.
    NotFound,
    /// Not now, or not on this server; where it says when, sending it again then helps.
    Unavailable,
}

impl ErrorKind {
    const fn name(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BadData => StatusCode::BAD_REQUEST,
            Self::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            // nginx's "client closed request", which Prometheus uses too; it has no constant.
            Self::Canceled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            Self::Timeout | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotFound => StatusCode::NOT_FOUND,
        }
    }
}

/// A failed request.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    kind: ErrorKind,
    message: String,
}

impl ApiError {
    pub(crate) fn new(kind: ErrorKind, message: impl std::fmt::Display) -> Self {
        Self { kind, message: message.to_string() }
    }

    pub(crate) fn bad_data(message: impl std::fmt::Display) -> Self {
        Self::new(ErrorKind::BadData, message)
    }

    /// A parameter that cannot be read, as Prometheus says it.
    pub(crate) fn parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter {name:?}: {reason}"))
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        Self::new(ErrorKind::Internal, error)
    }
}

impl From<JoinError> for ApiError {
    fn from(error: JoinError) -> Self {
        Self::new(ErrorKind::Internal, error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Failure<'a> {
            status: &'static str,
            error_type: &'static str,
            error: &'a str,
        }
        let body = Failure { status: "error", error_type: self.kind.name(), error: &self.message };
        let mut response = json(self.kind.status(), &body);
        if self.kind == ErrorKind::Unavailable {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECS));
        }
        response
    }
}

/// A request that was answered, with what there is to say beside the data.
#[derive(Debug, Serialize)]
pub(crate) struct Success<T> {
    status: &'static str,
    data: T,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    infos: Vec<String>,
}

impl<T: Serialize> Success<T> {
    pub(crate) const fn new(data: T) -> Self {
        Self { status: "success", data, warnings: Vec::new(), infos: Vec::new() }
    }

    pub(crate) fn annotated(data: T, warnings: Vec<String>, infos: Vec<String>) -> Self {
        Self { warnings, infos, ..Self::new(data) }
    }
}

impl<T: Serialize> IntoResponse for Success<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self)
    }
}

/// What handlers under `/api/v1` return.
pub(crate) type ApiResult<T> = Result<Success<T>, ApiError>;

/// A JSON body.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        // Nothing we send has keys that JSON cannot hold; if that ever changes, say so instead of dying.
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
