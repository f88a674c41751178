//! Alertmanager's configuration: who receives which alerts, grouped how, and which alerts hold back others.
//!
//! A [`Config`] that exists is valid: every check runs while it is deserialised, so that a YAML reader can say
//! where in the file the fault is. Keys of Alertmanager that this server cannot honour yet are errors that say
//! so, since a routing rule that is silently ignored would page the wrong people.

mod matchers;

use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;
use std::time::Duration;

use model::{ConfigDuration, MatchOp, Matcher};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// Sections of receivers that plugins answer, such as `slack_configs`.
    pub blocks: Vec<ReceiverBlock>,
    /// What `global` says for those sections, by its keys.
    pub settings: BTreeMap<String, Value>,
    /// Files with templates for the texts of notifications; the last part of a path may have `*`.
    pub templates: Vec<String>,
    /// Which alerts hold back which.
    pub inhibit_rules: Vec<InhibitRule>,
}

/// A section of a receiver that the plugin of its name answers.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceiverBlock {
    /// The receiver.
    pub receiver: String,
    /// The name before `_configs`.
    pub kind: &'static str,
    /// What the plugin is configured with, for each entry.
    pub configs: Vec<Value>,
}

impl Config {
    /// What is in force where nothing is configured: all alerts go to a receiver that nobody listens to.
    pub fn blackhole() -> Self {
        const NOBODY: &str = "nobody";
        Self {
            resolve_timeout: RESOLVE_TIMEOUT,
            route: Route {
                receiver: NOBODY.to_owned(),
                group_by: GroupBy::Labels(BTreeSet::new()),
                continues: false,
                matchers: Vec::new(),
                group_wait: GROUP_WAIT,
                group_interval: GROUP_INTERVAL,
                repeat_interval: REPEAT_INTERVAL,
                routes: Vec::new(),
            },
            receivers: BTreeMap::from([(NOBODY.to_owned(), Vec::new())]),
            blocks: Vec::new(),
            settings: BTreeMap::new(),
            templates: Vec::new(),
            inhibit_rules: Vec::new(),
        }
    }
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
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
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RawInhibitRule")]
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
    route: Option<CheckedRoute>,
    #[serde(default)]
    receivers: Vec<NamedReceiver>,
    #[serde(default)]
    inhibit_rules: Vec<InhibitRule>,
    #[serde(default)]
    templates: Vec<String>,
    time_intervals: Option<IgnoredAny>,
    mute_time_intervals: Option<IgnoredAny>,
    event_recorder: Option<IgnoredAny>,
    tracing: Option<IgnoredAny>,
}

/// Everything that applies to all receivers and routes. All but the time is for sections that plugins answer.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Global {
    resolve_timeout: Option<ConfigDuration>,
    http_config: Option<Value>,
    smtp_smarthost: Option<Value>,
    smtp_from: Option<Value>,
    smtp_hello: Option<Value>,
    smtp_auth_username: Option<Value>,
    smtp_auth_password: Option<Value>,
    smtp_auth_password_file: Option<Value>,
    smtp_auth_identity: Option<Value>,
    smtp_auth_secret: Option<Value>,
    smtp_auth_secret_file: Option<Value>,
    smtp_require_tls: Option<Value>,
    smtp_tls_config: Option<Value>,
    slack_api_url: Option<Value>,
    slack_api_url_file: Option<Value>,
    slack_app_token: Option<Value>,
    slack_app_token_file: Option<Value>,
    slack_app_url: Option<Value>,
    pagerduty_url: Option<Value>,
    opsgenie_api_key: Option<Value>,
    opsgenie_api_key_file: Option<Value>,
    opsgenie_api_url: Option<Value>,
}

impl Global {
    fn settings(self) -> BTreeMap<String, Value> {
        let all = [
            ("http_config", self.http_config),
            ("smtp_smarthost", self.smtp_smarthost),
            ("smtp_from", self.smtp_from),
            ("smtp_hello", self.smtp_hello),
            ("smtp_auth_username", self.smtp_auth_username),
            ("smtp_auth_password", self.smtp_auth_password),
            ("smtp_auth_password_file", self.smtp_auth_password_file),
            ("smtp_auth_identity", self.smtp_auth_identity),
            ("smtp_auth_secret", self.smtp_auth_secret),
            ("smtp_auth_secret_file", self.smtp_auth_secret_file),
            ("smtp_require_tls", self.smtp_require_tls),
            ("smtp_tls_config", self.smtp_tls_config),
            ("slack_api_url", self.slack_api_url),
            ("slack_api_url_file", self.slack_api_url_file),
            ("slack_app_token", self.slack_app_token),
            ("slack_app_token_file", self.slack_app_token_file),
            ("slack_app_url", self.slack_app_url),
            ("pagerduty_url", self.pagerduty_url),
            ("opsgenie_api_key", self.opsgenie_api_key),
            ("opsgenie_api_key_file", self.opsgenie_api_key_file),
            ("opsgenie_api_url", self.opsgenie_api_url),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }
}

/// A receiver, checked by itself.
#[derive(Deserialize)]
#[serde(try_from = "RawReceiver")]
struct NamedReceiver {
    name: String,
    plugins: Vec<PluginConfig>,
    blocks: Vec<ReceiverBlock>,
}

/// The entries of a section for a plugin.
type Entries = Option<Vec<Value>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReceiver {
    name: String,
    #[serde(default)]
    plugin_configs: Vec<PluginConfig>,
    webhook_configs: Entries,
    email_configs: Entries,
    slack_configs: Entries,
    pagerduty_configs: Entries,
    opsgenie_configs: Entries,
    msteams_configs: Entries,
    msteamsv2_configs: Entries,
    discord_configs: Entries,
    telegram_configs: Entries,
    victorops_configs: Entries,
    pushover_configs: Entries,
    wechat_configs: Entries,
    sns_configs: Entries,
    webex_configs: Entries,
    jira_configs: Entries,
    rocketchat_configs: Entries,
    mattermost_configs: Entries,
    incidentio_configs: Entries,
    labels: Option<IgnoredAny>,
}

/// A route that is sound by itself; whether its receiver is there only the whole configuration knows.
#[derive(Deserialize)]
#[serde(try_from = "RawRoute")]
struct CheckedRoute {
    raw: RawRoute,
    matchers: Vec<Matcher>,
}

/// Matchers, each text one or more of them.
#[derive(Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
struct MatcherList(Vec<Matcher>);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRoute {
    receiver: Option<String>,
    group_by: Option<GroupBy>,
    #[serde(rename = "continue")]
    continues: bool,
    matchers: MatcherList,
    #[serde(rename = "match")]
    equal: BTreeMap<String, String>,
    match_re: BTreeMap<String, String>,
    group_wait: Option<ConfigDuration>,
    group_interval: Option<ConfigDuration>,
    repeat_interval: Option<ConfigDuration>,
    routes: Vec<CheckedRoute>,
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
    source_matchers: MatcherList,
    target_matchers: MatcherList,
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
            ("time_intervals", raw.time_intervals.is_some()),
            ("mute_time_intervals", raw.mute_time_intervals.is_some()),
            ("event_recorder", raw.event_recorder.is_some()),
            ("tracing", raw.tracing.is_some()),
        ])?;
        let (mut receivers, mut blocks) = (BTreeMap::new(), Vec::new());
        for NamedReceiver { name, plugins, blocks: of_it } in raw.receivers {
            blocks.extend(of_it);
            if receivers.insert(name.clone(), plugins).is_some() {
                return Err(ConfigError::DuplicateReceiver(name));
            }
        }
        let root = raw.route.ok_or(ConfigError::Root("no routes provided"))?;
        if root.raw.receiver.as_deref().is_none_or(str::is_empty) {
            return Err(ConfigError::Root("root route must specify a default receiver"));
        }
        if !root.matchers.is_empty() {
            return Err(ConfigError::Root("root route must not have any matchers"));
        }
        if root.raw.continues {
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
        let resolve_timeout = raw.global.resolve_timeout.map_or(RESOLVE_TIMEOUT, |d| d.0);
        Ok(Self {
            resolve_timeout,
            route,
            receivers,
            blocks,
            settings: raw.global.settings(),
            templates: raw.templates,
            inhibit_rules: raw.inhibit_rules,
        })
    }
}

impl TryFrom<RawReceiver> for NamedReceiver {
    type Error = ConfigError;

    fn try_from(raw: RawReceiver) -> Result<Self, ConfigError> {
        if raw.name.is_empty() {
            return Err(ConfigError::UnnamedReceiver);
        }
        refuse(&[("receiver labels", raw.labels.is_some())])?;
        let sections = [
            ("webhook", raw.webhook_configs),
            ("email", raw.email_configs),
            ("slack", raw.slack_configs),
            ("pagerduty", raw.pagerduty_configs),
            ("opsgenie", raw.opsgenie_configs),
            ("msteams", raw.msteams_configs),
            ("msteamsv2", raw.msteamsv2_configs),
            ("discord", raw.discord_configs),
            ("telegram", raw.telegram_configs),
            ("victorops", raw.victorops_configs),
            ("pushover", raw.pushover_configs),
            ("wechat", raw.wechat_configs),
            ("sns", raw.sns_configs),
            ("webex", raw.webex_configs),
            ("jira", raw.jira_configs),
            ("rocketchat", raw.rocketchat_configs),
            ("mattermost", raw.mattermost_configs),
            ("incidentio", raw.incidentio_configs),
        ];
        let block = |(kind, configs): (&'static str, Entries)| {
            configs.filter(|configs| !configs.is_empty()).map(|configs| ReceiverBlock {
                receiver: raw.name.clone(),
                kind,
                configs,
            })
        };
        let blocks = sections.into_iter().filter_map(block).collect();
        Ok(Self { plugins: raw.plugin_configs, blocks, name: raw.name })
    }
}

impl TryFrom<RawRoute> for CheckedRoute {
    type Error = ConfigError;

    fn try_from(mut raw: RawRoute) -> Result<Self, ConfigError> {
        refuse(&[
            ("mute_time_intervals", raw.mute_time_intervals.is_some()),
            ("active_time_intervals", raw.active_time_intervals.is_some()),
            ("route labels", raw.labels.is_some()),
        ])?;
        for (key, value) in [("group_interval", raw.group_interval), ("repeat_interval", raw.repeat_interval)]
        {
            if value.is_some_and(|d| d.0.is_zero()) {
                return Err(ConfigError::ZeroInterval(key));
            }
        }
        let (list, equal, regex) = (take(&mut raw.matchers), take(&mut raw.equal), take(&mut raw.match_re));
        Ok(Self { matchers: all_matchers(list, equal, regex)?, raw })
    }
}

impl CheckedRoute {
    /// Fills in what the route takes from `parent`.
    fn inherit(
        self,
        parent: &Route,
        receivers: &BTreeMap<String, Vec<PluginConfig>>,
    ) -> Result<Route, ConfigError> {
        let Self { raw, matchers } = self;
        let receiver = raw.receiver.filter(|r| !r.is_empty()).unwrap_or_else(|| parent.receiver.clone());
        if !receivers.contains_key(&receiver) {
            return Err(ConfigError::UnknownReceiver(receiver));
        }
        let mut route = Route {
            receiver,
            group_by: raw.group_by.unwrap_or_else(|| parent.group_by.clone()),
            continues: raw.continues,
            matchers,
            group_wait: raw.group_wait.map_or(parent.group_wait, |d| d.0),
            group_interval: raw.group_interval.map_or(parent.group_interval, |d| d.0),
            repeat_interval: raw.repeat_interval.map_or(parent.repeat_interval, |d| d.0),
            routes: Vec::new(),
        };
        route.routes =
            raw.routes.into_iter().map(|child| child.inherit(&route, receivers)).collect::<Result<_, _>>()?;
        Ok(route)
    }
}

impl TryFrom<Vec<String>> for GroupBy {
    type Error = ConfigError;

    fn try_from(names: Vec<String>) -> Result<Self, ConfigError> {
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
            (true, true) => Ok(Self::All),
            (false, _) => Ok(Self::Labels(labels)),
        }
    }
}

impl TryFrom<Vec<String>> for MatcherList {
    type Error = MatchersError;

    fn try_from(texts: Vec<String>) -> Result<Self, MatchersError> {
        let mut matchers = Vec::new();
        for text in &texts {
            matchers.extend(parse_matchers(text)?);
        }
        Ok(Self(matchers))
    }
}

/// Matchers in all three notations, sorted as Alertmanager sorts them: by name, value, operator.
fn all_matchers(
    list: MatcherList,
    equal: BTreeMap<String, String>,
    regex: BTreeMap<String, String>,
) -> Result<Vec<Matcher>, ConfigError> {
    let mut matchers = list.0;
    for (name, value) in equal {
        matchers.push(Matcher::equal(name, value));
    }
    for (name, value) in regex {
        // Alertmanager keeps the anchored pattern, and group keys show it.
        let pattern = format!("^(?:{value})$");
        matchers.push(Matcher::new(MatchOp::Regex, name, pattern).map_err(MatchersError::from)?);
    }
    matchers.sort_by(|a, b| {
        (a.name(), a.value(), matchers::rank(a.op())).cmp(&(b.name(), b.value(), matchers::rank(b.op())))
    });
    Ok(matchers)
}

impl TryFrom<RawInhibitRule> for InhibitRule {
    type Error = ConfigError;

    fn try_from(raw: RawInhibitRule) -> Result<Self, ConfigError> {
        let source = all_matchers(raw.source_matchers, raw.source_match, raw.source_match_re)?;
        let target = all_matchers(raw.target_matchers, raw.target_match, raw.target_match_re)?;
        if let Some(name) = raw.equal.iter().find(|name| name.is_empty()) {
            return Err(ConfigError::InhibitRule(format!("has the invalid label name {name:?} in equal")));
        }
        Ok(Self { source, target, equal: raw.equal })
    }
}

#[cfg(test)]
mod tests;
