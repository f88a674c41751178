//! What is collected from: scrape targets and plugins.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;

use super::envelope::{ApiResult, Success};
use crate::app::App;

pub(super) async fn targets(State(app): State<Arc<App>>) -> ApiResult<impl Serialize> {
    Ok(Success::new(app.scrape.targets()))
}

pub(super) async fn plugins(State(app): State<Arc<App>>) -> ApiResult<impl Serialize> {
    Ok(Success::new(app.plugins.describe()))
}
