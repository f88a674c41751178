//! Two vectors, matched by labels: arithmetic and comparison.
//!
//! Series are matched once for all steps, by the hash of the labels that count; no label sets are made for it. What
//! remains to be found at each step is which of them have a sample, and whether there are more than the matching
//! allows.
//!
//! Hashes, and pairs of series of floats that nothing has to be found out about at each step, are computed by several
//! threads; what they come to is taken in the order of the matches, as is everything that goes step by step, so that
//! results and errors are those of one thread.

use ahash::AHashMap;
use model::{Labels, METRIC_NAME, Value};

use super::arithmetic::{self, Outcome};
use super::column::{is_metric_label, is_metric_label_bytes};
use super::map::drops_name;
use super::parallel::{self, Held};
use super::signature::{self, BySignature, PLACE_BYTES, Signatures};
use super::{Column, Context, Grid, Series, Sink, Size};
use crate::error::QueryError;
use crate::parser::{Group, Matching};
use crate::plan::Join;

/// Whether series are matched by this label.
pub(crate) fn matches_by(matching: &Matching, name: &[u8]) -> bool {
    let named = matching.labels.iter().any(|l| l.as_bytes() == name);
    if matching.on { named } else { name != METRIC_NAME.as_bytes() && !named }
}

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

/// What one thread does at a time: a match, or one of its many series with the only one on the other side.
#[derive(Clone, Copy)]
struct Task {
    place: usize,
    many: Option<usize>,
}

/// What has come of it.
enum Matched {
    /// A series that no other match can come to.
    Alone(Series),
    /// A series that another match may come to as well, and the place of this one.
    Shared(Series, usize),
    /// Its steps have to be gone through, in the order of the matches.
    Stepwise(usize),
    /// One side is ambiguous.
    Failed(QueryError),
}

impl Held for Matched {
    fn size(&self) -> Size {
        match self {
            Self::Alone(series) | Self::Shared(series, _) => Size::of_series(series),
            Self::Stepwise(_) | Self::Failed(_) => Size::default(),
        }
    }
}

pub(crate) fn run(node: &Join, cx: &Context<'_>, grid: Grid, sink: &mut Sink<'_>) -> Result<(), QueryError> {
    let left = super::collect(&node.left, cx, grid)?;
    let right = super::collect(&node.right, cx, grid)?;
    let swapped = node.matching.group == Group::Right;
    let (many, one) = if swapped { (&right, &left) } else { (&left, &right) };
    let (order, held) = find_matches(node, many, one, cx)?;
    let sides = Sides {
        node,
        cx,
        grid,
        many,
        one,
        swapped,
        // Fills name the sides as they are matched: the left is the one of which there may be many.
        fill_many: node.matching.fill_left,
        fill_one: node.matching.fill_right,
        unnamed: node.matching.on && !node.matching.labels.iter().any(|name| is_metric_label(name)),
    };
    let (tasks, tasks_held) = sides.tasks(&order)?;
    let mut joiner = Joiner { sides: &sides, scratch: Vec::new(), out: Output::new() };
    let of_task = |at: usize, scratch: &mut Vec<u8>| {
        let Task { place, many } = tasks[at];
        let matched = match (many, order[place].one.first) {
            (Some(many), Some(one)) => Ok(sides.pair(place, many, one, scratch)),
            _ => sides.whole(&order[place], place, scratch),
        };
        // What those before it come to may fail first.
        Ok(matched.unwrap_or_else(|error| Some(Matched::Failed(error))))
    };
    parallel::over(tasks.len(), grid.count, cx, &of_task, &mut |matched| match matched {
        Matched::Alone(series) => sink(series),
        Matched::Shared(series, place) => match joiner.out.put_new(series, cx)? {
            None => Ok(()),
            Some(series) if node.matching.group != Group::None => joiner.out.merge(&series),
            // Its errors are of other kinds.
            Some(_) => joiner.stepwise(&order[place]),
        },
        Matched::Stepwise(place) => joiner.stepwise(&order[place]),
        Matched::Failed(error) => Err(error),
    })?;
    let Output { series: out, held: out_held, .. } = joiner.out;
    drop((order, tasks));
    cx.release(held + tasks_held);
    super::release(cx, &left);
    super::release(cx, &right);
    drop((left, right));
    super::pass_on(out, out_held, cx, &mut |series| {
        if series.column.is_empty() { Ok(()) } else { sink(series) }
    })
}

/// Matches series by the labels that count: those of the "many" side in their order, then what only the other has. With
/// what that holds.
fn find_matches(
    node: &Join,
    many: &[Series],
    one: &[Series],
    cx: &Context<'_>,
) -> Result<(Vec<Match>, Size), QueryError> {
    let mut known: BySignature<usize> = BySignature::default();
    let mut order: Vec<Match> = Vec::new();
    let mut held = Size::default();
    let matches = |name: &[u8]| matches_by(&node.matching, name);
    let mut index = 0_usize;
    signature::of_all(&[many, one], &matches, &Signatures::new(), cx, &mut |signature| {
        let next = order.len();
        let at = *known.entry(signature).or_insert(next);
        if at == next {
            let size = Size::of_bytes(PLACE_BYTES + size_of::<Match>());
            cx.hold(size)?;
            held = held + size;
            order.push(Match::default());
        }
        let found = &mut order[at];
        match index.checked_sub(many.len()) {
            None => found.many.push(index),
            Some(index) => found.one.push(index),
        }
        index += 1;
        Ok(())
    })?;
    Ok((order, held))
}

/// Result series by their labels.
struct Output {
    signatures: Signatures,
    known: [BySignature<usize>; 2],
    series: Vec<Series>,
    held: Size,
}

impl Output {
    fn new() -> Self {
        let known = [BySignature::default(), BySignature::default()];
        Self { signatures: Signatures::new(), known, series: Vec::new(), held: Size::default() }
    }

    /// Where the series of these labels is.
    fn find(&self, labels: &Labels, drop_name: bool) -> Option<usize> {
        self.known[usize::from(drop_name)].get(&self.signatures.of(labels.as_encoded())).copied()
    }

    /// Where the series of these labels is; a new one without samples where there was none.
    fn slot(
        &mut self,
        labels: Labels,
        drop_name: bool,
        count: usize,
        cx: &Context<'_>,
    ) -> Result<usize, QueryError> {
        if let Some(at) = self.find(&labels, drop_name) {
            return Ok(at);
        }
        self.put(Series { labels, drop_name, column: Column::empty(count) }, cx)?;
        Ok(self.series.len() - 1)
    }

    /// Takes a series of new labels, and gives it back where there is one of them.
    fn put_new(&mut self, series: Series, cx: &Context<'_>) -> Result<Option<Series>, QueryError> {
        if self.find(&series.labels, series.drop_name).is_some() {
            return Ok(Some(series));
        }
        self.put(series, cx).map(|()| None)
    }

    /// Puts the samples of a series to those of the same labels, which must have none at any of its steps.
    fn merge(&mut self, series: &Series) -> Result<(), QueryError> {
        let at = self.find(&series.labels, series.drop_name);
        let merged = at.is_none_or(|at| self.series[at].column.merge(&series.column));
        if merged { Ok(()) } else { Err(grouping_not_unique()) }
    }

    fn put(&mut self, series: Series, cx: &Context<'_>) -> Result<(), QueryError> {
        let size = Size::of_series(&series);
        cx.hold(size + Size::of_bytes(PLACE_BYTES))?;
        self.held = self.held + size + Size::of_bytes(PLACE_BYTES);
        let signature = self.signatures.of(series.labels.as_encoded());
        self.known[usize::from(series.drop_name)].insert(signature, self.series.len());
        self.series.push(series);
        Ok(())
    }
}

/// What has come of a match at one step so far.
struct Pairs {
    count: usize,
    /// Whether pairs that a comparison leaves out have to be told apart by their labels, as results have.
    left_out: bool,
    /// The last step at which something belonged into a slot.
    slots: AHashMap<usize, usize>,
}

/// Both sides, as any thread sees them.
struct Sides<'j, 'q> {
    node: &'j Join,
    cx: &'j Context<'q>,
    grid: Grid,
    many: &'j [Series],
    one: &'j [Series],
    swapped: bool,
    fill_many: Option<f64>,
    fill_one: Option<f64>,
    /// No label by which series are matched is one that goes away with the metric's name.
    unnamed: bool,
}

impl Sides<'_, '_> {
    /// The labels by which series were matched.
    fn key(&self, found: &Match, scratch: &mut Vec<u8>) -> Labels {
        let many = found.many.first.map(|many| &self.many[many]);
        let first = many.or_else(|| found.one.first.map(|one| &self.one[one]));
        first.map_or_else(Labels::empty, |series| self.key_of(series, scratch))
    }

    fn key_of(&self, series: &Series, scratch: &mut Vec<u8>) -> Labels {
        series.labels.projected(|name| matches_by(&self.node.matching, name), scratch)
    }

    /// What there is to do, in the order of the matches. With what that holds.
    fn tasks(&self, order: &[Match]) -> Result<(Vec<Task>, Size), QueryError> {
        let mut tasks = Vec::with_capacity(order.len().max(self.many.len()));
        for (place, found) in order.iter().enumerate() {
            if self.goes_by_pairs(found) {
                tasks.extend(found.many.iter().map(|many| Task { place, many: Some(many) }));
            } else {
                tasks.push(Task { place, many: None });
            }
        }
        let held = Size::of_bytes(tasks.len() * size_of::<Task>());
        self.cx.hold(held)?;
        Ok((tasks, held))
    }

    /// Whether the pairs of a match have nothing to do with each other but the labels of their results, and consist of
    /// floats alone.
    fn goes_by_pairs(&self, found: &Match) -> bool {
        let Join { op, return_bool, ref matching, .. } = *self.node;
        let fills = self.fill_many.is_some() || self.fill_one.is_some();
        let is_plain = |series: &Series| series.column.histograms.is_empty();
        let filters = op.is_comparison() && !return_bool;
        let single = found.many.only().is_some();
        !fills
            && arithmetic::knows_floats(op)
            // Of several, those that a comparison leaves out have to be told apart as well.
            && (single || matching.group != Group::None && !filters)
            && found.one.only().is_some_and(|one| is_plain(&self.one[one]))
            && found.many.iter().all(|many| is_plain(&self.many[many]))
    }

    /// What comes of a match as a whole; `None` where that is nothing.
    fn whole(
        &self,
        found: &Match,
        place: usize,
        scratch: &mut Vec<u8>,
    ) -> Result<Option<Matched>, QueryError> {
        if found.many.is_empty() && self.fill_many.is_none()
            || found.one.is_empty() && self.fill_one.is_none()
        {
            // Nothing can come of it, but that one side is ambiguous is an error all the same.
            return self.check_one_side(found, scratch).map(|()| None);
        }
        Ok(Some(Matched::Stepwise(place)))
    }

    /// Two series of floats alone, all steps in one go.
    fn pair(&self, place: usize, many: usize, one: usize, scratch: &mut Vec<u8>) -> Option<Matched> {
        let Join { op, return_bool, ref matching, .. } = *self.node;
        let (left, right) = (&self.many[many].column, &self.one[one].column);
        let (left, right) = if self.swapped { (right, left) } else { (left, right) };
        let column = Column::of_floats(arithmetic::columns(op, return_bool, &left.floats, &right.floats));
        if matching.group == Group::None && op.changes_metric() {
            let labels = self.key_of(&self.many[many], scratch);
            if self.unnamed || keeps_no_name(&labels) {
                // What is left of the labels is what was matched by: no other match can come to the same.
                let series = Series { labels, drop_name: false, column };
                return (!series.column.is_empty()).then_some(Matched::Alone(series));
            }
        }
        // Both are there: what they were matched by is not asked for.
        let (labels, drop_name) = self.result_labels(&Labels::empty(), Some(many), Some(one), scratch);
        Some(Matched::Shared(Series { labels, drop_name, column }, place))
    }

    fn check_one_side(&self, found: &Match, scratch: &mut Vec<u8>) -> Result<(), QueryError> {
        if !found.one.more.is_empty() {
            for step in 0..self.grid.count {
                self.only_one(found, step, scratch)?;
            }
        }
        Ok(())
    }

    /// The series of the "one" side that has a sample.
    fn only_one(
        &self,
        found: &Match,
        step: usize,
        scratch: &mut Vec<u8>,
    ) -> Result<Option<usize>, QueryError> {
        let mut present = found.one.iter().filter(|i| self.one[*i].column.has(step));
        let first = present.next();
        if let (Some(first), Some(second)) = (first, present.next()) {
            let side = if self.swapped { "left" } else { "right" };
            let key = self.key(found, scratch);
            let (first, second) = (&self.one[first].labels, &self.one[second].labels);
            return Err(QueryError::Execution(format!(
                "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
                braces(&key),
                braces(second),
                braces(first)
            )));
        }
        Ok(first)
    }

    fn result_labels(
        &self,
        key: &Labels,
        many: Option<usize>,
        one: Option<usize>,
        scratch: &mut Vec<u8>,
    ) -> (Labels, bool) {
        let matching = &self.node.matching;
        let drops = drops_name(self.node.op, self.node.return_bool);
        let many_series = many.map(|m| &self.many[m]);
        // A filled side has no labels of its own but those that were matched on.
        let mut labels = many_series.map_or_else(|| key.clone(), |s| s.labels.clone());
        let mut drop_name = many_series.is_some_and(|s| s.drop_name);
        if self.node.op.changes_metric() {
            labels = labels.projected(|name| !is_metric_label_bytes(name), scratch);
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

/// Takes what comes of matches one by one.
struct Joiner<'s, 'j, 'q> {
    sides: &'s Sides<'j, 'q>,
    scratch: Vec<u8>,
    out: Output,
}

impl Joiner<'_, '_, '_> {
    fn stepwise(&mut self, found: &Match) -> Result<(), QueryError> {
        let sides = self.sides;
        let key = &sides.key(found, &mut self.scratch);
        // Result slots by pair, found once and not at every step.
        let mut slots: AHashMap<(Option<usize>, Option<usize>), usize> = AHashMap::new();
        let Join { op, return_bool, matching, .. } = sides.node;
        let filters = op.is_comparison() && !return_bool;
        let mut pairs = Pairs {
            count: 0,
            left_out: filters && matching.group != Group::None && !found.many.more.is_empty(),
            slots: AHashMap::new(),
        };
        for step in 0..sides.grid.count {
            let one = sides.only_one(found, step, &mut self.scratch)?;
            pairs.count = 0;
            sides.cx.check()?;
            for many in found.many.iter() {
                let Some(many_value) = sides.many[many].column.get(step) else { continue };
                let one_value = match (one, sides.fill_one) {
                    (Some(one), _) => sides.one[one].column.get(step),
                    (None, fill) => fill.map(Value::Float),
                };
                let Some(one_value) = one_value else { continue };
                self.pair(key, step, (Some(many), &many_value), (one, &one_value), &mut slots, &mut pairs)?;
            }
            // Samples that do not go together match nothing.
            if let (0, Some(fill), Some(one)) = (pairs.count, sides.fill_many, one)
                && let Some(one_value) = sides.one[one].column.get(step)
            {
                let filled = Value::Float(fill);
                self.pair(key, step, (None, &filled), (Some(one), &one_value), &mut slots, &mut pairs)?;
            }
        }
        Ok(())
    }

    fn pair(
        &mut self,
        key: &Labels,
        step: usize,
        (many, many_value): (Option<usize>, &Value),
        (one, one_value): (Option<usize>, &Value),
        slots: &mut AHashMap<(Option<usize>, Option<usize>), usize>,
        pairs: &mut Pairs,
    ) -> Result<(), QueryError> {
        let sides = self.sides;
        let Join { op, return_bool, matching, span, .. } = sides.node;
        let (l, r) = if sides.swapped { (one_value, many_value) } else { (many_value, one_value) };
        let value = match arithmetic::samples(*op, l, r, *span, &sides.cx.notes) {
            Outcome::Nothing => return Ok(()),
            Outcome::Keep(_) if *return_bool => Some(Value::Float(1.0)),
            Outcome::Filtered if *return_bool => Some(Value::Float(0.0)),
            Outcome::Filtered => None,
            Outcome::Keep(value) => Some(value),
        };
        pairs.count += 1;
        if matching.group == Group::None && pairs.count > 1 {
            return Err(QueryError::Execution(
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                    .to_owned(),
            ));
        }
        if value.is_none() && !pairs.left_out {
            return Ok(());
        }
        let slot = match slots.get(&(many, one)) {
            Some(slot) => *slot,
            None => {
                let (labels, drop_name) = sides.result_labels(key, many, one, &mut self.scratch);
                let slot = self.out.slot(labels, drop_name, sides.grid.count, sides.cx)?;
                slots.insert((many, one), slot);
                slot
            }
        };
        // What a comparison leaves out has to be told apart as well.
        if pairs.left_out && pairs.slots.insert(slot, step) == Some(step) {
            return Err(grouping_not_unique());
        }
        let Some(value) = value else { return Ok(()) };
        let column = &mut self.out.series[slot].column;
        if column.has(step) {
            return Err(if matching.group == Group::None {
                super::context::same_labelset()
            } else {
                grouping_not_unique()
            });
        }
        column.set(step, value);
        Ok(())
    }
}

fn grouping_not_unique() -> QueryError {
    let text = "multiple matches for labels: grouping labels must ensure unique matches";
    QueryError::Execution(text.to_owned())
}

/// Whether none of the labels goes away with the metric's name.
fn keeps_no_name(key: &Labels) -> bool {
    ["__name__", "__type__", "__unit__"].iter().all(|name| key.get(name).is_none())
}

/// Labels in braces, the metric's name among them, as error texts have them.
pub(super) fn braces(labels: &Labels) -> String {
    let pairs: Vec<String> =
        labels.iter().map(|(n, v)| format!("{n}={}", crate::lexer::quote(v.as_bytes()))).collect();
    format!("{{{}}}", pairs.join(", "))
}
