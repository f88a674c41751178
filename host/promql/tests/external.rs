//! Functions that are not of the language: how they are found, checked, called and limited.

use std::sync::{Arc, Mutex};

use expect_test::{Expect, expect};
use model::{FunctionCall, Labels, Timestamp, Value};
use promql::script::MemoryStorage;
use promql::{
    Engine, EngineOptions, ExternalFunction, ExternalFunctions, ExternalLimits, QueryControl, QueryError,
    QueryResult, QueryValue, ValueType,
};

/// Multiplies a vector; or, of a range vector, counts what each window holds.
#[derive(Debug)]
struct Fake {
    args: Vec<ValueType>,
    calls: Mutex<Vec<(usize, usize)>>,
}

impl ExternalFunction for Fake {
    fn args(&self) -> &[ValueType] {
        &self.args
    }

    fn optional(&self) -> usize {
        1
    }

    fn eval(&self, call: FunctionCall, limits: &ExternalLimits) -> Result<Vec<f64>, String> {
        assert!(!limits.is_over());
        self.calls.lock().unwrap().push((call.series, call.values.len()));
        if call.texts.iter().any(|text| text == "fail") {
            return Err("told to".to_owned());
        }
        if self.args[0] == ValueType::Matrix {
            let windows = call.window_starts.iter().zip(&call.window_ends);
            return Ok(windows.map(|(start, end)| f64::from(end - start)).collect());
        }
        let scalar = |step: usize| call.scalars.get(step).copied().unwrap_or(1.0);
        let values = call.values.iter().enumerate();
        Ok(values.map(|(i, value)| value * scalar(i % call.steps)).collect())
    }
}

#[derive(Debug)]
struct Registry {
    times: Arc<Fake>,
    count: Arc<Fake>,
}

impl ExternalFunctions for Registry {
    fn find(&self, name: &str) -> Option<Arc<dyn ExternalFunction>> {
        match name {
            "wasm_times" => Some(Arc::clone(&self.times) as Arc<dyn ExternalFunction>),
            "wasm_count" => Some(Arc::clone(&self.count) as Arc<dyn ExternalFunction>),
            _ => None,
        }
    }
}

fn registry() -> Arc<Registry> {
    let fake = |args: &[ValueType]| Arc::new(Fake { args: args.to_vec(), calls: Mutex::default() });
    Arc::new(Registry {
        times: fake(&[ValueType::Vector, ValueType::Scalar]),
        count: fake(&[ValueType::Matrix, ValueType::String]),
    })
}

fn storage(series: usize) -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    for index in 0..series {
        let index = index.to_string();
        let labels = Labels::from_pairs([("__name__", "m"), ("i", index.as_str())]);
        for second in [0, 10, 20] {
            let value = Value::Float(f64::from(second + 1));
            storage.put(&labels, Timestamp::from_millis(i64::from(second) * 1000), value);
        }
    }
    storage
}

fn range(
    registry: &Arc<Registry>,
    series: usize,
    step_ms: i64,
    query: &str,
) -> Result<QueryResult, QueryError> {
    let functions = Arc::clone(registry) as Arc<dyn ExternalFunctions>;
    let engine = Engine::new(EngineOptions::prometheus_defaults()).with_functions(functions);
    let at = Timestamp::from_millis;
    engine.range(&storage(series), query, at(0), at(20_000), step_ms, &QueryControl::default())
}

fn shown(result: Result<QueryResult, QueryError>) -> String {
    match result.map(|result| result.value) {
        Ok(QueryValue::Matrix(all)) => all
            .iter()
            .map(|series| {
                let values: Vec<_> = series.floats.iter().map(|sample| sample.value.to_string()).collect();
                format!("{} {}\n", series.labels, values.join(" "))
            })
            .collect(),
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("{}: {error}", error.error_type()),
    }
}

fn check(query: &str, expected: &Expect) {
    expected.assert_eq(&shown(range(&registry(), 2, 10_000, query)));
}

#[test]
fn vectors_and_ranges_are_answered_step_by_step() {
    check(
        "wasm_times(m)",
        &expect![[r#"
        {i="0"} 1 11 21
        {i="1"} 1 11 21
    "#]],
    );
    check(
        "wasm_times(m{i=\"0\"}, time()) + 1",
        &expect![[r#"
        {i="0"} 1 111 421
    "#]],
    );
    check(
        "wasm_count(m{i=\"1\"}[15s])",
        &expect![[r#"
        {i="1"} 1 2 2
    "#]],
    );
    check(
        "sum(wasm_count(m[5s]))",
        &expect![[r#"
        {} 2 2 2
    "#]],
    );
    check(
        "wasm_times(m > 5)",
        &expect![[r#"
        {i="0"} 11 21
        {i="1"} 11 21
    "#]],
    );
    check("wasm_times(nothing)", &expect![""]);
}

#[test]
fn mistakes_are_told_with_their_place() {
    check(
        "1 + wasm_sum(m)",
        &expect![[r#"bad_data: 1:5: parse error: unknown function with name "wasm_sum""#]],
    );
    check(
        "wasm_times(m[5m])",
        &expect![[
            r#"bad_data: 1:12: parse error: expected type instant vector in call to function "wasm_times", got range vector"#
        ]],
    );
    check(
        "wasm_times()",
        &expect![[
            r#"bad_data: 1:1: parse error: expected at least 1 argument(s) in call to "wasm_times", got 0"#
        ]],
    );
    check(
        "wasm_times(m, 1, 2)",
        &expect![[
            r#"bad_data: 1:1: parse error: expected at most 2 argument(s) in call to "wasm_times", got 3"#
        ]],
    );
    check("2 *\n wasm_count(m[1m], 'fail')", &expect!["execution: wasm_count() failed: told to (2:2)"]);
    check(
        "wasm_times(m, sum(m))",
        &expect![[
            r#"bad_data: 1:15: parse error: expected type scalar in call to function "wasm_times", got instant vector"#
        ]],
    );
}

#[test]
fn names_and_arguments_survive_printing() {
    let expr = promql::parse("sum by (i) (wasm_any(m[5m], 2, \"x\"))").unwrap();
    assert_eq!(expr.to_string(), "sum by (i) (wasm_any(m[5m], 2, \"x\"))");
}

#[test]
fn many_series_cross_in_few_calls() {
    let registry = registry();
    let QueryValue::Matrix(all) = range(&registry, 1_000, 100, "wasm_times(m)").unwrap().value else {
        panic!("not a matrix")
    };
    assert_eq!(all.len(), 1_000);
    let calls = registry.times.calls.lock().unwrap();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert_eq!(calls.iter().map(|(series, _)| series).sum::<usize>(), 1_000);
}

#[test]
fn what_a_call_holds_counts_against_the_query() {
    let functions = registry() as Arc<dyn ExternalFunctions>;
    let options = EngineOptions { samples_max: 100, ..EngineOptions::prometheus_defaults() };
    let engine = Engine::new(options).with_functions(functions);
    let at = Timestamp::from_millis(20_000);
    let result = engine.instant(&storage(200), "count(wasm_times(m))", at, &QueryControl::default());
    assert!(matches!(result, Err(QueryError::TooManySamples)), "{result:?}");
}
