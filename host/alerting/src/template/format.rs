//! Values as Go prints them.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::{Value, time};

/// Field widths and precisions beyond this are refused rather than padded for.
const WIDTH_MAX: usize = 1024;

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

fn with_exponent(scientific: &str) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

fn special(value: f64) -> Option<&'static str> {
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

/// A value as `{{ value }}` prints it.
pub(super) fn print(value: &Value) -> String {
    match value {
        Value::Nil => "<no value>".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => go_float(*number),
        Value::Text(text) => text.to_string(),
        Value::Labels(labels) => {
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
            let values: Vec<_> = fields.values().map(print).collect();
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

/// Go's `printf`.
pub(super) fn printf(pattern: &str, arguments: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '+' | '0' | ' ' | '#')) {
            match flag {
                '-' => spec.left = true,
                '+' => spec.plus = true,
                '0' => spec.zero = true,
                _ => {}
            }
        }
        spec.width = width(&mut chars)?;
        if chars.next_if_eq(&'.').is_some() {
            spec.precision = Some(width(&mut chars)?);
        }
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match arguments.next() {
                None => out.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => out.push_str(&spec.pad(&spec.verb(verb, value), value)),
            },
        }
    }
    let extra: Vec<_> = arguments.map(|a| format!("{}={}", type_name(a), print(a))).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    Ok(out)
}

/// The number that comes next; zero where none does.
fn width(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<usize, String> {
    let mut width = 0;
    while let Some(digit) = chars.next_if(char::is_ascii_digit).and_then(|c| c.to_digit(10)) {
        width = width * 10 + digit as usize;
        if width > WIDTH_MAX {
            return Err(format!("width or precision above {WIDTH_MAX}"));
        }
    }
    Ok(width)
}

/// One verb's flags.
#[derive(Default)]
struct Spec {
    left: bool,
    plus: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
}

impl Spec {
    fn verb(&self, verb: char, value: &Value) -> String {
        let text = match (verb, value) {
            ('v', Value::Float(number)) => general(*number, self.precision),
            ('v', _) => print(value),
            ('g', Value::Float(number)) => general(*number, self.precision),
            ('G', Value::Float(number)) => general(*number, self.precision).replace('e', "E"),
            ('f' | 'F' | 'e' | 'E', Value::Float(number)) if special(*number).is_some() => print(value),
            ('f' | 'F', Value::Float(number)) => format!("{number:.*}", self.precision.unwrap_or(6)),
            ('e', Value::Float(number)) => {
                with_exponent(&format!("{number:.*e}", self.precision.unwrap_or(6)))
            }
            ('E', Value::Float(number)) => {
                with_exponent(&format!("{number:.*e}", self.precision.unwrap_or(6))).replace('e', "E")
            }
            ('d', Value::Int(number)) => number.to_string(),
            ('x', Value::Int(number)) => format!("{number:x}"),
            ('X', Value::Int(number)) => format!("{number:X}"),
            ('o', Value::Int(number)) => format!("{number:o}"),
            ('b', Value::Int(number)) => format!("{number:b}"),
            ('c', Value::Int(number)) => {
                u32::try_from(*number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}').to_string()
            }
            ('d', Value::Duration(nanos)) => nanos.to_string(),
            ('x', Value::Text(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
            ('X', Value::Text(text)) => text.bytes().map(|byte| format!("{byte:02X}")).collect(),
            ('s', Value::Time(_) | Value::Duration(_) | Value::Map(_)) => print(value),
            ('T', _) => type_name(value).to_owned(),
            ('t', Value::Bool(truth)) => truth.to_string(),
            ('s', Value::Text(text)) => match self.precision {
                Some(count) => text.chars().take(count).collect(),
                None => text.to_string(),
            },
            ('q', Value::Text(text)) => quote(text),
            ('s', Value::Labels(_) | Value::List(_)) => print(value),
            _ => return format!("%!{verb}({}={})", type_name(value), print(value)),
        };
        let number = matches!(value, Value::Int(_) | Value::Float(_));
        if self.plus && number && !text.starts_with(['-', '+', 'N']) { format!("+{text}") } else { text }
    }

    fn pad(&self, text: &str, value: &Value) -> String {
        let width = self.width;
        let missing = width.saturating_sub(text.chars().count());
        let number = matches!(value, Value::Int(_) | Value::Float(_));
        if self.left {
            format!("{text}{}", " ".repeat(missing))
        } else if self.zero && number && !text.ends_with(['f', 'N']) {
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+'])));
            format!("{sign}{}{digits}", "0".repeat(missing))
        } else {
            format!("{}{text}", " ".repeat(missing))
        }
    }
}
