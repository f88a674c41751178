//! The configuration as `/api/v1/status/config` shows it: everything but secrets, in the order of the file.
//!
//! A secret is known by its key. Whatever stands under one of these keys is shown as `<secret>`, in sections that this
//! server does not know as well, so that a new section is safe before anybody thinks of it here. Names of files are
//! shown. Passwords within URLs are shown as `xxxxx`, as Prometheus shows them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use url::Url;

/// What is shown instead.
const HIDDEN: &str = "<secret>";

/// Ends of keys whose values are secret. `token` covers `bearer_token`, `password` `smtp_auth_password`, and so on.
const SECRET_ENDS: [&str; 18] = [
    "password",
    "secret",
    "secrets",
    "token",
    "credentials",
    "credential",
    "api_key",
    "apikey",
    "secret_key",
    "private_key",
    "service_key",
    "routing_key",
    "webhook_url",
    "slack_api_url",
    "user_key",
    "passphrase",
    "client_certificate_key",
    "proxy_connect_header",
];

/// Keys that end so and are no secrets: they say where one is, or how it is used.
const NO_SECRETS: [&str; 2] = ["send_token", "use_token"];

/// Sections whose URLs let whoever knows them post.
const URLS_ARE_SECRET: [&str; 2] = ["slack_configs", "webhook_configs"];

/// A key whose value is a secret unless it is a structure of settings.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('-', "_");
    !NO_SECRETS.contains(&key.as_str()) && SECRET_ENDS.iter().any(|end| key.ends_with(end))
}

/// The document with its secrets hidden. A text that is no document is shown as nothing: it cannot be told what is
/// secret in it.
pub(crate) fn hide(text: &str) -> String {
    if text.trim().is_empty() {
        return String::new();
    }
    let Ok(document) = serde_saphyr::from_str::<Node>(text) else { return String::new() };
    serde_saphyr::to_string(&document.hidden(false)).unwrap_or_default()
}

/// Any YAML, its keys in the order of the text.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    Text(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl Node {
    fn hidden(self, secret: bool) -> Self {
        match self {
            Self::Map(entries) => Self::Map(
                entries
                    .into_iter()
                    // What a map under a secret key holds is secret too: headers come as lists in maps.
                    .map(|(key, node)| {
                        let hook = URLS_ARE_SECRET.contains(&key.as_str());
                        let secret = secret || is_secret(&key);
                        (key, if hook { node.without_urls() } else { node.hidden(secret) })
                    })
                    .collect(),
            ),
            Self::List(nodes) => Self::List(nodes.into_iter().map(|node| node.hidden(secret)).collect()),
            Self::Null => Self::Null,
            Self::Text(text) if text.is_empty() => Self::Text(text),
            _ if secret => Self::Text(HIDDEN.to_owned()),
            Self::Text(text) => Self::Text(without_password(text)),
            other => other,
        }
    }
}

impl Node {
    /// Hides the entries of a section whose URLs are secret, and with them the URLs.
    fn without_urls(self) -> Self {
        let is_url = |key: &str| matches!(key, "url" | "api_url");
        match self {
            Self::Map(entries) => Self::Map(
                entries
                    .into_iter()
                    .map(|(key, node)| {
                        let secret = is_url(&key) || is_secret(&key);
                        (key, node.hidden(secret))
                    })
                    .collect(),
            ),
            Self::List(nodes) => Self::List(nodes.into_iter().map(Self::without_urls).collect()),
            other => other.hidden(false),
        }
    }
}

fn without_password(text: String) -> String {
    if !text.contains("://") || !text.contains('@') {
        return text;
    }
    let Ok(mut url) = Url::parse(&text) else { return text };
    match url.password().is_some() && url.set_password(Some("xxxxx")).is_ok() {
        true => url.into(),
        false => text,
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::UInt(value) => serializer.serialize_u64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(nodes) => {
                let mut list = serializer.serialize_seq(Some(nodes.len()))?;
                for node in nodes {
                    list.serialize_element(node)?;
                }
                list.end()
            }
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, node) in entries {
                    map.serialize_entry(key, node)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::UInt(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry::<String, Node>()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: &Expect) {
        let hidden = hide(text);
        expected.assert_eq(&hidden);
        // What is shown is a document again, and hiding finds nothing more in it.
        assert_eq!(hide(&hidden), hidden);
    }

    #[test]
    fn secrets_are_hidden_wherever_they_stand() {
        check(
            "global:\n  scrape_interval: 15s # often\n  external_labels: {region: 'eu', n: '1'}\n\
             scrape_configs:\n  - job_name: a\n    basic_auth: {username: u, password: hunter2}\n    \
             authorization: {type: Bearer, credentials: abc, credentials_file: ''}\n    \
             tls_config: {key_file: /etc/key.pem}\n    sample_limit: 10\n    honor_labels: true\n    \
             http_headers: {X-Key: {secrets: [one, two], values: [seen]}}\n\
             remote_write:\n  - url: https://user:pass@example.com/write\n    \
             oauth2: {client_id: x, client_secret: y, client_secret_file: z, scopes: [a]}\n\
             plugins:\n  - {name: p, config: {apiKey: k, token: 12, threshold: 1.5}}\n\
             alertmanager:\n  receivers: [{name: a, slack_configs: [{api_url: 'http://x/y', channel: c}]}]\n",
            &expect![[r#"
                global:
                  scrape_interval: 15s
                  external_labels:
                    region: eu
                    "n": "1"
                scrape_configs:
                - job_name: a
                  basic_auth:
                    username: u
                    password: <secret>
                  authorization:
                    type: Bearer
                    credentials: <secret>
                    credentials_file: ""
                  tls_config:
                    key_file: /etc/key.pem
                  sample_limit: 10
                  honor_labels: true
                  http_headers:
                    X-Key:
                      secrets:
                      - <secret>
                      - <secret>
                      values:
                      - seen
                remote_write:
                - url: https://user:xxxxx@example.com/write
                  oauth2:
                    client_id: x
                    client_secret: <secret>
                    client_secret_file: z
                    scopes:
                    - a
                plugins:
                - name: p
                  config:
                    apiKey: <secret>
                    token: <secret>
                    threshold: 1.5
                alertmanager:
                  receivers:
                  - name: a
                    slack_configs:
                    - api_url: <secret>
                      channel: c
            "#]],
        );
        check("", &expect![""]);
    }
}
