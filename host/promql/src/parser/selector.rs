//! Selectors: a name, and matchers in braces.

use model::{METRIC_NAME, MatchOp, Matcher};

use super::ast::{Extension, Span, TimeShift, VectorSelector};
use super::{Parsed, Parser};
use crate::lexer::{TokenKind, quote};

impl Parser<'_> {
    /// `name`, `name{...}` or `{...}`.
    pub(crate) fn selector(&mut self) -> Parsed<VectorSelector> {
        let start = self.peek().span;
        let mut name = None;
        if self.peek().names_metric() {
            name = Some(self.next().text.to_owned());
        }
        let mut end = start;
        let mut matchers = Vec::new();
        if self.take(&TokenKind::LeftBrace) {
            end = self.matchers(&mut matchers)?;
        } else if name.is_none() {
            return self.unexpected_here();
        }
        if let Some(name) = &name {
            matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        let span = start.to(end);
        let (shift, extension) = (TimeShift::default(), Extension::None);
        Ok(VectorSelector { name, matchers, shift, extension, span })
    }

    fn matchers(&mut self, matchers: &mut Vec<Matcher>) -> Parsed<Span> {
        loop {
            let token = self.peek().clone();
            let label = match &token.kind {
                TokenKind::RightBrace => return Ok(self.next().span),
                TokenKind::LabelName => token.text.as_bytes().to_vec(),
                TokenKind::String(content) => content.clone(),
                _ => return self.unexpected("label matching", "identifier or \"}\""),
            };
            self.next();
            let op = match self.peek().kind {
                TokenKind::Assign => Some(MatchOp::Equal),
                TokenKind::NotEqual => Some(MatchOp::NotEqual),
                TokenKind::RegexEqual => Some(MatchOp::Regex),
                TokenKind::RegexNotEqual => Some(MatchOp::NotRegex),
                _ => None,
            };
            match op {
                None if matches!(token.kind, TokenKind::String(_)) => {
                    let named = Matcher::of_bytes(MatchOp::Equal, METRIC_NAME, label);
                    matchers.push(named.map_err(|e| self.error(token.span, e.to_string()))?);
                }
                None => return self.unexpected("label matching", "label matching operator"),
                Some(op) => {
                    let label = String::from_utf8(label).map_err(|error| {
                        self.error(token.span, format!("invalid UTF-8 in {}", quote(error.as_bytes())))
                    })?;
                    self.next();
                    matchers.push(self.matcher(op, label, token.span)?);
                }
            }
            if self.peek().kind == TokenKind::Comma && !matchers.is_empty() {
                self.next();
            } else if self.peek().kind != TokenKind::RightBrace {
                return self.unexpected("label matching", "\",\" or \"}\"");
            }
        }
    }

    fn matcher(&mut self, op: MatchOp, label: String, start: Span) -> Parsed<Matcher> {
        let token = self.peek().clone();
        let TokenKind::String(content) = token.kind else {
            return self.unexpected("label matching", "string");
        };
        let span = start.to(token.span);
        self.next();
        Matcher::of_bytes(op, label, content).map_err(|e| self.error(span, e.to_string()))
    }

    /// Whether some series without labels would pass: such a selector asks for everything.
    pub(super) fn selects_everything(selector: &VectorSelector) -> bool {
        selector.matchers.iter().all(Matcher::matches_empty)
    }
}
