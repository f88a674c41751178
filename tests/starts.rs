//! Start timestamps, end to end: brought by remote write 2.0 and by OTLP, kept over restarts and in merged blocks, and
//! seen by queries where the feature is on.

use std::fs;

use formats::remote_write::{Outgoing, OutgoingValue, Version, encode_items};
use model::{Buckets, Histogram, Labels, Sample, Timestamp};
use serde_json::json;

use crate::harness::http::Client;
use crate::harness::server::{Ports, Server};
use crate::harness::{PATIENCE, now_ms, until};

const MINUTE_MS: i64 = 60_000;
/// Several blocks of two hours, of which three become one.
const MINUTES: i64 = 12 * 60;
/// A counter is started anew so often.
const LIFE_MINUTES: i64 = 90;

const FEATURES: &[&str] = &["--enable-feature=use-start-timestamps,promql-experimental-functions"];

/// A counter that counts so much in its first minute that its restarts do not show in its values.
fn value(minute: i64) -> f64 {
    (minute / LIFE_MINUTES * 1_000 + 500 + minute % LIFE_MINUTES) as f64
}

/// Half a minute before the first sample of a life.
fn start(begin: i64, minute: i64) -> i64 {
    begin + minute / LIFE_MINUTES * LIFE_MINUTES * MINUTE_MS - MINUTE_MS / 2
}

fn push_remote_write(api: &Client, begin: i64) {
    let labels = |name: &str| Labels::from_pairs([("__name__", name), ("by", "remote_write")]);
    let (counter, native, plain) = (labels("c_total"), labels("n"), labels("plain_total"));
    let histograms: Vec<Histogram> = (0..MINUTES)
        .map(|minute| Histogram {
            count: value(minute),
            sum: value(minute),
            positive: Buckets::from_pairs([(1, value(minute))]),
            ..Histogram::stale()
        })
        .collect();
    let mut items = Vec::new();
    for (minute, histogram) in (0..MINUTES).zip(&histograms) {
        let at = begin + minute * MINUTE_MS;
        let start = Timestamp::from_millis(start(begin, minute));
        let sample = OutgoingValue::Float(Sample::new(at, value(minute)));
        let mut push = |labels, value, start| {
            items.push(Outgoing { labels, value, metadata: None, start });
        };
        push(&counter, sample, start);
        push(&native, OutgoingValue::Histogram(Timestamp::from_millis(at), histogram), start);
        push(&plain, sample, model::UNKNOWN_START);
    }
    let headers = [
        ("Content-Encoding", "snappy"),
        ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
    ];
    // The first request makes the series, later ones go by reference.
    for items in items.chunks(items.len() / 3) {
        let answer = api.post("/api/v1/write", &headers, &encode_items(Version::V2, items));
        assert_eq!(answer.status, 204, "{}", answer.body);
    }
}

fn push_otlp(otlp: &Client, begin: i64) {
    let points: Vec<_> = (0..MINUTES)
        .map(|minute| {
            json!({
                "asDouble": value(minute),
                "startTimeUnixNano": format!("{}000000", start(begin, minute)),
                "timeUnixNano": format!("{}000000", begin + minute * MINUTE_MS),
                "attributes": [{"key": "by", "value": {"stringValue": "otlp"}}],
            })
        })
        .collect();
    let sum = json!({"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": points});
    let request = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "c", "sum": sum}]}]}]});
    let headers = [("Content-Type", "application/json")];
    let answer = otlp.post("/v1/metrics", &headers, request.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// The value of a query at the time of the last sample, where it yields one series.
fn at_end(api: &Client, query: &str, begin: i64) -> f64 {
    let time = ((begin + (MINUTES - 1) * MINUTE_MS) as f64 / 1000.0).to_string();
    let data = api.data("/api/v1/query", &[("query", query), ("time", &time)]);
    let [series] = &data["result"].as_array().unwrap()[..] else { panic!("{query} yields {data}") };
    series["value"][1].as_str().unwrap().parse().unwrap()
}

/// Everything that starts tell, of each series that has any.
fn check(api: &Client, begin: i64) {
    let restarts = ((MINUTES - 1) / LIFE_MINUTES) as f64;
    let grown =
        (0..MINUTES).map(|minute| if minute % LIFE_MINUTES == 0 { value(minute) } else { 1.0 }).sum::<f64>();
    for series in ["c_total{by=\"remote_write\"}", "c_total{by=\"otlp\"}", "n"] {
        // The range begins before the first life does: all of it is counted, and nothing is extrapolated.
        let range = format!("{series}[{}s]", MINUTES * 60 + 60);
        assert_eq!(at_end(api, &format!("resets({range})"), begin), restarts, "{series}");
        let increase = match series {
            "n" => format!("histogram_count(increase({range}))"),
            _ => format!("increase({range})"),
        };
        let found = at_end(api, &increase, begin);
        assert!((found / grown - 1.0).abs() < 0.005, "{increase} is {found}, {grown} were counted");
        let last = at_end(api, &format!("start_timestamp({series})"), begin);
        assert_eq!(last, start(begin, MINUTES - 1) as f64 / 1000.0, "{series}");
    }
    let plain = format!("resets(plain_total[{}s])", MINUTES * 60 + 60);
    assert_eq!(at_end(api, &plain, begin), 0.0);
}

fn own(api: &Client, name: &str) -> f64 {
    let text = api.get("/metrics").body;
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.and_then(|line| line.rsplit_once(' ')).unwrap_or_else(|| panic!("no {name}")).1.parse().unwrap()
}

#[test]
fn starts_are_kept_and_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("prometheus.yml"), "").unwrap();
    fs::create_dir(path.join("plugins")).unwrap();
    let begin = (now_ms() / MINUTE_MS - MINUTES) * MINUTE_MS;

    let ports = Ports::free();
    let first = Server::start_with(path, ports, FEATURES);
    push_remote_write(&first.api, begin);
    push_otlp(&Client::new(&format!("http://127.0.0.1:{}", ports.otlp_http)), begin);
    check(&first.api, begin);
    first.kill();

    // The log has all of it. What is old becomes blocks at once, and three of them one.
    let mut second = Server::start_with(path, Ports::free(), FEATURES);
    // At least five are cut of twelve hours, and two or three of them merged.
    let written = || own(&second.api, "prometheus_tsdb_compactions_total");
    until("blocks are cut and merged", PATIENCE, || (written() >= 6.0).then_some(()));
    check(&second.api, begin);
    second.terminate();
    assert!(second.unexpected(&[]).is_empty(), "{:?}", second.unexpected(&[]));

    let mut third = Server::start_with(path, Ports::free(), FEATURES);
    check(&third.api, begin);
    third.terminate();

    // Without the feature, values alone count.
    let mut plain = Server::start(path, Ports::free());
    let query = format!("resets(c_total{{by=\"otlp\"}}[{}s])", MINUTES * 60 + 60);
    assert_eq!(at_end(&plain.api, &query, begin), 0.0);
    plain.terminate();
}
