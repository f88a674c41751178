//! Queues between a real log and a receiver that does as it is told.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use formats::remote_write::{Compression, Decoder, Limits, Version};
use model::{Append as _, Exemplar, Histogram, Metadata, MetricKind, Sample, Timestamp};
use parking_lot::Mutex as SyncMutex;
use tsdb::{Options, RealFileSystem, SystemClock};

use super::*;
use crate::client::Send;

/// What came: series with their samples, and texts of everything else.
#[derive(Debug, Default)]
struct Received {
    samples: BTreeMap<String, Vec<(i64, f64)>>,
    others: Vec<String>,
    requests: usize,
}

/// How the next request is answered.
type Answer = Box<dyn FnMut(&Received, usize) -> Result<(), Error> + std::marker::Send>;

#[derive(Clone)]
struct Fake {
    received: Arc<SyncMutex<Received>>,
    answer: Arc<SyncMutex<Answer>>,
    changed: Arc<tokio::sync::Notify>,
}

impl Fake {
    fn new() -> Self {
        let answer: Answer = Box::new(|_, _| Ok(()));
        Self {
            received: Arc::default(),
            answer: Arc::new(SyncMutex::new(answer)),
            changed: Arc::new(tokio::sync::Notify::new()),
        }
    }

    /// From now on, requests are answered by `answer`, which sees what was received so far and how many items this one has.
    fn answer(
        &self,
        answer: impl FnMut(&Received, usize) -> Result<(), Error> + std::marker::Send + 'static,
    ) {
        *self.answer.lock() = Box::new(answer);
    }

    /// Waits until what was received passes.
    async fn until(&self, pass: impl Fn(&Received) -> bool) {
        loop {
            let changed = self.changed.notified();
            if pass(&self.received.lock()) {
                return;
            }
            changed.await;
        }
    }

    fn samples_of(&self, name: &str) -> Vec<(i64, f64)> {
        self.received.lock().samples.get(name).cloned().unwrap_or_default()
    }
}

const LIMITS: Limits = Limits { decompressed_bytes_max: 1 << 20, items_max: 100_000 };

#[async_trait]
impl Send for Fake {
    async fn send(&self, body: Vec<u8>, version: Version, _attempt: u32) -> Result<(), Error> {
        let decoder = Decoder::new(0);
        let mut received = self.received.lock();
        received.requests += 1;
        let answered = decoder.read(&body, (Compression::Snappy, version), &LIMITS, |batch| {
            let items: usize = batch.series.iter().map(|series| series.samples.len()).sum();
            (self.answer.lock())(&received, items)?;
            for series in &batch.series {
                let name = series.labels.to_string();
                let samples = series.samples.iter().map(|sample| (sample.timestamp.millis(), sample.value));
                received.samples.entry(name.clone()).or_default().extend(samples);
                let histograms =
                    series.histograms.iter().map(|(_, h)| format!("{name} histogram {}", h.count));
                received.others.extend(histograms);
                received
                    .others
                    .extend(series.exemplars.iter().map(|e| format!("{name} exemplar {}", e.value)));
            }
            let families =
                batch.metadata.iter().map(|(family, known)| format!("{family} is a {}", known.kind));
            received.others.extend(families);
            Ok(())
        });
        drop(received);
        self.changed.notify_waiters();
        answered.unwrap()
    }
}

fn open(dir: &Path) -> Arc<Tsdb> {
    let options = Options { checkpoint_bytes: 10_000, wal_segment_bytes: 4000, ..Options::prometheus() };
    let tsdb = Tsdb::open(dir.join("db"), options, Arc::new(RealFileSystem), Arc::new(SystemClock)).unwrap();
    tsdb.keep_log_for(Duration::from_secs(3600));
    Arc::new(tsdb)
}

/// Quick, so that no test waits for a batch to fill.
fn config(more: &str) -> RemoteWriteConfig {
    serde_saphyr::from_str(&format!(
        "{{url: http://far, name: far, {more} queue_config: {{batch_send_deadline: 5ms, min_backoff: 1ms, max_backoff: 5ms}}}}"
    ))
    .unwrap()
}

fn start(dir: &Path, tsdb: &Arc<Tsdb>, config: RemoteWriteConfig, fake: &Fake) -> Queue {
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let parts = QueueParts {
        tsdb,
        dir: &dir.join("positions"),
        external_labels: &Labels::from_pairs([("region", "north"), ("job", "ignored")]),
        metrics: metrics.queue("far", "http://far").unwrap(),
        receiver: Box::new(fake.clone()),
        runtime: Handle::current(),
    };
    Queue::start(config, parts).unwrap()
}

fn labels(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name), ("job", "a")])
}

/// As the receiver names it.
fn sent(name: &str) -> String {
    format!("{name}{{job=\"a\", region=\"north\"}}")
}

fn append(tsdb: &Tsdb, name: &str, range: std::ops::Range<i64>) {
    for value in range {
        let mut batch = tsdb.appender();
        batch.append(None, &labels(name), Sample::new(time(value), value as f64)).unwrap();
        batch.commit().unwrap();
    }
}

/// Shortly before now, so that no block is cut.
fn time(value: i64) -> i64 {
    1_795_000_000_000 + value * 10
}

fn expected(range: std::ops::Range<i64>) -> Vec<(i64, f64)> {
    range.map(|value| (time(value), value as f64)).collect()
}

fn away() -> Error {
    Error::Recoverable { what: "nobody is there".to_owned(), after: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_are_named_relabelled_and_sent_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let tsdb = open(dir.path());
    let fake = Fake::new();
    append(&tsdb, "up", 0..1);
    let rules = "write_relabel_configs: [{source_labels: [__name__], regex: secret, action: drop}],";
    let queue = start(dir.path(), &tsdb, config(rules), &fake);
    append(&tsdb, "secret", 0..5);
    append(&tsdb, "up", 1..50);
    fake.until(|received| received.samples.get(&sent("up")).is_some_and(|all| all.len() == 49)).await;
    queue.stop(Duration::from_secs(10)).await;
    // What was there before the queue was configured is not sent.
    assert_eq!(fake.samples_of(&sent("up")), expected(1..50));
    assert_eq!(fake.received.lock().samples.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_kinds_are_sent_in_both_versions() {
    for (message, more) in [("prometheus.WriteRequest", 0), ("io.prometheus.write.v2.Request", 1)] {
        let dir = tempfile::tempdir().unwrap();
        let (tsdb, fake) = (open(dir.path()), Fake::new());
        let keys =
            format!("send_exemplars: true, send_native_histograms: true, protobuf_message: {message},");
        let queue = start(dir.path(), &tsdb, config(&keys), &fake);
        let mut batch = tsdb.appender();
        batch.append_metadata("reads", &Metadata { kind: MetricKind::Counter, ..Metadata::default() });
        let id = batch.append(None, &labels("reads_total"), Sample::new(time(1), 1.0)).unwrap();
        let exemplar =
            Exemplar { labels: labels("x"), value: 7.0, timestamp: Timestamp::from_millis(time(1)) };
        batch.append_exemplar(id, &exemplar).unwrap();
        let histogram = Histogram { count: 3.0, zero_count: 3.0, sum: 0.0, ..Histogram::stale() };
        batch.append_histogram(None, &labels("h"), Timestamp::from_millis(time(1)), &histogram).unwrap();
        batch.commit().unwrap();
        fake.until(|received| received.others.len() == 2 + more && !received.samples.is_empty()).await;
        queue.stop(Duration::from_secs(10)).await;
        let mut others = fake.received.lock().others.clone();
        others.sort();
        let mut wanted =
            vec![format!("{} histogram 3", sent("h")), format!("{} exemplar 7", sent("reads_total"))];
        // Version 1.0 tells of families at regular times instead.
        wanted.extend((more == 1).then(|| "reads_total is a counter".to_owned()));
        wanted.sort();
        assert_eq!(others, wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_the_receiver_is_away_and_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (tsdb, fake) = (open(dir.path()), Fake::new());
    let queue = start(dir.path(), &tsdb, config(""), &fake);
    append(&tsdb, "up", 0..100);
    fake.until(|received| received.samples.get(&sent("up")).is_some_and(|all| all.len() == 100)).await;
    fake.answer(|_, _| Err(away()));
    append(&tsdb, "up", 100..600);
    // The log is replaced by checkpoints meanwhile.
    assert!(tsdb.maintain().unwrap().checkpointed);
    append(&tsdb, "up", 600..1200);
    tsdb.maintain().unwrap();
    let before = fake.received.lock().requests;
    fake.until(|received| received.requests > before).await;
    queue.stop(Duration::from_secs(10)).await;
    tsdb.close().unwrap();
    drop(tsdb);

    let tsdb = open(dir.path());
    let held = tsdb.hold_log();
    tsdb.maintain().unwrap();
    let queue = start(dir.path(), &tsdb, config(""), &fake);
    drop(held);
    append(&tsdb, "up", 1200..1300);
    let before = fake.received.lock().requests;
    fake.until(|received| received.requests > before + 2).await;
    fake.answer(|_, _| Ok(()));
    fake.until(|received| received.samples.get(&sent("up")).is_some_and(|all| all.len() >= 1300)).await;
    queue.stop(Duration::from_secs(10)).await;
    assert_eq!(fake.samples_of(&sent("up")), expected(0..1300));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_good_is_not_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let (tsdb, fake) = (open(dir.path()), Fake::new());
    fake.answer(|_, _| Err(Error::Permanent("out of order sample".to_owned())));
    let queue = start(dir.path(), &tsdb, config(""), &fake);
    append(&tsdb, "up", 0..3);
    fake.until(|received| received.requests > 0).await;
    let link = queue.link();
    while link.metrics.failed.of(crate::metrics::Kind::Sample).get() < 3 {
        tokio::task::yield_now().await;
    }
    fake.answer(|_, _| Ok(()));
    append(&tsdb, "up", 3..5);
    fake.until(|received| received.samples.contains_key(&sent("up"))).await;
    queue.stop(Duration::from_secs(10)).await;
    assert_eq!(fake.samples_of(&sent("up")), expected(3..5));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_what_was_sent_before_costs_nothing_that_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let (tsdb, fake) = (open(dir.path()), Fake::new());
    // A position that is older than what was sent, as a killed process leaves it.
    let positions = dir.path().join("positions");
    let start_of_log = tsdb.log_end();
    append(&tsdb, "up", 0..40);
    let key = config("").key();
    position::PositionFile::open(&positions, &key).unwrap().set(start_of_log).unwrap();
    fake.received.lock().samples.insert(sent("up"), expected(0..25));
    // As Prometheus: one sample that is older than the newest, and the whole request is refused.
    struct Strict(Fake);
    #[async_trait]
    impl Send for Strict {
        async fn send(&self, body: Vec<u8>, version: Version, attempt: u32) -> Result<(), Error> {
            let decoder = Decoder::new(0);
            let newest = self.0.samples_of(&sent("up")).last().map_or(0, |sample| sample.0);
            let late = decoder
                .read(&body, (Compression::Snappy, version), &LIMITS, |batch| {
                    batch.series.iter().flat_map(|s| &s.samples).any(|s| s.timestamp.millis() <= newest)
                })
                .unwrap();
            if late {
                return Err(Error::Permanent("out of order sample".to_owned()));
            }
            self.0.send(body, version, attempt).await
        }
    }
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let parts = QueueParts {
        tsdb: &tsdb,
        dir: &positions,
        external_labels: &Labels::from_pairs([("region", "north")]),
        metrics: metrics.queue("far", "http://far").unwrap(),
        receiver: Box::new(Strict(fake.clone())),
        runtime: Handle::current(),
    };
    let queue = Queue::start(config(""), parts).unwrap();
    fake.until(|received| received.samples.get(&sent("up")).is_some_and(|all| all.len() == 40)).await;
    queue.stop(Duration::from_secs(10)).await;
    assert_eq!(fake.samples_of(&sent("up")), expected(0..40));
}
