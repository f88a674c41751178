//! Remote read: what other servers ask for as a whole, to evaluate their own queries on it.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use formats::remote_read::{self, Limits, ReadQuery, ReadRequest, ReadSeries};
use futures::stream;
use model::{Labels, MatchOp, Matcher, Sample};
use promql::read::{Columns, ReadError, Select, SeriesReader, Storage as _};
use storage::Storage;
use tokio::sync::mpsc;

use super::blocking::blocking;
use crate::app::App;

/// A question names some series; what is larger is none.
const LIMITS: Limits = Limits { decompressed_bytes_max: 8 << 20 };

/// Frames that wait for a client, a megabyte each; then reading waits for it too.
const FRAMES_MAX: usize = 4;

const PROTOBUF: &str = "application/x-protobuf";
const STREAM: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

/// Why a question has no answer.
enum ReadFailed {
    /// The same question will not do better.
    Refused(String),
    Storage(ReadError),
}

impl From<ReadError> for ReadFailed {
    fn from(error: ReadError) -> Self {
        Self::Storage(error)
    }
}

impl IntoResponse for ReadFailed {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(what) => (StatusCode::BAD_REQUEST, what).into_response(),
            Self::Storage(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}

/// Answers all queries of a question. Chunks in a stream are sent while they are read; an error after the first of them
/// breaks the connection, so that no part of an answer is taken for the whole.
pub(super) async fn remote_read(State(app): State<Arc<App>>, body: Bytes) -> Response {
    let request = match ReadRequest::decode(&body, &LIMITS) {
        Ok(request) => request,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    // Those beyond wait, as in Prometheus: a client asks only once.
    let Ok(place) = Arc::clone(&app.reads).acquire_owned().await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "the server stops").into_response();
    };
    let question = Question {
        storage: app.storage.clone(),
        external_labels: app.config().global.external_labels.clone(),
        samples_max: app.args.remote_read_samples,
        frame_bytes: app.args.remote_read_frame_bytes,
        request,
    };
    if question.request.accepts_chunks {
        let (sender, receiver) = mpsc::channel(FRAMES_MAX);
        // The place goes with the reading, which ends when the client has gone.
        tokio::task::spawn_blocking(move || {
            let _place = place;
            question.stream(&sender);
        });
        return stream_response(receiver).await;
    }
    let answer = blocking(move || {
        let _place = place;
        question.samples().map(|results| remote_read::encode_samples(&results))
    });
    match answer.await {
        Ok(Ok(body)) => {
            ([(header::CONTENT_TYPE, PROTOBUF), (header::CONTENT_ENCODING, "snappy")], body).into_response()
        }
        Ok(Err(error)) => error.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// What comes of a stream until its first frame is known; then the status can still say what is wrong.
async fn stream_response(mut frames: mpsc::Receiver<Result<Bytes, ReadFailed>>) -> Response {
    let first = match frames.recv().await {
        Some(Err(error)) => return error.into_response(),
        Some(Ok(first)) => Some(first),
        None => None,
    };
    let rest = stream::unfold((first, frames), |(first, mut frames)| async move {
        let next = match first {
            Some(first) => Some(Ok(first)),
            None => frames.recv().await.map(|frame| {
                frame.map_err(|error| match error {
                    ReadFailed::Refused(what) => io::Error::other(what),
                    ReadFailed::Storage(error) => io::Error::other(error),
                })
            }),
        };
        next.map(|next| (next, (None, frames)))
    });
    ([(header::CONTENT_TYPE, STREAM)], Body::from_stream(rest)).into_response()
}

/// A series under the name that it has outside of this server.
type Named = (Labels, Box<dyn SeriesReader>);

/// A question, and what it is answered from.
struct Question {
    storage: Storage,
    external_labels: Labels,
    samples_max: u64,
    /// Of one frame of a stream, about.
    frame_bytes: usize,
    request: ReadRequest,
}

impl Question {
    /// The series of a query, with the names that they have outside of this server, in their order.
    fn select(&self, query: &ReadQuery) -> Result<Vec<Named>, ReadFailed> {
        // What every series has outside, none has here.
        let external = |matcher: &&Matcher| {
            matcher.op() == MatchOp::Equal
                && self.external_labels.get(matcher.name()) == Some(matcher.value())
        };
        let matchers: Vec<Matcher> = query.matchers.iter().filter(|m| !external(m)).cloned().collect();
        let select = Select { matchers: &matchers, start: query.start, end: query.end, step_ms: None };
        let named = self.storage.select(&select)?.into_iter().map(|series| {
            let mut labels = series.labels().to_builder();
            for (name, value) in &self.external_labels {
                if series.labels().get(name).is_none() {
                    labels.set(name, value);
                }
            }
            (labels.build(), series)
        });
        let mut named: Vec<_> = named.collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(named)
    }

    /// Hands over each series with its samples.
    fn read(
        &self,
        query: &ReadQuery,
        mut each: impl FnMut(ReadSeries) -> Result<(), ReadFailed>,
    ) -> Result<(), ReadFailed> {
        let mut columns = Columns::default();
        for (labels, series) in self.select(query)? {
            columns.clear();
            series.read(query.start, query.end, &mut columns)?;
            if columns.sample_count() == 0 {
                continue;
            }
            let floats = columns.timestamps.iter().zip(&columns.values);
            each(ReadSeries {
                labels,
                samples: floats.map(|(time, value)| Sample { timestamp: *time, value: *value }).collect(),
                histograms: columns.histograms.clone(),
            })?;
        }
        Ok(())
    }

    fn samples(&self) -> Result<Vec<Vec<ReadSeries>>, ReadFailed> {
        let mut left = self.samples_max;
        let result = |query: &ReadQuery| {
            let mut all = Vec::new();
            self.read(query, |series| {
                let count = (series.samples.len() + series.histograms.len()) as u64;
                left = left.checked_sub(count).ok_or_else(|| {
                    ReadFailed::Refused(format!("exceeded sample limit ({})", self.samples_max))
                })?;
                all.push(series);
                Ok(())
            })?;
            Ok(all)
        };
        self.request.queries.iter().map(result).collect()
    }

    fn stream(&self, frames: &mpsc::Sender<Result<Bytes, ReadFailed>>) {
        for (number, query) in self.request.queries.iter().enumerate() {
            let sent = self.read(query, |series| {
                let mut out = Vec::new();
                remote_read::put_frames(&mut out, number, &series, self.frame_bytes);
                // A client that has gone needs no more; its stream ends with the channel.
                frames
                    .blocking_send(Ok(out.into()))
                    .map_err(|_| ReadFailed::Refused("client has gone".to_owned()))
            });
            if let Err(error) = sent {
                let _ = frames.blocking_send(Err(error));
                return;
            }
        }
    }
}
