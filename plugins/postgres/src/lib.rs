//! A PostgreSQL server under the names of postgres_exporter, and what questions of one's own yield.
//!
//! A server that cannot be reached or does not let us in is an answer, `pg_up 0`, with the reason in
//! `pg_exporter_last_scrape_error`. What was denied by the operator is an error. A question that fails, as for want of a
//! privilege, costs its own metrics: `pg_scrape_collector_success 0`.

mod custom;
mod protocol;
mod queries;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use stormglass_sdk::net::{Connect, Error as NetError, Stream, TlsOptions};
use stormglass_sdk::{
    Collector, ConfigDuration, Error, MetricKind, Metrics, Plugin, Result, Wish, clock, collector, log,
    secrets,
};

use crate::custom::Custom;
use crate::protocol::{Client, Login, Rows, Tls};
use crate::queries::{QUERIES, Query, SETTINGS};

/// Where PostgreSQL listens.
const PORT: u16 = 5432;

/// The `config:` of the plugin's entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    address: String,
    user: String,
    #[serde(default = "default_database")]
    database: String,
    /// The name of the secret that holds the password.
    #[serde(default)]
    password_secret: Option<String>,
    #[serde(default)]
    sslmode: SslMode,
    /// Authorities to trust in place of the system's, PEM.
    #[serde(default)]
    sslrootcert: String,
    #[serde(default = "default_timeout")]
    timeout: ConfigDuration,
    /// Collectors that are left out.
    #[serde(default)]
    disable: BTreeSet<String>,
    #[serde(default)]
    queries: Vec<Custom>,
}

/// How TLS is spoken, by the names of libpq. `verify-ca` is left out: a certificate for another name is no proof.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SslMode {
    Disable,
    /// Where the server can, whatever its certificate.
    Prefer,
    /// Whatever the server's certificate.
    Require,
    /// With a certificate that is checked.
    #[default]
    VerifyFull,
}

fn default_database() -> String {
    "postgres".to_owned()
}

fn default_timeout() -> ConfigDuration {
    ConfigDuration(Duration::from_secs(4))
}

struct Postgres {
    config: Config,
}

impl Plugin for Postgres {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = include_str!("schema.json");

    const WISHES: &'static [Wish] = &[
        Wish { capability: "net", target: "`address`", reason: "ask the server" },
        Wish { capability: "secrets", target: "`password_secret`", reason: "log in" },
    ];

    fn init(config: Config) -> Result<Self> {
        Connect::to(&config.address, Some(PORT))?;
        for query in &config.queries {
            query.check()?;
        }
        Ok(Self { config })
    }
}

impl Collector for Postgres {
    fn collect(&mut self, out: &mut Metrics) -> Result<()> {
        let (up, error) = match self.connect() {
            Ok(mut client) => {
                let asked = self.ask(&mut client, out);
                client.close();
                match asked {
                    Ok(()) => (1.0, String::new()),
                    Err(error) => (0.0, error.to_string()),
                }
            }
            Err(Failure::Ours(error)) => return Err(error),
            Err(Failure::Theirs(error)) => (0.0, error),
        };
        out.gauge("pg_up", "Whether the server answered.").set(&[], up);
        out.gauge("pg_exporter_last_scrape_error", "1 with the error of the last scrape, 0 without one.")
            .set(&[("err", &error)], 1.0 - up);
        Ok(())
    }
}

/// Whose fault it is.
enum Failure {
    /// The operator has something to mend.
    Ours(Error),
    /// The server is down or refuses.
    Theirs(String),
}

impl From<protocol::Error> for Failure {
    fn from(error: protocol::Error) -> Self {
        match error {
            protocol::Error::Connection(error) if !error.is_retryable() => Self::Ours(error),
            other => Self::Theirs(other.to_string()),
        }
    }
}

impl From<NetError> for Failure {
    fn from(error: NetError) -> Self {
        protocol::Error::Connection(error.into()).into()
    }
}

impl Postgres {
    fn connect(&self) -> Result<Client<Stream>, Failure> {
        let connect = Connect::to(&self.config.address, Some(PORT)).map_err(Failure::Ours)?;
        let password = match &self.config.password_secret {
            Some(name) => Some(secrets::get(name).map_err(|error| Failure::Ours(error.into()))?),
            None => None,
        };
        let mut stream = connect.timeout(self.config.timeout.0).open()?;
        let options = TlsOptions {
            authorities: self.config.sslrootcert.clone().into_bytes(),
            accept_invalid: self.config.sslmode != SslMode::VerifyFull,
            protocols: vec!["postgresql".to_owned()],
            ..TlsOptions::SYSTEM
        };
        let tls = match self.config.sslmode {
            SslMode::Disable => Tls::Never,
            SslMode::Prefer => Tls::Preferred(options),
            SslMode::Require | SslMode::VerifyFull => Tls::Required(options),
        };
        protocol::negotiate(&mut stream, tls)?;
        let timings = stream.timings();
        let entropy = format!("{} {} {:?}", clock::now_ms(), timings.connect_ns, timings.handshake_ns);
        let login = Login {
            user: &self.config.user,
            database: &self.config.database,
            password: password.as_deref(),
            entropy: entropy.as_bytes(),
        };
        Ok(Client::login(stream, &login)?)
    }

    /// Asks everything. An error is one of the connection; what the server refuses costs no more than itself.
    fn ask<S: std::io::Read + std::io::Write>(
        &self,
        client: &mut Client<S>,
        out: &mut Metrics,
    ) -> Result<(), protocol::Error> {
        let version = client.parameter("server_version").unwrap_or_default().to_owned();
        let number = version_number(&version);
        let short = version.split(' ').next().unwrap_or_default();
        out.gauge("pg_static", "1 with the version of the server.")
            .set(&[("short_version", short), ("version", &version)], 1.0);
        let mut outcomes = BTreeMap::new();
        // A question that the server refuses costs its own metrics; the outer error is of the connection.
        let mut ask = |name, sql: &str, tell: &mut dyn FnMut(&Rows)| -> Result<(), protocol::Error> {
            let refused = match client.query(sql) {
                Ok(rows) => {
                    tell(&rows);
                    None
                }
                Err(error @ protocol::Error::Server { .. }) => Some(error),
                Err(other) => return Err(other),
            };
            // A collector that has several questions is as good as the worst.
            *outcomes.entry(name).or_insert(true) &= refused.is_none();
            if let Some(error) = refused {
                log::debug!("{name}: {error}");
            }
            Ok(())
        };
        for query in QUERIES {
            let (from, to) = query.versions;
            if self.config.disable.contains(query.collector) || !(from..to).contains(&number) {
                continue;
            }
            ask(query.name, query.sql, &mut |rows| tell(query, rows, out))?;
        }
        if !self.config.disable.contains("settings") {
            ask("pg_settings", SETTINGS, &mut |rows| settings::tell(rows, out))?;
        }
        for query in &self.config.queries {
            ask(query.name(), query.sql(), &mut |rows| query.tell(rows, out))?;
        }
        let mut family = out.gauge(
            "pg_scrape_collector_success",
            "Whether the server answered all questions of a collector.",
        );
        for (name, success) in outcomes {
            family.set(&[("collector", name)], f64::from(u8::from(success)));
        }
        Ok(())
    }
}

fn tell(query: &Query, rows: &Rows, out: &mut Metrics) {
    tell_columns(rows, query.name, query.labels.iter().copied(), query.values.iter().copied(), out);
}

/// Tells columns of an answer as metrics: a sample for each row with a number in them, labelled with other columns. What is
/// not among the columns is left out.
fn tell_columns<'a>(
    rows: &Rows,
    name: &str,
    labels: impl Iterator<Item = &'a str>,
    values: impl Iterator<Item = (&'a str, MetricKind, &'a str)>,
    out: &mut Metrics,
) {
    let place = |name: &str| rows.columns.iter().position(|column| column == name);
    let labels: Vec<_> = labels.filter_map(|label| Some((label, place(label)?))).collect();
    for (column, kind, help) in values {
        let Some(value) = place(column) else { continue };
        let mut family = out.family(&format!("{name}_{column}"), kind, help);
        for row in &rows.rows {
            let Some(value) = number(row.get(value)) else { continue };
            let labels: Vec<_> =
                labels.iter().map(|(label, place)| (*label, text(row.get(*place)))).collect();
            family.set(&labels, value);
        }
    }
}

/// A value; none where it is null or no number.
fn number(value: Option<&Option<String>>) -> Option<f64> {
    match value?.as_deref()? {
        "t" => Some(1.0),
        "f" => Some(0.0),
        text => text.parse().ok(),
    }
}

fn text(value: Option<&Option<String>>) -> &str {
    value.and_then(|value| value.as_deref()).unwrap_or_default()
}

/// As `server_version_num` has it: `15.4 (Debian)` is 150004, `9.6.2` 90602.
fn version_number(version: &str) -> u32 {
    let digits = version.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
    let mut parts = digits.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    match (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0)) {
        (major @ 10.., minor, _) => major * 10_000 + minor,
        (major, minor, patch) => major * 10_000 + minor * 100 + patch,
    }
}

collector!(Postgres);

#[cfg(test)]
mod tests;
