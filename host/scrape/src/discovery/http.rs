//! `http_sd_configs`: targets that a server lists, as JSON.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, StatusCode};

use super::groups::groups_of;
use super::{Discover, Snapshot};
use crate::Error;
use crate::client::{HttpClient, chain};
use crate::config::HttpSdConfig;

/// The longest list that is read: some millions of targets.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// The label by which relabelling can tell the server.
const META_URL: &str = "__meta_url";

/// Asks a server for targets.
pub(crate) struct HttpDiscovery {
    config: HttpSdConfig,
    client: HttpClient,
}

impl HttpDiscovery {
    pub(crate) fn new(config: &HttpSdConfig) -> Result<Self, Error> {
        Ok(Self { config: config.clone(), client: HttpClient::new(&config.http, true)? })
    }

    async fn ask(&self) -> Result<Snapshot, String> {
        let url = &self.config.url;
        let failed = |error: reqwest::Error| format!("Get {url:?}: {}", chain(&error.without_url()));
        let every = self.config.refresh_interval.0;
        let request = self.client.request(Method::GET, url).await.map_err(|error| error.to_string())?;
        let request = request
            .header(ACCEPT, "application/json")
            .header("X-Prometheus-Refresh-Interval-Seconds", every.as_secs_f64().to_string());
        let mut response = request.send().await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(format!("server returned HTTP status {}", response.status()));
        }
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default();
        if !is_json(content_type) {
            return Err(format!("unsupported content type {content_type:?}"));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(format!("the list is longer than {ANSWER_BYTES_MAX} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        let text = std::str::from_utf8(&body).map_err(|_| "the list is not UTF-8".to_owned())?;
        let groups = groups_of(text, url, &[(META_URL, url)])?;
        Ok(Snapshot { groups, next_poll: None })
    }
}

#[async_trait]
impl Discover for HttpDiscovery {
    async fn poll(&self) -> Result<Snapshot, String> {
        // As in Prometheus: an answer that takes longer than the interval would be late for the next one.
        let within = self.config.refresh_interval.0.max(Duration::from_secs(1));
        let timed_out = |_| format!("Get {:?}: context deadline exceeded", self.config.url);
        tokio::time::timeout(within, self.ask()).await.map_err(timed_out)?
    }
}

fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let utf8 = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        name.trim().eq_ignore_ascii_case("charset") && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    };
    parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/json")) && parts.all(utf8)
}
