//! Posts groups of alerts to an HTTP endpoint as Alertmanager's webhook receiver does: the body of version 4, so
//! that whatever takes Alertmanager's webhooks takes ours.
//!
//! A status from 200 to 299 is a delivery. The header `Idempotency-Key` is the same for every attempt to deliver
//! the same thing, so that an endpoint can tell a repetition.

mod body;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use stormglass_sdk::http::{self, Request};
use stormglass_sdk::{ConfigDuration, Context, Notification, Plugin, Receiver, Result, Wish, receiver};

use body::Body;

/// How long a request may take where the configuration does not say.
const DEFAULT_TIMEOUT: ConfigDuration = ConfigDuration(Duration::from_secs(10));

/// The `config:` of the plugin's entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to post.
    url: String,
    /// Headers of every request, for authentication most of all.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default = "default_timeout")]
    timeout: ConfigDuration,
    /// The most alerts in one body; 0 for all.
    #[serde(default)]
    max_alerts: usize,
}

fn default_timeout() -> ConfigDuration {
    DEFAULT_TIMEOUT
}

/// The plugin.
pub struct Webhook {
    config: Config,
}

impl Plugin for Webhook {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = r#"{
        "type": "object",
        "additionalProperties": false,
        "required": ["url"],
        "properties": {
            "url": {"type": "string", "pattern": "^https?://", "description": "Where to post."},
            "headers": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "Headers of every request."
            },
            "timeout": {
                "type": "string",
                "pattern": "^([0-9]+(ms|[ywdhms]))+$",
                "description": "How long a request may take; 10s if absent."
            },
            "max_alerts": {
                "type": "integer",
                "minimum": 0,
                "maximum": 4294967295,
                "description": "The most alerts in one body; 0 or absent for all."
            }
        }
    }"#;

    const WISHES: &'static [Wish] =
        &[Wish { capability: "http", target: "host and port of `url`", reason: "post alerts to it" }];

    fn init(config: Config) -> Result<Self> {
        Ok(Self { config })
    }
}

impl Receiver for Webhook {
    fn notify(&mut self, notification: &Notification) -> Result<()> {
        let Config { url, headers, timeout, max_alerts } = &self.config;
        let request = Request::post(url)
            .header("Idempotency-Key", &notification.idempotency_key)
            .timeout(timeout.0)
            .json(&Body::new(notification, *max_alerts))?;
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        // The path often is the secret of a webhook, so that no message may have it.
        let doing = format!("post to {}", http::origin(url));
        request.send().context(&doing)?.error_for_status().context(&doing)?;
        Ok(())
    }
}

receiver!(Webhook);

#[cfg(test)]
mod tests;
