//! Templates of notifications: Alertmanager's dialect, over a [`Notification`] rather than a rule's series.
//!
//! A text may call what a [`Prelude`] defines by name: the templates that every Alertmanager brings, and those of the
//! files that the configuration names, of which a later one replaces an earlier one of its name.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Labels, Timestamp};

use super::exec::{self, Stop, Surroundings};
use super::functions::Dialect;
use super::{Answers, TemplateError, Value, parse};
use crate::notification::{Notification, NotificationAlert, Status};

/// What Alertmanager's configurations may call without defining it.
const STANDARD: &str = include_str!("notification.tmpl");

/// The time that stands for none, which prints as Go's zero time.
pub(super) const NO_TIME: i64 = i64::MIN;

/// Templates that all texts may call by name.
#[derive(Debug, Clone)]
pub struct Prelude(parse::Named);

impl Prelude {
    /// What every Alertmanager brings.
    ///
    /// # Errors
    /// None, as long as our own templates are in the language, to which a test holds them.
    pub fn standard() -> Result<Self, TemplateError> {
        let mut prelude = Self(parse::Named::new());
        prelude.add(STANDARD)?;
        Ok(prelude)
    }

    /// Adds what a file defines.
    ///
    /// # Errors
    /// [`TemplateError::Syntax`], with the line.
    pub fn add(&mut self, text: &str) -> Result<(), TemplateError> {
        let named = std::mem::take(&mut self.0);
        let (_, named) = parse::parse(text, &[], named, Dialect::Notification)?;
        self.0 = named;
        Ok(())
    }
}

/// A text of a receiver's configuration.
#[derive(Debug, Clone)]
pub struct NotificationTemplate {
    nodes: Vec<parse::Node>,
    named: parse::Named,
}

impl NotificationTemplate {
    /// Parses a text.
    ///
    /// # Errors
    /// [`TemplateError::Syntax`], with the line.
    pub fn parse(text: &str, prelude: &Prelude) -> Result<Self, TemplateError> {
        let (nodes, named) = parse::parse(text, &[], prelude.0.clone(), Dialect::Notification)?;
        Ok(Self { nodes, named })
    }

    /// Renders it into at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`TemplateError::Execution`] or [`TemplateError::TooLarge`].
    pub fn render(&self, data: &NotificationData, bytes_max: usize) -> Result<String, TemplateError> {
        self.render_as(data, bytes_max, false)
    }

    /// The same for a text that is HTML, in which no value of an alert adds elements: `safeHtml` lets one, as in
    /// Alertmanager.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn render_html(&self, data: &NotificationData, bytes_max: usize) -> Result<String, TemplateError> {
        self.render_as(data, bytes_max, true)
    }

    fn render_as(
        &self,
        data: &NotificationData,
        bytes_max: usize,
        html: bool,
    ) -> Result<String, TemplateError> {
        let around = Surroundings {
            dot: &data.dot,
            variables: &[],
            external_url: &data.external_url,
            at: data.at,
            dialect: Dialect::Notification,
            html,
        };
        exec::render(&self.nodes, &self.named, around, &Answers::default(), bytes_max).map_err(|stop| {
            match stop {
                Stop::Failed(error) => error,
                Stop::Needs(_) => {
                    TemplateError::Execution("query is for rules: there is none in a notification".to_owned())
                }
            }
        })
    }
}

/// What the texts of a notification see, as Alertmanager's do: `.Receiver`, `.Status`, `.Alerts`, `.GroupLabels`,
/// `.CommonLabels`, `.CommonAnnotations`, `.ExternalURL`, and those of each alert.
#[derive(Debug, Clone)]
pub struct NotificationData {
    dot: Value,
    external_url: Value,
    at: Timestamp,
}

impl NotificationData {
    /// Data of a notification that is sent at this time.
    pub fn new(notification: &Notification, at: Timestamp) -> Self {
        let labels = |labels: &Labels| Value::Kv(labels.clone());
        let external_url = Value::from(notification.external_url.as_str());
        let dot = Value::Fields(Arc::new(BTreeMap::from([
            ("Receiver", Value::from(notification.receiver.as_str())),
            ("Status", status(notification.status)),
            ("Alerts", Value::List(Arc::new(notification.alerts.iter().map(alert).collect()))),
            ("GroupLabels", labels(&notification.group_labels)),
            ("CommonLabels", labels(&notification.common_labels)),
            ("CommonAnnotations", labels(&notification.common_annotations)),
            ("ExternalURL", external_url.clone()),
            // Routes have no labels of their own here.
            ("RouteLabels", Value::Kv(Labels::empty())),
        ])));
        Self { dot, external_url, at }
    }
}

fn status(status: Status) -> Value {
    match status {
        Status::Firing => "firing".into(),
        Status::Resolved => "resolved".into(),
    }
}

fn alert(alert: &NotificationAlert) -> Value {
    let time =
        |at: Option<Timestamp>| Value::Time(at.map_or(NO_TIME, |at| at.millis().saturating_mul(1_000_000)));
    Value::Fields(Arc::new(BTreeMap::from([
        ("Status", status(alert.status)),
        ("Labels", Value::Kv(alert.labels.clone())),
        ("Annotations", Value::Kv(alert.annotations.clone())),
        ("StartsAt", time(alert.starts_at)),
        ("EndsAt", time(alert.ends_at)),
        ("GeneratorURL", Value::from(alert.generator_url.as_str())),
        ("Fingerprint", Value::from(alert.fingerprint.to_string())),
    ])))
}

#[cfg(test)]
mod tests;
