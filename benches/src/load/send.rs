//! Sends a load to a remote write receiver and reports what became of it.

use std::sync::Barrier;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};

use super::request::{RequestWriter, TargetLabels, stale};
use super::{Load, Recording, Target};

/// A receiver that is busy is asked again so often, as senders do.
const TRIES_MAX: usize = 100;
/// The pause before it is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// No receiver should need so long for a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// A scrape that is further away than this does not join those before it in one request.
const BATCH_WAIT: Duration = Duration::from_secs(1);

/// How time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as the receiver takes it.
    Simulated,
    /// One interval per interval, from now on.
    RealTime,
}

/// Where and how to send.
#[derive(Debug, Clone, PartialEq)]
pub struct Destination {
    /// The receiver.
    pub url: String,
    /// Samples per request at most.
    pub batch_samples: usize,
    /// Connections, with the targets shared out between them; each waits for its answer before it sends on.
    pub connections: usize,
}

/// What became of a load.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Samples in requests that were sent, each counted once.
    pub samples_sent: u64,
    /// Samples in requests that were answered with success.
    pub samples_accepted: u64,
    /// Requests that were answered with a refusal.
    pub requests_refused: u64,
    /// Times that the receiver asked to be asked again.
    pub retries: u64,
    /// Compressed bytes of the requests.
    pub body_bytes: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Of each request, in no order.
    pub latencies: Vec<Duration>,
    /// The first refusal's status and text.
    pub refusal: Option<String>,
}

impl Report {
    /// The latency that this share of the requests stays below.
    pub fn latency(&self, share: f64) -> Duration {
        let mut latencies = self.latencies.clone();
        latencies.sort_unstable();
        let at = (latencies.len().saturating_sub(1) as f64 * share).round() as usize;
        latencies.get(at).copied().unwrap_or_default()
    }

    fn add(&mut self, other: Self) {
        self.samples_sent += other.samples_sent;
        self.samples_accepted += other.samples_accepted;
        self.requests_refused += other.requests_refused;
        self.retries += other.retries;
        self.body_bytes += other.body_bytes;
        self.latencies.extend(other.latencies);
        self.refusal = self.refusal.take().or(other.refusal);
    }

    /// In one line, for people.
    pub fn text(&self) -> String {
        let refused = self.samples_sent - self.samples_accepted;
        let mut text = format!(
            "{} samples sent, {} accepted, {refused} in {} refused requests, {} retries; {:.1?}, {:.0} samples/s, \
             {:.1} bytes/sample on the wire; {} requests, latency p50 {:.1?}, p99 {:.1?}",
            self.samples_sent,
            self.samples_accepted,
            self.requests_refused,
            self.retries,
            self.elapsed,
            self.samples_accepted as f64 / self.elapsed.as_secs_f64(),
            self.body_bytes as f64 / self.samples_sent.max(1) as f64,
            self.latencies.len(),
            self.latency(0.5),
            self.latency(0.99),
        );
        if let Some(refusal) = &self.refusal {
            text += &format!("; first refusal: {refusal}");
        }
        text
    }
}

/// A load on its way: [`Sender::send`] goes on where the one before has stopped.
pub struct Sender<'r> {
    recording: &'r Recording,
    load: Load,
    destination: Destination,
    /// By connection: the numbers of its targets and where they stand.
    targets: Vec<Vec<(usize, Target)>>,
    start_ms: i64,
    /// Scrapes of each target so far.
    scrapes: usize,
}

impl<'r> Sender<'r> {
    /// Sends nothing yet; the first target's first sample will be of this time.
    pub fn new(recording: &'r Recording, load: Load, destination: Destination, start_ms: i64) -> Self {
        let connections = destination.connections.clamp(1, load.targets.max(1));
        let mut targets = vec![Vec::new(); connections];
        for number in 0..load.targets {
            targets[number % connections].push((number, Target::new(recording, number, load.seed)));
        }
        Self { recording, load, destination, targets, start_ms, scrapes: 0 }
    }

    /// Every target is scraped and sent so many times.
    ///
    /// # Errors
    /// Where the receiver cannot be reached, or is busy for long. Refusals are counted, not failed on.
    pub fn send(&mut self, scrapes: usize, pace: Pace) -> anyhow::Result<Report> {
        let started = Instant::now();
        let barrier = Barrier::new(self.targets.len());
        let steps = self.scrapes..self.scrapes + scrapes;
        self.scrapes = steps.end;
        let reports: Vec<anyhow::Result<Report>> = std::thread::scope(|scope| {
            let (recording, load, destination) = (self.recording, &self.load, &self.destination);
            let (barrier, start_ms) = (&barrier, self.start_ms);
            let connections: Vec<_> = self
                .targets
                .iter_mut()
                .map(|targets| {
                    let steps = steps.clone();
                    scope.spawn(move || {
                        let mut connection = Connection::new(recording, load, destination, start_ms, pace);
                        for step in steps {
                            // Connections stay together in simulated time. One that has failed goes on to wait.
                            barrier.wait();
                            if connection.failure.is_none() {
                                connection.failure = connection.scrape(targets, step).err();
                            }
                        }
                        connection.failure.map_or(Ok(connection.report), Err)
                    })
                })
                .collect();
            let joined = connections.into_iter().map(|connection| connection.join());
            joined.map(|report| report.unwrap_or_else(|_| bail!("a connection panicked"))).collect()
        });
        let mut all = Report::default();
        for report in reports {
            all.add(report?);
        }
        all.elapsed = started.elapsed();
        Ok(all)
    }

    /// The time of the last samples, or of the first ones before there are any.
    pub fn time_ms(&self) -> i64 {
        self.start_ms + self.load.interval.as_millis() as i64 * self.scrapes as i64
    }
}

/// One of the connections.
struct Connection<'a> {
    recording: &'a Recording,
    load: &'a Load,
    destination: &'a Destination,
    start_ms: i64,
    pace: Pace,
    agent: ureq::Agent,
    writer: RequestWriter,
    values: Vec<f64>,
    report: Report,
    failure: Option<anyhow::Error>,
}

impl<'a> Connection<'a> {
    fn new(
        recording: &'a Recording,
        load: &'a Load,
        destination: &'a Destination,
        start_ms: i64,
        pace: Pace,
    ) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(REQUEST_TIMEOUT))
            .build()
            .into();
        Self {
            recording,
            load,
            destination,
            start_ms,
            pace,
            agent,
            writer: RequestWriter::new(recording),
            values: Vec::new(),
            report: Report::default(),
            failure: None,
        }
    }

    /// Scrapes each target once.
    fn scrape(&mut self, targets: &mut [(usize, Target)], step: usize) -> anyhow::Result<()> {
        for (number, target) in targets {
            let elapsed = self.load.interval * step as u32 + self.load.offset(*number);
            let time_ms = self.start_ms + elapsed.as_millis() as i64;
            if self.pace == Pace::RealTime {
                self.wait_until(time_ms)?;
            }
            if step > 0 {
                target.advance(self.recording);
            }
            let revision = self.load.revision(*number, elapsed);
            let before = self.load.revision(*number, elapsed.saturating_sub(self.load.interval));
            if step > 0 && before != revision {
                let labels = TargetLabels::new(*number, before);
                for series in 0..self.recording.series_count() {
                    self.push(series, &labels, time_ms, stale())?;
                }
            }
            let labels = TargetLabels::new(*number, revision);
            let mut values = std::mem::take(&mut self.values);
            target.values(self.recording, &mut values);
            for (series, value) in values.iter().enumerate() {
                self.push(series, &labels, time_ms, *value)?;
            }
            self.values = values;
        }
        self.flush()
    }

    fn push(&mut self, series: usize, labels: &TargetLabels, time_ms: i64, value: f64) -> anyhow::Result<()> {
        self.writer.push(series, labels, time_ms, value);
        if self.writer.samples() >= self.destination.batch_samples {
            self.flush()?;
        }
        Ok(())
    }

    fn wait_until(&mut self, time_ms: i64) -> anyhow::Result<()> {
        let at = UNIX_EPOCH + Duration::from_millis(time_ms.max(0) as u64);
        let wait = at.duration_since(SystemTime::now()).unwrap_or_default();
        if wait > BATCH_WAIT {
            self.flush()?;
        }
        std::thread::sleep(at.duration_since(SystemTime::now()).unwrap_or_default());
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        let samples = self.writer.samples() as u64;
        if samples == 0 {
            return Ok(());
        }
        let body = self.writer.finish()?;
        self.report.samples_sent += samples;
        self.report.body_bytes += body.len() as u64;
        for _ in 0..TRIES_MAX {
            let started = Instant::now();
            let mut response = self
                .agent
                .post(&self.destination.url)
                .header("content-type", "application/x-protobuf")
                .header("content-encoding", "snappy")
                .header("x-prometheus-remote-write-version", "0.1.0")
                .header("user-agent", "stormglass-load")
                .send(&body[..])
                .with_context(|| format!("send to {}", self.destination.url))?;
            let text = response.body_mut().read_to_string().unwrap_or_default();
            self.report.latencies.push(started.elapsed());
            let status = response.status();
            if status.is_server_error() || status.as_u16() == 429 {
                self.report.retries += 1;
                std::thread::sleep(RETRY_PAUSE);
                continue;
            }
            if status.is_success() {
                self.report.samples_accepted += samples;
            } else {
                self.report.requests_refused += 1;
                self.report.refusal.get_or_insert(format!("{status}: {}", text.trim()));
            }
            return Ok(());
        }
        bail!("{} was busy {TRIES_MAX} times in a row", self.destination.url)
    }
}
