//! Matchers as Alertmanager writes them: `severity="page"`, `{job=~"a|b", team!=x}`.
//!
//! The UTF-8 syntax is tried first: names and values may be quoted, and bare ones end at spaces and
//! punctuation. Where it fails, the classic one decides, in which everything after the operator is the value.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use model::{MatchOp, Matcher, MatcherError};

use crate::template::{quote, unquote};

/// Why a text is no list of matchers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad matcher format: {text}: {reason}")]
pub struct MatchersError {
    /// The text.
    pub text: String,
    /// What is wrong.
    pub reason: String,
}

impl From<MatcherError> for MatchersError {
    fn from(error: MatcherError) -> Self {
        Self { text: error.pattern, reason: error.reason }
    }
}

/// Reads one or more matchers, with or without braces.
///
/// # Errors
/// [`MatchersError`] where neither syntax can read the text.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, MatchersError> {
    let failed = |reason: String| MatchersError { text: text.to_owned(), reason };
    match utf8(text) {
        Ok(matchers) => Ok(matchers),
        Err(reason) => classic(text).unwrap_or(Err(reason)).map_err(failed),
    }
}

/// All matchers in braces, as group keys show them.
pub fn matchers_text(matchers: &[Matcher]) -> String {
    let texts: Vec<_> = matchers.iter().map(one_text).collect();
    format!("{{{}}}", texts.join(","))
}

fn one_text(matcher: &Matcher) -> String {
    let op = matcher.op().as_str();
    if matcher.name().contains(is_reserved) {
        return format!("{}{op}{}", quote(matcher.name()), quote(matcher.value()));
    }
    // Values are escaped as OpenMetrics does it, which is less than a Go literal escapes.
    let value = matcher.value().replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
    format!("{}{op}\"{value}\"", matcher.name())
}

/// Orders operators as Alertmanager numbers them.
pub(super) const fn rank(op: MatchOp) -> u8 {
    match op {
        MatchOp::Equal => 0,
        MatchOp::NotEqual => 1,
        MatchOp::Regex => 2,
        MatchOp::NotRegex => 3,
    }
}

/// Characters that a bare name or value cannot hold.
fn is_reserved(c: char) -> bool {
    c.is_whitespace() || "{}!=~,\\\"'`".contains(c)
}

fn utf8(text: &str) -> Result<Vec<Matcher>, String> {
    let mut rest = text.trim();
    let braces = rest.starts_with('{');
    if braces {
        rest =
            rest.strip_prefix('{').and_then(|r| r.strip_suffix('}')).ok_or("missing closing brace")?.trim();
    }
    let mut matchers = Vec::new();
    while !rest.is_empty() {
        let (name, tail) = token(rest)?;
        if name.is_empty() {
            return Err("a label name is missing".to_owned());
        }
        let (op, tail) = operator(tail.trim_start()).ok_or("an operator is missing: one of = != =~ !~")?;
        let (value, tail) = token(tail.trim_start())?;
        matchers.push(Matcher::new(op, name, value).map_err(|e| e.to_string())?);
        rest = tail.trim_start();
        match rest.strip_prefix(',') {
            Some(tail) => rest = tail.trim_start(),
            None if rest.is_empty() => {}
            None => return Err(format!("expected a comma before {rest:?}")),
        }
    }
    if matchers.is_empty() && !braces { Err("no matcher".to_owned()) } else { Ok(matchers) }
}

/// A quoted or bare word.
fn token(text: &str) -> Result<(String, &str), String> {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut escaped = false;
        for (at, c) in quoted.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    let (inner, tail) = quoted.split_at(at);
                    let value = unquote(inner).ok_or_else(|| format!("bad escape in \"{inner}\""))?;
                    return Ok((value, tail.get(1..).unwrap_or_default()));
                }
                _ => {}
            }
        }
        return Err("a quote is not closed".to_owned());
    }
    let end = text.find(is_reserved).unwrap_or(text.len());
    if end == 0 {
        return Err(format!("expected a name or a value at {text:?}"));
    }
    let (bare, tail) = text.split_at(end);
    Ok((bare.to_owned(), tail))
}

fn operator(text: &str) -> Option<(MatchOp, &str)> {
    [("=~", MatchOp::Regex), ("!~", MatchOp::NotRegex), ("!=", MatchOp::NotEqual), ("=", MatchOp::Equal)]
        .into_iter()
        .find_map(|(sign, op)| text.strip_prefix(sign).map(|tail| (op, tail)))
}

/// The classic syntax; `None` where the text does not even begin like it.
fn classic(text: &str) -> Option<Result<Vec<Matcher>, String>> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))?;
    let (name, tail) = text.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (op, value) = operator(tail.trim_start())?;
    let value = value.trim();
    let inner = match value.strip_prefix('"') {
        Some(inner) => inner.strip_suffix('"')?,
        None if value.contains('"') => return None,
        None => value,
    };
    let value = inner.replace("\\\"", "\"").replace("\\n", "\n").replace("\\\\", "\\");
    Some(Matcher::new(op, name, value).map(|m| vec![m]).map_err(|e| e.to_string()))
}
