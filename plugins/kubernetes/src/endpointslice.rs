//! Role `endpointslice`: a target for each address and port of each slice, and for the other ports of the pods that are
//! behind them.

use stormglass_sdk::{Result, TargetGroup};

use crate::api::Api;
use crate::labels::{Labels, host_port, protocol, sanitized};
use crate::objects::{Endpoint, EndpointSlice, SlicePort};
use crate::pod::{Pods, Seen};
use crate::service::Services;
use crate::{Attached, Role, group};

const DISCOVERY: &str = "/apis/discovery.k8s.io/v1";
/// The label of a slice that names its service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

pub(crate) fn groups(api: &Api<'_>, attached: &Attached) -> Result<Vec<TargetGroup>> {
    let (services, pods) = (Services::read(api)?, Pods::read(api)?);
    let all: Vec<EndpointSlice> = api.list(DISCOVERY, "endpointslices", Role::EndpointSlice)?;
    Ok(all.iter().map(|slice| of_slice(slice, &services, &pods, attached)).collect())
}

fn of_slice(slice: &EndpointSlice, services: &Services, pods: &Pods, attached: &Attached) -> TargetGroup {
    let (name, namespace) = (&slice.metadata.name, &slice.metadata.namespace);
    let mut labels = attached.of_namespace(namespace);
    labels.put("endpointslice_name", name);
    labels.put("endpointslice_address_type", &slice.address_type);
    if let Some(service) = slice.metadata.labels.get(SERVICE_NAME) {
        services.put(namespace, service, &mut labels);
    }
    labels.put_meta("endpointslice", &slice.metadata);
    let (mut targets, mut seen) = (Vec::new(), Seen::new());
    for port in &slice.ports {
        for endpoint in &slice.endpoints {
            for address in &endpoint.addresses {
                let mut labels = endpoint_labels(endpoint, port);
                pods.put(endpoint.target_ref.as_ref(), port.port, &mut labels, &mut seen);
                attached.put_node(endpoint.node_name.as_deref().unwrap_or_default(), &mut labels);
                targets.push(labels.target(match port.port {
                    Some(port) => host_port(address, port),
                    None => address.clone(),
                }));
            }
        }
    }
    targets.extend(Pods::others(&seen, attached));
    group(format!("endpointslice/{namespace}/{name}"), labels, targets)
}

fn endpoint_labels(endpoint: &Endpoint, port: &SlicePort) -> Labels {
    let mut labels = Labels::default();
    labels.put_some("endpointslice_port_name", port.name.as_deref());
    labels.put_some("endpointslice_port_protocol", port.protocol.as_deref().map(protocol));
    labels.put_some("endpointslice_port", port.port.map(|port| port.to_string()).as_deref());
    labels.put_some("endpointslice_port_app_protocol", port.app_protocol.as_deref());
    let conditions = &endpoint.conditions;
    for (name, holds) in [
        ("ready", conditions.ready),
        ("serving", conditions.serving),
        ("terminating", conditions.terminating),
    ] {
        let holds = holds.map(|holds| holds.to_string());
        labels.put_some(&format!("endpointslice_endpoint_conditions_{name}"), holds.as_deref());
    }
    labels.put_some("endpointslice_endpoint_hostname", endpoint.hostname.as_deref());
    labels.put_some("endpointslice_endpoint_node_name", endpoint.node_name.as_deref());
    labels.put_some("endpointslice_endpoint_zone", endpoint.zone.as_deref());
    if let Some(reference) = &endpoint.target_ref {
        labels.put("endpointslice_address_target_kind", &reference.kind);
        labels.put("endpointslice_address_target_name", &reference.name);
    }
    for (name, value) in &endpoint.deprecated_topology {
        let name = sanitized(name);
        labels.put(&format!("endpointslice_endpoint_topology_{name}"), value);
        labels.put(&format!("endpointslice_endpoint_topology_present_{name}"), "true");
    }
    labels
}
