//! The life of stored metrics, end to end: cut to blocks, kept by rule, deleted, copied, looked at, damaged and
//! survived. Servers follow each other on one folder, as restarts do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use formats::{TimeSeries, WriteRequest, remote_write};
use model::{Labels, Sample};

use crate::harness::http::Client;
use crate::harness::server::{self, Ports, Server};
use crate::harness::{PATIENCE, now_ms, until};

const MINUTE_MS: i64 = 60_000;
/// How far back samples go: several blocks of two hours.
const HOURS: i64 = 9;

const CONFIG: &str = r#"
storage:
  tsdb:
    retention:
      time: 30d
      rules:
        - {match: '{debug="yes"}', time: 5h}
"#;

const ADMIN: &[&str] = &["--web.enable-admin-api"];

/// Pushes a sample per minute of some series, the oldest first.
fn push(api: &Client, now: i64) {
    let start = now - HOURS * 60 * MINUTE_MS;
    let series = [
        ("kept_total", "a", "no"),
        ("kept_total", "b", "no"),
        ("deleted_total", "a", "no"),
        ("chatty_total", "a", "yes"),
    ];
    let series = series.map(|(name, instance, debug)| TimeSeries {
        labels: Labels::from_pairs([("__name__", name), ("debug", debug), ("instance", instance)]),
        samples: (0..HOURS * 60).map(|i| Sample::new(start + i * MINUTE_MS, (i * 3) as f64)).collect(),
        ..TimeSeries::default()
    });
    let body = remote_write::encode(&WriteRequest { series: series.into(), metadata: Vec::new() });
    let headers = [("Content-Encoding", "snappy"), ("Content-Type", "application/x-protobuf")];
    let answer = api.post("/api/v1/write", &headers, &body);
    assert_eq!(answer.status, 204, "{}", answer.body);
}

/// The value of one of the server's own metrics.
fn own(api: &Client, name: &str) -> f64 {
    let text = api.get("/metrics").body;
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.and_then(|line| line.rsplit_once(' ')).unwrap_or_else(|| panic!("no {name}")).1.parse().unwrap()
}

fn count(api: &Client, selector: &str, now: i64) -> Option<f64> {
    let query = format!("count_over_time({selector}[24h])");
    let data = api.data("/api/v1/query", &[("query", &query), ("time", &(now / 1000).to_string())]);
    let result = data["result"].as_array().unwrap();
    assert!(result.len() <= 1, "{data}");
    result.first().map(|series| series["value"][1].as_str().unwrap().parse().unwrap())
}

fn command(arguments: &[&str]) -> Output {
    Command::new(server::binary()).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn blocks(metrics: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(metrics.join("blocks")).unwrap().map(|entry| entry.unwrap().path());
    let mut blocks: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "block")).collect();
    blocks.sort();
    blocks
}

#[test]
fn the_life_of_stored_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("prometheus.yml"), CONFIG).unwrap();
    fs::create_dir(path.join("plugins")).unwrap();
    let now = now_ms();

    let mut first = Server::start(path, Ports::free());
    push(&first.api, now);
    let refused = first.api.post("/api/v1/admin/tsdb/snapshot", &[], b"");
    assert_eq!((refused.status, refused.json()["errorType"].as_str()), (503, Some("unavailable")));
    first.terminate();
    assert!(first.unexpected(&[]).is_empty(), "{:?}", first.unexpected(&[]));

    // The next start finds blocks due at once.
    let mut second = Server::start_with(path, Ports::free(), ADMIN);
    let api = second.api.clone();
    until("blocks are cut", PATIENCE, || (own(&api, "prometheus_tsdb_blocks_loaded") >= 1.0).then_some(()));
    let all = (HOURS * 60) as f64;
    assert_eq!(count(&api, r#"kept_total{instance="a"}"#, now), Some(all));
    rule(&api, now);
    delete(&api, now);
    let name = snapshot(&api, path);
    assert_eq!(count(&api, r#"kept_total{instance="a"}"#, now), Some(all));
    second.terminate();
    assert!(second.unexpected(&[]).is_empty(), "{:?}", second.unexpected(&[]));

    opened(path, &format!("data/snapshots/{name}"), now);
    looked_at(path);
    copied(path, now);
    damaged(path, now);
}

/// The debug series is hidden before five hours ago, the others are not.
fn rule(api: &Client, now: i64) {
    let chatty = until("the rule is applied", PATIENCE, || {
        count(api, "chatty_total", now).filter(|count| *count < (HOURS * 60) as f64)
    });
    assert!((295.0..=301.0).contains(&chatty), "{chatty} samples of five hours");
}

/// Deletes, looks, deletes a stretch, cleans and looks again.
fn delete(api: &Client, now: i64) {
    let post = |path: &str| api.post(path, &[], b"");
    assert_eq!(post("/api/v1/admin/tsdb/delete_series").status, 400);
    let answer = post("/api/v1/admin/tsdb/delete_series?match[]=deleted_total");
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    let (from, to) = ((now - 8 * 60 * MINUTE_MS) / 1000, (now - 7 * 60 * MINUTE_MS) / 1000);
    let stretch = format!(
        "/api/v1/admin/tsdb/delete_series?match[]=kept_total{{instance=%22b%22}}&start={from}&end={to}"
    );
    assert_eq!(post(&stretch).status, 204);
    let check = || {
        assert_eq!(count(api, "deleted_total", now), None);
        let names = api.data("/api/v1/label/__name__/values", &[]);
        let names: Vec<&str> =
            names.as_array().unwrap().iter().filter_map(serde_json::Value::as_str).collect();
        assert!(names.contains(&"kept_total") && !names.contains(&"deleted_total"), "{names:?}");
        let left = count(api, r#"kept_total{instance="b"}"#, now).unwrap();
        assert!((478.0..=481.0).contains(&left), "{left} samples are left of 540 without an hour");
    };
    check();
    assert_eq!(post("/api/v1/admin/tsdb/clean_tombstones").status, 204);
    check();
}

/// Makes a snapshot and gives its name.
fn snapshot(api: &Client, path: &Path) -> String {
    let answer = api.post("/api/v1/admin/tsdb/snapshot", &[], b"");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let name = answer.json()["data"]["name"].as_str().unwrap().to_owned();
    assert!(path.join("data/snapshots").join(&name).join("metrics/blocks").is_dir());
    name
}

/// A server on the snapshot answers as the one that made it, and may do no more than it was told.
fn opened(path: &Path, storage: &str, now: i64) {
    let mut copy = Server::start_with(path, Ports::free(), &[&format!("--storage.tsdb.path={storage}")]);
    assert_eq!(count(&copy.api, r#"kept_total{instance="a"}"#, now), Some((HOURS * 60) as f64));
    assert_eq!(count(&copy.api, "deleted_total", now), None);
    copy.terminate();
    assert!(copy.unexpected(&[]).is_empty(), "{:?}", copy.unexpected(&[]));
}

/// What the commands say of a sound folder, and of one that a server runs on.
fn looked_at(path: &Path) {
    let data = path.join("data").display().to_string();
    let verified = command(&["tsdb", "verify", &data]);
    assert!(verified.status.success(), "{}{}", text(&verified.stdout), text(&verified.stderr));
    assert!(text(&verified.stdout).contains("blocks, "), "{}", text(&verified.stdout));
    let analyzed = command(&["tsdb", "analyze", &data]);
    let said = text(&analyzed.stdout);
    for expected in ["bytes per sample", "BYTES BY SECTION", "series by metric name", "kept_total"] {
        assert!(said.contains(expected), "{expected} is missing in\n{said}");
    }
    let mut running = Server::start(path, Ports::free());
    let refused = command(&["tsdb", "verify", &data]);
    assert!(
        !refused.status.success() && text(&refused.stderr).contains("is locked"),
        "{}",
        text(&refused.stderr)
    );
    running.terminate();
}

/// The command makes the same copy of a stopped server's folder.
fn copied(path: &Path, now: i64) {
    let (data, to) = (path.join("data").display().to_string(), path.join("copy").display().to_string());
    let made = command(&["tsdb", "snapshot", &data, &to]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    opened(path, "copy", now);
}

/// A damaged block is named by the command, and by the start that sets it aside and goes on without.
fn damaged(path: &Path, now: i64) {
    let metrics = path.join("data/metrics");
    let block = blocks(&metrics).remove(0);
    let mut bytes = fs::read(&block).unwrap();
    let middle = bytes.len() - 200;
    bytes[middle] ^= 0x40;
    // Other names of the same bytes, those of snapshots, stay sound.
    fs::remove_file(&block).unwrap();
    fs::write(&block, &bytes).unwrap();
    let name = block.file_name().unwrap().to_str().unwrap().to_owned();
    let verified = command(&["tsdb", "verify", &path.join("data").display().to_string()]);
    let said = text(&verified.stdout);
    assert!(!verified.status.success() && said.contains("DAMAGED") && said.contains(&name), "{said}");

    let mut server = Server::start(path, Ports::free());
    let left = count(&server.api, r#"kept_total{instance="a"}"#, now).unwrap_or(0.0);
    assert!(left < (HOURS * 60) as f64, "{left} samples");
    server.terminate();
    let log = server.log().join("\n");
    assert!(log.contains(&name) && log.contains("set aside"), "{log}");
    assert!(metrics.join("blocks").join(format!("{name}.corrupt")).is_file());
}
