//! Opens and resolves incidents of PagerDuty through its Events API v2, as Alertmanager does: a group that fires
//! triggers, one that is over resolves, and both say by the deduplication key which incident they are about.
//!
//! The key is the SHA-256 of the group key, which is what Alertmanager makes of it: an incident that one has opened the
//! other resolves. Options are those of Alertmanager's `pagerduty_configs`, their texts templates that the server
//! renders. The integration's key is the secret `routing_key`.

mod event;

use serde::Deserialize;
use serde_json::{Map, Value};
use stormglass_sdk::http::{self, Request, Timeout};
use stormglass_sdk::{Context, Notification, Plugin, Receiver, Result, Templated, Wish, receiver, secrets};

use event::{Image, Link};

/// Where events go.
const EVENTS_URL: &str = "https://events.pagerduty.com/v2/enqueue";

/// The `config:` of the plugin's entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The API; PagerDuty's own if absent.
    url: Option<String>,
    client: Option<String>,
    client_url: Option<String>,
    description: Option<String>,
    severity: Option<String>,
    source: Option<String>,
    component: Option<String>,
    group: Option<String>,
    class: Option<String>,
    #[serde(default)]
    details: Map<String, Value>,
    #[serde(default)]
    images: Vec<Image>,
    #[serde(default)]
    links: Vec<Link>,
    #[serde(default)]
    timeout: Timeout,
}

/// The plugin.
pub struct PagerDuty {
    config: Templated<Config>,
}

impl Plugin for PagerDuty {
    type Config = Templated<Config>;

    const CONFIG_SCHEMA: &'static str = include_str!("schema.json");

    const WISHES: &'static [Wish] = &[
        Wish { capability: "http", target: "https://events.pagerduty.com", reason: "send events" },
        Wish { capability: "secrets", target: "routing_key", reason: "the key of the integration" },
    ];

    fn init(config: Self::Config) -> Result<Self> {
        Ok(Self { config })
    }
}

impl Receiver for PagerDuty {
    fn notify(&mut self, notification: &Notification) -> Result<()> {
        let config = self.config.render(notification)?;
        let key = secrets::get("routing_key").context("ask for the integration's key")?;
        let url = config.url.as_deref().unwrap_or(EVENTS_URL);
        let request = Request::post(url)
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", &notification.idempotency_key)
            .timeout(config.timeout)
            .body(event::event(&config, notification, &key)?);
        let doing = format!("send an event to {}", http::origin(url));
        request.send().context(&doing)?.error_for_status().context(&doing)?;
        Ok(())
    }
}

receiver!(PagerDuty);

#[cfg(test)]
mod tests;
