//! Remote write 1.0: what Prometheus and its kin push.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use formats::remote_write;

use super::blocking::blocking;
use crate::app::App;
use crate::ingest;

/// Bounds what one request may unfold to; Prometheus' own senders stay below a tenth of it.
const LIMITS: remote_write::Limits =
    remote_write::Limits { decompressed_bytes_max: 128 << 20, items_max: 2_000_000 };

/// Stores a request. 204 says that all of it is durable; 400 names what was refused, with the rest stored, so
/// that a sender does not try again in vain; 5xx asks for another try.
pub(super) async fn remote_write(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(refusal) = refuse_format(&headers) {
        return refusal;
    }
    match blocking(move || store(&app, &body)).await {
        Ok(response) => response,
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn store(app: &App, body: &[u8]) -> Response {
    let (request, mut rejected) = match app.decoder.decode(body, &LIMITS) {
        Ok(decoded) => decoded,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    match ingest::store(&request, &mut rejected, &app.storage, "remote_write", &app.ingest) {
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        Ok(()) if rejected.count > 0 => (StatusCode::BAD_REQUEST, rejected.summary()).into_response(),
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
    }
}

/// Only snappy and only version 1's message; anything else is told what is spoken here.
fn refuse_format(headers: &HeaderMap) -> Option<Response> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let encoding = header(header::CONTENT_ENCODING);
    if !encoding.is_empty() && encoding != "snappy" {
        let message = format!("unsupported content encoding {encoding:?}; send snappy");
        return Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into_response());
    }
    let content_type = header(header::CONTENT_TYPE);
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let first_version = parameters.trim().is_empty() || parameters.contains("prometheus.WriteRequest");
    if !(media_type.is_empty() || media_type.trim() == "application/x-protobuf" && first_version) {
        let message = format!(
            "unsupported content type {content_type:?}; send application/x-protobuf with remote write 1.0's message"
        );
        return Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into_response());
    }
    None
}
