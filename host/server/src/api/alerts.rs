//! Rules and alerts, as Prometheus' API shows them.

use std::sync::Arc;

use alerting::rules::RuleSnapshot;
use axum::extract::State;
use serde::Serialize;

use super::envelope::{ApiError, ApiResult, Success};
use super::params::Params;
use crate::app::App;

pub(super) async fn rules(State(app): State<Arc<App>>, params: Params) -> ApiResult<impl Serialize> {
    let alerting = match params.get("type") {
        None => None,
        Some("alert") => Some(true),
        Some("record") => Some(false),
        Some(other) => return Err(ApiError::bad_data(format!("not supported value {other:?}"))),
    };
    let mut snapshot = app.rules.rules();
    if let Some(alerting) = alerting {
        for group in &mut snapshot.groups {
            group.rules.retain(|rule| matches!(rule, RuleSnapshot::Alerting(_)) == alerting);
        }
    }
    Ok(Success::new(snapshot))
}

pub(super) async fn alerts(State(app): State<Arc<App>>) -> ApiResult<impl Serialize> {
    Ok(Success::new(app.rules.alerts()))
}
