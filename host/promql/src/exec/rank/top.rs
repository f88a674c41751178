//! `topk` and `bottomk` at one time, of floats, by the short way that storage has: no series are made but of those that
//! are chosen.
//!
//! Which of equal values are chosen depends on the order in which all came, which is not known here: where that counts,
//! this is not the way.

use model::Labels;

use super::super::aggregate::{Found, Groups};
use super::super::select::{CHECKED_SERIES, count_latest, latest_floats_of_all};
use super::super::{Column, Context, Grid, Series, Sink};
use crate::error::QueryError;
use crate::parser::AggregateOp;
use crate::plan::{Aggregate, VectorNode};
use crate::read::{Latest, LatestBy};

/// More are not chosen in this way, which keeps as many of each group, and one.
const CHOSEN_MAX: usize = 1_000;

/// A group, with the best of it so far.
struct Group<'l> {
    /// The least labels that any of its series has: groups are answered in this order.
    first: &'l Labels,
    best: Vec<(f64, &'l Labels)>,
    /// Whether some values are no numbers, which are worse than all others.
    nan: bool,
}

/// `false` where it is not known in this way, and nothing was handed on.
pub(super) fn run(
    node: &Aggregate,
    params: &[f64],
    cx: &Context<'_>,
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<bool, QueryError> {
    let top = node.op == AggregateOp::Topk;
    let (VectorNode::Select(select), &[param], true) = (&*node.input, params, cx.instant) else {
        return Ok(false);
    };
    if !(top || node.op == AggregateOp::Bottomk) || !(1.0..=CHOSEN_MAX as f64).contains(&param) {
        return Ok(false);
    }
    let Some((parts, held)) = latest_floats_of_all(select, cx, grid, LatestBy::Series)? else {
        return Ok(false);
    };
    let found = choose(node, param as usize, &parts, cx);
    let chosen: Option<Vec<(f64, Labels)>> =
        found?.map(|all| all.into_iter().map(|(value, labels)| (value, labels.clone())).collect());
    if chosen.is_some() {
        count_latest(&parts, cx, grid);
    }
    drop(parts);
    cx.release(held);
    let Some(chosen) = chosen else { return Ok(false) };
    for (value, labels) in chosen {
        sink(Series { labels, drop_name: false, column: Column::of_floats(vec![value]) })?;
    }
    Ok(true)
}

type Chosen<'l> = Vec<(f64, &'l Labels)>;

/// The best of each group, best first; `None` where their order among all counts.
fn choose<'l>(
    node: &Aggregate,
    count: usize,
    parts: &'l [Latest],
    cx: &Context<'_>,
) -> Result<Option<Chosen<'l>>, QueryError> {
    let top = node.op == AggregateOp::Topk;
    let mut known = Groups::new(&node.grouping);
    let mut groups: Vec<Group<'l>> = Vec::new();
    for part in parts {
        for (at, (value, labels)) in part.values.iter().zip(&part.labels).enumerate() {
            if at % CHECKED_SERIES == 0 {
                cx.check()?;
            }
            let group = match known.find(labels) {
                Found::Known(group) => group,
                Found::New(_) => {
                    groups.push(Group { first: labels, best: Vec::with_capacity(count + 1), nan: false });
                    groups.len() - 1
                }
            };
            let group = &mut groups[group];
            if labels < group.first {
                group.first = labels;
            }
            group.offer(count, top, *value, labels);
        }
    }
    let lost = |group: &Group<'_>| group.nan && group.best.len() < count;
    let equal = |group: &Group<'_>| group.best.windows(2).any(|pair| pair[0].0 == pair[1].0);
    if groups.iter().any(|group| lost(group) || equal(group)) {
        return Ok(None);
    }
    groups.sort_by_key(|group| group.first);
    Ok(Some(groups.into_iter().flat_map(|group| group.best.into_iter().take(count)).collect()))
}

impl<'l> Group<'l> {
    /// Keeps a value where it is among the best, of which there is one more than is wanted, best first.
    fn offer(&mut self, count: usize, top: bool, value: f64, labels: &'l Labels) {
        if value.is_nan() {
            self.nan = true;
            return;
        }
        let better = |a: f64, b: f64| if top { a > b } else { a < b };
        if self.best.len() > count && self.best.last().is_some_and(|(worst, _)| !better(value, *worst)) {
            // One that equals the worst, which is not wanted itself, changes nothing.
            return;
        }
        let at = self.best.partition_point(|(other, _)| !better(value, *other));
        self.best.insert(at, (value, labels));
        self.best.truncate(count + 1);
    }
}
