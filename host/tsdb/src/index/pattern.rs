//! A regular expression as the index sees it: which values can pass, told from its form.
//!
//! The form decides how values are found: a finite language by looking each value up, a literal start by a range, a
//! literal somewhere within by searching all text for it, and only the rest by testing every value. Whatever is found
//! by form is only a candidate: a value passes where the automaton says so, which is built from the same text as
//! [`Matcher`]'s own expression, or where that one does.

use std::sync::OnceLock;

use model::Matcher;
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Class, Dot, Hir, HirKind, Look};

use super::automaton::{Automaton, Table};

/// Languages of up to this many values are looked up value by value.
const VALUES_MAX: usize = 32 * 1024;
/// A class or a repetition larger than this does not enumerate: it would only make a large language.
const CLASS_MAX: usize = 16;
/// Expressions with more literal starts than this are tested value by value, led by the automaton.
const PREFIXES_MAX: usize = 16;
/// The same for literals within: each is one search through all text.
const INFIXES_MAX: usize = 8;

/// What values can pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// Every value.
    Anything,
    /// Every value but the empty one.
    Something,
    /// Exactly these, none of them empty.
    Values(Vec<String>),
    /// Only values that begin with one of these; `whole` where each of those passes.
    Prefixes { any: Vec<Vec<u8>>, whole: bool },
    /// Only values that hold one of these; `whole` where each of those passes.
    Infixes { any: Vec<Vec<u8>>, whole: bool },
    /// Nothing is known.
    Other,
}

/// A regular expression, taken apart once for all the indexes that it is put to.
pub(crate) struct Pattern {
    matcher: Matcher,
    anchored: String,
    form: Form,
    /// Which bytes a value that passes can begin with.
    first_bytes: Option<Box<[bool; 256]>>,
    /// Built when enough values are to be tested.
    automaton: OnceLock<Option<Automaton>>,
    /// The same, where it is small.
    table: OnceLock<Option<Table>>,
}

/// What the automaton says of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passes,
    Fails,
    /// Fails, and so does every value with the same bytes up to here.
    FailsFrom(usize),
}

impl Pattern {
    /// Takes the expression of `matcher` apart, which is of an op that has one.
    pub(crate) fn new(matcher: &Matcher) -> Self {
        let anchored = format!("^(?s:{})$", matcher.value());
        let hir = regex_syntax::parse(&anchored).ok().filter(is_anchored);
        let automaton = if hir.is_some() { OnceLock::new() } else { OnceLock::from(None) };
        let form = hir.as_ref().map_or(Form::Other, |hir| form(&inner(hir)));
        let first_bytes = hir.as_ref().and_then(first_bytes);
        Self { matcher: matcher.clone(), anchored, form, first_bytes, automaton, table: OnceLock::new() }
    }

    pub(crate) const fn form(&self) -> &Form {
        &self.form
    }

    /// Whether the values that pass have to be searched for.
    pub(crate) const fn needs_search(&self) -> bool {
        matches!(self.form, Form::Prefixes { .. } | Form::Infixes { .. } | Form::Other)
    }

    /// As the operator wrote it.
    pub(crate) fn text(&self) -> &str {
        self.matcher.value()
    }

    /// Whether a value that begins with this byte can pass.
    pub(crate) fn may_begin(&self, byte: u8) -> bool {
        self.first_bytes.as_ref().is_none_or(|bytes| bytes[usize::from(byte)])
    }

    /// Whether the expression matches a value.
    pub(crate) fn passes(&self, value: &str) -> bool {
        match self.matcher.op() {
            model::MatchOp::NotRegex => !self.matcher.matches(value),
            _ => self.matcher.matches(value),
        }
    }

    /// What the automaton says of a value; where there is none, what the expression says of it.
    pub(crate) fn test(&self, value: &[u8]) -> Verdict {
        let verdict = self.automaton().and_then(|automaton| automaton.run(value));
        verdict.unwrap_or_else(|| match std::str::from_utf8(value) {
            Ok(value) if self.passes(value) => Verdict::Passes,
            // Text of an index is UTF-8 where it is not damaged.
            _ => Verdict::Fails,
        })
    }
}

impl Pattern {
    fn automaton(&self) -> Option<&Automaton> {
        self.automaton.get_or_init(|| Automaton::build(&self.anchored)).as_ref()
    }

    /// The automaton as a table, for who tests many values; `None` where it has none.
    pub(super) fn table(&self) -> Option<&Table> {
        self.table.get_or_init(|| self.automaton().and_then(Table::of)).as_ref()
    }
}

/// Whether the anchors hold for all of it: a pattern with a stray parenthesis can break out of them.
fn is_anchored(hir: &Hir) -> bool {
    let properties = hir.properties();
    properties.look_set_prefix().contains(Look::Start) && properties.look_set_suffix().contains(Look::End)
}

/// The parts between the anchors.
fn inner(hir: &Hir) -> Vec<&Hir> {
    let mut parts: Vec<&Hir> = match hir.kind() {
        HirKind::Concat(parts) => parts.iter().collect(),
        _ => vec![hir],
    };
    while parts.first().is_some_and(|part| *part.kind() == HirKind::Look(Look::Start)) {
        parts.remove(0);
    }
    while parts.last().is_some_and(|part| *part.kind() == HirKind::Look(Look::End)) {
        parts.pop();
    }
    while let [only] = parts[..] {
        match only.kind() {
            HirKind::Capture(capture) => parts = vec![&*capture.sub],
            HirKind::Concat(within) => parts = within.iter().collect(),
            _ => break,
        }
    }
    parts
}

fn form(parts: &[&Hir]) -> Form {
    match parts {
        [only] if is_any(only, 0) => return Form::Anything,
        [only] if is_any(only, 1) => return Form::Something,
        _ => {}
    }
    if let Some(values) = concatenated(parts) {
        let mut values: Vec<String> = values.into_iter().filter_map(|v| String::from_utf8(v).ok()).collect();
        values.retain(|value| !value.is_empty());
        values.sort_unstable();
        values.dedup();
        return Form::Values(values);
    }
    let any_at = |at: usize| parts.get(at).is_some_and(|part| is_any(part, 0));
    let (starts, taken) = starts(parts);
    if taken > 0 && starts.iter().all(|start| !start.is_empty()) {
        return Form::Prefixes { any: starts, whole: parts.len() == taken + 1 && any_at(taken) };
    }
    if let Some(any) = prefixes(parts) {
        return Form::Prefixes { any, whole: false };
    }
    let infixes = parts.iter().filter_map(|part| few(required(part), INFIXES_MAX));
    match infixes.max_by_key(|any| any.iter().map(Vec::len).min()) {
        Some(any) => Form::Infixes { any, whole: parts.len() == 3 && any_at(0) && any_at(2) },
        None => Form::Other,
    }
}

/// Whether this is `.*` (with `min` 0) or `.+` (with 1).
fn is_any(hir: &Hir, min: u32) -> bool {
    match hir.kind() {
        HirKind::Repetition(repetition) => {
            repetition.min == min && repetition.max.is_none() && *repetition.sub == Hir::dot(Dot::AnyChar)
        }
        HirKind::Capture(capture) => is_any(&capture.sub, min),
        _ => false,
    }
}

/// What must be there of a part: what is repeated at least once, what is captured.
fn required(hir: &Hir) -> &Hir {
    match hir.kind() {
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        HirKind::Capture(capture) => required(&capture.sub),
        _ => hir,
    }
}

/// All strings of a language of at most `max` strings, none of them empty.
fn few(hir: &Hir, max: usize) -> Option<Vec<Vec<u8>>> {
    let strings = enumerate(hir)?;
    (strings.len() <= max && strings.iter().all(|string| !string.is_empty())).then_some(strings)
}

/// What the first parts can be together, while that is few, and how many parts that are.
fn starts(parts: &[&Hir]) -> (Vec<Vec<u8>>, usize) {
    let mut all = vec![Vec::new()];
    for (taken, part) in parts.iter().enumerate() {
        match enumerate(part) {
            Some(ends) if all.len() * ends.len() <= PREFIXES_MAX => all = joined(&all, &ends),
            _ => return (all, taken),
        }
    }
    (all, parts.len())
}

fn joined(starts: &[Vec<u8>], ends: &[Vec<u8>]) -> Vec<Vec<u8>> {
    starts.iter().flat_map(|start| ends.iter().map(move |end| [start.as_slice(), end].concat())).collect()
}

fn concatenated(parts: &[&Hir]) -> Option<Vec<Vec<u8>>> {
    let mut all = vec![Vec::new()];
    for part in parts {
        let ends = enumerate(part)?;
        if all.len().checked_mul(ends.len())? > VALUES_MAX {
            return None;
        }
        all = joined(&all, &ends);
    }
    Some(all)
}

/// All strings of a language, where they are few enough to be listed.
fn enumerate(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![Vec::new()]),
        HirKind::Literal(literal) => Some(vec![literal.0.to_vec()]),
        HirKind::Class(Class::Unicode(class)) => {
            let count: usize = class.iter().map(|range| range.len()).sum();
            let chars = class.iter().flat_map(|range| range.start()..=range.end());
            (count <= CLASS_MAX).then(|| chars.map(|c| c.to_string().into_bytes()).collect())
        }
        HirKind::Class(Class::Bytes(_)) | HirKind::Look(_) => None,
        HirKind::Repetition(repetition) => {
            let max = repetition.max.filter(|max| *max as usize <= CLASS_MAX)?;
            let mut all = Vec::new();
            for count in repetition.min..=max {
                all.extend(concatenated(&vec![&*repetition.sub; count as usize])?);
                if all.len() > VALUES_MAX {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Capture(capture) => enumerate(&capture.sub),
        HirKind::Concat(parts) => concatenated(&parts.iter().collect::<Vec<_>>()),
        HirKind::Alternation(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.extend(enumerate(branch)?);
                if all.len() > VALUES_MAX {
                    return None;
                }
            }
            Some(all)
        }
    }
}

/// The literal starts of what is not plain: an alternation of prefixes, a literal in either case.
fn prefixes(parts: &[&Hir]) -> Option<Vec<Vec<u8>>> {
    let whole = Hir::concat(parts.iter().map(|part| (*part).clone()).collect());
    let sequence = Extractor::new().limit_total(PREFIXES_MAX).extract(&whole);
    let literals = sequence.literals()?;
    let prefixes: Vec<Vec<u8>> = literals.iter().map(|literal| literal.as_bytes().to_vec()).collect();
    (!prefixes.is_empty() && prefixes.iter().all(|prefix| !prefix.is_empty())).then_some(prefixes)
}

fn first_bytes(hir: &Hir) -> Option<Box<[bool; 256]>> {
    let sequence = Extractor::new().limit_literal_len(1).limit_class(256).extract(hir);
    let mut bytes = Box::new([false; 256]);
    for literal in sequence.literals()? {
        bytes[usize::from(*literal.as_bytes().first()?)] = true;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
