//! `/api/v1/targets/metadata`: what each target says of its metrics.

use std::sync::Arc;

use axum::extract::State;
use model::Labels;
use serde::Serialize;

use super::envelope::{ApiError, ApiResult, Success};
use super::params::Params;
use super::value::JsonLabels;
use crate::app::App;

#[derive(Serialize)]
struct Declared {
    target: Target,
    /// Left out where one metric was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<String>,
    r#type: &'static str,
    help: String,
    unit: String,
}

struct Target(Labels);

impl Serialize for Target {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        JsonLabels(&self.0).serialize(serializer)
    }
}

pub(super) async fn metadata(State(app): State<Arc<App>>, params: Params) -> ApiResult<impl Serialize> {
    let matchers = match params.get("match_target") {
        None => Vec::new(),
        Some(text) => {
            promql::parse_selector(text).map_err(|error| ApiError::parameter("match_target", error))?
        }
    };
    let limit = params.limit("limit")?.unwrap_or(usize::MAX);
    let wanted = params.get("metric");
    let targets = app.scrape.families();
    let matches = |labels: &Labels| matchers.iter().all(|matcher| matcher.matches_labels(labels));
    let mut declared = Vec::new();
    for (labels, families) in targets.iter().filter(|(labels, _)| matches(labels)) {
        // The limit decides whether another target is begun, as in Prometheus.
        if declared.len() >= limit {
            break;
        }
        for family in families.iter().filter(|family| wanted.is_none_or(|wanted| wanted == family.name)) {
            declared.push(Declared {
                target: Target(labels.clone()),
                metric: wanted.is_none().then(|| family.name.clone()),
                r#type: family.metadata.kind.as_str(),
                help: family.metadata.help.clone(),
                unit: family.metadata.unit.clone(),
            });
        }
    }
    Ok(Success::new(declared))
}
