//! What files and servers list, and what becomes of it as they change.

use std::fs;

use model::{Append, Labels, Timestamp};
use prometheus::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::file::FileDiscovery;
use super::*;
use crate::config::{FileSdConfig, HttpSdConfig};
use crate::metrics::Metrics;
use crate::recorder::Recorder;

fn shared() -> Arc<Shared> {
    Arc::new(Shared {
        storage: Arc::new(Recorder::new()) as Arc<dyn Append>,
        metrics: Metrics::register(&Registry::new()).unwrap(),
        families: Arc::new(crate::families::Families::new()),
        clock: Arc::new(|| Timestamp::from_millis(0)),
        loops: crate::loops::Loops::default(),
    })
}

fn show(groups: &[TargetGroup]) -> Vec<String> {
    groups
        .iter()
        .map(|group| {
            let targets: Vec<&str> = group.targets.iter().filter_map(|t| t.get(crate::ADDRESS)).collect();
            format!("{} {targets:?} {}", group.source, group.labels)
        })
        .collect()
}

#[test]
fn lists_are_json_or_yaml() {
    let check = |text: &str, expected: &[&str]| {
        assert_eq!(show(&groups_of(text, "f", &[("__meta_x", "y")]).unwrap()), expected, "{text}");
    };
    check(
        r#"[{"targets": ["a:1", "b:2"], "labels": {"env": "x"}}, {"targets": []}]"#,
        &[r#"f:0 ["a:1", "b:2"] {__meta_x="y", env="x"}"#, r#"f:1 [] {__meta_x="y"}"#],
    );
    check(
        "- targets: ['a:1']\n  labels:\n    n: '1'\n- labels: {}\n",
        &[r#"f:0 ["a:1"] {__meta_x="y", n="1"}"#, r#"f:1 [] {__meta_x="y"}"#],
    );
    check("[{targets: [a]}]", &[r#"f:0 ["a"] {__meta_x="y"}"#]);
    check("", &[]);
    check("[]", &[]);
    for (text, what) in [
        (r#"[{"targets": ["a"], "colour": "red"}]"#, "unknown field `colour`"),
        (r#"[null]"#, "nil target group item found"),
        (r#"{"targets": []}"#, "sequence"),
    ] {
        let error = groups_of(text, "f", &[]).unwrap_err();
        assert!(error.contains(what), "{text}: {error}");
    }
}

#[tokio::test]
async fn files_are_read_as_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("a.json"), r#"[{"targets": ["a:1"]}]"#).unwrap();
    let config: FileSdConfig =
        serde_saphyr::from_str(&format!("files: ['{}']", path("*.json").display())).unwrap();
    let discovery = FileDiscovery::new(&config, &shared());
    let targets = |snapshot: Snapshot| -> Vec<String> {
        let labels: Vec<Labels> = snapshot.groups.iter().flat_map(|group| group.targets.clone()).collect();
        labels.iter().filter_map(|labels| labels.get(crate::ADDRESS)).map(str::to_owned).collect()
    };
    let first = discovery.poll().await.unwrap();
    let name = path("a.json").display().to_string();
    assert_eq!(first.groups[0].labels.get("__meta_filepath"), Some(name.as_str()));
    assert_eq!(targets(first), ["a:1"]);
    fs::write(path("b.json"), r#"[{"targets": ["b:1", "b:2"]}]"#).unwrap();
    discovery.changed().await;
    assert_eq!(targets(discovery.poll().await.unwrap()), ["a:1", "b:1", "b:2"]);
    // A file that makes no sense keeps what it had; one that is gone does not.
    fs::write(path("b.json"), "[{").unwrap();
    fs::remove_file(path("a.json")).unwrap();
    discovery.changed().await;
    assert_eq!(targets(discovery.poll().await.unwrap()), ["b:1", "b:2"]);
}

#[tokio::test]
async fn servers_are_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/targets", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let mut requests = Vec::new();
        for (head, body) in [
            ("200 OK\r\nContent-Type: application/json; charset=utf-8", r#"[{"targets": ["a:1"]}]"#),
            ("200 OK\r\nContent-Type: text/plain", "[]"),
            ("503 Service Unavailable", ""),
        ] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            requests.push(String::from_utf8(request).unwrap());
            let answer = format!(
                "HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        requests
    });
    let config: HttpSdConfig =
        serde_saphyr::from_str(&format!("{{url: '{url}', refresh_interval: 90s, bearer_token: t}}")).unwrap();
    let discovery = http::HttpDiscovery::new(&config).unwrap();
    let found = discovery.poll().await.unwrap();
    assert_eq!(show(&found.groups), [format!(r#"{url}:0 ["a:1"] {{__meta_url="{url}"}}"#)]);
    assert_eq!(discovery.poll().await.unwrap_err(), r#"unsupported content type "text/plain""#);
    assert_eq!(discovery.poll().await.unwrap_err(), "server returned HTTP status 503 Service Unavailable");
    let requests = served.await.unwrap();
    for line in
        ["accept: application/json", "x-prometheus-refresh-interval-seconds: 90", "authorization: Bearer t"]
    {
        assert!(requests[0].contains(&format!("\r\n{line}\r\n")), "{}", requests[0]);
    }
}
