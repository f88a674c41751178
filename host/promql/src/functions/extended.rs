//! Ranges with treated edges: `anchored` takes the last sample at or before the start, `smoothed` interpolates
//! at both edges. Nothing is extrapolated.

use std::ops::Range;
use std::sync::Arc;

use model::{Histogram, ResetHint, Timestamp, Value};

use super::over_time;
use super::start::Starts;
use crate::error::QueryError;
use crate::exec::window::{Scope, Window};
use crate::native;
use crate::parser::Extension;
use crate::plan::WindowFunction;
use crate::read::Columns;

/// The edges of one step.
#[derive(Clone, Copy)]
pub(crate) struct Edges {
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// How far beyond the edges samples still count.
    pub(crate) lookback_ms: i64,
    pub(crate) smoothed: bool,
}

/// Which functions know such ranges; others are refused with this text.
pub(crate) fn refusal(function: WindowFunction, name: &str, extension: Extension) -> Option<String> {
    use WindowFunction::{Changes, Delta, Increase, Rate, Resets};
    let refused = |modifier: &str, known: &str| {
        Some(format!("{modifier} modifier can only be used with: {known} - not with {name}"))
    };
    match extension {
        Extension::Anchored if !matches!(function, Changes | Delta | Increase | Rate | Resets) => {
            refused("anchored", "changes, delta, increase, rate, resets")
        }
        Extension::Smoothed if !matches!(function, Delta | Increase | Rate) => {
            refused("smoothed", "delta, increase, rate")
        }
        _ => None,
    }
}

/// What the function makes of the samples around one step.
pub(crate) fn evaluate(
    function: WindowFunction,
    columns: &Columns,
    edges: Edges,
    scope: &Scope<'_, '_>,
) -> Option<Value> {
    let float_times = |i: usize| columns.timestamps[i].millis();
    let histogram_times = |i: usize| columns.histograms[i].0.millis();
    let floats = around(columns.timestamps.len(), float_times, edges);
    let histograms = around(columns.histograms.len(), histogram_times, edges);
    if matches!(function, WindowFunction::Changes | WindowFunction::Resets) {
        return of_both(function, columns, floats, histograms, edges, scope);
    }
    // Both kinds do not mix, nor where one of them is only as near as interpolation looks.
    let reached = |count: usize, time: &dyn Fn(usize) -> i64| {
        let oldest = edges.start.saturating_sub(edges.lookback_ms);
        let newest = edges.end.saturating_add(if edges.smoothed { edges.lookback_ms } else { 0 });
        partition(count, |i| time(i) <= oldest) < partition(count, |i| time(i) <= newest)
    };
    if reached(columns.timestamps.len(), &float_times) && reached(columns.histograms.len(), &histogram_times)
    {
        scope.warn_mixed();
        return None;
    }
    let counter = function != WindowFunction::Delta;
    let seconds = edges.end.saturating_sub(edges.start) as f64 / 1000.0;
    let factor = if function == WindowFunction::Rate { 1.0 / seconds } else { 1.0 };
    match (floats.is_empty(), histograms.is_empty()) {
        (false, _) => {
            let points: Vec<(i64, f64)> = floats.map(|i| (float_times(i), columns.values[i])).collect();
            change(&points, edges, counter, &|_| {}).map(|change| Value::Float(change * factor))
        }
        (true, false) => {
            let points: Vec<(i64, Histogram)> =
                histograms.map(|i| (histogram_times(i), (*columns.histograms[i].1).clone())).collect();
            let custom = points.first()?.1.has_custom_bounds();
            if points.iter().any(|(_, h)| h.has_custom_bounds() != custom) {
                scope.warn_mixed_schemas();
                return None;
            }
            if counter && points.iter().any(|(_, h)| h.reset_hint == ResetHint::Gauge) {
                scope.warn_about_metric("this native histogram metric is not a counter:");
            }
            let gauge = |point: Option<&(i64, Histogram)>| {
                point.is_some_and(|(_, h)| h.reset_hint == ResetHint::Gauge)
            };
            let gauges = gauge(points.first()) && gauge(points.last());
            if !counter && !gauges {
                scope.warn_about_metric("this native histogram metric is not a gauge:");
            }
            let tell = |word: &str| scope.info_reconciled(word);
            let mut change = change(&points, edges, counter, &tell)?.times(factor);
            change.reset_hint = ResetHint::Gauge;
            Some(Value::Histogram(Arc::new(native::compact(&change))))
        }
        (true, true) => None,
    }
}

/// The samples of a range with its edges treated, for a query that asks for nothing else. Interpolation takes nothing for
/// a counter.
///
/// # Errors
/// Histograms are not known there.
pub(crate) fn edged(columns: &Columns, edges: Edges) -> Result<Columns, QueryError> {
    if !columns.histograms.is_empty() {
        let modifier = if edges.smoothed { "smoothed" } else { "anchored" };
        let text = format!("{modifier} modifier is not supported with histograms");
        return Err(QueryError::Execution(text));
    }
    let times = columns.timestamps.iter().map(|time| time.millis());
    let points: Vec<(i64, f64)> = times.zip(columns.values.iter().copied()).collect();
    let mut kept = Columns::default();
    let Some(newest) = points.len().checked_sub(1) else { return Ok(kept) };
    let mut first = points[..newest].partition_point(|(time, _)| *time <= edges.start).saturating_sub(1);
    let mut last = newest;
    if edges.smoothed {
        last = points[..newest].partition_point(|(time, _)| *time < edges.end);
    }
    if points[last].0 <= edges.start {
        return Ok(kept);
    }
    let between = |at: usize, time: i64| {
        interpolated(&points[at], &points[at + 1], time, (false, false), &|_| {}).unwrap_or(f64::NAN)
    };
    let left = if edges.smoothed && points[first].0 < edges.start {
        between(first, edges.start)
    } else {
        points[first].1
    };
    let right = if edges.smoothed && last > 0 && points[last].0 > edges.end {
        between(last - 1, edges.end)
    } else {
        points[last].1
    };
    first += usize::from(points[first].0 <= edges.start);
    let end = last + usize::from(points[last].0 < edges.end);
    kept.push(Timestamp::from_millis(edges.start), left);
    for (time, value) in points.get(first..end).unwrap_or(&[]) {
        kept.push(Timestamp::from_millis(*time), *value);
    }
    kept.push(Timestamp::from_millis(edges.end), right);
    Ok(kept)
}

/// The samples within the range, with the one before it and, where edges are smoothed, the one after it.
/// Empty where there is nothing but old samples.
fn around(count: usize, time: impl Fn(usize) -> i64, edges: Edges) -> Range<usize> {
    let first_after = |limit: i64| partition(count, |i| time(i) <= limit);
    let (inside, outside) = (first_after(edges.start), first_after(edges.end));
    let mut from = inside;
    if from > 0 && time(from - 1) > edges.start.saturating_sub(edges.lookback_ms) {
        from -= 1;
    }
    let mut to = outside;
    let ends_on_edge = to > 0 && time(to - 1) == edges.end;
    let reachable = to < count && time(to) <= edges.end.saturating_add(edges.lookback_ms);
    if edges.smoothed && !ends_on_edge && reachable {
        to += 1;
    }
    if to <= inside { inside..inside } else { from..to }
}

fn partition(count: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = usize::midpoint(low, high);
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// `changes` and `resets` look at floats and histograms alike; one of them is the latest before the start.
fn of_both(
    function: WindowFunction,
    columns: &Columns,
    floats: Range<usize>,
    histograms: Range<usize>,
    edges: Edges,
    scope: &Scope<'_, '_>,
) -> Option<Value> {
    let oldest = edges.start.saturating_sub(edges.lookback_ms);
    let before = |times: &mut dyn Iterator<Item = Timestamp>| {
        times.map(Timestamp::millis).filter(|t| *t <= edges.start && *t > oldest).max()
    };
    let float_before = before(&mut columns.timestamps.iter().copied());
    let histogram_before = before(&mut columns.histograms.iter().map(|(t, _)| *t));
    let start = float_before.max(histogram_before).map_or(edges.start, |t| t - 1);
    let inside = |time: Timestamp| time.millis() > edges.start && time.millis() <= edges.end;
    let any = columns.timestamps[floats].iter().any(|t| inside(*t))
        || columns.histograms[histograms].iter().any(|(t, _)| inside(*t));
    if !any {
        return None;
    }
    let cut = |count: usize, time: &dyn Fn(usize) -> i64| {
        partition(count, |i| time(i) <= start)..partition(count, |i| time(i) <= edges.end)
    };
    let floats = cut(columns.timestamps.len(), &|i| columns.timestamps[i].millis());
    let histograms = cut(columns.histograms.len(), &|i| columns.histograms[i].0.millis());
    let window = Window {
        times: &columns.timestamps[floats.clone()],
        values: &columns.values[floats.clone()],
        histograms: &columns.histograms[histograms.clone()],
        starts: Starts::new(&columns.start_timestamps, floats.clone()),
        floats: (floats.start, floats.end),
        histogram_starts: Starts::new(&columns.histogram_start_timestamps, histograms),
        start,
        end: edges.end,
        at: edges.end,
    };
    over_time::evaluate(function, &window, edges.end.saturating_sub(start), &[], scope)
}

/// Takes what bounds were reconciled at: `addition` or `subtraction`.
pub(crate) type Tell<'t> = &'t dyn Fn(&str);

/// What can be interpolated: floats and histograms.
pub(crate) trait Quantity: Clone {
    /// `tell` is told where custom bounds had to be reconciled, and at what.
    fn minus(&self, other: &Self, tell: Tell<'_>) -> Option<Self>;
    fn plus(&self, other: &Self, tell: Tell<'_>) -> Option<Self>;
    fn times(&self, factor: f64) -> Self;
    /// Whether a counter was reset on the way from `previous`.
    fn fell_from(&self, previous: &Self) -> bool;
}

impl Quantity for f64 {
    fn minus(&self, other: &Self, _: Tell<'_>) -> Option<Self> {
        Some(self - other)
    }

    fn plus(&self, other: &Self, _: Tell<'_>) -> Option<Self> {
        Some(self + other)
    }

    fn times(&self, factor: f64) -> Self {
        self * factor
    }

    fn fell_from(&self, previous: &Self) -> bool {
        self < previous
    }
}

fn told(outcome: native::Outcome, word: &str, tell: Tell<'_>) -> Option<Histogram> {
    if outcome.bounds_reconciled {
        tell(word);
    }
    Some(outcome.histogram)
}

impl Quantity for Histogram {
    fn minus(&self, other: &Self, tell: Tell<'_>) -> Option<Self> {
        told(native::subtract(self, other).ok()?, "subtraction", tell)
    }

    fn plus(&self, other: &Self, tell: Tell<'_>) -> Option<Self> {
        told(native::add(self, other).ok()?, "addition", tell)
    }

    fn times(&self, factor: f64) -> Self {
        native::scaled(self, factor)
    }

    fn fell_from(&self, previous: &Self) -> bool {
        native::is_reset(self, previous)
    }
}

/// The value at `time` between two samples. Across a reset the counter is taken to start again from zero at
/// the earlier sample; `onto` says whether that counts on from the earlier value.
pub(crate) fn interpolated<Q: Quantity>(
    (from_time, from): &(i64, Q),
    (to_time, to): &(i64, Q),
    time: i64,
    (counter, onto): (bool, bool),
    tell: Tell<'_>,
) -> Option<Q> {
    let share = (time - from_time) as f64 / (to_time - from_time) as f64;
    if counter && to.fell_from(from) {
        let risen = to.times(share);
        return if onto { from.plus(&risen, tell) } else { Some(risen) };
    }
    from.plus(&to.minus(from, tell)?.times(share), tell)
}

fn change<Q: Quantity>(points: &[(i64, Q)], edges: Edges, counter: bool, tell: Tell<'_>) -> Option<Q> {
    let (first, last) = (points.first()?, points.last()?);
    let cut_left = edges.smoothed && first.0 < edges.start && points.len() > 1;
    let cut_right = edges.smoothed && last.0 > edges.end && points.len() > 1;
    let left = if cut_left {
        interpolated(first, &points[1], edges.start, (counter, false), tell)?
    } else {
        first.1.clone()
    };
    let right = if cut_right {
        let same_gap = cut_left && points.len() == 2;
        interpolated(&points[points.len() - 2], last, edges.end, (counter, !same_gap), tell)?
    } else if last.0 > edges.end {
        return None;
    } else {
        last.1.clone()
    };
    let mut change = right.minus(&left, tell)?;
    if counter {
        // Resets in the gaps at the edges are part of the interpolation.
        let from = usize::from(cut_left);
        let to = points.len() - usize::from(cut_right);
        for pair in points.get(from..to).unwrap_or(&[]).windows(2) {
            if pair[1].1.fell_from(&pair[0].1) {
                change = change.plus(&pair[0].1, tell)?;
            }
        }
    }
    Some(change)
}
