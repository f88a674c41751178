//! From the labels that discovery found to the URLs of Alertmanagers. Relabelling sees `__scheme__`, `__address__` and
//! `__alerts_path__` and may change each, as in Prometheus.

use std::collections::BTreeSet;

use model::LabelsBuilder;
use scrape::config::AlertmanagerConfig;
use scrape::relabel;
use scrape::{ADDRESS, TargetGroup};

const SCHEME: &str = "__scheme__";
const PATH: &str = "__alerts_path__";

/// URLs of what was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) active: BTreeSet<String>,
    pub(super) dropped: Vec<String>,
}

/// The Alertmanagers of `groups`. A label set without an address is none.
pub(super) fn find(config: &AlertmanagerConfig, groups: &[TargetGroup]) -> Found {
    let mut found = Found::default();
    for group in groups {
        for own in &group.targets {
            let mut labels = group.labels.to_builder();
            for (name, value) in own {
                labels.set(name, value);
            }
            for (name, value) in [(SCHEME, config.scheme.to_string()), (PATH, config.path())] {
                labels.set(name, &value);
            }
            let before = url(&labels);
            if relabel::process(&mut labels, &config.relabel_configs) {
                found.active.extend(url(&labels));
            } else {
                found.dropped.extend(before);
            }
        }
    }
    found
}

fn url(labels: &LabelsBuilder) -> Option<String> {
    let address = labels.get(ADDRESS).filter(|address| !address.is_empty() && !address.contains('/'))?;
    let (scheme, path) = (labels.get(SCHEME).unwrap_or("http"), labels.get(PATH).unwrap_or_default());
    Some(format!("{scheme}://{address}/{}", path.trim_start_matches('/')))
}
