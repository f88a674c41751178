//! The contract test: what the built server answers under `/api/v1` is what Prometheus' own description of its API
//! allows.
//!
//! The description is test data beside the repository (`../shared/conformance/openapi`). Where it is there, every
//! answer is validated against the schema of its path, and every path of the description has to be either asked here
//! or named as one that we do not serve. Where it is not, the same answers are held to what each case names itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use formats::{TimeSeries, WriteRequest, remote_write};
use jsonschema::Validator;
use model::{Buckets, Exemplar, Histogram, Labels, Sample, Timestamp};
use serde_json::{Value, json};

use crate::harness::http::{Answer, Client};
use crate::harness::server::{Ports, Server};
use crate::harness::{now_ms, until_value};

/// Parts of the contract that the server does not serve: all under these prefixes.
const NOT_SERVED: [&str; 10] = [
    // Queries come as text; nobody but Prometheus' own user interface asks for their trees.
    "/parse_query",
    // Autocompletion that is new in 3.14 and streams; clients fall back on the lists of names.
    "/search/",
    // Metadata is told by family, not by target.
    "/targets/metadata",
    "/targets/relabel_steps",
    "/status/tsdb/blocks",
    "/status/self_metrics",
    // For other servers, which send and do not read.
    "/read",
    // Server-sent events of the user interface.
    "/notifications",
    "/features",
    // Only with a flag that we do not have; all are POST and PUT.
    "/admin/",
];

/// Answers that break the letter of the contract for a reason.
const EXCEPTIONS: [(&str, &str); 1] = [(
    "a string",
    "the contract wants two strings, but Prometheus, like us, writes the time of any value as a number",
)];

/// The description, if it is there.
struct Contract(Value);

impl Contract {
    fn load() -> Option<Self> {
        let path: PathBuf = [
            env!("CARGO_MANIFEST_DIR"),
            "..",
            "..",
            "shared/conformance/openapi/prometheus-3.14-openapi-3.1.yaml",
        ]
        .iter()
        .collect();
        let text = fs::read_to_string(path).ok()?;
        Some(Self(serde_saphyr::from_str(&text).unwrap()))
    }

    /// The paths that can be read.
    fn paths(&self) -> BTreeSet<&str> {
        let paths = self.0["paths"].as_object().unwrap();
        paths.iter().filter(|(_, path)| path["get"].is_object()).map(|(name, _)| name.as_str()).collect()
    }

    /// What the body of an answer has to be. Schemas refer to each other from the root of the document.
    fn validator(&self, path: &str, method: &str, status: u16) -> Validator {
        let responses = &self.0["paths"][path][method]["responses"];
        let response = responses.get(status.to_string()).unwrap_or(&responses["default"]);
        let schema = &response["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "the contract says nothing of {method} {path} with {status}");
        let mut root = schema.clone();
        root["components"] = self.0["components"].clone();
        jsonschema::draft202012::options().should_validate_formats(true).build(&root).unwrap()
    }

    fn breaches(&self, path: &str, method: &str, answer: &Answer) -> Vec<String> {
        let breach =
            |error: jsonschema::ValidationError<'_>| format!("{} at {}", error, error.instance_path());
        self.validator(path, method, answer.status).iter_errors(&answer.json()).map(breach).collect()
    }
}

/// One request, and what its answer must hold.
struct Case {
    what: &'static str,
    /// As the contract names it.
    path: &'static str,
    parameters: Vec<(&'static str, String)>,
    status: u16,
    /// JSON pointers of what must be there; `=` says what it must be.
    holds: Vec<&'static str>,
}

impl Case {
    fn ask(&self, api: &Client, method: &str) -> Answer {
        let path = format!("/api/v1{}", self.path.replace("{name}", "job"));
        let parameters: Vec<(&str, &str)> =
            self.parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        match method {
            "get" => api.get_with(&path, &parameters),
            _ => api.post_form(&path, &parameters),
        }
    }

    /// What the answer breaks of what is known without the contract.
    fn misses(&self, answer: &Answer) -> Vec<String> {
        let json = answer.json();
        let mut misses = Vec::new();
        if answer.status != self.status {
            misses.push(format!("status {} instead of {}", answer.status, self.status));
        }
        let envelope: &[&str] = match self.status {
            200 => &["/status=success", "/data"],
            400 => &["/status=error", "/errorType=bad_data", "/error"],
            422 => &["/status=error", "/errorType=execution", "/error"],
            _ => &["/status=error", "/errorType=not_found", "/error"],
        };
        for expected in envelope.iter().chain(&self.holds) {
            let (pointer, wanted) = expected
                .split_once('=')
                .map_or((*expected, None), |(pointer, wanted)| (pointer, Some(wanted)));
            let found = json.pointer(pointer);
            if found.is_none() || wanted.is_some() && found.and_then(Value::as_str) != wanted {
                misses.push(format!("no {expected}"));
            }
        }
        misses
    }
}

fn good<const P: usize, const H: usize>(
    what: &'static str,
    path: &'static str,
    parameters: [(&'static str, &str); P],
    holds: [&'static str; H],
) -> Case {
    let parameters = parameters.map(|(name, value)| (name, value.to_owned())).into();
    Case { what, path, parameters, status: 200, holds: holds.into() }
}

fn bad<const P: usize>(
    what: &'static str,
    path: &'static str,
    parameters: [(&'static str, &str); P],
) -> Case {
    Case { status: 400, ..good(what, path, parameters, []) }
}

/// Queries, with values of every type; `start` and `end` are around what was fed.
fn queries(start: &str, end: &str) -> Vec<Case> {
    let range = |query| [("query", query), ("start", start), ("end", end), ("step", "1")];
    let at = |query| [("query", query), ("time", end)];
    let execution = Case {
        status: 422,
        ..good("a join of many to many", "/query", at("up + on() group_left() {job=~\".+\"}"), [])
    };
    vec![
        good(
            "a vector",
            "/query",
            at("up"),
            [
                "/data/resultType=vector",
                "/data/result/0/metric/__name__=up",
                "/data/result/0/value/0",
                "/data/result/0/value/1=1",
            ],
        ),
        good("an empty vector", "/query", at("nothing_here"), ["/data/resultType=vector", "/data/result"]),
        good("a scalar", "/query", at("1 / 0"), ["/data/resultType=scalar", "/data/result/1=+Inf"]),
        good("a string", "/query", at("\"text\""), ["/data/resultType=string", "/data/result/1=text"]),
        good(
            "a histogram",
            "/query",
            at("pushed_seconds"),
            [
                "/data/resultType=vector",
                "/data/result/0/histogram/1/count=6",
                "/data/result/0/histogram/1/sum=4.5",
                "/data/result/0/histogram/1/buckets/0/3=1",
            ],
        ),
        good(
            "a matrix of an instant",
            "/query",
            at("pushed_total[10m]"),
            ["/data/resultType=matrix", "/data/result/0/values/0/1=7"],
        ),
        good("a warning", "/query", at("quantile(2, up)"), ["/warnings/0", "/data/result/0/value/1=+Inf"]),
        good("an info", "/query", at("rate(up[10m])"), ["/infos/0"]),
        bad("no query", "/query", []),
        bad("a broken query", "/query", [("query", "sum(")]),
        bad("a broken time", "/query", [("query", "up"), ("time", "yesterday")]),
        execution,
        good(
            "a matrix",
            "/query_range",
            range("pushed_total"),
            [
                "/data/resultType=matrix",
                "/data/result/0/metric/via=remote-write",
                "/data/result/0/values/0/1=7",
            ],
        ),
        good(
            "a matrix of histograms",
            "/query_range",
            range("pushed_seconds"),
            ["/data/result/0/histograms/0/1/count=6"],
        ),
        bad("no step", "/query_range", [("query", "up"), ("start", start), ("end", end)]),
        good(
            "exemplars",
            "/query_exemplars",
            [("query", "pushed_total"), ("start", start), ("end", end)],
            [
                "/data/0/seriesLabels/__name__=pushed_total",
                "/data/0/exemplars/0/labels/trace_id=abc",
                "/data/0/exemplars/0/value=3",
                "/data/0/exemplars/0/timestamp",
            ],
        ),
        bad(
            "exemplars of a broken query",
            "/query_exemplars",
            [("query", "sum("), ("start", start), ("end", end)],
        ),
        good("a formatted query", "/format_query", [("query", "sum( up )")], ["/data=sum(up)"]),
        bad("no query to format", "/format_query", []),
    ]
}

/// Everything else.
fn lists(start: &str) -> Vec<Case> {
    vec![
        good("label names", "/labels", [("start", start)], ["/data/0=__name__"]),
        good("one label name", "/labels", [("limit", "1")], ["/data/0", "/warnings/0"]),
        bad("label names since nonsense", "/labels", [("start", "yesterday")]),
        good("label values", "/label/{name}/values", [("match[]", "up")], ["/data/0=self"]),
        bad("label values of nonsense", "/label/{name}/values", [("match[]", "{")]),
        good(
            "series",
            "/series",
            [("match[]", "up"), ("match[]", "pushed_total")],
            ["/data/0/__name__", "/data/1/__name__"],
        ),
        bad("series of no selector", "/series", []),
        good(
            "metadata",
            "/metadata",
            [("metric", "stormglass_build_info")],
            [
                "/data/stormglass_build_info/0/type=gauge",
                "/data/stormglass_build_info/0/help",
                "/data/stormglass_build_info/0/unit=",
            ],
        ),
        good("all metadata", "/metadata", [], ["/data/stormglass_build_info"]),
        bad("metadata with a broken limit", "/metadata", [("limit", "few")]),
        good(
            "scrape pools",
            "/scrape_pools",
            [],
            ["/data/scrapePools/0=dropping", "/data/scrapePools/1=self"],
        ),
        good(
            "targets",
            "/targets",
            [],
            [
                "/data/activeTargets/0/scrapePool=self",
                "/data/activeTargets/0/health=up",
                "/data/activeTargets/0/lastScrape",
                "/data/activeTargets/0/discoveredLabels/__address__",
                "/data/droppedTargets/0/discoveredLabels/__address__",
                "/data/droppedTargetCounts/dropping",
            ],
        ),
        good(
            "active targets",
            "/targets",
            [("state", "active")],
            ["/data/activeTargets/0", "/data/droppedTargets"],
        ),
        bad("targets of no known state", "/targets", [("state", "sleepy")]),
        good(
            "rules",
            "/rules",
            [],
            [
                "/data/groups/0/name=test",
                "/data/groups/0/file",
                "/data/groups/0/interval",
                "/data/groups/0/lastEvaluation",
                "/data/groups/0/rules/0/type=recording",
                "/data/groups/0/rules/0/health=ok",
                "/data/groups/0/rules/1/type=alerting",
                "/data/groups/0/rules/1/state=firing",
                "/data/groups/0/rules/1/alerts/0/value=1e+00",
            ],
        ),
        good("alerting rules", "/rules", [("type", "alert")], ["/data/groups/0/rules/0/name=Up"]),
        bad("rules of no known type", "/rules", [("type", "nonsense")]),
        good(
            "alerts",
            "/alerts",
            [],
            [
                "/data/alerts/0/state=firing",
                "/data/alerts/0/labels/alertname=Up",
                "/data/alerts/0/annotations/summary=self is up",
                "/data/alerts/0/activeAt",
                "/data/alerts/0/value=1e+00",
            ],
        ),
        good(
            "alertmanagers",
            "/alertmanagers",
            [],
            ["/data/activeAlertmanagers", "/data/droppedAlertmanagers"],
        ),
        good("the configuration", "/status/config", [], ["/data/yaml"]),
        good(
            "the runtime",
            "/status/runtimeinfo",
            [],
            ["/data/startTime", "/data/storageRetention", "/data/CWD"],
        ),
        good("the build", "/status/buildinfo", [], ["/data/version=3.14.0", "/data/goVersion"]),
        good("the flags", "/status/flags", [], ["/data/config.file=prometheus.yml"]),
        good(
            "the storage",
            "/status/tsdb",
            [],
            ["/data/headStats/numSeries", "/data/seriesCountByMetricName/0/name"],
        ),
        bad("the storage with a broken limit", "/status/tsdb", [("limit", "few")]),
        good("the replay of the log", "/status/walreplay", [], ["/data/min", "/data/max", "/data/current"]),
    ]
}

fn configure(folder: &Path, port: u16) {
    fs::create_dir(folder.join("plugins")).unwrap();
    let config = format!(
        r#"global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
scrape_configs:
  - job_name: self
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
  - job_name: dropping
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
    relabel_configs: [{{action: drop, source_labels: [job], regex: dropping}}]
rule_files: [rules.yml]
"#
    );
    fs::write(folder.join("prometheus.yml"), config).unwrap();
    let rules = r#"groups:
  - name: test
    rules:
      - {record: "job:up:sum", expr: "sum by (job) (up)"}
      - {alert: Up, expr: up == 1, annotations: {summary: "{{ $labels.job }} is up"}}
"#;
    fs::write(folder.join("rules.yml"), rules).unwrap();
}

/// Pushes a counter with an exemplar and a native histogram.
fn push(api: &Client, at_ms: i64) {
    let timestamp = Timestamp::from_millis(at_ms);
    let labels = |name| Labels::from_pairs([("__name__", name), ("via", "remote-write")]);
    let exemplar = Exemplar { labels: Labels::from_pairs([("trace_id", "abc")]), value: 3.0, timestamp };
    let counter = TimeSeries {
        labels: labels("pushed_total"),
        samples: vec![Sample::new(at_ms, 7.0)],
        exemplars: vec![exemplar],
        ..TimeSeries::default()
    };
    let histogram = Histogram {
        zero_threshold: 0.001,
        zero_count: 2.0,
        count: 6.0,
        sum: 4.5,
        positive: Buckets::from_pairs([(1, 3.0)]),
        negative: Buckets::from_pairs([(0, 1.0)]),
        ..Histogram::stale()
    };
    let latency = TimeSeries {
        labels: labels("pushed_seconds"),
        histograms: vec![(timestamp, histogram)],
        ..TimeSeries::default()
    };
    let body = remote_write::encode(&WriteRequest { series: vec![counter, latency], metadata: Vec::new() });
    let headers = [("Content-Type", "application/x-protobuf"), ("Content-Encoding", "snappy")];
    let answer = api.post("/api/v1/write", &headers, &body);
    assert_eq!(answer.status, 204, "{}", answer.body);
}

#[test]
fn answers_keep_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let ports = Ports::free();
    configure(folder.path(), ports.web);
    let server = Server::start(folder.path(), ports);
    let api = &server.api;
    let fed_ms = now_ms();
    push(api, fed_ms);
    until_value(api, r#"up{job="self"}"#, |up| up == 1.0);
    until_value(api, r#"job:up:sum{job="self"}"#, |up| up == 1.0);
    until_value(api, r#"ALERTS{alertname="Up", alertstate="firing"}"#, |firing| firing == 1.0);

    let contract = Contract::load();
    let (start, end) = ((fed_ms / 1000 - 5).to_string(), (now_ms() / 1000 + 1).to_string());
    let cases: Vec<Case> = queries(&start, &end).into_iter().chain(lists(&start)).collect();
    let mut wrong = Vec::new();
    for case in &cases {
        let mut methods = vec!["get"];
        // These take their parameters as a form too, for they may be long.
        if ["/query", "/query_range", "/query_exemplars", "/format_query", "/labels", "/series"]
            .contains(&case.path)
        {
            methods.push("post");
        }
        for method in methods {
            let answer = case.ask(api, method);
            let breaches = contract.as_ref().map(|contract| contract.breaches(case.path, method, &answer));
            let exception = EXCEPTIONS.iter().find(|(what, _)| *what == case.what);
            let broken = match (exception, breaches) {
                (Some((_, reason)), Some(breaches)) if breaches.is_empty() => {
                    vec![format!("keeps the contract, so that the exception is idle: {reason}")]
                }
                (Some(_), _) | (None, None) => Vec::new(),
                (None, Some(breaches)) => breaches,
            };
            for broken in case.misses(&answer).into_iter().chain(broken) {
                wrong.push(format!("{} ({method} {}): {broken}\n  {}", case.what, case.path, answer.body));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let asked: BTreeSet<&str> = cases.iter().map(|case| case.path).collect();
    for path in contract.iter().flat_map(Contract::paths) {
        let left_out = NOT_SERVED.iter().any(|prefix| path.starts_with(prefix));
        assert!(asked.contains(path) != left_out, "{path} has to be either asked or named as not served");
        if left_out {
            let answer = api.get(&format!("/api/v1{path}"));
            assert_eq!(
                (answer.status, answer.json()["errorType"].clone()),
                (404, json!("not_found")),
                "{path}"
            );
        }
    }
    assert_eq!(server.unexpected(&[]), Vec::<String>::new());
}
