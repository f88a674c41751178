//! Text to nodes. Blocks and parentheses nest at most [`DEPTH_MAX`] deep, so that the stack holds.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::{TemplateError, Value};

/// Deeper nesting than any template a person writes; parsing and rendering recurse.
const DEPTH_MAX: usize = 64;

/// A piece of a template.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// Copied as it is.
    Text(String),
    /// Evaluated and printed.
    Print(Pipeline),
    /// Evaluated and kept under a name; `declare` makes a new variable, otherwise an existing one changes.
    Assign { name: String, declare: bool, value: Pipeline },
    /// `if`, or `with` where `with` is set: then the dot becomes the value. The variable lives in both branches.
    Condition { with: bool, variable: Option<String>, value: Pipeline, then: Vec<Self>, otherwise: Vec<Self> },
    /// `range`.
    Range {
        key: Option<String>,
        element: Option<String>,
        value: Pipeline,
        body: Vec<Self>,
        otherwise: Vec<Self>,
    },
}

/// Commands, each of which gets the value of the one before as its last argument.
#[derive(Debug, Clone)]
pub(super) struct Pipeline(pub(super) Vec<Command>);

/// A function's name and arguments, or a single operand.
#[derive(Debug, Clone)]
pub(super) enum Command {
    Call(String, Vec<Operand>),
    Operand(Operand),
}

/// A value, and the fields to take from it in turn.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    pub(super) base: Base,
    pub(super) fields: Vec<String>,
}

/// Where a value comes from.
#[derive(Debug, Clone)]
pub(super) enum Base {
    Dot,
    Variable(String),
    Literal(Value),
    Pipeline(Pipeline),
    /// A function without arguments where an argument is expected.
    Call(String),
}

/// Parses a whole template.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, TemplateError> {
    let pieces = split(text)?;
    let mut parser = Parser { pieces: pieces.into_iter(), depth: 0 };
    let (nodes, end) = parser.block(false)?;
    match end {
        Closing::Text => Ok(nodes),
        Closing::Else(line, _) | Closing::End(line) => Err(syntax(line, "unexpected {{end}} or {{else}}")),
    }
}

fn syntax(line: usize, what: impl Into<String>) -> TemplateError {
    TemplateError::Syntax { line, what: what.into() }
}

/// Text between actions, or the tokens of one action.
enum Piece {
    Text(String),
    Action(usize, Vec<Token>),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
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

fn split(text: &str) -> Result<Vec<Piece>, TemplateError> {
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
                let end = quoted_end(tail).ok_or_else(|| syntax(line, "unterminated quoted string"))?;
                let inner = tail.get(..end).unwrap_or_default();
                let text = unquote(inner).ok_or_else(|| syntax(line, format!("bad string \"{inner}\"")))?;
                (Token::Literal(text.into()), tail.get(end + 1..).unwrap_or_default())
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
    let hex = bare.strip_prefix("0x").and_then(|h| i64::from_str_radix(h, 16).ok());
    let value = if let Some(whole) = hex.or_else(|| bare.parse().ok()) {
        Value::Int(whole)
    } else {
        let float = bare.parse().ok().filter(|_| bare.contains(|c: char| c.is_ascii_digit()));
        Value::Float(float.ok_or_else(|| syntax(line, format!("bad number syntax: {digits:?}")))?)
    };
    Ok((Token::Literal(value), tail))
}

fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at),
            '\n' => return None,
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

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
    depth: usize,
}

/// What ended a block.
enum Closing {
    Text,
    Else(usize, Vec<Token>),
    End(usize),
}

impl Parser {
    /// Reads nodes up to the `end` or `else` that belongs to the block, or to the end of the text.
    fn block(&mut self, inner: bool) -> Result<(Vec<Node>, Closing), TemplateError> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let (line, tokens) = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(line, tokens) => (line, tokens),
            };
            let keyword = match tokens.first() {
                Some(Token::Word(word)) => word.as_str(),
                _ => "",
            };
            match keyword {
                "end" if tokens.len() == 1 => return Ok((nodes, Closing::End(line))),
                "else" => {
                    return Ok((nodes, Closing::Else(line, tokens.get(1..).unwrap_or_default().to_vec())));
                }
                "if" | "with" | "range" => {
                    let rest = tokens.get(1..).unwrap_or_default().to_vec();
                    nodes.push(self.control(keyword, line, rest)?);
                }
                "define" | "template" | "block" | "break" | "continue" => {
                    return Err(TemplateError::Unsupported { line, what: format!("{{{{{keyword}}}}}") });
                }
                _ => nodes.push(plain(line, tokens)?),
            }
        }
        if inner {
            Err(syntax(0, "unexpected end of text: {{end}} is missing"))
        } else {
            Ok((nodes, Closing::Text))
        }
    }

    fn control(&mut self, keyword: &str, line: usize, tokens: Vec<Token>) -> Result<Node, TemplateError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(syntax(line, "blocks are nested too deeply"));
        }
        let (names, tokens) = declared(line, tokens, keyword == "range")?;
        let value = pipeline(line, tokens)?;
        let (then, end) = self.block(true)?;
        let otherwise = match end {
            Closing::Else(line, rest) => self.otherwise(keyword, line, &rest)?,
            Closing::End(_) | Closing::Text => Vec::new(),
        };
        self.depth -= 1;
        let mut names = names.into_iter();
        let (first, second) = (names.next(), names.next());
        Ok(match keyword {
            "range" => {
                // A single variable is the element, the first of two is the key.
                let (key, element) = if second.is_some() { (first, second) } else { (None, first) };
                Node::Range { key, element, value, body: then, otherwise }
            }
            _ => Node::Condition { with: keyword == "with", variable: first, value, then, otherwise },
        })
    }

    /// What follows `else`: a block of its own, or another condition that shares the `end`.
    fn otherwise(&mut self, keyword: &str, line: usize, rest: &[Token]) -> Result<Vec<Node>, TemplateError> {
        match rest.split_first() {
            None => match self.block(true)? {
                (nodes, Closing::End(_)) => Ok(nodes),
                (_, _) => Err(syntax(line, "expected {{end}}")),
            },
            Some((Token::Word(word), rest)) if word == keyword && matches!(keyword, "if" | "with") => {
                Ok(vec![self.control(keyword, line, rest.to_vec())?])
            }
            Some(_) => Err(syntax(line, "unexpected words after {{else}}")),
        }
    }
}

/// Variables declared before a pipeline, and the tokens after them.
fn declared(
    line: usize,
    mut tokens: Vec<Token>,
    two: bool,
) -> Result<(Vec<String>, Vec<Token>), TemplateError> {
    let (names, used) = match tokens.as_slice() {
        [Token::Variable(name), Token::Declare, ..] => (vec![name.clone()], 2),
        [Token::Variable(key), Token::Comma, Token::Variable(element), Token::Declare, ..] if two => {
            (vec![key.clone(), element.clone()], 4)
        }
        [Token::Variable(_), Token::Assign, ..] => {
            return Err(TemplateError::Unsupported { line, what: "assignment in a block's head".to_owned() });
        }
        _ => (Vec::new(), 0),
    };
    tokens.drain(..used);
    Ok((names, tokens))
}

fn plain(line: usize, tokens: Vec<Token>) -> Result<Node, TemplateError> {
    if let [Token::Variable(name), op @ (Token::Declare | Token::Assign), rest @ ..] = tokens.as_slice() {
        let (name, declare) = (name.clone(), *op == Token::Declare);
        return Ok(Node::Assign { name, declare, value: pipeline(line, rest.to_vec())? });
    }
    pipeline(line, tokens).map(Node::Print)
}

fn pipeline(line: usize, tokens: Vec<Token>) -> Result<Pipeline, TemplateError> {
    let mut tokens = tokens.into_iter().peekable();
    let pipeline = commands(line, &mut tokens, 0)?;
    match tokens.next() {
        None => Ok(pipeline),
        Some(_) => Err(syntax(line, "unexpected \")\"")),
    }
}

type Tokens = std::iter::Peekable<std::vec::IntoIter<Token>>;

/// Commands up to a closing parenthesis, which is left, or the end.
fn commands(line: usize, tokens: &mut Tokens, depth: usize) -> Result<Pipeline, TemplateError> {
    if depth > DEPTH_MAX {
        return Err(syntax(line, "parentheses are nested too deeply"));
    }
    let mut commands = Vec::new();
    loop {
        let mut operands = Vec::new();
        while let Some(token) = tokens.next_if(|t| !matches!(t, Token::Pipe | Token::Close)) {
            operands.push(operand(line, token, tokens, depth)?);
        }
        let mut operands = operands.into_iter();
        commands.push(match (operands.next(), operands.len()) {
            (None, _) => return Err(syntax(line, "missing value for command")),
            (Some(Operand { base: Base::Call(name), fields }), _) if fields.is_empty() => {
                Command::Call(name, operands.collect())
            }
            (Some(single), 0) if commands.is_empty() => Command::Operand(single),
            (Some(_), _) => {
                return Err(syntax(line, "can't give an argument to a value that is no function"));
            }
        });
        if tokens.next_if_eq(&Token::Pipe).is_none() {
            return Ok(Pipeline(commands));
        }
    }
}

fn operand(line: usize, token: Token, tokens: &mut Tokens, depth: usize) -> Result<Operand, TemplateError> {
    let mut fields = Vec::new();
    let base = match token {
        Token::Field { name, .. } => {
            if !name.is_empty() {
                fields.push(name);
            }
            Base::Dot
        }
        Token::Variable(name) => Base::Variable(name),
        Token::Literal(value) => Base::Literal(value),
        Token::Word(name) if super::functions::is_known(&name) => Base::Call(name),
        Token::Word(name) if super::functions::is_planned(&name) => {
            return Err(TemplateError::Unsupported { line, what: format!("function {name:?}") });
        }
        Token::Word(name) => return Err(syntax(line, format!("function {name:?} not defined"))),
        Token::Open => {
            let inner = commands(line, tokens, depth + 1)?;
            tokens.next_if_eq(&Token::Close).ok_or_else(|| syntax(line, "unclosed left paren"))?;
            Base::Pipeline(inner)
        }
        Token::Pipe | Token::Close | Token::Comma | Token::Declare | Token::Assign => {
            return Err(syntax(line, "unexpected punctuation in operand"));
        }
    };
    while let Some(Token::Field { name, .. }) =
        tokens.next_if(|t| matches!(t, Token::Field { name, joined: true } if !name.is_empty()))
    {
        fields.push(name);
    }
    Ok(Operand { base, fields })
}
