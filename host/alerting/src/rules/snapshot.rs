//! What `/api/v1/rules` and `/api/v1/alerts` answer, in Prometheus' JSON.

use std::collections::BTreeMap;

use model::{Labels, Timestamp};
use serde::{Serialize, Serializer};

use crate::alert::label_map;
use crate::clock::{rfc3339, rfc3339_or_zero};
use crate::template::exponent;

/// The `data` of `/api/v1/rules`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleDiscovery {
    /// By file, then name.
    pub groups: Vec<GroupSnapshot>,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupSnapshot {
    /// Its name.
    pub name: String,
    /// The file it comes from.
    pub file: String,
    /// Its rules, in the order of the file.
    pub rules: Vec<RuleSnapshot>,
    /// Its interval in seconds.
    pub interval: f64,
    /// How many alerts or series a rule may yield; zero for no limit.
    pub limit: u64,
    /// How many seconds the last evaluation took.
    pub evaluation_time: f64,
    /// When it was evaluated last.
    #[serde(serialize_with = "time_or_zero")]
    pub last_evaluation: Option<Timestamp>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum RuleSnapshot {
    /// One that makes alerts.
    Alerting(AlertingRuleSnapshot),
    /// One that stores what it yields.
    Recording(RecordingRuleSnapshot),
}

/// An alerting rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertingRuleSnapshot {
    /// The most serious state of its alerts.
    pub state: AlertState,
    /// The alert's name.
    pub name: String,
    /// The expression.
    pub query: String,
    /// `for`, in seconds.
    pub duration: f64,
    /// `keep_firing_for`, in seconds.
    pub keep_firing_for: f64,
    /// As written, templates among them.
    pub labels: BTreeMap<String, String>,
    /// As written, templates among them.
    pub annotations: BTreeMap<String, String>,
    /// Its pending and firing alerts.
    pub alerts: Vec<AlertSnapshot>,
    /// How the last evaluation went.
    pub health: Health,
    /// Why it went wrong.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_error: String,
    /// How many seconds it took.
    pub evaluation_time: f64,
    /// When it was.
    #[serde(serialize_with = "time_or_zero")]
    pub last_evaluation: Option<Timestamp>,
}

/// A recording rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordingRuleSnapshot {
    /// The metric that it records.
    pub name: String,
    /// The expression.
    pub query: String,
    /// What it sets on what the expression yields.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How the last evaluation went.
    pub health: Health,
    /// Why it went wrong.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_error: String,
    /// How many seconds it took.
    pub evaluation_time: f64,
    /// When it was.
    #[serde(serialize_with = "time_or_zero")]
    pub last_evaluation: Option<Timestamp>,
}

/// The `data` of `/api/v1/alerts`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlertDiscovery {
    /// All pending and firing alerts.
    pub alerts: Vec<AlertSnapshot>,
}

/// An alert that is pending or fires.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertSnapshot {
    /// Its labels, `alertname` among them.
    #[serde(with = "label_map")]
    pub labels: Labels,
    /// Its annotations, rendered.
    #[serde(with = "label_map")]
    pub annotations: Labels,
    /// Pending or firing.
    pub state: AlertState,
    /// Since when the expression has yielded it.
    #[serde(serialize_with = "time")]
    pub active_at: Timestamp,
    /// Since when only `keep_firing_for` keeps it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "time_or_zero")]
    pub keep_firing_since: Option<Timestamp>,
    /// The expression's value, as text.
    #[serde(serialize_with = "value")]
    pub value: f64,
}

/// Where an alert, or a rule, stands; a later variant is more serious.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// The rule has not been evaluated yet.
    Unknown,
    /// Nothing is wrong, or no more.
    Inactive,
    /// The expression yields it, but not for long enough.
    Pending,
    /// It fires.
    Firing,
}

/// How an evaluation went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// There was none yet.
    Unknown,
    /// Well.
    Ok,
    /// Not well.
    Err,
}

fn time<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at))
}

fn time_or_zero<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339_or_zero(*at))
}

fn value<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&exponent(*value))
}
