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
    /// The value as given, where it is not UTF-8: no label has it. `value` is what can be shown of it then.
    bytes: Option<Box<[u8]>>,
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
        Ok(Self { name, op, value, pattern, bytes: None })
    }

    /// The same of a value in bytes. One that is not UTF-8 is as good as any that no label has; in a regular expression it
    /// may stand where it is compared as a whole, without anything else in the pattern.
    ///
    /// # Errors
    /// As [`Matcher::new`].
    pub fn of_bytes(op: MatchOp, name: impl Into<String>, value: Vec<u8>) -> Result<Self, MatcherError> {
        let bytes = match String::from_utf8(value) {
            Ok(value) => return Self::new(op, name, value),
            Err(error) => error.into_bytes(),
        };
        let value = String::from_utf8_lossy(&bytes).into_owned();
        let is_pattern = matches!(op, MatchOp::Regex | MatchOp::NotRegex);
        if is_pattern && bytes.iter().any(|byte| br"\.+*?()|[]{}^$".contains(byte)) {
            let odd = bytes.utf8_chunks().find(|chunk| !chunk.invalid().is_empty());
            let at = odd.map_or(0, |odd| odd.invalid().as_ptr() as usize - bytes.as_ptr() as usize);
            let rest = String::from_utf8_lossy(&bytes[at..]);
            let reason = format!("error parsing regexp: invalid UTF-8: `{rest}`");
            return Err(MatcherError { pattern: value, reason });
        }
        // To match such a pattern and to equal it is the same.
        let op = match op {
            MatchOp::Equal | MatchOp::Regex => MatchOp::Equal,
            MatchOp::NotEqual | MatchOp::NotRegex => MatchOp::NotEqual,
        };
        Ok(Self { name: name.into(), op, value, pattern: None, bytes: Some(bytes.into()) })
    }

    /// `name="value"`.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), op: MatchOp::Equal, value: value.into(), pattern: None, bytes: None }
    }

    /// The label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The comparison.
    pub const fn op(&self) -> MatchOp {
        self.op
    }

    /// The value or the pattern, as given; what is not UTF-8 of it is replaced.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The value or the pattern, as given.
    pub fn value_bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or(self.value.as_bytes())
    }

    /// The value that labels are compared with, `None` where no label can have it; without meaning where there is a
    /// pattern.
    pub fn compared(&self) -> Option<&str> {
        if self.bytes.is_some() { None } else { Some(&self.value) }
    }

    /// Whether a label of this value passes.
    pub fn matches(&self, value: &str) -> bool {
        match self.op {
            MatchOp::Equal => self.compared() == Some(value),
            MatchOp::NotEqual => self.compared() != Some(value),
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
        (self.op, &self.name, self.value_bytes()) == (other.op, &other.name, other.value_bytes())
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

    #[test]
    fn what_is_not_utf8_is_like_no_value() {
        let of = |op, value: &[u8]| Matcher::of_bytes(op, "a", value.to_vec());
        for (op, passes) in [
            (MatchOp::Equal, false),
            (MatchOp::NotEqual, true),
            (MatchOp::Regex, false),
            (MatchOp::NotRegex, true),
        ] {
            let matcher = of(op, b"x\xff").unwrap();
            for value in ["", "x", "x\u{fffd}"] {
                assert_eq!(matcher.matches(value), passes, "{matcher} {value:?}");
            }
            assert_eq!(matcher.value_bytes(), b"x\xff");
            assert_ne!(matcher, of(op, b"x\xfe").unwrap());
            assert_eq!(of(op, b"x").unwrap(), Matcher::new(op, "a", "x").unwrap());
        }
        let refused = of(MatchOp::Regex, b"a.\xff*").unwrap_err();
        assert_eq!(refused.reason, "error parsing regexp: invalid UTF-8: `\u{fffd}*`");
    }
}
