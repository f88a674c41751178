//! Requests seen from outside: counted by route and status, and traced.
//!
//! Spans of requests are taken until there are too many in a second: a span costs as much as answering a small request,
//! and those of a thousand that were asked alike tell no more than those of fifty.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use axum::body::HttpBody as _;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use parking_lot::RwLock;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, exponential_buckets,
};
use tracing::{Instrument as _, Span};

/// The bounds that Prometheus has, in seconds: dashboards draw them.
const DURATION_BUCKETS: [f64; 9] = [0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0];

/// How many requests are traced in a second.
const TRACED_PER_SEC: u32 = 50;

/// Requests by handler and status; clones share them.
#[derive(Clone)]
pub(crate) struct HttpMetrics(Arc<Inner>);

struct Inner {
    requests: IntCounterVec,
    duration: HistogramVec,
    size: HistogramVec,
    /// What belongs to a route and status, found without putting labels together.
    known: RwLock<HashMap<Box<str>, OfRoute>>,
    traced: Traced,
}

/// What belongs to a route, by status, of which there are few.
type OfRoute = Vec<(StatusCode, Counted)>;

#[derive(Clone)]
struct Counted {
    requests: IntCounter,
    duration: Histogram,
    size: Histogram,
}

impl HttpMetrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new("prometheus_http_requests_total", "HTTP requests by handler and status code."),
            &["handler", "code"],
        )?;
        let duration = HistogramVec::new(
            HistogramOpts::new("prometheus_http_request_duration_seconds", "Time to answer HTTP requests.")
                .buckets(DURATION_BUCKETS.to_vec()),
            &["handler"],
        )?;
        let size = HistogramVec::new(
            HistogramOpts::new(
                "prometheus_http_response_size_bytes",
                "Size of answers before compression, of those that are not written while they are sent.",
            )
            .buckets(exponential_buckets(100.0, 10.0, 8)?),
            &["handler"],
        )?;
        registry.register(Box::new(size.clone()))?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        let (known, traced) = (RwLock::default(), Traced::new());
        Ok(Self(Arc::new(Inner { requests, duration, size, known, traced })))
    }

    fn count(&self, handler: &str, status: StatusCode, size: Option<u64>, started: Instant) {
        let counted = self.counted(handler, status);
        counted.requests.inc();
        if let Some(size) = size {
            counted.size.observe(size as f64);
        }
        counted.duration.observe(started.elapsed().as_secs_f64());
    }

    fn counted(&self, handler: &str, status: StatusCode) -> Counted {
        let Inner { requests, duration, size, known, .. } = &*self.0;
        if let Some(counted) = known.read().get(handler).and_then(|all| of_status(all, status)) {
            return counted;
        }
        let name = label(handler);
        let counted = Counted {
            requests: requests.with_label_values(&[&name, status.as_str()]),
            duration: duration.with_label_values(&[&name]),
            size: size.with_label_values(&[&name]),
        };
        let mut known = known.write();
        let all = known.entry(handler.into()).or_default();
        if of_status(all, status).is_none() {
            all.push((status, counted.clone()));
        }
        counted
    }
}

/// A route as Prometheus writes it: `/label/:name/values`.
fn label(route: &str) -> String {
    route.replace('{', ":").replace('}', "")
}

fn of_status(all: &[(StatusCode, Counted)], status: StatusCode) -> Option<Counted> {
    all.iter().find(|(known, _)| *known == status).map(|(_, counted)| counted.clone())
}

/// How many requests have been traced in the second that is now.
struct Traced {
    start: Instant,
    second: AtomicU64,
    count: AtomicU32,
}

impl Traced {
    fn new() -> Self {
        Self { start: Instant::now(), second: AtomicU64::new(0), count: AtomicU32::new(0) }
    }

    /// Whether one more may be traced. Several that come as a second ends may all be the first of the next one, which
    /// makes a few more.
    fn one_more(&self, now: Instant) -> bool {
        let second = now.saturating_duration_since(self.start).as_secs();
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.count.store(0, Ordering::Relaxed);
        }
        self.count.load(Ordering::Relaxed) < TRACED_PER_SEC
            && self.count.fetch_add(1, Ordering::Relaxed) < TRACED_PER_SEC
    }
}

/// Counts each request and traces it. The route, not the path, names it, so that the names are few.
pub(super) async fn observe(State(metrics): State<HttpMetrics>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let handler = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let span = if metrics.0.traced.one_more(started) { span(&request, handler) } else { Span::none() };
    let traced = !span.is_none();
    let mut response =
        if traced { next.run(request).instrument(span.clone()).await } else { next.run(request).await };
    let status = response.status();
    if traced {
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
    }
    metrics.count(handler, status, response.body().size_hint().exact(), started);
    response.headers_mut().entry("x-content-type-options").or_insert(HeaderValue::from_static("nosniff"));
    response
}

fn span(request: &Request, handler: &str) -> Span {
    tracing::info_span!(
        target: "stormglass",
        "http request",
        otel.name = format!("{} {handler}", request.method()),
        otel.kind = "server",
        http.request.method = %request.method(),
        http.route = handler,
        url.path = request.uri().path(),
        http.response.status_code = tracing::field::Empty,
        otel.status_code = tracing::field::Empty,
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn so_many_are_traced_in_a_second() {
        let traced = Traced::new();
        let count = |millis: u64| {
            let now = traced.start + Duration::from_millis(millis);
            (0..3 * TRACED_PER_SEC).filter(|_| traced.one_more(now)).count()
        };
        assert_eq!([count(0), count(999), count(1000), count(5500)], [50, 0, 50, 50]);
    }

    #[test]
    fn routes_and_codes_are_told_apart() {
        let metrics = HttpMetrics::register(&Registry::new()).unwrap();
        for (handler, status) in [("/a", 200), ("/a", 404), ("/b", 200), ("/a", 200)] {
            metrics.count(handler, StatusCode::from_u16(status).unwrap(), Some(5), Instant::now());
        }
        let count = |handler, code| metrics.0.requests.with_label_values(&[handler, code]).get();
        assert_eq!([count("/a", "200"), count("/a", "404"), count("/b", "200")], [2, 1, 1]);
        assert_eq!(metrics.0.duration.with_label_values(&["/a"]).get_sample_count(), 3);
        assert_eq!(metrics.0.size.with_label_values(&["/a"]).get_sample_sum(), 15.0);
        assert_eq!(label("/api/v1/label/{name}/values"), "/api/v1/label/:name/values");
    }
}
