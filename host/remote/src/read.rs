//! All of `remote_read`: what other servers have, merged into what queries find here.
//!
//! A server is asked only for what the configuration says it may know: times of which not everything is here, selectors
//! that name what it requires. One that does not answer costs its part of the answer, and the answer says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use formats::DecodeError;
use formats::remote_read::{
    FrameReader, Limits, ReadHints, ReadQuery, ReadRequest, ReadSeries, decode_samples,
};
use model::{Labels, MatchOp, Matcher, Timestamp};
use parking_lot::{Mutex, RwLock};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};
use promql::read::{Columns, ReadError, Select, SeriesExemplars, SeriesReader, Storage};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Method, Response, StatusCode};
use scrape::client::HttpClient;
use tokio::runtime::Handle;

use crate::Error;
use crate::client::{failed, text, unreachable, with_headers};
use crate::config::RemoteReadConfig;

/// The longest answer of samples, compressed; a query that asks for more should be asked there.
const BODY_BYTES_MAX: usize = 64 << 20;

/// What one answer may take in memory.
const LIMITS: Limits = Limits { decompressed_bytes_max: 512 << 20 };

/// How an answer of chunks begins to name its type; all others are of samples.
const STREAM: &str = "application/x-streamed-protobuf";

/// The servers of `remote_read`.
pub struct RemoteRead {
    servers: RwLock<Arc<Vec<Arc<Server>>>>,
    metrics: Metrics,
    runtime: Handle,
}

#[derive(Clone)]
struct Metrics {
    queries: IntCounterVec,
    running: IntGaugeVec,
    duration: HistogramVec,
}

/// One of them.
struct Server {
    config: RemoteReadConfig,
    external_labels: Labels,
    client: HttpClient,
    metrics: Metrics,
}

impl RemoteRead {
    /// Asks nobody yet. To be made within a runtime.
    ///
    /// # Errors
    /// [`Error::Metrics`].
    pub fn new(registry: &Registry) -> Result<Self, Error> {
        let labels = ["remote_name", "url"];
        let metrics = Metrics {
            queries: IntCounterVec::new(
                Opts::new(
                    "prometheus_remote_storage_read_queries_total",
                    "The total number of remote read queries.",
                ),
                &[labels[0], labels[1], "response_type", "code"],
            )?,
            running: IntGaugeVec::new(
                Opts::new(
                    "prometheus_remote_storage_remote_read_queries",
                    "The number of in-flight remote read queries.",
                ),
                &labels,
            )?,
            duration: HistogramVec::new(
                HistogramOpts::new(
                    "prometheus_remote_storage_read_request_duration_seconds",
                    "Histogram of the latency for remote read requests.",
                ),
                &labels,
            )?,
        };
        registry.register(Box::new(metrics.queries.clone()))?;
        registry.register(Box::new(metrics.running.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        Ok(Self { servers: RwLock::default(), metrics, runtime: Handle::current() })
    }

    /// Says whether a configuration can be applied.
    ///
    /// # Errors
    /// [`Error::DuplicateName`], and [`Error::Connections`] where connections cannot be made.
    pub fn check(configs: &[RemoteReadConfig]) -> Result<(), Error> {
        for (index, config) in configs.iter().enumerate() {
            let name = config.display_name();
            if configs.iter().take(index).any(|other| other.display_name() == name) {
                return Err(Error::DuplicateName { section: "remote read", name });
            }
            HttpClient::new(&config.http, true)?;
        }
        Ok(())
    }

    /// Asks these from now on.
    ///
    /// # Errors
    /// As [`RemoteRead::check`], with nothing changed.
    pub fn apply(&self, configs: &[RemoteReadConfig], external_labels: &Labels) -> Result<(), Error> {
        Self::check(configs)?;
        let server = |config: &RemoteReadConfig| {
            Ok(Arc::new(Server {
                client: HttpClient::new(&config.http, true)?,
                config: config.clone(),
                external_labels: external_labels.clone(),
                metrics: self.metrics.clone(),
            }))
        };
        let servers = configs.iter().map(server).collect::<Result<Vec<_>, Error>>()?;
        *self.servers.write() = Arc::new(servers);
        Ok(())
    }

    /// Whether there is nobody to ask.
    pub fn is_empty(&self) -> bool {
        self.servers.read().is_empty()
    }

    /// For one query: what is here with what the servers have. `None` where there is nobody to ask. `oldest` is since
    /// when everything is here.
    pub fn merged<'a>(
        &self,
        local: &'a dyn Storage,
        oldest: impl FnOnce() -> Option<Timestamp>,
    ) -> Option<RemoteStorage<'a>> {
        let servers = Arc::clone(&self.servers.read());
        if servers.is_empty() {
            return None;
        }
        let runtime = self.runtime.clone();
        let oldest = oldest();
        Some(RemoteStorage { local, oldest, servers, runtime, warnings: Mutex::default() })
    }
}

/// What a query reads: storage here and on other servers.
pub struct RemoteStorage<'a> {
    local: &'a dyn Storage,
    oldest: Option<Timestamp>,
    servers: Arc<Vec<Arc<Server>>>,
    runtime: Handle,
    warnings: Mutex<Vec<String>>,
}

impl RemoteStorage<'_> {
    /// What is missing in the answer, and why.
    pub fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock())
    }

    /// What all servers that may know something have to say.
    fn ask(&self, select: &Select<'_>) -> Vec<ReadSeries> {
        let mut asked = Vec::new();
        for server in self.servers.iter() {
            let Some(query) = server.query(select, self.oldest) else { continue };
            let (server, (sender, answer)) = (Arc::clone(server), std::sync::mpsc::sync_channel(1));
            // Engines wait on threads of their own, while the runtime's go on.
            self.runtime.spawn(async move {
                let answer = server.read(query).await;
                // Whoever has gone does not want it any more.
                let _ = sender.send(
                    answer.map_err(|error| format!("remote_read: {}: {error}", server.config.display_name())),
                );
            });
            asked.push(answer);
        }
        let mut series = Vec::new();
        for answer in asked {
            match answer.recv() {
                Ok(Ok(found)) => series.extend(found),
                Ok(Err(warning)) => self.warnings.lock().push(warning),
                // The runtime has ended.
                Err(_) => self.warnings.lock().push("remote_read: the server stops".to_owned()),
            }
        }
        series
    }
}

impl Storage for RemoteStorage<'_> {
    fn select(&self, select: &Select<'_>) -> Result<Vec<Box<dyn SeriesReader>>, ReadError> {
        let remote = self.ask(select);
        let local = self.local.select(select)?;
        if remote.is_empty() {
            return Ok(local);
        }
        let mut merged: BTreeMap<Labels, Merged> = BTreeMap::new();
        for reader in local {
            let labels = reader.labels().clone();
            merged.entry(labels).or_default().local = Some(reader);
        }
        for series in remote {
            merged.entry(series.labels.clone()).or_default().remote.push(series);
        }
        let readers = merged.into_iter().map(|(labels, merged)| match merged {
            Merged { local: Some(local), remote, .. } if remote.is_empty() => local,
            merged => Box::new(Merged { labels, ..merged }) as Box<dyn SeriesReader>,
        });
        Ok(readers.collect())
    }

    fn label_names(&self, select: &Select<'_>) -> Result<Vec<String>, ReadError> {
        self.local.label_names(select)
    }

    fn label_values(&self, name: &str, select: &Select<'_>) -> Result<Vec<String>, ReadError> {
        self.local.label_values(name, select)
    }

    fn exemplars(&self, select: &Select<'_>) -> Result<Vec<SeriesExemplars>, ReadError> {
        self.local.exemplars(select)
    }
}

/// One series, here and elsewhere. Of samples at the same time, what is here counts.
#[derive(Default)]
struct Merged {
    labels: Labels,
    local: Option<Box<dyn SeriesReader>>,
    remote: Vec<ReadSeries>,
}

impl SeriesReader for Merged {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn read(&self, start: Timestamp, end: Timestamp, columns: &mut Columns) -> Result<(), ReadError> {
        let mut own = Columns::default();
        if let Some(local) = &self.local {
            local.read(start, end, &mut own)?;
        }
        let mut floats: BTreeMap<Timestamp, f64> = BTreeMap::new();
        let mut histograms = BTreeMap::new();
        let wanted = |time: Timestamp| (start..=end).contains(&time);
        for series in self.remote.iter().rev() {
            let samples = series.samples.iter().filter(|sample| wanted(sample.timestamp));
            floats.extend(samples.map(|sample| (sample.timestamp, sample.value)));
            histograms.extend(series.histograms.iter().filter(|(time, _)| wanted(*time)).cloned());
        }
        histograms.retain(|time, _| own.timestamps.binary_search(time).is_err());
        floats.retain(|time, _| own.histograms.binary_search_by_key(time, |(time, _)| *time).is_err());
        floats.extend(own.timestamps.iter().copied().zip(own.values.iter().copied()));
        histograms.extend(own.histograms);
        floats.retain(|time, _| !histograms.contains_key(time));
        columns.timestamps.extend(floats.keys());
        columns.values.extend(floats.values());
        columns.histograms.extend(histograms);
        Ok(())
    }
}

impl Server {
    /// What it is asked, where it may know something that is not here.
    fn query(&self, select: &Select<'_>, oldest: Option<Timestamp>) -> Option<ReadQuery> {
        let mut end = select.end;
        if !self.config.read_recent
            && let Some(oldest) = oldest
        {
            if select.start > oldest {
                return None;
            }
            end = end.min(oldest);
        }
        let named = |name: &str, value: &str| {
            select.matchers.iter().any(|m| m.op() == MatchOp::Equal && m.name() == name && m.value() == value)
        };
        if !self.config.required_matchers.iter().all(|(name, value)| named(name, value)) {
            return None;
        }
        let mut matchers = select.matchers.to_vec();
        matchers.extend(self.added(select).into_iter().map(|(name, value)| Matcher::equal(name, value)));
        let hints = ReadHints {
            step_ms: select.step_ms.unwrap_or_default(),
            start_ms: select.start.millis(),
            end_ms: end.millis(),
            ..ReadHints::default()
        };
        Some(ReadQuery { start: select.start, end, matchers, hints: Some(hints) })
    }

    /// The external labels that a question is given, since the selector does not name them.
    fn added(&self, select: &Select<'_>) -> Vec<(&str, &str)> {
        if !self.config.filter_external_labels {
            return Vec::new();
        }
        let named = |name: &str| select.matchers.iter().any(|matcher| matcher.name() == name);
        self.external_labels.iter().filter(|(name, _)| !named(name)).collect()
    }

    async fn read(&self, query: ReadQuery) -> Result<Vec<ReadSeries>, Error> {
        let (name, url) = (self.config.display_name(), self.config.shown_url());
        let labels = [name.as_str(), &url];
        let running = self.metrics.running.with_label_values(&labels);
        running.inc();
        let started = Instant::now();
        let answer = self.request(&query).await;
        running.dec();
        self.metrics.duration.with_label_values(&labels).observe(started.elapsed().as_secs_f64());
        let (shape, code) = match &answer {
            Ok(answered) => (answered.shape, answered.status.as_str()),
            // Nobody answered.
            Err(_) => ("sampled", "0"),
        };
        self.metrics.queries.with_label_values(&[labels[0], labels[1], shape, code]).inc();
        let mut series = answer.and_then(|answered| answered.series)?;
        if self.config.filter_external_labels {
            let given = |name: &str| query.matchers.iter().any(|m| m.name() == name && self.is_external(m));
            for series in &mut series {
                series.labels = series.labels.without(|name| given(name));
            }
        }
        Ok(series)
    }

    /// Whether a matcher is one that was added, or might as well have been.
    fn is_external(&self, matcher: &Matcher) -> bool {
        matcher.op() == MatchOp::Equal && self.external_labels.get(matcher.name()) == Some(matcher.value())
    }

    /// Asks for chunks in a stream, which take the least room on the way, and takes samples from who knows nothing else.
    async fn request(&self, query: &ReadQuery) -> Result<Answered, Error> {
        let request =
            ReadRequest { queries: vec![query.clone()], accepts_chunks: true, accepts_samples: true };
        let timeout: Duration = self.config.remote_timeout.0;
        let built = self
            .client
            .request(Method::POST, self.config.url.as_str())
            .await
            .map_err(|error| unreachable(&error))?;
        let response = with_headers(built, &self.config.headers)
            .timeout(timeout)
            .header(CONTENT_ENCODING, "snappy")
            .header(ACCEPT_ENCODING, "snappy")
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header("X-Prometheus-Remote-Read-Version", "0.1.0")
            .body(request.encode())
            .send()
            .await
            .map_err(|error| failed(&error))?;
        let status = response.status();
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let streamed = kind.is_some_and(|kind| kind.starts_with(STREAM));
        let series = if !status.is_success() {
            let url = self.config.shown_url();
            Err(Error::Permanent(format!(
                "remote server {url} returned HTTP status {status}: {}",
                text(response).await
            )))
        } else if streamed {
            read_chunks(response).await
        } else {
            read_samples(response).await
        };
        Ok(Answered { shape: if streamed { "chunked" } else { "sampled" }, status, series })
    }
}

/// What a server has answered.
struct Answered {
    /// As Prometheus' metric names it.
    shape: &'static str,
    status: StatusCode,
    series: Result<Vec<ReadSeries>, Error>,
}

fn malformed(error: &DecodeError) -> Error {
    Error::Permanent(error.to_string())
}

/// Reads chunks as they come.
async fn read_chunks(mut response: Response) -> Result<Vec<ReadSeries>, Error> {
    let mut frames = FrameReader::new(1, &LIMITS);
    while let Some(piece) = response.chunk().await.map_err(|error| failed(&error))? {
        frames.push(&piece).map_err(|error| malformed(&error))?;
    }
    let results = frames.finish().map_err(|error| malformed(&error))?;
    Ok(results.into_iter().flatten().collect())
}

/// Reads samples, which are understood when all of them are there.
async fn read_samples(mut response: Response) -> Result<Vec<ReadSeries>, Error> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| failed(&error))? {
        if body.len() + piece.len() > BODY_BYTES_MAX {
            return Err(Error::Permanent(format!("the answer is longer than {BODY_BYTES_MAX} bytes")));
        }
        body.extend_from_slice(&piece);
    }
    let results = decode_samples(&body, &LIMITS).map_err(|error| malformed(&error))?;
    Ok(results.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests;
