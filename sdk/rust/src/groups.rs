//! Groups of targets as Prometheus' file_sd and http_sd write them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Label, Target, TargetGroup};

/// One element of such a list: targets as `host:port`, and labels that all of them have.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a group of targets and labels")]
pub struct StaticGroup {
    /// `host:port` each.
    #[serde(default)]
    pub targets: Vec<String>,
    /// By name.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl StaticGroup {
    /// The groups of a list that stands at `place`, which each target tells in the label `meta`. A group's source is the
    /// place and its number in the list.
    pub fn discovered(groups: Vec<Self>, place: &str, meta: &str) -> Vec<TargetGroup> {
        let group = |(at, group): (usize, Self)| TargetGroup {
            source: format!("{place}:{at}"),
            targets: group.targets.into_iter().map(Target::new).collect(),
            labels: group
                .labels
                .into_iter()
                .chain([(meta.to_owned(), place.to_owned())])
                .map(|(name, value)| Label { name, value })
                .collect(),
        };
        groups.into_iter().enumerate().map(group).collect()
    }
}
