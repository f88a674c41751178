//! One group while it runs: evaluation, what it stores, and what is known of its rules.
//!
//! State is locked only between queries and writes, never while one is awaited, so that the API never waits
//! for an evaluation.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::{AppendError, Exemplar, Labels, Matcher, Sample, SeriesRef, Timestamp, Value, staleness};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::alerting::{ALERTS_FOR_STATE, Alerts};
use super::exemplars::{self, Heirs};
use super::expand::{Expanded, expand};
use super::file::{Rule, RuleGroup, RuleKind};
use super::manager::Shared;
use super::order;
use super::snapshot::{
    AlertState, AlertingRuleSnapshot, GroupSnapshot, Health, RecordingRuleSnapshot, RuleSnapshot,
};
use crate::alert::Fnv;
use crate::query::{RuleGroupName, RuleVector};
use crate::template::escape_query;

/// Names a group among all files.
pub(super) type GroupKey = (String, String);

/// What a group is made of; equal specifications need no restart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spec {
    pub(super) file: String,
    pub(super) group: RuleGroup,
    pub(super) interval: Duration,
    pub(super) query_offset: Duration,
}

/// A group.
pub(super) struct Group {
    pub(super) spec: Spec,
    /// Its rules, in batches of which each needs only earlier ones.
    batches: Vec<Vec<usize>>,
    /// What each rule reads, for exemplars.
    selectors: Vec<Vec<Vec<Matcher>>>,
    state: Mutex<State>,
}

struct State {
    rules: Vec<RuleState>,
    /// Series of rules that are gone since a reload; they end with the next evaluation.
    orphans: Vec<Labels>,
    evaluation_time: Duration,
    last_evaluation: Option<Timestamp>,
}

/// What is known of one rule.
struct RuleState {
    /// The series of the last evaluation.
    series: HashMap<Labels, Option<SeriesRef>>,
    /// Up to when exemplars have been handed on, by series.
    exemplars_until: HashMap<Labels, Timestamp>,
    alerts: Alerts,
    health: Health,
    last_error: String,
    evaluation_time: Duration,
    last_evaluation: Option<Timestamp>,
}

/// What a rule's expression yields, ready to be taken.
enum Yield {
    Record(RuleVector),
    Alerts(Vec<Expanded>),
}

/// What one rule has storage do: samples, and the series that have ended.
struct Batch {
    samples: Vec<(Labels, Value, Option<SeriesRef>)>,
    ended: Vec<Labels>,
    /// By the position of the sample whose series they go to.
    exemplars: Vec<(usize, Exemplar)>,
}

impl Batch {
    /// Only ends series.
    fn ended(ended: Vec<Labels>) -> Self {
        Self { samples: Vec::new(), ended, exemplars: Vec::new() }
    }
}

/// What storage said to a batch.
struct Written {
    references: Vec<(Labels, SeriesRef)>,
    refused: Option<String>,
}

impl Group {
    /// A group that takes over what `previous`, an earlier form of it, knew of rules that are still there.
    /// `restore` asks for the alerts' state of an earlier process to be taken over from storage; rules whose
    /// `for` is shorter than `grace` have nothing to gain from that.
    pub(super) fn new(spec: Spec, previous: Option<&Self>, restore: bool, grace: Duration) -> Self {
        let mut old: Vec<Option<(&Rule, RuleState)>> = Vec::new();
        if let Some(previous) = previous {
            let states = std::mem::take(&mut previous.state.lock().rules);
            old = previous.spec.group.rules.iter().zip(states).map(Some).collect();
        }
        let same = |a: &Rule, b: &Rule| {
            a.name == b.name
                && a.labels == b.labels
                && (a.kind == RuleKind::Record) == (b.kind == RuleKind::Record)
        };
        let mut rules = Vec::with_capacity(spec.group.rules.len());
        for rule in &spec.group.rules {
            let known = old.iter_mut().find(|o| o.as_ref().is_some_and(|(r, _)| same(r, rule)));
            rules.push(match known.and_then(Option::take) {
                Some((_, state)) => state,
                None => RuleState::new(!restore || hold(rule) < grace),
            });
        }
        let orphans = old.into_iter().flatten().flat_map(|(_, state)| state.series.into_keys()).collect();
        let state = State { rules, orphans, evaluation_time: Duration::ZERO, last_evaluation: None };
        let batches = order::batches(&spec.group.rules);
        let selectors = spec.group.rules.iter().map(exemplars::selectors).collect();
        Self { spec, batches, selectors, state: Mutex::new(state) }
    }

    /// The group's name in metrics, as Prometheus writes it.
    pub(super) fn metric_name(&self) -> String {
        format!("{};{}", self.spec.file, self.spec.group.name)
    }

    /// The first time after `now` at which the group is evaluated: its place in the interval depends only on its
    /// name, so that groups spread and a restart does not move them.
    pub(super) fn first_evaluation(&self, now: Timestamp) -> Timestamp {
        let interval = millis(self.spec.interval);
        let mut hash = Fnv::new();
        hash.write(self.spec.file.as_bytes());
        hash.write(&[0xff]);
        hash.write(self.spec.group.name.as_bytes());
        let place = (hash.0 % interval.unsigned_abs().max(1)) as i64;
        let since = now.offset(-place).millis().rem_euclid(interval.max(1));
        now.offset(interval - since)
    }

    /// Evaluates all rules at `at`.
    pub(super) async fn evaluate(&self, shared: &Shared, at: Timestamp) {
        let started = Instant::now();
        let name = self.metric_name();
        let metrics = &shared.metrics;
        metrics.iterations.with_label_values(&[&name]).inc();
        let mut samples = 0;
        if shared.options.concurrent_evals_max == 0 {
            for index in 0..self.spec.group.rules.len() {
                if shared.stopping.is_cancelled() {
                    return;
                }
                samples += self.evaluate_rule(shared, index, at, &name).await;
            }
        } else {
            for batch in &self.batches {
                let lanes = shared.lanes(batch.len().saturating_sub(1));
                for rules in batch.chunks(1 + lanes.len()) {
                    if shared.stopping.is_cancelled() {
                        return;
                    }
                    let evaluations = rules.iter().map(|index| self.evaluate_rule(shared, *index, at, &name));
                    samples += futures::future::join_all(evaluations).await.into_iter().sum::<i64>();
                }
            }
        }
        let orphans = std::mem::take(&mut self.state.lock().orphans);
        self.end_series(shared, orphans, at).await;
        let took = started.elapsed();
        let rules_took: Duration = {
            let mut state = self.state.lock();
            state.evaluation_time = took;
            state.last_evaluation = Some(at);
            state.rules.iter().map(|rule| rule.evaluation_time).sum()
        };
        metrics.group_duration.observe(&[], took.as_secs_f64());
        metrics.group_last_duration.with_label_values(&[&name]).set(took.as_secs_f64());
        metrics.group_last_rule_duration_sum.with_label_values(&[&name]).set(rules_took.as_secs_f64());
        metrics.group_last_time.with_label_values(&[&name]).set(at.millis() as f64 / 1000.0);
        metrics.group_last_samples.with_label_values(&[&name]).set(samples);
    }

    async fn evaluate_rule(&self, shared: &Shared, index: usize, at: Timestamp, metric: &str) -> i64 {
        let started = Instant::now();
        let rule = &self.spec.group.rules[index];
        let context = shared.context();
        let query_at = at - self.spec.query_offset;
        shared.metrics.evaluations.with_label_values(&[metric]).inc();
        let group = RuleGroupName { file: &self.spec.file, name: &self.spec.group.name };
        let outcome = match shared.query.instant(&rule.expr, query_at, group).await {
            Ok(vector) => {
                let result = match rule.kind {
                    RuleKind::Record => Yield::Record(vector),
                    RuleKind::Alert { .. } => {
                        Yield::Alerts(expand((&*shared.query, group), rule, vector, at, &context).await)
                    }
                };
                self.take_result(index, result, at)
            }
            Err(failure) => Err(failure.to_string()),
        };
        let mut count = 0;
        let error = match outcome {
            Err(error) => Some(error),
            Ok(mut batch) => {
                self.inherit(shared, index, &mut batch, query_at).await;
                count = batch.samples.len() as i64;
                let written = write(shared, batch, query_at).await;
                let mut state = self.state.lock();
                for (labels, reference) in written.references {
                    if let Some(known) = state.rules[index].series.get_mut(&labels) {
                        *known = Some(reference);
                    }
                }
                written.refused
            }
        };
        // Alerts are sent even where their series could not be stored.
        let due = {
            let mut state = self.state.lock();
            let state = &mut state.rules[index];
            state.evaluation_time = started.elapsed();
            shared.metrics.evaluation_duration.observe(&[], state.evaluation_time.as_secs_f64());
            state.last_evaluation = Some(at);
            state.health = if error.is_some() { Health::Err } else { Health::Ok };
            if let Some(error) = &error {
                shared.metrics.failures.with_label_values(&[metric]).inc();
                tracing::warn!(
                    file = self.spec.file,
                    group = self.spec.group.name,
                    rule = rule.name,
                    error,
                    "evaluate rule"
                );
            }
            state.last_error = error.unwrap_or_default();
            let url = generator_url(&context.external_url, &rule.expr);
            let (resend, interval) = (shared.options.resend_delay, self.spec.interval);
            state.alerts.due(at, resend, interval, &url, &context)
        };
        if !due.is_empty() {
            shared.sink.put(due);
        }
        count
    }

    /// Turns a result into what is to be stored, and remembers its series.
    fn take_result(&self, index: usize, result: Yield, at: Timestamp) -> Result<Batch, String> {
        let (rule, limit) = (&self.spec.group.rules[index], self.spec.group.limit);
        let mut state = self.state.lock();
        let state = &mut state.rules[index];
        let samples = match result {
            Yield::Record(vector) => record(rule, vector, limit)?,
            Yield::Alerts(vector) => {
                let samples = state.alerts.update(rule, vector, at, limit)?;
                samples.into_iter().map(|(labels, value)| (labels, Value::Float(value))).collect()
            }
        };
        let mut previous = std::mem::take(&mut state.series);
        let mut batch =
            Batch { samples: Vec::with_capacity(samples.len()), ended: Vec::new(), exemplars: Vec::new() };
        for (labels, value) in samples {
            let reference = previous.remove(&labels).flatten();
            state.series.insert(labels.clone(), reference);
            batch.samples.push((labels, value, reference));
        }
        batch.ended = previous.into_keys().collect();
        Ok(batch)
    }

    /// Adds what exemplars the inputs of a recording rule have had since they were last handed on.
    async fn inherit(&self, shared: &Shared, index: usize, batch: &mut Batch, at: Timestamp) {
        let (rule, selectors) = (&self.spec.group.rules[index], &self.selectors[index]);
        if selectors.is_empty() || batch.samples.is_empty() {
            return;
        }
        let from = at - exemplars::WINDOW.max(self.spec.interval);
        let inputs = match shared.query.exemplars(selectors, from, at).await {
            Ok(inputs) => inputs,
            Err(error) => {
                // The rule has its result; examples of it are not worth failing it for.
                tracing::debug!(rule = rule.name, %error, "look for exemplars of a rule's inputs");
                return;
            }
        };
        if inputs.is_empty() {
            return;
        }
        let mut heirs = Heirs::new(&inputs);
        let mut state = self.state.lock();
        let latest = &mut state.rules[index].exemplars_until;
        for (place, (labels, ..)) in batch.samples.iter().enumerate() {
            let until = latest.get(labels).copied().unwrap_or(Timestamp::MIN);
            let fresh = heirs.of(rule, labels).into_iter().filter(|exemplar| exemplar.timestamp > until);
            batch.exemplars.extend(fresh.map(|exemplar| (place, exemplar)));
        }
        for (place, exemplar) in &batch.exemplars {
            if let Some((labels, ..)) = batch.samples.get(*place) {
                latest.insert(labels.clone(), exemplar.timestamp);
            }
        }
        // What has left the window cannot come again.
        latest.retain(|_, until| *until >= from);
    }

    /// Takes over the alerts' state of an earlier process from storage.
    pub(super) async fn restore(&self, shared: &Shared, at: Timestamp) {
        let started = Instant::now();
        let (tolerance, grace) = (shared.options.for_outage_tolerance, shared.options.for_grace_period);
        for (index, rule) in self.spec.group.rules.iter().enumerate() {
            if self.state.lock().rules[index].alerts.restored || rule.kind == RuleKind::Record {
                continue;
            }
            let matchers = [
                Matcher::equal(model::METRIC_NAME, ALERTS_FOR_STATE),
                Matcher::equal("alertname", &rule.name),
            ];
            let stored = match shared.query.latest(&matchers, at - tolerance, at).await {
                Ok(stored) => stored,
                Err(error) => {
                    tracing::error!(rule = rule.name, %error, "restore alert state: alerts count from now on");
                    Vec::new()
                }
            };
            let stored: Vec<_> = stored
                .into_iter()
                .map(|(labels, sample)| (labels.without(|name| name == model::METRIC_NAME), sample))
                .collect();
            self.state.lock().rules[index].alerts.restore(&stored, at, hold(rule), grace);
        }
        let took = started.elapsed().as_secs_f64();
        let gauge = &shared.metrics.group_last_restore_duration;
        gauge.with_label_values(&[&self.metric_name()]).set(took);
    }

    /// Whether any rule waits for [`Group::restore`].
    pub(super) fn needs_restore(&self) -> bool {
        self.state.lock().rules.iter().any(|rule| !rule.alerts.restored)
    }

    /// Ends everything that the group has stored, because it is gone from the configuration.
    pub(super) async fn end_all(&self, shared: &Shared, at: Timestamp) {
        let series = {
            let mut state = self.state.lock();
            let mut series = std::mem::take(&mut state.orphans);
            series.extend(state.rules.drain(..).flat_map(|rule| rule.series.into_keys()));
            series
        };
        self.end_series(shared, series, at).await;
    }

    async fn end_series(&self, shared: &Shared, ended: Vec<Labels>, at: Timestamp) {
        if !ended.is_empty() {
            let written = write(shared, Batch::ended(ended), at - self.spec.query_offset).await;
            if let Some(error) = written.refused {
                tracing::warn!(
                    file = self.spec.file,
                    group = self.spec.group.name,
                    error,
                    "end series of rules"
                );
            }
        }
    }

    /// What the API shows.
    pub(super) fn snapshot(&self) -> GroupSnapshot {
        let state = self.state.lock();
        // A group that has been taken apart shows no rules.
        let rules = self.spec.group.rules.iter().zip(&state.rules).map(|(rule, state)| state.snapshot(rule));
        GroupSnapshot {
            name: self.spec.group.name.clone(),
            file: self.spec.file.clone(),
            rules: rules.collect(),
            interval: self.spec.interval.as_secs_f64(),
            limit: self.spec.group.limit,
            evaluation_time: state.evaluation_time.as_secs_f64(),
            last_evaluation: state.last_evaluation,
        }
    }
}

impl RuleState {
    fn new(restored: bool) -> Self {
        Self {
            series: HashMap::new(),
            exemplars_until: HashMap::new(),
            alerts: Alerts::new(restored),
            health: Health::Unknown,
            last_error: String::new(),
            evaluation_time: Duration::ZERO,
            last_evaluation: None,
        }
    }

    fn snapshot(&self, rule: &Rule) -> RuleSnapshot {
        let labels = rule.labels.iter().map(|(n, v)| (n.clone(), v.source().to_owned())).collect();
        let (name, query) = (rule.name.clone(), rule.expr.clone());
        let (health, last_error) = (self.health, self.last_error.clone());
        let (evaluation_time, last_evaluation) = (self.evaluation_time.as_secs_f64(), self.last_evaluation);
        match &rule.kind {
            RuleKind::Record => RuleSnapshot::Recording(RecordingRuleSnapshot {
                name,
                query,
                labels,
                health,
                last_error,
                evaluation_time,
                last_evaluation,
            }),
            RuleKind::Alert { hold, keep_firing_for, annotations } => {
                let alerts = self.alerts.snapshot();
                let idle = if last_evaluation.is_none() { AlertState::Unknown } else { AlertState::Inactive };
                RuleSnapshot::Alerting(AlertingRuleSnapshot {
                    state: alerts.iter().map(|alert| alert.state).max().unwrap_or(idle),
                    name,
                    query,
                    duration: hold.as_secs_f64(),
                    keep_firing_for: keep_firing_for.as_secs_f64(),
                    labels,
                    annotations: annotations
                        .iter()
                        .map(|(n, v)| (n.clone(), v.source().to_owned()))
                        .collect(),
                    alerts,
                    health,
                    last_error,
                    evaluation_time,
                    last_evaluation,
                })
            }
        }
    }
}

/// The samples of a recording rule.
fn record(rule: &Rule, vector: RuleVector, limit: u64) -> Result<RuleVector, String> {
    if limit > 0 && vector.len() as u64 > limit {
        return Err(format!("exceeded limit of {limit} with {} series", vector.len()));
    }
    let mut samples = Vec::with_capacity(vector.len());
    for (series, value) in vector {
        let mut labels = series.to_builder();
        labels.set(model::METRIC_NAME, &rule.name);
        for (name, text) in &rule.labels {
            labels.set(name, text.source());
        }
        samples.push((labels.build(), value));
    }
    samples.sort_by(|(a, _), (b, _)| a.cmp(b));
    if samples.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b)) {
        return Err("vector contains metrics with the same labelset after applying rule labels".to_owned());
    }
    Ok(samples)
}

/// Stores a batch on a thread that may block: storage answers when the batch is durable.
async fn write(shared: &Shared, batch: Batch, at: Timestamp) -> Written {
    if batch.samples.is_empty() && batch.ended.is_empty() {
        return Written { references: Vec::new(), refused: None };
    }
    let storage = Arc::clone(&shared.storage);
    let written = tokio::task::spawn_blocking(move || {
        let mut written = Written { references: Vec::new(), refused: None };
        let mut appender = storage.appender();
        let mut exemplars = batch.exemplars.into_iter().peekable();
        for (place, (labels, value, reference)) in batch.samples.into_iter().enumerate() {
            let appended = match value {
                Value::Float(value) => appender.append(reference, &labels, Sample { timestamp: at, value }),
                Value::Histogram(histogram) => appender.append_histogram(reference, &labels, at, &histogram),
            };
            let mut own = Vec::new();
            while let Some((_, exemplar)) = exemplars.next_if(|(of, _)| *of == place) {
                own.push(exemplar);
            }
            match appended {
                Ok(reference) => {
                    for exemplar in own {
                        // One that an earlier process has handed on, or that storage will not have, is only an example.
                        let _ = appender.append_exemplar(reference, &exemplar);
                    }
                    written.references.push((labels, reference));
                }
                Err(error) => written.refused = Some(error.to_string()),
            }
        }
        for labels in batch.ended {
            match appender.append(None, &labels, Sample { timestamp: at, value: staleness::STALE_NAN }) {
                // The series has gone on elsewhere: another rule writes it now.
                Ok(_)
                | Err(
                    AppendError::OutOfOrder
                    | AppendError::DuplicateTimestamp
                    | AppendError::OutOfBounds
                    | AppendError::TooOld,
                ) => {}
                Err(error) => written.refused = Some(error.to_string()),
            }
        }
        match appender.commit() {
            Ok(refused) => {
                let lost = refused.iter().find(|item| item.error != AppendError::OutOfOrderExemplar);
                let first = lost.map(|item| item.error.to_string());
                written.refused = written.refused.or(first);
            }
            Err(error) => written = Written { references: Vec::new(), refused: Some(error.to_string()) },
        }
        written
    });
    written.await.unwrap_or_else(|error| Written {
        references: Vec::new(),
        refused: Some(format!("storage failed: {error}")),
    })
}

fn hold(rule: &Rule) -> Duration {
    match &rule.kind {
        RuleKind::Alert { hold, .. } => *hold,
        RuleKind::Record => Duration::ZERO,
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The page that shows the expression.
fn generator_url(external_url: &str, expr: &str) -> String {
    format!("{}/graph?g0.expr={}&g0.tab=1", external_url.trim_end_matches('/'), escape_query(expr))
}
