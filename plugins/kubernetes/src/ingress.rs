//! Role `ingress`: a target for each path of each rule, for probes from outside.

use stormglass_sdk::{Result, TargetGroup};

use crate::api::Api;
use crate::labels::Labels;
use crate::objects::{Ingress, IngressRule};
use crate::{Attached, Role, group};

const NETWORKING: &str = "/apis/networking.k8s.io/v1";

pub(crate) fn groups(api: &Api<'_>, attached: &Attached) -> Result<Vec<TargetGroup>> {
    let all: Vec<Ingress> = api.list(NETWORKING, "ingresses", Role::Ingress)?;
    Ok(all.iter().map(|ingress| of_ingress(ingress, attached)).collect())
}

fn of_ingress(ingress: &Ingress, attached: &Attached) -> TargetGroup {
    let (name, namespace) = (&ingress.metadata.name, &ingress.metadata.namespace);
    let mut labels = attached.of_namespace(namespace);
    labels.put("ingress_name", name);
    labels.put_some("ingress_class_name", ingress.spec.ingress_class_name.as_deref());
    labels.put_meta("ingress", &ingress.metadata);
    let mut targets = Vec::new();
    // A rule without a host is about all hosts, of which none can be asked.
    for rule in ingress.spec.rules.iter().filter(|rule| !rule.host.is_empty()) {
        let encrypted = ingress
            .spec
            .tls
            .iter()
            .flat_map(|tls| &tls.hosts)
            .any(|pattern| matches_host(pattern, &rule.host));
        for path in paths(rule) {
            let mut labels = Labels::default();
            labels.put("ingress_scheme", if encrypted { "https" } else { "http" });
            labels.put("ingress_host", &rule.host);
            labels.put("ingress_path", path);
            targets.push(labels.target(&rule.host));
        }
    }
    group(format!("ingress/{namespace}/{name}"), labels, targets)
}

/// A rule without paths is about all of them.
fn paths(rule: &IngressRule) -> Vec<&str> {
    let Some(http) = &rule.http else { return vec!["/"] };
    let named = http.paths.iter().map(|path| if path.path.is_empty() { "/" } else { path.path.as_str() });
    let named: Vec<_> = named.collect();
    if named.is_empty() { vec!["/"] } else { named }
}

/// Whether a host is what a certificate is for: the same, or below a wildcard in the place of its first part.
fn matches_host(pattern: &str, host: &str) -> bool {
    match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(domain), Some((_, rest))) => domain == rest,
        _ => pattern == host,
    }
}
