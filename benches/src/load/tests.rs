//! The load is the same everywhere, moves as an exporter does, and arrives.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use formats::TimeSeries;
use formats::remote_write::{Limits, decode};
use model::staleness::is_stale;

use super::*;
use crate::Fingerprint;

const PAGES: [&str; 3] = [
    "# TYPE jobs_total counter\njobs_total{queue=\"a\"} 5\njobs_total{queue=\"b\"} 0\n# TYPE depth gauge\ndepth 1.5\n",
    "# TYPE jobs_total counter\njobs_total{queue=\"a\"} 7\njobs_total{queue=\"b\"} 0\n# TYPE depth gauge\ndepth 0.25\n",
    "# TYPE jobs_total counter\njobs_total{queue=\"a\"} 7\njobs_total{queue=\"b\"} 0\n# TYPE depth gauge\ndepth 1\n",
];

fn recording() -> Recording {
    let pages = PAGES.map(str::to_owned);
    Recording::read(&Recording::write(&pages).unwrap()).unwrap()
}

fn load(targets: usize, churn_percent: f64) -> Load {
    Load {
        targets,
        interval: Duration::from_secs(15),
        churn_percent,
        churn_period: Duration::from_secs(30),
        seed: 1,
    }
}

#[test]
fn a_recording_reads_as_it_was_written() {
    let recording = recording();
    assert_eq!((recording.series_count(), recording.moving_count(), recording.steps), (3, 2, 2));
    let [first, second, third] = recording.series.as_slice() else { panic!("{recording:?}") };
    assert_eq!((first.steps.as_slice(), first.bounds), (&[2, 0][..], None));
    assert!(second.steps.is_empty());
    // In hundredths.
    assert_eq!((third.steps.as_slice(), third.bounds), (&[-125, 75][..], Some((25, 150))));
    assert_eq!(third.comments, "# TYPE depth gauge\n");
    assert!(Recording::read(b"nonsense").is_err());
}

#[test]
fn the_included_load_is_the_same_everywhere() {
    let recording = Recording::included().unwrap();
    assert_eq!((recording.series_count(), recording.steps), (1326, 63));
    let mut fingerprint = Fingerprint::default();
    let mut values = Vec::new();
    for number in 0..3 {
        let mut target = Target::new(&recording, number, 1);
        for _ in 0..100 {
            target.advance(&recording);
            target.values(&recording, &mut values);
            values.iter().for_each(|value| fingerprint.float(*value));
        }
    }
    assert_eq!(fingerprint.value(), EXPECTED, "{:#x}", fingerprint.value());
}

/// Changes only when the load does, which makes all published numbers incomparable.
const EXPECTED: u64 = 0x18fd_bcc8_67b3_7cd8;

#[test]
fn counters_never_fall_and_gauges_stay_where_they_were_seen() {
    let recording = Recording::included().unwrap();
    let mut target = Target::new(&recording, 7, 1);
    let (mut before, mut values) = (Vec::new(), Vec::new());
    target.values(&recording, &mut before);
    for _ in 0..200 {
        target.advance(&recording);
        target.values(&recording, &mut values);
        for ((series, before), value) in recording.series.iter().zip(&before).zip(&values) {
            match series.bounds {
                None => assert!(value >= before, "{}: {before} to {value}", series.labels),
                Some((min, max)) => {
                    let range = series.unit.value(min)..=series.unit.value(max);
                    assert!(range.contains(value), "{}: {value} in {range:?}", series.labels);
                }
            }
        }
        std::mem::swap(&mut before, &mut values);
    }
}

#[test]
fn targets_are_replaced_in_turn() {
    let load = load(4, 50.0);
    let revisions = |seconds| [0, 1, 2, 3].map(|target| load.revision(target, Duration::from_secs(seconds)));
    assert_eq!(revisions(29), [0, 0, 0, 0]);
    assert_eq!(revisions(30), [1, 1, 0, 0]);
    assert_eq!(revisions(60), [1, 1, 1, 1]);
    assert_eq!(revisions(95), [2, 2, 1, 1]);
}

/// Reads one HTTP request; `None` where there is no other.
fn read_request(input: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    Some(body)
}

/// A receiver that answers `status` to everything; gives its address and what it gets.
fn receiver(status: &'static str) -> (String, mpsc::Receiver<TimeSeries>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/write", listener.local_addr().unwrap());
    let (sender, received) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, sender) = (stream.unwrap(), sender.clone());
            thread::spawn(move || {
                let mut output = stream.try_clone().unwrap();
                let mut input = BufReader::new(stream);
                while let Some(body) = read_request(&mut input) {
                    let limits = Limits { decompressed_bytes_max: 1 << 20, items_max: 1 << 16 };
                    let (request, rejected) = decode(&body, &limits).unwrap();
                    assert!(rejected.is_empty());
                    request.series.into_iter().for_each(|series| sender.send(series).unwrap());
                    write!(output, "HTTP/1.1 {status}\r\ncontent-length: 4\r\n\r\ntold").unwrap();
                }
            });
        }
    });
    (url, received)
}

#[test]
fn what_is_sent_arrives_and_series_end_with_stale_markers() {
    let (url, received) = receiver("200 OK");
    let recording = recording();
    let destination = Destination { url, batch_samples: 4, connections: 2 };
    let mut sender = Sender::new(&recording, load(2, 50.0), destination, 1_000_000);
    let first = sender.send(2, Pace::Simulated).unwrap();
    let second = sender.send(1, Pace::Simulated).unwrap();
    assert_eq!((first.samples_sent, first.samples_accepted), (12, 12));
    // One target of two has been replaced.
    assert_eq!((second.samples_sent, second.samples_accepted, second.requests_refused), (9, 9, 0));
    assert_eq!(sender.time_ms(), 1_045_000);
    let mut all: BTreeMap<String, Vec<(i64, bool)>> = BTreeMap::new();
    for series in received.try_iter() {
        let samples = series.samples.iter().map(|sample| (sample.timestamp.millis(), is_stale(sample.value)));
        all.entry(series.labels.to_string()).or_default().extend(samples);
    }
    let depth = |rest: &str| all[&format!("depth{{{rest}}}")].clone();
    assert_eq!(
        depth(r#"instance="host-0", job="node_exporter", revision="r0""#),
        [(1_000_000, false), (1_015_000, false), (1_030_000, true)]
    );
    assert_eq!(depth(r#"instance="host-0", job="node_exporter", revision="r1""#), [(1_030_000, false)]);
    assert_eq!(
        depth(r#"instance="host-1", job="node_exporter", revision="r0""#),
        [(1_007_500, false), (1_022_500, false), (1_037_500, false)]
    );
    assert_eq!(all.len(), 9);
}

#[test]
fn refusals_are_counted_and_quoted() {
    let (url, _received) = receiver("400 Bad Request");
    let recording = recording();
    let destination = Destination { url, batch_samples: 2, connections: 1 };
    let report = Sender::new(&recording, load(1, 0.0), destination, 0).send(1, Pace::Simulated).unwrap();
    assert_eq!((report.samples_sent, report.samples_accepted, report.requests_refused), (3, 0, 2));
    assert_eq!(report.refusal.as_deref(), Some("400 Bad Request: told"));
    assert!(report.text().contains("3 in 2 refused requests"), "{}", report.text());
    assert!(report.latency(0.99) >= report.latency(0.5));
}

#[test]
fn pages_are_served_with_a_list_of_them() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || serve(&listener, recording(), load(2, 0.0)));
    let get =
        |path: &str| ureq::get(format!("{base}{path}")).call().unwrap().body_mut().read_to_string().unwrap();
    let page = get("/targets/0/metrics");
    assert!(page.starts_with("# TYPE jobs_total counter\njobs_total{queue=\"a\"} "), "{page}");
    assert_eq!(page.lines().count(), 5);
    let groups: serde_json::Value = serde_json::from_str(&get("/targets")).unwrap();
    assert_eq!(groups[1]["labels"]["__metrics_path__"], "/targets/1/metrics");
    assert_eq!(groups[1]["labels"]["instance"], "host-1");
    assert!(ureq::get(format!("{base}/targets/2/metrics")).call().is_err());
}
