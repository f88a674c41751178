//! Downsampled data, end to end: made of what was written over two days, they answer queries of long steps as the
//! samples do, over restarts, also when the samples are gone.

use std::fs;
use std::path::Path;

use formats::remote_write::{Outgoing, OutgoingValue, Version, encode_items};
use model::{Labels, Sample, Timestamp};
use serde_json::Value;

use crate::harness::http::Client;
use crate::harness::server::{Ports, Server};
use crate::harness::{PATIENCE, now_ms, until};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const HOURS: i64 = 48;
/// A counter is started anew so often; its values do not show it.
const LIFE_MINUTES: i64 = 97;

/// The retention lets blocks be merged to six hours, and no further.
const CONFIG: &str = "
storage:
  tsdb:
    retention: {time: 100h}
    downsampling:
      5m: {after: 12h}
      1h: {after: 24h}
";
/// Samples are kept for less than five minutes and hours are.
const SHORT: &str = "
storage:
  tsdb:
    retention: {time: 28h}
    downsampling:
      5m: {after: 12h}
      1h: {after: 24h}
";

const STARTS: &[&str] = &["--enable-feature=use-start-timestamps"];

/// What is asked, of windows that whole summaries fill.
const FUNCTIONS: [&str; 13] = [
    "rate(c_total[RANGE])",
    "increase(c_total[RANGE])",
    "resets(c_total[RANGE])",
    "increase(plain_total[RANGE])",
    "avg_over_time(g[RANGE])",
    "sum_over_time(g[RANGE])",
    "count_over_time(g[RANGE])",
    "min_over_time(g[RANGE])",
    "max_over_time(g[RANGE])",
    "stddev_over_time(g[RANGE])",
    "last_over_time(g[RANGE])",
    "changes(g[RANGE])",
    "delta(g[RANGE])",
];

/// A counter whose values are reset, one that only its starts tell of, a gauge.
fn values(minute: i64) -> [(&'static str, f64, i64); 3] {
    let life = minute / LIFE_MINUTES * LIFE_MINUTES;
    [
        ("c_total", (minute % 501 * 3) as f64, minute / 501 * 501),
        ("plain_total", (minute * 10) as f64, life),
        ("g", ((minute * 7919) % 1000) as f64 / 8.0, i64::MIN),
    ]
}

/// A sample per minute, half a minute past it, hour by hour.
fn push(api: &Client, begin: i64) {
    let labels = ["c_total", "plain_total", "g"].map(|name| Labels::from_pairs([("__name__", name)]));
    let headers = [
        ("Content-Encoding", "snappy"),
        ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
    ];
    for hour in 0..HOURS {
        let mut items = Vec::new();
        for minute in hour * 60..(hour + 1) * 60 {
            for (labels, (_, value, start)) in labels.iter().zip(values(minute)) {
                let time = begin + minute * MINUTE_MS + MINUTE_MS / 2;
                let start = match start {
                    i64::MIN => model::UNKNOWN_START,
                    start => Timestamp::from_millis(begin + start * MINUTE_MS),
                };
                let value = OutgoingValue::Float(Sample::new(time, value));
                items.push(Outgoing { labels, value, metadata: None, start });
            }
        }
        let answer = api.post("/api/v1/write", &headers, &encode_items(Version::V2, &items));
        assert_eq!(answer.status, 204, "{}", answer.body);
    }
}

fn seconds(ms: i64) -> String {
    (ms as f64 / 1000.0).to_string()
}

fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

/// Times and values of a query over a range that yields one series.
fn over_range(api: &Client, query: &str, (start, end): (i64, i64), step_ms: i64) -> Vec<(i64, f64)> {
    let (start, end, step) = (seconds(start), seconds(end), seconds(step_ms));
    let parameters = [("query", query), ("start", &*start), ("end", &end), ("step", &step)];
    let data = api.data("/api/v1/query_range", &parameters);
    let [series] = &data["result"].as_array().unwrap()[..] else { panic!("{query} yields {data}") };
    let point = |point: &Value| ((point[0].as_f64().unwrap() * 1000.0) as i64, number(&point[1]));
    series["values"].as_array().unwrap().iter().map(point).collect()
}

/// The same at one time, which samples answer while there are any.
fn at(api: &Client, query: &str, time: i64) -> f64 {
    let data = api.data("/api/v1/query", &[("query", query), ("time", &seconds(time))]);
    let [series] = &data["result"].as_array().unwrap()[..] else { panic!("{query} yields {data}") };
    number(&series["value"][1])
}

/// What is asked at which steps, with the ranges that they have.
fn questions(begin: i64) -> Vec<(String, (i64, i64), i64)> {
    let mut questions = Vec::new();
    for (step_ms, range, hours) in [(HOUR_MS / 2, "1h", 34), (5 * HOUR_MS, "5h", 20)] {
        for function in FUNCTIONS {
            let start = begin + 5 * HOUR_MS;
            let end = begin + hours * HOUR_MS;
            questions.push((function.replace("RANGE", range), (start, end), step_ms));
        }
    }
    questions
}

/// Every answer from the samples, one at a time.
fn from_samples(api: &Client, begin: i64) -> Vec<Vec<(i64, f64)>> {
    let one_by_one = |(query, (start, end), step_ms): (String, (i64, i64), i64)| {
        let times = (start..=end).step_by(step_ms as usize);
        times.map(|time| (time, at(api, &query, time))).collect()
    };
    questions(begin).into_iter().map(one_by_one).collect()
}

fn check(api: &Client, begin: i64, expected: &[Vec<(i64, f64)>]) {
    for ((query, range, step_ms), expected) in questions(begin).into_iter().zip(expected) {
        let found = over_range(api, &query, range, step_ms);
        assert_eq!(found.len(), expected.len(), "{query}");
        for ((time, found), (expected_time, expected)) in found.iter().zip(expected) {
            assert_eq!(time, expected_time, "{query}");
            let near = (found - expected).abs() <= 1e-9 * expected.abs().max(1.0);
            assert!(near, "{query} at {time}: {found}, the samples say {expected}");
        }
    }
}

/// How many blocks there are of samples, of five minutes and of hours.
fn blocks(api: &Client) -> [usize; 3] {
    let data = api.data("/api/v1/status/tsdb/blocks", &[]);
    let blocks = data["blocks"].as_array().unwrap();
    [Value::Null, Value::from(300_000), Value::from(HOUR_MS)]
        .map(|resolution| blocks.iter().filter(|b| b["downsample"]["resolution"] == resolution).count())
}

fn all_blocks(api: &Client) -> [usize; 3] {
    // At least 30 of 48 hours are old enough for the five minutes, and 18 for the hours, six at a time.
    until("data are downsampled", PATIENCE, || {
        Some(blocks(api)).filter(|[_, minutes, hours]| *minutes >= 5 && *hours >= 3)
    })
}

fn started(path: &Path, config: &str, flags: &[&str]) -> Server {
    fs::write(path.join("prometheus.yml"), config).unwrap();
    Server::start_with(path, Ports::free(), flags)
}

fn stopped(mut server: Server) {
    server.terminate();
    assert!(server.unexpected(&[]).is_empty(), "{:?}", server.unexpected(&[]));
}

#[test]
fn downsampled_data_answer_as_the_samples_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir(path.join("plugins")).unwrap();
    // Windows of five hours, of steps that begin with it, have to hold whole hours.
    let begin = (now_ms() / HOUR_MS - HOURS) * HOUR_MS;

    // All of it comes before the first block is cut; the next start finds it due at once.
    let first = started(path, CONFIG, &[]);
    push(&first.api, begin);
    let expected = from_samples(&first.api, begin);
    stopped(first);

    let second = started(path, CONFIG, &[]);
    let made = all_blocks(&second.api);
    check(&second.api, begin, &expected);
    stopped(second);

    let third = started(path, CONFIG, &[]);
    let [_, minutes, hours] = blocks(&third.api);
    assert_eq!([minutes, hours], [made[1], made[2]], "what there was is there after a restart");
    check(&third.api, begin, &expected);
    stopped(third);

    starts(path, begin);

    // Without the samples of the first day.
    let last = started(path, SHORT, &[]);
    until("samples go", PATIENCE, || (blocks(&last.api)[0] < made[0]).then_some(()));
    check(&last.api, begin, &expected);
    stopped(last);
}

/// Where starts count, what was counted before each is there whatever the step, and no restart is lost.
fn starts(path: &Path, begin: i64) {
    let server = started(path, CONFIG, STARTS);
    for (range, step_ms) in [("1h", HOUR_MS / 2), ("5h", 5 * HOUR_MS)] {
        for (query, error_max) in [
            (format!("resets(plain_total[{range}])"), 0.0),
            (format!("increase(plain_total[{range}])"), 0.02),
        ] {
            let found = over_range(&server.api, &query, (begin + 5 * HOUR_MS, begin + 20 * HOUR_MS), step_ms);
            assert!(!found.is_empty());
            for (time, value) in found {
                // By how much a window grows at its edges depends on where its outermost samples are.
                let expected = at(&server.api, &query, time);
                let differs = (value - expected).abs();
                assert!(
                    differs <= error_max * expected,
                    "{query} at {time}: {value}, the samples say {expected}"
                );
            }
        }
    }
    stopped(server);
}
