//! `*_sd_configs` that are not built in: each entry stands for the discoverer plugin of that name.
//!
//! An entry is the plugin's configuration, as it is written. What the plugin may reach is what the entry itself names
//! as a server, and what the section `plugins` grants a plugin of that name, if there is one.

use plugin::{DnsGrant, Grants, HttpGrant, Limits, NetGrant, PluginConfig};
use serde_json::Value;

use super::Loaded;
use crate::yaml::FileError;

/// Keys whose values are servers to ask.
const SERVER_KEYS: [&str; 9] = [
    "server",
    "servers",
    "api_server",
    "url",
    "endpoint",
    "address",
    "host",
    "management_endpoint",
    "query_url",
];

/// Adds the plugins of all jobs to those that are configured.
pub(super) fn expand(loaded: &mut Loaded, errors: &mut Vec<FileError>) {
    let mut found = Vec::new();
    for job in loaded.scrape_configs.iter().chain(&loaded.sought) {
        let place = loaded.places.jobs.get(&job.job_name).copied();
        for block in &job.sd_blocks {
            let mechanism = &block.mechanism;
            let template = loaded.plugins.iter().find(|config| config.plugin == *mechanism);
            for (at, config) in block.configs.iter().enumerate() {
                if !config.is_object() {
                    let key = format!("scrape_configs.{mechanism}_sd_configs");
                    errors.push(loaded.at(place, &key, "an entry must be a map of keys and values"));
                    continue;
                }
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
                } else {
                    grants.http.extend(servers(config));
                }
                let every = config.get("refresh_interval").and_then(Value::as_str);
                let every =
                    every.and_then(|text| model::parse_duration(text).ok()).filter(|every| !every.is_zero());
                let config = PluginConfig {
                    name: job.source(mechanism, at),
                    interval: every.map_or(default, model::ConfigDuration),
                    config: config.clone(),
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

/// The servers that an entry names. What cannot be one is left to the plugin to judge.
fn servers(config: &Value) -> Vec<HttpGrant> {
    let mut found = Vec::new();
    for key in SERVER_KEYS {
        for text in texts(config, key) {
            // Only the server counts; a path is not part of a grant.
            let server = match text.split_once("://") {
                Some((scheme, rest)) => format!("{scheme}://{}", rest.split('/').next().unwrap_or_default()),
                None => text.to_owned(),
            };
            found.extend(server.parse::<HttpGrant>());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_grants_the_servers_that_it_names() {
        let check = |config: Value, expected: Value| {
            assert_eq!(serde_json::to_value(servers(&config)).unwrap(), expected, "{config}");
        };
        check(json!({"server": "localhost:8500"}), json!(["localhost:8500"]));
        check(
            json!({"api_server": "https://k8s.local/base", "role": "pod"}),
            json!(["https://k8s.local:443"]),
        );
        check(json!({"servers": ["http://a:1", "b:2"], "url": "unix:///x"}), json!(["http://a:1", "b:2"]));
        check(json!({"names": ["a.b"], "port": 1}), json!([]));
    }
}
