//! The functions that templates call: Go's own, and Prometheus' for numbers and text.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::cmp::Ordering;
use std::sync::Arc;

use super::Value;
use super::format::{general, go_float, print, type_name};
use super::printf::printf;
use super::{parse, time};

/// What Prometheus adds to the language. `query`, `now`, `externalURL` and `pathPrefix` depend on the evaluation and are known where the
/// template is executed; the others are here.
const PROMETHEUS: [&str; 29] = [
    "args",
    "externalURL",
    "first",
    "graphLink",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "label",
    "match",
    "now",
    "parseDuration",
    "pathPrefix",
    "query",
    "reReplaceAll",
    "safeHtml",
    "sortByLabel",
    "stripDomain",
    "stripPort",
    "strvalue",
    "tableLink",
    "title",
    "toDuration",
    "toLower",
    "toTime",
    "toUpper",
    "urlQueryEscape",
    "value",
];

/// What Alertmanager adds for the texts of notifications, beside those of Prometheus' that it has too.
const ALERTMANAGER: [&str; 12] = [
    "append",
    "date",
    "dict",
    "join",
    "list",
    "safeUrl",
    "since",
    "stringSlice",
    "toJson",
    "trimSpace",
    "tz",
    "urlUnescape",
];

/// Whose functions a template has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Prometheus': labels and annotations of rules.
    Rule,
    /// Alertmanager's: the texts of notifications.
    Notification,
}

/// What Go's language brings.
const GO: [&str; 19] = [
    "and", "or", "not", "len", "index", "slice", "print", "println", "printf", "html", "js", "urlquery",
    "call", "eq", "ne", "lt", "le", "gt", "ge",
];

/// Prometheus' own functions.
pub(super) fn prometheus() -> &'static [&'static str] {
    &PROMETHEUS
}

/// Whether there is such a function.
pub(super) fn is_known(name: &str, dialect: Dialect) -> bool {
    GO.contains(&name)
        || PROMETHEUS.contains(&name)
        || dialect == Dialect::Notification && ALERTMANAGER.contains(&name)
}

/// What nothing is printed as where it is all there is.
pub(super) const NO_VALUE: &str = "<no value>";

/// Whether a value counts as true: not zero, not empty.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Nil => false,
        Value::Bool(truth) => *truth,
        Value::Int(number) => *number != 0,
        Value::Float(number) => *number != 0.0,
        Value::Text(text) => !text.is_empty(),
        Value::Labels(labels) | Value::Kv(labels) => !labels.is_empty(),
        Value::Map(map) => !map.is_empty(),
        Value::Fields(_) | Value::Time(_) => true,
        Value::Duration(nanos) => *nanos != 0,
        Value::List(list) => !list.is_empty(),
    }
}

/// Calls a function. What it makes is at most about `bytes_max` bytes long.
pub(super) fn call(name: &str, arguments: &[Value], bytes_max: usize) -> Result<Value, String> {
    let value = match (name, arguments) {
        ("not", [value]) => Value::Bool(!truth(value)),
        ("len", [value]) => Value::Int(length(value)? as i64),
        ("index", [value, keys @ ..]) => index(value, keys)?,
        ("slice", [value, bounds @ ..]) if bounds.len() <= 3 => slice(value, bounds)?,
        ("call", _) => return Err("there is no value that is a function".to_owned()),
        ("html", values) => html(&shown(values)).into(),
        ("js", values) => js(&shown(values)).into(),
        ("urlquery", values) => escape_query(&shown(values)).into(),
        ("safeHtml", [Value::Text(text)]) => text.to_string().into(),
        ("urlQueryEscape", [Value::Text(text)]) => escape_query(text).into(),
        ("graphLink", [Value::Text(expr)]) => {
            format!("/graph?g0.expr={}&g0.tab=0", escape_query(expr)).into()
        }
        ("tableLink", [Value::Text(expr)]) => {
            format!("/graph?g0.expr={}&g0.tab=1", escape_query(expr)).into()
        }
        ("args", values) => {
            let named = values.iter().enumerate().map(|(at, value)| (format!("arg{at}"), value.clone()));
            Value::Map(Arc::new(named.collect()))
        }
        ("sortByLabel", [Value::Text(name), Value::List(samples)]) => {
            let mut samples = samples.to_vec();
            let key = |sample: &Value| match sample_field(sample, "Labels") {
                Ok(Value::Labels(labels)) => labels.get(name).unwrap_or_default().to_owned(),
                _ => String::new(),
            };
            samples.sort_by_cached_key(key);
            Value::List(Arc::new(samples))
        }
        ("toTime", [value]) => Value::Time(time_of(number(value)?)?),
        ("toDuration", [value]) => Value::Duration(nanos(number(value)?)?),
        ("print", values) => joined(values, false).into(),
        ("println", values) => (joined(values, true) + "\n").into(),
        ("printf", [Value::Text(pattern), values @ ..]) => printf(pattern, values)?.into(),
        ("eq", [first, others @ ..]) if !others.is_empty() => {
            let mut equal = false;
            for other in others {
                equal |= equals(first, other)?;
            }
            Value::Bool(equal)
        }
        ("ne", [a, b]) => Value::Bool(!equals(a, b)?),
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
        ("join", [Value::Text(separator), Value::List(list)]) => {
            let texts: Vec<_> = list.iter().map(print).collect();
            texts.join(separator).into()
        }
        ("trimSpace", [Value::Text(text)]) => text.trim().into(),
        ("safeUrl", [Value::Text(text)]) => text.to_string().into(),
        ("urlUnescape", [Value::Text(text)]) => unescape_query(text)?.into(),
        ("list" | "stringSlice", values) => Value::List(Arc::new(values.to_vec())),
        ("append", [Value::List(list), values @ ..]) => {
            Value::List(Arc::new(list.iter().chain(values).cloned().collect()))
        }
        ("dict", values) if values.len().is_multiple_of(2) => Value::Map(Arc::new(
            values
                .chunks_exact(2)
                .filter_map(|pair| Some((print(pair.first()?), pair.get(1)?.clone())))
                .collect(),
        )),
        ("date", [Value::Text(layout), Value::Time(nanos)]) => time::format(*nanos, layout).into(),
        ("tz", [Value::Text(zone), Value::Time(nanos)]) => match &**zone {
            "" | "UTC" => Value::Time(*nanos),
            other => return Err(format!("unknown time zone {other}: only UTC is known here")),
        },
        ("toJson", [value]) => json(value).to_string().into(),
        _ => {
            let types: Vec<_> = arguments.iter().map(type_name).collect();
            return Err(format!("wrong number or type of arguments ({})", types.join(", ")));
        }
    };
    Ok(value)
}

fn length(value: &Value) -> Result<usize, String> {
    match value {
        Value::Text(text) => Ok(text.len()),
        Value::Labels(labels) | Value::Kv(labels) => Ok(labels.count()),
        Value::Map(map) => Ok(map.len()),
        Value::List(list) => Ok(list.len()),
        other => Err(format!("len of type {}", type_name(other))),
    }
}

fn index(value: &Value, keys: &[Value]) -> Result<Value, String> {
    let mut value = value.clone();
    for key in keys {
        value = match (&value, key) {
            (Value::Labels(labels) | Value::Kv(labels), Value::Text(name)) => {
                labels.get(name).unwrap_or_default().into()
            }
            (Value::Map(map), Value::Text(name)) => map.get(&**name).cloned().unwrap_or(Value::Nil),
            (Value::Text(text), Value::Int(at)) => usize::try_from(*at)
                .ok()
                .and_then(|at| text.as_bytes().get(at))
                .map(|byte| Value::Int(i64::from(*byte)))
                .ok_or_else(|| format!("index out of range: {at}"))?,
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

/// As [`joined`]; nothing is shown as where it is printed alone.
fn shown(values: &[Value]) -> String {
    let value = |value: &Value| match value {
        Value::Nil => NO_VALUE.into(),
        value => value.clone(),
    };
    joined(&values.iter().map(value).collect::<Vec<_>>(), false)
}

/// Whether two values are the same. Nothing is comparable with everything, and equal to itself.
fn equals(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (a, b) => Ok(compare(a, b)? == Some(Ordering::Equal)),
    }
}

/// Numbers compare with numbers of their own kind only, as in Go. NaN is not comparable to anything.
fn compare(a: &Value, b: &Value) -> Result<Option<Ordering>, String> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
        (Value::Time(a), Value::Time(b)) | (Value::Duration(a), Value::Duration(b)) => Ok(Some(a.cmp(b))),
        (a, b) => Err(format!("incompatible types for comparison ({} and {})", type_name(a), type_name(b))),
    }
}

/// Numbers, and texts that are numbers: Prometheus' functions take both.
fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Float(number) => Ok(*number),
        Value::Int(number) => Ok(*number as f64),
        Value::Duration(nanos) => Ok(*nanos as f64 / 1e9),
        Value::Text(text) => parse::float(text).ok_or_else(|| format!("can't convert {text:?} to float64")),
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
    Ok(print(&Value::Time(time_of(seconds)?)))
}

/// Seconds as a time, which has the milliseconds of a sample's, as in Prometheus.
fn time_of(seconds: f64) -> Result<i64, String> {
    Ok(nanos(seconds)? / 1_000_000 * 1_000_000)
}

/// Seconds as the nanoseconds of Go's times and durations, which end in the year 2262.
fn nanos(seconds: f64) -> Result<i64, String> {
    if !seconds.is_finite() || seconds.abs() > 9.2e9 {
        return Err(format!("{} cannot be represented as a time", go_float(seconds)));
    }
    Ok((seconds * 1e9) as i64)
}

/// A value as JSON.
fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Nil => serde_json::Value::Null,
        Value::Bool(truth) => (*truth).into(),
        Value::Int(number) | Value::Duration(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Text(text) => (&**text).into(),
        Value::Labels(labels) | Value::Kv(labels) => {
            labels.iter().map(|(name, value)| (name.to_owned(), serde_json::Value::from(value))).collect()
        }
        Value::Map(map) => map.iter().map(|(name, value)| (name.clone(), json(value))).collect(),
        Value::Fields(fields) => {
            fields.iter().map(|(name, value)| ((*name).to_owned(), json(value))).collect()
        }
        Value::List(list) => list.iter().map(json).collect(),
        Value::Time(nanos) => time::format(*nanos, "2006-01-02T15:04:05.999999999Z07:00").into(),
    }
}

/// The inverse of [`escape_query`].
fn unescape_query(text: &str) -> Result<String, String> {
    let wrong = || format!("invalid URL escape in {text:?}");
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit().ok_or_else(wrong)?, digit().ok_or_else(wrong)?);
                u8::try_from(high * 16 + low).map_err(|_| wrong())?
            }
            other => other,
        });
    }
    String::from_utf8(out).map_err(|_| wrong())
}

/// Whether a map of a notification's labels, or a list of its alerts or of pairs, has a method of that name.
pub(super) fn is_method(value: &Value, name: &str) -> bool {
    match value {
        Value::Kv(_) => matches!(name, "SortedPairs" | "Names" | "Values" | "Remove"),
        Value::List(_) => matches!(name, "Firing" | "Resolved" | "Names" | "Values"),
        _ => false,
    }
}

/// A list of texts.
fn texts<'a>(texts: impl Iterator<Item = &'a str>) -> Value {
    Value::List(Arc::new(texts.map(Value::from).collect()))
}

/// Names and values, the name of the alert first, then by name.
fn sorted_pairs(labels: &model::Labels) -> Vec<(&str, &str)> {
    const ALERT_NAME: &str = "alertname";
    let first = labels.get(ALERT_NAME).map(|value| (ALERT_NAME, value));
    first.into_iter().chain(labels.iter().filter(|(name, _)| *name != ALERT_NAME)).collect()
}

/// A field of each of a list's values that has it.
fn each<'a>(list: &'a [Value], field: &'a str) -> impl Iterator<Item = (&'a Value, &'a Value)> {
    list.iter().filter_map(move |item| match item {
        Value::Fields(fields) => Some((item, fields.get(field)?)),
        _ => None,
    })
}

/// What a method of a time or duration yields, or one of a notification's labels and alerts.
pub(super) fn method(value: &Value, name: &str, arguments: &[Value]) -> Result<Value, String> {
    let value = match (value, name, arguments) {
        (Value::Kv(labels), "SortedPairs", []) => {
            let pair = |(name, value): (&str, &str)| {
                Value::Fields(Arc::new(std::collections::BTreeMap::from([
                    ("Name", Value::from(name)),
                    ("Value", Value::from(value)),
                ])))
            };
            Value::List(Arc::new(sorted_pairs(labels).into_iter().map(pair).collect()))
        }
        (Value::Kv(labels), "Names", []) => texts(sorted_pairs(labels).into_iter().map(|(name, _)| name)),
        (Value::Kv(labels), "Values", []) => texts(sorted_pairs(labels).into_iter().map(|(_, value)| value)),
        (Value::Kv(labels), "Remove", [Value::List(names)]) => {
            let gone = |name: &str| names.iter().any(|n| matches!(n, Value::Text(text) if **text == *name));
            Value::Kv(model::Labels::from_pairs(labels.iter().filter(|(name, _)| !gone(name))))
        }
        (Value::List(alerts), "Firing" | "Resolved", []) => {
            let status = name.to_lowercase();
            let of_it = each(alerts, "Status").filter(|(_, text)| **text == Value::from(&*status));
            Value::List(Arc::new(of_it.map(|(alert, _)| alert.clone()).collect()))
        }
        (Value::List(pairs), "Names", []) => {
            Value::List(Arc::new(each(pairs, "Name").map(|(_, name)| name.clone()).collect()))
        }
        (Value::List(pairs), "Values", []) => {
            Value::List(Arc::new(each(pairs, "Value").map(|(_, value)| value.clone()).collect()))
        }
        (Value::Duration(nanos), "Seconds", []) => Value::Float(*nanos as f64 / 1e9),
        (Value::Duration(nanos), "Minutes", []) => Value::Float(*nanos as f64 / 60e9),
        (Value::Duration(nanos), "Hours", []) => Value::Float(*nanos as f64 / 3600e9),
        (Value::Duration(nanos), "Milliseconds", []) => Value::Int(nanos / 1_000_000),
        (Value::Duration(_) | Value::Time(_), "String", []) => print(value).into(),
        (Value::Time(nanos), "Unix", []) => Value::Int(nanos.div_euclid(1_000_000_000)),
        (Value::Time(nanos), "UnixMilli", []) => Value::Int(nanos.div_euclid(1_000_000)),
        (Value::Time(_), "UTC", []) => value.clone(),
        (Value::Time(nanos), "Format", [Value::Text(layout)]) => time::format(*nanos, layout).into(),
        // The zero of Go's times is the year 1, which is none of ours.
        (Value::Time(_), "IsZero", []) => Value::Bool(false),
        (Value::Time(time), "Before", [Value::Time(other)]) => Value::Bool(time < other),
        (Value::Time(time), "After", [Value::Time(other)]) => Value::Bool(time > other),
        (Value::Time(time), "Equal", [Value::Time(other)]) => Value::Bool(time == other),
        (Value::Time(nanos), part, []) => time::part(*nanos, part)?,
        (Value::Time(time), "Add", [Value::Duration(by)]) => {
            Value::Time(time.checked_add(*by).ok_or("the time cannot be represented")?)
        }
        (Value::Time(time), "Sub", [Value::Time(other)]) => {
            Value::Duration(time.checked_sub(*other).ok_or("the duration cannot be represented")?)
        }
        (other, _, _) => return Err(format!("can't evaluate field {name} in type {}", type_name(other))),
    };
    Ok(value)
}

/// Part of a text or list, in bytes or elements.
fn slice(value: &Value, bounds: &[Value]) -> Result<Value, String> {
    let mut at = Vec::with_capacity(bounds.len());
    for bound in bounds {
        match bound {
            Value::Int(bound) => at.push(usize::try_from(*bound).map_err(|_| out_of_range(*bound))?),
            other => return Err(format!("cannot index slice/array with type {}", type_name(other))),
        }
    }
    if matches!(value, Value::Text(_)) && bounds.len() > 2 {
        return Err("cannot 3-index slice a string".to_owned());
    }
    let length = length(value)?;
    let (start, end) = (at.first().copied().unwrap_or(0), at.get(1).copied().unwrap_or(length));
    if end > length || start > end {
        return Err(out_of_range(end as i64));
    }
    match value {
        // Go counts bytes; half a character is told as one that cannot be read.
        Value::Text(text) => {
            let bytes = text.as_bytes().get(start..end).unwrap_or_default();
            Ok(String::from_utf8_lossy(bytes).into_owned().into())
        }
        Value::List(list) => Ok(Value::List(Arc::new(list.get(start..end).unwrap_or_default().to_vec()))),
        other => Err(format!("can't slice item of type {}", type_name(other))),
    }
}

fn out_of_range(at: i64) -> String {
    format!("index out of range: {at}")
}

pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str(r"\\"),
            '\'' => out.push_str(r"\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Escapes for the query part of a URL, as Go's `url.QueryEscape`.
pub(crate) fn escape_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
