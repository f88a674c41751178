//! How the two sides of an operator are matched: `bool`, `on`, `ignoring`, groups and fills.

use super::ast::{Group, Matching};
use super::{Parsed, Parser};
use crate::lexer::{TokenKind, quote};

/// How errors call lists of labels.
const GROUPING: &str = "grouping opts";

impl Parser<'_> {
    /// What stands between an operator and its right side.
    pub(super) fn matching(&mut self) -> Parsed<(bool, Matching)> {
        let return_bool = self.take_word("bool");
        let mut matching = Matching::default();
        for (word, on) in [("on", true), ("ignoring", false)] {
            if !matching.written && self.take_word(word) {
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
                        matching.include = self.label_list()?;
                    } else if !self.starts_operand() {
                        return self.unexpected(GROUPING, "\"(\"");
                    }
                }
            }
        }
        self.fills(&mut matching)?;
        Ok((return_bool, matching))
    }

    /// One fill for both sides, or one for each in any order.
    fn fills(&mut self, matching: &mut Matching) -> Parsed<()> {
        if self.peek().is_fill() && self.take_word("fill") {
            let value = self.fill_value()?;
            (matching.fill_left, matching.fill_right) = (Some(value), Some(value));
            return Ok(());
        }
        for _ in 0..2 {
            if matching.fill_left.is_none() && self.take_word("fill_left") {
                matching.fill_left = Some(self.fill_value()?);
            } else if matching.fill_right.is_none() && self.take_word("fill_right") {
                matching.fill_right = Some(self.fill_value()?);
            }
        }
        Ok(())
    }

    fn fill_value(&mut self) -> Parsed<f64> {
        self.expect_here(&TokenKind::LeftParen)?;
        let negate = self.take(&TokenKind::Sub);
        if !negate {
            self.take(&TokenKind::Add);
        }
        if !matches!(self.peek().kind, TokenKind::Number(_) | TokenKind::Duration) {
            return self.unexpected_here();
        }
        let value = self.number()?;
        self.expect_here(&TokenKind::RightParen)?;
        Ok(if negate { -value } else { value })
    }

    /// Labels in parentheses, the last of which a comma may follow.
    pub(super) fn label_list(&mut self) -> Parsed<Vec<String>> {
        if !self.take(&TokenKind::LeftParen) {
            return self.unexpected(GROUPING, "\"(\"");
        }
        let mut labels = Vec::new();
        if self.take(&TokenKind::RightParen) {
            return Ok(labels);
        }
        loop {
            labels.push(self.grouping_label(GROUPING)?);
            if self.take(&TokenKind::RightParen) {
                return Ok(labels);
            }
            if !self.take(&TokenKind::Comma) {
                return self.unexpected(GROUPING, "\",\" or \")\"");
            }
            if self.take(&TokenKind::RightParen) {
                return Ok(labels);
            }
        }
    }

    fn grouping_label(&mut self, context: &str) -> Parsed<String> {
        let token = self.peek().clone();
        let label = match token.kind {
            TokenKind::Identifier if token.is_word("without") => return self.unexpected(context, "label"),
            TokenKind::Identifier | TokenKind::MetricIdentifier | TokenKind::PlainWord => {
                token.text.to_owned()
            }
            TokenKind::String(content) => match String::from_utf8(content) {
                Ok(name) if !name.is_empty() => name,
                Ok(_) => return Err(self.error(token.span, "invalid label name for grouping: \"\"")),
                Err(bytes) => {
                    let name = quote(bytes.as_bytes());
                    return Err(self.error(token.span, format!("invalid label name for grouping: {name}")));
                }
            },
            _ => return self.unexpected(context, "label"),
        };
        self.next();
        Ok(label)
    }
}
