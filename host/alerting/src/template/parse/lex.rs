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
    let is_hexadecimal = text.trim_start_matches(['-', '+']).to_ascii_lowercase().starts_with("0x");
    for c in text.chars() {
        let exponent: &[char] = if is_hexadecimal { &['p', 'P'] } else { &['e', 'E'] };
        let sign = matches!(c, '-' | '+') && (end == 0 || exponent.contains(&previous));
        if !(sign || c.is_ascii_alphanumeric() || matches!(c, '.' | '_')) {
            break;
        }
        end += c.len_utf8();
        previous = c;
    }
    let (digits, tail) = text.split_at(end);
    let value = whole(digits).map(Value::Int).or_else(|| {
        // What is written as a whole number and is too large for one is no number at all.
        let fraction =
            digits.contains(['.', 'p', 'P']) || (!digits.contains('x') && digits.contains(['e', 'E']));
        float(digits).filter(|float| fraction && float.is_finite()).map(Value::Float)
    });
    match value.filter(|_| digits.contains(|c: char| c.is_ascii_digit())) {
        Some(value) => Ok((Token::Literal(value), tail)),
        None => Err(syntax(line, format!("bad number syntax: {digits:?}"))),
    }
}

/// A whole number: decimal, or by its prefix hexadecimal, octal or binary.
fn whole(text: &str) -> Option<i64> {
    let bare = text.replace('_', "").to_ascii_lowercase();
    let (sign, size) = match bare.strip_prefix('-') {
        Some(size) => ("-", size),
        None => ("", bare.strip_prefix('+').unwrap_or(&bare)),
    };
    let (digits, base) = match size.as_bytes() {
        [b'0', b'x', ..] => (size.get(2..)?, 16),
        [b'0', b'o', ..] => (size.get(2..)?, 8),
        [b'0', b'b', ..] => (size.get(2..)?, 2),
        [b'0', _, ..] => (size.get(1..)?, 8),
        _ => (size, 10),
    };
    let plain = digits.starts_with(|c: char| c.is_ascii_hexdigit());
    i64::from_str_radix(&format!("{sign}{digits}"), base).ok().filter(|_| plain)
}

/// A float as Go reads it: underscores may stand between digits, and `0x1.8p3` is one and a half times eight.
pub(crate) fn float(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    let between_digits = |at: usize| {
        let digit = |at: Option<usize>| {
            at.and_then(|at| bytes.get(at)).is_some_and(|byte| byte.is_ascii_hexdigit() || *byte == b'x')
        };
        digit(at.checked_sub(1)) && digit(at.checked_add(1))
    };
    if bytes.iter().enumerate().any(|(at, byte)| *byte == b'_' && !between_digits(at)) {
        return None;
    }
    let bare = text.replace('_', "").to_ascii_lowercase();
    let (negative, size) = match bare.strip_prefix('-') {
        Some(size) => (true, size),
        None => (false, bare.strip_prefix('+').unwrap_or(&bare)),
    };
    let Some(hexadecimal) = size.strip_prefix("0x") else {
        // A sign is there once at most.
        return bare.parse().ok().filter(|_| !size.starts_with(['-', '+']));
    };
    let (mantissa, exponent) = hexadecimal.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    // Sixteen digits are all that a float has bits for.
    let mantissa = u64::from_str_radix(&digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
    let exponent =
        exponent.parse::<i32>().ok()?.checked_sub(i32::try_from(fraction.len()).ok()?.checked_mul(4)?)?;
    let size = mantissa as f64 * 2_f64.powi(exponent);
    Some(if negative { -size } else { size })
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
            octal @ '0'..='7' => {
                let code: String = std::iter::once(octal).chain(chars.by_ref().take(2)).collect();
                let code = u8::from_str_radix(&code, 8).ok().filter(|_| code.len() == 3)?;
                text.push(char::from(code));
                continue;
            }
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
