//! A case as its file has it: a configuration, surroundings, what the plugin is given, and what is expected.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use formats::exposition::{self, Entry, Format};
use model::{Columns, Timestamp};
use plugin::{Answer, Conversation, Exchange, Fake, Lookup, Surroundings};
use serde::Deserialize;

use crate::plugins::ColumnsWriter;

/// The time of cases that name none: 2026-01-01T00:00:00Z.
const NOW_MS: i64 = 1_767_225_600_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    /// RFC 3339.
    #[serde(default)]
    now: Option<String>,
    #[serde(default = "no_config")]
    pub(super) config: serde_json::Value,
    #[serde(default)]
    http: Vec<ExchangeCase>,
    /// Answers to look-ups in the DNS.
    #[serde(default)]
    dns: Vec<Lookup>,
    /// Connections, and what is said over them.
    #[serde(default)]
    net: Vec<Conversation>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// What the plugin's store holds in the beginning.
    #[serde(default)]
    kv: BTreeMap<String, String>,
    /// Secrets that it may read.
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    /// Answers to queries: the expression, and its series as exposition text.
    #[serde(default)]
    query: BTreeMap<String, String>,
    /// Calls on the same instance; the last one counts.
    #[serde(default = "one")]
    pub(super) calls: u32,
    /// Which kind to call, where the plugin is of several.
    #[serde(default)]
    pub(super) kind: Option<String>,
    /// What the call is given, by kind.
    #[serde(default)]
    pub(super) input: Option<serde_json::Value>,
    pub(super) expect: Expect,
}

fn no_config() -> serde_json::Value {
    serde_json::json!({})
}

fn one() -> u32 {
    1
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExchangeCase {
    request: RequestCase,
    #[serde(default)]
    response: Option<ResponseCase>,
    /// Instead of a response: why there is no connection.
    #[serde(default)]
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestCase {
    #[serde(default = "get")]
    method: String,
    url: String,
    /// What the body has to be; any where there is none.
    #[serde(default)]
    body: Option<String>,
}

fn get() -> String {
    "GET".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponseCase {
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// A text, or anything else, which is sent as JSON.
    #[serde(default)]
    body: serde_json::Value,
}

fn ok() -> u16 {
    200
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    /// Exposition text: all samples, in any order, and all metadata where there is any here.
    #[serde(default)]
    pub(super) metrics: Option<String>,
    /// How many samples.
    #[serde(default)]
    pub(super) count: Option<usize>,
    /// What the call answers beside samples, in a form of its kind's own.
    #[serde(default)]
    pub(super) yields: Option<serde_json::Value>,
    /// What `plugin run` would print, for kinds that yield no samples.
    #[serde(default)]
    pub(super) output: Option<String>,
    /// All lines logged, as `level: message`.
    #[serde(default)]
    pub(super) log: Option<Vec<String>>,
    /// All that the plugin's store holds afterwards.
    #[serde(default)]
    pub(super) kv: Option<BTreeMap<String, String>>,
    /// All of its metrics about itself, as `name{label="value"}`.
    #[serde(default)]
    pub(super) telemetry: Option<BTreeMap<String, f64>>,
    /// Part of the message of the error that the call ends in.
    #[serde(default)]
    pub(super) error: Option<String>,
    /// Whether that error asks for another attempt.
    #[serde(default)]
    pub(super) retryable: Option<bool>,
}

impl Case {
    /// What the plugin finds around it.
    pub(super) fn surroundings(&self) -> anyhow::Result<Fake> {
        let mut http = Vec::new();
        for exchange in &self.http {
            let answer = match (&exchange.response, &exchange.error) {
                (Some(response), None) => Ok(Answer {
                    status: response.status,
                    headers: response.headers.clone().into_iter().collect(),
                    body: match &response.body {
                        serde_json::Value::Null => Vec::new(),
                        serde_json::Value::String(text) => text.clone().into_bytes(),
                        json => json.to_string().into_bytes(),
                    },
                }),
                (None, Some(error)) => Err(error.clone()),
                _ => bail!("http: {} has to have either a response or an error", exchange.request.url),
            };
            http.push(Exchange {
                method: exchange.request.method.clone(),
                url: exchange.request.url.clone(),
                body: exchange.request.body.clone().map(String::into_bytes),
                answer,
            });
        }
        let now_ms = match &self.now {
            Some(now) => chrono::DateTime::parse_from_rfc3339(now)
                .with_context(|| format!("now: {now:?} is no time such as 2026-01-31T12:00:00Z"))?
                .timestamp_millis(),
            None => NOW_MS,
        };
        let mut queries = BTreeMap::new();
        for (expr, text) in &self.query {
            let columns = columns_of(text, now_ms).with_context(|| format!("query: the answer to {expr}"))?;
            queries.insert(expr.clone(), Ok(columns));
        }
        let given = Surroundings {
            now_ms,
            http,
            dns: self.dns.clone(),
            net: self.net.clone(),
            files: bytes(&self.files),
            kv: bytes(&self.kv),
            secrets: self.secrets.clone(),
            queries,
        };
        Fake::new(given).map_err(|error| anyhow::anyhow!("kv: {error}"))
    }

    /// What a case has is granted; nothing else is.
    pub(super) fn grants(&self) -> serde_json::Value {
        let servers: BTreeSet<String> = self
            .http
            .iter()
            .filter_map(|exchange| url::Url::parse(&exchange.request.url).ok())
            .map(|url| url.origin().ascii_serialization())
            .collect();
        let names: BTreeSet<&str> = self.dns.iter().map(|answer| answer.lookup.as_str()).collect();
        let places: BTreeSet<&str> = self.net.iter().map(|talk| talk.connect.as_str()).collect();
        serde_json::json!({
            "http": servers, "query": !self.query.is_empty(), "dns": names, "net": places,
        })
    }
}

fn bytes(texts: &BTreeMap<String, String>) -> BTreeMap<String, Vec<u8>> {
    texts.iter().map(|(key, text)| (key.clone(), text.clone().into_bytes())).collect()
}

/// Exposition text as a query's answer; samples without a time are of now.
fn columns_of(text: &str, now_ms: i64) -> anyhow::Result<Columns> {
    let mut writer = ColumnsWriter::default();
    exposition::parse::<anyhow::Error>(Format::PrometheusText, text.as_bytes(), &mut |entry| {
        if let Entry::Sample(sample) = entry {
            writer.series(&sample.labels().map_err(anyhow::Error::msg)?);
            writer.sample(sample.timestamp.unwrap_or(Timestamp::from_millis(now_ms)), sample.value);
        }
        Ok(())
    })?;
    Ok(writer.finish()?)
}
