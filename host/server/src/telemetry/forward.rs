//! The server's own spans on their way to another one, by OTLP, as the section `tracing` says.
//!
//! * Whole traces are chosen by their ids, so that servers that see parts of one trace choose the same.
//! * Whoever ends a span never waits: what does not fit the queue is dropped and counted.
//! * Nothing here opens a span, or sending would feed itself.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use formats::otlp::traces::encode_protobuf;
use http_body_util::BodyExt as _;
use model::span::{Span, TraceId};
use parking_lot::Mutex;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, TE};
use reqwest::{Method, StatusCode};
use scrape::client::HttpClient;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::config::tracing::{ClientType, Compression, TracingConfig};

/// So many batches wait for one that is being sent. A batch is what the tracer hands over every five seconds, at most
/// 512 spans.
const QUEUE_BATCHES_MAX: usize = 64;
/// So often a batch is sent before it is given up.
const ATTEMPTS_MAX: u32 = 5;
/// The wait before the second attempt; each later one is twice as long.
const BACKOFF: Duration = Duration::from_secs(1);
/// Codes of gRPC after which the same may be sent again, by the specification of OTLP.
const GRPC_RETRYABLE: [&str; 7] = ["1", "4", "8", "10", "11", "14", "15"];

/// Sends spans where the configuration says, if it does.
pub(crate) struct SpanForward {
    running: Mutex<Option<Running>>,
    spans: IntCounterVec,
    dropped: IntCounter,
}

struct Running {
    config: TracingConfig,
    queue: mpsc::Sender<Vec<Span>>,
    task: JoinHandle<()>,
}

/// A connection that can be made, before it is used.
pub(crate) struct Prepared(Option<(TracingConfig, HttpClient)>);

/// Why a batch was not taken.
#[derive(Debug)]
struct Failure {
    what: String,
    retryable: bool,
}

impl SpanForward {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let name = "stormglass_tracing_spans_sent_total";
        let help = "Spans of this server that the section tracing had sent, by whether they were taken.";
        let spans = IntCounterVec::new(Opts::new(name, help), &["outcome"])?;
        registry.register(Box::new(spans.clone()))?;
        for outcome in ["taken", "refused", "dropped"] {
            spans.with_label_values(&[outcome]);
        }
        let dropped = spans.with_label_values(&["dropped"]);
        Ok(Self { running: Mutex::new(None), spans, dropped })
    }

    /// Makes ready what [`SpanForward::apply`] takes, and changes nothing.
    pub(crate) fn prepare(config: Option<&TracingConfig>) -> anyhow::Result<Prepared> {
        let Some(config) = config else { return Ok(Prepared(None)) };
        let client = HttpClient::new(&config.http(), true).context("set up tracing")?;
        Ok(Prepared(Some((config.clone(), client))))
    }

    /// Sends as `prepared` says from now on. What still waits for another place is given up.
    pub(crate) fn apply(&self, Prepared(prepared): Prepared) {
        let mut running = self.running.lock();
        if running.as_ref().map(|running| &running.config) == prepared.as_ref().map(|(config, _)| config) {
            return;
        }
        if let Some(old) = running.take() {
            old.task.abort();
        }
        *running = prepared.map(|(config, client)| {
            let (queue, batches) = mpsc::channel(QUEUE_BATCHES_MAX);
            let task = tokio::spawn(run(client, config.clone(), batches, self.spans.clone()));
            Running { config, queue, task }
        });
    }

    /// Takes spans that have ended.
    pub(crate) fn take(&self, spans: &[Span]) {
        let running = self.running.lock();
        let Some(running) = &*running else { return };
        let fraction = running.config.sampling_fraction;
        let chosen: Vec<Span> =
            spans.iter().filter(|span| is_chosen(span.trace_id, fraction)).cloned().collect();
        if chosen.is_empty() {
            return;
        }
        if let Err(error) = running.queue.try_send(chosen) {
            let (mpsc::error::TrySendError::Full(lost) | mpsc::error::TrySendError::Closed(lost)) = error;
            self.dropped.inc_by(lost.len() as u64);
        }
    }
}

/// Whether a trace is among so many of all, as OpenTelemetry's ratio of trace ids has it: by 63 bits at the end.
fn is_chosen(TraceId(id): TraceId, fraction: f64) -> bool {
    let bits = u64::from_be_bytes([id[8], id[9], id[10], id[11], id[12], id[13], id[14], id[15]]) >> 1;
    fraction >= 1.0 || (bits as f64) < fraction * (1_u64 << 63) as f64
}

async fn run(
    client: HttpClient,
    config: TracingConfig,
    mut batches: mpsc::Receiver<Vec<Span>>,
    spans: IntCounterVec,
) {
    let mut fails = false;
    while let Some(batch) = batches.recv().await {
        let outcome = match send(&client, &config, &batch).await {
            Ok(()) => {
                fails = false;
                "taken"
            }
            Err(failure) => {
                // The first of a row; the counter tells of the others.
                if !std::mem::replace(&mut fails, true) {
                    tracing::warn!(
                        error = failure.what,
                        "spans of this server were not taken where tracing sends them"
                    );
                }
                "refused"
            }
        };
        spans.with_label_values(&[outcome]).inc_by(batch.len() as u64);
    }
}

/// Sends a batch, again where that may help.
async fn send(client: &HttpClient, config: &TracingConfig, batch: &[Span]) -> Result<(), Failure> {
    let body = body(config, encode_protobuf(batch));
    let mut wait = BACKOFF;
    for _ in 1..ATTEMPTS_MAX {
        match attempt(client, config, body.clone()).await {
            Err(failure) if failure.retryable => tokio::time::sleep(wait).await,
            done => return done,
        }
        wait *= 2;
    }
    attempt(client, config, body).await
}

/// What is sent: in gRPC a message follows whether it is compressed, and its length.
fn body(config: &TracingConfig, message: Vec<u8>) -> Bytes {
    let gzip = config.compression == Some(Compression::Gzip);
    let message = if gzip { compressed(&message) } else { message };
    match config.client_type {
        ClientType::Http => message.into(),
        ClientType::Grpc => {
            // A batch is limited to far less than what has no length.
            let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
            [&[u8::from(gzip)][..], &length.to_be_bytes(), &message].concat().into()
        }
    }
}

fn compressed(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
    // Memory takes whatever is written.
    let _ = encoder.write_all(message);
    encoder.finish().unwrap_or_default()
}

async fn attempt(client: &HttpClient, config: &TracingConfig, body: Bytes) -> Result<(), Failure> {
    let again = |what: String| Failure { what, retryable: true };
    let request =
        client.request(Method::POST, &config.url()).await.map_err(|error| again(error.to_string()))?;
    let gzip = config.compression == Some(Compression::Gzip);
    let request = match config.client_type {
        ClientType::Http => {
            let request = request.header(CONTENT_TYPE, "application/x-protobuf");
            if gzip { request.header(CONTENT_ENCODING, "gzip") } else { request }
        }
        ClientType::Grpc => {
            let request = request.header(CONTENT_TYPE, "application/grpc").header(TE, "trailers");
            if gzip { request.header("grpc-encoding", "gzip") } else { request }
        }
    };
    let response = request
        .timeout(config.timeout())
        .body(body)
        .send()
        .await
        .map_err(|error| again(format!("{:#}", anyhow::Error::new(error))))?;
    let status = response.status();
    if status != StatusCode::OK {
        let retryable = matches!(status.as_u16(), 429 | 502 | 503 | 504);
        return Err(Failure { what: format!("server returned HTTP status {status}"), retryable });
    }
    if config.client_type == ClientType::Http {
        return Ok(());
    }
    let (head, answer) = http::Response::from(response).into_parts();
    let answer = answer.collect().await.map_err(|error| again(error.to_string()))?;
    let field = |name: &str| {
        let trailers = answer.trailers().into_iter().chain([&head.headers]);
        trailers.flat_map(|fields| fields.get(name)).find_map(|value| value.to_str().ok()).unwrap_or_default()
    };
    match field("grpc-status") {
        "0" => Ok(()),
        code => {
            let what = format!("server returned gRPC status {code:?}: {}", field("grpc-message"));
            Err(Failure { what, retryable: GRPC_RETRYABLE.contains(&code) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_traces_is_chosen_by_their_ids() {
        let id = |high: u8| TraceId([9, 9, 9, 9, 9, 9, 9, 9, high, 0, 0, 0, 0, 0, 0, 1]);
        for (high, fraction, chosen) in [
            (0x00, 0.0, false),
            (0xff, 1.0, true),
            (0x3f, 0.25, true),
            (0x41, 0.25, false),
            (0x7f, 0.5, true),
            (0x80, 0.5, false),
        ] {
            assert_eq!(is_chosen(id(high), fraction), chosen, "{high:x} {fraction}");
        }
    }
}
