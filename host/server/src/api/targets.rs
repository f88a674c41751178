//! What is collected from: scrape targets.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;

use super::envelope::{ApiError, ApiResult, Success};
use super::params::Params;
use crate::app::App;

/// The targets of `scrapePool`, or of all; `state` chooses between `active` and `dropped` ones. What is not asked
/// for is an empty list, since clients expect both.
pub(super) async fn targets(State(app): State<Arc<App>>, params: Params) -> ApiResult<impl Serialize> {
    let (active, dropped) = match params.get("state").map(str::to_lowercase).as_deref() {
        None | Some("any") => (true, true),
        Some("active") => (true, false),
        Some("dropped") => (false, true),
        Some(other) => {
            let reason = format!("{other:?} is not one of active, dropped and any");
            return Err(ApiError::parameter("state", reason));
        }
    };
    let pool = params.get("scrapePool");
    let wanted = |name: &str| pool.is_none_or(|pool| pool == name);
    let mut targets = app.scrape.targets();
    targets.active_targets.retain(|target| active && wanted(&target.scrape_pool));
    targets.dropped_targets.retain(|target| dropped && wanted(&target.scrape_pool));
    targets.dropped_target_counts.retain(|name, _| wanted(name));
    Ok(Success::new(targets))
}

/// The names of what is scraped: jobs and collectors.
pub(super) async fn scrape_pools(State(app): State<Arc<App>>) -> ApiResult<impl Serialize> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct ScrapePools {
        scrape_pools: Vec<String>,
    }
    // Each pool is counted, those that dropped nothing too.
    let scrape_pools = app.scrape.targets().dropped_target_counts.into_keys().collect();
    Ok(Success::new(ScrapePools { scrape_pools }))
}

/// Alertmanagers elsewhere; the one inside is none of them.
pub(super) async fn alertmanagers(State(app): State<Arc<App>>) -> ApiResult<impl Serialize> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Known {
        active_alertmanagers: Vec<Alertmanager>,
        dropped_alertmanagers: Vec<Alertmanager>,
    }
    #[derive(Serialize)]
    struct Alertmanager {
        url: String,
    }
    let known = app.notifier.alertmanagers();
    let all = |urls: Vec<String>| urls.into_iter().map(|url| Alertmanager { url }).collect();
    Ok(Success::new(Known {
        active_alertmanagers: all(known.active),
        dropped_alertmanagers: all(known.dropped),
    }))
}
