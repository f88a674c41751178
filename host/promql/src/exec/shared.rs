//! Expressions that a query uses more than once: evaluated at their first use, held until their last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Context, Grid, Series, Sink};
use crate::error::QueryError;
use crate::plan::Shared;

/// Which expression, at which times: subqueries may ask for the same at others.
type Key = (usize, i64, i64, usize);

/// What was evaluated and will be used again.
#[derive(Default)]
pub(crate) struct Held(Mutex<BTreeMap<Key, Kept>>);

struct Kept {
    all: Arc<Vec<Series>>,
    uses_left: usize,
}

impl Held {
    fn keep(&self, key: Key, kept: Kept) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, kept);
    }

    /// What is there for the key, and whether this was its last use.
    fn take(&self, key: Key) -> Option<(Arc<Vec<Series>>, bool)> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = held.get_mut(&key)?;
        if kept.uses_left > 1 {
            kept.uses_left -= 1;
            return Some((Arc::clone(&kept.all), false));
        }
        held.remove(&key).map(|kept| (kept.all, true))
    }
}

pub(crate) fn run(
    node: &Shared,
    cx: &Context<'_>,
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let key = (node.id, grid.start, grid.step, grid.count);
    let (all, last) = match cx.shared.take(key) {
        Some(found) => found,
        None => {
            let all = Arc::new(super::collect(&node.input, cx, grid)?);
            let uses_left = node.uses.saturating_sub(1);
            cx.shared.keep(key, Kept { all: Arc::clone(&all), uses_left });
            (all, false)
        }
    };
    // The last one to use them takes them along, if nobody else is still at it.
    match Arc::try_unwrap(all) {
        Ok(all) if last => {
            let held = super::held(&all);
            super::pass_on(all, held, cx, sink)
        }
        Ok(all) => all.into_iter().try_for_each(sink),
        Err(all) => {
            for series in all.iter() {
                cx.check()?;
                sink(series.clone())?;
            }
            if last {
                super::release(cx, &all);
            }
            Ok(())
        }
    }
}
