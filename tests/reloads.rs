//! What is under way when plugins are reloaded: a collection that waits for an answer, an alert that is being delivered, a
//! connection to a decoder in the middle of a line. Nothing of it is lost.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use crate::harness::http::Listener;
use crate::harness::server::{self, Ports, Server};
use crate::harness::{PATIENCE, until, until_value};

/// A server whose first answer waits until it is let go: says when it is asked, and is told when to answer.
struct Held {
    listener: Listener,
    asked: mpsc::Receiver<()>,
    go: mpsc::Sender<()>,
    bodies: Arc<Mutex<Vec<String>>>,
}

fn held() -> Held {
    let (asked_from, asked) = mpsc::channel();
    let (go, go_to) = mpsc::channel::<()>();
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&bodies);
    let mut first = true;
    let listener = Listener::start(move |request| {
        if std::mem::take(&mut first) {
            let _ = asked_from.send(());
            // Whoever would tell is gone where the test has failed.
            let _ = go_to.recv_timeout(PATIENCE);
        }
        kept.lock().unwrap().push(request.body);
        ("text/plain", "hello".to_owned())
    });
    Held { listener, asked, go, bodies }
}

#[test]
fn a_reload_loses_nothing_that_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    server::collect_plugins(&folder.path().join("plugins"));
    let (scrape, alert) = (held(), held());
    let decoder = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (scraped, told) = (scrape.listener.address, alert.listener.address);
    let configure = |generation: u32| {
        let config = format!(
            r#"global: {{evaluation_interval: 1s}}
rule_files: [rules.yml]
plugins:
  - name: slow
    plugin: asker
    interval: 10s
    config: {{url: "http://{scraped}/"}}
    grants: {{http: ["{scraped}"]}}
    limits: {{deadline: 20s, host_calls: {generation}}}
  - name: pager
    plugin: webhook
    config: {{url: "http://{told}/{generation}"}}
    grants: {{http: ["{told}"]}}
    limits: {{deadline: 20s}}
  - name: graphite
    plugin: graphite
    limits: {{host_calls: {generation}}}
    decode: {{listen: ["tcp://{decoder}"]}}
alertmanager:
  route: {{receiver: page, group_wait: 0s, group_interval: 1s}}
  receivers: [{{name: page, plugin_configs: [{{plugin: pager}}]}}]
"#
        );
        fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    };
    let rules = "groups: [{name: g, rules: [{alert: Always, expr: vector(1)}]}]\n";
    fs::write(folder.path().join("rules.yml"), rules).unwrap();
    configure(1000);
    let mut server = Server::start(folder.path(), Ports::free());
    let api = server.api.clone();

    let mut stream = TcpStream::connect(decoder).unwrap();
    stream.write_all(b"half.of.it 4").unwrap();
    stream.flush().unwrap();
    scrape.asked.recv_timeout(PATIENCE).unwrap();
    alert.asked.recv_timeout(PATIENCE).unwrap();

    // Every entry is another one now, so that each has a new instance, while calls of the old ones wait for answers.
    configure(2000);
    let answer = api.post("/-/reload", &[], b"");
    assert_eq!(answer.status, 200, "{}", answer.body);
    scrape.go.send(()).unwrap();
    alert.go.send(()).unwrap();
    stream.write_all(b"2\n").unwrap();
    stream.flush().unwrap();

    until_value(&api, "half_of_it", |value| value == 42.0);
    until_value(&api, "count_over_time(asker_answer{to=\"http\"}[1m])", |count| count >= 1.0);
    assert_eq!(api.value("min_over_time(up{job=\"slow\"}[1m])"), Some(1.0));
    until("the alert has arrived", PATIENCE, || {
        alert.bodies.lock().unwrap().iter().any(|body| body.contains("Always")).then_some(())
    });
    server.terminate();
    assert_eq!(server.unexpected(&[]), Vec::<String>::new());
}
