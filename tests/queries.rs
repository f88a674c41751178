//! Queries of the built server under load and under limits: who gets an answer, who is refused and in which words, and
//! what becomes of a query whose caller goes away.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use formats::{TimeSeries, WriteRequest, remote_write};
use model::{Labels, Sample};
use serde_json::{Value, json};

use crate::harness::http::Client;
use crate::harness::server::{Ports, Server};
use crate::harness::{PATIENCE, now_ms, until};

/// A query that would run for many minutes: at each of thousands of steps the values of a window are sorted, for each of a
/// thousand series.
const HEAVY: &str = "sum(quantile_over_time(0.5, quantile_over_time(0.4, load[5m:100ms])[5m:100ms]))";

/// Series that queries are asked over, with one sample a second for some seconds.
const SERIES: usize = 1000;
const SAMPLES: i64 = 30;

fn start(folder: &Path, flags: &[&str]) -> Server {
    fs::create_dir(folder.join("plugins")).unwrap();
    fs::write(folder.join("prometheus.yml"), "global: {scrape_interval: 1h, query_log_file: queries.log}\n")
        .unwrap();
    let server = Server::start_with(folder, Ports::free(), flags);
    push(&server.api, now_ms());
    server
}

fn push(api: &Client, now: i64) {
    let series = (0..SERIES).map(|n| TimeSeries {
        labels: Labels::from_pairs([("__name__", "load"), ("n", &format!("{n:04}"))]),
        samples: (0..SAMPLES)
            .map(|at| Sample::new(now - 1000 * (SAMPLES - at), (at * n as i64) as f64))
            .collect(),
        ..TimeSeries::default()
    });
    let body = remote_write::encode(&WriteRequest { series: series.collect(), metadata: Vec::new() });
    let headers = [("Content-Type", "application/x-protobuf"), ("Content-Encoding", "snappy")];
    let answer = api.post("/api/v1/write", &headers, &body);
    assert_eq!(answer.status, 204, "{}", answer.body);
}

/// A connection on which a query was sent of which nobody has read the answer.
fn send(api: &Client, query: &str, headers: &str) -> TcpStream {
    let address = api.address();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = format!("query={}", encode(query));
    write!(
        stream,
        "POST /api/v1/query HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}Content-Type: \
         application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    stream
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn read(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The queries under way, by state.
fn active(api: &Client, state: &str) -> Vec<Value> {
    let all = api.data("/api/v1/status/active_queries", &[]);
    all.as_array().unwrap().iter().filter(|query| query["state"] == state).cloned().collect()
}

fn until_active(api: &Client, state: &str, count: usize) {
    until(&format!("{count} queries are {state}"), PATIENCE, || {
        (active(api, state).len() == count).then_some(())
    });
}

/// A sample of the server's own metrics.
fn own_metric(api: &Client, name: &str) -> f64 {
    let text = api.get("/metrics").body;
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name}")).rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn a_greedy_client_starves_nobody_and_who_goes_away_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--query.max-concurrency=4", "--query.queue-max=8", "--query.timeout=10m"];
    let server = start(folder.path(), &flags);
    let api = &server.api;
    assert_eq!(own_metric(api, "prometheus_engine_queries_concurrent_max"), 4.0);

    // More heavy queries of one client than there are places: three run, the others wait.
    let greedy = "X-Scope-OrgID: greedy\r\n";
    let mut heavy: Vec<TcpStream> = (0..6).map(|_| send(api, HEAVY, greedy)).collect();
    until_active(api, "running", 3);
    until_active(api, "waiting", 3);
    assert!(own_metric(api, "prometheus_engine_queries") >= 6.0);

    // Light ones of others are all answered while these run.
    let answered = Arc::new(AtomicUsize::new(0));
    let dashboards: Vec<_> = (0..4)
        .map(|dashboard| {
            let (api, answered) = (api.clone(), Arc::clone(&answered));
            std::thread::spawn(move || {
                for _ in 0..5 {
                    let headers = format!("X-Dashboard-Uid: {dashboard}\r\n");
                    let answer = read(send(&api, "count(load)", &headers));
                    assert!(answer.contains(r#""1000"]"#), "{answer}");
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for dashboard in dashboards {
        dashboard.join().unwrap();
    }
    assert_eq!(answered.load(Ordering::SeqCst), 20);
    let running = active(api, "running");
    let of_greedy = running.iter().filter(|query| query["client"] == "tenant greedy");
    assert_eq!(of_greedy.count(), 3, "the heavy ones still run: {running:?}");

    // The queue is bounded: what is beyond it is told to come back.
    heavy.extend((0..5).map(|_| send(api, HEAVY, greedy)));
    until_active(api, "waiting", 8);
    let refused = read(send(api, HEAVY, greedy));
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.to_ascii_lowercase().contains("retry-after: "), "{refused}");
    assert!(refused.contains(r#""errorType":"unavailable""#), "{refused}");

    // When their callers go away, all of them end, long before their time is over.
    drop(heavy);
    until_active(api, "waiting", 0);
    until_active(api, "running", 0);
    assert_eq!(own_metric(api, "prometheus_engine_queries"), 0.0);
    assert_eq!(api.value("count(load)"), Some(1000.0));
    assert_eq!(server.unexpected(&[]), Vec::<String>::new());
}

#[test]
fn limits_are_told_in_prometheus_words() {
    let folder = tempfile::tempdir().unwrap();
    let flags =
        ["--query.max-samples=20000", "--query.max-memory=4MB", "--enable-feature=promql-per-step-stats"];
    let server = start(folder.path(), &flags);
    let api = &server.api;
    let check = |path: &str, parameters: &[(&str, &str)], status: u16, kind: &str, text: &str| {
        let answer = api.get_with(path, parameters);
        let json = answer.json();
        assert_eq!((answer.status, json["errorType"].as_str()), (status, Some(kind)), "{}", answer.body);
        assert!(json["error"].as_str().unwrap().contains(text), "{}", answer.body);
    };
    let query = "/api/v1/query";
    check(
        query,
        &[("query", "load[1m]")],
        422,
        "execution",
        "query processing would load too many samples into memory in query execution",
    );
    check(query, &[("query", "load"), ("timeout", "0s")], 503, "timeout", "query timed out in ");
    let range = |start: &'static str, end: &'static str, step: &'static str| {
        [("query", "load"), ("start", start), ("end", end), ("step", step)]
    };
    check(
        "/api/v1/query_range",
        &range("0", "11001", "1"),
        400,
        "bad_data",
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
    );
    check(
        "/api/v1/query_range",
        &range("0", "1", "0"),
        400,
        "bad_data",
        "zero or negative query resolution step",
    );
    check(
        "/api/v1/query_range",
        &range("2", "1", "1"),
        400,
        "bad_data",
        "end timestamp must not be before start time",
    );
    check(query, &[("query", "load"), ("limit", "-1")], 400, "bad_data", "limit");
    check(query, &[("query", "mad_over_time(load[1m])")], 400, "bad_data", "mad_over_time");

    // What they leave is answered, cut where that is asked for.
    let cut = api.get_with(query, &[("query", "load"), ("limit", "3")]).json();
    assert_eq!(cut["data"]["result"].as_array().unwrap().len(), 3);
    assert_eq!(cut["warnings"], json!(["results truncated due to limit"]));
    let at = (now_ms() / 1000 + 3600).to_string();
    let later = [("query", "count(load)"), ("time", at.as_str())];
    assert_eq!(api.data(query, &later)["result"], json!([]));
    let back = [later.as_slice(), &[("lookback_delta", "2h")]].concat();
    assert_eq!(api.data(query, &back)["result"][0]["value"][1], "1000");
    let stats = api.data(query, &[("query", "count(load)"), ("stats", "all")])["stats"].clone();
    assert_eq!(stats["samples"]["totalQueryableSamples"], 1000, "{stats}");
    assert_eq!(stats["samples"]["totalQueryableSamplesPerStep"][0][1], 1000, "{stats}");
    let flags = api.data("/api/v1/status/flags", &[]);
    assert_eq!(flags["enable-feature"], "promql-per-step-stats");
    assert_eq!(flags["query.max-memory"], "4MiB");
    let features = api.data("/api/v1/features", &[]);
    assert_eq!(features["promql"]["per_step_stats"], true);
    assert_eq!(features["promql_functions"]["mad_over_time"], false);
    assert_eq!(server.unexpected(&[]), Vec::<String>::new());
}

#[test]
fn one_query_has_a_limit_of_memory() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &["--query.max-memory=64KB"]);
    let answer = server.api.get_with("/api/v1/query", &[("query", "load")]);
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert!(answer.body.contains("one query may take 65536 bytes"), "{}", answer.body);
    assert_eq!(server.api.value("count(load{n=~\"00.*\"})"), Some(100.0));
}

#[test]
fn all_queries_together_have_a_limit_of_memory() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &["--query.max-memory-total=256KB"]);
    let api = &server.api;
    let answer = api.get_with("/api/v1/query", &[("query", "sum(avg_over_time(load[30s:10ms]))")]);
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert!(
        answer.json()["error"].as_str().unwrap().contains("all queries together may take 262144 bytes"),
        "{}",
        answer.body
    );
    assert_eq!(own_metric(api, "stormglass_query_memory_max_bytes"), 262_144.0);
    // Nothing is left behind: what fits is answered, and the pool is empty again.
    assert_eq!(api.value("count(load{n=~\"00.*\"})"), Some(100.0));
    until("the pool is empty", Duration::from_secs(5), || {
        (own_metric(api, "stormglass_query_memory_bytes") == 0.0).then_some(())
    });
}

#[test]
fn large_answers_are_whole_in_any_encoding() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let api = &server.api;
    let end = (now_ms() / 1000).to_string();
    let start = (now_ms() / 1000 - 40).to_string();
    let parameters = [("query", "load"), ("start", start.as_str()), ("end", &end), ("step", "1")];
    let plain = api.get_with("/api/v1/query_range", &parameters);
    assert!(plain.body.len() > 500_000, "{} bytes", plain.body.len());
    let series = plain.json()["data"]["result"].as_array().unwrap().clone();
    assert_eq!(series.len(), SERIES);
    // The same query in small parts yields the same series.
    for n in [0, 517, 999] {
        let one = format!("load{{n=\"{n:04}\"}}");
        let one = [("query", one.as_str()), parameters[1], parameters[2], parameters[3]];
        assert_eq!(api.data("/api/v1/query_range", &one)["result"][0], series[n]);
    }
    let zipped = api.get_zipped("/api/v1/query_range", &parameters);
    assert_eq!(zipped.body, plain.body);
    let posted = api.post_form("/api/v1/query_range", &parameters);
    assert_eq!(posted.body, plain.body);
}

#[test]
fn a_plan_tells_what_its_operators_took() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let api = &server.api;
    let query = [("query", "sum by (n) (rate(load[1m]))")];
    let run = api.data("/api/v1/explain", &query);
    let text = run["text"].as_str().unwrap();
    assert!(text.lines().count() >= 2, "{text}");
    assert_eq!(run["plan"]["stats"]["series"], 1000, "{run}");
    assert!(run["plan"]["stats"]["seconds"].as_f64().unwrap() > 0.0, "{run}");
    let window = &run["plan"]["inputs"][0];
    assert_eq!((&window["operator"], &window["detail"]), (&json!("window"), &json!("rate")), "{run}");
    assert_eq!(window["stats"]["samplesRead"], 1000 * SAMPLES, "{run}");
    assert!(window["stats"]["peakBytes"].as_u64().unwrap() > 0, "{run}");
    // The query log has it, with who asked.
    let log = fs::read_to_string(folder.path().join("queries.log")).unwrap();
    let line: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&line["params"]["query"], &line["client"]),
        (&json!(query[0].1), &json!("address 127.0.0.1"))
    );
    assert_eq!(line["stats"]["samples"]["samplesRead"], 1000 * SAMPLES, "{log}");
    assert_eq!(own_metric(api, "prometheus_engine_query_log_enabled"), 1.0);
    let planned = api.data("/api/v1/explain", &[query[0], ("analyze", "false")]);
    assert_eq!(planned["plan"]["stats"], Value::Null);
    assert_eq!(planned["plan"]["operator"], run["plan"]["operator"]);
    let wrong = api.get_with("/api/v1/explain", &[("query", "sum(")]);
    assert_eq!((wrong.status, wrong.json()["errorType"].clone()), (400, json!("bad_data")));
}

#[test]
fn urls_that_people_write_by_hand_are_understood() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let api = &server.api;
    let mut stream = TcpStream::connect(api.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let targets = [r#"count(load{n="0007"})"#, r#"count(load{n=~"00[0-4].$|x#y"}>=0)"#];
    // Both on one connection, as curl does with two URLs.
    for (at, target) in targets.iter().enumerate() {
        let keep = if at == 0 { "keep-alive" } else { "close" };
        write!(stream, "GET /api/v1/query?query={target} HTTP/1.1\r\nHost: x\r\nConnection: {keep}\r\n\r\n")
            .unwrap();
    }
    let answers = read(stream);
    assert!(answers.contains(r#","1"]"#) && answers.contains(r#","50"]"#), "{answers}");
}
