//! Connections under attack, from both sides: what a guest may not reach, and what a server may not do to it.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::bindings::stormglass::host::dns;
use crate::bindings::stormglass::host::http::Request;
use crate::bindings::stormglass::host::http_trace;
use crate::bindings::stormglass::types::net::Family;
use crate::compiler::CompileIn;
use crate::grants::Grants;
use crate::host::{Host as PluginHost, HostOptions};
use crate::limits::{ByteSize, Limits};
use crate::net::{Names, Network};
use crate::state::CallState;

/// A resolver whose owner changes its mind with every question.
struct Rebinding(Mutex<Vec<IpAddr>>);

#[async_trait]
impl Names for Rebinding {
    async fn addresses(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
        let mut answers = self.0.lock();
        if answers.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(vec![answers.remove(0)]) }
    }
}

/// The state of a guest that is being called, with these grants.
fn state(grants: &str, answers: &[&str], change: impl FnOnce(&mut Limits)) -> State {
    let registry = prometheus::Registry::new();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = HostOptions {
        plugins_dir: "plugins".into(),
        cache_dir: None,
        state_dir: None,
        query: None,
        compile_in: CompileIn::Here,
        registry: &registry,
    };
    let answers = answers.iter().map(|text| text.parse().unwrap()).collect();
    let network = Network::with_names(Arc::new(Rebinding(Mutex::new(answers))));
    let host = PluginHost::on(options, network).unwrap();
    let grants: Grants = serde_json::from_str(grants).unwrap();
    let mut limits = Limits::STANDARD;
    change(&mut limits);
    let mut state = State::new(host.tenant("guest", grants, limits));
    state.call = CallState::until(Instant::now() + Duration::from_secs(60));
    state
}

fn granted(address: &str) -> String {
    format!(r#"{{"net": ["{address}"]}}"#)
}

fn plain() -> ConnectOptions {
    ConnectOptions { timeout_ms: None, family: Family::Any, tls: None }
}

async fn connect(state: &mut State, host: &str, port: u16) -> Result<Resource<Connection>, Error> {
    Host::connect(state, host.to_owned(), port, plain()).await.unwrap()
}

/// A server that does the same for each connection.
async fn server<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    port
}

async fn echo(mut stream: TcpStream) {
    let (mut reader, mut writer) = stream.split();
    let _ = tokio::io::copy(&mut reader, &mut writer).await;
}

/// Copies of a handle, which is only lent to the host.
fn lent(handle: &Resource<Connection>) -> Resource<Connection> {
    Resource::new_borrow(handle.rep())
}

async fn read(state: &mut State, handle: &Resource<Connection>, max: u32) -> Result<Vec<u8>, Error> {
    HostConnection::read(state, lent(handle), max, Some(2_000)).await.unwrap()
}

async fn write(state: &mut State, handle: &Resource<Connection>, data: &[u8]) -> Result<(), Error> {
    HostConnection::write(state, lent(handle), data.to_vec(), Some(2_000)).await.unwrap()
}

#[tokio::test]
async fn what_is_granted_is_reached_and_nothing_else() {
    let port = server(echo).await;
    let mut state = state(&granted(&format!("127.0.0.1:{port}")), &[], |_| ());
    let handle = connect(&mut state, "127.0.0.1", port).await.unwrap();
    write(&mut state, &handle, b"hello").await.unwrap();
    assert_eq!(read(&mut state, &handle, 100).await.unwrap(), b"hello");
    let peer = HostConnection::peer(&mut state, lent(&handle)).await.unwrap();
    assert_eq!(peer, format!("127.0.0.1:{port}"));

    for (host, port, expected) in [
        ("127.0.0.1", port ^ 1, format!("net: 127.0.0.1:{} is not granted; ", port ^ 1)),
        ("localhost", port, format!("net: localhost:{port} is not granted; ")),
        ("127.0.0.2", port, format!("net: 127.0.0.2:{port} is not granted; ")),
    ] {
        let error = connect(&mut state, host, port).await.unwrap_err();
        let expected = format!("{expected}add it to grants.net to allow it");
        assert!(matches!(&error, Error::Denied(text) if *text == expected), "{error:?}");
        assert_eq!(state.call.denied.take(), Some(expected));
    }
    let error = connect(&mut state, "a b", port).await.unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error:?}");
}

/// Whoever serves the zone of a granted name may point it anywhere; the address is what counts.
#[tokio::test]
async fn a_name_cannot_be_bent_to_this_machine_or_to_metadata() {
    let port = server(echo).await;
    let name = format!("db.example:{port}");
    let bent = ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "0.0.0.0"];
    let mut state = state(&granted(&name), &bent, |_| ());
    for address in bent {
        let error = connect(&mut state, "db.example", port).await.unwrap_err();
        assert!(matches!(error, Error::Denied(_)), "{address} gave {error:?}");
    }
    let both = format!(r#"{{"net": ["{name}", "127.0.0.1:{port}"]}}"#);
    let mut state = self::state(&both, &["127.0.0.1"], |_| ());
    connect(&mut state, "DB.example.", port).await.unwrap();
}

#[tokio::test]
async fn a_slow_server_costs_no_more_than_the_time_there_is() {
    let port = server(|mut stream| async move {
        // A byte, and then for ever nothing.
        let _ = stream.write_all(b"x").await;
        let _ = stream.read(&mut [0]).await;
    })
    .await;
    let mut state = state(&granted(&format!("127.0.0.1:{port}")), &[], |_| ());
    let handle = connect(&mut state, "127.0.0.1", port).await.unwrap();
    assert_eq!(read(&mut state, &handle, 100).await.unwrap(), b"x");
    let waited = HostConnection::read(&mut state, lent(&handle), 100, Some(20)).await.unwrap();
    assert!(matches!(waited, Err(Error::Timeout)), "{waited:?}");
    // The call's own end comes first, whatever the guest asks for.
    state.call.deadline = Instant::now() + Duration::from_millis(50);
    let waited = HostConnection::read(&mut state, lent(&handle), 100, Some(3_600_000)).await.unwrap();
    assert!(matches!(waited, Err(Error::Timeout)), "{waited:?}");
    assert!(Instant::now() < state.call.deadline + Duration::from_secs(10));
}

#[tokio::test]
async fn an_endless_answer_ends_at_the_limit() {
    let port =
        server(|mut stream| async move { while stream.write_all(&[b'x'; 4096]).await.is_ok() {} }).await;
    let limit = ByteSize(100_000);
    let mut state = state(&granted(&format!("127.0.0.1:{port}")), &[], |limits| limits.received = limit);
    let handle = connect(&mut state, "127.0.0.1", port).await.unwrap();
    let mut received = 0;
    let error = loop {
        match read(&mut state, &handle, u32::MAX).await {
            Ok(bytes) => received += bytes.len() as u64,
            Err(error) => break error,
        }
    };
    assert_eq!(received, limit.0);
    assert!(matches!(&error, Error::Limit(text) if text.contains("limits.received")), "{error:?}");
}

#[tokio::test]
async fn thousands_of_connections_are_as_many_as_the_limit_says() {
    let port = server(echo).await;
    let mut state = state(&granted(&format!("127.0.0.1:{port}")), &[], |limits| limits.connections = 10);
    let mut made = 0;
    for _ in 0..2_000 {
        match connect(&mut state, "127.0.0.1", port).await {
            // Dropped at once or kept: they count.
            Ok(handle) if made % 2 == 0 => HostConnection::drop(&mut state, handle).await.unwrap(),
            Ok(_) => {}
            Err(error) => {
                assert!(matches!(&error, Error::Limit(text) if text.contains("limits.connections")));
                continue;
            }
        }
        made += 1;
    }
    assert_eq!(made, 10);
}

#[tokio::test]
async fn a_connection_ends_with_its_call() {
    let port = server(echo).await;
    let mut state = state(&granted(&format!("127.0.0.1:{port}")), &[], |_| ());
    let kept = connect(&mut state, "127.0.0.1", port).await.unwrap();
    state.connections.close();
    state.call = CallState::until(Instant::now() + Duration::from_secs(60));
    let other = connect(&mut state, "127.0.0.1", port).await.unwrap();
    assert!(matches!(write(&mut state, &kept, b"x").await, Err(Error::Closed)));
    write(&mut state, &other, b"x").await.unwrap();
    HostConnection::drop(&mut state, kept).await.unwrap();
    assert_eq!(read(&mut state, &other, 1).await.unwrap(), b"x");
}

fn pem(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/tls").join(name)).unwrap()
}

/// A server that speaks TLS with a certificate for `localhost` and `127.0.0.1`, after a line in plain text where that is asked for.
async fn tls_server(starttls: bool) -> u16 {
    let chain = CertificateDer::pem_slice_iter(&pem("server.pem")).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(&pem("server-key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    server(move |mut stream| {
        let acceptor = acceptor.clone();
        async move {
            if starttls {
                let _ = stream.read_exact(&mut [0; 9]).await;
                let _ = stream.write_all(b"ok\n").await;
            }
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut bytes = [0; 1024];
            while let Ok(length @ 1..) = stream.read(&mut bytes).await {
                if stream.write_all(&bytes[..length]).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

fn tls() -> TlsOptions {
    TlsOptions {
        server_name: None,
        authorities: Vec::new(),
        certificate: Vec::new(),
        key: Vec::new(),
        accept_invalid: false,
        protocols: Vec::new(),
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_will_not_do() {
    let port = tls_server(false).await;
    let mut state = state(&granted(&format!("127.0.0.1:{port}")), &[], |_| ());
    let mut ask = async |options: TlsOptions| {
        let options = ConnectOptions { tls: Some(options), ..plain() };
        let handle = Host::connect(&mut state, "127.0.0.1".to_owned(), port, options).await.unwrap()?;
        HostConnection::write(&mut state, lent(&handle), b"hello".to_vec(), None).await.unwrap()?;
        let answer = HostConnection::read(&mut state, lent(&handle), 5, None).await.unwrap()?;
        assert_eq!(answer, b"hello");
        Ok::<_, Error>(HostConnection::session(&mut state, lent(&handle)).await.unwrap().unwrap())
    };
    let refused = |error: Error| match error {
        Error::Tls(text) => text,
        other => panic!("{other:?}"),
    };
    // The authority of the tests is none of the system's.
    let error = refused(ask(tls()).await.unwrap_err());
    assert!(error.contains("invalid peer certificate") || error.contains("no certificates"), "{error}");
    let authorities = pem("ca.pem");
    let session = ask(TlsOptions { authorities: authorities.clone(), ..tls() }).await.unwrap();
    assert_eq!((session.version.as_str(), session.problem.as_deref()), ("TLS 1.3", None));
    assert!(session.cipher.starts_with("TLS_"), "{}", session.cipher);
    assert!(session.certificates[0].names.contains(&"localhost".to_owned()), "{session:?}");
    assert!(session.certificates[0].names.contains(&"127.0.0.1".to_owned()), "{session:?}");
    assert_eq!(session.verified_until, session.certificates.iter().map(|c| c.not_after).min());
    let renamed =
        TlsOptions { authorities: authorities.clone(), server_name: Some("other.test".to_owned()), ..tls() };
    let error = refused(ask(renamed.clone()).await.unwrap_err());
    assert!(error.contains("not valid for name"), "{error}");
    let session = ask(TlsOptions { accept_invalid: true, ..renamed }).await.unwrap();
    assert!(session.problem.unwrap().contains("not valid for name"));
    assert_eq!(session.verified_until, None);
    let error = ask(TlsOptions { authorities: b"none".to_vec(), ..tls() }).await.unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error:?}");
}

#[tokio::test]
async fn tls_can_begin_later() {
    let port = tls_server(true).await;
    let mut state = state(&granted(&format!("127.0.0.1:{port}")), &[], |_| ());
    let handle = connect(&mut state, "127.0.0.1", port).await.unwrap();
    assert!(HostConnection::session(&mut state, lent(&handle)).await.unwrap().is_none());
    write(&mut state, &handle, b"STARTTLS\n").await.unwrap();
    assert_eq!(read(&mut state, &handle, 3).await.unwrap(), b"ok\n");
    let options = TlsOptions { authorities: pem("ca.pem"), ..tls() };
    HostConnection::start_tls(&mut state, lent(&handle), options.clone(), None).await.unwrap().unwrap();
    write(&mut state, &handle, b"secret").await.unwrap();
    assert_eq!(read(&mut state, &handle, 6).await.unwrap(), b"secret");
    assert!(HostConnection::timings(&mut state, lent(&handle)).await.unwrap().handshake_ns.is_some());
    let again = HostConnection::start_tls(&mut state, lent(&handle), options, None).await.unwrap();
    assert!(matches!(again, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn names_are_looked_up_where_granted() {
    let mut state = state(r#"{"dns": ["*.example"], "net": ["127.0.0.1:1"]}"#, &[], |_| ());
    let mut ask = async |name: &str, server: &str| {
        let server = Some(server.to_owned());
        dns::Host::lookup(&mut state, name.to_owned(), dns::RecordType::A, server, Some(50)).await.unwrap()
    };
    for (name, server, denied) in [
        ("evil.org", "127.0.0.1:1", true),
        ("example", "127.0.0.1:1", true),
        ("notexample", "127.0.0.1:1", true),
        ("a.example", "127.0.0.2:1", true),
        ("A.Example.", "127.0.0.1:1", false),
    ] {
        let error = ask(name, server).await.unwrap_err();
        assert_eq!(matches!(error, dns::Error::Denied(_)), denied, "{name} at {server} gave {error:?}");
    }
}

#[tokio::test]
async fn an_exchange_tells_what_happened_on_the_way() {
    let port = server(|mut stream| async move {
        let mut bytes = [0; 1024];
        let length = stream.read(&mut bytes).await.unwrap_or(0);
        let asked = String::from_utf8_lossy(&bytes[..length]).into_owned();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-A: b\r\n\r\n{asked}", asked.len());
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let mut state = state(&format!(r#"{{"http": ["http://127.0.0.1:{port}"]}}"#), &[], |_| ());
    let mut ask = async |url: String| {
        let request = Request {
            method: "GET".to_owned(),
            url,
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: None,
        };
        let options = http_trace::Options { family: Family::Any, tls: None };
        http_trace::Host::trace(&mut state, request, options).await.unwrap()
    };
    let exchange = ask(format!("http://127.0.0.1:{port}/a?b#c")).await;
    let response = exchange.response.unwrap();
    let asked = String::from_utf8(response.body).unwrap();
    assert!(asked.starts_with("GET /a?b HTTP/1.1\r\n"), "{asked}");
    assert!(asked.to_lowercase().contains(&format!("\r\nhost: 127.0.0.1:{port}\r\n")), "{asked}");
    assert_eq!((exchange.http_version.as_str(), exchange.address.as_str()), ("1.1", "127.0.0.1"));
    assert!(exchange.phases.connect_ns > 0 && exchange.phases.processing_ns > 0);
    let denied = ask(format!("http://127.0.0.1:{}/", port ^ 1)).await;
    assert!(matches!(denied.response, Err(crate::bindings::stormglass::host::http::Error::Denied(_))));
}
