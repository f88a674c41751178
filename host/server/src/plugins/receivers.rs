//! Receivers are the last stage of the alert pipeline.

use std::sync::Arc;
use std::time::SystemTime;

use alerting::template::{NotificationData, NotificationTemplate, Prelude};
use alerting::{Notification, NotifyError, Status};
use async_trait::async_trait;
use model::{Labels, Timestamp};
use plugin::{Alert, AlertStatus, CallError, Instance, Label};
use serde_json::Value;

use crate::config::receivers::texts;

/// What the names of the common annotations begin with that hold rendered texts; a JSON pointer to where the text belongs
/// in the plugin's configuration follows.
const TEXT_PREFIX: &str = "__text__";
/// The text that is HTML, by the name that Alertmanager gives it.
const HTML_TEXT: &str = "/html";
/// The largest text: more than any service takes, and far less than what a call may carry.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// Delivers notifications through a plugin.
pub(crate) struct PluginReceiver {
    instance: Arc<Instance>,
    /// The texts of its configuration that are templates, and those of its schema's defaults.
    texts: Vec<(String, NotificationTemplate)>,
}

impl PluginReceiver {
    /// A receiver whose texts may call what `prelude` defines.
    pub(crate) fn new(instance: Arc<Instance>, config: &Value, prelude: Option<&Prelude>) -> Self {
        let mut whole = config.clone();
        if let Ok(schema) = serde_json::from_str::<Value>(&instance.info().config_schema) {
            fill_defaults(&mut whole, &schema);
        }
        let texts = prelude.map(|prelude| {
            let parsed = texts(&whole).into_iter().filter_map(|(pointer, text)| {
                // What the file says was checked when it was read; what the plugin's schema says was not.
                NotificationTemplate::parse(text, prelude)
                    .inspect_err(|error| tracing::error!(pointer, %error, "read a text of a plugin's schema"))
                    .ok()
                    .map(|template| (pointer, template))
            });
            parsed.collect()
        });
        Self { instance, texts: texts.unwrap_or_default() }
    }

    /// The texts for a notification. One that cannot be rendered is left out: the plugin then does without it, since an
    /// alert must not be lost to a template.
    fn render(&self, notification: &Notification) -> Vec<Label> {
        if self.texts.is_empty() {
            return Vec::new();
        }
        let data = NotificationData::new(notification, Timestamp::from_system(SystemTime::now()));
        let rendered = self.texts.iter().filter_map(|(pointer, template)| {
            let text = match pointer.as_str() {
                HTML_TEXT => template.render_html(&data, TEXT_BYTES_MAX),
                _ => template.render(&data, TEXT_BYTES_MAX),
            };
            let text = text.inspect_err(|error| {
                tracing::error!(receiver = notification.receiver, pointer, %error, "render a text of a notification");
            });
            Some(Label { name: format!("{TEXT_PREFIX}{pointer}"), value: text.ok()? })
        });
        rendered.collect()
    }
}

/// Adds the defaults of a schema that the configuration does not have. Maps have them by key.
fn fill_defaults(config: &mut Value, schema: &Value) {
    let (Some(config), Some(properties)) =
        (config.as_object_mut(), schema.get("properties").and_then(Value::as_object))
    else {
        return;
    };
    for (name, property) in properties {
        let Some(default) = property.get("default") else { continue };
        match (config.get_mut(name), default) {
            (None, default) => {
                config.insert(name.clone(), default.clone());
            }
            (Some(Value::Object(there)), Value::Object(defaults)) => {
                for (key, value) in defaults {
                    there.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
            _ => {}
        }
    }
}

#[async_trait]
impl alerting::Receiver for PluginReceiver {
    async fn notify(&self, notification: &Notification) -> Result<(), NotifyError> {
        let mut told = to_guest(notification);
        told.common_annotations.extend(self.render(notification));
        self.instance.notify(told).await.map_err(|error| failure(&error))
    }
}

fn failure(error: &CallError) -> NotifyError {
    let message = error.to_string();
    if error.kind.is_retryable() {
        NotifyError::Retryable { message, after: error.kind.retry_after() }
    } else {
        NotifyError::Permanent { message }
    }
}

fn to_guest(notification: &Notification) -> plugin::Notification {
    plugin::Notification {
        idempotency_key: notification.idempotency_key.clone(),
        attempt: notification.attempt,
        group_key: notification.group_key.clone(),
        status: status(notification.status),
        receiver: notification.receiver.clone(),
        group_labels: labels(&notification.group_labels),
        common_labels: labels(&notification.common_labels),
        common_annotations: labels(&notification.common_annotations),
        external_url: notification.external_url.clone(),
        truncated_alerts: notification.truncated_alerts,
        alerts: notification
            .alerts
            .iter()
            .map(|alert| Alert {
                status: status(alert.status),
                labels: labels(&alert.labels),
                annotations: labels(&alert.annotations),
                starts_at: time(alert.starts_at),
                ends_at: time(alert.ends_at),
                generator_url: alert.generator_url.clone(),
                fingerprint: alert.fingerprint.to_string(),
            })
            .collect(),
    }
}

const fn status(status: Status) -> AlertStatus {
    match status {
        Status::Firing => AlertStatus::Firing,
        Status::Resolved => AlertStatus::Resolved,
    }
}

fn labels(labels: &Labels) -> Vec<Label> {
    labels.iter().map(|(name, value)| Label { name: name.to_owned(), value: value.to_owned() }).collect()
}

fn time(at: Option<Timestamp>) -> String {
    alerting::rfc3339_or_zero(at)
}
