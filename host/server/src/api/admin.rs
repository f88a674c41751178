//! What operators may do to stored metrics, as Prometheus has it: delete series, clean up after it, make snapshots.
//! Only where `--web.enable-admin-api` is given.

use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use model::Timestamp;
use serde::Serialize;

use super::blocking::blocking;
use super::envelope::{ApiError, ApiResult, ErrorKind, Success};
use super::params::Params;
use crate::app::App;

/// The folder of snapshots below the one of storage.
const SNAPSHOTS: &str = "snapshots";

fn check_enabled(app: &App) -> Result<(), ApiError> {
    if app.args.enable_admin_api {
        Ok(())
    } else {
        Err(ApiError::new(
            ErrorKind::Unavailable,
            "admin APIs disabled: start the server with --web.enable-admin-api",
        ))
    }
}

/// Deletes samples. Answers with no content, as Prometheus does.
pub(super) async fn delete_series(
    State(app): State<Arc<App>>,
    params: Params,
) -> Result<StatusCode, ApiError> {
    check_enabled(&app)?;
    let selectors = params.selectors()?;
    if selectors.is_empty() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let start = params.time("start")?.unwrap_or(Timestamp::MIN);
    let end = params.time("end")?.unwrap_or(Timestamp::MAX);
    blocking(move || {
        for matchers in &selectors {
            let series = app.storage.tsdb().delete(matchers, start, end)?;
            tracing::info!(series, "deleted by matcher");
        }
        Ok::<_, tsdb::Error>(())
    })
    .await?
    .map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes what was deleted off the disk.
pub(super) async fn clean_tombstones(State(app): State<Arc<App>>) -> Result<StatusCode, ApiError> {
    check_enabled(&app)?;
    let blocks = blocking(move || app.storage.tsdb().clean_tombstones()).await?.map_err(failed)?;
    tracing::info!(blocks, "wrote blocks anew without what was deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// Where a snapshot is.
#[derive(Serialize)]
pub(super) struct Snapshot {
    /// The folder's name below `snapshots`.
    name: String,
}

/// Makes a snapshot that the server can be started on.
pub(super) async fn snapshot(State(app): State<Arc<App>>, params: Params) -> ApiResult<Snapshot> {
    check_enabled(&app)?;
    let skip_head = params.flag("skip_head")?;
    let name = blocking(move || {
        let name = snapshot_name();
        let dir = app.args.storage_path.join(SNAPSHOTS).join(&name);
        make(&dir, |metrics| app.storage.tsdb().snapshot(metrics, skip_head))?;
        Ok::<_, anyhow::Error>(name)
    })
    .await?
    .map_err(failed)?;
    tracing::info!(name, "made a snapshot");
    Ok(Success::new(Snapshot { name }))
}

/// The time and something random, as Prometheus names its own.
fn snapshot_name() -> String {
    let random = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0);
    format!("{}-{random:016x}", chrono::Utc::now().format("%Y%m%dT%H%M%SZ"))
}

/// Makes the folder of a snapshot: the metrics in it come under a name of their own until they are whole.
pub(crate) fn make<E: std::error::Error + Send + Sync + 'static>(
    dir: &Path,
    metrics: impl FnOnce(&Path) -> Result<(), E>,
) -> anyhow::Result<()> {
    use anyhow::Context as _;
    std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    Ok(metrics(&dir.join("metrics"))?)
}

fn failed(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorKind::Internal, error)
}
