//! Tokens to a checked syntax tree.
//!
//! A Pratt parser: operators by precedence, then postfix modifiers, which bind tightest. Every tree that
//! [`parse`] returns is well-typed. Error texts and positions are Prometheus' own, since people and tools
//! read them.

mod ast;
mod check;
mod display;
mod duration;
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
use crate::lexer::{Token, TokenKind, tokenize};

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
    if parser.peek().kind == TokenKind::Eof {
        return Err(ParseError { position: None, message: "no expression found in input".to_owned() });
    }
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
    if parser.peek().kind == TokenKind::Eof {
        return Err(ParseError { position: None, message: "no expression found in input".to_owned() });
    }
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
    /// Where the duration stands that is being read, as errors say it.
    duration_context: &'static str,
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
            duration_context: "offset",
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
        let token = self.peek();
        token.kind == TokenKind::Identifier && token.text.eq_ignore_ascii_case(word)
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

    fn unexpected<T>(&self, context: &str, expected: &str) -> Parsed<T> {
        let token = self.peek();
        if let TokenKind::Error(message) = &token.kind {
            return Err(self.error(token.span, message.clone()));
        }
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

    fn expect(&mut self, kind: &TokenKind, context: &str, expected: &str) -> Parsed<Token<'a>> {
        if self.peek().kind == *kind { Ok(self.next()) } else { self.unexpected(context, expected) }
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
                    .find(|op| token.text.eq_ignore_ascii_case(op.as_str()));
            }
            _ => return None,
        })
    }

    /// `bool`, `on`, `ignoring`, `group_left`, `group_right` and the fills after an operator.
    fn matching(&mut self) -> Parsed<(bool, Matching)> {
        let return_bool = self.take_word("bool");
        let mut matching = Matching::default();
        let starts_list = |p: &Self| p.peek_second().kind == TokenKind::LeftParen;
        for (word, on) in [("on", true), ("ignoring", false)] {
            if !matching.written && self.peek_word(word) && starts_list(self) {
                self.next();
                matching.labels = self.label_list()?;
                matching.written = true;
                matching.on = on;
            }
        }
        if matching.written {
            for (word, group) in [("group_left", Group::Left), ("group_right", Group::Right)] {
                if matching.group == Group::None && self.take_word(word) {
                    matching.group = group;
                    if self.peek().kind == TokenKind::LeftParen {
                        matching.include = self.group_labels()?;
                    }
                }
            }
        }
        loop {
            let both = self.peek_word("fill");
            let left = both || self.peek_word("fill_left");
            let right = both || self.peek_word("fill_right");
            if !(left || right) || !starts_list(self) {
                return Ok((return_bool, matching));
            }
            self.next();
            self.next();
            let value = self.signed_number("fill", "number")?;
            self.expect(&TokenKind::RightParen, "fill modifier", "\")\"")?;
            if left {
                matching.fill_left = Some(value);
            }
            if right {
                matching.fill_right = Some(value);
            }
        }
    }

    /// The labels after `group_left`, unless the parenthesis opens the right side itself.
    fn group_labels(&mut self) -> Parsed<Vec<String>> {
        let start = self.at;
        match self.label_list() {
            Ok(labels) if self.starts_operand() => Ok(labels),
            _ => {
                self.at = start;
                Ok(Vec::new())
            }
        }
    }

    fn starts_operand(&self) -> bool {
        match self.peek().kind {
            TokenKind::Eof | TokenKind::RightParen | TokenKind::RightBracket | TokenKind::Comma => false,
            TokenKind::Identifier => self.peek_operator().is_none() && !self.peek_word("offset"),
            TokenKind::Add | TokenKind::Sub => true,
            TokenKind::At | TokenKind::LeftBracket | TokenKind::Colon => false,
            _ => self.peek_operator().is_none(),
        }
    }

    fn label_list(&mut self) -> Parsed<Vec<String>> {
        self.expect(&TokenKind::LeftParen, "grouping opts", "\"(\"")?;
        let mut labels = Vec::new();
        while self.peek().kind != TokenKind::RightParen {
            let token = self.peek();
            let label = match &token.kind {
                TokenKind::Identifier => token.text.to_owned(),
                TokenKind::String(content) => match String::from_utf8(content.clone()) {
                    Ok(name) if !name.is_empty() => name,
                    _ => {
                        let message =
                            format!("invalid label name for grouping: {}", crate::lexer::quote(content));
                        return Err(self.error(token.span, message));
                    }
                },
                _ => return self.unexpected("grouping opts", "label"),
            };
            self.next();
            labels.push(label);
            if !self.take(&TokenKind::Comma) && self.peek().kind != TokenKind::RightParen {
                return self.unexpected("grouping opts", "\",\" or \")\"");
            }
        }
        self.next();
        Ok(labels)
    }

    fn signed_number(&mut self, context: &str, expected: &str) -> Parsed<f64> {
        let mut sign = 1.0;
        loop {
            if self.take(&TokenKind::Sub) {
                sign = -sign;
            } else if !self.take(&TokenKind::Add) {
                break;
            }
        }
        let token = self.peek();
        let value = match token.kind {
            TokenKind::Number(value) => value,
            TokenKind::Duration(millis) => millis as f64 / 1000.0,
            TokenKind::Identifier if token.text.eq_ignore_ascii_case("inf") => f64::INFINITY,
            TokenKind::Identifier if token.text.eq_ignore_ascii_case("nan") => f64::NAN,
            _ => return self.unexpected(context, expected),
        };
        self.next();
        Ok(sign * value)
    }

    /// A sign and what it applies to, or a primary expression with its modifiers.
    fn operand(&mut self) -> Parsed<Expr> {
        let negate = self.peek().kind == TokenKind::Sub;
        if negate || self.peek().kind == TokenKind::Add {
            let start = self.next().span;
            let expr = self.expression(BinaryOp::Pow.precedence())?;
            let (span, depth) = (start.to(expr.span), expr.depth);
            if let ExprKind::Number { value, .. } = expr.kind {
                let value = if negate { -value } else { value };
                return self.node(ExprKind::Number { value, duration: false }, span, depth - 1);
            }
            return self.node(ExprKind::Unary { negate, expr: Box::new(expr) }, span, depth);
        }
        let expr = self.primary()?;
        self.modifiers(expr)
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let token = self.peek().clone();
        match token.kind {
            TokenKind::Number(value) => {
                self.next();
                self.node(ExprKind::Number { value, duration: false }, token.span, 0)
            }
            TokenKind::Duration(millis) => {
                self.next();
                self.node(ExprKind::Number { value: millis as f64 / 1000.0, duration: true }, token.span, 0)
            }
            TokenKind::String(content) => {
                self.next();
                self.node(ExprKind::String(content), token.span, 0)
            }
            TokenKind::LeftParen => {
                self.next();
                let expr = self.expression(0)?;
                let end = self.expect(&TokenKind::RightParen, "parenthesized expression", "\")\"")?.span;
                let depth = expr.depth;
                self.node(ExprKind::Paren(Box::new(expr)), token.span.to(end), depth)
            }
            TokenKind::LeftBrace | TokenKind::MetricIdentifier => self.plain_selector(),
            TokenKind::Identifier => self.word(&token),
            _ => self.unexpected("", ""),
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
        let number = if token.text.eq_ignore_ascii_case("inf") {
            Some(f64::INFINITY)
        } else if token.text.eq_ignore_ascii_case("nan") {
            Some(f64::NAN)
        } else {
            None
        };
        if let (Some(value), false) = (number, second.kind == TokenKind::LeftBrace) {
            self.next();
            return self.node(ExprKind::Number { value, duration: false }, token.span, 0);
        }
        if let Some(op) = AggregateOp::from_name(token.text) {
            let grouping = second.kind == TokenKind::Identifier
                && ["by", "without"].iter().any(|w| second.text.eq_ignore_ascii_case(w));
            if called || grouping {
                return self.aggregate(op);
            }
        }
        if called {
            return self.call(token);
        }
        if self.peek_operator().is_some() {
            return self.unexpected("", "");
        }
        self.plain_selector()
    }

    fn aggregate(&mut self, op: AggregateOp) -> Parsed<Expr> {
        let start = self.next().span;
        let mut grouping = self.grouping()?;
        if self.peek().kind != TokenKind::LeftParen {
            return self.unexpected("aggregation", "");
        }
        let (mut args, mut end) = self.arguments("aggregation")?;
        if grouping.is_none() {
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

    fn arguments(&mut self, context: &str) -> Parsed<(Vec<Expr>, Span)> {
        self.expect(&TokenKind::LeftParen, "function call", "\"(\"")?;
        let mut args = Vec::new();
        if self.peek().kind == TokenKind::RightParen {
            return Ok((args, self.next().span));
        }
        loop {
            args.push(self.expression(0)?);
            if self.peek().kind == TokenKind::RightParen {
                return Ok((args, self.next().span));
            }
            if !self.take(&TokenKind::Comma) {
                return self.unexpected(context, "");
            }
            if self.peek().kind == TokenKind::RightParen {
                return Err(self.error(self.peek().span, "trailing commas not allowed in function call args"));
            }
        }
    }

    fn call(&mut self, name: &Token<'a>) -> Parsed<Expr> {
        let external = name.text.starts_with(EXTERNAL_PREFIX).then(|| name.text.into());
        let found = if external.is_some() { Some(&functions::EXTERNAL) } else { functions::find(name.text) };
        let Some(function) = found else {
            let message = format!("unknown function with name {}", crate::lexer::quote(name.text.as_bytes()));
            return Err(self.error(name.span, message));
        };
        if function.is_experimental() && !self.features.experimental_functions {
            let message = format!("function {} is not enabled", crate::lexer::quote(name.text.as_bytes()));
            return Err(self.error(name.span, message));
        }
        self.next();
        let (args, end) = self.arguments("")?;
        let depth = args.iter().map(|a| a.depth).max().unwrap_or(0);
        self.node(ExprKind::Call(Call { function, external, args }), name.span.to(end), depth)
    }

    /// Ranges, subqueries, `offset`, `@`, `anchored` and `smoothed`, in any number.
    fn modifiers(&mut self, mut expr: Expr) -> Parsed<Expr> {
        loop {
            if self.peek().kind == TokenKind::LeftBracket {
                expr = self.range(expr)?;
            } else if self.peek_word("offset") {
                expr = self.offset(expr)?;
            } else if self.peek().kind == TokenKind::At {
                expr = self.at_modifier(expr)?;
            } else if self.peek_word("anchored") || self.peek_word("smoothed") {
                expr = self.extension(expr)?;
            } else {
                return Ok(expr);
            }
        }
    }

    fn range(&mut self, expr: Expr) -> Parsed<Expr> {
        let range_start = self.next().span;
        let range = self.duration_expression("subquery or range selector")?;
        if self.take(&TokenKind::Colon) {
            let step = if self.peek().kind == TokenKind::RightBracket {
                None
            } else {
                Some(self.duration_expression("subquery selector")?)
            };
            let end = self.expect(&TokenKind::RightBracket, "subquery selector", "\"]\"")?.span;
            let (span, depth) = (expr.span.to(end), expr.depth);
            let subquery = Subquery { expr, range, step, shift: TimeShift::default() };
            return self.node(ExprKind::Subquery(Box::new(subquery)), span, depth);
        }
        let end = self.expect(&TokenKind::RightBracket, "subquery or range", "\":\" or \"]\"")?.span;
        let span = expr.span.to(end);
        let at_range = range_start.to(end);
        let ExprKind::Vector(selector) = expr.kind else {
            return Err(self.error(at_range, "ranges only allowed for vector selectors"));
        };
        if selector.shift.offset.is_some() {
            return Err(self.error(at_range, "no offset modifiers allowed before range"));
        }
        if selector.shift.at.is_some() {
            return Err(self.error(at_range, "no @ modifiers allowed before range"));
        }
        self.node(ExprKind::Matrix(Box::new(MatrixSelector { selector, range })), span, 0)
    }

    fn shift_of<'e>(&self, expr: &'e mut Expr, what: &str) -> Parsed<&'e mut TimeShift> {
        let span = expr.span;
        match &mut expr.kind {
            ExprKind::Vector(selector) => Ok(&mut selector.shift),
            ExprKind::Matrix(matrix) => Ok(&mut matrix.selector.shift),
            ExprKind::Subquery(subquery) => Ok(&mut subquery.shift),
            _ => Err(self.error(
                span,
                format!("{what} modifier must be preceded by an instant vector selector or range vector selector or a subquery"),
            )),
        }
    }

    fn offset(&mut self, mut expr: Expr) -> Parsed<Expr> {
        self.next();
        let offset = self.offset_duration()?;
        let end = self.tokens[self.at - 1].span;
        let span = expr.span.to(end);
        let shift = self.shift_of(&mut expr, "offset")?;
        if shift.offset.is_some() {
            return Err(self.error(span, "offset may not be set multiple times"));
        }
        shift.offset = Some(offset);
        expr.span = span;
        Ok(expr)
    }

    fn at_modifier(&mut self, mut expr: Expr) -> Parsed<Expr> {
        self.next();
        let called = self.peek_second().kind == TokenKind::LeftParen;
        let at = if called && (self.peek_word("start") || self.peek_word("end")) {
            let at = if self.peek_word("start") { At::Start } else { At::End };
            self.next();
            self.next();
            self.expect(&TokenKind::RightParen, "@", "\")\"")?;
            at
        } else {
            let start = self.peek().span;
            let seconds = self.signed_number("@", "timestamp")?;
            let millis = seconds * 1000.0;
            if !millis.is_finite() || millis >= i64::MAX as f64 || millis <= i64::MIN as f64 {
                let message = format!("timestamp out of bounds for @ modifier: {seconds:.6}");
                return Err(self.error(start, message));
            }
            At::Millis(millis.round() as i64)
        };
        let end = self.tokens[self.at - 1].span;
        let span = expr.span.to(end);
        let shift = self.shift_of(&mut expr, "@")?;
        if shift.at.is_some() {
            return Err(self.error(span, "@ <timestamp> may not be set multiple times"));
        }
        shift.at = Some(at);
        expr.span = span;
        Ok(expr)
    }

    fn extension(&mut self, mut expr: Expr) -> Parsed<Expr> {
        let anchored = self.peek_word("anchored");
        let end = self.next().span;
        let span = expr.span.to(end);
        let name = if anchored { "anchored" } else { "smoothed" };
        if !self.features.extended_range_selectors {
            return Err(self.error(expr.span, format!("{name} modifier is experimental and not enabled")));
        }
        let selector = match &mut expr.kind {
            ExprKind::Vector(selector) => selector,
            ExprKind::Matrix(matrix) => &mut matrix.selector,
            ExprKind::Subquery(_) => {
                return Err(self.error(span, format!("{name} modifier is not supported for subqueries")));
            }
            _ => return Err(self.error(span, format!("{name} modifier not implemented"))),
        };
        match (selector.extension, anchored) {
            (Extension::None, true) => selector.extension = Extension::Anchored,
            (Extension::None, false) => selector.extension = Extension::Smoothed,
            (Extension::Anchored, false) | (Extension::Smoothed, true) => {
                return Err(self.error(span, "anchored and smoothed modifiers cannot be used together"));
            }
            _ => {}
        }
        expr.span = span;
        Ok(expr)
    }
}

pub(crate) fn error_at(query: &str, span: Span, message: impl Into<String>) -> ParseError {
    ParseError { position: Some(span.line_column(query)), message: message.into() }
}

#[cfg(test)]
mod tests;
