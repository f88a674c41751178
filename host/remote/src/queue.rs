//! One entry of `remote_write` at work: the thread that reads the log, names and relabels its samples, and hands them to shards.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use ahash::RandomState;
use formats::remote_write::{Version, encode_metadata};
use model::{Labels, Metadata};
use scrape::relabel;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tsdb::{LogFrame, LogItems, LogPosition, LogReader, LogSamples, Tsdb, UNKNOWN_START};

use crate::Error;
use crate::client::Send;
use crate::config::RemoteWriteConfig;
use crate::ledger::Ledger;
use crate::metrics::{DROPPED_SERIES, Kind, QueueMetrics, UNKNOWN_SERIES};
use crate::position::PositionFile;
use crate::shards::{Item, ItemValue, Link, Shards};

/// How often the position is stored at most, and how long the reader waits for the log at once: what a killed process has
/// sent since is sent again.
const TICK: Duration = Duration::from_millis(100);

/// How often it is looked at whether there are enough shards, as in Prometheus.
const RESHARD_INTERVAL: Duration = Duration::from_secs(10);

/// How long to wait after a log that could not be read.
const LOG_RETRY: Duration = Duration::from_secs(1);

/// Labels of series that are gone are kept until there are so many more than series.
const STALE_LABELS_MAX: usize = 10_000;

/// What a change of the number of shards must be worth, as in Prometheus.
const RESHARD_TOLERANCE: f64 = 0.3;

/// How much of a backlog is to be sent within a second, as in Prometheus.
const BACKLOG_PART: f64 = 0.05;

/// How much the latest look counts for rates.
const RATE_WEIGHT: f64 = 0.2;

/// A queue that runs.
pub(crate) struct Queue {
    link: Arc<Link>,
    thread: Option<thread::JoinHandle<()>>,
    /// Tells of metric families.
    metadata: Option<JoinHandle<()>>,
}

/// What a queue needs besides its configuration.
pub(crate) struct QueueParts<'a> {
    pub(crate) tsdb: &'a Arc<Tsdb>,
    pub(crate) dir: &'a Path,
    pub(crate) external_labels: &'a Labels,
    pub(crate) metrics: QueueMetrics,
    pub(crate) receiver: Box<dyn Send>,
    pub(crate) runtime: Handle,
}

impl Queue {
    /// Starts where the position on disk says, or with what comes from now on.
    pub(crate) fn start(config: RemoteWriteConfig, parts: QueueParts<'_>) -> Result<Self, Error> {
        let position = PositionFile::open(parts.dir, &config.key())?;
        let before = parts.tsdb.log_end();
        let reader = parts.tsdb.log_reader(position.get())?;
        let queue = &config.queue_config;
        let metrics = parts.metrics;
        metrics.shard_capacity.set(queue.capacity as i64);
        metrics.shards_max.set(queue.max_shards as i64);
        metrics.shards_min.set(queue.min_shards as i64);
        metrics.shards_desired.set(queue.min_shards as f64);
        metrics.max_samples_per_send.set(queue.max_samples_per_send as i64);
        let link = Arc::new(Link::new(config, parts.receiver, metrics, Ledger::new(reader.position())));
        let follower = Follower {
            repeated_until: if position.get().is_some() { before } else { LogPosition::default() },
            tsdb: Arc::clone(parts.tsdb),
            external_labels: parts.external_labels.clone(),
            link: Arc::clone(&link),
            reader,
            position,
            runtime: parts.runtime.clone(),
            series: HashMap::default(),
            families: HashMap::new(),
            families_version: 0,
            rates: Rates::default(),
            gaps: 0,
            damaged: 0,
        };
        let mut metadata = None;
        if link.config.metadata_config.send && link.config.protobuf_message.version() == Version::V1 {
            metadata = Some(parts.runtime.spawn(send_metadata(Arc::clone(&link), Arc::clone(parts.tsdb))));
        }
        let thread = thread::Builder::new().name("remote-write".to_owned()).spawn(move || follower.run());
        // A machine without a thread to spare says so as it does for a file.
        let thread = thread.map_err(|source| Error::Position { path: parts.dir.to_owned(), source })?;
        Ok(Self { link, thread: Some(thread), metadata })
    }

    pub(crate) fn config(&self) -> &RemoteWriteConfig {
        &self.link.config
    }

    #[cfg(test)]
    pub(crate) fn link(&self) -> Arc<Link> {
        Arc::clone(&self.link)
    }

    /// Sends what the log has, as long as the other server takes it and `deadline` has not passed; the next start sends
    /// the rest.
    pub(crate) async fn stop(mut self, deadline: Duration) {
        self.link.draining.cancel();
        let Some(thread) = self.thread.take() else { return };
        let mut done = tokio::task::spawn_blocking(move || thread.join());
        if tokio::time::timeout(deadline, &mut done).await.is_err() {
            self.link.stop.cancel();
            // It ends soon now, and stores its position.
            let _ = done.await;
        }
        self.link.stop.cancel();
        if let Some(metadata) = self.metadata.take() {
            let _ = metadata.await;
        }
    }
}

/// Tells at regular times what is known of metric families, as senders of version 1.0 do.
async fn send_metadata(link: Arc<Link>, tsdb: Arc<Tsdb>) {
    let config = &link.config.metadata_config;
    loop {
        tokio::select! {
            () = link.draining.cancelled() => return,
            () = link.stop.cancelled() => return,
            () = tokio::time::sleep(config.send_interval.0) => {}
        }
        let families: Vec<(String, Metadata)> = tsdb.metadata();
        for part in families.chunks(config.max_samples_per_send) {
            let bytes = encode_metadata(part.iter().map(|(family, metadata)| (family.as_str(), metadata)));
            let count = part.len() as u64;
            let metrics = &link.metrics;
            let body = || {
                metrics.metadata_bytes.inc_by(bytes.len() as u64);
                Some(bytes.clone())
            };
            let retried = || metrics.retried.of(Kind::Metadata).inc_by(count);
            match link.deliver(body, Version::V1, retried).await {
                None => return,
                Some(Ok(())) => metrics.sent.of(Kind::Metadata).inc_by(count),
                Some(Err(error)) => {
                    metrics.failed.of(Kind::Metadata).inc_by(count);
                    link.log_refusal(part.len(), &error);
                }
            }
        }
    }
}

/// What is sent of a series.
struct Series {
    /// `None` where the rules drop it.
    labels: Option<Labels>,
    metadata: Option<Arc<Metadata>>,
    /// Which families the metadata was looked for among.
    looked_at: u64,
}

struct Follower {
    tsdb: Arc<Tsdb>,
    external_labels: Labels,
    link: Arc<Link>,
    reader: LogReader,
    position: PositionFile,
    runtime: Handle,
    /// An earlier process may have sent what lies before.
    repeated_until: LogPosition,
    series: HashMap<u32, Series, RandomState>,
    families: HashMap<String, Arc<Metadata>>,
    families_version: u64,
    rates: Rates,
    gaps: u64,
    damaged: u64,
}

impl Follower {
    fn run(mut self) {
        let link = Arc::clone(&self.link);
        let runtime = self.runtime.clone();
        let mut shards = Shards::start(&link, link.config.queue_config.min_shards, &runtime);
        let (mut ticked, mut resharded) = (Instant::now(), Instant::now());
        while !link.stop.is_cancelled() {
            // What nobody takes waits for the next start.
            if link.draining.is_cancelled() && (self.reader.is_at_end() || link.is_away()) {
                break;
            }
            match self.reader.next_frame() {
                Ok(Some(frame)) => {
                    let items = self.items(frame);
                    if !runtime.block_on(shards.enqueue(&link, items)) {
                        break;
                    }
                }
                Ok(None) => drop(self.reader.wait(TICK)),
                Err(error) => {
                    tracing::error!(remote_name = link.name, %error, "the log cannot be read for remote write");
                    thread::sleep(LOG_RETRY);
                }
            }
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                self.note_progress();
            }
            if resharded.elapsed() >= RESHARD_INTERVAL {
                let wanted = self.wanted_shards(shards.count(), resharded.elapsed());
                resharded = Instant::now();
                if wanted != shards.count() {
                    runtime.block_on(shards.finish(&link));
                    shards = Shards::start(&link, wanted, &runtime);
                }
                self.forget_series();
            }
        }
        // A receiver that is away does not get better by waiting for it.
        if link.is_away() {
            link.stop.cancel();
        }
        runtime.block_on(shards.finish(&link));
        self.note_progress();
    }

    /// Stores how far all is done, and lets go of the log before it.
    fn note_progress(&mut self) {
        let done = self.link.ledger.done();
        let done = if self.link.ledger.is_idle() { done.max(self.reader.position()) } else { done };
        self.reader.release(done);
        if let Err(error) = self.position.set(done) {
            tracing::error!(remote_name = self.link.name, %error, "after a restart, samples will be sent twice");
        }
        let metrics = &self.link.metrics;
        metrics.segment.set(i64::try_from(self.reader.position().segment).unwrap_or(i64::MAX));
        let (gaps, damaged) = (self.reader.gaps(), self.reader.damaged());
        metrics.gaps.inc_by(gaps - self.gaps);
        metrics.damaged.inc_by(damaged - self.damaged);
        if gaps > self.gaps {
            tracing::error!(
                remote_name = self.link.name,
                "part of the log was gone before it was sent: the other server was away for longer than \
                 --storage.remote.log-kept"
            );
        }
        (self.gaps, self.damaged) = (gaps, damaged);
    }

    /// What of a frame is sent, each item with the number of its series.
    fn items(&mut self, frame: LogFrame) -> Vec<(u32, Item)> {
        let repeated = frame.end <= self.repeated_until;
        self.link.metrics.records.inc();
        let mut out = Vec::new();
        // What is said of samples may come after them.
        let (about, samples): (Vec<LogItems>, Vec<LogItems>) = frame
            .items
            .into_iter()
            .partition(|items| matches!(items, LogItems::Series(_) | LogItems::Metadata(_)));
        for items in about.into_iter().chain(samples) {
            match items {
                LogItems::Series(all) => {
                    all.into_iter().for_each(|(id, labels)| self.define(id, &labels));
                }
                LogItems::Metadata(all) => {
                    self.families_version += 1;
                    self.families.extend(all.into_iter().map(|(family, known)| (family, Arc::new(known))));
                }
                LogItems::Floats(samples) => self.add(&mut out, samples, repeated, ItemValue::Float),
                LogItems::Histograms(samples) if self.link.config.send_native_histograms => {
                    self.add(&mut out, samples, repeated, ItemValue::Histogram);
                }
                LogItems::Exemplars(all) if self.link.config.send_exemplars => {
                    let samples = LogSamples {
                        ids: all.iter().map(|(id, _)| *id).collect(),
                        times: all.iter().map(|(_, exemplar)| exemplar.timestamp.millis()).collect(),
                        values: all.into_iter().map(|(_, exemplar)| exemplar).collect(),
                        starts: Vec::new(),
                    };
                    self.add(&mut out, samples, repeated, |exemplar| ItemValue::Exemplar(Box::new(exemplar)));
                }
                _ => {}
            }
        }
        let number = self.link.ledger.begin(frame.end, out.len());
        for (_, item) in &mut out {
            item.frame = number;
            self.link.metrics.pending.of(item.kind()).inc();
        }
        self.rates.items_in += out.len() as u64;
        if let Some(newest) = out.iter().map(|(_, item)| item.time).max() {
            self.link.metrics.saw(newest as f64 / 1000.0);
        }
        out
    }

    fn define(&mut self, id: u32, labels: &Labels) {
        let mut builder = labels.to_builder();
        for (name, value) in &self.external_labels {
            if labels.get(name).is_none() {
                builder.set(name, value);
            }
        }
        let kept = relabel::process(&mut builder, &self.link.config.write_relabel_configs);
        let sent = kept.then(|| builder.build()).filter(|labels| !labels.is_empty()).map(|sent| {
            // What the head has too is kept once.
            self.tsdb.head_labels(id).filter(|known| *known == sent).unwrap_or(sent)
        });
        // Metadata is looked for with the first sample.
        self.series.insert(id, Series { labels: sent, metadata: None, looked_at: u64::MAX });
    }

    fn add<T>(
        &mut self,
        out: &mut Vec<(u32, Item)>,
        samples: LogSamples<T>,
        repeated: bool,
        value: impl Fn(T) -> ItemValue,
    ) {
        let LogSamples { ids, times, values, starts } = samples;
        let with_metadata = self.link.config.protobuf_message.version() == Version::V2
            && self.link.config.metadata_config.send;
        for (index, ((id, time), sample)) in ids.into_iter().zip(times).zip(values).enumerate() {
            let value = value(sample);
            let Some(series) = self.series.get_mut(&id) else {
                self.link.metrics.dropped(kind_of(&value), UNKNOWN_SERIES, 1);
                continue;
            };
            let Some(labels) = &series.labels else {
                self.link.metrics.dropped(kind_of(&value), DROPPED_SERIES, 1);
                continue;
            };
            if with_metadata && series.looked_at != self.families_version {
                series.looked_at = self.families_version;
                series.metadata = find_family(&self.families, labels.metric_name().unwrap_or_default());
            }
            let start = starts.get(index).copied().unwrap_or(UNKNOWN_START);
            let (labels, metadata) = (labels.clone(), series.metadata.clone());
            out.push((id, Item { frame: 0, labels, metadata, value, time, start, repeated }));
        }
    }

    /// Lets go of the labels of series that are long gone.
    fn forget_series(&mut self) {
        let known = usize::try_from(self.tsdb.stats().head_series).unwrap_or(usize::MAX);
        if self.reader.is_at_end() && self.series.len() > known.saturating_add(STALE_LABELS_MAX) {
            self.series.retain(|id, _| self.tsdb.head_labels(*id).is_some());
        }
    }

    /// How many shards there should be: as many as it takes to send what comes, and some of what waits, in the time
    /// that requests take. As Prometheus reckons it.
    fn wanted_shards(&mut self, now: usize, elapsed: Duration) -> usize {
        let (queue, metrics) = (&self.link.config.queue_config, &self.link.metrics);
        let seconds = elapsed.as_secs_f64();
        let rates = &mut self.rates;
        let (out, busy) =
            (self.link.items_out.swap(0, Ordering::Relaxed), self.link.busy_us.swap(0, Ordering::Relaxed));
        let smooth = |old: f64, new: f64| if old == 0.0 { new } else { old + RATE_WEIGHT * (new - old) };
        rates.rate_in = smooth(rates.rate_in, rates.items_in as f64 / seconds);
        rates.rate_out = smooth(rates.rate_out, out as f64 / seconds);
        rates.busy = smooth(rates.busy, busy as f64 / 1e6 / seconds);
        rates.items_in = 0;
        if rates.rate_out <= 0.0 {
            return now;
        }
        let newest = self.tsdb.max_time().map_or(0.0, |time| time.millis() as f64 / 1000.0);
        let behind = (newest - metrics.highest_sent.get()).max(0.0);
        let waiting = if metrics.highest_sent.get() > 0.0 { behind * rates.rate_in } else { 0.0 };
        let wanted = rates.busy / rates.rate_out * (rates.rate_in + BACKLOG_PART * waiting);
        metrics.shards_desired.set(wanted);
        let now_count = now as f64;
        if ((1.0 - RESHARD_TOLERANCE) * now_count..=(1.0 + RESHARD_TOLERANCE) * now_count).contains(&wanted) {
            return now;
        }
        (wanted.ceil() as usize).clamp(queue.min_shards, queue.max_shards)
    }
}

/// What came and went, per second.
#[derive(Debug, Default)]
struct Rates {
    /// Since the latest look.
    items_in: u64,
    rate_in: f64,
    rate_out: f64,
    /// Seconds that requests took, all shards together.
    busy: f64,
}

const fn kind_of(value: &ItemValue) -> Kind {
    match value {
        ItemValue::Float(_) => Kind::Sample,
        ItemValue::Histogram(_) => Kind::Histogram,
        ItemValue::Exemplar(_) => Kind::Exemplar,
    }
}

/// The family of a series: its name, or what is left without the end that classic histograms and the like have.
fn find_family(families: &HashMap<String, Arc<Metadata>>, name: &str) -> Option<Arc<Metadata>> {
    const ENDS: [&str; 6] = ["_bucket", "_count", "_sum", "_total", "_info", "_created"];
    let shorter = ENDS.iter().filter_map(|end| name.strip_suffix(end));
    std::iter::once(name).chain(shorter).find_map(|family| families.get(family).cloned())
}
