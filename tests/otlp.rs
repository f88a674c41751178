//! OTLP from one run of a server to the next and from one server to another: totals of deltas go on after a restart, and
//! the section `tracing` has the server's own spans sent on, over gRPC and over HTTP.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::harness::http::Client;
use crate::harness::server::{Ports, Server};
use crate::harness::{PATIENCE, now_ms, until, until_value};

fn folder(path: &Path, config: &str) {
    fs::create_dir_all(path.join("plugins")).unwrap();
    fs::write(path.join("prometheus.yml"), config).unwrap();
}

/// Sends a delta of a counter and of an exponential histogram.
fn send_deltas(ports: Ports, delta: i64) {
    let at = format!("{}000000", now_ms());
    let began = format!("{}000000", now_ms() - 1000);
    let message = json!({"resourceMetrics": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeMetrics": [{"metrics": [
            {"name": "orders", "sum": {"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [
                {"startTimeUnixNano": began, "timeUnixNano": at, "asInt": delta.to_string()}
            ]}},
            {"name": "wait", "unit": "s", "exponentialHistogram": {"aggregationTemporality": 1, "dataPoints": [
                {"startTimeUnixNano": began, "timeUnixNano": at, "count": delta.to_string(), "sum": delta, "scale": 0,
                 "zeroCount": "0", "positive": {"offset": 0, "bucketCounts": [delta.to_string()]}}
            ]}}
        ]}]
    }]});
    let otlp = Client::new(&format!("http://127.0.0.1:{}", ports.otlp_http));
    let headers = [("Content-Type", "application/json")];
    let answer = otlp.post("/v1/metrics", &headers, message.to_string().as_bytes());
    assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
}

#[test]
fn totals_of_deltas_go_on_after_a_restart() {
    let at = tempfile::tempdir().unwrap();
    folder(at.path(), "global: {scrape_interval: 1h}\n");
    let ports = Ports::free();
    let mut server = Server::start(at.path(), ports);
    send_deltas(ports, 3);
    send_deltas(ports, 4);
    until_value(&server.api, "orders_total", |total| total == 7.0);
    server.terminate();
    let server = Server::start(at.path(), ports);
    send_deltas(ports, 5);
    until_value(&server.api, "orders_total", |total| total == 12.0);
    until_value(&server.api, "histogram_count(wait_seconds)", |count| count == 12.0);
    assert_eq!(server.api.value("resets(orders_total[5m]) + resets(wait_seconds[5m])"), Some(0.0));
    assert_eq!(server.unexpected(&[]), [""; 0]);
}

#[test]
fn own_spans_are_sent_where_tracing_says() {
    let at = tempfile::tempdir().unwrap();
    let (taker, taking) = (at.path().join("taker"), Ports::free());
    folder(&taker, "global: {scrape_interval: 1h}\n");
    let taker = Server::start(&taker, taking);
    for (kind, port, more) in [
        ("grpc", taking.otlp_grpc, "compression: gzip"),
        ("http", taking.otlp_http, "headers: {x-from: test}"),
    ] {
        let giver = at.path().join(kind);
        folder(
            &giver,
            &format!(
                "global: {{scrape_interval: 1h}}\ntracing: {{client_type: {kind}, endpoint: '127.0.0.1:{port}', \
                 insecure: true, sampling_fraction: 1, {more}}}\n"
            ),
        );
        let mut giver = Server::start(&giver, Ports::free());
        giver.api.query("vector(1)");
        let search = format!("/api/search?tags=process.pid%3D{}", giver.pid());
        until("spans have come over", PATIENCE, || {
            let found = taker.api.get(&search).json();
            found["traces"].as_array().is_some_and(|traces| !traces.is_empty()).then_some(())
        });
        giver.terminate();
        assert_eq!(giver.unexpected(&[]), [""; 0], "{kind}");
    }
    assert_eq!(taker.unexpected(&[]), [""; 0]);
}
