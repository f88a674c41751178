//! OTLP over HTTP: `POST /v1/metrics` and `/v1/traces`, protobuf or JSON by content type, plain or gzip.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use formats::DecompressError;
use formats::otlp::Encoding;
use formats::otlp::response::{self, Signal};

use super::{BODY_BYTES_MAX, ExportError, Receiver};
use crate::api::admission::{Admission, admit};

/// Seconds after which a sender may try again what we could not store.
const RETRY_AFTER_SECS: u64 = 5;

/// The two endpoints.
pub(crate) fn router(receiver: Arc<Receiver>, pushes: Admission) -> Router {
    Router::new()
        .route("/v1/metrics", post(metrics))
        .route("/v1/traces", post(traces))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(pushes, admit))
        .with_state(receiver)
}

pub(crate) async fn metrics(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    export(&receiver, Signal::Metrics, &headers, &body).await
}

async fn traces(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> Response {
    export(&receiver, Signal::Traces, &headers, &body).await
}

async fn export(receiver: &Arc<Receiver>, signal: Signal, headers: &HeaderMap, body: &Bytes) -> Response {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let content_type = header(header::CONTENT_TYPE).unwrap_or_default();
    let Some(encoding) = Encoding::from_content_type(content_type) else {
        let (protobuf, json) = (Encoding::Protobuf.content_type(), Encoding::Json.content_type());
        let message = format!("unsupported content type {content_type:?}; send {protobuf} or {json}");
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into_response();
    };
    let content_encoding = header(header::CONTENT_ENCODING);
    let exported = match decompress(content_encoding, body) {
        Ok(body) => receiver.export(signal, encoding, body).await,
        Err(error) => Err(error),
    };
    match exported {
        Ok(answer) => respond(StatusCode::OK, encoding, answer),
        Err(error) => failure(encoding, &error),
    }
}

fn decompress(content_encoding: Option<&str>, body: &Bytes) -> Result<Bytes, ExportError> {
    if content_encoding.is_none() {
        return Ok(body.clone());
    }
    match formats::decompress(content_encoding, body, BODY_BYTES_MAX) {
        Ok(plain) => Ok(Bytes::from(plain.into_owned())),
        Err(error @ DecompressError::TooLarge { .. }) => Err(ExportError::TooLarge(error.to_string())),
        Err(error) => Err(ExportError::Malformed(error.to_string())),
    }
}

/// `google.rpc.Status` in the request's encoding, as OTLP asks for.
fn failure(encoding: Encoding, error: &ExportError) -> Response {
    // The codes of gRPC: invalid argument, resource exhausted, unavailable.
    let (status, code) = match error {
        ExportError::Malformed(_) => (StatusCode::BAD_REQUEST, 3),
        ExportError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, 8),
        ExportError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, 14),
    };
    let body = response::error(code, &error.to_string(), encoding);
    let mut response = respond(status, encoding, body);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECS.into());
    }
    response
}

fn respond(status: StatusCode, encoding: Encoding, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, encoding.content_type())], Body::from(body)).into_response()
}
