//! Creates and closes alerts of Opsgenie as Alertmanager does: a group that fires is an alert whose alias is made of the
//! group key, and one that is over closes the alert of that alias.
//!
//! Options are those of Alertmanager's `opsgenie_configs`, their texts templates that the server renders. The key of
//! the API is the secret `api_key`.

mod alert;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use stormglass_sdk::http::{self, Request, Timeout};
use stormglass_sdk::{
    AlertStatus, Context, Notification, Plugin, Receiver, Result, Templated, Wish, receiver, secrets,
};

use alert::Responder;

/// Opsgenie's API; that of its European customers is another.
const API_URL: &str = "https://api.opsgenie.com/";

/// The `config:` of the plugin's entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The API; Opsgenie's own if absent.
    api_url: Option<String>,
    message: Option<String>,
    description: Option<String>,
    source: Option<String>,
    #[serde(default)]
    details: Map<String, Value>,
    #[serde(default)]
    responders: Vec<Responder>,
    /// Separated by commas.
    tags: Option<String>,
    note: Option<String>,
    /// `P1` to `P5`.
    priority: Option<String>,
    entity: Option<String>,
    /// Separated by commas.
    actions: Option<String>,
    /// Whether an alert that goes on gets the message and description of each notification.
    #[serde(default)]
    update_alerts: bool,
    #[serde(default)]
    timeout: Timeout,
}

/// The plugin.
pub struct Opsgenie {
    config: Templated<Config>,
}

impl Plugin for Opsgenie {
    type Config = Templated<Config>;

    const CONFIG_SCHEMA: &'static str = include_str!("schema.json");

    const WISHES: &'static [Wish] = &[
        Wish { capability: "http", target: "https://api.opsgenie.com", reason: "create and close alerts" },
        Wish { capability: "secrets", target: "api_key", reason: "the key of the API" },
    ];

    fn init(config: Self::Config) -> Result<Self> {
        Ok(Self { config })
    }
}

impl Receiver for Opsgenie {
    fn notify(&mut self, notification: &Notification) -> Result<()> {
        let config = self.config.render(notification)?;
        let key = secrets::get("api_key").context("ask for the key of the API")?;
        let alias = hex::encode(Sha256::digest(&notification.group_key));
        let send = |method: &str, path: &str, body: &Value| {
            let base = config.api_url.as_deref().unwrap_or(API_URL).trim_end_matches('/');
            let doing = format!("send an alert to {}", http::origin(base));
            Request::new(method, &format!("{base}/v2/alerts{path}"))
                .header("Authorization", &format!("GenieKey {key}"))
                .header("Idempotency-Key", &notification.idempotency_key)
                .timeout(config.timeout)
                .json(body)?
                .send()
                .context(&doing)?
                .error_for_status()
                .context(&doing)
                .map(drop)
        };
        if notification.status == AlertStatus::Resolved {
            let source = config.source.as_deref().unwrap_or_default();
            return send("POST", &format!("/{alias}/close?identifierType=alias"), &json!({"source": source}));
        }
        let alert = alert::alert(&config, notification, &alias);
        send("POST", "", &alert)?;
        if config.update_alerts {
            for name in ["message", "description"] {
                let path = format!("/{alias}/{name}?identifierType=alias");
                if let Some(text) = alert.get(name) {
                    send("PUT", &path, &json!({name: text}))?;
                }
            }
        }
        Ok(())
    }
}

receiver!(Opsgenie);

#[cfg(test)]
mod tests;
