//! Requests in OTLP's JSON, and the series that they become.

use std::fmt::Write as _;
use std::sync::LazyLock;

use expect_test::{Expect, expect};
use model::Timestamp;
use proptest::prelude::*;
use prost::Message as _;
use serde_json::{Value, json};

use super::*;

const LIMITS: Limits = Limits { messages_max: 10_000 };

static PLAIN: LazyLock<TranslateOptions> = LazyLock::new(TranslateOptions::prometheus);

fn render(write: &WriteRequest, rejected: &Rejected) -> String {
    let mut out = String::new();
    for series in &write.series {
        let since = |starts: &[Timestamp], at: usize| {
            starts.get(at).map(|start| format!(" since {start:?}")).unwrap_or_default()
        };
        for (at, sample) in series.samples.iter().enumerate() {
            let start = since(&series.starts.samples, at);
            let stale = if model::staleness::is_stale(sample.value) { " stale" } else { "" };
            let _ = writeln!(out, "{} {} @{:?}{start}{stale}", series.labels, sample.value, sample.timestamp);
        }
        for (index, (at, h)) in series.histograms.iter().enumerate() {
            let start = since(&series.starts.histograms, index);
            let buckets = |side: &model::Buckets| side.iter().collect::<Vec<_>>();
            let _ = writeln!(
                out,
                "{} schema={} count={} sum={} zero={}(<={:e}) {:?} {:?} @{at:?}{start}",
                series.labels,
                h.schema,
                h.count,
                h.sum,
                h.zero_count,
                h.zero_threshold,
                buckets(&h.negative),
                buckets(&h.positive)
            );
        }
        for e in &series.exemplars {
            let _ = writeln!(out, "  exemplar {} {} @{:?}", e.labels, e.value, e.timestamp);
        }
    }
    for (family, m) in &write.metadata {
        let _ = writeln!(out, "{family}: {} {:?} [{}]", m.kind, m.help, m.unit);
    }
    if !rejected.is_empty() {
        let _ = writeln!(out, "rejected {}: {}", rejected.count, rejected.messages.join("\n  "));
    }
    out
}

/// Translates `request` from JSON, and again from protobuf with the same result.
#[expect(clippy::needless_pass_by_value, reason = "expectations and requests are written in place")]
fn check(options: &TranslateOptions, request: Value, expected: Expect) {
    let from_json = decode(Encoding::Json, request.to_string().as_bytes(), &LIMITS).unwrap();
    let (write, rejected) = translate(&from_json, options, &Deltas::default());
    let text = render(&write, &rejected);
    expected.assert_eq(&text);
    let from_protobuf = decode(Encoding::Protobuf, &from_json.0.encode_to_vec(), &LIMITS).unwrap();
    // By text, since a stale marker is not equal to itself.
    let (write, rejected) = translate(&from_protobuf, options, &Deltas::default());
    assert_eq!(render(&write, &rejected), text);
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// Metrics of one scope of one resource.
#[expect(clippy::needless_pass_by_value, reason = "requests are written in place")]
fn request(metrics: Value) -> Value {
    json!({"resourceMetrics": [{
        "resource": {"attributes": [
            attribute("service.name", "checkout"),
            attribute("service.namespace", "shop"),
            attribute("service.instance.id", "i-1"),
            attribute("k8s.pod.name", "checkout-0"),
        ]},
        "scopeMetrics": [{
            "scope": {"name": "lib", "version": "1.2", "attributes": [attribute("a.b", "c"), attribute("name", "not this")]},
            "metrics": metrics,
            "schemaUrl": "https://opentelemetry.io/schemas/1.40.0",
        }],
    }]})
}

#[test]
fn numbers_become_gauges_and_counters() {
    let metrics = json!([
        {"name": "memory.usage", "unit": "By", "description": "Bytes in use.", "gauge": {"dataPoints": [
            {"timeUnixNano": "1700000000123456789", "asInt": "42", "attributes": [
                attribute("host.name", "a"), attribute("host_name", "b"), attribute("job", "mine"),
                {"key": "ok", "value": {"boolValue": true}},
                {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "x"}]}}},
                attribute("empty", ""),
            ]},
        ]}},
        {"name": "requests", "sum": {
            "isMonotonic": true,
            "aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE",
            "dataPoints": [{"timeUnixNano": 1_700_000_001_000_000_000u64, "asDouble": 7.5, "exemplars": [{
                "timeUnixNano": "1700000000999000000", "asDouble": 1, "spanId": "eee19b7ec3c1b174",
                "traceId": "5B8EFFF798038103D269B633813FC60C",
                "filteredAttributes": [attribute("user", "u")],
            }]}],
        }},
        {"name": "queue.length", "unit": "1", "sum": {"aggregationTemporality": 2, "dataPoints": [
            {"timeUnixNano": "1700000000000000000", "asInt": -3},
            {"timeUnixNano": "1700000000000000000", "flags": 1, "attributes": [attribute("gone", "yes")]},
        ]}},
        {"name": "empty", "gauge": {"dataPoints": []}},
        {"name": "weird", "gauge": {"dataPoints": [{"timeUnixNano": null, "asDouble": "NaN"}]}},
    ]);
    check(
        &PLAIN,
        request(metrics),
        expect![[r#"
        memory_usage_bytes{host_name="a;b", instance="i-1", job="shop/checkout", list="[1,\"x\"]", ok="true"} 42 @1700000000123ms
        requests_total{instance="i-1", job="shop/checkout"} 7.5 @1700000001000ms
          exemplar {span_id="eee19b7ec3c1b174", trace_id="5b8efff798038103d269b633813fc60c", user="u"} 1 @1700000000999ms
        queue_length{instance="i-1", job="shop/checkout"} -3 @1700000000000ms
        queue_length{gone="yes", instance="i-1", job="shop/checkout"} NaN @1700000000000ms stale
        weird{instance="i-1", job="shop/checkout"} NaN @0ms
        target_info{instance="i-1", job="shop/checkout", k8s_pod_name="checkout-0"} 1 @1700000001000ms
        memory_usage_bytes: gauge "Bytes in use." [bytes]
        requests_total: counter "" []
        queue_length: gauge "" []
        weird: gauge "" []
        target_info: gauge "Target metadata" []
    "#]],
    );
}

#[test]
fn resource_and_scope_can_be_promoted() {
    let options = TranslateOptions {
        promote_resource_attributes: vec!["k8s.pod.name".to_owned(), "missing".to_owned()],
        promote_scope_metadata: true,
        ..TranslateOptions::prometheus()
    };
    let metrics = json!([{"name": "up", "gauge": {"dataPoints": [{"timeUnixNano": "1000000", "asInt": 1}]}}]);
    check(
        &options,
        request(metrics),
        expect![[r#"
            up{instance="i-1", job="shop/checkout", k8s_pod_name="checkout-0", otel_scope_a_b="c", otel_scope_name="lib", otel_scope_schema_url="https://opentelemetry.io/schemas/1.40.0", otel_scope_version="1.2"} 1 @1ms
            target_info{instance="i-1", job="shop/checkout", k8s_pod_name="checkout-0"} 1 @1ms
            up: gauge "" []
            target_info: gauge "Target metadata" []
        "#]],
    );
}

#[test]
fn a_resource_without_identity_has_no_target_info() {
    let request = json!({"resourceMetrics": [{
        "resource": {"attributes": [attribute("host.name", "a")]},
        "scopeMetrics": [{"metrics": [
            {"name": "up", "gauge": {"dataPoints": [{"timeUnixNano": "1000000", "asInt": 1}]}},
        ]}],
    }]});
    check(
        &PLAIN,
        request,
        expect![[r#"
        up 1 @1ms
        up: gauge "" []
    "#]],
    );
}

#[test]
fn explicit_histograms_become_classic_ones() {
    let metrics = json!([{"name": "latency", "unit": "s", "histogram": {
        "aggregationTemporality": 2,
        "dataPoints": [
            {
                "timeUnixNano": "2000000000", "count": "6", "sum": 3.5,
                "bucketCounts": ["1", "2", 3], "explicitBounds": [0.5, 1],
                "exemplars": [
                    {"timeUnixNano": "1", "asDouble": 0.7, "traceId": "00000000000000000000000000000001"},
                    {"timeUnixNano": "1", "asDouble": 9},
                ],
            },
            {"timeUnixNano": "2000000000", "count": "6", "bucketCounts": ["6"], "explicitBounds": [1]},
        ],
    }}]);
    check(
        &PLAIN,
        request(metrics),
        expect![[r#"
        latency_seconds_sum{instance="i-1", job="shop/checkout"} 3.5 @2000ms
        latency_seconds_count{instance="i-1", job="shop/checkout"} 6 @2000ms
        latency_seconds_bucket{instance="i-1", job="shop/checkout", le="0.5"} 1 @2000ms
        latency_seconds_bucket{instance="i-1", job="shop/checkout", le="1"} 3 @2000ms
          exemplar {trace_id="00000000000000000000000000000001"} 0.7 @0ms
        latency_seconds_bucket{instance="i-1", job="shop/checkout", le="+Inf"} 6 @2000ms
          exemplar {} 9 @0ms
        target_info{instance="i-1", job="shop/checkout", k8s_pod_name="checkout-0"} 1 @2000ms
        latency_seconds: histogram "" [seconds]
        target_info: gauge "Target metadata" []
        rejected 1: metric "latency": a point with 1 buckets for 1 bounds
    "#]],
    );
}

#[test]
fn exponential_histograms_become_native_ones() {
    let point = |scale: i32| {
        json!({
            "timeUnixNano": "3000000", "count": "13", "sum": 20, "scale": scale, "zeroCount": "2",
            "positive": {"offset": -1, "bucketCounts": ["1", "2", "0", "4", "1"]},
            "negative": {"offset": 3, "bucketCounts": ["3"]},
        })
    };
    let metrics = json!([{"name": "size", "exponentialHistogram": {
        "aggregationTemporality": 2,
        "dataPoints": [
            point(0),
            point(9),
            point(-5),
            {"timeUnixNano": "1", "scale": 2147483647, "positive": {"offset": 5, "bucketCounts": [1]}, "zeroThreshold": 0.5},
            {"timeUnixNano": "1", "scale": 0, "positive": {"offset": 2147483647, "bucketCounts": [1]}},
        ],
    }}]);
    check(
        &PLAIN,
        request(metrics),
        expect![[r#"
        size{instance="i-1", job="shop/checkout"} schema=0 count=13 sum=20 zero=2(<=1e-128) [(4, 3.0)] [(0, 1.0), (1, 2.0), (3, 4.0), (4, 1.0)] @3ms
        size{instance="i-1", job="shop/checkout"} schema=8 count=13 sum=20 zero=2(<=1e-128) [(2, 3.0)] [(0, 1.0), (1, 2.0), (2, 5.0)] @3ms
        size{instance="i-1", job="shop/checkout"} schema=8 count=0 sum=0 zero=0(<=5e-1) [] [(1, 1.0)] @0ms
        target_info{instance="i-1", job="shop/checkout", k8s_pod_name="checkout-0"} 1 @3ms
        size: histogram "" []
        target_info: gauge "Target metadata" []
        rejected 2: metric "size": an exponential histogram of scale -5, below -4
          metric "size": a bucket index out of range
    "#]],
    );
}

#[test]
fn summaries_keep_their_quantiles() {
    let metrics = json!([{"name": "rpc", "unit": "ms", "summary": {"dataPoints": [{
        "timeUnixNano": "3000000", "count": 10, "sum": "5.5",
        "quantileValues": [{"quantile": 0.5, "value": 1}, {"quantile": 1, "value": "Infinity"}],
    }]}}]);
    check(
        &PLAIN,
        request(metrics),
        expect![[r#"
        rpc_milliseconds_sum{instance="i-1", job="shop/checkout"} 5.5 @3ms
        rpc_milliseconds_count{instance="i-1", job="shop/checkout"} 10 @3ms
        rpc_milliseconds{instance="i-1", job="shop/checkout", quantile="0.5"} 1 @3ms
        rpc_milliseconds{instance="i-1", job="shop/checkout", quantile="1"} inf @3ms
        target_info{instance="i-1", job="shop/checkout", k8s_pod_name="checkout-0"} 1 @3ms
        rpc_milliseconds: summary "" [milliseconds]
        target_info: gauge "Target metadata" []
    "#]],
    );
}

#[test]
fn what_does_not_fit_is_counted_and_explained() {
    let point = json!({"timeUnixNano": "1", "asInt": 1});
    let metrics = json!([
        {"name": "delta", "sum": {"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [point, point]}},
        {"name": "unset", "histogram": {"dataPoints": [{"count": "1"}]}},
        {"name": "字", "gauge": {"dataPoints": [point]}},
        {"name": "bad.label", "gauge": {"dataPoints": [
            {"timeUnixNano": "1", "asInt": 1, "attributes": [attribute("", "x")]},
            {"timeUnixNano": "1"},
        ]}},
    ]);
    check(
        &PLAIN,
        request(metrics),
        expect![[r#"
            delta_total{instance="i-1", job="shop/checkout"} 1 @0ms
            target_info{instance="i-1", job="shop/checkout", k8s_pod_name="checkout-0"} 1 @0ms
            delta_total: counter "" []
            bad_label: gauge "" []
            target_info: gauge "Target metadata" []
            rejected 5: metric "delta": a delta that is out of order
              metric "unset": its aggregation temporality is neither cumulative nor delta
              metric "字": no character of its name can stand in a metric name
              metric "bad.label": no character of the attribute name "" can stand in a label name
              metric "bad.label": a point without a value
        "#]],
    );
}

#[test]
fn deltas_become_totals_and_histograms_native_ones() {
    let options = TranslateOptions {
        convert_histograms_to_nhcb: true,
        strategy: super::Strategy::NoTranslation,
        promote_all_resource_attributes: true,
        ignore_resource_attributes: vec!["service.version".to_owned()],
        keep_identifying_resource_attributes: true,
        ..TranslateOptions::prometheus()
    };
    let sum = |nanos: &str, value: u32| json!({"timeUnixNano": nanos, "asInt": value});
    let histogram = json!({"timeUnixNano": "2000000", "count": "4", "sum": 9.5, "bucketCounts": ["1", "0", "3"],
        "explicitBounds": [1.5, 5.0]});
    let metrics = json!([
        {"name": "http.requests", "unit": "1", "sum": {"aggregationTemporality": 1, "isMonotonic": true,
            "dataPoints": [sum("1000000", 2), sum("2000000", 3)]}},
        {"name": "size", "histogram": {"aggregationTemporality": 2, "dataPoints": [histogram]}},
    ]);
    check(
        &options,
        request(metrics),
        expect![[r#"
        {"http.requests", instance="i-1", job="shop/checkout", "k8s.pod.name"="checkout-0", "service.instance.id"="i-1", "service.name"="checkout", "service.namespace"="shop"} 2 @1ms
        {"http.requests", instance="i-1", job="shop/checkout", "k8s.pod.name"="checkout-0", "service.instance.id"="i-1", "service.name"="checkout", "service.namespace"="shop"} 5 @2ms
        size{instance="i-1", job="shop/checkout", "k8s.pod.name"="checkout-0", "service.instance.id"="i-1", "service.name"="checkout", "service.namespace"="shop"} schema=-53 count=4 sum=9.5 zero=0(<=0e0) [] [(0, 1.0), (2, 3.0)] @2ms
        target_info{instance="i-1", job="shop/checkout", "k8s.pod.name"="checkout-0", "service.instance.id"="i-1", "service.name"="checkout", "service.namespace"="shop"} 1 @2ms
        http.requests: counter "" []
        size: histogram "" []
        target_info: gauge "Target metadata" []
    "#]],
    );
}

#[test]
fn malformed_requests_are_named() {
    let error = |encoding, bytes: &[u8]| decode(encoding, bytes, &LIMITS).unwrap_err().to_string();
    expect!["decode OTLP JSON: EOF while parsing an object at line 1 column 1"]
        .assert_eq(&error(Encoding::Json, b"{"));
    expect!["decode OTLP JSON: invalid type: integer `1`, expected a sequence"]
        .assert_eq(&error(Encoding::Json, br#"{"resourceMetrics": 1}"#));
    let text = request(json!([{"gauge": {"dataPoints": [{"timeUnixNano": "soon"}]}}])).to_string();
    expect![[r#"decode OTLP JSON: expected an unsigned 64-bit integer, got "soon""#]]
        .assert_eq(&error(Encoding::Json, text.as_bytes()));
    expect!["decode OTLP protobuf: failed to decode Protobuf message: ExportMetricsServiceRequest.resource_metrics: buffer underflow"].assert_eq(&error(Encoding::Protobuf, b"\x0a\x05abc"));
    let small = Limits { messages_max: 2 };
    expect!["request is too large: more than 2 messages within the request; send smaller batches"]
        .assert_eq(&decode(Encoding::Json, b"[[[", &small).unwrap_err().to_string());
    expect!["request is too large: more than 2 messages within the request; send smaller batches"].assert_eq(
        &decode(Encoding::Protobuf, &[0x0a, 0, 0x0a, 0, 0x0a, 0], &small).unwrap_err().to_string(),
    );
    assert!(decode(Encoding::Protobuf, b"", &LIMITS).is_ok(), "an empty request is a success");
    assert!(decode(Encoding::Json, br#"{"unknown": [1], "resourceMetrics": null}"#, &LIMITS).is_ok());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            if let Ok(request) = decode(encoding, &bytes, &LIMITS) {
                let _ = translate(&request, &PLAIN, &Deltas::default());
            }
        }
    }

    #[test]
    fn damaged_requests_never_panic(
        scale in any::<i32>(), offset in any::<i32>(), count in any::<u64>(),
        at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let metrics = json!([
            {"name": "size", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [{
                "timeUnixNano": count, "count": count, "scale": scale,
                "positive": {"offset": offset, "bucketCounts": [count, count, count]},
            }]}},
            {"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": [{
                "count": count, "bucketCounts": [count, count], "explicitBounds": ["NaN"],
            }]}},
        ]);
        let request = decode(Encoding::Json, request(metrics).to_string().as_bytes(), &LIMITS).unwrap();
        for series in translate(&request, &PLAIN, &Deltas::default()).0.series {
            for (_, histogram) in series.histograms {
                prop_assert_eq!(histogram.validate(), Ok(()));
            }
        }
        let mut bytes = request.0.encode_to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(request) = decode(Encoding::Protobuf, &bytes, &LIMITS) {
            let _ = translate(&request, &PLAIN, &Deltas::default());
        }
    }
}

#[test]
fn what_only_grows_has_a_start() {
    let point = json!({"timeUnixNano": "9000000000", "startTimeUnixNano": "3000000000"});
    let with = |more: Value| {
        let mut all = point.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([all])
    };
    let sum = |monotonic| json!({"dataPoints": with(json!({"asInt": "5"})), "isMonotonic": monotonic, "aggregationTemporality": 2});
    let request = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [
        {"name": "grows", "sum": sum(true)},
        {"name": "moves", "sum": sum(false)},
        {"name": "is", "gauge": {"dataPoints": with(json!({"asInt": "5"}))}},
        {"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints":
            with(json!({"count": "2", "sum": 3, "bucketCounts": ["2", "0"], "explicitBounds": [1]}))}},
        {"name": "e", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints":
            with(json!({"count": "1", "sum": 3, "scale": 0, "zeroCount": "1"}))}},
        {"name": "s", "summary": {"dataPoints":
            with(json!({"count": "2", "sum": 3, "quantileValues": [{"quantile": 0.5, "value": 1}]}))}},
    ]}]}]});
    check(
        &PLAIN,
        request,
        expect![[r#"
        grows_total 5 @9000ms since 3000ms
        moves 5 @9000ms
        is 5 @9000ms
        h_sum 3 @9000ms since 3000ms
        h_count 2 @9000ms since 3000ms
        h_bucket{le="1"} 2 @9000ms since 3000ms
        h_bucket{le="+Inf"} 2 @9000ms since 3000ms
        e schema=0 count=1 sum=3 zero=1(<=1e-128) [] [] @9000ms since 3000ms
        s_sum 3 @9000ms since 3000ms
        s_count 2 @9000ms since 3000ms
        s{quantile="0.5"} 1 @9000ms
        grows_total: counter "" []
        moves: gauge "" []
        is: gauge "" []
        h: histogram "" []
        e: histogram "" []
        s: summary "" []
    "#]],
    );
}
