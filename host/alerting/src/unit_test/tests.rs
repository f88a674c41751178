//! Test files, and what comes of them.

use expect_test::{Expect, expect};

use super::*;
use crate::rules::RuleFile;

const RULES: &str = r#"
groups:
- name: second
  rules:
  - {record: "job:up:sum:doubled", expr: "job:up:sum * 2"}
- name: first
  rules:
  - {record: "job:up:sum", expr: "sum by (job) (up)"}
  - {record: "latency:sum", expr: "sum(latency)"}
  - alert: Down
    expr: up == 0
    for: 5m
    labels: {severity: page}
    annotations:
      summary: "{{ $labels.instance }} in {{ $externalLabels.region }} at {{ $externalURL }}"
      others: '{{ with query "sum(up)" }}{{ . | first | value }}{{ end }} up'
"#;

async fn run(test: &str, diff: bool) -> String {
    let rules: RuleFile = serde_saphyr::from_str(RULES).unwrap();
    let file: TestFile = serde_saphyr::from_str(test).unwrap();
    let options = TestOptions { engine: promql::EngineOptions::prometheus_defaults(), diff };
    match file.run(&[("rules.yml".to_owned(), rules)], &options, |_| true).await {
        Err(error) => error,
        Ok(outcomes) => {
            let lines = outcomes.iter().map(|outcome| {
                let failures = outcome.failures.iter().map(|failure| format!("\n{failure}"));
                format!("{}: {}{}\n", outcome.name, outcome.failures.len(), failures.collect::<String>())
            });
            lines.collect()
        }
    }
}

async fn check(test: &str, expected: Expect) {
    expected.assert_eq(&run(test, false).await);
}

const SERIES: &str = r#"
  input_series:
  - {series: 'up{job="a", instance="i1"}', values: '0x20'}
  - {series: 'up{job="a", instance="i2"}', values: '1x9 _ stale 1x8'}
  - {series: 'latency', values: '{{schema:1 count:2 sum:3 buckets:[2]}}+{{schema:1 count:1 sum:1 buckets:[1]}}x5'}
"#;

#[tokio::test]
async fn what_is_expected_comes() {
    let test = format!(
        r#"
group_eval_order: [first, second]
tests:
- name: good
  interval: 1m
  external_labels: {{region: eu}}
  external_url: http://host/path
{SERIES}
  alert_rule_test:
  - {{eval_time: 4m59s, alertname: Down}}
  - eval_time: 5m
    alertname: Down
    exp_alerts:
    - exp_labels: {{severity: page, job: a, instance: i1}}
      exp_annotations: {{summary: "i1 in eu at http://host/path", others: "1 up"}}
  promql_expr_test:
  - {{expr: 'job:up:sum', eval_time: 3m, exp_samples: [{{labels: 'job:up:sum{{job="a"}}', value: 1}}]}}
  - {{expr: 'job:up:sum:doubled', eval_time: 3m, exp_samples: [{{labels: 'job:up:sum:doubled{{job="a"}}', value: 2}}]}}
  - {{expr: 'up{{instance="i2"}}', eval_time: 11m}}
  - {{expr: 'time()', eval_time: 11m, exp_samples: [{{labels: '{{}}', value: 660}}]}}
  - expr: 'latency:sum'
    eval_time: 2m
    exp_samples: [{{labels: 'latency:sum', histogram: '{{{{schema:1 count:4 sum:5 counter_reset_hint:not_reset buckets:[4]}}}}'}}]
- start_timestamp: 2021-01-01T00:00:00Z
  promql_expr_test:
  - {{expr: 'time()', eval_time: 1s, exp_samples: [{{labels: '{{}}', value: 1609459201}}]}}
"#
    );
    check(
        &test,
        expect![[r#"
        good: 0
        unnamed#1: 0
    "#]],
    )
    .await;
}

#[tokio::test]
async fn what_is_not_expected_is_told_as_promtool_does() {
    let test = format!(
        r#"
tests:
- name: bad
{SERIES}
  alert_rule_test:
  - {{eval_time: 5m, alertname: Down, exp_alerts: [{{exp_labels: {{severity: ticket}}}}]}}
  promql_expr_test:
  - {{expr: 'sum("a")', eval_time: 1m}}
  - {{expr: 'up[5m]', eval_time: 1m}}
  - {{expr: 'up', eval_time: 90s, exp_samples: [{{labels: 'up{{job="a", instance="i1"}}', value: 1e-7}}]}}
"#
    );
    check(&test, expect![[r#"
        bad: 4
            name: bad,
            alertname: Down, time: 5m, 
                exp:[
                    0:
                      Labels:{alertname="Down", severity="ticket"}
                      Annotations:{}
                    ], 
                got:[
                    0:
                      Labels:{alertname="Down", instance="i1", job="a", severity="page"}
                      Annotations:{others="1 up", summary="i1 in  at "}
                    ]
            expr: "sum(\"a\")", time: 1m, err: 1:5: parse error: expected type instant vector in aggregation expression, got string
            expr: "up[5m]", time: 1m, err: rule result is not a vector or scalar
            expr: "up", time: 1m30s,
                exp: {__name__="up", instance="i1", job="a"} 1E-07
                got: {__name__="up", instance="i1", job="a"} 0E+00, {__name__="up", instance="i2", job="a"} 1E+00
    "#]])
    .await;
    let diff = run(&test, true).await;
    assert!(diff.contains("-   Labels:{alertname=\"Down\", severity=\"ticket\"}"), "{diff}");
}

#[tokio::test]
async fn mistakes_in_the_file_are_told() {
    check("{group_eval_order: [a, a], tests: []}", expect!["group name repeated in evaluation order: a"])
        .await;
    check(
        "tests: [{alert_rule_test: [{eval_time: 1m}]}]",
        expect![[r#"
            unnamed#0: 1
                an item under alert_rule_test misses required attribute alertname at eval_time 1m
        "#]],
    )
    .await;
    check(
        "tests: [{input_series: [{series: 'a{', values: '1'}]}]",
        expect![[r#"
            unnamed#0: 1
                series "a{": 1:3: parse error: unexpected end of input inside braces
        "#]],
    )
    .await;
    assert!(serde_saphyr::from_str::<TestFile>("{test: []}").is_err());
}

#[tokio::test]
async fn the_last_bit_may_be_off_where_the_file_says_so() {
    let test = |fuzzy: bool| {
        format!(
            "{{fuzzy_compare: {fuzzy}, tests: [{{promql_expr_test: [{{expr: '0.1 + 0.2', eval_time: 0s, \
             exp_samples: [{{labels: '{{}}', value: 0.3}}]}}]}}]}}"
        )
    };
    assert_eq!(run(&test(true), false).await, "unnamed#0: 0\n");
    assert!(run(&test(false), false).await.starts_with("unnamed#0: 1\n"));
}
