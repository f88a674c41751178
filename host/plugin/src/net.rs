//! Connections for plugins: from a name to addresses, from those that passed to a connection, and TLS on it.
//!
//! Nothing here decides what may be reached: each address goes through a check that the caller brings, and a connection is
//! only ever made to an address that passed.

mod certificate;
pub(crate) mod dns;
mod message;
pub(crate) mod stream;
pub(crate) mod tls;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rustls::RootCertStore;
use tokio::net::TcpStream;
use url::Host;

use crate::bindings::stormglass::types::net::Family;
use crate::grants::Denied;

/// How long one of several addresses may take before the next is tried; the last has all the time there is.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(5);

/// Resolves names.
#[async_trait]
pub(crate) trait Names: Send + Sync {
    /// The addresses of a name.
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver.
struct System;

#[async_trait]
impl Names for System {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// What all plugins share to connect with.
pub(crate) struct Network {
    names: Arc<dyn Names>,
    /// The certificates that the system trusts, read when they are first needed.
    roots: OnceLock<Arc<RootCertStore>>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ConnectError {
    Denied(Denied),
    Failed(String),
}

/// A connection and how long it took.
pub(crate) struct Connected {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) timings: Timings,
}

/// How long the steps took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Timings {
    pub(crate) resolve: Duration,
    pub(crate) connect: Duration,
}

impl Network {
    /// The system's.
    pub(crate) fn new() -> Self {
        Self::with_names(Arc::new(System))
    }

    /// With a resolver of the caller's.
    pub(crate) fn with_names(names: Arc<dyn Names>) -> Self {
        Self { names, roots: OnceLock::new() }
    }

    /// The certificates that the system trusts.
    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        let load = || {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            Arc::new(roots)
        };
        Arc::clone(self.roots.get_or_init(load))
    }

    /// The addresses of a name.
    pub(crate) async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.names.addresses(name).await
    }

    /// Connects to the first address of the host's that passes `check` and takes the connection. `timings` has what was
    /// reached, also where there is no connection in the end.
    pub(crate) async fn connect(
        &self,
        host: &Host<String>,
        port: u16,
        family: Family,
        check: impl Fn(IpAddr) -> Result<(), Denied>,
        timings: &mut Timings,
    ) -> Result<Connected, ConnectError> {
        let failed = |what: String| ConnectError::Failed(what);
        let started = Instant::now();
        let found = match host {
            Host::Ipv4(address) => vec![IpAddr::V4(*address)],
            Host::Ipv6(address) => vec![IpAddr::V6(*address)],
            Host::Domain(name) => {
                let found = self.names.addresses(name).await;
                timings.resolve = started.elapsed();
                found.map_err(|error| failed(format!("{name} cannot be resolved: {error}")))?
            }
        };
        let wanted = |address: &IpAddr| match family {
            Family::Any => true,
            Family::Ipv4 => address.is_ipv4(),
            Family::Ipv6 => address.is_ipv6(),
        };
        let mut last = failed(format!("{host} has no address of this kind"));
        let found: Vec<IpAddr> = found.into_iter().filter(wanted).collect();
        let started = Instant::now();
        for (index, address) in found.iter().enumerate() {
            if let Err(denied) = check(*address) {
                last = ConnectError::Denied(denied);
                continue;
            }
            let peer = SocketAddr::new(*address, port);
            let connecting = TcpStream::connect(peer);
            let connected = if index + 1 == found.len() {
                connecting.await
            } else {
                let waited = tokio::time::timeout(ADDRESS_TIMEOUT, connecting).await;
                waited.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            };
            match connected {
                Ok(stream) => {
                    timings.connect = started.elapsed();
                    // Questions and answers are small, and wait for one another.
                    let _ = stream.set_nodelay(true);
                    return Ok(Connected { stream, peer, timings: *timings });
                }
                Err(error) => last = failed(format!("{peer}: {error}")),
            }
        }
        Err(last)
    }
}
