//! `sort` and its like. Order means something in instant queries only.

use std::cmp::Ordering;

use super::ordered::sorted_by;
use super::{Context, Grid, Series, Sink};
use crate::error::QueryError;
use crate::parser::Span;
use crate::plan::{Order, VectorNode};

pub(crate) fn run(
    input: &VectorNode,
    order: &Order,
    span: Span,
    cx: &Context<'_>,
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    if !cx.instant {
        if grid.count > 1 {
            let text = "sort is ineffective for range queries since results are always ordered by labels";
            cx.notes.warn(span, text.to_owned());
        }
        // Histograms have no order and are left out here as well.
        let by_value = matches!(order, Order::Value { .. });
        return super::vector(input, cx, grid, &mut |mut series| {
            if by_value {
                series.column.histograms.clear();
            }
            if series.column.is_empty() { Ok(()) } else { sink(series) }
        });
    }
    let mut all = super::collect(input, cx, grid)?;
    all = match order {
        Order::Value { descending } => {
            // Histograms have no order and are left out.
            let (kept, histograms): (Vec<Series>, Vec<Series>) =
                all.into_iter().partition(|series| series.column.float(0).is_some());
            super::release(cx, &histograms);
            drop(histograms);
            sorted_by(kept, cx, &mut |a, b| by_value(a, b, *descending))?
        }
        Order::Labels { descending, labels } => sorted_by(all, cx, &mut |a, b| {
            let order = by_labels(a, b, labels);
            if *descending { order.reverse() } else { order }
        })?,
    };
    let held = super::held(&all);
    super::pass_on(all, held, cx, sink)
}

/// By value; what is not a number comes last either way.
fn by_value(a: &Series, b: &Series, descending: bool) -> Ordering {
    let (a, b) = (a.column.floats[0], b.column.floats[0]);
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let order = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            if descending { order.reverse() } else { order }
        }
    }
}

/// By the named labels in natural order, then by all labels.
fn by_labels(a: &Series, b: &Series, labels: &[String]) -> Ordering {
    labels
        .iter()
        .map(|name| natural(a.labels.get(name).unwrap_or(""), b.labels.get(name).unwrap_or("")))
        .find(|order| order.is_ne())
        .unwrap_or_else(|| a.labels.cmp(&b.labels))
}

/// Runs of digits compare as numbers, everything else byte by byte.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let (Some(x), Some(y)) = (a.first(), b.first()) else { return a.len().cmp(&b.len()) };
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let (number_a, rest_a) = split_digits(a);
            let (number_b, rest_b) = split_digits(b);
            let (trimmed_a, trimmed_b) = (trim_zeros(number_a), trim_zeros(number_b));
            let order = trimmed_a
                .len()
                .cmp(&trimmed_b.len())
                .then_with(|| trimmed_a.cmp(trimmed_b))
                .then_with(|| number_a.len().cmp(&number_b.len()));
            if order.is_ne() {
                return order;
            }
            (a, b) = (rest_a, rest_b);
        } else if x != y {
            return x.cmp(y);
        } else {
            (a, b) = (&a[1..], &b[1..]);
        }
    }
}

fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|b| b.is_ascii_digit()).count())
}

fn trim_zeros(digits: &[u8]) -> &[u8] {
    &digits[digits.iter().take_while(|b| **b == b'0').count()..]
}
