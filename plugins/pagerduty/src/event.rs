//! The event, in the names of PagerDuty's Events API v2.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use stormglass_sdk::{AlertStatus, Notification, Result, log, truncated};

use crate::Config;

/// The longest summary that the API takes.
const SUMMARY_CHARS_MAX: usize = 1024;
/// The largest event that the API takes.
const EVENT_BYTES_MAX: usize = 512_000;

/// A picture of the incident.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Image {
    src: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    alt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    href: Option<String>,
}

/// A link of the incident.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    href: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// The body of a request.
pub(crate) fn event(config: &Config, notification: &Notification, routing_key: &str) -> Result<Vec<u8>> {
    let mut event = whole(config, notification, routing_key);
    let body = serde_json::to_vec(&event)?;
    if body.len() <= EVENT_BYTES_MAX {
        return Ok(body);
    }
    log::warn!(
        "the event of {} bytes is over PagerDuty's limit of {EVENT_BYTES_MAX}; its details are left out",
        body.len()
    );
    event["payload"]["custom_details"] =
        json!({"error": "the details are left out: with them the event is larger than PagerDuty takes"});
    Ok(serde_json::to_vec(&event)?)
}

fn whole(config: &Config, notification: &Notification, routing_key: &str) -> Value {
    let summary = config.description.clone().unwrap_or_else(|| notification.summary());
    let client = config.client.as_deref().unwrap_or("Stormglass");
    let source = config.source.as_deref().filter(|source| !source.is_empty()).unwrap_or(client);
    let severity = config.severity.as_deref().filter(|severity| !severity.is_empty()).unwrap_or("error");
    let mut payload = Map::from_iter([
        ("summary".to_owned(), Value::from(truncated(&summary, SUMMARY_CHARS_MAX))),
        ("source".to_owned(), source.into()),
        ("severity".to_owned(), severity.to_lowercase().into()),
        ("custom_details".to_owned(), config.details.clone().into()),
    ]);
    for (name, value) in
        [("component", &config.component), ("group", &config.group), ("class", &config.class)]
    {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            payload.insert(name.to_owned(), value.into());
        }
    }
    let action = match notification.status {
        AlertStatus::Firing => "trigger",
        AlertStatus::Resolved => "resolve",
    };
    let mut event = json!({
        "routing_key": routing_key,
        "dedup_key": hex::encode(Sha256::digest(&notification.group_key)),
        "event_action": action,
        "client": client,
        "payload": payload,
    });
    if let Some(url) = config.client_url.as_deref().filter(|url| !url.is_empty()) {
        event["client_url"] = url.into();
    }
    // Templates may leave a picture or a link empty where there is none.
    let images: Vec<_> = config.images.iter().filter(|image| !image.src.is_empty()).collect();
    let links: Vec<_> = config.links.iter().filter(|link| !link.href.is_empty()).collect();
    if !images.is_empty() {
        event["images"] = json!(images);
    }
    if !links.is_empty() {
        event["links"] = json!(links);
    }
    event
}
