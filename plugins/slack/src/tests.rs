//! Messages to a Slack that answers what each test says.

use std::time::Duration;

use serde_json::json;
use stormglass_sdk::http::Header;
use stormglass_sdk::testing::{self, Host, init, response};
use stormglass_sdk::{Alert, AlertStatus};

use super::*;

fn notification(texts: &[(&str, &str)]) -> Notification {
    Notification {
        alerts: vec![Alert {
            status: AlertStatus::Firing,
            labels: Vec::new(),
            annotations: Vec::new(),
            starts_at: "2026-01-02T03:04:05.678Z".into(),
            ends_at: "0001-01-01T00:00:00Z".into(),
            generator_url: String::new(),
            fingerprint: "c3ff35e1f9c7fb8b".into(),
        }],
        ..testing::notification(texts)
    }
}

/// Delivers and yields the request as well.
fn notify(
    config: &str,
    secrets: &[(&str, &str)],
    texts: &[(&str, &str)],
    answer: Response,
) -> (Result<()>, Option<Request>) {
    let host = secrets.iter().fold(Host::new(), |host, (name, value)| host.secret(name, value));
    let mut plugin: Slack = init(config).unwrap();
    let host = host.http(move |_| Ok(answer.clone()));
    host.run(|| (plugin.notify(&notification(texts)), testing::requests().pop()))
}

const HOOK: [(&str, &str); 1] = [("api_url", "https://hooks.slack.com/services/T/B/X")];

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

#[test]
fn a_webhook_gets_one_attachment() {
    let texts = [
        ("title", "[FIRING:1] Down"),
        ("title_link", "http://am/#/alerts"),
        ("color", "danger"),
        ("pretext", ""),
        ("fields/0/value", "api"),
        ("actions/0/url", "http://runbook"),
    ];
    let config = r##"{"channel": "#ops", "link_names": true, "short_fields": true,
        "fields": [{"title": "Job", "value": "{{ .CommonLabels.job }}"}, {"title": "x", "value": "y", "short": false}],
        "actions": [{"type": "button", "text": "Runbook", "url": "{{ x }}"}]}"##;
    let (result, request) = notify(config, &HOOK, &texts, response(200, "ok"));
    result.unwrap();
    let request = request.unwrap();
    assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", HOOK[0].1));
    assert!(request.headers.contains(&Header { name: "Idempotency-Key".into(), value: "key-1".into() }));
    assert_eq!(
        body(&request),
        json!({
            "channel": "#ops",
            "link_names": true,
            "attachments": [{
                "title": "[FIRING:1] Down",
                "title_link": "http://am/#/alerts",
                "fallback": "[FIRING:1] Down",
                "color": "danger",
                "fields": [
                    {"title": "Job", "value": "api", "short": true},
                    {"title": "x", "value": "y", "short": false}
                ],
                "actions": [{"type": "button", "text": "Runbook", "url": "http://runbook"}],
                "mrkdwn_in": ["fallback", "pretext", "text"]
            }]
        })
    );
}

#[test]
fn a_bot_posts_with_its_token() {
    let (result, request) =
        notify(r##"{"channel": "#x"}"##, &[("app_token", "xoxb-1")], &[], response(200, r#"{"ok": true}"#));
    result.unwrap();
    let request = request.unwrap();
    assert_eq!(request.url, APP_URL);
    assert!(
        request.headers.contains(&Header { name: "Authorization".into(), value: "Bearer xoxb-1".into() })
    );
    // No text was rendered: what is known is told.
    assert_eq!(body(&request)["attachments"][0]["title"], "[FIRING:1] Down");
    let (result, request) = notify("{}", &[("app_token", "xoxb-1")], &[], response(200, ""));
    assert!(result.unwrap_err().message().contains("set `channel`"));
    assert!(request.is_none());
}

#[test]
fn answers_are_judged_by_status_and_body() {
    let mut limited = response(429, "");
    limited.headers.push(Header { name: "Retry-After".into(), value: "30".into() });
    let refused = |reason: &str| response(200, format!(r#"{{"ok": false, "error": "{reason}"}}"#));
    for (answer, expected) in [
        (response(200, "ok"), Ok(())),
        (limited, Err(Error::retryable("server answered status 429").after(Duration::from_secs(30)))),
        (response(503, ""), Err(Error::retryable("server answered status 503"))),
        (response(403, "invalid_token"), Err(Error::permanent("server answered status 403: invalid_token"))),
        (refused("channel_not_found"), Err(Error::permanent("Slack refused the message: channel_not_found"))),
        (refused("ratelimited"), Err(Error::retryable("Slack refused the message: ratelimited"))),
        (response(200, "no_text"), Err(Error::permanent("Slack answered \"no_text\""))),
    ] {
        let expected = expected.map_err(|e: Error| e.context("post to https://hooks.slack.com"));
        assert_eq!(notify("{}", &HOOK, &[], answer).0, expected);
    }
}

#[test]
fn without_a_secret_nothing_is_sent() {
    let (result, request) = notify("{}", &[], &[], response(200, "ok"));
    let error = result.unwrap_err();
    assert!(!error.is_retryable() && error.message().contains("api_url"), "{error}");
    assert!(request.is_none());
}

#[test]
fn long_titles_are_cut() {
    let long = "x".repeat(2000);
    let (_, request) = notify("{}", &HOOK, &[("title", &long)], response(200, "ok"));
    let body = body(&request.unwrap());
    assert_eq!(body["attachments"][0]["title"].as_str().unwrap().chars().count(), 1024);
}

#[test]
fn the_schema_knows_every_key() {
    testing::assert_schema_has_every_key::<Slack>(r#"{"nonsense": 1}"#);
}
