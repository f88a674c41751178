//! The answer to a query as JSON, written while it is sent.
//!
//! A body is made of pieces of about [`PIECE_BYTES`], each written when the connection has taken the one before; what a
//! series held goes back to the pool as soon as it is written. So an answer is in memory once, as numbers, and never as
//! a whole in text. Times and values are written as Prometheus writes them.
//!
//! Of large answers a few pieces are written ahead, by as many threads as there are processors: a point takes longer to
//! be written than to be computed.

mod text;

use std::io;
use std::num::NonZero;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt as _;
use model::{Sample, Timestamp, Value};
use parking_lot::Mutex;
use promql::{Answer, AnswerSeries, SeriesPoints, ValueType};
use tokio::task::AbortHandle;

use self::text::{StepTexts, labels, point, timestamp, value};
use super::value::JsonHistogramPoint;
use crate::queries::stats;

/// A piece is handed on when it is at least this large: large enough that little is spent on handing on, small enough
/// that nobody notices it in memory.
const PIECE_BYTES: usize = 64 << 10;

/// An answer of more points than this is written ahead. Fewer are written before another thread has woken up.
const AHEAD_POINTS: usize = 16 << 10;

/// So many points are a piece that is written ahead: about twice [`PIECE_BYTES`].
const BATCH_POINTS: usize = 4 << 10;

/// What most points take at the most: ten digits of a time, 17 of a value, and what stands between.
const POINT_BYTES: usize = 36;

/// For so many points counts what is written of a series beside them.
const SERIES_POINTS: usize = 4;

/// Pieces that are written ahead at the most; more than this are no faster than a connection.
const AHEAD_MAX: usize = 8;

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
    series: AnswerSeries,
    form: Form,
    /// How many series may still be written.
    left: Option<usize>,
    /// Whether there were more.
    truncated: bool,
    written: usize,
    warnings: Vec<String>,
    infos: Vec<String>,
    stats: Option<serde_json::Value>,
}

/// How series are written.
#[derive(Clone)]
struct Form {
    kind: ValueType,
    /// The time of a vector.
    time: Timestamp,
    /// Those of a matrix.
    steps: Arc<StepTexts>,
}

enum State {
    Series,
    /// A series of which nothing is written.
    Next {
        series: SeriesPoints,
    },
    /// A series of which so many floats and histograms are written.
    Within {
        series: SeriesPoints,
        floats: usize,
        histograms: usize,
    },
    Done,
}

/// What is to be written next.
enum Job {
    Text(Vec<u8>),
    /// Series that a thread of its own may write.
    Batch(Batch),
}

/// Some series of floats.
struct Batch {
    series: Vec<SeriesPoints>,
    points: usize,
    form: Form,
    /// Whether the answer has series before.
    follows: bool,
}

/// The response to a query that was answered,
/// in which the connection takes at least a piece in every `idle_max`; else the rest is given up, and what it holds goes
/// back to the pool.
pub(super) fn respond(mut answer: Answer, wanted: Wanted, idle_max: Duration) -> Response {
    let kind = answer.value_type();
    let stats = wanted.stats.then(|| stats::to_json(&answer.stats));
    let (warnings, infos) = (std::mem::take(&mut answer.warnings), std::mem::take(&mut answer.infos));
    let head = head_of(&answer);
    let steps = match kind {
        ValueType::Matrix => answer.step_times().count(),
        _ => 1,
    };
    // Samples as they are stored have no steps, and a series of them may have any number.
    let ahead = steps > 0 && answer.series_count().saturating_mul(steps + SERIES_POINTS) > AHEAD_POINTS;
    let form = Form { kind, time: answer.time(), steps: Arc::new(StepTexts::new(answer.step_times())) };
    let mut writer = Writer {
        state: State::Series,
        series: answer.into_series(),
        form,
        left: wanted.limit,
        truncated: false,
        written: 0,
        warnings,
        infos,
        stats,
    };
    let first = if ahead { head } else { writer.piece(head) };
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
        if matches!(writer.state, State::Done) {
            return None;
        }
        Some(Ok(if ahead { writer.job() } else { Job::Text(writer.piece(piece())) }))
    });
    let jobs = std::iter::once(Ok(Job::Text(first))).chain(rest);
    let texts = futures::stream::iter(jobs).map(async |job| match job? {
        Job::Text(text) => Ok(Bytes::from(text)),
        Job::Batch(batch) => {
            let written = tokio::task::spawn_blocking(move || Bytes::from(batch.write()));
            written.await.map_err(io::Error::other)
        }
    });
    let at_once = if ahead { pieces_ahead() } else { 1 };
    (headers, Body::from_stream(texts.buffered(at_once))).into_response()
}

/// How many pieces are written at once and wait: one for each processor, and one on its way.
fn pieces_ahead() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get).saturating_add(1).min(AHEAD_MAX)
}

fn piece() -> Vec<u8> {
    Vec::with_capacity(PIECE_BYTES + 4096)
}

/// All that comes before the first series.
fn head_of(answer: &Answer) -> Vec<u8> {
    let mut head = Vec::with_capacity(256);
    head.extend_from_slice(b"{\"status\":\"success\",\"data\":{\"resultType\":\"");
    head.extend_from_slice(match answer.value_type() {
        ValueType::Scalar => b"scalar\",\"result\":".as_slice(),
        ValueType::String => b"string\",\"result\":",
        ValueType::Vector => b"vector\",\"result\":[",
        ValueType::Matrix => b"matrix\",\"result\":[",
    });
    match (answer.scalar(), answer.string()) {
        (Some(value), _) => point(&mut head, answer.time(), value),
        (_, Some(text)) => {
            head.push(b'[');
            timestamp(&mut head, answer.time());
            head.push(b',');
            value(&mut head, text);
            head.push(b']');
        }
        _ => {}
    }
    head
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

impl Form {
    /// A series with a sample, or one of floats alone.
    fn series(&self, out: &mut Vec<u8>, series: &SeriesPoints) {
        metric(out, series);
        if self.kind == ValueType::Matrix {
            self.steps.floats(out, series);
        } else {
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
        }
        out.push(b'}');
    }
}

fn metric(out: &mut Vec<u8>, series: &SeriesPoints) {
    out.extend_from_slice(b"{\"metric\":");
    labels(out, &series.labels);
}

impl Batch {
    fn write(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.points * POINT_BYTES);
        for (index, series) in self.series.into_iter().enumerate() {
            if self.follows || index > 0 {
                out.push(b',');
            }
            self.form.series(&mut out, &series);
        }
        out
    }
}

impl Writer {
    /// The next piece, which begins with `out`.
    fn piece(&mut self, mut out: Vec<u8>) -> Vec<u8> {
        while out.len() < PIECE_BYTES && !matches!(self.state, State::Done) {
            match std::mem::replace(&mut self.state, State::Done) {
                State::Series => match self.take_series() {
                    Some(series) => self.begin(series, &mut out),
                    None => self.end(&mut out),
                },
                State::Next { series } => self.begin(series, &mut out),
                State::Within { series, floats, histograms } => {
                    self.go_on(series, floats, histograms, &mut out);
                }
                State::Done => {}
            }
        }
        out
    }

    /// What another thread may write, else a piece.
    fn job(&mut self) -> Job {
        let (mut series, mut points) = (Vec::new(), 0);
        let follows = self.written > 0;
        while points < BATCH_POINTS && matches!(self.state, State::Series) {
            // The end is a piece of its own.
            let Some(next) = self.take_series() else { break };
            if next.is_plain() {
                points += next.floats_by_step().count() + SERIES_POINTS;
                series.push(next);
            } else {
                // Histograms may take any number of pieces.
                self.state = State::Next { series: next };
            }
        }
        if series.is_empty() {
            return Job::Text(self.piece(piece()));
        }
        let form = self.form.clone();
        Job::Batch(Batch { series, points, form, follows })
    }

    /// The next series, as long as there are any and the limit is not reached.
    fn take_series(&mut self) -> Option<SeriesPoints> {
        if self.truncated {
            return None;
        }
        let series = self.series.next()?;
        if self.left.is_some_and(|left| left == 0) {
            self.truncated = true;
            self.warnings.push(TRUNCATED.to_owned());
            return None;
        }
        self.left = self.left.map(|left| left - 1);
        self.written += 1;
        Some(series)
    }

    fn begin(&mut self, series: SeriesPoints, out: &mut Vec<u8>) {
        if self.written > 1 {
            out.push(b',');
        }
        if self.form.kind == ValueType::Vector || series.is_plain() {
            self.form.series(out, &series);
            self.state = State::Series;
        } else {
            metric(out, &series);
            self.go_on(series, 0, 0, out);
        }
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
        if matches!(self.form.kind, ValueType::Vector | ValueType::Matrix) {
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

#[cfg(test)]
mod tests;
