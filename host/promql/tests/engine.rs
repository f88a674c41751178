//! What callers of the engine rely on besides values: limits, cancellation, error types, order, annotations.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use expect_test::{Expect, expect};
use model::{Labels, Timestamp, Value};
use promql::script::MemoryStorage;
use promql::{
    Engine, EngineOptions, Features, MatrixSeries, MemoryPool, QueryControl, QueryError, QueryResult,
    QueryValue, Times, ValueType,
};

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

/// As a server with everything enabled that needs it, names dropped at once, no start timestamps.
fn whole_language() -> EngineOptions {
    let features = Features { use_start_timestamps: false, ..Features::LANGUAGE };
    EngineOptions { features, ..EngineOptions::prometheus_defaults() }
}

fn instant(query: &str) -> Result<QueryResult, QueryError> {
    let engine = Engine::new(whole_language());
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
    let engine = Engine::new(whole_language());
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
    let engine = Engine::new(whole_language());
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
    let engine = Engine::new(EngineOptions { samples_max: 50, ..whole_language() });
    let at = Timestamp::from_millis(600_000);
    let control = QueryControl::default();
    assert!(engine.instant(&storage(), "sum(a_total)", at, &control).is_ok());
    let (start, end) = (Timestamp::EPOCH, at);
    let wide = engine.range(&storage(), "a_total", start, end, 15_000, &control);
    assert!(matches!(wide, Err(QueryError::TooManySamples)), "{wide:?}");
}

#[test]
fn a_query_cannot_exceed_its_memory() {
    let engine = Engine::new(EngineOptions { bytes_max: 2000, ..whole_language() });
    let (start, end) = (Timestamp::EPOCH, Timestamp::from_millis(600_000));
    let control = QueryControl::default();
    let run = |query, step_ms| engine.range(&storage(), query, start, end, step_ms, &control);
    // Forty samples of sixteen bytes are read at a time, and three steps of two series held.
    let stats = run("a_total", 300_000).unwrap().stats;
    assert_eq!(stats.peak_samples, 40 + 3);
    // Labels and what reads the series come on top.
    assert!(stats.peak_bytes > 40 * 16 + 3 * 8, "{}", stats.peak_bytes);
    let fine = run("a_total", 1000);
    assert!(matches!(fine, Err(QueryError::TooMuchMemory { .. })), "{fine:?}");
}

#[test]
fn extreme_times_are_survived() {
    let engine = Engine::new(whole_language());
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
    let engine = Engine::new(whole_language());
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
        let features = Features { use_start_timestamps, ..Features::LANGUAGE };
        let options = EngineOptions { features, ..whole_language() };
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
        "n * on (instance) (n offset 1m)",
        "n > bool ignoring (job) (n offset 1m)",
        "n * on (job) group_left avg by (job) (m_total)",
        "avg by (job) (m_total) - on (job) group_right n",
        "n > on (job) group_left avg by (job) (n)",
        "n / on (instance) fill (1) (n offset 3m > 5)",
        "n and on (instance) (n offset 5m > 10)",
        "n unless on (job, instance) (n > 20)",
        "n or on (instance) {job=~\".+\"}",
        "histogram_quantile(0.9, label_replace(n, \"le\", \"1\", \"\", \"\") or label_replace(n, \"le\", \"Inf\", \"\", \"\"))",
    ];
    let run = |query, threads| {
        let options = EngineOptions { threads, ..whole_language() };
        let (start, end) = (Timestamp::from_millis(60_000), Timestamp::from_millis(850_000));
        let control = QueryControl::default();
        let result = Engine::new(options).range(&storage, query, start, end, 10_000, &control)?;
        Ok::<_, QueryError>(format!("{:?} {:?} {:?}", result.value, result.warnings, result.infos))
    };
    for query in queries {
        let alone = run(query, 1).unwrap();
        assert!(alone.len() > 1000, "{query}: {alone}");
        for threads in [2, 3, 8] {
            assert_eq!(run(query, threads).unwrap(), alone, "{query} with {threads} threads");
        }
    }
    for query in [
        "n + on (job) n",
        "n + on (job) group_left {job=~\".+\"}",
        "n + on (job) group_left m_total",
        "n + on (job) group_left (instance) label_replace(avg by (job) (n), \"instance\", \"\", \"\", \"\")",
    ] {
        let [alone, together] = [1, 4].map(|threads| run(query, threads).map_err(|error| error.to_string()));
        assert_eq!(together, alone, "{query}");
        assert!(alone.is_err() || query.contains("group_left (instance)"), "{query}");
    }
}

#[test]
fn limits_hold_on_many_threads() {
    let storage = many(300);
    let (start, end) = (Timestamp::from_millis(60_000), Timestamp::from_millis(850_000));
    let run = |samples_max, control: &QueryControl| {
        let options = EngineOptions { threads: 4, samples_max, ..whole_language() };
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
        let features = Features { delayed_name_removal, ..Features::LANGUAGE };
        let options = EngineOptions { features, ..whole_language() };
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

#[test]
fn what_prometheus_keeps_behind_a_feature_is_refused_without_it() {
    let plain = Engine::new(EngineOptions::prometheus_defaults());
    let run = |engine: &Engine, query: &str| {
        let at = Timestamp::from_millis(300_000);
        engine.instant(&storage(), query, at, &QueryControl::default()).map_err(|e| e.to_string())
    };
    for (query, feature, refusal) in [
        (
            "1 + mad_over_time(a_total[5m])",
            "promql-experimental-functions",
            "1:5: parse error: function \"mad_over_time\" is not enabled",
        ),
        (
            "limitk(1, a_total)",
            "promql-experimental-functions",
            "1:1: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
        ),
        (
            "a_total + fill (0) b",
            "promql-binop-fill-modifiers",
            "1:1: parse error: binop fill modifiers are experimental and not enabled",
        ),
        (
            "rate(a_total[5m] smoothed)",
            "promql-extended-range-selectors",
            "1:6: parse error: smoothed modifier is experimental and not enabled",
        ),
    ] {
        assert_eq!(run(&plain, query).unwrap_err(), refusal);
        let mut features = Features::NONE;
        assert!(features.enable(feature));
        let engine = Engine::new(EngineOptions { features, ..EngineOptions::prometheus_defaults() });
        assert!(run(&engine, query).is_ok(), "{query}");
    }
    // Computed durations need none since 3.14.
    assert!(run(&plain, "rate(a_total[2 * 150s])").is_ok());
}

#[test]
fn a_plan_tells_how_a_query_is_run() {
    let engine = Engine::new(whole_language());
    let query = "sum by (instance) (rate(a_total{instance=\"x\"}[5m])) / on (instance) b > 2 * 3";
    let at = Timestamp::from_millis(300_000);
    let plan = engine.explain(query, Times::Instant(at)).unwrap();
    expect![[r#"
        with scalar vector > 6
          join / on (instance)
            aggregate sum by (instance)
              window rate
                range {instance="x",__name__="a_total"}[5m]
            select {__name__="b"}
    "#]]
    .assert_eq(&plan.to_text());
    let analyze = QueryControl { analyze: true, ..QueryControl::default() };
    let result = engine.instant(&storage(), query, at, &analyze).unwrap();
    let ran = result.plan.unwrap();
    let join = &ran.inputs[0];
    let sides: Vec<u64> = join.inputs.iter().map(|input| input.stats.unwrap().series).collect();
    assert_eq!(sides, [1, 2 - 1]);
    let (whole, below) = (ran.stats.unwrap(), join.stats.unwrap());
    assert_eq!(whole.samples_read, result.stats.samples_read);
    assert_eq!((below.runs, below.series, below.samples), (1, 1, 1));
    assert!(whole.time >= below.time && whole.self_time == whole.time - below.time);
    assert!(below.peak_bytes > 0 && result.stats.timings.inner_eval >= whole.time);
    assert!(engine.instant(&storage(), query, at, &QueryControl::default()).unwrap().plan.is_none());
}

#[test]
fn samples_are_counted_as_prometheus_counts_them() {
    let mut options = whole_language();
    options.features.per_step_stats = true;
    let engine = Engine::new(options);
    let control = QueryControl { per_step_stats: true, ..QueryControl::default() };
    let (start, end) = (Timestamp::from_millis(60_000), Timestamp::from_millis(180_000));
    let stats = |query: &str| engine.range(&storage(), query, start, end, 60_000, &control).unwrap().stats;
    for (query, by_step) in [
        // One of each series at each step.
        ("a_total", [2, 2, 2]),
        ("sum(a_total) + b", [3, 3, 3]),
        // All that are in the range: left open, a sample each quarter of a minute.
        ("rate(a_total[1m])", [8, 8, 8]),
        ("rate(b[1m] @ 120)", [4, 4, 4]),
        // Of a subquery what it comes to, not what it was made of.
        ("max_over_time(rate(b[1m])[2m:1m])", [1, 2, 2]),
        ("1 + 2", [0, 0, 0]),
    ] {
        let stats = stats(query);
        let found: Vec<u64> = stats.queryable_samples_per_step.iter().map(|(_, count)| *count).collect();
        assert_eq!(found, by_step, "{query}");
        assert_eq!(stats.queryable_samples, by_step.iter().sum::<u64>(), "{query}");
        assert_eq!(stats.queryable_samples_per_step[1].0, Timestamp::from_millis(120_000));
    }
    let unasked = engine.range(&storage(), "b", start, end, 60_000, &QueryControl::default()).unwrap();
    assert!(unasked.stats.queryable_samples_per_step.is_empty());
}

#[test]
fn answers_come_series_by_series_and_hold_their_memory_until_then() {
    let pool = MemoryPool::new(64 << 20, Duration::from_secs(1));
    let engine = Engine::new(whole_language()).with_pool(Arc::clone(&pool));
    let control = QueryControl::default();
    let (start, end) = (Timestamp::EPOCH, Timestamp::from_millis(600_000));
    for query in ["a_total", "sum(a_total)", "time()", "-b"] {
        let times = Times::Range { start, end, step_ms: 15_000 };
        let answer = engine.run(&storage(), query, times, &control).unwrap();
        assert_eq!(answer.value_type(), ValueType::Matrix);
        assert!(pool.usage().used_bytes > 0 || query == "time()");
        let series: Vec<MatrixSeries> = answer
            .into_series()
            .map(|s| MatrixSeries { floats: s.floats().collect(), histograms: Vec::new(), labels: s.labels })
            .collect();
        let result = engine.range(&storage(), query, start, end, 15_000, &control).unwrap();
        let QueryValue::Matrix(wanted) = result.value else { panic!("no matrix") };
        assert_eq!(series, wanted);
        assert_eq!((pool.usage().used_bytes, pool.usage().queries), (0, 0));
    }
    let number = engine.run(&storage(), "1 + 1", Times::Instant(end), &control).unwrap();
    assert_eq!((number.scalar(), number.value_type()), (Some(2.0), ValueType::Scalar));
    let tight = Engine::new(whole_language()).with_pool(MemoryPool::new(500, Duration::ZERO));
    let error = tight.instant(&storage(), "a_total", end, &control).unwrap_err();
    assert!(matches!(error, QueryError::PoolExhausted { limit_bytes: 500 }), "{error}");
}

#[test]
fn steps_are_limited() {
    let engine = Engine::new(EngineOptions { points_max: 3, ..whole_language() });
    let (start, control) = (Timestamp::EPOCH, QueryControl::default());
    let run = |millis| engine.range(&storage(), "b", start, Timestamp::from_millis(millis), 1000, &control);
    assert!(run(2000).is_ok());
    assert!(matches!(run(3000), Err(QueryError::TooManyPoints { points_max: 3 })));
}
