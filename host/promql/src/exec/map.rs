//! Operators that look at one sample at a time.

use std::sync::Arc;

use model::staleness::{STALE_NAN, is_stale};
use model::{Histogram, Value};

use super::arithmetic::{self, Outcome};
use super::context::Distinct;
use super::{Context, Grid, Series, Sink};
use crate::error::QueryError;
use crate::functions::{date, math};
use crate::native;
use crate::parser::BinaryOp;
use crate::plan::{Map, MapFunction, VectorNode, WithScalar};

/// `-v`
pub(crate) fn negate(
    input: &VectorNode,
    cx: &Context<'_>,
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let floats = |floats: &[f64]| mapped(floats, |v| -v);
    each(input, Some(&floats), cx, grid, true, sink, &mut |_, value| {
        Some(match value {
            Value::Float(value) => Value::Float(-value),
            Value::Histogram(h) => Value::Histogram(Arc::new(native::negated(&h))),
        })
    })
}

/// A function of one sample and scalars.
pub(crate) fn run(node: &Map, cx: &Context<'_>, grid: Grid, sink: &mut Sink<'_>) -> Result<(), QueryError> {
    let mut args = Vec::with_capacity(node.args.len());
    for arg in &node.args {
        args.push(super::scalar(arg, cx, grid)?);
    }
    let arg = |index: usize, step: usize| args.get(index).map_or(1.0, |values| values[step]);
    let function = node.function;
    let floats = |floats: &[f64]| match function {
        MapFunction::Float(f) => mapped(floats, f),
        MapFunction::Date(f) => mapped(floats, |v| f(date::seconds(v))),
        _ => floats.to_vec(),
    };
    let by_itself = matches!(function, MapFunction::Float(_) | MapFunction::Date(_));
    let floats: Option<Floats<'_>> = if by_itself { Some(&floats) } else { None };
    each(&node.input, floats, cx, grid, true, sink, &mut |step, value| {
        let result = match (node.function, value) {
            (MapFunction::StartTimestamp, _) => return None,
            (MapFunction::Timestamp, _) => grid.time(step) as f64 / 1000.0,
            (function, Value::Histogram(h)) => of_histogram(function, &h)?,
            (MapFunction::Float(f), Value::Float(v)) => f(v),
            (MapFunction::Date(f), Value::Float(v)) => f(date::seconds(v)),
            (MapFunction::Round, Value::Float(v)) => math::round(v, arg(0, step)),
            (MapFunction::Clamp, Value::Float(v)) => math::clamp(v, arg(0, step), arg(1, step))?,
            (MapFunction::ClampMin, Value::Float(v)) => math::max_of(arg(0, step), v),
            (MapFunction::ClampMax, Value::Float(v)) => math::min_of(arg(0, step), v),
            _ => return None,
        };
        Some(Value::Float(result))
    })
}

/// What a function that reads histograms makes of one; those that read floats pass over it.
fn of_histogram(function: MapFunction, h: &Histogram) -> Option<f64> {
    Some(match function {
        MapFunction::HistogramCount => h.count,
        MapFunction::HistogramSum => h.sum,
        MapFunction::HistogramAvg => h.sum / h.count,
        MapFunction::HistogramStdvar => native::variance(h),
        MapFunction::HistogramStddev => native::variance(h).sqrt(),
        _ => return None,
    })
}

/// A vector and a scalar.
pub(crate) fn with_scalar(
    node: &WithScalar,
    cx: &Context<'_>,
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let scalars = super::scalar(&node.scalar, cx, grid)?;
    let drops = drops_name(node.op, node.return_bool);
    let floats = |floats: &[f64]| floats_with_scalar(node, floats, &scalars);
    let floats: Option<Floats<'_>> = if arithmetic::knows_floats(node.op) { Some(&floats) } else { None };
    each(&node.vector, floats, cx, grid, drops, sink, &mut |step, value| {
        sample_with_scalar(node, cx, value, scalars[step])
    })
}

fn sample_with_scalar(node: &WithScalar, cx: &Context<'_>, value: Value, scalar: f64) -> Option<Value> {
    let scalar = Value::Float(scalar);
    let (l, r) = if node.scalar_left { (&scalar, &value) } else { (&value, &scalar) };
    match arithmetic::samples(node.op, l, r, node.span, &cx.notes) {
        Outcome::Nothing => None,
        Outcome::Keep(_) if node.return_bool => Some(Value::Float(1.0)),
        Outcome::Filtered if node.return_bool => Some(Value::Float(0.0)),
        Outcome::Filtered => None,
        // A comparison lets the vector's sample through, on whichever side it stands.
        Outcome::Keep(_) if node.op.is_comparison() => Some(value),
        Outcome::Keep(result) => Some(result),
    }
}

fn floats_with_scalar(node: &WithScalar, floats: &[f64], scalars: &[f64]) -> Vec<f64> {
    let filters = node.op.is_comparison() && !node.return_bool;
    let (l, r) = if node.scalar_left { (scalars, floats) } else { (floats, scalars) };
    let mut answer = arithmetic::columns(node.op, node.return_bool || filters, l, r);
    if filters {
        for (answer, float) in answer.iter_mut().zip(floats) {
            *answer = if *answer == 1.0 { *float } else { STALE_NAN };
        }
    }
    answer
}

fn mapped(floats: &[f64], f: impl Fn(f64) -> f64) -> Vec<f64> {
    floats.iter().map(|v| if is_stale(*v) { STALE_NAN } else { f(*v) }).collect()
}

/// What becomes of a series of floats alone, all steps in one go.
type Floats<'f> = &'f dyn Fn(&[f64]) -> Vec<f64>;

fn each(
    input: &VectorNode,
    floats: Option<Floats<'_>>,
    cx: &Context<'_>,
    grid: Grid,
    drops_name: bool,
    sink: &mut Sink<'_>,
    f: &mut dyn FnMut(usize, Value) -> Option<Value>,
) -> Result<(), QueryError> {
    let mut distinct = Distinct::new(cx);
    super::vector(input, cx, grid, &mut |mut series: Series| {
        match floats {
            Some(floats) if series.column.histograms.is_empty() => {
                series.column.floats = floats(&series.column.floats);
            }
            _ => {
                for step in 0..series.column.step_count() {
                    let Some(value) = series.column.get(step) else { continue };
                    series.column.remove(step);
                    if let Some(value) = f(step, value) {
                        series.column.set(step, value);
                    }
                }
            }
        }
        if series.column.is_empty() {
            return Ok(());
        }
        if drops_name {
            cx.drop_name(&mut series);
            distinct.check(&series.labels)?;
        }
        sink(series)
    })
}

/// Whether the answer is another quantity than what went in.
pub(crate) const fn drops_name(op: BinaryOp, return_bool: bool) -> bool {
    op.changes_metric() || return_bool
}
