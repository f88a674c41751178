//! The label index: from matchers to series.
//!
//! For each label name: its values, the ids of the series that carry each value (*postings*, roaring bitmaps),
//! and the union of them all, which answers "has the label". The head keeps one in memory, each block one on
//! disk; [`resolve`] works on both alike.
//!
//! Matchers follow Prometheus: a label that is not there counts as the empty value. A matcher that passes the
//! empty value therefore *excludes* the series whose value fails, every other one *selects* those whose value
//! passes.

mod memory;
mod posting;

use model::{MatchOp, Matcher};
use roaring::RoaringBitmap;

use crate::error::Result;

pub(crate) use memory::MemoryIndex;
pub(crate) use posting::Posting;

/// What [`resolve`] needs to know of an index.
pub(crate) trait LabelIndex {
    /// Every series.
    fn all(&self) -> Result<RoaringBitmap>;

    /// The series that have the label `name`.
    fn having(&self, name: &str) -> Result<RoaringBitmap>;

    /// The series whose label `name` is `value`, which is not empty.
    fn postings(&self, name: &str, value: &str) -> Result<RoaringBitmap>;

    /// The union of the postings of those values of `name` for which `wanted` says yes.
    fn postings_where(&self, name: &str, wanted: &mut dyn FnMut(&str) -> bool) -> Result<RoaringBitmap>;

    /// All label names carried by any of `ids`, handed over in any order.
    fn names_of(&self, ids: &RoaringBitmap, each: &mut dyn FnMut(&str)) -> Result<()>;

    /// All values of `name` carried by any of `ids`, handed over in any order.
    fn values_of(&self, name: &str, ids: &RoaringBitmap, each: &mut dyn FnMut(&str)) -> Result<()>;
}

/// The series that pass all matchers; all series without any.
pub(crate) fn resolve(index: &impl LabelIndex, matchers: &[Matcher]) -> Result<RoaringBitmap> {
    let mut selected: Option<RoaringBitmap> = None;
    let (excluding, selecting): (Vec<_>, Vec<_>) = matchers.iter().partition(|m| m.matches_empty());
    for matcher in selecting {
        let passing = select(index, matcher)?;
        let narrowed = match selected.take() {
            Some(selected) => selected & passing,
            None => passing,
        };
        if narrowed.is_empty() {
            return Ok(narrowed);
        }
        selected = Some(narrowed);
    }
    let mut selected = match selected {
        Some(selected) => selected,
        None => index.all()?,
    };
    for matcher in excluding {
        if selected.is_empty() {
            break;
        }
        selected -= exclude(index, matcher)?;
    }
    Ok(selected)
}

/// The series whose value passes, for a matcher that the empty value fails.
fn select(index: &impl LabelIndex, matcher: &Matcher) -> Result<RoaringBitmap> {
    match (matcher.op(), matcher.value()) {
        (MatchOp::Equal, value) => index.postings(matcher.name(), value),
        (MatchOp::NotEqual, "") | (MatchOp::Regex, ".+") | (MatchOp::NotRegex, "") => {
            index.having(matcher.name())
        }
        _ => index.postings_where(matcher.name(), &mut |value| matcher.matches(value)),
    }
}

/// The series whose value fails, for a matcher that the empty value passes.
fn exclude(index: &impl LabelIndex, matcher: &Matcher) -> Result<RoaringBitmap> {
    match (matcher.op(), matcher.value()) {
        (MatchOp::NotEqual, value) => index.postings(matcher.name(), value),
        (MatchOp::Equal, "") | (MatchOp::Regex, "") | (MatchOp::NotRegex, ".+") => {
            index.having(matcher.name())
        }
        (MatchOp::Regex, ".*") => Ok(RoaringBitmap::new()),
        _ => index.postings_where(matcher.name(), &mut |value| !matcher.matches(value)),
    }
}

#[cfg(test)]
pub(crate) mod tests;
