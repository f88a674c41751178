//! Metrics out of JSON that services serve: what is asked for, and by which paths values and labels are found in it.
//!
//! The words are json_exporter's: a metric of type `value` is one number, one of type `object` has a sample for each object
//! that its path leads to, with labels and values relative to it. A text in braces is a path, any other is meant as it is.
//! [`path`] says what paths there are.

mod path;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use stormglass_sdk::http::{self, Headers, Request, Timeout};
use stormglass_sdk::{Collector, Context, Error, MetricKind, Metrics, Plugin, Result, Wish, collector, log};

use path::Path;

/// Whether a request was answered with JSON, by request.
const UP: &str = "json_api_up";

/// The `config:` of the plugin's entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    requests: Vec<RequestConfig>,
}

/// One question, and what is read from its answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestConfig {
    /// Names it in [`UP`]; the URL's server if absent.
    name: Option<String>,
    url: String,
    #[serde(default = "get")]
    method: String,
    #[serde(default)]
    headers: Headers,
    body: Option<String>,
    #[serde(default)]
    timeout: Timeout,
    metrics: Vec<MetricConfig>,
}

fn get() -> String {
    "GET".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricConfig {
    name: String,
    #[serde(default)]
    help: String,
    path: String,
    #[serde(rename = "type", default)]
    shape: Shape,
    #[serde(default)]
    valuetype: ValueType,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Of an object: what follows the metric's name, and where its value is.
    #[serde(default)]
    values: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Shape {
    #[default]
    Value,
    Object,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ValueType {
    Counter,
    Gauge,
    #[default]
    Untyped,
}

/// Where a text or number comes from.
enum Source {
    Path(Path),
    Fixed(Value),
}

struct Metric {
    name: String,
    help: String,
    kind: MetricKind,
    path: Path,
    labels: Vec<(String, Source)>,
    /// Suffix and source; none for a metric that is one value.
    values: Option<Vec<(String, Source)>>,
}

struct Asked {
    name: String,
    request: Request,
    metrics: Vec<Metric>,
}

/// The plugin.
pub struct JsonApi {
    requests: Vec<Asked>,
}

impl Plugin for JsonApi {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = include_str!("schema.json");

    const WISHES: &'static [Wish] =
        &[Wish { capability: "http", target: "host and port of each `url`", reason: "ask it for JSON" }];

    fn init(config: Config) -> Result<Self> {
        let requests = config.requests.into_iter().map(asked).collect::<Result<_, String>>();
        Ok(Self { requests: requests.map_err(Error::permanent)? })
    }
}

fn asked(config: RequestConfig) -> Result<Asked, String> {
    let request = Request::new(&config.method, &config.url)
        .header("Accept", "application/json")
        .timeout(config.timeout)
        .headers(&config.headers)
        .body(config.body.unwrap_or_default());
    Ok(Asked {
        name: config.name.unwrap_or_else(|| http::origin(&config.url)),
        request,
        metrics: config.metrics.into_iter().map(metric).collect::<Result<_, _>>()?,
    })
}

fn metric(config: MetricConfig) -> Result<Metric, String> {
    let MetricConfig { name, help, path, shape, valuetype, labels, values } = config;
    let within = |what: String| format!("metric {name:?}: {what}");
    if (shape == Shape::Object) == values.is_empty() {
        return Err(within("an object has values, and nothing else has".to_owned()));
    }
    let sources = |named: Vec<(String, Value)>| {
        named.into_iter().map(|(name, value)| Ok((name, source(value)?))).collect::<Result<Vec<_>, String>>()
    };
    let labels =
        sources(labels.into_iter().map(|(name, value)| (name, value.into())).collect()).map_err(within)?;
    let values = sources(values.into_iter().collect()).map_err(within)?;
    Ok(Metric {
        path: Path::parse(&path).map_err(within)?,
        kind: match valuetype {
            ValueType::Counter => MetricKind::Counter,
            ValueType::Gauge => MetricKind::Gauge,
            ValueType::Untyped => MetricKind::Unknown,
        },
        labels,
        values: (shape == Shape::Object).then_some(values),
        help,
        name,
    })
}

/// A text in braces is a path.
fn source(value: Value) -> Result<Source, String> {
    match &value {
        Value::String(text) if text.trim_start().starts_with('{') => Path::parse(text).map(Source::Path),
        _ => Ok(Source::Fixed(value)),
    }
}

impl Source {
    fn of<'v>(&'v self, value: &'v Value) -> Option<&'v Value> {
        match self {
            Self::Fixed(fixed) => Some(fixed),
            Self::Path(path) => path.find(value).into_iter().next(),
        }
    }
}

impl Collector for JsonApi {
    /// One service that does not answer costs its own metrics; where none answers, the collection fails.
    fn collect(&mut self, out: &mut Metrics) -> Result<()> {
        let mut failure = None;
        let mut answered = 0;
        for asked in &self.requests {
            let answer = ask(&asked.request);
            let up = f64::from(u8::from(answer.is_ok()));
            out.gauge(UP, "Whether a request was answered with JSON.").set(&[("request", &asked.name)], up);
            match answer {
                Ok(document) => {
                    answered += 1;
                    for metric in &asked.metrics {
                        metric.read(&document, out);
                    }
                }
                Err(error) => {
                    log::warn!("{error}");
                    failure = Some(error);
                }
            }
        }
        match failure {
            Some(error) if answered == 0 => Err(error),
            _ => Ok(()),
        }
    }
}

fn ask(request: &Request) -> Result<Value> {
    // Paths and queries of APIs often hold keys, so that no message may have them.
    let doing = format!("get JSON from {}", http::origin(&request.url));
    request.send().context(&doing)?.error_for_status().context(&doing)?.json().context(&doing)
}

impl Metric {
    fn read(&self, document: &Value, out: &mut Metrics) {
        let found = self.path.find(document);
        let Some(values) = &self.values else {
            // Labels of a single value stand anywhere in the document.
            if let Some(value) = found.first().and_then(|value| number(value)) {
                self.put(&self.name, document, value, out);
            }
            return;
        };
        for object in found {
            for (suffix, source) in values {
                if let Some(value) = source.of(object).and_then(number) {
                    self.put(&format!("{}_{suffix}", self.name), object, value, out);
                }
            }
        }
    }

    fn put(&self, name: &str, around: &Value, value: f64, out: &mut Metrics) {
        let texts: Vec<(&str, String)> = self
            .labels
            .iter()
            .map(|(name, source)| (name.as_str(), source.of(around).map(text).unwrap_or_default()))
            .collect();
        let labels: Vec<(&str, &str)> = texts.iter().map(|(name, value)| (*name, value.as_str())).collect();
        out.family(name, self.kind, &self.help).set(&labels, value);
    }
}

/// Numbers, truth as 1 and 0, and texts that are either.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Value::String(text) => match text.trim() {
            "true" => Some(1.0),
            "false" => Some(0.0),
            text => text.parse().ok(),
        },
        _ => None,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

collector!(JsonApi);

#[cfg(test)]
mod tests;
