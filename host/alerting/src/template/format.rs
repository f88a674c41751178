//! Values as Go prints them.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::{Value, time};

/// Go's `%v` of a float: the shortest text that reads back, with an exponent from 1e+06 up and below 1e-04.
pub fn go_float(value: f64) -> String {
    general(value, None)
}

/// Go's `g` verb; `None` is the shortest text that reads back.
pub(super) fn general(value: f64, precision: Option<usize>) -> String {
    if let Some(special) = special(value) {
        return special.to_owned();
    }
    let scientific = match precision {
        None => format!("{value:e}"),
        Some(precision) => format!("{value:.*e}", precision.max(1) - 1),
    };
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa =
        if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count() as i32;
    // The point from which on Go uses an exponent; the shortest form decides as if its precision were 6.
    let limit = match precision {
        None => 6,
        Some(precision) => {
            let precision = precision.max(1) as i32;
            if precision > digits && digits > exponent { digits } else { precision }
        }
    };
    if exponent < -4 || exponent >= limit {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let decimals = (digits - 1 - exponent).max(0) as usize;
    // The mantissa already holds the rounded digits; moving its point keeps exactly those.
    shift(mantissa, exponent, decimals)
}

/// Go's `e` verb with the shortest mantissa, as the API prints alert values.
pub(crate) fn exponent(value: f64) -> String {
    if let Some(special) = special(value) {
        return special.to_owned();
    }
    with_exponent(&format!("{value:e}"))
}

pub(super) fn with_exponent(scientific: &str) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

pub(super) fn special(value: f64) -> Option<&'static str> {
    match value {
        v if v.is_nan() => Some("NaN"),
        f64::INFINITY => Some("+Inf"),
        f64::NEG_INFINITY => Some("-Inf"),
        _ => None,
    }
}

/// Writes `d.ddd * 10^exponent` without an exponent.
fn shift(mantissa: &str, exponent: i32, decimals: usize) -> String {
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |m| ("-", m));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let whole = if exponent < 0 {
        "0".to_owned()
    } else {
        let count = exponent as usize + 1;
        format!("{:0<count$}", digits.get(..count.min(digits.len())).unwrap_or_default())
    };
    if decimals == 0 {
        return format!("{sign}{whole}");
    }
    let start = usize::try_from(exponent + 1).unwrap_or(0);
    let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0));
    format!("{sign}{whole}.{zeros}{}", digits.get(start..).unwrap_or_default())
}

/// The fields of what templates see, in the order in which Go prints them.
const FIELDS: [&str; 4] = ["Labels", "ExternalLabels", "ExternalURL", "Value"];

/// A value as `{{ value }}` prints it, but for nothing at all, which that prints as `<no value>`.
pub(super) fn print(value: &Value) -> String {
    match value {
        Value::Nil => "<nil>".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => go_float(*number),
        Value::Text(text) => text.to_string(),
        Value::Labels(labels) | Value::Kv(labels) => {
            let pairs: Vec<_> = labels.iter().map(|(n, v)| format!("{n}:{v}")).collect();
            format!("map[{}]", pairs.join(" "))
        }
        Value::Map(map) => {
            let pairs: Vec<_> = map.iter().map(|(n, v)| format!("{n}:{}", print(v))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        Value::Time(nanos) => time::text(*nanos),
        Value::Duration(nanos) => time::duration(*nanos),
        Value::Fields(fields) => {
            let values: Vec<_> = FIELDS.iter().filter_map(|name| fields.get(name)).map(print).collect();
            format!("{{{}}}", values.join(" "))
        }
        Value::List(list) => {
            let values: Vec<_> = list.iter().map(print).collect();
            format!("[{}]", values.join(" "))
        }
    }
}

/// The type's name in Go.
pub(super) const fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Float(_) => "float64",
        Value::Text(_) => "string",
        Value::Labels(_) => "map[string]string",
        Value::Kv(_) => "template.KV",
        Value::Map(_) => "map[string]interface {}",
        Value::Time(_) => "*time.Time",
        Value::Duration(_) => "*time.Duration",
        Value::Fields(_) => "struct",
        Value::List(_) => "slice",
    }
}

/// A Go string literal of the text, for `%q`.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\u{b}' => quoted.push_str("\\v"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => quoted.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
