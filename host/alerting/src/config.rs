//! Alertmanager's configuration: who receives which alerts, grouped how, and which alerts hold back others.
//!
//! A [`Config`] that exists is valid: every check runs while it is deserialised, so that a YAML reader can say
//! where in the file the fault is. Keys of Alertmanager that this server cannot honour yet are errors that say
//! so, since a routing rule that is silently ignored would page the wrong people.

mod matchers;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{ConfigDuration, MatchOp, Matcher};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

pub use matchers::{MatchersError, matchers_text, parse_matchers};

/// What a route waits before the first notification of a group unless it says otherwise.
const GROUP_WAIT: Duration = Duration::from_secs(30);
/// The time between notifications of a group that has changed, unless a route says otherwise.
const GROUP_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// The time after which a group that has not changed is notified again, unless a route says otherwise.
const REPEAT_INTERVAL: Duration = Duration::from_secs(4 * 3600);
/// How long an alert without an end is believed.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// A whole configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RawConfig")]
pub struct Config {
    /// How long an alert that came without an end is believed.
    pub resolve_timeout: Duration,
    /// The root of the routing tree.
    pub route: Route,
    /// The receivers, by name.
    pub receivers: BTreeMap<String, Vec<PluginConfig>>,
    /// Which alerts hold back which.
    pub inhibit_rules: Vec<InhibitRule>,
}

/// A node of the routing tree, with everything that it inherits filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Who is told.
    pub receiver: String,
    /// By which labels alerts are grouped.
    pub group_by: GroupBy,
    /// Whether alerts that matched here are offered to the following siblings too.
    pub continues: bool,
    /// All must pass; sorted as they appear in the group key.
    pub matchers: Vec<Matcher>,
    /// How long a new group waits for more alerts.
    pub group_wait: Duration,
    /// How long a changed group waits before it is notified again; also the deadline of one notification.
    pub group_interval: Duration,
    /// How long an unchanged group waits before it is notified again.
    pub repeat_interval: Duration,
    /// The children, tried in order.
    pub routes: Vec<Self>,
}

/// What makes alerts belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupBy {
    /// The values of these labels.
    Labels(BTreeSet<String>),
    /// All labels: every alert is its own group.
    All,
}

/// One plugin that a receiver notifies.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PluginConfig {
    /// The name of a configured plugin of kind receiver.
    pub plugin: String,
    /// Whether it is told that alerts are over.
    #[serde(default = "yes")]
    pub send_resolved: bool,
    /// At most this many alerts in one notification; zero for no limit.
    #[serde(default)]
    pub max_alerts: u64,
}

/// Holds back alerts while others fire.
#[derive(Debug, Clone, PartialEq)]
pub struct InhibitRule {
    /// What must fire.
    pub source: Vec<Matcher>,
    /// What is then held back.
    pub target: Vec<Matcher>,
    /// Labels in which both must agree; a missing label equals an empty one.
    pub equal: Vec<String>,
}

const fn yes() -> bool {
    true
}

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A part of Alertmanager's configuration that this server does not have yet.
    #[error("{0} is not supported yet: remove it")]
    NotSupported(&'static str),
    /// There is no root route, or it is not one.
    #[error("{0}")]
    Root(&'static str),
    /// A route names a receiver that is not there.
    #[error("undefined receiver {0:?} used in route")]
    UnknownReceiver(String),
    /// Two receivers of one name.
    #[error("notification config name {0:?} is not unique")]
    DuplicateReceiver(String),
    /// A receiver without a name.
    #[error("missing name in receiver")]
    UnnamedReceiver,
    /// A wrong `group_by`.
    #[error("{0}")]
    GroupBy(String),
    /// A timing of zero.
    #[error("{0} cannot be zero")]
    ZeroInterval(&'static str),
    /// A wrong matcher.
    #[error("{0}")]
    Matchers(#[from] MatchersError),
    /// A wrong inhibition rule.
    #[error("inhibit rule {0}")]
    InhibitRule(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    #[serde(default)]
    global: Global,
    route: Option<RawRoute>,
    #[serde(default)]
    receivers: Vec<RawReceiver>,
    #[serde(default)]
    inhibit_rules: Vec<RawInhibitRule>,
    templates: Option<IgnoredAny>,
    time_intervals: Option<IgnoredAny>,
    mute_time_intervals: Option<IgnoredAny>,
    event_recorder: Option<IgnoredAny>,
    tracing: Option<IgnoredAny>,
}

/// Everything that applies to all receivers and routes.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Global {
    resolve_timeout: Option<ConfigDuration>,
    http_config: Option<IgnoredAny>,
    smtp_smarthost: Option<IgnoredAny>,
    smtp_from: Option<IgnoredAny>,
    slack_api_url: Option<IgnoredAny>,
    pagerduty_url: Option<IgnoredAny>,
    opsgenie_api_key: Option<IgnoredAny>,
    opsgenie_api_url: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReceiver {
    name: String,
    #[serde(default)]
    plugin_configs: Vec<PluginConfig>,
    webhook_configs: Option<IgnoredAny>,
    email_configs: Option<IgnoredAny>,
    slack_configs: Option<IgnoredAny>,
    pagerduty_configs: Option<IgnoredAny>,
    opsgenie_configs: Option<IgnoredAny>,
    msteams_configs: Option<IgnoredAny>,
    msteamsv2_configs: Option<IgnoredAny>,
    discord_configs: Option<IgnoredAny>,
    telegram_configs: Option<IgnoredAny>,
    victorops_configs: Option<IgnoredAny>,
    pushover_configs: Option<IgnoredAny>,
    wechat_configs: Option<IgnoredAny>,
    sns_configs: Option<IgnoredAny>,
    webex_configs: Option<IgnoredAny>,
    jira_configs: Option<IgnoredAny>,
    rocketchat_configs: Option<IgnoredAny>,
    mattermost_configs: Option<IgnoredAny>,
    incidentio_configs: Option<IgnoredAny>,
    labels: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRoute {
    receiver: Option<String>,
    group_by: Option<Vec<String>>,
    #[serde(rename = "continue")]
    continues: bool,
    matchers: Vec<String>,
    #[serde(rename = "match")]
    equal: BTreeMap<String, String>,
    match_re: BTreeMap<String, String>,
    group_wait: Option<ConfigDuration>,
    group_interval: Option<ConfigDuration>,
    repeat_interval: Option<ConfigDuration>,
    routes: Vec<Self>,
    mute_time_intervals: Option<IgnoredAny>,
    active_time_intervals: Option<IgnoredAny>,
    labels: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawInhibitRule {
    /// Named rules exist since Alertmanager 0.34; the name is for people.
    #[serde(rename = "name")]
    _name: Option<String>,
    source_matchers: Vec<String>,
    target_matchers: Vec<String>,
    source_match: BTreeMap<String, String>,
    source_match_re: BTreeMap<String, String>,
    target_match: BTreeMap<String, String>,
    target_match_re: BTreeMap<String, String>,
    equal: Vec<String>,
}

/// Refuses the first key that is there.
fn refuse(keys: &[(&'static str, bool)]) -> Result<(), ConfigError> {
    match keys.iter().find(|(_, there)| *there) {
        Some((key, _)) => Err(ConfigError::NotSupported(key)),
        None => Ok(()),
    }
}

impl TryFrom<RawConfig> for Config {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        refuse(&[
            ("templates", raw.templates.is_some()),
            ("time_intervals", raw.time_intervals.is_some()),
            ("mute_time_intervals", raw.mute_time_intervals.is_some()),
            ("event_recorder", raw.event_recorder.is_some()),
            ("tracing", raw.tracing.is_some()),
            ("global.http_config", raw.global.http_config.is_some()),
            ("global.smtp_smarthost", raw.global.smtp_smarthost.is_some()),
            ("global.smtp_from", raw.global.smtp_from.is_some()),
            ("global.slack_api_url", raw.global.slack_api_url.is_some()),
            ("global.pagerduty_url", raw.global.pagerduty_url.is_some()),
            ("global.opsgenie_api_key", raw.global.opsgenie_api_key.is_some()),
            ("global.opsgenie_api_url", raw.global.opsgenie_api_url.is_some()),
        ])?;
        let mut receivers = BTreeMap::new();
        for receiver in raw.receivers {
            let name = receiver.name.clone();
            if name.is_empty() {
                return Err(ConfigError::UnnamedReceiver);
            }
            if receivers.insert(name.clone(), receiver.checked()?).is_some() {
                return Err(ConfigError::DuplicateReceiver(name));
            }
        }
        let root = raw.route.ok_or(ConfigError::Root("no routes provided"))?;
        if root.receiver.as_deref().is_none_or(str::is_empty) {
            return Err(ConfigError::Root("root route must specify a default receiver"));
        }
        if !(root.equal.is_empty() && root.match_re.is_empty() && root.matchers.is_empty()) {
            return Err(ConfigError::Root("root route must not have any matchers"));
        }
        if root.continues {
            return Err(ConfigError::Root("cannot have continue in root route"));
        }
        let defaults = Route {
            receiver: String::new(),
            group_by: GroupBy::Labels(BTreeSet::new()),
            continues: false,
            matchers: Vec::new(),
            group_wait: GROUP_WAIT,
            group_interval: GROUP_INTERVAL,
            repeat_interval: REPEAT_INTERVAL,
            routes: Vec::new(),
        };
        let route = root.inherit(&defaults, &receivers)?;
        let inhibit_rules =
            raw.inhibit_rules.into_iter().map(RawInhibitRule::checked).collect::<Result<_, _>>()?;
        let resolve_timeout = raw.global.resolve_timeout.map_or(RESOLVE_TIMEOUT, |d| d.0);
        Ok(Self { resolve_timeout, route, receivers, inhibit_rules })
    }
}

impl RawReceiver {
    fn checked(self) -> Result<Vec<PluginConfig>, ConfigError> {
        refuse(&[
            ("webhook_configs", self.webhook_configs.is_some()),
            ("email_configs", self.email_configs.is_some()),
            ("slack_configs", self.slack_configs.is_some()),
            ("pagerduty_configs", self.pagerduty_configs.is_some()),
            ("opsgenie_configs", self.opsgenie_configs.is_some()),
            ("msteams_configs", self.msteams_configs.is_some()),
            ("msteamsv2_configs", self.msteamsv2_configs.is_some()),
            ("discord_configs", self.discord_configs.is_some()),
            ("telegram_configs", self.telegram_configs.is_some()),
            ("victorops_configs", self.victorops_configs.is_some()),
            ("pushover_configs", self.pushover_configs.is_some()),
            ("wechat_configs", self.wechat_configs.is_some()),
            ("sns_configs", self.sns_configs.is_some()),
            ("webex_configs", self.webex_configs.is_some()),
            ("jira_configs", self.jira_configs.is_some()),
            ("rocketchat_configs", self.rocketchat_configs.is_some()),
            ("mattermost_configs", self.mattermost_configs.is_some()),
            ("incidentio_configs", self.incidentio_configs.is_some()),
            ("receiver labels", self.labels.is_some()),
        ])?;
        Ok(self.plugin_configs)
    }
}

impl RawRoute {
    /// Checks the route and fills in what it takes from `parent`.
    fn inherit(
        self,
        parent: &Route,
        receivers: &BTreeMap<String, Vec<PluginConfig>>,
    ) -> Result<Route, ConfigError> {
        refuse(&[
            ("mute_time_intervals", self.mute_time_intervals.is_some()),
            ("active_time_intervals", self.active_time_intervals.is_some()),
            ("route labels", self.labels.is_some()),
        ])?;
        let receiver = self.receiver.filter(|r| !r.is_empty()).unwrap_or_else(|| parent.receiver.clone());
        if !receivers.contains_key(&receiver) {
            return Err(ConfigError::UnknownReceiver(receiver));
        }
        let group_by = self.group_by.map(group_by).transpose()?.unwrap_or_else(|| parent.group_by.clone());
        if self.group_interval.is_some_and(|d| d.0.is_zero()) {
            return Err(ConfigError::ZeroInterval("group_interval"));
        }
        if self.repeat_interval.is_some_and(|d| d.0.is_zero()) {
            return Err(ConfigError::ZeroInterval("repeat_interval"));
        }
        let mut route = Route {
            receiver,
            group_by,
            continues: self.continues,
            matchers: all_matchers(&self.matchers, self.equal, self.match_re)?,
            group_wait: self.group_wait.map_or(parent.group_wait, |d| d.0),
            group_interval: self.group_interval.map_or(parent.group_interval, |d| d.0),
            repeat_interval: self.repeat_interval.map_or(parent.repeat_interval, |d| d.0),
            routes: Vec::new(),
        };
        route.routes = self
            .routes
            .into_iter()
            .map(|child| child.inherit(&route, receivers))
            .collect::<Result<_, _>>()?;
        Ok(route)
    }
}

fn group_by(names: Vec<String>) -> Result<GroupBy, ConfigError> {
    let wrong = |what: String| Err(ConfigError::GroupBy(what));
    let mut labels = BTreeSet::new();
    let mut all = false;
    for name in names {
        if name == "..." {
            all = true;
        } else if name.is_empty() {
            return wrong("invalid label name \"\" in group_by list".to_owned());
        } else if let Some(twice) = labels.replace(name) {
            return wrong(format!("duplicated label {twice:?} in group_by"));
        }
    }
    match (all, labels.is_empty()) {
        (true, false) => {
            wrong("cannot have wildcard group_by (`...`) and other labels at the same time".into())
        }
        (true, true) => Ok(GroupBy::All),
        (false, _) => Ok(GroupBy::Labels(labels)),
    }
}

/// Matchers in all three notations, sorted as Alertmanager sorts them: by name, value, operator.
fn all_matchers(
    texts: &[String],
    equal: BTreeMap<String, String>,
    regex: BTreeMap<String, String>,
) -> Result<Vec<Matcher>, ConfigError> {
    let mut matchers = Vec::new();
    for (name, value) in equal {
        matchers.push(Matcher::equal(name, value));
    }
    for (name, value) in regex {
        // Alertmanager keeps the anchored pattern, and group keys show it.
        let pattern = format!("^(?:{value})$");
        matchers.push(Matcher::new(MatchOp::Regex, name, pattern).map_err(MatchersError::from)?);
    }
    for text in texts {
        matchers.extend(parse_matchers(text)?);
    }
    matchers.sort_by(|a, b| {
        (a.name(), a.value(), matchers::rank(a.op())).cmp(&(b.name(), b.value(), matchers::rank(b.op())))
    });
    Ok(matchers)
}

impl RawInhibitRule {
    fn checked(self) -> Result<InhibitRule, ConfigError> {
        let source = all_matchers(&self.source_matchers, self.source_match, self.source_match_re)?;
        let target = all_matchers(&self.target_matchers, self.target_match, self.target_match_re)?;
        if let Some(name) = self.equal.iter().find(|name| name.is_empty()) {
            return Err(ConfigError::InhibitRule(format!("has the invalid label name {name:?} in equal")));
        }
        Ok(InhibitRule { source, target, equal: self.equal })
    }
}

#[cfg(test)]
mod tests;
