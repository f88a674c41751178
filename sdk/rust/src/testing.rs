//! A server in miniature, so that `cargo test` can call a plugin as the server would: what a test puts into a
//! [`Host`] is what the plugin's calls find while [`Host::run`] lasts. Outside of it every call is refused.
//!
//! ```
//! use stormglass_sdk::{files, testing::Host};
//! let text = Host::new().file("/etc/hostname", "storm\n").run(|| files::read_to_string("/etc/hostname"));
//! assert_eq!(text.unwrap(), "storm\n");
//! ```

mod script;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::{self, Write};

use crate::files::Volume;
use crate::http::{self, Request, Response};
use crate::log::Level;
use crate::{AlertStatus, Batch, Label, Metrics, Notification, Plugin, Result, Snapshot};

pub use self::script::Script;

thread_local! {
    static CURRENT: RefCell<Option<Host>> = const { RefCell::new(None) };
}

type Answers = Box<dyn FnMut(&str) -> Result<Batch, crate::query::Error>>;
type LookUp =
    Box<dyn FnMut(&str, crate::dns::RecordType) -> Result<Vec<crate::dns::Entry>, crate::dns::Error>>;
type Trace = Box<dyn FnMut(&Request) -> crate::http_trace::Exchange>;
type Fetch = Box<dyn FnMut(&Request) -> Result<Response, http::Error>>;

/// What the plugin under test finds around it.
#[derive(Default)]
pub struct Host {
    now_ms: i64,
    files: BTreeMap<String, Vec<u8>>,
    links: BTreeMap<String, String>,
    requests: Vec<Request>,
    volumes: BTreeMap<String, Volume>,
    fetch: Option<Fetch>,
    trace: Option<Trace>,
    look_up: Option<LookUp>,
    /// Scripts by address, in the order of the connections.
    connections: BTreeMap<String, VecDeque<Script>>,
    lines: Vec<(Level, String)>,
    values: BTreeMap<String, Vec<u8>>,
    secrets: BTreeMap<String, String>,
    answers: Option<Answers>,
    telemetry: BTreeMap<String, f64>,
}

impl Host {
    /// A host with an empty file system and no network, at the epoch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the clock.
    #[must_use]
    pub fn now_ms(mut self, now_ms: i64) -> Self {
        self.now_ms = now_ms;
        self
    }

    /// Adds a file, and with it the directories above it.
    #[must_use]
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), content.into());
        self
    }

    /// Adds a link.
    #[must_use]
    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.links.insert(path.into(), target.into());
        self
    }

    /// Grants the space of the file system mounted at exactly this path.
    #[must_use]
    pub fn volume(mut self, mount_point: &str, volume: Volume) -> Self {
        self.volumes.insert(mount_point.into(), volume);
        self
    }

    /// Puts a value into the plugin's store.
    #[must_use]
    pub fn kv(mut self, key: &str, value: impl Into<Vec<u8>>) -> Self {
        self.values.insert(key.into(), value.into());
        self
    }

    /// Grants a secret.
    #[must_use]
    pub fn secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.insert(name.into(), value.into());
        self
    }

    /// Answers all queries.
    #[must_use]
    pub fn query(
        mut self,
        answers: impl FnMut(&str) -> Result<Batch, crate::query::Error> + 'static,
    ) -> Self {
        self.answers = Some(Box::new(answers));
        self
    }

    /// Answers all HTTP requests.
    #[must_use]
    pub fn http(mut self, fetch: impl FnMut(&Request) -> Result<Response, http::Error> + 'static) -> Self {
        self.fetch = Some(Box::new(fetch));
        self
    }

    /// Answers all requests of [`http_trace`](crate::http_trace).
    #[must_use]
    pub fn trace(mut self, trace: impl FnMut(&Request) -> crate::http_trace::Exchange + 'static) -> Self {
        self.trace = Some(Box::new(trace));
        self
    }

    /// Answers all look-ups in the DNS.
    #[must_use]
    pub fn dns(
        mut self,
        look_up: impl FnMut(&str, crate::dns::RecordType) -> Result<Vec<crate::dns::Entry>, crate::dns::Error>
        + 'static,
    ) -> Self {
        self.look_up = Some(Box::new(look_up));
        self
    }

    /// Plays the server at `host:port` for one connection; several are played in the order in which they were added.
    #[must_use]
    pub fn connection(mut self, address: &str, script: Script) -> Self {
        self.connections.entry(address.into()).or_default().push_back(script);
        self
    }

    /// Runs `f` on this host.
    pub fn run<T>(self, f: impl FnOnce() -> T) -> T {
        let previous = CURRENT.replace(Some(self));
        let result = f();
        CURRENT.set(previous);
        result
    }

    fn directory(&self, path: &str) -> Result<Vec<crate::files::Entry>, crate::files::Error> {
        use crate::files::{Entry, EntryKind, Error};
        let prefix = format!("{}/", path.trim_end_matches('/'));
        let (mut seen, mut entries) = (BTreeSet::new(), Vec::new());
        let files = self.files.keys().map(|p| (p, EntryKind::File));
        for (path, kind) in files.chain(self.links.keys().map(|p| (p, EntryKind::Link))) {
            let Some(below) = path.strip_prefix(&prefix) else { continue };
            let (name, kind) = match below.split_once('/') {
                Some((directory, _)) => (directory, EntryKind::Directory),
                None => (below, kind),
            };
            if seen.insert(name) {
                entries.push(Entry { name: name.into(), kind });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        if entries.is_empty() { Err(Error::NotFound(format!("{path}: no such file"))) } else { Ok(entries) }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("files", &self.files.keys()).finish_non_exhaustive()
    }
}

/// The lines logged since [`Host::run`] began; to be asked inside of it.
pub fn logged() -> Vec<String> {
    CURRENT.with_borrow(|host| host.iter().flat_map(|h| &h.lines).map(|(_, line)| line.clone()).collect())
}

/// The HTTP requests sent since [`Host::run`] began, in their order; to be asked inside of it.
pub fn requests() -> Vec<Request> {
    CURRENT.with_borrow(|host| host.as_ref().map(|host| host.requests.clone()).unwrap_or_default())
}

/// What the plugin's store holds; to be asked inside of [`Host::run`]. Values do not run out in tests.
pub fn stored() -> BTreeMap<String, Vec<u8>> {
    CURRENT.with_borrow(|host| host.as_ref().map(|host| host.values.clone()).unwrap_or_default())
}

/// The plugin's own metrics as `name{label="value"}` and value; to be asked inside of [`Host::run`].
pub fn telemetry() -> BTreeMap<String, f64> {
    CURRENT.with_borrow(|host| host.as_ref().map(|host| host.telemetry.clone()).unwrap_or_default())
}

/// The samples of a batch as lines of text, `name{label="value"} 1`, with ` @ms` behind those that have a time.
pub fn render_batch(batch: &Batch) -> String {
    let mut text = String::new();
    for series in 0..batch.series_count() {
        let (names, labels): (Vec<_>, Vec<_>) =
            batch.labels(series).partition(|(name, _)| *name == "__name__");
        let name = names.first().map_or("", |(_, name)| name);
        let labels: Vec<_> = labels.into_iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let braces = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        for (at, value) in batch.samples(series) {
            let at = at.map_or_else(String::new, |at| format!(" @{at}"));
            writeln!(text, "{name}{braces} {value}{at}").expect("writing to a String cannot fail");
        }
    }
    text
}

/// The groups of a snapshot as lines of text: its source, labels and targets, each with its own labels below it.
pub fn render_snapshot(snapshot: &Snapshot) -> String {
    let labels = |labels: &[Label]| -> String {
        labels.iter().map(|Label { name, value }| format!("\n    {name}={value}")).collect()
    };
    let mut text = String::new();
    for group in &snapshot.groups {
        text += &format!("{}{}\n", group.source, labels(&group.labels));
        for target in &group.targets {
            text += &format!("  {}{}\n", target.address, labels(&target.labels));
        }
    }
    text
}

/// Starts a plugin from the JSON text of its configuration, as the server does, without checking the schema.
pub fn init<P: Plugin>(config: &str) -> Result<P> {
    crate::export::parse_config(config).and_then(P::init)
}

/// Holds a plugin to it that its schema has just the keys that its configuration has. `unknown` is a configuration with one
/// that neither has, in answer to which the reader of configurations names those that it knows.
///
/// # Panics
/// Where they differ.
pub fn assert_schema_has_every_key<P: Plugin>(unknown: &str) {
    let schema: serde_json::Value = serde_json::from_str(P::CONFIG_SCHEMA).expect("the schema is JSON");
    let properties = schema["properties"].as_object().into_iter().flatten();
    let keys: BTreeSet<&str> = properties.map(|(key, _)| key.as_str()).collect();
    let error = init::<P>(unknown).map(drop).expect_err("it knows every key that it is given");
    // "unknown field `x`, expected one of `a`, `b`": every second piece is a name.
    let known: BTreeSet<&str> = error.message().split('`').skip(3).step_by(2).collect();
    assert_eq!(keys, known, "the keys of the schema, and those of the configuration: {error}");
}

/// The first attempt at telling that the group `alertname="Down"` fires, of no alerts. `texts` are what the server has
/// rendered for a [`crate::Templated`] configuration, by JSON pointer without its first slash.
pub fn notification(texts: &[(&str, &str)]) -> Notification {
    Notification {
        idempotency_key: "key-1".to_owned(),
        attempt: 1,
        group_key: "{}:{alertname=\"Down\"}".to_owned(),
        status: AlertStatus::Firing,
        receiver: "team".to_owned(),
        group_labels: vec![Label::new("alertname", "Down")],
        common_labels: Vec::new(),
        common_annotations: texts
            .iter()
            .map(|(pointer, text)| Label::new(format!("{}/{pointer}", crate::texts::PREFIX), *text))
            .collect(),
        external_url: "http://am".to_owned(),
        truncated_alerts: 0,
        alerts: Vec::new(),
    }
}

/// A response with this status and body, and no headers.
pub fn response(status: u16, body: impl Into<Vec<u8>>) -> Response {
    Response { status, headers: Vec::new(), body: body.into() }
}

/// The samples as lines of text, `name{label="value"} 1`, in the order in which they were set.
pub fn render(metrics: &Metrics) -> String {
    let mut text = String::new();
    for (labels, value) in metrics.samples() {
        let mut labels = labels.into_iter();
        let name = labels.next().map_or("", |(_, name)| name);
        let labels: Vec<_> = labels.map(|(name, value)| format!("{name}={value:?}")).collect();
        let braces = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        writeln!(text, "{name}{braces} {value}").expect("writing to a String cannot fail");
    }
    text
}

/// The host's functions, with the signatures that the bindings give them.
pub(crate) mod host {
    use super::{CURRENT, Host};

    /// What every call answers where no host has been set up.
    const NO_HOST: &str = "there is no server outside of stormglass_sdk::testing::Host::run";

    fn current<T>(f: impl FnOnce(&mut Host) -> T) -> Option<T> {
        CURRENT.with_borrow_mut(|host| host.as_mut().map(f))
    }

    pub(crate) mod clock {
        pub(crate) fn now_ms() -> i64 {
            super::current(|host| host.now_ms).unwrap_or(0)
        }
    }

    pub(crate) mod log {
        use crate::log::Level;

        pub(crate) fn log(level: Level, message: &str) {
            super::current(|host| host.lines.push((level, message.into())));
        }

        pub(crate) fn stderr(text: &str) {
            eprint!("{text}");
        }
    }

    pub(crate) mod http {
        use super::{NO_HOST, current};
        use crate::http::{Error, Request, Response};

        pub(crate) fn fetch(request: &Request) -> Result<Response, Error> {
            // The closure leaves the host while it runs, so that it may log or read a file itself.
            let fetch = current(|host| {
                host.requests.push(request.clone());
                host.fetch.take()
            });
            let fetch = fetch.ok_or_else(|| Error::Denied(NO_HOST.into()))?;
            let mut fetch =
                fetch.ok_or_else(|| Error::Denied(format!("http: {} is not granted", request.url)))?;
            let result = fetch(request);
            current(|host| host.fetch = Some(fetch));
            result
        }
    }

    pub(crate) mod http_trace {
        use super::{NO_HOST, current};
        use crate::http::{Error, Request};
        use crate::http_trace::{Exchange, Options, Phases};

        pub(crate) fn trace(request: &Request, _options: &Options) -> Exchange {
            let denied = |what: String| Exchange {
                response: Err(Error::Denied(what)),
                http_version: String::new(),
                phases: Phases::ZERO,
                address: String::new(),
                session: None,
            };
            let Some(trace) = current(|host| host.trace.take()) else { return denied(NO_HOST.into()) };
            let Some(mut trace) = trace else {
                return denied(format!("http: {} is not granted", request.url));
            };
            let exchange = trace(request);
            current(|host| host.trace = Some(trace));
            exchange
        }
    }

    pub(crate) mod dns {
        use super::{NO_HOST, current};
        use crate::dns::{Entry, Error, RecordType};

        pub(crate) fn lookup(
            name: &str,
            record_type: RecordType,
            _server: Option<&str>,
            _timeout_ms: Option<u64>,
        ) -> Result<Vec<Entry>, Error> {
            let look_up = current(|host| host.look_up.take()).ok_or_else(|| Error::Denied(NO_HOST.into()))?;
            let mut look_up = look_up.ok_or_else(|| Error::Denied(format!("dns: {name} is not granted")))?;
            let result = look_up(name, record_type);
            current(|host| host.look_up = Some(look_up));
            result
        }
    }

    pub(crate) mod net {
        pub(crate) use super::super::script::Playing as Connection;
        use super::{NO_HOST, current};
        pub(crate) use crate::bindings::base::stormglass::host::net::ConnectOptions;
        use crate::net::Error;

        pub(crate) fn connect(host: &str, port: u16, options: &ConnectOptions) -> Result<Connection, Error> {
            let address = format!("{host}:{port}");
            let found = current(|host| host.connections.get_mut(&address).and_then(|all| all.pop_front()));
            let found = found.ok_or_else(|| Error::Denied(NO_HOST.into()))?;
            let script = found.ok_or_else(|| Error::Denied(format!("net: {address} is not granted")))?;
            Ok(Connection::new(script, options.tls.is_some()))
        }
    }

    pub(crate) mod kv {
        use super::{NO_HOST, current};
        use crate::kv::Error;

        fn with<T>(f: impl FnOnce(&mut super::Host) -> T) -> Result<T, Error> {
            current(f).ok_or_else(|| Error::Other(NO_HOST.into()))
        }

        pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
            with(|host| host.values.get(key).cloned())
        }

        pub(crate) fn set(key: &str, value: &[u8], _ttl_ms: Option<u64>) -> Result<(), Error> {
            with(|host| drop(host.values.insert(key.into(), value.into())))
        }

        pub(crate) fn delete(key: &str) -> Result<(), Error> {
            with(|host| drop(host.values.remove(key)))
        }

        pub(crate) fn keys(prefix: &str) -> Result<Vec<String>, Error> {
            with(|host| host.values.keys().filter(|key| key.starts_with(prefix)).cloned().collect())
        }
    }

    pub(crate) mod secrets {
        use super::{NO_HOST, current};
        use crate::secrets::Error;

        pub(crate) fn get(name: &str) -> Result<String, Error> {
            let found = current(|host| host.secrets.get(name).cloned());
            let found = found.ok_or_else(|| Error::Denied(NO_HOST.into()))?;
            found.ok_or_else(|| Error::Denied(format!("secrets: {name:?} is not granted")))
        }
    }

    pub(crate) mod telemetry {
        use super::current;
        use crate::Label;

        fn key(name: &str, labels: &[Label]) -> String {
            let labels: Vec<_> = labels.iter().map(|l| format!("{}={:?}", l.name, l.value)).collect();
            if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) }
        }

        pub(crate) fn counter_add(name: &str, labels: &[Label], amount: f64) {
            current(|host| *host.telemetry.entry(key(name, labels)).or_default() += amount);
        }

        pub(crate) fn gauge_set(name: &str, labels: &[Label], value: f64) {
            current(|host| {
                host.telemetry.insert(key(name, labels), value);
            });
        }
    }

    pub(crate) mod query {
        use super::{NO_HOST, current};
        use crate::Batch;
        use crate::query::Error;

        fn ask(expr: &str) -> Result<Batch, Error> {
            // The closure leaves the host while it runs, as for HTTP.
            let answers = current(|host| host.answers.take()).ok_or_else(|| Error::Denied(NO_HOST.into()))?;
            let mut answers = answers.ok_or_else(|| Error::Denied("query: is not granted".into()))?;
            let result = answers(expr);
            current(|host| host.answers = Some(answers));
            result
        }

        pub(crate) fn instant(expr: &str, _at_ms: Option<i64>) -> Result<Batch, Error> {
            ask(expr)
        }

        pub(crate) fn range(expr: &str, _start_ms: i64, _end_ms: i64, _step_ms: u64) -> Result<Batch, Error> {
            ask(expr)
        }
    }

    pub(crate) mod files {
        use super::{Host, NO_HOST, current};
        use crate::files::{Entry, Error, Volume};

        fn find<T>(f: impl FnOnce(&mut Host) -> Result<T, Error>) -> Result<T, Error> {
            current(f).unwrap_or_else(|| Err(Error::Denied(NO_HOST.into())))
        }

        pub(crate) fn read(path: &str) -> Result<Vec<u8>, Error> {
            find(|host| {
                host.files.get(path).cloned().ok_or_else(|| Error::NotFound(format!("{path}: no such file")))
            })
        }

        pub(crate) fn read_dir(path: &str) -> Result<Vec<Entry>, Error> {
            find(|host| host.directory(path))
        }

        pub(crate) fn read_link(path: &str) -> Result<String, Error> {
            find(|host| {
                host.links.get(path).cloned().ok_or_else(|| Error::NotFound(format!("{path}: no such file")))
            })
        }

        pub(crate) fn space(path: &str) -> Result<Volume, Error> {
            find(|host| {
                host.volumes
                    .get(path)
                    .copied()
                    .ok_or_else(|| Error::Denied(format!("files: {path} is not granted")))
            })
        }
    }
}
