//! Attributes, between OTLP and the model.

use model::span::{Attribute, AttributeValue};

use super::proto;

pub(super) fn from_proto(attributes: Vec<proto::KeyValue>) -> Vec<Attribute> {
    attributes
        .into_iter()
        .map(|pair| Attribute {
            key: pair.key,
            value: pair.value.map_or(AttributeValue::Empty, value_from_proto),
        })
        .collect()
}

pub(super) fn value_from_proto(value: proto::AnyValue) -> AttributeValue {
    // At most one of the fields is there; they stand for a oneof.
    if let Some(text) = value.string_value {
        AttributeValue::String(text)
    } else if let Some(flag) = value.bool_value {
        AttributeValue::Bool(flag)
    } else if let Some(number) = value.int_value {
        AttributeValue::Int(number)
    } else if let Some(number) = value.double_value {
        AttributeValue::Double(number)
    } else if let Some(bytes) = value.bytes_value {
        AttributeValue::Bytes(bytes)
    } else if let Some(array) = value.array_value {
        AttributeValue::Array(array.values.into_iter().map(value_from_proto).collect())
    } else if let Some(list) = value.kvlist_value {
        AttributeValue::Map(from_proto(list.values))
    } else {
        AttributeValue::Empty
    }
}

pub(super) fn to_proto(attributes: &[Attribute]) -> Vec<proto::KeyValue> {
    attributes
        .iter()
        .map(|a| proto::KeyValue { key: a.key.clone(), value: Some(value_to_proto(&a.value)) })
        .collect()
}

fn value_to_proto(value: &AttributeValue) -> proto::AnyValue {
    let mut out = proto::AnyValue::default();
    match value {
        AttributeValue::String(text) => out.string_value = Some(text.clone()),
        AttributeValue::Bool(flag) => out.bool_value = Some(*flag),
        AttributeValue::Int(number) => out.int_value = Some(*number),
        AttributeValue::Double(number) => out.double_value = Some(*number),
        AttributeValue::Bytes(bytes) => out.bytes_value = Some(bytes.clone()),
        AttributeValue::Array(values) => {
            let values = values.iter().map(value_to_proto).collect();
            out.array_value = Some(proto::ArrayValue { values });
        }
        AttributeValue::Map(entries) => {
            out.kvlist_value = Some(proto::KeyValueList { values: to_proto(entries) });
        }
        AttributeValue::Empty => {}
    }
    out
}
