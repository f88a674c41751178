//! `absent` and `absent_over_time`: one where nothing is.

use model::Labels;
use model::staleness::STALE_NAN;

use super::window::Sliding;
use super::{Column, Context, Grid, Series, Sink, range};
use crate::error::QueryError;
use crate::plan::{RangeNode, VectorNode};

pub(crate) fn run(
    input: &VectorNode,
    labels: &[(String, String)],
    cx: &Context<'_>,
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let mut column = Column::of_floats(vec![1.0; grid.count]);
    super::vector(input, cx, grid, &mut |series| {
        for step in 0..grid.count {
            if series.column.has(step) {
                column.floats[step] = STALE_NAN;
            }
        }
        Ok(())
    })?;
    answer(labels, column, sink)
}

pub(crate) fn over_time(
    input: &RangeNode,
    labels: &[(String, String)],
    cx: &Context<'_>,
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let mut column = Column::of_floats(vec![1.0; grid.count]);
    range::series(input, cx, grid, &mut |_, _, columns| {
        let mut sliding = Sliding::new(columns, input.range_ms(), input.shift());
        for step in 0..grid.count {
            if !sliding.at(grid, step).is_empty() {
                column.floats[step] = STALE_NAN;
            }
        }
        Ok(())
    })?;
    answer(labels, column, sink)
}

fn answer(labels: &[(String, String)], column: Column, sink: &mut Sink<'_>) -> Result<(), QueryError> {
    if column.is_empty() {
        return Ok(());
    }
    let labels = Labels::from_pairs(labels.iter().map(|(n, v)| (n, v)));
    sink(Series { labels, drop_name: false, column })
}
