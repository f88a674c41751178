//! Plugins of the kinds that came with 0.1.1, behind the built server: functions in queries, decoders behind listeners,
//! processors before storage, probes of a scrape job, and what an operator can do to a plugin.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};

use formats::{TimeSeries, WriteRequest, remote_write};
use model::{Labels, Sample};
use serde_json::Value;

use crate::harness::http::{Client, Listener};
use crate::harness::server::{self, Ports, Server};
use crate::harness::{PATIENCE, now_ms, until, until_value};

/// An address that was free a moment ago.
fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Where the decoders listen.
struct Addresses {
    statsd: String,
    graphite: String,
    influx: String,
}

fn configure(folder: &Path, addresses: &Addresses, own: &str) {
    server::collect_plugins(&folder.join("plugins"));
    let Addresses { statsd, graphite, influx } = addresses;
    let config = format!(
        r#"global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: probes
    metrics_path: /api/v1/plugins/blackbox/probe
    params: {{module: [http_2xx]}}
    static_configs: [{{targets: ["{own}"]}}]
    relabel_configs:
      - {{source_labels: [__address__], target_label: __param_target}}
      - {{source_labels: [__param_target], target_label: instance}}
      - {{target_label: __address__, replacement: "{own}"}}
plugins:
  - name: scrub
    plugin: label-scrub
    config: {{drop_metrics: [secret_], rename: {{old_name: new_name}}, drop_labels: [pod], add_labels: {{env: test}}}}
    process: {{on_failure: drop}}
  - name: smoothing
    plugin: smoothing
  - name: statsd
    plugin: statsd
    interval: 1s
    decode: {{listen: ["udp://{statsd}", "tcp://{statsd}"], gather: 10ms}}
  - name: graphite
    plugin: graphite
    decode: {{listen: ["tcp://{graphite}"]}}
  - name: blackbox
    plugin: http-probe
    config: {{modules: {{http_2xx: {{}}, teapot: {{valid_status_codes: [418]}}}}}}
    grants: {{http: ["{own}"]}}
  - name: influx
    plugin: influx-line
    decode: {{listen: ["http://{influx}/write"]}}
"#
    );
    fs::write(folder.join("prometheus.yml"), config).unwrap();
}

#[test]
fn plugins_of_the_later_kinds_do_their_work() {
    let folder = tempfile::tempdir().unwrap();
    let addresses = Addresses { statsd: free(), graphite: free(), influx: free() };
    let ports = Ports::free();
    let own = format!("127.0.0.1:{}", ports.web);
    configure(folder.path(), &addresses, &own);
    let mut server = Server::start(folder.path(), ports);
    let api = server.api.clone();
    processors(&api);
    functions(&api);
    decoders(&api, &addresses);
    probes(&api, &own);
    operators(&api);
    server.terminate();
    assert_eq!(server.unexpected(&["plugin=smoothing", "plugin=blackbox"]), Vec::<String>::new());
}

fn push(api: &Client, series: &[(&[(&str, &str)], f64)], time: i64) {
    let series = series.iter().map(|(labels, value)| TimeSeries {
        labels: Labels::from_pairs(labels.iter().copied()),
        samples: vec![Sample::new(time, *value)],
        ..TimeSeries::default()
    });
    let body = remote_write::encode(&WriteRequest { series: series.collect(), metadata: Vec::new() });
    let headers = [("Content-Type", "application/x-protobuf"), ("Content-Encoding", "snappy")];
    let answer = api.post("/api/v1/write", &headers, &body);
    assert_eq!((answer.status, answer.body), (204, String::new()));
}

/// What is pushed goes through the processor, twice the same series too.
fn processors(api: &Client) {
    let now = now_ms();
    for second in 0..3 {
        let time = now - 10_000 + second * 1000;
        let series: [(&[(&str, &str)], f64); 2] = [
            (&[("__name__", "old_name"), ("pod", "a"), ("x", "1")], f64::from(second as i32)),
            (&[("__name__", "secret_thing")], 1.0),
        ];
        push(api, &series, time);
    }
    let data = api.data("/api/v1/query", &[("query", "{__name__=~\"new_name|old_name|secret_thing\"}")]);
    let found = data["result"].as_array().unwrap();
    assert_eq!(found.len(), 1, "{data}");
    assert_eq!(found[0]["metric"], serde_json::json!({"__name__": "new_name", "x": "1", "env": "test"}));
    assert_eq!(api.value("count_over_time(new_name[1m])"), Some(3.0));
    let metrics = api.get("/metrics").body;
    assert!(
        metrics.contains(
            "stormglass_processor_items_total{outcome=\"out\",plugin=\"scrub\",signal=\"samples\"}"
        )
    );
}

/// Functions answer over vectors and ranges, and what is wrong is told with its place.
fn functions(api: &Client) {
    assert_eq!(api.value("wasm_robust_slope(new_name[1m])"), Some(1.0));
    let range =
        [("query", "wasm_ewma(vector(time() % 2), 0.5)"), ("start", "0"), ("end", "3"), ("step", "1")];
    let data = api.data("/api/v1/query_range", &range);
    let values: Vec<&str> = data["result"][0]["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| point[1].as_str().unwrap())
        .collect();
    assert_eq!(values, ["0", "0.5", "0.25", "0.625"]);
    let wrong = |query: &str, expected: &str| {
        let answer = api.get_with("/api/v1/query", &[("query", query)]);
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body["error"].as_str().unwrap_or_default(), expected);
    };
    wrong(
        "1 + wasm_none(up)",
        "invalid parameter \"query\": 1:5: parse error: unknown function with name \"wasm_none\"",
    );
    wrong(
        "wasm_ewma(new_name[1m])",
        "invalid parameter \"query\": 1:11: parse error: expected type instant vector in call to function \"wasm_ewma\", got range vector",
    );
    let answer = api.get_with("/api/v1/query", &[("query", "wasm_ewma(new_name, 7)")]);
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert!(answer.body.contains("alpha is 7") && answer.body.contains("(1:1)"), "{}", answer.body);
}

fn decoders(api: &Client, addresses: &Addresses) {
    // StatsD adds up over datagrams and connections, and is collected.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..5 {
        socket.send_to(b"hits:2|c|#page:home\nnonsense", &addresses.statsd).unwrap();
    }
    let mut stream = TcpStream::connect(&addresses.statsd).unwrap();
    stream.write_all(b"hits:1|c|#page:ho").unwrap();
    stream.flush().unwrap();
    stream.write_all(b"me\n").unwrap();
    drop(stream);
    until_value(api, "hits_total{page=\"home\",job=\"statsd\"}", |value| value == 11.0);
    until("rejected messages are counted", PATIENCE, || {
        let metrics = api.get("/metrics").body;
        metrics.contains("stormglass_decoder_rejected_total{plugin=\"statsd\"} 5").then_some(())
    });

    // Graphite's samples have times of their own.
    let seconds = now_ms() / 1000 - 5;
    let mut stream = TcpStream::connect(&addresses.graphite).unwrap();
    write!(stream, "servers.a.load;dc=west 1.5 {seconds}\nservers.b.load 2.5 {seconds}").unwrap();
    drop(stream);
    until_value(api, "servers_a_load{dc=\"west\",env=\"test\"}", |value| value == 1.5);
    until_value(api, "servers_b_load", |value| value == 2.5);

    // An HTTP listener tells what it took.
    let influx = Client::new(&format!("http://{}", addresses.influx));
    let answer =
        influx.post("/write", &[("Content-Type", "text/plain")], b"cpu,host=a usage=12.5,idle=87i\n");
    assert_eq!(answer.status, 204, "{}", answer.body);
    assert_eq!(api.value("cpu_usage{host=\"a\"}"), Some(12.5));
    let answer = influx.post("/write", &[], b"cpu value=1\nbroken\n");
    assert_eq!((answer.status, answer.body.as_str()), (400, "1 left out: it has no fields: \"broken\""));
    assert_eq!(api.value("cpu"), Some(1.0));
}

/// A scrape job probes its targets through a plugin, with parameters; anybody else can as well.
fn probes(api: &Client, own: &str) {
    until_value(api, "probe_success{job=\"probes\"}", |success| success == 1.0);
    assert_eq!(
        api.value(&format!("probe_http_status_code{{job=\"probes\",instance=\"{own}\"}}")),
        Some(200.0)
    );
    assert_eq!(api.value("up{job=\"probes\"}"), Some(1.0));
    let probe = |parameters: &[(&str, &str)]| api.get_with("/api/v1/plugins/blackbox/probe", parameters);
    let answer = probe(&[("target", own), ("module", "teapot")]);
    assert!(answer.status == 200 && answer.body.contains("probe_success 0\n"), "{}", answer.body);
    let answer = probe(&[("target", "127.0.0.1:1")]);
    assert!(answer.status == 503 && answer.body.contains("127.0.0.1:1 is not granted"), "{}", answer.body);
    assert_eq!(probe(&[]).status, 400);
    assert_eq!(api.get("/api/v1/plugins/smoothing/probe?target=x").status, 404);
}

/// What a plugin may ask of the host: granted, it is answered; not granted, it is told so, and nothing else happens.
#[test]
fn what_plugins_ask_of_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    // A server that repeats what it was sent.
    let listener = Listener::start(move |request| {
        kept.lock().unwrap().push(request.headers.clone());
        ("text/plain", request.headers)
    });
    let address = listener.address.to_string();
    server::collect_plugins(&folder.path().join("plugins"));
    fs::write(folder.path().join("open.txt"), "sesame\n").unwrap();
    fs::write(folder.path().join("sent.txt"), "t0ken\n").unwrap();
    let at = |file: &str| folder.path().join(file).display().to_string();
    let config = format!(
        r#"global: {{scrape_interval: 1s}}
plugins:
  - name: granted
    plugin: asker
    interval: 1s
    config: {{url: "http://{address}/"}}
    grants:
      http: ["{address}"]
      query: true
      secrets:
        - {{name: open, file: {open}}}
        - {{name: sent, file: {sent}, header: {{server: "http://{address}", prefix: "Bearer "}}}}
  - name: refused
    plugin: asker
    interval: 1s
    config: {{url: "http://{address}/"}}
"#,
        open = at("open.txt"),
        sent = at("sent.txt"),
    );
    let grants =
        config.split_once("    grants:").and_then(|(_, rest)| rest.split_once("  - name")).unwrap().0;
    let blabs = ["fail", "panic"].map(|blab| {
        format!(
            "  - name: blab-{blab}\n    plugin: asker\n    interval: 1s\n    \
             config: {{url: \"http://{address}/\", blab: {blab}}}\n    grants:{grants}"
        )
    });
    fs::write(folder.path().join("prometheus.yml"), config + &blabs.concat()).unwrap();
    let ports = Ports::free();
    let mut server = Server::start(folder.path(), ports);
    let api = server.api.clone();
    let answer = |to: &str| format!("asker_answer{{job=\"granted\",to=\"{to}\"}}");
    until_value(&api, &answer("kv"), |count| count >= 2.0);
    assert_eq!(api.value(&answer("secret")), Some(6.0));
    assert_eq!(api.value(&answer("query")), Some(7.0));
    assert_eq!(api.value(&answer("http")), Some(200.0));
    let denied = |job: &str| -> Vec<String> {
        let found = api.query(&format!("asker_denied{{job=\"{job}\"}}"));
        let mut why: Vec<String> = found
            .iter()
            .map(|(labels, _)| labels["why"].as_str().unwrap().replace(&address, "ADDRESS"))
            .collect();
        why.sort();
        why
    };
    assert_eq!(
        denied("granted"),
        [
            "files: /etc/hostname is not granted; add it to grants.files to allow it",
            "secrets: \"sent\" is sent as a header by the host and cannot be read",
        ]
    );
    assert_eq!(
        denied("refused"),
        [
            "files: /etc/hostname is not granted; add it to grants.files to allow it",
            "http: http://ADDRESS is not granted; add it to grants.http to allow it",
            "query: is not granted; set grants.query to allow it",
            "secrets: \"open\" is not granted; add it to grants.secrets to allow it",
            "secrets: \"sent\" is not granted; add it to grants.secrets to allow it",
        ]
    );
    let headers = seen.lock().unwrap().first().cloned().unwrap();
    assert!(headers.to_lowercase().contains("authorization: bearer t0ken"), "{headers}");
    let metrics = api.get("/metrics").body;
    assert!(
        metrics.contains("stormglass_plugin_own_asked_total{by=\"asker\",plugin=\"granted\"}"),
        "{metrics}"
    );
    assert!(metrics.contains("stormglass_plugin_own_dropped_total{plugin=\"granted\"}"));
    // Plugins that say what they know are shown saying it, without the secrets.
    let mut shown = until("those that blab have done so", PATIENCE, || {
        let shown = api.get("/api/v1/plugins").body;
        (shown.matches("it ends with").count() >= 2).then_some(shown)
    });
    shown += &api.get("/api/v1/status/config").body;
    shown += &metrics;
    let log = server.log().join("\n");
    for line in ["it ends with <secret> and", "uthorization: Bearer <secret>"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(log.contains("the log is told <secret> and"), "{log}");
    for secret in ["t0ken", "sesame"] {
        assert!(!shown.contains(secret), "a secret is shown: {shown}");
        assert!(!log.contains(secret), "a secret is in the log: {log}");
    }

    // The store outlives the server, and each entry has its own.
    let before = api.value(&answer("kv")).unwrap();
    server.terminate();
    assert_eq!(server.unexpected(&["plugin=blab-"]), Vec::<String>::new());
    let server = Server::start(folder.path(), ports);
    until_value(&server.api, &answer("kv"), |count| count > before);
}

/// A plugin can be paused, resumed and started anew, and says how it does.
fn operators(api: &Client) {
    let plugin = |name: &str| {
        let plugins = api.data("/api/v1/plugins", &[]);
        let plugins = plugins["plugins"].as_array().unwrap().clone();
        plugins.into_iter().find(|plugin| plugin["name"] == name).unwrap()
    };
    let smoothing = plugin("smoothing");
    assert_eq!(smoothing["kinds"], serde_json::json!(["function"]));
    assert_eq!(smoothing["functions"][0]["name"], "ewma");
    assert!(plugin("statsd")["memoryBytes"].as_u64().unwrap() > 0);
    let act = |action: &str| api.post(&format!("/api/v1/plugins/smoothing/{action}"), &[], b"").status;
    assert_eq!(act("pause"), 200);
    assert_eq!(plugin("smoothing")["state"], "paused");
    let answer = api.get_with("/api/v1/query", &[("query", "wasm_ewma(new_name)")]);
    assert!(answer.body.contains("an operator has paused the plugin"), "{}", answer.body);
    assert_eq!(act("resume"), 200);
    assert_eq!(api.value("count(wasm_ewma(new_name))"), Some(1.0));
    assert_eq!(act("reload"), 200);
    assert_eq!(plugin("smoothing")["calls"], 0);
    assert_eq!(act("dance"), 404);
    assert_eq!(api.post("/api/v1/plugins/nobody/pause", &[], b"").status, 404);
}

/// A detector that learns does so on its schedule, and what it has learnt is there again after a restart.
#[test]
fn a_detector_learns_on_its_schedule() {
    let folder = tempfile::tempdir().unwrap();
    server::collect_plugins(&folder.path().join("plugins"));
    let config = r#"global: {scrape_interval: 1s}
plugins:
  - {name: hello, plugin: hello, interval: 1s}
  - name: usual
    plugin: conformance
    interval: 1s
    config: {ops: []}
    decode: {listen: ["udp://127.0.0.1:0"]}
    process: {on_failure: pass}
    detect: {expr: "hello_answer", range: 5s, step: 1s, train: {interval: 1s, range: 10s, step: 1s}}
"#;
    fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    let ports = Ports::free();
    let mut server = Server::start(folder.path(), ports);
    let calls = |api: &Client, operation: &str| {
        let metrics = api.get("/metrics").body;
        let of = |line: &&str| {
            line.starts_with("stormglass_plugin_calls_total{")
                && line.contains("plugin=\"usual\"")
                && line.contains(&format!("operation=\"{operation}\""))
                && line.contains("outcome=\"ok\"")
        };
        metrics.lines().find(of).map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    };
    until("it has learnt twice", PATIENCE, || (calls(&server.api, "train") >= 2.0).then_some(()));
    // The conformance plugin adds what it has learnt to each score, by its length: 42 and some more.
    let learnt = until("scores know what was learnt", PATIENCE, || {
        server
            .api
            .query("anomaly_score{job=\"usual\"}")
            .first()
            .map(|(_, value)| *value)
            .filter(|score| *score > 42.0)
    });
    server.terminate();
    assert_eq!(server.unexpected(&[]), Vec::<String>::new());

    let server = Server::start(folder.path(), ports);
    until("scores go on from there", PATIENCE, || {
        let scores = server.api.query("anomaly_score{job=\"usual\"}");
        (scores.first()?.1 >= learnt && calls(&server.api, "detect") >= 1.0).then_some(())
    });
}
