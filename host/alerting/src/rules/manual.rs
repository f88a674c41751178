//! Groups that are evaluated when somebody says so, at a time that the caller names: what rules are tested with. The
//! evaluation is the one of [`RuleManager`](super::RuleManager); only the clock is missing.

use std::sync::Arc;
use std::time::Duration;

use model::{Append, Timestamp};
use prometheus::Registry;

use super::file::RuleFile;
use super::group::{Group, Spec};
use super::manager::{RuleManager, RuleManagerOptions, RuleSettings, Shared};
use super::snapshot::{AlertSnapshot, AlertState, GroupSnapshot, RuleSnapshot};
use crate::alert::{Alert, AlertSink};
use crate::clock::SystemClock;
use crate::error::Error;
use crate::query::Query;

/// Groups without a clock.
pub struct ManualRules {
    shared: Shared,
    groups: Vec<Group>,
}

/// Nobody is told of alerts here; whoever evaluates looks at them.
struct NoSink;

impl AlertSink for NoSink {
    fn put(&self, _: Vec<Alert>) {}
}

impl ManualRules {
    /// The groups of these files, in their order. There is no earlier process, so that alerts count from the first
    /// evaluation.
    ///
    /// # Errors
    /// Those of [`RuleManager::check`].
    pub fn new(
        files: &[(String, RuleFile)],
        settings: RuleSettings,
        external_url: String,
        query: Arc<dyn Query>,
        storage: Arc<dyn Append>,
    ) -> Result<Self, Error> {
        RuleManager::check(files)?;
        let mut groups = Vec::new();
        for (file, rules) in files {
            for group in &rules.groups {
                let interval = group.interval.unwrap_or(settings.interval);
                let query_offset = group.query_offset.unwrap_or(settings.query_offset);
                let spec = Spec { file: file.clone(), group: group.clone(), interval, query_offset };
                groups.push(Group::new(spec, None, false, Duration::ZERO));
            }
        }
        let options = RuleManagerOptions::new(external_url);
        // Nobody reads these metrics.
        let registry = Registry::new();
        let shared =
            Shared::new(options, query, storage, Arc::new(NoSink), Arc::new(SystemClock), &registry)?;
        shared.set_labels(settings.external_labels);
        Ok(Self { shared, groups })
    }

    /// Puts the groups of these names first, in the order of the names; the others stay in the order of their files.
    pub fn order(&mut self, names: &[String]) {
        let place = |group: &Group| names.iter().position(|name| *name == group.spec.group.name);
        self.groups.sort_by_key(|group| place(group).unwrap_or(names.len()));
    }

    /// Evaluates every group once, and answers with the rules that failed and why.
    pub async fn evaluate(&self, at: Timestamp) -> Vec<(String, String)> {
        let mut failed = Vec::new();
        for group in &self.groups {
            group.evaluate(&self.shared, at).await;
            for rule in group.snapshot().rules {
                let (name, error) = match rule {
                    RuleSnapshot::Alerting(rule) => (rule.name, rule.last_error),
                    RuleSnapshot::Recording(rule) => (rule.name, rule.last_error),
                };
                if !error.is_empty() {
                    failed.push((name, error));
                }
            }
        }
        failed
    }

    /// The groups as the API would show them.
    pub fn groups(&self) -> Vec<GroupSnapshot> {
        self.groups.iter().map(Group::snapshot).collect()
    }

    /// The alerts that fire, of all rules of this name.
    pub fn firing(&self, name: &str) -> Vec<AlertSnapshot> {
        let rules = self.groups.iter().flat_map(|group| group.snapshot().rules);
        let alerts = rules.flat_map(|rule| match rule {
            RuleSnapshot::Alerting(rule) if rule.name == name => rule.alerts,
            _ => Vec::new(),
        });
        alerts.filter(|alert| alert.state == AlertState::Firing).collect()
    }
}
