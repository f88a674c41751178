//! What the server is, how it was started and what it holds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use model::Timestamp;
use prometheus::{Encoder as _, TextEncoder};
use serde::Serialize;
use url::form_urlencoded;

use super::blocking::blocking;
use super::envelope::{ApiError, ApiResult, Success, json};
use super::params::Params;
use crate::app::App;
use crate::cli::ServerArgs;

/// The Prometheus whose API this one follows; clients choose features by it.
const COMPATIBLE_VERSION: &str = "3.14.0";

/// What `/api/v1/status/buildinfo` answers, with exactly the fields of Prometheus; our own version is in the metric
/// `stormglass_build_info`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildInfo {
    /// The version of Prometheus that the API is compatible with.
    version: &'static str,
    revision: &'static str,
    branch: &'static str,
    build_user: &'static str,
    build_date: &'static str,
    go_version: &'static str,
}

pub(super) async fn build_info() -> ApiResult<impl Serialize> {
    Ok(Success::new(BuildInfo {
        version: COMPATIBLE_VERSION,
        revision: "",
        branch: "",
        build_user: "",
        build_date: "",
        go_version: "",
    }))
}

/// The same for Tempo's data source, which reads it without an envelope.
pub(super) async fn tempo_build_info() -> Response {
    #[derive(Serialize)]
    struct TempoBuildInfo {
        version: &'static str,
        revision: &'static str,
    }
    json(StatusCode::OK, &TempoBuildInfo { version: "2.6.0", revision: "" })
}

pub(super) async fn runtime_info(State(app): State<Arc<App>>) -> ApiResult<impl Serialize> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct RuntimeInfo {
        start_time: String,
        #[serde(rename = "CWD")]
        cwd: String,
        hostname: String,
        server_time: String,
        reload_config_success: bool,
        last_config_time: String,
        corruption_count: usize,
        goroutine_count: usize,
        #[serde(rename = "GOMAXPROCS")]
        gomaxprocs: usize,
        #[serde(rename = "GOMEMLIMIT")]
        gomemlimit: i64,
        #[serde(rename = "GOGC")]
        gogc: &'static str,
        #[serde(rename = "GODEBUG")]
        godebug: &'static str,
        storage_retention: String,
    }
    let reload = app.last_reload();
    Ok(Success::new(RuntimeInfo {
        start_time: rfc3339(app.started),
        cwd: std::env::current_dir().map(|dir| dir.display().to_string()).unwrap_or_default(),
        hostname: std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
        server_time: rfc3339(std::time::SystemTime::now()),
        reload_config_success: reload.success,
        last_config_time: rfc3339(reload.at),
        corruption_count: app.storage.tsdb().recovery().corruptions.len(),
        goroutine_count: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
        gomaxprocs: std::thread::available_parallelism().map_or(1, Into::into),
        gomemlimit: i64::MAX,
        gogc: "",
        godebug: "",
        storage_retention: storage_retention(&app.retention()),
    }))
}

/// As Prometheus writes it: what is bounded, joined by "or".
fn storage_retention(retention: &tsdb::Retention) -> String {
    let time = retention.time.map(model::format_duration);
    let size = retention.bytes_max.map(|bytes| plugin::ByteSize(bytes).to_string());
    let part = retention.disk_part_max.map(|part| format!("{}%", part * 100.0));
    time.into_iter().chain(size).chain(part).collect::<Vec<_>>().join(" or ")
}

fn rfc3339(at: std::time::SystemTime) -> String {
    chrono::DateTime::<chrono::Utc>::from(at).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

pub(super) async fn config(State(app): State<Arc<App>>) -> ApiResult<impl Serialize> {
    #[derive(Serialize)]
    struct Yaml {
        yaml: String,
    }
    Ok(Success::new(Yaml { yaml: app.config().text.clone() }))
}

pub(super) async fn flags(State(app): State<Arc<App>>) -> ApiResult<BTreeMap<&'static str, String>> {
    Ok(Success::new(flag_values(&app.args)))
}

fn flag_values(args: &ServerArgs) -> BTreeMap<&'static str, String> {
    let size = |size: Option<plugin::ByteSize>| size.map_or_else(String::new, |size| size.to_string());
    [
        ("config.file", args.config_file.as_ref().map(|path| path.display().to_string()).unwrap_or_default()),
        ("enable-feature", args.enable_feature.join(",")),
        ("log.format", format!("{:?}", args.log_format).to_lowercase()),
        ("log.level", format!("{:?}", args.log_level).to_lowercase()),
        ("otlp.grpc.listen-address", args.otlp_grpc_listen.to_string()),
        ("otlp.http.listen-address", args.otlp_http_listen.to_string()),
        ("plugins.dir", args.plugins_dir.display().to_string()),
        ("query.lookback-delta", model::format_duration(args.lookback.0)),
        ("query.max-concurrency", args.query_concurrency.to_string()),
        ("query.max-memory", size(args.query_memory)),
        ("query.max-memory-total", size(args.query_memory_total)),
        ("query.max-samples", args.query_samples.to_string()),
        ("query.queue-max", args.query_queue_max.to_string()),
        ("query.timeout", model::format_duration(args.query_timeout.0)),
        (
            "storage.tsdb.head-series-max",
            args.head_series_max.map_or_else(String::new, |max| max.to_string()),
        ),
        ("storage.tsdb.job-series-max", args.job_series_max.map_or_else(String::new, |max| max.to_string())),
        (
            "storage.tsdb.metric-series-max",
            args.metric_series_max.map_or_else(String::new, |max| max.to_string()),
        ),
        ("storage.memory-budget", size(args.memory_budget)),
        ("storage.tsdb.path", args.storage_path.display().to_string()),
        ("storage.tsdb.retention.size", size(args.retention_size)),
        (
            "storage.tsdb.retention.time",
            model::format_duration(args.retention.map_or(Duration::ZERO, |time| time.0)),
        ),
        ("storage.tsdb.wal-sync", format!("{:?}", args.wal_sync).to_lowercase()),
        ("web.enable-admin-api", args.enable_admin_api.to_string()),
        ("web.enable-lifecycle", args.enable_lifecycle.to_string()),
        ("web.external-url", args.external_url.clone().unwrap_or_default()),
        ("web.listen-address", args.web_listen.to_string()),
    ]
    .into()
}

/// The most entries of each list of [`tsdb`] that can be asked for, as in Prometheus.
pub(super) const CARDINALITY_MAX: usize = 10_000;

pub(super) async fn tsdb(State(app): State<Arc<App>>, params: Params) -> ApiResult<impl Serialize> {
    #[derive(Serialize)]
    struct Entry {
        name: String,
        value: u64,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct HeadStats {
        num_series: u64,
        num_label_pairs: u64,
        chunk_count: u64,
        min_time: i64,
        max_time: i64,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct TsdbStatus {
        head_stats: HeadStats,
        series_count_by_metric_name: Vec<Entry>,
        label_value_count_by_label_name: Vec<Entry>,
        memory_in_bytes_by_label_name: Vec<Entry>,
        series_count_by_label_value_pair: Vec<Entry>,
    }
    let limit = params.limit("limit")?.unwrap_or(10);
    if limit > CARDINALITY_MAX {
        return Err(ApiError::parameter("limit", format!("must not exceed {CARDINALITY_MAX}")));
    }
    // Both walk the whole head.
    let (stats, cardinality) =
        blocking(move || (app.storage.tsdb().stats(), app.storage.tsdb().cardinality(limit))).await?;
    let entries =
        |list: Vec<(String, u64)>| list.into_iter().map(|(name, value)| Entry { name, value }).collect();
    Ok(Success::new(TsdbStatus {
        head_stats: HeadStats {
            num_series: stats.head_series,
            num_label_pairs: cardinality.label_pairs,
            chunk_count: stats.head_chunks,
            min_time: stats.head_min_time.map_or(i64::MAX, Timestamp::millis),
            max_time: stats.head_max_time.map_or(i64::MIN, Timestamp::millis),
        },
        series_count_by_metric_name: entries(cardinality.series_by_metric),
        label_value_count_by_label_name: entries(cardinality.values_by_label),
        memory_in_bytes_by_label_name: entries(cardinality.value_bytes_by_label),
        series_count_by_label_value_pair: entries(cardinality.series_by_pair),
    }))
}

/// How far the replay of the log is. It is over before anything is served, so that no segment is left.
pub(super) async fn wal_replay() -> ApiResult<impl Serialize> {
    #[derive(Serialize)]
    struct WalReplay {
        min: u64,
        max: u64,
        current: u64,
    }
    Ok(Success::new(WalReplay { min: 0, max: 0, current: 0 }))
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let gathered = blocking(move || {
        app.refresh_gauges();
        let mut text = Vec::new();
        TextEncoder::new().encode(&app.registry.gather(), &mut text).map(|()| text)
    });
    let failed = |error: &dyn std::fmt::Display| {
        (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
    };
    match gathered.await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

/// Until there is a user interface, a page that says where things are.
pub(super) async fn index() -> Html<&'static str> {
    Html(include_str!("index.html"))
}

/// Where links in alerts lead. Relative, so that they work behind a path prefix.
pub(super) async fn graph(params: Params) -> Redirect {
    match params.get("g0.expr") {
        Some(expr) => {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("query", expr).finish();
            Redirect::temporary(&format!("api/v1/query?{query}"))
        }
        None => Redirect::temporary("."),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use crate::cli::Cli;

    #[test]
    fn every_flag_of_the_server_is_told() {
        let told: Vec<String> = super::flag_values(&Cli::parse_from(["stormglass"]).server)
            .into_keys()
            .map(str::to_owned)
            .collect();
        let mut defined: Vec<String> =
            Cli::command().get_arguments().filter_map(|flag| flag.get_long().map(str::to_owned)).collect();
        defined.sort();
        defined.retain(|flag| flag != "help" && flag != "version");
        assert_eq!(told, defined);
    }
}
