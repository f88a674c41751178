//! Metrics that plugins keep about themselves: `stormglass_plugin_own_<name>{plugin="..."}`.
//!
//! They are bounded in number for each plugin, and outlive its instances, so that counters only rise.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto;

/// What all of their names begin with.
const PREFIX: &str = "stormglass_plugin_own_";
/// Labels of one series, beside the plugin's name.
const LABELS_MAX: usize = 8;
/// Bytes of one name, and of one label value.
const TEXT_BYTES_MAX: usize = 128;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    plugin: String,
    labels: Vec<(String, String)>,
}

struct Family {
    kind: Kind,
    series: BTreeMap<Key, f64>,
}

#[derive(Default)]
struct Families {
    by_name: BTreeMap<String, Family>,
    /// Series of each plugin.
    counts: BTreeMap<String, u32>,
}

/// The metrics of all plugins. Clones share them.
#[derive(Clone)]
pub(crate) struct Own {
    families: Arc<Mutex<Families>>,
    desc: Desc,
}

impl Own {
    pub(crate) fn new() -> prometheus::Result<Self> {
        let desc = Desc::new(
            "stormglass_plugin_own".to_owned(),
            "What plugins say of themselves.".to_owned(),
            vec!["plugin".to_owned()],
            std::collections::HashMap::new(),
        )?;
        Ok(Self { families: Arc::default(), desc })
    }

    /// Takes a value; says whether it did.
    pub(crate) fn note(
        &self,
        plugin: &str,
        kind: Kind,
        name: String,
        mut labels: Vec<(String, String)>,
        value: f64,
        series_max: u32,
    ) -> bool {
        labels.sort();
        let twice = labels.windows(2).any(|pair| matches!(pair, [a, b] if a.0 == b.0));
        let good = is_name(&name)
            && labels.len() <= LABELS_MAX
            && !twice
            && labels
                .iter()
                .all(|(name, value)| is_name(name) && name != "plugin" && value.len() <= TEXT_BYTES_MAX);
        if !good || (kind == Kind::Counter && !(value >= 0.0 && value.is_finite())) {
            return false;
        }
        let Families { by_name, counts } = &mut *self.families.lock();
        let held = counts.entry(plugin.to_owned()).or_default();
        if *held >= series_max && by_name.get(&name).is_none() {
            return false;
        }
        let family = by_name.entry(name).or_insert_with(|| Family { kind, series: BTreeMap::new() });
        if family.kind != kind {
            return false;
        }
        let key = Key { plugin: plugin.to_owned(), labels };
        match family.series.get_mut(&key) {
            Some(present) if kind == Kind::Counter => *present += value,
            Some(present) => *present = value,
            None if *held >= series_max => return false,
            None => {
                *held += 1;
                family.series.insert(key, value);
            }
        }
        true
    }
}

/// A name that is one in every exposition.
fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    name.len() <= TEXT_BYTES_MAX
        && name.bytes().all(plain)
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
}

impl Collector for Own {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let families = self.families.lock();
        families.by_name.iter().filter(|(_, family)| !family.series.is_empty()).map(exposed).collect()
    }
}

fn exposed((name, family): (&String, &Family)) -> proto::MetricFamily {
    let mut exposed = proto::MetricFamily::default();
    exposed.set_name(format!("{PREFIX}{name}"));
    exposed.set_help("Told by the plugin of itself.".to_owned());
    exposed.set_field_type(match family.kind {
        Kind::Counter => proto::MetricType::COUNTER,
        Kind::Gauge => proto::MetricType::GAUGE,
    });
    let metrics = family.series.iter().map(|(key, value)| {
        let mut metric = proto::Metric::default();
        let plugin = ("plugin".to_owned(), key.plugin.clone());
        let labels = key.labels.iter().cloned().chain([plugin]).map(|(name, value)| {
            let mut label = proto::LabelPair::default();
            label.set_name(name);
            label.set_value(value);
            label
        });
        metric.set_label(labels.collect());
        match family.kind {
            Kind::Counter => {
                let mut counter = proto::Counter::default();
                counter.set_value(*value);
                metric.set_counter(counter);
            }
            Kind::Gauge => {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(*value);
                metric.set_gauge(gauge);
            }
        }
        metric
    });
    exposed.set_metric(metrics.collect());
    exposed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_metric_or_too_many_is_dropped() {
        let own = Own::new().unwrap();
        let note = |kind, name: &str, labels: &[(&str, &str)], value| {
            let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            own.note("p", kind, name.to_owned(), labels, value, 2)
        };
        assert!(note(Kind::Counter, "seen_total", &[("a", "1")], 2.0));
        assert!(note(Kind::Counter, "seen_total", &[("a", "1")], 3.0));
        assert!(!note(Kind::Counter, "seen_total", &[("a", "1")], -1.0));
        assert!(!note(Kind::Counter, "seen_total", &[("a", "1")], f64::NAN));
        assert!(!note(Kind::Gauge, "seen_total", &[], 1.0), "another kind");
        assert!(!note(Kind::Gauge, "no name", &[], 1.0));
        assert!(!note(Kind::Gauge, "x", &[("plugin", "other")], 1.0));
        assert!(!note(Kind::Gauge, "x", &[("a", "1"), ("a", "2")], 1.0));
        assert!(note(Kind::Gauge, "x", &[], 1.0));
        assert!(!note(Kind::Gauge, "x", &[("a", "b")], 1.0), "over the limit");
        assert!(!note(Kind::Gauge, "y", &[], 1.0), "over the limit");
        let registry = prometheus::Registry::new();
        registry.register(Box::new(own)).unwrap();
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            "stormglass_plugin_own_seen_total{a=\"1\",plugin=\"p\"} 5",
            "stormglass_plugin_own_x{plugin=\"p\"} 1",
        ];
        assert_eq!(lines, expected);
    }
}
