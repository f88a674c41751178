//! Targets over HTTP. Connections are kept and shared by the targets of a job.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use formats::exposition::Format;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use reqwest::{Certificate, Client, Identity, Proxy, RequestBuilder, redirect};

use crate::Error;
use crate::config::{HttpConfig, ScrapeConfig, ScrapeProtocol, Secret};
use crate::fetch::{Fetch, Fetched};

/// The longest answer, decompressed, where the configuration sets no limit: many times what the largest
/// exporters send, and little enough that one target that answers with a bomb cannot take the memory of all.
pub(crate) const BODY_BYTES_MAX: u64 = 256 << 20;
/// The weight of the preferred format in tenths; those after it get less. Prometheus begins there as well: with
/// one above the number of its formats.
const ACCEPT_WEIGHT: usize = 6;
/// Redirects that are followed, as in Go's client, which exporters are used to.
const REDIRECTS_MAX: usize = 10;
/// Says who asks; the version is this crate's, which all crates share.
const AGENT: &str = concat!("Stormglass/", env!("CARGO_PKG_VERSION"));

/// Makes the connections of one job.
pub(crate) fn client(config: &HttpConfig) -> Result<Client, Error> {
    // TLS needs a provider of cryptography for the process. Where the binary has chosen one already, that
    // choice stands and this does nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let failed = |e: reqwest::Error| Error::Connections(chain(&e));
    let redirects = match config.follow_redirects {
        true => redirect::Policy::limited(REDIRECTS_MAX),
        false => redirect::Policy::none(),
    };
    // Proxies come from the configuration alone: one from the environment would surprise, as in Prometheus.
    let mut builder = Client::builder().redirect(redirects).no_proxy().gzip(config.enable_compression);
    if let Some(url) = &config.proxy_url {
        builder = builder.proxy(Proxy::all(url).map_err(failed)?);
    }
    let tls = &config.tls_config;
    if tls.insecure_skip_verify {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    if let Some(path) = &tls.ca_file {
        let certificates = Certificate::from_pem_bundle(&read(path)?).map_err(failed)?;
        builder = builder.tls_certs_only(certificates);
    }
    if let (Some(certificate), Some(key)) = (&tls.cert_file, &tls.key_file) {
        let mut pem = read(certificate)?;
        pem.push(b'\n');
        pem.extend(read(key)?);
        builder = builder.identity(Identity::from_pem(&pem).map_err(failed)?);
    }
    builder.build().map_err(failed)
}

/// Checks that connections can be made, and that the files of passwords can be read.
pub(crate) fn check(config: &HttpConfig) -> Result<(), Error> {
    let password = config.basic_auth.as_ref().and_then(|auth| auth.password_file.as_deref());
    let credentials = config.authorization.as_ref().and_then(|auth| auth.credentials_file.as_deref());
    for path in password.into_iter().chain(credentials) {
        std::fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    }
    client(config).map(drop)
}

/// One target over HTTP.
pub(crate) struct HttpFetch {
    client: Client,
    url: String,
    accept: String,
    http: HttpConfig,
    fallback: Option<Format>,
    body_bytes_max: u64,
}

impl HttpFetch {
    /// `job` has everything filled in that the global section decides.
    pub(crate) fn new(client: Client, job: &ScrapeConfig, url: String) -> Self {
        let protocols = job.scrape_protocols.as_deref().unwrap_or(&ScrapeProtocol::PREFERRED);
        let limit = job.body_size_limit.unwrap_or_default().0;
        Self {
            client,
            url,
            accept: accept(protocols),
            http: job.http(),
            fallback: job.fallback_format(),
            body_bytes_max: if limit == 0 { BODY_BYTES_MAX } else { limit },
        }
    }

    async fn authorize(&self, request: RequestBuilder) -> Result<RequestBuilder, Error> {
        if let Some(basic) = &self.http.basic_auth {
            let password = secret(basic.password.as_ref(), basic.password_file.as_deref()).await?;
            return Ok(request.basic_auth(&basic.username, Some(password)));
        }
        let Some(auth) = &self.http.authorization else { return Ok(request) };
        let credentials = secret(auth.credentials.as_ref(), auth.credentials_file.as_deref()).await?;
        let mut value = HeaderValue::try_from(format!("{} {credentials}", auth.scheme))
            .map_err(|_| Error::Fetch("credentials hold characters that no header can".to_owned()))?;
        value.set_sensitive(true);
        Ok(request.header(AUTHORIZATION, value))
    }
}

#[async_trait]
impl Fetch for HttpFetch {
    async fn fetch(&self, timeout: Duration) -> Result<Fetched, Error> {
        let failed =
            |e: reqwest::Error| Error::Fetch(format!("Get {:?}: {}", self.url, chain(&e.without_url())));
        let mut request = self
            .client
            .get(&self.url)
            .header(USER_AGENT, AGENT)
            .header(ACCEPT, &self.accept)
            .header("X-Prometheus-Scrape-Timeout-Seconds", timeout.as_secs_f64().to_string());
        if !self.http.enable_compression {
            request = request.header(ACCEPT_ENCODING, "identity");
        }
        let mut response = self.authorize(request).await?.send().await.map_err(failed)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(Error::Fetch(format!("server returned HTTP status {}", response.status())));
        }
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let format = Format::from_content_type(content_type, self.fallback)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if (body.len() + chunk.len()) as u64 > self.body_bytes_max {
                return Err(Error::BodyTooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Fetched::Exposition { format, body })
    }
}

/// The header `Accept`: the preferred format first, with weights that go down from there.
fn accept(protocols: &[ScrapeProtocol]) -> String {
    let mut text = String::new();
    let mut weight = ACCEPT_WEIGHT;
    for protocol in protocols {
        text.push_str(&format!("{};q=0.{weight},", protocol.media_type()));
        weight = weight.saturating_sub(1).max(1);
    }
    text.push_str(&format!("*/*;q=0.{weight}"));
    text
}

async fn secret(text: Option<&Secret>, file: Option<&Path>) -> Result<String, Error> {
    match (text, file) {
        (Some(text), _) => Ok(text.0.clone()),
        (None, Some(path)) => match tokio::fs::read_to_string(path).await {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(source) => Err(Error::File { path: path.to_owned(), source }),
        },
        (None, None) => Ok(String::new()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })
}

/// An error with its causes, since the outermost text alone never says what happened.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
