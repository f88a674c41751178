//! The alert, in the names of Opsgenie's Alert API.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use stormglass_sdk::{Notification, truncated};

use crate::Config;

/// The longest message that the API takes.
const MESSAGE_CHARS_MAX: usize = 130;
/// The longest description that the API takes.
const DESCRIPTION_CHARS_MAX: usize = 15_000;
/// The most characters of all details together that the API takes.
const DETAILS_CHARS_MAX: usize = 8_000;

/// Somebody who is told: by id, name or username.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Responder {
    id: Option<String>,
    name: Option<String>,
    username: Option<String>,
    /// `team`, `teams`, `user`, `escalation` or `schedule`.
    #[serde(rename = "type")]
    kind: String,
}

/// The body that creates an alert.
pub(crate) fn alert(config: &Config, notification: &Notification, alias: &str) -> Value {
    let message = config.message.clone().unwrap_or_else(|| notification.summary());
    let mut alert = Map::from_iter([
        ("alias".to_owned(), Value::from(alias)),
        ("message".to_owned(), truncated(&message, MESSAGE_CHARS_MAX).into()),
        ("details".to_owned(), details(config, notification).into()),
    ]);
    let mut put = |name: &str, value: Option<&str>, chars_max: usize| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            alert.insert(name.to_owned(), truncated(value, chars_max).into());
        }
    };
    put("description", config.description.as_deref(), DESCRIPTION_CHARS_MAX);
    put("source", config.source.as_deref(), 100);
    put("note", config.note.as_deref(), 25_000);
    put("priority", config.priority.as_deref(), 2);
    put("entity", config.entity.as_deref(), 512);
    for (name, list) in [("tags", &config.tags), ("actions", &config.actions)] {
        let values = list.as_deref().unwrap_or_default().split(',').map(str::trim);
        let values: Vec<_> = values.filter(|value| !value.is_empty()).collect();
        if !values.is_empty() {
            alert.insert(name.to_owned(), json!(values));
        }
    }
    let responders: Vec<_> = config.responders.iter().flat_map(responders).collect();
    if !responders.is_empty() {
        alert.insert("responders".to_owned(), responders.into());
    }
    alert.into()
}

/// The labels that all alerts share, and what the configuration adds, as far as the API takes them.
fn details(config: &Config, notification: &Notification) -> Map<String, Value> {
    let labels = notification
        .common_labels
        .iter()
        .map(|label| (label.name.clone(), Value::from(label.value.as_str())));
    let all: Map<_, _> = labels.chain(config.details.clone()).collect();
    let mut chars = 0;
    all.into_iter()
        .filter(|(name, value)| {
            chars += name.chars().count() + value.as_str().map_or(0, |value| value.chars().count());
            chars <= DETAILS_CHARS_MAX
        })
        .collect()
}

/// What a responder of the configuration stands for: none where the template left it empty, several for `teams`.
fn responders(responder: &Responder) -> Vec<Value> {
    let kind = responder.kind.to_lowercase();
    let named = [("id", &responder.id), ("name", &responder.name), ("username", &responder.username)];
    let Some((by, value)) =
        named.into_iter().find_map(|(by, value)| Some((by, value.as_deref().filter(|v| !v.is_empty())?)))
    else {
        return Vec::new();
    };
    if kind == "teams" {
        let teams = value.split(',').map(str::trim).filter(|team| !team.is_empty());
        return teams.map(|team| json!({by: team, "type": "team"})).collect();
    }
    vec![json!({by: value, "type": kind})]
}
