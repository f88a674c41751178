//! The answer to a query as JSON, written while it is sent.
//!
//! A body is made of pieces of about [`PIECE_BYTES`], each written when the connection has taken the one before; what a
//! series held goes back to the pool as soon as it is written. So an answer is in memory once, as numbers, and never as
//! a whole in text. Times and values are written as Prometheus writes them.

use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use model::{Labels, Sample, Timestamp, Value};
use parking_lot::Mutex;
use promql::{Answer, AnswerSeries, SeriesPoints, ValueType};
use serde::Serialize;
use tokio::task::AbortHandle;

use super::value::{JsonHistogramPoint, JsonLabels};
use crate::queries::stats;

/// A piece is handed on when it is at least this large: large enough that little is spent on handing on, small enough
/// that nobody notices it in memory.
const PIECE_BYTES: usize = 64 << 10;

/// What is said when a limit has cut the answer.
const TRUNCATED: &str = "results truncated due to limit";

/// What is asked of the answer beyond its value.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    /// Most series.
    pub(super) limit: Option<usize>,
    /// Whether to tell what the query took.
    pub(super) stats: bool,
}

/// An answer that is being written.
struct Writer {
    state: State,
    kind: ValueType,
    time: Timestamp,
    series: AnswerSeries,
    /// How many series may still be written.
    left: Option<usize>,
    written: usize,
    warnings: Vec<String>,
    infos: Vec<String>,
    stats: Option<serde_json::Value>,
}

enum State {
    Series,
    /// A series of which so many floats and histograms are written.
    Within {
        series: SeriesPoints,
        floats: usize,
        histograms: usize,
    },
    Done,
}

/// The response to a query that was answered,
/// in which the connection takes at least a piece in every `idle_max`; else the rest is given up, and what it holds goes
/// back to the pool.
pub(super) fn respond(mut answer: Answer, wanted: Wanted, idle_max: Duration) -> Response {
    let kind = answer.value_type();
    let stats = wanted.stats.then(|| stats::to_json(&answer.stats));
    let (warnings, infos) = (std::mem::take(&mut answer.warnings), std::mem::take(&mut answer.infos));
    let mut head = Vec::with_capacity(256);
    head.extend_from_slice(b"{\"status\":\"success\",\"data\":{\"resultType\":\"");
    head.extend_from_slice(match kind {
        ValueType::Scalar => b"scalar\",\"result\":".as_slice(),
        ValueType::String => b"string\",\"result\":",
        ValueType::Vector => b"vector\",\"result\":[",
        ValueType::Matrix => b"matrix\",\"result\":[",
    });
    match (kind, answer.scalar(), answer.string()) {
        (_, Some(value), _) => point(&mut head, answer.time(), value),
        (_, _, Some(text)) => {
            head.push(b'[');
            timestamp(&mut head, answer.time());
            head.push(b',');
            value(&mut head, text);
            head.push(b']');
        }
        _ => {}
    }
    let time = answer.time();
    let series = answer.into_series();
    let mut writer = Writer {
        state: State::Series,
        kind,
        time,
        series,
        left: wanted.limit,
        written: 0,
        warnings,
        infos,
        stats,
    };
    let first = writer.piece(head);
    let headers = [(header::CONTENT_TYPE, "application/json")];
    if matches!(writer.state, State::Done) {
        return (headers, first).into_response();
    }
    let sending = Arc::new(Mutex::new(Some(Sending { writer, taken: Instant::now() })));
    let watch = Watch(tokio::spawn(watch(Arc::downgrade(&sending), idle_max)).abort_handle());
    let rest = std::iter::from_fn(move || {
        // Ends with the body.
        let Watch(_) = &watch;
        let mut sending = sending.lock();
        let Some(Sending { writer, taken }) = &mut *sending else {
            return Some(Err(io::Error::other("the answer was not taken in time")));
        };
        *taken = Instant::now();
        (!matches!(writer.state, State::Done))
            .then(|| Ok(writer.piece(Vec::with_capacity(PIECE_BYTES + 4096))))
    });
    let pieces = std::iter::once(Ok(first)).chain(rest).map(|piece| piece.map(Bytes::from));
    (headers, Body::from_stream(futures::stream::iter(pieces))).into_response()
}

/// An answer on its way, and when the latest piece was taken.
struct Sending {
    writer: Writer,
    taken: Instant,
}

/// Watches over an answer until it is dropped.
struct Watch(AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Gives an answer up of which nothing has been taken for so long: a client that reads no further must not keep the
/// memory that others wait for.
async fn watch(sending: Weak<Mutex<Option<Sending>>>, idle_max: Duration) {
    loop {
        tokio::time::sleep(idle_max).await;
        let Some(sending) = sending.upgrade() else { return };
        let mut sending = sending.lock();
        if sending.as_ref().is_none_or(|sending| sending.taken.elapsed() >= idle_max) {
            *sending = None;
            return;
        }
    }
}

impl Writer {
    /// The next piece, which begins with `out`.
    fn piece(&mut self, mut out: Vec<u8>) -> Vec<u8> {
        while out.len() < PIECE_BYTES && !matches!(self.state, State::Done) {
            match std::mem::replace(&mut self.state, State::Done) {
                State::Series => self.next_series(&mut out),
                State::Within { series, floats, histograms } => {
                    self.go_on(series, floats, histograms, &mut out);
                }
                State::Done => {}
            }
        }
        out
    }

    fn next_series(&mut self, out: &mut Vec<u8>) {
        let Some(series) = self.series.next() else { return self.end(out) };
        if self.left.is_some_and(|left| left == 0) {
            self.warnings.push(TRUNCATED.to_owned());
            return self.end(out);
        }
        self.left = self.left.map(|left| left - 1);
        if self.written > 0 {
            out.push(b',');
        }
        self.written += 1;
        out.extend_from_slice(b"{\"metric\":");
        labels(out, &series.labels);
        if self.kind == ValueType::Matrix {
            self.go_on(series, 0, 0, out);
            return;
        }
        match series.first() {
            Some(Value::Float(value)) => {
                out.extend_from_slice(b",\"value\":");
                point(out, self.time, value);
            }
            Some(Value::Histogram(histogram)) => {
                out.extend_from_slice(b",\"histogram\":");
                value(out, &JsonHistogramPoint(self.time, &histogram));
            }
            None => {}
        }
        out.push(b'}');
        self.state = State::Series;
    }

    /// Writes points of a series until it ends or the piece is large enough.
    fn go_on(&mut self, series: SeriesPoints, floats: usize, histograms: usize, out: &mut Vec<u8>) {
        let (mut float_count, mut histogram_count) = (floats, histograms);
        let mut full = false;
        for Sample { timestamp, value } in series.floats().skip(floats) {
            out.extend_from_slice(if float_count == 0 { b",\"values\":[" } else { b"," });
            point(out, timestamp, value);
            float_count += 1;
            if out.len() >= PIECE_BYTES {
                full = true;
                break;
            }
        }
        if !full {
            if float_count > 0 && histograms == 0 {
                out.push(b']');
            }
            for (timestamp, histogram) in series.histograms().skip(histograms) {
                out.extend_from_slice(if histogram_count == 0 { b",\"histograms\":[" } else { b"," });
                value(out, &JsonHistogramPoint(timestamp, histogram));
                histogram_count += 1;
                if out.len() >= PIECE_BYTES {
                    full = true;
                    break;
                }
            }
        }
        if full {
            self.state = State::Within { series, floats: float_count, histograms: histogram_count };
            return;
        }
        if histogram_count > 0 {
            out.push(b']');
        }
        out.push(b'}');
        self.state = State::Series;
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if matches!(self.kind, ValueType::Vector | ValueType::Matrix) {
            out.push(b']');
        }
        if let Some(stats) = &self.stats {
            out.extend_from_slice(b",\"stats\":");
            value(out, stats);
        }
        out.push(b'}');
        for (name, notes) in [("warnings", &self.warnings), ("infos", &self.infos)] {
            if !notes.is_empty() {
                out.extend_from_slice(format!(",\"{name}\":").as_bytes());
                value(out, notes);
            }
        }
        out.push(b'}');
        self.state = State::Done;
    }
}

fn value(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    // Nothing that is written here can fail: keys are texts, and memory takes what is written to it.
    let _ = serde_json::to_writer(out, value);
}

fn labels(out: &mut Vec<u8>, labels: &Labels) {
    value(out, &JsonLabels(labels));
}

/// `[time,"value"]`
fn point(out: &mut Vec<u8>, time: Timestamp, value: f64) {
    out.push(b'[');
    timestamp(out, time);
    out.extend_from_slice(b",\"");
    float(out, value);
    out.extend_from_slice(b"\"]");
}

/// Seconds, with three digits for the milliseconds where there are any.
fn timestamp(out: &mut Vec<u8>, time: Timestamp) {
    let millis = time.millis();
    if millis < 0 {
        out.push(b'-');
    }
    let (seconds, rest) = (millis.unsigned_abs() / 1000, millis.unsigned_abs() % 1000);
    whole(out, seconds);
    if rest != 0 {
        let digit = |unit: u64| b'0' + (rest / unit % 10) as u8;
        out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
    }
}

fn whole(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// As [`promql::format_float`], without a text in between for nearly all values.
fn float(out: &mut Vec<u8>, value: f64) {
    /// Below it every whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT && (value != 0.0 || value.is_sign_positive()) {
        if value < 0.0 {
            out.push(b'-');
        }
        return whole(out, value.abs() as u64);
    }
    // Within these bounds the crate writes the shortest digits without an exponent, as is done here; for whole numbers,
    // which are gone by now, it would add a `.0`.
    if (1e-4..1e15).contains(&value.abs()) {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
        return;
    }
    out.extend_from_slice(promql::format_float(value).as_bytes());
}

#[cfg(test)]
mod tests;
