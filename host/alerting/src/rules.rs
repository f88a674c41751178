//! Rules: what is read from rule files, and what evaluates them.
//!
//! A [`RuleFile`] holds groups, a group holds rules that are evaluated one after the other at the same time, so
//! that a rule sees what the ones before it have recorded. Groups run side by side, and so do, where that is asked for,
//! rules of a group that do not need each other.

mod alerting;
mod exemplars;
mod expand;
mod file;
mod group;
mod manager;
mod manual;
mod order;
mod snapshot;

pub use file::{Rule, RuleError, RuleFile, RuleGroup, RuleKind, RuleText};
pub use manager::{RuleManager, RuleManagerOptions, RuleSettings};
pub use manual::ManualRules;
pub use snapshot::{
    AlertDiscovery, AlertSnapshot, AlertState, AlertingRuleSnapshot, GroupSnapshot, Health,
    RecordingRuleSnapshot, RuleDiscovery, RuleSnapshot,
};

#[cfg(test)]
mod tests;
