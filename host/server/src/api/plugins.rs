//! Plugins as operators see them, what they can do to one, and probers as scrape jobs ask them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use plugin::{Kind, Label, Payload};
use serde::Serialize;

use super::envelope::{ApiError, ApiResult, ErrorKind, Success};
use crate::app::App;
use crate::plugins::exposition;

/// How long a scraper waits, as Prometheus tells its exporters.
const SCRAPE_TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";

/// How much of that a probe may take: the rest is for the way back.
const PROBE_TIME_SHARE: f64 = 0.95;

pub(super) async fn list(State(app): State<Arc<App>>) -> ApiResult<impl Serialize> {
    Ok(Success::new(app.plugins.describe()))
}

/// `pause` stops calling a plugin, `resume` goes on at once even where it is being left alone after failures, `reload`
/// starts it anew from its file.
pub(super) async fn act(
    State(app): State<Arc<App>>,
    Path((name, action)): Path<(String, String)>,
) -> ApiResult<impl Serialize> {
    if !app.args.enable_lifecycle {
        let what = "changing plugins is not enabled: start the server with --web.enable-lifecycle";
        return Err(ApiError::new(ErrorKind::Unavailable, what));
    }
    let unknown = || ApiError::new(ErrorKind::NotFound, format!("no plugin runs under the name {name:?}"));
    let instance = app.plugins.get(&name).ok_or_else(unknown)?;
    match action.as_str() {
        "pause" => instance.pause(),
        "resume" => instance.resume(),
        "reload" => {
            let renewed = app.renew_plugin(&name).await;
            let failed = |error: anyhow::Error| ApiError::new(ErrorKind::Execution, format!("{error:#}"));
            if !renewed.map_err(failed)? {
                return Err(unknown());
            }
        }
        other => {
            let what = format!("{other:?} is not one of pause, resume and reload");
            return Err(ApiError::new(ErrorKind::NotFound, what));
        }
    }
    tracing::info!(plugin = name, action, "an operator changed a plugin");
    Ok(Success::new(()))
}

/// Probes `target` with the other parameters through a prober, and answers as an exporter does: what a scrape job whose
/// relabelling puts its targets into `__param_target` asks, ours or another Prometheus'.
pub(super) async fn probe(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let refuse = |status: StatusCode, what: String| (status, what).into_response();
    let instance = app.plugins.get(&name).filter(|instance| instance.kinds().contains(&Kind::Prober));
    let Some(instance) = instance else {
        return refuse(StatusCode::NOT_FOUND, format!("no prober runs under the name {name:?}\n"));
    };
    let pairs = url::form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes());
    let (targets, params): (Vec<_>, Vec<_>) = pairs
        .map(|(name, value)| Label { name: name.into_owned(), value: value.into_owned() })
        .partition(|param| param.name == "target");
    let Some(target) =
        targets.into_iter().next().map(|target| target.value).filter(|target| !target.is_empty())
    else {
        return refuse(StatusCode::BAD_REQUEST, "the parameter target is missing\n".to_owned());
    };
    let seconds = headers.get(SCRAPE_TIMEOUT).and_then(|value| value.to_str().ok()?.parse::<f64>().ok());
    let limit = instance.config().limits.deadline.0;
    let timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds * PROBE_TIME_SHARE).ok());
    let text = "text/plain; version=0.0.4; charset=utf-8";
    let (content_type, body) = match instance.probe(target, params, timeout.unwrap_or(limit)).await {
        Err(error) => return refuse(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        Ok(Payload::Columns(columns)) => (text, exposition(&columns).into_bytes()),
        Ok(Payload::Text(body)) if body.trim_end().ends_with("# EOF") => {
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", body.into_bytes())
        }
        Ok(Payload::Text(body)) => (text, body.into_bytes()),
        Ok(Payload::Protobuf(body)) => (
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
            body,
        ),
    };
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}
