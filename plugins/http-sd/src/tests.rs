//! Polls of an endpoint that answers what each test says.

use stormglass_sdk::TargetGroup;
use stormglass_sdk::http::{self, Header};
use stormglass_sdk::testing::{self, Host, init, response};

use super::*;

const URL: &str = "http://sd.example.com/targets";

fn answer(status: u16, content_type: &str, body: &str) -> Response {
    let mut answer = response(status, body);
    answer.headers.push(Header { name: "content-type".into(), value: content_type.into() });
    answer
}

fn poll(answer: Result<Response, http::Error>) -> Result<Snapshot> {
    let mut plugin: HttpSd = init(&format!(r#"{{"url": "{URL}"}}"#)).unwrap();
    Host::new().http(move |_| answer.clone()).run(|| plugin.poll())
}

fn labels(group: &TargetGroup) -> Vec<(&str, &str)> {
    group.labels.iter().map(|label| (label.name.as_str(), label.value.as_str())).collect()
}

#[test]
fn groups_keep_their_place_targets_and_labels() {
    let body = r#"[
        {"targets": ["a:1", "[::1]:2"], "labels": {"env": "prod", "__meta_rack": "7"}},
        {"targets": []},
        {"labels": {}, "targets": ["b:3"]}
    ]"#;
    let snapshot = poll(Ok(answer(200, "application/json; charset=utf-8", body))).unwrap();
    let groups: Vec<_> = snapshot
        .groups
        .iter()
        .map(|g| (g.source.as_str(), g.targets.iter().map(|t| t.address.as_str()).collect::<Vec<_>>()))
        .collect();
    assert_eq!(
        groups,
        [
            ("http://sd.example.com/targets:0", vec!["a:1", "[::1]:2"]),
            ("http://sd.example.com/targets:1", vec![]),
            ("http://sd.example.com/targets:2", vec!["b:3"]),
        ]
    );
    assert_eq!(labels(&snapshot.groups[0]), [("__meta_rack", "7"), ("env", "prod"), ("__meta_url", URL)]);
    assert_eq!(labels(&snapshot.groups[2]), [("__meta_url", URL)]);
    assert_eq!(snapshot.next_poll_ms, None);
}

#[test]
fn nothing_there_is_an_answer() {
    assert_eq!(poll(Ok(answer(200, "application/json", "[]"))).unwrap().groups, []);
}

#[test]
fn other_answers_are_errors() {
    let json = "application/json";
    for (answer, message, retryable) in [
        (Ok(answer(503, json, "busy")), "server answered status 503: busy", true),
        (Ok(answer(404, json, "")), "server answered status 404", false),
        (Ok(answer(204, json, "")), "server answered status 204, not 200", false),
        (Ok(answer(200, "text/html", "[]")), "content type is \"text/html\", not application/json", false),
        (Ok(response(200, "[]")), "content type is \"\", not application/json", false),
        (Ok(answer(200, json, "{}")), "invalid type: map, expected a sequence at line 1 column 0", false),
        (
            Ok(answer(200, json, "[null]")),
            "invalid type: null, expected a group of targets and labels at line 1 column 5",
            false,
        ),
        (
            Ok(answer(200, json, r#"[{"target": []}]"#)),
            "unknown field `target`, expected `targets` or `labels` at line 1 column 10",
            false,
        ),
        (Err(http::Error::Connect("refused".into())), "cannot connect: refused", true),
        (Err(http::Error::Timeout), "no response in time", true),
        (
            Err(http::Error::Denied("http: http://sd.example.com:80 is not granted".into())),
            "http: http://sd.example.com:80 is not granted",
            false,
        ),
    ] {
        let error = poll(answer).unwrap_err();
        assert_eq!(error.message(), format!("get {URL}: {message}"));
        assert_eq!(error.is_retryable(), retryable, "{message}");
    }
}

#[test]
fn the_request_carries_what_is_configured() {
    let config = r#"{"url": "http://a/", "headers": {"Authorization": "Bearer t"}, "timeout": "1m30s"}"#;
    let mut plugin: HttpSd = init(config).unwrap();
    let host = Host::new().http(|request| {
        let headers: Vec<_> = request.headers.iter().map(|h| (h.name.as_str(), h.value.as_str())).collect();
        assert_eq!(headers, [("Accept", "application/json"), ("Authorization", "Bearer t")]);
        assert_eq!(
            (request.method.as_str(), request.url.as_str(), request.timeout_ms),
            ("GET", "http://a/", Some(90_000))
        );
        Ok(answer(200, "Application/JSON;charset=\"UTF-8\"", "[]"))
    });
    assert_eq!(host.run(|| plugin.poll()).unwrap().groups, []);
}

#[test]
fn the_schema_knows_every_key() {
    testing::assert_schema_has_every_key::<HttpSd>(r#"{"url": "u", "nonsense": 1}"#);
}
