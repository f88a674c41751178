//! Shards: each takes the samples of some series, sends one batch at a time, and tries until it is taken or refused for good.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use formats::remote_write::{Outgoing, OutgoingValue, Version, encode_items};
use model::{Exemplar, Histogram, Labels, Metadata, Sample, Timestamp};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::client::Send;
use crate::config::RemoteWriteConfig;
use crate::ledger::Ledger;
use crate::metrics::{Kind, QueueMetrics, TOO_OLD};

/// What is refused for good is told at most so often; the metrics count all of it.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// One thing to send.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// The frame of the log that it is from.
    pub(crate) frame: u64,
    pub(crate) labels: Labels,
    pub(crate) metadata: Option<Arc<Metadata>>,
    pub(crate) value: ItemValue,
    pub(crate) time: i64,
    pub(crate) start: i64,
    /// Whether an earlier process may have sent it.
    pub(crate) repeated: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum ItemValue {
    Float(f64),
    Histogram(Arc<Histogram>),
    Exemplar(Box<Exemplar>),
}

impl Item {
    pub(crate) const fn kind(&self) -> Kind {
        match self.value {
            ItemValue::Float(_) => Kind::Sample,
            ItemValue::Histogram(_) => Kind::Histogram,
            ItemValue::Exemplar(_) => Kind::Exemplar,
        }
    }

    fn outgoing(&self) -> Outgoing<'_> {
        let value = match &self.value {
            ItemValue::Float(value) => OutgoingValue::Float(Sample::new(self.time, *value)),
            ItemValue::Histogram(value) => OutgoingValue::Histogram(Timestamp::from_millis(self.time), value),
            ItemValue::Exemplar(exemplar) => OutgoingValue::Exemplar(exemplar),
        };
        let start = Timestamp::from_millis(self.start);
        Outgoing { labels: &self.labels, value, metadata: self.metadata.as_deref(), start }
    }
}

/// What all shards of a queue share.
pub(crate) struct Link {
    pub(crate) config: RemoteWriteConfig,
    pub(crate) name: String,
    pub(crate) receiver: Box<dyn Send>,
    pub(crate) metrics: QueueMetrics,
    pub(crate) ledger: Ledger,
    /// Nothing is begun any more.
    pub(crate) stop: CancellationToken,
    /// What the log has is sent, as long as it is taken at once, and then no more.
    pub(crate) draining: CancellationToken,
    /// Whether the latest try found nobody.
    away: AtomicBool,
    refusal_logged: Mutex<Option<Instant>>,
    /// Items that were sent, or given up.
    pub(crate) items_out: AtomicU64,
    /// Time spent on requests, in microseconds.
    pub(crate) busy_us: AtomicU64,
}

impl Link {
    pub(crate) fn new(
        config: RemoteWriteConfig,
        receiver: Box<dyn Send>,
        metrics: QueueMetrics,
        ledger: Ledger,
    ) -> Self {
        Self {
            name: config.display_name(),
            config,
            receiver,
            metrics,
            ledger,
            stop: CancellationToken::new(),
            draining: CancellationToken::new(),
            away: AtomicBool::new(false),
            refusal_logged: Mutex::default(),
            items_out: AtomicU64::new(0),
            busy_us: AtomicU64::new(0),
        }
    }

    /// Whether the latest try found nobody.
    pub(crate) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    fn version(&self) -> Version {
        self.config.protobuf_message.version()
    }

    /// Sends the body of a request until it is taken, refused for good, or the queue stops, of which the answer is none.
    /// `body` is asked for it each time, and says with `None` that nothing is left to send.
    pub(crate) async fn deliver(
        &self,
        mut body: impl FnMut() -> Option<Vec<u8>>,
        version: Version,
        mut retried: impl FnMut(),
    ) -> Option<Result<(), Error>> {
        let queue = &self.config.queue_config;
        let mut backoff = queue.min_backoff.0;
        for attempt in 0.. {
            let Some(bytes) = body() else { return Some(Ok(())) };
            let started = Instant::now();
            let sent = self.receiver.send(bytes, version, attempt).await;
            let took = started.elapsed();
            self.metrics.duration.observe(took.as_secs_f64());
            self.busy_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
            let Err(Error::Recoverable { what, after }) = sent else {
                if self.away.swap(false, Ordering::Relaxed) {
                    tracing::info!(remote_name = self.name, "remote write goes on");
                }
                return Some(sent);
            };
            if !self.away.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    remote_name = self.name,
                    url = self.config.shown_url(),
                    error = what,
                    "remote write fails and is tried again"
                );
            }
            retried();
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = self.draining.cancelled() => {
                    // Whoever is away is not waited for: the next start goes on here.
                    self.stop.cancel();
                    return None;
                }
                () = tokio::time::sleep(after.unwrap_or(backoff)) => {}
            }
            backoff = (backoff * 2).min(queue.max_backoff.0);
        }
        None
    }

    /// Sends items that belong together. Says whether they have been dealt with.
    async fn send(&self, items: &mut Vec<Item>) -> bool {
        let version = self.version();
        let metrics = &self.metrics;
        let result = {
            let items = Mutex::new(&mut *items);
            let body = || {
                let mut items = items.lock();
                self.give_up_old(&mut items);
                let outgoing: Vec<Outgoing<'_>> = items.iter().map(Item::outgoing).collect();
                let bytes = (!outgoing.is_empty()).then(|| encode_items(version, &outgoing));
                metrics.bytes.inc_by(bytes.as_ref().map_or(0, Vec::len) as u64);
                bytes
            };
            let retried = || {
                for item in items.lock().iter() {
                    metrics.retried.of(item.kind()).inc();
                }
            };
            self.deliver(body, version, retried).await
        };
        let Some(result) = result else { return false };
        match result {
            Ok(()) => {
                let mut newest = i64::MIN;
                for item in items.iter() {
                    metrics.sent.of(item.kind()).inc();
                    newest = newest.max(item.time);
                }
                if newest > i64::MIN {
                    let seconds = newest as f64 / 1000.0;
                    metrics.highest_sent.set(metrics.highest_sent.get().max(seconds));
                }
            }
            // What has been sent before may be refused for that, and everything with it: parts are tried alone.
            Err(_) if items.len() > 1 && items.iter().any(|item| item.repeated) => {
                let mut rest = items.split_off(items.len() / 2);
                return Box::pin(self.send(items)).await && Box::pin(self.send(&mut rest)).await;
            }
            Err(error) => {
                items.iter().for_each(|item| metrics.failed.of(item.kind()).inc());
                self.log_refusal(items.len(), &error);
            }
        }
        true
    }

    pub(crate) fn log_refusal(&self, items: usize, error: &Error) {
        let mut logged = self.refusal_logged.lock();
        if logged.is_none_or(|at| at.elapsed() >= REFUSAL_LOG_INTERVAL) {
            *logged = Some(Instant::now());
            tracing::error!(
                remote_name = self.name,
                url = self.config.shown_url(),
                count = items,
                %error,
                "remote write was refused for good; the samples are not sent again"
            );
        }
    }

    /// Takes out what is older than the configuration wants to be sent.
    fn give_up_old(&self, items: &mut Vec<Item>) {
        let limit = self.config.queue_config.sample_age_limit.0;
        if limit.is_zero() {
            return;
        }
        let oldest =
            Timestamp::from_system(SystemTime::now()).millis().saturating_sub(limit.as_millis() as i64);
        items.retain(|item| {
            let stays = item.time >= oldest;
            if !stays {
                self.metrics.dropped(item.kind(), TOO_OLD, 1);
            }
            stays
        });
    }
}

/// The shards of a queue.
pub(crate) struct Shards {
    senders: Vec<mpsc::Sender<Vec<Item>>>,
    tasks: Vec<JoinHandle<()>>,
    batch_max: usize,
}

impl Shards {
    /// Starts so many shards.
    pub(crate) fn start(link: &Arc<Link>, count: usize, runtime: &tokio::runtime::Handle) -> Self {
        let queue = &link.config.queue_config;
        let batch_max = queue.max_samples_per_send;
        let parts_max = (queue.capacity / batch_max).max(1);
        link.metrics.shards.set(count as i64);
        let shards = (0..count).map(|_| {
            let (sender, receiver) = mpsc::channel(parts_max);
            (sender, runtime.spawn(run(Arc::clone(link), receiver)))
        });
        let (senders, tasks) = shards.unzip();
        Self { senders, tasks, batch_max }
    }

    pub(crate) fn count(&self) -> usize {
        self.senders.len()
    }

    /// Hands over items of a series each, in order; waits while their shards are full. Says whether it could.
    pub(crate) async fn enqueue(&self, link: &Link, items: Vec<(u32, Item)>) -> bool {
        let mut parts: Vec<Vec<Item>> = self.senders.iter().map(|_| Vec::new()).collect();
        for (series, item) in items {
            let shard = series as usize % self.senders.len().max(1);
            let (Some(part), Some(sender)) = (parts.get_mut(shard), self.senders.get(shard)) else {
                continue;
            };
            part.push(item);
            if part.len() >= self.batch_max && !put(link, sender, std::mem::take(part)).await {
                return false;
            }
        }
        for (part, sender) in parts.into_iter().zip(&self.senders) {
            if !part.is_empty() && !put(link, sender, part).await {
                return false;
            }
        }
        true
    }

    /// Lets the shards send what they have; waits for them until the queue stops.
    pub(crate) async fn finish(self, link: &Link) {
        drop(self.senders);
        for task in self.tasks {
            let abort = task.abort_handle();
            tokio::select! {
                _ = task => {}
                () = link.stop.cancelled() => abort.abort(),
            }
        }
    }
}

async fn put(link: &Link, sender: &mpsc::Sender<Vec<Item>>, part: Vec<Item>) -> bool {
    let part = match sender.try_send(part) {
        Ok(()) => return true,
        Err(mpsc::error::TrySendError::Full(part)) => part,
        Err(mpsc::error::TrySendError::Closed(_)) => return false,
    };
    link.metrics.enqueue_retries.inc();
    tokio::select! {
        sent = sender.send(part) => sent.is_ok(),
        () = link.stop.cancelled() => false,
    }
}

/// A shard: gathers a batch until it is full or its first items have waited for long enough, and sends it.
async fn run(link: Arc<Link>, mut parts: mpsc::Receiver<Vec<Item>>) {
    let queue = &link.config.queue_config;
    let mut waiting: VecDeque<Item> = VecDeque::new();
    let mut open = true;
    while open || !waiting.is_empty() {
        if waiting.is_empty() {
            match parts.recv().await {
                Some(part) => waiting.extend(part),
                None => return,
            }
        }
        let deadline = tokio::time::sleep(queue.batch_send_deadline.0);
        tokio::pin!(deadline);
        while open && waiting.len() < queue.max_samples_per_send {
            tokio::select! {
                part = parts.recv() => match part {
                    Some(part) => waiting.extend(part),
                    None => open = false,
                },
                () = &mut deadline => break,
            }
        }
        let count = waiting.len().min(queue.max_samples_per_send);
        let mut batch: Vec<Item> = waiting.drain(..count).collect();
        let owed = owed(&batch);
        let kinds: Vec<Kind> = batch.iter().map(Item::kind).collect();
        if !link.send(&mut batch).await {
            return;
        }
        kinds.into_iter().for_each(|kind| link.metrics.pending.of(kind).dec());
        link.items_out.fetch_add(count as u64, Ordering::Relaxed);
        owed.into_iter().for_each(|(frame, items)| link.ledger.finish(frame, items));
    }
}

/// How many items of which frames a batch has.
fn owed(batch: &[Item]) -> Vec<(u64, usize)> {
    let mut owed: Vec<(u64, usize)> = Vec::new();
    for item in batch {
        match owed.last_mut() {
            Some((frame, items)) if *frame == item.frame => *items += 1,
            _ => owed.push((item.frame, 1)),
        }
    }
    owed
}
