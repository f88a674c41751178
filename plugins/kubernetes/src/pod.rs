//! Role `pod`: a target for each port of each container, and one for a container that declares none. Endpoints are
//! backed by pods, and have their labels as well.

use std::collections::BTreeMap;

use stormglass_sdk::{Result, Target, TargetGroup};

use crate::api::Api;
use crate::labels::{Labels, host_port};
use crate::objects::{Container, ContainerPort, Pod, Reference};
use crate::{Attached, CORE, Role, group};

pub(crate) fn groups(api: &Api<'_>, attached: &Attached) -> Result<Vec<TargetGroup>> {
    let pods: Vec<Pod> = api.list(CORE, "pods", Role::Pod)?;
    Ok(pods.iter().map(|pod| of_pod(pod, attached)).collect())
}

fn of_pod(pod: &Pod, attached: &Attached) -> TargetGroup {
    let mut labels = attached.of_namespace(&pod.metadata.namespace);
    labels.extend(&pod_labels(pod));
    attached.put_node(&pod.spec.node_name, &mut labels);
    let ip = &pod.status.pod_ip;
    let mut targets = Vec::new();
    // A pod that waits for its address cannot be reached yet.
    for (container, init) in containers(pod).filter(|_| !ip.is_empty()) {
        let target = |port: Option<&ContainerPort>, address: String| {
            let mut labels = Labels::default();
            labels.put_container(container, init, port);
            let statuses =
                if init { &pod.status.init_container_statuses } else { &pod.status.container_statuses };
            let id = statuses.iter().find(|status| status.name == container.name);
            labels.put("pod_container_id", id.map_or("", |status| &status.container_id));
            labels.target(address)
        };
        if container.ports.is_empty() {
            let host = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
            targets.push(target(None, host));
        }
        targets.extend(
            container.ports.iter().map(|port| target(Some(port), host_port(ip, port.container_port))),
        );
    }
    group(format!("pod/{}/{}", pod.metadata.namespace, pod.metadata.name), labels, targets)
}

/// Containers with whether they run before the others.
fn containers(pod: &Pod) -> impl Iterator<Item = (&Container, bool)> {
    let ordinary = pod.spec.containers.iter().map(|container| (container, false));
    ordinary.chain(pod.spec.init_containers.iter().map(|container| (container, true)))
}

/// The labels of a pod, without its namespace.
fn pod_labels(pod: &Pod) -> Labels {
    let mut labels = Labels::default();
    labels.put("pod_name", &pod.metadata.name);
    labels.put("pod_ip", &pod.status.pod_ip);
    let ready = pod.status.conditions.iter().find(|condition| condition.kind == "Ready");
    labels.put("pod_ready", ready.map_or("unknown".to_owned(), |ready| ready.status.to_lowercase()));
    labels.put("pod_phase", &pod.status.phase);
    labels.put("pod_node_name", &pod.spec.node_name);
    labels.put("pod_host_ip", &pod.status.host_ip);
    labels.put("pod_uid", &pod.metadata.uid);
    if let Some(owner) = pod.metadata.owner_references.iter().find(|owner| owner.controller) {
        labels.put_filled("pod_controller_kind", &owner.kind);
        labels.put_filled("pod_controller_name", &owner.name);
    }
    labels.put_meta("pod", &pod.metadata);
    labels
}

/// The pods that endpoints may be backed by.
pub(crate) struct Pods(BTreeMap<(String, String), Pod>);

/// Pods that an object's endpoints have been backed by, each with the ports that were targets.
pub(crate) type Seen<'a> = BTreeMap<(&'a str, &'a str), (&'a Pod, Vec<u16>)>;

impl Pods {
    pub(crate) fn read(api: &Api<'_>) -> Result<Self> {
        let pods: Vec<Pod> = api.list(CORE, "pods", Role::Pod)?;
        let named =
            pods.into_iter().map(|pod| ((pod.metadata.namespace.clone(), pod.metadata.name.clone()), pod));
        Ok(Self(named.collect()))
    }

    /// Adds what is known of the pod that an endpoint refers to, and notes the port.
    pub(crate) fn put<'a>(
        &'a self,
        reference: Option<&Reference>,
        port: Option<u16>,
        labels: &mut Labels,
        seen: &mut Seen<'a>,
    ) {
        let Some(reference) = reference.filter(|reference| reference.kind == "Pod") else { return };
        let key = (reference.namespace.clone(), reference.name.clone());
        let Some(pod) = self.0.get(&key) else { return };
        labels.extend(&pod_labels(pod));
        let key = (pod.metadata.namespace.as_str(), pod.metadata.name.as_str());
        seen.entry(key).or_insert_with(|| (pod, Vec::new())).1.extend(port);
        let Some(number) = port else { return };
        let found = containers(pod).find_map(|(container, init)| {
            let port = container.ports.iter().find(|port| port.container_port == number)?;
            Some((container, init, port))
        });
        if let Some((container, init, port)) = found {
            labels.put_container(container, init, Some(port));
        }
    }

    /// Targets for the ports of those pods that are no endpoints.
    pub(crate) fn others(seen: &Seen<'_>, attached: &Attached) -> Vec<Target> {
        let mut targets = Vec::new();
        for (pod, known) in seen.values().filter(|(pod, _)| !pod.status.pod_ip.is_empty()) {
            for (container, init) in containers(pod) {
                for port in container.ports.iter().filter(|port| !known.contains(&port.container_port)) {
                    let mut labels = Labels::default();
                    labels.put_container(container, init, Some(port));
                    labels.extend(&pod_labels(pod));
                    attached.put_node(&pod.spec.node_name, &mut labels);
                    targets.push(labels.target(host_port(&pod.status.pod_ip, port.container_port)));
                }
            }
        }
        targets
    }
}
