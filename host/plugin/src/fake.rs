//! What a plugin under test finds in place of the machine: a clock that stands still, answers to HTTP requests, look-ups
//! and queries, servers that talk by a script, files, secrets, and a store of its own.
//!
//! Only tests of plugins have one; see [`Host::start_on`](crate::Host::start_on). Grants are asked before it as always, so that
//! a plugin is denied in its tests what it would be denied in a server.

mod conversation;
mod lookup;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use model::Columns;
use parking_lot::Mutex;
use url::Url;

use crate::bindings::stormglass::host::files::{self, Entry, EntryKind};
use crate::bindings::stormglass::host::http::{self, Header, Request, Response};
use crate::grants::{Denied, Grants};
use crate::imports::query::{Query, QueryFailure};
use crate::kv::Store;

pub(crate) use self::conversation::Scripted;
pub use self::conversation::{Bytes, Conversation, Turn};
pub use self::lookup::{Lookup, Record, RecordData, RecordType};

/// What a test gives a plugin.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// The time, in milliseconds since the Unix epoch; WASI's clock as well.
    pub now_ms: i64,
    /// Answers to requests. Each may be asked for any number of times.
    pub http: Vec<Exchange>,
    /// Answers to look-ups.
    pub dns: Vec<Lookup>,
    /// Connections, and what is said over them.
    pub net: Vec<Conversation>,
    /// Files by absolute path; directories are where files are.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What the plugin's store holds in the beginning.
    pub kv: BTreeMap<String, Vec<u8>>,
    /// Secrets that it may read, by name.
    pub secrets: BTreeMap<String, String>,
    /// Answers to queries, by expression, whatever the time.
    pub queries: BTreeMap<String, Result<Columns, String>>,
}

/// The surroundings of one test, and what the plugin did to them.
pub struct Fake {
    pub(crate) given: Surroundings,
    pub(crate) kv: Arc<Store>,
    telemetry: Mutex<BTreeMap<String, f64>>,
    lines: Mutex<Vec<String>>,
    asked: Mutex<BTreeSet<usize>>,
    looked_up: Mutex<BTreeSet<usize>>,
    /// How many turns of each conversation the plugin has come through, at the furthest.
    held: Mutex<BTreeMap<usize, usize>>,
}

/// One HTTP request that a plugin is expected to send, and its answer.
#[derive(Debug)]
pub struct Exchange {
    /// `GET`, `POST`, …
    pub method: String,
    /// As the plugin writes it.
    pub url: String,
    /// What the body has to be; any where there is none.
    pub body: Option<Vec<u8>>,
    /// What comes back; a text where there is no connection.
    pub answer: Result<Answer, String>,
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its header fields.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Fake {
    /// Surroundings of these things and no other.
    ///
    /// # Errors
    /// A text where a key of the store is none.
    pub fn new(mut given: Surroundings) -> Result<Self, String> {
        let kv = Store::in_memory();
        for (key, value) in std::mem::take(&mut given.kv) {
            kv.set(&key, value, 0, u64::MAX, given.now_ms).map_err(|error| error.to_string())?;
        }
        let kv = Arc::new(kv);
        Ok(Self {
            given,
            kv,
            telemetry: Mutex::default(),
            lines: Mutex::default(),
            asked: Mutex::default(),
            looked_up: Mutex::default(),
            held: Mutex::default(),
        })
    }

    /// The time, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        self.given.now_ms
    }

    /// What the plugin's store holds now.
    pub fn kept(&self) -> BTreeMap<String, Vec<u8>> {
        let now = self.given.now_ms;
        let keys = self.kv.keys("", now).into_iter();
        keys.filter_map(|key| Some((key.clone(), self.kv.get(&key, now)?))).collect()
    }

    /// The plugin's metrics about itself, as `name{label="value"}` and value.
    pub fn telemetry(&self) -> BTreeMap<String, f64> {
        self.telemetry.lock().clone()
    }

    /// What the plugin has logged so far, as `level: message`.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().clone()
    }

    /// What the test is ready for and the plugin has not done, as `ask for GET http://…` or `connect to …`.
    pub fn undone(&self) -> Vec<String> {
        let (asked, looked_up, held) = (self.asked.lock(), self.looked_up.lock(), self.held.lock());
        let http = self.given.http.iter().enumerate().filter(|(index, _)| !asked.contains(index));
        let dns = self.given.dns.iter().enumerate().filter(|(index, _)| !looked_up.contains(index));
        let net = self.given.net.iter().enumerate();
        http.map(|(_, exchange)| format!("ask for {} {}", exchange.method, exchange.url))
            .chain(dns.map(|(_, answer)| format!("look up {}", answer.lookup)))
            .chain(net.filter_map(|(index, talk)| talk.missing(held.get(&index).copied())))
            .collect()
    }

    pub(crate) fn log(&self, level: &str, message: &str) {
        self.lines.lock().push(format!("{level}: {message}"));
    }

    pub(crate) fn fetch(
        &self,
        grants: &Grants,
        request: &Request,
    ) -> Result<Result<Response, http::Error>, Denied> {
        let url = match Url::parse(&request.url) {
            Ok(url) => url,
            Err(error) => return Ok(Err(http::Error::Invalid(format!("url: {error}")))),
        };
        grants.check_url(&url)?;
        let matches = |exchange: &Exchange| {
            exchange.method.eq_ignore_ascii_case(&request.method)
                && exchange.url == request.url
                && exchange.body.as_ref().is_none_or(|body| *body == request.body)
        };
        let Some(index) = self.given.http.iter().position(matches) else {
            let body = String::from_utf8_lossy(&request.body);
            let asked = format!("the test has no answer to {} {} {body}", request.method, request.url);
            return Ok(Err(http::Error::Connect(asked.trim_end().to_owned())));
        };
        self.asked.lock().insert(index);
        Ok(match self.given.http.get(index).map(|exchange| &exchange.answer) {
            Some(Ok(answer)) => Ok(Response {
                status: answer.status,
                headers: answer
                    .headers
                    .iter()
                    .map(|(name, value)| Header { name: name.clone(), value: value.clone() })
                    .collect(),
                body: answer.body.clone(),
            }),
            Some(Err(text)) => Err(http::Error::Connect(text.clone())),
            None => Err(http::Error::Other("the answer is gone".to_owned())),
        })
    }

    pub(crate) fn secret(&self, name: &str) -> Result<String, Denied> {
        let denied =
            || Denied(format!("secrets: {name:?} is not granted; add it to grants.secrets to allow it"));
        self.given.secrets.get(name).cloned().ok_or_else(denied)
    }

    pub(crate) fn count(&self, series: String, amount: f64) {
        *self.telemetry.lock().entry(series).or_default() += amount;
    }

    pub(crate) fn gauge(&self, series: String, value: f64) {
        self.telemetry.lock().insert(series, value);
    }

    fn answer(&self, expr: &str) -> Result<Columns, QueryFailure> {
        match self.given.queries.get(expr) {
            Some(Ok(columns)) => Ok(columns.clone()),
            Some(Err(text)) => Err(QueryFailure::Invalid(text.clone())),
            None => Err(QueryFailure::Other(format!("the test has no answer to {expr}"))),
        }
    }

    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>, files::Error> {
        self.given.files.get(path).cloned().ok_or_else(|| denied(path))
    }

    pub(crate) fn read_dir(&self, path: &str) -> Result<Vec<Entry>, files::Error> {
        let prefix = format!("{}/", path.trim_end_matches('/'));
        let mut kinds = BTreeMap::new();
        for below in self.given.files.keys().filter_map(|file| file.strip_prefix(&prefix)) {
            match below.split_once('/') {
                Some((directory, _)) => kinds.insert(directory, EntryKind::Directory),
                None => kinds.insert(below, EntryKind::File),
            };
        }
        if kinds.is_empty() {
            return Err(denied(path));
        }
        Ok(kinds.into_iter().map(|(name, kind)| Entry { name: name.to_owned(), kind }).collect())
    }
}

#[async_trait]
impl Query for Fake {
    async fn instant(&self, expr: &str, _at_ms: Option<i64>) -> Result<Columns, QueryFailure> {
        self.answer(expr)
    }

    async fn range(
        &self,
        expr: &str,
        _start_ms: i64,
        _end_ms: i64,
        _step_ms: i64,
    ) -> Result<Columns, QueryFailure> {
        self.answer(expr)
    }
}

/// What is not there is not granted either: a test grants what it has.
pub(crate) fn denied(path: &str) -> files::Error {
    files::Error::Denied(format!("files: {path} is not granted"))
}

/// WASI's clock, standing still.
pub(crate) struct StoppedClock(pub(crate) i64);

impl wasmtime_wasi::HostWallClock for StoppedClock {
    fn resolution(&self) -> std::time::Duration {
        std::time::Duration::from_millis(1)
    }

    fn now(&self) -> std::time::Duration {
        std::time::Duration::from_millis(u64::try_from(self.0).unwrap_or_default())
    }
}
