//! Beyond what Prometheus tells of series (`/api/v1/status/tsdb`): what grows, what was refused and why, and how short
//! memory is.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use tsdb::{Growth, RefusedSeries};

use super::blocking::blocking;
use super::envelope::{ApiError, ApiResult, Success};
use super::params::Params;
use super::status::CARDINALITY_MAX;
use super::value::JsonLabels;
use crate::app::App;
use crate::memory::MemoryUse;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cardinality {
    limits: Limits,
    refused_series: Vec<Refused>,
    growth: Vec<Grown>,
    memory: MemoryUse,
}

/// What the operator has set.
#[derive(Serialize)]
struct Limits {
    head_series_max: Option<u64>,
    metric_series_max: Option<u64>,
    job_series_max: Option<u64>,
}

/// What one limit has refused since the start.
struct Refused(RefusedSeries);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Grown {
    window_seconds: u64,
    series_by_metric_name: Vec<Entry>,
    values_by_label_name: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    value: u64,
}

impl Serialize for Refused {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let examples: Vec<_> = self.0.examples.iter().map(JsonLabels).collect();
        let mut fields = serializer.serialize_struct("Refused", 3)?;
        fields.serialize_field("limit", &self.0.limit)?;
        fields.serialize_field("count", &self.0.count)?;
        fields.serialize_field("examples", &examples)?;
        fields.end()
    }
}

impl From<Growth> for Grown {
    fn from(growth: Growth) -> Self {
        let entries =
            |list: Vec<(String, u64)>| list.into_iter().map(|(name, value)| Entry { name, value }).collect();
        Self {
            window_seconds: growth.window.as_secs(),
            series_by_metric_name: entries(growth.series_by_metric),
            values_by_label_name: entries(growth.values_by_label),
        }
    }
}

pub(super) async fn cardinality(State(app): State<Arc<App>>, params: Params) -> ApiResult<impl Serialize> {
    let limit = params.limit("limit")?.unwrap_or(10);
    if limit > CARDINALITY_MAX {
        return Err(ApiError::parameter("limit", format!("must not exceed {CARDINALITY_MAX}")));
    }
    let told = blocking(move || {
        let tsdb = app.storage.tsdb();
        Cardinality {
            limits: Limits {
                head_series_max: app.args.head_series_max,
                metric_series_max: app.args.metric_series_max,
                job_series_max: app.args.job_series_max,
            },
            refused_series: tsdb.refused_series().into_iter().map(Refused).collect(),
            growth: tsdb.growth(limit).into_iter().map(Grown::from).collect(),
            memory: app.memory.usage(),
        }
    });
    Ok(Success::new(told.await?))
}
