//! Consul's HTTP API, as far as it tells of services: what is asked, and what of the answers counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use stormglass_sdk::http::{Request, Timeout, escaped};
use stormglass_sdk::{Context, Result};

use crate::Config;

/// Asks one agent.
pub(crate) struct Api {
    /// Scheme, server and what stands before the paths.
    base: String,
    /// What the question for services has behind its `?`.
    services: String,
    /// What the question for instances has behind its `?`.
    instances: String,
    timeout: Timeout,
}

impl Api {
    pub(crate) fn new(config: &Config) -> Self {
        let prefix = config.path_prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        let mut scope = String::new();
        for (name, value) in
            [("dc", &config.datacenter), ("ns", &config.namespace), ("partition", &config.partition)]
        {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                parameter(&mut scope, name, value);
            }
        }
        for (name, value) in &config.node_meta {
            parameter(&mut scope, "node-meta", &format!("{name}:{value}"));
        }
        if config.allow_stale {
            parameter(&mut scope, "stale", "");
        }
        let (mut services, mut instances) = (scope.clone(), scope);
        if let Some(filter) = &config.filter {
            parameter(&mut services, "filter", filter);
        }
        for tag in &config.tags {
            parameter(&mut instances, "tag", tag);
        }
        if let Some(filter) = &config.health_filter {
            parameter(&mut instances, "filter", filter);
        }
        let base = format!("{}://{}{prefix}", config.scheme, config.server);
        Self { base, services, instances, timeout: config.timeout }
    }

    /// The datacenter that the agent is in.
    pub(crate) fn datacenter(&self) -> Result<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Agent {
            config: AgentConfig,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct AgentConfig {
            datacenter: String,
        }
        Ok(self.get::<Agent>("/v1/agent/self", "")?.config.datacenter)
    }

    /// The services of the catalog with their tags.
    pub(crate) fn services(&self) -> Result<BTreeMap<String, Vec<String>>> {
        self.get("/v1/catalog/services", &self.services)
    }

    /// The instances of a service.
    pub(crate) fn instances(&self, service: &str) -> Result<Vec<Instance>> {
        self.get(&format!("/v1/health/service/{}", escaped(service)), &self.instances)
    }

    fn get<T: serde::de::DeserializeOwned>(&self, path: &str, parameters: &str) -> Result<T> {
        let separator = if parameters.is_empty() { "" } else { "?" };
        let url = format!("{}{path}{separator}{parameters}", self.base);
        let request = Request::get(&url).header("Accept", "application/json").timeout(self.timeout);
        let doing = format!("get {url}");
        request.send().context(&doing)?.error_for_status().context(&doing)?.json().context(&doing)
    }
}

fn parameter(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(name);
    if !value.is_empty() {
        query.push('=');
        query.push_str(&escaped(value));
    }
}

/// An instance of a service. Go writes empty lists and maps as `null`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Instance {
    pub(crate) node: Node,
    pub(crate) service: Service,
    #[serde(default, deserialize_with = "or_empty")]
    pub(crate) checks: Vec<Check>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Node {
    pub(crate) node: String,
    pub(crate) address: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub(crate) meta: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_empty")]
    pub(crate) tagged_addresses: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Service {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) address: String,
    pub(crate) port: u16,
    #[serde(default, deserialize_with = "or_empty")]
    pub(crate) tags: Vec<String>,
    #[serde(default, deserialize_with = "or_empty")]
    pub(crate) meta: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) namespace: String,
    #[serde(default)]
    pub(crate) partition: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Check {
    #[serde(rename = "CheckID", default)]
    id: String,
    #[serde(default)]
    status: String,
}

impl Instance {
    /// The worst of what its checks say; maintenance is worse than all.
    pub(crate) fn health(&self) -> &'static str {
        let is_maintained =
            |check: &Check| check.id == "_node_maintenance" || check.id.starts_with("_service_maintenance:");
        if self.checks.iter().any(is_maintained) {
            return "maintenance";
        }
        let worst = ["critical", "warning"];
        let is = |status: &str| self.checks.iter().any(|check| check.status == status);
        worst.into_iter().find(|status| is(status)).unwrap_or("passing")
    }
}

fn or_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
