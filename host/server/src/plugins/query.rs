//! What plugins ask of the server's metrics.

use async_trait::async_trait;
use model::{Columns, Timestamp, Value};
use plugin::QueryFailure;
use promql::{QueryError, QueryResult, QueryValue, Times};

use super::columns::ColumnsWriter;
use crate::queries::{Caller, Queries, QueryFailed, QueryOptions};

#[async_trait]
impl plugin::Query for Queries {
    async fn instant(&self, expr: &str, at_ms: Option<i64>) -> Result<Columns, QueryFailure> {
        let at = at_ms
            .map_or_else(|| Timestamp::from_system(std::time::SystemTime::now()), Timestamp::from_millis);
        self.ask(expr, Times::Instant(at)).await
    }

    async fn range(
        &self,
        expr: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    ) -> Result<Columns, QueryFailure> {
        let (start, end) = (Timestamp::from_millis(start_ms), Timestamp::from_millis(end_ms));
        self.ask(expr, Times::Range { start, end, step_ms }).await
    }
}

impl Queries {
    async fn ask(&self, expr: &str, times: Times) -> Result<Columns, QueryFailure> {
        let answer = self.run(expr, times, QueryOptions::default(), &Caller::Inside).await;
        columns(answer.map_err(failure)?.into_result())
    }
}

fn failure(error: QueryFailed) -> QueryFailure {
    match error {
        QueryFailed::QueueTimeout | QueryFailed::Query(QueryError::Timeout) => QueryFailure::Timeout,
        QueryFailed::Query(error) if error.error_type() == "bad_data" => {
            QueryFailure::Invalid(error.to_string())
        }
        other => QueryFailure::Other(other.to_string()),
    }
}

fn columns(result: QueryResult) -> Result<Columns, QueryFailure> {
    let mut writer = ColumnsWriter::default();
    match result.value {
        QueryValue::Scalar { timestamp, value } => {
            writer.series(&model::Labels::empty());
            writer.sample(timestamp, value);
        }
        QueryValue::String { .. } => {
            return Err(QueryFailure::Invalid("the expression is a text, which has no samples".to_owned()));
        }
        QueryValue::Vector(samples) => {
            for sample in samples {
                writer.series(&sample.labels);
                match sample.value {
                    Value::Float(value) => writer.sample(sample.timestamp, value),
                    Value::Histogram(histogram) => writer.histogram(sample.timestamp, &histogram),
                }
            }
        }
        QueryValue::Matrix(all) => {
            for series in all {
                writer.series(&series.labels);
                for sample in &series.floats {
                    writer.sample(sample.timestamp, sample.value);
                }
                for (at, histogram) in &series.histograms {
                    writer.histogram(*at, histogram);
                }
            }
        }
    }
    writer.finish().map_err(|error| QueryFailure::Other(error.to_string()))
}
