//! Series lines: a metric and its values, step by step.

use std::sync::Arc;

use model::staleness::STALE_NAN;
use model::{BucketSpan, Buckets, Histogram, Labels, ResetHint, Value};

use crate::lexer::parse_number;
use crate::native;

/// A value of a series line. `None`: no sample at this step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) value: Option<Value>,
    /// Whether the line says what is known of counter resets.
    pub(super) hinted: bool,
}

const MISSING: Item = Item { value: None, hinted: false };

/// Reads `metric{...} values`.
pub(super) fn parse(line: &str) -> Result<(Labels, Vec<Item>), String> {
    let (metric, values) = split(line)?;
    let items = items(values)?;
    Ok((labels(metric)?, items))
}

/// Reads the values of a series.
pub(super) fn items(values: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    for text in tokens(values)? {
        expand(&text, &mut items)?;
    }
    Ok(items)
}

/// For each step, when the sample's counter started, in milliseconds from the sample.
pub(super) type Offsets = Vec<Option<i64>>;

/// What comes behind the metric on a line that gives start timestamps.
const START_MARK: &str = "@st";

/// Reads `metric{...}@st offsets`. `None` where the line is none of that kind.
pub(super) fn parse_starts(line: &str) -> Result<Option<(Labels, Offsets)>, String> {
    let (metric, offsets) = split(line)?;
    let (metric, offsets) = match (metric.strip_suffix(START_MARK), offsets.strip_prefix(START_MARK)) {
        (Some(metric), _) => (metric, offsets),
        (None, Some(offsets)) => (metric, offsets),
        (None, None) => return Ok(None),
    };
    let mut all = Vec::new();
    for text in offsets.split_whitespace() {
        expand_starts(text, &mut all).ok_or_else(|| format!("no start timestamp: {text}"))?;
    }
    Ok(Some((labels(metric)?, all)))
}

fn expand_starts(text: &str, all: &mut Offsets) -> Option<()> {
    if let Some(rest) = text.strip_prefix('_') {
        let count = if rest.is_empty() { 1 } else { times(rest).ok()?? };
        all.extend(std::iter::repeat_n(None, count));
        return Some(());
    }
    let (body, count) = match text.rsplit_once('x') {
        Some((body, count)) => (body, count.parse::<usize>().ok()?),
        None => (text, 0),
    };
    let sign = body.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-')).map(|(at, _)| at);
    let (first, step) = body.split_at(sign.unwrap_or(body.len()));
    let step = if step.is_empty() { 0 } else { offset_ms(step)? };
    let mut offset = offset_ms(first)?;
    for _ in 0..=count {
        all.push(Some(offset));
        offset += step;
    }
    Some(())
}

fn offset_ms(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits == "0" {
        return Some(0);
    }
    let duration = model::parse_duration(digits).ok()?;
    Some(sign * i64::try_from(duration.as_millis()).ok()?)
}

/// Splits behind the closing brace, or the name where there are no braces.
pub(super) fn split(line: &str) -> Result<(&str, &str), String> {
    let (mut quote, mut escaped, mut braces) = (None, false, 0);
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some('`'), '\\') => {}
            (Some(_), '\\') => escaped = true,
            (Some(mark), c) if c == mark => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '{') => {
                if line[at..].starts_with("{{") {
                    return Ok(line.split_at(at));
                }
                braces += 1;
            }
            (None, '}') => {
                braces -= 1;
                if braces == 0 {
                    return Ok(line.split_at(at + 1));
                }
            }
            (None, ' ' | '\t') if braces == 0 => {
                if !line[at..].trim_start().starts_with('{') || line[at..].trim_start().starts_with("{{") {
                    return Ok(line.split_at(at));
                }
            }
            (None, _) => {}
        }
    }
    if braces == 0 { Ok((line, "")) } else { Err(format!("unclosed braces: {line}")) }
}

/// Reads a metric's name and labels.
pub(super) fn labels(metric: &str) -> Result<Labels, String> {
    let metric = metric.trim();
    if metric.is_empty() || metric == "{}" {
        return Ok(Labels::empty());
    }
    let matchers = crate::parser::parse_selector(metric).map_err(|e| e.to_string())?;
    Ok(Labels::from_pairs(matchers.iter().map(|m| (m.name(), m.value()))))
}

/// Splits at blanks outside of histograms.
fn tokens(text: &str) -> Result<Vec<String>, String> {
    let mut tokens = Vec::new();
    let mut current = String::new();
    let mut inside = false;
    let mut rest = text.trim();
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("{{") {
            inside = true;
        }
        if rest.starts_with("}}") {
            inside = false;
            current.push_str("}}");
            rest = &rest[2..];
            continue;
        }
        if !inside && c.is_whitespace() {
            if !current.is_empty() {
                tokens.push(std::mem::take(&mut current));
            }
        } else {
            current.push(c);
        }
        rest = &rest[c.len_utf8()..];
    }
    if inside {
        return Err(format!("unclosed histogram: {text}"));
    }
    if !current.is_empty() {
        tokens.push(current);
    }
    Ok(tokens)
}

fn expand(text: &str, items: &mut Vec<Item>) -> Result<(), String> {
    if let Some(rest) = text.strip_prefix('_') {
        let count = if rest.is_empty() { 1 } else { times(rest)?.ok_or("expected _xN")? };
        items.extend(std::iter::repeat_n(MISSING, count));
        return Ok(());
    }
    if text.starts_with("{{") {
        return expand_histogram(text, items);
    }
    let item = |value| Item { value: Some(Value::Float(value)), hinted: false };
    if let Some(value) = number(text) {
        items.push(item(value));
        return Ok(());
    }
    let (body, count) = text.rsplit_once('x').ok_or_else(|| format!("no value: {text}"))?;
    let count: usize = count.parse().map_err(|_| format!("no count: {text}"))?;
    // The sign that starts the increment is not the first character and not within an exponent.
    let sign = body
        .char_indices()
        .skip(1)
        .find(|(at, c)| matches!(c, '+' | '-') && !body[..*at].ends_with(['e', 'E']))
        .map(|(at, _)| at);
    let (start, step) = match sign {
        Some(at) => {
            let (start, step) = body.split_at(at);
            (start, number(step).ok_or_else(|| format!("no increment: {text}"))?)
        }
        None => (body, 0.0),
    };
    let mut value = number(start).ok_or_else(|| format!("no value: {text}"))?;
    for _ in 0..=count {
        items.push(item(value));
        value += step;
    }
    Ok(())
}

fn times(text: &str) -> Result<Option<usize>, String> {
    match text.strip_prefix('x') {
        None => Ok(None),
        Some(count) => count.parse().map(Some).map_err(|_| format!("no count: {text}")),
    }
}

/// A signed number, a duration, or one of the special values.
pub(super) fn number(text: &str) -> Option<f64> {
    if text == "stale" {
        return Some(STALE_NAN);
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || digits.starts_with(['+', '-']) {
        return None;
    }
    let value = match digits.to_ascii_lowercase().as_str() {
        "inf" => f64::INFINITY,
        "nan" => f64::from_bits(model::staleness::NORMAL_NAN_BITS),
        // `0x5` is zero, six times, and no hexadecimal number.
        lower if lower.starts_with("0x") => return None,
        lower => {
            parse_number(lower).or_else(|| model::parse_duration(digits).ok().map(|d| d.as_secs_f64()))?
        }
    };
    Some(sign * value)
}

fn expand_histogram(text: &str, items: &mut Vec<Item>) -> Result<(), String> {
    let end = text.find("}}").ok_or("unclosed histogram")? + 2;
    let (first, hinted) = histogram(&text[2..end - 2])?;
    let rest = &text[end..];
    let mut push = |h: &Histogram| {
        items.push(Item { value: Some(Value::Histogram(Arc::new(h.clone()))), hinted });
    };
    if rest.is_empty() {
        push(&first);
        return Ok(());
    }
    if let Some(count) = times(rest)? {
        (0..=count).for_each(|_| push(&first));
        return Ok(());
    }
    let (sign, rest) = rest.split_at(1);
    let end = rest.find("}}").ok_or_else(|| format!("no histogram: {text}"))? + 2;
    let step = rest.strip_prefix("{{").ok_or_else(|| format!("no histogram: {text}"))?;
    let (step, _) = histogram(&step[..end - 4])?;
    let count = times(&rest[end..])?.ok_or_else(|| format!("no count: {text}"))?;
    let mut current = first;
    for _ in 0..=count {
        push(&current);
        let next = if sign == "+" { native::add(&current, &step) } else { native::subtract(&current, &step) };
        let hint = current.reset_hint;
        current = next.map_err(|_| format!("histograms do not go together: {text}"))?.histogram;
        current.reset_hint = hint;
    }
    Ok(())
}

fn histogram(text: &str) -> Result<(Histogram, bool), String> {
    let mut h = Histogram { sum: 0.0, ..Histogram::stale() };
    let mut hinted = false;
    let (mut positive, mut negative) = ((0, Vec::new()), (0, Vec::new()));
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, tail) = rest.split_once(':').ok_or_else(|| format!("expected key:value in {text}"))?;
        let (value, tail) = match tail.strip_prefix('[') {
            Some(list) => list.split_once(']').ok_or_else(|| format!("unclosed list in {text}"))?,
            None => tail.split_at(tail.find(' ').unwrap_or(tail.len())),
        };
        let one = || number(value).ok_or_else(|| format!("no number: {key}:{value}"));
        let list = || -> Result<Vec<f64>, String> {
            value.split_whitespace().map(|v| number(v).ok_or_else(|| format!("no number: {v}"))).collect()
        };
        match key {
            "schema" => h.schema = one()? as i8,
            "sum" => h.sum = one()?,
            "count" => h.count = one()?,
            "z_bucket" => h.zero_count = one()?,
            "z_bucket_w" => h.zero_threshold = one()?,
            "custom_values" => h.custom_values = Some(list()?.into()),
            "buckets" => positive.1 = list()?,
            "n_buckets" => negative.1 = list()?,
            "offset" => positive.0 = one()? as i32,
            "n_offset" => negative.0 = one()? as i32,
            "counter_reset_hint" => {
                hinted = true;
                h.reset_hint = match value {
                    "unknown" => ResetHint::Unknown,
                    "reset" => ResetHint::Reset,
                    "not_reset" => ResetHint::NotReset,
                    "gauge" => ResetHint::Gauge,
                    _ => return Err(format!("unknown reset hint {value}")),
                };
            }
            _ => return Err(format!("unknown key {key}")),
        }
        rest = tail.trim_start();
    }
    let side = |(offset, counts): (i32, Vec<f64>)| {
        let length = u32::try_from(counts.len()).unwrap_or(u32::MAX);
        let spans = if counts.is_empty() { Vec::new() } else { vec![BucketSpan { offset, length }] };
        Buckets { spans, counts }
    };
    h.positive = side(positive);
    h.negative = side(negative);
    if h.has_custom_bounds() && h.custom_values.is_none() {
        h.custom_values = Some(Arc::from([]));
    }
    Ok((h, hinted))
}
