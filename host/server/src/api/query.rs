//! Queries over HTTP.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use model::{Exemplar, Sample, Timestamp, Value};
use promql::read::{ReadError, Select, SeriesExemplars, Storage as _};
use promql::{MatrixSeries, QueryError, QueryResult, QueryValue, VectorSample};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::blocking::blocking;
use super::envelope::{ApiError, ApiResult, ErrorKind, Success};
use super::params::Params;
use super::value::{JsonFloat, JsonHistogramPoint, JsonLabels, JsonPoint, JsonTime};
use crate::app::App;
use crate::queries::QueryOptions;

/// The most points a range query may ask for of each series, as in Prometheus.
const POINTS_MAX: i64 = 11_000;

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

fn options(params: &Params) -> Result<QueryOptions, ApiError> {
    Ok(QueryOptions { timeout: params.duration("timeout")?, lookback: params.duration("lookback_delta")? })
}

fn failed(error: QueryError) -> ApiError {
    let kind = match error {
        QueryError::Parse(_) => return ApiError::parameter("query", error),
        QueryError::Timeout => ErrorKind::Timeout,
        QueryError::Canceled => ErrorKind::Canceled,
        QueryError::Storage(_) => ErrorKind::Internal,
        _ => ErrorKind::Execution,
    };
    ApiError::new(kind, error)
}

/// Truncates to the limit and says so.
fn answer(mut result: QueryResult, limit: Option<usize>) -> Success<Data> {
    if let Some(limit) = limit {
        let truncated = match &mut result.value {
            QueryValue::Vector(samples) if samples.len() > limit => {
                samples.truncate(limit);
                true
            }
            QueryValue::Matrix(series) if series.len() > limit => {
                series.truncate(limit);
                true
            }
            _ => false,
        };
        if truncated {
            result.warnings.push("results truncated due to limit".to_owned());
        }
    }
    Success::annotated(Data(result.value), result.warnings, result.infos)
}

pub(super) async fn instant(State(app): State<Arc<App>>, params: Params) -> ApiResult<Data> {
    let query = params.required("query")?;
    let at = params.time("time")?.unwrap_or_else(now);
    let limit = params.limit("limit")?;
    let result = app.queries.instant(query, at, options(&params)?).await.map_err(failed)?;
    Ok(answer(result, limit))
}

pub(super) async fn range(State(app): State<Arc<App>>, params: Params) -> ApiResult<Data> {
    let query = params.required("query")?;
    let start = params.required_time("start")?;
    let end = params.required_time("end")?;
    if end < start {
        return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
    }
    params.required("step")?;
    let step = params.duration("step")?.unwrap_or_default();
    let step_ms = i64::try_from(step.as_millis()).unwrap_or(i64::MAX);
    if step_ms == 0 {
        let reason = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(ApiError::parameter("step", reason));
    }
    if end.since(start) / step_ms > POINTS_MAX {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    let limit = params.limit("limit")?;
    let result = app.queries.range(query, start, end, step_ms, options(&params)?).await.map_err(failed)?;
    Ok(answer(result, limit))
}

pub(super) async fn format(params: Params) -> ApiResult<String> {
    let expr =
        promql::parse(params.required("query")?).map_err(|error| ApiError::parameter("query", error))?;
    Ok(Success::new(expr.pretty()))
}

pub(super) async fn exemplars(State(app): State<Arc<App>>, params: Params) -> ApiResult<impl Serialize> {
    let expr =
        promql::parse(params.required("query")?).map_err(|error| ApiError::parameter("query", error))?;
    let start = params.time("start")?.unwrap_or(Timestamp::MIN);
    let end = params.time("end")?.unwrap_or(Timestamp::MAX);
    if end < start {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    let selectors = promql::selectors(&expr);
    let found = blocking(move || {
        let mut found = Vec::new();
        for matchers in &selectors {
            found.extend(app.storage.exemplars(&Select { matchers, start, end, step_ms: None })?);
        }
        // Two selectors may find the same series; it is told once.
        found.sort_by(|a: &SeriesExemplars, b| a.labels.cmp(&b.labels));
        found.dedup_by(|a, b| a.labels == b.labels);
        Ok::<_, ReadError>(found)
    })
    .await??;
    Ok(Success::new(found.into_iter().map(JsonSeriesExemplars).collect::<Vec<_>>()))
}

/// The value of a query as the API writes it.
pub(super) struct Data(QueryValue);

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        match &self.0 {
            QueryValue::Scalar { timestamp, value } => {
                map.serialize_entry("resultType", "scalar")?;
                map.serialize_entry("result", &JsonPoint(*timestamp, *value))?;
            }
            QueryValue::String { timestamp, value } => {
                map.serialize_entry("resultType", "string")?;
                map.serialize_entry("result", &(JsonTime(*timestamp), value))?;
            }
            QueryValue::Vector(samples) => {
                map.serialize_entry("resultType", "vector")?;
                map.serialize_entry("result", &Each(samples, JsonSample))?;
            }
            QueryValue::Matrix(series) => {
                map.serialize_entry("resultType", "matrix")?;
                map.serialize_entry("result", &Each(series, JsonSeries))?;
            }
        }
        map.end()
    }
}

/// A list, each item in its wrapper, without collecting the wrappers first.
struct Each<'a, T, F>(&'a [T], F);

impl<'a, T, W: Serialize, F: Fn(&'a T) -> W> Serialize for Each<'a, T, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(&self.1))
    }
}

struct JsonSample<'a>(&'a VectorSample);

impl Serialize for JsonSample<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sample = self.0;
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("metric", &JsonLabels(&sample.labels))?;
        match &sample.value {
            Value::Float(value) => map.serialize_entry("value", &JsonPoint(sample.timestamp, *value))?,
            Value::Histogram(histogram) => {
                map.serialize_entry("histogram", &JsonHistogramPoint(sample.timestamp, histogram))?;
            }
        }
        map.end()
    }
}

struct JsonSeries<'a>(&'a MatrixSeries);

impl Serialize for JsonSeries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let series = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("metric", &JsonLabels(&series.labels))?;
        if !series.floats.is_empty() {
            map.serialize_entry(
                "values",
                &Each(&series.floats, |s: &Sample| JsonPoint(s.timestamp, s.value)),
            )?;
        }
        if !series.histograms.is_empty() {
            map.serialize_entry("histograms", &Each(&series.histograms, JsonHistogramPoint::of))?;
        }
        map.end()
    }
}

struct JsonSeriesExemplars(SeriesExemplars);

impl Serialize for JsonSeriesExemplars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("seriesLabels", &JsonLabels(&self.0.labels))?;
        map.serialize_entry("exemplars", &Each(&self.0.exemplars, JsonExemplar))?;
        map.end()
    }
}

struct JsonExemplar<'a>(&'a Exemplar);

impl Serialize for JsonExemplar<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("labels", &JsonLabels(&self.0.labels))?;
        map.serialize_entry("value", &JsonFloat(self.0.value))?;
        map.serialize_entry("timestamp", &JsonTime(self.0.timestamp))?;
        map.end()
    }
}
