//! Who may talk to this server, and how: the file of `--web.config.file`, as Prometheus has it, for every listener.
//!
//! * TLS with certificates of our own and, on demand, of clients ([`tls`]).
//! * Users with passwords, and bearer tokens that may read, write or both ([`auth`]).
//! * Headers that every answer gets.
//! * How many requests are let through ([`rate`]).
//!
//! Files are looked at again as requests come, a second apart at the most: certificates, users and tokens are changed
//! without a restart. A file that has come to make no sense is told of in the log, and what was there before holds.
//! Only whether there is TLS at all is settled with the start.

pub(crate) mod auth;
mod config;
pub(crate) mod listen;
mod rate;
mod tls;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use parking_lot::Mutex;

use self::auth::{Access, Asked, Verdict};
use self::config::WebConfig;
use self::rate::RateLimit;
use crate::yaml::{self, FileError};

/// How often files are looked at, at the most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What holds now.
pub(crate) struct Web {
    path: Option<PathBuf>,
    rules: ArcSwap<Rules>,
    looked: Mutex<Looked>,
    /// What this server shows itself.
    own_token: String,
}

/// What one reading of the files has come to.
#[derive(Default)]
struct Rules {
    tls: Option<Arc<rustls::ServerConfig>>,
    access: Access,
    headers: Vec<(HeaderName, HeaderValue)>,
    rate: Option<RateLimit>,
}

struct Looked {
    at: Instant,
    versions: Vec<Version>,
}

/// What tells a file from what it was; none where it is not there.
type Version = Option<(u64, u64, i64, i64)>;

impl Web {
    /// Reads the file, if there is one.
    pub(crate) fn open(path: Option<&Path>) -> anyhow::Result<Arc<Self>> {
        let (rules, files) = match path {
            Some(path) => read(path)?,
            None => Default::default(),
        };
        let looked =
            Looked { at: Instant::now(), versions: files.iter().map(|file| version(file)).collect() };
        let web = Self {
            path: path.map(Path::to_owned),
            rules: ArcSwap::from_pointee(rules),
            looked: Mutex::new(looked),
            own_token: random_token()?,
        };
        Ok(Arc::new(web))
    }

    /// `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.rules.load().tls.is_some() { "https" } else { "http" }
    }

    /// A token that is good for reading, until this process ends.
    pub(crate) fn own_token(&self) -> &str {
        &self.own_token
    }

    fn rules(&self) -> Arc<Rules> {
        self.refresh();
        self.rules.load_full()
    }

    /// Reads the files again where they have changed.
    fn refresh(&self) {
        let Some(path) = &self.path else { return };
        // Whoever comes while another one looks takes what is there.
        let Some(mut looked) = self.looked.try_lock() else { return };
        if looked.at.elapsed() < LOOK_EVERY {
            return;
        }
        looked.at = Instant::now();
        // Which files there are is part of what may have changed; the first of them says.
        let files = named_by(path);
        let versions: Vec<Version> = files.iter().map(|file| version(file)).collect();
        if versions == looked.versions {
            return;
        }
        looked.versions = versions;
        let before = self.rules.load_full();
        match read(path) {
            Ok((mut rules, _)) => {
                if rules.tls.is_some() != before.tls.is_some() {
                    tracing::warn!("whether there is TLS is settled with the start; restart to change it");
                    rules.tls.clone_from(&before.tls);
                }
                self.rules.store(Arc::new(rules));
                tracing::info!(path = %path.display(), "web configuration reloaded");
            }
            Err(error) => {
                tracing::error!("reload the web configuration; what was there before holds: {error:#}");
            }
        }
    }
}

fn random_token() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
    Ok(hex::encode(bytes))
}

/// Judges a file, for `stormglass check web-config`.
pub(crate) fn check(path: &Path) -> anyhow::Result<()> {
    read(path).map(drop)
}

/// Reads the file and all that it names; the files too.
fn read(path: &Path) -> anyhow::Result<(Rules, Vec<PathBuf>)> {
    let config = parse(path)?;
    let files = files_of(path, &config);
    let tls = match &config.tls_server_config {
        Some(tls) => Some(tls::server(tls, config.http_server_config.http2)?),
        None => None,
    };
    let access = Access::new(&config)?;
    let headers = config.http_server_config.headers()?;
    let rate = config.rate_limit.interval();
    let rate = rate.map(|interval| RateLimit::new(interval, config.rate_limit.burst));
    Ok((Rules { tls, access, headers, rate }, files))
}

fn parse(path: &Path) -> anyhow::Result<WebConfig> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    if text.trim().is_empty() {
        return Ok(WebConfig::default());
    }
    let mut config: WebConfig = yaml::parse(path, &text)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    config.files_mut().for_each(|file| *file = folder.join(&file));
    config.validate().map_err(|what| FileError::whole(path, what))?;
    Ok(config)
}

fn named_by(path: &Path) -> Vec<PathBuf> {
    match parse(path) {
        Ok(config) => files_of(path, &config),
        Err(_) => vec![path.to_owned()],
    }
}

fn files_of(path: &Path, config: &WebConfig) -> Vec<PathBuf> {
    let mut config = config.clone();
    std::iter::once(path.to_owned()).chain(config.files_mut().map(|file| file.clone())).collect()
}

fn version(path: &Path) -> Version {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

/// Lets through who may do what they ask for.
pub(crate) async fn guard(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    let rules = web.rules();
    // Before passwords are looked at, which takes long on purpose.
    let admitted = rules.rate.as_ref().is_none_or(|rate| rate.admits(Instant::now()));
    let mut response = match admitted {
        false => (StatusCode::TOO_MANY_REQUESTS, "Too Many Requests\n").into_response(),
        true => match rules.access.judge(Asked::of(&request), &web.own_token).await {
            Verdict::Allowed => next.run(request).await,
            Verdict::Refused(response) => response,
        },
    };
    for (name, value) in &rules.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

#[cfg(test)]
mod tests;
