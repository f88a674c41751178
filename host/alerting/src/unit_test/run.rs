//! Runs the tests of a file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{Append, Labels, Timestamp, Value, format_duration};
use promql::{Engine, EngineOptions};

use super::compare::{self, alerts, diff, indent, same_samples, samples};
use super::file::{AlertTest, ExprTest, TestFile, TestGroup};
use super::storage::{World, Written};
use crate::query::{Query, rule_vector};
use crate::rules::{ManualRules, RuleFile, RuleSettings};

/// How tests are run.
#[derive(Debug, Clone)]
pub struct TestOptions {
    /// Of the engine; the step of subqueries is the test's evaluation interval.
    pub engine: EngineOptions,
    /// Whether what is wrong with alerts is told as a difference of lines.
    pub diff: bool,
}

/// How a test went.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its name, or `unnamed#N`, with its place in the file.
    pub name: String,
    /// What did not come out as written.
    pub failures: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl TestFile {
    /// Runs the tests whose names pass, over rule files that were read already.
    ///
    /// # Errors
    /// What is wrong with the file as a whole.
    pub async fn run(
        &self,
        rules: &[(String, RuleFile)],
        options: &TestOptions,
        pass: impl Fn(&str) -> bool,
    ) -> Result<Vec<Outcome>, String> {
        let mut names = BTreeSet::new();
        if let Some(name) = self.group_eval_order.iter().find(|name| !names.insert(*name)) {
            return Err(format!("group name repeated in evaluation order: {name}"));
        }
        let mut outcomes = Vec::new();
        for (index, test) in self.tests.iter().enumerate() {
            if !pass(&test.name) {
                continue;
            }
            let started = std::time::Instant::now();
            let name = if test.name.is_empty() { format!("unnamed#{index}") } else { test.name.clone() };
            let run = Run { file: self, test, options, interval: self.evaluation_interval() };
            let failures = run.all(rules).await.unwrap_or_else(|error| vec![error]);
            outcomes.push(Outcome { name, failures, took: started.elapsed() });
        }
        Ok(outcomes)
    }
}

/// One test.
struct Run<'a> {
    file: &'a TestFile,
    test: &'a TestGroup,
    options: &'a TestOptions,
    interval: Duration,
}

/// `2m30s`, with zero as Prometheus writes it.
fn elapsed(time: Duration) -> String {
    format_duration(time)
}

impl Run<'_> {
    fn start(&self) -> Timestamp {
        self.test.start_timestamp.0
    }

    /// The series with the times of their values.
    fn series(&self) -> Result<Vec<Written>, String> {
        let step = Some(self.test.interval.0).filter(|step| !step.is_zero()).unwrap_or(self.interval);
        let step_ms = i64::try_from(step.as_millis()).unwrap_or(i64::MAX);
        let mut all = Vec::with_capacity(self.test.input_series.len());
        for input in &self.test.input_series {
            let (labels, values) = promql::script::parse_series(&input.series, &input.values)
                .map_err(|error| format!("    series {:?}: {error}", input.series))?;
            let at = |step: usize| self.start().offset(step_ms.saturating_mul(step as i64));
            let values = values.into_iter().enumerate();
            all.push((labels, values.filter_map(|(step, value)| Some((at(step), value?))).collect()));
        }
        Ok(all)
    }

    fn end(&self) -> Duration {
        let alerts = self.test.alert_rule_test.iter().map(|test| test.eval_time.0);
        let exprs = self.test.promql_expr_test.iter().map(|test| test.eval_time.0);
        alerts.chain(exprs).max().unwrap_or_default()
    }

    async fn all(&self, rules: &[(String, RuleFile)]) -> Result<Vec<String>, String> {
        let engine = EngineOptions { default_subquery_step: self.interval, ..self.options.engine };
        let world = Arc::new(World::new(Engine::new(engine), self.series()?));
        let settings = RuleSettings {
            interval: self.interval,
            query_offset: Duration::ZERO,
            external_labels: Labels::from_pairs(&self.test.external_labels),
        };
        let (query, storage) = (Arc::clone(&world) as Arc<dyn Query>, Arc::clone(&world) as Arc<dyn Append>);
        let mut groups = ManualRules::new(rules, settings, self.test.external_url.clone(), query, storage)
            .map_err(|error| format!("    {error}"))?;
        groups.order(&self.file.group_eval_order);

        let mut due: BTreeMap<Duration, Vec<&AlertTest>> = BTreeMap::new();
        for test in &self.test.alert_rule_test {
            if test.alertname.is_empty() {
                return Err(format!(
                    "    an item under alert_rule_test misses required attribute alertname at eval_time {}{}",
                    elapsed(test.eval_time.0),
                    self.name_note()
                ));
            }
            due.entry(test.eval_time.0).or_default().push(test);
        }
        let mut failures = Vec::new();
        let mut now = Duration::ZERO;
        while now <= self.end() {
            let at = self.start() + now;
            world.advance(at);
            let failed = groups.evaluate(at).await;
            if !failed.is_empty() {
                failures.extend(failed.into_iter().map(|(rule, error)| {
                    // The one place where promtool writes a duration in Go's own way.
                    let time = crate::template::go_duration(now);
                    format!("    rule: {rule}, time: {time}, err: {error}")
                }));
                return Ok(failures);
            }
            // Alerts are looked at as the last evaluation before their time has left them.
            while due.first_key_value().is_some_and(|(time, _)| *time < now + self.interval) {
                for test in due.pop_first().into_iter().flat_map(|(_, tests)| tests) {
                    failures.extend(self.check_alerts(&groups, test));
                }
            }
            now += self.interval;
        }
        for test in &self.test.promql_expr_test {
            failures.extend(self.check_expr(&world, test));
        }
        Ok(failures)
    }

    fn name_note(&self) -> String {
        if self.test.name.is_empty() { String::new() } else { format!(" (in TestGroup {})", self.test.name) }
    }

    fn check_alerts(&self, groups: &ManualRules, test: &AlertTest) -> Option<String> {
        let mut got: Vec<(Labels, Labels)> = groups
            .firing(&test.alertname)
            .into_iter()
            .map(|alert| (alert.labels, alert.annotations))
            .collect();
        let mut expected: Vec<(Labels, Labels)> = test
            .exp_alerts
            .iter()
            .map(|alert| {
                let mut labels = alert.exp_labels.clone().unwrap_or_default();
                labels.insert("alertname".to_owned(), test.alertname.clone());
                (Labels::from_pairs(&labels), Labels::from_pairs(alert.exp_annotations.iter().flatten()))
            })
            .collect();
        got.sort();
        expected.sort();
        if got == expected {
            return None;
        }
        let name = if self.test.name.is_empty() {
            String::new()
        } else {
            format!("    name: {},\n", self.test.name)
        };
        let head =
            format!("{name}    alertname: {}, time: {}, \n", test.alertname, elapsed(test.eval_time.0));
        let by = "            ";
        Some(if self.options.diff {
            format!(
                "{head}        diff: {}",
                indent(&format!("\n{}", diff(&alerts(&expected), &alerts(&got))), by)
            )
        } else {
            let (expected, got) = (indent(&alerts(&expected), by), indent(&alerts(&got), by));
            format!("{head}        exp:{expected}, \n        got:{got}")
        })
    }

    fn check_expr(&self, world: &World, test: &ExprTest) -> Option<String> {
        let head =
            format!("    expr: {}, time: {}", crate::template::quote(&test.expr), elapsed(test.eval_time.0));
        let failed = |error: String| Some(format!("{head}, err: {error}"));
        let found = match world.evaluate(&test.expr, self.start() + test.eval_time.0) {
            Ok(result) => rule_vector(result.value),
            Err(error) => return failed(error.to_string()),
        };
        let mut got = match found {
            Ok(vector) => vector
                .into_iter()
                .map(|(labels, value)| compare::Observed::new(labels, &value))
                .collect::<Vec<_>>(),
            Err(error) => return failed(error.to_string()),
        };
        let mut expected = Vec::with_capacity(test.exp_samples.len());
        for sample in &test.exp_samples {
            match expected_sample(&sample.labels, sample.value, &sample.histogram) {
                Ok(sample) => expected.push(sample),
                Err(error) => {
                    return failed(format!("labels {}: {error}", crate::template::quote(&sample.labels)));
                }
            }
        }
        if same_samples(&mut expected, &mut got, self.file.fuzzy_compare) {
            return None;
        }
        Some(format!("{head},\n        exp: {}\n        got: {}", samples(&expected), samples(&got)))
    }
}

fn expected_sample(labels: &str, value: f64, histogram: &str) -> Result<compare::Observed, String> {
    let labels = promql::script::parse_metric(labels)?;
    if histogram.is_empty() {
        return Ok(compare::Observed::new(labels, &Value::Float(value)));
    }
    let (_, values) = promql::script::parse_series("{}", histogram)?;
    match values.as_slice() {
        [Some(value @ Value::Histogram(_))] => Ok(compare::Observed::new(labels, value)),
        [_] => Err(format!("expected histogram, got float: {histogram:?}")),
        values => Err(format!("expected 1 value, got {}", values.len())),
    }
}
