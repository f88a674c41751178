//! Polls of an API server that answers as a cluster does.

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use stormglass_sdk::http::Request;
use stormglass_sdk::testing::{self, Host, init, response};

use super::*;
use crate::labels::META;

/// What each list of the cluster holds, by its path.
fn items(path: &str) -> Vec<Value> {
    let pod_ref = json!({"kind": "Pod", "namespace": "shop", "name": "web-1"});
    match path {
        "/api/v1/nodes" => vec![json!({
            "metadata": {"name": "n1", "labels": {"kubernetes.io/arch": "arm64"}, "annotations": null},
            "spec": {"providerID": "aws:///i-1"},
            "status": {
                "addresses": [
                    {"type": "Hostname", "address": "n1.local"},
                    {"type": "InternalIP", "address": "10.0.0.1"},
                    {"type": "InternalIP", "address": "fd00::1"}
                ],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}
            }
        })],
        "/api/v1/namespaces" => vec![json!({"metadata": {"name": "shop", "labels": {"team": "a"}}})],
        "/api/v1/pods" | "/api/v1/namespaces/shop/pods" => vec![
            json!({
                "metadata": {
                    "name": "web-1", "namespace": "shop", "uid": "u-1", "labels": {"app": "web"},
                    "annotations": {"prometheus.io/scrape": "true"},
                    "ownerReferences": [{"kind": "ReplicaSet", "name": "web-5d", "controller": true}]
                },
                "spec": {
                    "nodeName": "n1",
                    "containers": [
                        {"name": "web", "image": "web:1", "ports": [
                            {"name": "http", "containerPort": 8080, "protocol": "TCP"},
                            {"name": "metrics", "containerPort": 9090}
                        ]},
                        {"name": "sidecar", "image": "side:1"}
                    ],
                    "initContainers": [{"name": "init", "image": "init:1"}]
                },
                "status": {
                    "phase": "Running", "podIP": "10.1.0.5", "hostIP": "10.0.0.1",
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "containerStatuses": [{"name": "web", "containerID": "containerd://c1"}]
                }
            }),
            json!({
                "metadata": {"name": "waiting", "namespace": "shop"},
                "spec": {"containers": [{"name": "a", "image": "b"}]},
                "status": {"phase": "Pending"}
            }),
        ],
        "/api/v1/services" => vec![json!({
            "metadata": {"name": "web", "namespace": "shop", "labels": {"tier": "front"}},
            "spec": {"type": "LoadBalancer", "clusterIP": "10.2.0.1", "loadBalancerIP": "198.51.100.7",
                "ports": [{"name": "http", "port": 80}]}
        })],
        "/api/v1/endpoints" => vec![json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "subsets": [{
                "addresses": [{"ip": "10.1.0.5", "nodeName": "n1", "targetRef": pod_ref}],
                "notReadyAddresses": [{"ip": "10.1.0.6", "hostname": "h"}],
                "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]
            }]
        })],
        "/apis/discovery.k8s.io/v1/endpointslices" => vec![json!({
            "metadata": {"name": "web-abc", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "endpoints": [{
                "addresses": ["10.1.0.5"], "nodeName": "n1", "zone": "z1", "targetRef": pod_ref,
                "conditions": {"ready": true, "serving": true, "terminating": false}
            }],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP", "appProtocol": "http"}]
        })],
        "/apis/networking.k8s.io/v1/ingresses" => vec![json!({
            "metadata": {"name": "shop", "namespace": "shop", "annotations": {"a/b": "c"}},
            "spec": {
                "ingressClassName": "nginx",
                "tls": [{"hosts": ["*.example.com"]}],
                "rules": [
                    {"host": "shop.example.com", "http": {"paths": [{"path": "/"}, {"path": "/cart"}]}},
                    {"host": "plain.example.org"},
                    {"http": {"paths": [{"path": "/any"}]}}
                ]
            }
        })],
        _ => Vec::new(),
    }
}

/// Answers a list in pages of one object.
fn answer(request: &Request) -> stormglass_sdk::http::Response {
    let (path, query) = request.url.trim_start_matches("https://k8s:6443").split_once('?').unwrap();
    let from =
        query.split('&').find_map(|p| p.strip_prefix("continue=at")).map_or(0, |at| at.parse().unwrap());
    let items = items(path);
    let next = if from + 1 < items.len() { format!("at{}", from + 1) } else { String::new() };
    let page: Vec<_> = items.into_iter().skip(from).take(1).collect();
    let items = if page.is_empty() { Value::Null } else { page.into() };
    response(200, json!({"kind": "List", "metadata": {"continue": next}, "items": items}).to_string())
}

/// The groups as text, and what was asked.
fn poll(config: &str) -> (String, Vec<String>) {
    let config = format!(r#"{{"api_server": "https://k8s:6443/", {config}}}"#);
    let mut plugin: Kubernetes = init(&config).unwrap();
    Host::new().http(|request| Ok(answer(request))).run(|| {
        let text = testing::render_snapshot(&plugin.poll().unwrap()).replace(META, "");
        (text, testing::requests().into_iter().map(|request| request.url).collect())
    })
}

fn check(config: &str, expected: &Expect) {
    expected.assert_eq(&poll(config).0);
}

#[test]
fn nodes() {
    check(
        r#""role": "node""#,
        &expect![[r#"
        node/n1
            node_name=n1
            node_provider_id=aws:///i-1
            node_label_kubernetes_io_arch=arm64
            node_labelpresent_kubernetes_io_arch=true
          10.0.0.1:10250
            instance=n1
            node_address_Hostname=n1.local
            node_address_InternalIP=10.0.0.1
    "#]],
    );
}

#[test]
fn pods() {
    check(
        r#""role": "pod", "attach_metadata": {"node": true, "namespace": true}"#,
        &expect![[r#"
        pod/shop/web-1
            namespace=shop
            namespace_label_team=a
            namespace_labelpresent_team=true
            pod_name=web-1
            pod_ip=10.1.0.5
            pod_ready=true
            pod_phase=Running
            pod_node_name=n1
            pod_host_ip=10.0.0.1
            pod_uid=u-1
            pod_controller_kind=ReplicaSet
            pod_controller_name=web-5d
            pod_label_app=web
            pod_labelpresent_app=true
            pod_annotation_prometheus_io_scrape=true
            pod_annotationpresent_prometheus_io_scrape=true
            node_name=n1
            node_label_kubernetes_io_arch=arm64
            node_labelpresent_kubernetes_io_arch=true
          10.1.0.5:8080
            pod_container_name=web
            pod_container_image=web:1
            pod_container_init=false
            pod_container_port_name=http
            pod_container_port_number=8080
            pod_container_port_protocol=TCP
            pod_container_id=containerd://c1
          10.1.0.5:9090
            pod_container_name=web
            pod_container_image=web:1
            pod_container_init=false
            pod_container_port_name=metrics
            pod_container_port_number=9090
            pod_container_port_protocol=TCP
            pod_container_id=containerd://c1
          10.1.0.5
            pod_container_name=sidecar
            pod_container_image=side:1
            pod_container_init=false
            pod_container_id=
          10.1.0.5
            pod_container_name=init
            pod_container_image=init:1
            pod_container_init=true
            pod_container_id=
        pod/shop/waiting
            namespace=shop
            namespace_label_team=a
            namespace_labelpresent_team=true
            pod_name=waiting
            pod_ip=
            pod_ready=unknown
            pod_phase=Pending
            pod_node_name=
            pod_host_ip=
            pod_uid=
    "#]],
    );
}

#[test]
fn services() {
    check(
        r#""role": "service""#,
        &expect![[r#"
        svc/shop/web
            namespace=shop
            service_name=web
            service_label_tier=front
            service_labelpresent_tier=true
          web.shop.svc:80
            service_port_name=http
            service_port_number=80
            service_port_protocol=TCP
            service_type=LoadBalancer
            service_cluster_ip=10.2.0.1
            service_loadbalancer_ip=198.51.100.7
    "#]],
    );
}

#[test]
fn endpoints() {
    check(
        r#""role": "endpoints""#,
        &expect![[r#"
        endpoints/shop/web
            namespace=shop
            endpoints_name=web
            service_name=web
            service_label_tier=front
            service_labelpresent_tier=true
          10.1.0.5:8080
            endpoint_port_name=http
            endpoint_port_protocol=TCP
            endpoint_ready=true
            endpoint_address_target_kind=Pod
            endpoint_address_target_name=web-1
            endpoint_node_name=n1
            pod_name=web-1
            pod_ip=10.1.0.5
            pod_ready=true
            pod_phase=Running
            pod_node_name=n1
            pod_host_ip=10.0.0.1
            pod_uid=u-1
            pod_controller_kind=ReplicaSet
            pod_controller_name=web-5d
            pod_label_app=web
            pod_labelpresent_app=true
            pod_annotation_prometheus_io_scrape=true
            pod_annotationpresent_prometheus_io_scrape=true
            pod_container_name=web
            pod_container_image=web:1
            pod_container_init=false
            pod_container_port_name=http
            pod_container_port_number=8080
            pod_container_port_protocol=TCP
          10.1.0.6:8080
            endpoint_port_name=http
            endpoint_port_protocol=TCP
            endpoint_ready=false
            endpoint_hostname=h
          10.1.0.5:9090
            pod_container_name=web
            pod_container_image=web:1
            pod_container_init=false
            pod_container_port_name=metrics
            pod_container_port_number=9090
            pod_container_port_protocol=TCP
            pod_name=web-1
            pod_ip=10.1.0.5
            pod_ready=true
            pod_phase=Running
            pod_node_name=n1
            pod_host_ip=10.0.0.1
            pod_uid=u-1
            pod_controller_kind=ReplicaSet
            pod_controller_name=web-5d
            pod_label_app=web
            pod_labelpresent_app=true
            pod_annotation_prometheus_io_scrape=true
            pod_annotationpresent_prometheus_io_scrape=true
    "#]],
    );
}

#[test]
fn endpointslices() {
    check(
        r#""role": "endpointslice", "attach_metadata": {"node": true}"#,
        &expect![[r#"
        endpointslice/shop/web-abc
            namespace=shop
            endpointslice_name=web-abc
            endpointslice_address_type=IPv4
            service_name=web
            service_label_tier=front
            service_labelpresent_tier=true
            endpointslice_label_kubernetes_io_service_name=web
            endpointslice_labelpresent_kubernetes_io_service_name=true
          10.1.0.5:8080
            endpointslice_port_name=http
            endpointslice_port_protocol=TCP
            endpointslice_port=8080
            endpointslice_port_app_protocol=http
            endpointslice_endpoint_conditions_ready=true
            endpointslice_endpoint_conditions_serving=true
            endpointslice_endpoint_conditions_terminating=false
            endpointslice_endpoint_node_name=n1
            endpointslice_endpoint_zone=z1
            endpointslice_address_target_kind=Pod
            endpointslice_address_target_name=web-1
            pod_name=web-1
            pod_ip=10.1.0.5
            pod_ready=true
            pod_phase=Running
            pod_node_name=n1
            pod_host_ip=10.0.0.1
            pod_uid=u-1
            pod_controller_kind=ReplicaSet
            pod_controller_name=web-5d
            pod_label_app=web
            pod_labelpresent_app=true
            pod_annotation_prometheus_io_scrape=true
            pod_annotationpresent_prometheus_io_scrape=true
            pod_container_name=web
            pod_container_image=web:1
            pod_container_init=false
            pod_container_port_name=http
            pod_container_port_number=8080
            pod_container_port_protocol=TCP
            node_name=n1
            node_label_kubernetes_io_arch=arm64
            node_labelpresent_kubernetes_io_arch=true
          10.1.0.5:9090
            pod_container_name=web
            pod_container_image=web:1
            pod_container_init=false
            pod_container_port_name=metrics
            pod_container_port_number=9090
            pod_container_port_protocol=TCP
            pod_name=web-1
            pod_ip=10.1.0.5
            pod_ready=true
            pod_phase=Running
            pod_node_name=n1
            pod_host_ip=10.0.0.1
            pod_uid=u-1
            pod_controller_kind=ReplicaSet
            pod_controller_name=web-5d
            pod_label_app=web
            pod_labelpresent_app=true
            pod_annotation_prometheus_io_scrape=true
            pod_annotationpresent_prometheus_io_scrape=true
            node_name=n1
            node_label_kubernetes_io_arch=arm64
            node_labelpresent_kubernetes_io_arch=true
    "#]],
    );
}

#[test]
fn ingresses() {
    check(
        r#""role": "ingress""#,
        &expect![[r#"
        ingress/shop/shop
            namespace=shop
            ingress_name=shop
            ingress_class_name=nginx
            ingress_annotation_a_b=c
            ingress_annotationpresent_a_b=true
          shop.example.com
            ingress_scheme=https
            ingress_host=shop.example.com
            ingress_path=/
          shop.example.com
            ingress_scheme=https
            ingress_host=shop.example.com
            ingress_path=/cart
          plain.example.org
            ingress_scheme=http
            ingress_host=plain.example.org
            ingress_path=/
    "#]],
    );
}

#[test]
fn what_is_wanted_is_asked_for() {
    let (_, asked) = poll(
        r#""role": "pod", "namespaces": {"names": ["shop", "other"]},
        "selectors": [{"role": "pod", "label": "app=web,tier!=x", "field": "status.phase=Running"}]"#,
    );
    let query = "limit=250&labelSelector=app%3Dweb%2Ctier%21%3Dx&fieldSelector=status.phase%3DRunning";
    assert_eq!(
        asked,
        [
            format!("https://k8s:6443/api/v1/namespaces/shop/pods?{query}"),
            format!("https://k8s:6443/api/v1/namespaces/shop/pods?{query}&continue=at1"),
            format!("https://k8s:6443/api/v1/namespaces/other/pods?{query}"),
        ]
    );
}

#[test]
fn failures_say_what_was_asked() {
    let config = r#"{"api_server": "https://k8s:6443", "role": "node"}"#;
    let poll = |status: u16, body: &'static str| {
        let mut plugin: Kubernetes = init(config).unwrap();
        Host::new().http(move |_| Ok(response(status, body))).run(|| plugin.poll()).unwrap_err()
    };
    let error = poll(403, "nodes is forbidden");
    assert_eq!(
        error.message(),
        "list https://k8s:6443/api/v1/nodes: server answered status 403: nodes is forbidden"
    );
    assert!(!error.is_retryable());
    assert!(poll(503, "").is_retryable());
    assert!(!poll(200, "<html>").is_retryable());
    let wrong =
        r#"{"api_server": "https://k", "role": "pod", "selectors": [{"role": "node", "label": "a=b"}]}"#;
    assert_eq!(
        init::<Kubernetes>(wrong).map(drop).unwrap_err().message(),
        "selectors: pod role supports only [pod] selectors, not node"
    );
}

#[test]
fn a_list_that_expires_is_read_again_later() {
    let mut pages = 0;
    let mut plugin: Kubernetes = init(r#"{"api_server": "https://k", "role": "node"}"#).unwrap();
    let host = Host::new().http(move |_| {
        pages += 1;
        Ok(match pages {
            1 => response(200, r#"{"metadata": {"continue": "x"}, "items": []}"#),
            _ => response(410, ""),
        })
    });
    let error = host.run(|| plugin.poll()).unwrap_err();
    assert!(error.is_retryable() && error.message().contains("expired"), "{error}");
}
