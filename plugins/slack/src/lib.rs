//! Posts groups of alerts to Slack as Alertmanager does: one attachment, by an incoming webhook (the secret `api_url`) or
//! with a bot's token (the secret `app_token`) by `chat.postMessage`.
//!
//! Options are those of Alertmanager's `slack_configs`, their texts templates that the server renders. Neither the
//! webhook's URL nor the token is part of the configuration.

mod message;

use serde::Deserialize;
use serde_json::Value;
use stormglass_sdk::http::{self, Request, Response, Timeout};
use stormglass_sdk::{
    Context, Error, Notification, Plugin, Receiver, Result, Templated, Wish, receiver, secrets,
};

use message::{Action, Field};

/// Where a bot's messages go.
const APP_URL: &str = "https://slack.com/api/chat.postMessage";

/// The `config:` of the plugin's entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    channel: Option<String>,
    username: Option<String>,
    color: Option<String>,
    title: Option<String>,
    title_link: Option<String>,
    pretext: Option<String>,
    text: Option<String>,
    fallback: Option<String>,
    callback_id: Option<String>,
    footer: Option<String>,
    icon_emoji: Option<String>,
    icon_url: Option<String>,
    image_url: Option<String>,
    thumb_url: Option<String>,
    /// Stands above the attachment.
    message_text: Option<String>,
    #[serde(default)]
    fields: Vec<Field>,
    #[serde(default)]
    short_fields: bool,
    #[serde(default)]
    actions: Vec<Action>,
    #[serde(default)]
    link_names: bool,
    #[serde(default = "marked_down")]
    mrkdwn_in: Vec<String>,
    /// Where a bot's messages go; Slack itself if absent.
    app_url: Option<String>,
    #[serde(default)]
    timeout: Timeout,
}

fn marked_down() -> Vec<String> {
    ["fallback", "pretext", "text"].map(str::to_owned).to_vec()
}

/// The plugin.
pub struct Slack {
    config: Templated<Config>,
}

impl Plugin for Slack {
    type Config = Templated<Config>;

    const CONFIG_SCHEMA: &'static str = include_str!("schema.json");

    const WISHES: &'static [Wish] = &[
        Wish { capability: "http", target: "https://hooks.slack.com", reason: "post by incoming webhook" },
        Wish { capability: "http", target: "https://slack.com", reason: "post with a bot's token" },
        Wish { capability: "secrets", target: "api_url", reason: "the URL of the incoming webhook" },
        Wish { capability: "secrets", target: "app_token", reason: "the bot's token, in its place" },
    ];

    fn init(config: Self::Config) -> Result<Self> {
        Ok(Self { config })
    }
}

impl Receiver for Slack {
    fn notify(&mut self, notification: &Notification) -> Result<()> {
        let config = self.config.render(notification)?;
        let message = message::message(&config, notification);
        let request = match secrets::get("api_url") {
            Ok(url) => Request::post(&url),
            Err(secrets::Error::Denied(_)) => {
                let doing = "ask for the URL of a webhook (api_url) or the token of a bot (app_token)";
                let token = secrets::get("app_token").context(doing)?;
                if config.channel.is_none() {
                    return Err(Error::permanent("a bot has to be told a channel: set `channel`"));
                }
                Request::post(config.app_url.as_deref().unwrap_or(APP_URL))
                    .header("Authorization", &format!("Bearer {token}"))
            }
            Err(error) => return Err(error.into()),
        };
        let request = request
            .header("Idempotency-Key", &notification.idempotency_key)
            .timeout(config.timeout)
            .json(&message)?;
        // The path of a webhook is its secret, so that no message may have it.
        let doing = format!("post to {}", http::origin(&request.url));
        let response = request.send().context(&doing)?.error_for_status().context(&doing)?;
        judge(&response).context(&doing)
    }
}

/// Slack answers some failures with status 200, and tells of them in the body.
fn judge(response: &Response) -> Result<()> {
    let Ok(answer) = response.json::<Value>() else {
        let text = response.text();
        return match text.trim() {
            "ok" | "" => Ok(()),
            other => Err(Error::permanent(format!("Slack answered {other:?}"))),
        };
    };
    if answer.get("ok").and_then(Value::as_bool) != Some(false) {
        return Ok(());
    }
    let reason = answer.get("error").and_then(Value::as_str).unwrap_or("no reason is given");
    let message = format!("Slack refused the message: {reason}");
    Err(match reason {
        "ratelimited"
        | "rate_limited"
        | "internal_error"
        | "fatal_error"
        | "service_unavailable"
        | "request_timeout" => Error::retryable(message),
        _ => Error::permanent(message),
    })
}

receiver!(Slack);

#[cfg(test)]
mod tests;
