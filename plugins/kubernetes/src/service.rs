//! Role `service`: a target for each port of each service, at its name within the cluster. Endpoints belong to services,
//! and have their labels as well.

use std::collections::BTreeMap;

use stormglass_sdk::{Result, TargetGroup};

use crate::api::Api;
use crate::labels::{Labels, protocol};
use crate::objects::Service;
use crate::{Attached, CORE, Role, group};

pub(crate) fn groups(api: &Api<'_>, attached: &Attached) -> Result<Vec<TargetGroup>> {
    let services: Vec<Service> = api.list(CORE, "services", Role::Service)?;
    Ok(services.iter().map(|service| of_service(service, attached)).collect())
}

fn of_service(service: &Service, attached: &Attached) -> TargetGroup {
    let (name, namespace) = (&service.metadata.name, &service.metadata.namespace);
    let mut labels = attached.of_namespace(namespace);
    labels.extend(&service_labels(service));
    let spec = &service.spec;
    let targets = spec.ports.iter().map(|port| {
        let mut labels = Labels::default();
        labels.put("service_port_name", &port.name);
        labels.put("service_port_number", port.port.to_string());
        labels.put("service_port_protocol", protocol(&port.protocol));
        labels.put("service_type", &spec.kind);
        if spec.kind == "ExternalName" {
            labels.put("service_external_name", &spec.external_name);
        } else {
            labels.put("service_cluster_ip", &spec.cluster_ip);
        }
        if spec.kind == "LoadBalancer" {
            labels.put("service_loadbalancer_ip", &spec.load_balancer_ip);
        }
        labels.target(format!("{name}.{namespace}.svc:{}", port.port))
    });
    group(format!("svc/{namespace}/{name}"), labels, targets.collect())
}

/// The labels of a service, without its namespace.
fn service_labels(service: &Service) -> Labels {
    let mut labels = Labels::default();
    labels.put("service_name", &service.metadata.name);
    labels.put_meta("service", &service.metadata);
    labels
}

/// The labels of services, by namespace and name.
pub(crate) struct Services(BTreeMap<(String, String), Labels>);

impl Services {
    pub(crate) fn read(api: &Api<'_>) -> Result<Self> {
        let services: Vec<Service> = api.list(CORE, "services", Role::Service)?;
        let named = services.into_iter().map(|service| {
            let labels = service_labels(&service);
            ((service.metadata.namespace, service.metadata.name), labels)
        });
        Ok(Self(named.collect()))
    }

    /// Adds the labels of a service, if there is one of that name.
    pub(crate) fn put(&self, namespace: &str, name: &str, labels: &mut Labels) {
        if let Some(service) = self.0.get(&(namespace.to_owned(), name.to_owned())) {
            labels.extend(service);
        }
    }
}
