//! Real clients over real TLS: what is let in, what is not, and what changes without a restart.

use std::fs;

use axum::Router;
use axum::middleware;
use axum::routing::any;
use reqwest::{Certificate, Client, Identity, Response};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::listen::{Peer, WebListener};
use super::*;

const CA: &[u8] = include_bytes!("../../../../tests/tls/ca.pem");
const CLIENT: &[u8] = include_bytes!("../../../../tests/tls/client.pem");
const CLIENT_KEY: &[u8] = include_bytes!("../../../../tests/tls/client-key.pem");

struct Fixture {
    folder: TempDir,
    web: Arc<Web>,
    url: String,
}

fn tls_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/tls").join(name)
}

/// A server by this configuration, with `server.pem` and `server-key.pem` beside it.
async fn fixture(config: &str) -> Fixture {
    // One is installed for the process; which test is first does not matter.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    for name in ["server.pem", "server-key.pem", "ca.pem"] {
        fs::copy(tls_file(name), folder.path().join(name)).unwrap();
    }
    let path = folder.path().join("web.yml");
    fs::write(&path, config).unwrap();
    let web = Web::open(Some(&path)).unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("{}://localhost:{}", web.scheme(), socket.local_addr().unwrap().port());
    let router = Router::new()
        .fallback(any(async || "hello"))
        .layer(middleware::from_fn_with_state(Arc::clone(&web), guard));
    let patience = Duration::from_secs(300);
    let listener = WebListener { socket, web: Arc::clone(&web), places: None, patience };
    tokio::spawn(async move {
        axum::serve(listener, router.into_make_service_with_connect_info::<Peer>()).await.unwrap();
    });
    Fixture { folder, web, url }
}

impl Fixture {
    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.folder.path().join(name), bytes).unwrap();
        // As if the second had passed in which files are not looked at again.
        self.web.looked.lock().at = Instant::now().checked_sub(LOOK_EVERY * 2).unwrap();
    }
}

fn client(identity: bool) -> Client {
    let mut builder = Client::builder().no_proxy().tls_certs_only(Certificate::from_pem_bundle(CA).unwrap());
    if identity {
        let pem = [CLIENT, b"\n", CLIENT_KEY].concat();
        builder = builder.identity(Identity::from_pem(&pem).unwrap());
    }
    builder.build().unwrap()
}

async fn ask(client: &Client, method: &str, url: String, auth: Option<&str>) -> Response {
    let mut request = client.request(method.parse().unwrap(), url);
    if let Some(auth) = auth {
        request = request.header("Authorization", auth);
    }
    request.send().await.unwrap()
}

const TLS: &str = "tls_server_config: {cert_file: server.pem, key_file: server-key.pem";

#[tokio::test]
async fn tls_is_spoken_in_both_versions_of_http() {
    let f = fixture(&format!("{TLS}}}\nhttp_server_config: {{headers: {{X-Frame-Options: deny}}}}\n")).await;
    let answer = ask(&client(false), "GET", f.url.clone(), None).await;
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.headers()["x-frame-options"], "deny");
    assert_eq!(answer.text().await.unwrap(), "hello");
    let f = fixture(&format!("{TLS}, max_version: TLS12}}\nhttp_server_config: {{http2: false}}\n")).await;
    let answer = ask(&client(false), "GET", f.url.clone(), None).await;
    assert_eq!(answer.version(), reqwest::Version::HTTP_11);
    // Who does not trust the authority does not get in, and keeps nobody else out.
    let stranger = Client::builder().no_proxy().build().unwrap();
    assert!(stranger.get(&f.url).send().await.is_err());
    assert!(tokio::net::TcpStream::connect(f.url.trim_start_matches("https://")).await.is_ok());
    assert!(ask(&client(false), "GET", f.url, None).await.status().is_success());
}

#[tokio::test]
async fn clients_show_certificates_where_that_is_asked_for() {
    let verified = format!("{TLS}, client_ca_file: ca.pem, client_auth_type: RequireAndVerifyClientCert");
    let f = fixture(&format!("{verified}}}\n")).await;
    assert!(client(false).get(&f.url).send().await.is_err());
    assert!(ask(&client(true), "GET", f.url, None).await.status().is_success());
    let f = fixture(&format!("{verified}, client_allowed_sans: [client.test]}}\n")).await;
    assert!(ask(&client(true), "GET", f.url, None).await.status().is_success());
    let f = fixture(&format!("{verified}, client_allowed_sans: [other.test]}}\n")).await;
    assert!(client(true).get(&f.url).send().await.is_err());
    let f = fixture(&format!("{TLS}, client_auth_type: RequireAnyClientCert}}\n")).await;
    assert!(client(false).get(&f.url).send().await.is_err());
    assert!(ask(&client(true), "GET", f.url, None).await.status().is_success());
    let f = fixture(&format!("{TLS}, client_auth_type: RequestClientCert}}\n")).await;
    assert!(ask(&client(false), "GET", f.url, None).await.status().is_success());
}

#[tokio::test]
async fn users_and_tokens_may_do_what_they_may() {
    let hash = bcrypt::hash("secret", 4).unwrap();
    let sum = hex::encode(<sha2::Sha256 as sha2::Digest>::digest("reader"));
    let f = fixture(&format!(
        "basic_auth_users: {{alice: '{hash}'}}\nbearer_tokens:\n  - {{name: grafana, sha256: {sum}}}\n  \
         - {{name: agent, token_file: server.pem, scopes: [write]}}\n"
    ))
    .await;
    let agent = format!("Bearer {}", "writer");
    f.write("server.pem", "writer\n");
    let plain = Client::new();
    let check = async |method: &str, path: &str, auth: Option<&str>, status: u16| {
        let answer = ask(&plain, method, format!("{}{path}", f.url), auth).await;
        assert_eq!(answer.status().as_u16(), status, "{method} {path} {auth:?}");
    };
    let basic = |text: &str| {
        use base64::Engine as _;
        format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(text))
    };
    let (alice, wrong, nobody) = (basic("alice:secret"), basic("alice:wrong"), basic("bob:secret"));
    for _ in 0..2 {
        // The second time the outcome is remembered.
        check("GET", "/", None, 401).await;
        check("POST", "/api/v1/write", Some(&alice), 200).await;
        check("GET", "/", Some(&wrong), 401).await;
        check("GET", "/", Some(&nobody), 401).await;
    }
    check("GET", "/api/v1/query", Some("Bearer reader"), 200).await;
    check("POST", "/api/v1/query", Some("bearer reader"), 200).await;
    check("POST", "/api/v1/write", Some("Bearer reader"), 403).await;
    check("POST", "/-/reload", Some("Bearer reader"), 403).await;
    check("DELETE", "/metrics/job/a", Some("Bearer reader"), 403).await;
    check("POST", "/api/v1/write", Some(&agent), 200).await;
    check("GET", "/api/v1/query", Some(&agent), 403).await;
    check("GET", "/", Some("Bearer other"), 401).await;
    let answer = ask(&plain, "GET", f.url.clone(), None).await;
    assert_eq!(answer.headers()["www-authenticate"], "Basic");
}

#[tokio::test]
async fn changes_are_taken_without_a_restart() {
    let hash = |password: &str| bcrypt::hash(password, 4).unwrap();
    let config = |password: &str| format!("{TLS}}}\nbasic_auth_users: {{a: '{}'}}\n", hash(password));
    let f = fixture(&config("one")).await;
    let status = async |password: &str| {
        // A new connection each time, for the handshake is what changes.
        let answer = client(false).get(&f.url).basic_auth("a", Some(password)).send().await;
        answer.map(|answer| answer.status().as_u16()).ok()
    };
    assert_eq!((status("one").await, status("two").await), (Some(200), Some(401)));
    f.write("web.yml", config("two"));
    assert_eq!((status("two").await, status("one").await), (Some(200), Some(401)));
    // What makes no sense changes nothing.
    f.write("web.yml", "basic_auth_users: {a: plain}\n");
    assert_eq!(status("two").await, Some(200));
    f.write("web.yml", config("two"));
    // Another certificate, which is for another name.
    f.write("server-key.pem", fs::read(tls_file("renamed-key.pem")).unwrap());
    f.write("server.pem", fs::read(tls_file("renamed.pem")).unwrap());
    assert_eq!(status("two").await, None);
}

#[test]
fn mistakes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.yml");
    for (config, what) in [
        ("tls_server_config: {}", "tls_server_config: missing one of cert or cert_file"),
        ("tls_server_config: {cert_file: a, key_file: b}", "read cert_file"),
        ("tls_server_config: {cert: x, key: y, client_auth_type: Sometimes}", "unknown variant `Sometimes`"),
        (
            "tls_server_config: {cert: x, key: y, client_ca_file: c}",
            "client CA's have been configured without a Client Auth Policy",
        ),
        ("tls_server_config: {cert: x, key: y, max_version: TLS11}", "older ones are not spoken"),
        ("tls_server_config: {cert: x, key: y, cipher_suites: [FAST]}", "unknown cipher suite \"FAST\""),
        ("basic_auth_users: {a: plain}", "the hash of \"a\" is none of bcrypt's"),
        ("http_server_config: {headers: {X-Other: a}}", "HTTP header \"X-Other\" can not be configured"),
        ("bearer_tokens: [{name: a}]", "needs either sha256 or token_file"),
        ("bearer_tokens: [{name: a, sha256: xyz}]", "must be 64 hexadecimal digits"),
        ("colour: red", "web.yml:1:1: colour: unknown field `colour`"),
    ] {
        fs::write(&path, config).unwrap();
        let error = format!("{:#}", check(&path).unwrap_err());
        assert!(error.contains(what), "{config}: {error}");
    }
    fs::write(&path, "").unwrap();
    check(&path).unwrap();
}

#[tokio::test]
async fn requests_over_the_rate_are_refused() {
    let f = fixture("rate_limit: {interval: 1h, burst: 2}\n").await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(Client::new().get(&f.url).send().await.unwrap().status().as_u16());
    }
    assert_eq!(seen, [200, 200, 429]);
    f.write("web.yml", "rate_limit: {interval: 1h}\n");
    let error = format!("{:#}", check(&f.folder.path().join("web.yml")).unwrap_err());
    assert!(
        error.ends_with("rate_limit: burst must be at least 1, or no request is ever let through"),
        "{error}"
    );
}
