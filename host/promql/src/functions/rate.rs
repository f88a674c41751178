//! Counters and gauges over a window: `rate`, `increase`, `delta`, and their instant forms.

use std::sync::Arc;

use model::{Histogram, Labels, ResetHint, Timestamp, Value};

use super::start::{Starts, restarted};
use crate::exec::window::{Scope, Window};
use crate::native;
use crate::plan::WindowFunction;

/// What is wanted of the change over a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Resets are made up for, and values cannot be below zero.
    pub(crate) counter: bool,
    /// Per second.
    pub(crate) per_second: bool,
}

/// `rate` and `increase` of something that is not known as a counter are likely a mistake, where floats came of it.
pub(crate) fn check_counter(function: WindowFunction, labels: &Labels, scope: &Scope<'_, '_>) {
    let counters = matches!(function, WindowFunction::Rate | WindowFunction::Increase);
    if !counters || scope.metric_name.is_empty() {
        return;
    }
    if scope.cx.type_and_unit_labels {
        let kind = labels.get("__type__").unwrap_or("");
        if !matches!(kind, "counter" | "histogram") {
            let kind = crate::lexer::quote(kind.as_bytes());
            scope.info_about_metric(&format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {kind}:"
            ));
        }
        return;
    }
    let suffixes = ["_total", "_sum", "_count", "_bucket"];
    if !suffixes.iter().any(|suffix| scope.metric_name.ends_with(suffix)) {
        scope.info_about_metric(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:",
        );
    }
}

/// The change over the window, extrapolated to its edges. What a counter of floats lost by resets need not be
/// looked for where it is known.
pub(crate) fn extrapolated(
    window: &Window<'_>,
    range_ms: i64,
    kind: Kind,
    lost: Option<&[f64]>,
    scope: &Scope<'_, '_>,
) -> Option<Value> {
    if window.is_mixed() {
        scope.warn_mixed();
        return None;
    }
    let count = window.histograms.len();
    let starts = if kind.counter { window.histogram_starts } else { Starts::default() };
    let started = window.histograms.first().and_then(|(time, _)| starts.first_within(window.start, *time));
    if count > 1 || started.is_some() {
        let first = &window.histograms[0];
        let last = &window.histograms[count - 1];
        let mut change = histogram_change(window.histograms, starts, started.is_some(), kind.counter, scope)?;
        if count == 1 {
            // All of a single sample since its start is the sample, and says what that says of itself.
            change.reset_hint = last.1.reset_hint;
        }
        let observed =
            Observed { first: first.0, last: last.0, intervals: count - 1, started, value: first.1.count };
        let factor = extrapolation((window.start, window.end), &observed, range_ms, kind, change.count);
        return Some(Value::Histogram(Arc::new(native::scaled(&change, factor))));
    }
    let (first, rest) = window.values.split_first()?;
    let starts = if kind.counter { window.starts } else { Starts::default() };
    let started = starts.first_within(window.start, window.times[0]);
    if rest.is_empty() && started.is_none() {
        return None;
    }
    let mut change = window.values[rest.len()] - first;
    if kind.counter {
        if let Some(lost) = lost {
            change = lost.iter().fold(change, |change, lost| change + lost);
        } else {
            let mut previous = *first;
            for (index, value) in rest.iter().enumerate() {
                if *value < previous || starts.restarted(index + 1, |i| window.times[i]) {
                    change += previous;
                }
                previous = *value;
            }
        }
        if started.is_some() {
            change += first;
        }
    }
    let (first_time, last_time) = (window.times[0], window.times[rest.len()]);
    let observed =
        Observed { first: first_time, last: last_time, intervals: rest.len(), started, value: *first };
    let factor = extrapolation((window.start, window.end), &observed, range_ms, kind, change);
    Some(Value::Float(change * factor))
}

/// What of a range was observed.
pub(crate) struct Observed {
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// Between samples.
    pub(crate) intervals: usize,
    /// Where the counter stood at zero, if that is within the range before the first sample.
    pub(crate) started: Option<Timestamp>,
    /// The first sample, or what counts in it.
    pub(crate) value: f64,
}

/// By how much the observed change is multiplied to stand for the whole range.
///
/// The samples rarely reach the range's edges. Where they come close (within 1.1 of the average distance),
/// the series is taken to go on to the edge, otherwise for half an average distance. A counter is not
/// extrapolated below zero.
pub(crate) fn extrapolation(
    (start, end): (i64, i64),
    observed: &Observed,
    range_ms: i64,
    kind: Kind,
    change: f64,
) -> f64 {
    let Observed { first, last, intervals, started, value } = *observed;
    let mut to_start = first.millis().saturating_sub(start) as f64 / 1000.0;
    let mut to_end = end.saturating_sub(last.millis()) as f64 / 1000.0;
    let mut sampled = last.since(first) as f64 / 1000.0;
    // How far samples are apart says nothing where there is one only: it is not extrapolated then.
    let average = if intervals == 0 { 0.0 } else { sampled / intervals as f64 };
    let threshold = average * 1.1;
    if to_start >= threshold {
        to_start = average / 2.0;
    }
    if let Some(started) = started {
        // From zero on, everything was observed.
        sampled = last.since(started) as f64 / 1000.0;
        to_start = 0.0;
    } else if kind.counter {
        let mut to_zero = to_start;
        if change > 0.0 && value >= 0.0 {
            to_zero = sampled * (value / change);
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

/// The change over a window of histograms; from zero on, where that lies between `started` and the first.
fn histogram_change(
    points: &[(Timestamp, Arc<Histogram>)],
    starts: Starts<'_>,
    started: bool,
    counter: bool,
    scope: &Scope<'_, '_>,
) -> Option<Histogram> {
    let (first, last) = (&points[0].1, &points[points.len() - 1].1);
    let gauge = |h: &Histogram| h.reset_hint == ResetHint::Gauge;
    let restarted = |index: usize| starts.restarted(index, |i| points[i].0);
    let mut start = (**first).clone();
    if counter {
        if points.iter().any(|(_, h)| gauge(h)) {
            scope.warn_about_metric("this native histogram metric is not a counter:");
        }
        if let Some((_, second)) = points.get(1)
            && !started
            && (native::is_reset(second, first) || restarted(1))
        {
            // The first sample counts for nothing then, whatever its layout.
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
    let between = points.get(1..points.len() - 1).unwrap_or(&[]);
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
    let reconciled = |word: &str| scope.info_reconciled(word);
    let outcome = native::subtract(&native::at_schema(last, schema), &start).ok()?;
    if outcome.bounds_reconciled {
        reconciled("subtraction");
    }
    let mut change = outcome.histogram;
    if counter {
        let mut add = |lost: &Histogram| {
            let outcome = native::add(&change, lost).ok()?;
            if outcome.bounds_reconciled {
                reconciled("addition");
            }
            change = outcome.histogram;
            Some(())
        };
        let mut previous = &start;
        for (index, (_, current)) in points.iter().enumerate().skip(1) {
            if native::is_reset(current, previous) || restarted(index) {
                add(previous)?;
            }
            previous = current;
        }
        if started {
            add(&start)?;
        }
    }
    change.reset_hint = ResetHint::Gauge;
    Some(native::compact(&change))
}

/// The change between the last two samples.
pub(crate) fn instant(window: &Window<'_>, rate: bool, scope: &Scope<'_, '_>) -> Option<Value> {
    if window.histograms.is_empty() {
        return instant_of_floats(window, rate).map(Value::Float);
    }
    let mut latest: Vec<((Timestamp, Timestamp), Value)> = Vec::with_capacity(4);
    for index in (0..window.values.len()).rev().take(2) {
        latest.push(((window.times[index], window.starts.get(index)), Value::Float(window.values[index])));
    }
    for (index, (time, histogram)) in window.histograms.iter().enumerate().rev().take(2) {
        let start = window.histogram_starts.get(index);
        latest.push(((*time, start), Value::Histogram(Arc::clone(histogram))));
    }
    latest.sort_by_key(|((time, _), _)| std::cmp::Reverse(*time));
    let [(after, last), (before, previous), ..] = latest.as_slice() else { return None };
    let interval = after.0.since(before.0);
    if interval == 0 {
        return None;
    }
    let seconds = interval as f64 / 1000.0;
    let restarted = rate && restarted(*before, *after);
    match (previous, last) {
        (Value::Float(previous), Value::Float(last)) => {
            let change = if restarted || rate && last < previous { *last } else { last - previous };
            Some(Value::Float(if rate { change / seconds } else { change }))
        }
        (Value::Histogram(previous), Value::Histogram(last)) => {
            let change = instant_change(previous, last, rate, restarted, scope)?;
            let change = if rate { native::divided(&change, seconds) } else { change };
            Some(Value::Histogram(Arc::new(change)))
        }
        _ => {
            scope.warn_mixed();
            None
        }
    }
}

/// The same where there are floats only.
fn instant_of_floats(window: &Window<'_>, rate: bool) -> Option<f64> {
    let last = window.values.len().checked_sub(1)?;
    let before = last.checked_sub(1)?;
    let interval = window.times[last].since(window.times[before]);
    if interval == 0 {
        return None;
    }
    let (from, to) = (window.values[before], window.values[last]);
    if !rate {
        return Some(to - from);
    }
    let reset = to < from || window.starts.restarted(last, |i| window.times[i]);
    let change = if reset { to } else { to - from };
    Some(change / (interval as f64 / 1000.0))
}

fn instant_change(
    previous: &Histogram,
    last: &Histogram,
    rate: bool,
    restarted: bool,
    scope: &Scope<'_, '_>,
) -> Option<Histogram> {
    let is_gauge = |h: &Histogram| h.reset_hint == ResetHint::Gauge;
    if rate && (is_gauge(previous) || is_gauge(last)) {
        scope.warn_about_metric("this native histogram metric is not a counter:");
    }
    if !rate && (!is_gauge(previous) || !is_gauge(last)) {
        scope.warn_about_metric("this native histogram metric is not a gauge:");
    }
    let mut change = if restarted || rate && native::is_reset(last, previous) {
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
