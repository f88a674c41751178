//! The whole path, end to end: the built server as a process, real HTTP, real files, real components, an
//! OpenTelemetry SDK as a client. One server serves every step, as it would a user; steps follow each other.

mod telemetry;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use formats::{TimeSeries, WriteRequest, remote_write};
use model::{Labels, Sample};
use serde_json::{Value, json};

use crate::harness::http::{self, Client, Listener};
use crate::harness::server::{self, Ports, Server};
use crate::harness::{PATIENCE, now_ms, until, until_value};

/// What is logged of guests that fail on purpose.
const HOSTILE: &str = "msg=\"a plugin fails\" plugin=hostile-";

/// What is logged of the reload that must be refused.
const REFUSED: &str = "msg=\"reload the configuration: prometheus.yml:5:";

/// The world around the server.
struct World {
    /// Value of the gauge that the target `app` exposes.
    level: Arc<AtomicU64>,
    app: Option<Listener>,
    notified: Arc<Mutex<Vec<Value>>>,
    hook: Listener,
    discovery: Listener,
}

impl World {
    fn build() -> Self {
        let level = Arc::new(AtomicU64::new(10));
        let app = Listener::start(metrics_page(Arc::clone(&level)));
        let notified = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&notified);
        let hook = Listener::start(move |request| {
            kept.lock().unwrap().push(serde_json::from_str(&request.body).unwrap());
            ("text/plain", String::new())
        });
        let groups = json!([{"targets": [app.address.to_string()], "labels": {"found": "yes"}}]).to_string();
        let discovery = Listener::start(move |_| ("application/json", groups.clone()));
        Self { level, app: Some(app), notified, hook, discovery }
    }

    fn app_address(&self) -> String {
        self.app.as_ref().unwrap().address.to_string()
    }

    /// Writes `prometheus.yml`, the rules and the plugin folder.
    fn configure(&self, folder: &Path) {
        server::collect_plugins(&folder.join("plugins"));
        let (app, hook, discovery) = (self.app_address(), self.hook.address, self.discovery.address);
        let hostile: String = ["spin", "allocate", "trap"]
            .iter()
            .map(|mode| {
                format!(
                    "  - name: hostile-{mode}\n    plugin: hostile\n    interval: 1s\n    config: {{mode: {mode}}}\n    \
                     limits: {{memory: 16MiB, deadline: 500ms}}\n"
                )
            })
            .collect();
        let config = format!(
            r#"global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
scrape_configs:
  - job_name: app
    static_configs: [{{targets: ["{app}"]}}]
  - job_name: discovered
    plugin_sd_configs: [{{plugin: finder}}]
rule_files: [rules.yml]
plugins:
  - name: host
    plugin: host-metrics
    interval: 1s
    grants: {{files: [{{path: /proc, mode: read}}, {{path: /sys, mode: read}}, {{path: /, mode: stat}}]}}
  - name: finder
    plugin: http-sd
    interval: 1s
    config: {{url: "http://{discovery}/targets"}}
    grants: {{http: ["http://{discovery}"]}}
  - name: hook
    plugin: webhook
    config: {{url: "http://{hook}/alerts"}}
    grants: {{http: ["{hook}"]}}
  - name: outliers
    plugin: zscore
    interval: 1s
    detect: {{expr: 'app_level{{job="app"}}', range: 60s, step: 1s}}
{hostile}alertmanager:
  route: {{receiver: hook, group_by: [alertname], group_wait: 1s, group_interval: 10s}}
  receivers:
    - name: hook
      plugin_configs: [{{plugin: hook}}]
"#
        );
        fs::write(folder.join("prometheus.yml"), config).unwrap();
        let rules = r#"groups:
  - name: test
    rules:
      - {record: "job:up:sum", expr: "sum by (job) (up)"}
      - alert: AppDown
        expr: up{job="app"} == 0
        for: 1s
        labels: {severity: page}
        annotations: {summary: "{{ $labels.job }} is at {{ $value }}"}
"#;
        fs::write(folder.join("rules.yml"), rules).unwrap();
    }
}

fn metrics_page(level: Arc<AtomicU64>) -> impl FnMut(http::Request) -> (&'static str, String) + Send {
    move |_| {
        let level = level.load(Ordering::SeqCst);
        let page = format!("# HELP app_level A level.\n# TYPE app_level gauge\napp_level {level}\n");
        ("text/plain; version=0.0.4", page)
    }
}

#[test]
fn the_whole_path() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::build();
    world.configure(folder.path());
    let ports = Ports::free();
    let server = Server::start(folder.path(), ports);
    let api = server.api.clone();

    collector_and_targets(&api);
    hostile_guests_fail_alone(&api);
    pushed_series(&api, ports);
    let trace_id = traces_and_exemplars(&api, ports);
    detector(&world, &api);
    alert_reaches_the_hook(&mut world, &api);
    reload(&server, folder.path());
    check_config(folder.path());
    new_build_of_a_plugin(&api, folder.path());
    assert_eq!(server.unexpected(&[HOSTILE, REFUSED]), Vec::<String>::new());

    server.kill();
    let mut server = Server::start(folder.path(), ports);
    everything_is_still_there(&server.api, &trace_id);
    server.terminate();
    assert_eq!(server.unexpected(&[HOSTILE]), Vec::<String>::new());
}

/// The collector yields the machine's metrics, and targets are scraped whether they are named or discovered.
fn collector_and_targets(api: &Client) {
    until_value(api, r#"count({job="host"})"#, |count| count > 50.0);
    until_value(api, r#"up{job="host"}"#, |up| up == 1.0);
    until_value(api, r#"count(node_memory_MemTotal_bytes{job="host"})"#, |count| count == 1.0);
    until_value(api, r#"up{job="app"}"#, |up| up == 1.0);
    until_value(api, r#"up{job="discovered", found="yes"}"#, |up| up == 1.0);
    until_value(api, r#"job:up:sum{job="app"}"#, |up| up == 1.0);
    let build = api.data("/api/v1/status/buildinfo", &[]);
    assert_eq!(build["version"], "3.14.0");
    assert_eq!(api.data("/api/v1/metadata", &[("metric", "app_level")])["app_level"][0]["type"], "gauge");
    let jobs = api.data("/api/v1/label/job/values", &[("match[]", "up")]);
    assert!(jobs.as_array().unwrap().contains(&json!("discovered")), "{jobs}");
    let wrong = api.get("/api/v1/query?query=sum(");
    assert_eq!((wrong.status, wrong.json()["errorType"].clone()), (400, json!("bad_data")));
}

/// A guest that spins, one that takes all memory and one that traps: each is down by itself, for its own reason,
/// and scrapes go on.
fn hostile_guests_fail_alone(api: &Client) {
    for (mode, outcome) in [("spin", "deadline"), ("allocate", "memory"), ("trap", "trap")] {
        until_value(api, &format!("up{{job=\"hostile-{mode}\"}}"), |up| up == 0.0);
        let answer = api.get("/metrics");
        let line = answer.body.lines().find(|line| {
            line.starts_with("stormglass_plugin_calls_total")
                && line.contains(&format!("plugin=\"hostile-{mode}\""))
                && line.contains(&format!("outcome=\"{outcome}\""))
        });
        assert!(line.is_some(), "hostile-{mode} did not fail by {outcome}:\n{}", answer.body);
    }
    let before = api.value(r#"count_over_time(up{job="host"}[10m])"#).unwrap();
    until_value(api, r#"count_over_time(up{job="host"}[10m])"#, |count| count > before);
    assert_eq!(api.value(r#"min_over_time(up{job="host"}[10m])"#), Some(1.0));
}

/// Series come in by remote write, by OTLP over HTTP in JSON, and from an SDK over gRPC.
fn pushed_series(api: &Client, ports: Ports) {
    let labels = Labels::from_pairs([("__name__", "pushed_total"), ("via", "remote-write")]);
    let series = TimeSeries { labels, samples: vec![Sample::new(now_ms(), 7.0)], ..TimeSeries::default() };
    let body = remote_write::encode(&WriteRequest { series: vec![series], metadata: Vec::new() });
    let headers = [("Content-Encoding", "snappy"), ("Content-Type", "application/x-protobuf")];
    let answer = api.post("/api/v1/write", &headers, &body);
    assert_eq!(answer.status, 204, "{}", answer.body);
    assert_eq!(api.value(r#"pushed_total{via="remote-write"}"#), Some(7.0));
    assert_eq!(api.post("/api/v1/write?get_vm_proto_version=1", &[], b"").body, "1");

    let content_type = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    let headers = [("Content-Encoding", "snappy"), ("Content-Type", content_type)];
    // The second time, the series is known.
    for (time, value) in [(now_ms() - 1000, 8.0), (now_ms(), 9.0)] {
        let body = second_version("pushed_total", "version-2", time, value);
        let answer = api.post("/api/v1/write", &headers, &body);
        assert_eq!(answer.status, 204, "{}", answer.body);
        assert_eq!(api.value(r#"pushed_total{via="version-2"}"#), Some(value));
    }

    let message = json!({"resourceMetrics": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeMetrics": [{"metrics": [{
            "name": "basket.size", "unit": "By",
            "gauge": {"dataPoints": [{"timeUnixNano": format!("{}000000", now_ms()), "asInt": "12"}]}
        }]}]
    }]});
    let otlp = Client::new(&format!("http://127.0.0.1:{}", ports.otlp_http));
    let answer =
        otlp.post("/v1/metrics", &[("Content-Type", "application/json")], message.to_string().as_bytes());
    assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
    assert_eq!(api.value(r#"basket_size_bytes{job="shop"}"#), Some(12.0));

    telemetry::send_metrics(ports.otlp_grpc);
    until_value(api, r#"sdk_orders_total{job="sdk-shop"}"#, |orders| orders == 3.0);
}

/// A request of remote write 2.0 with one sample, in snappy that compresses nothing.
fn second_version(name: &str, via: &str, mut time: i64, value: f64) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        let length = u8::try_from(bytes.len()).ok().filter(|length| *length < 0x80);
        [&[number << 3 | 2, length.expect("a short field")], bytes].concat()
    };
    let mut sample = [&[1 << 3 | 1][..], &value.to_le_bytes(), &[2 << 3]].concat();
    while time >= 0x80 {
        sample.push(time as u8 | 0x80);
        time >>= 7;
    }
    sample.push(time as u8);
    let series = [field(1, &[1, 2, 3, 4]), field(2, &sample)].concat();
    let symbols = ["", "__name__", name, "via", via].map(|symbol| field(4, symbol.as_bytes()));
    let message = [symbols.concat(), field(5, &series)].concat();
    let mut body = vec![u8::try_from(message.len()).ok().filter(|l| *l < 0x80).expect("a short message")];
    for literal in message.chunks(60) {
        body.push((literal.len() as u8 - 1) << 2);
        body.extend_from_slice(literal);
    }
    body
}

/// A trace is found by its id and by search; its span metrics carry an exemplar that leads back to it.
fn traces_and_exemplars(api: &Client, ports: Ports) -> String {
    let trace_id = telemetry::send_trace(ports.otlp_grpc);
    trace_is_there(api, &trace_id);
    let answer = api.get("/api/search?tags=service.name%3Dsdk-shop");
    assert_eq!(answer.json()["traces"][0]["traceID"], json!(trace_id), "{}", answer.body);
    assert_eq!(api.get("/api/traces/00000000000000000000000000000001").status, 404);

    let selector = r#"{service="sdk-shop", span_name="checkout"}"#;
    until_value(api, &format!("traces_spanmetrics_calls_total{selector}"), |calls| calls == 1.0);
    until_value(api, &format!("traces_spanmetrics_latency_count{selector}"), |calls| calls == 1.0);
    exemplar_names_trace(api, &trace_id);

    // The server's own spans are in the same store.
    until("the server's own spans are found", PATIENCE, || {
        let found = api.get("/api/search?tags=service.name%3Dstormglass").json();
        found["traces"].as_array().is_some_and(|traces| !traces.is_empty()).then_some(())
    });
    trace_id
}

fn trace_is_there(api: &Client, trace_id: &str) {
    let trace = api.get(&format!("/api/traces/{trace_id}"));
    assert_eq!(trace.status, 200, "{}", trace.body);
    let spans: Vec<Value> = trace.json()["batches"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|batch| batch["scopeSpans"].as_array().unwrap())
        .flat_map(|scope| scope["spans"].as_array().unwrap())
        .cloned()
        .collect();
    let names: Vec<&str> = spans.iter().filter_map(|span| span["name"].as_str()).collect();
    assert!(names.contains(&"checkout") && names.contains(&"charge card"), "{names:?}");
}

fn exemplar_names_trace(api: &Client, trace_id: &str) {
    let (start, end) = ((now_ms() - 600_000) as f64 / 1000.0, (now_ms() + 60_000) as f64 / 1000.0);
    let data = api.data(
        "/api/v1/query_exemplars",
        &[
            ("query", r#"traces_spanmetrics_latency_bucket{span_name="checkout"}"#),
            ("start", &start.to_string()),
            ("end", &end.to_string()),
        ],
    );
    let ids: Vec<&Value> = data
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|series| series["exemplars"].as_array().unwrap())
        .map(|exemplar| &exemplar["labels"]["trace_id"])
        .collect();
    assert!(ids.contains(&&json!(trace_id)), "{data}");
}

/// While the level is steady its score is low; a step raises it.
fn detector(world: &World, api: &Client) {
    let score = r#"anomaly_score{job="outliers", exported_job="app"}"#;
    until_value(api, score, |score| score < 1.0);
    world.level.store(1000, Ordering::SeqCst);
    until_value(api, score, |score| score > 5.0);
    until_value(api, r#"anomaly_upper{job="outliers"}"#, |upper| upper < 1000.0);
}

/// The target goes away: `up` says so, the alert fires and reaches the listener; it comes back: the listener hears
/// that too.
fn alert_reaches_the_hook(world: &mut World, api: &Client) {
    let address = world.app.take().unwrap().address;
    until_value(api, r#"up{job="app"}"#, |up| up == 0.0);
    let notified = |status: &str| {
        until(&format!("the hook hears of a {status} alert"), PATIENCE, || {
            world.notified.lock().unwrap().iter().find(|body| body["status"] == status).cloned()
        })
    };
    let firing = notified("firing");
    assert_eq!(firing["version"], "4");
    assert_eq!(firing["receiver"], "hook");
    assert_eq!(firing["groupLabels"], json!({"alertname": "AppDown"}));
    assert_eq!(firing["alerts"][0]["labels"]["severity"], "page");
    assert_eq!(firing["alerts"][0]["annotations"]["summary"], "app is at 0");
    until_value(api, r#"ALERTS{alertname="AppDown", alertstate="firing"}"#, |value| value == 1.0);
    assert_eq!(api.data("/api/v1/alerts", &[])["alerts"][0]["state"], "firing");
    let groups = api.data("/api/v1/rules", &[]);
    assert_eq!(groups["groups"][0]["rules"][1]["state"], "firing", "{groups}");

    world.app = Some(Listener::start_at(address, metrics_page(Arc::clone(&world.level))));
    until_value(api, r#"up{job="app"}"#, |up| up == 1.0);
    let resolved = notified("resolved");
    assert_eq!(resolved["alerts"][0]["status"], "resolved");
}

/// A reload takes what is right and refuses what is wrong without losing what runs.
fn reload(server: &Server, folder: &Path) {
    let path = folder.join("prometheus.yml");
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, good.replace("job_name: discovered", "job_nome: discovered")).unwrap();
    let refused = server.api.post("/-/reload", &[], b"");
    assert_eq!(refused.status, 500);
    assert!(
        refused.body.contains("prometheus.yml:5:") && refused.body.contains("job_nome"),
        "{}",
        refused.body
    );

    fs::write(&path, good.replace("job_name: discovered", "job_name: renamed")).unwrap();
    server.signal("HUP");
    until_value(&server.api, r#"up{job="renamed"}"#, |up| up == 1.0);
    fs::write(&path, good).unwrap();
    assert_eq!(server.api.post("/-/reload", &[], b"").status, 200);
}

/// A plugin's file is replaced: the new one is in use without anyone saying so, and a broken one changes nothing.
fn new_build_of_a_plugin(api: &Client, folder: &Path) {
    let digest = |api: &Client| {
        let plugins = api.data("/api/v1/plugins", &[]);
        let host =
            plugins["plugins"].as_array().unwrap().iter().find(|plugin| plugin["name"] == "host").cloned();
        host.unwrap()["digest"].clone()
    };
    let before = digest(api);
    let (file, other) = (folder.join("plugins/host-metrics.wasm"), folder.join("plugins/hello.wasm"));
    let original = fs::read(&file).unwrap();
    fs::copy(other, &file).unwrap();
    until_value(api, r#"hello_answer{job="host"}"#, |answer| answer == 42.0);
    assert_ne!(digest(api), before);
    fs::write(&file, original).unwrap();
    until("the first build is back in use", PATIENCE, || (digest(api) == before).then_some(()));
}

/// `check config` says of the running configuration that it is valid, and of a wrong one what the server would say.
fn check_config(folder: &Path) {
    let check = |file: &str| {
        let output = Command::new(server::binary())
            .current_dir(folder)
            .args(["check", "config", file, "--plugins.dir=plugins"])
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (valid, said) = check("prometheus.yml");
    assert!(valid, "{said}");
    let good = fs::read_to_string(folder.join("prometheus.yml")).unwrap();
    for (place, from, to, complaint) in [
        ("name: hostile-spin", "mode: spin", "mode: dance", "plugins: hostile-spin"),
        ("name: finder", "plugin: http-sd", "plugin: nowhere", "plugins: no plugin \"nowhere\""),
        (
            "job_name: discovered",
            "plugin: finder",
            "plugin: hook",
            "scrape_configs.plugin_sd_configs: plugin \"hook\" is no discoverer",
        ),
    ] {
        let wrong = good.replace(from, to);
        fs::write(folder.join("wrong.yml"), &wrong).unwrap();
        let line = wrong.lines().position(|line| line.contains(place)).unwrap() + 1;
        let (valid, said) = check("wrong.yml");
        assert!(!valid && said.contains(&format!("wrong.yml:{line}:5: {complaint}")), "{said}");
    }
}

/// What was acknowledged before the kill is found after it.
fn everything_is_still_there(api: &Client, trace_id: &str) {
    let seen = |query: &str| api.value(&format!("last_over_time({query}[1h])"));
    assert_eq!(seen(r#"pushed_total{via="remote-write"}"#), Some(7.0));
    assert_eq!(seen(r#"basket_size_bytes{job="shop"}"#), Some(12.0));
    assert_eq!(seen(r#"sdk_orders_total{job="sdk-shop"}"#), Some(3.0));
    assert_eq!(api.value(r#"max_over_time(app_level{job="app"}[1h])"#), Some(1000.0));
    assert_eq!(
        api.value(r#"max_over_time(ALERTS{alertname="AppDown", alertstate="firing"}[1h])"#),
        Some(1.0)
    );
    trace_is_there(api, trace_id);
    exemplar_names_trace(api, trace_id);
    until_value(api, r#"up{job="host"}"#, |up| up == 1.0);
}
