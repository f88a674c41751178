//! Texts of a receiver's configuration: the server renders what has `{{` in it for each notification, in the
//! language of Alertmanager's templates, and so it does with the defaults of the plugin's schema.
//!
//! ```
//! use serde::Deserialize;
//! use stormglass_sdk::{Notification, Plugin, Receiver, Result, Templated};
//!
//! #[derive(Deserialize)]
//! struct Config {
//!     channel: String,
//!     title: Option<String>,
//! }
//!
//! struct Chat(Templated<Config>);
//!
//! impl Plugin for Chat {
//!     type Config = Templated<Config>;
//!     const CONFIG_SCHEMA: &'static str = r#"{
//!         "type": "object",
//!         "required": ["channel"],
//!         "properties": {
//!             "channel": {"type": "string"},
//!             "title": {"type": "string", "default": "{{ .Status | toUpper }}: {{ .CommonLabels.alertname }}"}
//!         }
//!     }"#;
//!     fn init(config: Self::Config) -> Result<Self> {
//!         Ok(Self(config))
//!     }
//! }
//!
//! impl Receiver for Chat {
//!     fn notify(&mut self, notification: &Notification) -> Result<()> {
//!         let Config { channel, title } = self.0.render(notification)?;
//!         stormglass_sdk::log::info!("{channel}: {}", title.unwrap_or_else(|| notification.summary()));
//!         Ok(())
//!     }
//! }
//! ```

use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::{AlertStatus, Context, Notification, Result};

/// What the names of the common annotations begin with that hold rendered texts. The rest of the name is where the text
/// belongs in the configuration, as a JSON pointer.
pub(crate) const PREFIX: &str = "__text__";

/// A configuration with texts that differ from one notification to the next.
#[derive(Debug, Clone)]
pub struct Templated<C> {
    written: Value,
    kind: PhantomData<fn() -> C>,
}

impl<'de, C: DeserializeOwned> Deserialize<'de> for Templated<C> {
    /// Takes what reads as a `C` while its texts are still templates.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Value::deserialize(deserializer)?;
        serde_json::from_value::<C>(written.clone()).map_err(D::Error::custom)?;
        Ok(Self { written, kind: PhantomData })
    }
}

impl<C: DeserializeOwned> Templated<C> {
    /// The configuration as it was written, templates and all, to be checked before there is anything to tell.
    pub fn written(&self) -> Result<C> {
        serde_json::from_value(self.written.clone()).context("read the configuration")
    }

    /// The configuration for a notification. A text that could not be rendered is missing from it, or empty where it is
    /// inside of something, so that what can be told is told.
    pub fn render(&self, notification: &Notification) -> Result<C> {
        let mut value = self.written.clone();
        if let Value::Object(keys) = &mut value {
            keys.retain(|_, value| !is_template(value));
        }
        clear(&mut value);
        for text in &notification.common_annotations {
            if let Some(pointer) = text.name.strip_prefix(PREFIX) {
                put(&mut value, pointer, &text.value);
            }
        }
        serde_json::from_value(value).context("read the configuration with its texts")
    }
}

fn is_template(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains("{{"))
}

/// Empties the templates inside of the value.
fn clear(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("{{") => text.clear(),
        Value::Array(values) => values.iter_mut().for_each(clear),
        Value::Object(keys) => keys.values_mut().for_each(clear),
        _ => {}
    }
}

/// Puts a text where a JSON pointer leads, and makes the objects on the way that are missing.
fn put(value: &mut Value, pointer: &str, text: &str) {
    let mut place = value;
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if place.is_null() {
            *place = Value::Object(Map::new());
        }
        place = match place {
            Value::Object(keys) => keys.entry(part).or_insert(Value::Null),
            Value::Array(values) => match part.parse::<usize>().ok().and_then(|at| values.get_mut(at)) {
                Some(element) => element,
                None => return,
            },
            _ => return,
        };
    }
    *place = Value::String(text.to_owned());
}

impl Notification {
    /// One line that says what this is about, for where no text could be rendered.
    pub fn summary(&self) -> String {
        let values: Vec<_> = self.group_labels.iter().map(|label| label.value.as_str()).collect();
        let firing = self.alerts.iter().filter(|alert| alert.status == AlertStatus::Firing).count();
        match self.status {
            AlertStatus::Firing => format!("[FIRING:{firing}] {}", values.join(" ")),
            AlertStatus::Resolved => format!("[RESOLVED] {}", values.join(" ")),
        }
    }
}

/// The text, or as much of its beginning as leaves room for an ellipsis within so many characters.
pub fn truncated(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Label;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Config {
        title: Option<String>,
        #[serde(default)]
        fields: Vec<Map<String, Value>>,
        #[serde(default)]
        details: Map<String, Value>,
    }

    fn render(written: &str, texts: &[(&str, &str)]) -> Value {
        let config: Templated<Config> = serde_json::from_str(written).unwrap();
        let pair = |(name, value): &(&str, &str)| Label::new(format!("{PREFIX}{name}"), *value);
        let notification = Notification {
            idempotency_key: String::new(),
            attempt: 1,
            group_key: String::new(),
            status: AlertStatus::Firing,
            receiver: String::new(),
            group_labels: vec![Label::new("a", "x")],
            common_labels: Vec::new(),
            common_annotations: texts.iter().map(pair).chain([Label::new("title", "other")]).collect(),
            external_url: String::new(),
            truncated_alerts: 0,
            alerts: Vec::new(),
        };
        assert_eq!(notification.summary(), "[FIRING:0] x");
        let Config { title, fields, details } = config.render(&notification).unwrap();
        serde_json::json!([title, fields, details])
    }

    #[test]
    fn texts_come_where_they_belong() {
        let check = |written: &str, texts: &[(&str, &str)], expected: Value| {
            assert_eq!(render(written, texts), expected, "{written}");
        };
        check(r#"{"title": "plain"}"#, &[], serde_json::json!(["plain", [], {}]));
        check(
            r#"{}"#,
            &[("/title", "t"), ("/details/a~1b", "d")],
            serde_json::json!(["t", [], {"a/b": "d"}]),
        );
        check(
            r#"{"fields": [{"value": "{{ x }}", "short": true}, {"value": "{{ y }}"}]}"#,
            &[("/fields/1/value", "why"), ("/fields/7/value", "nowhere")],
            serde_json::json!([null, [{"value": "", "short": true}, {"value": "why"}], {}]),
        );
        check(r#"{"title": "{{ broken }}"}"#, &[], serde_json::json!([null, [], {}]));
    }

    #[test]
    fn long_texts_end_in_an_ellipsis() {
        assert_eq!(truncated("äöü", 3), "äöü");
        assert_eq!(truncated("äöüß", 3), "äö…");
        assert_eq!(truncated("ab", 0), "…");
    }
}
