//! What sections of Prometheus' and Alertmanager's say about connections, as grants of the plugin that makes them.
//!
//! Credentials and certificates never reach the plugin: the host sends them to the servers that the section names, and
//! keys that it cannot honour are refused rather than left out, since a request would go out without them.

use std::path::{Path, PathBuf};

use plugin::{Grants, HttpGrant, SecretGrant, SecretHeader, SecretValue, TlsGrant};
use serde_json::{Map, Value};

/// Keys whose values are servers to ask.
const SERVER_KEYS: [&str; 11] = [
    "server",
    "servers",
    "api_server",
    "api_url",
    "app_url",
    "url",
    "endpoint",
    "address",
    "host",
    "management_endpoint",
    "query_url",
];

/// Keys that hold credentials or say how to connect, and that no plugin can be granted.
const NOT_HONOURED: [&str; 6] =
    ["oauth2", "proxy_url", "no_proxy", "proxy_from_environment", "proxy_connect_header", "sigv4"];

/// Keys that change nothing here: redirects are followed as far as grants go, and HTTP/2 is up to the servers.
const WITHOUT_EFFECT: [&str; 2] = ["follow_redirects", "enable_http2"];

type Entry = Map<String, Value>;

/// The servers that an entry names. What cannot be one is left to the plugin to judge.
pub(super) fn servers(entry: &Entry) -> Vec<HttpGrant> {
    let mut found = Vec::new();
    for value in SERVER_KEYS.iter().filter_map(|key| entry.get(*key)) {
        match value {
            Value::String(text) => found.extend(server(text)),
            Value::Array(values) => {
                found.extend(values.iter().filter_map(Value::as_str).filter_map(server));
            }
            _ => {}
        }
    }
    found
}

/// The server of a URL, or of a host with its port. Only the server counts; a path is not part of a grant.
pub(super) fn server(text: &str) -> Option<HttpGrant> {
    let server = match text.trim().split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}")
        }
        None => text.trim().to_owned(),
    };
    server.parse().ok()
}

/// Takes the keys out of an entry that say how to connect to these servers.
///
/// # Errors
/// Which key cannot be honoured, or is not what it has to be.
pub(super) fn take(entry: &mut Entry, servers: &[HttpGrant], folder: &Path) -> Result<Grants, String> {
    if let Some(key) = NOT_HONOURED.iter().find(|key| entry.get(**key).is_some_and(is_set)) {
        return Err(format!("{key} is not supported for what plugins connect to: remove it"));
    }
    for key in NOT_HONOURED.iter().chain(&WITHOUT_EFFECT) {
        entry.remove(*key);
    }
    let mut grants = Grants::default();
    for (header, prefix, username, secret) in headers(entry, folder)? {
        for (at, server) in servers.iter().enumerate() {
            grants.secrets.push(SecretGrant {
                name: format!("{header} #{at}"),
                header: Some(SecretHeader {
                    server: server.clone(),
                    name: header.clone(),
                    prefix: prefix.clone(),
                    username: username.clone(),
                }),
                ..secret.clone()
            });
        }
    }
    if let Some(tls) = entry.remove("tls_config") {
        let tls = Keys::of("tls_config", tls, folder)?;
        if let Some(key) = tls.others(&["ca_file", "cert_file", "key_file", "insecure_skip_verify"]) {
            return Err(format!("tls_config.{key} is not supported for what plugins connect to"));
        }
        let insecure = tls.entry.get("insecure_skip_verify").and_then(Value::as_bool).unwrap_or(false);
        let (ca_file, cert_file, key_file) =
            (tls.file("ca_file")?, tls.file("cert_file")?, tls.file("key_file")?);
        if cert_file.is_some() != key_file.is_some() {
            return Err("tls_config: cert_file and key_file belong together".to_owned());
        }
        if ca_file.is_some() || cert_file.is_some() || insecure {
            grants.tls.extend(servers.iter().map(|server| TlsGrant {
                server: server.clone(),
                ca_file: ca_file.clone(),
                cert_file: cert_file.clone(),
                key_file: key_file.clone(),
                insecure_skip_verify: insecure,
            }));
        }
    }
    Ok(grants)
}

fn is_set(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false)) && value.as_str() != Some("")
}

/// A secret that stands in a section, or in a file that it names.
pub(super) fn secret(name: &str, value: Option<&str>, file: Option<PathBuf>) -> SecretGrant {
    let value = value.filter(|_| file.is_none()).map(|value| SecretValue(value.to_owned()));
    SecretGrant { name: name.to_owned(), file, env: None, value, header: None }
}

/// Name, what stands before the secret, whose password it is, and the secret.
type Header = (String, String, Option<String>, SecretGrant);

fn headers(entry: &mut Entry, folder: &Path) -> Result<Vec<Header>, String> {
    const AUTHORIZATION: &str = "Authorization";
    let mut found = Vec::new();
    if let Some(value) = entry.remove("authorization") {
        let keys = Keys::of("authorization", value, folder)?;
        let kind = keys.text("type")?.unwrap_or("Bearer").trim().to_owned();
        let secret = keys.secret("credentials")?.ok_or("authorization: credentials are missing")?;
        found.push((AUTHORIZATION.to_owned(), format!("{kind} "), None, secret));
    }
    if let Some(value) = entry.remove("basic_auth") {
        let keys = Keys::of("basic_auth", value, folder)?;
        if keys.entry.contains_key("username_file") {
            return Err("basic_auth.username_file is not supported for what plugins connect to".to_owned());
        }
        let username = keys.text("username")?.unwrap_or_default().to_owned();
        let password = keys.secret("password")?.unwrap_or_else(|| secret("password", Some(""), None));
        found.push((AUTHORIZATION.to_owned(), String::new(), Some(username), password));
    }
    let mut bearer = Map::new();
    for key in ["bearer_token", "bearer_token_file"] {
        bearer.extend(entry.remove(key).map(|value| (key.to_owned(), value)));
    }
    if let Some(token) = (Keys { section: "", entry: bearer, folder }).secret("bearer_token")? {
        found.push((AUTHORIZATION.to_owned(), "Bearer ".to_owned(), None, token));
    }
    if found.len() > 1 {
        return Err("at most one of authorization, basic_auth and bearer_token can be used".to_owned());
    }
    if let Some(value) = entry.remove("http_headers") {
        let Value::Object(named) = value else { return Err("http_headers must be a map".to_owned()) };
        for (name, value) in named {
            let one = |key: &str| value.get(key)?.as_array()?.first()?.as_str();
            let file = one("files").map(|file| folder.join(file));
            let value = one("values").or_else(|| one("secrets"));
            if value.is_none() && file.is_none() {
                return Err(format!("http_headers: {name} has neither values, secrets nor files"));
            }
            found.push((name.clone(), String::new(), None, secret(&name, value, file)));
        }
    }
    Ok(found)
}

/// The keys of a section within an entry.
struct Keys<'a> {
    section: &'static str,
    entry: Entry,
    folder: &'a Path,
}

impl<'a> Keys<'a> {
    fn of(section: &'static str, value: Value, folder: &'a Path) -> Result<Self, String> {
        match value {
            Value::Object(entry) => Ok(Self { section, entry, folder }),
            Value::Null => Ok(Self { section, entry: Map::new(), folder }),
            _ => Err(format!("{section} must be a map of keys and values")),
        }
    }

    fn text(&self, key: &str) -> Result<Option<&str>, String> {
        match self.entry.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("{}.{key} must be a text", self.section)),
        }
    }

    fn file(&self, key: &str) -> Result<Option<PathBuf>, String> {
        Ok(self.text(key)?.filter(|path| !path.is_empty()).map(|path| self.folder.join(path)))
    }

    /// The secret of a key, or in the file that the key with `_file` behind it names.
    fn secret(&self, key: &str) -> Result<Option<SecretGrant>, String> {
        let (value, file) = (self.text(key)?, self.file(&format!("{key}_file"))?);
        if value.is_some() && file.is_some() {
            return Err(format!("at most one of {key} and {key}_file can be used"));
        }
        Ok((value.is_some() || file.is_some()).then(|| secret(key, value, file)))
    }

    /// A key that is none of these.
    fn others(&self, known: &[&str]) -> Option<&str> {
        self.entry.keys().map(String::as_str).find(|key| !known.contains(key))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(value: &Value) -> Entry {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn an_entry_names_servers() {
        let check = |config: Value, expected: Value| {
            assert_eq!(serde_json::to_value(servers(&entry(&config))).unwrap(), expected, "{config}");
        };
        check(json!({"server": "localhost:8500"}), json!(["localhost:8500"]));
        check(
            json!({"api_server": "https://k8s.local/base", "role": "pod"}),
            json!(["https://k8s.local:443"]),
        );
        check(json!({"servers": ["http://a:1", "b:2"], "url": "unix:///x"}), json!(["http://a:1", "b:2"]));
        check(json!({"url": "http://u:p@a:1/x?y"}), json!(["http://a:1"]));
        check(json!({"names": ["a.b"], "port": 1}), json!([]));
    }

    #[test]
    fn connections_are_grants() {
        let check = |config: Value, expected: Value| {
            let mut entry = entry(&config);
            let servers = servers(&entry);
            let taken = take(&mut entry, &servers, Path::new("/etc/sg"));
            let shown = match taken {
                Ok(grants) => {
                    assert!(!format!("{grants:?}").contains("s3cret"), "{grants:?}");
                    json!([entry, grants.secrets, grants.tls])
                }
                Err(error) => json!(error),
            };
            assert_eq!(shown, expected, "{config}");
        };
        let server = json!("http://a:1");
        check(
            json!({"url": "http://a:1", "authorization": {"credentials_file": "token"}, "follow_redirects": true}),
            json!([
                {"url": "http://a:1"},
                [{"name": "Authorization #0", "file": "/etc/sg/token",
                  "header": {"server": server, "name": "Authorization", "prefix": "Bearer "}}],
                []
            ]),
        );
        check(
            json!({"url": "http://a:1", "basic_auth": {"username": "u", "password": "s3cret"},
                "http_headers": {"X-A": {"secrets": ["s3cret"]}},
                "tls_config": {"ca_file": "ca.pem", "insecure_skip_verify": true}}),
            json!([
                {"url": "http://a:1"},
                [
                    {"name": "Authorization #0",
                     "header": {"server": server, "name": "Authorization", "prefix": "", "username": "u"}},
                    {"name": "X-A #0", "header": {"server": server, "name": "X-A", "prefix": ""}}
                ],
                [{"server": server, "ca_file": "/etc/sg/ca.pem", "insecure_skip_verify": true}]
            ]),
        );
        check(
            json!({"proxy_url": "http://p"}),
            json!("proxy_url is not supported for what plugins connect to: remove it"),
        );
        check(
            json!({"bearer_token": "s3cret", "basic_auth": {"username": "u"}}),
            json!("at most one of authorization, basic_auth and bearer_token can be used"),
        );
        check(
            json!({"tls_config": {"server_name": "x"}}),
            json!("tls_config.server_name is not supported for what plugins connect to"),
        );
    }
}
