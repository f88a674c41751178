//! Discoverers find scrape targets.

use std::collections::HashSet;
use std::time::Duration;

use wasmtime::Store;

use crate::bindings::exports::stormglass::plugin::discoverer as guest;
use crate::bindings::stormglass::types::types::PluginError as GuestError;
use crate::call::{Call, Refusal};
use crate::error::Operation;
use crate::kinds::{Label, labels_in};
use crate::limits::Limits;
use crate::state::State;

/// All targets that there are at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The groups, each source once.
    pub groups: Vec<TargetGroup>,
    /// When to look again; none for the configured interval.
    pub next_poll: Option<Duration>,
}

/// Targets that come and go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetGroup {
    /// Names the group among this plugin's.
    pub source: String,
    /// The targets.
    pub targets: Vec<Target>,
    /// Labels of every target in the group.
    pub labels: Vec<Label>,
}

/// One target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `host:port`; becomes `__address__`.
    pub address: String,
    /// Its own labels.
    pub labels: Vec<Label>,
}

pub(crate) struct Poll(pub(crate) guest::Guest);

impl Call for Poll {
    const OPERATION: Operation = Operation::Poll;
    type Raw = Result<guest::Snapshot, GuestError>;
    type Answer = Snapshot;

    async fn run(self, store: &mut Store<State>) -> wasmtime::Result<Self::Raw> {
        self.0.call_poll(store).await
    }

    fn check(raw: Self::Raw, limits: &Limits) -> Result<Snapshot, Refusal> {
        let raw = raw?;
        let mut sources = HashSet::new();
        let mut targets = 0;
        for group in &raw.groups {
            if !sources.insert(group.source.as_str()) {
                return Err(Refusal::output(format!("two groups have the source {:?}", group.source)));
            }
            if let Some(target) = group.targets.iter().find(|target| target.address.is_empty()) {
                return Err(Refusal::output(format!(
                    "a target of {:?} has no address (labels {:?})",
                    group.source, target.labels
                )));
            }
            targets += group.targets.len();
        }
        // A target becomes at least one series.
        if targets > limits.series as usize {
            return Err(Refusal::output(format!(
                "{targets} targets are over the limit of {}; raise limits.series to allow more",
                limits.series
            )));
        }
        Ok(Snapshot {
            groups: raw.groups.into_iter().map(group_in).collect(),
            next_poll: raw.next_poll_ms.map(Duration::from_millis),
        })
    }
}

fn group_in(group: guest::TargetGroup) -> TargetGroup {
    let targets = group
        .targets
        .into_iter()
        .map(|target| Target { address: target.address, labels: labels_in(target.labels) })
        .collect();
    TargetGroup { source: group.source, targets, labels: labels_in(group.labels) }
}
