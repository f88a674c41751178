//! Tokens by OAuth 2.0, with a secret (RFC 6749, section 4.4) or with a signed assertion (RFC 7523): asked for when the
//! last one is about to expire, or when the secret has changed.

mod assertion;

use std::time::{Duration, Instant, SystemTime};

use reqwest::Method;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{HttpClient, chain, secret};
use crate::Error;
use crate::config::{GrantType, OAuth2};

/// A token is replaced this long before it expires, so that it does not expire on its way.
const EXPIRY_MARGIN: Duration = Duration::from_secs(10);
/// How long to wait for a token. Whoever needs it has a shorter patience most often.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest answer that is read of a token server: many times what a token takes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Gives the header `Authorization`.
pub(super) struct TokenSource {
    config: OAuth2,
    client: Box<HttpClient>,
    latest: Mutex<Option<Token>>,
}

struct Token {
    header: String,
    secret: String,
    expires: Option<Instant>,
}

/// RFC 6749, section 5.1.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    #[serde(default)]
    token_type: String,
    expires_in: Option<f64>,
}

impl TokenSource {
    pub(super) fn new(config: OAuth2) -> Result<Self, Error> {
        let client = Box::new(HttpClient::new(&config.http(), true)?);
        Ok(Self { config, client, latest: Mutex::new(None) })
    }

    /// The value of the header. Those who ask at once wait for one request.
    pub(super) async fn token(&self) -> Result<String, Error> {
        let config = &self.config;
        let secret = match config.grant_type {
            GrantType::ClientCredentials => {
                secret(config.client_secret.as_ref(), config.client_secret_file.as_deref()).await?
            }
            GrantType::JwtBearer => {
                let file = config.client_certificate_key_file.as_deref();
                secret(config.client_certificate_key.as_ref(), file).await?
            }
        };
        let mut latest = self.latest.lock().await;
        if let Some(token) = &*latest
            && token.secret == secret
            && token.expires.is_none_or(|at| Instant::now() + EXPIRY_MARGIN < at)
        {
            return Ok(token.header.clone());
        }
        // Servers disagree on where credentials are to be; most take the header, which the standard prefers.
        let answer = match config.grant_type {
            GrantType::JwtBearer => {
                let assertion = assertion::sign(config, &secret, SystemTime::now())
                    .map_err(|what| Error::Fetch(format!("oauth2: {what}")))?;
                self.ask(None, &[("assertion", &assertion)]).await?
            }
            GrantType::ClientCredentials => match self.ask(Some(&secret), &[]).await {
                Err(_) => {
                    self.ask(None, &[("client_id", &config.client_id), ("client_secret", &secret)]).await?
                }
                Ok(answer) => answer,
            },
        };
        let scheme = match answer.token_type.as_str() {
            scheme if scheme.is_empty() || scheme.eq_ignore_ascii_case("bearer") => "Bearer",
            scheme => scheme,
        };
        let header = format!("{scheme} {}", answer.access_token);
        let lifetime = answer.expires_in.filter(|secs| *secs > 0.0);
        let lifetime = lifetime.and_then(|secs| Duration::try_from_secs_f64(secs).ok());
        let expires = lifetime.and_then(|lifetime| Instant::now().checked_add(lifetime));
        *latest = Some(Token { header: header.clone(), secret, expires });
        Ok(header)
    }

    /// Asks with this secret in the header, or with `more` parameters.
    async fn ask(&self, secret: Option<&str>, more: &[(&str, &str)]) -> Result<Answer, Error> {
        let config = &self.config;
        let failed = |what: String| Error::Fetch(format!("oauth2: cannot fetch token: {what}"));
        let mut request = Box::pin(self.client.request(Method::POST, &config.token_url)).await?;
        if let Some(secret) = secret {
            let encoded =
                |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            request = request.basic_auth(encoded(&config.client_id), Some(encoded(secret)));
        }
        let request = request
            .timeout(TOKEN_TIMEOUT)
            .header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(self.form(more));
        let mut response = request.send().await.map_err(|e| failed(chain(&e)))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| failed(chain(&e)))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(failed("the answer is too long".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            return Err(failed(format!("{status}: {}", String::from_utf8_lossy(&body).trim())));
        }
        serde_json::from_slice(&body).map_err(|e| failed(format!("the answer is no token: {e}")))
    }

    /// What is asked for.
    fn form(&self, more: &[(&str, &str)]) -> String {
        let config = &self.config;
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        match config.grant_type {
            GrantType::ClientCredentials => {
                form.append_pair("grant_type", "client_credentials");
                if !config.scopes.is_empty() {
                    form.append_pair("scope", &config.scopes.join(" "));
                }
            }
            // The assertion names the scopes.
            GrantType::JwtBearer => {
                form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
            }
        }
        form.extend_pairs(&config.endpoint_params).extend_pairs(more).finish()
    }
}
