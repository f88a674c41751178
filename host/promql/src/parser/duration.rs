//! Durations in brackets and after `offset`, which may be computed.

use super::ast::{BinaryOp, DurationExpr, Span};
use super::{NESTING_MAX, Parsed, Parser};
use crate::lexer::TokenKind;

/// What a duration may be, as errors say it.
pub(super) const ANY_DURATION: &str = "number, duration, step(), or range()";

/// The same of a subquery's step, which may be left out.
pub(super) const ANY_STEP: &str = "number, duration, step(), range(), or \"]\"";

/// How many seconds a duration may have, either way: so many nanoseconds Prometheus counts.
const SECONDS_MAX: f64 = 9_223_372_036.854_776;

impl Parser<'_> {
    /// What stands in brackets: arithmetic over durations. What is written down, and not computed, is positive.
    pub(super) fn positive_duration(
        &mut self,
        context: &'static str,
        expected: &'static str,
    ) -> Parsed<DurationExpr> {
        self.duration_context = (context, expected);
        let duration = self.duration_operators(0)?;
        self.expect_readable()?;
        match duration {
            DurationExpr::Number { seconds, span, .. } if seconds <= 0.0 => {
                Err(self.error(span, "duration must be greater than 0"))
            }
            duration => Ok(duration),
        }
    }

    /// What stands after `offset`. A sign belongs to what follows it alone, and arithmetic starts with a parenthesis.
    pub(super) fn offset_duration(&mut self) -> Parsed<DurationExpr> {
        self.duration_context = ("offset", ANY_DURATION);
        let is_sign = |kind: &TokenKind| matches!(kind, TokenKind::Add | TokenKind::Sub);
        let signs = is_sign(&self.peek().kind) && is_sign(&self.peek_second().kind);
        if signs || self.peek().kind == TokenKind::LeftParen {
            return self.duration_operators(0);
        }
        let sign = self.sign();
        let operand = self.duration_operand()?;
        match sign {
            Some(sign) => self.signed(sign, operand),
            None => Ok(operand),
        }
    }

    /// A plus or a minus, and where it stands.
    fn sign(&mut self) -> Option<(bool, Span)> {
        let negate = self.peek().kind == TokenKind::Sub;
        (negate || self.peek().kind == TokenKind::Add).then(|| (negate, self.next().span))
    }

    fn signed(&self, (negate, at): (bool, Span), operand: DurationExpr) -> Parsed<DurationExpr> {
        Ok(match operand {
            DurationExpr::Number { seconds, units, span } => {
                let seconds = if negate { -seconds } else { seconds };
                DurationExpr::Number { seconds, units, span: at.to(span) }
            }
            // In parentheses a number is nothing but the number.
            DurationExpr::Paren(inner) if matches!(*inner, DurationExpr::Number { .. }) => {
                return self.signed((negate, at), *inner);
            }
            operand if negate => DurationExpr::Negate(at, Box::new(operand)),
            operand => operand,
        })
    }

    fn duration_operators(&mut self, binding: u8) -> Parsed<DurationExpr> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err(
                self.error(self.peek().span, format!("expression nests deeper than {NESTING_MAX} levels"))
            );
        }
        let mut left = match self.sign() {
            Some(sign) => {
                let operand = self.duration_operators(BinaryOp::Pow.precedence())?;
                self.signed(sign, operand)?
            }
            None => self.duration_operand()?,
        };
        while let Some(op) = self.peek_operator() {
            let precedence = op.precedence();
            if precedence < BinaryOp::Add.precedence() || precedence < binding || op == BinaryOp::Atan2 {
                break;
            }
            let operator = self.next().span;
            let next_binding = if op == BinaryOp::Pow { precedence } else { precedence + 1 };
            let right = self.duration_operators(next_binding)?;
            self.expect_readable()?;
            if matches!(right.unparen(), DurationExpr::Number { seconds, .. } if *seconds == 0.0) {
                match op {
                    BinaryOp::Div => return Err(self.error(operator, "division by zero")),
                    BinaryOp::Mod => return Err(self.error(operator, "modulo by zero")),
                    _ => {}
                }
            }
            left = DurationExpr::Binary(op, Box::new(left), Box::new(right));
        }
        self.nesting -= 1;
        Ok(left)
    }

    fn duration_operand(&mut self) -> Parsed<DurationExpr> {
        let token = self.peek().clone();
        match token.kind {
            TokenKind::Number(_) | TokenKind::Duration => {
                let (units, span) = (token.kind == TokenKind::Duration, token.span);
                let seconds = self.number()?;
                if seconds.abs() > SECONDS_MAX {
                    return Err(self.error(span, "duration out of range"));
                }
                Ok(DurationExpr::Number { seconds, units, span })
            }
            TokenKind::LeftParen => {
                self.next();
                let inner = self.duration_operators(0)?;
                self.expect_in_duration(&TokenKind::RightParen)?;
                Ok(match inner {
                    number @ DurationExpr::Number { .. } => number,
                    inner => DurationExpr::Paren(Box::new(inner)),
                })
            }
            TokenKind::Identifier => self.duration_call(),
            _ => self.unexpected_duration(),
        }
    }

    fn expect_in_duration(&mut self, kind: &TokenKind) -> Parsed<Span> {
        if self.peek().kind == *kind { Ok(self.next().span) } else { self.unexpected_duration() }
    }

    fn duration_call(&mut self) -> Parsed<DurationExpr> {
        let name = self.peek().text.to_ascii_lowercase();
        if !matches!(name.as_str(), "step" | "range" | "min_of" | "max_of") {
            return self.unexpected_duration();
        }
        let start = self.next().span;
        self.expect_in_duration(&TokenKind::LeftParen)?;
        if matches!(name.as_str(), "step" | "range") {
            let span = start.to(self.expect_in_duration(&TokenKind::RightParen)?);
            return Ok(if name == "step" { DurationExpr::Step(span) } else { DurationExpr::Range(span) });
        }
        let left = Box::new(self.duration_operators(0)?);
        self.expect_in_duration(&TokenKind::Comma)?;
        let right = Box::new(self.duration_operators(0)?);
        let span = start.to(self.expect_in_duration(&TokenKind::RightParen)?);
        Ok(if name == "min_of" {
            DurationExpr::MinOf(span, left, right)
        } else {
            DurationExpr::MaxOf(span, left, right)
        })
    }
}
