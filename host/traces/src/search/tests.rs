//! Searches over a small store of known traces.

use expect_test::expect;
use model::span::{Attribute, AttributeValue, Resource, SpanId, SpanKind, StatusCode};
use tempfile::TempDir;

use super::*;
use crate::catalog::TagScope;
use crate::store::{Sync, TraceOptions};

fn attribute(key: &str, value: AttributeValue) -> Attribute {
    Attribute { key: key.into(), value }
}

fn span(trace: u8, id: u8, service: &str, name: &str, start_ms: u64, millis: u64) -> Span {
    let service = attribute("service.name", AttributeValue::String(service.into()));
    Span {
        trace_id: TraceId([trace; 16]),
        span_id: SpanId([id; 8]),
        parent_span_id: if id == 1 { SpanId::default() } else { SpanId([1; 8]) },
        name: name.into(),
        kind: if id == 1 { SpanKind::Server } else { SpanKind::Client },
        start_unix_nanos: start_ms * 1_000_000,
        end_unix_nanos: (start_ms + millis) * 1_000_000,
        resource: Arc::new(Resource { attributes: vec![service] }),
        ..Span::default()
    }
}

/// Trace 1: a shop's checkout that failed in its database; 2: a quick one; 3: its root is missing; 4: another
/// service's. Batches are cut across traces, segments are small.
fn store() -> (TempDir, TraceStore) {
    let dir = TempDir::new().unwrap();
    let options = TraceOptions {
        retention: Duration::from_secs(3600),
        segment_bytes_max: 800,
        sync: Sync::Interval(Duration::from_secs(60)),
    };
    let store = TraceStore::open(dir.path(), options).unwrap();
    let status_code = |code| vec![attribute("http.status_code", AttributeValue::Int(code))];
    let checkout = Span { attributes: status_code(500), ..span(1, 1, "shop", "POST /checkout", 10_000, 900) };
    let query = Span {
        status: StatusCode::Error,
        attributes: vec![
            attribute("db.system", AttributeValue::String("postgres".into())),
            attribute("ratio", AttributeValue::Double(0.25)),
            attribute("cached", AttributeValue::Bool(false)),
        ],
        ..span(1, 2, "db", "SELECT", 10_100, 700)
    };
    let quick = Span { attributes: status_code(200), ..span(2, 1, "shop", "GET /", 20_000, 5) };
    store.append(&[query, quick]).unwrap();
    store.append(&[checkout, span(3, 2, "shop", "orphan", 30_000, 50)]).unwrap();
    store.append(&[span(4, 1, "mail", "send", 40_000, 2_000)]).unwrap();
    (dir, store)
}

fn found(store: &TraceStore, params: &[(&str, &str)]) -> Vec<u8> {
    let request = SearchRequest::from_params(params.iter().copied()).unwrap();
    let found = store.search(&request).unwrap().traces;
    found.iter().map(|t| t.trace_id.parse::<TraceId>().unwrap().0[0]).collect()
}

#[test]
fn queries_find_their_traces() {
    let (_dir, store) = store();
    for (query, expected) in [
        ("{}", vec![4, 3, 2, 1]),
        ("{ false }", vec![]),
        (r#"{ resource.service.name = "shop" }"#, vec![3, 2, 1]),
        (r#"{ resource.service.name = "nobody" }"#, vec![]),
        (r#"{ .service.name != "shop" }"#, vec![4, 1]),
        (r#"{ span.service.name = "shop" }"#, vec![]),
        ("{ span.http.status_code >= 500 }", vec![1]),
        ("{ .http.status_code < 500 }", vec![2]),
        ("{ .http.status_code > 199.5 }", vec![2, 1]),
        (r#"{ .http.status_code = "500" }"#, vec![]),
        (r#"{ .http.status_code != 500 }"#, vec![2]),
        ("{ .http.status_code = nil && kind = client }", vec![3, 1]),
        ("{ .http.status_code != nil }", vec![2, 1]),
        (r#"{ name =~ "GET.*|send" }"#, vec![4, 2]),
        (r#"{ name !~ ".*e.*" }"#, vec![3, 2, 1]),
        ("{ status = error }", vec![1]),
        ("{ status != error && kind = server }", vec![4, 2, 1]),
        ("{ duration > 100ms }", vec![4, 1]),
        ("{ duration <= 5000000 }", vec![2]),
        (r#"{ traceDuration >= 900ms && resource.service.name = "db" }"#, vec![1]),
        (r#"{ rootServiceName = "shop" && name = "SELECT" }"#, vec![1]),
        (r#"{ rootName = "<root span not yet received>" }"#, vec![3]),
        (r#"{ .ratio < 1 && .cached = false }"#, vec![1]),
        (r#"{ .db.system = "postgres" && .http.status_code = 500 }"#, vec![]),
        (r#"{ .db.system = "postgres" || (name = "send" && kind = server) }"#, vec![4, 1]),
        (r#"{ trace:id = "02020202020202020202020202020202" }"#, vec![2]),
    ] {
        assert_eq!(found(&store, &[("q", query)]), expected, "{query}");
    }
}

#[test]
fn tags_durations_times_and_limits_find_their_traces() {
    let (_dir, store) = store();
    for (params, expected) in [
        (&[][..], vec![4, 3, 2, 1]),
        (&[("limit", "2")], vec![4, 3]),
        (&[("limit", "1"), ("q", "{ status = error }")], vec![1]),
        (&[("tags", "service.name=shop")], vec![3, 2, 1]),
        (&[("tags", "service.name=shop http.status_code=500")], vec![1]),
        (&[("tags", "db.system=postgres http.status_code=500")], vec![1]),
        (&[("tags", "name=\"POST /checkout\" root.service.name=shop")], vec![1]),
        (&[("tags", "error=true")], vec![1]),
        (&[("tags", "status.code=error cached=false")], vec![1]),
        (&[("minDuration", "100ms")], vec![4, 1]),
        (&[("minDuration", "100ms"), ("maxDuration", "1s")], vec![1]),
        (&[("start", "20"), ("end", "30")], vec![3, 2]),
        (&[("start", "41")], vec![4]),
        (&[("end", "10")], vec![1]),
        (&[("q", ""), ("other", "x")], vec![4, 3, 2, 1]),
    ] {
        assert_eq!(found(&store, params), expected, "{params:?}");
    }
    for params in [
        ("limit", "0"),
        ("limit", "x"),
        ("start", "-1"),
        ("minDuration", "5"),
        ("tags", "x"),
        ("tags", "a=\"b"),
    ] {
        assert!(SearchRequest::from_params([params]).is_err(), "{params:?}");
    }
    assert!(SearchRequest::from_params([("start", "9"), ("end", "8")]).is_err());
}

#[test]
fn answers_are_tempos_json() {
    let (_dir, store) = store();
    let query = "{ (status = error || .http.status_code = 500) && .ratio != 3 || .http.status_code = 500 }";
    let request = SearchRequest::from_params([("q", query), ("spss", "2")]).unwrap();
    let found = store.search(&request).unwrap().traces;
    expect![[r#"
        [
          {
            "traceID": "01010101010101010101010101010101",
            "rootServiceName": "shop",
            "rootTraceName": "POST /checkout",
            "startTimeUnixNano": "10000000000",
            "durationMs": 900,
            "spanSet": {
              "spans": [
                {
                  "spanID": "0101010101010101",
                  "name": "POST /checkout",
                  "startTimeUnixNano": "10000000000",
                  "durationNanos": "900000000",
                  "attributes": [
                    {
                      "key": "status",
                      "value": {
                        "stringValue": "unset"
                      }
                    },
                    {
                      "key": "http.status_code",
                      "value": {
                        "intValue": "500"
                      }
                    }
                  ]
                },
                {
                  "spanID": "0202020202020202",
                  "name": "SELECT",
                  "startTimeUnixNano": "10100000000",
                  "durationNanos": "700000000",
                  "attributes": [
                    {
                      "key": "status",
                      "value": {
                        "stringValue": "error"
                      }
                    },
                    {
                      "key": "ratio",
                      "value": {
                        "doubleValue": 0.25
                      }
                    }
                  ]
                }
              ],
              "matched": 2
            },
            "spanSets": [
              {
                "spans": [
                  {
                    "spanID": "0101010101010101",
                    "name": "POST /checkout",
                    "startTimeUnixNano": "10000000000",
                    "durationNanos": "900000000",
                    "attributes": [
                      {
                        "key": "status",
                        "value": {
                          "stringValue": "unset"
                        }
                      },
                      {
                        "key": "http.status_code",
                        "value": {
                          "intValue": "500"
                        }
                      }
                    ]
                  },
                  {
                    "spanID": "0202020202020202",
                    "name": "SELECT",
                    "startTimeUnixNano": "10100000000",
                    "durationNanos": "700000000",
                    "attributes": [
                      {
                        "key": "status",
                        "value": {
                          "stringValue": "error"
                        }
                      },
                      {
                        "key": "ratio",
                        "value": {
                          "doubleValue": 0.25
                        }
                      }
                    ]
                  }
                ],
                "matched": 2
              }
            ]
          }
        ]"#]]
    .assert_eq(&serde_json::to_string_pretty(&found).unwrap());
}

#[test]
fn tags_and_their_values_are_listed() {
    let (_dir, store) = store();
    let list = |values: std::collections::BTreeSet<crate::TagValue>| serde_json::to_string(&values).unwrap();
    let names: Vec<String> = store.tag_names(TagScope::Span).into_iter().collect();
    assert_eq!(names, ["cached", "db.system", "http.status_code", "ratio"]);
    assert_eq!(store.tag_names(TagScope::Resource).into_iter().collect::<Vec<_>>(), ["service.name"]);
    assert!(store.tag_names(TagScope::Intrinsic).contains("rootServiceName"));
    expect![[r#"[{"type":"string","value":"db"},{"type":"string","value":"mail"},{"type":"string","value":"shop"}]"#]].assert_eq(&list(store.tag_values("resource.service.name")));
    expect![[r#"[{"type":"int","value":"200"},{"type":"int","value":"500"}]"#]]
        .assert_eq(&list(store.tag_values(".http.status_code")));
    expect![[r#"[{"type":"bool","value":"false"}]"#]].assert_eq(&list(store.tag_values("cached")));
    expect![[r#"[{"type":"keyword","value":"error"},{"type":"keyword","value":"ok"},{"type":"keyword","value":"unset"}]"#]].assert_eq(&list(store.tag_values("status")));
    assert_eq!(store.tag_values("span.service.name").len(), 0);
    assert_eq!(store.tag_values("name").len(), 5);
    assert_eq!(store.operations(Some("shop")).len(), 3);
}

/// Against the plain way: look at every trace whole, sort, cut.
#[test]
fn the_newest_are_found_however_records_are_cut() {
    use proptest::prelude::*;
    let spans = proptest::collection::vec((1u8..8, 1u8..4, 0u64..50, 0u64..30), 1..40);
    let config = ProptestConfig::with_cases(64);
    proptest!(config, |(spans in spans, batch in 1usize..7, limit in 1usize..5, from in 0u32..3)| {
        let dir = TempDir::new().unwrap();
        let options = TraceOptions { retention: Duration::from_secs(60), segment_bytes_max: 500, sync: Sync::Always };
        let store = TraceStore::open(dir.path(), options).unwrap();
        let spans: Vec<Span> =
            spans.iter().map(|(t, id, start, ms)| span(*t, *id, "s", "n", start * 100, ms * 100)).collect();
        for batch in spans.chunks(batch) {
            store.append(batch).unwrap();
        }
        let query = "{ kind = client && duration > 500ms }";
        let request = SearchRequest::from_params([
            ("q", query.to_owned()), ("limit", limit.to_string()), ("start", from.to_string()),
        ]).unwrap();
        let mut expected: Vec<(Reverse<u64>, String)> = (1u8..8).filter_map(|t| {
            let trace = store.trace(TraceId([t; 16]), None).unwrap();
            if !trace.iter().any(|s| s.kind == SpanKind::Client && s.duration_nanos() > 500_000_000
                && s.end_unix_nanos / 1_000_000_000 >= u64::from(from)) {
                return None;
            }
            let facts = TraceFacts::of(&trace);
            Some((Reverse(facts.start), TraceId([t; 16]).to_string()))
        }).collect();
        expected.sort();
        expected.truncate(limit);
        let found: Vec<(Reverse<u64>, String)> = store.search(&request).unwrap().traces.into_iter()
            .map(|t| (Reverse(t.start_time_unix_nano), t.trace_id)).collect();
        prop_assert_eq!(found, expected);
    });
}
