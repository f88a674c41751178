//! Posts groups of alerts to Microsoft Teams as adaptive cards, by the webhook of a workflow.
//!
//! Options are those of Alertmanager's `msteamsv2_configs`, and of `msteams_configs`, whose connectors Microsoft has
//! retired: both post the same card. Texts are templates that the server renders. The URL is the secret `webhook_url`.

use serde::Deserialize;
use serde_json::{Value, json};
use stormglass_sdk::http::{self, Request, Timeout};
use stormglass_sdk::{
    AlertStatus, Context, Notification, Plugin, Receiver, Result, Templated, Wish, receiver, secrets,
    truncated,
};

/// Teams refuses messages of more than 28 KB; the card around the texts takes some of it.
const TEXT_BYTES_MAX: usize = 26_000;
/// A title is one line.
const TITLE_CHARS_MAX: usize = 500;

/// The `config:` of the plugin's entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    title: Option<String>,
    summary: Option<String>,
    text: Option<String>,
    #[serde(default)]
    timeout: Timeout,
}

/// The plugin.
pub struct MsTeams {
    config: Templated<Config>,
}

impl Plugin for MsTeams {
    type Config = Templated<Config>;

    const CONFIG_SCHEMA: &'static str = r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "title": {"type": "string", "default": "{{ template \"msteamsv2.default.title\" . }}"},
            "summary": {"type": "string", "default": "{{ template \"msteams.default.summary\" . }}"},
            "text": {"type": "string", "default": "{{ template \"msteamsv2.default.text\" . }}"},
            "timeout": {
                "type": "string",
                "pattern": "^([0-9]+(ms|[ywdhms]))+$",
                "description": "How long a request may take; 10s if absent."
            }
        }
    }"#;

    const WISHES: &'static [Wish] = &[
        Wish { capability: "http", target: "host and port of `webhook_url`", reason: "post cards to it" },
        Wish { capability: "secrets", target: "webhook_url", reason: "the URL of the workflow" },
    ];

    fn init(config: Self::Config) -> Result<Self> {
        Ok(Self { config })
    }
}

impl Receiver for MsTeams {
    fn notify(&mut self, notification: &Notification) -> Result<()> {
        let config = self.config.render(notification)?;
        let url = secrets::get("webhook_url").context("ask for the workflow's URL")?;
        let request = Request::post(&url)
            .header("Idempotency-Key", &notification.idempotency_key)
            .timeout(config.timeout)
            .json(&message(&config, notification))?;
        // The URL is signed: whoever has it may post.
        let doing = format!("post to {}", http::origin(&url));
        request.send().context(&doing)?.error_for_status().context(&doing)?;
        Ok(())
    }
}

/// The message with its card.
fn message(config: &Config, notification: &Notification) -> Value {
    let title = config.title.clone().unwrap_or_else(|| notification.summary());
    let color = match notification.status {
        AlertStatus::Firing => "attention",
        AlertStatus::Resolved => "good",
    };
    let mut message = json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": {"width": "Full"},
                "body": [
                    {
                        "type": "TextBlock",
                        "text": truncated(&title, TITLE_CHARS_MAX),
                        "weight": "Bolder",
                        "size": "Medium",
                        "style": "heading",
                        "color": color,
                        "wrap": true
                    },
                    {
                        "type": "TextBlock",
                        "text": cut(config.text.as_deref().unwrap_or_default()),
                        "wrap": true
                    }
                ]
            }
        }]
    });
    if let Some(summary) = config.summary.as_deref().filter(|summary| !summary.is_empty()) {
        message["summary"] = truncated(summary, TITLE_CHARS_MAX).into();
    }
    message
}

/// As much of the text as fits, counted as JSON writes it.
fn cut(text: &str) -> String {
    let written = |c: char| match c {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        c if c.is_control() => 6,
        c => c.len_utf8(),
    };
    let mut bytes = 0;
    let end = text.char_indices().find(|(_, c)| {
        bytes += written(*c);
        bytes > TEXT_BYTES_MAX
    });
    match end {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

receiver!(MsTeams);

#[cfg(test)]
mod tests {
    use stormglass_sdk::Error;
    use stormglass_sdk::http::Response;
    use stormglass_sdk::testing::{self, Host, init, notification, response};

    use super::*;

    fn notify(texts: &[(&str, &str)], answer: Response) -> (Result<()>, Option<Request>) {
        let url = "https://prod-1.logic.azure.com/workflows/x?sig=secret";
        let host = Host::new().secret("webhook_url", url).http(move |_| Ok(answer.clone()));
        let mut plugin: MsTeams = init("{}").unwrap();
        host.run(|| (plugin.notify(&notification(texts)), testing::requests().pop()))
    }

    fn body(request: Option<Request>) -> Value {
        serde_json::from_slice(&request.unwrap().body).unwrap()
    }

    #[test]
    fn a_group_is_a_card() {
        let texts = [("title", "[FIRING:1] Down"), ("text", "# Alerts"), ("summary", "s")];
        let (result, request) = notify(&texts, response(202, ""));
        result.unwrap();
        let message = body(request);
        assert_eq!((&message["type"], &message["summary"]), (&json!("message"), &json!("s")));
        let attachment = &message["attachments"][0];
        assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
        let card = &attachment["content"];
        assert_eq!((&card["type"], &card["body"][0]["color"]), (&json!("AdaptiveCard"), &json!("attention")));
        assert_eq!(card["body"][0]["text"], "[FIRING:1] Down");
        assert_eq!(card["body"][1]["text"], "# Alerts");
    }

    #[test]
    fn a_card_fits() {
        let long = "\"é".repeat(20_000);
        let (_, request) = notify(&[("text", &long), ("title", &long)], response(202, ""));
        let bytes = request.as_ref().unwrap().body.len();
        assert!(bytes < 28 * 1024, "{bytes}");
        assert!(
            body(request)["attachments"][0]["content"]["body"][1]["text"].as_str().unwrap().ends_with('…')
        );
    }

    #[test]
    fn no_message_has_the_url() {
        for (answer, expected) in [
            (response(429, ""), Error::retryable("server answered status 429")),
            (response(502, ""), Error::retryable("server answered status 502")),
            (response(401, "expired"), Error::permanent("server answered status 401: expired")),
        ] {
            let expected = expected.context("post to https://prod-1.logic.azure.com");
            assert_eq!(notify(&[], answer).0, Err(expected));
        }
    }

    #[test]
    fn the_schema_knows_every_key() {
        testing::assert_schema_has_every_key::<MsTeams>(r#"{"nonsense": 1}"#);
    }
}
