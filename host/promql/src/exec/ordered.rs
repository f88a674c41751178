//! Sorting that can be ended early.
//!
//! The sort of the standard library cannot be stopped, and a million series by their labels take it a second. Runs
//! that it sorts in less than a millisecond are merged here, with a look at the query's limits in between.

use std::cmp::Ordering;

use super::Context;
use crate::error::QueryError;

/// How many items are sorted, or merged, between two looks.
const RUN_COUNT: usize = 4096;

/// Sorts by what `key` finds in an item; items that compare equal keep their order.
pub(crate) fn sorted<T, K: Ord + ?Sized>(
    all: Vec<T>,
    cx: &Context<'_>,
    key: impl Fn(&T) -> &K,
) -> Result<Vec<T>, QueryError> {
    sorted_by(all, cx, &mut |a, b| key(a).cmp(key(b)))
}

/// Sorts by a comparison; items that compare equal keep their order.
pub(crate) fn sorted_by<T>(
    mut all: Vec<T>,
    cx: &Context<'_>,
    compare: &mut dyn FnMut(&T, &T) -> Ordering,
) -> Result<Vec<T>, QueryError> {
    // What comes from one selector comes in order.
    if all.windows(2).all(|pair| compare(&pair[0], &pair[1]).is_le()) {
        return Ok(all);
    }
    if all.len() <= RUN_COUNT {
        all.sort_by(compare);
        return Ok(all);
    }
    let mut runs = Vec::with_capacity(all.len() / RUN_COUNT + 1);
    let mut rest = all.into_iter();
    loop {
        let mut run: Vec<T> = rest.by_ref().take(RUN_COUNT).collect();
        if run.is_empty() {
            break;
        }
        cx.check()?;
        run.sort_by(&mut *compare);
        runs.push(run);
    }
    while runs.len() > 1 {
        let mut merged = Vec::with_capacity(runs.len().div_ceil(2));
        let mut pairs = runs.into_iter();
        while let Some(left) = pairs.next() {
            merged.push(match pairs.next() {
                Some(right) => merge(left, right, cx, compare)?,
                None => left,
            });
        }
        runs = merged;
    }
    Ok(runs.pop().unwrap_or_default())
}

fn merge<T>(
    left: Vec<T>,
    right: Vec<T>,
    cx: &Context<'_>,
    compare: &mut dyn FnMut(&T, &T) -> Ordering,
) -> Result<Vec<T>, QueryError> {
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        if merged.len() % RUN_COUNT == 0 {
            cx.check()?;
        }
        // The left one came first.
        let next = if compare(a, b).is_le() { left.next() } else { right.next() };
        merged.extend(next);
    }
    merged.extend(left);
    merged.extend(right);
    Ok(merged)
}
