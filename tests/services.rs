//! The plugins that speak to servers of others, behind the built server, and the servers themselves: Redis, PostgreSQL, a DNS
//! server, Consul, a mail server and one for HTTPS. What is not installed is said, and its part of the test left out.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::harness::http::Client;
use crate::harness::server::{self, Ports, Server};
use crate::harness::service::{Service, free_port, tls};
use crate::harness::{PATIENCE, until, until_value};

/// An alert that fires at once, with texts that would like to be more than that.
const RULES: &str = "groups:\n- name: g\n  rules:\n  - alert: Füllstand\n    expr: vector(1)\n    \
                     labels: {disk: '<b>sda</b>'}\n    annotations: {summary: \".first\\nBcc: nobody@test\"}\n";

/// Entries of plugins and jobs, as YAML.
#[derive(Default)]
struct Config {
    plugins: String,
    jobs: String,
    receivers: String,
}

fn quoted(path: &Path) -> String {
    // JSON's strings are YAML's.
    json!(fs::read_to_string(path).unwrap()).to_string()
}

#[test]
fn plugins_speak_to_the_servers_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let mails = folder.path().join("mails");
    fs::create_dir(&mails).unwrap();
    fs::write(folder.path().join("password"), "hush\n").unwrap();
    fs::write(folder.path().join("rules.yml"), RULES).unwrap();
    let ports = Ports::free();
    let mut config = Config::default();
    let redis_tls = free_port();
    let redis = Service::redis(redis_tls);
    let postgres = Service::postgres();
    let dns = Service::dns(&[
        "--host-record=self.test,127.0.0.1".to_owned(),
        format!("--srv-host=_storm._tcp.test,self.test,{}", ports.web),
        "--mx-host=test,self.test,10".to_owned(),
    ]);
    let consul = Service::consul();
    let mail = Service::mail(&mails);
    let https = Service::https();
    if let Some(service) = &redis {
        config.redis(service.port, redis_tls);
    }
    if let Some(service) = &postgres {
        config.postgres(service.port);
    }
    if let Some(service) = &dns {
        config.dns(service.port, ports.web);
    }
    if let Some(service) = &consul {
        config.consul(service.port, ports.web);
    }
    if let Some(service) = &mail {
        config.mail(service.port);
    }
    if let Some(service) = &https {
        config.https(service.port, ports.web);
    }
    server::collect_plugins(&folder.path().join("plugins"));
    fs::write(folder.path().join("prometheus.yml"), config.whole()).unwrap();
    let mut server = Server::start(folder.path(), ports);
    let api = server.api.clone();
    if redis.is_some() {
        redis_is_told(&api);
    }
    if postgres.is_some() {
        postgres_is_told(&api);
    }
    if dns.is_some() {
        dns_finds_targets(&api);
    }
    if let Some(service) = &consul {
        consul_finds_targets(&api, service.port);
    }
    if mail.is_some() {
        mail_arrives(&mails);
    }
    if https.is_some() {
        https_is_probed(&api);
    }
    if let Some(service) = redis {
        drop(service);
        // A server that is gone is an answer.
        until_value(&api, "redis_up{job=\"cache\"}", |up| up == 0.0);
        assert_eq!(api.value("up{job=\"cache\"}"), Some(1.0));
    }
    server.terminate();
    assert_eq!(server.unexpected(&["plugin=denied", "plugin=mail"]), Vec::<String>::new());
}

impl Config {
    fn redis(&mut self, port: u16, tls_port: u16) {
        let ca = quoted(&tls("ca.pem"));
        self.plugins += &format!(
            "  - name: cache\n    plugin: redis\n    interval: 1s\n    config: {{address: 'localhost:{port}', password_secret: pw}}\n    \
             grants: {{net: ['localhost:{port}'], secrets: [{{name: pw, file: password}}]}}\n  \
             - name: cache-tls\n    plugin: redis\n    interval: 1s\n    config: {{address: 'localhost:{tls_port}', \
             password_secret: pw, config_metrics: true, tls: {{ca: {ca}}}}}\n    \
             grants: {{net: ['localhost:{tls_port}'], secrets: [{{name: pw, file: password}}]}}\n  \
             - name: denied\n    plugin: redis\n    interval: 1s\n    config: {{address: 'localhost:{port}'}}\n"
        );
    }

    fn postgres(&mut self, port: u16) {
        let ca = quoted(&tls("ca.pem"));
        for (name, user, more) in [
            ("db", "monitor", format!("sslrootcert: {ca}")),
            ("db-md5", "elder", "sslmode: disable".to_owned()),
        ] {
            self.plugins += &format!(
                "  - name: {name}\n    plugin: postgres\n    interval: 1s\n    config:\n      address: 'localhost:{port}'\n      \
                 user: {user}\n      password_secret: pw\n      {more}\n      \
                 queries: [{{name: own, query: \"SELECT 'x' AS label, 42 AS answer\", \
                 columns: {{label: {{usage: LABEL}}, answer: {{usage: GAUGE}}}}}}]\n    \
                 grants: {{net: ['localhost:{port}'], secrets: [{{name: pw, file: password}}]}}\n"
            );
        }
    }

    fn dns(&mut self, port: u16, web: u16) {
        self.jobs += &format!(
            "  - job_name: found\n    dns_sd_configs:\n    - {{names: ['_storm._tcp.test'], server: '127.0.0.1:{port}'}}\n    \
             - {{names: [self.test], type: A, port: {web}, server: '127.0.0.1:{port}'}}\n    \
             - {{names: [test], type: MX, port: {web}, server: '127.0.0.1:{port}', refresh_interval: 1s}}\n    \
             relabel_configs:\n    - {{source_labels: [__meta_dns_name], target_label: name}}\n    \
             - {{source_labels: [__meta_dns_srv_record_target], target_label: srv}}\n    \
             - {{source_labels: [__meta_dns_mx_record_target], target_label: mx}}\n    \
             - {{target_label: __address__, replacement: '127.0.0.1:{web}'}}\n"
        );
    }

    /// Instances of `web` in a Consul, of which the first is this server itself.
    fn consul(&mut self, port: u16, web: u16) {
        let consul = Client::new(&format!("http://127.0.0.1:{port}"));
        let instances = [
            json!({"Name": "web", "ID": "web-1", "Port": web, "Tags": ["v1", "prod"], "Meta": {"rack-no": "7"}}),
            json!({"Name": "web", "ID": "web-2", "Port": 1, "Tags": ["v2"]}),
            json!({"Name": "cache", "ID": "cache-1", "Port": 1, "Tags": ["v1"]}),
        ];
        for instance in instances {
            let answer = consul.put("/v1/agent/service/register", instance.to_string().as_bytes());
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
        self.jobs += &format!(
            "  - job_name: registered\n    consul_sd_configs:\n    \
             - {{server: '127.0.0.1:{port}', services: [web], tags: [v1], refresh_interval: 1s}}\n    \
             relabel_configs:\n    - {{action: labelmap, regex: __meta_consul_(.+)}}\n"
        );
    }

    fn mail(&mut self, port: u16) {
        let ca = quoted(&tls("ca.pem"));
        self.plugins += &format!(
            "  - name: mail\n    plugin: email\n    config: {{smarthost: 'localhost:{port}', from: 'Storm <storm@test>', \
             to: 'a@test, b@test', auth_username: storm, auth_password_secret: pw, tls_config: {{ca: {ca}}}, \
             threading: {{enabled: true}}}}\n    \
             grants: {{net: ['localhost:{port}'], secrets: [{{name: pw, file: password}}]}}\n"
        );
        self.receivers += "      plugin_configs: [{plugin: mail}]\n";
    }

    fn https(&mut self, port: u16, web: u16) {
        let ca = quoted(&tls("ca.pem"));
        self.plugins += &format!(
            "  - name: blackbox\n    plugin: http-probe\n    config: {{modules: {{https: {{tls_config: {{ca: {ca}}}}}, untrusted: {{}}}}}}\n    \
             grants: {{http: ['https://localhost:{port}']}}\n"
        );
        for module in ["https", "untrusted"] {
            self.jobs += &format!(
                "  - job_name: {module}\n    metrics_path: /api/v1/plugins/blackbox/probe\n    \
                 params: {{module: [{module}], target: ['https://localhost:{port}/']}}\n    \
                 static_configs: [{{targets: ['127.0.0.1:{web}']}}]\n"
            );
        }
    }

    fn whole(&self) -> String {
        let Self { plugins, jobs, receivers } = self;
        let mut text =
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules.yml]\n".to_owned();
        if !jobs.is_empty() {
            text += &format!("scrape_configs:\n{jobs}");
        }
        if !plugins.is_empty() {
            text += &format!("plugins:\n{plugins}");
        }
        text += "alertmanager:\n  route: {receiver: all, group_wait: 1s, group_by: [alertname]}\n  receivers:\n    - name: all\n";
        text + receivers
    }
}

fn redis_is_told(api: &Client) {
    for job in ["cache", "cache-tls"] {
        until_value(api, &format!("redis_up{{job=\"{job}\"}}"), |up| up == 1.0);
        let value = |metric: &str| api.value(&format!("{metric}{{job=\"{job}\"}}"));
        assert!(value("redis_memory_used_bytes") > Some(100_000.0), "{job}");
        assert!(value("redis_connected_clients") >= Some(1.0), "{job}");
        assert_eq!(value("redis_config_maxclients"), value("redis_max_clients"), "{job}");
        let started = value("redis_start_time_seconds").unwrap();
        assert!((started - crate::harness::now_ms() as f64 / 1000.0).abs() < 3_600.0);
    }
    until_value(api, "redis_commands_total{job=\"cache\",cmd=\"info\"}", |calls| calls >= 2.0);
    assert_eq!(api.query("redis_instance_info{role=\"master\",redis_mode=\"standalone\"}").len(), 2);
    let secrets = api.query("redis_config_key_value{key=\"requirepass\"}");
    assert!(secrets.is_empty(), "{secrets:?}");
    assert!(api.query("redis_config_key_value{job=\"cache-tls\"}").len() > 100);
    // What is not granted is not reached, and says what to add.
    until_value(api, "up{job=\"denied\"}", |up| up == 0.0);
    let plugins = api.data("/api/v1/plugins", &[]).to_string();
    assert!(plugins.contains("is not granted; add it to grants.net to allow it"), "{plugins}");
}

fn postgres_is_told(api: &Client) {
    for job in ["db", "db-md5"] {
        until_value(api, &format!("pg_up{{job=\"{job}\"}}"), |up| up == 1.0);
        let value = |metric: &str, labels: &str| api.value(&format!("{metric}{{job=\"{job}\"{labels}}}"));
        assert!(value("pg_stat_database_xact_commit", ",datname=\"postgres\"") >= Some(1.0), "{job}");
        assert!(value("pg_database_size_bytes", ",datname=\"postgres\"") > Some(1e6), "{job}");
        assert!(
            value("pg_locks_count", ",datname=\"postgres\",mode=\"accesssharelock\"") >= Some(0.0),
            "{job}"
        );
        assert_eq!(value("pg_settings_max_connections", ""), Some(100.0), "{job}");
        assert_eq!(value("pg_settings_track_io_timing", ""), Some(1.0), "{job}");
        assert!(value("pg_settings_shared_buffers_bytes", "") > Some(1e6), "{job}");
        assert_eq!(value("pg_replication_is_replica", ""), Some(0.0), "{job}");
        assert_eq!(value("own_answer", ",label=\"x\""), Some(42.0), "{job}");
    }
    let failed = api.query("pg_scrape_collector_success{job=\"db\"} == 0");
    assert!(failed.is_empty(), "{failed:?}");
    assert!(!api.query("pg_static{short_version=~\"[0-9.]+\"}").is_empty());
}

fn dns_finds_targets(api: &Client) {
    until_value(api, "sum(up{job=\"found\",name=\"_storm._tcp.test\",srv=\"self.test.\"})", |up| up == 1.0);
    until_value(api, "sum(up{job=\"found\",name=\"self.test\",srv=\"\"})", |up| up == 1.0);
    until_value(api, "sum(up{job=\"found\",name=\"test\",mx=\"self.test.\"})", |up| up == 1.0);
}

fn consul_finds_targets(api: &Client, port: u16) {
    const FOUND: &str = "up{job=\"registered\"}";
    until_value(api, FOUND, |up| up == 1.0);
    let found = api.query(FOUND);
    assert_eq!(found.len(), 1, "{found:?}");
    let labels = &found[0].0;
    for (name, value) in [
        ("address", "127.0.0.1"),
        ("dc", "dc1"),
        ("health", "passing"),
        ("node", "n1"),
        ("service", "web"),
        ("service_id", "web-1"),
        ("service_metadata_rack_no", "7"),
        ("tagged_address_lan", "127.0.0.1"),
        ("tags", ",v1,prod,"),
    ] {
        assert_eq!(labels[name], value, "{name} of {labels}");
    }
    let consul = Client::new(&format!("http://127.0.0.1:{port}"));
    assert_eq!(consul.put("/v1/agent/service/deregister/web-1", b"").status, 200);
    until("a target is gone", PATIENCE, || api.query(FOUND).is_empty().then_some(()));
}

fn mail_arrives(mails: &Path) {
    let mail = until("a mail arrives", PATIENCE, || fs::read_to_string(mails.join("1.eml")).ok());
    let mut lines = mail.lines();
    assert_eq!((lines.next(), lines.next()), (Some("storm@test"), Some("a@test,b@test")));
    let (head, body) = mail.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Subject: =?utf-8?B?") && head.contains("\r\nReferences: <alert-"), "{head}");
    assert!(!head.contains("\nBcc"), "{head}");
    for part in ["text/plain", "text/html", "alertname =3D F=C3=BCllstand", "&lt;b&gt;sda&lt;/b&gt;"] {
        assert!(body.contains(part), "{part} is not in {body}");
    }
}

fn https_is_probed(api: &Client) {
    until_value(api, "probe_success{job=\"https\"}", |success| success == 1.0);
    let value = |metric: &str| api.value(&format!("{metric}{{job=\"https\"}}"));
    // The certificates of the tests are good for a century.
    assert!(value("probe_ssl_earliest_cert_expiry") > Some(4e9));
    assert_eq!(
        value("probe_ssl_last_chain_expiry_timestamp_seconds"),
        value("probe_ssl_earliest_cert_expiry")
    );
    assert_eq!(value("probe_http_status_code"), Some(200.0));
    for phase in ["connect", "tls", "processing"] {
        let query = format!("probe_http_duration_seconds{{job=\"https\",phase=\"{phase}\"}}");
        assert!(api.value(&query) > Some(0.0), "{phase}");
    }
    assert_eq!(api.query("probe_tls_version_info{job=\"https\",version=\"TLS 1.3\"}").len(), 1);
    until_value(api, "probe_success{job=\"untrusted\"}", |success| success == 0.0);
    assert_eq!(api.value("probe_failed_phase{job=\"untrusted\",phase=\"connect\"}"), Some(1.0));
}
