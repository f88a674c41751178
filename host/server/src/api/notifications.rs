//! `/api/v1/notifications`: what the server has to say to whoever looks at it, and the same as it happens.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;

use super::envelope::{ApiResult, Success};
use crate::app::App;
use crate::notices::Notice;

pub(super) async fn list(State(app): State<Arc<App>>) -> ApiResult<Vec<Notice>> {
    Ok(Success::new(app.notices.active()))
}

/// Server-sent events: the notices that stand, then each change. Nothing where too many are listening already, as in
/// Prometheus, whose pages then ask again and again instead.
pub(super) async fn live(State(app): State<Arc<App>>) -> Response {
    let Some(notices) = app.notices.follow() else { return StatusCode::NO_CONTENT.into_response() };
    let events = notices.map(|notice| {
        let text = serde_json::to_string(&notice).unwrap_or_default();
        Ok::<_, Infallible>(Event::default().data(text))
    });
    Sse::new(events.take_until(app.stopping.clone().cancelled_owned()))
        .keep_alive(KeepAlive::default())
        .into_response()
}
