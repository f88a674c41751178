//! What the server is, how it was started and what it holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, Redirect, Response};
use model::Timestamp;
use serde::Serialize;
use url::form_urlencoded;

use super::blocking::blocking;
use super::envelope::{ApiError, ApiResult, Success, json};
use super::params::Params;
use crate::app::App;

/// The Prometheus whose API this one follows; clients choose features by it.
pub(crate) const COMPATIBLE_VERSION: &str = "3.14.0";

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

const BUILD_INFO: BuildInfo = BuildInfo {
    version: COMPATIBLE_VERSION,
    revision: "",
    branch: "",
    build_user: "",
    build_date: "",
    go_version: "",
};

pub(super) async fn build_info() -> ApiResult<impl Serialize> {
    Ok(Success::new(BUILD_INFO))
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

pub(super) async fn flags(State(app): State<Arc<App>>) -> ApiResult<BTreeMap<String, String>> {
    Ok(Success::new(app.flags.clone()))
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

/// How often a block of Prometheus of that range would have been merged: each time three become one, from two hours on.
fn level(range_ms: i64) -> u32 {
    const SHORTEST_MS: i64 = 2 * 3600 * 1000;
    let shortest = u64::try_from(range_ms / SHORTEST_MS).unwrap_or(0).max(1);
    1 + shortest.ilog(3)
}

/// The blocks on disk, the oldest first; those of downsampled data say how far their summaries are apart, in
/// milliseconds and under the name that Thanos gives it.
pub(super) async fn blocks(State(app): State<Arc<App>>) -> ApiResult<impl Serialize> {
    #[derive(Serialize)]
    struct Blocks {
        blocks: Vec<Block>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Block {
        ulid: String,
        min_time: i64,
        max_time: i64,
        stats: BlockStats,
        compaction: Compaction,
        #[serde(skip_serializing_if = "Option::is_none")]
        downsample: Option<Downsample>,
        version: u32,
    }
    #[derive(Serialize)]
    struct Downsample {
        resolution: i64,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct BlockStats {
        num_samples: u64,
        num_series: u64,
        num_chunks: u64,
    }
    #[derive(Serialize)]
    struct Compaction {
        level: u32,
        sources: Vec<String>,
    }
    let blocks = blocking(move || app.storage.tsdb().blocks()).await?;
    let blocks = blocks
        .into_iter()
        .map(|block| Block {
            ulid: block.name.clone(),
            min_time: block.min_time.millis(),
            max_time: block.max_time.millis(),
            stats: BlockStats {
                num_samples: block.samples,
                num_series: block.series,
                num_chunks: block.chunks,
            },
            compaction: Compaction { level: level(block.range_ms), sources: vec![block.name] },
            downsample: Some(block.resolution_ms)
                .filter(|resolution| *resolution > 0)
                .map(|resolution| Downsample { resolution }),
            version: block.version,
        })
        .collect();
    Ok(Success::new(Blocks { blocks }))
}

/// What `/version` answers: as [`build_info`], without an envelope.
pub(super) async fn version() -> Response {
    json(StatusCode::OK, &BUILD_INFO)
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
