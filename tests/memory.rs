//! The memory budget of the built server under a flood of new series: it stays up, refuses by name, goes on with what it
//! has, and takes new series again once there is room.

use std::fs;
use std::time::Duration;

use formats::{TimeSeries, WriteRequest, remote_write};
use model::{Labels, Sample};

use crate::harness::http::Client;
use crate::harness::server::{Ports, Server};
use crate::harness::{now_ms, until};

/// A debug build takes a third of it before the first sample.
const BUDGET: &str = "--storage.memory-budget=160MiB";
/// Series of one request of the flood.
const BATCH: usize = 2_000;
/// Many times what the budget has room for.
const FLOOD_MAX: usize = 1_000_000;
/// Long enough ago for maintenance to cut it to a block as soon as there is something new.
const LONG_AGO_MS: i64 = 5 * 3_600_000;
/// Maintenance comes once a minute.
const ROOM_WITHIN: Duration = Duration::from_secs(150);

/// Sends one sample to each of some series; gives status and answer.
fn push(api: &Client, metric: &str, numbers: std::ops::Range<usize>, time: i64) -> (u16, String) {
    let series = numbers.map(|n| TimeSeries {
        labels: Labels::from_pairs([("__name__", metric), ("pod", &format!("{n:01000}"))]),
        samples: vec![Sample::new(time, n as f64)],
        ..TimeSeries::default()
    });
    let body = remote_write::encode(&WriteRequest { series: series.collect(), metadata: Vec::new() });
    let headers = [("Content-Type", "application/x-protobuf"), ("Content-Encoding", "snappy")];
    let answer = api.post("/api/v1/write", &headers, &body);
    (answer.status, answer.body)
}

#[test]
fn a_flood_of_new_series_is_refused_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("plugins")).unwrap();
    fs::write(folder.path().join("prometheus.yml"), "global: {scrape_interval: 1h}\n").unwrap();
    let mut server = Server::start_with(folder.path(), Ports::free(), &[BUDGET]);
    let api = &server.api;
    let long_ago = now_ms() - LONG_AGO_MS;
    assert_eq!(push(api, "old", 0..10, long_ago).0, 204);

    let refused = (0..FLOOD_MAX / BATCH)
        .map(|batch| push(api, "flood", batch * BATCH..(batch + 1) * BATCH, long_ago))
        .find(|(status, _)| *status != 204);
    let (status, message) = refused.expect("the budget was not reached");
    assert_eq!(status, 400);
    assert!(message.contains("new series refused by limit memory_budget"), "{message}");

    assert_eq!(push(api, "old", 0..10, now_ms()), (204, String::new()));
    let count = api.data("/api/v1/query", &[("query", "count(old)")]);
    assert_eq!(count["result"][0]["value"][1], "10");
    let metrics = api.try_get("/metrics").unwrap().body;
    assert!(metrics.contains("stormglass_memory_shedding{what=\"series\"} 1"), "{metrics}");
    let told = api.data("/api/v1/status/cardinality", &[]);
    assert_eq!(told["memory"]["shortage"], "sheds_series");
    assert_eq!(told["growth"][0]["seriesByMetricName"][0]["name"], "flood");
    assert_eq!(told["refusedSeries"][0]["limit"], "memory_budget");
    assert_eq!(told["refusedSeries"][0]["examples"][0]["__name__"], "flood");

    // The flood is old enough for a block, and leaves the head with it.
    until("new series are taken again", ROOM_WITHIN, || {
        (push(api, "fresh", 0..1, now_ms()).0 == 204).then_some(())
    });
    let count = api.data("/api/v1/query", &[("query", "count(fresh)")]);
    assert_eq!(count["result"][0]["value"][1], "1");
    server.terminate();
    assert_eq!(server.unexpected(&["memory is short", "memory is very short", "span metric"]), [""; 0]);
}
