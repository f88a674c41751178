//! Requests against a listener of our own: what is asked, and what becomes of each answer.

use std::io::Write as _;

use expect_test::{Expect, expect};
use model::Labels;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::config::GlobalConfig;
use crate::target::{ADDRESS, Resolved, TargetGroup};

/// Answers one connection after the other with `answers`, and gives back the requests.
async fn serve(answers: Vec<Vec<u8>>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let served = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !is_whole(&request) {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "request ended early");
            }
            requests.push(String::from_utf8(request).unwrap());
            stream.write_all(&answer).await.unwrap();
        }
        requests
    });
    (address, served)
}

/// Whether the headers are there, and the body that they announce.
fn is_whole(request: &[u8]) -> bool {
    let text = std::str::from_utf8(request).unwrap();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| body.len() >= length.parse().unwrap())
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    bytes = bytes.replace("\\n", "\r\n");
    [bytes.as_bytes(), body].concat()
}

fn fetch_of(job: &ScrapeConfig, address: &str) -> HttpFetch {
    let client = Arc::new(HttpClient::new(&job.http, job.enable_compression).unwrap());
    let own = Labels::from_pairs([(ADDRESS, address)]);
    let Ok(Resolved::Active(target)) = Target::resolve(job, &TargetGroup::default(), &own) else {
        panic!("{address} is no target");
    };
    HttpFetch::new(&client, job, &accept(job), &target)
}

async fn fetch(job: &str, answers: Vec<Vec<u8>>) -> (Result<String, String>, Vec<String>) {
    let job: ScrapeConfig =
        serde_saphyr::from_str(&format!("job_name: j\nparams: {{x: ['1']}}\n{job}")).unwrap();
    let (address, served) = serve(answers).await;
    let job = job.resolved(&GlobalConfig::default());
    let fetch = fetch_of(&job, &address);
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
        authorization: Basic dTpw
        accept: text/plain;version=0.0.4;q=0.6,*/*;q=0.5
        x-prometheus-scrape-timeout-seconds: 2.5
        accept-encoding: identity
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
    let fetch = fetch_of(&ScrapeConfig::new("j").resolved(&GlobalConfig::default()), &address);
    let error = fetch.fetch(Duration::from_secs(1)).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("Get \"http://{address}/metrics\": ")), "{error}");
    assert!(error.contains("refused"), "{error}");
}

#[test]
fn missing_certificates_are_named() {
    let job: ScrapeConfig =
        serde_saphyr::from_str("{job_name: j, tls_config: {ca_file: missing.pem}}").unwrap();
    let error = HttpClient::new(&job.http, true).err().unwrap().to_string();
    assert!(error.starts_with("read missing.pem: "), "{error}");
}

#[test]
fn formats_are_told_how_to_escape_names() {
    let check = |job: &str, escaping: &str| {
        let job: ScrapeConfig = serde_saphyr::from_str(&format!("job_name: j\n{job}")).unwrap();
        let accept = accept(&job.resolved(&GlobalConfig::default()));
        let formats: Vec<&str> =
            accept.split(',').filter(|format| format.contains("version=1.0.0")).collect();
        assert_eq!(formats.len(), 2, "{accept}");
        assert!(formats.iter().all(|f| f.contains(&format!(";escaping={escaping};q="))), "{accept}");
    };
    check("", "allow-utf-8");
    check("metric_name_escaping_scheme: dots", "dots");
    check("metric_name_validation_scheme: legacy", "underscores");
    check("metric_name_validation_scheme: legacy\nmetric_name_escaping_scheme: values", "values");
}

#[tokio::test]
async fn headers_and_secrets_are_read_for_each_request() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    let plain = answer("200 OK\\nContent-Type: text/plain", b"a 1\n");
    let (address, served) = serve(vec![plain.clone(), plain]).await;
    let job = format!(
        "job_name: j\nauthorization: {{type: Token, credentials_file: {0}}}\nhttp_headers:\n  \
         X-Tenant: {{values: [a], secrets: [b]}}\n  X-File: {{files: [{0}]}}\n",
        file.display()
    );
    let job: ScrapeConfig = serde_saphyr::from_str(&job).unwrap();
    let fetch = fetch_of(&job.resolved(&GlobalConfig::default()), &address);
    fetch.fetch(Duration::from_secs(5)).await.unwrap();
    std::fs::write(&file, "second").unwrap();
    fetch.fetch(Duration::from_secs(5)).await.unwrap();
    let requests = served.await.unwrap();
    let has = |at: usize, line: &str| requests[at].contains(&format!("\r\n{line}\r\n"));
    assert!(has(0, "authorization: Token first") && has(0, "x-file: first"), "{}", requests[0]);
    assert!(has(0, "x-tenant: a") && has(0, "x-tenant: b"), "{}", requests[0]);
    assert!(has(1, "authorization: Token second") && has(1, "x-file: second"), "{}", requests[1]);
}

#[tokio::test]
async fn tokens_are_asked_for_once() {
    let token = answer("200 OK", br#"{"access_token": "t1", "token_type": "bearer", "expires_in": 3600}"#);
    let refused = answer("401 Unauthorized", b"{}");
    let (token_address, tokens) = serve(vec![refused, token]).await;
    let plain = answer("200 OK\\nContent-Type: text/plain", b"a 1\n");
    let (address, served) = serve(vec![plain.clone(), plain]).await;
    let job = format!(
        "job_name: j\noauth2: {{client_id: me, client_secret: hush, scopes: [a, b], \
         token_url: 'http://{token_address}/token', endpoint_params: {{audience: x}}}}"
    );
    let job: ScrapeConfig = serde_saphyr::from_str(&job).unwrap();
    let fetch = fetch_of(&job.resolved(&GlobalConfig::default()), &address);
    fetch.fetch(Duration::from_secs(5)).await.unwrap();
    fetch.fetch(Duration::from_secs(5)).await.unwrap();
    let tokens = tokens.await.unwrap();
    // Credentials come in the header first, and in the body where that is refused.
    assert!(tokens[0].starts_with("POST /token ") && tokens[0].contains("authorization: Basic bWU6aHVzaA=="));
    assert!(
        tokens[0].ends_with("\r\n\r\ngrant_type=client_credentials&scope=a+b&audience=x"),
        "{}",
        tokens[0]
    );
    assert!(!tokens[1].contains("authorization:") && tokens[1].ends_with("&client_id=me&client_secret=hush"));
    for request in served.await.unwrap() {
        assert!(request.contains("authorization: Bearer t1\r\n"), "{request}");
    }
}

#[tokio::test]
async fn assertions_stand_for_a_secret() {
    let token = answer("200 OK", br#"{"access_token": "t2", "expires_in": 3600}"#);
    let (token_address, tokens) = serve(vec![token]).await;
    let (address, served) = serve(vec![answer("200 OK\\nContent-Type: text/plain", b"a 1\n")]).await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.pem");
    std::fs::write(&key, include_str!("../../../../tests/tls/rsa-key.pem")).unwrap();
    let job = format!(
        "job_name: j\noauth2: {{client_id: me, client_certificate_key_file: '{}', scopes: [a], \
         grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', token_url: 'http://{token_address}/token'}}",
        key.display()
    );
    let job: ScrapeConfig = serde_saphyr::from_str(&job).unwrap();
    let fetch = fetch_of(&job.resolved(&GlobalConfig::default()), &address);
    fetch.fetch(Duration::from_secs(5)).await.unwrap();
    let asked = tokens.await.unwrap().remove(0);
    let body = asked.split("\r\n\r\n").nth(1).unwrap();
    assert!(
        body.starts_with("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=eyJ"),
        "{asked}"
    );
    assert!(!asked.contains("authorization:"), "{asked}");
    assert!(served.await.unwrap()[0].contains("authorization: Bearer t2\r\n"));
}

#[tokio::test]
async fn requests_go_through_the_proxy_unless_it_is_not_for_them() {
    let plain = answer("200 OK\\nContent-Type: text/plain", b"a 1\n");
    let (proxy, proxied) = serve(vec![plain.clone()]).await;
    let job: ScrapeConfig =
        serde_saphyr::from_str(&format!("job_name: j\nproxy_url: http://{proxy}\nno_proxy: 127.0.0.2"))
            .unwrap();
    let job = job.resolved(&GlobalConfig::default());
    fetch_of(&job, "target.invalid:80").fetch(Duration::from_secs(5)).await.unwrap();
    assert!(proxied.await.unwrap()[0].starts_with("GET http://target.invalid/metrics HTTP/1.1\r\n"));
    let error = fetch_of(&job, "127.0.0.2:1").fetch(Duration::from_secs(5)).await.unwrap_err().to_string();
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn sockets_of_this_machine_are_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exporter.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "request ended early");
        }
        stream.write_all(&answer("200 OK\\nContent-Type: text/plain", b"a 1\n")).await.unwrap();
        String::from_utf8(request).unwrap()
    });
    let job = ScrapeConfig::new("j").resolved(&GlobalConfig::default());
    let client = Arc::new(HttpClient::new(&job.http, true).unwrap());
    let path = path.to_str().unwrap();
    let own = Labels::from_pairs([(ADDRESS, "exporter.local"), ("__unix_socket__", path)]);
    let Ok(Resolved::Active(target)) = Target::resolve(&job, &TargetGroup::default(), &own) else { panic!() };
    let fetched = HttpFetch::new(&client, &job, &accept(&job), &target).fetch(Duration::from_secs(5)).await;
    assert!(matches!(fetched, Ok(Fetched::Exposition { body, .. }) if body == b"a 1\n"));
    assert!(served.await.unwrap().contains("host: exporter.local\r\n"));
}
