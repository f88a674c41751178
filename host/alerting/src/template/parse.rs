//! Text to nodes. Blocks and parentheses nest at most [`DEPTH_MAX`] deep, so that the stack holds; a variable is
//! known where it is used, or the template is refused.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod lex;

use std::collections::BTreeMap;

use self::lex::{Piece, Token, split};
use super::functions::Dialect;
use super::{TemplateError, Value};

pub(super) use self::lex::float;
pub(crate) use self::lex::unquote;

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
    Condition { with: bool, variable: Option<Target>, value: Pipeline, then: Vec<Self>, otherwise: Vec<Self> },
    /// `range`.
    Range {
        key: Option<Target>,
        element: Option<Target>,
        value: Pipeline,
        body: Vec<Self>,
        otherwise: Vec<Self>,
    },
    /// A named template, rendered over a value of its own.
    Template { name: String, value: Option<Pipeline> },
    /// Ends the innermost `range`.
    Break,
    /// Goes on with its next element.
    Continue,
}

/// The variable that a block's head sets, and whether it is a new one.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) declare: bool,
}

/// Commands, each of which gets the value of the one before as its last argument.
#[derive(Debug, Clone)]
pub(super) struct Pipeline(pub(super) Vec<Command>);

/// A function's name and arguments, a method with arguments, or a single operand.
#[derive(Debug, Clone)]
pub(super) enum Command {
    Call(String, Vec<Operand>),
    /// The last field of the operand is the method.
    Method(Operand, Vec<Operand>),
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

/// Named templates.
pub(super) type Named = BTreeMap<String, Vec<Node>>;

/// Parses a whole template that may use these variables and what is defined already; what it defines by name comes
/// along with that.
pub(super) fn parse(
    text: &str,
    variables: &[&str],
    named: Named,
    dialect: Dialect,
) -> Result<(Vec<Node>, Named), TemplateError> {
    let pieces = split(text)?;
    let mut known: Vec<String> = variables.iter().map(|name| (*name).to_owned()).collect();
    known.push(String::new());
    let mut parser =
        Parser { pieces: pieces.into_iter(), depth: 0, ranges: 0, known, named, dialect, uses: Vec::new() };
    let (nodes, end) = parser.block(false)?;
    match end {
        Closing::Text => {}
        Closing::Else(line, _) | Closing::End(line) => {
            return Err(syntax(line, "unexpected {{end}} or {{else}}"));
        }
    }
    match parser.uses.iter().find(|(_, name)| !parser.named.contains_key(name)) {
        Some((line, name)) => Err(syntax(*line, format!("template {name:?} not defined"))),
        None => Ok((nodes, parser.named)),
    }
}

fn syntax(line: usize, what: impl Into<String>) -> TemplateError {
    TemplateError::Syntax { line, what: what.into() }
}

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
    depth: usize,
    /// How many `range` blocks are open.
    ranges: usize,
    /// The variables in scope; `$` is the one without a name.
    known: Vec<String>,
    named: Named,
    dialect: Dialect,
    /// Templates that are called, with the line: they may be defined further down.
    uses: Vec<(usize, String)>,
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
            let rest = || tokens.get(1..).unwrap_or_default().to_vec();
            match keyword {
                "end" if tokens.len() == 1 => return Ok((nodes, Closing::End(line))),
                "else" => return Ok((nodes, Closing::Else(line, rest()))),
                "if" | "with" | "range" => nodes.push(self.control(keyword, line, rest())?),
                "define" if inner => return Err(syntax(line, "unexpected {{define}} inside a block")),
                "define" => {
                    let (name, rest) = template_name(line, rest())?;
                    if !rest.is_empty() {
                        return Err(syntax(line, "unexpected words after the name in {{define}}"));
                    }
                    self.define(line, name)?;
                }
                "block" => {
                    let (name, rest) = template_name(line, rest())?;
                    let value = Some(self.pipeline(line, rest)?);
                    self.define(line, name.clone())?;
                    nodes.push(Node::Template { name, value });
                }
                "template" => {
                    let (name, rest) = template_name(line, rest())?;
                    let value = if rest.is_empty() { None } else { Some(self.pipeline(line, rest)?) };
                    self.uses.push((line, name.clone()));
                    nodes.push(Node::Template { name, value });
                }
                "break" | "continue" if tokens.len() == 1 => {
                    if self.ranges == 0 {
                        return Err(syntax(line, format!("{{{{{keyword}}}}} outside {{{{range}}}}")));
                    }
                    nodes.push(if keyword == "break" { Node::Break } else { Node::Continue });
                }
                _ => nodes.push(self.plain(line, tokens)?),
            }
        }
        if inner {
            Err(syntax(0, "unexpected end of text: {{end}} is missing"))
        } else {
            Ok((nodes, Closing::Text))
        }
    }

    /// Reads the body of a named template, which sees none of the variables around it. An empty body does not
    /// replace an earlier one, as in Go.
    fn define(&mut self, line: usize, name: String) -> Result<(), TemplateError> {
        self.deeper(line)?;
        let around = std::mem::replace(&mut self.known, vec![String::new()]);
        let ranges = std::mem::take(&mut self.ranges);
        let body = match self.block(true)? {
            (body, Closing::End(_)) => body,
            (_, _) => return Err(syntax(line, "expected {{end}}")),
        };
        self.known = around;
        self.ranges = ranges;
        self.depth -= 1;
        let blank = |node: &Node| matches!(node, Node::Text(text) if text.trim().is_empty());
        if !body.iter().all(blank) || !self.named.contains_key(&name) {
            self.named.insert(name, body);
        }
        Ok(())
    }

    fn deeper(&mut self, line: usize) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(syntax(line, "blocks are nested too deeply")) } else { Ok(()) }
    }

    fn control(&mut self, keyword: &str, line: usize, tokens: Vec<Token>) -> Result<Node, TemplateError> {
        self.deeper(line)?;
        let scope = self.known.len();
        let (targets, tokens) = targets(line, tokens, keyword == "range")?;
        let value = self.pipeline(line, tokens)?;
        for target in &targets {
            if target.declare {
                self.known.push(target.name.clone());
            } else {
                self.check_variable(line, &target.name)?;
            }
        }
        let inside = self.known.len();
        self.ranges += usize::from(keyword == "range");
        let (then, end) = self.block(true)?;
        self.ranges -= usize::from(keyword == "range");
        self.known.truncate(inside);
        let otherwise = match end {
            Closing::Else(line, rest) => self.otherwise(keyword, line, &rest)?,
            Closing::End(_) | Closing::Text => Vec::new(),
        };
        self.known.truncate(scope);
        self.depth -= 1;
        let mut targets = targets.into_iter();
        let (first, second) = (targets.next(), targets.next());
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

    fn plain(&mut self, line: usize, tokens: Vec<Token>) -> Result<Node, TemplateError> {
        if let [Token::Variable(name), op @ (Token::Declare | Token::Assign), rest @ ..] = tokens.as_slice() {
            let (name, declare) = (name.clone(), *op == Token::Declare);
            let value = self.pipeline(line, rest.to_vec())?;
            if declare {
                self.known.push(name.clone());
            } else {
                self.check_variable(line, &name)?;
            }
            return Ok(Node::Assign { name, declare, value });
        }
        self.pipeline(line, tokens).map(Node::Print)
    }

    fn check_variable(&self, line: usize, name: &str) -> Result<(), TemplateError> {
        if self.known.iter().any(|known| known == name) {
            Ok(())
        } else {
            Err(syntax(line, format!("undefined variable \"${name}\"")))
        }
    }

    fn pipeline(&self, line: usize, tokens: Vec<Token>) -> Result<Pipeline, TemplateError> {
        let mut tokens = tokens.into_iter().peekable();
        let pipeline = self.commands(line, &mut tokens, 0)?;
        match tokens.next() {
            None => Ok(pipeline),
            Some(_) => Err(syntax(line, "unexpected \")\"")),
        }
    }

    /// Commands up to a closing parenthesis, which is left, or the end.
    fn commands(&self, line: usize, tokens: &mut Tokens, depth: usize) -> Result<Pipeline, TemplateError> {
        if depth > DEPTH_MAX {
            return Err(syntax(line, "parentheses are nested too deeply"));
        }
        let mut commands = Vec::new();
        loop {
            let mut operands = Vec::new();
            while let Some(token) = tokens.next_if(|t| !matches!(t, Token::Pipe | Token::Close)) {
                operands.push(self.operand(line, token, tokens, depth)?);
            }
            let mut operands = operands.into_iter();
            commands.push(match (operands.next(), operands.len()) {
                (None, _) => return Err(syntax(line, "missing value for command")),
                (Some(Operand { base: Base::Call(name), fields }), _) if fields.is_empty() => {
                    Command::Call(name, operands.collect())
                }
                (Some(Operand { base: Base::Literal(Value::Nil), .. }), _) => {
                    return Err(syntax(line, "nil is not a command"));
                }
                (Some(single), 0) if commands.is_empty() => Command::Operand(single),
                (Some(method), _) if !method.fields.is_empty() => Command::Method(method, operands.collect()),
                (Some(_), _) => {
                    return Err(syntax(line, "can't give an argument to a value that is no function"));
                }
            });
            if tokens.next_if_eq(&Token::Pipe).is_none() {
                return Ok(Pipeline(commands));
            }
        }
    }

    fn operand(
        &self,
        line: usize,
        token: Token,
        tokens: &mut Tokens,
        depth: usize,
    ) -> Result<Operand, TemplateError> {
        let mut fields = Vec::new();
        let base = match token {
            Token::Field { name, .. } => {
                if !name.is_empty() {
                    fields.push(name);
                }
                Base::Dot
            }
            Token::Variable(name) => {
                self.check_variable(line, &name)?;
                Base::Variable(name)
            }
            Token::Literal(value) => Base::Literal(value),
            Token::Word(name) if super::functions::is_known(&name, self.dialect) => Base::Call(name),
            Token::Word(name) => return Err(syntax(line, format!("function {name:?} not defined"))),
            Token::Open => {
                let inner = self.commands(line, tokens, depth + 1)?;
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
}

/// The name behind `define`, `block` or `template`, which has to be written out.
fn template_name(line: usize, mut tokens: Vec<Token>) -> Result<(String, Vec<Token>), TemplateError> {
    let name = match tokens.first() {
        Some(Token::Literal(Value::Text(name))) => name.to_string(),
        _ => return Err(syntax(line, "expected the name of a template in quotes")),
    };
    tokens.remove(0);
    Ok((name, tokens))
}

/// Variables that a block's head sets, and the tokens after them.
fn targets(
    line: usize,
    mut tokens: Vec<Token>,
    two: bool,
) -> Result<(Vec<Target>, Vec<Token>), TemplateError> {
    let (names, op, used) = match tokens.as_slice() {
        [Token::Variable(name), op @ (Token::Declare | Token::Assign), ..] => (vec![name], op, 2),
        [Token::Variable(key), Token::Comma, Token::Variable(element), op, ..] if two => {
            (vec![key, element], op, 4)
        }
        _ => return Ok((Vec::new(), tokens)),
    };
    let declare = match op {
        Token::Declare => true,
        Token::Assign => false,
        _ => return Err(syntax(line, "expected \":=\" behind two variables")),
    };
    let targets = names.into_iter().map(|name| Target { name: name.clone(), declare }).collect();
    tokens.drain(..used);
    Ok((targets, tokens))
}

type Tokens = std::iter::Peekable<std::vec::IntoIter<Token>>;
