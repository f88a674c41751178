//! Instant selectors: the latest sample within the lookback, at every step.

use model::staleness::is_stale;
use model::{Timestamp, Value};

use super::{Column, Context, Grid, Series, Sink, Size, parallel};
use crate::error::QueryError;
use crate::plan;
use crate::read::{Columns, Select, SeriesReader, UNKNOWN_START};

/// What a selector answers of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Values,
    /// Its time, in seconds; the metric's name no longer holds.
    Times,
    /// Its time, in seconds, under the series' own labels.
    SampleTimes,
    /// When its counter started, in seconds; zero where that is unknown. The metric's name no longer holds.
    StartTimes,
}

pub(crate) fn run(
    select: &plan::Select,
    cx: &Context<'_>,
    grid: Grid,
    what: What,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let first = select.shift.apply(grid.start);
    let last = select.shift.apply(grid.end());
    // The lookback is open on the left: a sample exactly that old no longer counts.
    let start = Timestamp::from_millis(first.saturating_sub(cx.lookback_ms).saturating_add(1));
    let end = Timestamp::from_millis(last);
    let request = Select { matchers: &select.matchers, start, end, step_ms: cx.coarse_step_ms(grid) };
    let evaluate = |reader: &dyn SeriesReader, columns: &mut Columns| {
        // What summaries leave of samples is so far apart: the last of it is seen until the next one comes.
        let resolution_ms = reader.resolution_ms();
        let lookback_ms = cx.lookback_ms.saturating_add(resolution_ms);
        cx.read(reader, start.offset(resolution_ms.saturating_neg()), end, columns)?;
        let size = Size::of_columns(columns);
        cx.count_read(size.samples);
        cx.hold(size)?;
        let column = latest(columns, select.shift, grid, lookback_ms, what);
        cx.release(size);
        let found = column.weight();
        if found == 0 {
            return Ok(None);
        }
        cx.count_looked_at(grid, found, |step| column.weight_at(step));
        let mut series = Series { labels: reader.labels().clone(), drop_name: false, column };
        if matches!(what, What::Times | What::StartTimes) {
            cx.drop_name(&mut series);
        }
        Ok(Some(series))
    };
    parallel::each(&request, cx, grid, &evaluate, sink)
}

fn latest(columns: &Columns, shift: plan::Shift, grid: Grid, lookback_ms: i64, what: What) -> Column {
    let mut column = Column::empty(grid.count);
    if columns.histograms.is_empty() && what == What::Values {
        latest_floats(columns, shift, grid, lookback_ms, &mut column.floats);
        return column;
    }
    // How many samples of each kind lie at or before the step's time; times only grow from step to step.
    let (mut floats, mut histograms) = (0, 0);
    for step in 0..grid.count {
        let at = shift.apply(grid.time(step));
        while columns.timestamps.get(floats).is_some_and(|t| t.millis() <= at) {
            floats += 1;
        }
        while columns.histograms.get(histograms).is_some_and(|(t, _)| t.millis() <= at) {
            histograms += 1;
        }
        let float = floats.checked_sub(1).map(|i| (columns.timestamps[i], columns.values[i]));
        let histogram = histograms.checked_sub(1).map(|i| &columns.histograms[i]);
        let oldest = at.saturating_sub(lookback_ms);
        let newer_histogram =
            histogram.filter(|(time, _)| float.is_none_or(|(float_time, _)| *time > float_time));
        let (time, value) = match (newer_histogram, float) {
            (Some((time, h)), _) if !h.is_stale() => (*time, Value::Histogram(h.clone())),
            (None, Some((time, v))) if !is_stale(v) => (time, Value::Float(v)),
            _ => continue,
        };
        if time.millis() > oldest {
            let answer = match what {
                What::Values => value,
                What::Times | What::SampleTimes => Value::Float(time.secs_f64()),
                What::StartTimes => {
                    let start = if matches!(value, Value::Float(_)) {
                        columns.start_timestamps.get(floats - 1)
                    } else {
                        columns.histogram_start_timestamps.get(histograms - 1)
                    };
                    Value::Float(start.copied().unwrap_or(UNKNOWN_START).secs_f64())
                }
            };
            column.set(step, answer);
        }
    }
    column
}

/// The same where there is nothing else to look for. A stale marker says that there is no sample, there as here.
fn latest_floats(columns: &Columns, shift: plan::Shift, grid: Grid, lookback_ms: i64, out: &mut [f64]) {
    let (times, values) = (&columns.timestamps, &columns.values);
    let mut passed = 0;
    for (step, slot) in out.iter_mut().enumerate() {
        let at = shift.apply(grid.time(step));
        while times.get(passed).is_some_and(|t| t.millis() <= at) {
            passed += 1;
        }
        if let Some(last) = passed.checked_sub(1)
            && times[last].millis() > at.saturating_sub(lookback_ms)
        {
            *slot = values[last];
        }
    }
}
