//! Scrape targets from a Consul catalog, as Prometheus' `consul_sd_configs` finds them: the services of the catalog that
//! are wanted, and of each its instances with their health, by Consul's HTTP API.
//!
//! Options and labels are Prometheus'. The catalog is asked at each refresh rather than waited on. The ACL token is sent by
//! the server, which keeps it from the plugin.

mod api;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use stormglass_sdk::http::Timeout;
use stormglass_sdk::{
    ConfigDuration, Discoverer, Label, Plugin, Result, Snapshot, Target, TargetGroup, Wish, discoverer,
};

use api::{Api, Instance};

/// What every label of ours begins with.
const META: &str = "__meta_consul_";

/// How often the catalog is asked where the configuration does not say, as often as Prometheus does.
const REFRESH_INTERVAL: Duration = Duration::from_secs(30);

/// The `config:` of the plugin's entry.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `host:port`.
    #[serde(default = "localhost")]
    server: String,
    #[serde(default = "http")]
    scheme: String,
    /// Stands before the paths of the API.
    #[serde(default)]
    path_prefix: String,
    datacenter: Option<String>,
    namespace: Option<String>,
    partition: Option<String>,
    /// Which services; all if empty.
    #[serde(default)]
    services: Vec<String>,
    /// Tags that a service must have.
    #[serde(default)]
    tags: Vec<String>,
    /// Metadata that a service's node must have.
    #[serde(default)]
    node_meta: BTreeMap<String, String>,
    /// An expression of the catalog's.
    filter: Option<String>,
    /// An expression of the health API's.
    health_filter: Option<String>,
    #[serde(default = "comma")]
    tag_separator: String,
    #[serde(default = "yes")]
    allow_stale: bool,
    refresh_interval: Option<ConfigDuration>,
    #[serde(default)]
    timeout: Timeout,
}

fn localhost() -> String {
    "localhost:8500".to_owned()
}

fn http() -> String {
    "http".to_owned()
}

fn comma() -> String {
    ",".to_owned()
}

const fn yes() -> bool {
    true
}

/// The plugin.
pub struct Consul {
    config: Config,
    api: Api,
    /// What the agent has said where it is, if the configuration does not.
    datacenter: Option<String>,
}

impl Plugin for Consul {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = include_str!("schema.json");

    const WISHES: &'static [Wish] =
        &[Wish { capability: "http", target: "`server`", reason: "ask the catalog for services" }];

    fn init(config: Config) -> Result<Self> {
        let api = Api::new(&config);
        Ok(Self { datacenter: config.datacenter.clone(), config, api })
    }
}

impl Discoverer for Consul {
    fn poll(&mut self) -> Result<Snapshot> {
        let datacenter = match &self.datacenter {
            Some(datacenter) => datacenter.clone(),
            None => self.datacenter.insert(self.api.datacenter()?).clone(),
        };
        let groups = self
            .services()?
            .into_iter()
            .map(|service| {
                let instances = self.api.instances(&service)?;
                Ok(TargetGroup {
                    targets: instances.iter().map(|instance| self.target(instance)).collect(),
                    labels: vec![
                        Label::new(format!("{META}service"), service.as_str()),
                        Label::new(format!("{META}dc"), datacenter.as_str()),
                    ],
                    source: service,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let wait = self.config.refresh_interval.map_or(REFRESH_INTERVAL, |interval| interval.0);
        Ok(Snapshot::new(groups).poll_after(wait))
    }
}

impl Consul {
    /// The names of the services that are wanted. The catalog is not asked where names alone decide.
    fn services(&self) -> Result<Vec<String>> {
        let Config { services, tags, .. } = &self.config;
        if !services.is_empty() && tags.is_empty() {
            let mut names = services.clone();
            names.sort();
            names.dedup();
            return Ok(names);
        }
        let wanted = |(name, has): &(String, Vec<String>)| {
            (services.is_empty() || services.contains(name)) && tags.iter().all(|tag| has.contains(tag))
        };
        Ok(self.api.services()?.into_iter().filter(wanted).map(|(name, _)| name).collect())
    }

    fn target(&self, instance: &Instance) -> Target {
        let Instance { node, service, .. } = instance;
        let host = if service.address.is_empty() { &node.address } else { &service.address };
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let separator = &self.config.tag_separator;
        let mut target = Target::new(format!("{host}:{}", service.port));
        let mut put =
            |name: String, value: &str| target.labels.push(Label::new(format!("{META}{name}"), value));
        put("address".into(), &node.address);
        put("node".into(), &node.node);
        put("namespace".into(), &service.namespace);
        put("partition".into(), &service.partition);
        // With one on either side as well, so that a pattern need not care where a tag stands.
        put("tags".into(), &format!("{separator}{}{separator}", service.tags.join(separator)));
        put("service_address".into(), &service.address);
        put("service_port".into(), &service.port.to_string());
        put("service_id".into(), &service.id);
        put("health".into(), instance.health());
        let maps = [("metadata_", &node.meta), ("service_metadata_", &service.meta)];
        for (prefix, map) in maps {
            for (name, value) in map {
                put(format!("{prefix}{}", sanitized(name)), value);
            }
        }
        for (name, value) in &node.tagged_addresses {
            put(format!("tagged_address_{}", sanitized(name)), value);
        }
        target
    }
}

/// The name with an underscore for all that may not be in the name of a label.
fn sanitized(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

discoverer!(Consul);

#[cfg(test)]
mod tests;
