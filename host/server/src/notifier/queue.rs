//! The alerts that wait for one Alertmanager, and the task that sends them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alerting::{Alert, rfc3339_or_zero};
use model::Labels;
use parking_lot::Mutex;
use scrape::client::HttpClient;
use scrape::sigv4::SigV4Config;
use serde::{Serialize, Serializer};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::metrics::NotifierMetrics;

/// How much waits, and how much is sent at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueOptions {
    pub(crate) capacity: usize,
    pub(crate) batch: usize,
}

/// See the module.
pub(super) struct Queue {
    url: String,
    options: QueueOptions,
    metrics: NotifierMetrics,
    alerts: Mutex<VecDeque<Alert>>,
    /// Rung when there is something to send, and when there will be nothing more.
    ring: Notify,
    closed: AtomicBool,
}

/// How alerts get there.
pub(super) struct Way {
    pub(super) client: Arc<HttpClient>,
    pub(super) sigv4: Option<SigV4Config>,
    pub(super) timeout: Duration,
}

/// An alert as Alertmanager's API takes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PostableAlert<'a> {
    #[serde(serialize_with = "as_map")]
    annotations: &'a Labels,
    ends_at: String,
    starts_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    #[serde(serialize_with = "as_map")]
    labels: &'a Labels,
}

fn as_map<S: Serializer>(labels: &&Labels, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.iter())
}

impl Queue {
    pub(super) fn new(url: String, options: QueueOptions, metrics: NotifierMetrics) -> Self {
        metrics.introduce(&url, options.capacity);
        Self {
            url,
            options,
            metrics,
            alerts: Mutex::default(),
            ring: Notify::new(),
            closed: AtomicBool::new(false),
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Has alerts sent. Where there are too many, the oldest go: newer ones say more.
    pub(super) fn push(&self, new: &[Alert]) {
        if new.is_empty() || self.closed.load(Ordering::Acquire) {
            return;
        }
        let mut alerts = self.alerts.lock();
        alerts.extend(new.iter().cloned());
        let excess = alerts.len().saturating_sub(self.options.capacity);
        if excess > 0 {
            alerts.drain(..excess);
            self.metrics.overflowed(&self.url, excess);
            tracing::warn!(
                alertmanager = self.url,
                count = excess,
                "alerts dropped, too many wait to be sent"
            );
        }
        self.metrics.waiting(&self.url, alerts.len());
        drop(alerts);
        self.ring.notify_one();
    }

    /// Takes nothing more. What waits is sent if `drain`, and otherwise forgotten.
    pub(super) fn close(&self, drain: bool) {
        self.closed.store(true, Ordering::Release);
        if !drain {
            self.alerts.lock().clear();
        }
        self.ring.notify_one();
    }

    fn batch(&self) -> Vec<Alert> {
        let mut alerts = self.alerts.lock();
        let count = alerts.len().min(self.options.batch.max(1));
        let batch = alerts.drain(..count).collect();
        self.metrics.waiting(&self.url, alerts.len());
        batch
    }

    /// Sends until the queue is closed and empty, or `stop` breaks it off.
    pub(super) async fn run(self: Arc<Self>, way: Way, stop: CancellationToken) {
        let sending = async {
            loop {
                let batch = self.batch();
                if !batch.is_empty() {
                    self.send(&way, &batch).await;
                } else if self.closed.load(Ordering::Acquire) {
                    return;
                } else {
                    self.ring.notified().await;
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = sending => {}
        }
    }

    async fn send(&self, way: &Way, batch: &[Alert]) {
        let (started, timeout) = (Instant::now(), way.timeout);
        let sent = tokio::time::timeout(timeout, post(way, &self.url, body(batch))).await;
        let error = match sent {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(format!("no answer within {}", model::format_duration(timeout))),
        };
        self.metrics.sent(&self.url, batch.len(), error.is_none(), started.elapsed());
        if let Some(error) = error {
            tracing::warn!(alertmanager = self.url, count = batch.len(), error, "send alerts");
        }
    }
}

fn body(batch: &[Alert]) -> Vec<u8> {
    let postable: Vec<PostableAlert<'_>> = batch
        .iter()
        .map(|alert| PostableAlert {
            annotations: &alert.annotations,
            ends_at: rfc3339_or_zero(alert.ends_at),
            starts_at: rfc3339_or_zero(Some(alert.starts_at)),
            generator_url: &alert.generator_url,
            labels: &alert.labels,
        })
        .collect();
    // Labels are texts, which JSON can hold.
    serde_json::to_vec(&postable).unwrap_or_default()
}

async fn post(way: &Way, url: &str, body: Vec<u8>) -> Result<(), String> {
    let request = way.client.request(reqwest::Method::POST, url).await.map_err(|error| error.to_string())?;
    let mut request = request.header(reqwest::header::CONTENT_TYPE, "application/json");
    if let Some(sigv4) = &way.sigv4 {
        let parsed = url::Url::parse(url).map_err(|error| error.to_string())?;
        let signed = sigv4.sign(&parsed, &body, chrono::Utc::now())?;
        request = signed.into_iter().fold(request, |request, (name, value)| request.header(name, value));
    }
    let answer = request
        .body(body)
        .send()
        .await
        .map_err(|error| format!("{:#}", anyhow::Error::from(error.without_url())))?;
    if answer.status().is_success() {
        return Ok(());
    }
    Err(format!("bad response status {}", answer.status()))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use model::Timestamp;

    use super::*;

    fn alert(name: &str, end: i64) -> Alert {
        Alert {
            labels: Labels::from_pairs([("alertname", name)]),
            annotations: Labels::from_pairs([("summary", "s")]),
            starts_at: Timestamp::from_millis(1_700_000_000_000),
            ends_at: Some(Timestamp::from_millis(end)),
            generator_url: "http://here/graph".to_owned(),
        }
    }

    #[test]
    fn alerts_are_written_as_alertmanager_takes_them() {
        let body = String::from_utf8(body(&[alert("a", 1_700_000_060_500)])).unwrap();
        expect![[r#"[{"annotations":{"summary":"s"},"endsAt":"2023-11-14T22:14:20.5Z","startsAt":"2023-11-14T22:13:20Z","generatorURL":"http://here/graph","labels":{"alertname":"a"}}]"#]]
        .assert_eq(&body);
    }

    #[test]
    fn the_oldest_go_where_too_many_wait() {
        let metrics = NotifierMetrics::register(&prometheus::Registry::new()).unwrap();
        let queue = Queue::new("http://x".to_owned(), QueueOptions { capacity: 3, batch: 2 }, metrics);
        let names = |alerts: Vec<Alert>| -> Vec<String> {
            alerts.iter().map(|alert| alert.labels.get("alertname").unwrap_or_default().to_owned()).collect()
        };
        queue.push(&["a", "b", "c", "d"].map(|name| alert(name, 0)));
        assert_eq!(names(queue.batch()), ["b", "c"]);
        queue.push(&[alert("e", 0)]);
        assert_eq!(names(queue.batch()), ["d", "e"]);
        queue.push(&[alert("f", 0)]);
        queue.close(false);
        queue.push(&[alert("g", 0)]);
        assert!(queue.batch().is_empty());
    }
}
