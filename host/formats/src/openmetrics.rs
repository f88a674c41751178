//! Whether a text is OpenMetrics 1.0 in every respect, for those who write exporters. A scraper takes more
//! ([`exposition`](crate::exposition)): it is there for the data that is sent, not for the rules.
//!
//! What is checked, in the order of the specification
//! (<https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>):
//! * each line by its grammar, blanks included, and `# EOF` at the end and nowhere else;
//! * families: metadata once and before the samples, units that end the name, no name twice, also not one
//!   that a suffix makes;
//! * metrics: the samples of one stand together, and their timestamps, if any, never go back;
//! * what the family's type asks for: which names, labels, values and exemplars its samples may have;
//! * histograms: bounds and counts that increase, the last one `+Inf`, and `_count` and `_sum` that fit.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod family;
mod histogram;
mod line;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use family::Family;
use line::Line;

/// The first rule that a text breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ValidationError {
    /// Where, counted from 1. What concerns a whole family is told of its last line.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// Checks a text.
///
/// # Errors
/// [`ValidationError`] for the first rule that is broken.
pub fn validate(text: &str) -> Result<(), ValidationError> {
    let mut validator = Validator::default();
    let (mut line, mut ended) = (0, false);
    // The last line may lack its end.
    for content in text.split_terminator('\n') {
        line += 1;
        let at = |what| ValidationError { line, what };
        if ended {
            return Err(at("data after # EOF".to_owned()));
        }
        match Line::read(content).map_err(at)? {
            Line::Eof => {
                validator.end_family()?;
                ended = true;
            }
            content => validator.take(line, &content)?,
        }
    }
    let what = "text does not end with # EOF".to_owned();
    if ended { Ok(()) } else { Err(ValidationError { line: line.max(1), what }) }
}

#[derive(Default)]
struct Validator {
    family: Option<Family>,
    /// Where the current family's latest line stands.
    line: usize,
    /// The names of earlier families, and those that their samples may have.
    taken: HashSet<String>,
}

impl Validator {
    fn take(&mut self, line: usize, content: &Line<'_>) -> Result<(), ValidationError> {
        let goes_on = self.family.as_ref().is_some_and(|family| family.holds(content));
        if !goes_on {
            self.end_family()?;
        }
        self.line = line;
        let family = self.family.get_or_insert_with(|| Family::new(content.name()));
        family.take(content).map_err(|what| ValidationError { line, what })
    }

    fn end_family(&mut self) -> Result<(), ValidationError> {
        let Some(family) = self.family.take() else { return Ok(()) };
        let at = |what| ValidationError { line: self.line, what };
        for name in family.names() {
            if let Some(name) = self.taken.replace(name) {
                return Err(at(format!("the name {name:?} belongs to an earlier family")));
            }
        }
        family.end().map_err(at)
    }
}
