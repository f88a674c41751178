//! TraceQL, as far as it selects spans: one span filter in braces.
//!
//! ```text
//! query      = "{" [ or ] "}"
//! or         = and { "||" and }
//! and        = term { "&&" term }
//! term       = "(" or ")" | "true" | "false" | field op literal
//! field      = "resource." name | "span." name | "." name | intrinsic
//! op         = "=" | "!=" | "=~" | "!~" | ">" | ">=" | "<" | "<="
//! literal    = text | number | duration | "true" | "false" | "nil" | status | kind
//! ```
//! Names may be quoted (`span."a b"`). Everything else of the language (pipelines, structural operators, several
//! span filters, arithmetic, other scopes) is refused with a word on what it was.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use regex::RegexBuilder;

use crate::error::TraceError;
use crate::query::{CompareOp, Condition, Field, Literal, SPAN_KINDS, STATUSES, kind_word, status_word};

/// Longer queries are not written by people, nor by Grafana.
const QUERY_BYTES_MAX: usize = 64 << 10;
/// How deep parentheses may nest; the parser and the evaluation recurse this deep.
const DEPTH_MAX: usize = 64;
/// Memory that one compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 4 << 20;

/// A parsed query.
#[derive(Clone, Debug)]
pub struct Query {
    pub(crate) condition: Condition,
}

impl Query {
    /// Parses a query.
    ///
    /// # Errors
    /// [`TraceError::InvalidQuery`] and [`TraceError::UnsupportedQuery`], with the position in bytes.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let mut parser = Parser { text, at: 0 };
        if text.len() > QUERY_BYTES_MAX {
            return Err(parser.invalid(format!("query is longer than {QUERY_BYTES_MAX} bytes")));
        }
        parser.expect("{")?;
        let condition = if parser.take("}") {
            Condition::Constant(true)
        } else {
            let condition = parser.any(DEPTH_MAX)?;
            if !parser.take("}") {
                return Err(parser.after_term());
            }
            condition
        };
        parser.end()?;
        Ok(Self { condition })
    }
}

/// Reads from the front; `at` never stands within a character.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

const OPERATORS: [(&str, CompareOp); 8] = [
    ("=~", CompareOp::Matches),
    ("!~", CompareOp::NotMatches),
    ("!=", CompareOp::NotEqual),
    (">=", CompareOp::GreaterEqual),
    ("<=", CompareOp::LessEqual),
    ("=", CompareOp::Equal),
    (">", CompareOp::Greater),
    ("<", CompareOp::Less),
];

/// Scopes of the language that are not looked at here.
const OTHER_SCOPES: [&str; 7] =
    ["event.", "event:", "link.", "link:", "parent.", "instrumentation.", "instrumentation:"];

impl<'a> Parser<'a> {
    fn any(&mut self, depth: usize) -> Result<Condition, TraceError> {
        let mut terms = vec![self.all(depth)?];
        while self.take("||") {
            terms.push(self.all(depth)?);
        }
        Ok(one_or(terms, Condition::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Condition, TraceError> {
        let mut terms = vec![self.term(depth)?];
        while self.take("&&") {
            terms.push(self.term(depth)?);
        }
        Ok(one_or(terms, Condition::All))
    }

    fn term(&mut self, depth: usize) -> Result<Condition, TraceError> {
        if self.take("(") {
            let depth = depth.checked_sub(1).ok_or_else(|| self.unsupported("parentheses this deep are"))?;
            let inner = self.any(depth)?;
            return if self.take(")") { Ok(inner) } else { Err(self.after_term()) };
        }
        if self.take("!") {
            return Err(self.unsupported("negation is"));
        }
        let start = self.at;
        for (word, value) in [("true", true), ("false", false)] {
            if self.word() == word {
                self.at += word.len();
                return Ok(Condition::Constant(value));
            }
        }
        let field = self.field()?;
        self.space();
        let Some((symbol, op)) = OPERATORS.iter().find(|(symbol, _)| self.rest().starts_with(symbol)) else {
            if self.rest().starts_with(['+', '-', '*', '/', '%', '^']) {
                return Err(self.unsupported("arithmetic is"));
            }
            return Err(self.invalid("expected a comparison, such as = or >="));
        };
        self.at += symbol.len();
        self.space();
        let literal_at = self.at;
        let literal = self.literal(*op)?;
        if !comparable(&field, *op, &literal) {
            self.at = literal_at;
            let left = self.text.get(start..literal_at).unwrap_or_default().trim_end();
            return Err(self.invalid(format!("{left} cannot be followed by this value")));
        }
        Ok(Condition::Compare { field, op: *op, literal })
    }

    fn field(&mut self) -> Result<Field, TraceError> {
        self.space();
        let start = self.at;
        if self.take(".") {
            return Ok(Field::Either(self.name()?));
        }
        for (scope, make) in [("resource.", Field::Resource as fn(String) -> Field), ("span.", Field::Span)] {
            if self.take(scope) {
                return Ok(make(self.name()?));
            }
        }
        let word = self.word();
        self.at += word.len();
        if let Some(field) = intrinsic(word) {
            return Ok(field);
        }
        self.at = start;
        Err(match word {
            "" => self.invalid("expected a condition, such as span.http.route = \"/\""),
            _ if OTHER_SCOPES.iter().any(|scope| word.starts_with(scope)) => {
                self.unsupported(format!("the scope of {word} is"))
            }
            "nestedSetParent" | "nestedSetLeft" | "nestedSetRight" | "childCount" => {
                self.unsupported(format!("the intrinsic {word} is"))
            }
            _ => self.invalid(format!("{word:?} is no intrinsic; write .{word} for an attribute")),
        })
    }

    /// An attribute's name, without its scope.
    fn name(&mut self) -> Result<String, TraceError> {
        if self.rest().starts_with('"') {
            return self.quoted();
        }
        let end = self.rest().find(|c: char| c.is_whitespace() || "{}()=~!<>&|^,\"`".contains(c));
        let name = self.rest().get(..end.unwrap_or(self.rest().len())).unwrap_or_default();
        if name.is_empty() {
            return Err(self.invalid("expected the name of an attribute"));
        }
        self.at += name.len();
        Ok(name.to_owned())
    }

    fn literal(&mut self, op: CompareOp) -> Result<Literal, TraceError> {
        let pattern = matches!(op, CompareOp::Matches | CompareOp::NotMatches);
        if self.rest().starts_with(['"', '`']) {
            let start = self.at;
            let text = self.quoted()?;
            if !pattern {
                return Ok(Literal::Text(text));
            }
            // Anchored at both ends, as Tempo's are.
            let built = RegexBuilder::new(&format!("^(?s:{text})$")).size_limit(PATTERN_BYTES_MAX).build();
            return built.map(Literal::Pattern).map_err(|e| {
                self.at = start;
                self.invalid(format!("not a regular expression: {e}"))
            });
        }
        if pattern {
            return Err(self.invalid("expected a regular expression in quotes"));
        }
        if self.rest().starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            return self.number();
        }
        let word = self.word();
        let literal = match word {
            "true" => Some(Literal::Bool(true)),
            "false" => Some(Literal::Bool(false)),
            "nil" => Some(Literal::Nil),
            _ => {
                STATUSES.into_iter().find(|status| status_word(*status) == word).map(Literal::Status).or_else(
                    || SPAN_KINDS.into_iter().find(|kind| kind_word(*kind) == word).map(Literal::Kind),
                )
            }
        };
        match literal {
            Some(literal) => {
                self.at += word.len();
                Ok(literal)
            }
            None if word.is_empty() && !self.rest().starts_with('.') => {
                Err(self
                    .invalid("expected a value: text in quotes, a number, a duration, a status or a kind"))
            }
            None => Err(self.unsupported("comparing one field with another is")),
        }
    }

    fn number(&mut self) -> Result<Literal, TraceError> {
        let end = self
            .rest()
            .char_indices()
            .find(|(i, c)| !(c.is_alphanumeric() || *c == '.' || (*c == '-' && *i == 0)))
            .map_or(self.rest().len(), |(i, _)| i);
        let token = self.rest().get(..end).unwrap_or_default();
        let literal = match (token.parse::<i64>(), token.parse::<f64>()) {
            (Ok(int), _) => Literal::Int(int),
            (_, Ok(float)) if float.is_finite() => Literal::Float(float),
            _ => match parse_duration_nanos(token) {
                Some(nanos) => Literal::Duration(nanos),
                None => return Err(self.invalid(format!("{token:?} is neither a number nor a duration"))),
            },
        };
        self.at += token.len();
        Ok(literal)
    }

    /// Text in double quotes, with escapes, or in backquotes, without.
    fn quoted(&mut self) -> Result<String, TraceError> {
        let mut chars = self.rest().char_indices();
        let quote = chars.next().map(|(_, c)| c);
        let mut out = String::new();
        while let Some((i, c)) = chars.next() {
            match c {
                c if Some(c) == quote => {
                    self.at += i + 1;
                    return Ok(out);
                }
                '\\' if quote == Some('"') => match chars.next() {
                    Some((_, 'n')) => out.push('\n'),
                    Some((_, 't')) => out.push('\t'),
                    Some((_, 'r')) => out.push('\r'),
                    Some((_, c @ ('"' | '\\'))) => out.push(c),
                    _ => {
                        self.at += i;
                        return Err(self.invalid("unknown escape; write \\\\ for a backslash"));
                    }
                },
                c => out.push(c),
            }
        }
        Err(self.invalid("text without a closing quote"))
    }

    fn end(&mut self) -> Result<(), TraceError> {
        self.space();
        let rest = self.rest();
        if rest.is_empty() {
            return Ok(());
        }
        Err(if rest.starts_with("||") || rest.starts_with("&&") {
            self.unsupported("combining span filters is")
        } else if rest.starts_with('|') {
            self.unsupported("pipelines are")
        } else if rest.starts_with(['>', '<', '~', '!', '&']) {
            self.unsupported("structural operators are")
        } else {
            self.invalid("expected the end of the query")
        })
    }

    fn after_term(&mut self) -> TraceError {
        self.space();
        if self.rest().starts_with(['+', '-', '*', '/', '%', '^']) {
            self.unsupported("arithmetic is")
        } else {
            self.invalid("expected && or || or the closing bracket")
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// The word that comes next; it is not taken.
    fn word(&mut self) -> &'a str {
        self.space();
        let end = self.rest().find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':' | '.')));
        self.rest().get(..end.unwrap_or(self.rest().len())).unwrap_or_default()
    }

    fn take(&mut self, token: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), TraceError> {
        if self.take(token) { Ok(()) } else { Err(self.invalid(format!("expected {token}"))) }
    }

    fn invalid(&self, what: impl Into<String>) -> TraceError {
        TraceError::InvalidQuery { position: self.at, what: what.into() }
    }

    fn unsupported(&self, what: impl Into<String>) -> TraceError {
        TraceError::UnsupportedQuery { position: self.at, what: what.into() }
    }
}

fn one_or(mut terms: Vec<Condition>, many: fn(Vec<Condition>) -> Condition) -> Condition {
    match (terms.pop(), terms.is_empty()) {
        (Some(only), true) => only,
        (Some(last), false) => {
            terms.push(last);
            many(terms)
        }
        (None, _) => Condition::Constant(true),
    }
}

/// The part of every span, or of its trace, that a word stands for; the forms with a colon are TraceQL's newer ones.
pub(crate) fn intrinsic(word: &str) -> Option<Field> {
    Some(match word {
        "name" | "span:name" => Field::Name,
        "status" | "span:status" => Field::Status,
        "statusMessage" | "span:statusMessage" => Field::StatusMessage,
        "kind" | "span:kind" => Field::Kind,
        "duration" | "span:duration" => Field::Duration,
        "span:id" => Field::SpanId,
        "traceDuration" | "trace:duration" => Field::TraceDuration,
        "rootName" | "trace:rootName" => Field::RootName,
        "rootServiceName" | "trace:rootService" => Field::RootServiceName,
        "trace:id" => Field::TraceId,
        _ => return None,
    })
}

/// Whether the comparison can ever hold; one that cannot is a mistake of whoever wrote it.
fn comparable(field: &Field, op: CompareOp, literal: &Literal) -> bool {
    let by_equality = matches!(op, CompareOp::Equal | CompareOp::NotEqual);
    match (field, literal) {
        (Field::Resource(_) | Field::Span(_) | Field::Either(_), Literal::Bool(_) | Literal::Nil) => {
            by_equality
        }
        (
            Field::Resource(_) | Field::Span(_) | Field::Either(_),
            Literal::Text(_) | Literal::Pattern(_) | Literal::Int(_) | Literal::Float(_),
        ) => true,
        (Field::Status, Literal::Status(_)) | (Field::Kind, Literal::Kind(_)) => by_equality,
        (Field::Duration | Field::TraceDuration, Literal::Duration(_) | Literal::Int(_)) => true,
        (
            Field::Name
            | Field::StatusMessage
            | Field::RootName
            | Field::RootServiceName
            | Field::TraceId
            | Field::SpanId,
            Literal::Text(_) | Literal::Pattern(_),
        ) => true,
        _ => false,
    }
}

/// A duration as Go writes it (`1h30m`, `1.5s`, `100us`), in nanoseconds; `None` where it is none or too long.
pub(crate) fn parse_duration_nanos(text: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 9] = [
        ("ns", 1.0),
        ("us", 1e3),
        ("\u{b5}s", 1e3),
        ("\u{3bc}s", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 60e9),
        ("h", 3600e9),
        ("d", 86_400e9),
    ];
    let (mut rest, mut nanos) = (text, 0.0);
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?);
        let (unit, tail) = tail.split_at(tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len()));
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
        nanos += number.parse::<f64>().ok()? * size;
        rest = tail;
    }
    (!text.is_empty() && nanos < u64::MAX as f64).then_some(nanos.round() as u64)
}

#[cfg(test)]
mod tests;
