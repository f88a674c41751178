//! Span metrics against a storage that writes down what it is given.

use std::sync::Arc;

use expect_test::{Expect, expect};
use model::span::{Attribute, AttributeValue, Resource, SpanId, TraceId};
use model::staleness::is_stale;
use model::{AppendError, Appender, CommitError, Exemplar, Histogram, Labels, Refused, Sample, SeriesRef};

use super::*;

/// Writes down every call of committed batches, a line each.
#[derive(Default)]
struct Recorder {
    lines: Mutex<Vec<String>>,
    series: Mutex<Vec<Labels>>,
    commits_fail: bool,
}

struct Batch<'a> {
    recorder: &'a Recorder,
    lines: Vec<String>,
}

impl Append for Recorder {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(Batch { recorder: self, lines: Vec::new() })
    }
}

impl Appender for Batch<'_> {
    fn append(
        &mut self,
        _: Option<SeriesRef>,
        labels: &Labels,
        sample: Sample,
    ) -> Result<SeriesRef, AppendError> {
        let value = if is_stale(sample.value) { "stale".to_owned() } else { sample.value.to_string() };
        self.lines.push(format!("{labels} {value} @{}", sample.timestamp.millis()));
        let mut series = self.recorder.series.lock();
        let at = series.iter().position(|l| l == labels).unwrap_or(series.len());
        if at == series.len() {
            series.push(labels.clone());
        }
        Ok(SeriesRef(at as u64))
    }

    fn append_histogram(
        &mut self,
        _: Option<SeriesRef>,
        _: &Labels,
        _: Timestamp,
        _: &Histogram,
    ) -> Result<SeriesRef, AppendError> {
        Err(AppendError::OutOfBounds)
    }

    fn append_exemplar(&mut self, series: SeriesRef, exemplar: &Exemplar) -> Result<(), AppendError> {
        let series = self.recorder.series.lock()[series.0 as usize].clone();
        let at = exemplar.timestamp.millis();
        self.lines.push(format!("{series} # {} {} @{at}", exemplar.labels, exemplar.value));
        Ok(())
    }

    fn append_metadata(&mut self, family: &str, metadata: &Metadata) {
        self.lines.push(format!("{family} is a {}", metadata.kind));
    }

    fn commit(self: Box<Self>) -> Result<Vec<Refused>, CommitError> {
        if self.recorder.commits_fail {
            return Err(CommitError("disk full".into()));
        }
        self.recorder.lines.lock().extend(self.lines);
        Ok(Vec::new())
    }
}

impl Recorder {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock())
    }
}

fn metrics(combinations_max: usize) -> SpanMetrics {
    SpanMetrics::new(SpanMetricsOptions {
        buckets: vec![0.1, 1.0],
        combinations_max,
        ..SpanMetricsOptions::tempo()
    })
    .unwrap()
}

/// A server span of service `api` that took `millis` and ended at `end_ms`; its trace is named after its end.
fn span(name: &str, millis: u64, end_ms: u64) -> Span {
    let service = AttributeValue::String("api".into());
    Span {
        trace_id: TraceId([end_ms as u8; 16]),
        span_id: SpanId([7; 8]),
        name: name.into(),
        kind: SpanKind::Server,
        start_unix_nanos: (end_ms - millis) * 1_000_000,
        end_unix_nanos: end_ms * 1_000_000,
        resource: Arc::new(Resource {
            attributes: vec![Attribute { key: "service.name".into(), value: service }],
        }),
        ..Span::default()
    }
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

/// Leaves the labels out that every series here has.
fn check(lines: &[String], expected: &Expect) {
    let common =
        r#"service="api", span_kind="SPAN_KIND_SERVER", span_name="GET", status_code="STATUS_CODE_UNSET""#;
    let text: Vec<String> = lines.iter().map(|line| line.replace(common, "…")).collect();
    expected.assert_eq(&text.join("\n"));
}

#[test]
fn counters_start_at_zero_and_buckets_carry_exemplars() {
    let (metrics, storage) = (metrics(10), Recorder::default());
    metrics.observe(&[span("GET", 50, 9_000), span("GET", 100, 9_001), span("GET", 500, 9_002)]);
    let flushed = metrics.flush(at(10_000), &storage).unwrap();
    assert_eq!(flushed, Flushed { samples: 12, exemplars: 2, refused: 0, dropped: 0 });
    check(
        &storage.take(),
        &expect![[r#"
            traces_spanmetrics_calls_total is a counter
            traces_spanmetrics_latency is a histogram
            traces_spanmetrics_latency_bucket{le="0.1", …} 0 @9999
            traces_spanmetrics_latency_bucket{le="0.1", …} 2 @10000
            traces_spanmetrics_latency_bucket{le="1", …} 0 @9999
            traces_spanmetrics_latency_bucket{le="1", …} 3 @10000
            traces_spanmetrics_latency_bucket{le="+Inf", …} 0 @9999
            traces_spanmetrics_latency_bucket{le="+Inf", …} 3 @10000
            traces_spanmetrics_calls_total{…} 0 @9999
            traces_spanmetrics_calls_total{…} 3 @10000
            traces_spanmetrics_latency_count{…} 0 @9999
            traces_spanmetrics_latency_count{…} 3 @10000
            traces_spanmetrics_latency_sum{…} 0 @9999
            traces_spanmetrics_latency_sum{…} 0.65 @10000
            traces_spanmetrics_latency_bucket{le="0.1", …} # {span_id="0707070707070707", trace_id="29292929292929292929292929292929"} 0.1 @9001
            traces_spanmetrics_latency_bucket{le="1", …} # {span_id="0707070707070707", trace_id="2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a"} 0.5 @9002"#]],
    );
    // Cumulative, written again without new spans, and without the old exemplars.
    metrics.flush(at(25_000), &storage).unwrap();
    check(
        &storage.take(),
        &expect![[r#"
        traces_spanmetrics_latency_bucket{le="0.1", …} 2 @25000
        traces_spanmetrics_latency_bucket{le="1", …} 3 @25000
        traces_spanmetrics_latency_bucket{le="+Inf", …} 3 @25000
        traces_spanmetrics_calls_total{…} 3 @25000
        traces_spanmetrics_latency_count{…} 3 @25000
        traces_spanmetrics_latency_sum{…} 0.65 @25000"#]],
    );
}

#[test]
fn exemplars_never_go_back_in_time() {
    let (metrics, storage) = (metrics(10), Recorder::default());
    let exemplars = |spans: &[Span], now| {
        metrics.observe(spans);
        metrics.flush(at(now), &storage).unwrap();
        let lines = storage.take();
        let found = lines.iter().filter_map(|line| line.split_once(" # "));
        found.map(|(_, e)| e.rsplit_once('@').unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(exemplars(&[span("GET", 1, 500), span("GET", 1, 400)], 1000), ["500"]);
    assert_eq!(exemplars(&[span("GET", 1, 450)], 2000), [""; 0]);
    assert_eq!(exemplars(&[span("GET", 1, 500)], 3000), [""; 0]);
    assert_eq!(exemplars(&[span("GET", 1, 9000)], 4000), ["4000"], "a clock that is ahead");
    assert_eq!(exemplars(&[span("GET", 1, 4500)], 5000), ["4500"]);
    let nameless = Span { trace_id: TraceId::default(), ..span("GET", 1, 5500) };
    assert_eq!(exemplars(&[nameless], 6000), [""; 0]);
}

#[test]
fn idle_combinations_end_and_begin_anew() {
    let (metrics, storage) = (metrics(10), Recorder::default());
    let count_line = |lines: Vec<String>| -> Vec<String> {
        let calls = lines.into_iter().filter(|line| line.starts_with(CALLS) && line.contains('{'));
        calls.map(|line| line.rsplit_once("} ").unwrap().1.to_owned()).collect()
    };
    metrics.observe(&[span("GET", 1, 900), span("GET", 1, 901)]);
    metrics.flush(at(1000), &storage).unwrap();
    assert_eq!(count_line(storage.take()), ["0 @999", "2 @1000"]);
    metrics.flush(at(1000 + 899_999), &storage).unwrap();
    assert_eq!(count_line(storage.take()), ["2 @900999"]);
    assert_eq!(metrics.flush(at(1000 + 900_000), &storage).unwrap().dropped, 1);
    assert_eq!(count_line(storage.take()), ["stale @901000"]);
    assert_eq!(metrics.stats().combinations, 0);
    assert_eq!(metrics.flush(at(2_000_000), &storage).unwrap(), Flushed::default());
    metrics.observe(&[span("GET", 1, 2_000_001)]);
    metrics.flush(at(2_000_100), &storage).unwrap();
    assert_eq!(count_line(storage.take()), ["0 @2000099", "1 @2000100"]);
}

#[test]
fn combinations_over_the_limit_overflow() {
    let (metrics, storage) = (metrics(2), Recorder::default());
    let spans: Vec<Span> = (0..5).map(|n| span(&format!("op-{n}"), 1, 100 + n)).collect();
    metrics.observe(&spans);
    metrics.observe(&spans[..1]);
    assert_eq!(metrics.stats(), SpanMetricsStats { combinations: 3, spans_overflowed: 3 });
    metrics.flush(at(1000), &storage).unwrap();
    let lines = storage.take();
    let line = |part: &str| {
        lines.iter().filter(|l| l.starts_with(CALLS) && l.contains(part) && l.ends_with("@1000")).count()
    };
    assert_eq!((line("op-0"), line("op-1"), line("op-2")), (1, 1, 0));
    let overflow =
        lines.iter().find(|l| l.starts_with(CALLS) && l.contains("overflow") && l.ends_with("@1000"));
    assert_eq!(
        overflow.unwrap(),
        "traces_spanmetrics_calls_total{service=\"overflow\", span_kind=\"SPAN_KIND_SERVER\", \
         span_name=\"overflow\", status_code=\"STATUS_CODE_UNSET\"} 3 @1000"
    );
}

#[test]
fn a_failed_commit_loses_no_count() {
    let metrics = metrics(10);
    metrics.observe(&[span("GET", 1, 500)]);
    let failing = Recorder { commits_fail: true, ..Recorder::default() };
    assert!(matches!(metrics.flush(at(1000), &failing), Err(TraceError::Commit(_))));
    let storage = Recorder::default();
    metrics.flush(at(2000), &storage).unwrap();
    let lines = storage.take();
    assert!(lines.iter().any(|l| l.starts_with(CALLS) && l.ends_with("} 0 @1999")), "{lines:?}");
    assert!(lines.iter().any(|l| l.starts_with(CALLS) && l.ends_with("} 1 @2000")), "{lines:?}");
    assert!(lines[0].ends_with("is a counter"), "{lines:?}");
}

#[test]
fn long_names_are_cut_and_bad_buckets_refused() {
    assert_eq!(cut(&"é".repeat(400)).len(), LABEL_BYTES_MAX);
    assert_eq!(cut("short"), "short");
    for buckets in [vec![1.0, 1.0], vec![2.0, 1.0], vec![f64::NAN], vec![f64::INFINITY]] {
        assert!(SpanMetrics::new(SpanMetricsOptions { buckets, ..SpanMetricsOptions::tempo() }).is_err());
    }
}
