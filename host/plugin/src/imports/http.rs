//! `stormglass:host/http`: outgoing requests, where granted.
//!
//! The server is checked before every request and every redirect, the address when its name has been resolved, and
//! connections are only ever made to addresses that passed. Proxies of the environment are not used: they would
//! resolve names out of our sight.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{
    AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION, PROXY_AUTHORIZATION,
};
use reqwest::{Method, StatusCode};
use url::Url;

use crate::bindings::stormglass::host::http::{Error, Header, Host, Request, Response};
use crate::error::PluginError;
use crate::grants::secret::FilledHeader;
use crate::grants::tls::TlsFiles;
use crate::grants::{Denied, Grants, check_address};
use crate::limits::{HTTP_HEADERS_MAX, HTTP_TIMEOUT_MAX, REDIRECTS_MAX};
use crate::state::{State, Tenant};

/// Headers that frame the message or name the server; a guest that could set them could smuggle a second request or
/// reach a server behind the one it was granted.
const HOST_OWNED: [&str; 8] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "proxy-authorization",
];

/// The HTTP client that all plugins share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Client {
    standard: reqwest::Client,
    /// Those for servers whose certificates are others than the system trusts, by what they are made of.
    special: Arc<Mutex<Vec<(TlsFiles, reqwest::Client)>>>,
}

/// So many clients with certificates of their own are kept: a client is a pool of connections, and a certificate that has
/// been renewed makes the one of its predecessor useless.
const SPECIAL_CLIENTS_MAX: usize = 64;

impl Client {
    pub(crate) fn new() -> Result<Self, PluginError> {
        let client = builder().build().or_else(|error| {
            // A container without the system's certificates can still do without TLS.
            tracing::warn!("plugins cannot use https: {}", causes(&error));
            builder().tls_certs_only([]).build()
        });
        client
            .map(|standard| Self { standard, special: Arc::default() })
            .map_err(|error| PluginError::Host(format!("building the HTTP client: {}", causes(&error))))
    }

    /// The client for a URL: its own where the grants say whom to trust there.
    async fn of(&self, grants: &Arc<Grants>, url: &Url) -> Result<reqwest::Client, Refused> {
        let Some(grant) = grants.tls_of(url).cloned() else { return Ok(self.standard.clone()) };
        // Reading a file may hang.
        let read = tokio::task::spawn_blocking(move || grant.read()).await;
        let files = read.map_err(|error| error.to_string()).and_then(|files| files).map_err(Error::Other)?;
        let mut special = self.special.lock();
        if let Some((_, client)) = special.iter().find(|(made_of, _)| *made_of == files) {
            return Ok(client.clone());
        }
        let client = files.build(builder()).map_err(Error::Other)?;
        if special.len() >= SPECIAL_CLIENTS_MAX {
            special.remove(0);
        }
        special.push((files, client.clone()));
        Ok(client)
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .dns_resolver(Arc::new(CheckedResolver))
        .user_agent(concat!("stormglass/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
}

/// Resolves names and leaves out addresses that nobody may connect to.
struct CheckedResolver;

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let mut denied = None;
            let allowed: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| match check_address(address.ip()) {
                    Ok(()) => true,
                    Err(refusal) => {
                        denied = Some(refusal);
                        false
                    }
                })
                .collect();
            match denied {
                Some(refusal) if allowed.is_empty() => Err(refusal.into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

/// Why a request has no response.
pub(super) enum Refused {
    Denied(Denied),
    Error(Error),
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Host for State {
    async fn fetch(&mut self, request: Request) -> wasmtime::Result<Result<Response, Error>> {
        self.count_host_call()?;
        if let Some(fake) = self.tenant.fake.clone() {
            return Ok(match fake.fetch(&self.tenant.grants, &request) {
                Ok(answer) => answer,
                Err(denied) => Err(Error::Denied(self.deny(denied))),
            });
        }
        let timeout = timeout(request.timeout_ms, self.time_left());
        let fetched = tokio::time::timeout(timeout, fetch(&self.tenant, request)).await;
        let (decision, answer) = match fetched {
            Ok(Ok(response)) => ("allowed", Ok(response)),
            Ok(Err(Refused::Denied(denied))) => ("denied", Err(Error::Denied(self.deny(denied)))),
            Ok(Err(Refused::Error(error @ Error::Invalid(_)))) => ("invalid", Err(error)),
            Ok(Err(Refused::Error(error))) => ("allowed", Err(error)),
            Err(_) => ("allowed", Err(Error::Timeout)),
        };
        self.tenant.metrics.http_requests.with_label_values(&[&*self.tenant.name, decision]).inc();
        Ok(answer)
    }
}

/// The time a request may take: what the guest asks for, but so that a guest whose server is slow still has a moment
/// to say so before its own deadline.
pub(super) fn timeout(asked_ms: Option<u64>, left: Duration) -> Duration {
    timeout_within(HTTP_TIMEOUT_MAX, asked_ms, left)
}

/// The same for anything that a guest waits for.
pub(super) fn timeout_within(max: Duration, asked_ms: Option<u64>, left: Duration) -> Duration {
    const MARGIN_MAX: Duration = Duration::from_millis(250);
    let limit = left.saturating_sub(MARGIN_MAX.min(left / 10)).min(max);
    asked_ms.map_or(limit, |asked| limit.min(Duration::from_millis(asked)))
}

async fn fetch(tenant: &Tenant, request: Request) -> Result<Response, Refused> {
    let (client, grants) = (&tenant.client, &tenant.grants);
    let mut url = Url::parse(&request.url).map_err(|error| invalid(format!("url: {error}")))?;
    let mut method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| invalid(format!("method {:?}", request.method)))?;
    let mut headers = header_map(&request.headers)?;
    let mut body = bytes::Bytes::from(request.body);

    for _ in 0..=REDIRECTS_MAX {
        grants.check_url(&url)?;
        let response = client
            .of(grants, &url)
            .await?
            .request(method.clone(), url.clone())
            .headers(with_secrets(&headers, tenant, &url).await?)
            .body(body.clone())
            .send()
            .await
            .map_err(|error| transport_error(&error))?;
        let Some(next) = redirect(&response, &url)? else {
            return read_response(response, tenant.limits.response.0).await;
        };
        let see_other = response.status() == StatusCode::SEE_OTHER && method != Method::HEAD;
        let moved_post = matches!(response.status(), StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND)
            && method == Method::POST;
        if see_other || moved_post {
            method = Method::GET;
            body = bytes::Bytes::new();
            headers.remove(reqwest::header::CONTENT_TYPE);
        }
        if next.origin() != url.origin() {
            for secret in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
                headers.remove(secret);
            }
        }
        url = next;
    }
    Err(Error::Other(format!("more than {REDIRECTS_MAX} redirects")).into())
}

fn invalid(what: String) -> Refused {
    Refused::Error(Error::Invalid(what))
}

pub(super) fn header_map(headers: &[Header]) -> Result<HeaderMap, Refused> {
    if headers.len() > HTTP_HEADERS_MAX {
        return Err(invalid(format!("more than {HTTP_HEADERS_MAX} headers")));
    }
    let mut map = HeaderMap::with_capacity(headers.len());
    for Header { name, value } in headers {
        let parsed =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid(format!("header name {name:?}")))?;
        if HOST_OWNED.contains(&parsed.as_str()) {
            return Err(invalid(format!("header {parsed} is set by the host")));
        }
        let value = HeaderValue::from_str(value).map_err(|_| invalid(format!("value of header {parsed}")))?;
        map.append(parsed, value);
    }
    Ok(map)
}

/// The headers with those that hold secrets of the URL's server, in place of what the guest has set. They are added for
/// each hop anew, so that none goes to where a redirect leads.
pub(super) async fn with_secrets(
    headers: &HeaderMap,
    tenant: &Tenant,
    url: &Url,
) -> Result<HeaderMap, Refused> {
    let mut headers = headers.clone();
    if !tenant.grants.has_secret_headers() {
        return Ok(headers);
    }
    let (grants, url) = (Arc::clone(&tenant.grants), url.clone());
    // Reading a file may hang.
    let secrets = tokio::task::spawn_blocking(move || grants.secret_headers(&url)).await;
    let secrets = secrets.map_err(|error| error.to_string()).and_then(|secrets| secrets);
    for FilledHeader { name, value, secret } in secrets.map_err(Error::Other)? {
        // Servers repeat what they refuse. Of a password with a user the header has both, encoded.
        tenant.hidden.add(&secret);
        tenant.hidden.add(value.rsplit(' ').next().unwrap_or_default());
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_str(&value);
        let (Ok(name), Ok(mut value)) = (name, value) else {
            return Err(Error::Other("a secret holds what no header may".to_owned()).into());
        };
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Where a response redirects to, if it does.
fn redirect(response: &reqwest::Response, url: &Url) -> Result<Option<Url>, Refused> {
    let redirects = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let Some(location) = response.headers().get(LOCATION).filter(|_| redirects) else { return Ok(None) };
    let next = location.to_str().ok().and_then(|location| url.join(location).ok());
    next.map(Some).ok_or_else(|| Error::Other("redirected to a location that is no URL".to_owned()).into())
}

async fn read_response(mut response: reqwest::Response, limit: u64) -> Result<Response, Refused> {
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .take(HTTP_HEADERS_MAX)
        .map(|(name, value)| Header {
            name: name.as_str().to_owned(),
            value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
        })
        .collect();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| transport_error(&error))? {
        if (body.len() as u64).saturating_add(chunk.len() as u64) > limit {
            return Err(Error::TooLarge(limit).into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Response { status, headers, body })
}

/// What went wrong on the way, without the URL: it may hold secrets and the guest knows it.
fn transport_error(error: &reqwest::Error) -> Refused {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(present) = cause {
        if let Some(denied) = present.downcast_ref::<Denied>() {
            return Refused::Denied(denied.clone());
        }
        cause = present.source();
    }
    let text = causes(error);
    Refused::Error(if error.is_timeout() {
        Error::Timeout
    } else if error.is_connect() {
        Error::Connect(text)
    } else {
        Error::Other(text)
    })
}

/// The innermost causes of an error, which say more than the outermost.
fn causes(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(present) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&present.to_string());
        cause = present.source();
    }
    if text.is_empty() { "request failed".to_owned() } else { text }
}
