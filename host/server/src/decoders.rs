//! Listeners of the server whose bytes a plugin decodes: UDP, TCP and HTTP.
//!
//! A listener lives as long as the configuration names its address for the same plugin; a reload puts a new instance
//! behind it and neither closes the socket nor a connection. Addresses are bound before anything of a new configuration
//! is put in force, so that one that is taken refuses the whole.

mod http;
mod store;
mod tcp;
mod udp;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use model::Append;
use plugin::{Chunk, DecodeConfig, Instance, Listen};
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::ingest::IngestMetrics;

/// How long a listener may take to end: a call that is under way is then given up.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

/// One configured decoder.
#[derive(Clone)]
pub(crate) struct Decoder {
    pub(crate) name: String,
    pub(crate) config: DecodeConfig,
    pub(crate) instance: Arc<Instance>,
}

/// The listeners that run.
pub(crate) struct Decoders {
    shared: Arc<Shared>,
    running: tokio::sync::Mutex<HashMap<(String, String), Running>>,
}

/// What all listeners use.
pub(crate) struct Shared {
    storage: Arc<dyn Append>,
    ingest: IngestMetrics,
    metrics: DecodeMetrics,
}

struct Running {
    current: Arc<Current>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The decoder behind a listener, which a reload replaces.
pub(crate) struct Current {
    decoder: ArcSwap<Decoder>,
    /// A place for each connection.
    connections: Arc<Semaphore>,
}

/// Sockets that are bound and not yet listened at.
pub(crate) struct Bound(HashMap<(String, String), (Decoder, Socket, Listen)>);

enum Socket {
    /// It is listened at already.
    Present,
    Udp(UdpSocket),
    Tcp(TcpListener),
}

/// Counts what came in, by plugin.
#[derive(Clone)]
pub(crate) struct DecodeMetrics {
    bytes: IntCounterVec,
    rejected: IntCounterVec,
    failed: IntCounterVec,
    connections: IntGaugeVec,
}

impl DecodeMetrics {
    fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let connections = IntGaugeVec::new(
            Opts::new("stormglass_decoder_connections", "Connections to decoders that are open."),
            &["plugin"],
        )?;
        registry.register(Box::new(connections.clone()))?;
        Ok(Self {
            bytes: counter(
                "stormglass_decoder_received_bytes_total",
                "Bytes that came in for decoders, by transport: udp, tcp or http.",
                &["plugin", "transport"],
            )?,
            rejected: counter(
                "stormglass_decoder_rejected_total",
                "Messages that decoders left out, and samples of theirs that were refused.",
                &["plugin"],
            )?,
            failed: counter(
                "stormglass_decoder_lost_bytes_total",
                "Bytes that were lost because a decoder failed, by reason.",
                &["plugin", "reason"],
            )?,
            connections,
        })
    }
}

/// Why a chunk was not stored.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Lost {
    message: String,
    /// Whether sending it again may help, and not before which time.
    retry: Option<Option<Duration>>,
}

/// What became of a chunk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    consumed: usize,
    rejected: u64,
    reason: Option<String>,
}

impl Decoders {
    pub(crate) fn new(
        storage: Arc<dyn Append>,
        ingest: IngestMetrics,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let metrics = DecodeMetrics::register(registry)?;
        let shared = Arc::new(Shared { storage, ingest, metrics });
        Ok(Self { shared, running: tokio::sync::Mutex::default() })
    }

    /// Binds the addresses that are new.
    ///
    /// # Errors
    /// The decoder's name and the address, where one cannot be bound.
    pub(crate) async fn bind(&self, wanted: Vec<Decoder>) -> Result<Bound, (String, String)> {
        let running = self.running.lock().await;
        let mut bound = HashMap::new();
        for decoder in wanted {
            for listen in &decoder.config.listen {
                let key = (decoder.name.clone(), listen.to_string());
                let socket = if running.contains_key(&key) {
                    Socket::Present
                } else {
                    socket(listen).await.map_err(|error| {
                        (decoder.name.clone(), format!("cannot listen at {listen}: {error}"))
                    })?
                };
                if bound.insert(key, (decoder.clone(), socket, listen.clone())).is_some() {
                    return Err((decoder.name.clone(), format!("{listen} is there twice")));
                }
            }
        }
        Ok(Bound(bound))
    }

    /// Listens at exactly these addresses.
    pub(crate) async fn apply(&self, bound: Bound) {
        let mut running = self.running.lock().await;
        let mut before = std::mem::take(&mut *running);
        let mut places: HashMap<String, Arc<Semaphore>> = HashMap::new();
        for (key, (decoder, socket, listen)) in bound.0 {
            if let (Some(same), Socket::Present) = (before.remove(&key), &socket) {
                same.current.decoder.store(Arc::new(decoder));
                running.insert(key, same);
                continue;
            }
            let connections = places
                .entry(decoder.name.clone())
                .or_insert_with(|| Arc::new(Semaphore::new(decoder.config.connections as usize)));
            let current = Arc::new(Current {
                connections: Arc::clone(connections),
                decoder: ArcSwap::from_pointee(decoder),
            });
            let stop = CancellationToken::new();
            let (shared, on, token) = (Arc::clone(&self.shared), Arc::clone(&current), stop.clone());
            let task = match (socket, listen) {
                (Socket::Udp(socket), _) => tokio::spawn(udp::listen(socket, on, shared, token)),
                (Socket::Tcp(listener), Listen::Http(_, path)) => {
                    tokio::spawn(http::listen(listener, path, on, shared, token))
                }
                (Socket::Tcp(listener), _) => tokio::spawn(tcp::listen(listener, on, shared, token)),
                (Socket::Present, _) => continue,
            };
            running.insert(key, Running { current, stop, task });
        }
        drop(running);
        for gone in before.into_values() {
            gone.end().await;
        }
    }

    /// Stops all of them.
    pub(crate) async fn stop(&self) {
        let running = std::mem::take(&mut *self.running.lock().await);
        for listener in running.into_values() {
            listener.end().await;
        }
    }
}

impl Running {
    async fn end(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(STOP_TIME_MAX, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

async fn socket(listen: &Listen) -> io::Result<Socket> {
    let tcp = async |address: &SocketAddr| TcpListener::bind(address).await.map(Socket::Tcp);
    match listen {
        Listen::Udp(address) => UdpSocket::bind(address).await.map(Socket::Udp),
        Listen::Tcp(address) | Listen::Http(address, _) => tcp(address).await,
    }
}

impl Current {
    fn decoder(&self) -> Arc<Decoder> {
        self.decoder.load_full()
    }

    fn message_bytes_max(&self) -> usize {
        usize::try_from(self.decoder.load().config.message_bytes.0).unwrap_or(usize::MAX)
    }
}

impl Shared {
    /// Has a chunk decoded and stores what comes of it.
    async fn take(
        self: &Arc<Self>,
        current: &Current,
        transport: &'static str,
        received: usize,
        mut chunk: Chunk,
    ) -> Result<Taken, Lost> {
        let decoder = current.decoder();
        let name = &*decoder.name;
        self.metrics.bytes.with_label_values(&[name, transport]).inc_by(received as u64);
        if chunk.content_type.is_empty() {
            chunk.content_type.clone_from(&decoder.config.content_type);
        }
        let (size, last) = (chunk.data.len(), chunk.last);
        let lost = |reason: &str, message: String, retry| {
            self.metrics.failed.with_label_values(&[name, reason]).inc_by(size as u64);
            Lost { message, retry }
        };
        let decoded = decoder.instance.decode(chunk).await.map_err(|error| {
            let retry = error.kind.is_retryable().then(|| error.kind.retry_after());
            lost(error.kind.as_str(), error.to_string(), retry)
        })?;
        let mut taken =
            Taken { consumed: decoded.consumed, rejected: decoded.rejected, reason: decoded.reason };
        if last && taken.consumed < size {
            taken.rejected += 1;
            taken.reason.get_or_insert_with(|| "the end is no whole message".to_owned());
        }
        if decoded.columns.series_count() > 0 {
            let shared = Arc::clone(self);
            let stored = tokio::task::spawn_blocking(move || {
                store::store(&decoded.columns, &*shared.storage, &shared.ingest)
            });
            let rejected = match stored.await {
                Ok(Ok(rejected)) => rejected,
                Ok(Err(error)) => return Err(lost("storage", error.to_string(), Some(None))),
                Err(error) => return Err(lost("storage", error.to_string(), Some(None))),
            };
            taken.rejected += rejected.count;
            taken.reason = taken.reason.or_else(|| rejected.messages.into_iter().next());
        }
        if taken.rejected > 0 {
            self.metrics.rejected.with_label_values(&[name]).inc_by(taken.rejected);
            tracing::debug!(
                plugin = name,
                reason = taken.reason,
                count = taken.rejected,
                "messages were left out"
            );
        }
        Ok(taken)
    }
}
