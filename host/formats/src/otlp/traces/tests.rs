//! Traces there and back in both encodings, and spans that cannot be kept.

use expect_test::expect;
use model::span::{Attribute, AttributeValue};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const LIMITS: Limits = Limits { messages_max: 10_000 };

#[test]
fn spans_are_read_from_json_as_sdks_write_it() {
    let request = json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]},
        "scopeSpans": [{
            "scope": {"name": "my.library", "version": "1.0.0"},
            "spans": [{
                "traceId": "5B8EFFF798038103D269B633813FC60C",
                "spanId": "EEE19B7EC3C1B174",
                "parentSpanId": "EEE19B7EC3C1B173",
                "flags": 257,
                "name": "I'm a server span",
                "startTimeUnixNano": "1544712660000000000",
                "endTimeUnixNano": 1_544_712_661_000_000_000u64,
                "kind": 2,
                "attributes": [
                    {"key": "n", "value": {"intValue": 9}},
                    {"key": "d", "value": {"doubleValue": "-Infinity"}},
                    {"key": "b", "value": {"bytesValue": "AQI="}},
                    {"key": "m", "value": {"kvlistValue": {"values": [{"key": "k", "value": {}}]}}},
                ],
                "events": [{"timeUnixNano": "1544712660500000000", "name": "log"}],
                "links": [{"traceId": "5B8EFFF798038103D269B633813FC60D", "spanId": "EEE19B7EC3C1B175"}, {}],
                "status": {"code": "STATUS_CODE_ERROR", "message": "no"},
                "somethingNew": {},
            }],
        }],
    }]});
    let (spans, rejected) = decode(Encoding::Json, request.to_string().as_bytes(), &LIMITS).unwrap();
    assert!(rejected.is_empty());
    assert_eq!(spans[0].resource.service_name(), "my.service");
    expect![[r#"
        [
            Span {
                trace_id: 5b8efff798038103d269b633813fc60c,
                span_id: eee19b7ec3c1b174,
                parent_span_id: eee19b7ec3c1b173,
                trace_state: "",
                flags: 257,
                name: "I'm a server span",
                kind: Server,
                start_unix_nanos: 1544712660000000000,
                end_unix_nanos: 1544712661000000000,
                attributes: [
                    Attribute {
                        key: "n",
                        value: Int(
                            9,
                        ),
                    },
                    Attribute {
                        key: "d",
                        value: Double(
                            -inf,
                        ),
                    },
                    Attribute {
                        key: "b",
                        value: Bytes(
                            [
                                1,
                                2,
                            ],
                        ),
                    },
                    Attribute {
                        key: "m",
                        value: Map(
                            [
                                Attribute {
                                    key: "k",
                                    value: Empty,
                                },
                            ],
                        ),
                    },
                ],
                events: [
                    SpanEvent {
                        time_unix_nanos: 1544712660500000000,
                        name: "log",
                        attributes: [],
                    },
                ],
                links: [
                    SpanLink {
                        trace_id: 5b8efff798038103d269b633813fc60d,
                        span_id: eee19b7ec3c1b175,
                        trace_state: "",
                        attributes: [],
                    },
                ],
                status: Error,
                status_message: "no",
                resource: Resource {
                    attributes: [
                        Attribute {
                            key: "service.name",
                            value: String(
                                "my.service",
                            ),
                        },
                    ],
                },
                scope: Scope {
                    name: "my.library",
                    version: "1.0.0",
                    attributes: [],
                },
            },
        ]
    "#]]
    .assert_debug_eq(&spans);
    expect![[r#"
        {
          "batches": [
            {
              "resource": {
                "attributes": [
                  {
                    "key": "service.name",
                    "value": {
                      "stringValue": "my.service"
                    }
                  }
                ]
              },
              "scopeSpans": [
                {
                  "scope": {
                    "name": "my.library",
                    "version": "1.0.0"
                  },
                  "spans": [
                    {
                      "attributes": [
                        {
                          "key": "n",
                          "value": {
                            "intValue": "9"
                          }
                        },
                        {
                          "key": "d",
                          "value": {
                            "doubleValue": "-Infinity"
                          }
                        },
                        {
                          "key": "b",
                          "value": {
                            "bytesValue": "AQI="
                          }
                        },
                        {
                          "key": "m",
                          "value": {
                            "kvlistValue": {
                              "values": [
                                {
                                  "key": "k",
                                  "value": {}
                                }
                              ]
                            }
                          }
                        }
                      ],
                      "endTimeUnixNano": "1544712661000000000",
                      "events": [
                        {
                          "name": "log",
                          "timeUnixNano": "1544712660500000000"
                        }
                      ],
                      "flags": 257,
                      "kind": "SPAN_KIND_SERVER",
                      "links": [
                        {
                          "spanId": "7uGbfsPBsXU=",
                          "traceId": "W47/95gDgQPSabYzgT/GDQ=="
                        }
                      ],
                      "name": "I'm a server span",
                      "parentSpanId": "7uGbfsPBsXM=",
                      "spanId": "7uGbfsPBsXQ=",
                      "startTimeUnixNano": "1544712660000000000",
                      "status": {
                        "code": "STATUS_CODE_ERROR",
                        "message": "no"
                      },
                      "traceId": "W47/95gDgQPSabYzgT/GDA=="
                    }
                  ]
                }
              ]
            }
          ]
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&encode_json(&spans, JsonDialect::TempoV1)).unwrap());
}

#[test]
fn spans_without_valid_ids_are_rejected_and_the_rest_kept() {
    let span = |trace: &str, id: &str| json!({"traceId": trace, "spanId": id, "name": "s"});
    let request = json!({"resourceSpans": [{"scopeSpans": [{"spans": [
        span("00000000000000000000000000000001", "0000000000000001"),
        span("00000000000000000000000000000000", "0000000000000001"),
        span("01", "0000000000000001"),
        span("00000000000000000000000000000001", ""),
    ]}]}]});
    let (spans, rejected) = decode(Encoding::Json, request.to_string().as_bytes(), &LIMITS).unwrap();
    assert_eq!(spans.len(), 1);
    assert_eq!(rejected.count, 3);
    expect![[r#"span "s": trace id must be 16 bytes and not all zero; span "s": span id must be 8 bytes and not all zero"#]].assert_eq(&rejected.summary());
    let odd = json!({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]}).to_string();
    expect![[r#"decode OTLP JSON: not hexadecimal: "xyz""#]]
        .assert_eq(&decode(Encoding::Json, odd.as_bytes(), &LIMITS).unwrap_err().to_string());
}

#[test]
fn spans_are_grouped_by_what_they_come_from() {
    let resource = |name: &str| {
        let value = AttributeValue::String(name.to_owned());
        Arc::new(Resource { attributes: vec![Attribute { key: "service.name".to_owned(), value }] })
    };
    let span = |id: u8, service: &str, scope: &str| Span {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([id; 8]),
        resource: resource(service),
        scope: Arc::new(Scope { name: scope.to_owned(), ..Scope::default() }),
        ..Span::default()
    };
    let spans = [span(1, "a", "x"), span(2, "b", "x"), span(3, "a", "y"), span(4, "a", "x")];
    let json = encode_json(&spans, JsonDialect::Otlp);
    let ids = |batch: usize, scope: usize| -> Vec<String> {
        let spans = json["resourceSpans"][batch]["scopeSpans"][scope]["spans"].as_array().unwrap();
        spans.iter().map(|s| s["spanId"].as_str().unwrap()[..2].to_owned()).collect()
    };
    assert_eq!(json["resourceSpans"].as_array().unwrap().len(), 2);
    let tempo = encode_json(&spans, JsonDialect::TempoV2);
    assert_eq!(tempo["resourceSpans"][1]["scopeSpans"][0]["spans"][0]["spanId"], "AgICAgICAgI=");
    let response = encode_trace_by_id_response(&spans);
    let mut message = crate::wire::Message(&response);
    let trace = encode_protobuf(&spans);
    assert_eq!(message.next(), Ok(Some((1, crate::wire::Field::Bytes(&trace)))));
    assert_eq!(message.next(), Ok(None));
    assert_eq!(
        (ids(0, 0), ids(0, 1), ids(1, 0)),
        (vec!["01".to_owned(), "04".to_owned()], vec!["03".to_owned()], vec!["02".to_owned()])
    );
}

fn any_value() -> impl Strategy<Value = AttributeValue> {
    let leaf = prop_oneof![
        ".{0,4}".prop_map(AttributeValue::String),
        any::<bool>().prop_map(AttributeValue::Bool),
        any::<i64>().prop_map(AttributeValue::Int),
        (-1e300..1e300).prop_map(AttributeValue::Double),
        Just(AttributeValue::Double(f64::INFINITY)),
        prop::collection::vec(any::<u8>(), 0..4).prop_map(AttributeValue::Bytes),
        Just(AttributeValue::Empty),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(AttributeValue::Array),
            prop::collection::vec((".{0,3}", inner), 0..3).prop_map(|entries| {
                let pair = |(key, value)| Attribute { key, value };
                AttributeValue::Map(entries.into_iter().map(pair).collect())
            }),
        ]
    })
}

fn any_attributes() -> impl Strategy<Value = Vec<Attribute>> {
    prop::collection::vec(
        ("[a-z.]{1,4}", any_value()).prop_map(|(key, value)| Attribute { key, value }),
        0..3,
    )
}

/// A span of one of two resources and scopes.
fn any_span() -> impl Strategy<Value = Span> {
    let ids = (1..=u128::MAX, 1..=u64::MAX, any::<u64>());
    let times = (any::<u64>(), any::<u64>(), any::<u32>());
    let enums = (0..6i32, 0..3i32, ".{0,3}", ".{0,5}");
    let source = (any::<bool>(), any::<bool>());
    (ids, times, enums, any_attributes(), any_attributes(), source).prop_map(
        |(ids, times, enums, attributes, details, source)| Span {
            trace_id: TraceId(ids.0.to_be_bytes()),
            span_id: SpanId(ids.1.to_be_bytes()),
            parent_span_id: SpanId(ids.2.to_be_bytes()),
            trace_state: enums.2.clone(),
            flags: times.2,
            name: enums.3.clone(),
            kind: SpanKind::from_number(enums.0),
            start_unix_nanos: times.0,
            end_unix_nanos: times.1,
            attributes,
            events: vec![SpanEvent { time_unix_nanos: times.1, name: enums.3, attributes: details.clone() }],
            links: vec![SpanLink {
                trace_id: TraceId(ids.0.to_le_bytes()),
                span_id: SpanId(ids.1.to_le_bytes()),
                trace_state: enums.2.clone(),
                attributes: details,
            }],
            status: StatusCode::from_number(enums.1),
            status_message: enums.2,
            resource: Arc::new(Resource {
                attributes: vec![Attribute { key: "r".to_owned(), value: AttributeValue::Bool(source.0) }],
            }),
            scope: Arc::new(Scope {
                name: "scope".to_owned(),
                version: source.1.to_string(),
                attributes: Vec::new(),
            }),
        },
    )
}

/// The same spans in an order that does not depend on their grouping.
fn sorted(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|s| (s.trace_id, s.span_id, s.start_unix_nanos, s.end_unix_nanos));
    spans
}

proptest! {
    #[test]
    fn spans_round_trip(spans in prop::collection::vec(any_span(), 0..5)) {
        let expected = sorted(spans.clone());
        let (read, rejected) = decode(Encoding::Protobuf, &encode_protobuf(&spans), &LIMITS).unwrap();
        prop_assert_eq!(&sorted(read), &expected);
        prop_assert!(rejected.is_empty());
        let json = encode_json(&spans, JsonDialect::Otlp).to_string();
        let (read, _) = decode(Encoding::Json, json.as_bytes(), &LIMITS).unwrap();
        prop_assert_eq!(&sorted(read), &expected);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(Encoding::Json, &bytes, &LIMITS);
        let _ = decode(Encoding::Protobuf, &bytes, &LIMITS);
    }

    #[test]
    fn damaged_requests_never_panic(
        span in any_span(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = encode_protobuf(&[span]);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode(Encoding::Protobuf, &bytes, &LIMITS);
    }
}
