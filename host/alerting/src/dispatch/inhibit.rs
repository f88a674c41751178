//! Inhibition: alerts that are held back while others fire.
//!
//! Each rule keeps the alerts that match its source side, by the values of the labels in which both sides must
//! agree, so that asking costs one look-up per rule.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Labels, Matcher, Timestamp};

use crate::alert::{Alert, Fingerprint};
use crate::config::InhibitRule;

/// All rules.
pub(super) struct Inhibitor {
    rules: Vec<Rule>,
}

struct Rule {
    source: Vec<Matcher>,
    target: Vec<Matcher>,
    equal: Vec<String>,
    /// By the values of `equal`.
    sources: HashMap<Vec<String>, HashMap<Fingerprint, Source>>,
}

/// An alert that matches a rule's source side.
struct Source {
    alert: Arc<Alert>,
    /// Whether it matches the target side too.
    two_sided: bool,
}

impl Inhibitor {
    pub(super) fn new(rules: &[InhibitRule]) -> Self {
        let rules = rules.iter().map(|rule| Rule {
            source: rule.source.clone(),
            target: rule.target.clone(),
            equal: rule.equal.clone(),
            sources: HashMap::new(),
        });
        Self { rules: rules.collect() }
    }

    /// Takes the latest state of an alert.
    pub(super) fn put(&mut self, alert: &Arc<Alert>) {
        for rule in &mut self.rules {
            if all_match(&rule.source, &alert.labels) {
                let two_sided = all_match(&rule.target, &alert.labels);
                let sources = rule.sources.entry(rule.values(&alert.labels)).or_default();
                sources.insert(alert.fingerprint(), Source { alert: Arc::clone(alert), two_sided });
            }
        }
    }

    /// Whether an alert is held back at `now`. One that matches both sides of a rule is not held back by others
    /// that do, itself among them.
    pub(super) fn inhibits(&self, labels: &Labels, now: Timestamp) -> bool {
        self.rules.iter().any(|rule| {
            all_match(&rule.target, labels)
                && rule.sources.get(&rule.values(labels)).is_some_and(|sources| {
                    let both = all_match(&rule.source, labels);
                    let holds = |source: &Source| !(source.alert.resolved(now) || both && source.two_sided);
                    sources.values().any(holds)
                })
        })
    }

    /// Forgets sources that are over.
    pub(super) fn clear(&mut self, now: Timestamp) {
        for rule in &mut self.rules {
            rule.sources.retain(|_, sources| {
                sources.retain(|_, source| !source.alert.resolved(now));
                !sources.is_empty()
            });
        }
    }
}

impl Rule {
    fn values(&self, labels: &Labels) -> Vec<String> {
        self.equal.iter().map(|name| labels.get(name).unwrap_or_default().to_owned()).collect()
    }
}

fn all_match(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches_labels(labels))
}
