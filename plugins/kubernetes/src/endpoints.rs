//! Role `endpoints`: a target for each address and port of each service's endpoints, and for the other ports of the
//! pods that are behind them.

use stormglass_sdk::{Result, TargetGroup};

use crate::api::Api;
use crate::labels::{Labels, host_port, protocol};
use crate::objects::{EndpointAddress, Endpoints, ServicePort};
use crate::pod::{Pods, Seen};
use crate::service::Services;
use crate::{Attached, CORE, Role, group};

pub(crate) fn groups(api: &Api<'_>, attached: &Attached) -> Result<Vec<TargetGroup>> {
    let (services, pods) = (Services::read(api)?, Pods::read(api)?);
    let all: Vec<Endpoints> = api.list(CORE, "endpoints", Role::Endpoints)?;
    Ok(all.iter().map(|endpoints| of_endpoints(endpoints, &services, &pods, attached)).collect())
}

fn of_endpoints(endpoints: &Endpoints, services: &Services, pods: &Pods, attached: &Attached) -> TargetGroup {
    let (name, namespace) = (&endpoints.metadata.name, &endpoints.metadata.namespace);
    let mut labels = attached.of_namespace(namespace);
    labels.put("endpoints_name", name);
    services.put(namespace, name, &mut labels);
    labels.put_meta("endpoints", &endpoints.metadata);
    let (mut targets, mut seen) = (Vec::new(), Seen::new());
    for subset in &endpoints.subsets {
        for port in &subset.ports {
            let sorts = [(&subset.addresses, true), (&subset.not_ready_addresses, false)];
            for (address, ready) in
                sorts.iter().flat_map(|(list, ready)| list.iter().map(move |a| (a, *ready)))
            {
                let mut labels = endpoint_labels(address, port, ready);
                pods.put(address.target_ref.as_ref(), Some(port.port), &mut labels, &mut seen);
                attached.put_node(address.node_name.as_deref().unwrap_or_default(), &mut labels);
                targets.push(labels.target(host_port(&address.ip, port.port)));
            }
        }
    }
    targets.extend(Pods::others(&seen, attached));
    group(format!("endpoints/{namespace}/{name}"), labels, targets)
}

fn endpoint_labels(address: &EndpointAddress, port: &ServicePort, ready: bool) -> Labels {
    let mut labels = Labels::default();
    labels.put("endpoint_port_name", &port.name);
    labels.put("endpoint_port_protocol", protocol(&port.protocol));
    labels.put("endpoint_ready", ready.to_string());
    if let Some(reference) = &address.target_ref {
        labels.put("endpoint_address_target_kind", &reference.kind);
        labels.put("endpoint_address_target_name", &reference.name);
    }
    labels.put_some("endpoint_node_name", address.node_name.as_deref());
    labels.put_filled("endpoint_hostname", &address.hostname);
    labels
}
