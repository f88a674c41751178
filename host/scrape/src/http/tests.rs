//! Requests against a listener of our own: what is asked, and what becomes of each answer.

use std::io::Write as _;

use expect_test::{Expect, expect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::config::GlobalConfig;

/// Answers one connection after the other with `answers`, and gives back the requests.
async fn serve(answers: Vec<Vec<u8>>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let served = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "request ended early");
            }
            requests.push(String::from_utf8(request).unwrap());
            stream.write_all(&answer).await.unwrap();
        }
        requests
    });
    (address, served)
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    bytes = bytes.replace("\\n", "\r\n");
    [bytes.as_bytes(), body].concat()
}

async fn fetch(job: &str, answers: Vec<Vec<u8>>) -> (Result<String, String>, Vec<String>) {
    let job: ScrapeConfig = serde_saphyr::from_str(&format!("job_name: j\n{job}")).unwrap();
    let (address, served) = serve(answers).await;
    let client = client(&job.http()).unwrap();
    let job = job.resolved(&GlobalConfig::default());
    let fetch = HttpFetch::new(client, &job, format!("http://{address}/metrics?x=1"));
    let result = match fetch.fetch(Duration::from_millis(2500)).await {
        Ok(Fetched::Exposition { format, body }) => {
            Ok(format!("{format:?}: {}", String::from_utf8(body).unwrap()))
        }
        Ok(Fetched::Columns(_)) => Err("columns over HTTP".to_owned()),
        Err(error) => Err(error.to_string().replace(&address, "ADDRESS")),
    };
    let requests = served.await.unwrap().into_iter().map(|r| r.replace(&address, "ADDRESS")).collect();
    (result, requests)
}

async fn check(job: &str, answers: Vec<Vec<u8>>, expected: &Expect) {
    let (result, _) = fetch(job, answers).await;
    expected.assert_eq(&result.unwrap_or_else(|error| format!("error: {error}")));
}

#[tokio::test]
async fn requests_say_what_prometheus_says() {
    let plain = answer("200 OK\\nContent-Type: text/plain; version=0.0.4", b"a 1\n");
    let (result, requests) = fetch("", vec![plain.clone()]).await;
    assert_eq!(result.unwrap(), "PrometheusText: a 1\n");
    let version = env!("CARGO_PKG_VERSION");
    expect![[r#"
        GET /metrics?x=1 HTTP/1.1
        user-agent: Stormglass/VERSION
        accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2
        x-prometheus-scrape-timeout-seconds: 2.5
        accept-encoding: gzip
        host: ADDRESS

    "#]].assert_eq(&requests[0].replace(version, "VERSION").replace('\r', ""));
    let (_, requests) = fetch(
        "enable_compression: false\nbasic_auth: {username: u, password: p}\nscrape_protocols: [PrometheusText0.0.4]",
        vec![plain.clone()],
    )
    .await;
    expect![[r#"
        GET /metrics?x=1 HTTP/1.1
        user-agent: Stormglass/VERSION
        accept: text/plain;version=0.0.4;q=0.6,*/*;q=0.5
        x-prometheus-scrape-timeout-seconds: 2.5
        accept-encoding: identity
        authorization: Basic dTpw
        host: ADDRESS

    "#]]
    .assert_eq(&requests[0].replace(version, "VERSION").replace('\r', ""));
    let (_, requests) = fetch("authorization: {credentials: token}", vec![plain.clone()]).await;
    assert!(requests[0].contains("authorization: Bearer token\r\n"));
    let (_, requests) = fetch("scrape_native_histograms: true", vec![plain]).await;
    let accept = requests[0].lines().find_map(|line| line.strip_prefix("accept: ")).unwrap();
    let (first, rest) = accept.split_once(",").unwrap();
    expect![
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6"
    ]
    .assert_eq(first);
    assert!(rest.starts_with("application/openmetrics-text;version=1.0.0;"), "{rest}");
    assert!(rest.ends_with("text/plain;version=0.0.4;q=0.2,*/*;q=0.1"), "{rest}");
}

#[tokio::test]
async fn compressed_answers_are_bounded_by_what_they_unpack_to() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&b"a 1\n".repeat(1000)).unwrap();
    let body = encoder.finish().unwrap();
    let zipped = answer("200 OK\\nContent-Type: text/plain\\nContent-Encoding: gzip", &body);
    let (result, _) = fetch("body_size_limit: 4000B", vec![zipped.clone()]).await;
    assert_eq!(result.unwrap().len(), "PrometheusText: ".len() + 4000);
    check("body_size_limit: 3999B", vec![zipped], &expect!["error: body size limit exceeded"]).await;
}

#[tokio::test]
async fn answers_that_are_no_exposition_are_failures() {
    check(
        "",
        vec![answer("404 Not Found", b"")],
        &expect!["error: server returned HTTP status 404 Not Found"],
    )
    .await;
    check(
        "",
        vec![answer("200 OK\\nContent-Type: text/html", b"")],
        &expect![[
            r#"error: unsupported Content-Type "text/html" and no fallback_scrape_protocol configured"#
        ]],
    )
    .await;
    check(
        "",
        vec![answer("200 OK", b"a 1\n")],
        &expect![[r#"error: unsupported Content-Type "" and no fallback_scrape_protocol configured"#]],
    )
    .await;
    check(
        "fallback_scrape_protocol: PrometheusText0.0.4",
        vec![answer("200 OK", b"a 1\n")],
        &expect![[r#"
        PrometheusText: a 1
    "#]],
    )
    .await;
    check(
        "",
        vec![answer("200 OK\\nContent-Type: application/openmetrics-text", b"# EOF\n")],
        &expect![[r#"
        OpenMetricsText: # EOF
    "#]],
    )
    .await;
    let family = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily";
    check(
        "",
        vec![answer(&format!("200 OK\\nContent-Type: {family}; encoding=delimited"), b"\x03\x0a\x01a")],
        &expect!["Protobuf: \u{3}\n\u{1}a"],
    )
    .await;
    check(
        "",
        vec![answer(&format!("200 OK\\nContent-Type: {family}; encoding=text"), b"name: \"a\"")],
        &expect![[r#"error: unsupported Content-Type "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text" and no fallback_scrape_protocol configured"#]],
    )
    .await;
}

#[tokio::test]
async fn redirects_are_followed_unless_switched_off() {
    let moved = answer("302 Found\\nLocation: /elsewhere", b"");
    let there = answer("200 OK\\nContent-Type: text/plain", b"b 2\n");
    check(
        "",
        vec![moved.clone(), there],
        &expect![[r#"
        PrometheusText: b 2
    "#]],
    )
    .await;
    check("follow_redirects: false", vec![moved], &expect!["error: server returned HTTP status 302 Found"])
        .await;
}

#[tokio::test]
async fn a_target_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let job = ScrapeConfig::new("j");
    let fetch = HttpFetch::new(client(&job.http()).unwrap(), &job, format!("http://{address}/metrics"));
    let error = fetch.fetch(Duration::from_secs(1)).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("Get \"http://{address}/metrics\": ")), "{error}");
    assert!(error.contains("refused"), "{error}");
}

#[test]
fn missing_certificates_are_named() {
    let job: ScrapeConfig =
        serde_saphyr::from_str("{job_name: j, tls_config: {ca_file: missing.pem}}").unwrap();
    let error = client(&job.http()).unwrap_err().to_string();
    assert!(error.starts_with("read missing.pem: "), "{error}");
}
