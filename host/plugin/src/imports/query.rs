//! `stormglass:host/query`: the server's own metrics, where granted, through what the server passes in.

use std::future::Future;

use async_trait::async_trait;
use model::Columns;

use crate::bindings::stormglass::host::query::{Batch, Error, Host};
use crate::kinds::batch::batch_out;
use crate::state::State;

/// Answers queries of plugins.
#[async_trait]
pub trait Query: Send + Sync {
    /// The vector or scalar of an expression at a time in milliseconds, now where there is none. One sample a series.
    ///
    /// # Errors
    /// [`QueryFailure`].
    async fn instant(&self, expr: &str, at_ms: Option<i64>) -> Result<Columns, QueryFailure>;

    /// The series of an expression at every step.
    ///
    /// # Errors
    /// [`QueryFailure`].
    async fn range(
        &self,
        expr: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    ) -> Result<Columns, QueryFailure>;
}

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryFailure {
    /// The expression or its times are wrong.
    #[error("{0}")]
    Invalid(String),
    /// It took too long.
    #[error("timeout")]
    Timeout,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Host for State {
    async fn instant(&mut self, expr: String, at_ms: Option<i64>) -> wasmtime::Result<Result<Batch, Error>> {
        self.ask(async move |query| query.instant(&expr, at_ms).await).await
    }

    async fn range(
        &mut self,
        expr: String,
        start_ms: i64,
        end_ms: i64,
        step_ms: u64,
    ) -> wasmtime::Result<Result<Batch, Error>> {
        let step_ms = i64::try_from(step_ms).unwrap_or(i64::MAX);
        self.ask(async move |query| query.range(&expr, start_ms, end_ms, step_ms).await).await
    }
}

impl State {
    async fn ask<F>(
        &mut self,
        ask: impl FnOnce(std::sync::Arc<dyn Query>) -> F + Send,
    ) -> wasmtime::Result<Result<Batch, Error>>
    where
        F: Future<Output = Result<Columns, QueryFailure>> + Send,
    {
        self.count_host_call()?;
        if let Err(denied) = self.tenant.grants.check_query() {
            return Ok(Err(Error::Denied(self.deny(denied))));
        }
        let Some(query) = self.tenant.query.clone() else {
            return Ok(Err(Error::Other("there is nothing to query here".to_owned())));
        };
        let answered = tokio::time::timeout(self.time_left(), ask(query)).await;
        let limit = self.tenant.limits.series as usize;
        Ok(match answered {
            Err(_) | Ok(Err(QueryFailure::Timeout)) => Err(Error::Timeout),
            Ok(Err(QueryFailure::Invalid(what))) => Err(Error::Invalid(what)),
            Ok(Err(QueryFailure::Other(what))) => Err(Error::Other(what)),
            Ok(Ok(columns)) if columns.series_count() > limit => {
                let count = columns.series_count();
                Err(Error::Other(format!("{count} series are over the limit of {limit} (limits.series)")))
            }
            Ok(Ok(columns)) => Ok(batch_out(columns)),
        })
    }
}
