//! Requests: the body of each POST or PUT is a chunk of its own.
//!
//! 204 says that all of it is stored; 400 that something was left out, with the rest stored; 503 asks for another try.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use plugin::Chunk;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::decompression::RequestDecompressionLayer;

use super::{Current, Shared};

#[derive(Clone)]
struct Endpoint {
    current: Arc<Current>,
    shared: Arc<Shared>,
}

pub(super) async fn listen(
    listener: TcpListener,
    path: String,
    current: Arc<Current>,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    let limit = current.message_bytes_max();
    let router = Router::new()
        .route(&path, post(take).put(take))
        .layer(DefaultBodyLimit::max(limit))
        .layer(RequestDecompressionLayer::new())
        .with_state(Endpoint { current, shared });
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "a decoder's listener ended");
    }
}

async fn take(State(endpoint): State<Endpoint>, headers: HeaderMap, body: Bytes) -> Response {
    let Endpoint { current, shared } = endpoint;
    let Ok(_place) = current.connections.try_acquire() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many requests at once").into_response();
    };
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let chunk = Chunk {
        data: body.to_vec(),
        content_type: content_type.unwrap_or_default().to_owned(),
        last: true,
        ..Chunk::default()
    };
    match shared.take(&current, "http", body.len(), chunk).await {
        Ok(taken) if taken.rejected == 0 => StatusCode::NO_CONTENT.into_response(),
        Ok(taken) => {
            let reason = taken.reason.unwrap_or_default();
            (StatusCode::BAD_REQUEST, format!("{} left out: {reason}", taken.rejected)).into_response()
        }
        Err(lost) => match lost.retry {
            None => (StatusCode::BAD_REQUEST, lost.message).into_response(),
            Some(after) => {
                let mut response = (StatusCode::SERVICE_UNAVAILABLE, lost.message).into_response();
                if let Some(after) = after {
                    response
                        .headers_mut()
                        .insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
                }
                response
            }
        },
    }
}
