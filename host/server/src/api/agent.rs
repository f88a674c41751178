//! What `--agent` does not serve: whatever reads samples, or belongs to rules and alerts.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::envelope::{ApiError, ErrorKind};

/// Beginnings of paths below `/api/v1`.
const REFUSED: [&str; 15] = [
    "query",
    "format_query",
    "parse_query",
    "explain",
    "series",
    "label",
    "search/",
    "rules",
    "alerts",
    "alertmanagers",
    "read",
    "status/tsdb",
    "status/cardinality",
    "status/active_queries",
    "admin/tsdb/",
];

/// Answers as a Prometheus agent does.
pub(super) async fn refuse(State(agent): State<bool>, request: Request, next: Next) -> Response {
    // Whether the router has taken the prefix off already is nothing to rely on.
    let path = request.uri().path();
    let path = path.rsplit_once("/api/v1/").map_or_else(|| path.trim_start_matches('/'), |(_, rest)| rest);
    if agent && REFUSED.iter().any(|refused| path.starts_with(refused)) {
        return ApiError::new(ErrorKind::Execution, "unavailable with Prometheus Agent").into_response();
    }
    next.run(request).await
}
