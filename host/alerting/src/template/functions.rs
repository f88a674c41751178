//! The functions that templates call: Go's own, and Prometheus' for numbers and text.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::cmp::Ordering;

use chrono::{DateTime, Utc};

use super::Value;
use super::format::{general, go_float, print, printf, type_name};

/// What can be called.
const KNOWN: [&str; 31] = [
    "and",
    "or",
    "not",
    "len",
    "index",
    "print",
    "println",
    "printf",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "toUpper",
    "toLower",
    "title",
    "match",
    "reReplaceAll",
    "stripPort",
    "stripDomain",
    "parseDuration",
    "value",
    "strvalue",
    "label",
    "first",
];

/// What Prometheus has beyond that.
const PLANNED: [&str; 18] = [
    "query",
    "args",
    "safeHtml",
    "graphLink",
    "tableLink",
    "sortByLabel",
    "toTime",
    "toDuration",
    "now",
    "pathPrefix",
    "externalURL",
    "urlQueryEscape",
    "html",
    "js",
    "urlquery",
    "slice",
    "call",
    "tmpl",
];

/// Whether there is such a function.
pub(super) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

/// Whether Prometheus has such a function and this server does not yet.
pub(super) fn is_planned(name: &str) -> bool {
    PLANNED.contains(&name)
}

/// Whether a value counts as true: not zero, not empty.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Nil => false,
        Value::Bool(truth) => *truth,
        Value::Int(number) => *number != 0,
        Value::Float(number) => *number != 0.0,
        Value::Text(text) => !text.is_empty(),
        Value::Labels(labels) => !labels.is_empty(),
        Value::Fields(_) => true,
        Value::List(list) => !list.is_empty(),
    }
}

/// Calls a function. What it makes is at most about `bytes_max` bytes long.
pub(super) fn call(name: &str, arguments: &[Value], bytes_max: usize) -> Result<Value, String> {
    let value = match (name, arguments) {
        ("and", [first, rest @ ..]) => choose(first, rest, false),
        ("or", [first, rest @ ..]) => choose(first, rest, true),
        ("not", [value]) => Value::Bool(!truth(value)),
        ("len", [value]) => Value::Int(length(value)? as i64),
        ("index", [value, keys @ ..]) => index(value, keys)?,
        ("print", values) => joined(values, false).into(),
        ("println", values) => (joined(values, true) + "\n").into(),
        ("printf", [Value::Text(pattern), values @ ..]) => printf(pattern, values)?.into(),
        ("eq", [first, others @ ..]) if !others.is_empty() => {
            let mut equal = false;
            for other in others {
                equal |= compare(first, other)? == Some(Ordering::Equal);
            }
            Value::Bool(equal)
        }
        ("ne", [a, b]) => Value::Bool(compare(a, b)? != Some(Ordering::Equal)),
        ("lt", [a, b]) => Value::Bool(compare(a, b)? == Some(Ordering::Less)),
        ("le", [a, b]) => Value::Bool(compare(a, b)?.is_some_and(Ordering::is_le)),
        ("gt", [a, b]) => Value::Bool(compare(a, b)? == Some(Ordering::Greater)),
        ("ge", [a, b]) => Value::Bool(compare(a, b)?.is_some_and(Ordering::is_ge)),
        ("humanize", [value]) => humanize(number(value)?).into(),
        ("humanize1024", [value]) => humanize1024(number(value)?).into(),
        ("humanizeDuration", [value]) => humanize_duration(number(value)?).into(),
        ("humanizePercentage", [value]) => format!("{}%", general(number(value)? * 100.0, Some(4))).into(),
        ("humanizeTimestamp", [value]) => humanize_timestamp(number(value)?)?.into(),
        ("toUpper", [Value::Text(text)]) => text.to_uppercase().into(),
        ("toLower", [Value::Text(text)]) => text.to_lowercase().into(),
        ("title", [Value::Text(text)]) => title(text).into(),
        ("match", [Value::Text(pattern), Value::Text(text)]) => Value::Bool(regex(pattern)?.is_match(text)),
        ("reReplaceAll", [Value::Text(pattern), Value::Text(by), Value::Text(text)]) => {
            let replaced = regex(pattern)?.replace_all(text, &**by);
            if replaced.len() > bytes_max {
                return Err(format!("result is larger than {bytes_max} bytes"));
            }
            replaced.into_owned().into()
        }
        ("stripPort", [Value::Text(text)]) => strip_port(text).into(),
        ("stripDomain", [Value::Text(text)]) => {
            let (host, port) = text.rsplit_once(':').map_or((&**text, ""), |(host, port)| (host, port));
            let bare = host.split_once('.').map_or(host, |(first, _)| first);
            let is_address = host.parse::<std::net::IpAddr>().is_ok();
            match (is_address, port) {
                (true, _) => text.to_string().into(),
                (false, "") => bare.into(),
                (false, port) => format!("{bare}:{port}").into(),
            }
        }
        ("parseDuration", [Value::Text(text)]) => {
            Value::Float(model::parse_duration(text).map_err(|e| e.to_string())?.as_secs_f64())
        }
        ("first", [Value::List(list)]) => {
            list.first().cloned().ok_or("first() called on vector with no elements")?
        }
        ("value", [sample]) => sample_field(sample, "Value")?,
        ("label", [Value::Text(name), sample]) => match sample_field(sample, "Labels")? {
            Value::Labels(labels) => labels.get(name).unwrap_or_default().into(),
            _ => return Err("not a sample".to_owned()),
        },
        ("strvalue", [sample]) => match sample_field(sample, "Labels")? {
            Value::Labels(labels) => labels.get("__value__").unwrap_or_default().into(),
            _ => return Err("not a sample".to_owned()),
        },
        _ => {
            let types: Vec<_> = arguments.iter().map(type_name).collect();
            return Err(format!("wrong number or type of arguments ({})", types.join(", ")));
        }
    };
    Ok(value)
}

fn choose(first: &Value, rest: &[Value], wanted: bool) -> Value {
    let mut chosen = first;
    for value in rest {
        if truth(chosen) == wanted {
            break;
        }
        chosen = value;
    }
    chosen.clone()
}

fn length(value: &Value) -> Result<usize, String> {
    match value {
        Value::Text(text) => Ok(text.len()),
        Value::Labels(labels) => Ok(labels.count()),
        Value::List(list) => Ok(list.len()),
        other => Err(format!("len of type {}", type_name(other))),
    }
}

fn index(value: &Value, keys: &[Value]) -> Result<Value, String> {
    let mut value = value.clone();
    for key in keys {
        value = match (&value, key) {
            (Value::Labels(labels), Value::Text(name)) => labels.get(name).unwrap_or_default().into(),
            (Value::List(list), Value::Int(at)) => usize::try_from(*at)
                .ok()
                .and_then(|at| list.get(at))
                .cloned()
                .ok_or_else(|| format!("index out of range: {at}"))?,
            (other, key) => {
                return Err(format!("can't index item of type {} with {}", type_name(other), type_name(key)));
            }
        };
    }
    Ok(value)
}

/// Go's `Sprint` puts spaces between operands that are no texts, `Sprintln` between all.
fn joined(values: &[Value], always: bool) -> String {
    let mut out = String::new();
    let mut after_text = true;
    for (at, value) in values.iter().enumerate() {
        let text = matches!(value, Value::Text(_));
        if at > 0 && (always || !(text || after_text)) {
            out.push(' ');
        }
        out.push_str(&print(value));
        after_text = text;
    }
    out
}

/// Numbers compare with numbers of their own kind only, as in Go. NaN is not comparable to anything.
fn compare(a: &Value, b: &Value) -> Result<Option<Ordering>, String> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
        (Value::Bool(a), Value::Bool(b)) => Ok(Some(a.cmp(b))),
        (Value::Nil, Value::Nil) => Ok(Some(Ordering::Equal)),
        (a, b) => Err(format!("incompatible types for comparison ({} and {})", type_name(a), type_name(b))),
    }
}

/// Numbers, and texts that are numbers: Prometheus' functions take both.
fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Float(number) => Ok(*number),
        Value::Int(number) => Ok(*number as f64),
        Value::Text(text) => text.parse().map_err(|_| format!("can't convert {text:?} to float64")),
        other => Err(format!("can't convert {} to float", type_name(other))),
    }
}

fn sample_field(sample: &Value, field: &str) -> Result<Value, String> {
    match sample {
        Value::Fields(fields) => fields.get(field).cloned().ok_or_else(|| "not a sample".to_owned()),
        other => Err(format!("{} is not a sample", type_name(other))),
    }
}

fn regex(pattern: &str) -> Result<regex::Regex, String> {
    regex::RegexBuilder::new(pattern).size_limit(1 << 20).build().map_err(|e| e.to_string())
}

/// Upper case for the first letter of each word, the others as they are.
fn title(text: &str) -> String {
    let mut start = true;
    text.chars()
        .flat_map(|c| {
            let upper = start && c.is_alphabetic();
            start = !(c.is_alphanumeric() || c == '_');
            let mut both = (c.to_uppercase(), Some(c));
            std::iter::from_fn(move || if upper { both.0.next() } else { both.1.take() })
        })
        .collect()
}

fn strip_port(text: &str) -> &str {
    match text.rsplit_once(':') {
        Some((host, _)) if host.starts_with('[') => {
            host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
        }
        Some((host, _)) if !host.contains(':') => host,
        _ => text,
    }
}

const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

fn four(value: f64) -> String {
    general(value, Some(4))
}

/// The value below one in the largest prefix that brings it to one or more.
fn small(mut value: f64) -> String {
    let mut prefix = "";
    for next in SMALL {
        if value.abs() >= 1.0 {
            break;
        }
        prefix = next;
        value *= 1000.0;
    }
    format!("{}{prefix}", four(value))
}

fn large(mut value: f64, base: f64, prefixes: [&str; 8]) -> String {
    let mut prefix = "";
    for next in prefixes {
        if value.abs() < base {
            break;
        }
        prefix = next;
        value /= base;
    }
    format!("{}{prefix}", four(value))
}

fn humanize(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        four(value)
    } else if value.abs() >= 1.0 {
        large(value, 1000.0, ["k", "M", "G", "T", "P", "E", "Z", "Y"])
    } else {
        small(value)
    }
}

fn humanize1024(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return four(value);
    }
    large(value, 1024.0, ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"])
}

fn humanize_duration(value: f64) -> String {
    if !value.is_finite() {
        return four(value);
    }
    if value == 0.0 {
        return format!("{}s", four(value));
    }
    if value.abs() < 1.0 {
        return format!("{}s", small(value));
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let whole = value.abs() as u64;
    let (days, hours, minutes, seconds) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60, whole % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{}s", four(value)),
        (0, 0, _) => format!("{sign}{minutes}m {seconds}s"),
        (0, _, _) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }
}

fn humanize_timestamp(seconds: f64) -> Result<String, String> {
    if !seconds.is_finite() {
        return Ok(four(seconds));
    }
    // Nanoseconds in 64 bits end in the year 2262.
    if seconds.abs() > 9.2e9 {
        return Err(format!("{} cannot be represented as a time", go_float(seconds)));
    }
    let at = DateTime::<Utc>::from_timestamp_nanos((seconds * 1e9) as i64);
    let text = at.format("%Y-%m-%d %H:%M:%S%.9f").to_string();
    Ok(format!("{} +0000 UTC", text.trim_end_matches('0').trim_end_matches('.')))
}
