//! Whether a result is the one that a script expects.

use std::collections::BTreeMap;

use model::staleness::is_stale;
use model::{Histogram, Labels, Timestamp, Value};

use super::command::{Eval, Expected, Notes, Times};
use super::series::Item;
use crate::answer::{MatrixSeries, QueryResult, QueryValue};
use crate::native;

/// Relative difference that still counts as equal.
const EPSILON: f64 = 1e-6;

type Compared = Result<(), String>;

pub(super) fn compare(eval: &Eval, result: &QueryResult) -> Compared {
    notes("warning", &eval.warnings, &result.warnings)?;
    notes("info", &eval.infos, &result.infos)?;
    value(eval, result, eval.ordered)
}

/// Compares the value alone.
pub(super) fn value(eval: &Eval, result: &QueryResult, ordered: bool) -> Compared {
    match (&eval.value, &result.value) {
        (Expected::Scalar(wanted), QueryValue::Scalar { value, .. }) => {
            if floats_equal(*wanted, *value) {
                Ok(())
            } else {
                Err(format!("expected {wanted}, got {value}"))
            }
        }
        (Expected::String(wanted), QueryValue::String { value, .. }) => {
            if wanted == value {
                Ok(())
            } else {
                Err(format!("expected {wanted:?}, got {value:?}"))
            }
        }
        (Expected::Series(wanted), QueryValue::Vector(found)) => {
            let found: Vec<(&Labels, &Value)> = found.iter().map(|s| (&s.labels, &s.value)).collect();
            vector(wanted, &found, ordered)
        }
        (Expected::Series(wanted), QueryValue::Matrix(found)) => match eval.times {
            Times::Range { start, step_ms, .. } => matrix(wanted, found, start, step_ms),
            Times::Instant(_) => Err("got a matrix".to_owned()),
        },
        (Expected::Matrix { start, step_ms, series }, QueryValue::Matrix(found)) => {
            matrix(series, found, *start, *step_ms)
        }
        (wanted, found) => Err(format!("expected {wanted:?}, got {found:?}")),
    }
}

/// The text without its `(line:column)`, and without what is only told where the query is known.
fn without_place(text: &str) -> &str {
    let text = text.rsplit_once(" (").map_or(text, |(text, _)| text);
    text.split_once(crate::annotations::MENDED_DETAIL).map_or(text, |(text, _)| text)
}

fn notes(what: &str, wanted: &Notes, found: &[String]) -> Compared {
    if wanted.none && !found.is_empty() {
        return Err(format!("unexpected {what}: {found:?}"));
    }
    if wanted.wanted.is_empty() {
        return Ok(());
    }
    let meets =
        |text: &super::command::Text, note: &String| text.matches(note) || text.matches(without_place(note));
    if let Some(odd) = found.iter().find(|note| !wanted.wanted.iter().any(|text| meets(text, note))) {
        return Err(format!("unexpected {what}: {odd}"));
    }
    match wanted.wanted.iter().find(|text| !found.iter().any(|note| meets(text, note))) {
        Some(text) => Err(format!("missing {what} {text:?}, got {found:?}")),
        None => Ok(()),
    }
}

fn vector(wanted: &[(Labels, Vec<Item>)], found: &[(&Labels, &Value)], ordered: bool) -> Compared {
    let mut by_labels: BTreeMap<&Labels, (usize, &Value)> = BTreeMap::new();
    for (index, (labels, value)) in found.iter().enumerate() {
        if by_labels.insert(labels, (index, value)).is_some() {
            return Err(format!("{labels} came twice"));
        }
    }
    for (index, (labels, items)) in wanted.iter().enumerate() {
        let Some(item) = items.first() else { return Err(format!("no value for {labels}")) };
        let Some((at, value)) = by_labels.remove(labels) else {
            return Err(format!("missing {labels}, got {found:?}"));
        };
        if ordered && at != index {
            return Err(format!("{labels} came at {at}, expected {index}"));
        }
        same(item, Some(value)).map_err(|e| format!("{labels}: {e}"))?;
    }
    match by_labels.first_key_value() {
        Some((labels, (_, value))) => Err(format!("unexpected {labels} {value:?}")),
        None => Ok(()),
    }
}

fn matrix(
    wanted: &[(Labels, Vec<Item>)],
    found: &[MatrixSeries],
    start: Timestamp,
    step_ms: i64,
) -> Compared {
    if found.windows(2).any(|pair| pair[0].labels >= pair[1].labels) {
        return Err("matrix is not sorted by labels".to_owned());
    }
    let mut by_labels: BTreeMap<&Labels, BTreeMap<Timestamp, Value>> = BTreeMap::new();
    for series in found {
        let mut values: BTreeMap<Timestamp, Value> =
            series.floats.iter().map(|s| (s.timestamp, Value::Float(s.value))).collect();
        values.extend(series.histograms.iter().map(|(t, h)| (*t, Value::Histogram(h.clone()))));
        by_labels.insert(&series.labels, values);
    }
    for (labels, items) in wanted {
        let mut values = by_labels.remove(labels).unwrap_or_default();
        for (step, item) in items.iter().enumerate() {
            let time = start.offset(step_ms * step as i64);
            same(item, values.remove(&time).as_ref())
                .map_err(|e| format!("{labels} at {time:?}: {e}; got {found:?}"))?;
        }
        if let Some((time, value)) = values.first_key_value() {
            return Err(format!("{labels}: unexpected {value:?} at {time:?}"));
        }
    }
    match by_labels.first_key_value() {
        Some((labels, values)) => Err(format!("unexpected {labels}: {values:?}")),
        None => Ok(()),
    }
}

fn same(item: &Item, found: Option<&Value>) -> Compared {
    let equal = match (&item.value, found) {
        (None, None) => true,
        (Some(Value::Float(a)), Some(Value::Float(b))) => floats_equal(*a, *b),
        (Some(Value::Histogram(a)), Some(Value::Histogram(b))) => histograms_equal(a, b, item.hinted),
        _ => false,
    };
    if equal { Ok(()) } else { Err(format!("expected {:?}, got {found:?}", item.value)) }
}

fn floats_equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

fn histograms_equal(wanted: &Histogram, found: &Histogram, hinted: bool) -> bool {
    let (a, b) = (native::compact(wanted), native::compact(found));
    let sides = [(&a.positive, &b.positive), (&a.negative, &b.negative)];
    let buckets = sides.iter().all(|(x, y)| {
        x.counts.len() == y.counts.len()
            && x.iter().zip(y.iter()).all(|((i, m), (j, n))| i == j && floats_equal(m, n))
    });
    a.schema == b.schema
        && a.zero_threshold == b.zero_threshold
        && a.custom_values.as_deref().unwrap_or(&[]) == b.custom_values.as_deref().unwrap_or(&[])
        && floats_equal(a.zero_count, b.zero_count)
        && floats_equal(a.count, b.count)
        && floats_equal(a.sum, b.sum)
        && buckets
        && (!hinted || a.reset_hint == b.reset_hint)
}
