//! The text that names a series: `name{label="value",…}`, or with the name among the labels and in quotes,
//! `{"my.metric","a label"="value"}`, as names that are no classic identifiers must be written.

use std::borrow::Cow;

use model::{Labels, METRIC_NAME};

use super::cursor::Cursor;
use crate::pairs;

/// What a series' text consists of; all texts still escaped.
pub(super) enum Part<'a> {
    Name(&'a str),
    Label { name: &'a str, value: &'a str },
}

/// Takes the text of one series, checks it and gives it back as it stands.
pub(super) fn read_series<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, String> {
    let start = cursor.rest();
    let mut names = 0;
    scan_series(cursor, |part| names += usize::from(matches!(part, Part::Name(_))))?;
    match names {
        0 => Err("metric name is missing".to_owned()),
        1 => Ok(taken(start, *cursor)),
        _ => Err("metric name is given twice".to_owned()),
    }
}

/// Takes the text of a series that was read before and is `bytes` long. `None`, with nothing taken, where the series
/// goes on after it: blanks may stand between a name and its labels.
pub(super) fn known_series<'a>(cursor: &mut Cursor<'a>, bytes: usize) -> Option<&'a str> {
    let mut after = *cursor;
    let series = after.take(bytes).filter(|series| !series.is_empty())?;
    let ended = matches!(after.peek(), Some(b' ' | b'\t'));
    after.skip_blanks();
    if !ended || after.peek() == Some(b'{') {
        return None;
    }
    *cursor = after;
    Some(series)
}

/// Takes the label set of an exemplar, checks it and gives it back as it stands.
pub(super) fn read_braces<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, String> {
    let start = cursor.rest();
    let mut names = 0;
    if cursor.peek() != Some(b'{') {
        return Err("exemplar labels must begin with {".to_owned());
    }
    scan_braces(cursor, &mut |part| names += usize::from(matches!(part, Part::Name(_))))?;
    if names > 0 {
        return Err("exemplar label without a value".to_owned());
    }
    Ok(taken(start, *cursor))
}

/// Builds the labels of a text that [`read_series`] or [`read_braces`] gave back. The values of the label
/// `normalised` are brought to OpenMetrics' notation of floats.
pub(super) fn to_labels(series: &str, normalised: Option<&str>) -> Result<Labels, String> {
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
    scan_series(&mut Cursor::new(series), |part| match part {
        Part::Name(name) => pairs.push((Cow::Borrowed(METRIC_NAME), unescape(name))),
        Part::Label { name, value } => {
            let (name, mut value) = (unescape(name), unescape(value));
            if normalised == Some(name.as_ref())
                && let Ok(number) = value.parse()
            {
                value = Cow::Owned(crate::float::open_metrics(number));
            }
            pairs.push((name, value));
        }
    })?;
    pairs::to_labels(&mut pairs)
}

pub(super) fn scan_series<'a>(cursor: &mut Cursor<'a>, mut each: impl FnMut(Part<'a>)) -> Result<(), String> {
    let name = cursor.metric_name();
    if !name.is_empty() {
        each(Part::Name(name));
    }
    let mut after = *cursor;
    after.skip_blanks();
    if after.peek() == Some(b'{') {
        *cursor = after;
        scan_braces(cursor, &mut each)?;
    }
    Ok(())
}

fn scan_braces<'a>(cursor: &mut Cursor<'a>, each: &mut impl FnMut(Part<'a>)) -> Result<(), String> {
    cursor.eat(b'{');
    loop {
        cursor.skip_blanks();
        if cursor.eat(b'}') {
            return Ok(());
        }
        let (name, quoted) = match cursor.quoted()? {
            Some(name) => (name, true),
            None => (cursor.label_name(), false),
        };
        if name.is_empty() {
            return Err(unexpected("a label name or }", *cursor));
        }
        cursor.skip_blanks();
        if cursor.eat(b'=') {
            cursor.skip_blanks();
            let Some(value) = cursor.quoted()? else {
                return Err(unexpected("a quoted label value", *cursor));
            };
            each(Part::Label { name, value });
            cursor.skip_blanks();
        } else if quoted {
            each(Part::Name(name));
        } else {
            return Err(unexpected("= after the label name", *cursor));
        }
        // A comma may follow the last label.
        if !cursor.eat(b',') && cursor.peek() != Some(b'}') {
            return Err(unexpected(", or }", *cursor));
        }
    }
}

/// Undoes `\\`, `\"` and `\n`; other escapes stay as they are.
pub(crate) fn unescape(raw: &str) -> Cow<'_, str> {
    unescape_with(raw, true)
}

/// As [`unescape`], but `\"` stays as it is: Prometheus' format does not escape quotes in help texts.
pub(super) fn unescape_help(raw: &str) -> Cow<'_, str> {
    unescape_with(raw, false)
}

fn unescape_with(raw: &str, quotes: bool) -> Cow<'_, str> {
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => text.push('\n'),
            Some('\\') => text.push('\\'),
            Some('"') if quotes => text.push('"'),
            Some(c) => text.extend(['\\', c]),
            None => text.push('\\'),
        }
    }
    Cow::Owned(text)
}

/// What lies between `start` and where the cursor is now.
fn taken<'a>(start: &'a str, cursor: Cursor<'a>) -> &'a str {
    start.get(..start.len() - cursor.rest().len()).unwrap_or_default()
}

/// Says what was wanted and what is there instead.
pub(crate) fn unexpected(wanted: &str, cursor: Cursor<'_>) -> String {
    match cursor.rest().chars().next() {
        Some(c) => format!("expected {wanted}, got {c:?}"),
        None => format!("expected {wanted}, got the end of the line"),
    }
}
