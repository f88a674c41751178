//! The server's own metrics: as text at `/metrics`, as JSON at `/api/v1/status/self_metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::proto::{Metric, MetricFamily, MetricType};
use prometheus::{Encoder as _, TextEncoder};
use regex::Regex;
use serde_json::{Map, Value, json};

use super::blocking::blocking;
use super::envelope::{ApiError, ApiResult, Success};
use super::params::Params;
use crate::app::App;

pub(super) async fn text(State(app): State<Arc<App>>) -> Response {
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

/// Families whose names match `metric_name_pattern` as a whole, as protobuf's JSON would have them.
pub(super) async fn json(State(app): State<Arc<App>>, params: Params) -> ApiResult<Vec<Value>> {
    let pattern = params.get("metric_name_pattern").unwrap_or(".*");
    let pattern = Regex::new(&format!("^(?s:{pattern})$"))
        .map_err(|error| ApiError::parameter("metric_name_pattern", error))?;
    let families = blocking(move || {
        app.refresh_gauges();
        let families = app.registry.gather();
        families.iter().filter(|family| pattern.is_match(family.name())).map(family_json).collect()
    })
    .await?;
    Ok(Success::new(families))
}

fn family_json(family: &MetricFamily) -> Value {
    let kind = family.get_field_type();
    let name = match kind {
        MetricType::COUNTER => "COUNTER",
        MetricType::GAUGE => "GAUGE",
        MetricType::SUMMARY => "SUMMARY",
        MetricType::HISTOGRAM => "HISTOGRAM",
        MetricType::UNTYPED => "UNTYPED",
    };
    json!({
        "name": family.name(),
        "help": family.help(),
        "type": name,
        "metric": family.get_metric().iter().map(|metric| metric_json(kind, metric)).collect::<Vec<_>>(),
    })
}

fn metric_json(kind: MetricType, metric: &Metric) -> Value {
    let mut json = Map::new();
    let labels: Vec<Value> = metric
        .get_label()
        .iter()
        .map(|label| json!({ "name": label.name(), "value": label.value() }))
        .collect();
    if !labels.is_empty() {
        json.insert("label".to_owned(), labels.into());
    }
    let (key, value) = match kind {
        MetricType::COUNTER => ("counter", json!({ "value": number(metric.get_counter().get_value()) })),
        MetricType::GAUGE => ("gauge", json!({ "value": number(metric.get_gauge().get_value()) })),
        MetricType::UNTYPED => ("untyped", Value::Null),
        MetricType::SUMMARY => {
            let summary = metric.get_summary();
            let quantile = |quantile: &prometheus::proto::Quantile| {
                json!({
                    "quantile": number(quantile.quantile()),
                    "value": number(quantile.value()),
                })
            };
            let quantiles: Vec<Value> = summary.get_quantile().iter().map(quantile).collect();
            // 64 bits are text in protobuf's JSON.
            let count = summary.sample_count().to_string();
            (
                "summary",
                json!({
                    "sampleCount": count, "sampleSum": number(summary.sample_sum()), "quantile": quantiles,
                }),
            )
        }
        MetricType::HISTOGRAM => {
            let histogram = metric.get_histogram();
            let bucket = |bucket: &prometheus::proto::Bucket| {
                json!({
                    "cumulativeCount": bucket.cumulative_count().to_string(),
                    "upperBound": number(bucket.upper_bound()),
                })
            };
            let buckets: Vec<Value> = histogram.get_bucket().iter().map(bucket).collect();
            let count = histogram.get_sample_count().to_string();
            (
                "histogram",
                json!({
                    "sampleCount": count, "sampleSum": number(histogram.get_sample_sum()), "bucket": buckets,
                }),
            )
        }
    };
    json.insert(key.to_owned(), value);
    Value::Object(json)
}

/// Numbers that JSON does not have are texts in protobuf's.
fn number(value: f64) -> Value {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    value.into()
}

#[cfg(test)]
mod tests {
    use prometheus::{Histogram, HistogramOpts, IntGaugeVec, Opts, Registry};

    use super::*;

    #[test]
    fn families_are_written_as_protobufs_json() {
        let registry = Registry::new();
        let gauge = IntGaugeVec::new(Opts::new("a", "A."), &["x"]).unwrap();
        gauge.with_label_values(&["y"]).set(3);
        registry.register(Box::new(gauge)).unwrap();
        let histogram = Histogram::with_opts(HistogramOpts::new("b", "B.").buckets(vec![1.0])).unwrap();
        histogram.observe(0.5);
        registry.register(Box::new(histogram)).unwrap();
        let families: Vec<Value> = registry.gather().iter().map(family_json).collect();
        let label = json!([{ "name": "x", "value": "y" }]);
        assert_eq!(
            families,
            [
                json!({ "name": "a", "help": "A.", "type": "GAUGE", "metric": [
                    { "label": label, "gauge": { "value": 3.0 } },
                ] }),
                json!({ "name": "b", "help": "B.", "type": "HISTOGRAM", "metric": [{ "histogram": {
                    "sampleCount": "1", "sampleSum": 0.5,
                    "bucket": [{ "cumulativeCount": "1", "upperBound": 1.0 }],
                } }] }),
            ]
        );
    }
}
