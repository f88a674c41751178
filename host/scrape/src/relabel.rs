//! Relabelling: rules that rewrite or drop a label set, for targets and for samples.
//!
//! The rules are Prometheus' eleven actions. Regular expressions are anchored at both ends and the dot matches
//! newlines; a rule that cannot be applied (an expression that does not match, an expansion that names no
//! label) leaves the labels as they are. Setting a label to the empty value removes it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use md5::{Digest, Md5};
use model::{Labels, LabelsBuilder, MatcherError};
use regex::Regex;
use serde::{Deserialize, Deserializer};

/// What goes between the values of several source labels where nothing else is said.
const SEPARATOR: &str = ";";
/// The replacement where nothing else is said: what the first group matched.
const REPLACEMENT: &str = "$1";
/// The expression where nothing else is said: anything, as the first group.
const PATTERN: &str = "(.*)";

/// Applies `rules` in order. `false` means that the rules drop this set; the labels are then in an unspecified
/// state.
#[must_use]
pub fn process(labels: &mut LabelsBuilder, rules: &[RelabelConfig]) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

/// [`process`] from a finished set to a finished set; `None` where the rules drop it.
pub fn relabel(labels: &Labels, rules: &[RelabelConfig]) -> Option<Labels> {
    let mut builder = labels.to_builder();
    process(&mut builder, rules).then(|| builder.build())
}

/// One rule, as `relabel_configs` and `metric_relabel_configs` list them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct RelabelConfig {
    /// Labels whose values, joined by the separator, are what the rule looks at.
    #[serde(default)]
    pub source_labels: Vec<String>,
    /// What goes between the values of the source labels.
    #[serde(default = "default_separator")]
    pub separator: String,
    /// What the joined value, or a label's name, must match.
    #[serde(default)]
    pub regex: Pattern,
    /// What `hashmod` divides by.
    #[serde(default)]
    pub modulus: u64,
    /// The label that is written or compared; `replace` expands groups in it.
    #[serde(default)]
    pub target_label: String,
    /// What is written; groups of the expression are expanded.
    #[serde(default = "default_replacement")]
    pub replacement: String,
    /// What the rule does.
    #[serde(default)]
    pub action: Action,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Action {
    /// Writes the expanded replacement to the expanded target label, where the expression matches.
    #[default]
    Replace,
    /// Drops sets whose joined value does not match.
    Keep,
    /// Drops sets whose joined value matches.
    Drop,
    /// Drops sets whose joined value is not the target label's.
    KeepEqual,
    /// Drops sets whose joined value is the target label's.
    DropEqual,
    /// Writes the joined value's hash modulo `modulus` to the target label.
    HashMod,
    /// Copies each label whose name matches to the name that the replacement expands to.
    LabelMap,
    /// Removes labels whose names match.
    LabelDrop,
    /// Removes labels whose names do not match.
    LabelKeep,
    /// Writes the joined value in lower case to the target label.
    Lowercase,
    /// Writes the joined value in upper case to the target label.
    Uppercase,
}

/// A regular expression as relabelling means it. Equal where the texts are.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    regex: Arc<Regex>,
}

impl RelabelConfig {
    /// A rule with everything but its action as Prometheus has it by default.
    pub fn new(action: Action) -> Self {
        Self {
            source_labels: Vec::new(),
            separator: default_separator(),
            regex: Pattern::default(),
            modulus: 0,
            target_label: String::new(),
            replacement: default_replacement(),
            action,
        }
    }

    /// Says what is wrong with a rule that cannot mean anything.
    fn validate(&self) -> Result<(), String> {
        use Action::*;
        let action = self.action;
        if action == HashMod && self.modulus == 0 {
            return Err("relabel configuration for hashmod requires non-zero modulus".to_owned());
        }
        let needs_target =
            matches!(action, Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual);
        if needs_target && self.target_label.is_empty() {
            return Err(format!("relabel configuration for {action} action requires 'target_label' value"));
        }
        if action == LabelMap && self.replacement.is_empty() {
            return Err(format!("\"\" is invalid 'replacement' for {action} action"));
        }
        let plain = self.modulus == 0 && self.separator == SEPARATOR && self.replacement == REPLACEMENT;
        if matches!(action, KeepEqual | DropEqual) && !(plain && self.regex.text == PATTERN) {
            return Err(format!(
                "{action} action requires only 'source_labels' and 'target_label', and no other fields"
            ));
        }
        let bare = plain && self.source_labels.is_empty() && self.target_label.is_empty();
        if matches!(action, LabelDrop | LabelKeep) && !bare {
            return Err(format!("{action} action requires only 'regex', and no other fields"));
        }
        Ok(())
    }

    fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        match self.action {
            Action::Keep => return self.regex.matches(&self.joined(labels)),
            Action::Drop => return !self.regex.matches(&self.joined(labels)),
            Action::KeepEqual => {
                return self.joined(labels) == labels.get(&self.target_label).unwrap_or("");
            }
            Action::DropEqual => {
                return self.joined(labels) != labels.get(&self.target_label).unwrap_or("");
            }
            Action::Replace => {
                if let Some((target, value)) = self.replaced(&self.joined(labels)) {
                    labels.set(&target, &value);
                }
            }
            Action::HashMod => {
                let value = hash(self.joined(labels).as_bytes()) % self.modulus.max(1);
                labels.set(&self.target_label, &value.to_string());
            }
            Action::Lowercase => {
                let value = self.joined(labels).to_lowercase();
                labels.set(&self.target_label, &value);
            }
            Action::Uppercase => {
                let value = self.joined(labels).to_uppercase();
                labels.set(&self.target_label, &value);
            }
            Action::LabelMap => {
                let mapped: Vec<(String, String)> = labels
                    .iter()
                    .filter_map(|(name, value)| {
                        Some((self.regex.expand(name, &self.replacement)?, value.to_owned()))
                    })
                    .collect();
                for (name, value) in mapped {
                    labels.set(&name, &value);
                }
            }
            Action::LabelDrop => self.remove_names(labels, true),
            Action::LabelKeep => self.remove_names(labels, false),
        }
        true
    }

    fn joined<'a>(&self, labels: &'a LabelsBuilder) -> Cow<'a, str> {
        match self.source_labels.as_slice() {
            [] => Cow::Borrowed(""),
            [one] => Cow::Borrowed(labels.get(one).unwrap_or("")),
            [first, rest @ ..] => {
                let mut text = labels.get(first).unwrap_or("").to_owned();
                for name in rest {
                    text.push_str(&self.separator);
                    text.push_str(labels.get(name).unwrap_or(""));
                }
                Cow::Owned(text)
            }
        }
    }

    /// Target label and value of `replace`; `None` where it does not apply.
    fn replaced(&self, joined: &str) -> Option<(String, String)> {
        let captures = self.regex.regex.captures(joined)?;
        let mut target = String::new();
        captures.expand(&self.target_label, &mut target);
        let mut value = String::new();
        captures.expand(&self.replacement, &mut value);
        (!target.is_empty()).then_some((target, value))
    }

    fn remove_names(&self, labels: &mut LabelsBuilder, matching: bool) {
        let names: Vec<String> = labels
            .iter()
            .filter(|(name, _)| self.regex.matches(name) == matching)
            .map(|(name, _)| name.to_owned())
            .collect();
        for name in names {
            labels.remove(&name);
        }
    }
}

/// Validated here, so that the reader of the configuration can say where the rule stands.
impl<'de> Deserialize<'de> for RelabelConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rule = Self::deserialize(deserializer)?;
        rule.validate().map_err(serde::de::Error::custom)?;
        Ok(rule)
    }
}

impl Action {
    const ALL: [(&'static str, Self); 11] = [
        ("replace", Self::Replace),
        ("keep", Self::Keep),
        ("drop", Self::Drop),
        ("keepequal", Self::KeepEqual),
        ("dropequal", Self::DropEqual),
        ("hashmod", Self::HashMod),
        ("labelmap", Self::LabelMap),
        ("labeldrop", Self::LabelDrop),
        ("labelkeep", Self::LabelKeep),
        ("lowercase", Self::Lowercase),
        ("uppercase", Self::Uppercase),
    ];
}

/// Names are taken in any case, as Prometheus does.
impl TryFrom<String> for Action {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text));
        found.map(|(_, action)| *action).ok_or_else(|| format!("unknown relabel action {text:?}"))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, action)| action == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl Pattern {
    /// Compiles `text`.
    ///
    /// # Errors
    /// [`MatcherError`] where it is no regular expression.
    pub fn new(text: impl Into<String>) -> Result<Self, MatcherError> {
        let text = text.into();
        let regex = model::anchored_regex(&text)?;
        Ok(Self { text, regex })
    }

    /// The expression as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn matches(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }

    /// `template` with the groups of a match filled in; `None` where `value` does not match.
    fn expand(&self, value: &str, template: &str) -> Option<String> {
        let captures = self.regex.captures(value)?;
        let mut text = String::new();
        captures.expand(template, &mut text);
        Some(text)
    }
}

impl Default for Pattern {
    fn default() -> Self {
        Self::new(PATTERN).expect("the default expression is well-formed")
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(text).map_err(serde::de::Error::custom)
    }
}

/// The hash of `hashmod`: the last eight bytes of the MD5 sum, big-endian. Servers that share targets by it
/// must agree, Prometheus' own among them.
fn hash(value: &[u8]) -> u64 {
    let sum: [u8; 16] = Md5::digest(value).into();
    sum[8..].iter().fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

fn default_separator() -> String {
    SEPARATOR.to_owned()
}

fn default_replacement() -> String {
    REPLACEMENT.to_owned()
}

#[cfg(test)]
mod tests;
