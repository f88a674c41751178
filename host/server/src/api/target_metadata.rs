//! `/api/v1/targets/metadata`: what targets say of their metrics. Declarations are stored by family for all targets
//! together; which families a target has is told by the series that it has now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use model::{Labels, METRIC_NAME, Matcher, Metadata, Timestamp};
use promql::read::{ReadError, Select, Storage as _};
use serde::Serialize;

use super::blocking::blocking;
use super::envelope::{ApiError, ApiResult, Success};
use super::params::Params;
use super::series::family_of;
use super::value::JsonLabels;
use crate::app::App;

/// A target has the families of which it has had samples within this time; longer than most intervals.
const RECENT: Duration = Duration::from_secs(300);

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
    let metric = params.get("metric").map(str::to_owned);
    let matches = |labels: &Labels| matchers.iter().all(|matcher| matcher.matches_labels(labels));
    let targets: Vec<Labels> = app
        .scrape
        .targets()
        .active_targets
        .into_iter()
        .map(|target| target.labels)
        .filter(matches)
        .take(limit)
        .collect();
    let declared = blocking(move || {
        let families: BTreeMap<String, Metadata> = app.storage.metadata().into_iter().collect();
        let mut declared = Vec::new();
        for target in targets {
            for family in families_of(&app, &target, &families)? {
                if metric.as_ref().is_some_and(|wanted| *wanted != family) {
                    continue;
                }
                let Some(metadata) = families.get(&family) else { continue };
                declared.push(Declared {
                    target: Target(target.clone()),
                    metric: metric.is_none().then_some(family),
                    r#type: metadata.kind.as_str(),
                    help: metadata.help.clone(),
                    unit: metadata.unit.clone(),
                });
            }
        }
        Ok::<_, ReadError>(declared)
    })
    .await??;
    Ok(Success::new(declared))
}

/// The families of which a target has series now.
fn families_of(
    app: &App,
    target: &Labels,
    families: &BTreeMap<String, Metadata>,
) -> Result<BTreeSet<String>, ReadError> {
    let matchers: Vec<Matcher> = target.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
    let end = Timestamp::from_system(SystemTime::now());
    let select = Select { matchers: &matchers, start: end - RECENT, end, step_ms: None };
    let names = app.storage.label_values(METRIC_NAME, &select)?;
    let declared =
        |name: &String| family_of(families, name).map(|_| super::series::family_name(families, name));
    Ok(names.iter().filter_map(declared).collect())
}
