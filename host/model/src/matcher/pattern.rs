//! What a regular expression of a matcher comes to.
//!
//! Most are lists of names, or a text with `.*` beside it: those are compared as texts. The others are compiled, which
//! takes a hundred microseconds and more, and kept, since dashboards ask for the same again and again.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use regex::Regex;

use super::{MatcherError, syntax};

/// A compiled expression may take this much memory; enough for alternations of tens of thousands of names.
const REGEX_BYTES_MAX: usize = 32 << 20;

/// How many compiled expressions are kept: those of some large dashboards. All are let go when there are more.
const KEPT_COUNT_MAX: usize = 512;

/// Longer ones are not kept: they are made by programs and rarely come twice.
const KEPT_BYTES_MAX: usize = 1 << 10;

/// A regular expression, anchored at both ends, whose dot matches newlines.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    /// One of these, sorted.
    Literals(Arc<[String]>),
    /// One of these.
    Gaps(Arc<[Gap]>),
    Regex(Arc<Regex>),
}

/// A text with one gap, or with one at either end.
#[derive(Debug)]
pub(super) enum Gap {
    /// `prefix.*suffix`, and how many bytes the gap has at least.
    Within { prefix: String, suffix: String, least: usize },
    /// `.*text.*`, and how many bytes there are at least before and after.
    Around { text: String, before: usize, after: usize },
}

impl Gap {
    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Within { prefix, suffix, least } => value
                .strip_prefix(prefix.as_str())
                .and_then(|rest| rest.strip_suffix(suffix.as_str()))
                .is_some_and(|gap| gap.len() >= *least),
            Self::Around { text, before, after } => {
                let (Some(head), true) = (first_after(value, *before), value.len() >= *after) else {
                    return false;
                };
                let tail = value.len() - last_length(value, *after);
                value.get(head..tail).is_some_and(|middle| middle.contains(text.as_str()))
            }
        }
    }
}

/// Where the character after the first `count` ones starts; `None` where there are fewer.
fn first_after(value: &str, count: usize) -> Option<usize> {
    value.char_indices().map(|(at, _)| at).chain([value.len()]).nth(count)
}

/// How many bytes the last `count` characters take.
fn last_length(value: &str, count: usize) -> usize {
    value.chars().rev().take(count).map(char::len_utf8).sum()
}

impl Pattern {
    pub(super) fn new(pattern: &str) -> Result<Self, MatcherError> {
        match simple(pattern) {
            Some(found) => Ok(found),
            None => anchored_regex(pattern).map(Self::Regex),
        }
    }

    pub(super) fn matches(&self, value: &str) -> bool {
        match self {
            Self::Literals(all) => all.binary_search_by(|literal| literal.as_str().cmp(value)).is_ok(),
            Self::Gaps(all) => all.iter().any(|gap| gap.matches(value)),
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

/// One piece of an alternative.
#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    /// `.*` (zero) or `.+` (one).
    Any(usize),
}

/// The pattern as texts and gaps, where there is nothing else to it.
fn simple(pattern: &str) -> Option<Pattern> {
    let mut alternatives: Vec<Vec<Piece>> = vec![Vec::new()];
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        let pieces = alternatives.last_mut()?;
        let literal = match c {
            '|' => {
                alternatives.push(Vec::new());
                continue;
            }
            '.' => {
                let least = match chars.next()? {
                    '*' => 0,
                    '+' => 1,
                    _ => return None,
                };
                // `.*?` and `.*+` mean something else.
                if matches!(chars.peek(), Some('?' | '*' | '+' | '{')) {
                    return None;
                }
                pieces.push(Piece::Any(least));
                continue;
            }
            '\\' => match chars.next()? {
                escaped if escaped.is_ascii_punctuation() => escaped,
                _ => return None,
            },
            '+' | '*' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '$' => return None,
            c => c,
        };
        if matches!(chars.peek(), Some('?' | '*' | '+' | '{')) {
            return None;
        }
        match pieces.last_mut() {
            Some(Piece::Text(text)) => text.push(literal),
            _ => pieces.push(Piece::Text(literal.to_string())),
        }
    }
    let literal = |pieces: &Vec<Piece>| match pieces.as_slice() {
        [] => Some(String::new()),
        [Piece::Text(text)] => Some(text.clone()),
        _ => None,
    };
    if let Some(mut literals) = alternatives.iter().map(literal).collect::<Option<Vec<String>>>() {
        literals.sort_unstable();
        literals.dedup();
        return Some(Pattern::Literals(literals.into()));
    }
    alternatives.into_iter().map(gap).collect::<Option<Vec<Gap>>>().map(|gaps| Pattern::Gaps(gaps.into()))
}

fn gap(pieces: Vec<Piece>) -> Option<Gap> {
    use Piece::{Any, Text};
    let none = String::new;
    let mut pieces = pieces.into_iter();
    Some(match (pieces.next(), pieces.next(), pieces.next(), pieces.next()) {
        (Some(Any(least)), None, None, None) => Gap::Within { prefix: none(), suffix: none(), least },
        (Some(Text(prefix)), Some(Any(least)), None, None) => Gap::Within { prefix, suffix: none(), least },
        (Some(Any(least)), Some(Text(suffix)), None, None) => Gap::Within { prefix: none(), suffix, least },
        (Some(Text(prefix)), Some(Any(least)), Some(Text(suffix)), None) => {
            Gap::Within { prefix, suffix, least }
        }
        (Some(Any(before)), Some(Text(text)), Some(Any(after)), None) => Gap::Around { text, before, after },
        _ => return None,
    })
}

static KEPT: LazyLock<Mutex<HashMap<String, Arc<Regex>>>> = LazyLock::new(Mutex::default);

/// Compiles a regular expression as Prometheus does wherever one stands in a query: anchored at both ends, the dot
/// matching newlines. What was asked for lately is not compiled again.
///
/// # Errors
/// [`MatcherError`] where it is none.
pub fn anchored_regex(pattern: &str) -> Result<Arc<Regex>, MatcherError> {
    let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(regex) = kept().get(pattern) {
        return Ok(Arc::clone(regex));
    }
    let failed = |reason: String| MatcherError { pattern: pattern.to_owned(), reason };
    let text = syntax::translated(pattern).map_err(failed)?;
    let regex = regex::RegexBuilder::new(&format!("^(?s:{text})$"))
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|e| failed(format!("cannot compile regular expression {pattern:?}: {e}")))?;
    let regex = Arc::new(regex);
    if pattern.len() <= KEPT_BYTES_MAX {
        let mut kept = kept();
        if kept.len() >= KEPT_COUNT_MAX {
            kept.clear();
        }
        kept.insert(pattern.to_owned(), Arc::clone(&regex));
    }
    Ok(regex)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Pattern, anchored_regex, simple};

    #[test]
    fn lists_and_gaps_need_no_compiling() {
        for pattern in ["", "a", "a|b|", ".*", ".+", "a.*", ".+b", "a.+b", ".*mid.+", "a\\.b|x", "a.*|.*b"] {
            assert!(simple(pattern).is_some(), "{pattern}");
        }
        for pattern in
            ["a.b", "a*", ".*?", "(a|b)", "[ab]", "a{2}", "^a", "a$", "\\d", ".*a.*b", "a.*+", "\\.+"]
        {
            assert!(simple(pattern).is_none(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn what_is_simple_matches_as_it_does_compiled(
            pattern in "(é|a|b|\\\\\\.|\\.\\*|\\.\\+|\\|){0,6}",
            values in prop::collection::vec("[ab.é\n]{0,6}", 1..8),
        ) {
            let (Ok(found), Ok(compiled)) = (Pattern::new(&pattern), anchored_regex(&pattern)) else {
                return Ok(());
            };
            for value in values {
                prop_assert_eq!(found.matches(&value), compiled.is_match(&value), "{:?} on {:?}", pattern, value);
            }
        }
    }
}
