//! Listeners: in the clear or, where the web configuration says so, over TLS.
//!
//! The handshake is the first thing that is read of a connection, so that a client that is slow at it keeps nobody
//! from being accepted.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::{Accept, TlsAcceptor, server::TlsStream};

use super::Web;
use crate::lenient::Lenient;

/// Listens as the web configuration says.
pub(crate) struct WebListener {
    pub(crate) socket: TcpListener,
    pub(crate) web: Arc<Web>,
    /// One for each connection that may be open; none where any number may.
    pub(crate) places: Option<Arc<Semaphore>>,
    /// How long a client may take for a request, or be silent between two.
    pub(crate) patience: Duration,
}

impl Listener for WebListener {
    type Io = Lenient<Connection>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        let place = match &self.places {
            // Who comes meanwhile waits with the system. Nobody closes the semaphore.
            Some(places) => Arc::clone(places).acquire_owned().await.ok(),
            None => None,
        };
        let (stream, address) = Listener::accept(&mut self.socket).await;
        // Answers are written in large pieces, the last of which should not wait for a client to acknowledge the others.
        // Where the system refuses, it only takes longer.
        let _ = stream.set_nodelay(true);
        let connection = match &self.web.rules().tls {
            Some(config) => {
                let handshake = TlsAcceptor::from(Arc::clone(config)).accept(stream);
                Connection::Handshake(Box::new(handshake))
            }
            None => Connection::Plain(stream),
        };
        (Lenient::new(connection, self.patience, place), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl Connected<IncomingStream<'_, WebListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, WebListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// One connection.
pub(crate) enum Connection {
    /// In the clear.
    Plain(TcpStream),
    /// Over TLS, once both sides have agreed.
    Handshake(Box<Accept<TcpStream>>),
    /// Over TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// The handshake has failed.
    Failed,
}

impl Connection {
    /// Goes on with the handshake, if there is one.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Self::Handshake(handshake) = self {
            match ready!(Pin::new(handshake).poll(cx)) {
                Ok(stream) => *self = Self::Tls(Box::new(stream)),
                Err(error) => {
                    *self = Self::Failed;
                    tracing::debug!(%error, "a TLS handshake failed");
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn failed<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::Error::new(io::ErrorKind::NotConnected, "the TLS handshake failed")))
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_ready(cx))?;
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Handshake(_) | Self::Failed => failed(),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_ready(cx))?;
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Handshake(_) | Self::Failed => failed(),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_ready(cx))?;
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Handshake(_) | Self::Failed => failed(),
        }
    }

    fn is_write_vectored(&self) -> bool {
        // What is gathered anyway is gathered for both.
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_ready(cx))?;
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Handshake(_) | Self::Failed => failed(),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            // Dropping it closes it.
            Self::Handshake(_) | Self::Failed => Poll::Ready(Ok(())),
        }
    }
}
