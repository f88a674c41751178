//! One combination of service, name, kind and status: its counters, its series, its exemplars.

use std::time::Duration;

use model::span::{Span, SpanId, SpanKind, StatusCode, TraceId};
use model::staleness::STALE_NAN;
use model::{
    AppendError, Appender, Exemplar, Labels, LabelsBuilder, METRIC_NAME, Sample, SeriesRef, Timestamp,
};

use super::{CALLS, Flushed, LATENCY, SpanMetricsOptions};

/// How far a combination's series have come in the storage.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not there yet.
    Fresh,
    /// In a batch that is not committed.
    Starting,
    /// There.
    Running,
}

pub(super) struct Combination {
    stage: Stage,
    /// Spans per bucket, each span in one; the last is for those above every bound.
    buckets: Vec<Bucket>,
    latency_sum_seconds: f64,
    calls: Series,
    sum: Series,
    count: Series,
    observed_since_flush: bool,
    active_at: Option<Timestamp>,
}

struct Bucket {
    spans: u64,
    series: Series,
    /// The latest span since the last flush.
    pending: Option<Observed>,
    exemplar_at: Timestamp,
}

/// What an exemplar is made of.
#[derive(Clone, Copy)]
struct Observed {
    trace_id: TraceId,
    span_id: SpanId,
    seconds: f64,
    at: Timestamp,
}

struct Series {
    labels: Labels,
    reference: Option<SeriesRef>,
}

impl Combination {
    pub(super) fn new(
        options: &SpanMetricsOptions,
        service: &str,
        name: &str,
        kind: SpanKind,
        status: StatusCode,
    ) -> Self {
        let mut labels = LabelsBuilder::new();
        labels.set("service", service).set("span_name", name);
        labels.set("span_kind", kind.as_str()).set("status_code", status.as_str());
        let mut series = |metric: &str, le: &str| {
            let labels = labels.set(METRIC_NAME, metric).set("le", le).build();
            Series { labels, reference: None }
        };
        let bounds = options.buckets.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        let bucket_metric = format!("{LATENCY}_bucket");
        let buckets = bounds.map(|le| Bucket {
            spans: 0,
            series: series(&bucket_metric, &le),
            pending: None,
            exemplar_at: Timestamp::MIN,
        });
        Self {
            stage: Stage::Fresh,
            buckets: buckets.collect(),
            latency_sum_seconds: 0.0,
            calls: series(CALLS, ""),
            sum: series(&format!("{LATENCY}_sum"), ""),
            count: series(&format!("{LATENCY}_count"), ""),
            observed_since_flush: false,
            active_at: None,
        }
    }

    pub(super) fn observe(&mut self, span: &Span, bounds: &[f64]) {
        let seconds = span.duration_nanos() as f64 / 1e9;
        let bucket = &mut self.buckets[bounds.partition_point(|bound| *bound < seconds)];
        bucket.spans += 1;
        let at = Timestamp::from_millis((span.end_unix_nanos / 1_000_000) as i64);
        let newest = bucket.pending.map_or(bucket.exemplar_at, |pending| pending.at);
        // A span that ended with the one before would be a second exemplar of one moment, which storages refuse.
        if !span.trace_id.is_zero() && (at > newest || (bucket.pending.is_some() && at == newest)) {
            bucket.pending = Some(Observed { trace_id: span.trace_id, span_id: span.span_id, seconds, at });
        }
        self.latency_sum_seconds += seconds;
        self.observed_since_flush = true;
    }

    /// Says whether the combination is still in use at `now`.
    pub(super) fn touch(&mut self, now: Timestamp, idle: Duration) -> bool {
        let active_at = match self.active_at {
            Some(at) if !self.observed_since_flush => at,
            _ => *self.active_at.insert(now),
        };
        self.observed_since_flush = false;
        now - idle < active_at
    }

    /// Adds its samples and exemplars to a batch; `keep` false ends its series.
    pub(super) fn write(&mut self, now: Timestamp, keep: bool, to: &mut dyn Appender, written: &mut Flushed) {
        if !keep && self.stage == Stage::Fresh {
            return;
        }
        let zero_first = self.stage == Stage::Fresh;
        let mut put = |series: &mut Series, value: f64| {
            if zero_first {
                series.append(Sample { timestamp: now.offset(-1), value: 0.0 }, to, written);
            }
            let value = if keep { value } else { STALE_NAN };
            series.append(Sample { timestamp: now, value }, to, written);
        };
        let mut spans = 0;
        for bucket in &mut self.buckets {
            spans += bucket.spans;
            put(&mut bucket.series, spans as f64);
        }
        put(&mut self.calls, spans as f64);
        put(&mut self.count, spans as f64);
        put(&mut self.sum, self.latency_sum_seconds);
        for bucket in &mut self.buckets {
            bucket.append_exemplar(now, to, written);
        }
        if zero_first {
            self.stage = Stage::Starting;
        }
    }

    /// Takes note of how the batch ended.
    pub(super) fn settle(&mut self, committed: bool) {
        if self.stage == Stage::Starting {
            self.stage = if committed { Stage::Running } else { Stage::Fresh };
        }
    }
}

impl Bucket {
    fn append_exemplar(&mut self, now: Timestamp, to: &mut dyn Appender, written: &mut Flushed) {
        let (Some(observed), Some(series)) = (self.pending.take(), self.series.reference) else { return };
        // A sender whose clock is a little ahead must not lock out everyone else's exemplars.
        let timestamp = observed.at.min(now);
        if timestamp <= self.exemplar_at {
            return;
        }
        let mut labels = LabelsBuilder::new();
        labels.set("trace_id", &observed.trace_id.to_string());
        if !observed.span_id.is_zero() {
            labels.set("span_id", &observed.span_id.to_string());
        }
        let exemplar = Exemplar { labels: labels.build(), value: observed.seconds, timestamp };
        self.exemplar_at = timestamp;
        match to.append_exemplar(series, &exemplar) {
            Ok(()) => written.exemplars += 1,
            Err(error) => refuse(&self.series.labels, &error, written),
        }
    }
}

impl Series {
    fn append(&mut self, sample: Sample, to: &mut dyn Appender, written: &mut Flushed) {
        match to.append(self.reference, &self.labels, sample) {
            Ok(reference) => {
                self.reference = Some(reference);
                written.samples += 1;
            }
            Err(error) => refuse(&self.labels, &error, written),
        }
    }
}

/// Counts a refusal; the first of a flush is logged, since thousands would say the same.
fn refuse(labels: &Labels, error: &AppendError, written: &mut Flushed) {
    if written.refused == 0 {
        tracing::warn!(series = %labels, %error, "the storage refused a span metric");
    }
    written.refused += 1;
}
