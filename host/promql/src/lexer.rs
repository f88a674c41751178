//! Text to tokens.
//!
//! Words are not told apart here: whether `sum` is an aggregation or a metric's name depends on what follows,
//! which the parser knows. What cannot be a token becomes an [`TokenKind::Error`] token, so that the parser
//! reports whichever fault comes first in the text.
//!
//! What a character may be depends on where it stands, in the same places as in Prometheus, whose faults people know:
//! in braces, where words are labels; right after a bracket, where only durations are; after the first duration in
//! brackets; and everywhere else.

mod number;
mod text;

pub(crate) use number::{number_fault, parse_number};
pub(crate) use text::{quote, quote_char, unquote_prefix};

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
    /// A word that is a keyword elsewhere, but names something here.
    PlainWord,
    /// A word in braces, which is a label's name whatever else it means elsewhere.
    LabelName,
    /// The unquoted content; bytes, since `\xff` may be written.
    String(Vec<u8>),
    /// A number; `None` where it cannot be read, which [`number_fault`] explains.
    Number(Option<f64>),
    /// A number written as `1h30m`, unread.
    Duration,
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
const KEYWORDS: [&str; 9] =
    ["offset", "smoothed", "anchored", "by", "without", "on", "ignoring", "group_left", "group_right"];
/// Keywords only where a parenthesis follows.
const FILLS: [&str; 3] = ["fill", "fill_left", "fill_right"];
/// What may be asked for in a duration; `start` and `end` are named like them elsewhere.
const DURATION_WORDS: [&str; 4] = ["step", "range", "min_of", "max_of"];
const EDGES: [&str; 2] = ["start", "end"];

fn is_one_of(words: &[&str], text: &str) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(text))
}

impl Token<'_> {
    /// Whether it is this word and means what the word means.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.kind == TokenKind::Identifier && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is a word that stands for a fill, which only one with a parenthesis behind it does.
    pub(crate) fn is_fill(&self) -> bool {
        matches!(self.kind, TokenKind::Identifier) && is_one_of(&FILLS, self.text)
    }

    /// Whether a metric may have this name where one is expected.
    pub(crate) fn names_metric(&self) -> bool {
        match self.kind {
            TokenKind::MetricIdentifier | TokenKind::PlainWord => true,
            TokenKind::Identifier => {
                let reserved = ["on", "ignoring", "group_left", "group_right", "bool", "atan2"];
                !is_one_of(&reserved, self.text)
            }
            _ => false,
        }
    }

    /// Whether it may name a function that is called.
    pub(crate) fn names_function(&self) -> bool {
        self.kind == TokenKind::Identifier
            && (is_one_of(&DURATION_WORDS, self.text)
                || is_one_of(&EDGES, self.text)
                || !(is_one_of(&AGGREGATORS, self.text)
                    || is_one_of(&OPERATOR_WORDS, self.text)
                    || is_one_of(&KEYWORDS, self.text)
                    || is_one_of(&FILLS, self.text)
                    || self.is_word("bool")))
    }

    /// How Prometheus names the token in `unexpected ...`.
    pub(crate) fn describe(&self) -> String {
        let operator = |text: &str| format!("<op:{text}>");
        match &self.kind {
            TokenKind::Eof => "end of input".to_owned(),
            TokenKind::Error(message) => message.clone(),
            TokenKind::Identifier => {
                let word = self.text;
                if is_one_of(&AGGREGATORS, word) {
                    format!("<aggr:{word}>")
                } else if is_one_of(&OPERATOR_WORDS, word) {
                    operator(word)
                } else if is_one_of(&KEYWORDS, word) || is_one_of(&FILLS, word) || self.is_word("bool") {
                    format!("<{word}>")
                } else if is_one_of(&DURATION_WORDS, word) || is_one_of(&EDGES, word) {
                    quote(word.as_bytes())
                } else {
                    format!("identifier {}", quote(word.as_bytes()))
                }
            }
            TokenKind::LabelName | TokenKind::PlainWord => {
                format!("identifier {}", quote(self.text.as_bytes()))
            }
            TokenKind::MetricIdentifier => format!("metric identifier {}", quote(self.text.as_bytes())),
            TokenKind::String(_) => format!("string {}", quote_short(self.text)),
            TokenKind::Number(_) => format!("number {}", quote_short(self.text)),
            TokenKind::Duration => format!("duration {}", quote_short(self.text)),
            TokenKind::LeftParen
            | TokenKind::RightParen
            | TokenKind::LeftBrace
            | TokenKind::RightBrace
            | TokenKind::LeftBracket
            | TokenKind::RightBracket
            | TokenKind::Comma
            | TokenKind::Colon
            | TokenKind::Assign => quote(self.text.as_bytes()),
            _ => operator(self.text),
        }
    }
}

fn quote_short(text: &str) -> String {
    if text.len() > 10 {
        let head: String = text.chars().take(10).collect();
        format!("{}...", quote(head.as_bytes()))
    } else {
        quote(text.as_bytes())
    }
}

/// Splits `text`; the last token is always [`TokenKind::Eof`] or an error.
pub(crate) fn tokenize(text: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer {
        text,
        at: 0,
        in_braces: false,
        in_brackets: false,
        durations_only: false,
        seen_colon: false,
        seen_duration: false,
        parens: 0,
    };
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
    in_brackets: bool,
    /// Behind a bracket, until its first number.
    durations_only: bool,
    seen_colon: bool,
    seen_duration: bool,
    parens: u32,
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_alpha(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn is_alphanumeric(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches(is_space);
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with('#') || self.durations_only {
                return;
            }
            self.at += trimmed.find(['\n', '\r']).unwrap_or(trimmed.len());
        }
    }

    fn token(&mut self, kind: TokenKind, length: usize) -> Token<'a> {
        let start = self.at;
        self.at += length;
        Token { kind, text: &self.text[start..self.at], span: Span::new(start, self.at) }
    }

    /// A fault that is said where the token starts.
    fn error(&mut self, message: String) -> Token<'a> {
        self.token(TokenKind::Error(message), 0)
    }

    /// A fault that is said where the text goes on behind the token.
    fn error_behind(&mut self, length: usize, message: String) -> Token<'a> {
        self.at += length;
        self.error(message)
    }

    fn next(&mut self) -> Token<'a> {
        self.skip_blank();
        if self.in_braces {
            self.next_in_braces()
        } else if self.durations_only {
            self.next_duration()
        } else {
            self.next_anywhere()
        }
    }

    fn next_in_braces(&mut self) -> Token<'a> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return self.error("unexpected end of input inside braces".to_owned());
        };
        let behind = rest[first.len_utf8()..].chars().next();
        match (first, behind) {
            (c, _) if is_alpha(c) => {
                let end = rest.find(|c| !is_alphanumeric(c)).unwrap_or(rest.len());
                self.token(TokenKind::LabelName, end)
            }
            (',', _) => self.token(TokenKind::Comma, 1),
            ('"' | '\'' | '`', _) => self.string(first),
            ('=', Some('~')) => self.token(TokenKind::RegexEqual, 2),
            ('=', _) => self.token(TokenKind::Assign, 1),
            ('!', Some('~')) => self.token(TokenKind::RegexNotEqual, 2),
            ('!', Some('=')) => self.token(TokenKind::NotEqual, 2),
            ('!', behind) => {
                let after = quote_char(behind.unwrap_or(char::REPLACEMENT_CHARACTER));
                self.error(format!("unexpected character after '!' inside braces: {after}"))
            }
            ('{', _) => self.error("unexpected left brace '{'".to_owned()),
            ('}', _) => {
                self.in_braces = false;
                self.token(TokenKind::RightBrace, 1)
            }
            (other, _) => self.error(format!("unexpected character inside braces: {}", quote_char(other))),
        }
    }

    fn next_duration(&mut self) -> Token<'a> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return self.error("unexpected end of input in duration expression".to_owned());
        };
        match first {
            ']' => {
                self.durations_only = false;
                self.seen_colon = false;
                self.right_bracket()
            }
            ':' if !self.seen_duration => {
                self.error_behind(1, "unexpected colon before duration in duration expression".to_owned())
            }
            ':' if self.seen_colon => {
                self.error_behind(1, "unexpected repeated colon in duration expression".to_owned())
            }
            ':' => {
                self.seen_colon = true;
                self.token(TokenKind::Colon, 1)
            }
            '(' => self.left_paren(),
            ')' => self.right_paren(),
            '+' => self.token(TokenKind::Add, 1),
            '-' => self.token(TokenKind::Sub, 1),
            '*' => self.token(TokenKind::Mul, 1),
            '/' => self.token(TokenKind::Div, 1),
            '%' => self.token(TokenKind::Mod, 1),
            '^' => self.token(TokenKind::Pow, 1),
            ',' => self.token(TokenKind::Comma, 1),
            _ if starts_number(rest) => {
                self.seen_duration = true;
                self.durations_only = false;
                self.number()
            }
            other => self.duration_word().unwrap_or_else(|| {
                self.error(format!("unexpected character in duration expression: {}", quote_char(other)))
            }),
        }
    }

    /// One of the words that durations know.
    fn duration_word(&mut self) -> Option<Token<'a>> {
        let rest = self.rest();
        let end = rest.find(|c| !is_alpha(c)).unwrap_or(rest.len());
        is_one_of(&DURATION_WORDS, &rest[..end]).then(|| self.token(TokenKind::Identifier, end))
    }

    fn left_paren(&mut self) -> Token<'a> {
        self.parens += 1;
        self.token(TokenKind::LeftParen, 1)
    }

    fn right_paren(&mut self) -> Token<'a> {
        match self.parens.checked_sub(1) {
            Some(parens) => {
                self.parens = parens;
                self.token(TokenKind::RightParen, 1)
            }
            None => self.error_behind(1, "unexpected right parenthesis ')'".to_owned()),
        }
    }

    fn right_bracket(&mut self) -> Token<'a> {
        self.in_brackets = false;
        self.token(TokenKind::RightBracket, 1)
    }

    fn next_anywhere(&mut self) -> Token<'a> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return match (self.parens, self.in_brackets) {
                (1.., _) => self.error("unclosed left parenthesis".to_owned()),
                (_, true) => self.error("unclosed left bracket".to_owned()),
                _ => self.token(TokenKind::Eof, 0),
            };
        };
        if starts_number(rest) {
            return self.number();
        }
        let two = match rest.get(..2).unwrap_or("") {
            "==" => Some(TokenKind::Equal),
            "!=" => Some(TokenKind::NotEqual),
            "<=" => Some(TokenKind::LessEqual),
            ">=" => Some(TokenKind::GreaterEqual),
            "</" => Some(TokenKind::TrimUpper),
            ">/" => Some(TokenKind::TrimLower),
            "=~" => return self.error("unexpected character after '=': '~'".to_owned()),
            _ => None,
        };
        if let Some(kind) = two {
            return self.token(kind, 2);
        }
        let kind = match first {
            c if is_alpha(c) || c == ':' => return self.word_or_colon(c),
            '"' | '\'' | '`' => return self.string(first),
            '(' => return self.left_paren(),
            ')' => return self.right_paren(),
            '{' => {
                self.in_braces = true;
                TokenKind::LeftBrace
            }
            '[' if self.in_brackets => return self.error("unexpected left bracket '['".to_owned()),
            '[' => {
                self.in_brackets = true;
                self.durations_only = true;
                self.seen_colon = false;
                TokenKind::LeftBracket
            }
            ']' if self.in_brackets => return self.right_bracket(),
            ']' => return self.error("unexpected right bracket ']'".to_owned()),
            ',' => TokenKind::Comma,
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
                let after = rest[1..].chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
                return self.error(format!("unexpected character after '!': {}", quote_char(after)));
            }
            other => return self.error(format!("unexpected character: {}", quote_char(other))),
        };
        self.token(kind, 1)
    }

    fn word_or_colon(&mut self, first: char) -> Token<'a> {
        if !self.in_brackets {
            return self.word();
        }
        if first != ':' {
            return self.duration_word().unwrap_or_else(|| {
                self.error(format!("unexpected character: {}, expected ':'", quote_char(first)))
            });
        }
        if self.seen_colon {
            return self.error("unexpected colon ':'".to_owned());
        }
        self.seen_colon = true;
        self.token(TokenKind::Colon, 1)
    }

    fn word(&mut self) -> Token<'a> {
        let rest = self.rest();
        let end = rest.find(|c| !(is_alphanumeric(c) || c == ':')).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        let kind = if word.contains(':') {
            TokenKind::MetricIdentifier
        } else if word.eq_ignore_ascii_case("inf") {
            TokenKind::Number(Some(f64::INFINITY))
        } else if word.eq_ignore_ascii_case("nan") {
            TokenKind::Number(Some(f64::NAN))
        } else if is_one_of(&FILLS, word) && !behind.trim_start_matches(is_space).starts_with('(') {
            TokenKind::PlainWord
        } else {
            TokenKind::Identifier
        };
        self.token(kind, end)
    }

    fn number(&mut self) -> Token<'a> {
        match number::length(self.rest()) {
            Ok((length, true)) => self.token(TokenKind::Duration, length),
            Ok((length, false)) => {
                let value = parse_number(&self.rest()[..length]);
                self.token(TokenKind::Number(value), length)
            }
            Err(looked_at) => {
                let text = quote(&self.rest().as_bytes()[..looked_at]);
                self.error(format!("bad number or duration syntax: {text}"))
            }
        }
    }

    fn string(&mut self, mark: char) -> Token<'a> {
        match unquote_prefix(self.rest(), mark) {
            Ok((content, length)) => self.token(TokenKind::String(content), length),
            Err(message) => self.error(message),
        }
    }
}

fn starts_number(rest: &str) -> bool {
    let digits = rest.strip_prefix('.').unwrap_or(rest);
    digits.starts_with(|c: char| c.is_ascii_digit())
}
