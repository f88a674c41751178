//! The same evaluation in other forms, which must answer the same: with `@` attached and evaluated at other
//! times, and as the middle step of a range query.

use model::Timestamp;

use super::command::{Eval, Expected, Times};
use super::{MemoryStorage, compare};
use crate::answer::{QueryResult, QueryValue, VectorSample};
use crate::engine::{Engine, QueryControl};
use crate::error::QueryError;
use crate::parser::{At, Expr, ExprKind, parse};

const MINUTE_MS: i64 = 60_000;

/// Functions that answer by the time of evaluation whatever their input.
const TIME_FUNCTIONS: [&str; 15] = [
    "time",
    "timestamp",
    "predict_linear",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "hour",
    "minute",
    "month",
    "year",
    "start",
    "end",
    "range",
    "step",
];

/// Runs the other forms of an instant evaluation.
pub(super) fn run(engine: &Engine, storage: &MemoryStorage, eval: &Eval) -> Result<(), String> {
    let Times::Instant(at) = eval.times else { return Ok(()) };
    let as_range = !matches!(eval.value, Expected::Matrix { .. } | Expected::String(_))
        && !["start()", "end()", "range()", "step()"].iter().any(|call| eval.query.contains(call));
    if as_range {
        check_range(engine, storage, eval, &eval.query, at)?;
    }
    let Ok(mut expr) = parse(&eval.query) else { return Ok(()) };
    if matches!(eval.value, Expected::Matrix { .. }) || calls_time_function(&expr) {
        return Ok(());
    }
    attach_at(&mut expr, at);
    let query = expr.to_string();
    let t = at.millis();
    let others = if t == 0 { vec![-1000, 0, 1000] } else { vec![-10 * t, 0, t / 5, t, 10 * t] };
    for other in others {
        let other = Timestamp::from_millis(other);
        let result = engine.instant(storage, &query, other, &QueryControl::default());
        check(eval, result).map_err(|e| format!("{query} at {other:?}: {e}"))?;
        if as_range {
            check_range(engine, storage, eval, &query, other)?;
        }
    }
    Ok(())
}

fn check(eval: &Eval, result: Result<QueryResult, QueryError>) -> Result<(), String> {
    match (result, &eval.fail) {
        (Ok(result), None) => compare::value(eval, &result, false),
        (Ok(_), Some(_)) => Err("expected an error".to_owned()),
        (Err(error), None) => Err(format!("failed: {error}")),
        (Err(_), Some(_)) => Ok(()),
    }
}

fn check_range(
    engine: &Engine,
    storage: &MemoryStorage,
    eval: &Eval,
    query: &str,
    at: Timestamp,
) -> Result<(), String> {
    let (start, end) = (at.offset(-MINUTE_MS), at.offset(MINUTE_MS));
    let result = engine.range(storage, query, start, end, MINUTE_MS, &QueryControl::default());
    let middle = result.map(|mut result| {
        result.value = middle(result.value, at, matches!(eval.value, Expected::Scalar(_)));
        result
    });
    // Another step may fail where the middle one does not, and the other way round.
    if middle.is_err() != eval.fail.is_some() {
        return Err(format!("{query} as a range query around {at:?}: {middle:?}"));
    }
    check(eval, middle).map_err(|e| format!("{query} as a range query around {at:?}: {e}"))
}

fn middle(value: QueryValue, at: Timestamp, scalar: bool) -> QueryValue {
    let QueryValue::Matrix(series) = value else { return value };
    let mut samples = Vec::new();
    for series in series {
        let float = series.floats.iter().find(|s| s.timestamp == at).map(|s| model::Value::Float(s.value));
        let histogram =
            series.histograms.iter().find(|(t, _)| *t == at).map(|(_, h)| model::Value::Histogram(h.clone()));
        if let Some(value) = float.or(histogram) {
            samples.push(VectorSample { labels: series.labels, timestamp: at, value });
        }
    }
    match samples.as_slice() {
        [VectorSample { value: model::Value::Float(value), .. }] if scalar => {
            QueryValue::Scalar { timestamp: at, value: *value }
        }
        _ => QueryValue::Vector(samples),
    }
}

fn calls_time_function(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Number { .. } | ExprKind::String(_) | ExprKind::Vector(_) | ExprKind::Matrix(_) => false,
        ExprKind::Subquery(subquery) => calls_time_function(&subquery.expr),
        ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => calls_time_function(expr),
        ExprKind::Binary(binary) => calls_time_function(&binary.left) || calls_time_function(&binary.right),
        ExprKind::Aggregate(aggregate) => {
            calls_time_function(&aggregate.expr) || aggregate.param.as_ref().is_some_and(calls_time_function)
        }
        ExprKind::Call(call) => {
            TIME_FUNCTIONS.contains(&call.name()) || call.args.iter().any(calls_time_function)
        }
    }
}

/// Attaches `@` to every selector, or the outermost subquery around it, that has none.
fn attach_at(expr: &mut Expr, at: Timestamp) {
    let at_millis = Some(At::Millis(at.millis()));
    match &mut expr.kind {
        ExprKind::Number { .. } | ExprKind::String(_) => {}
        ExprKind::Vector(selector) => selector.shift.at = selector.shift.at.or(at_millis),
        ExprKind::Matrix(matrix) => matrix.selector.shift.at = matrix.selector.shift.at.or(at_millis),
        ExprKind::Subquery(subquery) => subquery.shift.at = subquery.shift.at.or(at_millis),
        ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => attach_at(expr, at),
        ExprKind::Binary(binary) => {
            attach_at(&mut binary.left, at);
            attach_at(&mut binary.right, at);
        }
        ExprKind::Aggregate(aggregate) => {
            attach_at(&mut aggregate.expr, at);
            if let Some(param) = &mut aggregate.param {
                attach_at(param, at);
            }
        }
        ExprKind::Call(call) => call.args.iter_mut().for_each(|arg| attach_at(arg, at)),
    }
}
