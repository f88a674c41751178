//! Floats as text, in the notation that Go's ecosystem expects in expositions and label values.

use std::fmt::{self, Write};

/// Below this, and from [`EXPONENT_FROM`] on, Go's shortest notation (`%g`) uses an exponent.
const EXPONENT_BELOW: f64 = 1e-4;
const EXPONENT_FROM: f64 = 1e21;

/// The shortest text that reads back as `value`, with an exponent where the number is very large or small.
pub(crate) fn write_shortest(out: &mut String, value: f64) {
    if write_special(out, value) {
        return;
    }
    let magnitude = value.abs();
    if magnitude == 0.0 || (EXPONENT_BELOW..EXPONENT_FROM).contains(&magnitude) {
        put(out, format_args!("{value}"));
        return;
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', exponent),
            };
            put(out, format_args!("{mantissa}e{sign}{digits:0>2}"));
        }
        None => out.push_str(&text),
    }
}

/// As [`write_shortest`], but never looking like a whole number: `1` becomes `1.0`. OpenMetrics' canonical form
/// for the values of `le` and `quantile`, to which scraped ones are brought.
pub(crate) fn write_open_metrics(out: &mut String, value: f64) {
    let start = out.len();
    write_shortest(out, value);
    if value.is_finite() && !out.get(start..).is_some_and(|text| text.contains(['.', 'e'])) {
        out.push_str(".0");
    }
}

/// As [`write_open_metrics`], as a text of its own.
pub(crate) fn open_metrics(value: f64) -> String {
    let mut text = String::new();
    write_open_metrics(&mut text, value);
    text
}

/// The shortest decimal text without an exponent; the form of `le` and `quantile` that come from OTLP.
pub(crate) fn decimal(value: f64) -> String {
    let mut text = String::new();
    if !write_special(&mut text, value) {
        put(&mut text, format_args!("{value}"));
    }
    text
}

fn write_special(out: &mut String, value: f64) -> bool {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value == f64::INFINITY {
        out.push_str("+Inf");
    } else if value == f64::NEG_INFINITY {
        out.push_str("-Inf");
    } else {
        return false;
    }
    true
}

fn put(out: &mut String, text: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_go_writes_them() {
        for (value, shortest, labelled, plain) in [
            (0.0, "0", "0.0", "0"),
            (-1.0, "-1", "-1.0", "-1"),
            (0.005, "0.005", "0.005", "0.005"),
            (1e20, "100000000000000000000", "100000000000000000000.0", "100000000000000000000"),
            (1e21, "1e+21", "1e+21", "1000000000000000000000"),
            (2.5e-7, "2.5e-07", "2.5e-07", "0.00000025"),
            (f64::INFINITY, "+Inf", "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf", "-Inf"),
            (f64::NAN, "NaN", "NaN", "NaN"),
        ] {
            let mut text = String::new();
            write_shortest(&mut text, value);
            assert_eq!(
                (text.as_str(), open_metrics(value).as_str(), decimal(value).as_str()),
                (shortest, labelled, plain)
            );
        }
    }
}
