//! Deliveries to an endpoint that answers what each test says.

use std::time::Duration;

use expect_test::expect;
use stormglass_sdk::http::{Header, Response};
use stormglass_sdk::testing::{self, Host, init, response};
use stormglass_sdk::{Alert, AlertStatus, Error, Label};

use super::*;

fn alert(instance: &str, status: AlertStatus) -> Alert {
    Alert {
        status,
        labels: vec![Label::new("instance", instance), Label::new("alertname", "Down")],
        annotations: vec![Label::new("summary", format!("\"{instance}\" is down"))],
        starts_at: "2026-01-02T03:04:05.678Z".into(),
        ends_at: "0001-01-01T00:00:00Z".into(),
        generator_url: "http://localhost:9090/graph?g0.expr=up".into(),
        fingerprint: "c3ff35e1f9c7fb8b".into(),
    }
}

fn notification() -> Notification {
    Notification {
        idempotency_key: "key-1".into(),
        attempt: 1,
        group_key: "{}:{alertname=\"Down\"}".into(),
        status: AlertStatus::Firing,
        receiver: "hook".into(),
        group_labels: vec![Label::new("alertname", "Down")],
        common_labels: vec![Label::new("alertname", "Down")],
        common_annotations: vec![],
        external_url: "http://localhost:9090".into(),
        truncated_alerts: 0,
        alerts: vec![alert("a:1", AlertStatus::Firing), alert("b:2", AlertStatus::Resolved)],
    }
}

/// Delivers with this configuration to an endpoint that answers so, and yields the request as well.
fn notify(config: &str, answer: Result<Response, http::Error>) -> (Result<()>, Option<Request>) {
    let host = Host::new().secret("url", "http://secret.example.com/y").http(move |_| answer.clone());
    let mut plugin: Webhook = init(config).unwrap();
    host.run(|| (plugin.notify(&notification()), testing::requests().pop()))
}

const CONFIG: &str = r#"{"url": "http://hooks.example.com/x"}"#;

#[test]
fn the_body_is_alertmanagers() {
    let (result, request) = notify(CONFIG, Ok(response(200, "")));
    result.unwrap();
    let request = request.unwrap();
    assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "http://hooks.example.com/x"));
    let headers: Vec<_> = request.headers.iter().map(|h| (h.name.as_str(), h.value.as_str())).collect();
    assert_eq!(headers, [("Idempotency-Key", "key-1"), ("Content-Type", "application/json")]);
    assert_eq!(request.timeout_ms, Some(10_000));
    let body = String::from_utf8(request.body).unwrap();
    // One line for each member, so that a difference is seen.
    expect![[r#"
        {"receiver":"hook",
        "status":"firing",
        "alerts":[{"status":"firing",
        "labels":{"alertname":"Down",
        "instance":"a:1"},
        "annotations":{"summary":"\"a:1\" is down"},
        "startsAt":"2026-01-02T03:04:05.678Z",
        "endsAt":"0001-01-01T00:00:00Z",
        "generatorURL":"http://localhost:9090/graph?g0.expr=up",
        "fingerprint":"c3ff35e1f9c7fb8b"},{"status":"resolved",
        "labels":{"alertname":"Down",
        "instance":"b:2"},
        "annotations":{"summary":"\"b:2\" is down"},
        "startsAt":"2026-01-02T03:04:05.678Z",
        "endsAt":"0001-01-01T00:00:00Z",
        "generatorURL":"http://localhost:9090/graph?g0.expr=up",
        "fingerprint":"c3ff35e1f9c7fb8b"}],
        "groupLabels":{"alertname":"Down"},
        "commonLabels":{"alertname":"Down"},
        "commonAnnotations":{},
        "externalURL":"http://localhost:9090",
        "version":"4",
        "groupKey":"{}:{alertname=\"Down\"}",
        "truncatedAlerts":0}"#]]
    .assert_eq(&body.replace(",\"", ",\n\""));
}

#[test]
fn what_is_over_the_limit_is_counted() {
    let body = |max_alerts: usize| {
        let config = format!(r#"{{"url": "http://a", "max_alerts": {max_alerts}}}"#);
        let (_, request) = notify(&config, Ok(response(200, "")));
        let body: serde_json::Value = serde_json::from_slice(&request.unwrap().body).unwrap();
        (body["alerts"].as_array().unwrap().len(), body["truncatedAlerts"].as_u64().unwrap())
    };
    assert_eq!([0, 1, 2, 3].map(body), [(2, 0), (1, 1), (2, 0), (2, 0)]);
}

#[test]
fn what_may_pass_is_retryable() {
    let mut busy = response(429, "slow down");
    busy.headers.push(Header { name: "Retry-After".into(), value: "7".into() });
    for (answer, expected) in [
        (Ok(response(204, "")), Ok(())),
        (
            Ok(busy),
            Err(Error::retryable("server answered status 429: slow down").after(Duration::from_secs(7))),
        ),
        (Ok(response(502, "")), Err(Error::retryable("server answered status 502"))),
        (Ok(response(400, "no")), Err(Error::permanent("server answered status 400: no"))),
        (Ok(response(302, "")), Err(Error::permanent("server answered status 302"))),
        (Err(http::Error::Connect("refused".into())), Err(Error::retryable("cannot connect: refused"))),
        (Err(http::Error::Timeout), Err(Error::retryable("no response in time"))),
    ] {
        let expected = expected.map_err(|e: Error| e.context("post to http://hooks.example.com"));
        assert_eq!(notify(CONFIG, answer).0, expected);
    }
}

#[test]
fn the_request_carries_what_is_configured() {
    let config = r#"{"url": "http://a", "headers": {"Authorization": "Bearer t"}, "timeout": "1s"}"#;
    let request = notify(config, Ok(response(200, ""))).1.unwrap();
    assert_eq!(request.timeout_ms, Some(1000));
    assert!(request.headers.contains(&Header { name: "Authorization".into(), value: "Bearer t".into() }));
}

#[test]
fn the_schema_knows_every_key() {
    testing::assert_schema_has_every_key::<Webhook>(r#"{"url": "u", "nonsense": 1}"#);
}

#[test]
fn a_url_that_is_a_secret_is_asked_for() {
    let request = notify("{}", Ok(response(200, ""))).1.unwrap();
    assert_eq!(request.url, "http://secret.example.com/y");
}
