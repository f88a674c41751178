//! `stormglass:host/http-trace`: one HTTP exchange over a connection of its own, with what happened on the way.
//!
//! Grants, secrets and forbidden headers are those of `http`; only the connection is our own, so that it can be watched.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use reqwest::header::{HOST, HeaderValue, USER_AGENT};
use url::Url;

use super::http::{Refused, header_map, timeout, with_secrets};
use super::net::nanoseconds;
use crate::bindings::stormglass::host::http::{Error, Header, Request, Response};
use crate::bindings::stormglass::host::http_trace::{Exchange, Host, Options, Phases};
use crate::bindings::stormglass::types::net::{TlsOptions, TlsSession};
use crate::grants::check_address;
use crate::limits::HTTP_HEADERS_MAX;
use crate::net::stream::Stream;
use crate::net::tls::{TlsError, handshake};
use crate::net::{ConnectError, Timings};
use crate::state::{State, Tenant};

/// What is known of an exchange, however far it came.
struct Seen {
    timings: Timings,
    phases: Phases,
    version: String,
    address: String,
    session: Option<TlsSession>,
}

impl Seen {
    fn nothing() -> Self {
        Self {
            timings: Timings::default(),
            phases: Phases { resolve_ns: 0, connect_ns: 0, tls_ns: 0, processing_ns: 0, transfer_ns: 0 },
            version: String::new(),
            address: String::new(),
            session: None,
        }
    }
}

impl Host for State {
    async fn trace(&mut self, request: Request, options: Options) -> wasmtime::Result<Exchange> {
        self.count_host_call()?;
        let mut seen = Seen::nothing();
        if let Some(fake) = self.tenant.fake.clone() {
            let answer = match fake.fetch(&self.tenant.grants, &request) {
                Ok(answer) => answer,
                Err(denied) => Err(Error::Denied(self.deny(denied))),
            };
            return Ok(told(answer, seen));
        }
        let timeout = timeout(request.timeout_ms, self.time_left());
        let tenant = self.tenant.clone();
        let asked = tokio::time::timeout(timeout, ask(&tenant, request, options, &mut seen)).await;
        let (decision, answer) = match asked {
            Ok(Ok(response)) => ("allowed", Ok(response)),
            Ok(Err(Refused::Denied(denied))) => ("denied", Err(Error::Denied(self.deny(denied)))),
            Ok(Err(Refused::Error(error @ Error::Invalid(_)))) => ("invalid", Err(error)),
            Ok(Err(Refused::Error(error))) => ("allowed", Err(error)),
            Err(_) => ("allowed", Err(Error::Timeout)),
        };
        self.tenant.metrics.http_requests.with_label_values(&[&*self.tenant.name, decision]).inc();
        Ok(told(answer, seen))
    }
}

fn told(response: Result<Response, Error>, seen: Seen) -> Exchange {
    let Seen { timings, mut phases, version, address, session } = seen;
    phases.resolve_ns = nanoseconds(timings.resolve);
    phases.connect_ns = nanoseconds(timings.connect);
    Exchange { response, http_version: version, phases, address, session }
}

async fn ask(
    tenant: &Tenant,
    request: Request,
    options: Options,
    seen: &mut Seen,
) -> Result<Response, Refused> {
    let url =
        Url::parse(&request.url).map_err(|error| Refused::Error(Error::Invalid(format!("url: {error}"))))?;
    let headers = header_map(&request.headers)?;
    tenant.grants.check_url(&url)?;
    let mut headers = with_secrets(&headers, tenant, &url).await?;
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
        return Err(Error::Invalid("url: no host".to_owned()).into());
    };
    let host = host.to_owned();
    let authority = url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
    let authority = HeaderValue::from_str(&authority);
    headers.insert(HOST, authority.map_err(|_| Error::Invalid("url: no host".to_owned()))?);
    let agent = HeaderValue::from_static(concat!("stormglass/", env!("CARGO_PKG_VERSION")));
    headers.entry(USER_AGENT).or_insert(agent);
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let mut asked = http::Request::builder()
        .method(request.method.as_str())
        .uri(path)
        .body(Full::new(Bytes::from(request.body)))
        .map_err(|error| Error::Invalid(error.to_string()))?;
    *asked.headers_mut() = headers;

    let network = Arc::clone(&tenant.network);
    let connected = network.connect(&host, port, options.family, check_address, &mut seen.timings).await;
    let connected = connected.map_err(|error| match error {
        ConnectError::Denied(denied) => Refused::Denied(denied),
        ConnectError::Failed(what) => Error::Connect(what).into(),
    })?;
    seen.address = connected.peer.ip().to_string();
    let stream = if url.scheme() == "https" {
        let tls = TlsOptions { protocols: vec!["http/1.1".to_owned()], ..options.tls.unwrap_or(PLAIN) };
        let started = Instant::now();
        let shaken = handshake(&network, connected.stream, &host.to_string(), &tls).await;
        seen.phases.tls_ns = nanoseconds(started.elapsed());
        let (stream, session) = shaken.map_err(|error| match error {
            TlsError::Invalid(what) => Error::Invalid(what),
            TlsError::Handshake(what) => Error::Connect(format!("tls: {what}")),
        })?;
        seen.session = Some(session);
        stream
    } else {
        Stream::Plain(connected.stream)
    };
    exchange(stream, asked, tenant.limits.response.0, seen).await
}

/// TLS as the system has it.
const PLAIN: TlsOptions = TlsOptions {
    server_name: None,
    authorities: Vec::new(),
    certificate: Vec::new(),
    key: Vec::new(),
    accept_invalid: false,
    protocols: Vec::new(),
};

async fn exchange(
    stream: Stream,
    request: http::Request<Full<Bytes>>,
    limit: u64,
    seen: &mut Seen,
) -> Result<Response, Refused> {
    let other = |error: hyper::Error| Refused::Error(Error::Other(causes(&error)));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(other)?;
    let talking = async {
        let started = Instant::now();
        let mut answer = sender.send_request(request).await.map_err(other)?;
        seen.phases.processing_ns = nanoseconds(started.elapsed());
        seen.version = match answer.version() {
            http::Version::HTTP_10 => "1.0",
            _ => "1.1",
        }
        .to_owned();
        let started = Instant::now();
        let mut body = Vec::new();
        while let Some(frame) = answer.body_mut().frame().await {
            let Ok(data) = frame.map_err(other)?.into_data() else { continue };
            if (body.len() as u64).saturating_add(data.len() as u64) > limit {
                return Err(Error::TooLarge(limit).into());
            }
            body.extend_from_slice(&data);
        }
        seen.phases.transfer_ns = nanoseconds(started.elapsed());
        let headers = answer.headers().iter().take(HTTP_HEADERS_MAX).map(|(name, value)| Header {
            name: name.as_str().to_owned(),
            value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
        });
        Ok(Response { status: answer.status().as_u16(), headers: headers.collect(), body })
    };
    // The connection is driven beside the exchange rather than by a task of its own, so that it ends with the call.
    tokio::pin!(talking, connection);
    tokio::select! {
        biased;
        answer = &mut talking => answer,
        _ = &mut connection => talking.await,
    }
}

/// The innermost causes of an error, which say more than the outermost.
fn causes(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(present) = cause {
        text = format!("{text}: {present}");
        cause = present.source();
    }
    text
}
