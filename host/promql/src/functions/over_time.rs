//! Functions that fold the samples of a window into one.

use std::sync::Arc;

use model::{Histogram, Timestamp, Value};

use super::rate::{self, Kind};
use super::{quantile, regression, start};
use crate::error::QueryError;
use crate::exec::finish_sum;
use crate::exec::running::Running;
use crate::exec::window::{Scope, Window};
use crate::kahan::{Kahan, Mean};
use crate::native;
use crate::plan::WindowFunction;

/// Refuses scalar arguments of a step that make no sense, where there is something to use them on.
pub(crate) fn check_args(function: WindowFunction, args: &[f64]) -> Result<(), QueryError> {
    if function != WindowFunction::DoubleExponentialSmoothing {
        return Ok(());
    }
    for (value, (what, short)) in args.iter().zip([("smoothing", "sf"), ("trend", "tf")]) {
        if *value <= 0.0 || *value >= 1.0 {
            let text = format!("invalid {what} factor. Expected: 0 < {short} < 1, got: {value:.6}");
            return Err(QueryError::Execution(text));
        }
    }
    Ok(())
}

/// What the function makes of a window that is not empty, with what was kept from the windows before.
pub(crate) fn advance(
    function: WindowFunction,
    window: &Window<'_>,
    range_ms: i64,
    args: &[f64],
    running: &mut Running<'_>,
    scope: &Scope<'_, '_>,
) -> Option<Value> {
    let range = window.floats.0..window.floats.1;
    let value = match running {
        Running::Extreme(extreme) => {
            let at = extreme.at(&range) - range.start;
            let of_time = matches!(function, WindowFunction::TimeOfMax | WindowFunction::TimeOfMin);
            if of_time { window.times[at].secs_f64() } else { window.values[at] }
        }
        Running::Changes(changes) => changes.lost(&range).len() as f64,
        Running::Spread(folded) => {
            let variance = folded.at(&range)?.variance();
            if function == WindowFunction::Stddev { variance.sqrt() } else { variance }
        }
        Running::Line(folded) => {
            let origin = folded.seconds(window.at);
            let (slope, value) = folded.at(&range)?.fit(origin)?;
            let ahead = args.first().copied().unwrap_or(0.0);
            if function == WindowFunction::Deriv { slope } else { slope * ahead + value }
        }
        Running::Sorted(sorted) if function == WindowFunction::Mad => {
            quantile::median_deviation(sorted.at(&range))
        }
        Running::Sorted(sorted) => {
            let q = args.first().copied().unwrap_or(f64::NAN);
            quantile::check(q, &scope.cx.notes, scope.arg_span);
            quantile::of_sorted(q, sorted.at(&range))
        }
        Running::Sum { sum, mean: true } => sum.at(&range) / range.len() as f64,
        Running::Sum { sum, mean: false } => sum.at(&range),
        Running::Resets(resets) => {
            let lost = resets.lost(&range);
            if function == WindowFunction::Resets {
                lost.len() as f64
            } else {
                let kind = Kind { counter: true, per_second: function == WindowFunction::Rate };
                return rate::extrapolated(window, range_ms, kind, Some(lost), scope);
            }
        }
    };
    Some(Value::Float(value))
}

/// What the function makes of a window that is not empty.
pub(crate) fn evaluate(
    function: WindowFunction,
    window: &Window<'_>,
    range_ms: i64,
    args: &[f64],
    scope: &Scope<'_, '_>,
) -> Option<Value> {
    let kind = |counter, per_second| Kind { counter, per_second };
    match function {
        WindowFunction::Rate => return rate::extrapolated(window, range_ms, kind(true, true), None, scope),
        WindowFunction::Increase => {
            return rate::extrapolated(window, range_ms, kind(true, false), None, scope);
        }
        WindowFunction::Delta => {
            return rate::extrapolated(window, range_ms, kind(false, false), None, scope);
        }
        WindowFunction::Irate => return rate::instant(window, true, scope),
        WindowFunction::Idelta => return rate::instant(window, false, scope),
        WindowFunction::Sum => return sum(window, false, scope),
        WindowFunction::Avg => return sum(window, true, scope),
        WindowFunction::Last => return edge(window, true),
        WindowFunction::First => return edge(window, false),
        _ => {}
    }
    let value = match function {
        WindowFunction::Count => (window.values.len() + window.histograms.len()) as f64,
        WindowFunction::Present => 1.0,
        WindowFunction::Resets => changes(window, true),
        WindowFunction::Changes => changes(window, false),
        WindowFunction::TimeOfFirst => edge_time(window, false)?.secs_f64(),
        WindowFunction::TimeOfLast => edge_time(window, true)?.secs_f64(),
        _ => of_floats(function, window, args, scope)?,
    };
    Some(Value::Float(value))
}

/// Functions that know floats only; histograms beside floats are passed over with a note.
fn of_floats(
    function: WindowFunction,
    window: &Window<'_>,
    args: &[f64],
    scope: &Scope<'_, '_>,
) -> Option<f64> {
    let values = window.values;
    if values.is_empty() {
        return None;
    }
    let two = matches!(
        function,
        WindowFunction::Deriv | WindowFunction::PredictLinear | WindowFunction::DoubleExponentialSmoothing
    );
    if two && values.len() < 2 {
        if values.len() == 1 && !window.histograms.is_empty() {
            scope.info_ignored_histograms();
        }
        return None;
    }
    if !window.histograms.is_empty() {
        scope.info_ignored_histograms();
    }
    let arg = |index: usize| args.get(index).copied().unwrap_or(f64::NAN);
    Some(match function {
        WindowFunction::Min => extreme(values, false).0,
        WindowFunction::Max => extreme(values, true).0,
        WindowFunction::TimeOfMin => window.times[extreme(values, false).1].secs_f64(),
        WindowFunction::TimeOfMax => window.times[extreme(values, true).1].secs_f64(),
        WindowFunction::Stdvar => variance(values),
        WindowFunction::Stddev => variance(values).sqrt(),
        WindowFunction::Quantile => {
            quantile::check(arg(0), &scope.cx.notes, scope.arg_span);
            quantile::of_values(arg(0), &mut values.to_vec())
        }
        WindowFunction::Mad if values.iter().any(|v| v.is_nan()) => f64::NAN,
        WindowFunction::Mad => {
            let median = quantile::of_values(0.5, &mut values.to_vec());
            let mut deviations: Vec<f64> = values.iter().map(|v| (v - median).abs()).collect();
            quantile::of_values(0.5, &mut deviations)
        }
        WindowFunction::Deriv => regression::linear(window.times, values, window.times[0].millis()).0,
        WindowFunction::PredictLinear => {
            let (slope, intercept) = regression::linear(window.times, values, window.at);
            slope * arg(0) + intercept
        }
        WindowFunction::DoubleExponentialSmoothing => regression::double_exponential(values, arg(0), arg(1))?,
        _ => return None,
    })
}

/// The largest or smallest value and where it is; for equal ones the last. What is not a number counts only
/// where nothing else is.
fn extreme(values: &[f64], max: bool) -> (f64, usize) {
    let (mut best, mut at) = (values[0], 0);
    for (index, value) in values.iter().enumerate().skip(1) {
        if best.is_nan() || (max && *value >= best) || (!max && *value <= best) {
            (best, at) = (*value, index);
        }
    }
    (best, at)
}

fn variance(values: &[f64]) -> f64 {
    let (mut count, mut mean, mut squares) = (0.0, Kahan::ZERO, Kahan::ZERO);
    for value in values {
        count += 1.0;
        let delta = value - (mean.sum + mean.compensation);
        mean.add(delta / count);
        squares.add(delta * (value - (mean.sum + mean.compensation)));
    }
    (squares.sum + squares.compensation) / count
}

fn sum(window: &Window<'_>, mean: bool, scope: &Scope<'_, '_>) -> Option<Value> {
    if window.is_mixed() {
        scope.warn_mixed();
        return None;
    }
    if let Some(((_, first), rest)) = window.histograms.split_first() {
        let mut sum = native::HistogramSum::new(first, mean);
        for (_, histogram) in rest {
            if sum.add(histogram).is_err() {
                scope.warn_mixed_schemas();
                return None;
            }
        }
        return Some(Value::Histogram(Arc::new(finish_sum(sum, scope.cx, scope.span))));
    }
    if mean {
        let mut mean = Mean::EMPTY;
        window.values.iter().for_each(|v| mean.add(*v));
        return Some(Value::Float(mean.total()));
    }
    let mut sum = Kahan::ZERO;
    window.values.iter().for_each(|v| sum.add(*v));
    Some(Value::Float(sum.total()))
}

fn edge_time(window: &Window<'_>, last: bool) -> Option<Timestamp> {
    if last {
        window.times.last().copied().max(window.histograms.last().map(|(t, _)| *t))
    } else {
        let float = window.times.first().copied();
        let histogram = window.histograms.first().map(|(t, _)| *t);
        float.into_iter().chain(histogram).min()
    }
}

fn edge(window: &Window<'_>, last: bool) -> Option<Value> {
    let time = edge_time(window, last)?;
    let histogram = if last { window.histograms.last() } else { window.histograms.first() };
    if let Some((at, histogram)) = histogram
        && *at == time
    {
        return Some(Value::Histogram(Arc::clone(histogram)));
    }
    let value = if last { window.values.last() } else { window.values.first() };
    value.map(|v| Value::Float(*v))
}

/// How often the value changed, or fell back.
fn changes(window: &Window<'_>, resets: bool) -> f64 {
    let mut count = 0.0;
    if window.histograms.is_empty() {
        for (index, pair) in window.values.windows(2).enumerate() {
            let (a, b) = (pair[0], pair[1]);
            let counts = if resets {
                b < a || window.starts.restarted(index + 1, |i| window.times[i])
            } else {
                a != b && !(a.is_nan() && b.is_nan())
            };
            count += f64::from(u8::from(counts));
        }
        return count;
    }
    let floats = window.times.iter().zip(window.values).enumerate();
    let mut all: Vec<((Timestamp, Timestamp), Sample<'_>)> =
        floats.map(|(i, (t, v))| ((*t, window.starts.get(i)), Sample::Float(*v))).collect();
    let histograms = window.histograms.iter().enumerate();
    all.extend(histograms.map(|(i, (t, h))| ((*t, window.histogram_starts.get(i)), Sample::Histogram(h))));
    all.sort_by_key(|((time, _), _)| *time);
    for pair in all.windows(2) {
        let restarted = start::restarted(pair[0].0, pair[1].0);
        let counts = match (&pair[0].1, &pair[1].1) {
            (Sample::Float(a), Sample::Float(b)) => {
                if resets {
                    b < a || restarted
                } else {
                    a != b && !(a.is_nan() && b.is_nan())
                }
            }
            (Sample::Histogram(a), Sample::Histogram(b)) => {
                if resets {
                    native::is_reset(b, a) || restarted
                } else {
                    native::compact(a) != native::compact(&with_hint(b, a))
                }
            }
            // From one kind to the other is a change and a reset alike.
            _ => true,
        };
        count += f64::from(u8::from(counts));
    }
    count
}

enum Sample<'a> {
    Float(f64),
    Histogram(&'a Histogram),
}

fn with_hint(h: &Histogram, of: &Histogram) -> Histogram {
    Histogram { reset_hint: of.reset_hint, ..h.clone() }
}
