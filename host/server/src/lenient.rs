//! Request targets that Go's server accepts and the HTTP library here does not: quotes, angle brackets and the like
//! that people type into `curl` and scripts glue into URLs. They are escaped on their way in.
//!
//! A connection is watched from request line to request line, which takes knowing where each body ends. Where that is
//! not said by a `Content-Length` (a chunked body, another protocol) the rest of the connection passes as it is: a
//! byte of a body is never changed.
//!
//! Knowing that, a connection ends as if its client had left where a request does not arrive whole in time, or where no
//! new one comes for as long after an answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};

/// A head longer than this is passed on as it is; the HTTP library will refuse it.
const HEAD_BYTES_MAX: usize = 256 << 10;

/// What is read from the socket at once.
const READ_BYTES: usize = 16 << 10;

/// A connection whose request targets are escaped.
pub(crate) struct Lenient<S> {
    inner: S,
    watch: Watch,
    /// Ready to be read, from `at` on.
    ready: Vec<u8>,
    at: usize,
    phase: Phase,
    /// When the phase began, or what was written last in it.
    since: Instant,
    patience: Duration,
    alarm: Option<Pin<Box<Sleep>>>,
    /// The connection's place among those that may be open.
    _place: Option<OwnedSemaphorePermit>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A request.
    Idle,
    /// The rest of a request.
    Reading,
    /// An answer, which may take as long as it takes.
    Answering,
}

impl<S> Lenient<S> {
    pub(crate) fn new(inner: S, patience: Duration, place: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            inner,
            watch: Watch { state: State::Head, head: Vec::new() },
            ready: Vec::new(),
            at: 0,
            phase: Phase::Idle,
            since: Instant::now(),
            patience,
            alarm: None,
            _place: place,
        }
    }

    /// Bytes of the client have come.
    fn received(&mut self) {
        let phase = match self.watch.state {
            // Nothing is known of where requests end.
            State::Passing => Phase::Answering,
            State::Body(_) => Phase::Reading,
            State::Head if self.watch.head.is_empty() => Phase::Answering,
            State::Head => Phase::Reading,
        };
        if phase != self.phase {
            self.phase = phase;
            self.since = Instant::now();
        }
    }

    /// Bytes of an answer have gone.
    fn sent(&mut self) {
        let passing = matches!(self.watch.state, State::Passing);
        if self.phase != Phase::Reading && !passing {
            self.phase = Phase::Idle;
            self.since = Instant::now();
        }
    }

    /// Ready once the client has taken too long.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.phase == Phase::Answering {
            return Poll::Pending;
        }
        let end = self.since + self.patience;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(end)));
        // One alarm goes on over many requests, and is only set anew once it goes off too early.
        while alarm.as_mut().poll(cx).is_ready() {
            if Instant::now() >= end {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(end);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lenient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.at < this.ready.len() {
                let rest = this.ready.get(this.at..).unwrap_or_default();
                let count = rest.len().min(buf.remaining());
                buf.put_slice(rest.get(..count).unwrap_or_default());
                this.at += count;
                if this.at == this.ready.len() {
                    this.ready.clear();
                    this.at = 0;
                }
                return Poll::Ready(Ok(()));
            }
            if matches!(this.watch.state, State::Passing) && this.watch.head.is_empty() {
                return Pin::new(&mut this.inner).poll_read(cx, buf);
            }
            let mut bytes = [0_u8; READ_BYTES];
            let mut read = ReadBuf::new(&mut bytes);
            match Pin::new(&mut this.inner).poll_read(cx, &mut read) {
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    ready!(this.poll_patience(cx));
                    // Whoever reads takes it for the end.
                    return Poll::Ready(Ok(()));
                }
            }
            if read.filled().is_empty() {
                // The end: what was held back comes first, then the end itself.
                this.watch.give_up(&mut this.ready);
                if this.ready.is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
            this.watch.take(read.filled(), &mut this.ready);
            this.received();
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lenient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.sent();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs))?;
        self.sent();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Follows a connection's bytes.
struct Watch {
    state: State,
    /// A head that has not ended yet.
    head: Vec<u8>,
}

enum State {
    /// Within request line and headers.
    Head,
    /// Within a body that has so many bytes left.
    Body(u64),
    /// For good: nothing is known of what comes.
    Passing,
}

impl Watch {
    /// Takes bytes as they came, and puts out what can be passed on.
    fn take(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Passing => {
                    out.extend_from_slice(bytes);
                    return;
                }
                State::Body(left) => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    let (body, rest) = bytes.split_at(count);
                    out.extend_from_slice(body);
                    *left -= count as u64;
                    bytes = rest;
                    if *left == 0 {
                        self.state = State::Head;
                    }
                }
                State::Head => {
                    // The end may lie across two reads.
                    let from = self.head.len().saturating_sub(3);
                    self.head.extend_from_slice(bytes);
                    let tail = self.head.get(from..).unwrap_or_default();
                    let Some(end) = find(tail, b"\r\n\r\n").map(|at| from + at + 4) else {
                        if self.head.len() > HEAD_BYTES_MAX || !may_be_head(&self.head) {
                            self.give_up(out);
                        }
                        return;
                    };
                    let rest = self.head.split_off(end);
                    bytes = bytes.get(bytes.len() - rest.len()..).unwrap_or_default();
                    self.state = after(&self.head);
                    escape(&self.head, out);
                    self.head.clear();
                }
            }
        }
    }

    /// Passes everything from now on.
    fn give_up(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.head);
        self.state = State::Passing;
    }
}

/// Whether these first bytes can begin a request: a method in capitals. HTTP/2 begins as none of HTTP/1 does.
fn may_be_head(bytes: &[u8]) -> bool {
    !bytes.starts_with(b"PRI ")
        && bytes.first().is_some_and(|byte| byte.is_ascii_uppercase() || *byte == b'\r')
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

/// What comes after a head.
fn after(head: &[u8]) -> State {
    if !may_be_head(head) {
        return State::Passing;
    }
    let mut length = None;
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default();
        if name.eq_ignore_ascii_case(b"transfer-encoding") || name.eq_ignore_ascii_case(b"upgrade") {
            return State::Passing;
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let value = std::str::from_utf8(value).ok().and_then(|value| value.trim().parse::<u64>().ok());
            match (value, length) {
                (Some(value), None) => length = Some(value),
                // What is unclear is for the HTTP library to judge.
                _ => return State::Passing,
            }
        }
    }
    match length {
        None | Some(0) => State::Head,
        Some(length) => State::Body(length),
    }
}

/// Puts out a head, with the bytes of its target escaped that may not be in one.
fn escape(head: &[u8], out: &mut Vec<u8>) {
    let line = head.iter().position(|byte| *byte == b'\r').unwrap_or(head.len());
    let (line, rest) = head.split_at(line);
    let first = line.iter().position(|byte| *byte == b' ');
    let last = line.iter().rposition(|byte| *byte == b' ');
    match (first, last) {
        (Some(first), Some(last)) if first < last => {
            out.extend_from_slice(line.get(..=first).unwrap_or_default());
            for byte in line.get(first + 1..last).unwrap_or_default() {
                match byte {
                    b'"' | b'<' | b'>' | b'`' | b'\\' | b'^' | b'|' | b'{' | b'}' | b'#' => {
                        out.extend_from_slice(format!("%{byte:02X}").as_bytes());
                    }
                    byte => out.push(*byte),
                }
            }
            out.extend_from_slice(line.get(last..).unwrap_or_default());
        }
        _ => out.extend_from_slice(line),
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;

    /// Whole, and byte by byte.
    fn check(bytes: &[u8], expected: &[u8]) {
        for size in [usize::MAX, 1, 3] {
            let mut watch = Watch { state: State::Head, head: Vec::new() };
            let mut out = Vec::new();
            for piece in bytes.chunks(size.min(bytes.len())) {
                watch.take(piece, &mut out);
            }
            watch.give_up(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(expected));
        }
    }

    #[test]
    fn targets_are_escaped_and_bodies_are_not() {
        check(
            b"GET /api/v1/query?query=up{job=\"a\"}>1 HTTP/1.1\r\nHost: \"x\"\r\n\r\n",
            b"GET /api/v1/query?query=up%7Bjob=%22a%22%7D%3E1 HTTP/1.1\r\nHost: \"x\"\r\n\r\n",
        );
        check(
            b"POST /a?\" HTTP/1.1\r\ncontent-length: 20\r\n\r\nGET /\" HTTP/1.1\r\n\r\n\x22GET /\" HTTP/1.1\r\n\r\n",
            b"POST /a?%22 HTTP/1.1\r\ncontent-length: 20\r\n\r\nGET /\" HTTP/1.1\r\n\r\n\x22GET /%22 HTTP/1.1\r\n\r\n",
        );
    }

    /// What comes until the end, and whether that comes when patience is over; the clock counts milliseconds.
    async fn ends_in_time(lenient: &mut Lenient<DuplexStream>) -> bool {
        let began = Instant::now();
        let mut all = String::new();
        lenient.read_to_string(&mut all).await.unwrap();
        let late = began.elapsed().checked_sub(lenient.patience);
        all.is_empty() && late.is_some_and(|late| late < Duration::from_millis(10))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_too_long_is_taken_to_have_left() {
        let patience = Duration::from_secs(60);
        let (mut client, server) = tokio::io::duplex(1024);
        let mut lenient = Lenient::new(server, patience, None);
        assert!(ends_in_time(&mut lenient).await, "nothing ever came");

        let mut lenient = Lenient::new(lenient.inner, patience, None);
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        assert!(ends_in_time(&mut lenient).await, "a head without an end");

        let mut lenient = Lenient::new(lenient.inner, patience, None);
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut request = [0; 18];
        lenient.read_exact(&mut request).await.unwrap();
        let long = tokio::time::timeout(10 * patience, lenient.read_u8()).await;
        assert!(long.is_err(), "an answer may take longer");
        lenient.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        assert!(ends_in_time(&mut lenient).await, "nothing came after the answer");
    }

    #[test]
    fn what_is_not_understood_passes() {
        let chunked = b"POST /\" HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\"\"\r\n0\r\n\r\nGET /\" HTTP/1.1\r\n\r\n";
        check(chunked, &[b"POST /%22".as_slice(), &chunked[7..]].concat());
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\"");
        check(b"\x16\x03\x01\"", b"\x16\x03\x01\"");
        check(b"GET /\"", b"GET /\"");
        check(
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nGET /\" HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nGET /\" HTTP/1.1\r\n\r\n",
        );
    }
}
