//! Matchers: how series are selected by one label.

mod pattern;
mod syntax;

use std::fmt;

use pattern::Pattern;
pub use pattern::anchored_regex;

use crate::{Labels, METRIC_NAME};

/// The four ways to compare a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// As PromQL writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// One condition on one label. A label that is not there counts as the empty value.
#[derive(Clone, Debug)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    pattern: Option<Pattern>,
}

/// A regular expression that does not compile.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub struct MatcherError {
    /// The pattern as given.
    pub pattern: String,
    /// What is wrong with it, in the words of Prometheus.
    pub reason: String,
}

impl Matcher {
    /// A matcher; regular expressions are anchored at both ends and the dot matches newlines, as in Prometheus.
    ///
    /// # Errors
    /// [`MatcherError`] where `value` is no regular expression and `op` needs one.
    pub fn new(op: MatchOp, name: impl Into<String>, value: impl Into<String>) -> Result<Self, MatcherError> {
        let (name, value) = (name.into(), value.into());
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(Pattern::new(&value)?),
        };
        Ok(Self { name, op, value, pattern })
    }

    /// `name="value"`.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), op: MatchOp::Equal, value: value.into(), pattern: None }
    }

    /// The label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The comparison.
    pub const fn op(&self) -> MatchOp {
        self.op
    }

    /// The value or the pattern, as given.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label of this value passes.
    pub fn matches(&self, value: &str) -> bool {
        match self.op {
            MatchOp::Equal => value == self.value,
            MatchOp::NotEqual => value != self.value,
            MatchOp::Regex => self.pattern.as_ref().is_some_and(|p| p.matches(value)),
            MatchOp::NotRegex => self.pattern.as_ref().is_some_and(|p| !p.matches(value)),
        }
    }

    /// Whether a series without the label passes.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// Whether a series passes.
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name).unwrap_or(""))
    }

    /// Whether this selects a metric by its exact name.
    pub fn is_metric_name(&self) -> bool {
        self.op == MatchOp::Equal && self.name == METRIC_NAME
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (self.op, &self.name, &self.value) == (other.op, &other.name, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op.as_str(), self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_anchored_and_see_missing_labels_as_empty() {
        let labels = Labels::from_pairs([("job", "api"), ("text", "a\nb")]);
        let check =
            |op, name: &str, value: &str| Matcher::new(op, name, value).unwrap().matches_labels(&labels);
        assert!(check(MatchOp::Equal, "job", "api"));
        assert!(check(MatchOp::Regex, "job", "a.i|b"));
        assert!(!check(MatchOp::Regex, "job", "ap"));
        assert!(check(MatchOp::Regex, "text", "a.b"));
        assert!(check(MatchOp::Equal, "missing", ""));
        assert!(check(MatchOp::Regex, "missing", "x|"));
        assert!(check(MatchOp::NotRegex, "missing", ".+"));
        assert!(Matcher::new(MatchOp::Regex, "a", "(").is_err());
    }
}
