//! The HTTP API: Prometheus' under `/api/v1`, Tempo's for traces, and what operators need.
//!
//! Handlers read parameters, call one part of the server and write its answer; what they share is the envelope
//! ([`envelope`]), the parameters ([`params`]) and how values are written ([`value`]).

pub(crate) mod admin;
pub(crate) mod admission;
mod agent;
mod alerts;
mod answer;
mod ast;
mod blocking;
mod cardinality;
mod client;
mod cors;
pub(crate) mod envelope;
mod features;
mod federate;
mod lifecycle;
mod notifications;
mod openapi;
mod own_metrics;
mod params;
mod plugins;
mod push;
mod query;
mod read;
mod relabel_steps;
mod requests;
mod search;
mod series;
mod status;
mod target_metadata;
mod targets;
mod traces;
pub(crate) mod value;
mod write;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post, put};
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

use self::envelope::{ApiError, ErrorKind};
pub(crate) use self::requests::HttpMetrics;
pub(crate) use self::status::COMPATIBLE_VERSION;
use crate::app::App;
use crate::otlp;

/// Bodies of the API, compressed; a remote-write request is a few megabytes at most.
const BODY_BYTES_MAX: usize = 32 << 20;

/// Pushed requests, of remote write and OTLP together, that are taken at once. A Prometheus sends through at most fifty
/// shards, so that a few of them fit; each request may hold a body in memory, and what it unfolds to.
pub(crate) const PUSHES_MAX: usize = 128;

/// Everything that is served at the web address.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let admit_push = middleware::from_fn_with_state(app.pushes.clone(), admission::admit);
    let api = Router::new()
        .route("/query", get(query::instant).post(query::instant))
        .route("/query_range", get(query::range).post(query::range))
        .route("/query_exemplars", get(query::exemplars).post(query::exemplars))
        .route("/format_query", get(query::format).post(query::format))
        .route("/parse_query", get(query::tree).post(query::tree))
        .route("/explain", get(query::explain).post(query::explain))
        .route("/features", get(features::features))
        .route("/status/active_queries", get(query::active))
        .route("/series", get(series::series).post(series::series))
        .route("/labels", get(series::labels).post(series::labels))
        .route("/label/{name}/values", get(series::label_values))
        .route("/metadata", get(series::metadata))
        .route("/rules", get(alerts::rules))
        .route("/alerts", get(alerts::alerts))
        .route("/targets", get(targets::targets))
        .route("/targets/metadata", get(target_metadata::metadata))
        .route("/targets/relabel_steps", get(relabel_steps::steps))
        .route("/scrape_pools", get(targets::scrape_pools))
        .route("/alertmanagers", get(targets::alertmanagers))
        .route("/plugins", get(plugins::list))
        .route("/plugins/{name}/probe", get(plugins::probe))
        .route("/plugins/{name}/{action}", post(plugins::act))
        .route("/write", get(write::remote_write).post(write::remote_write).layer(admit_push.clone()))
        .route("/read", post(read::remote_read))
        .route("/status/buildinfo", get(status::build_info))
        .route("/status/runtimeinfo", get(status::runtime_info))
        .route("/status/config", get(status::config))
        .route("/status/flags", get(status::flags))
        .route("/status/tsdb", get(status::tsdb))
        .route("/status/cardinality", get(cardinality::cardinality))
        .route("/status/tsdb/blocks", get(status::blocks))
        .route("/status/walreplay", get(status::wal_replay))
        .route("/status/self_metrics", get(own_metrics::json))
        .route("/notifications", get(notifications::list))
        .route("/notifications/live", get(notifications::live))
        .route("/search/metric_names", get(search::metric_names).post(search::metric_names))
        .route("/search/label_names", get(search::label_names).post(search::label_names))
        .route("/search/label_values", get(search::label_values).post(search::label_values))
        .route("/metrics", get(push::groups))
        .route("/admin/wipe", post(push::wipe).put(push::wipe))
        .route("/admin/tsdb/delete_series", post(admin::delete_series).put(admin::delete_series))
        .route("/admin/tsdb/clean_tombstones", post(admin::clean_tombstones).put(admin::clean_tombstones))
        .route("/admin/tsdb/snapshot", post(admin::snapshot).put(admin::snapshot))
        .route("/openapi.yaml", get(openapi::document))
        .fallback(async || ApiError::new(ErrorKind::NotFound, "no such endpoint"))
        .layer(middleware::from_fn_with_state(app.args.agent, agent::refuse))
        .layer(middleware::from_fn_with_state(Arc::new(app.args.cors_origin.clone()), cors::allow));
    let otlp_metrics = Router::new()
        .route("/api/v1/otlp/v1/metrics", post(otlp::http::metrics).layer(admit_push))
        .with_state(Arc::clone(&app.otlp));
    let tempo = Router::new()
        .route("/api/echo", get(async || "echo"))
        .route("/api/traces/{id}", get(traces::by_id))
        .route("/api/v2/traces/{id}", get(traces::by_id_v2))
        .route("/api/search", get(traces::search))
        .route("/api/search/tags", get(traces::tags))
        .route("/api/search/tag/{tag}/values", get(traces::tag_values))
        .route("/api/v2/search/tags", get(traces::tags_v2))
        .route("/api/v2/search/tag/{tag}/values", get(traces::tag_values_v2))
        .route("/api/status/buildinfo", get(status::tempo_build_info));
    let all = Router::new()
        .route("/", get(status::index))
        .route("/graph", get(status::graph))
        .route("/metrics", get(own_metrics::text))
        .route("/version", get(status::version))
        .route("/metrics/{*group}", put(push::push).post(push::push).delete(push::push))
        .route("/federate", get(federate::federate))
        .route("/-/healthy", get(lifecycle::healthy).head(lifecycle::healthy))
        .route("/-/ready", get(lifecycle::ready).head(lifecycle::ready))
        .route("/-/reload", post(lifecycle::reload).put(lifecycle::reload))
        .route("/-/quit", post(lifecycle::quit).put(lifecycle::quit))
        .nest("/api/v1", api)
        .merge(tempo)
        .with_state(Arc::clone(app))
        .merge(otlp_metrics)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(app.http_metrics.clone(), requests::observe))
        // Large answers are many; what stronger compression saves is not worth a processor.
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(CatchPanicLayer::custom(panicked));
    match app.prefix.as_str() {
        "" => all,
        // As in Prometheus, whoever comes to the root is shown the way.
        prefix => {
            let home = format!("{prefix}/");
            let way = move || async move { Redirect::temporary(&home) };
            Router::new().nest(prefix, all).route("/", get(way))
        }
    }
}

/// A handler that panics is our mistake; it costs its own request.
fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a request handler panicked");
    ApiError::new(ErrorKind::Internal, "the request failed inside the server; its log says more")
        .into_response()
}
