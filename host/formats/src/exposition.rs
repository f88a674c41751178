//! Exposition: what a target answers to a scrape. Prometheus' text format (0.0.4 and 1.0.0) and OpenMetrics
//! 1.0.0, read as leniently as Prometheus' scraper reads them, and Prometheus' [`protobuf`], the one that has
//! native histograms.
//!
//! ```text
//! # HELP http_requests_total Requests served.          Entry::Help
//! # TYPE http_requests_total counter                   Entry::Kind
//! http_requests_total{code="200"} 1027 1395066363000   Entry::Sample
//! └────────── series ───────────┘ value timestamp
//! ```
//!
//! [`parse`] hands entries to a sink in the order of the text and allocates nothing per sample. Nothing that
//! was handed out is taken back when a later line is wrong; a scraper discards its batch then.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod created;
pub(crate) mod cursor;
mod federate;
pub mod lint;
pub mod nhcb;
pub mod protobuf;
mod sample;
pub(crate) mod series;
mod write;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use model::MetricKind;

pub use created::parse_with_starts;
use cursor::Cursor;
pub use federate::{ScrapeFormat, ScrapedFamily, ScrapedValue};
pub use sample::{ScrapedExemplar, ScrapedHistogram, ScrapedSample};
pub use write::{write_metadata, write_openmetrics_family, write_openmetrics_sample, write_sample};

/// Why an exposition could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The answer names no format that is spoken here, and no fallback was configured.
    #[error("unsupported Content-Type {content_type:?} and no fallback_scrape_protocol configured")]
    ContentType {
        /// The header's value; empty where there was none.
        content_type: String,
    },
    /// A line breaks the format.
    #[error("line {line}: {what}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// A message of the protobuf format cannot be read.
    #[error("metric family {family}: {what}")]
    Family {
        /// Counted from 1.
        family: usize,
        /// What is wrong with it.
        what: String,
    },
}

/// The formats that [`parse`] reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus' text format.
    PrometheusText,
    /// OpenMetrics as text.
    OpenMetricsText,
    /// Prometheus' [`protobuf`].
    Protobuf,
}

impl Format {
    /// The format that the header of an answer names; `fallback` where the header is missing or names none
    /// that is known.
    ///
    /// # Errors
    /// [`ParseError::ContentType`] where there is no fallback either.
    pub fn from_content_type(content_type: Option<&str>, fallback: Option<Self>) -> Result<Self, ParseError> {
        let text = content_type.unwrap_or_default();
        let media_type = text.split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case("text/plain") {
            Ok(Self::PrometheusText)
        } else if media_type.eq_ignore_ascii_case("application/openmetrics-text") {
            Ok(Self::OpenMetricsText)
        } else if protobuf::is_content_type(text) {
            Ok(Self::Protobuf)
        } else {
            fallback.ok_or_else(|| ParseError::ContentType { content_type: text.to_owned() })
        }
    }
}

/// One meaningful line of an exposition.
#[derive(Debug)]
pub enum Entry<'a> {
    /// `# HELP`: what a family means.
    Help {
        /// The family's name.
        family: Cow<'a, str>,
        /// The text, unescaped.
        text: Cow<'a, str>,
    },
    /// `# TYPE`: what kind of metric a family is.
    Kind {
        /// The family's name.
        family: Cow<'a, str>,
        /// Its kind.
        kind: MetricKind,
    },
    /// `# UNIT`: what a family is measured in.
    Unit {
        /// The family's name.
        family: Cow<'a, str>,
        /// The unit, a word such as `seconds`.
        unit: &'a str,
    },
    /// A value.
    Sample(ScrapedSample<'a>),
    /// A native histogram; [`protobuf`] only.
    Histogram(ScrapedHistogram<'a>),
}

/// Consecutive lines of comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comments {
    /// How long they are, with their ends.
    pub bytes: usize,
    /// What the last `# TYPE` among them says.
    pub kind: Option<MetricKind>,
}

/// Takes what an exposition says, in its order.
pub trait Sink<E> {
    /// How many bytes at the beginning of `line` name a series that this sink knows; 0 where it knows none. They must
    /// have been the [`ScrapedSample::series`] of an earlier line, byte for byte: they are not looked at again, which
    /// is most of the work of reading a line of text.
    fn recognise(&mut self, _line: &str) -> usize {
        0
    }

    /// The comments at the beginning of `text` that this sink knows. They must have been what an earlier
    /// [`Sink::remember_comments`] was given, byte for byte: they are not read again, and nothing of them is taken.
    fn recognise_comments(&mut self, _text: &str) -> Option<Comments> {
        None
    }

    /// Hears which lines of comments stood behind one another, after everything in them was taken. `kind` is as in
    /// [`Comments`].
    fn remember_comments(&mut self, _lines: &str, _kind: Option<MetricKind>) {}

    /// Takes the next entry.
    ///
    /// # Errors
    /// Whatever is to stop the reading.
    fn take(&mut self, entry: Entry<'_>) -> Result<(), E>;
}

/// A sink that recognises nothing.
struct Every<'s, E>(&'s mut dyn FnMut(Entry<'_>) -> Result<(), E>);

impl<E> Sink<E> for Every<'_, E> {
    fn take(&mut self, entry: Entry<'_>) -> Result<(), E> {
        (self.0)(entry)
    }
}

/// Reads an exposition and hands its entries to `sink`, which stops the reading by failing. Of protobuf, native
/// histograms are handed out as such; [`protobuf::parse`] leaves the choice.
///
/// # Errors
/// The first [`ParseError`], or whatever `sink` failed with.
pub fn parse<E: From<ParseError>>(
    format: Format,
    body: &[u8],
    sink: &mut dyn FnMut(Entry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    match format {
        Format::Protobuf => protobuf::parse(body, protobuf::Histograms::Native, sink),
        _ => parse_text(format, body, &mut Every(sink)),
    }
}

/// As [`parse`], for the formats that are text.
///
/// # Errors
/// The first [`ParseError`], or whatever `sink` failed with.
pub fn parse_text<E: From<ParseError>>(format: Format, body: &[u8], sink: &mut dyn Sink<E>) -> Result<(), E> {
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(e) => {
            let before = body.get(..e.valid_up_to()).unwrap_or_default();
            let line = memchr::memchr_iter(b'\n', before).count() + 1;
            return Err(ParseError::Line { line, what: "not UTF-8".to_owned() }.into());
        }
    };
    let mut reader = LineReader { format, kind: None, normalised: None, ended: false };
    let mut rest = text;
    // What is left of the text where comments began that the sink does not know.
    let mut comments: Option<&str> = None;
    // Lines are counted for those who are told of one.
    let line_of = |rest: &str| {
        let before = text.len() - rest.len();
        memchr::memchr_iter(b'\n', body.get(..before).unwrap_or_default()).count() + 1
    };
    while !rest.is_empty() {
        let is_comment = rest.as_bytes().first() == Some(&b'#') && !reader.ended;
        if is_comment && comments.is_none() {
            if let Some(known) = sink.recognise_comments(rest)
                && let Some(tail) = rest.get(known.bytes..)
                && known.bytes > 0
            {
                reader.declare(known.kind);
                rest = tail;
                continue;
            }
            comments = Some(rest);
            reader.kind = None;
        } else if !is_comment && let Some(began) = comments.take() {
            sink.remember_comments(before(began, rest), reader.kind);
        }
        let (content, tail) = match memchr::memchr(b'\n', rest.as_bytes()) {
            Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at + 1..).unwrap_or_default()),
            None => (rest, ""),
        };
        match reader.read(content, &mut |line| sink.recognise(line)) {
            Ok(Some(entry)) => sink.take(entry)?,
            Ok(None) => {}
            Err(what) => return Err(ParseError::Line { line: line_of(rest), what }.into()),
        }
        rest = tail;
    }
    // A last line without an end might be the beginning of another one the next time, and `# EOF` has to be read.
    if let Some(began) = comments.filter(|began| began.ends_with('\n') && !reader.ended) {
        sink.remember_comments(began, reader.kind);
    }
    if format == Format::OpenMetricsText && !reader.ended {
        let what = "data does not end with # EOF".to_owned();
        let end = if text.ends_with('\n') { line_of("") - 1 } else { line_of("") };
        return Err(ParseError::Line { line: end.max(1), what }.into());
    }
    Ok(())
}

/// What lies between two ends of one text.
fn before<'a>(from: &'a str, to: &str) -> &'a str {
    from.get(..from.len() - to.len()).unwrap_or_default()
}

/// What must be remembered from line to line.
struct LineReader {
    format: Format,
    /// What the latest `# TYPE` says of the lines of comments that are being read.
    kind: Option<MetricKind>,
    /// The label whose values are floats in the family that is being read; see [`ScrapedSample::labels`].
    normalised: Option<&'static str>,
    /// Whether `# EOF` has come.
    ended: bool,
}

impl LineReader {
    /// A family of this kind begins, if one does.
    fn declare(&mut self, kind: Option<MetricKind>) {
        let Some(kind) = kind else { return };
        self.kind = Some(kind);
        self.normalised = match kind {
            MetricKind::Histogram => Some("le"),
            MetricKind::Summary => Some("quantile"),
            _ => None,
        };
    }

    fn read<'a>(
        &mut self,
        line: &'a str,
        recognise: &mut dyn FnMut(&str) -> usize,
    ) -> Result<Option<Entry<'a>>, String> {
        if self.ended {
            return Err("unexpected data after # EOF".to_owned());
        }
        let mut cursor = Cursor::new(line);
        cursor.skip_blanks();
        match cursor.peek() {
            None => Ok(None),
            Some(b'#') => self.read_comment(cursor),
            Some(_) => {
                let known = recognise(cursor.rest());
                let sample = ScrapedSample::read(cursor, known, self.format, self.normalised)?;
                Ok(Some(Entry::Sample(sample)))
            }
        }
    }

    /// Comments that are no directive are skipped, also those of OpenMetrics, which knows none.
    fn read_comment<'a>(&mut self, mut cursor: Cursor<'a>) -> Result<Option<Entry<'a>>, String> {
        cursor.eat(b'#');
        cursor.skip_blanks();
        let directive = cursor.token();
        let open_metrics = self.format == Format::OpenMetricsText;
        match directive {
            "HELP" | "TYPE" => {}
            "UNIT" if open_metrics => {}
            "EOF" if open_metrics => {
                self.ended = true;
                return Ok(None);
            }
            _ => return Ok(None),
        }
        cursor.skip_blanks();
        let family = cursor.family_name()?;
        // Exactly one blank separates the text, so that a help text may begin with blanks of its own.
        if !cursor.rest().is_empty() && !cursor.eat(b' ') && !cursor.eat(b'\t') {
            return Err(format!("invalid metric name after # {directive}"));
        }
        let text = cursor.rest();
        Ok(Some(match directive {
            "HELP" if open_metrics => Entry::Help { family, text: series::unescape(text) },
            "HELP" => Entry::Help { family, text: series::unescape_help(text) },
            "UNIT" => Entry::Unit { family, unit: text.trim() },
            _ => {
                let name = text.trim();
                let kind =
                    MetricKind::from_name(name).ok_or_else(|| format!("invalid metric type {name:?}"))?;
                self.declare(Some(kind));
                Entry::Kind { family, kind }
            }
        }))
    }
}
