//! Functions that are not of the language.
//!
//! Series are gathered until there are enough for a call, so that a call costs little beside its work, and no more
//! than that many are held.

use std::sync::Arc;

use model::staleness::{STALE_NAN, is_stale};
use model::{FunctionCall, Labels};

use super::context::Distinct;
use super::window::Sliding;
use super::{Column, Context, Grid, Series, Sink, Size, range};
use crate::error::QueryError;
use crate::external::ExternalLimits;
use crate::plan::{External, ExternalInput};
use crate::read::Columns;

/// Values of one call: a megabyte, which crosses in less than a millisecond. A single series may have more.
const CALL_VALUES_MAX: usize = 1 << 17;

/// How many samples a window may be part of: beyond it, positions do not fit the call.
const SAMPLES_MAX: usize = u32::MAX as usize;

/// Runs the function over all series of its input.
pub(crate) fn run(
    node: &External,
    cx: &Context<'_>,
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let mut scalars = Vec::with_capacity(node.scalars.len() * grid.count);
    for scalar in &node.scalars {
        scalars.extend(super::scalar(scalar, cx, grid)?);
    }
    let mut gathered = Gathered { node, cx, grid, scalars, call: FunctionCall::default(), rows: Vec::new() };
    gathered.begin();
    let mut distinct = Distinct::new(cx);
    let mut pass = |series: Series| {
        distinct.check(&series.labels)?;
        sink(series)
    };
    match &node.input {
        ExternalInput::Vector(input) => super::vector(input, cx, grid, &mut |series| {
            gathered.add_column(series)?;
            gathered.flush_if_full(&mut pass)
        })?,
        ExternalInput::Range(input) => {
            range::series(input, cx, grid, &mut |labels, drop_name, columns| {
                let sliding = Sliding::new(columns, input.range_ms(), input.shift());
                gathered.add_range(labels, drop_name, columns, sliding)?;
                gathered.flush_if_full(&mut pass)
            })?;
        }
    }
    gathered.flush(&mut pass)
}

/// The series of the next call.
struct Gathered<'a, 'q> {
    node: &'a External,
    cx: &'a Context<'q>,
    grid: Grid,
    /// The scalar arguments, the same in each call.
    scalars: Vec<f64>,
    call: FunctionCall,
    rows: Vec<Row>,
}

/// A series that waits for its answer.
struct Row {
    labels: Labels,
    drop_name: bool,
    held: Size,
    /// The steps at which it has something to say; of a range, where its window is not empty.
    present: Vec<bool>,
}

impl Gathered<'_, '_> {
    fn begin(&mut self) {
        let steps = self.grid.count;
        self.call = FunctionCall {
            start_ms: self.grid.start,
            step_ms: if steps > 1 { u64::try_from(self.grid.step).unwrap_or(0) } else { 0 },
            steps,
            scalars: self.scalars.clone(),
            texts: self.node.texts.clone(),
            ..FunctionCall::default()
        };
    }

    fn add_column(&mut self, series: Series) -> Result<(), QueryError> {
        let Series { labels, drop_name, column } = series;
        if !column.histograms.is_empty() {
            self.ignored_histograms();
        }
        // Twice: what goes in, and what comes out.
        let mut held = Size::of_column(&column) + Size::of_labels(&labels);
        held.bytes = held.bytes.saturating_mul(2);
        self.cx.hold(held)?;
        let present = column.floats.iter().map(|value| !is_stale(*value)).collect();
        self.call.values.extend_from_slice(&column.floats);
        self.rows.push(Row { labels, drop_name, held, present });
        Ok(())
    }

    fn add_range(
        &mut self,
        labels: &Labels,
        drop_name: bool,
        columns: &Columns,
        mut sliding: Sliding<'_>,
    ) -> Result<(), QueryError> {
        if !columns.histograms.is_empty() {
            self.ignored_histograms();
        }
        let (samples, steps) = (columns.values.len(), self.grid.count);
        let bytes = samples * 16 + steps * 16 + labels.as_encoded().len();
        let held = Size { samples: samples as u64, bytes: bytes as u64 };
        self.cx.hold(held)?;
        let base = self.call.values.len();
        if base + samples > SAMPLES_MAX {
            self.cx.release(held);
            return Err(QueryError::TooManySamples);
        }
        self.call.values.extend_from_slice(&columns.values);
        self.call.timestamps_ms.extend(columns.timestamps.iter().map(|time| time.millis()));
        let mut present = Vec::with_capacity(steps);
        let mut counts = Vec::with_capacity(steps);
        for step in 0..steps {
            let (from, to) = sliding.at(self.grid, step).floats;
            counts.push((to - from) as u64);
            present.push(to > from);
            // Both fit: they are at most `SAMPLES_MAX`.
            self.call.window_starts.push((base + from) as u32);
            self.call.window_ends.push((base + to) as u32);
        }
        self.cx.count_looked_at(self.grid, counts.iter().sum(), |step| counts[step]);
        self.rows.push(Row { labels: labels.clone(), drop_name, held, present });
        Ok(())
    }

    fn ignored_histograms(&self) {
        let text = format!("ignored histograms in call to {}()", self.node.name);
        self.cx.notes.info(self.node.arg_span, text);
    }

    fn flush_if_full(&mut self, sink: &mut Sink<'_>) -> Result<(), QueryError> {
        let size = self.call.values.len().max(self.rows.len() * self.grid.count);
        if size >= CALL_VALUES_MAX { self.flush(sink) } else { Ok(()) }
    }

    fn flush(&mut self, sink: &mut Sink<'_>) -> Result<(), QueryError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.cx.check()?;
        self.cx.check_wait()?;
        let rows = std::mem::take(&mut self.rows);
        let mut call = std::mem::take(&mut self.call);
        self.begin();
        call.series = rows.len();
        let (steps, expected) = (call.steps, call.series * call.steps);
        let limits =
            ExternalLimits { deadline: self.cx.deadline, canceled: Arc::clone(&self.cx.control.canceled) };
        let answer = self.node.function.eval(call, &limits);
        // A call that was cut short is the query's own end, whatever it says.
        self.cx.check()?;
        let answer = answer.map_err(|message| self.failed(&message))?;
        if answer.len() != expected {
            return Err(self.failed(&format!("{} values for {expected}", answer.len())));
        }
        for (row, answer) in rows.into_iter().zip(answer.chunks_exact(steps.max(1))) {
            let values = answer.iter().zip(&row.present);
            let floats = values.map(|(value, present)| if *present { *value } else { STALE_NAN }).collect();
            let column = Column::of_floats(floats);
            self.cx.release(row.held);
            if column.is_empty() {
                continue;
            }
            let mut series = Series { labels: row.labels, drop_name: row.drop_name, column };
            self.cx.drop_name(&mut series);
            sink(series)?;
        }
        Ok(())
    }

    fn failed(&self, message: &str) -> QueryError {
        let External { name, position, .. } = self.node;
        QueryError::Execution(format!("{name}() failed: {message} ({position})"))
    }
}
