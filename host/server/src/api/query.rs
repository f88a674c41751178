//! Queries over HTTP: values, plans and trees.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::response::Response;
use model::{Exemplar, Timestamp};
use promql::read::{ReadError, Select, SeriesExemplars, Storage as _};
use promql::{Operator, QueryError, Times};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::answer::{self, Wanted};
use super::ast;
use super::blocking::blocking;
use super::envelope::{ApiError, ApiResult, ErrorKind, Success};
use super::params::Params;
use super::value::{JsonFloat, JsonLabels, JsonTime};
use crate::app::App;
use crate::queries::{Caller, QueryFailed, QueryOptions, stats};

/// The most points a range query may ask for of each series, as in Prometheus.
const POINTS_MAX: i64 = 11_000;

/// How long an answer may lie in the server while its client takes nothing of it. Less than the two minutes in which most
/// proxies give up, and long enough for any network that works.
const IDLE_MAX: Duration = Duration::from_secs(100);

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// Reads what all queries may ask for; `stats` is what Prometheus calls so.
fn options(params: &Params) -> Result<(QueryOptions, Wanted), ApiError> {
    let told = params.get("stats");
    let options = QueryOptions {
        timeout: params.duration("timeout")?,
        lookback: params.duration("lookback_delta")?,
        per_step_stats: told == Some("all"),
        analyze: false,
    };
    Ok((options, Wanted { limit: params.limit("limit")?, stats: told.is_some() }))
}

fn failed(error: QueryFailed) -> ApiError {
    let kind = match &error {
        QueryFailed::Busy => ErrorKind::Unavailable,
        QueryFailed::QueueTimeout | QueryFailed::Query(QueryError::Timeout) => ErrorKind::Timeout,
        QueryFailed::Inside(_) | QueryFailed::Query(QueryError::Storage(_)) => ErrorKind::Internal,
        QueryFailed::Query(QueryError::Parse(_) | QueryError::NotForRanges { .. }) => {
            return ApiError::parameter("query", error);
        }
        QueryFailed::Query(QueryError::Canceled) => ErrorKind::Canceled,
        QueryFailed::Query(_) => ErrorKind::Execution,
    };
    ApiError::new(kind, error)
}

fn instant_times(params: &Params) -> Result<Times, ApiError> {
    Ok(Times::Instant(params.time("time")?.unwrap_or_else(now)))
}

fn range_times(params: &Params) -> Result<Times, ApiError> {
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
    Ok(Times::Range { start, end, step_ms })
}

pub(super) async fn instant(
    State(app): State<Arc<App>>,
    caller: Caller,
    params: Params,
) -> Result<Response, ApiError> {
    let times = instant_times(&params)?;
    evaluate(&app, &caller, &params, times).await
}

pub(super) async fn range(
    State(app): State<Arc<App>>,
    caller: Caller,
    params: Params,
) -> Result<Response, ApiError> {
    let times = range_times(&params)?;
    evaluate(&app, &caller, &params, times).await
}

async fn evaluate(app: &App, caller: &Caller, params: &Params, times: Times) -> Result<Response, ApiError> {
    let query = params.required("query")?;
    let (options, wanted) = options(params)?;
    let answer = app.queries.run(query, times, options, caller).await.map_err(failed)?;
    Ok(answer::respond(answer, wanted, IDLE_MAX))
}

/// How a query is run: its plan, and what every operator of it took. `analyze=false` plans it only. A range where
/// `step` is given, else an instant.
pub(super) async fn explain(State(app): State<Arc<App>>, caller: Caller, params: Params) -> ApiResult<Value> {
    let query = params.required("query")?;
    let times = if params.get("step").is_some() { range_times(&params)? } else { instant_times(&params)? };
    let run = params.get("analyze").is_none() || params.flag("analyze")?;
    if !run {
        let plan = app.queries.engine().explain(query, times).map_err(|error| failed(error.into()))?;
        return Ok(Success::new(json!({ "plan": operator(&plan), "text": plan.to_text() })));
    }
    let (options, _) = options(&params)?;
    let options = QueryOptions { analyze: true, ..options };
    let mut answer = app.queries.run(query, times, options, &caller).await.map_err(failed)?;
    let plan = answer.plan.take();
    let data = json!({
        "plan": plan.as_ref().map(operator),
        "text": plan.as_ref().map(Operator::to_text),
        "series": answer.series_count(),
        "peakBytes": answer.stats.peak_bytes,
        "stats": stats::to_json(&answer.stats),
    });
    Ok(Success::annotated(data, std::mem::take(&mut answer.warnings), std::mem::take(&mut answer.infos)))
}

fn operator(operator: &Operator) -> Value {
    let stats = operator.stats.as_ref().map(|stats| {
        json!({
            "runs": stats.runs,
            "seconds": stats.time.as_secs_f64(),
            "selfSeconds": stats.self_time.as_secs_f64(),
            "series": stats.series,
            "samples": stats.samples,
            "samplesRead": stats.samples_read,
            "peakBytes": stats.peak_bytes,
        })
    });
    json!({
        "operator": operator.name,
        "detail": operator.detail,
        "span": operator.span.map(|(start, end)| [start, end]),
        "stats": stats,
        "inputs": operator.inputs.iter().map(self::operator).collect::<Vec<_>>(),
    })
}

pub(super) async fn format(State(app): State<Arc<App>>, params: Params) -> ApiResult<String> {
    let expr = parse(&app, &params)?;
    Ok(Success::new(expr.pretty()))
}

pub(super) async fn tree(State(app): State<Arc<App>>, params: Params) -> ApiResult<Value> {
    Ok(Success::new(ast::tree(&parse(&app, &params)?)))
}

fn parse(app: &App, params: &Params) -> Result<promql::Expr, ApiError> {
    let parsed = app.queries.engine().parse(params.required("query")?);
    parsed.map_err(|error| ApiError::parameter("query", error))
}

/// The queries under way, those that wait among them.
pub(super) async fn active(State(app): State<Arc<App>>) -> ApiResult<Value> {
    let seconds = |at: std::time::Instant| at.elapsed().as_secs_f64();
    let queries = app.queries.active().into_iter().map(|query| {
        let (start, end, step_ms) = match query.times {
            Times::Instant(at) => (at, at, 0),
            Times::Range { start, end, step_ms } => (start, end, step_ms),
        };
        json!({
            "id": query.id,
            "query": query.text,
            "start": start.millis() as f64 / 1000.0,
            "end": end.millis() as f64 / 1000.0,
            "step": step_ms as f64 / 1000.0,
            "client": query.client,
            "askedAt": Timestamp::from_system(query.asked_at).millis() as f64 / 1000.0,
            "state": if query.started.is_some() { "running" } else { "waiting" },
            "waitedSeconds": query.started.map_or_else(|| seconds(query.asked), |at| (at - query.asked).as_secs_f64()),
            "runningSeconds": query.started.map(seconds),
        })
    });
    Ok(Success::new(queries.collect()))
}

pub(super) async fn exemplars(State(app): State<Arc<App>>, params: Params) -> ApiResult<impl Serialize> {
    let expr = parse(&app, &params)?;
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

/// A list, each item in its wrapper, without collecting the wrappers first.
struct Each<'a, T, F>(&'a [T], F);

impl<'a, T, W: Serialize, F: Fn(&'a T) -> W> Serialize for Each<'a, T, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(&self.1))
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
