//! Labels under Prometheus' names, and addresses.

use std::collections::BTreeMap;

use stormglass_sdk::{Label, Target};

use crate::objects::{Container, ContainerPort, Meta};

/// What every label begins with.
pub(crate) const META: &str = "__meta_kubernetes_";

/// Labels in the making.
#[derive(Debug, Clone, Default)]
pub(crate) struct Labels(Vec<Label>);

impl Labels {
    /// Adds a label; the name is what follows [`META`].
    pub(crate) fn put(&mut self, name: &str, value: impl Into<String>) {
        self.0.push(Label::new(format!("{META}{name}"), value));
    }

    /// Adds a label where there is a value.
    pub(crate) fn put_some(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    /// Adds a label where the value is not empty.
    pub(crate) fn put_filled(&mut self, name: &str, value: &str) {
        self.put_some(name, Some(value).filter(|value| !value.is_empty()));
    }

    /// Adds labels and annotations of an object of this role.
    pub(crate) fn put_meta(&mut self, role: &str, meta: &Meta) {
        self.put_map(&format!("{role}_label"), &meta.labels);
        self.put_map(&format!("{role}_annotation"), &meta.annotations);
    }

    /// Adds each entry, and that it is there.
    pub(crate) fn put_map(&mut self, prefix: &str, map: &BTreeMap<String, String>) {
        for (name, value) in map {
            let name = sanitized(name);
            self.put(&format!("{prefix}_{name}"), value);
            self.put(&format!("{prefix}present_{name}"), "true");
        }
    }

    /// Adds a container and, where it is about one, its port.
    pub(crate) fn put_container(&mut self, container: &Container, init: bool, port: Option<&ContainerPort>) {
        self.put("pod_container_name", &container.name);
        self.put("pod_container_image", &container.image);
        self.put("pod_container_init", init.to_string());
        if let Some(port) = port {
            self.put("pod_container_port_name", &port.name);
            self.put("pod_container_port_number", port.container_port.to_string());
            self.put("pod_container_port_protocol", protocol(&port.protocol));
        }
    }

    pub(crate) fn extend(&mut self, others: &Self) {
        self.0.extend(others.0.iter().cloned());
    }

    pub(crate) fn into_vec(self) -> Vec<Label> {
        self.0
    }

    pub(crate) fn target(self, address: impl Into<String>) -> Target {
        Target { address: address.into(), labels: self.0 }
    }
}

impl From<Label> for Labels {
    fn from(label: Label) -> Self {
        Self(vec![label])
    }
}

/// The protocol, which the API leaves out where it is TCP.
pub(crate) fn protocol(written: &str) -> &str {
    if written.is_empty() { "TCP" } else { written }
}

/// Host and port, with brackets around an IPv6 address.
pub(crate) fn host_port(host: &str, port: impl std::fmt::Display) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The name with an underscore for all that may not be in the name of a label.
pub(crate) fn sanitized(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}
