//! Parts of the API that are more than one JSON answer: search, notices as they happen, pages of other origins, a path
//! prefix, the configuration as it is shown and applied; and what Grafana's Prometheus data source asks.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::server::{Ports, Server};
use crate::harness::{PATIENCE, now_ms, until, until_value};

const CONFIG: &str = "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n";

fn start(config: &str, flags: &[&str]) -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("plugins")).unwrap();
    let ports = Ports::free();
    let config = config.replace("@SELF@", &format!("127.0.0.1:{}", ports.web));
    fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    let server = Server::start_with(folder.path(), ports, flags);
    (folder, server)
}

/// A job that scrapes the server itself.
fn own_job() -> String {
    format!("{CONFIG}scrape_configs: [{{job_name: self, static_configs: [{{targets: ['@SELF@']}}]}}]\n")
}

/// Asks with headers of one's own, and answers with the head of the answer.
fn head(server: &Server, request: &str) -> Vec<String> {
    let mut stream = TcpStream::connect(server.api.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{request}\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.take_while(|line| !line.is_empty()).map(|line| line.to_ascii_lowercase()).collect()
}

#[test]
fn names_are_found_by_what_they_look_like() {
    let (_folder, server) = start(&own_job(), &[]);
    until_value(&server.api, "up", |up| up == 1.0);
    let search = |path: &str, parameters: &[(&str, &str)]| -> Vec<Value> {
        let answer = server.api.get_with(&format!("/api/v1/search/{path}"), parameters);
        assert_eq!(
            (answer.status, answer.content_type.as_str()),
            (200, "application/x-ndjson"),
            "{}",
            answer.body
        );
        let form = server.api.post_form(&format!("/api/v1/search/{path}"), parameters);
        assert_eq!(form.body, answer.body);
        answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let metrics = search(
        "metric_names",
        &[("search[]", "process_open"), ("include_metadata", "true"), ("sort_by", "score")],
    );
    assert_eq!(metrics[0]["results"][0]["name"], "process_open_fds");
    assert_eq!(metrics[0]["results"][0]["type"], "gauge");
    assert!(metrics[0]["results"][0]["help"].as_str().is_some_and(|help| !help.is_empty()));
    assert_eq!(metrics.last(), Some(&json!({ "status": "success", "has_more": false })));
    let labels = search("label_names", &[("search[]", "inst"), ("limit", "1"), ("include_score", "1")]);
    assert_eq!(labels[0]["results"][0]["name"], "instance");
    assert!(labels[0]["results"][0]["score"].as_f64().is_some_and(|score| score > 0.9));
    let values = search("label_values", &[("label", "__name__"), ("limit", "3"), ("batch_size", "2")]);
    assert_eq!(values.len(), 3);
    assert_eq!(values[2], json!({ "status": "success", "has_more": true }));
    let missing = server.api.get("/api/v1/search/label_values");
    assert_eq!((missing.status, missing.json()["errorType"].as_str()), (400, Some("bad_data")));
}

#[test]
fn a_failed_reload_is_told_and_the_old_configuration_goes_on() {
    let (folder, server) = start(&own_job(), &["--web.max-notifications-subscribers=1"]);
    let mut stream = TcpStream::connect(server.api.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /api/v1/notifications/live HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.eq_ignore_ascii_case("content-type: text/event-stream")));
    let full = server.api.get("/api/v1/notifications/live");
    assert_eq!(full.status, 204);

    let file = folder.path().join("prometheus.yml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{good}nonsense: 1\n")).unwrap();
    let answer = server.api.post("/-/reload", &[], b"");
    assert_eq!(answer.status, 500);
    assert!(
        answer.body.contains("prometheus.yml:3:1: nonsense: unknown field `nonsense`"),
        "{}",
        answer.body
    );
    let event = lines.find(|line| line.starts_with("data:")).unwrap();
    let event: Value = serde_json::from_str(event.trim_start_matches("data:")).unwrap();
    assert_eq!(
        (&event["text"], &event["active"]),
        (&json!("Configuration reload has failed."), &json!(true))
    );
    assert_eq!(server.api.data("/api/v1/notifications", &[])[0]["active"], true);
    assert_eq!(server.api.data("/api/v1/status/runtimeinfo", &[])["reloadConfigSuccess"], false);
    let metrics = server.api.get("/metrics").body;
    assert!(metrics.contains("prometheus_config_last_reload_successful 0"), "{metrics}");

    fs::write(&file, good).unwrap();
    assert_eq!(server.api.post("/-/reload", &[], b"").status, 200);
    let event = lines.find(|line| line.starts_with("data:")).unwrap();
    assert!(event.contains("\"active\":false"), "{event}");
    assert_eq!(server.api.data("/api/v1/notifications", &[]), json!([]));
}

#[test]
fn files_that_change_are_applied_where_that_is_asked_for() {
    let config = format!("{CONFIG}rule_files: ['rules*.yml']\nscrape_config_files: ['jobs*.yml']\n");
    let (folder, server) = start(&config, &["--config.auto-reload", "--config.auto-reload-interval=1s"]);
    assert_eq!(server.api.data("/api/v1/rules", &[])["groups"], json!([]));
    let rules = "groups: [{name: g, rules: [{record: one, expr: vector(1)}]}]";
    fs::write(folder.path().join("rules1.yml"), rules).unwrap();
    until_value(&server.api, "one", |one| one == 1.0);
    let jobs = "scrape_configs: [{job_name: late, static_configs: [{targets: ['127.0.0.1:9']}]}]";
    fs::write(folder.path().join("jobs1.yml"), jobs).unwrap();
    until("the job is there", PATIENCE, || {
        let pools = server.api.data("/api/v1/scrape_pools", &[]);
        (pools["scrapePools"] == json!(["late"])).then_some(())
    });
}

#[test]
fn the_configuration_is_shown_without_secrets() {
    let config = format!(
        "{CONFIG}scrape_configs: [{{job_name: a, basic_auth: {{username: u, password: hunter2}}, \
         static_configs: [{{targets: ['127.0.0.1:9']}}]}}]\n"
    );
    let (_folder, server) = start(&config, &["--web.console.libraries=x"]);
    let yaml = server.api.data("/api/v1/status/config", &[])["yaml"].as_str().unwrap().to_owned();
    assert!(yaml.contains("password: <secret>") && yaml.contains("username: u"), "{yaml}");
    assert!(!yaml.contains("hunter2"));
    let flags = server.api.data("/api/v1/status/flags", &[]);
    assert_eq!((&flags["web.console.libraries"], &flags["query.timeout"]), (&json!("x"), &json!("2m")));
    assert!(server.log().iter().any(|line| line.contains("--web.console.libraries has no effect")));
}

#[test]
fn pages_of_chosen_origins_may_use_the_api_under_a_prefix() {
    let flags = ["--web.cors.origin=https://(a|b)[.]example", "--web.external-url=http://here/prom/"];
    // The harness asks for the root, which a prefix moves.
    let flags: Vec<&str> = flags.into_iter().chain(["--web.route-prefix=/"]).collect();
    let (_folder, server) = start(CONFIG, &flags);
    let allowed = head(&server, "GET /api/v1/labels HTTP/1.1\r\nOrigin: https://a.example");
    assert!(allowed.contains(&"access-control-allow-origin: https://a.example".to_owned()), "{allowed:?}");
    let asked = head(&server, "OPTIONS /api/v1/query HTTP/1.1\r\nOrigin: https://b.example");
    assert!(asked[0].starts_with("http/1.1 204"), "{asked:?}");
    assert!(asked.contains(&"access-control-allow-methods: get, post, options".to_owned()), "{asked:?}");
    let refused = head(&server, "GET /api/v1/labels HTTP/1.1\r\nOrigin: https://evil.example");
    assert!(!refused.iter().any(|line| line.starts_with("access-control-")), "{refused:?}");
    assert_eq!(server.api.get("/version").json()["version"], "3.14.0");
}

/// The calls are those that the data source's documentation and Prometheus' API documentation name: form bodies for
/// queries, label values by selector, metadata by metric, rules and the version of the server.
#[test]
fn grafanas_data_source_gets_its_answers() {
    let config = format!("{}rule_files: [rules.yml]\n", own_job());
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("plugins")).unwrap();
    let ports = Ports::free();
    let config = config.replace("@SELF@", &format!("127.0.0.1:{}", ports.web));
    fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    let rules =
        "groups: [{name: g, rules: [{alert: Up, expr: up == 1, labels: {team: t}}, {record: r, expr: up}]}]";
    fs::write(folder.path().join("rules.yml"), rules).unwrap();
    let server = Server::start(folder.path(), ports);
    let api = &server.api;
    until_value(api, "up", |up| up == 1.0);
    until_value(api, "r", |r| r == 1.0);
    let (start, end) = ((now_ms() / 1000 - 60).to_string(), (now_ms() / 1000 + 1).to_string());
    let post = |path: &str, parameters: &[(&str, &str)]| -> Value {
        let answer = api.post_form(path, parameters);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()["data"].clone()
    };
    // Health check.
    assert_eq!(post("/api/v1/query", &[("query", "1+1"), ("time", "4")])["result"], json!([4, "2"]));
    assert_eq!(api.data("/api/v1/status/buildinfo", &[])["version"], "3.14.0");
    // A panel, and the same instantly.
    let range = [("query", "up{}"), ("start", &*start), ("end", &*end), ("step", "1")];
    let panel = post("/api/v1/query_range", &range);
    assert_eq!(
        (&panel["resultType"], &panel["result"][0]["metric"]["job"]),
        (&json!("matrix"), &json!("self"))
    );
    assert_eq!(post("/api/v1/query", &[("query", "up"), ("time", &end)])["resultType"], "vector");
    assert_eq!(post("/api/v1/query_exemplars", &range[..3]), json!([]));
    // Variables and the query builder.
    let within = [("start", &*start), ("end", &*end)];
    let values = |name: &str, selector: &str| {
        let path = format!("/api/v1/label/{name}/values");
        api.data(&path, &[("match[]", selector), within[0], within[1]])
    };
    assert_eq!(values("job", "up"), json!(["self"]));
    assert_eq!(
        values("__name__", "{job=\"self\", __name__=~\"process_open.*\"}"),
        json!(["process_open_fds"])
    );
    let names = post("/api/v1/labels", &[("match[]", "up"), within[0], within[1]]);
    assert_eq!(names, json!(["__name__", "instance", "job"]));
    let series = post("/api/v1/series", &[("match[]", "up"), within[0], within[1]]);
    assert_eq!(series[0]["__name__"], "up");
    let metadata = api.data("/api/v1/metadata", &[("limit", "1"), ("metric", "process_open_fds")]);
    assert_eq!(metadata["process_open_fds"][0]["type"], "gauge");
    assert!(api.data("/api/v1/metadata", &[]).as_object().is_some_and(|families| families.len() > 20));
    assert_eq!(post("/api/v1/format_query", &[("query", "sum( up )")]), "sum(up)");
    assert!(post("/api/v1/parse_query", &[("query", "up")])["type"].is_string());
    // Alerting.
    let rules = api.data("/api/v1/rules", &[("type", "alert")]);
    assert_eq!(rules["groups"][0]["rules"][0]["name"], "Up");
    until("the alert fires", Duration::from_secs(20), || {
        let alerts = api.data("/api/v1/alerts", &[]);
        (alerts["alerts"][0]["state"] == "firing").then_some(())
    });
    assert!(api.data("/api/v1/alertmanagers", &[])["activeAlertmanagers"].is_array());
}
