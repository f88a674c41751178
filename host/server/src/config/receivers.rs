//! Sections of Alertmanager's receivers, such as `slack_configs`: each entry stands for the receiver plugin of that name.
//!
//! An entry is the plugin's configuration but for what the host keeps to itself: secrets, which the plugin asks for by
//! their keys' names, and how to connect. What the plugin may reach is what the entry itself names as a server, or else
//! the service's own; what the section `plugins` grants a plugin of that name is added.

use std::path::Path;

use alerting::config::{Config as AlertmanagerConfig, PluginConfig as Route, ReceiverBlock};
use alerting::template::{NotificationTemplate, Prelude};
use plugin::{Grants, HttpGrant, Limits, NetGrant, PluginConfig};
use serde_json::{Map, Value};

use super::{Loaded, connections, files};
use crate::yaml::FileError;

/// What is known of a kind of section.
struct Kind {
    name: &'static str,
    /// Keys that hold a secret, or a file with one where `_file` stands behind them.
    secrets: &'static [&'static str],
    /// The secret that is a URL, to whose server messages go.
    url: Option<&'static str>,
    /// Where messages go unless the entry says otherwise.
    servers: &'static [&'static str],
    /// Keys that `global` has a value for, with the key there.
    globals: &'static [(&'static str, &'static str)],
    /// What else an entry needs, or may not say; its secrets have been taken out of it.
    adapt: Adapt,
}

/// Changes an entry and what is granted to its plugin; files it names are relative to the folder.
type Adapt = fn(&mut Map<String, Value>, &mut Grants, &Path) -> Result<(), String>;

const KINDS: [Kind; 7] = [
    Kind {
        name: "webhook",
        secrets: &["url"],
        url: Some("url"),
        servers: &[],
        globals: &[],
        adapt: as_written,
    },
    Kind {
        name: "slack",
        secrets: &["api_url", "app_token"],
        url: Some("api_url"),
        servers: &["https://hooks.slack.com", "https://slack.com"],
        globals: &[
            ("api_url", "slack_api_url"),
            ("app_token", "slack_app_token"),
            ("app_url", "slack_app_url"),
        ],
        adapt: as_written,
    },
    Kind {
        name: "pagerduty",
        secrets: &["routing_key"],
        url: None,
        servers: &["https://events.pagerduty.com"],
        globals: &[("url", "pagerduty_url")],
        adapt: events_v2,
    },
    Kind {
        name: "opsgenie",
        secrets: &["api_key"],
        url: None,
        servers: &["https://api.opsgenie.com"],
        globals: &[("api_key", "opsgenie_api_key"), ("api_url", "opsgenie_api_url")],
        adapt: as_written,
    },
    Kind {
        name: "msteams",
        secrets: &["webhook_url"],
        url: Some("webhook_url"),
        servers: &[],
        globals: &[],
        adapt: as_written,
    },
    Kind {
        name: "msteamsv2",
        secrets: &["webhook_url"],
        url: Some("webhook_url"),
        servers: &[],
        globals: &[],
        adapt: as_written,
    },
    Kind {
        name: "email",
        secrets: &["auth_password", "auth_secret"],
        url: None,
        servers: &[],
        globals: &[
            ("smarthost", "smtp_smarthost"),
            ("from", "smtp_from"),
            ("hello", "smtp_hello"),
            ("auth_username", "smtp_auth_username"),
            ("auth_password", "smtp_auth_password"),
            ("auth_identity", "smtp_auth_identity"),
            ("auth_secret", "smtp_auth_secret"),
            ("require_tls", "smtp_require_tls"),
            ("tls_config", "smtp_tls_config"),
        ],
        adapt: mail,
    },
];

/// Any other: a plugin of that name may be there, and gets its secrets by the names that such keys have.
const OTHER: Kind = Kind {
    name: "",
    secrets: &[
        "token",
        "bot_token",
        "app_token",
        "api_key",
        "api_secret",
        "user_key",
        "webhook_url",
        "password",
    ],
    url: Some("webhook_url"),
    servers: &[],
    globals: &[],
    adapt: as_written,
};

/// Sections whose plugins are not told that alerts are over unless the entry says so, as in Alertmanager.
const NOT_RESOLVED: [&str; 4] = ["email", "slack", "wechat", "rocketchat"];

/// Where mail is handed over unless a port is given.
const SMTP_PORT: u16 = 25;

/// The plugin that answers a section: both of Teams' are answered by one.
fn plugin_of(kind: &'static str) -> &'static str {
    if kind == "msteamsv2" { "msteams" } else { kind }
}

/// Adds the plugins of all receivers to those that are configured, and reads the templates.
pub(super) fn expand(loaded: &mut Loaded, folder: &Path, errors: &mut Vec<FileError>) {
    let Some(mut alertmanager) = loaded.alertmanager.take() else { return };
    let place = loaded.places.alertmanager;
    for block in std::mem::take(&mut alertmanager.blocks) {
        let section = format!("{}_configs", block.kind);
        for (at, entry) in block.configs.iter().enumerate() {
            match expand_one(loaded, &alertmanager, &block, entry, folder) {
                Ok((mut config, route)) => {
                    config.name = format!("{}/{section}/{at}", block.receiver);
                    let name = config.name.clone();
                    loaded.places.plugins.extend(place.map(|place| (name.clone(), place)));
                    loaded.paging.insert(name.clone(), section.clone());
                    loaded.plugins.push(config);
                    let receiver = alertmanager.receivers.entry(block.receiver.clone()).or_default();
                    receiver.push(Route { plugin: name, ..route });
                }
                Err(what) => {
                    errors.push(loaded.at(place, &format!("alertmanager.receivers.{section}"), what));
                }
            }
        }
    }
    match prelude(&alertmanager, folder) {
        Ok(prelude) => {
            check_texts(loaded, &alertmanager, &prelude, errors);
            loaded.templates = Some(prelude);
        }
        Err(what) => errors.push(loaded.at(place, "alertmanager.templates", what)),
    }
    loaded.alertmanager = Some(alertmanager);
}

fn expand_one(
    loaded: &Loaded,
    alertmanager: &AlertmanagerConfig,
    block: &ReceiverBlock,
    entry: &Value,
    folder: &Path,
) -> Result<(PluginConfig, Route), String> {
    let Value::Object(entry) = entry else {
        return Err("an entry must be a map of keys and values".to_owned());
    };
    let mut entry = entry.clone();
    let kind = KINDS.iter().find(|kind| kind.name == block.kind).unwrap_or(&OTHER);
    inherit(&mut entry, kind, alertmanager);
    let send_resolved = match entry.remove("send_resolved") {
        None | Some(Value::Null) => !NOT_RESOLVED.contains(&block.kind),
        Some(Value::Bool(send)) => send,
        Some(_) => return Err("send_resolved must be true or false".to_owned()),
    };
    if entry.get("timeout").and_then(Value::as_str) == Some("0s") {
        // Alertmanager's way to say that there is no limit but the group's.
        entry.remove("timeout");
    }
    let plugin = plugin_of(block.kind);
    // Not one that another entry stands for, whose secrets are its own.
    let is_written = |config: &&PluginConfig| !loaded.paging.contains_key(&config.name);
    let template = loaded.plugins.iter().filter(is_written).find(|config| config.plugin == plugin);
    let mut grants = template.map_or_else(Grants::default, |template| template.grants.clone());
    let mut servers = connections::servers(&without(&entry, kind.secrets));
    for key in kind.secrets {
        let value = entry.remove(*key);
        let file = entry.remove(&format!("{key}_file"));
        let text = |value: &Option<Value>, key: &str| match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("{key} must be a text")),
        };
        let (value, file) = (text(&value, key)?, text(&file, &format!("{key}_file"))?);
        if value.is_some() && file.is_some() {
            return Err(format!("at most one of {key} and {key}_file must be configured"));
        }
        let file = file.map(|file| folder.join(file));
        if kind.url == Some(*key) {
            servers.extend(url_server(key, value.as_deref(), file.as_deref())?);
        }
        if value.is_some() || file.is_some() {
            grants.secrets.push(connections::secret(key, value.as_deref(), file));
        }
    }
    if servers.is_empty() {
        servers.extend(kind.servers.iter().filter_map(|server| server.parse::<HttpGrant>().ok()));
    }
    if let Some(http) = entry.remove("http_config") {
        let Value::Object(mut http) = http else { return Err("http_config must be a map".to_owned()) };
        let of_it = connections::take(&mut http, &servers, folder)?;
        if let Some(key) = http.keys().next() {
            return Err(format!("http_config has no key {key}"));
        }
        grants.secrets.extend(of_it.secrets);
        grants.tls.extend(of_it.tls);
    }
    grants.http.extend(servers);
    (kind.adapt)(&mut entry, &mut grants, folder)?;
    let config = PluginConfig {
        config: entry.into(),
        grants,
        limits: template.map_or(Limits::STANDARD, |template| template.limits.clone()),
        ..PluginConfig::of(plugin)
    };
    Ok((config, Route { plugin: String::new(), send_resolved, max_alerts: 0 }))
}

fn as_written(_: &mut Map<String, Value>, _: &mut Grants, _: &Path) -> Result<(), String> {
    Ok(())
}

/// PagerDuty's integrations of the first version are not spoken to.
fn events_v2(entry: &mut Map<String, Value>, _: &mut Grants, _: &Path) -> Result<(), String> {
    if ["service_key", "service_key_file"].into_iter().any(|key| entry.contains_key(key)) {
        let what = "service_key is for PagerDuty's Events API v1, which is not supported: add an integration of Events API v2 to the service, and set its routing_key";
        return Err(what.to_owned());
    }
    Ok(())
}

/// What mail needs beyond that: its server, the names of its secrets, and authorities as text, as guests read no files.
fn mail(entry: &mut Map<String, Value>, grants: &mut Grants, folder: &Path) -> Result<(), String> {
    if let Some(host) = entry.get("smarthost").and_then(Value::as_str) {
        let server = host.parse().or_else(|_| format!("{host}:{SMTP_PORT}").parse::<NetGrant>());
        grants.net.push(server.map_err(|error| format!("smarthost: {error}"))?);
    }
    for key in ["auth_password", "auth_secret"] {
        if grants.secrets.iter().any(|secret| secret.name == key) {
            entry.insert(format!("{key}_secret"), key.into());
        }
    }
    if let Some(Value::Object(tls)) = entry.get_mut("tls_config")
        && let Some(file) = tls.remove("ca_file")
    {
        let file = folder.join(file.as_str().ok_or("tls_config.ca_file must be a text")?);
        let text = std::fs::read_to_string(&file)
            .map_err(|error| format!("tls_config.ca_file: read {}: {error}", file.display()))?;
        tls.insert("ca".to_owned(), text.into());
    }
    Ok(())
}

/// Fills in what `global` says where the entry says nothing.
fn inherit(entry: &mut Map<String, Value>, kind: &Kind, alertmanager: &AlertmanagerConfig) {
    let is_told = |entry: &Map<String, Value>, key: &str| {
        entry.contains_key(key) || entry.contains_key(&format!("{key}_file"))
    };
    // A bot's token of its own is in the place of everybody's webhook.
    let bot = kind.name == "slack" && is_told(entry, "app_token");
    let hook = kind.name == "slack" && is_told(entry, "api_url");
    for (key, global) in kind.globals {
        if is_told(entry, key) || (bot && *key == "api_url") || (hook && *key == "app_token") {
            continue;
        }
        for end in ["", "_file"] {
            if let Some(value) = alertmanager.settings.get(&format!("{global}{end}")) {
                entry.insert(format!("{key}{end}"), value.clone());
            }
        }
    }
    if let Some(http) = alertmanager.settings.get("http_config").filter(|_| kind.name != "email") {
        entry.entry("http_config").or_insert_with(|| http.clone());
    }
}

fn without(entry: &Map<String, Value>, keys: &[&str]) -> Map<String, Value> {
    entry
        .iter()
        .filter(|(key, _)| !keys.contains(&key.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

/// The server of a URL that is a secret. One in a file is read for it now: a grant is made before a message is sent.
fn url_server(key: &str, value: Option<&str>, file: Option<&Path>) -> Result<Option<HttpGrant>, String> {
    let url = match (value, file) {
        (Some(value), _) => value.to_owned(),
        (None, Some(file)) => std::fs::read_to_string(file)
            .map_err(|error| format!("{key}_file: read {}: {error}", file.display()))?,
        (None, None) => return Ok(None),
    };
    match connections::server(&url) {
        Some(server) if url.contains("://") => Ok(Some(server)),
        _ => Err(format!("{key} is no URL of a server")),
    }
}

/// The templates that all texts may call.
fn prelude(alertmanager: &AlertmanagerConfig, folder: &Path) -> Result<Prelude, String> {
    let mut prelude = Prelude::standard().map_err(|error| error.to_string())?;
    for pattern in &alertmanager.templates {
        for file in files::named(folder, pattern)? {
            let text = std::fs::read_to_string(&file)
                .map_err(|error| format!("read {}: {error}", file.display()))?;
            prelude.add(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        }
    }
    Ok(prelude)
}

/// Checks the texts of all plugins that receivers notify.
fn check_texts(
    loaded: &Loaded,
    alertmanager: &AlertmanagerConfig,
    prelude: &Prelude,
    errors: &mut Vec<FileError>,
) {
    let told: std::collections::BTreeSet<&str> =
        alertmanager.receivers.values().flatten().map(|route| route.plugin.as_str()).collect();
    for config in loaded.plugins.iter().filter(|config| told.contains(config.name.as_str())) {
        for (pointer, text) in texts(&config.config) {
            if let Err(error) = NotificationTemplate::parse(text, prelude) {
                errors.push(loaded.plugin_error(
                    &config.name,
                    "plugins.config",
                    format!("text {pointer}: {error}"),
                ));
            }
        }
    }
}

/// The templates of a configuration, each with a JSON pointer to it.
pub(crate) fn texts(config: &Value) -> Vec<(String, &str)> {
    fn walk<'a>(value: &'a Value, pointer: &str, found: &mut Vec<(String, &'a str)>) {
        match value {
            Value::String(text) if text.contains("{{") => found.push((pointer.to_owned(), text)),
            Value::Array(values) => {
                for (at, value) in values.iter().enumerate() {
                    walk(value, &format!("{pointer}/{at}"), found);
                }
            }
            Value::Object(keys) => {
                for (key, value) in keys {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    walk(value, &format!("{pointer}/{key}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(config, "", &mut found);
    found
}

#[cfg(test)]
mod tests;
