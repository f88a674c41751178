//! Times and durations of templates, as Go prints them.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};

use super::Value;

fn utc(nanos: i64) -> DateTime<Utc> {
    if nanos == super::notification::NO_TIME {
        return DateTime::from_timestamp(YEAR_ONE_SECONDS, 0).unwrap_or_default();
    }
    DateTime::from_timestamp_nanos(nanos)
}

/// The first second of the year 1, Go's zero time.
const YEAR_ONE_SECONDS: i64 = -62_135_596_800;

/// Go's `String` of a time in UTC: `2015-06-23 13:19:44.128 +0000 UTC`.
pub(super) fn text(nanos: i64) -> String {
    let text = utc(nanos).format("%Y-%m-%d %H:%M:%S%.9f").to_string();
    format!("{} +0000 UTC", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Go's `String` of a duration: `1h0m0.5s`.
pub(super) fn duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let all = nanos.unsigned_abs();
    if all == 0 {
        return "0s".to_owned();
    }
    let fraction = |whole: u64, part: u64, digits: usize| {
        let text = format!("{whole}.{part:0digits$}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match all {
        ..1_000 => return format!("{sign}{all}ns"),
        1_000..1_000_000 => return format!("{sign}{}µs", fraction(all / 1_000, all % 1_000, 3)),
        1_000_000..1_000_000_000 => {
            return format!("{sign}{}ms", fraction(all / 1_000_000, all % 1_000_000, 6));
        }
        _ => {}
    }
    let (whole, part) = (all / 1_000_000_000, all % 1_000_000_000);
    let (minutes, seconds) = (whole / 60, fraction(whole % 60, part, 9));
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// Elements of Go's layouts, longest first where one begins another, with what they are in ours.
const LAYOUT: [(&str, &str); 31] = [
    ("January", "%B"),
    ("Jan", "%b"),
    ("Monday", "%A"),
    ("Mon", "%a"),
    ("MST", "UTC"),
    ("2006", "%Y"),
    ("-07:00", "%:z"),
    ("-0700", "%z"),
    ("Z07:00", "Z"),
    ("Z0700", "Z"),
    ("-07", "+00"),
    (".000000000", "%.9f"),
    (".000000", "%.6f"),
    (".000", "%.3f"),
    ("002", "%j"),
    ("01", "%m"),
    ("02", "%d"),
    ("03", "%I"),
    ("04", "%M"),
    ("05", "%S"),
    ("06", "%y"),
    ("15", "%H"),
    ("_2", "%e"),
    ("PM", "%p"),
    ("pm", "%P"),
    ("1", "%-m"),
    ("2", "%-d"),
    ("3", "%-I"),
    ("4", "%-M"),
    ("5", "%-S"),
    ("%", "%%"),
];

/// A time in a layout of Go's, which writes how `Mon Jan 2 15:04:05 MST 2006` would look.
pub(super) fn format(nanos: i64, layout: &str) -> String {
    let mut pattern = String::with_capacity(layout.len() * 2);
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        // A fraction without the zeros at its end, and without its point where nothing is left.
        let nines =
            rest.strip_prefix('.').map_or(0, |nines| nines.bytes().take_while(|b| *b == b'9').count());
        if (1..=9).contains(&nines) {
            let all = format!("{:09}", utc(nanos).nanosecond());
            let shown = all.get(..nines).unwrap_or_default().trim_end_matches('0');
            if !shown.is_empty() {
                pattern.push('.');
                pattern.push_str(shown);
            }
            rest = rest.get(1 + nines..).unwrap_or_default();
            continue;
        }
        match LAYOUT.iter().find(|(element, _)| rest.starts_with(element)) {
            Some((element, ours)) => {
                pattern.push_str(ours);
                rest = rest.get(element.len()..).unwrap_or_default();
            }
            None => {
                pattern.push(c);
                rest = rest.get(c.len_utf8()..).unwrap_or_default();
            }
        }
    }
    utc(nanos).format(&pattern).to_string()
}

/// What Go's methods without arguments tell of a time.
pub(super) fn part(nanos: i64, name: &str) -> Result<Value, String> {
    let time = utc(nanos);
    Ok(match name {
        "Year" => Value::Int(i64::from(time.year())),
        "Month" => Value::from(time.format("%B").to_string()),
        "Day" => Value::Int(i64::from(time.day())),
        "Weekday" => Value::from(time.format("%A").to_string()),
        "YearDay" => Value::Int(i64::from(time.ordinal())),
        "Hour" => Value::Int(i64::from(time.hour())),
        "Minute" => Value::Int(i64::from(time.minute())),
        "Second" => Value::Int(i64::from(time.second())),
        _ => return Err(format!("can't evaluate field {name} in type *time.Time")),
    })
}
