//! Other servers: Prometheus receives what is stored here, reads from here and writes here, this server writes to itself, a server above
//! federates, jobs push. What needs Prometheus' own binary does without it where it is not installed.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use formats::remote_write::{Outgoing, OutgoingValue, Version, encode_items};
use formats::{TimeSeries, WriteRequest, remote_write};
use model::{Buckets, Histogram, Labels, Sample, Timestamp};
use serde_json::Value;

use crate::harness::http::{Client, Listener};
use crate::harness::server::{self, Ports, Server};
use crate::harness::{PATIENCE, now_ms, until, until_value};

/// What a receiver that is away makes the server say.
const AWAY: [&str; 1] = ["remote write fails and is tried again"];

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A Prometheus. Dropping it kills it.
struct Prometheus {
    child: Child,
    api: Client,
}

impl Prometheus {
    /// `None` where it is not installed.
    fn start(folder: &Path, port: u16, config: &str) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("prometheus.yml"), config).unwrap();
        let child = Command::new("prometheus")
            .current_dir(folder)
            .args([
                "--config.file=prometheus.yml",
                "--storage.tsdb.path=data",
                "--web.enable-remote-write-receiver",
            ])
            .arg("--enable-feature=native-histograms")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let prometheus = Self { child, api: Client::new(&format!("http://127.0.0.1:{port}")) };
        until("Prometheus is ready", PATIENCE, || {
            prometheus.api.try_get("/-/ready").is_some_and(|answer| answer.status == 200).then_some(())
        });
        Some(prometheus)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder(path: &Path, config: &str) {
    fs::create_dir_all(path.join("plugins")).unwrap();
    fs::write(path.join("prometheus.yml"), config).unwrap();
}

/// Quick, so that no test waits for a batch to fill.
fn remote(port: u16, more: &str) -> String {
    format!(
        "global: {{scrape_interval: 1h, external_labels: {{region: north}}}}\n\
         remote_write:\n- url: http://127.0.0.1:{port}/api/v1/write\n  name: far\n  {more}\n  \
         queue_config: {{batch_send_deadline: 100ms, max_backoff: 200ms}}\n  \
         metadata_config: {{send_interval: 1s}}\n"
    )
}

fn histogram(count: f64) -> Histogram {
    Histogram {
        count,
        zero_count: 1.0,
        sum: 2.5 * count,
        positive: Buckets::from_pairs([(0, count - 3.0), (3, 2.0)]),
        ..Histogram::stale()
    }
}

/// Stores samples of some series, one for each second of `seconds` after `start`.
fn store(api: &Client, start: i64, seconds: std::ops::Range<i64>) {
    let floats = (0..20).map(|n: i64| TimeSeries {
        labels: Labels::from_pairs([("__name__", "load"), ("n", &n.to_string())]),
        samples: seconds.clone().map(|at| Sample::new(start + at * 1000, (at * n) as f64)).collect(),
        ..TimeSeries::default()
    });
    let histograms = TimeSeries {
        labels: Labels::from_pairs([("__name__", "latency")]),
        histograms: seconds
            .clone()
            .map(|at| (Timestamp::from_millis(start + at * 1000), histogram((at + 5) as f64)))
            .collect(),
        ..TimeSeries::default()
    };
    let request = WriteRequest { series: floats.chain([histograms]).collect(), metadata: Vec::new() };
    let headers = [("Content-Type", "application/x-protobuf"), ("Content-Encoding", "snappy")];
    let answer = api.post("/api/v1/write", &headers, &remote_write::encode(&request));
    assert_eq!(answer.status, 204, "{}", answer.body);
}

/// What a range query answers, without labels that the sender has added.
fn answer(api: &Client, query: &str, start: i64, end: i64) -> Value {
    let time = |millis: i64| (millis as f64 / 1000.0).to_string();
    let parameters = [("query", query), ("start", &time(start)), ("end", &time(end)), ("step", "1")];
    let mut data = api.data("/api/v1/query_range", &parameters)["result"].clone();
    for series in data.as_array_mut().unwrap() {
        series["metric"].as_object_mut().unwrap().remove("region");
    }
    data
}

const QUERIES: [&str; 4] = [
    "load",
    "sum(load) by (n) + on(n) load",
    "histogram_fraction(4, 8, latency)",
    "histogram_count(latency) + histogram_sum(latency)",
];

fn same_answers(one: &Client, other: &Client, start: i64, seconds: i64) {
    same_answers_to(&QUERIES, one, other, start, seconds);
}

fn same_answers_to(queries: &[&str], one: &Client, other: &Client, start: i64, seconds: i64) {
    for query in queries {
        let expected = answer(one, query, start, start + seconds * 1000);
        assert!(!expected.as_array().unwrap().is_empty(), "{query} finds nothing");
        let what = format!("{query} is answered alike");
        until(&what, PATIENCE, || {
            (answer(other, query, start, start + seconds * 1000) == expected).then_some(())
        });
    }
}

#[test]
fn prometheus_receives_everything_though_it_was_away_and_we_restarted() {
    let folder_of = tempfile::tempdir().unwrap();
    let path = folder_of.path();
    let port = free_port();
    let config = "global: {scrape_interval: 1h}\n";
    let Some(prometheus) = Prometheus::start(&path.join("far"), port, config) else { return };
    folder(path, &remote(port, "send_native_histograms: true"));
    let start = now_ms() - 100_000;
    let mut first = Server::start(path, Ports::free());
    store(&first.api, start, 0..10);
    same_answers(&first.api, &prometheus.api, start, 10);
    let far = prometheus.api.value("count(load{region=\"north\"})").unwrap();
    assert!((far - 20.0).abs() < f64::EPSILON);
    drop(prometheus);

    store(&first.api, start, 10..40);
    until("sending fails", PATIENCE, || first.log().iter().any(|line| line.contains(AWAY[0])).then_some(()));
    first.terminate();
    assert!(first.unexpected(&AWAY).is_empty(), "{:?}", first.unexpected(&AWAY));
    let second = Server::start(path, Ports::free());
    store(&second.api, start, 40..60);
    // As after a power cut, with some of it sent and some of it not.
    second.kill();
    let third = Server::start(path, Ports::free());
    let prometheus = Prometheus::start(&path.join("far"), port, config).unwrap();
    store(&third.api, start, 60..80);
    same_answers(&third.api, &prometheus.api, start, 80);
    let counted = |name: &str| {
        let text = third.api.get("/metrics").body;
        let line = text.lines().find(|line| line.starts_with(&format!("{name}{{remote_name=\"far\"")));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or_default()
    };
    assert_eq!(counted("prometheus_remote_storage_samples_failed_total"), 0.0);
    assert!(counted("prometheus_remote_storage_samples_total") >= 400.0);
    assert_eq!(counted("stormglass_remote_write_log_gaps_total"), 0.0);
}

#[test]
fn we_write_to_ourselves_in_version_2_with_metadata() {
    let (near, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    folder(far.path(), "global: {scrape_interval: 1h}\n");
    let far = Server::start(far.path(), Ports::free());
    let port = far.api.address().rsplit_once(':').unwrap().1.parse().unwrap();
    let more = "protobuf_message: io.prometheus.write.v2.Request\n  send_native_histograms: true\n  send_exemplars: true";
    folder(near.path(), &remote(port, more));
    let mut near = Server::start(near.path(), Ports::free());
    let start = now_ms() - 60_000;
    store(&near.api, start, 0..30);
    let push = near.api.post(
        "/metrics/job/batch",
        &[],
        b"# HELP jobs_done_total Jobs.\n# TYPE jobs_done_total counter\njobs_done_total 3\n",
    );
    assert_eq!(push.status, 200, "{}", push.body);
    same_answers(&near.api, &far.api, start, 30);
    until("metadata arrives", PATIENCE, || {
        let data = far.api.data("/api/v1/metadata", &[("metric", "jobs_done_total")]);
        (data["jobs_done_total"][0]["type"] == "counter").then_some(())
    });
    near.terminate();
    assert!(near.unexpected(&[]).is_empty(), "{:?}", near.unexpected(&[]));
}

#[test]
fn prometheus_reads_from_us_and_we_from_others() {
    let (near, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    folder(far.path(), "global: {scrape_interval: 1h, external_labels: {region: south}}\n");
    let far = Server::start(far.path(), Ports::free());
    let start = now_ms() - 60_000;
    store(&far.api, start, 0..30);
    let address = far.api.address();
    let read = format!(
        "global: {{scrape_interval: 1h, external_labels: {{region: south}}}}\n\
         remote_read: [{{url: 'http://{address}/api/v1/read', read_recent: true}}]\n"
    );
    folder(near.path(), &read);
    let near = Server::start(near.path(), Ports::free());
    same_answers(&far.api, &near.api, start, 30);
    // What both have is there once.
    store(&near.api, start, 0..10);
    same_answers(&far.api, &near.api, start, 30);
    let folder_of = tempfile::tempdir().unwrap();
    // Prometheus 2.42 reads floats alone.
    if let Some(prometheus) = Prometheus::start(folder_of.path(), free_port(), &read) {
        same_answers_to(&QUERIES[..2], &far.api, &prometheus.api, start, 30);
    }
    drop(far);
    let data = near.api.get_with("/api/v1/query", &[("query", "load")]).json();
    assert_eq!(data["status"], "success");
    assert!(data["warnings"][0].as_str().unwrap().contains("remote_read"), "{data}");
}

#[test]
fn a_server_above_federates_and_jobs_push() {
    let folder_of = tempfile::tempdir().unwrap();
    let path = folder_of.path();
    folder(path, "global: {scrape_interval: 1s, external_labels: {region: north}}\n");
    let mut first = Server::start(path, Ports::free());
    let api = first.api.clone();
    let pushed =
        api.post("/metrics/job/backup/instance/a%2Fb", &[], b"# TYPE bytes gauge\nbytes{job=\"own\"} 7\n");
    assert_eq!(pushed.status, 200, "{}", pushed.body);
    let refused = api.post("/metrics/job/backup", &[], b"bytes 7 1234\n");
    assert_eq!(refused.status, 400, "{}", refused.body);
    let value = |api: &Client| api.value("bytes{job=\"backup\",instance=\"a/b\"}");
    until("what was pushed is there", PATIENCE, || (value(&api) == Some(7.0)).then_some(()));
    assert!(api.value("push_time_seconds{instance=\"a/b\"}").unwrap() > 0.0);
    assert!(api.value("push_failure_time_seconds{instance=\"\"}").unwrap() > 0.0);
    let federated = api.get("/federate?match[]=bytes&match[]=nothing");
    assert_eq!(federated.status, 200, "{}", federated.body);
    let lines: Vec<&str> = federated.body.lines().collect();
    assert_eq!(lines[0], "# TYPE bytes untyped");
    assert!(
        lines[1].starts_with("bytes{instance=\"a/b\",job=\"backup\",region=\"north\"} 7 "),
        "{}",
        federated.body
    );
    assert_eq!(api.get("/federate?match[]={").status, 400);
    first.terminate();
    assert!(first.unexpected(&[]).is_empty(), "{:?}", first.unexpected(&[]));

    let second = Server::start(path, Ports::free());
    let api = second.api.clone();
    let since = now_ms() as f64 / 1000.0;
    until("it is there after a restart", PATIENCE, || {
        api.value("timestamp(bytes{job=\"backup\"})").filter(|time| *time >= since)
    });
    let groups = api.data("/api/v1/metrics", &[]);
    assert_eq!(groups.as_array().unwrap().len(), 2, "{groups}");
    let deleted = api.delete("/metrics/job/backup/instance/a%2Fb");
    assert_eq!(deleted.status, 202, "{}", deleted.body);
    until("it is gone", PATIENCE, || value(&api).is_none().then_some(()));
}

#[test]
fn prometheus_writes_to_us() {
    let (near, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    folder(near.path(), "global: {scrape_interval: 1h}\n");
    let near = Server::start(near.path(), Ports::free());
    let page = "# HELP jobs_total Jobs.\n# TYPE jobs_total counter\njobs_total{kind=\"a\"} 5\n\
                # TYPE wait_seconds histogram\nwait_seconds_bucket{le=\"1\"} 2\nwait_seconds_bucket{le=\"+Inf\"} 3\n\
                wait_seconds_sum 4.5\nwait_seconds_count 3\n";
    let target = Listener::start(move |_| ("text/plain; version=0.0.4", page.to_owned()));
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, external_labels: {{region: south}}}}\n\
         scrape_configs: [{{job_name: page, static_configs: [{{targets: ['{}']}}]}}]\n\
         remote_write:\n- url: http://{}/api/v1/write\n  queue_config: {{batch_send_deadline: 100ms}}\n  \
         metadata_config: {{send_interval: 1s}}\n",
        target.address,
        near.api.address()
    );
    let Some(prometheus) = Prometheus::start(far.path(), free_port(), &config) else { return };
    let came = "{region=\"south\",job=\"page\",__name__!~\"scrape_.*\"}";
    until_value(&near.api, &format!("count({came})"), |count| count == 6.0);
    until("metadata arrives", PATIENCE, || {
        let data = near.api.data("/api/v1/metadata", &[("metric", "jobs_total")]);
        (data["jobs_total"][0]["help"] == "Jobs.").then_some(())
    });
    // What a target that is gone leaves behind ends here as well.
    drop(target);
    until_value(&near.api, "up{region=\"south\"}", |up| up == 0.0);
    until("the series end", PATIENCE, || near.api.value("jobs_total").is_none().then_some(()));
    drop(prometheus);
    assert!(near.unexpected(&[]).is_empty(), "{:?}", near.unexpected(&[]));
}

#[test]
fn what_is_written_and_what_is_refused_is_told_in_version_2() {
    let at = tempfile::tempdir().unwrap();
    folder(at.path(), "global: {scrape_interval: 1h}\n");
    let server = Server::start(at.path(), Ports::free());
    let now = now_ms();
    let (fine, late) =
        (Labels::from_pairs([("__name__", "fine")]), Labels::from_pairs([("__name__", "late")]));
    let native = Labels::from_pairs([("__name__", "native")]);
    let histogram = histogram(5.0);
    let send = |items: &[Outgoing<'_>]| {
        let answer = ureq::post(format!("http://{}/api/v1/write", server.api.address()))
            .config()
            .http_status_as_error(false)
            .build()
            .header("Content-Encoding", "snappy")
            .header("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
            .send(&encode_items(Version::V2, items)[..])
            .unwrap();
        let written = ["samples", "histograms", "exemplars"].map(|kind| {
            let name = format!("x-prometheus-remote-write-{kind}-written");
            answer.headers()[name.as_str()].to_str().unwrap().to_owned()
        });
        (answer.status().as_u16(), written, answer.into_body().read_to_string().unwrap())
    };
    let float = |labels, at, value| Outgoing {
        labels,
        value: OutgoingValue::Float(Sample::new(at, value)),
        metadata: None,
        start: model::UNKNOWN_START,
    };
    let whole = Outgoing {
        labels: &native,
        value: OutgoingValue::Histogram(Timestamp::from_millis(now), &histogram),
        metadata: None,
        start: model::UNKNOWN_START,
    };
    let (status, written, _) = send(&[float(&fine, now, 1.0), float(&late, now, 1.0), whole]);
    assert_eq!((status, written.each_ref().map(String::as_str)), (204, ["2", "1", "0"]));
    // One that is older than what is there, beside one that is fine: the latter is kept, and nothing is to be sent again.
    let (status, written, body) = send(&[float(&fine, now + 1, 2.0), float(&late, now - 1, 2.0)]);
    assert_eq!((status, written.each_ref().map(String::as_str)), (400, ["1", "0", "0"]), "{body}");
    assert!(body.contains("out of order"), "{body}");
    assert_eq!((server.api.value("fine"), server.api.value("late")), (Some(2.0), Some(1.0)));
    assert!(server.unexpected(&[]).is_empty(), "{:?}", server.unexpected(&[]));
}

#[test]
fn promtool_makes_blocks_of_what_is_dumped() {
    if Command::new("promtool").arg("--version").output().is_err() {
        return;
    }
    let at = tempfile::tempdir().unwrap();
    folder(at.path(), "global: {scrape_interval: 1h}\n");
    let mut server = Server::start(at.path(), Ports::free());
    store(&server.api, now_ms() - 10_000, 0..10);
    server.terminate();
    let dumped = Command::new(server::binary())
        .args(["tsdb", "dump", "--match", "{__name__=~\"load|latency\"}"])
        .arg(at.path().join("data"))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&dumped.stderr).starts_with("10 native histograms are left out"));
    let exported = String::from_utf8(dumped.stdout).unwrap();
    assert!(exported.ends_with("# EOF\n"), "{exported}");
    fs::write(at.path().join("load.txt"), &exported).unwrap();
    let promtool = |arguments: &[&str]| {
        let output = Command::new("promtool").current_dir(at.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    promtool(&["tsdb", "create-blocks-from", "openmetrics", "load.txt", "blocks"]);
    // It reads no folder without one.
    fs::create_dir(at.path().join("blocks/wal")).unwrap();
    let dumped = promtool(&["tsdb", "dump", "blocks"]);
    let values: Vec<&str> = dumped.lines().filter(|line| line.contains("load")).collect();
    assert_eq!(values.len(), 200, "{dumped}");
    // The last of a series is its number times nine.
    assert!(values.iter().any(|line| line.contains("n=\"19\"") && line.contains("} 171 ")), "{dumped}");
}
