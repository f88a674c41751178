//! Processors behind the built server: spans are stored as a processor leaves them, samples keep their start timestamps, and one
//! that fails costs what `process.on_failure` says.

use std::fs;

use formats::remote_write::{Outgoing, OutgoingValue, Version, encode_items};
use model::{Labels, Sample, Timestamp};
use serde_json::json;

use crate::harness::http::Client;
use crate::harness::now_ms;
use crate::harness::server::{self, Ports, Server};

/// Sends one span with an attribute that is not for everybody; the sender is told that all is well.
fn send_span(otlp: &Client, number: u8) {
    let now = u64::try_from(now_ms()).unwrap() * 1_000_000;
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let body = json!({"resourceSpans": [{
        "resource": {"attributes": [text("service.name", "shop")]},
        "scopeSpans": [{"spans": [{
            "traceId": trace_id(number), "spanId": format!("{number:016x}"), "name": "GET /", "kind": 2,
            "startTimeUnixNano": now.to_string(), "endTimeUnixNano": (now + 5_000_001).to_string(),
            "attributes": [text("user.email", "a@example.com"), text("http.route", "/")],
        }]}],
    }]});
    let answer =
        otlp.post("/v1/traces", &[("Content-Type", "application/json")], body.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn trace_id(number: u8) -> String {
    format!("{number:032x}")
}

/// Pushes a sample that says when its counter started.
fn push(api: &Client, name: &str, value: f64) {
    let labels = Labels::from_pairs([("__name__", name), ("pod", "a")]);
    let now = now_ms();
    let item = Outgoing {
        labels: &labels,
        value: OutgoingValue::Float(Sample::new(now, value)),
        metadata: None,
        start: Timestamp::from_millis(now - 60_000),
    };
    let body = encode_items(Version::V2, &[item]);
    let headers = [
        ("Content-Encoding", "snappy"),
        ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
    ];
    let answer = api.post("/api/v1/write", &headers, &body);
    assert_eq!(answer.status, 204, "{}", answer.body);
}

#[test]
fn processors_change_what_is_stored_and_fail_as_they_are_told() {
    let folder = tempfile::tempdir().unwrap();
    server::collect_plugins(&folder.path().join("plugins"));
    let configure = |more: &str| {
        let config = format!(
            r#"plugins:
  - name: spans
    plugin: span-scrub
    config: {{redact: [user.email]}}
    process: {{on_failure: drop}}
  - name: samples
    plugin: label-scrub
    config: {{rename: {{old_total: new_total}}, drop_labels: [pod], add_labels: {{env: test}}}}
    process: {{on_failure: drop}}
{more}"#
        );
        fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    };
    configure("");
    let ports = Ports::free();
    let flags = ["--enable-feature=use-start-timestamps,promql-experimental-functions"];
    let mut server = Server::start_with(folder.path(), ports, &flags);
    let api = server.api.clone();
    let otlp = Client::new(&format!("http://127.0.0.1:{}", ports.otlp_http));

    send_span(&otlp, 1);
    let trace = api.get(&format!("/api/traces/{}", trace_id(1)));
    assert!(trace.status == 200 && trace.body.contains("[redacted]"), "{}", trace.body);
    assert!(trace.body.contains("http.route") && !trace.body.contains("a@example.com"), "{}", trace.body);
    assert!(
        !api.get("/api/search?q=%7Bspan.user.email%3D%22a%40example.com%22%7D").body.contains(&trace_id(1))
    );

    // Renamed and relabelled, it keeps its start: one sample is an increase.
    push(&api, "old_total", 7.0);
    assert_eq!(api.value("new_total"), Some(7.0));
    let increase = api.value("increase(new_total{env=\"test\"}[5m])");
    assert!(increase.is_some_and(|increase| increase > 0.0), "{increase:?}");

    let hostile = |mode: &str, on_failure: &str| {
        configure(&format!(
            "  - {{name: hostile-{on_failure}, plugin: hostile-processor, config: {{mode: {mode}}}, limits: {{deadline: 1s}}, process: {{on_failure: {on_failure}}}}}\n"
        ));
        let answer = api.post("/-/reload", &[], b"");
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    let counted = |plugin: &str, signal: &str, outcome: &str| {
        let metrics = api.get("/metrics").body;
        let line = format!(
            "stormglass_processor_items_total{{outcome=\"{outcome}\",plugin=\"{plugin}\",signal=\"{signal}\"}} "
        );
        let count = metrics.lines().find_map(|found| found.strip_prefix(&line)?.parse::<f64>().ok());
        assert!(count.is_some_and(|count| count >= 1.0), "no {line}in\n{metrics}");
    };

    // As it was before the one that failed, which those before it have changed.
    for (number, mode) in [(2, "trap"), (3, "nonsense"), (4, "spin")] {
        hostile(mode, "pass");
        push(&api, &format!("{mode}_total"), 1.0);
        assert_eq!(api.value(&format!("{mode}_total{{env=\"test\"}}")), Some(1.0), "{mode}");
        send_span(&otlp, number);
        let trace = api.get(&format!("/api/traces/{}", trace_id(number)));
        assert!(trace.status == 200 && trace.body.contains("[redacted]"), "{mode}: {}", trace.body);
    }
    counted("hostile-pass", "samples", "passed");
    counted("hostile-pass", "spans", "passed");

    hostile("trap", "drop");
    push(&api, "dropped_total", 1.0);
    assert_eq!(api.value("dropped_total"), None);
    send_span(&otlp, 5);
    assert_eq!(api.get(&format!("/api/traces/{}", trace_id(5))).status, 404);
    counted("hostile-drop", "samples", "dropped");
    counted("hostile-drop", "spans", "dropped");

    // What it cost ends with it.
    configure("");
    assert_eq!(api.post("/-/reload", &[], b"").status, 200);
    push(&api, "after_total", 1.0);
    assert_eq!(api.value("after_total"), Some(1.0));
    server.terminate();
    assert_eq!(server.unexpected(&["plugin=hostile-"]), Vec::<String>::new());
}
