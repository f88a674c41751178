//! OTLP's JSON, where it differs from what serde would do: 64-bit integers are texts or numbers, floats may be
//! `"NaN"` and the like, ids are hexadecimal, and an explicit `null` is the same as nothing. Enums are numbers;
//! their names, which the specification forbids and some senders write, are understood too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::DecodeError;

/// Reads one request.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let malformed =
        |e: serde_json::Error| DecodeError::Malformed { format: "OTLP JSON", what: e.to_string() };
    let mut value: Value = serde_json::from_slice(bytes).map_err(malformed)?;
    drop_nulls(&mut value);
    T::deserialize(value).map_err(malformed)
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn to_u64<E: Error>(value: &Value) -> Result<u64, E> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| E::custom(format_args!("expected an unsigned 64-bit integer, got {value}")))
}

fn to_i64<E: Error>(value: &Value) -> Result<i64, E> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| E::custom(format_args!("expected a 64-bit integer, got {value}")))
}

fn to_f64<E: Error>(value: &Value) -> Result<f64, E> {
    match value {
        Value::Number(number) => number.as_f64(),
        // "NaN", "Infinity" and "-Infinity" are among the texts that Rust reads as floats.
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| E::custom(format_args!("expected a number, got {value}")))
}

pub(super) fn u64<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    to_u64(&Value::deserialize(from)?)
}

pub(super) fn some_i64<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    to_i64(&Value::deserialize(from)?).map(Some)
}

pub(super) fn f64<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    to_f64(&Value::deserialize(from)?)
}

pub(super) fn some_f64<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    f64(from).map(Some)
}

pub(super) fn vec_u64<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u64>, D::Error> {
    Vec::<Value>::deserialize(from)?.iter().map(to_u64).collect()
}

pub(super) fn vec_f64<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    Vec::<Value>::deserialize(from)?.iter().map(to_f64).collect()
}

/// Ids, of any length: whether it is right is not for the syntax to say.
pub(super) fn hex<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|d| d as u8);
    let bytes = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    bytes.collect::<Option<_>>().ok_or_else(|| D::Error::custom(format_args!("not hexadecimal: {text:?}")))
}

pub(super) fn some_base64<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
    BASE64.decode(String::deserialize(from)?).map(Some).map_err(D::Error::custom)
}

fn enumeration<'de, D: Deserializer<'de>>(from: D, names: &[&str]) -> Result<i32, D::Error> {
    let value = Value::deserialize(from)?;
    match &value {
        Value::Number(number) => number.as_i64().and_then(|n| i32::try_from(n).ok()),
        Value::String(text) => names.iter().position(|name| name == text).map(|at| at as i32),
        _ => None,
    }
    .ok_or_else(|| D::Error::custom(format_args!("expected the number of one of {names:?}, got {value}")))
}

pub(super) fn temporality<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
    enumeration(
        from,
        &[
            "AGGREGATION_TEMPORALITY_UNSPECIFIED",
            "AGGREGATION_TEMPORALITY_DELTA",
            "AGGREGATION_TEMPORALITY_CUMULATIVE",
        ],
    )
}

pub(super) fn span_kind<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
    enumeration(
        from,
        &[
            "SPAN_KIND_UNSPECIFIED",
            "SPAN_KIND_INTERNAL",
            "SPAN_KIND_SERVER",
            "SPAN_KIND_CLIENT",
            "SPAN_KIND_PRODUCER",
            "SPAN_KIND_CONSUMER",
        ],
    )
}

pub(super) fn status_code<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
    enumeration(from, &["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"])
}
