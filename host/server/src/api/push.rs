//! The paths of Prometheus' Pushgateway: `/metrics/job/<job>{/<label>/<value>}`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use formats::DecompressError;
use formats::exposition::Format;
use model::{METRIC_NAME, Timestamp};
use serde_json::{Value, json};

use super::blocking::blocking;
use super::envelope::{ApiError, ApiResult, ErrorKind, Success};
use crate::app::App;
use crate::push::{self, Family, How, PushError};

/// Before it comes what names a group.
const PREFIX: &str = "/metrics/";

/// What a push may unfold to.
const BODY_BYTES_MAX: usize = 64 << 20;

impl IntoResponse for PushError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::TooManyGroups => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Io(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, format!("{self}\n")).into_response()
    }
}

/// Takes a push, or deletes a group, by the method.
pub(super) async fn push(
    State(app): State<Arc<App>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let bad = |what: String| (StatusCode::BAD_REQUEST, format!("{what}\n")).into_response();
    // The path as it was sent: an escaped slash is part of a value.
    let labels = match push::grouping_labels(uri.path().strip_prefix(PREFIX).unwrap_or_default()) {
        Ok(labels) => labels,
        Err(what) => return bad(what),
    };
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let format = Format::from_content_type(header(header::CONTENT_TYPE), Some(Format::PrometheusText));
    let format = format.unwrap_or(Format::PrometheusText);
    let body = match formats::decompress(header(header::CONTENT_ENCODING), &body, BODY_BYTES_MAX) {
        Ok(plain) => Bytes::from(plain.into_owned()),
        Err(error @ DecompressError::TooLarge { .. }) => {
            return (StatusCode::PAYLOAD_TOO_LARGE, format!("{error}\n")).into_response();
        }
        Err(error) => return bad(error.to_string()),
    };
    let now = Timestamp::from_system(SystemTime::now());
    let done = blocking(move || match method {
        Method::PUT => app.push.push(&labels, format, &body, How::Replace, now).map(|()| StatusCode::OK),
        Method::POST => app.push.push(&labels, format, &body, How::Update, now).map(|()| StatusCode::OK),
        _ => app.push.delete(&labels).map(|()| StatusCode::ACCEPTED),
    });
    match done.await {
        Ok(Ok(status)) => status.into_response(),
        Ok(Err(error)) => error.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// What has been pushed, as Pushgateway's own API shows it.
pub(super) async fn groups(State(app): State<Arc<App>>) -> ApiResult<Vec<Value>> {
    let groups = blocking(move || app.push.groups()).await?;
    let shown = groups.iter().map(|(labels, group)| {
        let labels_of = |pairs: &model::Labels| {
            let pairs = pairs.iter().filter(|(name, _)| *name != METRIC_NAME);
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>()
        };
        let family = |family: &Family| {
            let metrics = family.series.iter().map(|series| {
                let name = series.labels.metric_name().unwrap_or_default();
                let value = series.samples.first().map(|sample| sample.value.to_string());
                let count = series.histograms.first().map(|(_, histogram)| histogram.count.to_string());
                json!({"name": name, "labels": labels_of(&series.labels), "value": value, "count": count})
            });
            json!({
                "time_stamp": group.pushed_ms,
                "type": family.metadata.kind.as_str().to_uppercase(),
                "help": family.metadata.help,
                "metrics": metrics.collect::<Vec<_>>(),
            })
        };
        let mut entry = serde_json::Map::new();
        entry.insert("labels".to_owned(), json!(labels_of(labels)));
        entry.insert("last_push_successful".to_owned(), json!(group.pushed_ms >= group.failed_ms));
        for (name, known) in group.families.iter().chain(&push::times(labels, group)) {
            entry.insert(name.clone(), family(known));
        }
        Value::Object(entry)
    });
    Ok(Success::new(shown.collect()))
}

/// Deletes all groups.
pub(super) async fn wipe(State(app): State<Arc<App>>) -> Response {
    if !app.args.enable_admin_api {
        return ApiError::new(ErrorKind::Unavailable, "admin APIs disabled").into_response();
    }
    match blocking(move || app.push.wipe()).await {
        Ok(Ok(())) => StatusCode::ACCEPTED.into_response(),
        Ok(Err(error)) => error.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
