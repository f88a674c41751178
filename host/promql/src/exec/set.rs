//! `and`, `or`, `unless`: which series are there at a step decides, not their values.

use ahash::AHashMap;
use model::Labels;

use super::join::matches_by;
use super::signature::{BySignature, PLACE_BYTES, Signatures};
use super::{Context, Grid, Series, Sink, Size};
use crate::error::QueryError;
use crate::parser::BinaryOp;
use crate::plan::Set;

pub(crate) fn run(node: &Set, cx: &Context<'_>, grid: Grid, sink: &mut Sink<'_>) -> Result<(), QueryError> {
    let left = super::collect(&node.left, cx, grid)?;
    let right = super::collect(&node.right, cx, grid)?;
    let held = super::held(&left);
    match node.op {
        BinaryOp::Or => {
            let on_left = Present::find(&left, node, cx, grid)?;
            let mut held = held + super::held(&right);
            // A series may come from the left at some steps and from the right at others.
            let mut known: AHashMap<(Labels, bool), usize> = AHashMap::new();
            let mut all: Vec<Series> = Vec::with_capacity(left.len() + right.len());
            for (series, is_left) in
                left.into_iter().map(|s| (s, true)).chain(right.into_iter().map(|s| (s, false)))
            {
                cx.check()?;
                let size = Size::of_series(&series);
                let kept = if is_left { Some(series) } else { on_left.filter(series, node, grid, false) };
                let Some(series) = kept else {
                    cx.release(size);
                    held = held.less(size);
                    continue;
                };
                let key = (series.labels.clone(), series.drop_name);
                match known.get(&key) {
                    Some(&at) if all[at].column.merge(&series.column) => {}
                    _ => {
                        known.insert(key, all.len());
                        all.push(series);
                    }
                }
            }
            on_left.release(cx);
            drop(known);
            super::pass_on(all, held, cx, sink)
        }
        op => {
            let on_right = Present::find(&right, node, cx, grid)?;
            super::release(cx, &right);
            drop(right);
            let keep = op == BinaryOp::And;
            super::pass_on(left, held, cx, &mut |series| match on_right.filter(series, node, grid, keep) {
                Some(series) => sink(series),
                None => Ok(()),
            })?;
            on_right.release(cx);
            Ok(())
        }
    }
}

/// At which steps a side has a series of each signature.
struct Present {
    signatures: Signatures,
    /// Which of the signatures it is.
    known: BySignature<usize>,
    /// Of each signature as many as there are steps.
    steps: Vec<bool>,
    held: Size,
}

impl Present {
    fn find(all: &[Series], node: &Set, cx: &Context<'_>, grid: Grid) -> Result<Self, QueryError> {
        let mut span = Vec::new();
        let mut present = Self {
            signatures: Signatures::new(),
            known: BySignature::default(),
            steps: Vec::new(),
            held: Size::default(),
        };
        for series in all {
            cx.check()?;
            span.clear();
            series.labels.project(|name| matches_by(&node.matching, name), &mut span);
            let next = present.known.len();
            let at = *present.known.entry(present.signatures.of(&span)).or_insert(next);
            if at == next {
                let size = Size::of_bytes(PLACE_BYTES + grid.count);
                cx.hold(size)?;
                present.held = present.held + size;
                present.steps.resize(present.steps.len() + grid.count, false);
            }
            for (step, seen) in present.steps.iter_mut().skip(at * grid.count).take(grid.count).enumerate() {
                *seen |= series.column.has(step);
            }
        }
        Ok(present)
    }

    /// The series at the steps where there is (`keep`) or is not one of its signature.
    fn filter(&self, mut series: Series, node: &Set, grid: Grid, keep: bool) -> Option<Series> {
        let mut span = Vec::with_capacity(series.labels.as_encoded().len());
        series.labels.project(|name| matches_by(&node.matching, name), &mut span);
        let known = self.known.get(&self.signatures.of(&span));
        let seen = known.and_then(|at| self.steps.get(at * grid.count..(at + 1) * grid.count));
        for step in 0..grid.count {
            if seen.is_some_and(|seen| seen[step]) != keep {
                series.column.remove(step);
            }
        }
        (!series.column.is_empty()).then_some(series)
    }

    fn release(self, cx: &Context<'_>) {
        cx.release(self.held);
    }
}
