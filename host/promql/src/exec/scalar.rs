//! Scalars: one number per step.

use model::Labels;

use super::{Column, Context, Grid, Series, Sink, arithmetic};
use crate::error::QueryError;
use crate::functions::math;
use crate::plan::ScalarNode;

/// The number at every step.
pub(crate) fn run(node: &ScalarNode, cx: &Context<'_>, grid: Grid) -> Result<Vec<f64>, QueryError> {
    let both = |left: &ScalarNode, right: &ScalarNode, f: &dyn Fn(f64, f64) -> f64| {
        let mut values = run(left, cx, grid)?;
        for (l, r) in values.iter_mut().zip(run(right, cx, grid)?) {
            *l = f(*l, r);
        }
        Ok(values)
    };
    match node {
        ScalarNode::Constant(value) => Ok(vec![*value; grid.count]),
        ScalarNode::Time => Ok((0..grid.count).map(|step| grid.time(step) as f64 / 1000.0).collect()),
        ScalarNode::Negate(inner) => Ok(run(inner, cx, grid)?.into_iter().map(|v| -v).collect()),
        ScalarNode::Binary { op, left, right } => both(left, right, &|l, r| arithmetic::scalars(*op, l, r)),
        ScalarNode::MinOf(left, right) => both(left, right, &math::min_of),
        ScalarNode::MaxOf(left, right) => both(left, right, &math::max_of),
        ScalarNode::OfVector(vector) => {
            let mut values = vec![f64::NAN; grid.count];
            let mut counts = vec![0u32; grid.count];
            super::vector(vector, cx, grid, &mut |series| {
                for step in 0..grid.count {
                    if let Some(value) = series.column.float(step) {
                        values[step] = value;
                        counts[step] += 1;
                    }
                }
                Ok(())
            })?;
            for (value, count) in values.iter_mut().zip(counts) {
                if count != 1 {
                    *value = f64::NAN;
                }
            }
            Ok(values)
        }
    }
}

/// `vector(s)`: one series without labels.
pub(crate) fn as_vector(
    node: &ScalarNode,
    cx: &Context<'_>,
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let column = Column::of_floats(run(node, cx, grid)?);
    sink(Series { labels: Labels::empty(), drop_name: false, column })
}
