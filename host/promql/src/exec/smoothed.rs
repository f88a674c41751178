//! `v smoothed`: the value at each step, interpolated between the samples around it.

use std::sync::Arc;

use model::staleness::is_stale;
use model::{Histogram, Timestamp, Value};

use super::window::Scope;
use super::{Column, Context, Grid, Series, Sink, Size, parallel};
use crate::error::QueryError;
use crate::functions::extended::interpolated;
use crate::plan;
use crate::read::{Columns, Select, SeriesReader};

pub(crate) fn run(
    select: &plan::Select,
    cx: &Context<'_>,
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let first = select.shift.apply(grid.start).saturating_sub(cx.lookback_ms);
    let last = select.shift.apply(grid.end()).saturating_add(cx.lookback_ms);
    let (start, end) = (Timestamp::from_millis(first.saturating_add(1)), Timestamp::from_millis(last));
    let request = Select { matchers: &select.matchers, start, end, step_ms: cx.step_ms };
    let evaluate = |reader: &dyn SeriesReader, columns: &mut Columns| {
        cx.read(reader, start, end, columns)?;
        let size = Size::of_columns(columns);
        cx.count_read(size.samples);
        cx.hold(size)?;
        let samples = samples(columns);
        let name = reader.labels().metric_name().unwrap_or("");
        let scope = Scope { cx, span: select.span, metric_name: name };
        let mut column = Column::empty(grid.count);
        for step in 0..grid.count {
            let at = select.shift.apply(grid.time(step));
            if let Some(value) = value_at(&samples, at, cx.lookback_ms, &scope) {
                column.set(step, value);
            }
        }
        cx.release(size);
        let found = column.weight();
        if found == 0 {
            return Ok(None);
        }
        cx.count_looked_at(grid, found, |step| column.weight_at(step));
        Ok(Some(Series { labels: reader.labels().clone(), drop_name: false, column }))
    };
    parallel::each(&request, cx, &evaluate, sink)
}

/// Floats and histograms in order of time, without stale markers.
fn samples(columns: &Columns) -> Vec<(i64, Value)> {
    let floats = columns.timestamps.iter().zip(&columns.values).filter(|(_, v)| !is_stale(**v));
    let mut all: Vec<(i64, Value)> = floats.map(|(t, v)| (t.millis(), Value::Float(*v))).collect();
    let histograms = columns.histograms.iter().filter(|(_, h)| !h.is_stale());
    all.extend(histograms.map(|(t, h)| (t.millis(), Value::Histogram(Arc::clone(h)))));
    all.sort_by_key(|(time, _)| *time);
    all
}

fn value_at(samples: &[(i64, Value)], at: i64, lookback_ms: i64, scope: &Scope<'_, '_>) -> Option<Value> {
    let next = samples.partition_point(|(time, _)| *time <= at);
    let (before_time, before) =
        samples[..next].last().filter(|(time, _)| *time > at.saturating_sub(lookback_ms))?;
    let after = samples.get(next).filter(|(time, _)| *time <= at.saturating_add(lookback_ms));
    let Some((after_time, after)) = after.filter(|_| *before_time < at) else { return Some(before.clone()) };
    match (before, after) {
        (Value::Float(a), Value::Float(b)) => {
            interpolated(&(*before_time, *a), &(*after_time, *b), at, false, false).map(Value::Float)
        }
        (Value::Histogram(a), Value::Histogram(b)) => {
            if a.has_custom_bounds() != b.has_custom_bounds() {
                scope.warn_mixed_schemas();
                return None;
            }
            let (a, b): (Histogram, Histogram) = ((**a).clone(), (**b).clone());
            let value = interpolated(&(*before_time, a), &(*after_time, b), at, false, false)?;
            Some(Value::Histogram(Arc::new(value)))
        }
        _ => {
            scope.warn_mixed();
            None
        }
    }
}
