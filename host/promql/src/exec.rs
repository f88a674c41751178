//! Running a plan.
//!
//! Series flow one at a time, each with all its steps in one [`Column`], from the operators below into a sink
//! given by the operator above. An aggregation thus holds its groups and one input series, never its whole
//! input; an operator that must see everything (a join, a ranking) collects it and counts it against the
//! query's budget while it does.
//!
//! Selectors and functions over ranges evaluate their series on several threads, as joins do their pairs and quantiles
//! their histograms; everything else runs on the thread of the query.

mod absent;
mod aggregate;
pub(crate) mod arithmetic;
mod buckets;
mod column;
mod context;
mod external;
mod info;
mod join;
mod labels;
mod map;
mod merged;
mod ordered;
mod parallel;
mod range;
mod rank;
pub(crate) mod running;
mod scalar;
mod select;
mod set;
mod shared;
mod signature;
mod size;
mod smoothed;
mod sort;
mod summed;
pub(crate) mod window;

pub(crate) use aggregate::finish_sum;
pub(crate) use column::{Column, Series, is_metric_label};
pub(crate) use context::{Context, Grid};
pub(crate) use merged::final_series;
pub(crate) use ordered::sorted;
pub(crate) use range::collect as collect_ranges;
pub(crate) use size::Size;

use crate::error::QueryError;
use crate::plan::{ScalarNode, VectorNode};

/// Takes the series of an operator, one by one.
pub(crate) type Sink<'s> = dyn FnMut(Series) -> Result<(), QueryError> + 's;

/// Runs a vector operator: every series it answers goes to `sink`.
pub(crate) fn vector(
    node: &VectorNode,
    cx: &Context<'_>,
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let Some(profile) = &cx.profile else { return operator(node, cx, grid, sink) };
    let mut visit = profile.enter(node, cx);
    let result = operator(node, cx, grid, &mut |series| visit.passed(series, cx, sink));
    visit.leave(cx);
    result
}

/// The number at every step.
pub(crate) fn scalar(node: &ScalarNode, cx: &Context<'_>, grid: Grid) -> Result<Vec<f64>, QueryError> {
    let Some(profile) = &cx.profile else { return scalar::run(node, cx, grid) };
    let visit = profile.enter(node, cx);
    let result = scalar::run(node, cx, grid);
    visit.leave(cx);
    result
}

fn operator(node: &VectorNode, cx: &Context<'_>, grid: Grid, sink: &mut Sink<'_>) -> Result<(), QueryError> {
    match node {
        VectorNode::Select(select) => select::run(select, cx, grid, select::What::Values, sink),
        VectorNode::Smoothed(select) => smoothed::run(select, cx, grid, sink),
        VectorNode::SampleTimes(select) => select::run(select, cx, grid, select::What::Times, sink),
        VectorNode::StartTimes(select) => select::run(select, cx, grid, select::What::StartTimes, sink),
        VectorNode::OfScalar(scalar) => scalar::as_vector(scalar, cx, grid, sink),
        VectorNode::Invariant(inner) => vector(inner, cx, grid.first_step(), &mut |series| {
            sink(Series { column: series.column.repeated(grid.count), ..series })
        }),
        VectorNode::Shared(node) => shared::run(node, cx, grid, sink),
        VectorNode::Negate(input) => map::negate(input, cx, grid, sink),
        VectorNode::Map(map) => map::run(map, cx, grid, sink),
        VectorNode::Window(window) => range::run(window, cx, grid, sink),
        VectorNode::Absent { input, labels } => absent::run(input, labels, cx, grid, sink),
        VectorNode::Aggregate(aggregate) => aggregate::run(aggregate, cx, grid, sink),
        VectorNode::WithScalar(node) => map::with_scalar(node, cx, grid, sink),
        VectorNode::Join(node) => join::run(node, cx, grid, sink),
        VectorNode::Set(node) => set::run(node, cx, grid, sink),
        VectorNode::LabelReplace(node) => labels::replace(node, cx, grid, sink),
        VectorNode::LabelJoin(node) => labels::join(node, cx, grid, sink),
        VectorNode::Sort { input, order, span } => sort::run(input, order, *span, cx, grid, sink),
        VectorNode::Buckets(node) => buckets::run(node, cx, grid, sink),
        VectorNode::Info(node) => info::run(node, cx, grid, sink),
        VectorNode::External(node) => external::run(node, cx, grid, sink),
    }
}

/// Runs a vector operator and keeps what it answers.
pub(crate) fn collect(node: &VectorNode, cx: &Context<'_>, grid: Grid) -> Result<Vec<Series>, QueryError> {
    let mut all = Vec::new();
    vector(node, cx, grid, &mut |series| {
        cx.hold(Size::of_series(&series))?;
        all.push(series);
        Ok(())
    })?;
    Ok(all)
}

/// Gives back what [`collect`] counted against the budget.
pub(crate) fn release(cx: &Context<'_>, all: &[Series]) {
    cx.release(held(all));
}

/// Hands on series for which `held` was counted against the budget; it is given back as they pass.
pub(crate) fn pass_on(
    all: impl IntoIterator<Item = Series>,
    held: Size,
    cx: &Context<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let mut left = held;
    for series in all {
        cx.check()?;
        // Samples may have come together since they were counted, or gone.
        let size = Size::of_series(&series).min(left);
        cx.release(size);
        left = left.less(size);
        sink(series)?;
    }
    cx.release(left);
    Ok(())
}

/// What [`collect`] counted against the budget.
pub(crate) fn held(all: &[Series]) -> Size {
    all.iter().map(Size::of_series).sum()
}
