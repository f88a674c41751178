//! Batches come back as they went in; arbitrary bytes are refused, not followed.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

pub(crate) fn value() -> impl Strategy<Value = AttributeValue> {
    let leaf = prop_oneof![
        Just(AttributeValue::Empty),
        "[a-zé/]{0,8}".prop_map(AttributeValue::String),
        any::<bool>().prop_map(AttributeValue::Bool),
        any::<i64>().prop_map(AttributeValue::Int),
        // NaN is unequal to itself; it has a test of its own.
        any::<f64>().prop_filter("not NaN", |v| !v.is_nan()).prop_map(AttributeValue::Double),
        vec(any::<u8>(), 0..6).prop_map(AttributeValue::Bytes),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(AttributeValue::Array),
            vec(("[a-c]{1,2}", inner), 0..4).prop_map(|entries| {
                AttributeValue::Map(
                    entries.into_iter().map(|(key, value)| Attribute { key, value }).collect(),
                )
            }),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Vec<Attribute>> {
    vec(("[a-z.]{1,6}", value()).prop_map(|(key, value)| Attribute { key, value }), 0..4)
}

pub(crate) fn span() -> impl Strategy<Value = Span> {
    let ids = (any::<[u8; 16]>(), any::<[u8; 8]>(), any::<[u8; 8]>());
    let event = (any::<u64>(), "[a-z]{0,5}", attributes())
        .prop_map(|(time_unix_nanos, name, attributes)| SpanEvent { time_unix_nanos, name, attributes });
    let link = (any::<[u8; 16]>(), any::<[u8; 8]>(), "[a-z=]{0,5}", attributes()).prop_map(
        |(trace, span, trace_state, attributes)| SpanLink {
            trace_id: TraceId(trace),
            span_id: SpanId(span),
            trace_state,
            attributes,
        },
    );
    let texts = ("[a-z /]{0,9}", "[a-z=]{0,5}", "[a-z ]{0,9}");
    let numbers = (any::<u32>(), 0..6i32, 0..3i32, any::<u64>(), any::<u64>());
    let shared = (attributes(), "[a-z]{0,4}", attributes());
    (ids, texts, numbers, attributes(), vec(event, 0..3), vec(link, 0..3), shared).prop_map(
        |(ids, texts, numbers, attributes, events, links, shared)| Span {
            trace_id: TraceId(ids.0),
            span_id: SpanId(ids.1),
            parent_span_id: SpanId(ids.2),
            trace_state: texts.1,
            flags: numbers.0,
            name: texts.0,
            kind: SpanKind::from_number(numbers.1),
            start_unix_nanos: numbers.3,
            end_unix_nanos: numbers.4,
            attributes,
            events,
            links,
            status: StatusCode::from_number(numbers.2),
            status_message: texts.2,
            resource: Arc::new(Resource { attributes: shared.0 }),
            scope: Arc::new(Scope { name: shared.1, version: "1".into(), attributes: shared.2 }),
        },
    )
}

fn encode(spans: &[Span]) -> Vec<u8> {
    let mut writer = BatchWriter::default();
    for span in spans {
        writer.push(span);
    }
    writer.finish()
}

proptest! {
    #[test]
    fn batches_round_trip(spans in vec(span(), 0..6)) {
        prop_assert_eq!(decode_batch(&encode(&spans)), Ok(spans));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = decode_batch(&bytes);
    }

    #[test]
    fn damaged_batches_never_panic(spans in vec(span(), 1..4), at: prop::sample::Index, to: u8, cut: prop::sample::Index) {
        let mut bytes = encode(&spans);
        let at = at.index(bytes.len());
        bytes[at] = to;
        let _ = decode_batch(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        let _ = decode_batch(&bytes);
    }
}

#[test]
fn resources_stay_shared_and_nan_keeps_its_bits() {
    let payload = f64::from_bits(0x7ff8_0000_0000_0abc);
    let resource = Arc::new(Resource {
        attributes: vec![Attribute { key: "x".into(), value: AttributeValue::Double(payload) }],
    });
    let span = Span { resource, ..Span::default() };
    let back = decode_batch(&encode(&[span.clone(), span])).unwrap();
    assert!(Arc::ptr_eq(&back[0].resource, &back[1].resource));
    let AttributeValue::Double(value) = back[0].resource.attributes[0].value else { panic!("not a double") };
    assert_eq!(value.to_bits(), payload.to_bits());
}

#[test]
fn nesting_is_bounded() {
    let nested =
        |levels: usize| (0..levels).fold(AttributeValue::Empty, |v, _| AttributeValue::Array(vec![v]));
    let span = |levels| Span {
        attributes: vec![Attribute { key: "deep".into(), value: nested(levels) }],
        ..Span::default()
    };
    assert!(decode_batch(&encode(&[span(ATTRIBUTE_DEPTH_MAX)])).is_ok());
    assert_eq!(
        decode_batch(&encode(&[span(ATTRIBUTE_DEPTH_MAX + 1)])),
        Err(Malformed("attribute nested too deep"))
    );
}
