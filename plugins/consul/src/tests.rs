//! Polls of a Consul that answers as the documentation of its API shows.

use expect_test::{Expect, expect};
use stormglass_sdk::testing::{self, Host, init, response};

use super::*;

const AGENT: &str = r#"{"Config": {"Datacenter": "dc1", "NodeName": "n"}, "Member": {}}"#;
const SERVICES: &str = r#"{"consul": [], "web": ["v1", "prod"], "cache": ["v1"]}"#;
const WEB: &str = r#"[
    {
        "Node": {
            "ID": "40e4a748", "Node": "n1", "Address": "10.1.10.12", "Datacenter": "dc1",
            "TaggedAddresses": {"lan": "10.1.10.12", "wan": "198.51.100.1"},
            "Meta": {"instance-type": "m5.large"}
        },
        "Service": {
            "ID": "web-1", "Service": "web", "Tags": ["v1", "prod"], "Address": "10.1.10.99",
            "Meta": {"a.b": "c"}, "Port": 8000, "Weights": {"Passing": 10}, "Namespace": "default"
        },
        "Checks": [
            {"Node": "n1", "CheckID": "serfHealth", "Status": "passing"},
            {"Node": "n1", "CheckID": "service:web", "Status": "warning"}
        ]
    },
    {
        "Node": {"Node": "n2", "Address": "2001:db8::1", "TaggedAddresses": null, "Meta": null},
        "Service": {"ID": "web-2", "Service": "web", "Tags": null, "Address": "", "Meta": null, "Port": 8000},
        "Checks": [{"CheckID": "_service_maintenance:web-2", "Status": "critical"}]
    }
]"#;

/// The snapshot as lines, and what was asked.
fn poll(config: &str) -> (String, Vec<String>) {
    let host = Host::new().http(|request| {
        let path = request.url.split('?').next().unwrap_or_default();
        Ok(match path.rsplit('/').next() {
            Some("self") => response(200, AGENT),
            Some("services") => response(200, SERVICES),
            Some("web") => response(200, WEB),
            _ => response(200, "[]"),
        })
    });
    let mut plugin: Consul = init(config).unwrap();
    host.run(|| {
        let snapshot = plugin.poll().unwrap();
        let groups = testing::render_snapshot(&snapshot).replace(META, "");
        let text = format!("again after {:?} ms\n{groups}", snapshot.next_poll_ms.unwrap());
        (text, testing::requests().into_iter().map(|request| request.url).collect())
    })
}

fn check(config: &str, expected: &Expect) {
    expected.assert_eq(&poll(config).0);
}

#[test]
fn instances_have_prometheus_labels() {
    check(
        r#"{"services": ["web"]}"#,
        &expect![[r#"
            again after 30000 ms
            web
                service=web
                dc=dc1
              10.1.10.99:8000
                address=10.1.10.12
                node=n1
                namespace=default
                partition=
                tags=,v1,prod,
                service_address=10.1.10.99
                service_port=8000
                service_id=web-1
                health=warning
                metadata_instance_type=m5.large
                service_metadata_a_b=c
                tagged_address_lan=10.1.10.12
                tagged_address_wan=198.51.100.1
              [2001:db8::1]:8000
                address=2001:db8::1
                node=n2
                namespace=
                partition=
                tags=,,
                service_address=
                service_port=8000
                service_id=web-2
                health=maintenance
        "#]],
    );
}

#[test]
fn what_is_wanted_is_asked_for() {
    let asked = |config: &str| poll(config).1;
    assert_eq!(
        asked(
            r#"{"tags": ["v1", "prod"], "datacenter": "eu 1", "node_meta": {"rack": "7"}, "filter": "a == \"b\"",
            "health_filter": "c", "path_prefix": "/x/", "scheme": "https", "server": "c:1"}"#
        ),
        [
            "https://c:1/x/v1/catalog/services?dc=eu%201&node-meta=rack%3A7&stale&filter=a%20%3D%3D%20%22b%22",
            "https://c:1/x/v1/health/service/web?dc=eu%201&node-meta=rack%3A7&stale&tag=v1&tag=prod&filter=c",
        ]
    );
    assert_eq!(
        asked(r#"{"services": ["b", "a/b"], "allow_stale": false, "namespace": "n", "partition": "p"}"#),
        [
            "http://localhost:8500/v1/agent/self",
            "http://localhost:8500/v1/health/service/a%2Fb?ns=n&partition=p",
            "http://localhost:8500/v1/health/service/b?ns=n&partition=p",
        ]
    );
    let all = asked("{}");
    assert_eq!(all.len(), 5, "{all:?}");
}

#[test]
fn a_consul_that_fails_is_told() {
    let mut plugin: Consul = init("{}").unwrap();
    let host = Host::new().http(|_| Ok(response(403, "Permission denied")));
    let error = host.run(|| plugin.poll()).unwrap_err();
    assert_eq!(
        error.message(),
        "get http://localhost:8500/v1/agent/self: server answered status 403: Permission denied"
    );
}

#[test]
fn the_schema_knows_every_key() {
    testing::assert_schema_has_every_key::<Consul>(r#"{"nonsense": 1}"#);
}
