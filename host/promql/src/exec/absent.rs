//! `absent`, and `absent_over_time` as the absence of a latest sample: one where nothing is.

use model::Labels;
use model::staleness::STALE_NAN;

use super::{Column, Context, Grid, Series, Sink};
use crate::error::QueryError;
use crate::plan::VectorNode;

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

fn answer(labels: &[(String, String)], column: Column, sink: &mut Sink<'_>) -> Result<(), QueryError> {
    if column.is_empty() {
        return Ok(());
    }
    let labels = Labels::from_pairs(labels.iter().map(|(n, v)| (n, v)));
    sink(Series { labels, drop_name: false, column })
}
