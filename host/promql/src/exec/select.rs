//! Instant selectors: the latest sample within the lookback, at every step.

use std::sync::Arc;

use model::staleness::is_stale;
use model::{Labels, Timestamp, Value};

use super::{Column, Context, Grid, Series, Sink, Size, parallel, size};
use crate::error::QueryError;
use crate::native;
use crate::plan;
use crate::read::{Columns, Latest, LatestBy, LatestRequest, Select, SeriesReader, UNKNOWN_START};

/// How many series of one sample each are passed on between two looks at the query's limits.
pub(crate) const CHECKED_SERIES: usize = 1024;

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
    if what == What::Values
        && let Some((parts, held)) = latest_of_all(select, cx, grid, LatestBy::Series)?
    {
        count_latest(&parts, cx, grid);
        return match select.ordered {
            true => pass_latest_in_order(parts, held, cx, sink),
            false => pass_latest(&parts, held, cx, sink),
        };
    }
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
        if select.finds_resets {
            native::find_resets(&mut columns.histograms);
        }
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
    parallel::each(&request, select.ordered, cx, grid, &evaluate, sink)
}

/// The latest samples of all series where there is one step, by the shorter way that storage has; `None` where it has
/// none. With what they hold.
fn latest_of_all(
    select: &plan::Select,
    cx: &Context<'_>,
    grid: Grid,
    by: LatestBy<'_>,
) -> Result<Option<(Vec<Latest>, Size)>, QueryError> {
    if grid.count != 1 {
        return Ok(None);
    }
    let at = select.shift.apply(grid.start);
    let start = Timestamp::from_millis(at.saturating_sub(cx.lookback_ms).saturating_add(1));
    let end = Timestamp::from_millis(at);
    let request = Select { matchers: &select.matchers, start, end, step_ms: None };
    let Some(parts) = cx.storage.latest(&LatestRequest { select: request, by, threads: cx.threads })? else {
        return Ok(None);
    };
    if select.finds_resets && parts.iter().any(|part| !part.histograms.is_empty()) {
        // Those before the latest are looked at as well.
        return Ok(None);
    }
    let held = parts.iter().map(Size::of_latest).sum();
    cx.hold(held)?;
    Ok(Some((parts, held)))
}

/// The same where all are floats; what functions say of histograms names their series. They are not counted yet.
pub(crate) fn latest_floats_of_all(
    select: &plan::Select,
    cx: &Context<'_>,
    grid: Grid,
    by: LatestBy<'_>,
) -> Result<Option<(Vec<Latest>, Size)>, QueryError> {
    if cx.profile.is_some() {
        // Their times are told operator by operator.
        return Ok(None);
    }
    let Some((parts, held)) = latest_of_all(select, cx, grid, by)? else { return Ok(None) };
    if parts.iter().any(|part| !part.histograms.is_empty()) {
        cx.release(held);
        return Ok(None);
    }
    Ok(Some((parts, held)))
}

/// Counts samples that were found by the shorter way, once it is known that it leads to the answer.
pub(crate) fn count_latest(parts: &[Latest], cx: &Context<'_>, grid: Grid) {
    for part in parts {
        let histograms: u64 = part.histograms.iter().map(|(_, h)| size::samples_of(h)).sum();
        let floats = part.timestamps.len() - part.histograms.len();
        let weight = floats as u64 + histograms;
        cx.count_read(part.timestamps.len() as u64);
        cx.count_looked_at(grid, weight, |_| weight);
    }
}

/// Each sample of a part with its place.
fn samples_of(part: &Latest) -> impl Iterator<Item = (usize, Value)> + '_ {
    let mut histograms = part.histograms.iter().peekable();
    part.values.iter().enumerate().map(move |(at, float)| {
        let histogram = histograms.next_if(|(place, _)| *place == at);
        (at, histogram.map_or(Value::Float(*float), |(_, h)| Value::Histogram(Arc::clone(h))))
    })
}

/// Series of one sample each, by their labels.
fn pass_latest_in_order(
    parts: Vec<Latest>,
    held: Size,
    cx: &Context<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let count = parts.iter().map(|part| part.values.len()).sum();
    let places = Size::of_bytes(count * size_of::<(Labels, Value)>());
    cx.hold(places)?;
    let mut all = Vec::with_capacity(count);
    for part in &parts {
        all.extend(
            samples_of(part).map(|(at, value)| (part.labels.get(at).cloned().unwrap_or_default(), value)),
        );
    }
    drop(parts);
    let all = super::sorted(all, cx, |(labels, _)| labels)?;
    for (at, (labels, value)) in all.into_iter().enumerate() {
        if at % CHECKED_SERIES == 0 {
            cx.check()?;
        }
        let mut column = Column::empty(1);
        column.set(0, value);
        sink(Series { labels, drop_name: false, column })?;
    }
    cx.release(places);
    cx.release(held);
    Ok(())
}

/// Series of one sample each.
fn pass_latest(
    parts: &[Latest],
    held: Size,
    cx: &Context<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    for part in parts {
        for (at, value) in samples_of(part) {
            if at % CHECKED_SERIES == 0 {
                cx.check()?;
            }
            let mut column = Column::empty(1);
            column.set(0, value);
            let labels = part.labels.get(at).cloned().unwrap_or_default();
            sink(Series { labels, drop_name: false, column })?;
        }
    }
    cx.release(held);
    Ok(())
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
