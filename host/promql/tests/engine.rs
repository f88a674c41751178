//! What callers of the engine rely on besides values: limits, cancellation, error types, order, annotations.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use expect_test::{Expect, expect};
use model::{Labels, Timestamp, Value};
use promql::script::MemoryStorage;
use promql::{Engine, EngineOptions, QueryControl, QueryError, QueryResult, QueryValue};

/// Two counters that rise by 1 and 2 per second over ten minutes, sampled every 15 s.
fn storage() -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    for (name, instance, slope) in [("a_total", "x", 1.0), ("a_total", "y", 2.0), ("b", "x", 3.0)] {
        let labels = Labels::from_pairs([("__name__", name), ("instance", instance)]);
        for step in 0..40 {
            let time = Timestamp::from_millis(step * 15_000);
            storage.put(&labels, time, Value::Float(slope * 15.0 * step as f64));
        }
    }
    storage
}

fn instant(query: &str) -> Result<QueryResult, QueryError> {
    let engine = Engine::new(EngineOptions::prometheus_defaults());
    engine.instant(&storage(), query, Timestamp::from_millis(300_000), &QueryControl::default())
}

fn check(query: &str, expected: &Expect) {
    let text = match instant(query) {
        Err(error) => format!("{}: {error}", error.error_type()),
        Ok(QueryResult { value: QueryValue::Vector(samples), .. }) => {
            samples.iter().map(|s| format!("{} {:?}", s.labels, s.value)).collect::<Vec<_>>().join("\n")
        }
        Ok(result) => format!("{:?}", result.value),
    };
    expected.assert_eq(&text);
}

#[test]
fn vectors_come_in_the_order_of_labels_or_of_the_sort() {
    check(
        "a_total + 1",
        &expect![[r#"
            {instance="x"} Float(301.0)
            {instance="y"} Float(601.0)"#]],
    );
    check(
        "sort_desc(a_total)",
        &expect![[r#"
            a_total{instance="y"} Float(600.0)
            a_total{instance="x"} Float(300.0)"#]],
    );
}

#[test]
fn errors_have_the_types_of_the_api() {
    check("a_total +", &expect!["bad_data: 1:10: parse error: unexpected end of input"]);
    check(
        "rate({__name__=~\"a_total|b\"}[1m])",
        &expect!["execution: vector cannot contain metrics with the same labelset"],
    );
    check(
        "a_total / on (instance) {__name__=~\"a_total|b\"}",
        &expect![[
            r#"execution: found duplicate series for the match group {instance="x"} on the right hand-side of the operation: [{__name__="b", instance="x"}, {__name__="a_total", instance="x"}];many-to-many matching not allowed: matching labels must be unique on one side"#
        ]],
    );
}

#[test]
fn annotations_say_where() {
    let result = instant("1 + rate(b[1m])").unwrap();
    expect![[r#"
        [
            "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"b\" (1:10)",
        ]
    "#]]
    .assert_debug_eq(&result.infos);
    assert!(result.warnings.is_empty());
    assert!(result.stats.samples_read > 0 && result.stats.peak_samples > 0);
}

#[test]
fn range_queries_answer_every_step_and_sort_by_labels() {
    let engine = Engine::new(EngineOptions::prometheus_defaults());
    let (start, end) = (Timestamp::from_millis(60_000), Timestamp::from_millis(180_000));
    let control = QueryControl::default();
    let result = engine.range(&storage(), "sort_desc(a_total)", start, end, 60_000, &control).unwrap();
    let QueryValue::Matrix(series) = result.value else { panic!("no matrix") };
    let values: Vec<Vec<f64>> = series.iter().map(|s| s.floats.iter().map(|f| f.value).collect()).collect();
    assert_eq!(values, [[60.0, 120.0, 180.0], [120.0, 240.0, 360.0]]);
    assert!(engine.range(&storage(), "a_total", end, start, 60_000, &control).is_err());
    assert!(engine.range(&storage(), "a_total", start, end, 0, &control).is_err());
    assert!(engine.range(&storage(), "a_total[5m]", start, end, 60_000, &control).is_err());
}

#[test]
fn a_query_ends_when_it_is_told_to() {
    let engine = Engine::new(EngineOptions::prometheus_defaults());
    let at = Timestamp::from_millis(300_000);
    let canceled = Arc::new(AtomicBool::new(false));
    let control = QueryControl { canceled: Arc::clone(&canceled), ..QueryControl::default() };
    assert!(engine.instant(&storage(), "a_total", at, &control).is_ok());
    canceled.store(true, Ordering::Relaxed);
    assert!(matches!(engine.instant(&storage(), "a_total", at, &control), Err(QueryError::Canceled)));
    let control = QueryControl { deadline: Some(Instant::now()), ..QueryControl::default() };
    assert!(matches!(engine.instant(&storage(), "a_total", at, &control), Err(QueryError::Timeout)));
}

#[test]
fn a_query_cannot_exceed_its_budget() {
    let engine = Engine::new(EngineOptions { samples_max: 50, ..EngineOptions::prometheus_defaults() });
    let at = Timestamp::from_millis(600_000);
    let control = QueryControl::default();
    assert!(engine.instant(&storage(), "sum(a_total)", at, &control).is_ok());
    let (start, end) = (Timestamp::EPOCH, at);
    let wide = engine.range(&storage(), "a_total", start, end, 15_000, &control);
    assert!(matches!(wide, Err(QueryError::TooManySamples)), "{wide:?}");
}

#[test]
fn a_query_cannot_exceed_its_memory() {
    let engine = Engine::new(EngineOptions { bytes_max: 2000, ..EngineOptions::prometheus_defaults() });
    let (start, end) = (Timestamp::EPOCH, Timestamp::from_millis(600_000));
    let control = QueryControl::default();
    let run = |query, step_ms| engine.range(&storage(), query, start, end, step_ms, &control);
    // Forty samples of sixteen bytes are read at a time, and three steps of two series held.
    let stats = run("a_total", 300_000).unwrap().stats;
    assert_eq!((stats.peak_samples, stats.peak_bytes), (40 + 3, 40 * 16 + 3 * 8));
    let fine = run("a_total", 1000);
    assert!(matches!(fine, Err(QueryError::TooMuchMemory)), "{fine:?}");
}

#[test]
fn extreme_times_are_survived() {
    let engine = Engine::new(EngineOptions::prometheus_defaults());
    let control = QueryControl::default();
    let queries = [
        "a_total",
        "rate(a_total[5m])",
        "rate(a_total[290y] offset -290y)",
        "predict_linear(a_total[5m] @ 300, 60)",
        "increase(a_total[100y] smoothed)",
        "max_over_time(a_total[100y:50y])",
        "max_over_time(a_total[1h:1m] @ 9e15 offset 290y)",
        "range() + step() + time()",
    ];
    for query in queries {
        for at in [Timestamp::MIN, Timestamp::EPOCH, Timestamp::from_millis(300_000), Timestamp::MAX] {
            assert!(engine.instant(&storage(), query, at, &control).is_ok(), "{query} at {at:?}");
        }
    }
    // Trillions of steps are refused before anything is allocated for them.
    let at = Timestamp::from_millis(300_000);
    let endless = engine.instant(&storage(), "max_over_time(a_total[100y:1ms])", at, &control);
    assert!(matches!(endless, Err(QueryError::TooManySamples)), "{endless:?}");
}

#[test]
fn the_lookback_can_be_set_by_the_query() {
    let engine = Engine::new(EngineOptions::prometheus_defaults());
    let at = Timestamp::from_millis(700_000);
    let lookback = |lookback| {
        let control = QueryControl { lookback, ..QueryControl::default() };
        match engine.instant(&storage(), "b", at, &control).unwrap().value {
            QueryValue::Vector(samples) => samples.len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(lookback(None), 1);
    assert_eq!(lookback(Some(Duration::from_secs(60))), 0);
}

#[test]
fn start_timestamps_count_only_where_they_are_wanted() {
    let mut storage = MemoryStorage::default();
    let labels = Labels::from_pairs([("__name__", "c_total")]);
    for step in 1..=2 {
        let time = Timestamp::from_millis(step * 60_000);
        storage.put_started(&labels, time, Value::Float(step as f64), time.offset(-1000));
    }
    let resets = |use_start_timestamps| {
        let options = EngineOptions { use_start_timestamps, ..EngineOptions::prometheus_defaults() };
        let at = Timestamp::from_millis(120_000);
        let run = |query| Engine::new(options).instant(&storage, query, at, &QueryControl::default());
        assert_eq!(run("start_timestamp(c_total)").is_ok(), use_start_timestamps);
        match run("resets(c_total[5m])").unwrap().value {
            QueryValue::Vector(samples) => samples[0].value.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(resets(false), Value::Float(0.0));
    assert_eq!(resets(true), Value::Float(1.0));
}

/// Counters that fall back now and then, with gaps.
fn many(count: usize) -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    let mut noise: u64 = 1;
    for series in 0..count {
        let labels = Labels::from_pairs([
            ("__name__", if series % 3 == 0 { "m_total".to_owned() } else { "n".to_owned() }),
            ("instance", format!("i{series}")),
            ("job", format!("j{}", series % 7)),
        ]);
        let mut value = 0.1;
        for step in 0..60 {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            value += (noise >> 40) as f64 * 1e-3;
            if noise >> 60 == 0 {
                value = 0.3;
            }
            if noise >> 59 != 1 {
                storage.put(&labels, Timestamp::from_millis(step * 15_000), Value::Float(value));
            }
        }
    }
    storage
}

#[test]
fn answers_do_not_depend_on_the_number_of_threads() {
    let storage = many(300);
    let queries = [
        "{job=~\".+\"}",
        "sum by (job) (rate({job=~\".+\"}[2m]))",
        "avg(rate(n[2m]))",
        "avg_over_time({job=~\".+\"}[7m])",
        "topk(3, m_total)",
        "timestamp(n)",
        "n smoothed",
        "increase(m_total[3m] anchored)",
        "max_over_time(rate(n[1m])[5m:15s])",
        "count_values(\"v\", changes(n[5m]))",
        "rate({job=~\".+\"}[2m]) > 1 or m_total",
    ];
    for query in queries {
        let run = |threads| {
            let options = EngineOptions { threads, ..EngineOptions::prometheus_defaults() };
            let (start, end) = (Timestamp::from_millis(60_000), Timestamp::from_millis(850_000));
            let control = QueryControl::default();
            let result = Engine::new(options).range(&storage, query, start, end, 10_000, &control).unwrap();
            format!("{:?} {:?} {:?}", result.value, result.warnings, result.infos)
        };
        let alone = run(1);
        assert!(alone.len() > 1000, "{query}: {alone}");
        for threads in [2, 3, 8] {
            assert_eq!(run(threads), alone, "{query} with {threads} threads");
        }
    }
}

#[test]
fn limits_hold_on_many_threads() {
    let storage = many(300);
    let (start, end) = (Timestamp::from_millis(60_000), Timestamp::from_millis(850_000));
    let run = |samples_max, control: &QueryControl| {
        let options = EngineOptions { threads: 4, samples_max, ..EngineOptions::prometheus_defaults() };
        Engine::new(options).range(&storage, "rate({job=~\".+\"}[2m])", start, end, 10_000, control)
    };
    let control = QueryControl::default();
    assert!(run(50_000, &control).is_ok());
    assert!(matches!(run(5_000, &control), Err(QueryError::TooManySamples)));
    let late = QueryControl { deadline: Some(Instant::now()), ..QueryControl::default() };
    assert!(matches!(run(50_000, &late), Err(QueryError::Timeout)));
    control.canceled.store(true, Ordering::Relaxed);
    assert!(matches!(run(50_000, &control), Err(QueryError::Canceled)));
}

#[test]
fn what_is_written_twice_is_read_once() {
    let read = |query: &str| instant(query).unwrap().stats.samples_read;
    let (vector, rates) = (read("a_total"), read("rate(a_total[5m])"));
    assert!(vector > 0 && rates > 0);
    assert_eq!(read("a_total / a_total"), vector);
    assert_eq!(read("(a_total) / (a_total)"), vector);
    assert_eq!(read("rate(a_total[5m]) / rate(a_total[5m])"), rates);
    assert_eq!(read("sum(rate(a_total[5m])) / (1 + sum(rate(a_total[5m])))"), rates);
    assert_eq!(read("(a_total / a_total) + (a_total / a_total) + a_total"), vector);
    // Inputs of aggregations pass through series by series, and are not held for later.
    assert_eq!(read("sum(a_total) / count(a_total)"), 2 * vector);
    // A subquery looks at other times.
    assert!(read("max_over_time(sum(a_total)[2m:1m]) + sum(a_total)") > vector);
}

#[test]
fn what_is_written_twice_has_the_same_answer() {
    check(
        "a_total - a_total + a_total",
        &expect![[r#"
            {instance="x"} Float(300.0)
            {instance="y"} Float(600.0)"#]],
    );
    check(
        "max_over_time(sum(a_total)[2m:1m]) - sum(a_total) + sum(a_total offset 1m)",
        &expect!["{} Float(720.0)"],
    );
    check(
        "sum(a_total @ 60) + sum(a_total) - sum(a_total @ 60) + (sum(a_total @ 60) + sum(a_total))",
        &expect!["{} Float(1980.0)"],
    );
    check(
        r#"a_total / a_total{instance="x"} or a_total{instance="x"} / a_total{instance="x"} * 2"#,
        &expect![[r#"{instance="x"} Float(1.0)"#]],
    );
}

#[test]
fn only_series_that_can_find_a_partner_are_read() {
    let read = |query: &str| instant(query).unwrap().stats.samples_read;
    assert_eq!(read(r#"a_total + on (instance) a_total{instance="x"}"#), read(r#"a_total{instance="x"}"#));
    assert_eq!(read(r#"a_total and b"#), read("a_total") + read("b"));
}

/// Nothing moves across `or`, so that `(x or x)` is `x` with every series read.
#[test]
fn moving_matchers_changes_no_answer() {
    let storage = many(70);
    let sides = [
        r#"n{job="j1"}"#,
        r#"m_total{job=~"j[12]",instance!="i15"}"#,
        r#"rate(n{instance=~"i1.*"}[2m])"#,
        r#"sum by (job) (m_total{job!="j3"})"#,
        r#"topk by (job) (2, n{instance=~"i.*5"})"#,
        r#"label_replace(n{job="j1"}, "job", "j2", "", "")"#,
        r#"(n + on (instance, job) n{job="j4"})"#,
        r#"(max_over_time(n{job="j1"}[3m:1m]) > 2)"#,
    ];
    let operators = [
        "+",
        "> bool",
        "and",
        "unless",
        "or",
        "+ on (job)",
        "* on (job) group_left ()",
        "/ on (job) group_right (instance)",
        "and on (job)",
        "unless on (instance)",
        "- ignoring (instance) group_left ()",
        "+ fill (0)",
    ];
    let (mut answers, mut errors) = (0, 0);
    for delayed_name_removal in [false, true] {
        let options = EngineOptions { delayed_name_removal, ..EngineOptions::prometheus_defaults() };
        let engine = Engine::new(options);
        let run = |query: &str| {
            let at = Timestamp::from_millis(600_000);
            let result = engine.instant(&storage, query, at, &QueryControl::default());
            result.map(|r| format!("{:?}", r.value)).map_err(|e| e.to_string())
        };
        for operator in operators {
            for (left, right) in sides.iter().flat_map(|l| sides.iter().map(move |r| (l, r))) {
                let query = format!("{left} {operator} {right}");
                let found = run(&query);
                let wanted = run(&format!("({left} or {left}) {operator} ({right} or {right})"));
                *(if found.is_ok() { &mut answers } else { &mut errors }) += 1;
                assert_eq!(found.is_ok(), wanted.is_ok(), "{query}: {found:?} for {wanted:?}");
                assert!(found.is_err() || found == wanted, "{query}: {found:?} for {wanted:?}");
            }
        }
    }
    assert!(answers > errors && errors > 0, "{answers} answers, {errors} errors");
}
