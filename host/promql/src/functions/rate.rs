//! Counters and gauges over a window: `rate`, `increase`, `delta`, and their instant forms.

use std::sync::Arc;

use model::{Histogram, ResetHint, Timestamp, Value};

use crate::exec::window::{Scope, Window};
use crate::native;
use crate::plan::{RangeNode, WindowFunction};
use crate::read::Columns;

/// What is wanted of the change over a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Resets are made up for, and values cannot be below zero.
    pub(crate) counter: bool,
    /// Per second.
    pub(crate) per_second: bool,
}

/// `rate` and `increase` of something that is not named as a counter is likely a mistake.
pub(crate) fn check_name(
    function: WindowFunction,
    input: &RangeNode,
    columns: &Columns,
    scope: &Scope<'_, '_>,
) {
    let counters = matches!(function, WindowFunction::Rate | WindowFunction::Increase);
    let selected = matches!(input, RangeNode::Select { .. });
    if !counters || !selected || columns.values.is_empty() || scope.metric_name.is_empty() {
        return;
    }
    let suffixes = ["_total", "_sum", "_count", "_bucket"];
    if !suffixes.iter().any(|suffix| scope.metric_name.ends_with(suffix)) {
        scope.info_about_metric(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:",
        );
    }
}

/// The change over the window, extrapolated to its edges.
pub(crate) fn extrapolated(
    window: &Window<'_>,
    range_ms: i64,
    kind: Kind,
    scope: &Scope<'_, '_>,
) -> Option<Value> {
    if window.is_mixed() {
        scope.warn_mixed();
        return None;
    }
    if window.histograms.len() > 1 {
        let first = &window.histograms[0];
        let last = &window.histograms[window.histograms.len() - 1];
        let change = histogram_change(window.histograms, kind.counter, scope)?;
        let count = window.histograms.len() - 1;
        let start = (first.1.count, change.count);
        let factor = extrapolation(window, (first.0, last.0), count, range_ms, kind, start);
        return Some(Value::Histogram(Arc::new(native::scaled(&change, factor))));
    }
    let (first, rest) = window.values.split_first()?;
    let last = rest.last()?;
    let mut change = last - first;
    if kind.counter {
        let mut previous = *first;
        for value in rest {
            if *value < previous {
                change += previous;
            }
            previous = *value;
        }
    }
    let times = (window.times[0], window.times[window.times.len() - 1]);
    let factor = extrapolation(window, times, rest.len(), range_ms, kind, (*first, change));
    Some(Value::Float(change * factor))
}

/// By how much the observed change is multiplied to stand for the whole range.
///
/// The samples rarely reach the range's edges. Where they come close (within 1.1 of the average distance),
/// the series is taken to go on to the edge, otherwise for half an average distance. A counter is not
/// extrapolated below zero.
fn extrapolation(
    window: &Window<'_>,
    (first, last): (Timestamp, Timestamp),
    intervals: usize,
    range_ms: i64,
    kind: Kind,
    (start_value, change): (f64, f64),
) -> f64 {
    let mut to_start = first.millis().saturating_sub(window.start) as f64 / 1000.0;
    let mut to_end = window.end.saturating_sub(last.millis()) as f64 / 1000.0;
    let sampled = last.since(first) as f64 / 1000.0;
    let average = sampled / intervals as f64;
    let threshold = average * 1.1;
    if to_start >= threshold {
        to_start = average / 2.0;
    }
    if kind.counter {
        let mut to_zero = to_start;
        if change > 0.0 && start_value >= 0.0 {
            to_zero = sampled * (start_value / change);
        }
        to_start = to_start.min(to_zero);
    }
    if to_end >= threshold {
        to_end = average / 2.0;
    }
    let mut factor = (sampled + to_start + to_end) / sampled;
    if kind.per_second {
        factor /= range_ms as f64 / 1000.0;
    }
    factor
}

/// The change over a window of histograms.
pub(crate) fn histogram_change(
    points: &[(Timestamp, Arc<Histogram>)],
    counter: bool,
    scope: &Scope<'_, '_>,
) -> Option<Histogram> {
    let (first, last) = (&points[0].1, &points[points.len() - 1].1);
    let gauge = |h: &Histogram| h.reset_hint == ResetHint::Gauge;
    let mut start = (**first).clone();
    if counter {
        if points.iter().any(|(_, h)| gauge(h)) {
            scope.warn_about_metric("this native histogram metric is not a counter:");
        }
        if native::is_reset(&points[1].1, first) {
            // The first sample counts for nothing then, whatever its layout.
            let second = &points[1].1;
            start = Histogram {
                schema: second.schema,
                custom_values: second.custom_values.clone(),
                sum: 0.0,
                ..Histogram::stale()
            };
        }
    } else if !gauge(first) || !gauge(last) {
        scope.warn_about_metric("this native histogram metric is not a gauge:");
    }
    let custom = start.has_custom_bounds();
    let between = &points[1..points.len() - 1];
    let odd = last.has_custom_bounds() != custom
        || (counter && between.iter().any(|(_, h)| h.has_custom_bounds() != custom));
    if odd {
        scope.warn_mixed_schemas();
        return None;
    }
    let mut schema = last.schema.min(start.schema);
    if counter {
        schema = between.iter().map(|(_, h)| h.schema).fold(schema, i8::min);
    }
    let reconciled = |word: &str| {
        scope.cx.notes.info(scope.span, format!("mismatched custom buckets were reconciled during {word}"));
    };
    let outcome = native::subtract(&native::at_schema(last, schema), &start).ok()?;
    if outcome.bounds_reconciled {
        reconciled("subtraction");
    }
    let mut change = outcome.histogram;
    if counter {
        let mut previous = &start;
        for (_, current) in &points[1..] {
            if native::is_reset(current, previous) {
                let outcome = native::add(&change, previous).ok()?;
                if outcome.bounds_reconciled {
                    reconciled("addition");
                }
                change = outcome.histogram;
            }
            previous = current;
        }
    }
    change.reset_hint = ResetHint::Gauge;
    Some(native::compact(&change))
}

/// The change between the last two samples.
pub(crate) fn instant(window: &Window<'_>, rate: bool, scope: &Scope<'_, '_>) -> Option<Value> {
    let mut latest: Vec<(Timestamp, Value)> = Vec::with_capacity(4);
    let floats = window.times.iter().zip(window.values).rev().take(2);
    latest.extend(floats.map(|(t, v)| (*t, Value::Float(*v))));
    latest.extend(window.histograms.iter().rev().take(2).map(|(t, h)| (*t, Value::Histogram(Arc::clone(h)))));
    latest.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    let [(end, last), (start, previous), ..] = latest.as_slice() else { return None };
    let interval = end.since(*start);
    if interval == 0 {
        return None;
    }
    let seconds = interval as f64 / 1000.0;
    match (previous, last) {
        (Value::Float(previous), Value::Float(last)) => {
            let change = if rate && last < previous { *last } else { last - previous };
            Some(Value::Float(if rate { change / seconds } else { change }))
        }
        (Value::Histogram(previous), Value::Histogram(last)) => {
            let change = instant_change(previous, last, rate, scope)?;
            let change = if rate { native::divided(&change, seconds) } else { change };
            Some(Value::Histogram(Arc::new(change)))
        }
        _ => {
            scope.warn_mixed();
            None
        }
    }
}

fn instant_change(
    previous: &Histogram,
    last: &Histogram,
    rate: bool,
    scope: &Scope<'_, '_>,
) -> Option<Histogram> {
    let is_gauge = |h: &Histogram| h.reset_hint == ResetHint::Gauge;
    if rate && (is_gauge(previous) || is_gauge(last)) {
        scope.warn_about_metric("this native histogram metric is not a counter:");
    }
    if !rate && (!is_gauge(previous) || !is_gauge(last)) {
        scope.warn_about_metric("this native histogram metric is not a gauge:");
    }
    let mut change = if rate && native::is_reset(last, previous) {
        last.clone()
    } else {
        match native::subtract(last, previous) {
            Ok(outcome) => {
                if outcome.bounds_reconciled {
                    let text = "mismatched custom buckets were reconciled during subtraction";
                    scope.cx.notes.info(scope.span, text.to_owned());
                }
                outcome.histogram
            }
            Err(native::Incompatible) => {
                scope.warn_mixed_schemas();
                return None;
            }
        }
    };
    change.reset_hint = ResetHint::Gauge;
    Some(native::compact(&change))
}
