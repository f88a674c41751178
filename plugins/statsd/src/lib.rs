//! StatsD, added up: what comes in changes counters, gauges, sets and timers, and each collection tells how they stand.
//!
//! `name:value|c|@0.1|#tag:value` and its like, several values with `name:1:2:3|c`, tags as DogStatsD has them. Counters
//! become `<name>_total`, timers and histograms (`ms`, `h`, `d`) a histogram of seconds where the type is `ms`, sets the
//! number of different values since the last collection. A name holds an underscore for each character that no metric's name
//! has. The plugin is collected like any other, so that `up` and the interval are the operator's.

mod metric;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use stormglass_sdk::{
    Chunk, Collector, Consumed, Decoder, Error, Metrics, Plugin, Result, Samples, export, telemetry,
};

use self::metric::{Kind, Metric};

/// Upper bounds of timers, in seconds, where the configuration has none.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The `config:` of the plugin's entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What stands before each metric's name.
    prefix: String,
    /// Upper bounds of timers and histograms.
    buckets: Vec<f64>,
    /// Series that are kept; further ones are left out and counted.
    series: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { prefix: String::new(), buckets: BUCKETS.to_vec(), series: 50_000 }
    }
}

/// A series' labels, sorted.
type Labels = Vec<(String, String)>;

/// The values of a timer.
#[derive(Debug, Clone, Default)]
struct Timer {
    /// By bucket, the last for all that is over the bounds.
    counts: Vec<f64>,
    sum: f64,
}

#[derive(Debug)]
enum State {
    Counter(f64),
    Gauge(f64),
    Set(BTreeSet<String>),
    Timer(Timer),
}

struct StatsD {
    config: Config,
    series: BTreeMap<(String, Labels), State>,
}

impl Plugin for StatsD {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "prefix": {
                "type": "string",
                "pattern": "^([a-zA-Z_][a-zA-Z0-9_]*)?$",
                "description": "What stands before each metric's name."
            },
            "buckets": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "number"},
                "description": "Upper bounds of timers in seconds, and of histograms, from low to high."
            },
            "series": {
                "type": "integer",
                "minimum": 1,
                "default": 50000,
                "description": "Series that are kept; further ones are left out and counted."
            }
        }
    }"#;

    fn init(config: Config) -> Result<Self> {
        if !config.buckets.is_sorted_by(|a, b| a < b) {
            return Err(Error::permanent("buckets: must go from low to high"));
        }
        Ok(Self { config, series: BTreeMap::new() })
    }
}

impl Decoder for StatsD {
    fn decode(&mut self, chunk: &Chunk, _out: &mut Samples) -> Result<Consumed> {
        let (lines, bytes) = chunk.lines();
        let mut consumed = Consumed { bytes, ..Consumed::default() };
        for line in lines {
            let parsed = std::str::from_utf8(line).map_err(|_| "a line is no UTF-8".to_owned());
            let taken = match parsed.and_then(metric::parse) {
                Ok(metrics) => metrics.into_iter().try_for_each(|metric| self.take(metric)),
                Err(reason) => Err(reason),
            };
            if let Err(reason) = taken {
                consumed.reject(format!("{reason}: {:?}", String::from_utf8_lossy(line)));
            }
        }
        telemetry::gauge_set("statsd_series", &[], self.series.len() as f64);
        Ok(consumed)
    }
}

impl StatsD {
    fn take(&mut self, metric: Metric) -> std::result::Result<(), String> {
        let suffix =
            if metric.kind == Kind::Counter && !metric.name.ends_with("_total") { "_total" } else { "" };
        let key = (format!("{}{}{suffix}", self.config.prefix, metric.name), metric.labels);
        if self.series.len() >= self.config.series && !self.series.contains_key(&key) {
            return Err("too many series".to_owned());
        }
        let timer = || Timer { counts: vec![0.0; self.config.buckets.len() + 1], sum: 0.0 };
        let state = self.series.entry(key).or_insert_with(|| match metric.kind {
            Kind::Counter => State::Counter(0.0),
            Kind::Gauge => State::Gauge(0.0),
            Kind::Set => State::Set(BTreeSet::new()),
            Kind::Timer => State::Timer(timer()),
        });
        match state {
            State::Counter(total) if metric.kind == Kind::Counter => {
                if metric.number < 0.0 {
                    return Err("a counter cannot fall".to_owned());
                }
                *total += metric.number / metric.rate;
            }
            State::Gauge(value) if metric.kind == Kind::Gauge => {
                *value = if metric.relative { *value + metric.number } else { metric.number };
            }
            State::Set(values) if metric.kind == Kind::Set => drop(values.insert(metric.text)),
            State::Timer(timer) if metric.kind == Kind::Timer => {
                let bucket = self.config.buckets.iter().position(|bound| metric.number <= *bound);
                let weight = 1.0 / metric.rate;
                if let Some(count) = timer.counts.get_mut(bucket.unwrap_or(self.config.buckets.len())) {
                    *count += weight;
                }
                timer.sum += metric.number * weight;
            }
            _ => return Err("it was of another type before".to_owned()),
        }
        Ok(())
    }
}

impl Collector for StatsD {
    fn collect(&mut self, out: &mut Metrics) -> Result<()> {
        for ((name, labels), state) in &mut self.series {
            let labels: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            match state {
                State::Counter(total) => drop(out.counter(name, "A StatsD counter.").set(&labels, *total)),
                State::Gauge(value) => drop(out.gauge(name, "A StatsD gauge.").set(&labels, *value)),
                State::Set(values) => {
                    out.gauge(name, "Different values of a StatsD set.").set(&labels, values.len() as f64);
                    values.clear();
                }
                State::Timer(timer) => {
                    let mut count = 0.0;
                    let bounds = self.config.buckets.iter().copied().chain([f64::INFINITY]);
                    for (bound, of_bucket) in bounds.zip(&timer.counts) {
                        count += of_bucket;
                        let le = if bound.is_infinite() { "+Inf".to_owned() } else { bound.to_string() };
                        let mut labels = labels.clone();
                        labels.push(("le", &le));
                        let bucket = format!("{name}_bucket");
                        out.histogram(name, "A StatsD timer.").set_named(&bucket, &labels, count);
                    }
                    let mut family = out.histogram(name, "A StatsD timer.");
                    family.set_named(&format!("{name}_sum"), &labels, timer.sum);
                    family.set_named(&format!("{name}_count"), &labels, count);
                }
            }
        }
        Ok(())
    }
}

export!(StatsD: Decoder, Collector);

#[cfg(test)]
mod tests;
