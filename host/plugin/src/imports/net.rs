//! `stormglass:host/net`: connections over TCP, with TLS by the host, where granted.
//!
//! A connection belongs to the call that made it. The guest holds handles; the connections themselves are kept here, so
//! that the end of a call closes them all, whatever the guest does with its handles.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;
use url::Host as UrlHost;
use wasmtime::component::Resource;

use crate::bindings::stormglass::host::net::{
    ConnectOptions, Error, Host, HostConnection, Timings as ToldTimings,
};
use crate::bindings::stormglass::types::net::{Host as TypesHost, TlsOptions, TlsSession};
use crate::fake::{Fake, Scripted};
use crate::grants::net::parse_host;
use crate::imports::http::timeout_within;
use crate::limits::{NET_TIMEOUT_MAX, READ_BYTES_MAX};
use crate::net::stream::Stream;
use crate::net::tls::{self, TlsError};
use crate::net::{ConnectError, Timings};
use crate::state::State;

/// What a guest's handle stands for.
#[expect(unreachable_pub, reason = "the generated bindings export it under a name of theirs")]
pub struct Connection {
    id: u64,
}

/// What the present call has connected to.
#[derive(Default)]
pub(crate) struct Connections {
    open: BTreeMap<u64, Open>,
    /// The next connection's number. None has one twice, so that a handle from an earlier call finds nothing.
    next: u64,
}

impl Connections {
    /// Closes them all.
    pub(crate) fn close(&mut self) {
        self.open.clear();
    }
}

struct Open {
    /// None after a handshake that failed half way.
    stream: Option<Stream>,
    host: String,
    peer: SocketAddr,
    timings: Timings,
    handshake: Option<Duration>,
    session: Option<TlsSession>,
}

impl TypesHost for State {}

impl Host for State {
    async fn connect(
        &mut self,
        host: String,
        port: u16,
        options: ConnectOptions,
    ) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        self.count_host_call()?;
        let opened = self.open(&host, port, options).await;
        let decision = match &opened {
            Err(Error::Denied(_)) => "denied",
            Err(Error::Invalid(_) | Error::Limit(_)) => "invalid",
            _ => "allowed",
        };
        self.tenant.metrics.connections.with_label_values(&[&*self.tenant.name, decision]).inc();
        Ok(match opened {
            Ok(open) => {
                let id = self.connections.next;
                match self.resources.push(Connection { id }) {
                    Ok(handle) => {
                        self.connections.next += 1;
                        self.connections.open.insert(id, open);
                        Ok(handle)
                    }
                    Err(_) => Err(Error::Limit("too many handles are held".to_owned())),
                }
            }
            Err(error) => Err(error),
        })
    }
}

impl State {
    async fn open(&mut self, host: &str, port: u16, options: ConnectOptions) -> Result<Open, Error> {
        let parsed = parse_host(host).ok_or_else(|| Error::Invalid(format!("{host:?} is no host")))?;
        let grants = Arc::clone(&self.tenant.grants);
        grants.check_net(&parsed, port).map_err(|denied| Error::Denied(self.deny(denied)))?;
        if self.call.connections >= self.tenant.limits.connections {
            let limit = self.tenant.limits.connections;
            return Err(Error::Limit(format!(
                "more than {limit} connections in one call; raise limits.connections to allow more"
            )));
        }
        self.call.connections += 1;
        if let Some(fake) = &self.tenant.fake {
            return Open::scripted(fake, host, port, options.tls.is_some());
        }
        let deadline = self.net_deadline(options.timeout_ms);
        let check = |address| grants.check_net_address(&parsed, port, address);
        let network = Arc::clone(&self.tenant.network);
        let mut timings = Timings::default();
        let connecting = network.connect(&parsed, port, options.family, check, &mut timings);
        let connected = within(deadline, connecting).await?.map_err(|error| match error {
            ConnectError::Denied(denied) => Error::Denied(self.deny(denied)),
            ConnectError::Failed(what) => Error::Connect(what),
        })?;
        let host = match &parsed {
            UrlHost::Domain(name) => name.clone(),
            UrlHost::Ipv4(address) => address.to_string(),
            UrlHost::Ipv6(address) => address.to_string(),
        };
        let mut open = Open {
            stream: Some(Stream::Plain(connected.stream)),
            host,
            peer: connected.peer,
            timings: connected.timings,
            handshake: None,
            session: None,
        };
        if let Some(options) = options.tls {
            open.start_tls(&network, &options, deadline).await?;
        }
        Ok(open)
    }

    /// Until when the guest may wait for the network: so that it still has a moment to say so.
    fn net_deadline(&self, asked_ms: Option<u64>) -> Instant {
        Instant::now() + timeout_within(NET_TIMEOUT_MAX, asked_ms, self.time_left())
    }

    /// The connection behind a handle, if its call is still under way.
    fn connection(&mut self, handle: &Resource<Connection>) -> wasmtime::Result<Option<&mut Open>> {
        let id = self.resources.get(handle)?.id;
        Ok(self.connections.open.get_mut(&id))
    }
}

impl Open {
    /// A connection of a test.
    fn scripted(fake: &Arc<Fake>, host: &str, port: u16, tls: bool) -> Result<Self, Error> {
        let talk = Scripted::begin(fake, host, port, tls).map_err(Error::Connect)?;
        Ok(Self {
            stream: Some(Stream::Scripted(talk)),
            host: host.to_owned(),
            // One of those that are kept for documents.
            peer: SocketAddr::from(([192, 0, 2, 1], port)),
            timings: Timings::default(),
            handshake: None,
            session: tls.then(Scripted::session),
        })
    }

    async fn start_tls(
        &mut self,
        network: &crate::net::Network,
        options: &TlsOptions,
        deadline: Instant,
    ) -> Result<(), Error> {
        let stream = match self.stream.take() {
            Some(Stream::Plain(stream)) => stream,
            Some(tls @ Stream::Tls(_)) => {
                self.stream = Some(tls);
                return Err(Error::Invalid("TLS is spoken already".to_owned()));
            }
            Some(Stream::Scripted(mut talk)) => {
                let started = talk.start_tls();
                self.stream = Some(Stream::Scripted(talk));
                self.session = Some(started.map_err(Error::Tls)?);
                return Ok(());
            }
            None => return Err(Error::Closed),
        };
        let started = Instant::now();
        let shaken = tls::handshake(network, stream, &self.host, options);
        let (stream, session) = within(deadline, shaken).await?.map_err(|error| match error {
            TlsError::Invalid(what) => Error::Invalid(what),
            TlsError::Handshake(what) => Error::Tls(what),
        })?;
        self.handshake = Some(started.elapsed());
        (self.stream, self.session) = (Some(stream), Some(session));
        Ok(())
    }
}

impl HostConnection for State {
    async fn read(
        &mut self,
        handle: Resource<Connection>,
        max: u32,
        timeout_ms: Option<u64>,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        self.count_host_call()?;
        let deadline = self.net_deadline(timeout_ms);
        let limit = self.tenant.limits.received;
        let left = limit.0.saturating_sub(self.call.received);
        if left == 0 && max > 0 {
            let text = format!("more than {limit} in one call; raise limits.received to allow more");
            return Ok(Err(Error::Limit(text)));
        }
        let max = usize::try_from(left.min(u64::from(max))).unwrap_or(READ_BYTES_MAX).min(READ_BYTES_MAX);
        let Some(stream) = self.connection(&handle)?.and_then(|open| open.stream.as_mut()) else {
            return Ok(Err(Error::Closed));
        };
        let mut buffer = vec![0; max];
        let read = match within(deadline, stream.read(&mut buffer)).await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Ok(Err(broken(&error))),
            Err(late) => return Ok(Err(late)),
        };
        buffer.truncate(read);
        self.call.received += read as u64;
        Ok(Ok(buffer))
    }

    async fn write(
        &mut self,
        handle: Resource<Connection>,
        data: Vec<u8>,
        timeout_ms: Option<u64>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.count_host_call()?;
        let deadline = self.net_deadline(timeout_ms);
        let Some(stream) = self.connection(&handle)?.and_then(|open| open.stream.as_mut()) else {
            return Ok(Err(Error::Closed));
        };
        let writing = async {
            stream.write_all(&data).await?;
            stream.flush().await
        };
        Ok(match within(deadline, writing).await {
            Ok(written) => written.map_err(|error| broken(&error)),
            Err(late) => Err(late),
        })
    }

    async fn start_tls(
        &mut self,
        handle: Resource<Connection>,
        options: TlsOptions,
        timeout_ms: Option<u64>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.count_host_call()?;
        let deadline = self.net_deadline(timeout_ms);
        let network = Arc::clone(&self.tenant.network);
        Ok(match self.connection(&handle)? {
            Some(open) => open.start_tls(&network, &options, deadline).await,
            None => Err(Error::Closed),
        })
    }

    async fn session(&mut self, handle: Resource<Connection>) -> wasmtime::Result<Option<TlsSession>> {
        self.count_host_call()?;
        Ok(self.connection(&handle)?.and_then(|open| open.session.clone()))
    }

    async fn peer(&mut self, handle: Resource<Connection>) -> wasmtime::Result<String> {
        self.count_host_call()?;
        Ok(self.connection(&handle)?.map(|open| open.peer.to_string()).unwrap_or_default())
    }

    async fn timings(&mut self, handle: Resource<Connection>) -> wasmtime::Result<ToldTimings> {
        self.count_host_call()?;
        let open = self.connection(&handle)?;
        Ok(ToldTimings {
            resolve_ns: open.as_ref().map_or(0, |open| nanoseconds(open.timings.resolve)),
            connect_ns: open.as_ref().map_or(0, |open| nanoseconds(open.timings.connect)),
            handshake_ns: open.and_then(|open| open.handshake).map(nanoseconds),
        })
    }

    async fn drop(&mut self, handle: Resource<Connection>) -> wasmtime::Result<()> {
        let Connection { id } = self.resources.delete(handle)?;
        self.connections.open.remove(&id);
        Ok(())
    }
}

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

async fn within<T>(deadline: Instant, doing: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout_at(deadline, doing).await.map_err(|_| Error::Timeout)
}

/// What a connection that broke is to the guest.
fn broken(error: &io::Error) -> Error {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, InvalidData, UnexpectedEof};
    match error.kind() {
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => Error::Closed,
        // rustls reports what it cannot decrypt or does not understand so.
        InvalidData => Error::Tls(error.to_string()),
        _ => Error::Other(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
