//! One line by the specification's grammar, in which every blank counts.

use std::borrow::Cow;

use model::{Exemplar, MetricKind};

use crate::exposition::cursor::Cursor;
use crate::exposition::series::{unescape, unexpected};

/// A line that keeps the grammar.
pub(super) enum Line<'a> {
    Metadata { family: &'a str, metadata: Metadata<'a> },
    Sample(Sample<'a>),
    Eof,
}

pub(super) enum Metadata<'a> {
    Help,
    Type(MetricKind),
    Unit(&'a str),
}

/// Labels by name, values unescaped.
pub(super) type LabelPairs<'a> = Vec<(&'a str, Cow<'a, str>)>;

pub(super) struct Sample<'a> {
    pub(super) name: &'a str,
    pub(super) labels: LabelPairs<'a>,
    pub(super) value: f64,
    /// In seconds.
    pub(super) timestamp: Option<f64>,
    pub(super) has_exemplar: bool,
}

impl Sample<'_> {
    pub(super) fn label(&self, wanted: &str) -> Option<&str> {
        self.labels.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_ref())
    }
}

impl<'a> Line<'a> {
    pub(super) fn read(content: &'a str) -> Result<Self, String> {
        match content {
            "" => return Err("blank line".to_owned()),
            "# EOF" => return Ok(Self::Eof),
            _ => {}
        }
        let mut cursor = Cursor::new(content);
        if !cursor.eat(b'#') {
            return read_sample(cursor).map(Self::Sample);
        }
        blank(&mut cursor)?;
        let directive = cursor.token();
        if !matches!(directive, "HELP" | "TYPE" | "UNIT") {
            return Err(format!("{directive:?} is neither HELP nor TYPE nor UNIT"));
        }
        blank(&mut cursor)?;
        let family = metric_name(&mut cursor)?;
        blank(&mut cursor)?;
        let text = cursor.rest();
        let metadata = match directive {
            "HELP" => Metadata::Help,
            "UNIT" => Metadata::Unit(text),
            _ => match MetricKind::from_name(text) {
                // What Prometheus' own format calls so is "unknown" here.
                Some(kind) if text != "untyped" => Metadata::Type(kind),
                _ => return Err(format!("{text:?} is no metric type")),
            },
        };
        Ok(Self::Metadata { family, metadata })
    }

    /// The name of the family or of the sample.
    pub(super) fn name(&self) -> &'a str {
        match self {
            Self::Metadata { family, .. } => family,
            Self::Sample(sample) => sample.name,
            Self::Eof => "",
        }
    }
}

fn read_sample(mut cursor: Cursor<'_>) -> Result<Sample<'_>, String> {
    let name = metric_name(&mut cursor)?;
    let labels = if cursor.peek() == Some(b'{') { read_labels(&mut cursor)? } else { Vec::new() };
    blank(&mut cursor)?;
    let value = read_value(&mut cursor)?;
    let mut sample = Sample { name, labels, value, timestamp: None, has_exemplar: false };
    if cursor.rest().is_empty() {
        return Ok(sample);
    }
    blank(&mut cursor)?;
    if cursor.peek() != Some(b'#') {
        sample.timestamp = Some(read_timestamp(&mut cursor)?);
        if cursor.rest().is_empty() {
            return Ok(sample);
        }
        blank(&mut cursor)?;
    }
    read_exemplar(cursor)?;
    sample.has_exemplar = true;
    Ok(sample)
}

fn read_exemplar(mut cursor: Cursor<'_>) -> Result<(), String> {
    if !cursor.eat(b'#') {
        return Err(unexpected("an exemplar or the end of the line", cursor));
    }
    blank(&mut cursor)?;
    let labels = read_labels(&mut cursor)?;
    let chars: usize = labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
    let max = Exemplar::LABELS_CHARS_MAX;
    if chars > max {
        return Err(format!("the exemplar's labels have {chars} characters, more than {max}"));
    }
    blank(&mut cursor)?;
    read_value(&mut cursor)?;
    if !cursor.rest().is_empty() {
        blank(&mut cursor)?;
        read_timestamp(&mut cursor)?;
    }
    if cursor.rest().is_empty() { Ok(()) } else { Err(unexpected("the end of the line", cursor)) }
}

/// Reads labels with their braces, and sorts them.
fn read_labels<'a>(cursor: &mut Cursor<'a>) -> Result<LabelPairs<'a>, String> {
    if !cursor.eat(b'{') {
        return Err(unexpected("{", *cursor));
    }
    let mut labels = Vec::new();
    if cursor.eat(b'}') {
        return Ok(labels);
    }
    loop {
        let name = cursor.label_name();
        if name.is_empty() {
            return Err(unexpected("a label name", *cursor));
        }
        if !cursor.eat(b'=') {
            return Err(unexpected("= after the label name", *cursor));
        }
        let Some(value) = cursor.quoted()? else {
            return Err(unexpected("a quoted label value", *cursor));
        };
        labels.push((name, unescape(value)));
        if cursor.eat(b'}') {
            break;
        }
        if !cursor.eat(b',') {
            return Err(unexpected(", or }", *cursor));
        }
    }
    labels.sort_unstable();
    let twice = labels.windows(2).find_map(|pair| match pair {
        [a, b] if a.0 == b.0 => Some(a.0),
        _ => None,
    });
    twice.map_or(Ok(labels), |name| Err(format!("label {name:?} is given twice")))
}

fn metric_name<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, String> {
    match cursor.metric_name() {
        "" => Err(unexpected("a metric name", *cursor)),
        name => Ok(name),
    }
}

fn blank(cursor: &mut Cursor<'_>) -> Result<(), String> {
    if cursor.eat(b' ') { Ok(()) } else { Err(unexpected("a blank", *cursor)) }
}

fn read_value(cursor: &mut Cursor<'_>) -> Result<f64, String> {
    let token = cursor.token();
    number(token).ok_or_else(|| format!("{token:?} is no number"))
}

fn read_timestamp(cursor: &mut Cursor<'_>) -> Result<f64, String> {
    let token = cursor.token();
    number(token).filter(|secs| secs.is_finite()).ok_or_else(|| format!("{token:?} is no timestamp"))
}

/// A number by the grammar: Rust's own, but for a NaN with a sign.
pub(super) fn number(token: &str) -> Option<f64> {
    let number: f64 = token.parse().ok()?;
    let signed = token.starts_with(['+', '-']);
    (!number.is_nan() || !signed).then_some(number)
}
