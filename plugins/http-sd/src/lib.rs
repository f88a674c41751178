//! Scrape targets from an HTTP endpoint that speaks Prometheus' http_sd format: a JSON array of groups, each with
//! `targets` (`host:port`) and optional `labels`. Behaves as `http_sd_configs` does, the label `__meta_url` included.

use serde::Deserialize;
use stormglass_sdk::http::{Headers, Request, Response, Timeout};
use stormglass_sdk::{Context, Discoverer, Error, Plugin, Result, Snapshot, StaticGroup, Wish, discoverer};

/// The label by which relabelling can tell the endpoint.
const META_URL: &str = "__meta_url";

/// The `config:` of the plugin's entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The endpoint.
    url: String,
    /// Headers of every request, for authentication most of all.
    #[serde(default)]
    headers: Headers,
    #[serde(default)]
    timeout: Timeout,
}

/// The plugin.
pub struct HttpSd {
    url: String,
    request: Request,
}

impl Plugin for HttpSd {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = r#"{
        "type": "object",
        "additionalProperties": false,
        "required": ["url"],
        "properties": {
            "url": {"type": "string", "pattern": "^https?://", "description": "Endpoint to ask."},
            "headers": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "Headers of every request."
            },
            "timeout": {
                "type": "string",
                "pattern": "^([0-9]+(ms|[ywdhms]))+$",
                "description": "How long a request may take; 10s if absent."
            }
        }
    }"#;

    const WISHES: &'static [Wish] =
        &[Wish { capability: "http", target: "host and port of `url`", reason: "ask it for targets" }];

    fn init(config: Config) -> Result<Self> {
        let request = Request::get(&config.url)
            .header("Accept", "application/json")
            .timeout(config.timeout)
            .headers(&config.headers);
        Ok(Self { url: config.url, request })
    }
}

impl Discoverer for HttpSd {
    fn poll(&mut self) -> Result<Snapshot> {
        let response = self.request.send().context(format!("get {}", self.url))?;
        read(&self.url, response).context(format!("get {}", self.url))
    }
}

/// Reads an endpoint's answer. A group's source is its place in the array.
fn read(url: &str, response: Response) -> Result<Snapshot> {
    let response = response.error_for_status()?;
    if response.status != 200 {
        return Err(Error::permanent(format!("server answered status {}, not 200", response.status)));
    }
    let content_type = response.header("Content-Type").unwrap_or_default();
    if !is_json(content_type) {
        return Err(Error::permanent(format!("content type is {content_type:?}, not application/json")));
    }
    let groups: Vec<StaticGroup> = response.json()?;
    Ok(Snapshot::new(StaticGroup::discovered(groups, url, META_URL)))
}

/// `application/json`, with no charset or the only one that JSON may have.
fn is_json(content_type: &str) -> bool {
    let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let parameters = parameters.trim().to_ascii_lowercase();
    essence.trim().eq_ignore_ascii_case("application/json")
        && matches!(parameters.as_str(), "" | "charset=utf-8" | "charset=\"utf-8\"")
}

discoverer!(HttpSd);

#[cfg(test)]
mod tests;
