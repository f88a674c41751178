//! A server at the other end of a connection: what it waits for and what it sends, in order.

use std::cell::RefCell;
use std::collections::VecDeque;

use crate::net::{Error, Timings, TlsOptions, TlsSession};

/// What the server of one connection does.
#[derive(Debug, Clone, Default)]
pub struct Script {
    steps: VecDeque<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    Expect(Vec<u8>),
    Answer(Vec<u8>),
    StartTls,
}

impl Script {
    /// A server that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for exactly these bytes.
    #[must_use]
    pub fn expect(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.steps.push_back(Step::Expect(bytes.into()));
        self
    }

    /// Sends these bytes.
    #[must_use]
    pub fn answer(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.steps.push_back(Step::Answer(bytes.into()));
        self
    }

    /// Waits for the start of TLS.
    #[must_use]
    pub fn start_tls(mut self) -> Self {
        self.steps.push_back(Step::StartTls);
        self
    }
}

/// A script that is being played: what stands in for a connection.
#[derive(Debug)]
pub(crate) struct Playing {
    script: RefCell<Script>,
    is_tls: RefCell<bool>,
}

impl Playing {
    pub(crate) fn new(script: Script, is_tls: bool) -> Self {
        Self { script: RefCell::new(script), is_tls: RefCell::new(is_tls) }
    }

    pub(crate) fn read(&self, max: u32, _timeout_ms: Option<u64>) -> Result<Vec<u8>, Error> {
        let steps = &mut self.script.borrow_mut().steps;
        match steps.front_mut() {
            Some(Step::Answer(bytes)) => {
                let rest = bytes.split_off(bytes.len().min(max as usize));
                let read = std::mem::replace(bytes, rest);
                if bytes.is_empty() {
                    steps.pop_front();
                }
                Ok(read)
            }
            None => Ok(Vec::new()),
            Some(step) => Err(Error::Other(format!("the test waits for {step:?}, and was asked to send"))),
        }
    }

    pub(crate) fn write(&self, data: &[u8], _timeout_ms: Option<u64>) -> Result<(), Error> {
        let steps = &mut self.script.borrow_mut().steps;
        let mut left = data;
        while !left.is_empty() {
            let sent = String::from_utf8_lossy(left);
            match steps.front_mut() {
                Some(Step::Expect(bytes)) => {
                    let length = bytes.len().min(left.len());
                    if bytes[..length] != left[..length] {
                        let expected = String::from_utf8_lossy(bytes);
                        let text = format!("the test expects {expected:?}, and was sent {sent:?}");
                        return Err(Error::Other(text));
                    }
                    bytes.drain(..length);
                    if bytes.is_empty() {
                        steps.pop_front();
                    }
                    left = &left[length..];
                }
                _ => return Err(Error::Other(format!("the test expects nothing, and was sent {sent:?}"))),
            }
        }
        Ok(())
    }

    pub(crate) fn start_tls(&self, _options: &TlsOptions, _timeout_ms: Option<u64>) -> Result<(), Error> {
        match self.script.borrow_mut().steps.pop_front() {
            Some(Step::StartTls) => {
                *self.is_tls.borrow_mut() = true;
                Ok(())
            }
            _ => Err(Error::Tls("the test does not expect TLS".into())),
        }
    }

    pub(crate) fn session(&self) -> Option<TlsSession> {
        self.is_tls.borrow().then(|| TlsSession {
            version: "TLS 1.3".into(),
            cipher: "TLS_AES_128_GCM_SHA256".into(),
            protocol: String::new(),
            certificates: Vec::new(),
            verified_until: None,
            problem: None,
        })
    }

    pub(crate) fn peer(&self) -> String {
        "192.0.2.1:1".into()
    }

    pub(crate) fn timings(&self) -> Timings {
        Timings { resolve_ns: 0, connect_ns: 0, handshake_ns: None }
    }
}
