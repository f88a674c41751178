//! Text to tokens: what stands between actions, and the words of each action.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::super::{TemplateError, Value};
use super::syntax;

/// Text between actions, or the tokens of one action.
pub(super) enum Piece {
    Text(String),
    Action(usize, Vec<Token>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Word(String),
    /// `.name`; an empty name is the dot itself. `joined` where no space stands before it.
    Field {
        name: String,
        joined: bool,
    },
    Variable(String),
    Literal(Value),
    Pipe,
    Open,
    Close,
    Comma,
    Declare,
    Assign,
}

/// Splits a template into texts and actions.
pub(super) fn split(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let (mut rest, mut line, mut trim) = (text, 1, false);
    while let Some((before, after)) = rest.split_once("{{") {
        line += newlines(before);
        let trims_left = after.starts_with('-') && after.chars().nth(1).is_some_and(char::is_whitespace);
        let mut plain = if trim { before.trim_start() } else { before };
        let mut body = after;
        if trims_left {
            plain = plain.trim_end();
            body = after.get(1..).unwrap_or_default();
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain.to_owned()));
        }
        let comment = body.trim_start();
        let mut tokens = Vec::new();
        let tail = if let Some(comment) = comment.strip_prefix("/*") {
            comment.split_once("*/").ok_or_else(|| syntax(line, "unclosed comment"))?.1
        } else {
            lex(body, line, &mut tokens)?
        };
        let trimmed = tail.trim_start();
        let closing = if let Some(after) = trimmed.strip_prefix("-}}") {
            trim = true;
            after
        } else {
            trim = false;
            trimmed.strip_prefix("}}").ok_or_else(|| syntax(line, "unclosed action"))?
        };
        // A comment leaves nothing behind; an empty action is an error that the parser reports.
        if !comment.starts_with("/*") {
            pieces.push(Piece::Action(line, tokens));
        }
        line += newlines(after.get(..after.len() - closing.len()).unwrap_or_default());
        rest = closing;
    }
    let plain = if trim { rest.trim_start() } else { rest };
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain.to_owned()));
    }
    Ok(pieces)
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|b| *b == b'\n').count()
}

/// Reads tokens up to the closing braces (and a trim marker before them), which are left in place.
fn lex<'a>(body: &'a str, line: usize, tokens: &mut Vec<Token>) -> Result<&'a str, TemplateError> {
    let mut rest = body;
    loop {
        let trimmed = rest.trim_start();
        let joined = trimmed.len() == rest.len();
        rest = trimmed;
        if rest.starts_with("}}") || (!joined && rest.starts_with("-}}")) {
            return Ok(rest);
        }
        let Some(first) = rest.chars().next() else { return Err(syntax(line, "unclosed action")) };
        let tail = rest.get(first.len_utf8()..).unwrap_or_default();
        let (token, tail) = match first {
            '|' => (Token::Pipe, tail),
            '(' => (Token::Open, tail),
            ')' => (Token::Close, tail),
            ',' => (Token::Comma, tail),
            '=' => (Token::Assign, tail),
            ':' => (Token::Declare, tail.strip_prefix('=').ok_or_else(|| syntax(line, "expected \":=\""))?),
            '"' => {
                let end = quoted_end(tail, '"').ok_or_else(|| syntax(line, "unterminated quoted string"))?;
                let inner = tail.get(..end).unwrap_or_default();
                let text = unquote(inner).ok_or_else(|| syntax(line, format!("bad string \"{inner}\"")))?;
                (Token::Literal(text.into()), tail.get(end + 1..).unwrap_or_default())
            }
            '\'' => {
                // A character is a number, as in Go.
                let end =
                    quoted_end(tail, '\'').ok_or_else(|| syntax(line, "unterminated character constant"))?;
                let inner = tail.get(..end).unwrap_or_default();
                let text = unquote(inner).filter(|text| text.chars().count() == 1);
                let c = text.and_then(|text| text.chars().next());
                let c = c.ok_or_else(|| syntax(line, format!("bad character '{inner}'")))?;
                (Token::Literal(Value::Int(i64::from(u32::from(c)))), tail.get(end + 1..).unwrap_or_default())
            }
            '`' => {
                let (inner, tail) =
                    tail.split_once('`').ok_or_else(|| syntax(line, "unterminated raw quoted string"))?;
                (Token::Literal(inner.into()), tail)
            }
            '.' if !tail.starts_with(|c: char| c.is_ascii_digit()) => {
                let (name, tail) = word(tail);
                (Token::Field { name: name.to_owned(), joined }, tail)
            }
            '$' => {
                let (name, tail) = word(tail);
                (Token::Variable(name.to_owned()), tail)
            }
            c if c.is_ascii_digit() || matches!(c, '-' | '+' | '.') => number(rest, line)?,
            c if c.is_alphabetic() || c == '_' => {
                let (name, tail) = word(rest);
                let token = match name {
                    "true" => Token::Literal(Value::Bool(true)),
                    "false" => Token::Literal(Value::Bool(false)),
                    "nil" => Token::Literal(Value::Nil),
                    _ => Token::Word(name.to_owned()),
                };
                (token, tail)
            }
            c => return Err(syntax(line, format!("unexpected {c:?} in action"))),
        };
        tokens.push(token);
        rest = tail;
    }
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

fn number(text: &str, line: usize) -> Result<(Token, &str), TemplateError> {
    let mut end = 0;
    let mut previous = ' ';
    for c in text.chars() {
        let sign = matches!(c, '-' | '+') && (end == 0 || matches!(previous, 'e' | 'E'));
        if !(sign || c.is_ascii_alphanumeric() || matches!(c, '.' | '_')) {
            break;
        }
        end += c.len_utf8();
        previous = c;
    }
    let (digits, tail) = text.split_at(end);
    let bare = digits.replace('_', "");
    let lower = bare.to_ascii_lowercase();
    let based = [("0x", 16), ("0o", 8), ("0b", 2)]
        .iter()
        .find_map(|(prefix, base)| i64::from_str_radix(lower.strip_prefix(prefix)?, *base).ok());
    let value = if let Some(whole) = based.or_else(|| bare.parse().ok()) {
        Value::Int(whole)
    } else {
        let float = bare.parse().ok().filter(|_| bare.contains(|c: char| c.is_ascii_digit()));
        Value::Float(float.ok_or_else(|| syntax(line, format!("bad number syntax: {digits:?}")))?)
    };
    Ok((Token::Literal(value), tail))
}

fn quoted_end(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\n' => return None,
            c if c == quote => return Some(at),
            _ => {}
        }
    }
    None
}

/// Resolves the escapes of a Go string literal, given without its quotes.
pub(crate) fn unquote(inner: &str) -> Option<String> {
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        let digits = match chars.next()? {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            plain => {
                text.push(match plain {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'a' => '\u{7}',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'v' => '\u{b}',
                    '\\' | '"' | '\'' => plain,
                    _ => return None,
                });
                continue;
            }
        };
        let code: String = chars.by_ref().take(digits).collect();
        if code.len() != digits {
            return None;
        }
        text.push(char::from_u32(u32::from_str_radix(&code, 16).ok()?)?);
    }
    Some(text)
}
