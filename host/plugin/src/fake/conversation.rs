//! Connections that a test scripts: what the plugin is to send, and what it is sent, in turns.
//!
//! A plugin that sends something else, or reads before it has sent what the script waits for, gets an error that says so,
//! rather than wait for its deadline.

use std::io;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, de};

use crate::bindings::stormglass::types::net::TlsSession;
use crate::fake::Fake;
use crate::grants::net::parse_host;

/// A connection that a plugin is expected to make, and what is said over it. Several to one place are made in their order, and
/// the last one any number of times.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conversation {
    /// Host and port, as `grants.net` writes them.
    pub connect: String,
    /// Whether TLS is spoken from the first byte on.
    #[serde(default)]
    pub tls: bool,
    /// What is said; afterwards the other side closes the connection.
    #[serde(default)]
    pub talk: Vec<Turn>,
    /// In place of a talk: why there is no connection.
    #[serde(default)]
    pub error: Option<String>,
}

/// One turn of a conversation.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turn {
    /// The plugin has to send this.
    Send(Bytes),
    /// The plugin is sent this.
    Receive(Bytes),
    /// The plugin has to begin to speak TLS, which succeeds.
    StartTls,
}

/// Bytes as a text, or as `{hex: "00ff"}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Hex { hex: String },
        }
        match Written::deserialize(deserializer)? {
            Written::Text(text) => Ok(Self(text.into_bytes())),
            Written::Hex { hex: digits } => hex::decode(&digits)
                .map(Self)
                .map_err(|error| de::Error::custom(format!("hex: {digits:?}: {error}"))),
        }
    }
}

/// The plugin's end of a conversation.
pub(crate) struct Scripted {
    fake: Arc<Fake>,
    index: usize,
    turns: Vec<Turn>,
    /// The turn it has come to, and how many of the bytes of that are done.
    turn: usize,
    done: usize,
}

impl Scripted {
    /// The conversation that a connection begins, or why there is none.
    pub(crate) fn begin(fake: &Arc<Fake>, host: &str, port: u16, tls: bool) -> Result<Self, String> {
        let wanted = (parse_host(host), port);
        let mut held = fake.held.lock();
        let there: Vec<usize> = (0..fake.given.net.len())
            .filter(|index| {
                fake.given.net.get(*index).is_some_and(|talk| talk.place() == Some(wanted.clone()))
            })
            .collect();
        let next = there.iter().find(|index| !held.contains_key(index)).or(there.last());
        let Some((index, talk)) = next.and_then(|index| Some((*index, fake.given.net.get(*index)?))) else {
            return Err(format!("the test has no connection to {host}:{port}"));
        };
        if talk.tls != tls {
            let which = if talk.tls { "with" } else { "without" };
            return Err(format!(
                "the test has a connection to {host}:{port} {which} TLS from the start only"
            ));
        }
        held.entry(index).or_insert(0);
        if let Some(error) = &talk.error {
            return Err(error.clone());
        }
        let turns = talk
            .talk
            .iter()
            .filter(|turn| !matches!(turn, Turn::Send(b) | Turn::Receive(b) if b.0.is_empty()));
        Ok(Self { fake: Arc::clone(fake), index, turns: turns.cloned().collect(), turn: 0, done: 0 })
    }

    fn advance(&mut self, bytes: usize, of: usize) {
        self.done += bytes;
        if self.done >= of {
            (self.turn, self.done) = (self.turn + 1, 0);
            let mut held = self.fake.held.lock();
            let furthest = held.entry(self.index).or_insert(0);
            *furthest = self.turn.max(*furthest);
        }
    }

    /// Takes what the plugin sends, as much of it as this turn has room for.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(Turn::Send(Bytes(expected))) = self.turns.get(self.turn) else {
            return Err(io::Error::other(format!(
                "the test expects nothing to be sent here: {}",
                shown(bytes)
            )));
        };
        let rest = expected.get(self.done..).unwrap_or_default();
        let same = rest.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        if same < rest.len().min(bytes.len()) {
            return Err(io::Error::other(format!(
                "the test expects {} to be sent, not {}",
                shown(rest),
                shown(bytes)
            )));
        }
        let of = expected.len();
        self.advance(same, of);
        Ok(same)
    }

    /// What the plugin is sent next, as many bytes as it takes; none at the end.
    pub(crate) fn read(&mut self, most: usize) -> io::Result<Vec<u8>> {
        match self.turns.get(self.turn) {
            Some(Turn::Receive(Bytes(bytes))) => {
                let given: Vec<u8> = bytes.iter().skip(self.done).take(most).copied().collect();
                let of = bytes.len();
                self.advance(given.len(), of);
                Ok(given)
            }
            Some(Turn::Send(Bytes(expected))) => {
                let rest = expected.get(self.done..).unwrap_or_default();
                Err(io::Error::other(format!("the test waits for {} to be sent", shown(rest))))
            }
            Some(Turn::StartTls) => Err(io::Error::other("the test waits for TLS to be started")),
            None => Ok(Vec::new()),
        }
    }

    /// Begins to speak TLS.
    pub(crate) fn start_tls(&mut self) -> Result<TlsSession, String> {
        let Some(Turn::StartTls) = self.turns.get(self.turn) else {
            return Err("the test does not expect TLS to be started here".to_owned());
        };
        self.advance(0, 0);
        Ok(Self::session())
    }

    /// What a handshake that always succeeds tells.
    pub(crate) fn session() -> TlsSession {
        TlsSession {
            version: "TLS 1.3".to_owned(),
            cipher: "TLS_AES_128_GCM_SHA256".to_owned(),
            protocol: String::new(),
            certificates: Vec::new(),
            verified_until: None,
            problem: None,
        }
    }
}

impl Conversation {
    fn place(&self) -> Option<(Option<url::Host<String>>, u16)> {
        let (host, port) = self.connect.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Some((Some(parse_host(host)?), port.parse().ok()?))
    }

    /// What the plugin has not done of it, having come as far as that; none where nothing is missing.
    pub(crate) fn missing(&self, furthest: Option<usize>) -> Option<String> {
        let Some(furthest) = furthest else { return Some(format!("connect to {}", self.connect)) };
        let left = self
            .talk
            .iter()
            .filter(|turn| !matches!(turn, Turn::Send(b) | Turn::Receive(b) if b.0.is_empty()));
        left.skip(furthest).find_map(|turn| match turn {
            Turn::Send(Bytes(bytes)) => Some(format!("send {} to {}", shown(bytes), self.connect)),
            Turn::StartTls => Some(format!("start TLS with {}", self.connect)),
            Turn::Receive(_) => None,
        })
    }
}

fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("{text:?}"),
        Err(_) => format!("0x{}", hex::encode(bytes)),
    }
}
