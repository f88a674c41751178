//! Redis' protocol, version 2: commands as arrays of strings, answers as values.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::fmt;
use std::io::{self, Read, Write};

/// Bytes of one answer: `INFO` of a busy server has some dozen KiB.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Values of one list: a server has some hundred settings.
const LIST_MAX: usize = 10_000;
/// Lists within lists.
const DEPTH_MAX: usize = 4;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Error(String),
    Number(i64),
    List(Vec<Value>),
    Nothing,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Error {
    Connection(stormglass_sdk::Error),
    Protocol(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => error.fmt(f),
            Self::Protocol(what) => write!(f, "the server does not speak Redis' protocol: {what}"),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Connection(error.into())
    }
}

/// A connection to a server.
pub(crate) struct Connection<S> {
    stream: S,
    /// What was read and is not used yet.
    buffer: Vec<u8>,
    /// How much of it is used.
    used: usize,
}

impl<S: Read + Write> Connection<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), used: 0 }
    }

    /// Sends a command and waits for its answer.
    pub(crate) fn ask(&mut self, words: &[&str]) -> Result<Value, Error> {
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        self.stream.write_all(&command)?;
        self.value(0)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        let line = self.line()?;
        let mut chars = line.chars();
        let kind = chars.next();
        let rest = chars.as_str();
        let length = || rest.parse::<i64>().map_err(|_| Error::Protocol("a length is no number"));
        Ok(match kind {
            Some('+') => Value::Text(rest.to_owned()),
            Some('-') => Value::Error(rest.to_owned()),
            Some(':') => Value::Number(length()?),
            Some('$') => match usize::try_from(length()?) {
                Ok(length) => Value::Text(self.text(length)?),
                Err(_) => Value::Nothing,
            },
            Some('*') => match usize::try_from(length()?) {
                Ok(length) if length > LIST_MAX || depth == DEPTH_MAX => {
                    return Err(Error::Protocol("a list is too long or too deep"));
                }
                Ok(length) => {
                    Value::List((0..length).map(|_| self.value(depth + 1)).collect::<Result<_, _>>()?)
                }
                Err(_) => Value::Nothing,
            },
            _ => return Err(Error::Protocol("an answer begins with what none begins with")),
        })
    }

    fn line(&mut self) -> Result<String, Error> {
        let mut searched = 0;
        loop {
            let unused = self.buffer.get(self.used..).unwrap_or_default();
            let found =
                unused.get(searched..).and_then(|rest| rest.windows(2).position(|two| two == b"\r\n"));
            if let Some(at) = found {
                let line = self.take(searched + at)?;
                self.take(2)?;
                return Ok(line);
            }
            searched = unused.len().saturating_sub(1);
            self.fill()?;
        }
    }

    fn text(&mut self, length: usize) -> Result<String, Error> {
        if length > ANSWER_BYTES_MAX {
            return Err(Error::Protocol("an answer is too long"));
        }
        while self.buffer.len() - self.used < length + 2 {
            self.fill()?;
        }
        let text = self.take(length)?;
        self.take(2)?;
        Ok(text)
    }

    /// Uses so many bytes of the buffer. What is no UTF-8, as a client's name may be, is shown as U+FFFD.
    fn take(&mut self, length: usize) -> Result<String, Error> {
        let bytes = self.buffer.get(self.used..self.used + length);
        let bytes = bytes.ok_or(Error::Protocol("an answer ends early"))?;
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.used += length;
        if self.used == self.buffer.len() {
            self.buffer.clear();
            self.used = 0;
        }
        Ok(text)
    }

    fn fill(&mut self) -> Result<(), Error> {
        if self.buffer.len() > 2 * ANSWER_BYTES_MAX {
            return Err(Error::Protocol("an answer is too long"));
        }
        let mut chunk = [0; 16 << 10];
        let read = self.stream.read(&mut chunk)?;
        if read == 0 {
            return Err(Error::Connection(stormglass_sdk::Error::retryable("the connection was closed")));
        }
        self.buffer.extend_from_slice(chunk.get(..read).unwrap_or_default());
        Ok(())
    }
}

/// A list of names and values in turns as pairs.
pub(crate) fn pairs(values: Vec<Value>) -> Vec<(String, String)> {
    let mut texts = values.into_iter().map(|value| match value {
        Value::Text(text) => text,
        _ => String::new(),
    });
    let mut pairs = Vec::new();
    while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
        pairs.push((name, value));
    }
    pairs
}
