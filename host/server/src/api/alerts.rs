//! Rules and alerts, as Prometheus' API shows them.

use std::sync::Arc;

use alerting::rules::{GroupSnapshot, RuleSnapshot};
use axum::extract::State;
use model::Matcher;
use serde::Serialize;

use super::envelope::{ApiError, ApiResult, Success};
use super::params::Params;
use crate::app::App;

/// Which rules are asked for. What is empty lets every rule through.
struct Wanted<'a> {
    alerting: Option<bool>,
    names: Vec<&'a str>,
    groups: Vec<&'a str>,
    files: Vec<&'a str>,
    /// Any of these has to match a rule's labels.
    selectors: Vec<Vec<Matcher>>,
}

impl<'a> Wanted<'a> {
    fn of(params: &'a Params) -> Result<Self, ApiError> {
        let alerting = match params.get("type") {
            None => None,
            Some("alert") => Some(true),
            Some("record") => Some(false),
            Some(other) => return Err(ApiError::bad_data(format!("not supported value {other:?}"))),
        };
        let all = |name| params.all(name).collect();
        Ok(Self {
            alerting,
            names: all("rule_name[]"),
            groups: all("rule_group[]"),
            files: all("file[]"),
            selectors: params.selectors()?,
        })
    }

    fn group(&self, group: &GroupSnapshot) -> bool {
        passes(&self.groups, &group.name) && passes(&self.files, &group.file)
    }

    fn rule(&self, rule: &RuleSnapshot) -> bool {
        let (alerting, name, labels) = match rule {
            RuleSnapshot::Alerting(rule) => (true, &rule.name, &rule.labels),
            RuleSnapshot::Recording(rule) => (false, &rule.name, &rule.labels),
        };
        let value = |label: &str| labels.get(label).map_or("", String::as_str);
        self.alerting.is_none_or(|wanted| wanted == alerting)
            && passes(&self.names, name)
            && (self.selectors.is_empty()
                || self.selectors.iter().any(|matchers| matchers.iter().all(|m| m.matches(value(m.name())))))
    }
}

fn passes(wanted: &[&str], name: &str) -> bool {
    wanted.is_empty() || wanted.contains(&name)
}

/// The rules that the parameters ask for; groups of which none is left are not shown.
pub(super) async fn rules(State(app): State<Arc<App>>, params: Params) -> ApiResult<impl Serialize> {
    let wanted = Wanted::of(&params)?;
    let without_alerts = params.flag("exclude_alerts")?;
    let mut snapshot = app.rules.rules();
    snapshot.groups.retain_mut(|group| {
        group.rules.retain(|rule| wanted.rule(rule));
        wanted.group(group) && !group.rules.is_empty()
    });
    if without_alerts {
        for rule in snapshot.groups.iter_mut().flat_map(|group| &mut group.rules) {
            if let RuleSnapshot::Alerting(rule) = rule {
                rule.alerts.clear();
            }
        }
    }
    Ok(Success::new(snapshot))
}

pub(super) async fn alerts(State(app): State<Arc<App>>) -> ApiResult<impl Serialize> {
    Ok(Success::new(app.rules.alerts()))
}
