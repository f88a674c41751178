//! Templates in Go's `text/template` language, as far as labels and annotations of rules use it.
//!
//! A [`Template`] is parsed once ([`parse`]) into nodes and rendered ([`exec`]) over typed [`Value`]s: text,
//! numbers, truth, label maps, lists. A label map answers a name it does not have with the empty text, as Go
//! does with `missingkey=zero`. Rendering writes at most a given number of bytes, so that no template can fill
//! the memory.
//!
//! Known: text, comments, trim markers, pipelines, fields, variables, `if`, `with`, `range`, the comparisons
//! and logic of Go, and the functions in [`functions`]. `define`, `template`, `block`, `break` and `continue`
//! are refused as [`TemplateError::Unsupported`], apart from templates that are wrong.

mod exec;
mod format;
mod functions;
mod parse;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Labels;

pub use format::go_float;
pub(crate) use format::{exponent, quote};
pub(crate) use parse::unquote;

/// A parsed template.
#[derive(Debug, Clone)]
pub struct Template {
    nodes: Vec<parse::Node>,
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
    /// It is in the language, but this server cannot do it yet.
    #[error("parse template: line {line}: {what} is not supported yet")]
    Unsupported {
        /// The line, from 1.
        line: usize,
        /// What it uses.
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
    /// Nothing; prints as `<no value>`.
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
}

impl RuleData {
    /// Data for one series of a rule's result.
    pub fn new(labels: &Labels, value: f64, external_labels: &Labels, external_url: &str) -> Self {
        let labels = Value::Labels(labels.clone());
        let external_labels = Value::Labels(external_labels.clone());
        let (value, external_url) = (Value::Float(value), Value::from(external_url));
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
            ("externalURL", external_url),
        ];
        Self { dot, variables }
    }
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// [`TemplateError::Syntax`] or [`TemplateError::Unsupported`], with the line.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        parse::parse(text).map(|nodes| Self { nodes })
    }

    /// Renders it over a rule's data into at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`TemplateError::Execution`] or [`TemplateError::TooLarge`].
    pub fn render(&self, data: &RuleData, bytes_max: usize) -> Result<String, TemplateError> {
        exec::render(&self.nodes, &data.dot, &data.variables, bytes_max)
    }
}

#[cfg(test)]
mod tests;
