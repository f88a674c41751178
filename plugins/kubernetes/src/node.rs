//! Role `node`: a target for each node, at the address of its kubelet.

use stormglass_sdk::{Label, Result, TargetGroup};

use crate::api::Api;
use crate::labels::{Labels, host_port, sanitized};
use crate::objects::{Node, NodeAddress};
use crate::{CORE, Role, group};

/// Which kind of address is taken, the first that a node has.
const KINDS: [&str; 6] =
    ["InternalIP", "InternalDNS", "ExternalIP", "ExternalDNS", "LegacyHostIP", "Hostname"];

pub(crate) fn groups(api: &Api<'_>) -> Result<Vec<TargetGroup>> {
    let nodes: Vec<Node> = api.list(CORE, "nodes", Role::Node)?;
    Ok(nodes.iter().filter_map(of_node).collect())
}

/// Nothing for a node without any address: it cannot be reached.
fn of_node(node: &Node) -> Option<TargetGroup> {
    let addresses = &node.status.addresses;
    let first = |kind: &str| addresses.iter().find(|address| address.kind == kind);
    let NodeAddress { address, .. } = KINDS.iter().find_map(|kind| first(kind))?;
    let name = &node.metadata.name;
    let mut labels = Labels::default();
    labels.put("node_name", name);
    labels.put("node_provider_id", &node.spec.provider_id);
    labels.put_meta("node", &node.metadata);
    let mut of_target = Labels::from(Label::new("instance", name));
    for (at, address) in addresses.iter().enumerate() {
        if !addresses[..at].iter().any(|earlier| earlier.kind == address.kind) {
            of_target.put(&format!("node_address_{}", sanitized(&address.kind)), &address.address);
        }
    }
    let port = node.status.daemon_endpoints.kubelet_endpoint.port;
    let target = of_target.target(host_port(address, port));
    Some(group(format!("node/{name}"), labels, vec![target]))
}
