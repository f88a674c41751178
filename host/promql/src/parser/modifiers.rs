//! What follows an expression: ranges, subqueries, `offset`, `@`, `anchored` and `smoothed`.

use super::ast::{At, DurationExpr, Expr, ExprKind, Extension, MatrixSelector, Subquery, TimeShift};
use super::duration::{ANY_DURATION, ANY_STEP};
use super::{Parsed, Parser};
use crate::lexer::TokenKind;

impl Parser<'_> {
    /// Modifiers in any number.
    pub(super) fn modifiers(&mut self, mut expr: Expr) -> Parsed<Expr> {
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
        let range = self.positive_duration("subquery or range selector", ANY_DURATION)?;
        if self.take(&TokenKind::Colon) {
            let step = match self.peek().kind {
                TokenKind::RightBracket => None,
                _ => Some(self.positive_duration("subquery selector", ANY_STEP)?),
            };
            if self.peek().kind != TokenKind::RightBracket {
                return self.unexpected("subquery selector", "\"]\"");
            }
            let (span, depth) = (expr.span.to(self.next().span), expr.depth);
            let subquery = Subquery { expr, range, step, shift: TimeShift::default() };
            return self.node(ExprKind::Subquery(Box::new(subquery)), span, depth);
        }
        if self.peek().kind != TokenKind::RightBracket {
            return self.unexpected("subquery or range", "\":\" or \"]\"");
        }
        let end = self.next().span;
        let span = expr.span.to(end);
        let at_range = range_start.to(end);
        let ExprKind::Vector(selector) = expr.kind else {
            return Err(self.error(at_range, "ranges only allowed for vector selectors"));
        };
        // What is computed, or known with the query's times only, may stand on either side.
        if matches!(selector.shift.offset, Some(DurationExpr::Number { seconds, .. }) if seconds != 0.0) {
            return Err(self.error(at_range, "no offset modifiers allowed before range"));
        }
        if matches!(selector.shift.at, Some(At::Millis(_))) {
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
        let is_set = |offset: &DurationExpr| !matches!(offset, DurationExpr::Number { seconds, .. } if *seconds == 0.0);
        if shift.offset.as_ref().is_some_and(is_set) {
            return Err(self.error(span, "offset may not be set multiple times"));
        }
        shift.offset = Some(offset);
        expr.span = span;
        Ok(expr)
    }

    fn at_modifier(&mut self, mut expr: Expr) -> Parsed<Expr> {
        const CONTEXT: (&str, &str) = ("@", "timestamp");
        self.next();
        let edges = [("start", At::Start), ("end", At::End)];
        let edge = edges.into_iter().find(|(word, _)| self.peek_word(word));
        let at = if let Some((_, at)) = edge {
            self.next();
            for kind in [TokenKind::LeftParen, TokenKind::RightParen] {
                if !self.take(&kind) {
                    return self.unexpected(CONTEXT.0, CONTEXT.1);
                }
            }
            at
        } else {
            let negate = self.take(&TokenKind::Sub);
            if !negate {
                self.take(&TokenKind::Add);
            }
            if !matches!(self.peek().kind, TokenKind::Number(_) | TokenKind::Duration) {
                return self.unexpected(CONTEXT.0, CONTEXT.1);
            }
            let seconds = self.number()?;
            let seconds = if negate { -seconds } else { seconds };
            if !seconds.is_finite() || seconds >= i64::MAX as f64 || seconds <= i64::MIN as f64 {
                let shown =
                    if seconds == f64::INFINITY { "+Inf".to_owned() } else { format!("{seconds:.6}") };
                let shown = shown.replace("inf", "Inf");
                let message = format!("timestamp out of bounds for @ modifier: {shown}");
                return Err(self.error(expr.span, message));
            }
            At::Millis((seconds * 1000.0).round() as i64)
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

    pub(super) fn unexpected_duration<T>(&self) -> Parsed<T> {
        self.unexpected(self.duration_context.0, self.duration_context.1)
    }
}
