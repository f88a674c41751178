//! One connection to a server, over which a request is sent and its answer read with as little work as there can be: what
//! the client does is part of what is measured of every server, and makes fast ones look slower than they are.
//!
//! It knows of HTTP/1.1 what these servers answer with: a body whose length is told before, or that comes in chunks. An
//! answer is not compressed, since none is asked for.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// What is read of the socket at once: about as much as the system holds for it.
const READ_BYTES: usize = 256 << 10;

/// A connection that is used for one request after the other.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    host: String,
    buffer: Box<[u8]>,
    /// What is read and not used yet.
    ready: std::ops::Range<usize>,
    request: Vec<u8>,
}

impl Connection {
    /// Connects to a host and port.
    pub(crate) fn open(host: &str, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        let buffer = vec![0; READ_BYTES].into_boxed_slice();
        Ok(Self { stream, host: host.to_owned(), buffer, ready: 0..0, request: Vec::new() })
    }

    /// Posts a form, hands the body of the answer to `take` as it comes, and tells the status.
    pub(crate) fn post(&mut self, path: &str, form: &str, mut take: impl FnMut(&[u8])) -> io::Result<u16> {
        self.request.clear();
        write!(
            self.request,
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{form}",
            self.host,
            form.len()
        )?;
        self.stream.write_all(&self.request)?;
        self.answer(&mut take)
    }

    fn answer(&mut self, take: &mut impl FnMut(&[u8])) -> io::Result<u16> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("not an answer of HTTP: {line}")))?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(": ") {
                _ if line.is_empty() => break,
                Some(("content-length", text)) => length = text.parse().map_err(io::Error::other)?,
                Some(("transfer-encoding", _)) => chunked = true,
                _ => {}
            }
        }
        if !chunked {
            self.body(length, take)?;
            return Ok(status);
        }
        loop {
            let size = usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
            self.body(size, take)?;
            self.line()?;
            if size == 0 {
                return Ok(status);
            }
        }
    }

    /// What the server sends next; at least a byte of it is there then.
    fn fill(&mut self) -> io::Result<()> {
        if self.ready.start > 0 {
            self.buffer.copy_within(self.ready.clone(), 0);
            self.ready = 0..self.ready.len();
        }
        let count = self.stream.read(&mut self.buffer[self.ready.end..])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.ready.end += count;
        Ok(())
    }

    /// A line of the head or between chunks, without its end.
    fn line(&mut self) -> io::Result<String> {
        loop {
            let ready = &self.buffer[self.ready.clone()];
            if let Some(end) = ready.iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&ready[..end]).trim_end().to_owned();
                self.ready.start += end + 1;
                return Ok(line);
            }
            self.fill()?;
        }
    }

    /// So many bytes of a body.
    fn body(&mut self, mut left: usize, take: &mut impl FnMut(&[u8])) -> io::Result<()> {
        while left > 0 {
            if self.ready.is_empty() {
                self.fill()?;
            }
            let count = left.min(self.ready.len());
            take(&self.buffer[self.ready.start..self.ready.start + count]);
            self.ready.start += count;
            left -= count;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// What is read of two answers that come in pieces of so many bytes.
    fn check(answers: &'static [u8], piece: usize, expected: &[(u16, &str)]) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            answers.chunks(piece).for_each(|piece| stream.write_all(piece).unwrap());
            let mut asked = String::new();
            stream.read_to_string(&mut asked).unwrap();
            asked
        });
        let mut connection = Connection::open(&host, Duration::from_secs(20)).unwrap();
        for expected in expected {
            let mut body = Vec::new();
            let status = connection.post("/q", "a=b", |some| body.extend_from_slice(some)).unwrap();
            assert_eq!((status, String::from_utf8_lossy(&body).as_ref()), *expected);
        }
        drop(connection);
        assert_eq!(server.join().unwrap().matches("\r\n\r\na=b").count(), expected.len());
    }

    #[test]
    fn answers_are_read_whatever_they_come_in() {
        let answers =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nB\r\ndefghijklmn\r\n0\r\n\r\n\
                        HTTP/1.1 400 Bad Request\r\ncontent-length: 4\r\nX: y\r\n\r\nnone";
        for piece in [1, 7, 1024] {
            check(answers, piece, &[(200, "abcdefghijklmn"), (400, "none")]);
        }
    }
}
