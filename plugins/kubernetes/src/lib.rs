//! Scrape targets in a Kubernetes cluster, as Prometheus' `kubernetes_sd_configs` finds them: by role, which says what a
//! target is, with labels under Prometheus' names.
//!
//! Each refresh lists the objects of the role, page by page, rather than watching them: a change is seen with the next
//! refresh, 30 s later at most unless the configuration says otherwise, and an API server sees a list in place of a
//! connection that stays. The bearer token and the cluster's certificate are the server's business, which keeps both
//! from the plugin.

mod api;
mod endpoints;
mod endpointslice;
mod ingress;
mod labels;
mod node;
mod objects;
mod pod;
mod service;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use stormglass_sdk::http::Timeout;
use stormglass_sdk::{
    ConfigDuration, Discoverer, Error, Plugin, Result, Snapshot, TargetGroup, Wish, discoverer,
};

use api::Api;
use labels::Labels;
use objects::{Namespace, Node};

/// How often the cluster is asked where the configuration does not say.
const REFRESH_INTERVAL: Duration = Duration::from_secs(30);

/// The path of the API of the oldest kinds of objects.
const CORE: &str = "/api/v1";

/// What a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Node,
    Service,
    Pod,
    Endpoints,
    EndpointSlice,
    Ingress,
    /// No role of a configuration: what namespaces are listed as.
    #[serde(skip)]
    Namespace,
}

/// The `config:` of the plugin's entry.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The API server's URL.
    api_server: String,
    role: Role,
    #[serde(default)]
    namespaces: Namespaces,
    #[serde(default)]
    selectors: Vec<Selector>,
    #[serde(default)]
    attach_metadata: AttachMetadata,
    refresh_interval: Option<ConfigDuration>,
    #[serde(default)]
    timeout: Timeout,
}

/// Where to look; everywhere if empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Namespaces {
    names: Vec<String>,
}

/// Which objects count, as the API server selects them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Selector {
    role: Role,
    label: Option<String>,
    field: Option<String>,
}

/// What else targets have labels of.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AttachMetadata {
    node: bool,
    namespace: bool,
}

/// The plugin.
pub struct Kubernetes {
    config: Config,
}

impl Plugin for Kubernetes {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = include_str!("schema.json");

    const WISHES: &'static [Wish] = &[
        Wish { capability: "http", target: "`api_server`", reason: "list what there is" },
        Wish { capability: "secrets", target: "token", reason: "sent by the server as `Authorization`" },
    ];

    fn init(config: Config) -> Result<Self> {
        if let Some(selector) = config.selectors.iter().find(|s| !config.role.reads().contains(&s.role)) {
            let what = format!("{:?} role supports only {:?} selectors", config.role, config.role.reads());
            return Err(Error::permanent(
                format!("selectors: {what}, not {:?}", selector.role).to_lowercase(),
            ));
        }
        Ok(Self { config })
    }
}

impl Role {
    /// Whose objects a role reads.
    fn reads(self) -> &'static [Self] {
        match self {
            Self::Endpoints => &[Self::Pod, Self::Service, Self::Endpoints],
            Self::EndpointSlice => &[Self::Pod, Self::Service, Self::EndpointSlice],
            Self::Node => &[Self::Node],
            Self::Service => &[Self::Service],
            Self::Pod => &[Self::Pod],
            Self::Ingress => &[Self::Ingress],
            Self::Namespace => &[],
        }
    }
}

impl Discoverer for Kubernetes {
    fn poll(&mut self) -> Result<Snapshot> {
        let api = Api::new(&self.config);
        let attached = Attached::read(&api, &self.config)?;
        let groups = match self.config.role {
            Role::Node => node::groups(&api)?,
            Role::Service => service::groups(&api, &attached)?,
            Role::Pod => pod::groups(&api, &attached)?,
            Role::Endpoints => endpoints::groups(&api, &attached)?,
            Role::EndpointSlice => endpointslice::groups(&api, &attached)?,
            Role::Ingress => ingress::groups(&api, &attached)?,
            Role::Namespace => Vec::new(),
        };
        let wait = self.config.refresh_interval.map_or(REFRESH_INTERVAL, |interval| interval.0);
        Ok(Snapshot::new(groups).poll_after(wait))
    }
}

/// Labels of nodes and namespaces, by their names, where targets are to have them.
#[derive(Default)]
struct Attached {
    nodes: BTreeMap<String, Labels>,
    namespaces: BTreeMap<String, Labels>,
}

impl Attached {
    fn read(api: &Api<'_>, config: &Config) -> Result<Self> {
        let mut attached = Self::default();
        let of_pods = matches!(config.role, Role::Pod | Role::Endpoints | Role::EndpointSlice);
        if config.attach_metadata.node && of_pods {
            for node in api.list::<Node>(CORE, "nodes", Role::Node)? {
                let mut labels = Labels::default();
                labels.put_meta("node", &node.metadata);
                attached.nodes.insert(node.metadata.name, labels);
            }
        }
        if config.attach_metadata.namespace && config.role != Role::Node {
            for namespace in api.list::<Namespace>(CORE, "namespaces", Role::Namespace)? {
                let mut labels = Labels::default();
                labels.put_meta("namespace", &namespace.metadata);
                attached.namespaces.insert(namespace.metadata.name, labels);
            }
        }
        Ok(attached)
    }

    /// Adds the labels of a node.
    fn put_node(&self, name: &str, labels: &mut Labels) {
        if let Some(node) = self.nodes.get(name) {
            labels.put("node_name", name);
            labels.extend(node);
        }
    }

    /// A group's labels to begin with: its namespace.
    fn of_namespace(&self, name: &str) -> Labels {
        let mut labels = Labels::default();
        labels.put("namespace", name);
        if let Some(namespace) = self.namespaces.get(name) {
            labels.extend(namespace);
        }
        labels
    }
}

fn group(source: String, labels: Labels, targets: Vec<stormglass_sdk::Target>) -> TargetGroup {
    TargetGroup { source, labels: labels.into_vec(), targets }
}

discoverer!(Kubernetes);

#[cfg(test)]
mod tests;
