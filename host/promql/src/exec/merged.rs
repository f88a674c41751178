//! Series that become the same.
//!
//! Changing labels, or dropping a name, may leave several series with the same labels. They are one series then, as
//! long as no step has a sample of two of them.

use ahash::AHashMap;
use model::Labels;

use super::context::same_labelset;
use super::{Context, Series, Size};
use crate::error::QueryError;

/// The series of an answer, names dropped that no longer hold. The order stays, but for those that merge.
pub(crate) fn final_series(mut all: Vec<Series>, cx: &Context<'_>) -> Result<Vec<Series>, QueryError> {
    let mut changed = false;
    for series in &mut all {
        if series.drop_name {
            (series.labels, series.drop_name) = (series.final_labels(), false);
            changed = true;
        }
    }
    // What comes from one selector is in order, each once.
    if !changed && all.windows(2).all(|pair| pair[0].labels < pair[1].labels) {
        return Ok(all);
    }
    cx.check()?;
    let keys: Size = all.iter().map(|series| Size::of_key(&series.labels)).sum();
    cx.hold(keys)?;
    let mut known: AHashMap<&Labels, usize> = AHashMap::with_capacity(all.len());
    let mut same: Vec<(usize, usize)> = Vec::new();
    for (index, series) in all.iter().enumerate() {
        let first = *known.entry(&series.labels).or_insert(index);
        if first != index {
            same.push((first, index));
        }
    }
    drop(known);
    cx.release(keys);
    if same.is_empty() {
        return Ok(all);
    }
    for (first, index) in &same {
        let column = std::mem::replace(&mut all[*index].column, super::Column::empty(0));
        if !all[*first].column.merge(&column) {
            return Err(same_labelset());
        }
    }
    let mut gone = same.into_iter().map(|(_, index)| index).peekable();
    let mut index = 0;
    all.retain(|_| {
        let keep = gone.next_if_eq(&index).is_none();
        index += 1;
        keep
    });
    Ok(all)
}
