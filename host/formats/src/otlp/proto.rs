//! The messages of opentelemetry-proto 1.x, with only the fields that are used here.
//!
//! A `oneof` is declared as one optional field for each of its cases: the bytes are the same, and it reads from
//! OTLP's JSON without special treatment. That JSON is what the serde attributes describe: names in
//! lowerCamelCase, ids in hexadecimal, 64-bit integers as texts or numbers, unknown fields ignored.

use prost::Message;
use serde::Deserialize;

use super::json;

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_attribute:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Message, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub(crate) struct $name { $($(#[$field_attribute])* pub(crate) $field: $type,)* }
    )*};
}

messages! {
    // opentelemetry.proto.collector.{metrics,trace}.v1

    /// Also `MetricsData`, which has the same shape.
    ExportMetricsServiceRequest {
        #[prost(message, repeated, tag = "1")]
        resource_metrics: Vec<ResourceMetrics>,
    }

    /// Also `TracesData`, and Tempo's `Trace`, whose field is called `batches`.
    ExportTraceServiceRequest {
        #[prost(message, repeated, tag = "1")]
        #[serde(alias = "batches")]
        resource_spans: Vec<ResourceSpans>,
    }

    // opentelemetry.proto.common.v1 and resource.v1

    Resource {
        #[prost(message, repeated, tag = "1")]
        attributes: Vec<KeyValue>,
    }

    InstrumentationScope {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "2")]
        version: String,
        #[prost(message, repeated, tag = "3")]
        attributes: Vec<KeyValue>,
    }

    KeyValue {
        #[prost(string, tag = "1")]
        key: String,
        #[prost(message, optional, tag = "2")]
        value: Option<AnyValue>,
    }

    AnyValue {
        #[prost(string, optional, tag = "1")]
        string_value: Option<String>,
        #[prost(bool, optional, tag = "2")]
        bool_value: Option<bool>,
        #[prost(int64, optional, tag = "3")]
        #[serde(deserialize_with = "json::some_i64")]
        int_value: Option<i64>,
        #[prost(double, optional, tag = "4")]
        #[serde(deserialize_with = "json::some_f64")]
        double_value: Option<f64>,
        #[prost(message, optional, tag = "5")]
        array_value: Option<ArrayValue>,
        #[prost(message, optional, tag = "6")]
        kvlist_value: Option<KeyValueList>,
        #[prost(bytes = "vec", optional, tag = "7")]
        #[serde(deserialize_with = "json::some_base64")]
        bytes_value: Option<Vec<u8>>,
    }

    ArrayValue {
        #[prost(message, repeated, tag = "1")]
        values: Vec<AnyValue>,
    }

    KeyValueList {
        #[prost(message, repeated, tag = "1")]
        values: Vec<KeyValue>,
    }

    // opentelemetry.proto.metrics.v1

    ResourceMetrics {
        #[prost(message, optional, tag = "1")]
        resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        scope_metrics: Vec<ScopeMetrics>,
    }

    ScopeMetrics {
        #[prost(message, optional, tag = "1")]
        scope: Option<InstrumentationScope>,
        #[prost(message, repeated, tag = "2")]
        metrics: Vec<Metric>,
        #[prost(string, tag = "3")]
        schema_url: String,
    }

    Metric {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "2")]
        description: String,
        #[prost(string, tag = "3")]
        unit: String,
        #[prost(message, optional, tag = "5")]
        gauge: Option<Gauge>,
        #[prost(message, optional, tag = "7")]
        sum: Option<Sum>,
        #[prost(message, optional, tag = "9")]
        histogram: Option<Histogram>,
        #[prost(message, optional, tag = "10")]
        exponential_histogram: Option<ExponentialHistogram>,
        #[prost(message, optional, tag = "11")]
        summary: Option<Summary>,
    }

    Gauge {
        #[prost(message, repeated, tag = "1")]
        data_points: Vec<NumberDataPoint>,
    }

    Sum {
        #[prost(message, repeated, tag = "1")]
        data_points: Vec<NumberDataPoint>,
        #[prost(int32, tag = "2")]
        #[serde(deserialize_with = "json::temporality")]
        aggregation_temporality: i32,
        #[prost(bool, tag = "3")]
        is_monotonic: bool,
    }

    Histogram {
        #[prost(message, repeated, tag = "1")]
        data_points: Vec<HistogramDataPoint>,
        #[prost(int32, tag = "2")]
        #[serde(deserialize_with = "json::temporality")]
        aggregation_temporality: i32,
    }

    ExponentialHistogram {
        #[prost(message, repeated, tag = "1")]
        data_points: Vec<ExponentialHistogramDataPoint>,
        #[prost(int32, tag = "2")]
        #[serde(deserialize_with = "json::temporality")]
        aggregation_temporality: i32,
    }

    Summary {
        #[prost(message, repeated, tag = "1")]
        data_points: Vec<SummaryDataPoint>,
    }

    NumberDataPoint {
        #[prost(fixed64, tag = "2")]
        #[serde(deserialize_with = "json::u64")]
        start_time_unix_nano: u64,
        #[prost(fixed64, tag = "3")]
        #[serde(deserialize_with = "json::u64")]
        time_unix_nano: u64,
        #[prost(double, optional, tag = "4")]
        #[serde(deserialize_with = "json::some_f64")]
        as_double: Option<f64>,
        #[prost(message, repeated, tag = "5")]
        exemplars: Vec<Exemplar>,
        #[prost(sfixed64, optional, tag = "6")]
        #[serde(deserialize_with = "json::some_i64")]
        as_int: Option<i64>,
        #[prost(message, repeated, tag = "7")]
        attributes: Vec<KeyValue>,
        #[prost(uint32, tag = "8")]
        flags: u32,
    }

    HistogramDataPoint {
        #[prost(fixed64, tag = "2")]
        #[serde(deserialize_with = "json::u64")]
        start_time_unix_nano: u64,
        #[prost(fixed64, tag = "3")]
        #[serde(deserialize_with = "json::u64")]
        time_unix_nano: u64,
        #[prost(fixed64, tag = "4")]
        #[serde(deserialize_with = "json::u64")]
        count: u64,
        #[prost(double, optional, tag = "5")]
        #[serde(deserialize_with = "json::some_f64")]
        sum: Option<f64>,
        #[prost(fixed64, repeated, tag = "6")]
        #[serde(deserialize_with = "json::vec_u64")]
        bucket_counts: Vec<u64>,
        #[prost(double, repeated, tag = "7")]
        #[serde(deserialize_with = "json::vec_f64")]
        explicit_bounds: Vec<f64>,
        #[prost(message, repeated, tag = "8")]
        exemplars: Vec<Exemplar>,
        #[prost(message, repeated, tag = "9")]
        attributes: Vec<KeyValue>,
        #[prost(uint32, tag = "10")]
        flags: u32,
    }

    ExponentialHistogramDataPoint {
        #[prost(message, repeated, tag = "1")]
        attributes: Vec<KeyValue>,
        #[prost(fixed64, tag = "2")]
        #[serde(deserialize_with = "json::u64")]
        start_time_unix_nano: u64,
        #[prost(fixed64, tag = "3")]
        #[serde(deserialize_with = "json::u64")]
        time_unix_nano: u64,
        #[prost(fixed64, tag = "4")]
        #[serde(deserialize_with = "json::u64")]
        count: u64,
        #[prost(double, optional, tag = "5")]
        #[serde(deserialize_with = "json::some_f64")]
        sum: Option<f64>,
        #[prost(sint32, tag = "6")]
        scale: i32,
        #[prost(fixed64, tag = "7")]
        #[serde(deserialize_with = "json::u64")]
        zero_count: u64,
        #[prost(message, optional, tag = "8")]
        positive: Option<ExponentialBuckets>,
        #[prost(message, optional, tag = "9")]
        negative: Option<ExponentialBuckets>,
        #[prost(uint32, tag = "10")]
        flags: u32,
        #[prost(message, repeated, tag = "11")]
        exemplars: Vec<Exemplar>,
        #[prost(double, tag = "14")]
        #[serde(deserialize_with = "json::f64")]
        zero_threshold: f64,
    }

    /// `ExponentialHistogramDataPoint.Buckets`.
    ExponentialBuckets {
        #[prost(sint32, tag = "1")]
        offset: i32,
        #[prost(uint64, repeated, tag = "2")]
        #[serde(deserialize_with = "json::vec_u64")]
        bucket_counts: Vec<u64>,
    }

    SummaryDataPoint {
        #[prost(fixed64, tag = "2")]
        #[serde(deserialize_with = "json::u64")]
        start_time_unix_nano: u64,
        #[prost(fixed64, tag = "3")]
        #[serde(deserialize_with = "json::u64")]
        time_unix_nano: u64,
        #[prost(fixed64, tag = "4")]
        #[serde(deserialize_with = "json::u64")]
        count: u64,
        #[prost(double, tag = "5")]
        #[serde(deserialize_with = "json::f64")]
        sum: f64,
        #[prost(message, repeated, tag = "6")]
        quantile_values: Vec<ValueAtQuantile>,
        #[prost(message, repeated, tag = "7")]
        attributes: Vec<KeyValue>,
        #[prost(uint32, tag = "8")]
        flags: u32,
    }

    /// `SummaryDataPoint.ValueAtQuantile`.
    ValueAtQuantile {
        #[prost(double, tag = "1")]
        #[serde(deserialize_with = "json::f64")]
        quantile: f64,
        #[prost(double, tag = "2")]
        #[serde(deserialize_with = "json::f64")]
        value: f64,
    }

    Exemplar {
        #[prost(fixed64, tag = "2")]
        #[serde(deserialize_with = "json::u64")]
        time_unix_nano: u64,
        #[prost(double, optional, tag = "3")]
        #[serde(deserialize_with = "json::some_f64")]
        as_double: Option<f64>,
        #[prost(bytes = "vec", tag = "4")]
        #[serde(deserialize_with = "json::hex")]
        span_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "5")]
        #[serde(deserialize_with = "json::hex")]
        trace_id: Vec<u8>,
        #[prost(sfixed64, optional, tag = "6")]
        #[serde(deserialize_with = "json::some_i64")]
        as_int: Option<i64>,
        #[prost(message, repeated, tag = "7")]
        filtered_attributes: Vec<KeyValue>,
    }

    // opentelemetry.proto.trace.v1

    ResourceSpans {
        #[prost(message, optional, tag = "1")]
        resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        scope_spans: Vec<ScopeSpans>,
    }

    ScopeSpans {
        #[prost(message, optional, tag = "1")]
        scope: Option<InstrumentationScope>,
        #[prost(message, repeated, tag = "2")]
        spans: Vec<Span>,
    }

    Span {
        #[prost(bytes = "vec", tag = "1")]
        #[serde(deserialize_with = "json::hex")]
        trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        #[serde(deserialize_with = "json::hex")]
        span_id: Vec<u8>,
        #[prost(string, tag = "3")]
        trace_state: String,
        #[prost(bytes = "vec", tag = "4")]
        #[serde(deserialize_with = "json::hex")]
        parent_span_id: Vec<u8>,
        #[prost(string, tag = "5")]
        name: String,
        #[prost(int32, tag = "6")]
        #[serde(deserialize_with = "json::span_kind")]
        kind: i32,
        #[prost(fixed64, tag = "7")]
        #[serde(deserialize_with = "json::u64")]
        start_time_unix_nano: u64,
        #[prost(fixed64, tag = "8")]
        #[serde(deserialize_with = "json::u64")]
        end_time_unix_nano: u64,
        #[prost(message, repeated, tag = "9")]
        attributes: Vec<KeyValue>,
        #[prost(message, repeated, tag = "11")]
        events: Vec<Event>,
        #[prost(message, repeated, tag = "13")]
        links: Vec<Link>,
        #[prost(message, optional, tag = "15")]
        status: Option<Status>,
        #[prost(fixed32, tag = "16")]
        flags: u32,
    }

    /// `Span.Event`.
    Event {
        #[prost(fixed64, tag = "1")]
        #[serde(deserialize_with = "json::u64")]
        time_unix_nano: u64,
        #[prost(string, tag = "2")]
        name: String,
        #[prost(message, repeated, tag = "3")]
        attributes: Vec<KeyValue>,
    }

    /// `Span.Link`.
    Link {
        #[prost(bytes = "vec", tag = "1")]
        #[serde(deserialize_with = "json::hex")]
        trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        #[serde(deserialize_with = "json::hex")]
        span_id: Vec<u8>,
        #[prost(string, tag = "3")]
        trace_state: String,
        #[prost(message, repeated, tag = "4")]
        attributes: Vec<KeyValue>,
    }

    Status {
        #[prost(string, tag = "2")]
        message: String,
        #[prost(int32, tag = "3")]
        #[serde(deserialize_with = "json::status_code")]
        code: i32,
    }

    // Answers. Those for metrics and for traces differ only in names that protobuf does not send.

    /// `ExportMetricsServiceResponse` and `ExportTraceServiceResponse`.
    ExportServiceResponse {
        #[prost(message, optional, tag = "1")]
        partial_success: Option<PartialSuccess>,
    }

    /// `ExportMetricsPartialSuccess` and `ExportTracePartialSuccess`.
    PartialSuccess {
        #[prost(int64, tag = "1")]
        rejected: i64,
        #[prost(string, tag = "2")]
        error_message: String,
    }

    /// `google.rpc.Status`.
    RpcStatus {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(string, tag = "2")]
        message: String,
    }
}
