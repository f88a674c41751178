//! Connections to servers that speak something other than HTTP. Needs a grant of `host:port` in `grants.net`. TLS is the
//! server's work: it checks the certificate, and the plugin reads and writes plain bytes.
//!
//! ```no_run
//! use std::io::{Read, Write};
//! use stormglass_sdk::net::Connect;
//! # fn example() -> stormglass_sdk::Result<()> {
//! let mut stream = Connect::new("cache.example", 6379).open()?;
//! stream.write_all(b"PING\r\n")?;
//! let mut answer = [0; 7];
//! stream.read_exact(&mut answer)?;
//! # Ok(()) }
//! ```
//!
//! A connection ends with the call that made it: make one in each call. All waiting is within the call's deadline.

use std::fmt;
use std::io;
use std::time::Duration;

pub use crate::bindings::base::stormglass::host::net::{Error, Timings};
pub use crate::bindings::base::stormglass::types::net::{Certificate, Family, TlsOptions, TlsSession};
use crate::host::net;

/// Bytes that cross to the server in one write.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// A connection that is about to be made.
#[derive(Debug, Clone)]
pub struct Connect {
    host: String,
    port: u16,
    timeout: Option<Duration>,
    family: Family,
    tls: Option<TlsOptions>,
}

impl Connect {
    /// To this host, a name or an address.
    pub fn new(host: &str, port: u16) -> Self {
        Self { host: host.into(), port, timeout: None, family: Family::Any, tls: None }
    }

    /// To `host:port` or `[address]:port`; the port may be left out where there is a default.
    pub fn to(address: &str, default_port: Option<u16>) -> crate::Result<Self> {
        let wrong = || crate::Error::permanent(format!("{address:?} is no host:port"));
        let is_bare_v6 = address.matches(':').count() > 1 && !address.contains(']');
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !is_bare_v6 && !port.ends_with(']') => {
                (host, port.parse().map_err(|_| wrong())?)
            }
            _ => (address, default_port.ok_or_else(wrong)?),
        };
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Self::new(host, port))
    }

    /// Gives up after this long, and so does every read and write of the connection; the server's own limit holds where
    /// it is shorter.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Takes only addresses of this family.
    #[must_use]
    pub fn family(mut self, family: Family) -> Self {
        self.family = family;
        self
    }

    /// Speaks TLS from the first byte on.
    #[must_use]
    pub fn tls(mut self, options: TlsOptions) -> Self {
        self.tls = Some(options);
        self
    }

    /// The host, as it was given.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connects.
    pub fn open(&self) -> Result<Stream, Error> {
        let options = net::ConnectOptions {
            timeout_ms: self.timeout.map(milliseconds),
            family: self.family,
            tls: self.tls.clone(),
        };
        let connection = net::connect(&self.host, self.port, &options)?;
        Ok(Stream { connection, timeout_ms: options.timeout_ms })
    }
}

/// A connection. Dropping it closes it.
pub struct Stream {
    connection: net::Connection,
    timeout_ms: Option<u64>,
}

impl Stream {
    /// Speaks TLS from here on, after both sides have agreed to. What was read before and not used is not protected: check
    /// that there is none.
    pub fn start_tls(&mut self, options: &TlsOptions) -> Result<(), Error> {
        self.connection.start_tls(options, self.timeout_ms)
    }

    /// What the TLS handshake told, where there was one.
    pub fn session(&self) -> Option<TlsSession> {
        self.connection.session()
    }

    /// The address of the other side.
    pub fn peer(&self) -> String {
        self.connection.peer()
    }

    /// How long it took to connect.
    pub fn timings(&self) -> Timings {
        self.connection.timings()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl io::Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let max = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let bytes = self.connection.read(max, self.timeout_ms).map_err(io_error)?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

impl io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(WRITE_BYTES_MAX)];
        self.connection.write(bytes, self.timeout_ms).map_err(io_error)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The error as the standard library has it; [`crate::Error`] finds the original in it again.
fn io_error(error: Error) -> io::Error {
    let kind = match error {
        Error::Timeout => io::ErrorKind::TimedOut,
        Error::Closed => io::ErrorKind::UnexpectedEof,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

impl TlsOptions {
    /// As the system has it: its authorities, the host's name, no certificate of one's own.
    pub const SYSTEM: Self = Self {
        server_name: None,
        authorities: Vec::new(),
        certificate: Vec::new(),
        key: Vec::new(),
        accept_invalid: false,
        protocols: Vec::new(),
    };
}

#[cfg(test)]
mod tests;
