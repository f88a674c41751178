//! Rules and alerts, as Prometheus' API shows them.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;

use super::envelope::{ApiError, ApiResult, Success};
use super::params::Params;
use crate::app::App;

pub(super) async fn rules(State(app): State<Arc<App>>, params: Params) -> ApiResult<impl Serialize> {
    let kind = match params.get("type") {
        None => None,
        Some("alert") => Some("alerting"),
        Some("record") => Some("recording"),
        Some(other) => return Err(ApiError::bad_data(format!("not supported value {other:?}"))),
    };
    let mut snapshot = app.rules.rules();
    if let Some(kind) = kind {
        for group in &mut snapshot.groups {
            group.rules.retain(|rule| rule.kind() == kind);
        }
    }
    Ok(Success::new(snapshot))
}

pub(super) async fn alerts(State(app): State<Arc<App>>) -> ApiResult<impl Serialize> {
    Ok(Success::new(app.rules.alerts()))
}
