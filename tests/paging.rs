//! Alerts on their way to the services that page people: Alertmanager's own sections of receivers, answered by plugins,
//! against services that answer as their documentation says, one of which wants to be asked again.

use std::fs;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::http::{Listener, Reply, Request};
use crate::harness::server::{self, Ports, Server};
use crate::harness::{PATIENCE, until};

/// What came in: the request's line, its head and its body.
type Inbox = Arc<Mutex<Vec<(String, String, Value)>>>;

/// A service that takes what is sent, as `judge` says.
fn service(mut judge: impl FnMut(usize, &Value) -> Reply + Send + 'static) -> (Inbox, Listener) {
    let inbox: Inbox = Arc::default();
    let kept = Arc::clone(&inbox);
    let listener = Listener::replying("127.0.0.1:0".parse().unwrap(), move |request: Request| {
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        let mut kept = kept.lock().unwrap();
        let reply = judge(kept.len(), &body);
        kept.push((request.line, request.headers, body));
        reply
    });
    (inbox, listener)
}

/// What the Events API v2 demands of an event.
fn is_event(event: &Value) -> bool {
    let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let payload = &event["payload"];
    text(&event["routing_key"])
        && event["dedup_key"].as_str().is_some_and(|key| key.len() <= 255)
        && matches!(event["event_action"].as_str(), Some("trigger" | "acknowledge" | "resolve"))
        && text(&payload["summary"])
        && text(&payload["source"])
        && matches!(payload["severity"].as_str(), Some("critical" | "warning" | "error" | "info"))
}

const RULES: &str = "groups:\n- name: g\n  interval: 1s\n  rules:\n  - alert: Down\n    expr: vector(1)\n    \
                     labels: {severity: critical, job: api}\n    annotations: {summary: 'it is down'}\n";

#[test]
fn alerts_reach_the_services_and_end_there() {
    let (slack, slack_at) = service(|count, _| match count {
        // The first is turned away, for a moment.
        0 => Reply { status: 429, headers: "Retry-After: 1\r\n".to_owned(), body: String::new() },
        _ => Reply { status: 200, headers: "Content-Type: text/plain\r\n".to_owned(), body: "ok".to_owned() },
    });
    let (pagerduty, pagerduty_at) = service(|_, event| {
        let status = if is_event(event) { 202 } else { 400 };
        Reply::json(status, json!({"status": "success", "message": "Event processed"}).to_string())
    });
    let (opsgenie, opsgenie_at) =
        service(|_, _| Reply::json(202, r#"{"result": "Request will be processed"}"#));
    let (teams, teams_at) = service(|_, card| {
        let kind = &card["attachments"][0]["contentType"];
        let status = if *kind == "application/vnd.microsoft.card.adaptive" { 202 } else { 400 };
        Reply::json(status, "")
    });
    let folder = tempfile::tempdir().unwrap();
    server::collect_plugins(&folder.path().join("plugins"));
    let (slack_at, pagerduty_at) = (slack_at.address, (pagerduty_at.address, pagerduty_at));
    let config = format!(
        r#"global: {{evaluation_interval: 1s}}
rule_files: [rules.yml]
alertmanager:
  global: {{slack_api_url: "http://{slack_at}/services/T/B/secret"}}
  templates: ["*.tmpl"]
  route: {{receiver: all, group_by: [alertname], group_wait: 0s, group_interval: 10s}}
  receivers:
    - name: all
      slack_configs:
        - channel: "\#ops"
          send_resolved: true
          text: '{{{{ template "lines" . }}}}'
          fields: [{{title: Job, value: '{{{{ .CommonLabels.job }}}}', short: true}}]
      pagerduty_configs:
        - url: "http://{pager}/v2/enqueue"
          routing_key_file: routing-key
          severity: '{{{{ .CommonLabels.severity }}}}'
          details: {{runbook: "http://wiki"}}
      opsgenie_configs: [{{api_url: "http://{opsgenie}", api_key: g3nie, priority: P1}}]
      msteamsv2_configs: [{{webhook_url: "http://{teams}/workflows/x?sig=secret"}}]
"#,
        pager = pagerduty_at.0,
        opsgenie = opsgenie_at.address,
        teams = teams_at.address,
    )
    .replace("\\#", "#");
    fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    fs::write(folder.path().join("rules.yml"), RULES).unwrap();
    fs::write(folder.path().join("routing-key"), "R0UTE\n").unwrap();
    fs::write(
        folder.path().join("mine.tmpl"),
        r#"{{ define "lines" }}{{ range .Alerts }}* {{ .Annotations.summary }}{{ end }}{{ end }}"#,
    )
    .unwrap();
    let mut server = Server::start(folder.path(), Ports::free());

    let nth = |inbox: &Inbox, at: usize, what: &str| {
        until(what, PATIENCE, || inbox.lock().unwrap().get(at).cloned())
    };
    let refused = nth(&slack, 0, "slack is told");
    let (line, head, message) = nth(&slack, 1, "slack is told again");
    assert_eq!(line, "POST /services/T/B/secret HTTP/1.1");
    assert_eq!(message, refused.2, "the same is sent again");
    let key = |head: &str| {
        let line = head.lines().find(|line| line.to_lowercase().starts_with("idempotency-key:"));
        line.unwrap_or_else(|| panic!("no key in {head}")).to_owned()
    };
    assert_eq!(key(&head), key(&refused.1));
    let attachment = &message["attachments"][0];
    assert_eq!((&message["channel"], &message["username"]), (&json!("#ops"), &json!("Alertmanager")));
    assert_eq!(attachment["title"], "[FIRING:1] Down (api critical)");
    assert_eq!((&attachment["text"], &attachment["color"]), (&json!("* it is down"), &json!("danger")));
    assert_eq!(attachment["fields"], json!([{"title": "Job", "value": "api", "short": true}]));

    let event = nth(&pagerduty, 0, "pagerduty is told").2;
    assert_eq!((&event["routing_key"], &event["event_action"]), (&json!("R0UTE"), &json!("trigger")));
    assert_eq!(event["payload"]["severity"], "critical");
    let details = &event["payload"]["custom_details"];
    assert_eq!((&details["runbook"], &details["num_firing"]), (&json!("http://wiki"), &json!("1")));
    assert!(details["firing"].as_str().unwrap().contains(" - job = api\n"), "{details}");

    let (line, head, alert) = nth(&opsgenie, 0, "opsgenie is told");
    assert_eq!(line, "POST /v2/alerts HTTP/1.1");
    assert!(head.to_lowercase().contains("authorization: geniekey g3nie"), "{head}");
    assert_eq!(alert["message"], "[FIRING:1] Down (api critical)");
    assert_eq!(alert["details"]["severity"], "critical");

    let card = nth(&teams, 0, "teams is told").2;
    let body = &card["attachments"][0]["content"]["body"];
    assert_eq!(body[0]["text"], "[FIRING:1] Down (api critical)");
    assert!(body[1]["text"].as_str().unwrap().contains("# Alerts Firing:"), "{body}");

    // The rule goes on, and yields nothing any more.
    fs::write(folder.path().join("rules.yml"), RULES.replace("vector(1)", "vector(1) > 2")).unwrap();
    assert_eq!(server.api.post("/-/reload", &[], b"").status, 200);
    let resolved = nth(&pagerduty, 1, "pagerduty is told of the end").2;
    assert_eq!((&resolved["event_action"], &resolved["dedup_key"]), (&json!("resolve"), &event["dedup_key"]));
    let closed = nth(&opsgenie, 1, "opsgenie is told of the end").0;
    let alias = alert["alias"].as_str().unwrap();
    assert_eq!(closed, format!("POST /v2/alerts/{alias}/close?identifierType=alias HTTP/1.1"));
    let message = nth(&slack, 2, "slack is told of the end").2;
    assert_eq!(message["attachments"][0]["title"], "[RESOLVED] Down (api critical)");
    assert_eq!(message["attachments"][0]["color"], "good");

    // No secret is shown: neither the keys nor the URLs that are secrets.
    let shown = server.api.get("/api/v1/status/config").body + &server.api.get("/api/v1/plugins").body;
    for secret in ["T/B/secret", "R0UTE", "g3nie", "sig=secret"] {
        assert!(!shown.contains(secret) && !server.log().join("\n").contains(secret), "{secret} is shown");
    }
    server.terminate();
    // The answer that turned it away is told, and nothing else.
    assert_eq!(server.unexpected(&["server answered status 429"]), Vec::<String>::new());
}

#[test]
fn a_section_without_its_plugin_says_which_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("plugins")).unwrap();
    fs::write(
        folder.path().join("prometheus.yml"),
        "alertmanager:\n  route: {receiver: a}\n  receivers: [{name: a, discord_configs: [{webhook_url: 'http://d/x'}]}]\n",
    )
    .unwrap();
    let output = std::process::Command::new(server::binary())
        .current_dir(folder.path())
        .args(["--config.file=prometheus.yml", "--plugins.dir=plugins", "--storage.tsdb.path=data"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{told}");
    assert!(
        told.contains(
            "alertmanager.receivers.discord_configs: alerts are sent by a plugin of the kind receiver"
        ) && told.contains("discord"),
        "{told}"
    );
}
