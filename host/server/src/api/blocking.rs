//! Where handlers read storage: on threads that may wait. A handler itself never does, since the few threads that
//! run handlers also serve every other connection.

use tokio::task::JoinError;

/// Runs `work` on a thread of its own kind; fails only where it panics. It is not stopped when the client goes
/// away.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    tokio::task::spawn_blocking(work).await
}
