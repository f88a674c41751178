//! Who asks, and whether they may: users with passwords, who may do everything, and bearer tokens, which are good for
//! reading, for writing, or for both. Where the configuration names neither, everybody may do everything.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::Context as _;
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

pub(crate) use super::config::Scope;
use super::config::WebConfig;

/// Outcomes of bcrypt that are remembered, since each takes a tenth of a second of a processor; as many as Prometheus
/// remembers.
const REMEMBERED_MAX: usize = 100;

/// Requests that read although they are no `GET`: long queries come as forms.
const READS_BY_POST: [&str; 12] = [
    "/api/v1/query",
    "/api/v1/query_range",
    "/api/v1/query_exemplars",
    "/api/v1/format_query",
    "/api/v1/parse_query",
    "/api/v1/explain",
    "/api/v1/labels",
    "/api/v1/series",
    "/api/v1/read",
    "/api/v1/search/metric_names",
    "/api/v1/search/label_names",
    "/api/v1/search/label_values",
];

type Sum = [u8; 32];

/// Who there is. The default is nobody in particular.
#[derive(Default)]
pub(super) struct Access {
    users: BTreeMap<String, String>,
    tokens: Vec<Token>,
    /// What stands for the hash of a user who is not there, so that the answer takes as long.
    nobody: String,
    /// By the sum of user, hash and password.
    remembered: Mutex<HashMap<Sum, bool>>,
    /// Held while bcrypt works: guessing must not take every processor.
    working: tokio::sync::Mutex<()>,
}

struct Token {
    sum: Sum,
    scopes: Vec<Scope>,
}

/// As much of a request as decides.
pub(super) struct Asked {
    scope: Scope,
    authorization: String,
}

impl Asked {
    pub(super) fn of(request: &Request) -> Self {
        let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        Self {
            scope: needed(request.method(), request.uri().path()),
            authorization: authorization.unwrap_or_default().to_owned(),
        }
    }
}

/// What becomes of a request.
pub(super) enum Verdict {
    Allowed,
    Refused(Response),
}

impl Access {
    pub(super) fn new(config: &WebConfig) -> anyhow::Result<Self> {
        let mut users = BTreeMap::new();
        for (name, hash) in &config.basic_auth_users {
            let parsed = hash.0.parse::<bcrypt::HashParts>();
            parsed.map_err(|error| {
                anyhow::anyhow!("basic_auth_users: the hash of {name:?} is none of bcrypt's: {error}")
            })?;
            users.insert(name.clone(), hash.0.clone());
        }
        let mut tokens = Vec::new();
        for token in &config.bearer_tokens {
            let sum = match (&token.sha256, &token.token_file) {
                (Some(digits), _) => hex::decode(digits).ok().and_then(|bytes| Sum::try_from(bytes).ok()),
                (None, Some(file)) => Some(sum_of_file(file)?),
                (None, None) => None,
            };
            let name = &token.name;
            let sum = sum
                .with_context(|| format!("bearer_tokens: {name:?}: sha256 must be 64 hexadecimal digits"))?;
            tokens.push(Token { sum, scopes: token.scopes.clone() });
        }
        // Any hash of any user costs what theirs cost.
        let nobody = users.values().next().cloned().unwrap_or_default();
        Ok(Self { users, tokens, nobody, ..Self::default() })
    }

    /// Whether this may be done; `own` is the token that this server shows itself, to read its metrics.
    pub(super) async fn judge(&self, asked: Asked, own: &str) -> Verdict {
        if self.users.is_empty() && self.tokens.is_empty() {
            return Verdict::Allowed;
        }
        let header = asked.authorization.as_str();
        let (scheme, rest) = header.split_once(' ').unwrap_or((header, ""));
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer")
            && asked.scope == Scope::Read
            && Sha256::digest(rest) == Sha256::digest(own)
        {
            return Verdict::Allowed;
        }
        if scheme.eq_ignore_ascii_case("bearer")
            && let Some(token) = self.token(rest)
        {
            return match token.scopes.contains(&asked.scope) {
                true => Verdict::Allowed,
                false => Verdict::Refused(
                    (StatusCode::FORBIDDEN, "Forbidden: this token is not good for it\n").into_response(),
                ),
            };
        }
        if scheme.eq_ignore_ascii_case("basic") && self.is_user(rest).await {
            return Verdict::Allowed;
        }
        let ways = if self.users.is_empty() { "Bearer" } else { "Basic" };
        let head = [(WWW_AUTHENTICATE, ways)];
        Verdict::Refused((StatusCode::UNAUTHORIZED, head, "Unauthorized\n").into_response())
    }

    fn token(&self, text: &str) -> Option<&Token> {
        let sum: Sum = Sha256::digest(text.as_bytes()).into();
        // What is compared is a sum, of which a guess tells nothing however long the comparison takes.
        self.tokens.iter().find(|token| token.sum == sum)
    }

    async fn is_user(&self, credentials: &str) -> bool {
        if self.users.is_empty() {
            return false;
        }
        let Ok(bytes) = BASE64_STANDARD.decode(credentials) else { return false };
        let Ok(text) = String::from_utf8(bytes) else { return false };
        let Some((user, password)) = text.split_once(':') else { return false };
        let known = self.users.get(user);
        let hash = known.unwrap_or(&self.nobody).clone();
        let mut key = Sha256::new();
        // Lengths, so that no two pairs are the same bytes.
        for part in [user, &hash, password] {
            key.update((part.len() as u64).to_le_bytes());
            key.update(part);
        }
        let key: Sum = key.finalize().into();
        let remembered = || self.remembered.lock().get(&key).copied();
        if let Some(outcome) = remembered() {
            return outcome && known.is_some();
        }
        let _one_at_a_time = self.working.lock().await;
        // Somebody else may have asked the same meanwhile.
        if let Some(outcome) = remembered() {
            return outcome && known.is_some();
        }
        let password = password.to_owned();
        let checked =
            tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash).unwrap_or(false)).await;
        let outcome = checked.unwrap_or(false);
        let mut remembered = self.remembered.lock();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(key, outcome);
        outcome && known.is_some()
    }
}

/// What a request takes.
fn needed(method: &Method, path: &str) -> Scope {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
        || (method == Method::POST && READS_BY_POST.contains(&path));
    if reads { Scope::Read } else { Scope::Write }
}

fn sum_of_file(path: &Path) -> anyhow::Result<Sum> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("read token_file {}", path.display()))?;
    anyhow::ensure!(!text.trim().is_empty(), "token_file {} is empty", path.display());
    Ok(Sha256::digest(text.trim().as_bytes()).into())
}
