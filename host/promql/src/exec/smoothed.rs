//! `v smoothed`: the value at each step, interpolated between the samples around it.

use std::sync::Arc;

use model::staleness::is_stale;
use model::{Histogram, ResetHint, Timestamp, Value};

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
    // Between coarse data there is nothing to be smoothed.
    let request = Select { matchers: &select.matchers, start, end, step_ms: None };
    let evaluate = |reader: &dyn SeriesReader, columns: &mut Columns| {
        cx.read(reader, start, end, columns)?;
        let size = Size::of_columns(columns);
        cx.count_read(size.samples);
        cx.hold(size)?;
        let samples = samples(columns);
        let name = reader.labels().metric_name().unwrap_or("");
        let scope = Scope { cx, span: select.span, arg_span: select.span, metric_name: name };
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
    parallel::each(&request, select.ordered, cx, grid, &evaluate, sink)
}

/// The samples of one series without stale markers, floats and histograms apart.
struct Samples {
    floats: Vec<(i64, f64)>,
    histograms: Vec<(i64, Arc<Histogram>)>,
}

fn samples(columns: &Columns) -> Samples {
    let floats = columns.timestamps.iter().zip(&columns.values).filter(|(_, v)| !is_stale(**v));
    let histograms = columns.histograms.iter().filter(|(_, h)| !h.is_stale());
    Samples {
        floats: floats.map(|(t, v)| (t.millis(), *v)).collect(),
        histograms: histograms.map(|(t, h)| (t.millis(), Arc::clone(h))).collect(),
    }
}

/// The samples within the lookback on either side of a time.
fn around<T>(samples: &[(i64, T)], at: i64, lookback_ms: i64) -> &[(i64, T)] {
    let from = samples.partition_point(|(time, _)| *time <= at.saturating_sub(lookback_ms));
    let to = samples.partition_point(|(time, _)| *time <= at.saturating_add(lookback_ms));
    &samples[from..to]
}

/// Past the last sample its value goes on; before the first one there is none.
fn value_at(samples: &Samples, at: i64, lookback_ms: i64, scope: &Scope<'_, '_>) -> Option<Value> {
    let floats = around(&samples.floats, at, lookback_ms);
    let histograms = around(&samples.histograms, at, lookback_ms);
    if !floats.is_empty() && !histograms.is_empty() {
        scope.warn_mixed();
        return None;
    }
    let next = floats.partition_point(|(time, _)| *time < at);
    match (next.checked_sub(1).map(|i| &floats[i]), floats.get(next)) {
        (_, Some((time, value))) if *time == at => return Some(Value::Float(*value)),
        (Some(before), Some(after)) => {
            return interpolated(before, after, at, (false, false), &|_| {}).map(Value::Float);
        }
        (Some((_, value)), None) => return Some(Value::Float(*value)),
        (None, _) => {}
    }
    let next = histograms.partition_point(|(time, _)| *time < at);
    match (next.checked_sub(1).map(|i| &histograms[i]), histograms.get(next)) {
        (_, Some((time, h))) if *time == at => Some(Value::Histogram(Arc::clone(h))),
        (Some((before_time, before)), Some((after_time, after))) => {
            if before.has_custom_bounds() != after.has_custom_bounds() {
                scope.warn_mixed_schemas();
                return None;
            }
            // One gauge beside something else is still more of a counter.
            let gauges = [before, after].iter().all(|h| h.reset_hint == ResetHint::Gauge);
            let (before, after) = ((*before_time, (**before).clone()), (*after_time, (**after).clone()));
            let value =
                interpolated(&before, &after, at, (!gauges, false), &|word| scope.info_reconciled(word))?;
            Some(Value::Histogram(Arc::new(value)))
        }
        (Some((_, h)), None) => {
            // What it says of resets relates to the sample before it.
            let unknown = Histogram { reset_hint: ResetHint::Unknown, ..(**h).clone() };
            Some(Value::Histogram(Arc::new(unknown)))
        }
        (None, _) => None,
    }
}
