//! An application that sends OTLP with the OpenTelemetry SDK, over gRPC and compressed, as real ones do.

use std::time::Duration;

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::{Span as _, SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{
    Compression, MetricExporter, SpanExporter, WithExportConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;

fn resource() -> Resource {
    Resource::builder_empty().with_service_name("sdk-shop").build()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Sends one trace of two spans; gives its id.
pub(super) fn send_trace(port: u16) -> String {
    let runtime = runtime();
    let _entered = runtime.enter();
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(format!("http://127.0.0.1:{port}"))
        .with_compression(Compression::Gzip)
        .with_timeout(Duration::from_secs(10))
        .build()
        .unwrap();
    let provider =
        SdkTracerProvider::builder().with_resource(resource()).with_batch_exporter(exporter).build();
    let tracer = provider.tracer("tests");
    let mut root = tracer.span_builder("checkout").with_kind(SpanKind::Server).start(&tracer);
    root.set_attribute(KeyValue::new("http.response.status_code", 200));
    let trace_id = root.span_context().trace_id().to_string();
    let context = Context::new().with_span(root);
    let mut child =
        tracer.span_builder("charge card").with_kind(SpanKind::Client).start_with_context(&tracer, &context);
    child.end();
    context.span().end();
    // Shutting down exports what is waiting, and fails where the server has not taken it.
    provider.shutdown().unwrap();
    trace_id
}

/// Sends one counter at 3.
pub(super) fn send_metrics(port: u16) {
    let runtime = runtime();
    let _entered = runtime.enter();
    let exporter = MetricExporter::builder()
        .with_tonic()
        .with_endpoint(format!("http://127.0.0.1:{port}"))
        .with_compression(Compression::Gzip)
        .with_timeout(Duration::from_secs(10))
        .build()
        .unwrap();
    let provider =
        SdkMeterProvider::builder().with_resource(resource()).with_periodic_exporter(exporter).build();
    provider.meter("tests").u64_counter("sdk.orders").build().add(3, &[]);
    provider.shutdown().unwrap();
}
