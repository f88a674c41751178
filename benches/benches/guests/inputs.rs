//! What guests are handed, in the host's types and in those of the interfaces.

use std::sync::Arc;

use model::FunctionCall;
use model::span::{Attribute, AttributeValue, Resource, Scope, Span, SpanId, SpanKind, StatusCode, TraceId};
use plugin::{Alert, AlertStatus, Job, Label, Notification};
use serde_json::json;

use super::bare::exports::{detector, function, receiver, span_processor, trainer};
use super::bare::stormglass::types::types;

/// Steps of what a detector is shown: a quarter of an hour.
const STEPS: usize = 60;
/// Steps of a function's call, at the most.
const FUNCTION_STEPS: usize = 1_000;
/// The function that is called.
pub(crate) const FUNCTION: &str = "scale";
const START_MS: i64 = 1_700_000_000_000;
const STEP_MS: u64 = 15_000;

/// The operations of a conformance plugin that yields so many series and finds so many targets.
pub(crate) fn operations(items: usize) -> serde_json::Value {
    let mut operations = vec![json!(["gauge", "many", "Many."]), json!(["many", items])];
    operations
        .extend((0..items).map(|i| json!(["target", format!("host-{i}:9100"), "index", i.to_string()])));
    json!({ "ops": operations })
}

/// The parameters of a probe.
pub(crate) fn parameters(count: usize) -> Vec<Label> {
    (0..count).map(|i| Label { name: format!("parameter_{i}"), value: i.to_string() }).collect()
}

pub(crate) fn labels_out(labels: &[Label]) -> Vec<types::Label> {
    labels
        .iter()
        .map(|Label { name, value }| types::Label { name: name.clone(), value: value.clone() })
        .collect()
}

/// Lines of a decoder, each with its time.
pub(crate) fn lines(count: usize) -> Vec<u8> {
    (0..count).flat_map(|i| format!("metric_{i} {i} {START_MS}\n").into_bytes()).collect()
}

/// What a detector is shown.
pub(crate) fn job(series: usize) -> Job {
    Job {
        start_ms: START_MS,
        step_ms: STEP_MS,
        steps: STEPS as u32,
        series: series as u32,
        values: (0..series * STEPS).map(|i| (i % 97) as f64).collect(),
    }
}

pub(crate) fn job_out(job: Job) -> detector::Job {
    let Job { start_ms, step_ms, steps, series, values } = job;
    detector::Job { start_ms, step_ms, steps, series, values }
}

pub(crate) fn history_out(job: Job) -> trainer::History {
    let Job { start_ms, step_ms, steps, series, values } = job;
    trainer::History { start_ms, step_ms, steps, series, values }
}

/// A call of a function that multiplies, over so many points.
pub(crate) fn function_call(points: usize) -> FunctionCall {
    let steps = points.clamp(1, FUNCTION_STEPS);
    FunctionCall {
        start_ms: START_MS,
        step_ms: STEP_MS,
        steps,
        series: points / steps,
        values: (0..points).map(|i| i as f64).collect(),
        ..FunctionCall::default()
    }
}

pub(crate) fn function_call_out(call: FunctionCall) -> function::Call {
    let FunctionCall { start_ms, step_ms, steps, series, values, .. } = call;
    function::Call {
        name: FUNCTION.to_owned(),
        start_ms,
        step_ms,
        steps: steps as u32,
        series: series as u32,
        values,
        timestamps_ms: Vec::new(),
        window_starts: Vec::new(),
        window_ends: Vec::new(),
        scalars: Vec::new(),
        texts: Vec::new(),
    }
}

/// A group of alerts, each with a few labels.
pub(crate) fn notification(alerts: usize) -> Notification {
    let label = |name: &str, value: String| Label { name: name.to_owned(), value };
    let alert = |i: usize| Alert {
        status: AlertStatus::Firing,
        labels: vec![
            label("alertname", "TooSlow".to_owned()),
            label("instance", format!("host-{i}:9100")),
            label("job", "node".to_owned()),
            label("severity", "page".to_owned()),
        ],
        annotations: vec![label("summary", format!("host-{i} answers too slowly"))],
        starts_at: "2026-11-22T10:00:00Z".to_owned(),
        ends_at: "0001-01-01T00:00:00Z".to_owned(),
        generator_url: format!("http://localhost:9090/graph?g0.expr=slow&i={i}"),
        fingerprint: format!("{i:016x}"),
    };
    Notification {
        idempotency_key: "key".to_owned(),
        attempt: 1,
        group_key: "{}:{alertname=\"TooSlow\"}".to_owned(),
        status: AlertStatus::Firing,
        receiver: "on-call".to_owned(),
        group_labels: vec![label("alertname", "TooSlow".to_owned())],
        common_labels: vec![label("job", "node".to_owned())],
        common_annotations: Vec::new(),
        external_url: "http://localhost:9090".to_owned(),
        truncated_alerts: 0,
        alerts: (0..alerts).map(alert).collect(),
    }
}

pub(crate) fn notification_out(notification: &Notification) -> receiver::Notification {
    let alert = |alert: &Alert| receiver::Alert {
        status: receiver::AlertStatus::Firing,
        labels: labels_out(&alert.labels),
        annotations: labels_out(&alert.annotations),
        starts_at: alert.starts_at.clone(),
        ends_at: alert.ends_at.clone(),
        generator_url: alert.generator_url.clone(),
        fingerprint: alert.fingerprint.clone(),
    };
    receiver::Notification {
        idempotency_key: notification.idempotency_key.clone(),
        attempt: notification.attempt,
        group_key: notification.group_key.clone(),
        status: receiver::AlertStatus::Firing,
        receiver: notification.receiver.clone(),
        group_labels: labels_out(&notification.group_labels),
        common_labels: labels_out(&notification.common_labels),
        common_annotations: labels_out(&notification.common_annotations),
        external_url: notification.external_url.clone(),
        truncated_alerts: notification.truncated_alerts,
        alerts: notification.alerts.iter().map(alert).collect(),
    }
}

/// Spans as an HTTP server makes them, of one resource.
pub(crate) fn spans(count: usize) -> Vec<Span> {
    let text = |key: &str, value: &str| Attribute {
        key: key.to_owned(),
        value: AttributeValue::String(value.to_owned()),
    };
    let resource = Arc::new(Resource { attributes: vec![text("service.name", "shop")] });
    let scope = Arc::new(Scope { name: "http".to_owned(), ..Scope::default() });
    let span = |i: usize| Span {
        trace_id: TraceId([7; 16]),
        span_id: SpanId((i as u64 + 1).to_be_bytes()),
        name: "GET /orders/{id}".to_owned(),
        kind: SpanKind::Server,
        start_unix_nanos: 1_700_000_000_000_000_000,
        end_unix_nanos: 1_700_000_000_010_000_000,
        attributes: vec![
            text("http.request.method", "GET"),
            text("url.path", &format!("/orders/{i}")),
            Attribute { key: "http.response.status_code".to_owned(), value: AttributeValue::Int(200) },
        ],
        status: StatusCode::Ok,
        resource: Arc::clone(&resource),
        scope: Arc::clone(&scope),
        ..Span::default()
    };
    (0..count).map(span).collect()
}

pub(crate) fn spans_out(spans: &[Span]) -> span_processor::Spans {
    use span_processor as guest;
    let attributes = |attributes: &[Attribute]| -> Vec<guest::Attribute> {
        let value = |value: &AttributeValue| match value {
            AttributeValue::String(text) => guest::AttributeValue::Text(text.clone()),
            AttributeValue::Int(number) => guest::AttributeValue::Int(*number),
            _ => guest::AttributeValue::Empty,
        };
        let one = |one: &Attribute| guest::Attribute { key: one.key.clone(), value: value(&one.value) };
        attributes.iter().map(one).collect()
    };
    let span = |span: &Span| guest::Span {
        trace_id: span.trace_id.0.to_vec(),
        span_id: span.span_id.0.to_vec(),
        parent_span_id: Vec::new(),
        trace_state: String::new(),
        name: span.name.clone(),
        kind: guest::SpanKind::Server,
        start_ns: span.start_unix_nanos,
        end_ns: span.end_unix_nanos,
        status: guest::StatusCode::Ok,
        status_message: String::new(),
        attributes: attributes(&span.attributes),
        events: Vec::new(),
        links: Vec::new(),
        trace_flags: 0,
        resource_index: 0,
        scope_index: 0,
    };
    // All have the same ones; without any span there are none.
    let first = spans.first();
    guest::Spans {
        resources: first.map(|span| attributes(&span.resource.attributes)).into_iter().collect(),
        scopes: first
            .map(|span| guest::Scope {
                name: span.scope.name.clone(),
                version: span.scope.version.clone(),
                attributes: Vec::new(),
            })
            .into_iter()
            .collect(),
        spans: spans.iter().map(span).collect(),
    }
}
