//! Collection, end to end: the same targets scraped by the built server and by Prometheus, where it is installed, yield
//! the same series and the same answers; a server behind TLS, users and client certificates is scraped by another one
//! and read by `curl`; the command line judges files and texts as `promtool` does.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use benches::{Answer, Asker, Peer, Product, Question, Times};
use serde_json::Value;

use crate::harness::http::{Client, Listener};
use crate::harness::server::{Ports, Server, binary, collect_plugins};
use crate::harness::{PATIENCE, now_ms, until, until_value};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Text with all types, labels that collide with the target's, escapes and special values.
const PAGE: &str = r#"# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{code="200",job="own",instance="own"} 10
requests_total{code="500",exported_job="taken",job="own"} 3
# TYPE latency_seconds histogram
latency_seconds_bucket{le="0.5"} 3
latency_seconds_bucket{le="1.0"} 4
latency_seconds_bucket{le="+Inf"} 6
latency_seconds_sum 7.25
latency_seconds_count 6
# TYPE size_bytes summary
size_bytes{quantile="0.5"} 100
size_bytes{quantile="0.99"} NaN
size_bytes_sum 1000
size_bytes_count 9
odd{path="C:\\x\ny",quote="\"q\""} -Inf
odd{path=""} 1e-9
dropped_by_relabelling 1
"#;

/// OpenMetrics with exemplars and times of creation.
const PAGE_OPEN: &str = r#"# TYPE jobs counter
# UNIT jobs_seconds seconds
jobs_total{kind="a"} 5 # {trace_id="abc"} 1 1500000000
jobs_created{kind="a"} 1600000000
# TYPE state stateset
state{state="on"} 1
state{state="off"} 0
# EOF
"#;

/// What both are asked once they have scraped a few times.
const QUERIES: [&str; 12] = [
    "{job=\"plain\",__name__!~\"scrape_duration_seconds|scrape_series_added\"}",
    "{job=\"honest\",__name__!~\"scrape_duration_seconds|scrape_series_added\"}",
    "{job=\"own\"}",
    "{job=\"open\",__name__!~\"scrape_duration_seconds|scrape_series_added\"}",
    "{job=\"limited\",__name__!~\"scrape_duration_seconds|scrape_series_added\"}",
    "{job=\"found\",__name__!~\"scrape_duration_seconds|scrape_series_added\"}",
    "up",
    "sum by (job) (scrape_samples_scraped)",
    "sum by (job) (scrape_samples_post_metric_relabeling)",
    "histogram_quantile(0.9, latency_seconds_bucket)",
    "count by (job, __name__) ({__name__=~\"requests_total|odd|exported_.*\"})",
    "rate(requests_total[1m]) == 0",
];

#[test]
fn targets_yield_what_they_yield_in_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    let page = Listener::start(|_| (TEXT, PAGE.to_owned()));
    let open = Listener::start(|_| (OPEN_METRICS, PAGE_OPEN.to_owned()));
    let broken = Listener::start(|_| (TEXT, "a{ 1\n".to_owned()));
    let files = folder.path().join("targets.json");
    let listed = serde_json::json!([{"targets": [page.address.to_string()], "labels": {"from": "file"}}]);
    fs::write(&files, listed.to_string()).unwrap();
    let groups = serde_json::json!([{"targets": [open.address.to_string()], "labels": {"from": "server"}}]);
    let lists = Listener::start(move |_| ("application/json", groups.to_string()));
    let config = format!(
        r#"global: {{scrape_interval: 1s, scrape_timeout: 1s, external_labels: {{region: x}}}}
scrape_configs:
  - job_name: plain
    static_configs: [{{targets: ["{page}"], labels: {{env: test}}}}]
    metric_relabel_configs:
      - {{source_labels: [__name__], regex: dropped_.*, action: drop}}
      - {{source_labels: [code], regex: (.)00, target_label: class, replacement: "${{1}}xx"}}
  - job_name: honest
    honor_labels: true
    static_configs: [{{targets: ["{page}"]}}]
  - job_name: open
    honor_timestamps: false
    static_configs: [{{targets: ["{open}"]}}]
    relabel_configs:
      - {{source_labels: [__address__], modulus: 8, target_label: shard, action: hashmod}}
      - {{target_label: __param_module, replacement: m}}
      - {{source_labels: [__param_module], target_label: module}}
  - job_name: limited
    sample_limit: 5
    static_configs: [{{targets: ["{page}"]}}]
  - job_name: broken
    static_configs: [{{targets: ["{broken}", "127.0.0.1:1"]}}]
  - job_name: found
    file_sd_configs: [{{files: ["{files}"]}}]
    http_sd_configs: [{{url: "http://{lists}/"}}]
    relabel_configs:
      - {{source_labels: [__meta_filepath], regex: .+/(.+), target_label: file}}
      - {{regex: __meta_(url), replacement: found_$1, action: labelmap}}
"#,
        page = page.address,
        open = open.address,
        broken = broken.address,
        lists = lists.address,
        files = files.display(),
    );
    let ours = Peer::start(Product::Stormglass, &folder.path().join("ours"), &config, &[]).unwrap();
    scraped(&ours);
    let api = Client::new(ours.base());
    assert_eq!(api.value("sum(up)"), Some(5.0));
    assert_eq!(api.value("requests_total{job=\"plain\",class=\"2xx\"}"), Some(10.0));
    let log = fs::read_to_string(ours.folder().join("log.txt")).unwrap();
    assert!(!log.contains(" level=WARN ") && !log.contains(" level=ERROR "), "{log}");
    if Product::Prometheus.program().is_none() {
        println!("prometheus is not installed: nothing to compare with");
        return;
    }
    let theirs = Peer::start(Product::Prometheus, &folder.path().join("theirs"), &config, &[]).unwrap();
    scraped(&theirs);
    scraped(&ours);
    let at_ms = now_ms();
    let mut wrong = Vec::new();
    for query in QUERIES {
        let question = Question { text: query.to_owned(), times: Times::Instant { at_ms } };
        let [a, b] = [&theirs, &ours]
            .map(|peer| Answer::read(&Asker::default().ask(peer.base(), &question).unwrap()).unwrap());
        assert!(query == "{job=\"own\"}" || a.series_count() > 0, "{query} asks for nothing");
        if let Some(difference) = a.difference(&b, false) {
            wrong.push(format!("{query}: theirs and ours: {difference}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(series(&ours), series(&theirs));
    assert_eq!(targets(&ours), targets(&theirs));
}

/// What dashboards and alerts ask of node_exporter, over one page of a real one.
const NODE_QUERIES: [&str; 34] = [
    "count({job=\"node\"})",
    "count by (__name__) ({job=\"node\"})",
    "node_uname_info",
    "sum by (mode) (node_cpu_seconds_total)",
    "count without (cpu, mode) (node_cpu_seconds_total{mode=\"idle\"})",
    "1 - avg by (instance) (rate(node_cpu_seconds_total{mode=\"idle\"}[1m]))",
    "sum by (mode) (irate(node_cpu_seconds_total[1m])) * 100",
    "node_load1 / count without (cpu, mode) (node_cpu_seconds_total{mode=\"idle\"})",
    "avg_over_time(node_load5[1m])",
    "100 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes * 100",
    "node_memory_MemTotal_bytes - node_memory_MemFree_bytes - node_memory_Buffers_bytes - node_memory_Cached_bytes",
    "{__name__=~\"node_memory_(Active|Inactive).*_bytes\"} / 1024 / 1024",
    "node_filesystem_avail_bytes{fstype!=\"\"} / node_filesystem_size_bytes{fstype!=\"\"} * 100",
    "predict_linear(node_filesystem_avail_bytes{fstype!=\"\"}[1m], 4 * 3600) < 0",
    "max by (mountpoint) (1 - node_filesystem_files_free / node_filesystem_files)",
    "topk(5, node_filesystem_size_bytes)",
    "rate(node_network_receive_bytes_total{device!~\"lo|veth.*\"}[1m]) * 8",
    "sum by (device) (increase(node_network_transmit_packets_total[1m]))",
    "node_network_up == 1",
    "node_network_info{operstate=~\"up|unknown\"}",
    "count_values(\"speed\", node_network_speed_bytes)",
    "deriv(node_boot_time_seconds[1m])",
    "floor((time() - node_boot_time_seconds) / 1e9)",
    "changes(node_boot_time_seconds[1m])",
    "label_replace(node_os_info, \"os\", \"$1-$2\", \"id\", \"(..)(.*)\")",
    "group by (id) (node_os_info) * on () group_left (release) node_uname_info",
    "node_scrape_collector_success == 0 unless node_scrape_collector_success == 1",
    "sum(node_scrape_collector_success)",
    "quantile(0.9, node_filefd_maximum)",
    "stddev by (job) (node_cpu_seconds_total{mode=\"system\"})",
    "sort_desc(sum by (collector) (node_scrape_collector_success))",
    "histogram_quantile(0.9, rate(go_gc_duration_seconds[1m]))",
    "{__name__=~\"go_gc_duration_seconds_.*\"}",
    "absent(node_nothing{job=\"node\"})",
];

/// One page of a real node_exporter, where one is installed.
fn node_exporter_page() -> Option<String> {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let exporter = Command::new("prometheus-node-exporter")
        .arg(format!("--web.listen-address={free}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _exporter = Killed(exporter.ok()?);
    let api = Client::new(&format!("http://{free}"));
    let page = until("node_exporter answers", PATIENCE, || {
        let _connected = std::net::TcpStream::connect(free).ok()?;
        Some(api.get("/metrics").body)
    });
    Some(page)
}

#[test]
fn node_exporter_yields_what_it_yields_in_prometheus() {
    let Some(text) = node_exporter_page() else {
        println!("node_exporter is not installed: nothing to scrape");
        return;
    };
    if Product::Prometheus.program().is_none() {
        println!("prometheus is not installed: nothing to compare with");
        return;
    }
    // The same page for both, whenever they ask.
    let page = Listener::start(move |_| (TEXT, text.clone()));
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n  - job_name: node\n    \
         static_configs: [{{targets: ['{}']}}]\n",
        page.address
    );
    let folder = tempfile::tempdir().unwrap();
    let peers = [(Product::Prometheus, "theirs"), (Product::Stormglass, "ours")]
        .map(|(product, name)| Peer::start(product, &folder.path().join(name), &config, &[]).unwrap());
    for peer in &peers {
        until_value(&Client::new(peer.base()), "count_over_time(up[1m])", |count| count >= 5.0);
    }
    let at_ms = now_ms();
    let mut wrong = Vec::new();
    for query in NODE_QUERIES {
        let question = Question { text: query.to_owned(), times: Times::Instant { at_ms } };
        let [theirs, ours] = peers
            .each_ref()
            .map(|peer| Answer::read(&Asker::default().ask(peer.base(), &question).unwrap()).unwrap());
        if let Some(difference) = theirs.difference(&ours, false) {
            wrong.push(format!("{query}: theirs and ours: {difference}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let [theirs, ours] = peers.each_ref().map(series);
    assert!(theirs.len() > 200, "{} series of node_exporter", theirs.len());
    // As Prometheus does since 3.0, and the installed one may not do yet, we store quantiles as floats are written: 1.0.
    let comparable = |series: BTreeSet<String>| -> BTreeSet<String> {
        series.into_iter().filter(|labels| !labels.contains("\"quantile\"")).collect()
    };
    assert_eq!(comparable(ours), comparable(theirs));
}

/// Waits until every target has been scraped three times.
fn scraped(peer: &Peer) {
    let api = Client::new(peer.base());
    until_value(&api, "min(count_over_time(up[1m]))", |count| count >= 3.0);
    until_value(&api, "count(up)", |count| count == 8.0);
}

/// The labels of all series that were scraped.
fn series(peer: &Peer) -> BTreeSet<String> {
    let api = Client::new(peer.base());
    let data = api.data("/api/v1/series", &[("match[]", "{job=~\".+\"}")]);
    data.as_array().unwrap().iter().map(Value::to_string).collect()
}

/// What is said of targets that depends on nothing but the configuration.
fn targets(peer: &Peer) -> BTreeSet<String> {
    let data = Client::new(peer.base()).data("/api/v1/targets", &[]);
    let keys = [
        "discoveredLabels",
        "labels",
        "scrapePool",
        "scrapeUrl",
        "health",
        "scrapeInterval",
        "scrapeTimeout",
    ];
    let shown = |target: &Value| keys.map(|key| format!("{key}={}", target[key])).join(" ");
    data["activeTargets"].as_array().unwrap().iter().map(shown).collect()
}

/// A process that ends with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server that wants to know who asks, and does not wait for it: the harness would ask without a name.
fn secured(folder: &Path, ports: &Ports, flags: &[&str]) -> Killed {
    let server = Command::new(binary())
        .current_dir(folder)
        .args(flags)
        .arg(format!("--web.listen-address=127.0.0.1:{}", ports.web))
        .arg(format!("--otlp.grpc.listen-address=127.0.0.1:{}", ports.otlp_grpc))
        .arg(format!("--otlp.http.listen-address=127.0.0.1:{}", ports.otlp_http))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Killed(server.unwrap())
}

fn tls_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tls").join(name)
}

#[test]
fn a_server_behind_tls_is_scraped_with_certificate_and_password() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["ca.pem", "server.pem", "server-key.pem", "client.pem", "client-key.pem"] {
        fs::copy(tls_file(name), path(name)).unwrap();
    }
    // The hash is of "secret".
    let web = "tls_server_config:\n  cert_file: server.pem\n  key_file: server-key.pem\n  client_ca_file: ca.pem\n  \
               client_auth_type: RequireAndVerifyClientCert\nbasic_auth_users:\n  \
               scraper: $2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";
    fs::write(path("web.yml"), web).unwrap();
    fs::write(path("empty.yml"), "global: {}\n").unwrap();
    fs::write(path("password"), "secret\n").unwrap();
    let check = stormglass(&["check", "web-config", path("web.yml").to_str().unwrap()], "");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    if let Ok(output) = Command::new("promtool").args(["check", "web-config"]).arg(path("web.yml")).output() {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let ports = Ports::free();
    let _secured = secured(
        folder.path(),
        &ports,
        &["--config.file=empty.yml", "--storage.tsdb.path=secured", "--web.config.file=web.yml"],
    );
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n  - job_name: secured\n    scheme: https\n    \
         tls_config: {{ca_file: ca.pem, cert_file: client.pem, key_file: client-key.pem}}\n    \
         basic_auth: {{username: scraper, password_file: password}}\n    \
         static_configs: [{{targets: ['localhost:{0}']}}]\n  - job_name: renamed\n    scheme: https\n    \
         tls_config: {{ca_file: ca.pem, cert_file: client.pem, key_file: client-key.pem, server_name: localhost}}\n    \
         basic_auth: {{username: scraper, password: secret}}\n    static_configs: [{{targets: ['127.0.0.2:{0}', '127.0.0.1:{0}']}}]\n  \
         - job_name: stranger\n    scheme: https\n    tls_config: {{ca_file: ca.pem}}\n    \
         static_configs: [{{targets: ['localhost:{0}']}}]\n  - job_name: nobody\n    scheme: https\n    \
         tls_config: {{ca_file: ca.pem, cert_file: client.pem, key_file: client-key.pem}}\n    \
         static_configs: [{{targets: ['localhost:{0}']}}]\n",
        ports.web
    );
    // Plugins have certificates and passwords by their grants alone.
    let plugins = format!(
        "plugins:\n  - {{name: api, plugin: json-api, interval: 1s, config: &asked {{requests: [{{url: '{0}/api/v1/query?query=7', \
         metrics: [{{name: answer, path: '{{.data.result[1]}}'}}]}}]}}, grants: {{http: ['{0}'], \
         tls: [{{server: '{0}', ca_file: {1}/ca.pem, cert_file: {1}/client.pem, key_file: {1}/client-key.pem}}], \
         secrets: [{{name: password, file: {1}/password, header: {{server: '{0}', username: scraper}}}}]}}}}\n  \
         - {{name: strange-api, plugin: json-api, interval: 1s, config: *asked, grants: {{http: ['{0}'], \
         tls: [{{server: '{0}', ca_file: {1}/ca.pem}}]}}}}\n",
        format_args!("https://localhost:{}", ports.web),
        folder.path().display()
    );
    fs::write(path("prometheus.yml"), config + &plugins).unwrap();
    collect_plugins(&path("plugins"));
    let server = Server::start(folder.path(), Ports::free());
    until_value(&server.api, "up{job=\"secured\"}", |up| up == 1.0);
    until_value(&server.api, "up{job=\"renamed\",instance=~\"127.0.0.1.*\"}", |up| up == 1.0);
    until_value(&server.api, "up{job=\"stranger\"}", |up| up == 0.0);
    until_value(&server.api, "answer{job=\"api\"}", |answer| answer == 7.0);
    until_value(&server.api, "up{job=\"strange-api\"}", |up| up == 0.0);
    let last_error = until("the scrape without a password has failed", PATIENCE, || {
        let data = server.api.data("/api/v1/targets", &[("scrapePool", "nobody")]);
        data["activeTargets"][0]["lastError"].as_str().filter(|error| !error.is_empty()).map(str::to_owned)
    });
    assert_eq!(last_error, "server returned HTTP status 401 Unauthorized");
    // Another client, over the same port and over the one for OTLP.
    for (port, at) in [(ports.web, "/api/v1/query?query=1"), (ports.otlp_http, "/v1/metrics")] {
        let curl = |user: &str| {
            let url = format!("https://localhost:{port}{at}");
            let mut curl = Command::new("curl");
            curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-u", user]).arg(url);
            curl.args(["--cacert", "ca.pem", "--cert", "client.pem", "--key", "client-key.pem"]);
            curl.current_dir(folder.path()).output().ok()
        };
        match (curl("scraper:secret"), curl("scraper:other")) {
            (Some(allowed), Some(refused)) => {
                assert_eq!(String::from_utf8_lossy(&refused.stdout), "401");
                let allowed = String::from_utf8_lossy(&allowed.stdout).into_owned();
                assert!(allowed == "200" || allowed == "405", "{allowed}");
            }
            _ => println!("curl is not installed"),
        }
    }
}

fn stormglass(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(binary())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn pages_are_judged_as_promtool_judges_them() {
    let camel = "# TYPE fooBar gauge\nfooBar{aB=\"1\"} 1\n# HELP x_milliseconds t\n# TYPE x_milliseconds gauge\n\
                 x_milliseconds 1\ny_count 2\n# TYPE z counter\nz 1\n# TYPE w_gauge gauge\nw_gauge{le=\"1\"} 2\na:b 3\n";
    for page in [PAGE, camel, "# HELP good_total x\n# TYPE good_total counter\ngood_total 1\n", "a{ 1\n"] {
        let ours = stormglass(&["check", "metrics"], page);
        let Ok(mut theirs) = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
        else {
            println!("promtool is not installed: nothing to compare with");
            return;
        };
        theirs.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
        let theirs = theirs.wait_with_output().unwrap();
        assert_eq!(ours.status.code(), theirs.status.code(), "{page}");
        if theirs.status.code() == Some(3) {
            let lines = |output: &Output| -> BTreeSet<String> {
                String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect()
            };
            assert_eq!(lines(&ours), lines(&theirs), "{page}");
        }
    }
}

#[test]
fn the_command_line_finds_targets_and_names_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("targets.yml"), "- targets: [a:1, drop:1]\n  labels: {env: x}\n").unwrap();
    fs::write(
        path("prometheus.yml"),
        "scrape_configs:\n  - job_name: files\n    file_sd_configs: [{files: ['*.yml']}]\n    relabel_configs:\n      \
         - {source_labels: [__address__], regex: drop.*, action: drop}\n",
    )
    .unwrap();
    // The pattern takes in the configuration itself, which is no list of targets.
    let all = stormglass(&["check", "config", &path("prometheus.yml")], "");
    assert!(!all.status.success());
    let complaint = String::from_utf8_lossy(&all.stderr).into_owned();
    assert!(complaint.contains("prometheus.yml:2:5: scrape_configs: "), "{complaint}");
    let text = fs::read_to_string(path("prometheus.yml")).unwrap().replace("*.yml", "targets.yml");
    fs::write(path("prometheus.yml"), &text).unwrap();
    let found = stormglass(&["check", "service-discovery", &path("prometheus.yml"), "files"], "");
    let lines: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(lines[0]["labels"]["instance"], "a:1");
    assert_eq!(lines[0]["discoveredLabels"]["__meta_filepath"], path("targets.yml"));
    assert_eq!(
        (&lines[1]["labels"], lines[1]["discoveredLabels"]["__address__"].as_str()),
        (&serde_json::json!({}), Some("drop:1"))
    );
    let text = text.replace(
        "file_sd_configs: [{files: ['targets.yml']}]",
        "consul_sd_configs: [{server: 'localhost:8500'}]",
    );
    fs::write(path("prometheus.yml"), text).unwrap();
    let plugins = format!("--plugins.dir={}", folder.path().display());
    let missing = stormglass(&["check", "config", &path("prometheus.yml"), &plugins], "");
    assert!(!missing.status.success());
    let complaint = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(
        complaint.contains("prometheus.yml:2:5: scrape_configs.consul_sd_configs: ")
            && complaint.contains("\"consul\""),
        "{complaint}"
    );
}

#[test]
fn a_server_without_a_configuration_scrapes_itself_behind_tls_and_users() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["server.pem", "server-key.pem"] {
        fs::copy(tls_file(name), path(name)).unwrap();
    }
    // The hash is of "secret".
    let web = "tls_server_config: {cert_file: server.pem, key_file: server-key.pem}\nbasic_auth_users:\n  \
               reader: $2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";
    fs::write(path("web.yml"), web).unwrap();
    collect_plugins(&path("plugins"));
    let ports = Ports::free();
    let _server = secured(
        folder.path(),
        &ports,
        &["--storage.tsdb.path=data", "--web.config.file=web.yml", "--plugins.dir=plugins"],
    );
    until("it scrapes itself", PATIENCE, || {
        let output = Command::new("curl")
            .args(["-s", "-k", "-u", "reader:secret"])
            .arg(format!("https://127.0.0.1:{}/api/v1/query?query=up%7Bjob%3D%22stormglass%22%7D", ports.web))
            .output()
            .unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
        (answer["data"]["result"][0]["value"][1] == "1").then_some(())
    });
}
