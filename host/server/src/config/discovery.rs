//! `*_sd_configs` that are not built in: each entry stands for the discoverer plugin of that name.
//!
//! An entry is the plugin's configuration, as it is written but for what the host keeps to itself: how to connect, with
//! credentials and certificates. What the plugin may reach is what the entry itself names as a server, and what the
//! section `plugins` grants a plugin of that name, if there is one.

use std::path::Path;

use plugin::{DnsGrant, Grants, HttpGrant, Limits, NetGrant, PluginConfig, SecretHeader};
use serde_json::{Map, Value};

use super::{Loaded, connections};
use crate::yaml::FileError;

/// Adds the plugins of all jobs to those that are configured.
pub(super) fn expand(loaded: &mut Loaded, folder: &Path, errors: &mut Vec<FileError>) {
    let mut found = Vec::new();
    for job in loaded.scrape_configs.iter().chain(&loaded.sought) {
        let place = loaded.places.jobs.get(&job.job_name).copied();
        for block in &job.sd_blocks {
            let mechanism = &block.mechanism;
            let template = loaded.plugins.iter().find(|config| config.plugin == *mechanism);
            for (at, config) in block.configs.iter().enumerate() {
                let mut grants = template.map_or_else(Grants::default, |template| template.grants.clone());
                let mut default = DISCOVERY_EVERY;
                if mechanism == DNS {
                    default = DNS_EVERY;
                    grants
                        .dns
                        .extend(texts(config, "names").filter_map(|name| name.parse::<DnsGrant>().ok()));
                    grants
                        .net
                        .extend(texts(config, "server").filter_map(|name| name.parse::<NetGrant>().ok()));
                }
                let (config, of_it) = match entry(mechanism, config, folder) {
                    Ok(done) => done,
                    Err(what) => {
                        let key = format!("scrape_configs.{mechanism}_sd_configs");
                        errors.push(loaded.at(place, &key, what));
                        continue;
                    }
                };
                grants.http.extend(of_it.http);
                grants.secrets.extend(of_it.secrets);
                grants.tls.extend(of_it.tls);
                let every = config.get("refresh_interval").and_then(Value::as_str);
                let every =
                    every.and_then(|text| model::parse_duration(text).ok()).filter(|every| !every.is_zero());
                let config = PluginConfig {
                    name: job.source(mechanism, at),
                    interval: every.map_or(default, model::ConfigDuration),
                    config,
                    grants,
                    limits: template.map_or(Limits::STANDARD, |template| template.limits.clone()),
                    ..PluginConfig::of(mechanism)
                };
                found.push((config, mechanism.clone(), place));
            }
        }
    }
    for (config, mechanism, place) in found {
        let name = config.name.clone();
        loaded.places.plugins.extend(place.map(|place| (name.clone(), place)));
        loaded.discovery.insert(name, mechanism);
        loaded.plugins.push(config);
    }
}

/// How often a plugin looks where its entry does not say.
const DISCOVERY_EVERY: model::ConfigDuration = model::ConfigDuration(std::time::Duration::from_secs(60));

/// The plugin that asks the DNS rather than an HTTP server.
const DNS: &str = "dns";

/// How often it looks, as in Prometheus.
const DNS_EVERY: model::ConfigDuration = model::ConfigDuration(std::time::Duration::from_secs(30));

/// The text under a key, or the texts.
fn texts<'a>(config: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    let one = config.get(key).and_then(Value::as_str);
    let many = config.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    one.into_iter().chain(many)
}

/// Where a pod finds the API of its cluster, and who it is there.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The plugin's configuration, and what the entry grants it.
fn entry(mechanism: &str, entry: &Value, folder: &Path) -> Result<(Value, Grants), String> {
    let Value::Object(entry) = entry else {
        return Err("an entry must be a map of keys and values".to_owned());
    };
    let mut entry = entry.clone();
    match mechanism {
        "kubernetes" => kubernetes(&mut entry, |name| std::env::var(name).ok())?,
        "consul" => {
            entry.entry("server").or_insert_with(|| "localhost:8500".into());
            // The older way to write basic authentication.
            if let Some(username) = entry.remove("username") {
                let password = entry.remove("password").unwrap_or_else(|| "".into());
                entry.insert(
                    "basic_auth".to_owned(),
                    serde_json::json!({"username": username, "password": password}),
                );
            }
        }
        _ => {}
    }
    let servers = if mechanism == DNS { Vec::new() } else { connections::servers(&entry) };
    let mut grants = connections::take(&mut entry, &servers, folder)?;
    if mechanism == "consul" {
        consul_token(&mut entry, &servers, &mut grants)?;
    }
    grants.http = servers;
    Ok((entry.into(), grants))
}

/// An entry without a server is of the cluster that we run in.
fn kubernetes(
    entry: &mut Map<String, Value>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(), String> {
    if entry.contains_key("kubeconfig_file") {
        return Err(
            "kubeconfig_file is not supported: set api_server, authorization and tls_config".to_owned()
        );
    }
    if entry.get("api_server").and_then(Value::as_str).is_some_and(|server| !server.is_empty()) {
        return Ok(());
    }
    let (Some(host), Some(port)) = (variable("KUBERNETES_SERVICE_HOST"), variable("KUBERNETES_SERVICE_PORT"))
    else {
        return Err("api_server is missing, and this is no pod that would know its own cluster's".to_owned());
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    entry.insert("api_server".to_owned(), format!("https://{host}:{port}").into());
    entry.insert(
        "authorization".to_owned(),
        serde_json::json!({"credentials_file": format!("{SERVICE_ACCOUNT}/token")}),
    );
    entry
        .insert("tls_config".to_owned(), serde_json::json!({"ca_file": format!("{SERVICE_ACCOUNT}/ca.crt")}));
    Ok(())
}

/// Consul takes its tokens in a header of its own.
fn consul_token(
    entry: &mut Map<String, Value>,
    servers: &[HttpGrant],
    grants: &mut Grants,
) -> Result<(), String> {
    let Some(token) = entry.remove("token") else { return Ok(()) };
    let Value::String(token) = token else { return Err("token must be a text".to_owned()) };
    let header = |server: &HttpGrant| SecretHeader {
        server: server.clone(),
        name: "X-Consul-Token".to_owned(),
        prefix: String::new(),
        username: None,
    };
    grants.secrets.extend(servers.iter().filter(|_| !token.is_empty()).map(|server| {
        let mut secret = connections::secret("token", Some(&token), None);
        secret.header = Some(header(server));
        secret
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn consuls_token_is_sent_by_the_host() {
        let (config, grants) =
            entry("consul", &json!({"token": "t0k", "services": ["a"]}), Path::new("")).unwrap();
        assert_eq!(config, json!({"server": "localhost:8500", "services": ["a"]}));
        assert_eq!(
            serde_json::to_value(&grants).unwrap(),
            json!({
                "files": [],
                "http": ["localhost:8500"],
                "secrets": [{"name": "token",
                    "header": {"server": "localhost:8500", "name": "X-Consul-Token", "prefix": ""}}]
            })
        );
        let old = json!({"server": "c:1", "username": "u", "password": "p"});
        let (config, grants) = entry("consul", &old, Path::new("")).unwrap();
        assert_eq!(config, json!({"server": "c:1"}));
        assert_eq!(grants.secrets[0].header.as_ref().unwrap().username.as_deref(), Some("u"));
    }

    #[test]
    fn a_pod_knows_its_own_cluster() {
        let inside = |name: &str| match name {
            "KUBERNETES_SERVICE_HOST" => Some("fd00::1".to_owned()),
            "KUBERNETES_SERVICE_PORT" => Some("443".to_owned()),
            _ => None,
        };
        let mut entry = Map::from_iter([("role".to_owned(), "pod".into())]);
        kubernetes(&mut entry, inside).unwrap();
        let servers = connections::servers(&entry);
        assert_eq!(serde_json::to_value(&servers).unwrap(), json!(["https://[fd00::1]:443"]));
        let grants = connections::take(&mut entry, &servers, Path::new("/etc")).unwrap();
        assert_eq!(
            grants.secrets[0].file.as_deref(),
            Some(Path::new(SERVICE_ACCOUNT).join("token").as_path())
        );
        assert_eq!(
            grants.tls[0].ca_file.as_deref(),
            Some(Path::new(SERVICE_ACCOUNT).join("ca.crt").as_path())
        );
        let mut outside = Map::from_iter([("role".to_owned(), "pod".into())]);
        assert!(kubernetes(&mut outside, |_| None).unwrap_err().contains("api_server is missing"));
    }
}
