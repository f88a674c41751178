//! The end of what a guest wrote to its standard error, however it wrote it.
//!
//! Language runtimes print the real error there and then trap with a bare `unreachable`.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Keeps the last bytes written, up to a limit. Clones share them.
#[derive(Clone)]
pub(crate) struct Stderr {
    bytes: Arc<Mutex<VecDeque<u8>>>,
    limit: usize,
}

impl Stderr {
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: Arc::default(), limit }
    }

    /// Adds text; forgets the oldest where there is too much.
    pub(crate) fn append(&self, text: &[u8]) {
        let kept = text.split_at(text.len().saturating_sub(self.limit)).1;
        let mut bytes = self.bytes.lock();
        let surplus = (bytes.len() + kept.len()).saturating_sub(self.limit);
        bytes.drain(..surplus);
        bytes.extend(kept);
    }

    /// What is kept, as text; forgets it.
    pub(crate) fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.bytes.lock());
        let (front, back) = bytes.as_slices();
        String::from_utf8_lossy(&[front, back].concat()).into_owned()
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.bytes.lock().clear();
    }
}

impl IsTerminal for Stderr {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stderr {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    // Written at once: a stream with a task behind it would still hold the message when the guest traps.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Stderr {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.append(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(self.limit.max(1))
    }
}

#[async_trait::async_trait]
impl Pollable for Stderr {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Stderr {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, text: &[u8]) -> Poll<std::io::Result<usize>> {
        self.append(text);
        Poll::Ready(Ok(text.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept() {
        let stderr = Stderr::new(8);
        stderr.append(b"abc");
        stderr.append(b"defgh");
        stderr.append(b"ij");
        assert_eq!(stderr.take(), "cdefghij");
        stderr.append(b"0123456789");
        assert_eq!(stderr.take(), "23456789");
        assert_eq!(stderr.take(), "");
    }
}
