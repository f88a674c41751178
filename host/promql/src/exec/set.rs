//! `and`, `or`, `unless`: which series are there at a step decides, not their values.

use ahash::AHashMap;
use model::Labels;

use super::join::signature;
use super::{Context, Grid, Series, Sink};
use crate::error::QueryError;
use crate::parser::BinaryOp;
use crate::plan::Set;

pub(crate) fn run(node: &Set, cx: &Context<'_>, grid: Grid, sink: &mut Sink<'_>) -> Result<(), QueryError> {
    let left = super::collect(&node.left, cx, grid)?;
    let right = super::collect(&node.right, cx, grid)?;
    super::release(cx, &left);
    super::release(cx, &right);
    let present = |all: &[Series]| {
        let mut steps: AHashMap<Labels, Vec<bool>> = AHashMap::new();
        for series in all {
            let seen = steps
                .entry(signature(&series.labels, &node.matching))
                .or_insert_with(|| vec![false; grid.count]);
            for (step, seen) in seen.iter_mut().enumerate() {
                *seen |= series.column.has(step);
            }
        }
        steps
    };
    let filter = |mut series: Series, other: &AHashMap<Labels, Vec<bool>>, keep: bool| {
        let seen = other.get(&signature(&series.labels, &node.matching));
        for step in 0..grid.count {
            if seen.is_some_and(|seen| seen[step]) != keep {
                series.column.remove(step);
            }
        }
        (!series.column.is_empty()).then_some(series)
    };
    match node.op {
        BinaryOp::Or => {
            let on_left = present(&left);
            // A series may come from the left at some steps and from the right at others.
            let mut known: AHashMap<(Labels, bool), usize> = AHashMap::new();
            let mut all: Vec<Series> = Vec::with_capacity(left.len() + right.len());
            let from_right = right.into_iter().filter_map(|series| filter(series, &on_left, false));
            for series in left.into_iter().chain(from_right) {
                let key = (series.labels.clone(), series.drop_name);
                match known.get(&key) {
                    Some(&at) if all[at].column.merge(&series.column) => {}
                    _ => {
                        known.insert(key, all.len());
                        all.push(series);
                    }
                }
            }
            all.into_iter().try_for_each(sink)
        }
        op => {
            let on_right = present(&right);
            let keep = op == BinaryOp::And;
            left.into_iter().filter_map(|series| filter(series, &on_right, keep)).try_for_each(sink)
        }
    }
}
