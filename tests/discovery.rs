//! Prometheus' sections `kubernetes_sd_configs` and `consul_sd_configs`, answered by plugins: what the API of a cluster or a
//! catalog lists becomes targets that are relabelled by their `__meta_*` labels and scraped. The plugin `json-api` collects
//! beside them.

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::http::{Listener, Reply, Request};
use crate::harness::server::{self, Ports, Server};
use crate::harness::{PATIENCE, until, until_value};

/// Requests as they came: their lines and heads.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

fn api(mut answer: impl FnMut(&str) -> Value + Send + 'static) -> (Seen, Listener) {
    let seen = Seen::default();
    let kept = Arc::clone(&seen);
    let listener = Listener::replying("127.0.0.1:0".parse().unwrap(), move |request: Request| {
        let path = request.line.split(' ').nth(1).unwrap_or_default().to_owned();
        kept.lock().unwrap().push((path.clone(), request.headers));
        Reply::json(200, answer(&path).to_string())
    });
    (seen, listener)
}

/// A list of pods in two pages, as a cluster's API server answers it.
fn pods(path: &str, target: SocketAddr) -> Value {
    let pod = |name: &str, scrape: &str, ip: &str| {
        json!({
            "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": "web"},
                "annotations": {"prometheus.io/scrape": scrape}},
            "spec": {"nodeName": "n1", "containers": [{"name": "web", "image": "web:1",
                "ports": [{"name": "http", "containerPort": target.port(), "protocol": "TCP"}]}]},
            "status": {"phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": "True"}]}
        })
    };
    if path.contains("continue=next") {
        json!({"kind": "PodList", "metadata": {}, "items": [pod("other", "false", "127.0.0.1")]})
    } else {
        json!({"kind": "PodList", "metadata": {"continue": "next"}, "items": [pod("web-1", "true", "127.0.0.1")]})
    }
}

/// A catalog of one service, as an agent answers.
fn catalog(path: &str, target: SocketAddr) -> Value {
    match path.split('?').next().unwrap_or_default() {
        "/v1/agent/self" => json!({"Config": {"Datacenter": "dc1"}}),
        "/v1/catalog/services" => json!({"consul": [], "web": ["prod", "v1"]}),
        "/v1/health/service/web" => json!([{
            "Node": {"Node": "n1", "Address": "127.0.0.1", "Datacenter": "dc1", "Meta": null},
            "Service": {"ID": "web-1", "Service": "web", "Tags": ["prod", "v1"], "Address": "",
                "Meta": {"version": "7"}, "Port": target.port()},
            "Checks": [{"CheckID": "serfHealth", "Status": "passing"}]
        }]),
        other => panic!("{other} was asked for"),
    }
}

#[test]
fn what_a_cluster_and_a_catalog_list_is_scraped() {
    let target = Listener::start(|_| ("text/plain", "requests_total 7\n".to_owned()));
    let at = target.address;
    let (asked_cluster, cluster) = api(move |path| pods(path, at));
    let (asked_catalog, consul) = api(move |path| catalog(path, at));
    let shop = Listener::start(|_| {
        (
            "application/json",
            r#"{"workers": [{"id": 1, "state": "on"}, {"id": 2, "state": "off"}]}"#.to_owned(),
        )
    });
    let folder = tempfile::tempdir().unwrap();
    server::collect_plugins(&folder.path().join("plugins"));
    let targets = folder.path().canonicalize().unwrap();
    let config = format!(
        r#"global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: pods
    kubernetes_sd_configs:
      - role: pod
        api_server: "http://{cluster}"
        authorization: {{credentials_file: token}}
        refresh_interval: 1s
        namespaces: {{names: [shop]}}
    relabel_configs:
      - {{action: keep, source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape], regex: "true"}}
      - {{source_labels: [__meta_kubernetes_namespace], target_label: namespace}}
      - {{source_labels: [__meta_kubernetes_pod_name], target_label: pod}}
      - {{action: labelmap, regex: __meta_kubernetes_pod_label_(.+)}}
  - job_name: services
    consul_sd_configs:
      - {{server: "{consul}", token: c0nsul, tags: [prod], refresh_interval: 1s}}
    relabel_configs:
      - {{source_labels: [__meta_consul_tags], regex: ".*,v1,.*", target_label: v1, replacement: "yes"}}
      - {{source_labels: [__meta_consul_service, __meta_consul_dc], separator: "@", target_label: service}}
      - {{source_labels: [__meta_consul_health], target_label: health}}
      - {{source_labels: [__meta_consul_service_metadata_version], target_label: version}}
  - job_name: files
    plugin_sd_configs: [{{plugin: file-targets}}]
plugins:
  - name: file-targets
    plugin: file-sd
    interval: 1s
    config: {{files: ["{folder}/*.yml.json"]}}
    grants: {{files: [{{path: "{folder}", mode: read}}]}}
  - name: shop
    plugin: json-api
    interval: 1s
    config:
      requests:
        - url: "http://{shop}/status"
          metrics:
            - {{name: worker, type: object, path: '{{.workers[*]}}', labels: {{id: '{{.id}}', state: '{{.state}}'}}, values: {{known: 1}}}}
    grants: {{http: ["{shop}"]}}
"#,
        cluster = cluster.address,
        consul = consul.address,
        shop = shop.address,
        folder = targets.display(),
    );
    fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    fs::write(folder.path().join("token"), "t0ken\n").unwrap();
    fs::write(
        folder.path().join("targets.yml.json"),
        format!(r#"[{{"targets": ["{at}"], "labels": {{"from": "a file"}}}}]"#),
    )
    .unwrap();
    let mut server = Server::start(folder.path(), Ports::free());

    let labels = |query: &str| {
        until_value(&server.api, &format!("count({query})"), |count| count == 1.0);
        server.api.query(query).remove(0).0
    };
    let of_pods = labels("requests_total{job=\"pods\"}");
    assert_eq!(
        of_pods,
        json!({"__name__": "requests_total", "job": "pods", "instance": at.to_string(), "app": "web",
            "namespace": "shop", "pod": "web-1"})
    );
    let of_services = labels("requests_total{job=\"services\"}");
    assert_eq!(
        of_services,
        json!({"__name__": "requests_total", "job": "services", "instance": at.to_string(), "v1": "yes",
            "service": "web@dc1", "health": "passing", "version": "7"})
    );
    assert_eq!(labels("requests_total{job=\"files\"}")["from"], "a file");
    assert_eq!(labels("worker_known{id=\"2\"}")["state"], "off");

    // Credentials came from the host; what was not kept is shown with all its labels.
    let (path, head) =
        until("the cluster is asked", PATIENCE, || asked_cluster.lock().unwrap().first().cloned());
    assert_eq!(path, "/api/v1/namespaces/shop/pods?limit=250");
    assert!(head.to_lowercase().contains("authorization: bearer t0ken"), "{head}");
    let (path, head) =
        asked_catalog.lock().unwrap().iter().find(|(path, _)| path.contains("health")).cloned().unwrap();
    assert_eq!(path, "/v1/health/service/web?stale&tag=prod");
    assert!(head.to_lowercase().contains("x-consul-token: c0nsul"), "{head}");
    let dropped = server.api.data("/api/v1/targets", &[("state", "dropped")]);
    let found = &dropped["droppedTargets"][0]["discoveredLabels"];
    assert_eq!(found["__meta_kubernetes_pod_name"], "other");
    assert_eq!(found["__meta_kubernetes_pod_container_port_name"], "http");
    let shown = server.api.get("/api/v1/status/config").body + &server.api.get("/api/v1/plugins").body;
    assert!(!shown.contains("c0nsul") && !shown.contains("t0ken"), "{shown}");
    server.terminate();
    assert_eq!(server.unexpected(&[]), Vec::<String>::new());
}
