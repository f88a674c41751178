//! Alerts on their way to Alertmanagers elsewhere: what arrives, at whom, and what is told of it. Where Debian's
//! Alertmanager is installed, it has to take them, and its amtool to show them.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::http::{Client, Listener};
use crate::harness::server::{Ports, Server};
use crate::harness::{PATIENCE, until, until_value};

const RULES: &str = "groups:\n- name: g\n  rules:\n  - alert: Always\n    expr: vector(7)\n    \
                     labels: {severity: page, secret: x}\n    annotations: {summary: 'value {{ $value }}'}\n  \
                     - {alert: Internal, expr: vector(1), labels: {severity: none}}\n";

/// Starts our server with these Alertmanagers.
fn start(alertmanagers: &str) -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("plugins")).unwrap();
    let config = format!(
        "global: {{evaluation_interval: 1s, external_labels: {{region: eu}}}}\nrule_files: [rules.yml]\n\
         alerting:\n  alert_relabel_configs:\n  - {{action: labeldrop, regex: secret}}\n  \
         - {{action: drop, source_labels: [severity], regex: none}}\n  alertmanagers:\n{alertmanagers}"
    );
    fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    fs::write(folder.path().join("rules.yml"), RULES).unwrap();
    let server = Server::start_with(folder.path(), Ports::free(), &["--rules.alert.resend-delay=1s"]);
    (folder, server)
}

/// The value of one of the server's own metrics; nothing where it is not there.
fn own(server: &Server, series: &str) -> Option<f64> {
    let text = server.api.get("/metrics").body;
    let line = text.lines().find(|line| line.starts_with(series))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn alerts_arrive_relabelled_at_those_that_relabelling_leaves() {
    let bodies: Arc<Mutex<Vec<Value>>> = Arc::default();
    let got = Arc::clone(&bodies);
    let listener = Listener::start(move |request| {
        got.lock().unwrap().push(serde_json::from_str(&request.body).unwrap());
        ("application/json", "{}".to_owned())
    });
    let address = listener.address;
    let (_folder, mut server) = start(&format!(
        "  - static_configs: [{{targets: ['{address}', 'dropped:9093']}}]\n    path_prefix: /am/\n    \
         basic_auth: {{username: u, password: p}}\n    timeout: 5s\n    \
         relabel_configs: [{{action: drop, source_labels: [__address__], regex: 'dropped.*'}}]\n    \
         alert_relabel_configs: [{{target_label: via, replacement: listener}}]\n"
    ));
    let alert = until("an alert arrives", PATIENCE, || bodies.lock().unwrap().first().cloned());
    assert_eq!(
        alert[0]["labels"],
        json!({ "alertname": "Always", "region": "eu", "severity": "page", "via": "listener" })
    );
    assert_eq!(alert[0]["annotations"], json!({ "summary": "value 7" }));
    assert_eq!(alert.as_array().map(Vec::len), Some(1), "{alert}");
    assert!(
        alert[0]["generatorURL"].as_str().is_some_and(|url| url.contains("/graph?g0.expr=vector%287%29"))
    );
    assert!(alert[0]["endsAt"].as_str() > alert[0]["startsAt"].as_str(), "{alert}");

    let url = format!("http://{address}/am/api/v2/alerts");
    let known = server.api.data("/api/v1/alertmanagers", &[]);
    assert_eq!(
        known,
        json!({
            "activeAlertmanagers": [{ "url": url }],
            "droppedAlertmanagers": [{ "url": "http://dropped:9093/am/api/v2/alerts" }],
        })
    );
    until("it is sent again", PATIENCE, || (bodies.lock().unwrap().len() > 2).then_some(()));
    let of = |name: &str| own(&server, &format!("prometheus_notifications_{name}{{alertmanager=\"{url}\"}}"));
    assert!(of("sent_total") >= Some(2.0));
    assert_eq!((of("errors_total"), of("dropped_total")), (Some(0.0), Some(0.0)));
    assert_eq!((of("queue_length"), of("queue_capacity")), (Some(0.0), Some(10_000.0)));
    assert_eq!(own(&server, "prometheus_notifications_alertmanagers_discovered "), Some(1.0));

    // One that is away costs its own alerts, and is counted.
    drop(listener);
    until("errors are counted", PATIENCE, || (of("errors_total") > Some(0.0)).then_some(()));
    assert!(of("dropped_total") > Some(0.0));
    server.terminate();
}

/// Debian's Alertmanager; dropping it kills it.
struct Alertmanager {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Alertmanager {
    /// Nothing where it is not installed.
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        fs::write(folder.path().join("am.yml"), "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
            .unwrap();
        let child = Command::new("prometheus-alertmanager")
            .current_dir(folder.path())
            .args(["--config.file=am.yml", "--storage.path=data", "--cluster.listen-address="])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let started = Self { child, port, _folder: folder };
        let api = Client::new(&format!("http://127.0.0.1:{port}"));
        until("Alertmanager is ready", PATIENCE, || {
            api.try_get("/-/ready").is_some_and(|answer| answer.status == 200).then_some(())
        });
        Some(started)
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn debians_alertmanager_takes_alerts_and_their_end() {
    let Some(alertmanager) = Alertmanager::start() else {
        println!("no prometheus-alertmanager is installed");
        return;
    };
    let port = alertmanager.port;
    let (folder, server) = start(&format!("  - static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"));
    let theirs = Client::new(&format!("http://127.0.0.1:{port}"));
    let alerts = || theirs.get("/api/v2/alerts").json();
    let alert = until("the alert is there", PATIENCE, || alerts().get(0).cloned());
    assert_eq!(alert["labels"], json!({ "alertname": "Always", "region": "eu", "severity": "page" }));
    assert_eq!(alert["status"]["state"], "active");
    let shown = Command::new("amtool")
        .args(["alert", "query", "--output=simple", &format!("--alertmanager.url=http://127.0.0.1:{port}")])
        .output();
    if let Ok(shown) = shown {
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(text.contains("Always") && text.contains("value 7"), "{text}");
    }
    // The rule goes on, and yields nothing any more.
    fs::write(folder.path().join("rules.yml"), RULES.replace("expr: vector(7)", "expr: vector(7) > 8"))
        .unwrap();
    assert_eq!(server.api.post("/-/reload", &[], b"").status, 200);
    until_value(&server.api, "absent(ALERTS{alertname=\"Always\"})", |absent| absent == 1.0);
    until("the alert is over", PATIENCE, || (alerts() == json!([])).then_some(()));
}
