//! What can be kept of a request is kept, whatever protocol brings it; what cannot is named, each series by itself.

use std::sync::Arc;

use formats::remote_write::{Compression, Decoder, Limits, Outgoing, OutgoingValue, Version, encode_items};
use model::{Buckets, Exemplar, Histogram, Labels, Sample, UNKNOWN_START};
use tempfile::TempDir;
use tsdb::{Options, RealFileSystem, SystemClock, Tsdb, WalSync};

use super::*;

const LIMITS: Limits = Limits { decompressed_bytes_max: 1 << 20, items_max: 10_000 };

/// A database that syncs each commit, metrics, and the folder that it is in.
fn storage() -> (Tsdb, IngestMetrics, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { wal_sync: WalSync::Always, ..Options::prometheus() };
    let tsdb = Tsdb::open(folder.path(), options, Arc::new(RealFileSystem), Arc::new(SystemClock)).unwrap();
    (tsdb, IngestMetrics::register(&Registry::new()).unwrap(), folder)
}

fn labels(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name)])
}

fn series(name: &str, samples: &[(i64, f64)]) -> TimeSeries {
    let samples = samples.iter().map(|(time, value)| Sample::new(*time, *value)).collect();
    TimeSeries { labels: labels(name), samples, ..TimeSeries::default() }
}

/// Three series are fine, of one the sample contradicts one that is there, of one the second is older than the first.
fn mixed() -> Vec<TimeSeries> {
    vec![
        series("fine", &[(2000, 2.0)]),
        series("known", &[(1000, 7.0)]),
        series("repeated", &[(1000, 1.0)]),
        series("backwards", &[(5000, 5.0), (4000, 4.0)]),
        series("also_fine", &[(1000, 1.0)]),
    ]
}

const REFUSED: [&str; 2] = ["known: duplicate sample for timestamp", "backwards: out of order sample"];

fn known() -> Vec<TimeSeries> {
    vec![series("known", &[(1000, 1.0)]), series("repeated", &[(1000, 1.0)])]
}

fn request(series: Vec<TimeSeries>) -> WriteRequest {
    WriteRequest { series, metadata: Vec::new() }
}

#[test]
fn any_protocol_keeps_what_it_can_and_names_the_rest() {
    let (tsdb, metrics, _folder) = storage();
    for protocol in ["otlp", "decoder"] {
        let before = tsdb.stats().samples_appended;
        let mut rejected = Rejected::default();
        // The second protocol finds all of it there: nothing is new, and what contradicts still does.
        let new = if before == 0 { 5 } else { 0 };
        store(&request(known()), &mut rejected, &tsdb, protocol, &metrics).unwrap();
        assert!(rejected.is_empty(), "{rejected:?}");
        store(&request(mixed()), &mut rejected, &tsdb, protocol, &metrics).unwrap();
        assert_eq!(rejected.messages, REFUSED);
        assert_eq!((rejected.count, tsdb.stats().samples_appended - before), (2, new));
    }
    assert_eq!(metrics.rejected.with_label_values(&["otlp"]).get(), 2);
}

/// Writes series as a sender of a version does; gives what was written and what was refused.
fn send(
    (decoder, tsdb, metrics): (&Decoder, &Tsdb, &IngestMetrics),
    version: Version,
    series: &[TimeSeries],
) -> (Written, Vec<String>) {
    let items = series.iter().flat_map(|series| {
        series.samples.iter().map(|sample| Outgoing {
            labels: &series.labels,
            value: OutgoingValue::Float(*sample),
            metadata: None,
            start: UNKNOWN_START,
        })
    });
    let body = encode_items(version, &items.collect::<Vec<_>>());
    let stored = decoder.read(&body, (Compression::Snappy, version), &LIMITS, |batch| {
        let written = store_batch(batch, tsdb, metrics).unwrap();
        (written, batch.rejected.messages.clone())
    });
    stored.unwrap()
}

#[test]
fn remote_write_keeps_what_it_can_and_names_the_rest() {
    for version in [Version::V1, Version::V2] {
        let (tsdb, metrics, _folder) = storage();
        let decoder = Decoder::new(100);
        let to = (&decoder, &tsdb, &metrics);
        assert_eq!(send(to, version, &known()).1, [""; 0]);
        let (written, refused) = send(to, version, &mixed());
        let mut expected: Vec<String> = REFUSED.map(str::to_owned).to_vec();
        expected.sort_unstable();
        let sorted = |mut refused: Vec<String>| {
            refused.sort_unstable();
            refused
        };
        assert_eq!((written.samples, sorted(refused)), (4, expected.clone()), "by labels");
        assert_eq!(tsdb.stats().samples_appended, 5);
        // All series are known by now, and go by reference.
        let (written, refused) = send(to, version, &mixed());
        assert_eq!((written.samples, sorted(refused)), (4, expected), "by reference");
        assert_eq!(tsdb.stats().samples_appended, 5, "what repeats is there already");
    }
}

#[test]
fn what_a_limit_refuses_is_named_and_counted_and_known_series_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { head_series_max: Some(2), ..Options::prometheus() };
    let tsdb = Tsdb::open(folder.path(), options, Arc::new(RealFileSystem), Arc::new(SystemClock)).unwrap();
    let metrics = IngestMetrics::register(&Registry::new()).unwrap();
    let mut rejected = Rejected::default();
    store(&request(known()), &mut rejected, &tsdb, "otlp", &metrics).unwrap();
    let more = vec![series("known", &[(2000, 1.0)]), series("new", &[(2000, 1.0)])];
    store(&request(more), &mut rejected, &tsdb, "otlp", &metrics).unwrap();
    assert_eq!(rejected.messages, ["new: new series refused by limit head_series_max"]);
    assert_eq!((tsdb.stats().samples_appended, tsdb.stats().series_refused), (3, 1));
}

#[test]
fn an_exemplar_that_is_refused_costs_no_sample() {
    let (tsdb, metrics, _folder) = storage();
    let exemplar = |at: i64, trace: &str| Exemplar {
        labels: Labels::from_pairs([("trace_id", trace)]),
        value: 1.0,
        timestamp: Timestamp::from_millis(at),
    };
    let histogram =
        Histogram { count: 2.0, sum: 1.0, positive: Buckets::from_pairs([(1, 2.0)]), ..Histogram::stale() };
    let with = TimeSeries {
        histograms: vec![(Timestamp::from_millis(1000), histogram)],
        exemplars: vec![exemplar(1000, "b"), exemplar(900, "a"), exemplar(1000, &"x".repeat(200))],
        ..series("with", &[])
    };
    let mut rejected = Rejected::default();
    store(&request(vec![with]), &mut rejected, &tsdb, "otlp", &metrics).unwrap();
    assert_eq!(rejected.count, 0);
    assert_eq!(rejected.messages.len(), 2, "{:?}", rejected.messages);
    assert!(rejected.messages.iter().all(|message| message.starts_with("exemplar of with: ")));
    assert_eq!((tsdb.stats().samples_appended, tsdb.stats().exemplars_appended), (1, 1));
}
