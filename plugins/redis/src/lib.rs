//! A Redis server, or one that speaks like it, under the names of redis_exporter: what `INFO` tells, and the settings that
//! dashboards compare it with.
//!
//! A server that cannot be reached or does not let us in is an answer, `redis_up 0`, with the reason in
//! `redis_exporter_last_scrape_error`. What was denied by the operator is an error.

mod info;
mod names;
mod resp;

use std::time::Duration;

use serde::Deserialize;
use stormglass_sdk::net::{Connect, Error as NetError, Stream, TlsOptions};
use stormglass_sdk::{
    Collector, ConfigDuration, Error, Metrics, Plugin, Result, Wish, clock, collector, secrets,
};

use crate::resp::{Connection, Value};

/// Where Redis listens.
const PORT: u16 = 6379;

/// The `config:` of the plugin's entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    address: String,
    #[serde(default)]
    username: Option<String>,
    /// The name of the secret that holds the password.
    #[serde(default)]
    password_secret: Option<String>,
    #[serde(default)]
    tls: Option<Tls>,
    #[serde(default = "default_timeout")]
    timeout: ConfigDuration,
    /// Whether every setting becomes a sample of `redis_config_key_value`.
    #[serde(default)]
    config_metrics: bool,
}

/// How TLS is spoken.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Tls {
    server_name: Option<String>,
    /// Authorities to trust in place of the system's, PEM.
    ca: String,
    /// Our certificate, PEM.
    cert: String,
    /// The name of the secret that holds its key, PEM.
    key_secret: Option<String>,
    insecure_skip_verify: bool,
}

fn default_timeout() -> ConfigDuration {
    ConfigDuration(Duration::from_secs(4))
}

struct Redis {
    config: Config,
}

impl Plugin for Redis {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = r#"{
        "type": "object",
        "additionalProperties": false,
        "required": ["address"],
        "properties": {
            "address": {"type": "string", "minLength": 1, "description": "host:port; the port is 6379 if absent."},
            "username": {"type": "string", "description": "A user of Redis' ACL; the default one if absent."},
            "password_secret": {"type": "string", "description": "The name of the secret that holds the password."},
            "timeout": {"type": "string", "pattern": "^([0-9]+(ms|[ywdhms]))+$", "description": "For one step; 4s if absent."},
            "config_metrics": {"type": "boolean", "description": "A sample for each setting of the server."},
            "tls": {
                "type": "object",
                "additionalProperties": false,
                "description": "Speak TLS.",
                "properties": {
                    "server_name": {"type": "string"},
                    "ca": {"type": "string", "description": "Authorities to trust in place of the system's, PEM."},
                    "cert": {"type": "string", "description": "A certificate of our own, PEM."},
                    "key_secret": {"type": "string", "description": "The name of the secret that holds its key, PEM."},
                    "insecure_skip_verify": {"type": "boolean"}
                }
            }
        }
    }"#;

    const WISHES: &'static [Wish] = &[
        Wish { capability: "net", target: "`address`", reason: "ask the server" },
        Wish { capability: "secrets", target: "`password_secret`", reason: "log in" },
    ];

    fn init(config: Config) -> Result<Self> {
        Connect::to(&config.address, Some(PORT))?;
        Ok(Self { config })
    }
}

impl Collector for Redis {
    fn collect(&mut self, out: &mut Metrics) -> Result<()> {
        let asked = self.ask();
        let (up, error) = match &asked {
            Ok(_) => (1.0, String::new()),
            Err(Failure::Ours(error)) => return Err(error.clone()),
            Err(Failure::Theirs(error)) => (0.0, error.to_string()),
        };
        out.gauge("redis_up", "Whether the server answered.").set(&[], up);
        out.gauge("redis_exporter_last_scrape_error", "1 with the error of the last scrape, 0 without one.")
            .set(&[("err", &error)], 1.0 - up);
        let Ok(answers) = asked else { return Ok(()) };
        if let Some(settings) = &answers.settings {
            names::settings(settings, self.config.config_metrics, out);
        }
        let settings = answers.settings.as_deref().unwrap_or_default();
        info::tell(&answers.info, settings, clock::now_ms(), out);
        if let Some(length) = answers.slow {
            out.gauge("redis_slowlog_length", "Entries of the slow log.").set(&[], length as f64);
        }
        Ok(())
    }
}

/// What the server said.
struct Answers {
    info: String,
    /// None where it does not tell them, as managed servers do.
    settings: Option<Vec<(String, String)>>,
    /// Entries of the slow log.
    slow: Option<i64>,
}

/// Whose fault it is.
enum Failure {
    /// The operator has something to mend.
    Ours(Error),
    /// The server is down or refuses.
    Theirs(Error),
}

impl From<NetError> for Failure {
    fn from(error: NetError) -> Self {
        let ours = matches!(error, NetError::Denied(_) | NetError::Invalid(_) | NetError::Limit(_));
        if ours { Self::Ours(error.into()) } else { Self::Theirs(error.into()) }
    }
}

impl From<resp::Error> for Failure {
    fn from(error: resp::Error) -> Self {
        Self::Theirs(Error::retryable(error.to_string()))
    }
}

impl Redis {
    fn ask(&self) -> Result<Answers, Failure> {
        let mut connection = Connection::new(self.connect()?);
        if let Some(name) = &self.config.password_secret {
            let password = secrets::get(name).map_err(|error| Failure::Ours(error.into()))?;
            let answer = match &self.config.username {
                Some(user) => connection.ask(&["AUTH", user, &password])?,
                None => connection.ask(&["AUTH", &password])?,
            };
            if let Value::Error(text) = answer {
                return Err(Failure::Theirs(Error::retryable(format!("AUTH: {text}"))));
            }
        }
        let info = match connection.ask(&["INFO", "ALL"])? {
            Value::Text(text) => text,
            Value::Error(text) => return Err(Failure::Theirs(Error::retryable(format!("INFO: {text}")))),
            other => {
                return Err(Failure::Theirs(Error::retryable(format!("INFO was answered with {other:?}"))));
            }
        };
        // Some servers refuse these two and are fine.
        let settings = match connection.ask(&["CONFIG", "GET", "*"])? {
            Value::List(values) => Some(resp::pairs(values)),
            _ => None,
        };
        let slow = match connection.ask(&["SLOWLOG", "LEN"])? {
            Value::Number(length) => Some(length),
            _ => None,
        };
        Ok(Answers { info, settings, slow })
    }

    fn connect(&self) -> Result<Stream, Failure> {
        let connect = Connect::to(&self.config.address, Some(PORT)).map_err(Failure::Ours)?;
        let mut connect = connect.timeout(self.config.timeout.0);
        if let Some(tls) = &self.config.tls {
            let key = match &tls.key_secret {
                Some(name) => secrets::get(name).map_err(|error| Failure::Ours(error.into()))?.into_bytes(),
                None => Vec::new(),
            };
            connect = connect.tls(TlsOptions {
                server_name: tls.server_name.clone(),
                authorities: tls.ca.clone().into_bytes(),
                certificate: tls.cert.clone().into_bytes(),
                key,
                accept_invalid: tls.insecure_skip_verify,
                protocols: Vec::new(),
            });
        }
        Ok(connect.open()?)
    }
}

collector!(Redis);

#[cfg(test)]
mod tests;
