//! Targets over HTTP.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use formats::exposition::Format;
use reqwest::Method;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};

use crate::Error;
use crate::client::{HttpClient, Route, chain};
use crate::config::{EscapingScheme, ScrapeConfig, ScrapeProtocol};
use crate::fetch::{Fetch, Fetched};
use crate::target::Target;

/// The longest answer, decompressed, where the configuration sets no limit: many times what the largest
/// exporters send, and little enough that one target that answers with a bomb cannot take the memory of all.
pub(crate) const BODY_BYTES_MAX: u64 = 256 << 20;
/// So much is set aside for an answer before it comes, whatever length it announces.
const RESERVED_MAX: u64 = 1 << 20;
/// The weight of the preferred format in tenths; those after it get less. Prometheus begins there as well: with
/// one above the number of its formats.
const ACCEPT_WEIGHT: usize = 6;

/// One target over HTTP.
pub(crate) struct HttpFetch {
    client: Arc<HttpClient>,
    route: Route,
    url: String,
    accept: Arc<str>,
    compression: bool,
    fallback: Option<Format>,
    body_bytes_max: u64,
}

impl HttpFetch {
    /// `job` has everything filled in that the global section decides; `accept` is what [`accept`] makes of it.
    pub(crate) fn new(
        client: &Arc<HttpClient>,
        job: &ScrapeConfig,
        accept: &Arc<str>,
        target: &Target,
    ) -> Self {
        let limit = job.body_size_limit.unwrap_or_default().0;
        Self {
            client: Arc::clone(client),
            route: target.unix_socket.clone().map_or(Route::Host, Route::Unix),
            url: target.url.clone(),
            accept: Arc::clone(accept),
            compression: job.enable_compression,
            fallback: job.fallback_format(),
            body_bytes_max: if limit == 0 { BODY_BYTES_MAX } else { limit },
        }
    }
}

#[async_trait]
impl Fetch for HttpFetch {
    async fn fetch(&self, timeout: Duration) -> Result<Fetched, Error> {
        let failed =
            |e: reqwest::Error| Error::Fetch(format!("Get {:?}: {}", self.url, chain(&e.without_url())));
        let mut request = self
            .client
            .request_by(&self.route, Method::GET, &self.url)
            .await?
            .header(ACCEPT, &*self.accept)
            .header("X-Prometheus-Scrape-Timeout-Seconds", timeout.as_secs_f64().to_string());
        if !self.compression {
            request = request.header(ACCEPT_ENCODING, "identity");
        }
        let mut response = request.send().await.map_err(failed)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(Error::Fetch(format!("server returned HTTP status {}", response.status())));
        }
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let format = Format::from_content_type(content_type, self.fallback)?;
        let announced =
            response.content_length().unwrap_or_default().min(self.body_bytes_max).min(RESERVED_MAX);
        let mut body = Vec::with_capacity(usize::try_from(announced).unwrap_or_default());
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if (body.len() + chunk.len()) as u64 > self.body_bytes_max {
                return Err(Error::BodyTooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Fetched::Exposition { format, body })
    }
}

/// The header `Accept`: the preferred format first, with weights that go down from there. Formats that know how
/// to escape names are told how.
pub(crate) fn accept(job: &ScrapeConfig) -> Arc<str> {
    let protocols = job.scrape_protocols.as_deref().unwrap_or(&ScrapeProtocol::PREFERRED);
    let escaping = job.metric_name_escaping_scheme.unwrap_or(EscapingScheme::AllowUtf8);
    let mut text = String::new();
    let mut weight = ACCEPT_WEIGHT;
    for protocol in protocols {
        text.push_str(protocol.media_type());
        if protocol.knows_escaping() {
            text.push_str(&format!(";escaping={}", escaping.as_str()));
        }
        text.push_str(&format!(";q=0.{weight},"));
        weight = weight.saturating_sub(1).max(1);
    }
    text.push_str(&format!("*/*;q=0.{weight}"));
    text.into()
}

#[cfg(test)]
mod tests;
