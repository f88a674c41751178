//! PostgreSQL's protocol, version 3: as much of it as it takes to log in and to ask questions in plain text.
//!
//! ```text
//! message   type u8, length i32 (of itself and what follows), body; the first of a connection has no type
//! ```
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod auth;

use std::fmt;
use std::io::{self, Read, Write};

use stormglass_sdk::net::{Stream, TlsOptions};

use self::auth::Scram;

/// Version 3.0.
const VERSION: i32 = 3 << 16;
/// What asks for TLS in place of a version.
const SSL_REQUEST: i32 = 80_877_103;
/// Bytes of one message: a row of statistics has some hundred.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Rows of one answer: tables of a large database.
const ROWS_MAX: usize = 50_000;

/// Who logs in, and how.
pub(crate) struct Login<'a> {
    pub(crate) user: &'a str,
    pub(crate) database: &'a str,
    pub(crate) password: Option<&'a str>,
    /// What the nonce of the login is made of: anything that nobody else knows.
    pub(crate) entropy: &'a [u8],
}

/// Whether TLS is spoken.
pub(crate) enum Tls {
    Never,
    /// Where the server can.
    Preferred(TlsOptions),
    Required(TlsOptions),
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Error {
    Connection(stormglass_sdk::Error),
    /// The server says why.
    Server {
        code: String,
        message: String,
    },
    Protocol(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => error.fmt(f),
            Self::Server { code, message } => write!(f, "{message} (SQLSTATE {code})"),
            Self::Protocol(what) => write!(f, "not PostgreSQL's protocol: {what}"),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Connection(error.into())
    }
}

/// The rows of an answer, with the names of their columns. A null is none.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

/// A connection that has logged in.
#[derive(Debug)]
pub(crate) struct Client<S> {
    stream: S,
    /// What the server said of itself.
    parameters: Vec<(String, String)>,
}

/// Agrees on TLS before anything else is said.
pub(crate) fn negotiate(stream: &mut Stream, tls: Tls) -> Result<(), Error> {
    let (options, required) = match tls {
        Tls::Never => return Ok(()),
        Tls::Preferred(options) => (options, false),
        Tls::Required(options) => (options, true),
    };
    stream.write_all(&[8_i32.to_be_bytes(), SSL_REQUEST.to_be_bytes()].concat())?;
    // One byte and no more is read, so that nothing sent in plain text can pass for what came through TLS.
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    match answer {
        [b'S'] => stream.start_tls(&options).map_err(|error| Error::Connection(error.into())),
        [b'N'] if !required => Ok(()),
        [b'N'] => {
            let text = "the server does not speak TLS, which sslmode requires";
            Err(Error::Connection(stormglass_sdk::Error::retryable(text)))
        }
        _ => Err(Error::Protocol("no answer to the request for TLS")),
    }
}

impl<S: Read + Write> Client<S> {
    /// Logs in.
    pub(crate) fn login(stream: S, login: &Login<'_>) -> Result<Self, Error> {
        let mut client = Self { stream, parameters: Vec::new() };
        let mut startup = VERSION.to_be_bytes().to_vec();
        for text in [
            "user",
            login.user,
            "database",
            login.database,
            "application_name",
            "stormglass",
            "client_encoding",
            "UTF8",
            "",
        ] {
            startup.extend_from_slice(text.as_bytes());
            startup.push(0);
        }
        client.send(None, &startup)?;
        let mut scram = None;
        loop {
            let (kind, body) = client.message()?;
            match kind {
                b'R' => client.authenticate(login, &body, &mut scram)?,
                b'S' => client.parameters.extend(parameter(&body)),
                b'E' => return Err(server_error(&body)),
                b'Z' => return Ok(client),
                // The key for cancelling, and notices.
                b'K' | b'N' => {}
                _ => return Err(Error::Protocol("an unknown message at login")),
            }
        }
    }

    /// What the server said of itself, such as `server_version`.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Asks one question.
    pub(crate) fn query(&mut self, sql: &str) -> Result<Rows, Error> {
        self.send(Some(b'Q'), &[sql.as_bytes(), &[0]].concat())?;
        let (mut answer, mut failed) = (Rows::default(), None);
        loop {
            let (kind, body) = self.message()?;
            match kind {
                b'T' => answer.columns = columns(&body).ok_or(Error::Protocol("broken columns"))?,
                b'D' if answer.rows.len() == ROWS_MAX => return Err(Error::Protocol("too many rows")),
                b'D' => answer.rows.push(row(&body).ok_or(Error::Protocol("a broken row"))?),
                b'E' => failed = Some(server_error(&body)),
                b'Z' => return failed.map_or(Ok(answer), Err),
                b'S' => self.parameters.extend(parameter(&body)),
                _ => {}
            }
        }
    }

    /// Says goodbye, so that the server's log has nothing to complain about.
    pub(crate) fn close(mut self) {
        let _ = self.send(Some(b'X'), &[]);
    }

    fn authenticate(
        &mut self,
        login: &Login<'_>,
        body: &[u8],
        scram: &mut Option<Scram>,
    ) -> Result<(), Error> {
        let (kind, rest) = split_i32(body).ok_or(Error::Protocol("a broken request to log in"))?;
        let needs = || {
            let text = "the server asks for a password; name a secret in `password_secret`";
            Error::Connection(stormglass_sdk::Error::retryable(text))
        };
        match kind {
            0 => Ok(()),
            3 => {
                let password = login.password.ok_or_else(needs)?;
                self.send(Some(b'p'), &[password.as_bytes(), &[0]].concat())
            }
            5 => {
                let password = login.password.ok_or_else(needs)?;
                let digest = auth::md5(login.user, password, rest);
                self.send(Some(b'p'), &[digest.as_bytes(), &[0]].concat())
            }
            10 => {
                let offered = rest.split(|byte| *byte == 0).any(|name| name == auth::SCRAM.as_bytes());
                if !offered {
                    return Err(Error::Protocol("no way to log in that is known"));
                }
                let begun = Scram::begin(login.password.ok_or_else(needs)?, login.entropy);
                let first = begun.first();
                let length = i32::try_from(first.len()).map_err(|_| Error::Protocol("a long login"))?;
                let name = [auth::SCRAM.as_bytes(), &[0]].concat();
                *scram = Some(begun);
                self.send(Some(b'p'), &[&name, &length.to_be_bytes()[..], first.as_bytes()].concat())
            }
            11 => {
                let begun = scram.as_mut().ok_or(Error::Protocol("a login that was not begun"))?;
                let answer = begun.answer(rest).map_err(Error::Protocol)?;
                self.send(Some(b'p'), answer.as_bytes())
            }
            12 => {
                let begun = scram.as_ref().ok_or(Error::Protocol("a login that was not begun"))?;
                begun.verify(rest).map_err(Error::Protocol)
            }
            _ => Err(Error::Protocol("a way to log in that is not known")),
        }
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) -> Result<(), Error> {
        let length = i32::try_from(body.len() + 4).map_err(|_| Error::Protocol("a long message"))?;
        let mut message = Vec::with_capacity(body.len() + 5);
        message.extend(kind);
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(body);
        Ok(self.stream.write_all(&message)?)
    }

    fn message(&mut self) -> Result<(u8, Vec<u8>), Error> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head)?;
        let [kind, length @ ..] = head;
        let length =
            usize::try_from(i32::from_be_bytes(length)).ok().and_then(|length| length.checked_sub(4));
        let length = length.filter(|length| *length <= MESSAGE_BYTES_MAX);
        let mut body = vec![0; length.ok_or(Error::Protocol("a message of no length that can be"))?];
        self.stream.read_exact(&mut body)?;
        Ok((kind, body))
    }
}

fn split_i32(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((i32::from_be_bytes(*number), rest))
}

fn split_u16(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<2>()?;
    Some((usize::from(u16::from_be_bytes(*number)), rest))
}

/// Text up to the byte 0, and what follows.
fn split_text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let text = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
    Some((text, bytes.get(end + 1..)?))
}

fn parameter(body: &[u8]) -> Option<(String, String)> {
    let (name, rest) = split_text(body)?;
    Some((name, split_text(rest)?.0))
}

fn server_error(body: &[u8]) -> Error {
    let (mut code, mut message, mut rest) = (String::new(), String::new(), body);
    while let Some((kind, after)) = rest.split_first().filter(|(kind, _)| **kind != 0) {
        let Some((text, after)) = split_text(after) else { break };
        match kind {
            b'C' => code = text,
            b'M' => message = text,
            _ => {}
        }
        rest = after;
    }
    Error::Server { code, message }
}

fn columns(body: &[u8]) -> Option<Vec<String>> {
    let (count, mut rest) = split_u16(body)?;
    let mut columns = Vec::new();
    for _ in 0..count {
        let (name, after) = split_text(rest)?;
        // Table, column, type, its size, modifier and format are of no interest.
        rest = after.get(18..)?;
        columns.push(name);
    }
    Some(columns)
}

fn row(body: &[u8]) -> Option<Vec<Option<String>>> {
    let (count, mut rest) = split_u16(body)?;
    let mut values = Vec::new();
    for _ in 0..count {
        let (length, after) = split_i32(rest)?;
        match usize::try_from(length) {
            Ok(length) => {
                values.push(Some(String::from_utf8_lossy(after.get(..length)?).into_owned()));
                rest = after.get(length..)?;
            }
            Err(_) => {
                values.push(None);
                rest = after;
            }
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests;
