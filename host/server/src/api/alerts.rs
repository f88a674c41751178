//! Rules and alerts, as Prometheus' API shows them.

use std::collections::BTreeSet;
use std::sync::Arc;

use alerting::rules::{GroupSnapshot, RuleSnapshot};
use axum::extract::State;
use model::Matcher;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

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

/// Which part of the groups is asked for.
struct Page {
    /// Most groups.
    limit: usize,
    /// The first group's token; the very first group where there is none.
    from: Option<String>,
}

impl Page {
    fn of(params: &Params) -> Result<Option<Self>, ApiError> {
        let from = params.get("group_next_token").map(str::to_owned);
        let Some(text) = params.get("group_limit") else {
            return match from {
                None => Ok(None),
                Some(_) => {
                    let what = "group_limit needs to be present in order to paginate over the groups";
                    Err(ApiError::parameter("group_next_token", what))
                }
            };
        };
        let limit = text.parse::<i64>().map_err(|_| {
            ApiError::parameter("group_limit", format!("group_limit needs to be a valid number: {text:?}"))
        })?;
        match usize::try_from(limit) {
            Ok(limit) if limit > 0 => Ok(Some(Self { limit, from })),
            _ => Err(ApiError::parameter("group_limit", "group_limit needs to be greater than 0")),
        }
    }

    /// Leaves the groups of the page, and answers with the token of the next one.
    fn cut(&self, all: &[String], groups: &mut Vec<GroupSnapshot>) -> Result<Option<String>, ApiError> {
        if let Some(from) = &self.from {
            // A group that is filtered out may still be where the page begins.
            let Some(first) = all.iter().position(|token| token == from) else {
                let what = format!("invalid group_next_token '{from}'. were rule groups changed?");
                return Err(ApiError::parameter("group_next_token", what));
            };
            let before: BTreeSet<&String> = all.iter().take(first).collect();
            groups.retain(|group| !before.contains(&token(group)));
        }
        let next = groups.get(self.limit).map(token);
        groups.truncate(self.limit);
        Ok(next)
    }
}

/// Names a group to whoever turns pages. It says nothing else, so that nobody comes to rely on more.
fn token(group: &GroupSnapshot) -> String {
    hex::encode(Sha256::digest(format!("{};{}", group.file, group.name)))
}

/// What is answered.
#[derive(Serialize)]
struct Rules {
    groups: Vec<GroupSnapshot>,
    #[serde(rename = "groupNextToken", skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The rules that the parameters ask for; groups of which none is left are not shown.
pub(super) async fn rules(State(app): State<Arc<App>>, params: Params) -> ApiResult<impl Serialize> {
    let wanted = Wanted::of(&params)?;
    let page = Page::of(&params)?;
    let without_alerts = params.flag("exclude_alerts")?;
    let mut snapshot = app.rules.rules();
    let all: Vec<String> = match page {
        Some(_) => snapshot.groups.iter().map(token).collect(),
        None => Vec::new(),
    };
    snapshot.groups.retain_mut(|group| {
        group.rules.retain(|rule| wanted.rule(rule));
        wanted.group(group) && !group.rules.is_empty()
    });
    let next = match &page {
        Some(page) => page.cut(&all, &mut snapshot.groups)?,
        None => None,
    };
    if without_alerts {
        for rule in snapshot.groups.iter_mut().flat_map(|group| &mut group.rules) {
            if let RuleSnapshot::Alerting(rule) = rule {
                rule.alerts.clear();
            }
        }
    }
    Ok(Success::new(Rules { groups: snapshot.groups, next }))
}

pub(super) async fn alerts(State(app): State<Arc<App>>) -> ApiResult<impl Serialize> {
    Ok(Success::new(app.rules.alerts()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str) -> GroupSnapshot {
        GroupSnapshot {
            name: name.to_owned(),
            file: "f.yml".to_owned(),
            rules: Vec::new(),
            interval: 1.0,
            limit: 0,
            evaluation_time: 0.0,
            last_evaluation: None,
        }
    }

    #[test]
    fn pages_follow_each_other_through_what_is_wanted() {
        let all: Vec<String> = ["a", "b", "c", "d"].map(|name| token(&group(name))).into();
        let page = |query: &str| {
            let mut groups: Vec<GroupSnapshot> = ["a", "c", "d"].map(group).into();
            let page = Page::of(&Params::from_query(query))?;
            let next = page.map(|page| page.cut(&all, &mut groups)).transpose()?.flatten();
            Ok::<_, ApiError>((groups.into_iter().map(|group| group.name).collect::<Vec<_>>().concat(), next))
        };
        assert_eq!(page("").unwrap(), ("acd".to_owned(), None));
        assert_eq!(page("group_limit=3").unwrap(), ("acd".to_owned(), None));
        let (first, next) = page("group_limit=1").unwrap();
        assert_eq!((first.as_str(), next.as_ref()), ("a", Some(&all[2])));
        let rest = page(&format!("group_limit=2&group_next_token={}", next.unwrap())).unwrap();
        assert_eq!(rest, ("cd".to_owned(), None));
        for wrong in
            ["group_limit=0", "group_limit=x", "group_next_token=x", "group_limit=1&group_next_token=x"]
        {
            assert!(page(wrong).is_err(), "{wrong}");
        }
    }
}
