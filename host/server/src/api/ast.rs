//! `/api/v1/parse_query`: the tree of a query as Prometheus' user interface reads it.

use model::Matcher;
use promql::{
    At, Binary, DurationExpr, Expr, ExprKind, Extension, Group, Matching, TimeShift, ValueType,
    VectorSelector,
};
use serde_json::{Value, json};

/// The tree of an expression.
pub(super) fn tree(expr: &Expr) -> Value {
    match &expr.kind {
        ExprKind::Number { value, .. } => json!({ "type": "numberLiteral", "val": plain(*value) }),
        ExprKind::String(text) => json!({ "type": "stringLiteral", "val": String::from_utf8_lossy(text) }),
        ExprKind::Vector(selector) => {
            let mut node = selector_parts(selector);
            node["type"] = json!("vectorSelector");
            node
        }
        ExprKind::Matrix(matrix) => {
            let mut node = selector_parts(&matrix.selector);
            node["type"] = json!("matrixSelector");
            node["range"] = json!(fixed_ms(&matrix.range));
            node["rangeExpr"] = computed(&matrix.range);
            node
        }
        ExprKind::Subquery(subquery) => {
            let (at, edge) = fixed_time(&subquery.shift);
            json!({
                "type": "subquery",
                "expr": tree(&subquery.expr),
                "range": fixed_ms(&subquery.range),
                "rangeExpr": computed(&subquery.range),
                "offset": offset_ms(&subquery.shift),
                "offsetExpr": subquery.shift.offset.as_ref().map(computed),
                "step": subquery.step.as_ref().map_or(0, fixed_ms),
                "stepExpr": subquery.step.as_ref().map(computed),
                "timestamp": at,
                "startOrEnd": edge,
            })
        }
        ExprKind::Unary { negate, expr } => {
            json!({ "type": "unaryExpr", "op": if *negate { "-" } else { "+" }, "expr": tree(expr) })
        }
        ExprKind::Binary(binary) => json!({
            "type": "binaryExpr",
            "op": binary.op.as_str(),
            "lhs": tree(&binary.left),
            "rhs": tree(&binary.right),
            "matching": matching(binary),
            "bool": binary.return_bool,
        }),
        ExprKind::Aggregate(aggregate) => json!({
            "type": "aggregation",
            "op": aggregate.op.as_str(),
            "expr": tree(&aggregate.expr),
            "param": aggregate.param.as_ref().map(tree),
            "grouping": aggregate.labels,
            "without": aggregate.without,
        }),
        ExprKind::Call(call) => {
            let function = call.function;
            json!({
                "type": "call",
                "func": {
                    "name": call.name(),
                    "argTypes": function.args.iter().copied().map(type_name).collect::<Vec<_>>(),
                    "variadic": function.optional,
                    "returnType": type_name(function.returns),
                },
                "args": call.args.iter().map(tree).collect::<Vec<_>>(),
            })
        }
        ExprKind::Paren(expr) => json!({ "type": "parenExpr", "expr": tree(expr) }),
    }
}

/// The types' names in trees, which are not those of error texts.
const fn type_name(kind: ValueType) -> &'static str {
    match kind {
        ValueType::Scalar => "scalar",
        ValueType::String => "string",
        ValueType::Vector => "vector",
        ValueType::Matrix => "matrix",
    }
}

fn selector_parts(selector: &VectorSelector) -> Value {
    let (at, edge) = fixed_time(&selector.shift);
    json!({
        "name": selector.name.as_deref().unwrap_or_default(),
        "offset": offset_ms(&selector.shift),
        "offsetExpr": selector.shift.offset.as_ref().map(computed),
        "matchers": selector.matchers.iter().map(matcher).collect::<Vec<_>>(),
        "timestamp": at,
        "startOrEnd": edge,
        "anchored": selector.extension == Extension::Anchored,
        "smoothed": selector.extension == Extension::Smoothed,
    })
}

fn matcher(matcher: &Matcher) -> Value {
    json!({ "name": matcher.name(), "value": matcher.value(), "type": matcher.op().as_str() })
}

/// The time after `@`, or which edge of the query it is.
fn fixed_time(shift: &TimeShift) -> (Option<i64>, Option<&'static str>) {
    match shift.at {
        None => (None, None),
        Some(At::Millis(at)) => (Some(at), None),
        Some(At::Start) => (None, Some("start")),
        Some(At::End) => (None, Some("end")),
    }
}

fn offset_ms(shift: &TimeShift) -> i64 {
    shift.offset.as_ref().map_or(0, fixed_ms)
}

/// A duration that is written as a number; one that is computed counts as zero, and [`computed`] has it.
fn fixed_ms(duration: &DurationExpr) -> i64 {
    number(duration).map_or(0, |(seconds, _)| (seconds * 1000.0).round() as i64)
}

/// A duration that is computed, as a tree; nothing where it is written as a number.
fn computed(duration: &DurationExpr) -> Value {
    if number(duration).is_some() { Value::Null } else { duration_tree(duration, false) }
}

/// Seconds, and whether they were written with units.
fn number(duration: &DurationExpr) -> Option<(f64, bool)> {
    match duration {
        DurationExpr::Number { seconds, units, .. } => Some((*seconds, *units)),
        DurationExpr::Negate(_, inner) => number(inner).map(|(seconds, units)| (-seconds, units)),
        // Parentheses around a number alone leave no trace.
        DurationExpr::Paren(inner) => number(inner),
        _ => None,
    }
}

fn duration_tree(duration: &DurationExpr, wrapped: bool) -> Value {
    if let Some((seconds, units)) = number(duration) {
        return json!({ "type": "numberLiteral", "val": plain(seconds), "duration": units });
    }
    let node = |op: &str, left: Option<&DurationExpr>, right: Option<&DurationExpr>| {
        let [left, right] = [left, right].map(|side| side.map(|side| duration_tree(side, false)));
        json!({ "type": "durationExpr", "op": op, "lhs": left, "rhs": right, "wrapped": wrapped })
    };
    match duration {
        DurationExpr::Paren(inner) => duration_tree(inner, true),
        DurationExpr::Step(_) => node("step", None, None),
        DurationExpr::Range(_) => node("range", None, None),
        DurationExpr::MinOf(_, left, right) => node("min_of", Some(left), Some(right)),
        DurationExpr::MaxOf(_, left, right) => node("max_of", Some(left), Some(right)),
        DurationExpr::Negate(_, inner) => node("-", None, Some(inner)),
        DurationExpr::Binary(op, left, right) => node(op.as_str(), Some(left), Some(right)),
        // A number, of which there is more above.
        DurationExpr::Number { seconds, units, .. } => {
            json!({ "type": "numberLiteral", "val": plain(*seconds), "duration": units })
        }
    }
}

/// How vectors are matched; nothing where one side is a number.
fn matching(binary: &Binary) -> Option<Value> {
    let is_vector = |expr: &Expr| expr.value_type() == ValueType::Vector;
    if !(is_vector(&binary.left) && is_vector(&binary.right)) {
        return None;
    }
    let Matching { on, labels, group, include, fill_left, fill_right, .. } = &binary.matching;
    let card = match group {
        _ if binary.op.is_set() => "many-to-many",
        Group::None => "one-to-one",
        Group::Left => "many-to-one",
        Group::Right => "one-to-many",
    };
    Some(json!({
        "card": card,
        "labels": labels,
        "on": on,
        "include": include,
        "fillValues": { "lhs": fill_left, "rhs": fill_right },
    }))
}

/// Digits without an exponent, however many it takes.
fn plain(value: f64) -> String {
    if value.is_finite() { format!("{value}") } else { promql::format_float(value) }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(query: &str, expected: &Expect) {
        expected.assert_eq(&tree(&promql::parse(query).unwrap()).to_string());
    }

    #[test]
    fn every_kind_of_node_has_prometheus_shape() {
        check("1e30", &expect![[r#"{"type":"numberLiteral","val":"1000000000000000000000000000000"}"#]]);
        check(
            "-(2)",
            &expect![[
                r#"{"expr":{"expr":{"type":"numberLiteral","val":"2"},"type":"parenExpr"},"op":"-","type":"unaryExpr"}"#
            ]],
        );
        check(
            "rate(up{job=~\"a.*\"}[5m] offset 1m)",
            &expect![[
                r#"{"args":[{"anchored":false,"matchers":[{"name":"job","type":"=~","value":"a.*"},{"name":"__name__","type":"=","value":"up"}],"name":"up","offset":60000,"offsetExpr":null,"range":300000,"rangeExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"matrixSelector"}],"func":{"argTypes":["matrix"],"name":"rate","returnType":"vector","variadic":0},"type":"call"}"#
            ]],
        );
        check(
            "max_over_time(up[1h:30s] @ end())",
            &expect![[
                r#"{"args":[{"expr":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"up"}],"name":"up","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"offset":0,"offsetExpr":null,"range":3600000,"rangeExpr":null,"startOrEnd":"end","step":30000,"stepExpr":null,"timestamp":null,"type":"subquery"}],"func":{"argTypes":["matrix"],"name":"max_over_time","returnType":"vector","variadic":0},"type":"call"}"#
            ]],
        );
        check(
            "topk by (job) (3, a) > bool on (x) group_left (y) b @ 5",
            &expect![[
                r#"{"bool":true,"lhs":{"expr":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"a"}],"name":"a","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"grouping":["job"],"op":"topk","param":{"type":"numberLiteral","val":"3"},"type":"aggregation","without":false},"matching":{"card":"many-to-one","fillValues":{"lhs":null,"rhs":null},"include":["y"],"labels":["x"],"on":true},"op":">","rhs":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"b"}],"name":"b","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":5000,"type":"vectorSelector"},"type":"binaryExpr"}"#
            ]],
        );
        check(
            "a and b",
            &expect![[
                r#"{"bool":false,"lhs":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"a"}],"name":"a","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"matching":{"card":"many-to-many","fillValues":{"lhs":null,"rhs":null},"include":[],"labels":[],"on":false},"op":"and","rhs":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"b"}],"name":"b","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"type":"binaryExpr"}"#
            ]],
        );
    }

    #[test]
    fn computed_durations_are_trees() {
        let durations = |query: &str| {
            let tree = tree(&promql::parse(query).unwrap());
            let of = |name: &str| (tree[name].clone(), tree[format!("{name}Expr")].clone());
            [of("range"), of("offset"), of("step")]
        };
        let none = (Value::Null, Value::Null);
        let fixed = |millis: i64| (json!(millis), Value::Null);
        assert_eq!(durations("a[5m] offset -(1m)"), [fixed(300_000), fixed(-60_000), none]);
        assert_eq!(durations("a[5m:]"), [fixed(300_000), fixed(0), fixed(0)]);
        let number = |val, duration| json!({ "type": "numberLiteral", "val": val, "duration": duration });
        let expr = |op, lhs: Value, rhs: Value, wrapped| {
            (
                json!(0),
                json!({ "type": "durationExpr", "op": op, "lhs": lhs, "rhs": rhs, "wrapped": wrapped }),
            )
        };
        let step = expr("step", Value::Null, Value::Null, false).1;
        assert_eq!(
            durations("a[5m + step():1s * 2] offset (10m / 2)"),
            [
                expr("+", number("300", true), step.clone(), false),
                expr("/", number("600", true), number("2", false), true),
                expr("*", number("1", true), number("2", false), false),
            ]
        );
        let least = expr("min_of", number("5", true), step, false).1;
        assert_eq!(durations("a[1m] offset -min_of(5s, step())")[1], expr("-", Value::Null, least, false));
    }
}
