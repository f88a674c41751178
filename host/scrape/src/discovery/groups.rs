//! Target groups as files and servers list them: `[{"targets": ["host:port"], "labels": {"name": "value"}}]`.

use std::collections::BTreeMap;

use model::Labels;
use serde::Deserialize;

use crate::target::{ADDRESS, TargetGroup};

/// A group as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

/// Reads groups: YAML, of which JSON is a part. Their sources are `source` and their places in the list, and
/// every group gets the labels `further`.
///
/// # Errors
/// What is wrong, and where.
pub fn groups_of(text: &str, source: &str, further: &[(&str, &str)]) -> Result<Vec<TargetGroup>, String> {
    // JSON's own reader is many times as fast, and lists may be long.
    let written: Vec<Option<Written>> = match text.trim_start().starts_with('[') {
        true => serde_json::from_str(text).or_else(|error| from_yaml(text).map_err(|_| error.to_string()))?,
        false => from_yaml(text)?,
    };
    let group = |(at, written): (usize, Option<Written>)| {
        let Written { targets, labels } = written.ok_or("nil target group item found")?;
        let mut labels = labels.unwrap_or_default();
        labels.extend(further.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let targets = targets.iter().map(|address| Labels::from_pairs([(ADDRESS, address.as_str())]));
        Ok(TargetGroup {
            source: format!("{source}:{at}"),
            targets: targets.collect(),
            labels: Labels::from_pairs(&labels),
        })
    };
    written.into_iter().enumerate().map(group).collect()
}

fn from_yaml(text: &str) -> Result<Vec<Option<Written>>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    serde_saphyr::from_str(text).map_err(|error| error.without_snippet().to_string())
}
