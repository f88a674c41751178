//! Health, readiness, reload and shutdown, as Prometheus has them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::app::App;

pub(super) async fn healthy() -> &'static str {
    "Stormglass is Healthy.\n"
}

/// The API is served from when storage has been replayed, so that whoever is answered finds it ready.
pub(super) async fn ready() -> &'static str {
    "Stormglass is Ready.\n"
}

pub(super) async fn reload(State(app): State<Arc<App>>) -> Response {
    if let Some(refusal) = refuse(&app) {
        return refusal;
    }
    match app.reload().await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {error:#}\n"))
            .into_response(),
    }
}

pub(super) async fn quit(State(app): State<Arc<App>>) -> Response {
    if let Some(refusal) = refuse(&app) {
        return refusal;
    }
    app.stop();
    "Requesting termination... Goodbye!\n".into_response()
}

fn refuse(app: &App) -> Option<Response> {
    (!app.args.enable_lifecycle).then(|| {
        (
            StatusCode::FORBIDDEN,
            "Lifecycle API is not enabled: start the server with --web.enable-lifecycle\n",
        )
            .into_response()
    })
}
