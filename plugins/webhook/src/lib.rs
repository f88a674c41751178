//! Posts groups of alerts to an HTTP endpoint as Alertmanager's webhook receiver does: the body of version 4, so
//! that whatever takes Alertmanager's webhooks takes ours.
//!
//! A status from 200 to 299 is a delivery. The header `Idempotency-Key` is the same for every attempt to deliver
//! the same thing, so that an endpoint can tell a repetition.

mod body;

use serde::Deserialize;
use stormglass_sdk::http::{self, Headers, Request, Timeout};
use stormglass_sdk::{Context, Notification, Plugin, Receiver, Result, Wish, receiver, secrets};

use body::Body;

/// The `config:` of the plugin's entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to post; the secret `url` where it is not told here.
    url: Option<String>,
    /// Headers of every request, for authentication most of all.
    #[serde(default)]
    headers: Headers,
    #[serde(default)]
    timeout: Timeout,
    /// The most alerts in one body; 0 for all.
    #[serde(default)]
    max_alerts: usize,
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
        "properties": {
            "url": {"type": "string", "pattern": "^https?://", "description": "Where to post; the secret `url` if absent."},
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

    const WISHES: &'static [Wish] = &[
        Wish { capability: "http", target: "host and port of `url`", reason: "post alerts to it" },
        Wish { capability: "secrets", target: "url", reason: "know where to post if the URL is a secret" },
    ];

    fn init(config: Config) -> Result<Self> {
        Ok(Self { config })
    }
}

impl Receiver for Webhook {
    fn notify(&mut self, notification: &Notification) -> Result<()> {
        let Config { url, headers, timeout, max_alerts } = &self.config;
        let url = match url {
            Some(url) => url.clone(),
            None => secrets::get("url")
                .context("ask for the secret `url`, as there is no `url` in the configuration")?,
        };
        let request = Request::post(&url)
            .header("Idempotency-Key", &notification.idempotency_key)
            .timeout(*timeout)
            .json(&Body::new(notification, *max_alerts))?
            .headers(headers);
        // The path often is the secret of a webhook, so that no message may have it.
        let doing = format!("post to {}", http::origin(&url));
        request.send().context(&doing)?.error_for_status().context(&doing)?;
        Ok(())
    }
}

receiver!(Webhook);

#[cfg(test)]
mod tests;
