//! Spans cross and come back as they were; what cannot be a span is refused by name.

use super::*;

fn span() -> Span {
    let attribute = |key: &str, value| Attribute { key: key.to_owned(), value };
    let map =
        vec![attribute("deep", AttributeValue::Array(vec![AttributeValue::Int(1), AttributeValue::Empty]))];
    Span {
        trace_id: TraceId([7; 16]),
        span_id: SpanId([8; 8]),
        trace_state: "a=b".to_owned(),
        flags: 1,
        name: "GET /".to_owned(),
        kind: SpanKind::Server,
        start_unix_nanos: 1,
        end_unix_nanos: 2,
        attributes: vec![
            attribute("text", AttributeValue::String("x".to_owned())),
            attribute("bool", AttributeValue::Bool(true)),
            attribute("double", AttributeValue::Double(1.5)),
            attribute("bytes", AttributeValue::Bytes(vec![1, 2])),
            attribute("map", AttributeValue::Map(map)),
            attribute("empty", AttributeValue::Empty),
        ],
        events: vec![SpanEvent { time_unix_nanos: 3, name: "e".to_owned(), attributes: vec![] }],
        links: vec![SpanLink { trace_id: TraceId([9; 16]), span_id: SpanId([1; 8]), ..SpanLink::default() }],
        status: StatusCode::Error,
        status_message: "no".to_owned(),
        resource: Arc::new(Resource {
            attributes: vec![attribute("service.name", AttributeValue::String("shop".to_owned()))],
        }),
        scope: Arc::new(Scope { name: "lib".to_owned(), version: "1".to_owned(), attributes: vec![] }),
        ..Span::default()
    }
}

#[test]
fn spans_come_back_as_they_went_out() {
    let mut child = span();
    child.parent_span_id = SpanId([8; 8]);
    let spans = vec![span(), child.clone(), Span { resource: Arc::clone(&child.resource), ..child }];
    let out = spans_out(&spans);
    assert_eq!(out.resources.len(), 2, "what is shared crosses once");
    assert_eq!(spans_in(out).unwrap(), spans);
}

#[test]
fn what_is_no_span_is_refused_by_name() {
    fn check(change: impl FnOnce(&mut guest::Spans), expected: &str) {
        let mut spans = spans_out(&[span()]);
        change(&mut spans);
        assert_eq!(spans_in(spans).unwrap_err(), expected);
    }
    check(|s| s.spans[0].trace_id = vec![1], "a trace id has 1 bytes, not 16");
    check(|s| s.spans[0].span_id = vec![], "a span id has 0 bytes, not 8");
    check(|s| s.spans[0].resource_index = 7, "a span names resource 7, which is not there");
    check(|s| s.spans[0].scope_index = u32::MAX, "a span names scope 4294967295, which is not there");
    let json = |text: String| {
        move |s: &mut guest::Spans| s.spans[0].attributes[0].value = guest::AttributeValue::Json(text)
    };
    check(
        json("{".to_owned()),
        "attribute \"text\" is no JSON: EOF while parsing an object at line 1 column 1",
    );
    check(json(format!("{}{}", "[".repeat(60), "]".repeat(60))), "attribute \"text\" is nested too deep");
}
