//! Rule files. A [`RuleFile`] that exists is valid: all checks run while it is deserialised, so that the reader
//! of the file can say at which line the fault is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{ConfigDuration, METRIC_NAME};
use serde::Deserialize;

use crate::template::{Template, TemplateError};

/// The groups of one file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RawFile")]
pub struct RuleFile {
    /// In the order of the file; names are unique.
    pub groups: Vec<RuleGroup>,
}

/// Rules that are evaluated one after the other at the same interval.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RawGroup")]
pub struct RuleGroup {
    /// Its name.
    pub name: String,
    /// Its interval, where it is not the server's.
    pub interval: Option<Duration>,
    /// How far back its queries look, where that is not the server's setting.
    pub query_offset: Option<Duration>,
    /// How many alerts or series one rule may yield; zero for no limit.
    pub limit: u64,
    /// Its rules; the group's labels are among theirs.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RawRule")]
pub struct Rule {
    /// The metric that is recorded, or the alert's name.
    pub name: String,
    /// The expression.
    pub expr: String,
    /// Labels that are set on what the expression yields; templates in alerting rules.
    pub labels: BTreeMap<String, RuleText>,
    /// What is done with what the expression yields.
    pub kind: RuleKind,
}

/// What a rule is for.
#[derive(Debug, Clone, PartialEq)]
pub enum RuleKind {
    /// Its result is stored.
    Record,
    /// Each series of its result is an alert.
    Alert {
        /// How long the expression must yield the series before the alert fires.
        hold: Duration,
        /// How long the alert goes on firing without.
        keep_firing_for: Duration,
        /// What is said about the alert.
        annotations: BTreeMap<String, RuleText>,
    },
}

/// A text that may be a template.
#[derive(Debug, Clone)]
pub struct RuleText {
    source: String,
    /// Recording rules take their labels as they stand.
    template: Option<Template>,
}

impl RuleText {
    /// The text as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What it renders from, unless it stands for itself.
    pub(crate) fn template(&self) -> Option<&Template> {
        self.template.as_ref()
    }

    fn parse(source: String) -> Result<Self, TemplateError> {
        let template = Template::parse(&source)?;
        Ok(Self { source, template: Some(template) })
    }
}

impl PartialEq for RuleText {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

/// Why a rule file is refused. Most texts are Prometheus' own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// A group without a name.
    #[error("groupname must not be empty")]
    UnnamedGroup,
    /// Two groups of one name.
    #[error("groupname: {0:?} is repeated in the same file")]
    RepeatedGroup(String),
    /// Both or neither of `record` and `alert`.
    #[error("{0}")]
    Kind(&'static str),
    /// No expression.
    #[error("rule {0:?}: field 'expr' must be set in rule")]
    NoExpression(String),
    /// An expression that does not parse.
    #[error("rule {name:?}: could not parse expression: {reason}")]
    Expression {
        /// The rule.
        name: String,
        /// The parser's words.
        reason: String,
    },
    /// A key that makes no sense in a recording rule.
    #[error("recording rule {name:?}: invalid field '{field}' in recording rule")]
    AlertOnly {
        /// The rule.
        name: String,
        /// The key.
        field: &'static str,
    },
    /// A label or annotation name that cannot be one.
    #[error("rule {name:?}: invalid {what} name: {label:?}")]
    Name {
        /// The rule.
        name: String,
        /// Label or annotation.
        what: &'static str,
        /// The name.
        label: String,
    },
    /// A template that does not parse.
    #[error("rule {name:?}, {what} {label:?}: {source}")]
    Template {
        /// The rule.
        name: String,
        /// Label or annotation.
        what: &'static str,
        /// Its name.
        label: String,
        /// What is wrong.
        source: TemplateError,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    groups: Vec<RuleGroup>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    name: String,
    interval: Option<ConfigDuration>,
    query_offset: Option<ConfigDuration>,
    #[serde(default)]
    limit: u64,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    record: Option<String>,
    alert: Option<String>,
    #[serde(default)]
    expr: String,
    #[serde(rename = "for")]
    hold: Option<ConfigDuration>,
    keep_firing_for: Option<ConfigDuration>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl TryFrom<RawFile> for RuleFile {
    type Error = RuleError;

    fn try_from(raw: RawFile) -> Result<Self, RuleError> {
        let mut names = BTreeSet::new();
        for group in &raw.groups {
            if !names.insert(&group.name) {
                return Err(RuleError::RepeatedGroup(group.name.clone()));
            }
        }
        Ok(Self { groups: raw.groups })
    }
}

impl TryFrom<RawGroup> for RuleGroup {
    type Error = RuleError;

    fn try_from(raw: RawGroup) -> Result<Self, RuleError> {
        if raw.name.is_empty() {
            return Err(RuleError::UnnamedGroup);
        }
        // An interval of zero is how Prometheus' own files ask for the server's.
        let interval = raw.interval.map(|d| d.0).filter(|d| !d.is_zero());
        let mut rules = raw.rules;
        for rule in &mut rules {
            for (label, value) in &raw.labels {
                if !rule.labels.contains_key(label) {
                    let text = text(&rule.name, "label", label, value.clone(), &rule.kind)?;
                    rule.labels.insert(label.clone(), text);
                }
            }
        }
        let query_offset = raw.query_offset.map(|d| d.0);
        Ok(Self { name: raw.name, interval, query_offset, limit: raw.limit, rules })
    }
}

impl TryFrom<RawRule> for Rule {
    type Error = RuleError;

    fn try_from(raw: RawRule) -> Result<Self, RuleError> {
        let given = |name: Option<String>| name.filter(|n| !n.is_empty());
        let (name, records) = match (given(raw.record), given(raw.alert)) {
            (Some(_), Some(_)) => {
                return Err(RuleError::Kind("only one of 'record' and 'alert' must be set"));
            }
            (None, None) => return Err(RuleError::Kind("one of 'record' or 'alert' must be set")),
            (Some(name), None) => (name, true),
            (None, Some(name)) => (name, false),
        };
        if raw.expr.trim().is_empty() {
            return Err(RuleError::NoExpression(name));
        }
        if let Err(error) = promql::parse(&raw.expr) {
            return Err(RuleError::Expression { name, reason: error.to_string() });
        }
        if records {
            let wrong = [
                ("for", raw.hold.is_some_and(|d| !d.0.is_zero())),
                ("keep_firing_for", raw.keep_firing_for.is_some_and(|d| !d.0.is_zero())),
                ("annotations", !raw.annotations.is_empty()),
            ];
            if let Some((field, _)) = wrong.iter().find(|(_, there)| *there) {
                return Err(RuleError::AlertOnly { name, field });
            }
        }
        let mut kind = RuleKind::Record;
        if !records {
            let duration = |d: Option<ConfigDuration>| d.unwrap_or_default().0;
            kind = RuleKind::Alert {
                hold: duration(raw.hold),
                keep_firing_for: duration(raw.keep_firing_for),
                annotations: BTreeMap::new(),
            };
            let texts = texts(&name, "annotation", raw.annotations, &kind)?;
            if let RuleKind::Alert { annotations, .. } = &mut kind {
                *annotations = texts;
            }
        }
        let labels = texts(&name, "label", raw.labels, &kind)?;
        Ok(Self { name, expr: raw.expr.trim().to_owned(), labels, kind })
    }
}

fn texts(
    rule: &str,
    what: &'static str,
    raw: BTreeMap<String, String>,
    kind: &RuleKind,
) -> Result<BTreeMap<String, RuleText>, RuleError> {
    raw.into_iter()
        .map(|(label, value)| Ok((label.clone(), text(rule, what, &label, value, kind)?)))
        .collect()
}

/// Checks one label or annotation. Recording rules take their labels as they stand.
fn text(
    rule: &str,
    what: &'static str,
    label: &str,
    value: String,
    kind: &RuleKind,
) -> Result<RuleText, RuleError> {
    let (name, label_name) = (rule.to_owned(), label.to_owned());
    if label.is_empty() || (what == "label" && label == METRIC_NAME) {
        return Err(RuleError::Name { name, what, label: label_name });
    }
    if matches!(kind, RuleKind::Record) {
        return Ok(RuleText { source: value, template: None });
    }
    RuleText::parse(value).map_err(|source| RuleError::Template { name, what, label: label_name, source })
}
