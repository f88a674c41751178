//! Groups of alerts as mail, as Alertmanager's `email_configs`: TLS unless it is said that none will do, a login by
//! CRAM-MD5, PLAIN or LOGIN, the text plain and as HTML, by templates where there are any, and threads where they are
//! asked for.
//!
//! What a server answers with 4xx is tried again, what it answers with 5xx is not. Every attempt to deliver the same thing has the
//! same `Message-Id`.

mod message;
mod smtp;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use stormglass_sdk::net::{Connect, TlsOptions};
use stormglass_sdk::{
    ConfigDuration, Context, Error, Notification, Plugin, Receiver, Result, Templated, Wish, clock, receiver,
    secrets,
};

use crate::message::Envelope;
use crate::smtp::{Client, Login};

/// The port where TLS is spoken from the first byte on.
const SMTPS_PORT: u16 = 465;
/// The port where mail is taken that has none.
const SMTP_PORT: u16 = 25;
/// Headers that are not the operator's to set: they say how the message is built.
const RESERVED: [&str; 3] = ["mime-version", "content-type", "content-transfer-encoding"];

/// The `config:` of the plugin's entry: keys as in `email_configs`, with the names of secrets in place of secrets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    smarthost: String,
    from: String,
    to: String,
    #[serde(default = "localhost")]
    hello: String,
    #[serde(default)]
    auth_username: Option<String>,
    /// The name of the secret that holds the password.
    #[serde(default)]
    auth_password_secret: Option<String>,
    /// The name of the secret that CRAM-MD5 uses; the password where there is none.
    #[serde(default)]
    auth_secret_secret: Option<String>,
    #[serde(default)]
    auth_identity: String,
    #[serde(default = "yes")]
    require_tls: bool,
    #[serde(default)]
    tls_config: Tls,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The subject, where no header has one.
    #[serde(default)]
    subject: Option<String>,
    /// The plain part, in place of our own.
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    html: Html,
    #[serde(default)]
    threading: Threading,
    #[serde(default = "default_timeout")]
    timeout: ConfigDuration,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tls {
    server_name: Option<String>,
    /// Authorities to trust in place of the system's, PEM.
    ca: String,
    insecure_skip_verify: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Threading {
    enabled: bool,
    thread_by_date: ByDate,
}

/// The part in HTML.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Html {
    /// Our own, or none.
    Wanted(bool),
    /// In its place.
    Text(String),
}

impl Default for Html {
    fn default() -> Self {
        Self::Wanted(true)
    }
}

/// Whether there is a thread for each day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ByDate {
    #[default]
    Daily,
    None,
}

fn localhost() -> String {
    "localhost".to_owned()
}

fn yes() -> bool {
    true
}

fn default_timeout() -> ConfigDuration {
    ConfigDuration(Duration::from_secs(4))
}

/// The plugin.
pub struct Email {
    config: Templated<Config>,
}

impl Plugin for Email {
    type Config = Templated<Config>;

    const CONFIG_SCHEMA: &'static str = include_str!("schema.json");

    const WISHES: &'static [Wish] = &[
        Wish { capability: "net", target: "`smarthost`", reason: "hand over mail" },
        Wish { capability: "secrets", target: "`auth_password_secret`", reason: "log in" },
    ];

    fn init(templated: Self::Config) -> Result<Self> {
        let config = templated.written()?;
        Connect::to(&config.smarthost, Some(SMTP_PORT))?;
        for text in [&config.from, &config.to].into_iter().filter(|text| !text.contains("{{")) {
            addresses(text)?;
        }
        for name in config.headers.keys() {
            let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
            if !is_name || RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(Error::permanent(format!("headers: {name:?} cannot be set")));
            }
        }
        if !config.hello.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::permanent("hello: not the name of a host"));
        }
        if config.auth_username.is_some()
            && config.auth_password_secret.is_none()
            && config.auth_secret_secret.is_none()
        {
            let what = "auth_username needs auth_password_secret or auth_secret_secret";
            return Err(Error::permanent(what));
        }
        Ok(Self { config: templated })
    }
}

/// Addresses with commas between them.
fn addresses(text: &str) -> Result<Vec<String>> {
    text.split(',').map(address).collect()
}

/// The address of `Name <user@host>` or `user@host`, as it goes to the server.
fn address(text: &str) -> Result<String> {
    let text = text.trim();
    let bare = match (text.rfind('<'), text.strip_suffix('>')) {
        (Some(start), Some(rest)) => &rest[start + 1..],
        _ => text,
    };
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !"<>()[]\\,;:\"".contains(c);
    let whole = bare.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
    if whole && bare.chars().all(is_plain) && !text.contains(char::is_control) {
        Ok(bare.to_owned())
    } else {
        Err(Error::permanent(format!("{text:?} is no mail address")))
    }
}

impl Receiver for Email {
    fn notify(&mut self, notification: &Notification) -> Result<()> {
        let config = self.config.render(notification)?;
        config.deliver(notification).context(format!("mail to {}", config.smarthost))
    }
}

impl Config {
    fn deliver(&self, notification: &Notification) -> Result<()> {
        let Self { smarthost, hello, .. } = self;
        let (from, to) = (address(&self.from)?, addresses(&self.to)?);
        let connect = Connect::to(smarthost, Some(SMTP_PORT))?.timeout(self.timeout.0);
        let tls = self.tls();
        let from_start = connect.port() == SMTPS_PORT;
        let is_local = matches!(connect.host(), "localhost" | "127.0.0.1" | "[::1]" | "::1");
        let connect = if from_start { connect.tls(tls.clone()) } else { connect };
        let mut client = Client::greet(connect.open()?, hello, from_start || is_local)?;
        if !from_start && client.offers_tls() {
            client.start_tls(&tls)?;
        } else if !from_start && self.require_tls {
            return Err(Error::permanent(
                "the server does not offer STARTTLS; set require_tls to false to send mail in plain text",
            ));
        }
        if let Some(login) = self.login()? {
            client.login(&login)?;
        }
        client.send(&from, &to, &self.message(notification, clock::now_ms()))
    }

    fn message(&self, notification: &Notification, now_ms: i64) -> String {
        let threading = &self.threading;
        let thread = match threading.thread_by_date {
            ByDate::Daily => message::day(now_ms),
            ByDate::None => String::new(),
        };
        let envelope = Envelope {
            from: &self.from,
            to: &self.to,
            headers: &self.headers,
            subject: self.subject.as_deref().filter(|subject| !subject.is_empty()),
            now_ms,
            hello: &self.hello,
            text: self.text.as_deref(),
            html: &self.html,
            thread: threading.enabled.then_some(thread),
        };
        message::write(&envelope, notification)
    }

    fn tls(&self) -> TlsOptions {
        let tls = &self.tls_config;
        TlsOptions {
            server_name: tls.server_name.clone(),
            authorities: tls.ca.clone().into_bytes(),
            accept_invalid: tls.insecure_skip_verify,
            ..TlsOptions::SYSTEM
        }
    }

    fn login(&self) -> Result<Option<Login>> {
        let Some(username) = self.auth_username.clone() else { return Ok(None) };
        let read = |name: &Option<String>| name.as_deref().map(secrets::get).transpose();
        Ok(Some(Login {
            username,
            identity: self.auth_identity.clone(),
            password: read(&self.auth_password_secret)?,
            secret: read(&self.auth_secret_secret)?,
        }))
    }
}

receiver!(Email);

#[cfg(test)]
mod tests;
