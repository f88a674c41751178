//! Aggregations that choose among the series of a group: `topk`, `bottomk`, `limitk`, `limit_ratio`.

mod top;

use model::Labels;

use super::aggregate::{Found, Groups, info_ignored_histogram};
use super::{Column, Context, Grid, Series, Sink, Size};
use crate::error::QueryError;
use crate::parser::AggregateOp;
use crate::plan::{Aggregate, AggregateParam};

pub(crate) fn run(
    node: &Aggregate,
    cx: &Context<'_>,
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let params = match &node.param {
        AggregateParam::Number(param) => super::scalar(param, cx, grid)?,
        _ => vec![0.0; grid.count],
    };
    if !check(node, &params, cx)? {
        return Ok(());
    }
    if top::run(node, &params, cx, grid, sink)? {
        return Ok(());
    }
    let all = super::collect(&node.input, cx, grid)?;
    let held: Size = all.iter().map(Size::of_series).sum();
    // Places in groups and in their order, and a column beside each.
    let more = Size { samples: 0, ..held } + Size::of_bytes(4 * size_of::<usize>() * all.len());
    cx.hold(more)?;
    let mut known = Groups::new(&node.grouping);
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, series) in all.iter().enumerate() {
        cx.check()?;
        match known.find(&series.labels) {
            Found::Known(at) => groups[at].push(index),
            Found::New(_) => groups.push(vec![index]),
        }
    }
    let mut kept: Vec<Column> = all.iter().map(|_| Column::empty(grid.count)).collect();
    let mut order = Vec::new();
    for group in &groups {
        cx.check()?;
        for (step, param) in params.iter().enumerate() {
            if step % 64 == 63 {
                cx.check()?;
            }
            let chosen = choose(node, &all, group, step, *param, cx);
            for index in chosen {
                if let Some(value) = all[index].column.get(step) {
                    kept[index].set(step, value);
                }
                if cx.instant {
                    order.push(index);
                }
            }
        }
    }
    if !cx.instant || grid.count != 1 {
        order = (0..all.len()).collect();
    }
    for index in order {
        let column = std::mem::replace(&mut kept[index], Column::empty(0));
        if !column.is_empty() {
            let Series { labels, drop_name, .. } = all[index].clone();
            sink(Series { labels, drop_name, column })?;
        }
    }
    cx.release(held + more);
    Ok(())
}

/// Whether anything can be chosen. What is said of parameters is said of the largest and the smallest alone.
fn check(node: &Aggregate, params: &[f64], cx: &Context<'_>) -> Result<bool, QueryError> {
    let fail = |text: String| Err(QueryError::Execution(text));
    let any_nan = params.iter().any(|param| param.is_nan());
    let largest = params.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let smallest = params.iter().copied().fold(f64::INFINITY, f64::min);
    let general = crate::number::format_general;
    if node.op == AggregateOp::LimitRatio {
        if any_nan {
            return fail("Ratio value is NaN".to_owned());
        }
        for (got, cap) in [(largest, 1.0), (smallest, -1.0)] {
            if got.abs() > 1.0 && got.is_sign_positive() == (cap > 0.0) {
                let text =
                    format!("ratio value should be between -1 and 1, got {}, capping to {cap}", general(got));
                cx.notes.warn(node.param_span, text);
            }
        }
        return Ok(largest != 0.0 || smallest != 0.0);
    }
    if any_nan {
        return fail("Parameter value is NaN".to_owned());
    }
    if largest < 1.0 {
        return Ok(false);
    }
    if smallest <= i64::MIN as f64 {
        return fail(format!("Scalar value {} underflows int64", general(smallest)));
    }
    if largest >= i64::MAX as f64 {
        return fail(format!("Scalar value {} overflows int64", general(largest)));
    }
    Ok(true)
}

fn choose(
    node: &Aggregate,
    all: &[Series],
    group: &[usize],
    step: usize,
    param: f64,
    cx: &Context<'_>,
) -> Vec<usize> {
    let present = group.iter().copied().filter(|i| all[*i].column.has(step));
    match node.op {
        AggregateOp::Limitk => {
            let k = if param < 1.0 { 0 } else { param as usize };
            present.take(k).collect()
        }
        AggregateOp::LimitRatio => {
            let ratio = param.clamp(-1.0, 1.0);
            present.filter(|i| in_ratio(ratio, &all[*i].labels)).collect()
        }
        op => {
            let k = if param < 1.0 { 0 } else { param as usize };
            let mut heap = Heap { items: Vec::new(), top: op == AggregateOp::Topk };
            for index in present {
                match all[index].column.float(step) {
                    Some(value) if k > 0 => heap.offer(k, index, value),
                    None if k > 0 => info_ignored_histogram(cx, op, node.whole_span),
                    _ => {}
                }
            }
            heap.finish()
        }
    }
}

/// Whether the series falls into the share: by a hash of its labels, so that `limit_ratio(r, x)` and
/// `limit_ratio(r - 1, x)` split `x` between them.
fn in_ratio(ratio: f64, labels: &Labels) -> bool {
    let offset = label_hash(labels) as f64 / u64::MAX as f64;
    if ratio >= 0.0 { offset < ratio } else { offset >= 1.0 + ratio }
}

/// A fixed hash: the same on every machine and in every run.
fn label_hash(labels: &Labels) -> u64 {
    let mut hash: u64 = 0x9e37_79b9_7f4a_7c15;
    for byte in labels.as_encoded() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 32;
    }
    hash ^= hash >> 29;
    hash = hash.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash ^ (hash >> 32)
}

/// The best `k` so far, the worst of them first. Which of equal values stay depends on how a binary heap moves
/// them, and is the same as in Prometheus.
struct Heap {
    items: Vec<(usize, f64)>,
    top: bool,
}

impl Heap {
    /// Whether `a` is worse than `b`; what is not a number is the worst.
    fn worse(&self, a: f64, b: f64) -> bool {
        if a.is_nan() {
            return true;
        }
        if self.top { a < b } else { a > b }
    }

    fn offer(&mut self, k: usize, index: usize, value: f64) {
        if self.items.len() < k {
            self.items.push((index, value));
            self.up(self.items.len() - 1);
            return;
        }
        let worst = self.items[0].1;
        let better = if self.top { value > worst } else { value < worst };
        if better || (worst.is_nan() && !value.is_nan()) {
            self.items[0] = (index, value);
            self.down();
        }
    }

    fn up(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.worse(self.items[at].1, self.items[parent].1) {
                return;
            }
            self.items.swap(at, parent);
            at = parent;
        }
    }

    fn down(&mut self) {
        let mut at = 0;
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            if left >= self.items.len() {
                return;
            }
            let child = if right < self.items.len() && self.worse(self.items[right].1, self.items[left].1) {
                right
            } else {
                left
            };
            if !self.worse(self.items[child].1, self.items[at].1) {
                return;
            }
            self.items.swap(at, child);
            at = child;
        }
    }

    /// The chosen, best first.
    fn finish(mut self) -> Vec<usize> {
        let top = self.top;
        self.items.sort_by(|(_, a), (_, b)| match (a.is_nan(), b.is_nan()) {
            (true, true) => std::cmp::Ordering::Equal,
            (true, false) => std::cmp::Ordering::Greater,
            (false, true) => std::cmp::Ordering::Less,
            (false, false) => {
                let order = a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal);
                if top { order.reverse() } else { order }
            }
        });
        self.items.into_iter().map(|(index, _)| index).collect()
    }
}
