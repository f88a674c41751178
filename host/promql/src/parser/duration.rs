//! Durations in brackets and after `offset`, which may be computed.

use super::ast::{BinaryOp, DurationExpr};
use super::{NESTING_MAX, Parsed, Parser};
use crate::lexer::TokenKind;

impl Parser<'_> {
    /// What stands in brackets: arithmetic over durations.
    pub(super) fn duration_expression(&mut self, context: &'static str) -> Parsed<DurationExpr> {
        self.duration_context = context;
        self.duration_operators(0)
    }

    fn unexpected_duration<T>(&self) -> Parsed<T> {
        self.unexpected(self.duration_context, "number, duration, step(), or range()")
    }

    /// What stands after `offset`: a signed duration; arithmetic needs parentheses.
    pub(super) fn offset_duration(&mut self) -> Parsed<DurationExpr> {
        self.duration_context = "offset";
        if self.take(&TokenKind::Sub) {
            return Ok(DurationExpr::Negate(Box::new(self.duration_operand()?)));
        }
        self.take(&TokenKind::Add);
        self.duration_operand()
    }

    fn duration_operators(&mut self, binding: u8) -> Parsed<DurationExpr> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err(
                self.error(self.peek().span, format!("expression nests deeper than {NESTING_MAX} levels"))
            );
        }
        let mut left = if self.take(&TokenKind::Sub) {
            DurationExpr::Negate(Box::new(self.duration_operators(BinaryOp::Pow.precedence())?))
        } else {
            self.take(&TokenKind::Add);
            self.duration_operand()?
        };
        while let Some(op) = self.peek_operator() {
            let precedence = op.precedence();
            if precedence < BinaryOp::Add.precedence() || precedence < binding || op == BinaryOp::Atan2 {
                break;
            }
            self.next();
            let next_binding = if op == BinaryOp::Pow { precedence } else { precedence + 1 };
            let right = self.duration_operators(next_binding)?;
            left = DurationExpr::Binary(op, Box::new(left), Box::new(right));
        }
        self.nesting -= 1;
        Ok(left)
    }

    fn duration_operand(&mut self) -> Parsed<DurationExpr> {
        let token = self.peek().clone();
        match token.kind {
            TokenKind::Number(seconds) => {
                self.next();
                Ok(DurationExpr::Number { seconds, units: false, span: token.span })
            }
            TokenKind::Duration(millis) => {
                self.next();
                Ok(DurationExpr::Number { seconds: millis as f64 / 1000.0, units: true, span: token.span })
            }
            TokenKind::LeftParen => {
                self.next();
                let inner = self.duration_operators(0)?;
                self.expect(&TokenKind::RightParen, self.duration_context, "\")\"")?;
                Ok(DurationExpr::Paren(Box::new(inner)))
            }
            TokenKind::Identifier => self.duration_call(),
            _ => self.unexpected_duration(),
        }
    }

    fn duration_call(&mut self) -> Parsed<DurationExpr> {
        let name = self.peek().text.to_ascii_lowercase();
        if !matches!(name.as_str(), "step" | "range" | "min_of" | "max_of") {
            return self.unexpected_duration();
        }
        self.next();
        self.expect(&TokenKind::LeftParen, self.duration_context, "\"(\"")?;
        let expr = match name.as_str() {
            "step" => DurationExpr::Step,
            "range" => DurationExpr::Range,
            _ => {
                let left = Box::new(self.duration_operators(0)?);
                self.expect(&TokenKind::Comma, self.duration_context, "\",\"")?;
                let right = Box::new(self.duration_operators(0)?);
                if name == "min_of" {
                    DurationExpr::MinOf(left, right)
                } else {
                    DurationExpr::MaxOf(left, right)
                }
            }
        };
        self.expect(&TokenKind::RightParen, self.duration_context, "\")\"")?;
        Ok(expr)
    }
}
