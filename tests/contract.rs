//! The contract test: what the built server answers under `/api/v1` is what Prometheus' own description of its API
//! allows.
//!
//! The description is test data beside the repository (`../shared/conformance/openapi`). Where it is there, every
//! answer is validated against the schema of its path, and every path of the description has to be either asked here
//! or named as one that we do not serve. Where it is not, the same answers are held to what each case names itself.
//!
//! They are held to our own description as well, `/api/v1/openapi.yaml`, which has to have all that Prometheus' has.

mod cases;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use formats::{TimeSeries, WriteRequest, remote_write};
use jsonschema::Validator;
use model::{Buckets, Exemplar, Histogram, Labels, Sample, Timestamp};
use serde_json::{Value, json};

use self::cases::{Case, lists, queries};
use crate::harness::http::{Answer, Client};
use crate::harness::server::{Ports, Server};
use crate::harness::{now_ms, until_value};

/// Parts of the contract that the server does not serve: all under these prefixes.
const NOT_SERVED: [&str; 2] = [
    // For other servers, which send and do not read.
    "/read",
    // Nothing to read: all are POST and PUT, and only with a flag. tests/storage.rs asks them.
    "/admin/",
];

/// What answers with something else than one JSON value; tests/endpoints.rs asks it.
const NO_JSON: [&str; 1] = ["/search/"];

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

    /// What the server says of itself.
    fn of(api: &Client) -> Self {
        let answer = api.get("/api/v1/openapi.yaml");
        assert_eq!(answer.status, 200, "{}", answer.body);
        Self(serde_saphyr::from_str(&answer.body).unwrap())
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
        let shared =
            response["$ref"].as_str().and_then(|place| self.0.pointer(place.trim_start_matches('#')));
        let response = shared.unwrap_or(response);
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
      - {record: "via:pushed:sum", expr: "sum by (via) (pushed_total)"}
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
    until_value(api, "via:pushed:sum", |sum| sum == 7.0);
    until_value(api, r#"ALERTS{alertname="Up", alertstate="firing"}"#, |firing| firing == 1.0);

    let contract = Contract::load();
    let own = Contract::of(api);
    let (start, end) = ((fed_ms / 1000 - 5).to_string(), (now_ms() / 1000 + 1).to_string());
    let cases: Vec<Case> = queries(&start, &end).into_iter().chain(lists(&start)).collect();
    let mut wrong = Vec::new();
    for case in &cases {
        let mut methods = vec!["get"];
        // These take their parameters as a form too, for they may be long.
        if [
            "/query",
            "/query_range",
            "/query_exemplars",
            "/format_query",
            "/parse_query",
            "/labels",
            "/series",
        ]
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
            let unlike_own = own.breaches(case.path, method, &answer);
            for broken in case.misses(&answer).into_iter().chain(broken).chain(unlike_own) {
                wrong.push(format!("{} ({method} {}): {broken}\n  {}", case.what, case.path, answer.body));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let missing: Vec<&str> =
        contract.iter().flat_map(Contract::paths).filter(|path| !own.paths().contains(path)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "our description leaves out");

    let asked: BTreeSet<&str> = cases.iter().map(|case| case.path).collect();
    for path in contract.iter().flat_map(Contract::paths) {
        if NO_JSON.iter().any(|prefix| path.starts_with(prefix)) {
            continue;
        }
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
