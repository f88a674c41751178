//! Tokens to a checked syntax tree.
//!
//! A Pratt parser: operators by precedence, then postfix modifiers, which bind tightest. Every tree that
//! [`parse`] returns is well-typed. Error texts and positions are Prometheus' own, since people and tools
//! read them.

mod ast;
mod check;
mod display;
mod duration;
mod matching;
mod modifiers;
mod pretty;
mod selector;

pub use ast::{
    Aggregate, AggregateOp, At, Binary, BinaryOp, Call, DurationExpr, Expr, ExprKind, Extension, Group,
    Matching, MatrixSelector, Span, Subquery, TimeShift, ValueType, VectorSelector,
};

use std::fmt;

use model::Matcher;

use crate::external::EXTERNAL_PREFIX;
use crate::features::Features;
use crate::functions;
use crate::lexer::{Token, TokenKind, number_fault, quote, tokenize};

/// Trees deeper than this are refused: walking them recurses, and the stack of a thread is finite.
const DEPTH_MAX: u32 = 150;

/// Parentheses and signs nested deeper than this are refused for the same reason; parsing a level takes more
/// stack than walking it.
const NESTING_MAX: u32 = 80;

/// Why a text is no query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// Line and column, from one; `None` where no place is to blame.
    pub position: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => write!(f, "{line}:{column}: parse error: {}", self.message),
            None => write!(f, "unknown position: parse error: {}", self.message),
        }
    }
}

impl std::error::Error for ParseError {}

/// Reads a query in the whole language, whatever is enabled.
///
/// # Errors
/// [`ParseError`] with the place of the first fault.
pub fn parse(query: &str) -> Result<Expr, ParseError> {
    parse_with(query, &Features::LANGUAGE)
}

/// Reads a query in the language that these features make.
///
/// # Errors
/// [`ParseError`] with the place of the first fault, or of the first thing that is not enabled.
pub fn parse_with(query: &str, features: &Features) -> Result<Expr, ParseError> {
    let mut parser = Parser { features: *features, ..Parser::new(query) };
    parser.expect_something(query)?;
    let expr = parser.expression(0)?;
    parser.expect_end()?;
    check::check(query, &expr)?;
    Ok(expr)
}

/// Reads a selector alone, as `match[]` parameters give it: no modifiers, no range.
///
/// # Errors
/// [`ParseError`] with the place of the first fault.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let mut parser = Parser::new(text);
    parser.expect_something(text)?;
    let selector = parser.selector()?;
    parser.expect_end()?;
    Ok(selector.matchers)
}

/// The matchers of every selector in a query, in the order in which they are written.
pub fn selectors(expr: &Expr) -> Vec<Vec<Matcher>> {
    let mut all = Vec::new();
    expr.visit_selectors(&mut |selector| all.push(selector.matchers.clone()));
    all
}

pub(crate) struct Parser<'a> {
    query: &'a str,
    tokens: Vec<Token<'a>>,
    at: usize,
    nesting: u32,
    /// How many aggregations are open: what is unexpected within one is said to be in it.
    aggregations: u32,
    /// Where the duration stands that is being read, and what may stand there, as errors say it.
    duration_context: (&'static str, &'static str),
    features: Features,
}

type Parsed<T> = Result<T, ParseError>;

impl<'a> Parser<'a> {
    pub(crate) fn new(query: &'a str) -> Self {
        Self {
            query,
            tokens: tokenize(query),
            at: 0,
            nesting: 0,
            aggregations: 0,
            duration_context: ("offset", duration::ANY_DURATION),
            features: Features::LANGUAGE,
        }
    }

    fn peek(&self) -> &Token<'a> {
        // The last token ends the input and is never consumed, so that there always is one.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn peek_second(&self) -> &Token<'a> {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)]
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek().clone();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    fn take(&mut self, kind: &TokenKind) -> bool {
        let found = self.peek().kind == *kind;
        if found {
            self.next();
        }
        found
    }

    fn peek_word(&self, word: &str) -> bool {
        self.peek().is_word(word)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.peek_word(word);
        if found {
            self.next();
        }
        found
    }

    fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        error_at(self.query, span, message)
    }

    /// The next token fits nowhere; where it might, `context` and `expected` say what.
    fn unexpected<T>(&self, context: &str, expected: &str) -> Parsed<T> {
        self.expect_readable()?;
        let token = self.peek();
        let mut message = format!("unexpected {}", token.describe());
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        Err(self.error(token.span, message))
    }

    /// The same where nothing closer than an aggregation is open.
    fn unexpected_here<T>(&self) -> Parsed<T> {
        self.unexpected(if self.aggregations > 0 { "aggregation" } else { "" }, "")
    }

    /// That the next token is one, which is found out before anything is said of those before it.
    fn expect_readable(&self) -> Parsed<()> {
        match &self.peek().kind {
            TokenKind::Error(message) => Err(self.error(self.peek().span, message.clone())),
            _ => Ok(()),
        }
    }

    fn expect_here(&mut self, kind: &TokenKind) -> Parsed<Token<'a>> {
        if self.peek().kind == *kind { Ok(self.next()) } else { self.unexpected_here() }
    }

    fn expect_something(&self, text: &str) -> Parsed<()> {
        if self.peek().kind != TokenKind::Eof {
            return Ok(());
        }
        let message = "no expression found in input".to_owned();
        // Without a text there is no place in it either.
        let position = (!text.is_empty()).then_some((1, 1));
        Err(ParseError { position, message })
    }

    pub(crate) fn expect_end(&self) -> Parsed<()> {
        if self.peek().kind == TokenKind::Eof { Ok(()) } else { self.unexpected("", "") }
    }

    fn node(&self, kind: ExprKind, span: Span, below: u32) -> Parsed<Expr> {
        if below >= DEPTH_MAX {
            return Err(self.error(span, format!("expression nests deeper than {DEPTH_MAX} levels")));
        }
        Ok(Expr { kind, span, depth: below + 1 })
    }

    fn expression(&mut self, binding: u8) -> Parsed<Expr> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err(
                self.error(self.peek().span, format!("expression nests deeper than {NESTING_MAX} levels"))
            );
        }
        let expr = self.operators(binding);
        self.nesting -= 1;
        expr
    }

    /// An operand and the operators after it that bind at least as tightly as `binding`.
    fn operators(&mut self, binding: u8) -> Parsed<Expr> {
        let mut left = self.operand()?;
        while let Some(op) = self.peek_operator() {
            let precedence = op.precedence();
            if precedence < binding {
                break;
            }
            self.next();
            let (return_bool, matching) = self.matching()?;
            // Only the power is right associative.
            let next_binding = if op == BinaryOp::Pow { precedence } else { precedence + 1 };
            let right = self.expression(next_binding)?;
            let span = left.span.to(right.span);
            let depth = left.depth.max(right.depth);
            let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
            if fills && !self.features.binop_fill_modifiers {
                return Err(self.error(span, "binop fill modifiers are experimental and not enabled"));
            }
            let binary = Binary { op, left, right, return_bool, matching };
            left = self.node(ExprKind::Binary(Box::new(binary)), span, depth)?;
        }
        Ok(left)
    }

    fn peek_operator(&self) -> Option<BinaryOp> {
        let token = self.peek();
        Some(match token.kind {
            TokenKind::Equal => BinaryOp::Equal,
            TokenKind::NotEqual => BinaryOp::NotEqual,
            TokenKind::Less => BinaryOp::Less,
            TokenKind::LessEqual => BinaryOp::LessEqual,
            TokenKind::Greater => BinaryOp::Greater,
            TokenKind::GreaterEqual => BinaryOp::GreaterEqual,
            TokenKind::TrimUpper => BinaryOp::TrimUpper,
            TokenKind::TrimLower => BinaryOp::TrimLower,
            TokenKind::Add => BinaryOp::Add,
            TokenKind::Sub => BinaryOp::Sub,
            TokenKind::Mul => BinaryOp::Mul,
            TokenKind::Div => BinaryOp::Div,
            TokenKind::Mod => BinaryOp::Mod,
            TokenKind::Pow => BinaryOp::Pow,
            TokenKind::Identifier => {
                return [BinaryOp::Or, BinaryOp::And, BinaryOp::Unless, BinaryOp::Atan2]
                    .into_iter()
                    .find(|op| token.is_word(op.as_str()));
            }
            _ => return None,
        })
    }

    /// A sign and what it applies to, or a primary expression with its modifiers.
    fn operand(&mut self) -> Parsed<Expr> {
        let negate = self.peek().kind == TokenKind::Sub;
        if negate || self.peek().kind == TokenKind::Add {
            let start = self.next().span;
            let expr = self.expression(BinaryOp::Pow.precedence())?;
            let (span, depth) = (start.to(expr.span), expr.depth);
            if let ExprKind::Number { value, duration } = expr.kind {
                let value = if negate { -value } else { value };
                return self.node(ExprKind::Number { value, duration }, span, depth - 1);
            }
            return self.node(ExprKind::Unary { negate, expr: Box::new(expr) }, span, depth);
        }
        let expr = self.primary()?;
        self.modifiers(expr)
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let token = self.peek().clone();
        match token.kind {
            TokenKind::Number(_) | TokenKind::Duration => {
                let duration = token.kind == TokenKind::Duration;
                let value = self.number()?;
                self.node(ExprKind::Number { value, duration }, token.span, 0)
            }
            TokenKind::String(content) => {
                self.next();
                self.node(ExprKind::String(content), token.span, 0)
            }
            TokenKind::LeftParen => {
                self.next();
                let expr = self.expression(0)?;
                let end = self.expect_here(&TokenKind::RightParen)?.span;
                let depth = expr.depth;
                self.node(ExprKind::Paren(Box::new(expr)), token.span.to(end), depth)
            }
            TokenKind::Identifier => self.word(&token),
            TokenKind::LeftBrace | TokenKind::MetricIdentifier | TokenKind::PlainWord => {
                self.plain_selector()
            }
            _ => self.unexpected_here(),
        }
    }

    /// A number or a duration, which stands for its seconds.
    fn number(&mut self) -> Parsed<f64> {
        let token = self.next();
        match token.kind {
            TokenKind::Number(Some(value)) => Ok(value),
            TokenKind::Duration => match model::parse_duration(token.text) {
                Ok(duration) => Ok(duration.as_secs_f64()),
                Err(fault) => Err(self.error(token.span, fault.to_string())),
            },
            _ => Err(self.error(token.span, number_fault(token.text).unwrap_or_default())),
        }
    }

    fn plain_selector(&mut self) -> Parsed<Expr> {
        let selector = self.selector()?;
        let span = selector.span;
        self.node(ExprKind::Vector(selector), span, 0)
    }

    fn word(&mut self, token: &Token<'a>) -> Parsed<Expr> {
        let second = self.peek_second();
        let called = second.kind == TokenKind::LeftParen;
        if let Some(op) = AggregateOp::from_name(token.text)
            && (called || second.is_word("by") || second.is_word("without"))
        {
            return self.aggregate(op);
        }
        if called && token.names_function() {
            return self.call(token);
        }
        if !token.names_metric() {
            return self.unexpected_here();
        }
        self.plain_selector()
    }

    fn aggregate(&mut self, op: AggregateOp) -> Parsed<Expr> {
        self.aggregations += 1;
        let expr = self.open_aggregate(op);
        self.aggregations -= 1;
        expr
    }

    fn open_aggregate(&mut self, op: AggregateOp) -> Parsed<Expr> {
        let start = self.next().span;
        let mut grouping = self.grouping()?;
        let (mut args, mut end) = self.arguments()?;
        if grouping.is_none() {
            self.expect_readable()?;
            grouping = self.grouping()?;
            if grouping.is_some() {
                end = self.tokens[self.at - 1].span;
            }
        }
        let span = start.to(end);
        if args.is_empty() {
            return Err(self.error(span, "no arguments for aggregate expression provided"));
        }
        if op.is_experimental() && !self.features.experimental_functions {
            let message = format!(
                "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                op.as_str()
            );
            return Err(self.error(span, message));
        }
        let wanted = if op.has_param() { 2 } else { 1 };
        if args.len() != wanted {
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {wanted}, got {}",
                args.len()
            );
            return Err(self.error(span, message));
        }
        let depth = args.iter().map(|a| a.depth).max().unwrap_or(0);
        let grouped = grouping.is_some();
        let (without, labels) = grouping.unwrap_or_default();
        let Some(expr) = args.pop() else {
            return Err(self.error(span, "no arguments for aggregate expression provided"));
        };
        let aggregate = Aggregate { op, expr, param: args.pop(), without, labels, grouped };
        self.node(ExprKind::Aggregate(Box::new(aggregate)), span, depth)
    }

    fn grouping(&mut self) -> Parsed<Option<(bool, Vec<String>)>> {
        for (word, without) in [("by", false), ("without", true)] {
            if self.take_word(word) {
                return Ok(Some((without, self.label_list()?)));
            }
        }
        Ok(None)
    }

    fn arguments(&mut self) -> Parsed<(Vec<Expr>, Span)> {
        self.expect_here(&TokenKind::LeftParen)?;
        let mut args = Vec::new();
        if self.peek().kind == TokenKind::RightParen {
            return Ok((args, self.next().span));
        }
        loop {
            args.push(self.expression(0)?);
            if self.peek().kind == TokenKind::RightParen {
                return Ok((args, self.next().span));
            }
            let comma = self.expect_here(&TokenKind::Comma)?;
            self.expect_readable()?;
            if !self.starts_operand() {
                return Err(self.error(comma.span, "trailing commas not allowed in function call args"));
            }
        }
    }

    /// Whether an expression may start with the next token.
    fn starts_operand(&self) -> bool {
        let token = self.peek();
        match token.kind {
            TokenKind::Identifier => {
                let called = self.peek_second().kind == TokenKind::LeftParen;
                token.names_metric() || called && token.names_function()
            }
            TokenKind::MetricIdentifier
            | TokenKind::PlainWord
            | TokenKind::LeftBrace
            | TokenKind::LeftParen
            | TokenKind::Number(_)
            | TokenKind::Duration
            | TokenKind::String(_)
            | TokenKind::Add
            | TokenKind::Sub => true,
            _ => false,
        }
    }

    fn call(&mut self, name: &Token<'a>) -> Parsed<Expr> {
        self.next();
        let (args, end) = self.arguments()?;
        let external = name.text.starts_with(EXTERNAL_PREFIX).then(|| name.text.into());
        let found = if external.is_some() { Some(&functions::EXTERNAL) } else { functions::find(name.text) };
        let quoted = || quote(name.text.as_bytes());
        let Some(function) = found else {
            return Err(self.error(name.span, format!("unknown function with name {}", quoted())));
        };
        if function.is_experimental() && !self.features.experimental_functions {
            return Err(self.error(name.span, format!("function {} is not enabled", quoted())));
        }
        let depth = args.iter().map(|a| a.depth).max().unwrap_or(0);
        self.node(ExprKind::Call(Call { function, external, args }), name.span.to(end), depth)
    }
}

pub(crate) fn error_at(query: &str, span: Span, message: impl Into<String>) -> ParseError {
    ParseError { position: Some(span.line_column(query)), message: message.into() }
}

#[cfg(test)]
mod tests;
