//! Tempo's query API: a trace by its id, and search.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use formats::otlp;
use formats::otlp::traces::JsonDialect;
use model::Timestamp;
use model::span::{Span, TraceId};
use serde::Serialize;
use tokio::task::JoinError;
use traces::{SearchRequest, TagScope, TagValue, TimeRange, TraceError, TraceSummary};
use url::form_urlencoded;

use super::blocking::blocking;
use super::envelope::json;
use crate::app::App;

const PROTOBUF: &str = "application/protobuf";

/// An error as Tempo gives it: a status and a line of text.
pub(super) struct Failure(StatusCode, String);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

impl From<TraceError> for Failure {
    fn from(error: TraceError) -> Self {
        let status = match error {
            TraceError::InvalidQuery { .. }
            | TraceError::UnsupportedQuery { .. }
            | TraceError::InvalidParameter { .. } => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

/// The spans of a trace; 404 where there are none.
async fn find(app: Arc<App>, id: &str, query: Option<&str>) -> Result<Vec<Span>, Failure> {
    let id: TraceId =
        id.parse().map_err(|error| Failure(StatusCode::BAD_REQUEST, format!("invalid trace id: {error}")))?;
    let range = range(query)?;
    let spans = blocking(move || app.spans.store.trace(id, range)).await??;
    if spans.is_empty() {
        return Err(Failure(StatusCode::NOT_FOUND, "trace not found".to_owned()));
    }
    Ok(spans)
}

/// `start` and `end`, in seconds.
fn range(query: Option<&str>) -> Result<Option<TimeRange>, Failure> {
    let (mut start, mut end) = (None, None);
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let slot = match &*name {
            "start" => &mut start,
            "end" => &mut end,
            _ => continue,
        };
        let seconds: f64 = value.parse().map_err(|_| {
            Failure(StatusCode::BAD_REQUEST, format!("invalid {name}: {value:?} is not a number of seconds"))
        })?;
        *slot = Some(Timestamp::from_secs_f64(seconds));
    }
    if start.is_none() && end.is_none() {
        return Ok(None);
    }
    Ok(Some(TimeRange { start: start.unwrap_or(Timestamp::MIN), end: end.unwrap_or(Timestamp::MAX) }))
}

fn wants_protobuf(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains(PROTOBUF))
}

pub(super) async fn by_id(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    match find(app, &id, query.as_deref()).await {
        Err(failure) => failure.into_response(),
        Ok(spans) if wants_protobuf(&headers) => {
            ([(header::CONTENT_TYPE, PROTOBUF)], otlp::traces::encode_protobuf(&spans)).into_response()
        }
        Ok(spans) => json(StatusCode::OK, &otlp::traces::encode_json(&spans, JsonDialect::TempoV1)),
    }
}

/// Version 2 wraps the trace, so that a partial one can say so; ours are whole.
pub(super) async fn by_id_v2(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    #[derive(Serialize)]
    struct Whole<T> {
        trace: T,
        status: &'static str,
    }
    match find(app, &id, query.as_deref()).await {
        Err(failure) => failure.into_response(),
        Ok(spans) if wants_protobuf(&headers) => {
            let body = otlp::traces::encode_trace_by_id_response(&spans);
            ([(header::CONTENT_TYPE, PROTOBUF)], body).into_response()
        }
        Ok(spans) => {
            let trace = otlp::traces::encode_json(&spans, JsonDialect::TempoV2);
            json(StatusCode::OK, &Whole { trace, status: "COMPLETE" })
        }
    }
}

pub(super) async fn search(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    #[derive(Serialize)]
    struct Found {
        traces: Vec<TraceSummary>,
        metrics: Metrics,
    }
    /// What a search cost, which Grafana shows.
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Metrics {
        inspected_traces: usize,
    }
    let query = query.unwrap_or_default();
    let request = SearchRequest::from_params(form_urlencoded::parse(query.as_bytes()))?;
    let found = blocking(move || app.spans.store.search(&request)).await??;
    let metrics = Metrics { inspected_traces: found.traces_inspected };
    Ok(json(StatusCode::OK, &Found { traces: found.traces, metrics }))
}

pub(super) async fn tags(State(app): State<Arc<App>>) -> Result<Response, Failure> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Tags {
        tag_names: BTreeSet<String>,
    }
    let tag_names = blocking(move || {
        let mut names = app.spans.store.tag_names(TagScope::Resource);
        names.extend(app.spans.store.tag_names(TagScope::Span));
        names
    })
    .await?;
    Ok(json(StatusCode::OK, &Tags { tag_names }))
}

pub(super) async fn tag_values(
    State(app): State<Arc<App>>,
    Path(tag): Path<String>,
) -> Result<Response, Failure> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Values {
        tag_values: Vec<String>,
    }
    let values = blocking(move || app.spans.store.tag_values(&tag)).await?;
    let tag_values = values.into_iter().map(|value| value.value).collect();
    Ok(json(StatusCode::OK, &Values { tag_values }))
}

/// Version 2 tells where a tag stands; `scope` asks for those of one place only.
pub(super) async fn tags_v2(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    #[derive(Serialize)]
    struct Scopes {
        scopes: Vec<Scope>,
    }
    #[derive(Serialize)]
    struct Scope {
        name: &'static str,
        tags: BTreeSet<String>,
    }
    let wanted = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .find(|(name, value)| name == "scope" && !value.is_empty() && value != "none")
        .map(|(_, value)| value.into_owned());
    let mut scopes = vec![TagScope::Resource, TagScope::Span, TagScope::Intrinsic];
    if let Some(wanted) = wanted {
        scopes.retain(|scope| scope.as_str() == wanted);
        if scopes.is_empty() {
            let message =
                format!("invalid scope: {wanted:?} is not one of resource, span, intrinsic and none");
            return Err(Failure(StatusCode::BAD_REQUEST, message));
        }
    }
    let scopes = blocking(move || {
        let tags = |scope: TagScope| Scope { name: scope.as_str(), tags: app.spans.store.tag_names(scope) };
        scopes.into_iter().map(tags).collect()
    })
    .await?;
    Ok(json(StatusCode::OK, &Scopes { scopes }))
}

/// Version 2 tells each value's type, by which an editor knows what to quote.
pub(super) async fn tag_values_v2(
    State(app): State<Arc<App>>,
    Path(tag): Path<String>,
) -> Result<Response, Failure> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Values {
        tag_values: BTreeSet<TagValue>,
    }
    let tag_values = blocking(move || app.spans.store.tag_values(&tag)).await?;
    Ok(json(StatusCode::OK, &Values { tag_values }))
}
