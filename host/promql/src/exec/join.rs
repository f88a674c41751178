//! Two vectors, matched by labels: arithmetic and comparison.
//!
//! Series are matched once for all steps, by the hash of the labels that count. What remains to be found at
//! each step is which of them have a sample, and whether there are more than the matching allows.

use ahash::AHashMap;
use model::{Labels, METRIC_NAME, Value};

use super::arithmetic::{self, Outcome};
use super::column::is_metric_label;
use super::map::drops_name;
use super::{Column, Context, Grid, Series, Sink, Size};
use crate::error::QueryError;
use crate::parser::{Group, Matching};
use crate::plan::Join;

/// Appends the span of the labels by which series are matched.
pub(crate) fn project(labels: &Labels, matching: &Matching, span: &mut Vec<u8>) {
    let named = |name: &[u8]| matching.labels.iter().any(|l| l.as_bytes() == name);
    if matching.on {
        labels.project(named, span);
    } else {
        labels.project(|name| name != METRIC_NAME.as_bytes() && !named(name), span);
    }
}

/// How many series are matched between two looks at the query's limits.
const MATCHED_AT_ONCE: usize = 1024;

/// The series that match by their labels.
#[derive(Default)]
struct Match {
    many: Few,
    one: Few,
}

/// Places of series; mostly a single one, which then takes no memory of its own.
#[derive(Default)]
struct Few {
    first: Option<usize>,
    more: Vec<usize>,
}

impl Few {
    fn push(&mut self, index: usize) {
        if self.first.is_none() {
            self.first = Some(index);
        } else {
            self.more.push(index);
        }
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.first.into_iter().chain(self.more.iter().copied())
    }

    fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The only one.
    fn only(&self) -> Option<usize> {
        if self.more.is_empty() { self.first } else { None }
    }
}

pub(crate) fn run(node: &Join, cx: &Context<'_>, grid: Grid, sink: &mut Sink<'_>) -> Result<(), QueryError> {
    let left = super::collect(&node.left, cx, grid)?;
    let right = super::collect(&node.right, cx, grid)?;
    let matching = &node.matching;
    let swapped = matching.group == Group::Right;
    let (many, one) = if swapped { (&right, &left) } else { (&left, &right) };
    let mut order: Vec<(Labels, Match)> = Vec::new();
    let mut known: AHashMap<Box<[u8]>, usize> = AHashMap::new();
    let mut span = Vec::new();
    let mut held = Size::default();
    for (index, series, is_many) in many
        .iter()
        .enumerate()
        .map(|(i, s)| (i, s, true))
        .chain(one.iter().enumerate().map(|(i, s)| (i, s, false)))
    {
        if index % MATCHED_AT_ONCE == 0 {
            cx.check()?;
        }
        span.clear();
        project(&series.labels, matching, &mut span);
        let at = match known.get(span.as_slice()) {
            Some(at) => *at,
            None => {
                let key = Labels::from_encoded(&span).unwrap_or_default();
                let size = Size::of_key(&key) + Size::of_bytes(size_of::<(Labels, Match)>());
                cx.hold(size)?;
                held = held + size;
                known.insert(span.as_slice().into(), order.len());
                order.push((key, Match::default()));
                order.len() - 1
            }
        };
        if is_many { &mut order[at].1.many } else { &mut order[at].1.one }.push(index);
    }
    // Fills name the sides as they are matched: the left is the one of which there may be many.
    let (fill_many, fill_one) = (matching.fill_left, matching.fill_right);
    let mut joiner = Joiner {
        node,
        cx,
        grid,
        many,
        one,
        swapped,
        fill_many,
        fill_one,
        out: Output { known: AHashMap::new(), series: Vec::new(), held: Size::default() },
    };
    drop(known);
    for (key, found) in &order {
        cx.check()?;
        joiner.matched(key, found)?;
    }
    let Output { series: out, held: out_held, .. } = joiner.out;
    drop(order);
    cx.release(held);
    super::release(cx, &left);
    super::release(cx, &right);
    drop((left, right));
    super::pass_on(out, out_held, cx, &mut |series| {
        if series.column.is_empty() { Ok(()) } else { sink(series) }
    })
}

/// Result series by their labels.
struct Output {
    known: AHashMap<(Labels, bool), usize>,
    series: Vec<Series>,
    held: Size,
}

impl Output {
    /// Where the series of these labels is; a new one without samples where there was none.
    fn slot(
        &mut self,
        labels: Labels,
        drop_name: bool,
        count: usize,
        cx: &Context<'_>,
    ) -> Result<usize, QueryError> {
        if let Some(at) = self.known.get(&(labels.clone(), drop_name)) {
            return Ok(*at);
        }
        self.put(Series { labels, drop_name, column: Column::empty(count) }, cx)?;
        Ok(self.series.len() - 1)
    }

    /// Takes a series of new labels. `false` where there is one of them.
    fn put_new(&mut self, series: Series, cx: &Context<'_>) -> Result<bool, QueryError> {
        let is_new = !self.known.contains_key(&(series.labels.clone(), series.drop_name));
        if is_new {
            self.put(series, cx)?;
        }
        Ok(is_new)
    }

    fn put(&mut self, series: Series, cx: &Context<'_>) -> Result<(), QueryError> {
        let size = Size::of_series(&series);
        cx.hold(size)?;
        self.held = self.held + size;
        self.known.insert((series.labels.clone(), series.drop_name), self.series.len());
        self.series.push(series);
        Ok(())
    }
}

struct Joiner<'j, 'q> {
    node: &'j Join,
    cx: &'j Context<'q>,
    grid: Grid,
    many: &'j [Series],
    one: &'j [Series],
    swapped: bool,
    fill_many: Option<f64>,
    fill_one: Option<f64>,
    out: Output,
}

impl Joiner<'_, '_> {
    fn matched(&mut self, key: &Labels, found: &Match) -> Result<(), QueryError> {
        if found.many.is_empty() && self.fill_many.is_none()
            || found.one.is_empty() && self.fill_one.is_none()
        {
            // Nothing can come of it, but that one side is ambiguous is an error all the same.
            return self.check_one_side(key, found);
        }
        if let (Some(many), Some(one)) = (found.many.only(), found.one.only())
            && self.of_floats(key, many, one)?
        {
            return Ok(());
        }
        // Result slots by pair, found once and not at every step.
        let mut slots: AHashMap<(Option<usize>, Option<usize>), usize> = AHashMap::new();
        for step in 0..self.grid.count {
            let one = self.only_one(key, found, step)?;
            let mut pairs = 0;
            self.cx.check()?;
            for many in found.many.iter() {
                let Some(many_value) = self.many[many].column.get(step) else { continue };
                let one_value = match (one, self.fill_one) {
                    (Some(one), _) => self.one[one].column.get(step),
                    (None, fill) => fill.map(Value::Float),
                };
                let Some(one_value) = one_value else { continue };
                self.pair(key, step, (Some(many), &many_value), (one, &one_value), &mut slots, &mut pairs)?;
            }
            let has_many = found.many.iter().any(|m| self.many[m].column.has(step));
            if let (false, Some(fill), Some(one)) = (has_many, self.fill_many, one)
                && let Some(one_value) = self.one[one].column.get(step)
            {
                let filled = Value::Float(fill);
                self.pair(key, step, (None, &filled), (Some(one), &one_value), &mut slots, &mut pairs)?;
            }
        }
        Ok(())
    }

    /// Two series of floats alone, all steps in one go. `false` where there is more to it.
    fn of_floats(&mut self, key: &Labels, many: usize, one: usize) -> Result<bool, QueryError> {
        let Join { op, return_bool, .. } = *self.node;
        let (left, right) = (&self.many[many].column, &self.one[one].column);
        let fills = self.fill_many.is_some() || self.fill_one.is_some();
        let plain = left.histograms.is_empty() && right.histograms.is_empty();
        if fills || !plain || !arithmetic::knows_floats(op) {
            return Ok(false);
        }
        let (left, right) = if self.swapped { (right, left) } else { (left, right) };
        let column = Column::of_floats(arithmetic::columns(op, return_bool, &left.floats, &right.floats));
        if self.node.matching.group == Group::None && self.node.op.changes_metric() && keeps_no_name(key) {
            // What is left of the labels is what was matched by: no other match can come to the same.
            let series = Series { labels: key.clone(), drop_name: false, column };
            let size = Size::of_series(&series);
            self.cx.hold(size)?;
            self.out.held = self.out.held + size;
            self.out.series.push(series);
            return Ok(true);
        }
        let (labels, drop_name) = self.result_labels(key, Some(many), Some(one));
        self.out.put_new(Series { labels, drop_name, column }, self.cx)
    }

    fn check_one_side(&self, key: &Labels, found: &Match) -> Result<(), QueryError> {
        if !found.one.more.is_empty() {
            for step in 0..self.grid.count {
                self.only_one(key, found, step)?;
            }
        }
        Ok(())
    }

    /// The series of the "one" side that has a sample.
    fn only_one(&self, key: &Labels, found: &Match, step: usize) -> Result<Option<usize>, QueryError> {
        let mut present = found.one.iter().filter(|i| self.one[*i].column.has(step));
        let first = present.next();
        if let (Some(first), Some(second)) = (first, present.next()) {
            let side = if self.swapped { "left" } else { "right" };
            let (first, second) = (&self.one[first].labels, &self.one[second].labels);
            return Err(QueryError::Execution(format!(
                "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
                braces(key),
                braces(second),
                braces(first)
            )));
        }
        Ok(first)
    }

    fn pair(
        &mut self,
        key: &Labels,
        step: usize,
        (many, many_value): (Option<usize>, &Value),
        (one, one_value): (Option<usize>, &Value),
        slots: &mut AHashMap<(Option<usize>, Option<usize>), usize>,
        pairs: &mut u32,
    ) -> Result<(), QueryError> {
        let Join { op, return_bool, matching, span, .. } = self.node;
        let (l, r) = if self.swapped { (one_value, many_value) } else { (many_value, one_value) };
        let value = match arithmetic::samples(*op, l, r, *span, &self.cx.notes) {
            Outcome::Nothing => return Ok(()),
            Outcome::Keep(_) if *return_bool => Value::Float(1.0),
            Outcome::Filtered if *return_bool => Value::Float(0.0),
            Outcome::Filtered => return Ok(()),
            Outcome::Keep(value) => value,
        };
        *pairs += 1;
        if matching.group == Group::None && *pairs > 1 {
            return Err(QueryError::Execution(
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                    .to_owned(),
            ));
        }
        let slot = match slots.get(&(many, one)) {
            Some(slot) => *slot,
            None => {
                let (labels, drop_name) = self.result_labels(key, many, one);
                let slot = self.out.slot(labels, drop_name, self.grid.count, self.cx)?;
                slots.insert((many, one), slot);
                slot
            }
        };
        let column = &mut self.out.series[slot].column;
        if column.has(step) {
            let text = if matching.group == Group::None {
                return Err(super::context::same_labelset());
            } else {
                "multiple matches for labels: grouping labels must ensure unique matches"
            };
            return Err(QueryError::Execution(text.to_owned()));
        }
        column.set(step, value);
        Ok(())
    }

    fn result_labels(&self, key: &Labels, many: Option<usize>, one: Option<usize>) -> (Labels, bool) {
        let matching = &self.node.matching;
        let drops = drops_name(self.node.op, self.node.return_bool);
        let many_series = many.map(|m| &self.many[m]);
        // A filled side has no labels of its own but those that were matched on.
        let mut labels = many_series.map_or_else(|| key.clone(), |s| s.labels.clone());
        let mut drop_name = many_series.is_some_and(|s| s.drop_name);
        if self.node.op.changes_metric() {
            labels = labels.without(is_metric_label);
            drop_name = false;
        } else if drops {
            if self.cx.delayed_name_removal {
                drop_name = true;
            } else {
                labels = labels.without(is_metric_label);
            }
        }
        match matching.group {
            Group::None => {
                let named = |name: &str| matching.labels.iter().any(|l| l == name);
                labels = if matching.on { labels.filtered(named) } else { labels.without(named) };
            }
            Group::Left | Group::Right => {
                if !matching.include.is_empty() {
                    let mut builder = labels.to_builder();
                    for name in &matching.include {
                        let value = one.and_then(|one| self.one[one].labels.get(name)).unwrap_or("");
                        builder.set(name, value);
                    }
                    labels = builder.build();
                }
            }
        }
        (labels, drop_name)
    }
}

/// Whether none of the labels goes away with the metric's name.
fn keeps_no_name(key: &Labels) -> bool {
    ["__name__", "__type__", "__unit__"].iter().all(|name| key.get(name).is_none())
}

/// Labels in braces, the metric's name among them, as error texts have them.
fn braces(labels: &Labels) -> String {
    let pairs: Vec<String> =
        labels.iter().map(|(n, v)| format!("{n}={}", crate::lexer::quote(v.as_bytes()))).collect();
    format!("{{{}}}", pairs.join(", "))
}
