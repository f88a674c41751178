//! The message: a channel and one attachment, in the names of Slack's API. What is empty is left out.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use stormglass_sdk::{Notification, truncated};

use crate::Config;

/// Longer titles are cut by Slack in the middle of a link.
const TITLE_CHARS_MAX: usize = 1024;
/// Longer texts are cut by Slack.
const TEXT_CHARS_MAX: usize = 40_000;

/// A column of the attachment.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Field {
    title: String,
    value: String,
    short: Option<bool>,
}

/// A button.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Action {
    #[serde(rename = "type")]
    kind: String,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    style: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirm: Option<Confirm>,
}

/// What a button asks before it does something.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Confirm {
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ok_text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dismiss_text: Option<String>,
}

/// The body of a request.
pub(crate) fn message(config: &Config, notification: &Notification) -> Value {
    let title = config.title.clone().unwrap_or_else(|| notification.summary());
    let title = truncated(&title, TITLE_CHARS_MAX);
    let mut attachment = Map::new();
    let mut put = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            attachment.insert(name.to_owned(), truncated(value, TEXT_CHARS_MAX).into());
        }
    };
    put("title", Some(&title));
    put("title_link", config.title_link.as_deref());
    put("pretext", config.pretext.as_deref());
    put("text", config.text.as_deref());
    put("fallback", Some(config.fallback.as_deref().unwrap_or(&title)));
    put("callback_id", config.callback_id.as_deref());
    put("image_url", config.image_url.as_deref());
    put("thumb_url", config.thumb_url.as_deref());
    put("footer", config.footer.as_deref());
    put("color", config.color.as_deref());
    if !config.fields.is_empty() {
        let fields = config.fields.iter().map(|field| {
            let short = field.short.unwrap_or(config.short_fields);
            json!({"title": field.title, "value": field.value, "short": short})
        });
        attachment.insert("fields".to_owned(), fields.collect());
    }
    if !config.actions.is_empty() {
        attachment.insert("actions".to_owned(), json!(config.actions));
    }
    attachment.insert("mrkdwn_in".to_owned(), json!(config.mrkdwn_in));

    let mut message = Map::new();
    let mut put = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            message.insert(name.to_owned(), value.into());
        }
    };
    put("channel", config.channel.as_deref());
    put("username", config.username.as_deref());
    put("icon_emoji", config.icon_emoji.as_deref());
    put("icon_url", config.icon_url.as_deref());
    put("text", config.message_text.as_deref());
    if config.link_names {
        message.insert("link_names".to_owned(), true.into());
    }
    message.insert("attachments".to_owned(), json!([attachment]));
    message.into()
}
