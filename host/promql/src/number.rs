//! Floats as Prometheus writes them, which differs from place to place.

/// As sample values are written in the HTTP API: the shortest decimal text that reads back as the same float, with
/// an exponent below a millionth and from 21 digits on, and `+Inf`, `-Inf`, `NaN`.
pub fn format_float(value: f64) -> String {
    let size = value.abs();
    if value != 0.0 && value.is_finite() && !(1e-6..1e21).contains(&size) {
        return with_exponent(value);
    }
    format_plain(value)
}

/// Without exponent however long it gets, as `count_values` names values.
pub(crate) fn format_plain(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        format!("{value}")
    }
}

/// As Go's `%g` and `%v`, with which queries, errors and annotations are written: an exponent below 1e-4 and from
/// a million on.
pub(crate) fn format_general(value: f64) -> String {
    let size = value.abs();
    if value != 0.0 && value.is_finite() && !(1e-4..1e6).contains(&size) {
        // What has more digits than that before its point has an exponent too.
        return with_exponent(value);
    }
    format_plain(value)
}

/// The shortest digits with an exponent of at least two digits.
fn with_exponent(value: f64) -> String {
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, number) = exponent.strip_prefix('-').map_or(('+', exponent), |n| ('-', n));
    format!("{digits}e{sign}{number:0>2}")
}

/// As Go's `%.2g`: two digits that count.
pub(crate) fn format_two_digits(value: f64) -> String {
    match format!("{value:.1e}").parse() {
        Ok(rounded) if value.is_finite() => {
            let rounded: f64 = rounded;
            // Two digits hold numbers up to 99 without an exponent.
            if rounded != 0.0 && !(1e-4..100.0).contains(&rounded.abs()) {
                with_exponent(rounded)
            } else {
                format_plain(rounded)
            }
        }
        _ => format_plain(value),
    }
}

/// As [`format_general`], but whole numbers keep a `.0`, as label values of OpenMetrics do.
pub(crate) fn format_open_metrics(value: f64) -> String {
    let text = format_general(value);
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') { text + ".0" } else { text }
}

#[cfg(test)]
mod tests {
    use super::{format_float, format_general, format_open_metrics, format_plain, format_two_digits};

    #[test]
    fn floats_read_as_prometheus_writes_them() {
        for (value, api, general, plain) in [
            (1.0, "1", "1", "1"),
            (0.1, "0.1", "0.1", "0.1"),
            (123_456.0, "123456", "123456", "123456"),
            (1e6, "1000000", "1e+06", "1000000"),
            (123_456_789.0, "123456789", "1.23456789e+08", "123456789"),
            (1e20, "100000000000000000000", "1e+20", "100000000000000000000"),
            (1e21, "1e+21", "1e+21", "1000000000000000000000"),
            (0.0001, "0.0001", "0.0001", "0.0001"),
            (0.00001, "0.00001", "1e-05", "0.00001"),
            (1.5e-7, "1.5e-07", "1.5e-07", "0.00000015"),
            (-0.0, "-0", "-0", "-0"),
            (f64::INFINITY, "+Inf", "+Inf", "+Inf"),
            (f64::NAN, "NaN", "NaN", "NaN"),
        ] {
            assert_eq!(format_float(value), api);
            assert_eq!(format_general(value), general);
            assert_eq!(format_plain(value), plain);
        }
    }

    #[test]
    fn some_are_shortened_or_marked() {
        for (value, text) in [(10.0, "10"), (7.46, "7.5"), (0.0134, "0.013"), (123.0, "1.2e+02"), (0.0, "0")]
        {
            assert_eq!(format_two_digits(value), text);
        }
        for (value, text) in [(0.0, "0.0"), (1.0, "1.0"), (0.99, "0.99"), (-1.0, "-1.0"), (1e6, "1e+06")] {
            assert_eq!(format_open_metrics(value), text);
        }
    }
}
