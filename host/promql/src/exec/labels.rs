//! `label_replace` and `label_join`.

use ahash::AHashMap;
use model::{Labels, METRIC_NAME};

use super::context::same_labelset;
use super::{Context, Grid, Series, Sink, Size};
use crate::error::QueryError;
use crate::plan::{LabelJoin, LabelReplace, VectorNode};

pub(crate) fn replace(
    node: &LabelReplace,
    cx: &Context<'_>,
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    relabel(&node.input, cx, grid, sink, &mut |labels| {
        let source = labels.get(&node.source).unwrap_or("");
        let captures = node.regex.captures(source)?;
        let mut value = String::new();
        captures.expand(&node.replacement, &mut value);
        Some((node.target.clone(), value))
    })
}

pub(crate) fn join(
    node: &LabelJoin,
    cx: &Context<'_>,
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    relabel(&node.input, cx, grid, sink, &mut |labels| {
        let parts: Vec<&str> = node.sources.iter().map(|name| labels.get(name).unwrap_or("")).collect();
        Some((node.target.clone(), parts.join(&node.separator)))
    })
}

/// Sets one label of every series. Series that become the same merge as long as no step has two samples.
fn relabel(
    input: &VectorNode,
    cx: &Context<'_>,
    grid: Grid,
    sink: &mut Sink<'_>,
    change: &mut dyn FnMut(&Labels) -> Option<(String, String)>,
) -> Result<(), QueryError> {
    let mut known: AHashMap<(Labels, bool), usize> = AHashMap::new();
    let mut all: Vec<Series> = Vec::new();
    let mut held = Size::default();
    super::vector(input, cx, grid, &mut |mut series| {
        if let Some((name, value)) = change(&series.labels) {
            series.labels = series.labels.with(&name, &value);
            if name == METRIC_NAME {
                // A name set by hand is meant to stay.
                series.drop_name = false;
            }
        }
        match known.get(&(series.labels.clone(), series.drop_name)) {
            Some(&at) => {
                if !all[at].column.merge(&series.column) {
                    return Err(same_labelset());
                }
            }
            None => {
                let size = Size::of_series(&series);
                cx.hold(size)?;
                held = held + size;
                known.insert((series.labels.clone(), series.drop_name), all.len());
                all.push(series);
            }
        }
        Ok(())
    })?;
    drop(known);
    super::pass_on(all, held, cx, sink)
}
