//! `and`, `or`, `unless`: which series are there at a step decides, not their values.

use ahash::AHashMap;
use model::Labels;

use super::join::matches_by;
use super::signature::{self, BySignature, PLACE_BYTES, Signatures};
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
            let (places, places_held) = on_left.places(&right, node, cx)?;
            let mut places = places.into_iter();
            let mut held = held + super::held(&right);
            // A series may come from the left at some steps and from the right at others.
            let mut known: AHashMap<(Labels, bool), usize> = AHashMap::new();
            let mut all: Vec<Series> = Vec::with_capacity(left.len() + right.len());
            for (series, is_left) in
                left.into_iter().map(|s| (s, true)).chain(right.into_iter().map(|s| (s, false)))
            {
                cx.check()?;
                let size = Size::of_series(&series);
                let kept = match is_left {
                    true => Some(series),
                    false => on_left.filter(series, places.next().flatten(), grid, false),
                };
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
            cx.release(places_held);
            on_left.release(cx);
            drop(known);
            super::pass_on(all, held, cx, sink)
        }
        op => {
            let on_right = Present::find(&right, node, cx, grid)?;
            super::release(cx, &right);
            drop(right);
            let (places, places_held) = on_right.places(&left, node, cx)?;
            let mut places = places.into_iter();
            let keep = op == BinaryOp::And;
            super::pass_on(left, held, cx, &mut |series| {
                let place = places.next().flatten();
                on_right.filter(series, place, grid, keep).map_or(Ok(()), &mut *sink)
            })?;
            cx.release(places_held);
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
        let (mut known, mut steps): (BySignature<usize>, Vec<bool>) = Default::default();
        let mut held = Size::default();
        let signatures = Signatures::new();
        let mut left = all.iter();
        let matches = |name: &[u8]| matches_by(&node.matching, name);
        signature::of_all(&[all], &matches, &signatures, cx, &mut |signature| {
            let Some(series) = left.next() else { return Ok(()) };
            let next = known.len();
            let at = *known.entry(signature).or_insert(next);
            if at == next {
                let size = Size::of_bytes(PLACE_BYTES + grid.count);
                cx.hold(size)?;
                held = held + size;
                steps.resize(steps.len() + grid.count, false);
            }
            for (step, seen) in steps.iter_mut().skip(at * grid.count).take(grid.count).enumerate() {
                *seen |= series.column.has(step);
            }
            Ok(())
        })?;
        Ok(Self { signatures, known, steps, held })
    }

    /// Which of the signatures those series have, and what that list holds.
    fn places(
        &self,
        all: &[Series],
        node: &Set,
        cx: &Context<'_>,
    ) -> Result<(Vec<Option<usize>>, Size), QueryError> {
        let held = Size::of_bytes(all.len() * size_of::<Option<usize>>());
        cx.hold(held)?;
        let mut places = Vec::with_capacity(all.len());
        let matches = |name: &[u8]| matches_by(&node.matching, name);
        signature::of_all(&[all], &matches, &self.signatures, cx, &mut |signature| {
            places.push(self.known.get(&signature).copied());
            Ok(())
        })?;
        Ok((places, held))
    }

    /// The series, whose signature is at `place`, at the steps where there is (`keep`) or is not one of it.
    fn filter(&self, mut series: Series, place: Option<usize>, grid: Grid, keep: bool) -> Option<Series> {
        let seen = place.and_then(|at| self.steps.get(at * grid.count..(at + 1) * grid.count));
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
