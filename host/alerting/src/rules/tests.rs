//! Rules, driven by a paused clock over a storage that remembers every sample.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use expect_test::{Expect, expect};
use model::{
    Append, AppendError, Appender, CommitError, Exemplar, Histogram, Labels, Matcher, Metadata, Refused,
    Sample, SeriesRef, Timestamp, staleness,
};
use parking_lot::Mutex;

use super::*;
use crate::alert::{Alert, AlertSink};
use crate::clock::Clock;
use crate::clock::testing::TokioClock;
use crate::query::{Query, QueryFailure, RuleGroupName, RuleVector};

const MINUTE: i64 = 60_000;

/// Storage, query engine and alert sink of a test. Expressions are names of vectors that the test sets.
#[derive(Default)]
struct World {
    /// Expressions that begin with `together` have a value when this many are evaluated at once.
    together: Option<tokio::sync::Barrier>,
    vectors: Mutex<BTreeMap<String, RuleVector>>,
    stored: Mutex<Vec<(Labels, Sample)>>,
    alerts: Mutex<Vec<Alert>>,
}

impl World {
    fn set(&self, expr: &str, vector: &[(&[(&str, &str)], f64)]) {
        let vector = vector
            .iter()
            .map(|(l, v)| (Labels::from_pairs(l.iter().copied()), model::Value::Float(*v)))
            .collect();
        self.vectors.lock().insert(expr.to_owned(), vector);
    }

    /// The samples of one metric since `base`, as `seconds series value`.
    fn written(&self, metric: &str, base: Timestamp) -> String {
        let stored = self.stored.lock();
        let lines = stored.iter().filter(|(labels, _)| labels.metric_name() == Some(metric)).map(|(l, s)| {
            let value = if staleness::is_stale(s.value) { "stale".to_owned() } else { s.value.to_string() };
            format!("{} {l} {value}\n", s.timestamp.since(base) / 1000)
        });
        lines.collect()
    }

    /// The alerts sent, as `labels start end`, in seconds since `base`; empties the list.
    fn sent(&self, base: Timestamp) -> String {
        let alerts = std::mem::take(&mut *self.alerts.lock());
        let lines = alerts.iter().map(|a| {
            let end = a.ends_at.map_or(0, |end| end.since(base) / 1000);
            format!("{} {}..{end} {}\n", a.labels, a.starts_at.since(base) / 1000, a.annotations)
        });
        lines.collect()
    }
}

#[async_trait]
impl Query for World {
    async fn instant(
        &self,
        expr: &str,
        _: Timestamp,
        _: RuleGroupName<'_>,
    ) -> Result<RuleVector, QueryFailure> {
        if let Some(barrier) = self.together.as_ref().filter(|_| expr.starts_with("together")) {
            barrier.wait().await;
        }
        self.vectors.lock().get(expr).cloned().ok_or_else(|| QueryFailure::new("no such vector"))
    }

    async fn latest(
        &self,
        matchers: &[Matcher],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Labels, Sample)>, QueryFailure> {
        let mut latest = BTreeMap::new();
        for (labels, sample) in self.stored.lock().iter() {
            let wanted = matchers.iter().all(|m| m.matches_labels(labels));
            if wanted && (from..=to).contains(&sample.timestamp) {
                latest.insert(labels.clone(), *sample);
            }
        }
        Ok(latest.into_iter().collect())
    }
}

impl AlertSink for World {
    fn put(&self, alerts: Vec<Alert>) {
        self.alerts.lock().extend(alerts);
    }
}

impl Append for World {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(Batch { world: self, samples: Vec::new() })
    }
}

struct Batch<'a> {
    world: &'a World,
    samples: Vec<(Labels, Sample)>,
}

impl Appender for Batch<'_> {
    fn append(
        &mut self,
        _: Option<SeriesRef>,
        labels: &Labels,
        sample: Sample,
    ) -> Result<SeriesRef, AppendError> {
        if labels.metric_name() == Some("refused") {
            return Err(AppendError::OutOfBounds);
        }
        self.samples.push((labels.clone(), sample));
        Ok(SeriesRef(1))
    }

    fn append_histogram(
        &mut self,
        _: Option<SeriesRef>,
        _: &Labels,
        _: Timestamp,
        _: &Histogram,
    ) -> Result<SeriesRef, AppendError> {
        Err(AppendError::OutOfBounds)
    }

    fn append_exemplar(&mut self, series: SeriesRef, _: &Exemplar) -> Result<(), AppendError> {
        Err(AppendError::UnknownSeries(series.0))
    }

    fn append_metadata(&mut self, _: &str, _: &Metadata) {}

    fn commit(self: Box<Self>) -> Result<Vec<Refused>, CommitError> {
        self.world.stored.lock().extend(self.samples);
        Ok(Vec::new())
    }
}

/// A manager over a world, evaluating every minute; `base` is its first evaluation.
struct Bench {
    world: Arc<World>,
    manager: RuleManager,
    clock: Arc<TokioClock>,
    base: Timestamp,
}

fn rules(text: &str) -> Result<RuleFile, String> {
    serde_saphyr::from_str(text).map_err(|e| e.to_string())
}

fn settings(interval_seconds: u64, region: &str) -> RuleSettings {
    RuleSettings {
        interval: Duration::from_secs(interval_seconds),
        query_offset: Duration::ZERO,
        external_labels: Labels::from_pairs([("region", region)]),
    }
}

impl Bench {
    async fn start(world: Arc<World>, clock: Arc<TokioClock>, text: &str) -> Self {
        Self::start_with(RuleManagerOptions::new("http://here:9090"), world, clock, text).await
    }

    async fn start_with(
        options: RuleManagerOptions,
        world: Arc<World>,
        clock: Arc<TokioClock>,
        text: &str,
    ) -> Self {
        let registry = prometheus::Registry::new();
        let manager = RuleManager::new(
            options,
            Arc::clone(&world) as _,
            Arc::clone(&world) as _,
            Arc::clone(&world) as _,
            Arc::clone(&clock) as _,
            &registry,
        )
        .unwrap();
        let mut bench = Self { world, manager, clock, base: Timestamp::EPOCH };
        bench.apply(text).await;
        // The group's place in its minute depends on its name only: wait for it once, stop shortly after.
        let before = bench.clock.now();
        while bench.manager.rules().groups.iter().any(|group| group.last_evaluation.is_none()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(bench.clock.now().since(before) < 2 * MINUTE, "no evaluation within two intervals");
        }
        bench.base = bench.manager.rules().groups[0].last_evaluation.unwrap();
        bench
    }

    async fn apply(&self, text: &str) {
        self.apply_in(text, "eu").await;
    }

    async fn apply_in(&self, text: &str, region: &str) {
        let files = vec![("rules.yml".to_owned(), rules(text).unwrap())];
        self.manager.apply(files, settings(60, region)).await.unwrap();
    }

    async fn minutes(&self, count: u64) {
        tokio::time::sleep(Duration::from_secs(60 * count)).await;
    }
}

fn clock() -> Arc<TokioClock> {
    Arc::new(TokioClock::starting_at(1_700_000_000_000))
}

#[tokio::test(start_paused = true)]
async fn rules_that_do_not_need_each_other_are_evaluated_at_once() {
    let world = World { together: Some(tokio::sync::Barrier::new(3)), ..World::default() };
    for expr in ["together_a", "together_b", "together_c", "a + b"] {
        world.set(expr, &[(&[("x", "y")], 1.0)]);
    }
    let options =
        RuleManagerOptions { concurrent_evals_max: 2, ..RuleManagerOptions::new("http://here:9090") };
    // One after the other, the first would wait for ever.
    let text = "groups: [{name: g, interval: 1m, rules: [{record: a, expr: together_a}, \
                {record: b, expr: together_b}, {record: c, expr: together_c}, {record: d, expr: a + b}]}]";
    let bench = Bench::start_with(options, Arc::new(world), clock(), text).await;
    for metric in ["a", "b", "c", "d"] {
        assert_eq!(bench.world.written(metric, bench.base), format!("0 {metric}{{x=\"y\"}} 1\n"));
    }
    bench.manager.stop().await;
}

#[tokio::test(start_paused = true)]
async fn recording_rules_store_and_end_series() {
    let world = Arc::new(World::default());
    world
        .set("up", &[(&[("__name__", "up"), ("job", "a")], 1.0), (&[("__name__", "up"), ("job", "b")], 2.0)]);
    let text = "groups: [{name: g, labels: {team: x}, rules: [{record: r, expr: up, labels: {kind: y}}]}]";
    let bench = Bench::start(world, clock(), text).await;
    bench.world.set("up", &[(&[("job", "a")], 3.0)]);
    bench.minutes(1).await;
    // A failing expression ends nothing.
    bench.world.vectors.lock().clear();
    bench.minutes(1).await;
    let snapshot = serde_json::to_value(bench.manager.rules()).unwrap();
    assert_eq!(snapshot["groups"][0]["rules"][0]["health"], "err");
    assert_eq!(snapshot["groups"][0]["rules"][0]["lastError"], "no such vector");
    // A rule that is gone ends its series with the group's next evaluation.
    bench.apply("groups: [{name: g, rules: [{record: other, expr: up}]}]").await;
    bench.world.set("up", &[]);
    bench.minutes(1).await;
    expect![[r#"
        0 r{job="a", kind="y", team="x"} 1
        0 r{job="b", kind="y", team="x"} 2
        60 r{job="a", kind="y", team="x"} 3
        60 r{job="b", kind="y", team="x"} stale
        180 r{job="a", kind="y", team="x"} stale
    "#]]
    .assert_eq(&bench.world.written("r", bench.base));
    bench.manager.stop().await;
}

const PAGE: &str = r#"
groups:
  - name: g
    rules:
      - alert: Down
        expr: down
        for: 2m
        keep_firing_for: 1m
        labels: {severity: page, copy: '{{ $labels.job }}'}
        annotations: {summary: '{{ $labels.job }} is at {{ $value }}', broken: '{{ .Nope }}'}
"#;

#[tokio::test(start_paused = true)]
async fn a_reload_changes_the_external_labels_of_undisturbed_groups() {
    let world = Arc::new(World::default());
    world.set("x", &[(&[], 1.0)]);
    let text = "groups: [{name: g, rules: [{alert: X, expr: x, annotations: {at: '{{ $externalLabels.region }}'}}]}]";
    let bench = Bench::start(world, clock(), text).await;
    expect![[r#"
        {alertname="X", region="eu"} 0..240 {at="eu"}
    "#]]
    .assert_eq(&bench.world.sent(bench.base));
    bench.minutes(1).await;
    bench.world.sent(bench.base);
    bench.apply_in(text, "us").await;
    bench.minutes(1).await;
    // The group went on at its time, and knows since when the alert fires.
    expect![[r#"
        {alertname="X", region="us"} 0..360 {at="us"}
    "#]]
    .assert_eq(&bench.world.sent(bench.base));
    bench.manager.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_given_twice_is_refused_before_anything_changes() {
    let world = Arc::new(World::default());
    world.set("x", &[(&[], 1.0)]);
    let text = "groups: [{name: g, rules: [{alert: X, expr: x}]}]";
    let bench = Bench::start(world, clock(), text).await;
    let file = |name: &str| (name.to_owned(), rules(text).unwrap());
    assert!(RuleManager::check(&[file("a.yml"), file("b.yml")]).is_ok());
    let twice = vec![file("a.yml"), file("b.yml"), file("a.yml")];
    let refused = RuleManager::check(&twice).unwrap_err().to_string();
    assert_eq!(
        refused,
        r#"a.yml: group "g" is there more than once: give each group of a file its own name"#
    );
    let same = bench.manager.apply(twice, settings(60, "us")).await.unwrap_err();
    assert_eq!(same.to_string(), refused);
    bench.world.sent(bench.base);
    bench.minutes(2).await;
    let sent = bench.world.sent(bench.base);
    assert!(sent.starts_with(r#"{alertname="X", region="eu"}"#), "{sent}");
    bench.manager.stop().await;
}

#[tokio::test(start_paused = true)]
async fn alerts_wait_fire_and_resolve() {
    let world = Arc::new(World::default());
    world.set("down", &[(&[("__name__", "up"), ("job", "a")], 0.5)]);
    let bench = Bench::start(world, clock(), PAGE).await;
    let state =
        || serde_json::to_value(bench.manager.rules()).unwrap()["groups"][0]["rules"][0]["state"].clone();
    assert_eq!(state(), "pending");
    assert_eq!(bench.world.sent(bench.base), "");
    bench.minutes(2).await;
    assert_eq!(state(), "firing");
    // Valid for four resend intervals, so that a lost word does not resolve it.
    expect![[r#"
        {alertname="Down", copy="a", job="a", region="eu", severity="page"} 120..360 {broken="<error expanding template: execute template: can't evaluate field Nope>", summary="a is at 0.5"}
    "#]]
    .assert_eq(&bench.world.sent(bench.base));
    let alerts = serde_json::to_string_pretty(&bench.manager.alerts()).unwrap();
    let shown = alerts.replace(&crate::clock::rfc3339(bench.base), "BASE");
    expect![[r#"
        {
          "alerts": [
            {
              "labels": {
                "alertname": "Down",
                "copy": "a",
                "job": "a",
                "severity": "page"
              },
              "annotations": {
                "broken": "<error expanding template: execute template: can't evaluate field Nope>",
                "summary": "a is at 0.5"
              },
              "state": "firing",
              "activeAt": "BASE",
              "value": "5e-01"
            }
          ]
        }"#]]
    .assert_eq(&shown);
    bench.world.set("down", &[]);
    bench.minutes(1).await;
    assert_eq!(state(), "firing", "kept by keep_firing_for");
    bench.minutes(1).await;
    assert_eq!(state(), "inactive");
    bench.world.alerts.lock().clear();
    // The end is told again for fifteen minutes, every other minute since the delay must be over, then no more.
    bench.minutes(20).await;
    let again = bench.world.sent(bench.base);
    assert!(again.lines().count() >= 7 && again.lines().all(|l| l.contains(" 120..240 ")), "{again}");
    bench.minutes(5).await;
    assert_eq!(bench.world.sent(bench.base), "");
    let since = bench.base.millis() / 1000;
    let series = bench.world.written("ALERTS_FOR_STATE", bench.base).replace(&since.to_string(), "BASE");
    expect![[r#"
        0 ALERTS_FOR_STATE{alertname="Down", copy="a", job="a", severity="page"} BASE
        60 ALERTS_FOR_STATE{alertname="Down", copy="a", job="a", severity="page"} BASE
        120 ALERTS_FOR_STATE{alertname="Down", copy="a", job="a", severity="page"} BASE
        180 ALERTS_FOR_STATE{alertname="Down", copy="a", job="a", severity="page"} BASE
        240 ALERTS_FOR_STATE{alertname="Down", copy="a", job="a", severity="page"} stale
    "#]]
    .assert_eq(&series);
    let firing = bench.world.written("ALERTS", bench.base);
    assert_eq!(
        firing.matches("alertstate=\"pending\"").count(),
        3,
        "two samples and a stale marker: {firing}"
    );
    bench.manager.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_what_for_has_counted() {
    let text = "groups: [{name: g, rules: [{alert: Slow, expr: slow, for: 30m}]}]";
    let (world, clock) = (Arc::new(World::default()), clock());
    world.set("slow", &[(&[("job", "a")], 1.0)]);
    let first = Bench::start(Arc::clone(&world), Arc::clone(&clock), text).await;
    first.minutes(15).await;
    first.manager.stop().await;
    let stored = world.stored.lock().len();
    first.minutes(10).await;
    assert_eq!(world.stored.lock().len(), stored, "something was written after the stop");
    let second = Bench::start(Arc::clone(&world), clock, text).await;
    second.minutes(2).await;
    // Ten minutes and a bit nothing was evaluated; they do not count, the fifteen before do.
    let active_at = second.manager.alerts().alerts[0].active_at;
    let outage = second.base.since(first.base) - 15 * MINUTE;
    assert!((active_at.since(first.base) - outage).abs() <= 2 * MINUTE, "{active_at:?}");
    second.minutes(12).await;
    assert_eq!(second.manager.alerts().alerts[0].state, AlertState::Pending);
    second.minutes(5).await;
    assert_eq!(second.manager.alerts().alerts[0].state, AlertState::Firing);
    second.manager.stop().await;
}

#[tokio::test(start_paused = true)]
async fn limits_duplicates_and_refusals_are_errors_of_the_rule() {
    let world = Arc::new(World::default());
    world.set("two", &[(&[("a", "1")], 1.0), (&[("a", "2")], 1.0)]);
    let text = r"
groups:
  - {name: limited, limit: 1, rules: [{alert: A, expr: two}, {record: b, expr: two}]}
  - {name: same, rules: [{alert: A, expr: two, labels: {a: x}}, {record: b, expr: two, labels: {a: x}}]}
  - {name: refused, rules: [{record: refused, expr: two}]}
";
    let bench = Bench::start(world, clock(), text).await;
    bench.minutes(1).await;
    let mut errors = Vec::new();
    for group in bench.manager.rules().groups {
        for rule in group.rules {
            errors.push(match rule {
                RuleSnapshot::Alerting(rule) => rule.last_error,
                RuleSnapshot::Recording(rule) => rule.last_error,
            });
        }
    }
    expect![[r#"
        exceeded limit of 1 with 2 alerts
        exceeded limit of 1 with 2 series
        out of bounds
        vector contains metrics with the same labelset after applying alert labels
        vector contains metrics with the same labelset after applying rule labels"#]]
    .assert_eq(&errors.join("\n"));
    bench.manager.stop().await;
}

#[tokio::test(start_paused = true)]
async fn unchanged_groups_go_on_and_gone_groups_end() {
    let world = Arc::new(World::default());
    world.set("x", &[(&[], 1.0)]);
    let keep = "{name: keep, rules: [{alert: X, expr: x, for: 10m}]}";
    let gone = "{name: gone, rules: [{record: r, expr: x}]}";
    let bench = Bench::start(world, clock(), &format!("groups: [{keep}, {gone}]")).await;
    bench.minutes(2).await;
    let before = bench.manager.alerts();
    bench.apply(&format!("groups: [{keep}]")).await;
    assert_eq!(bench.manager.alerts(), before);
    bench.minutes(3).await;
    let written = bench.world.written("r", bench.base);
    assert!(written.trim_end().ends_with("stale"), "{written}");
    // A longer `for` replaces the group, and the alert's age survives.
    bench.apply("groups: [{name: keep, rules: [{alert: X, expr: x, for: 20m}]}]").await;
    bench.minutes(1).await;
    assert_eq!(bench.manager.alerts().alerts[0].active_at, before.alerts[0].active_at);
    bench.manager.stop().await;
}

fn refused(text: &str, expected: &Expect) {
    let error = rules(text).unwrap_err();
    expected.assert_eq(error.lines().next().unwrap_or_default());
}

#[test]
fn wrong_rule_files_say_why() {
    refused("groups: [{name: a}, {name: a}]", &expect![[r#"groupname: "a" is repeated in the same file"#]]);
    refused("groups: [{name: ''}]", &expect!["error: line 1 column 10: groupname must not be empty"]);
    refused(
        "groups: [{name: a, rules: [{expr: up}]}]",
        &expect!["error: line 1 column 28: one of 'record' or 'alert' must be set"],
    );
    refused(
        "groups: [{name: a, rules: [{expr: up, record: a, alert: b}]}]",
        &expect!["error: line 1 column 28: only one of 'record' and 'alert' must be set"],
    );
    refused(
        "groups: [{name: a, rules: [{record: a}]}]",
        &expect![[r#"error: line 1 column 28: rule "a": field 'expr' must be set in rule"#]],
    );
    refused(
        "groups: [{name: a, rules: [{record: a, expr: up, for: 1m}]}]",
        &expect![[r#"error: line 1 column 28: recording rule "a": invalid field 'for' in recording rule"#]],
    );
    refused(
        "groups: [{name: a, rules: [{alert: a, expr: up, labels: {__name__: x}}]}]",
        &expect![[r#"error: line 1 column 28: rule "a": invalid label name: "__name__""#]],
    );
    refused(
        "groups: [{name: a, rules: [{alert: a, expr: up, annotations: {x: '{{ $y '}}]}]",
        &expect![[
            r#"error: line 1 column 28: rule "a", annotation "x": parse template: line 1: unclosed action"#
        ]],
    );
    refused(
        "groups: [{name: a, rules: [{alert: a, expr: up, fro: 1m}]}]",
        &expect![
            "error: line 1 column 49: unknown field `fro`, expected one of record, alert, expr, for, keep_firing_for, labels, annotations"
        ],
    );
    refused(
        "groups: [{name: a, rules: [{alert: a, expr: 'sum(up'}]}]",
        &expect![[
            r#"error: line 1 column 28: rule "a": could not parse expression: 1:7: parse error: unclosed left parenthesis"#
        ]],
    );
    refused(
        "groups: [{name: a, interval: soon}]",
        &expect![[r#"error: line 1 column 30: not a valid duration string: "soon""#]],
    );
}

#[tokio::test(start_paused = true)]
async fn a_manager_can_be_used_from_any_task() {
    let world = Arc::new(World::default());
    world.set("x", &[(&[], 1.0)]);
    let bench = Bench::start(world, clock(), "groups: [{name: g, rules: [{record: r, expr: x}]}]").await;
    let manager = Arc::new(bench.manager);
    let stopped = tokio::spawn(async move {
        manager.apply(Vec::new(), settings(1, "eu")).await.unwrap();
        manager.stop().await;
        manager.rules().groups.len()
    });
    assert_eq!(stopped.await.unwrap(), 0);
}
