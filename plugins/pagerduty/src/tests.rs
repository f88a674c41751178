//! Events to a PagerDuty that answers what each test says.

use std::time::Duration;

use serde_json::json;
use stormglass_sdk::http::{Header, Response};
use stormglass_sdk::testing::{self, Host, init, response};
use stormglass_sdk::{AlertStatus, Error};

use super::*;

fn notification(status: AlertStatus, texts: &[(&str, &str)]) -> Notification {
    Notification { status, ..testing::notification(texts) }
}

fn notify(config: &str, notification: &Notification, answer: Response) -> (Result<()>, Option<Request>) {
    let host = Host::new().secret("routing_key", "R0UT1NG").http(move |_| Ok(answer.clone()));
    let mut plugin: PagerDuty = init(config).unwrap();
    host.run(|| (plugin.notify(notification), testing::requests().pop()))
}

fn accepted() -> Response {
    response(202, r#"{"status": "success", "message": "Event processed", "dedup_key": "x"}"#)
}

fn body(request: &Option<Request>) -> Value {
    serde_json::from_slice(&request.as_ref().unwrap().body).unwrap()
}

#[test]
fn a_group_triggers_and_resolves_by_one_key() {
    let texts = [
        ("description", "[FIRING:1] Down"),
        ("client", "Alertmanager"),
        ("client_url", "http://am"),
        ("details/firing", "a list"),
        ("details/num_firing", "1"),
        ("severity", "CRITICAL"),
        ("links/1/href", ""),
    ];
    let config = r#"{"severity": "{{ x }}", "details": {"team": "db"}, "class": "deploy",
        "links": [{"href": "http://runbook", "text": "Runbook"}, {"href": "{{ x }}"}]}"#;
    let (result, request) = notify(config, &notification(AlertStatus::Firing, &texts), accepted());
    result.unwrap();
    assert_eq!(request.as_ref().unwrap().url, EVENTS_URL);
    let triggered = body(&request);
    assert_eq!(
        triggered,
        json!({
            "routing_key": "R0UT1NG",
            "dedup_key": triggered["dedup_key"],
            "event_action": "trigger",
            "client": "Alertmanager",
            "client_url": "http://am",
            "links": [{"href": "http://runbook", "text": "Runbook"}],
            "payload": {
                "summary": "[FIRING:1] Down",
                "source": "Alertmanager",
                "severity": "critical",
                "class": "deploy",
                "custom_details": {"team": "db", "firing": "a list", "num_firing": "1"}
            }
        })
    );
    let (_, request) = notify("{}", &notification(AlertStatus::Resolved, &[]), accepted());
    let resolved = body(&request);
    assert_eq!(
        (&resolved["event_action"], &resolved["dedup_key"]),
        (&json!("resolve"), &triggered["dedup_key"])
    );
    assert_eq!(resolved["payload"]["summary"], "[RESOLVED] Down");
}

#[test]
fn the_key_is_alertmanagers() {
    // printf '%s' '{}:{alertname="Down"}' | sha256sum
    let (_, request) = notify("{}", &notification(AlertStatus::Firing, &[]), accepted());
    assert_eq!(
        body(&request)["dedup_key"],
        "af94c9e8f6a3043625e36c6f472fe6be85ac23a9117184ee4cb7b4ad7401a47e"
    );
}

#[test]
fn what_is_too_large_is_sent_without_details() {
    let long = "x".repeat(600_000);
    let texts = [("details/firing", long.as_str()), ("description", long.as_str())];
    let (result, request) = notify("{}", &notification(AlertStatus::Firing, &texts), accepted());
    result.unwrap();
    assert!(request.as_ref().unwrap().body.len() < 4096);
    let event = body(&request);
    assert_eq!(event["payload"]["summary"].as_str().unwrap().chars().count(), 1024);
    assert!(event["payload"]["custom_details"]["error"].is_string());
}

#[test]
fn what_may_pass_is_retryable() {
    let mut busy = response(429, "");
    busy.headers.push(Header { name: "Retry-After".into(), value: "7".into() });
    for (answer, expected) in [
        (accepted(), Ok(())),
        (busy, Err(Error::retryable("server answered status 429").after(Duration::from_secs(7)))),
        (response(500, ""), Err(Error::retryable("server answered status 500"))),
        (
            response(400, "Event object is invalid"),
            Err(Error::permanent("server answered status 400: Event object is invalid")),
        ),
    ] {
        let expected =
            expected.map_err(|e: Error| e.context("send an event to https://events.pagerduty.com"));
        assert_eq!(notify("{}", &notification(AlertStatus::Firing, &[]), answer).0, expected);
    }
}

#[test]
fn the_schema_knows_every_key() {
    testing::assert_schema_has_every_key::<PagerDuty>(r#"{"nonsense": 1}"#);
}
