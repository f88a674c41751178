//! The server's own metrics, through PromQL. Needs the grant `query`.

use std::time::Duration;

use crate::Batch;
pub use crate::bindings::base::stormglass::host::query::Error;

/// The vector or scalar of an expression now.
pub fn instant(expr: &str) -> Result<Batch, Error> {
    crate::host::query::instant(expr, None)
}

/// The vector or scalar of an expression at a time.
pub fn instant_at(expr: &str, at_ms: i64) -> Result<Batch, Error> {
    crate::host::query::instant(expr, Some(at_ms))
}

/// The series of an expression at every `step` of a range, both ends included.
pub fn range(expr: &str, start_ms: i64, end_ms: i64, step: Duration) -> Result<Batch, Error> {
    let step_ms = u64::try_from(step.as_millis()).unwrap_or(u64::MAX);
    crate::host::query::range(expr, start_ms, end_ms, step_ms)
}
