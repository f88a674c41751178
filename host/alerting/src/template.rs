//! Templates in Go's `text/template` language, as far as labels and annotations of rules use it.
//!
//! A [`Template`] is parsed once ([`parse`]) into nodes and rendered ([`exec`]) over typed [`Value`]s: text,
//! numbers, truth, label maps, lists. A label map answers a name it does not have with the empty text, as Go
//! does with `missingkey=zero`. Rendering writes at most a given number of bytes, so that no template can fill
//! the memory.
//!
//! The language is there as Go documents it, with the functions that Prometheus adds ([`functions`]): named
//! templates, `break` and `continue`, variables, pipelines, methods of times and durations. What `query` asks is
//! evaluated by whoever renders: [`Template::render`] stops at an expression whose value it has not been given,
//! and is called again once it is known, so that rendering itself neither waits nor blocks.

mod exec;
mod format;
mod functions;
mod notification;
mod parse;
mod printf;
mod time;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Labels, Timestamp};

use crate::query::RuleVector;

pub use format::go_float;
pub(crate) use format::{exponent, quote};
pub(crate) use functions::escape_query;
pub use notification::{NotificationData, NotificationTemplate, Prelude};
pub(crate) use parse::unquote;

use exec::Surroundings;
use functions::Dialect;

/// A parsed template.
#[derive(Debug, Clone)]
pub struct Template {
    nodes: Vec<parse::Node>,
    named: parse::Named,
}

/// Why a template cannot be parsed or rendered. The texts appear in annotations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// It is not in the language.
    #[error("parse template: line {line}: {what}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// It went wrong while it was rendered.
    #[error("execute template: {0}")]
    Execution(String),
    /// It wrote more than it may.
    #[error("execute template: output is larger than {0} bytes")]
    TooLarge(usize),
}

/// A value in a template.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing; prints as `<no value>` where it is all there is to print.
    Nil,
    /// Truth.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(Arc<str>),
    /// Labels: a map of texts in which a missing name is the empty text.
    Labels(Labels),
    /// Labels of a notification: as [`Value::Labels`], and with Alertmanager's methods.
    Kv(Labels),
    /// Named values; a missing one is nothing.
    Map(Arc<BTreeMap<String, Value>>),
    /// A time, in nanoseconds since the epoch.
    Time(i64),
    /// A length of time, in nanoseconds.
    Duration(i64),
    /// Named values; a missing name is an error, as with a Go struct's field.
    Fields(Arc<BTreeMap<&'static str, Value>>),
    /// A list.
    List(Arc<Vec<Value>>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

/// What a rule's template sees: `.Labels`, `.Value`, `.ExternalLabels`, `.ExternalURL` and the variables
/// `$labels`, `$value`, `$externalLabels`, `$externalURL`.
#[derive(Debug, Clone)]
pub struct RuleData {
    dot: Value,
    variables: [(&'static str, Value); 4],
    external_url: Value,
    /// When the rule is evaluated, and what `query` evaluates at.
    at: Timestamp,
}

impl RuleData {
    /// Data for one series of a rule's result at `at`.
    pub fn new(
        labels: &Labels,
        value: &model::Value,
        external_labels: &Labels,
        external_url: &str,
        at: Timestamp,
    ) -> Self {
        let labels = Value::Labels(labels.clone());
        let external_labels = Value::Labels(external_labels.clone());
        let value = match value {
            model::Value::Float(value) => Value::Float(*value),
            model::Value::Histogram(histogram) => promql::format_histogram(histogram).into(),
        };
        let external_url = Value::from(external_url);
        let dot = Value::Fields(Arc::new(BTreeMap::from([
            ("Labels", labels.clone()),
            ("Value", value.clone()),
            ("ExternalLabels", external_labels.clone()),
            ("ExternalURL", external_url.clone()),
        ])));
        let variables = [
            ("labels", labels),
            ("value", value),
            ("externalLabels", external_labels),
            ("externalURL", external_url.clone()),
        ];
        Self { dot, variables, external_url, at }
    }
}

/// The variables of [`RuleData`].
const VARIABLES: [&str; 4] = ["labels", "value", "externalLabels", "externalURL"];

/// What the expressions yield that templates ask for with `query`, all at the same time.
#[derive(Debug, Clone, Default)]
pub struct Answers(BTreeMap<Arc<str>, Result<Value, String>>);

impl Answers {
    /// Remembers what an expression yields.
    pub fn insert(&mut self, expr: Arc<str>, answer: Result<RuleVector, String>) {
        let sample = |(labels, value): (Labels, model::Value)| {
            let value = match value {
                model::Value::Float(value) => Value::Float(value),
                // A sample of a template has a float, which a histogram leaves at zero.
                model::Value::Histogram(_) => Value::Float(0.0),
            };
            Value::Fields(Arc::new(BTreeMap::from([("Labels", Value::Labels(labels)), ("Value", value)])))
        };
        let list = |vector: RuleVector| Value::List(Arc::new(vector.into_iter().map(sample).collect()));
        self.0.insert(expr, answer.map(list));
    }

    /// How many expressions are known.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    fn get(&self, expr: &str) -> Option<&Result<Value, String>> {
        self.0.get(expr)
    }
}

/// What has become of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rendered {
    /// The text.
    Text(String),
    /// Nothing yet: it asks for the value of this expression.
    Needs(Arc<str>),
}

/// A duration as Go prints it: `1m0s`.
pub(crate) fn go_duration(duration: std::time::Duration) -> String {
    time::duration(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

/// The functions that templates can call, but for what the language itself brings.
pub fn functions() -> &'static [&'static str] {
    functions::prometheus()
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// [`TemplateError::Syntax`], with the line.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        parse::parse(text, &VARIABLES, parse::Named::new(), Dialect::Rule)
            .map(|(nodes, named)| Self { nodes, named })
    }

    /// Renders it over a rule's data into at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`TemplateError::Execution`] or [`TemplateError::TooLarge`].
    pub fn render(
        &self,
        data: &RuleData,
        answers: &Answers,
        bytes_max: usize,
    ) -> Result<Rendered, TemplateError> {
        let around = Surroundings {
            dot: &data.dot,
            variables: &data.variables,
            external_url: &data.external_url,
            at: data.at,
            dialect: Dialect::Rule,
            html: false,
        };
        match exec::render(&self.nodes, &self.named, around, answers, bytes_max) {
            Ok(text) => Ok(Rendered::Text(text)),
            Err(exec::Stop::Needs(expr)) => Ok(Rendered::Needs(expr)),
            Err(exec::Stop::Failed(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
