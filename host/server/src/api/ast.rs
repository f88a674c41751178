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
            node
        }
        ExprKind::Subquery(subquery) => {
            let (at, edge) = fixed_time(&subquery.shift);
            json!({
                "type": "subquery",
                "expr": tree(&subquery.expr),
                "range": fixed_ms(&subquery.range),
                "offset": offset_ms(&subquery.shift),
                "step": subquery.step.as_ref().map_or(0, fixed_ms),
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
                    "name": function.name,
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

/// A duration that does not depend on when the query runs; one that does counts as zero, as in Prometheus before it
/// runs.
fn fixed_ms(duration: &DurationExpr) -> i64 {
    match duration {
        DurationExpr::Number { seconds, .. } => (seconds * 1000.0).round() as i64,
        DurationExpr::Paren(inner) => fixed_ms(inner),
        DurationExpr::Negate(inner) => -fixed_ms(inner),
        _ => 0,
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
                r#"{"args":[{"anchored":false,"matchers":[{"name":"job","type":"=~","value":"a.*"},{"name":"__name__","type":"=","value":"up"}],"name":"up","offset":60000,"range":300000,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"matrixSelector"}],"func":{"argTypes":["matrix"],"name":"rate","returnType":"vector","variadic":0},"type":"call"}"#
            ]],
        );
        check(
            "max_over_time(up[1h:30s] @ end())",
            &expect![[
                r#"{"args":[{"expr":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"up"}],"name":"up","offset":0,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"offset":0,"range":3600000,"startOrEnd":"end","step":30000,"timestamp":null,"type":"subquery"}],"func":{"argTypes":["matrix"],"name":"max_over_time","returnType":"vector","variadic":0},"type":"call"}"#
            ]],
        );
        check(
            "topk by (job) (3, a) > bool on (x) group_left (y) b @ 5",
            &expect![[
                r#"{"bool":true,"lhs":{"expr":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"a"}],"name":"a","offset":0,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"grouping":["job"],"op":"topk","param":{"type":"numberLiteral","val":"3"},"type":"aggregation","without":false},"matching":{"card":"many-to-one","fillValues":{"lhs":null,"rhs":null},"include":["y"],"labels":["x"],"on":true},"op":">","rhs":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"b"}],"name":"b","offset":0,"smoothed":false,"startOrEnd":null,"timestamp":5000,"type":"vectorSelector"},"type":"binaryExpr"}"#
            ]],
        );
        check(
            "a and b",
            &expect![[
                r#"{"bool":false,"lhs":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"a"}],"name":"a","offset":0,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"matching":{"card":"many-to-many","fillValues":{"lhs":null,"rhs":null},"include":[],"labels":[],"on":false},"op":"and","rhs":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"b"}],"name":"b","offset":0,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"type":"binaryExpr"}"#
            ]],
        );
    }
}
