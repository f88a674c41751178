//! Functions over ranges: selectors and subqueries whose windows slide from step to step.

use std::sync::Arc;

use model::staleness::is_stale;
use model::{Histogram, Labels, ResetHint, Timestamp, Value, Windows};

use super::context::Distinct;
use super::parallel::Held as _;
use super::running::Running;
use super::summed::{self, Parts};
use super::window::{Scope, Sliding};
use super::{Column, Context, Grid, Series, Sink, Size, parallel};
use crate::error::QueryError;
use crate::functions::extended::Edges;
use crate::functions::{extended, over_time, rate};
use crate::native;
use crate::parser::Extension;
use crate::plan::{self, RangeNode, Subquery, Window, WindowFunction};
use crate::read::{Columns, Select, SeriesReader};

/// How many samples are looked at between two looks at the query's limits.
const LOOKED_AT_MAX: u64 = 1 << 18;

/// Takes the series of a range with all samples that any step needs.
pub(crate) type RangeSink<'s> = dyn FnMut(&Labels, bool, &Columns) -> Result<(), QueryError> + 's;

/// The samples of a selector that any step needs.
struct Wanted<'a> {
    select: &'a plan::Select,
    start: Timestamp,
    end: Timestamp,
    /// How far apart the data may be, where summaries will do: see [`Select::step_ms`].
    step_ms: Option<i64>,
}

impl<'a> Wanted<'a> {
    fn new(
        select: &'a plan::Select,
        range_ms: i64,
        extension: Extension,
        cx: &Context<'_>,
        grid: Grid,
    ) -> Self {
        let (mut before, mut after) = (0, 0);
        if extension != Extension::None {
            before = cx.lookback_ms;
        }
        if extension == Extension::Smoothed {
            after = cx.lookback_ms;
        }
        let first = select.shift.apply(grid.start).saturating_sub(range_ms).saturating_sub(before);
        let last = select.shift.apply(grid.end()).saturating_add(after);
        let start = Timestamp::from_millis(first.saturating_add(1));
        Self { select, start, end: Timestamp::from_millis(last), step_ms: None }
    }

    /// Lets storage answer with summaries that are coarse, but not against the step or the range.
    fn summed(mut self, range_ms: i64, cx: &Context<'_>, grid: Grid) -> Self {
        self.step_ms = cx.coarse_step_ms(grid).map(|step| step.min(range_ms));
        self
    }

    fn request(&self) -> Select<'a> {
        let Self { select, start, end, step_ms } = *self;
        Select { matchers: &select.matchers, start, end, step_ms }
    }

    /// Hands the samples of one series to `take`, without stale markers; what they come to over `windows`, where that
    /// is enough and storage knows.
    fn read<T>(
        &self,
        reader: &dyn SeriesReader,
        windows: Option<&Windows>,
        cx: &Context<'_>,
        columns: &mut Columns,
        take: impl FnOnce(&Columns) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        if let Some(windows) = windows {
            cx.read_windows(reader, windows, columns)?;
        }
        // Histograms beside floats are told of by the samples alone.
        let whole = !columns.summaries.is_empty() && !columns.histograms.is_empty();
        if windows.is_none() || whole {
            cx.read(reader, self.start, self.end, columns)?;
        }
        if self.select.finds_resets {
            native::find_resets(&mut columns.histograms);
        }
        remove_stale(columns);
        let size = Size::of_columns(columns);
        cx.count_read(size.samples);
        cx.hold(size)?;
        let taken = take(columns);
        cx.release(size);
        taken
    }
}

/// Feeds every series of a range to `sink`, one after the other on this thread, without stale markers.
pub(crate) fn series(
    node: &RangeNode,
    cx: &Context<'_>,
    grid: Grid,
    sink: &mut RangeSink<'_>,
) -> Result<(), QueryError> {
    match node {
        RangeNode::Select { select, range_ms, extension } => {
            let wanted = Wanted::new(select, *range_ms, *extension, cx, grid);
            let mut columns = Columns::default();
            let (readers, held) = cx.select(&wanted.request(), select.ordered)?;
            for reader in &readers {
                cx.check()?;
                wanted.read(&**reader, None, cx, &mut columns, |columns| {
                    sink(reader.labels(), false, columns)
                })?;
            }
            cx.release(held);
            Ok(())
        }
        RangeNode::Subquery(subquery) => of_subquery(subquery, cx, grid, without_hint, sink),
    }
}

/// The series of a subquery, with what `seen` makes of their histograms.
fn of_subquery(
    subquery: &Subquery,
    cx: &Context<'_>,
    grid: Grid,
    seen: fn(Arc<Histogram>) -> Arc<Histogram>,
    sink: &mut RangeSink<'_>,
) -> Result<(), QueryError> {
    let Some(inner) = inner_grid(subquery, grid) else { return Ok(()) };
    if inner.count as u64 > cx.samples_max {
        return Err(QueryError::TooManySamples);
    }
    let mut columns = Columns::default();
    super::vector(&subquery.input, cx, inner, &mut |series| {
        columns.clear();
        for step in 0..inner.count {
            let time = Timestamp::from_millis(inner.time(step));
            match series.column.get(step) {
                Some(Value::Float(value)) => columns.push(time, value),
                Some(Value::Histogram(histogram)) => {
                    columns.histograms.push((time, seen(histogram)));
                }
                None => {}
            }
        }
        let size = Size::of_columns(&columns);
        cx.hold(size)?;
        sink(&series.labels, series.drop_name, &columns)?;
        cx.release(size);
        Ok(())
    })
}

/// What a histogram says of resets relates to the sample before it, which a subquery may skip or repeat.
fn without_hint(mut histogram: Arc<Histogram>) -> Arc<Histogram> {
    if matches!(histogram.reset_hint, ResetHint::Reset | ResetHint::NotReset) {
        Arc::make_mut(&mut histogram).reset_hint = ResetHint::Unknown;
    }
    histogram
}

/// The steps of a subquery: multiples of its step within all ranges of the outer steps.
fn inner_grid(subquery: &Subquery, grid: Grid) -> Option<Grid> {
    let step = subquery.step_ms;
    let first = subquery.shift.apply(grid.start).saturating_sub(subquery.range_ms);
    let end = subquery.shift.apply(grid.end());
    // Left open: a multiple that falls on the start itself is outside.
    let start = (first.div_euclid(step) + 1).saturating_mul(step);
    if end < start {
        return None;
    }
    let count = usize::try_from(end.saturating_sub(start) / step).ok()?.saturating_add(1);
    Some(Grid::within(start, step, count))
}

fn remove_stale(columns: &mut Columns) {
    if columns.values.iter().any(|v| is_stale(*v)) {
        keep_where(&mut columns.start_timestamps, columns.values.iter().map(|v| !is_stale(*v)));
        let mut kept = 0;
        for index in 0..columns.values.len() {
            let value = columns.values[index];
            if !is_stale(value) {
                columns.values[kept] = value;
                columns.timestamps[kept] = columns.timestamps[index];
                kept += 1;
            }
        }
        columns.values.truncate(kept);
        columns.timestamps.truncate(kept);
    }
    if columns.histograms.iter().any(|(_, h)| h.is_stale()) {
        let kept = columns.histograms.iter().map(|(_, h)| !h.is_stale());
        keep_where(&mut columns.histogram_start_timestamps, kept);
        columns.histograms.retain(|(_, h)| !h.is_stale());
    }
}

fn keep_where(starts: &mut Vec<Timestamp>, mut kept: impl Iterator<Item = bool>) {
    starts.retain(|_| kept.next().unwrap_or(true));
}

/// `rate(x[5m])` and its like.
pub(crate) fn run(
    node: &Window,
    cx: &Context<'_>,
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let mut args = Vec::with_capacity(node.args.len());
    for arg in &node.args {
        args.push(super::scalar(arg, cx, grid)?);
    }
    let keeps_name = matches!(node.function, WindowFunction::Last | WindowFunction::First);
    let extension = match &node.input {
        RangeNode::Select { extension, .. } => *extension,
        RangeNode::Subquery(_) => Extension::None,
    };
    if let Some(text) = extended::refusal(node.function, node.name, extension) {
        return Err(QueryError::Execution(text));
    }
    let all_steps = AllSteps { node, args: &args, extension, cx, grid };
    let answer = |labels: &Labels, drop_name: bool, columns: &Columns| {
        let Some(column) = all_steps.evaluate(labels, columns)? else { return Ok(None) };
        let mut series = Series { labels: labels.clone(), drop_name, column };
        if !keeps_name {
            cx.drop_name(&mut series);
        }
        Ok(Some(series))
    };
    let mut distinct = Distinct::new(cx);
    let mut pass = |series: Series| {
        distinct.check(&series.labels)?;
        sink(series)
    };
    match &node.input {
        RangeNode::Select { select, range_ms, .. } => {
            let summed =
                extension == Extension::None && summed::suffices(node.function, cx.use_start_timestamps);
            let mut wanted = Wanted::new(select, *range_ms, extension, cx, grid);
            if summed {
                wanted = wanted.summed(*range_ms, cx, grid);
            }
            let windows = summed.then(|| Windows {
                first_end: Timestamp::from_millis(select.shift.apply(grid.start)),
                step_ms: grid.step,
                // Steps that all look at one time have one window.
                count: if select.shift.at.is_some() { grid.count.min(1) } else { grid.count } as u64,
                range_ms: *range_ms,
            });
            let evaluate = |reader: &dyn SeriesReader, columns: &mut Columns| {
                wanted.read(reader, windows.as_ref(), cx, columns, |columns| {
                    answer(reader.labels(), false, columns)
                })
            };
            parallel::each(&wanted.request(), select.ordered, cx, grid, &evaluate, &mut pass)
        }
        RangeNode::Subquery(subquery) => {
            of_subquery(subquery, cx, grid, without_hint, &mut |labels, drop_name, columns| {
                answer(labels, drop_name, columns)?.map_or(Ok(()), &mut pass)
            })
        }
    }
}

/// A function over the ranges of all steps.
struct AllSteps<'a, 'q> {
    node: &'a Window,
    args: &'a [Vec<f64>],
    extension: Extension,
    cx: &'a Context<'q>,
    grid: Grid,
}

impl AllSteps<'_, '_> {
    /// What comes of one series; `None` where that is nothing at any step.
    fn evaluate(&self, labels: &Labels, columns: &Columns) -> Result<Option<Column>, QueryError> {
        let Self { node, args, extension, cx, grid } = *self;
        let (function, range_ms) = (node.function, node.input.range_ms());
        let mut column = Column::empty(grid.count);
        let name = labels.metric_name().unwrap_or("");
        let scope = Scope { cx, span: node.span, arg_span: node.arg_span, metric_name: name };
        if extension != Extension::None {
            self.extended(columns, &scope, &mut column);
            if column.float_count() > 0 {
                rate::check_counter(function, labels, &scope);
            }
            return Ok((!column.is_empty()).then_some(column));
        }
        if !columns.summaries.is_empty() {
            self.of_summaries(columns, labels, &scope, &mut column);
            return Ok((!column.is_empty()).then_some(column));
        }
        let mut sliding = Sliding::new(columns, range_ms, node.input.shift());
        let mut running =
            if grid.count > 1 { Running::new(function, columns, range_ms, grid.step) } else { None };
        let mut step_args = vec![0.0; args.len()];
        let mut found = false;
        let mut looked_at = 0;
        for step in 0..grid.count {
            let window = sliding.at(grid, step);
            if window.is_empty() {
                continue;
            }
            let passed = looked_at / LOOKED_AT_MAX;
            looked_at += window.weight();
            if looked_at / LOOKED_AT_MAX != passed {
                cx.check()?;
            }
            for (value, arg) in step_args.iter_mut().zip(args) {
                *value = arg[step];
            }
            let value = match &mut running {
                Some(running) => over_time::advance(function, &window, range_ms, &step_args, running, &scope),
                None => {
                    over_time::check_args(function, &step_args)?;
                    over_time::evaluate(function, &window, range_ms, &step_args, &scope)
                }
            };
            if let Some(value) = value {
                column.set(step, value);
                found = true;
            }
        }
        cx.count_looked_at(grid, looked_at, |step| {
            Sliding::new(columns, range_ms, node.input.shift()).at(grid, step).weight()
        });
        if found && !columns.timestamps.is_empty() && column.float_count() > 0 {
            rate::check_counter(function, labels, &scope);
        }
        Ok(found.then_some(column))
    }

    fn of_summaries(&self, columns: &Columns, labels: &Labels, scope: &Scope<'_, '_>, column: &mut Column) {
        let Self { node, cx, grid, .. } = *self;
        let (range_ms, shift) = (node.input.range_ms(), node.input.shift());
        let all = summed::merged(columns);
        let mut parts = Parts::new(&all, range_ms, shift);
        let (mut found, mut looked_at) = (false, 0);
        for (step, slot) in column.floats.iter_mut().enumerate() {
            let part = parts.at(grid, step);
            looked_at += part.sample_count();
            if let Some(value) = part.evaluate(node.function, range_ms) {
                *slot = value;
                found = true;
            }
        }
        cx.count_looked_at(grid, looked_at, |step| {
            Parts::new(&all, range_ms, shift).at(grid, step).sample_count()
        });
        if found {
            rate::check_counter(node.function, labels, scope);
        }
    }

    fn extended(&self, columns: &Columns, scope: &Scope<'_, '_>, column: &mut Column) {
        let smoothed = self.extension == Extension::Smoothed;
        for step in 0..self.grid.count {
            let end = self.node.input.shift().apply(self.grid.time(step));
            let start = end.saturating_sub(self.node.input.range_ms());
            let edges = Edges { start, end, lookback_ms: self.cx.lookback_ms, smoothed };
            if let Some(value) = extended::evaluate(self.node.function, columns, edges, scope) {
                column.set(step, value);
            }
        }
    }
}

/// The samples of a range themselves, for a query that asks for nothing else.
pub(crate) fn collect(
    node: &RangeNode,
    cx: &Context<'_>,
    grid: Grid,
) -> Result<Vec<(Labels, Columns)>, QueryError> {
    let (range_ms, shift) = (node.range_ms(), node.shift());
    let edges = |smoothed: bool| {
        let end = shift.apply(grid.time(0));
        Edges { start: end.saturating_sub(range_ms), end, lookback_ms: cx.lookback_ms, smoothed }
    };
    let cut = |labels: &Labels, drop_name: bool, columns: &Columns| {
        let window = Sliding::new(columns, range_ms, shift).at(grid, 0);
        if window.is_empty() {
            return None;
        }
        let kept = Columns {
            timestamps: window.times.to_vec(),
            values: window.values.to_vec(),
            histograms: window.histograms.to_vec(),
            ..Columns::default()
        };
        cx.count_looked_at(grid, window.weight(), |_| window.weight());
        let labels = if drop_name { labels.without(super::is_metric_label) } else { labels.clone() };
        Some((labels, kept))
    };
    let mut all = Vec::new();
    let mut keep = |found: (Labels, Columns)| {
        cx.hold(found.size())?;
        all.push(found);
        Ok(())
    };
    match node {
        RangeNode::Select { select, extension, .. } => {
            let wanted = Wanted::new(select, range_ms, *extension, cx, grid);
            let evaluate = |reader: &dyn SeriesReader, columns: &mut Columns| {
                wanted.read(reader, None, cx, columns, |columns| {
                    let labels = reader.labels();
                    let smoothed = match extension {
                        Extension::None => return Ok(cut(labels, false, columns)),
                        Extension::Anchored => false,
                        Extension::Smoothed => true,
                    };
                    let kept = extended::edged(columns, edges(smoothed))?;
                    let count = kept.timestamps.len() as u64;
                    cx.count_looked_at(grid, count, |_| count);
                    Ok((count > 0).then(|| (labels.clone(), kept)))
                })
            };
            parallel::each(&wanted.request(), select.ordered, cx, grid, &evaluate, &mut keep)?;
        }
        RangeNode::Subquery(subquery) => {
            // No function looks at what histograms say of resets, and the caller sees it.
            of_subquery(subquery, cx, grid, |histogram| histogram, &mut |labels, drop_name, columns| {
                cut(labels, drop_name, columns).map_or(Ok(()), &mut keep)
            })?;
        }
    }
    Ok(all)
}
