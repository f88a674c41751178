//! Text to tokens.
//!
//! Words are not told apart here: whether `sum` is an aggregation or a metric's name depends on what follows,
//! which the parser knows. What cannot be a token becomes an [`TokenKind::Error`] token, so that the parser
//! reports whichever fault comes first in the text.

use std::fmt::Write as _;

use crate::parser::Span;

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TokenKind {
    Eof,
    Error(String),
    /// A word without colons: a keyword, a function, a label or a metric.
    Identifier,
    /// A word with a colon in it.
    MetricIdentifier,
    /// The unquoted content; bytes, since `\xff` may be written.
    String(Vec<u8>),
    Number(f64),
    /// A number written as `1h30m`, in milliseconds.
    Duration(i64),
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    Assign,
    RegexEqual,
    RegexNotEqual,
    NotEqual,
    Equal,
    LessEqual,
    Less,
    GreaterEqual,
    Greater,
    TrimUpper,
    TrimLower,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    At,
}

/// A token, with where it stands and what it reads.
#[derive(Clone, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) kind: TokenKind,
    pub(crate) text: &'a str,
    pub(crate) span: Span,
}

const AGGREGATORS: [&str; 14] = [
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "count_values",
    "quantile",
    "limitk",
    "limit_ratio",
];
const OPERATOR_WORDS: [&str; 4] = ["and", "or", "unless", "atan2"];
const KEYWORDS: [&str; 16] = [
    "offset",
    "smoothed",
    "anchored",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "fill",
    "fill_left",
    "fill_right",
    "start",
    "end",
    "step",
];

impl Token<'_> {
    /// How Prometheus names the token in `unexpected ...`.
    pub(crate) fn describe(&self) -> String {
        let operator = |text: &str| format!("<op:{text}>");
        match &self.kind {
            TokenKind::Eof => "end of input".to_owned(),
            TokenKind::Error(message) => message.clone(),
            TokenKind::Identifier => {
                let word = self.text.to_ascii_lowercase();
                if AGGREGATORS.contains(&word.as_str()) {
                    format!("<aggr:{}>", self.text)
                } else if OPERATOR_WORDS.contains(&word.as_str()) {
                    operator(self.text)
                } else if KEYWORDS.contains(&word.as_str()) {
                    format!("<{}>", self.text)
                } else if word == "inf" || word == "nan" {
                    format!("number {}", quote_short(self.text))
                } else {
                    format!("identifier {}", quote(self.text.as_bytes()))
                }
            }
            TokenKind::MetricIdentifier => format!("metric identifier {}", quote(self.text.as_bytes())),
            TokenKind::String(_) => format!("string {}", quote_short(self.text)),
            TokenKind::Number(_) => format!("number {}", quote_short(self.text)),
            TokenKind::Duration(_) => format!("duration {}", quote_short(self.text)),
            TokenKind::LeftParen
            | TokenKind::RightParen
            | TokenKind::LeftBrace
            | TokenKind::RightBrace
            | TokenKind::LeftBracket
            | TokenKind::RightBracket
            | TokenKind::Comma
            | TokenKind::Colon
            | TokenKind::Assign => quote(self.text.as_bytes()),
            TokenKind::At => "<@>".to_owned(),
            _ => operator(self.text),
        }
    }
}

fn quote_short(text: &str) -> String {
    if text.chars().count() > 10 {
        let head: String = text.chars().take(10).collect();
        format!("{}...", quote(head.as_bytes()))
    } else {
        quote(text.as_bytes())
    }
}

/// Quotes bytes as Go's `%q` does, which every error text of Prometheus goes through.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                '\u{7}' => out.push_str("\\a"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\u{b}' => out.push_str("\\v"),
                c if c.is_ascii_control() => {
                    let _ = write!(out, "\\x{:02x}", u32::from(c));
                }
                c if c.is_control() => {
                    let _ = write!(out, "\\u{:04x}", u32::from(c));
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

/// Splits `text`; the last token is always [`TokenKind::Eof`] or an error.
pub(crate) fn tokenize(text: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer { text, at: 0, in_braces: false, brackets: 0, parens: 0 };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next();
        let last = matches!(token.kind, TokenKind::Eof | TokenKind::Error(_));
        tokens.push(token);
        if last {
            return tokens;
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    in_braces: bool,
    brackets: u32,
    parens: u32,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn token(&mut self, kind: TokenKind, length: usize) -> Token<'a> {
        let start = self.at;
        self.at += length;
        Token { kind, text: &self.text[start..self.at], span: Span::new(start, self.at) }
    }

    fn error(&mut self, message: String) -> Token<'a> {
        self.token(TokenKind::Error(message), 0)
    }

    fn next(&mut self) -> Token<'a> {
        self.skip_blank();
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            if self.in_braces {
                return self.error("unexpected end of input inside braces".to_owned());
            }
            if self.brackets > 0 {
                return self.error("unclosed left bracket".to_owned());
            }
            if self.parens > 0 {
                return self.error("unclosed left parenthesis".to_owned());
            }
            return self.token(TokenKind::Eof, 0);
        };
        if first.is_ascii_digit()
            || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit()) && !self.in_braces)
        {
            return self.number();
        }
        if first.is_ascii_alphabetic()
            || first == '_'
            || (first == ':' && self.brackets == 0 && !self.in_braces)
        {
            return self.word();
        }
        if matches!(first, '"' | '\'' | '`') {
            return self.string(first);
        }
        let two = rest.get(..2).unwrap_or("");
        let two_kind = match two {
            "=~" => Some(TokenKind::RegexEqual),
            "!~" => Some(TokenKind::RegexNotEqual),
            "!=" => Some(TokenKind::NotEqual),
            "==" => Some(TokenKind::Equal),
            "<=" => Some(TokenKind::LessEqual),
            ">=" => Some(TokenKind::GreaterEqual),
            "</" => Some(TokenKind::TrimUpper),
            ">/" => Some(TokenKind::TrimLower),
            _ => None,
        };
        if let Some(kind) = two_kind {
            return self.token(kind, 2);
        }
        let kind = match first {
            '(' => {
                self.parens += 1;
                TokenKind::LeftParen
            }
            ')' => {
                if self.parens == 0 {
                    // It is said where the text goes on after it.
                    self.at += 1;
                    return self.error("unexpected right parenthesis ')'".to_owned());
                }
                self.parens -= 1;
                TokenKind::RightParen
            }
            '{' => {
                self.in_braces = true;
                TokenKind::LeftBrace
            }
            '}' => {
                if !self.in_braces {
                    return self.error("unexpected character: '}'".to_owned());
                }
                self.in_braces = false;
                TokenKind::RightBrace
            }
            '[' => {
                self.brackets += 1;
                TokenKind::LeftBracket
            }
            ']' => {
                if self.brackets == 0 {
                    return self.error("unexpected right bracket ']'".to_owned());
                }
                self.brackets -= 1;
                TokenKind::RightBracket
            }
            ',' => TokenKind::Comma,
            ':' => TokenKind::Colon,
            '=' => TokenKind::Assign,
            '<' => TokenKind::Less,
            '>' => TokenKind::Greater,
            '+' => TokenKind::Add,
            '-' => TokenKind::Sub,
            '*' => TokenKind::Mul,
            '/' => TokenKind::Div,
            '%' => TokenKind::Mod,
            '^' => TokenKind::Pow,
            '@' => TokenKind::At,
            '!' => {
                let place = if self.in_braces { " inside braces" } else { "" };
                let after = rest[1..].chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
                return self.error(format!("unexpected character after '!'{place}: {}", quote_char(after)));
            }
            other => {
                let place = if self.in_braces { " inside braces" } else { "" };
                return self.error(format!("unexpected character{place}: {}", quote_char(other)));
            }
        };
        self.token(kind, 1)
    }

    fn word(&mut self) -> Token<'a> {
        let colons = self.brackets == 0 && !self.in_braces;
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':')))
            .unwrap_or(rest.len());
        let kind =
            if rest[..end].contains(':') { TokenKind::MetricIdentifier } else { TokenKind::Identifier };
        self.token(kind, end)
    }

    fn number(&mut self) -> Token<'a> {
        let rest = self.rest();
        let end = number_length(rest);
        let text = &rest[..end];
        if rest[end..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            let bad = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
            return self.error(format!("bad number or duration syntax: {}", quote(&rest.as_bytes()[..bad])));
        }
        if text.ends_with(|c: char| c.is_ascii_alphabetic())
            && !text.starts_with("0x")
            && !text.starts_with("0X")
        {
            return match model::parse_duration(text) {
                Ok(duration) => {
                    let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
                    self.token(TokenKind::Duration(millis), end)
                }
                Err(e) => self.error(e.to_string()),
            };
        }
        match parse_number(text) {
            Some(value) => self.token(TokenKind::Number(value), end),
            None => self.error(format!("error parsing number: {}", quote(text.as_bytes()))),
        }
    }

    fn string(&mut self, mark: char) -> Token<'a> {
        match unquote_prefix(self.rest(), mark) {
            Ok((content, length)) => self.token(TokenKind::String(content), length),
            Err(message) => self.error(message),
        }
    }
}

fn quote_char(c: char) -> String {
    match c {
        '\'' => "'\\''".to_owned(),
        c => format!("'{c}'"),
    }
}

/// How many bytes of `rest` a number or a duration takes.
fn number_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let digits = |from: usize| {
        from + bytes.get(from..).unwrap_or(&[]).iter().take_while(|b| b.is_ascii_digit()).count()
    };
    if rest.starts_with("0x") || rest.starts_with("0X") {
        return 2 + bytes[2..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
    }
    let whole = digits(0);
    let mut end = whole;
    let mut duration = 0;
    while end > duration {
        let letters = bytes[end..].iter().take_while(|b| b.is_ascii_alphabetic()).count();
        let unit = rest[end..].get(..letters).unwrap_or("");
        if !matches!(unit, "ms" | "s" | "m" | "h" | "d" | "w" | "y") {
            break;
        }
        duration = end + letters;
        end = digits(duration);
    }
    if duration > 0 && end == duration {
        return duration;
    }
    end = whole;
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > end + 1 + sign {
            end = exponent;
        }
    }
    end
}

/// Reads an unsigned number, decimal or hexadecimal.
pub(crate) fn parse_number(text: &str) -> Option<f64> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(hex, 16).ok().map(|v| v as f64);
    }
    // A leading zero means octal in Go, and so in Prometheus, as long as every digit is one.
    if text.len() > 1 && text.starts_with('0') && text.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
        return i64::from_str_radix(text, 8).ok().map(|v| v as f64);
    }
    text.parse().ok()
}

/// Reads a quoted string at the start of `text`: its content, and how many bytes it took.
pub(crate) fn unquote_prefix(text: &str, mark: char) -> Result<(Vec<u8>, usize), String> {
    let bytes = text.as_bytes();
    let mut content = Vec::new();
    let mut at = 1;
    loop {
        let Some(&byte) = bytes.get(at) else {
            return Err(
                if mark == '`' { "unterminated raw string" } else { "unterminated quoted string" }.to_owned()
            );
        };
        if char::from(byte) == mark {
            return Ok((content, at + 1));
        }
        if byte == b'\n' && mark != '`' {
            return Err("unterminated quoted string".to_owned());
        }
        if byte != b'\\' || mark == '`' {
            content.push(byte);
            at += 1;
            continue;
        }
        at = escape(bytes, at, &mut content)?;
    }
}

/// Reads the escape that starts at `at` and answers where it ends.
fn escape(bytes: &[u8], at: usize, content: &mut Vec<u8>) -> Result<usize, String> {
    let Some(&byte) = bytes.get(at + 1) else {
        return Err("escape sequence not terminated".to_owned());
    };
    let simple = match byte {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'\\' => b'\\',
        b'\'' => b'\'',
        b'"' => b'"',
        b'x' | b'u' | b'U' | b'0'..=b'7' => {
            let (base, count, from) = match byte {
                b'x' => (16, 2, at + 2),
                b'u' => (16, 4, at + 2),
                b'U' => (16, 8, at + 2),
                _ => (8, 3, at + 1),
            };
            let digits = bytes
                .get(from..from + count)
                .and_then(|d| std::str::from_utf8(d).ok())
                .ok_or("escape sequence not terminated")?;
            let code = u32::from_str_radix(digits, base)
                .map_err(|_| format!("unknown escape sequence {}", quote(digits.as_bytes())))?;
            if matches!(byte, b'u' | b'U') {
                let c = char::from_u32(code).ok_or("escape sequence is an invalid Unicode code point")?;
                content.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                content.push(u8::try_from(code).map_err(|_| "escape sequence out of range")?);
            }
            return Ok(from + count);
        }
        other => {
            return Err(format!("unknown escape sequence U+{other:04X} {}", quote_char(char::from(other))));
        }
    };
    content.push(simple);
    Ok(at + 2)
}
