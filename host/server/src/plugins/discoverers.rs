//! Discoverers feed target groups to the scrape jobs that name them.

use std::sync::Arc;

use async_trait::async_trait;
use model::Labels;
use plugin::{Instance, Label};
use scrape::{ADDRESS, TargetGroup};

/// Finds targets through a plugin.
pub(crate) struct PluginDiscoverer(pub(crate) Arc<Instance>);

#[async_trait]
impl scrape::Discover for PluginDiscoverer {
    async fn poll(&self) -> Result<scrape::Snapshot, String> {
        let snapshot = self.0.poll().await.map_err(|error| error.to_string())?;
        let groups = snapshot.groups.into_iter().map(group).collect();
        Ok(scrape::Snapshot { groups, next_poll: snapshot.next_poll })
    }
}

fn group(group: plugin::TargetGroup) -> TargetGroup {
    let targets = group
        .targets
        .into_iter()
        .map(|target| labels(&target.labels).with(ADDRESS, &target.address))
        .collect();
    TargetGroup { source: group.source, targets, labels: labels(&group.labels) }
}

fn labels(pairs: &[Label]) -> Labels {
    Labels::from_pairs(pairs.iter().map(|label| (&label.name, &label.value)))
}
