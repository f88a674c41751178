//! OTLP over gRPC: two unary methods. Messages pass through as bytes, so that they are decoded in one place for
//! all transports.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware;
use axum::response::Response;
use axum::routing::post;
use bytes::{Buf as _, BufMut as _, Bytes};
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::Grpc;
use tonic::{Code, Status};

use formats::otlp::Encoding;
use formats::otlp::response::Signal;

use super::{BODY_BYTES_MAX, ExportError, Receiver};
use crate::api::admission::{Admission, admit};

/// The methods of OTLP's two services.
pub(crate) fn router(receiver: Arc<Receiver>, pushes: Admission) -> Router {
    Router::new()
        .route("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", post(metrics))
        .route("/opentelemetry.proto.collector.trace.v1.TraceService/Export", post(traces))
        .fallback(async || Status::unimplemented("no such method").into_http::<axum::body::Body>())
        // What HTTP says with 503 is UNAVAILABLE to a client of gRPC, which is worth another try.
        .layer(middleware::from_fn_with_state(pushes, admit))
        .with_state(receiver)
}

async fn metrics(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    export(receiver, Signal::Metrics, request).await
}

async fn traces(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    export(receiver, Signal::Traces, request).await
}

async fn export(receiver: Arc<Receiver>, signal: Signal, request: Request) -> Response {
    let service = tower::service_fn(move |message: tonic::Request<Bytes>| {
        let receiver = Arc::clone(&receiver);
        async move {
            let body = message.into_inner();
            match receiver.export(signal, Encoding::Protobuf, body).await {
                Ok(answer) => Ok(tonic::Response::new(Bytes::from(answer))),
                Err(error) => Err(status(&error)),
            }
        }
    });
    Grpc::new(RawCodec)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(BODY_BYTES_MAX)
        .unary(service, request)
        .await
        .map(axum::body::Body::new)
}

/// OTLP's rule for clients: unavailable is worth another try, the rest is not.
fn status(error: &ExportError) -> Status {
    let code = match error {
        ExportError::Malformed(_) => Code::InvalidArgument,
        ExportError::TooLarge(_) => Code::ResourceExhausted,
        ExportError::Unavailable(_) => Code::Unavailable,
    };
    Status::new(code, error.to_string())
}

/// Messages as the bytes they are.
#[derive(Debug, Clone, Copy, Default)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}
