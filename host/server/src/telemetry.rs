//! The server seen from outside: log lines to standard error, and its own spans into its own trace store.
//!
//! Spans begin before the store is open (start-up is worth tracing too), so that the exporter is given the store
//! later. Nothing on the export path opens a span: exporting would otherwise feed itself.

pub(crate) mod forward;
mod logfmt;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::span::{
    Attribute, AttributeValue, Resource, Scope, Span, SpanEvent, SpanKind, SpanLink, StatusCode,
};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::cli::{LogFormat, LogLevel};

/// Where finished spans go.
pub(crate) type SpanSink = Box<dyn Fn(Vec<Span>) -> Result<(), String> + Send + Sync>;

/// Our own crates; only their spans are traced, or every HTTP client and server library would fill the store.
const TRACED: [&str; 9] =
    ["stormglass", "alerting", "formats", "plugin", "promql", "scrape", "server", "traces", "tsdb"];

/// Logging and tracing of this process.
pub(crate) struct Telemetry {
    sink: Arc<OnceLock<SpanSink>>,
    provider: SdkTracerProvider,
}

impl Telemetry {
    /// Starts both; call once, first of all.
    pub(crate) fn start(level: LogLevel, format: LogFormat) -> Self {
        let sink = Arc::new(OnceLock::new());
        let resource = opentelemetry_sdk::Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", "stormglass"),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("process.pid", i64::from(std::process::id())),
            ])
            .build();
        let exporter = StoreExporter { sink: Arc::clone(&sink), resource: Arc::default() };
        let provider =
            SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
        let spans = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("stormglass"))
            .with_threads(false)
            .with_location(false)
            .with_filter(Targets::new().with_targets(TRACED.map(|target| (target, LevelFilter::INFO))));
        let lines = match format {
            LogFormat::Logfmt => {
                fmt::layer().with_writer(std::io::stderr).event_format(logfmt::Logfmt).boxed()
            }
            LogFormat::Json => fmt::layer().with_writer(std::io::stderr).json().boxed(),
        };
        let level = match level {
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Error => LevelFilter::ERROR,
        };
        // Libraries speak up only where something is wrong; their chatter is nobody's help.
        let chosen = Targets::new()
            .with_default(LevelFilter::WARN.min(level))
            .with_targets(TRACED.map(|target| (target, level)));
        tracing_subscriber::registry().with(lines.with_filter(chosen)).with(spans).init();
        Self { sink, provider }
    }

    /// Gives finished spans a place to go; earlier ones that are still waiting go there too.
    pub(crate) fn export_to(&self, sink: SpanSink) {
        // A second store cannot come up within one process, so the first one stays.
        let _ = self.sink.set(sink);
    }

    /// Hands on what is still waiting, before the store closes.
    pub(crate) fn flush(&self) {
        if let Err(error) = self.provider.force_flush() {
            tracing::warn!(%error, "the server's own last spans were not stored");
        }
    }
}

/// Turns finished spans into the model's and hands them to the store.
struct StoreExporter {
    sink: Arc<OnceLock<SpanSink>>,
    resource: Arc<Resource>,
}

impl std::fmt::Debug for StoreExporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreExporter").finish_non_exhaustive()
    }
}

impl SpanExporter for StoreExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let Some(sink) = self.sink.get() else {
            return Err(OTelSdkError::InternalFailure("the trace store is not open yet".to_owned()));
        };
        let spans = batch.into_iter().map(|data| to_model(data, &self.resource)).collect();
        sink(spans).map_err(OTelSdkError::InternalFailure)
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn set_resource(&mut self, resource: &opentelemetry_sdk::Resource) {
        let mut attributes: Vec<Attribute> =
            resource.iter().map(|(key, value)| attribute(key.as_str(), value.clone())).collect();
        attributes.sort_by(|a, b| a.key.cmp(&b.key));
        self.resource = Arc::new(Resource { attributes });
    }
}

fn to_model(data: SpanData, resource: &Arc<Resource>) -> Span {
    let (status, status_message) = match data.status {
        opentelemetry::trace::Status::Unset => (StatusCode::Unset, String::new()),
        opentelemetry::trace::Status::Ok => (StatusCode::Ok, String::new()),
        opentelemetry::trace::Status::Error { description } => (StatusCode::Error, description.into_owned()),
    };
    let kind = match data.span_kind {
        opentelemetry::trace::SpanKind::Internal => SpanKind::Internal,
        opentelemetry::trace::SpanKind::Server => SpanKind::Server,
        opentelemetry::trace::SpanKind::Client => SpanKind::Client,
        opentelemetry::trace::SpanKind::Producer => SpanKind::Producer,
        opentelemetry::trace::SpanKind::Consumer => SpanKind::Consumer,
    };
    Span {
        trace_id: model::span::TraceId(data.span_context.trace_id().to_bytes()),
        span_id: model::span::SpanId(data.span_context.span_id().to_bytes()),
        parent_span_id: model::span::SpanId(data.parent_span_id.to_bytes()),
        trace_state: data.span_context.trace_state().header(),
        flags: u32::from(data.span_context.trace_flags().to_u8()),
        name: data.name.into_owned(),
        kind,
        start_unix_nanos: nanos(data.start_time),
        end_unix_nanos: nanos(data.end_time),
        attributes: attributes(data.attributes),
        events: data
            .events
            .events
            .into_iter()
            .map(|event| SpanEvent {
                time_unix_nanos: nanos(event.timestamp),
                name: event.name.into_owned(),
                attributes: attributes(event.attributes),
            })
            .collect(),
        links: data
            .links
            .links
            .into_iter()
            .map(|link| SpanLink {
                trace_id: model::span::TraceId(link.span_context.trace_id().to_bytes()),
                span_id: model::span::SpanId(link.span_context.span_id().to_bytes()),
                trace_state: link.span_context.trace_state().header(),
                attributes: attributes(link.attributes),
            })
            .collect(),
        status,
        status_message,
        resource: Arc::clone(resource),
        scope: Arc::new(Scope {
            name: data.instrumentation_scope.name().to_owned(),
            version: data.instrumentation_scope.version().unwrap_or_default().to_owned(),
            attributes: Vec::new(),
        }),
    }
}

fn nanos(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

fn attributes(pairs: Vec<KeyValue>) -> Vec<Attribute> {
    pairs.into_iter().map(|pair| attribute(pair.key.as_str(), pair.value)).collect()
}

fn attribute(key: &str, value: Value) -> Attribute {
    let value = match value {
        Value::Bool(value) => AttributeValue::Bool(value),
        Value::I64(value) => AttributeValue::Int(value),
        Value::F64(value) => AttributeValue::Double(value),
        Value::String(value) => AttributeValue::String(value.into()),
        Value::Array(array) => AttributeValue::Array(match array {
            Array::Bool(values) => values.into_iter().map(AttributeValue::Bool).collect(),
            Array::I64(values) => values.into_iter().map(AttributeValue::Int).collect(),
            Array::F64(values) => values.into_iter().map(AttributeValue::Double).collect(),
            Array::String(values) => {
                values.into_iter().map(|value| AttributeValue::String(value.into())).collect()
            }
            other => vec![AttributeValue::String(other.to_string())],
        }),
        other => AttributeValue::String(other.to_string()),
    };
    Attribute { key: key.to_owned(), value }
}
