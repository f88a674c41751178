//! Asks servers over HTTP, as the configuration says: with credentials, certificates, proxies and headers of its
//! own. What scrapes, discovers or sends asks through this.
//!
//! * Connections are kept, and shared by all that one [`HttpClient`] asks.
//! * Secrets in files are read for each request, certificates looked at again every second at the most: what is
//!   rotated is used without a reload.

mod oauth2;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::{Certificate, Client, ClientBuilder, Identity, Method, NoProxy, Proxy, RequestBuilder};
use reqwest::{redirect, tls};
use url::Url;

use crate::Error;
use crate::config::{HttpConfig, Secret, TlsConfig, TlsVersion};

use oauth2::TokenSource;

/// Redirects that are followed, as in Go's client, which exporters are used to.
const REDIRECTS_MAX: usize = 10;
/// Files of certificates are looked at again after this: soon enough for whoever rotates them, and seldom enough
/// for a job of ten thousand targets.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(1);
/// How long an idle connection is kept; longer than most intervals, as in Prometheus.
const IDLE_MAX: Duration = Duration::from_secs(5 * 60);
/// Says who asks; the version is this crate's, which all crates share.
const AGENT: &str = concat!("Stormglass/", env!("CARGO_PKG_VERSION"));

/// Asks servers in one way.
pub struct HttpClient {
    config: HttpConfig,
    compression: bool,
    state: Mutex<State>,
    tokens: Option<TokenSource>,
}

/// What is made of the files of certificates as they are.
struct State {
    files: TlsFiles,
    looked_at: Instant,
    clients: HashMap<Route, Client>,
}

/// Where connections go, where the URL alone does not say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Route {
    /// To the URL's host.
    Host,
    /// To this host, whatever the URL's; its certificate must have the name in the URL.
    Named(String),
    /// To a socket of this machine.
    Unix(PathBuf),
}

/// The contents of the files that a [`TlsConfig`] names.
#[derive(Default, PartialEq, Eq)]
struct TlsFiles {
    ca: Option<Vec<u8>>,
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

impl HttpClient {
    /// A client; `compression` says whether answers may come compressed.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Connections`] where certificates, keys or a proxy are no such.
    pub fn new(config: &HttpConfig, compression: bool) -> Result<Self, Error> {
        let files = TlsFiles::read(&config.tls_config)?;
        let direct = build(config, compression, &files, &Route::Host)?;
        let state =
            State { files, looked_at: Instant::now(), clients: HashMap::from([(Route::Host, direct)]) };
        let tokens = config.oauth2.clone().map(TokenSource::new).transpose()?;
        Ok(Self { config: config.clone(), compression, state: Mutex::new(state), tokens })
    }

    /// A request with everything that the configuration adds to it.
    ///
    /// # Errors
    /// [`Error::File`] for a secret that cannot be read, [`Error::Fetch`] where no token is given.
    pub async fn request(&self, method: Method, url: &str) -> Result<RequestBuilder, Error> {
        self.request_by(&Route::Host, method, url).await
    }

    pub(crate) async fn request_by(
        &self,
        route: &Route,
        method: Method,
        url: &str,
    ) -> Result<RequestBuilder, Error> {
        let request = match self.named(route, url) {
            // The name in the URL is what the certificate is held against; the header says whom we mean.
            Some((url, route, host)) => self.client(&route)?.request(method, url).header(HOST, host),
            None => self.client(route)?.request(method, url),
        };
        let mut request = request.header(USER_AGENT, AGENT);
        for (name, header) in &self.config.http_headers {
            let mut values: Vec<String> = header.values.clone();
            values.extend(header.secrets.iter().map(|secret| secret.0.clone()));
            for path in &header.files {
                values.push(read_secret(path).await?);
            }
            for value in values {
                request = request.header(name, sensitive(&value, "a header")?);
            }
        }
        self.authorize(request).await
    }

    /// Where another name than the URL's is to be in the certificate: the URL with that name, and the way there.
    fn named(&self, route: &Route, url: &str) -> Option<(Url, Route, String)> {
        let name = &self.config.tls_config.server_name;
        if name.is_empty() || *route != Route::Host {
            return None;
        }
        let mut url = Url::parse(url).ok().filter(|url| url.scheme() == "https")?;
        let authority = url.authority().to_owned();
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        url.set_host(Some(name)).ok()?;
        Some((url, Route::Named(host), authority))
    }

    fn client(&self, route: &Route) -> Result<Client, Error> {
        let mut state = self.state.lock();
        if self.config.tls_config.has_files() && state.looked_at.elapsed() >= CERTIFICATES_EVERY {
            state.looked_at = Instant::now();
            // Small files of this machine, and seldom.
            let files = TlsFiles::read(&self.config.tls_config)?;
            if files != state.files {
                let direct = build(&self.config, self.compression, &files, &Route::Host)?;
                state.clients = HashMap::from([(Route::Host, direct)]);
                state.files = files;
            }
        }
        if let Some(client) = state.clients.get(route) {
            return Ok(client.clone());
        }
        let client = build(&self.config, self.compression, &state.files, route)?;
        state.clients.insert(route.clone(), client.clone());
        Ok(client)
    }

    async fn authorize(&self, request: RequestBuilder) -> Result<RequestBuilder, Error> {
        if let Some(basic) = &self.config.basic_auth {
            let username = match &basic.username_file {
                Some(path) => read_secret(path).await?,
                None => basic.username.clone(),
            };
            let password = secret(basic.password.as_ref(), basic.password_file.as_deref()).await?;
            return Ok(request.basic_auth(username, Some(password)));
        }
        if let Some(tokens) = &self.tokens {
            let token = tokens.token().await?;
            return Ok(request.header(AUTHORIZATION, sensitive(&token, "a token")?));
        }
        let Some(auth) = &self.config.authorization else { return Ok(request) };
        let credentials = secret(auth.credentials.as_ref(), auth.credentials_file.as_deref()).await?;
        let value = sensitive(&format!("{} {credentials}", auth.scheme), "credentials")?;
        Ok(request.header(AUTHORIZATION, value))
    }
}

/// Checks that connections can be made, and that the files of secrets can be read.
pub(crate) fn check(config: &HttpConfig) -> Result<(), Error> {
    for path in config.secret_files() {
        std::fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    }
    HttpClient::new(config, true).map(drop)
}

/// An error with its causes, since the outermost text alone never says what happened.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn build(config: &HttpConfig, compression: bool, files: &TlsFiles, route: &Route) -> Result<Client, Error> {
    // TLS needs a provider of cryptography for the process. Where the binary has chosen one already, that
    // choice stands and this does nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redirects = match config.follow_redirects {
        true => redirect::Policy::limited(REDIRECTS_MAX),
        false => redirect::Policy::none(),
    };
    let mut builder =
        Client::builder().redirect(redirects).gzip(compression).pool_idle_timeout(IDLE_MAX).referer(false);
    if !config.enable_http2 {
        builder = builder.http1_only();
    }
    if config.http2_only {
        builder = builder.http2_prior_knowledge();
    }
    builder = with_proxy(builder, config)?;
    builder = with_tls(builder, &config.tls_config, files)?;
    match route {
        Route::Host => {}
        Route::Named(host) => builder = builder.dns_resolver(Arc::new(Fixed(host.clone()))),
        Route::Unix(path) => builder = builder.unix_socket(path.as_path()),
    }
    builder.build().map_err(failed)
}

fn with_proxy(builder: ClientBuilder, config: &HttpConfig) -> Result<ClientBuilder, Error> {
    let config = &config.proxy;
    if config.from_environment {
        return Ok(builder);
    }
    // Otherwise proxies come from the configuration alone: one from the environment would surprise.
    let builder = builder.no_proxy();
    let Some(url) = &config.url else { return Ok(builder) };
    let mut proxy = Proxy::all(url).map_err(failed)?.no_proxy(NoProxy::from_string(&config.no_proxy));
    if !config.connect_header.is_empty() {
        let mut headers = HeaderMap::new();
        for (name, values) in &config.connect_header {
            let name = HeaderName::try_from(name)
                .map_err(|_| Error::Connections(format!("{name:?} is no name for a header")))?;
            for Secret(value) in values {
                headers.append(name.clone(), sensitive(value, "proxy_connect_header")?);
            }
        }
        proxy = proxy.headers(headers);
    }
    Ok(builder.proxy(proxy))
}

fn with_tls(
    mut builder: ClientBuilder,
    config: &TlsConfig,
    files: &TlsFiles,
) -> Result<ClientBuilder, Error> {
    if config.insecure_skip_verify {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    if let Some(pem) = files.ca.as_deref().or(config.ca.as_ref().map(String::as_bytes)) {
        let certificates = Certificate::from_pem_bundle(pem).map_err(failed)?;
        if certificates.is_empty() {
            return Err(Error::Connections(
                "unable to use specified CA cert: it holds no certificate".to_owned(),
            ));
        }
        builder = builder.tls_certs_only(certificates);
    }
    let certificate = files.cert.as_deref().or(config.cert.as_ref().map(String::as_bytes));
    let key = files.key.as_deref().or(config.key.as_ref().map(|key| key.0.as_bytes()));
    if let (Some(certificate), Some(key)) = (certificate, key) {
        let pem = [certificate, b"\n", key].concat();
        builder = builder.identity(Identity::from_pem(&pem).map_err(failed)?);
    }
    // Versions before 1.2 are not spoken, so that a lower bound of theirs is none.
    if config.min_version == Some(TlsVersion::V1_3) {
        builder = builder.tls_version_min(tls::Version::TLS_1_3);
    }
    if config.max_version == Some(TlsVersion::V1_2) {
        builder = builder.tls_version_max(tls::Version::TLS_1_2);
    }
    Ok(builder)
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err hands it over")]
fn failed(error: reqwest::Error) -> Error {
    Error::Connections(chain(&error))
}

impl TlsFiles {
    fn read(config: &TlsConfig) -> Result<Self, Error> {
        let read = |path: &Option<PathBuf>| match path {
            Some(path) => {
                let bytes = std::fs::read(path).map_err(|source| Error::File { path: path.clone(), source });
                bytes.map(Some)
            }
            None => Ok(None),
        };
        Ok(Self { ca: read(&config.ca_file)?, cert: read(&config.cert_file)?, key: read(&config.key_file)? })
    }
}

/// Finds one host under whatever name.
struct Fixed(String);

impl Resolve for Fixed {
    fn resolve(&self, _name: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

async fn secret(text: Option<&Secret>, file: Option<&Path>) -> Result<String, Error> {
    match (text, file) {
        (Some(text), _) => Ok(text.0.clone()),
        (None, Some(path)) => read_secret(path).await,
        (None, None) => Ok(String::new()),
    }
}

async fn read_secret(path: &Path) -> Result<String, Error> {
    match tokio::fs::read_to_string(path).await {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(source) => Err(Error::File { path: path.to_owned(), source }),
    }
}

fn sensitive(text: &str, what: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::try_from(text)
        .map_err(|_| Error::Fetch(format!("{what} hold characters that no header can")))?;
    value.set_sensitive(true);
    Ok(value)
}
