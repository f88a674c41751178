//! The state of one rule's alerts, as a function of what its expression yields from time to time.
//!
//! An alert is pending from the first evaluation that yields it and fires once that has held for the rule's
//! `for`. When the expression stops yielding it, a pending alert is forgotten; a firing one is resolved, at once
//! or after `keep_firing_for`, and kept for a while so that its end is told again should the first word be lost.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use model::{Labels, METRIC_NAME, Sample, Timestamp, staleness};

use super::expand::Expanded;
use super::file::{Rule, RuleKind};
use super::snapshot::{AlertSnapshot, AlertState};
use crate::alert::Alert;

/// How long a resolved alert is kept and told again.
const RESOLVED_RETENTION: Duration = Duration::from_secs(15 * 60);
/// An alert is valid for this many resend intervals, so that losing a few of them does not resolve it.
const VALID_INTERVALS: u32 = 4;

/// The series that says which alerts are pending or firing.
pub(super) const ALERTS: &str = "ALERTS";
/// The series whose value says since when an alert has been active.
pub(super) const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";

/// What is the same for all rules of a server.
#[derive(Debug, Clone)]
pub(super) struct AlertContext {
    pub(super) external_labels: Labels,
    pub(super) external_url: String,
}

/// One alert's state.
#[derive(Debug, Clone)]
struct Active {
    annotations: Labels,
    value: f64,
    state: AlertState,
    active_at: Timestamp,
    fired_at: Option<Timestamp>,
    resolved_at: Option<Timestamp>,
    keep_firing_since: Option<Timestamp>,
    last_sent_at: Option<Timestamp>,
}

/// The alerts of one rule, by labels.
#[derive(Debug, Clone)]
pub(super) struct Alerts {
    active: BTreeMap<Labels, Active>,
    /// Whether what an earlier process knew has been taken over. Until then no series are written, since they
    /// would bury what is to be taken over.
    pub(super) restored: bool,
}

impl Alerts {
    /// No alerts yet; `restored` where no earlier process has anything to hand over.
    pub(super) fn new(restored: bool) -> Self {
        Self { active: BTreeMap::new(), restored }
    }

    /// Takes what the expression yields at `at`, its texts expanded, and answers with the samples to store.
    pub(super) fn update(
        &mut self,
        rule: &Rule,
        vector: Vec<Expanded>,
        at: Timestamp,
        limit: u64,
    ) -> Result<Vec<(Labels, f64)>, String> {
        let RuleKind::Alert { hold, keep_firing_for, .. } = &rule.kind else {
            return Ok(Vec::new());
        };
        let mut fresh: BTreeMap<Labels, Active> = BTreeMap::new();
        for Expanded { labels, annotations, value } in vector {
            let alert = Active {
                annotations,
                value,
                state: AlertState::Pending,
                active_at: at,
                fired_at: None,
                resolved_at: None,
                keep_firing_since: None,
                last_sent_at: None,
            };
            if fresh.insert(labels, alert).is_some() {
                return Err(
                    "vector contains metrics with the same labelset after applying alert labels".into()
                );
            }
        }
        let mut yielded = Vec::with_capacity(fresh.len());
        for (labels, alert) in fresh {
            yielded.push(labels.clone());
            match self.active.entry(labels) {
                Entry::Occupied(mut known) if known.get().state != AlertState::Inactive => {
                    let known = known.get_mut();
                    known.value = alert.value;
                    known.annotations = alert.annotations;
                    known.keep_firing_since = None;
                }
                Entry::Occupied(mut over) => *over.get_mut() = alert,
                Entry::Vacant(new) => {
                    new.insert(alert);
                }
            }
        }
        // Both are sorted by labels.
        let mut yielded = yielded.into_iter().peekable();
        self.active.retain(|labels, alert| {
            if yielded.next_if(|next| next == labels).is_some() {
                return true;
            }
            alert.vanish(at, *keep_firing_for)
        });
        let going_on = self.active.values().filter(|a| a.state != AlertState::Inactive).count() as u64;
        if limit > 0 && going_on > limit {
            self.active.clear();
            return Err(format!("exceeded limit of {limit} with {going_on} alerts"));
        }
        for alert in self.active.values_mut() {
            if alert.state == AlertState::Pending && at.since(alert.active_at) >= millis(*hold) {
                alert.state = AlertState::Firing;
                alert.fired_at = Some(at);
            }
        }
        Ok(if self.restored { self.samples() } else { Vec::new() })
    }

    fn samples(&self) -> Vec<(Labels, f64)> {
        let mut samples = Vec::with_capacity(2 * self.active.len());
        for (labels, alert) in &self.active {
            let state = match alert.state {
                AlertState::Pending => "pending",
                AlertState::Firing => "firing",
                AlertState::Inactive | AlertState::Unknown => continue,
            };
            let mut builder = labels.to_builder();
            builder.set(METRIC_NAME, ALERTS).set("alertstate", state);
            samples.push((builder.build(), 1.0));
            let since = alert.active_at.millis().div_euclid(1000) as f64;
            samples.push((labels.with(METRIC_NAME, ALERTS_FOR_STATE), since));
        }
        samples
    }

    /// The alerts that are to be sent now: newly firing or resolved ones, and those that were last sent longer
    /// ago than `resend_delay`.
    pub(super) fn due(
        &mut self,
        at: Timestamp,
        resend_delay: Duration,
        interval: Duration,
        generator_url: &str,
        context: &AlertContext,
    ) -> Vec<Alert> {
        let valid_until = at + VALID_INTERVALS * resend_delay.max(interval);
        let mut due = Vec::new();
        for (labels, alert) in &mut self.active {
            if !alert.is_due(at, resend_delay) {
                continue;
            }
            alert.last_sent_at = Some(at);
            let mut labels = labels.to_builder();
            for (name, value) in &context.external_labels {
                if labels.get(name).is_none() {
                    labels.set(name, value);
                }
            }
            due.push(Alert {
                labels: labels.build(),
                annotations: alert.annotations.clone(),
                starts_at: alert.fired_at.unwrap_or(alert.active_at),
                ends_at: Some(alert.resolved_at.unwrap_or(valid_until)),
                generator_url: generator_url.to_owned(),
            });
        }
        due
    }

    /// Takes over since when alerts have been active from what an earlier process stored, `(labels, sample)`
    /// with the alert's own labels, and moves it by the time that nothing was evaluated: an alert that had
    /// fired fires on; one that was pending has at least `grace` left.
    pub(super) fn restore(
        &mut self,
        stored: &[(Labels, Sample)],
        at: Timestamp,
        hold: Duration,
        grace: Duration,
    ) {
        for (labels, sample) in stored {
            let Some(alert) = self.active.get_mut(labels) else { continue };
            if staleness::is_stale(sample.value) {
                continue;
            }
            let stored_since = Timestamp::from_secs_f64(sample.value);
            let remaining = millis(hold) - sample.timestamp.since(stored_since);
            alert.active_at = if remaining <= 0 {
                stored_since
            } else if remaining < millis(grace) {
                at + grace - hold
            } else {
                stored_since.offset(at.since(sample.timestamp))
            };
        }
        self.restored = true;
    }

    /// The pending and firing ones.
    pub(super) fn snapshot(&self) -> Vec<AlertSnapshot> {
        let going_on = self.active.iter().filter(|(_, alert)| alert.state != AlertState::Inactive);
        going_on
            .map(|(labels, alert)| AlertSnapshot {
                labels: labels.clone(),
                annotations: alert.annotations.clone(),
                state: alert.state,
                active_at: alert.active_at,
                keep_firing_since: alert.keep_firing_since,
                value: alert.value,
            })
            .collect()
    }
}

impl Active {
    /// The expression has not yielded it. Says whether it is kept.
    fn vanish(&mut self, at: Timestamp, keep_firing_for: Duration) -> bool {
        match self.state {
            AlertState::Pending | AlertState::Unknown => false,
            AlertState::Inactive => {
                self.resolved_at.is_some_and(|resolved| at.since(resolved) <= millis(RESOLVED_RETENTION))
            }
            AlertState::Firing => {
                if !keep_firing_for.is_zero() {
                    let since = *self.keep_firing_since.get_or_insert(at);
                    if at.since(since) < millis(keep_firing_for) {
                        return true;
                    }
                }
                self.state = AlertState::Inactive;
                self.resolved_at = Some(at);
                true
            }
        }
    }

    fn is_due(&self, at: Timestamp, resend_delay: Duration) -> bool {
        let Some(sent) = self.last_sent_at else {
            return matches!(self.state, AlertState::Firing | AlertState::Inactive);
        };
        self.state != AlertState::Pending
            && (self.resolved_at.is_some_and(|resolved| resolved > sent)
                || at.since(sent) > millis(resend_delay))
    }
}

/// Durations from files fit.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
