//! Drops metrics and labels, renames metrics and adds labels, before samples are stored.
//!
//! In this order: metrics whose name begins with one of `drop_metrics` are dropped, `rename` gives a metric another
//! name, `drop_labels` go, `add_labels` come where the series has no such label. Series that then have the same labels
//! and times are one, as storage sees it: drop only what does not tell series apart.

use std::collections::BTreeMap;

use serde::Deserialize;
use stormglass_sdk::{Batch, Error, Plugin, Result, SampleProcessor, sample_processor};

/// The label that holds a series' metric name.
const METRIC_NAME: &str = "__name__";

/// The `config:` of the plugin's entry.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    drop_metrics: Vec<String>,
    rename: BTreeMap<String, String>,
    drop_labels: Vec<String>,
    add_labels: BTreeMap<String, String>,
}

struct LabelScrub {
    config: Config,
}

impl Plugin for LabelScrub {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "drop_metrics": {
                "type": "array",
                "items": {"type": "string", "minLength": 1},
                "description": "Beginnings of the names of metrics to drop."
            },
            "rename": {
                "type": "object",
                "additionalProperties": {"type": "string", "minLength": 1},
                "description": "New names of metrics."
            },
            "drop_labels": {"type": "array", "items": {"type": "string"}, "description": "Labels to drop."},
            "add_labels": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "Labels for series that have none of the name."
            }
        }
    }"#;

    fn init(config: Config) -> Result<Self> {
        if config.drop_labels.iter().any(|name| name == METRIC_NAME) {
            return Err(Error::permanent("drop_labels: __name__ cannot be dropped; use drop_metrics"));
        }
        Ok(Self { config })
    }
}

impl SampleProcessor for LabelScrub {
    fn process(&mut self, batch: Batch) -> Result<Batch> {
        let Config { drop_metrics, rename, drop_labels, add_labels } = &self.config;
        Ok(batch.rewrite(|labels| {
            let name = labels.get(METRIC_NAME).cloned().unwrap_or_default();
            if drop_metrics.iter().any(|start| name.starts_with(start.as_str())) {
                return false;
            }
            if let Some(new) = rename.get(&name) {
                labels.insert(METRIC_NAME.to_owned(), new.clone());
            }
            for label in drop_labels {
                labels.remove(label);
            }
            for (label, value) in add_labels {
                labels.entry(label.clone()).or_insert_with(|| value.clone());
            }
            true
        }))
    }
}

sample_processor!(LabelScrub);

#[cfg(test)]
mod tests {
    use stormglass_sdk::{Samples, testing};

    use super::*;

    #[test]
    fn series_are_dropped_renamed_and_relabelled() {
        let config = r#"{"drop_metrics": ["go_"], "rename": {"old": "new"}, "drop_labels": ["pod"], "add_labels": {"env": "prod"}}"#;
        let mut plugin: LabelScrub = testing::init(config).unwrap();
        let mut samples = Samples::new();
        samples.add_at("go_gc", &[], 1.0, Some(1));
        samples.add_at("old", &[("pod", "a"), ("env", "dev")], 2.0, Some(2));
        samples.add_at("other", &[("pod", "b")], 3.0, Some(3));
        let batch = plugin.process(samples.into_batch()).unwrap();
        assert_eq!(testing::render_batch(&batch), "new{env=\"dev\"} 2 @2\nother{env=\"prod\"} 3 @3\n");
    }

    #[test]
    fn names_are_not_dropped_by_accident() {
        let error = testing::init::<LabelScrub>(r#"{"drop_labels": ["__name__"]}"#).err().unwrap();
        assert_eq!(error.to_string(), "drop_labels: __name__ cannot be dropped; use drop_metrics");
    }
}
